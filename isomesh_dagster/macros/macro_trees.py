"""What files of the model format import from `sqlmesh.core.dialect` to write SQL as trees.

A macro inside a tree is written as its text, `@name(…)`: what a Python macro gives is expanded again.
"""

from __future__ import annotations

from typing import Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from isomesh_dagster.dialect.tokens import stock_dialect
from isomesh_dagster.errors import MacroError


def macro_var(this: Any) -> Any:
    """`MacroVar(this="x")` is the tree of `@x`."""
    return exp.var(f"@{this if isinstance(this, str) else this.name}")


def macro_func(this: exp.Anonymous) -> Any:
    """`MacroFunc(this=exp.Anonymous(this="f", expressions=[…]))` is the tree of `@f(…)`."""
    return exp.Anonymous(this=f"@{this.name}", expressions=this.expressions)


def parse(sql: str, default_dialect: str | None = None, into: Any = None) -> list[Any]:
    """The trees of all statements of a text. Raises MacroError when it cannot be read."""
    stock = stock_dialect(default_dialect or "")
    try:
        found = stock.parse_into(into, sql) if into is not None else stock.parse(sql)
    except SqlglotError as error:
        raise MacroError(f"cannot read `{sql}`: {str(error).partition(chr(10))[0]}") from None
    return [one for one in found if one is not None]


def parse_one(sql: str, dialect: str | None = None, into: Any = None) -> Any:
    """The tree of a query or of one expression. Raises MacroError when there is none, or several."""
    found = parse(sql, dialect, into)
    if len(found) != 1:
        raise MacroError(f"one query or expression was expected in `{sql}`, there are {len(found)}")
    return found[0]


TREES = {"MacroFunc": macro_func, "MacroVar": macro_var, "parse": parse, "parse_one": parse_one}
