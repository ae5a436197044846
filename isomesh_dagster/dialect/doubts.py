"""The work behind `findings.query_findings`, on the query's tree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sqlglot import exp
from sqlglot.errors import SqlglotError

from isomesh_dagster.dialect.canonical import tokenize
from isomesh_dagster.dialect.facts import output_names
from isomesh_dagster.dialect.findings import Finding, QueryFindings
from isomesh_dagster.dialect.qualified import Schema, qualified, resolved
from isomesh_dagster.dialect.summary import Opaque
from isomesh_dagster.dialect.tree import Tree, place
from isomesh_dagster.errors import ModelError


def query_findings(sql: str, dialect: str, schema: Schema) -> QueryFindings:
    """See `findings.query_findings`."""
    try:
        tree = resolved(sql, dialect, schema)
    except (ModelError, RecursionError):
        return QueryFindings()
    known = {name: [column.name for column in columns] for name, columns in schema.items() if columns}
    unknown = sorted({mention.name for mention in tree.mentions} - known.keys())
    selects = list(_outer_selects(tree.root))
    star = next((Finding(text=_text(item, tree), line=_star_line(item, sql, tree)) for item in _stars(selects)), None)
    unexpanded = None
    if star is not None and unknown and output_names(tree, known) is None:
        unexpanded = Finding(text=", ".join(unknown), line=star.line)
    unnamed = _unnamed(selects[0].expressions, tree) if selects else None
    unresolved = _unresolved(tree, schema) if not unknown else None  # last: it changes the tree
    return QueryFindings(star=star, unexpanded=unexpanded, unresolved=unresolved, unnamed=unnamed)


def _outer_selects(query: exp.Expr) -> Iterator[exp.Select]:
    """The SELECTs whose columns are the query's, the one that names them first."""
    if isinstance(query, exp.SetOperation):
        yield from _outer_selects(query.left)
        yield from _outer_selects(query.right)
    elif isinstance(query, exp.Subquery):
        yield from _outer_selects(query.this)
    elif isinstance(query, exp.Select):
        yield query


def _stars(selects: Sequence[exp.Select]) -> Iterator[exp.Expr]:
    for select in selects:
        yield from (item for item in select.expressions if item.is_star)


def _unnamed(items: Sequence[exp.Expr], tree: Tree) -> Finding | None:
    """The first output column that has no name, or that of an earlier one; as far as stars leave it to the text."""
    seen: set[str] = set()
    for position, item in enumerate(items, start=1):
        if item.is_star or isinstance(item, exp.Aliases):
            continue
        if not isinstance(item, exp.Alias | exp.Column | exp.Dot):
            return Finding(text=f"column {position}, `{_text(item, tree)}`, has no name", line=_line(item))
        last = item.args.get("alias") if isinstance(item, exp.Alias) else item.this
        last = item.expression if isinstance(item, exp.Dot) else last
        name = tree.identifier(last) if isinstance(last, exp.Identifier) else item.alias_or_name
        if name in seen:
            return Finding(text=f"column {position} is called `{name}` like an earlier one", line=_line(item))
        seen.add(name)
    return None


_PLACE = re.compile(r"\.? Line: (?P<line>\d+), Col: \d+.*", re.DOTALL)
_NOWHERE = re.compile(r"Column '(?P<column>.+?)' could not be resolved(?: for table: '(?P<table>.+?)')?")


def _unresolved(tree: Tree, schema: Schema) -> Finding | None:
    """The first column that the library cannot assign to one table."""
    owners: dict[str, list[str]] = {}
    for name in sorted({mention.name for mention in tree.mentions}):
        for its in schema[name]:
            owners.setdefault(its.name, []).append(name)
    try:
        qualified(tree, schema)
    except SqlglotError as error:
        told = " ".join(str(error).split())
        place = _PLACE.search(told)
        line = int(place["line"]) if place else None
        reason = told[: place.start()] if place else told
        nowhere = _NOWHERE.search(reason)
        if nowhere is None:
            unknown = reason.removeprefix("Unknown column: ")
            return Finding(text=f"there is no column `{unknown}`" if unknown != reason else reason[:200], line=line)
        column, table = nowhere["column"], nowhere["table"]
        if table is not None:
            return Finding(text=f"`{table}` has no column `{column}`", line=line)
        several = owners.get(tree.identifier(exp.to_identifier(column)), [])
        if len(several) > 1:
            return Finding(text=f"`{column}` may be a column of {' or '.join(several)}: qualify it", line=line)
        return Finding(text=f"no table that is read there has a column `{column}`", line=line)
    except (Opaque, RecursionError):
        return None
    return None


def _text(item: exp.Expr, tree: Tree) -> str:
    text = item.sql(dialect=tree.dialect)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _star_line(item: exp.Expr, sql: str, tree: Tree) -> int | None:
    """The line of a star, which has no place in the tree: that of the last one before the SELECT's own FROM."""
    if (line := _line(item)) is not None:
        return line
    select = item.find_ancestor(exp.Select)
    source = select.args.get("from_") if select is not None else None
    starts = [node.meta["start"] for node in source.walk() if "start" in node.meta] if source is not None else []
    end = min(starts, default=len(sql))
    stars = [token for token in tokenize(sql, tree.written_in) if token.text == "*" and token.start < end]
    return place(sql, stars[-1].start)[0] if stars else None


def _line(item: exp.Expr) -> int | None:
    lines = [node.meta["line"] for node in item.walk() if "line" in node.meta]
    return min(lines, default=None)
