"""A star in the place of all columns, written out. Text in, text out; nothing else of the query moves."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlglot import TokenType

from isomesh_dagster.dialect.query import analyse
from isomesh_dagster.dialect.rewrite import quote_name
from isomesh_dagster.dialect.tokens import Source, is_word, tokenize
from isomesh_dagster.errors import ModelError

_PLAIN = re.compile(r"[A-Za-z_]\w*")


def written_out(sql: str, dialect: str, names: Sequence[str]) -> tuple[int, int, str] | None:
    """Where the star of a query `SELECT * FROM …` stands (its two offsets), and the columns `names` to write there.

    None where a list of these names would not be the same query: other columns beside the star, a set operation, two
    columns of one name.
    """
    try:
        source = tokenize(sql, dialect)
    except ModelError:
        return None
    star = _lone_star(source)
    if star is None or not names or len(set(names)) != len(names):
        return None
    begin = source.tokens[star].start
    _, column = source.line_column(begin)
    first_of_line = sql[:begin].rpartition("\n")[2].strip() == ""
    between = ",\n" + " " * (column - 1) if first_of_line else ", "
    text = between.join(_written(name, dialect) for name in names)
    new = sql[:begin] + text + sql[begin + 1 :]
    try:
        return (begin, begin + 1, text) if analyse(new, dialect).output == tuple(names) else None
    except ModelError:
        return None


def _lone_star(source: Source) -> int | None:
    """The token of the star that is all that the one outermost SELECT returns."""
    selects: list[int] = []
    k = 0
    while k < len(source.tokens):
        match = source.match.get(k)
        if match is not None and match > k:
            k = match
        elif source.tokens[k].token_type is TokenType.SELECT:
            selects.append(k)
        k += 1
    if len(selects) != 1:
        return None
    at = selects[0] + 1
    if at < len(source.tokens) and source.tokens[at].token_type is TokenType.DISTINCT:
        at += 1
    following = source.tokens[at : at + 2]
    kinds = [token.token_type for token in following]
    return at if kinds == [TokenType.STAR, TokenType.FROM] else None


def _written(name: str, dialect: str) -> str:
    """The name as its author would write it: in quotes only where it must be."""
    tokens = tokenize(name, dialect).tokens if _PLAIN.fullmatch(name) else []
    is_plain = len(tokens) == 1 and tokens[0].token_type is TokenType.VAR and is_word(tokens[0])
    return name if is_plain else quote_name(name, dialect)
