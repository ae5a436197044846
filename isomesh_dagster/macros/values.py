"""What a macro variable can hold, and how each of these is written into SQL.

A variable is JSON data of the configuration or a `Fragment`. In the place of an expression it is written as a literal
(`to_sql`); inside a name or a template as its bare text (`to_name`).
"""

from __future__ import annotations

import re

from sqlglot import exp

from isomesh_dagster.dialect.tokens import tokenize
from isomesh_dagster.errors import MacroError

Variable = None | bool | int | float | str | list["Variable"] | dict[str, "Variable"]


class Fragment(str):
    """A piece of SQL text, written into a query as it stands; a plain `str` is the content of a string literal."""

    __slots__ = ()


_PLAIN = re.compile(r"[^'\\\x00-\x1f]*")
_NAME = re.compile(r"[A-Za-z_]\w*")
_LITERAL = re.compile(r"'([^'\\]*)'")


def literal(text: str, dialect: str) -> str:
    """The text as a string literal."""
    return f"'{text}'" if _PLAIN.fullmatch(text) else exp.Literal.string(text).sql(dialect)


def identifier(name: str, dialect: str, *, quoted: bool = False) -> str:
    """The name as an identifier: in quotes when asked for, or when it could not be read without them."""
    if not quoted and _NAME.fullmatch(name):
        return name
    return exp.to_identifier(name, quoted=True).sql(dialect)


def string_content(text: str, dialect: str) -> str | None:
    """What a piece of SQL says if it is one string literal; else None."""
    if not text.startswith("'"):
        return None
    if (simple := _LITERAL.fullmatch(text)) is not None:
        return simple[1]
    tokens = tokenize(text, dialect).tokens
    return tokens[0].text if len(tokens) == 1 else None


def to_sql(value: Variable, dialect: str) -> str:
    """The value as an expression: a fragment as it is, data as a literal, a list as `(a, b)`."""
    match value:
        case Fragment():
            return str(value)
        case str():
            return literal(value, dialect)
        case None:
            return "NULL"
        case bool():
            return "TRUE" if value else "FALSE"
        case int() | float():
            # `-@n` must not become `--3`, which begins a comment.
            return repr(value) if value >= 0 else f"({value!r})"
        case list():
            return f"({', '.join(to_sql(item, dialect) for item in value)})"
        case _:
            raise MacroError("a mapping cannot be written as SQL", hint="use a text, a number, a boolean or a list")


def to_name(value: Variable, dialect: str) -> str:
    """The value as part of a name or a template: a text without quotes, of a dotted name the last part."""
    if isinstance(value, Fragment):
        return str(value) if _NAME.fullmatch(value) else _fragment_name(value, dialect)
    if isinstance(value, (list, dict)):
        raise MacroError("a list or mapping cannot be part of a name", hint="use @EACH to go through its items")
    if isinstance(value, bool) or value is None:
        return to_sql(value, dialect)
    return str(value)


def _fragment_name(fragment: Fragment, dialect: str) -> str:
    tokens = tokenize(fragment, dialect).tokens
    if len(tokens) == 1:
        return tokens[0].text
    dotted = len(tokens) % 2 == 1 and all(token.text == "." for token in tokens[1::2])
    return tokens[-1].text if dotted else str(fragment)
