"""What a kind is given to write a batch, what it answers, and the pieces of SQL that several kinds share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import ModelError
from isomesh_dagster.relation import Column, Relation, quote
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from isomesh_dagster.evaluation.texts import Surroundings

Columns = Sequence[tuple[str, str]]
"""Name and type (engine's spelling) of each column of a relation, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KindTexts:
    """The SQL that a kind's parameters hold, in the engine's dialect.

    keys          expressions over the result's columns: those of `unique_key`, or of `partitioned_by` for kinds that
                  replace partitions; empty for the others
    target_keys   the same over the columns of the relation `target`
    when_matched  clauses of a MERGE of `source` into `target`, None where the author gave none
    merge_filter  a condition over `source` and `target`, None where the author gave none
    managed       columns that the kind adds, with the engine's types
    """

    keys: tuple[str, ...] = ()
    target_keys: tuple[str, ...] = ()
    when_matched: str | None = None
    merge_filter: str | None = None
    managed: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One batch to be written.

    query     the rows, in the engine's dialect, physical names in place; "" for a seed
    typed     the model's declared columns with types of the engine, None when it declares none
    texts     what the kind's parameters say
    interval  the batch; None: nothing is due, only the empty table is made
    is_new    whether the relation is to be made, or all its rows to be replaced
    is_first  whether no batch was loaded before this one
    moment    the "now" of the plan, UTC
    root      the project's folder, where a seed's file is
    around    what a class of the project's may ask; None where no kind needs one
    """

    snapshot: Snapshot
    physical: Relation
    query: str
    typed: tuple[Column, ...] | None
    texts: KindTexts
    interval: Interval | None
    is_new: bool
    is_first: bool
    moment: datetime
    root: Path
    around: Surroundings | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a batch wrote: its rows (None: the engine does not tell), the relation's columns where they were read."""

    rows: int | None
    columns: tuple[tuple[str, str], ...] | None = None


def cast(query: str, typed: tuple[Column, ...] | None) -> str:
    """The query with just the declared columns, in their order and of their types."""
    if typed is None:
        return query
    items = ", ".join(
        quote(column.name)
        if column.type == "UNKNOWN"
        else f"CAST({quote(column.name)} AS {column.type}) AS {quote(column.name)}"
        for column in typed
    )
    return f"SELECT {items}\nFROM (\n{query}\n) AS _typed"


def fitted(session: Session, work: Write) -> Write:
    """The batch with the columns of its table, which may have others than the definition: one that was to stay when the
    definition lost it, or that stayed when an earlier definition came back, has no value in new rows.
    """
    model = work.snapshot.model
    known = [column.name for column in work.typed] if work.typed is not None else model.output
    if known is None and model.on_destructive_change != "IGNORE":
        return work
    managed = {column.name.lower() for column in work.texts.managed}
    table = [(name, kind) for name, kind in session.columns(work.physical) if name.lower() not in managed]
    query = cast(work.query, work.typed)
    given = {name.lower() for name in (known if known is not None else names(session.query_columns(query)))}
    if given.issuperset(name.lower() for name, _ in table):
        return work
    items = ", ".join(
        quote(name) if name.lower() in given else f"CAST(NULL AS {kind}) AS {quote(name)}" for name, kind in table
    )
    return replace(work, query=f"SELECT {items}\nFROM (\n{query}\n) AS _fitted", typed=None)


def begun(session: Session, work: Write) -> tuple[str, tuple[tuple[str, str], ...]]:
    """The batch's query with its types, and the columns of the table that it goes into; made, empty, when it is new."""
    query = cast(work.query, work.typed)
    if work.is_new:
        create_empty(session, work, query)
    return query, tuple(session.columns(work.physical))


def create_empty(session: Session, work: Write, query: str) -> None:
    """The table without rows: of the declared columns where their types are known, else of the query's; last those that
    the kind adds, whatever the query says they are.
    """
    managed = [(column.name, column.type) for column in work.texts.managed]
    if work.typed is not None and all(column.type != "UNKNOWN" for column in work.typed):
        session.create_table(work.physical, [*((column.name, column.type) for column in work.typed), *managed])
        return
    model = work.snapshot.model
    if model.reads_itself:
        raise ModelError(
            "the model reads itself, so its table must exist before the first batch, and its columns are not declared",
            model=model.name,
            path=model.path,
            line=model.line,
            hint="declare `columns (name TYPE, …)` in the MODEL header",
        )
    added = {name.lower() for name, _ in managed}
    returned = [column for column in session.query_columns(query) if column[0].lower() not in added]
    session.create_table(work.physical, [*returned, *managed])


def names(columns: Columns) -> list[str]:
    """The columns' names."""
    return [name for name, _ in columns]


def conformed(query: str, columns: Columns) -> str:
    """The query with just these columns, of just these types: what it is compared with has them."""
    items = ", ".join(f"CAST({quote(name)} AS {kind}) AS {quote(name)}" for name, kind in columns)
    return f"SELECT {items}\nFROM (\n{query}\n) AS _conformed"


def key_names(count: int) -> list[str]:
    """Names for a key's values in a subquery; no column of a model is called so."""
    return [quote(f"_isomesh_key_{number}") for number in range(1, count + 1)]


def keyed(keys: Sequence[str]) -> str:
    """The key's values as items of a SELECT, under their names."""
    return ", ".join(f"{key} AS {name}" for key, name in zip(keys, key_names(len(keys)), strict=True))


_TIME = re.compile(r"TIMESTAMP|DATE", re.IGNORECASE)
_ORDERED = re.compile(
    r"(TIMESTAMP|DATE|TIME|INTERVAL|BOOL|U?(TINY|SMALL|BIG|HUGE)?INT|DECIMAL|NUMERIC|FLOAT|DOUBLE|REAL|VARCHAR|CHAR|TEXT"
    r"|UUID)[^\[]*\Z",
    re.IGNORECASE,
)


def one_per_key(query: str, keys: Sequence[str], columns: Columns, latest: str | None = None) -> str:
    """The query's rows, of those with one key only the latest: the greatest by `latest`, then by each date and time
    column, then by every other column, all in the table's order; what is missing is least. The same rows give the same
    choice, in whatever order they come.
    """
    first = [name for name in names(columns) if latest is not None and name.lower() == latest.lower()]
    by_time = [name for name, kind in columns if _TIME.match(kind)]
    order = dict.fromkeys([*first, *by_time, *names(columns)])
    types = dict(columns)
    ranking = ", ".join(f"{_comparable(name, types[name])} DESC NULLS LAST" for name in order)
    items = ", ".join(map(quote, names(columns)))
    return (
        f"SELECT {items}\nFROM (\n"
        f"SELECT {items}, ROW_NUMBER() OVER (PARTITION BY {', '.join(keys)} ORDER BY {ranking}) AS _isomesh_rank\n"
        f"FROM (\n{query}\n) AS _rows\n) AS _ranked\nWHERE _isomesh_rank = 1"
    )


_WITHOUT_EQUALITY = re.compile(r"(JSON|XML|POINT|LINE|LSEG|BOX|PATH|POLYGON|CIRCLE)\Z", re.IGNORECASE)


def equatable(column: str, column_type: str) -> str:
    """The column as something that can be told equal: some types of Postgres have no equality, or not the one of their
    texts.
    """
    return f"CAST({column} AS VARCHAR)" if _WITHOUT_EQUALITY.match(column_type) else column


def _comparable(name: str, column_type: str) -> str:
    """The column as something that has an order: not every type has one on every engine, its text has."""
    return quote(name) if _ORDERED.match(column_type) else f"CAST({quote(name)} AS VARCHAR)"
