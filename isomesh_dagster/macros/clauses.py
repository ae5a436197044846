"""Macros that keep or remove a whole clause: `@WITH`, `@JOIN`, `@WHERE`, `@GROUP_BY`, `@HAVING`, `@ORDER_BY`, `@LIMIT`.

`@WHERE(cond) a > 1` is `WHERE a > 1` if the condition holds, else the clause is cut up to the next one.
"""

from __future__ import annotations

from sqlglot import TokenType

from isomesh_dagster.dialect.tokens import Source, is_word

CLAUSES: dict[str, str] = {
    "join": "JOIN",
    "where": "WHERE",
    "group_by": "GROUP BY",
    "having": "HAVING",
    "order_by": "ORDER BY",
    "limit": "LIMIT",
    "with": "WITH",
}
"""The macros by lower-case name, and the keyword each stands for."""

# Words before JOIN that belong to it.
_SIDES = frozenset(
    {
        TokenType.NATURAL,
        TokenType.ASOF,
        TokenType.LEFT,
        TokenType.RIGHT,
        TokenType.FULL,
        TokenType.INNER,
        TokenType.OUTER,
        TokenType.CROSS,
        TokenType.SEMI,
        TokenType.ANTI,
    }
)
_JOINS = _SIDES | {TokenType.JOIN, TokenType.STRAIGHT_JOIN, TokenType.COMMA}
# What begins the next clause of a query, at the same depth.
CLAUSE_STARTS = frozenset(
    {
        TokenType.WHERE,
        TokenType.GROUP_BY,
        TokenType.HAVING,
        TokenType.QUALIFY,
        TokenType.WINDOW,
        TokenType.ORDER_BY,
        TokenType.SORT_BY,
        TokenType.CLUSTER_BY,
        TokenType.DISTRIBUTE_BY,
        TokenType.CONNECT_BY,
        TokenType.START_WITH,
        TokenType.LIMIT,
        TokenType.OFFSET,
        TokenType.FETCH,
        TokenType.UNION,
        TokenType.EXCEPT,
        TokenType.INTERSECT,
    }
)
_CLOSING = frozenset({TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE, TokenType.SEMICOLON})


def is_clause(source: Source, k: int) -> bool:
    """Whether the `@` at token `k` begins one of these macros."""
    tokens = source.tokens
    if tokens[k].text != "@" or k + 2 >= len(tokens) or tokens[k + 2].token_type is not TokenType.L_PAREN:
        return False
    return tokens[k + 1].text.lower() in CLAUSES and is_word(tokens[k + 1]) and source.adjacent(k)


def clause_begin(source: Source, name: str, k: int, first: int) -> int:
    """The token from which a clause is cut: the `@`, or the first of the words that belong to a join before it."""
    while name == "join" and k > first and source.tokens[k - 1].token_type in _SIDES:
        k -= 1
    return k


def clause_end(source: Source, name: str, after: int, last: int) -> int:
    """The token after the clause whose body begins at `after`."""
    if name == "with":
        return _after_tables(source, after, last)
    tokens = source.tokens
    k = after
    while k < last:
        token = tokens[k]
        kind = token.token_type
        if kind in _CLOSING or is_clause(source, k):
            break
        is_function = k + 1 < last and tokens[k + 1].token_type is TokenType.L_PAREN and source.adjacent(k)
        if (kind in CLAUSE_STARTS or (name == "join" and kind in _JOINS)) and not is_function:
            break
        k = max(source.match.get(k, k), k) + 1
    while name != "join" and k > after and tokens[k - 1].token_type in _SIDES:
        k -= 1  # the sides of a join macro that follows are its own
    return k


def _after_tables(source: Source, k: int, last: int) -> int:
    """After `a AS (…), b AS (…)`."""
    tokens = source.tokens
    while True:
        while k < last and tokens[k].token_type is not TokenType.ALIAS:
            k += 1
        while k < last and tokens[k].token_type is not TokenType.L_PAREN:
            k += 1
        k = source.match.get(k, last) + 1
        if k >= last or tokens[k].token_type is not TokenType.COMMA:
            return min(k, last)
        k += 1
