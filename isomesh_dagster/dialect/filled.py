"""SQL with gaps, filled with parts of another statement."""

from __future__ import annotations

from functools import lru_cache

from sqlglot import exp


def filled(template: str, dialect: str = "postgres", **parts: exp.Expr) -> exp.Expr:
    """The expression, with a copy of a part in the place of each column of its name.

    A part that is more than a name or a call is put in parentheses.
    """
    made = _parsed(template, dialect).copy()
    for column in list(made.find_all(exp.Column)):
        part = parts.get(column.name) if not column.table else None
        if part is not None:
            needs_parentheses = isinstance(part, (exp.Binary, exp.Unary, exp.Between, exp.In, exp.Interval))
            new = exp.Paren(this=part.copy()) if needs_parentheses and column is not made else part.copy()
            if column is made:
                return new
            column.replace(new)
    return made


@lru_cache(maxsize=256)
def _parsed(template: str, dialect: str) -> exp.Expr:
    return exp.maybe_parse(template, dialect=dialect)
