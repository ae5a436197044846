"""A query as a unit test runs it: at a moment that is given, or only as far as one of its CTEs.

Text in, text out. What is not concerned stays as written; only a query that asks for the time is generated from its
tree.
"""

from __future__ import annotations

from datetime import datetime, timezone

from sqlglot import TokenType, exp

from isomesh_dagster.dialect.canonical import sql_dialect
from isomesh_dagster.dialect.rewrite import quote_name
from isomesh_dagster.dialect.tokens import Source, tokenize
from isomesh_dagster.dialect.tree import parse

_DATES = (exp.CurrentDate, exp.UtcDate)
_TIMES = (exp.CurrentTime, exp.Localtime, exp.UtcTime)
_MOMENTS = (exp.CurrentTimestamp, exp.CurrentTimestampLTZ, exp.Systimestamp)
_NAIVE = (exp.CurrentDatetime, exp.Localtimestamp, exp.UtcTimestamp)
_BY_NAME = {
    "now": exp.CurrentTimestamp,
    "get_current_timestamp": exp.CurrentTimestamp,
    "transaction_timestamp": exp.CurrentTimestamp,
    "statement_timestamp": exp.CurrentTimestamp,
    "clock_timestamp": exp.CurrentTimestamp,
    "getdate": exp.CurrentTimestamp,
    "today": exp.CurrentDate,
    "get_current_time": exp.CurrentTime,
    "current_localtimestamp": exp.Localtimestamp,
    "current_localtime": exp.Localtime,
}
_NODES = (*_DATES, *_TIMES, *_MOMENTS, *_NAIVE, exp.Anonymous)


def frozen(sql: str, dialect: str, at: datetime) -> str:
    """The query with `CURRENT_DATE`, `CURRENT_TIMESTAMP`, `now()` and their like being `at` (aware), in UTC.

    A query that asks for none of them comes back as it is. Raises as `query.analyse`.
    """
    root, _ = parse(sql, dialect)
    moment = at.astimezone(timezone.utc)
    clocks = [(node, value) for node in root.find_all(*_NODES) if (value := _frozen(node, moment)) is not None]
    for node, value in clocks:
        is_column = isinstance(node.parent, exp.Select) and node.arg_key == "expressions"
        node.replace(exp.alias_(value, node.sql(dialect).lower().removesuffix("()")) if is_column else value)
    return root.sql(dialect=sql_dialect(dialect)) if clocks else sql


def _frozen(node: exp.Expr, moment: datetime) -> exp.Expr | None:
    kind = _BY_NAME.get(node.name.lower()) if isinstance(node, exp.Anonymous) else type(node)
    naive = moment.replace(tzinfo=None)
    if kind in _DATES:
        return exp.cast(exp.Literal.string(naive.date().isoformat()), exp.DType.DATE)
    if kind in _TIMES:
        return exp.cast(exp.Literal.string(naive.time().isoformat()), exp.DType.TIME)
    if kind in _MOMENTS:
        return exp.cast(exp.Literal.string(f"{naive.isoformat(sep=' ')}+00:00"), exp.DType.TIMESTAMPTZ)
    if kind in _NAIVE:
        return exp.cast(exp.Literal.string(naive.isoformat(sep=" ")), exp.DType.TIMESTAMP)
    return None


def is_ordered(sql: str, dialect: str) -> bool:
    """Whether the query itself says in which order its rows come. Raises as `query.analyse`."""
    root, _ = parse(sql, dialect)
    while isinstance(root, exp.Subquery) and not root.args.get("order"):
        root = root.this
    return root.args.get("order") is not None


def cte_names(sql: str, dialect: str) -> tuple[str, ...]:
    """The names of the CTEs the query begins with, as written without quotes, in order."""
    return tuple(name for name, _ in _ctes(tokenize(sql, dialect)))


def up_to_cte(sql: str, name: str, dialect: str) -> str | None:
    """The query with `SELECT * FROM name` in the place of what follows its CTEs; None when it has no such CTE.

    Case does not matter.
    """
    ctes = _ctes(tokenize(sql, dialect))
    for written, _ in ctes:
        if written.lower() == name.lower():
            return f"{sql[: ctes[-1][1]]}\nSELECT * FROM {quote_name(written, dialect)}"
    return None


def _ctes(source: Source) -> list[tuple[str, int]]:
    """Names of the CTEs at the beginning of a query, and where the text of each ends."""
    tokens = source.tokens
    if not tokens or tokens[0].token_type is not TokenType.WITH:
        return []
    found: list[tuple[str, int]] = []
    at = 2 if len(tokens) > 1 and tokens[1].text.upper() == "RECURSIVE" else 1
    while at < len(tokens):
        name = tokens[at].text
        while at < len(tokens) and tokens[at].text.upper() != "AS":  # names of columns may stand before
            at += 1
        while at < len(tokens) and tokens[at].token_type is not TokenType.L_PAREN:  # [NOT] MATERIALIZED
            at += 1
        end = source.match.get(at)
        if end is None:
            break
        found.append((name, tokens[end].end + 1))
        if end + 1 >= len(tokens) or tokens[end + 1].token_type is not TokenType.COMMA:
            break
        at = end + 2
    return found
