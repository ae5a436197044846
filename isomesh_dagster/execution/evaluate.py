"""How each kind writes its rows: one function per kind, all called inside the transaction of a batch.

What goes in is final text in the engine's dialect; nothing is decided or rendered here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import ModelError
from isomesh_dagster.execution.timerange import time_condition
from isomesh_dagster.model import kinds
from isomesh_dagster.model.kinds import IncrementalByTimeRange, Seed
from isomesh_dagster.relation import Column, Relation, quote
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Snapshot

Columns = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One batch to be written.

    query     the rows, in the engine's dialect, physical names in place; "" for a seed
    typed     the model's declared columns with types of the engine, None when it declares none
    interval  the batch; None: nothing is due, only the empty table is made
    is_new    whether the relation holds nothing yet, so that it must be made
    root      the project's folder, where a seed's file is
    """

    snapshot: Snapshot
    physical: Relation
    query: str
    typed: tuple[Column, ...] | None
    interval: Interval | None
    is_new: bool
    root: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a batch wrote: its rows (None: the engine does not tell), the relation's columns where they were read."""

    rows: int | None
    columns: tuple[tuple[str, str], ...] | None = None


def write(session: Session, work: Write) -> Written:
    """Write the batch as its kind asks. Raises EngineError, or ModelError when the model and its rows do not fit."""
    match work.snapshot.model.kind:
        case kinds.View():
            return _write_view(session, work)
        case kinds.Full():
            return _write_full(session, work)
        case IncrementalByTimeRange() as kind:
            return _write_time_range(session, work, kind)
        case Seed() as kind:
            return _write_seed(session, work, kind)
        case kinds.Embedded() | kinds.External() as kind:
            raise ModelError(f"{kinds.kind_name(kind)} models have nothing to build", model=work.snapshot.name)


def _write_view(session: Session, work: Write) -> Written:
    session.replace_view(work.physical, _cast(work.query, work.typed))
    return Written(rows=None)


def _write_full(session: Session, work: Write) -> Written:
    return Written(rows=session.replace_table(work.physical, _cast(work.query, work.typed)))


def _write_seed(session: Session, work: Write, kind: Seed) -> Written:
    settings = kind.csv_settings
    given = {name: value for name in settings.__slots__ if (value := getattr(settings, name)) is not None}
    path = work.root / kind.path
    if not path.is_file():
        raise ModelError(
            f"the seed's file {kind.path} is missing", model=work.snapshot.name, path=work.snapshot.model.path
        )
    columns = None if work.typed is None else [(column.name, column.type) for column in work.typed]
    return Written(rows=session.load_csv(work.physical, str(path), columns, given))


def _write_time_range(session: Session, work: Write, kind: IncrementalByTimeRange) -> Written:
    query = _cast(work.query, work.typed)
    if work.is_new:
        _create_empty(session, work, query)
    columns = tuple(session.columns(work.physical))
    if work.interval is None:
        return Written(rows=0, columns=columns)
    condition = _condition(work, kind, columns, work.interval)
    if not work.is_new:
        session.execute(f"DELETE FROM {work.physical.sql} WHERE {condition}")
    # rows outside of the batch are discarded even when the query does not filter: a batch never writes another's rows
    rows = session.insert(
        work.physical,
        f"SELECT * FROM (\n{query}\n) AS _rows\nWHERE {condition}",
        [name for name, _ in columns],
    )
    return Written(rows=rows, columns=columns)


def _create_empty(session: Session, work: Write, query: str) -> None:
    """The table without rows: of the declared columns where their types are known, else of the query's."""
    if work.typed is not None and all(column.type != "UNKNOWN" for column in work.typed):
        items = ", ".join(f"CAST(NULL AS {column.type}) AS {quote(column.name)}" for column in work.typed)
        session.replace_table(work.physical, f"SELECT {items} WHERE 1 = 0")
        return
    model = work.snapshot.model
    if any(reference.name == model.name for reference in model.references):
        raise ModelError(
            "the model reads itself, so its table must exist before the first batch, and its columns are not declared",
            model=model.name,
            path=model.path,
            line=model.line,
            hint="declare `columns (name TYPE, …)` in the MODEL header",
        )
    session.replace_table(work.physical, f"SELECT * FROM (\n{query}\n) AS _rows\nWHERE 1 = 0")


def condition_of(snapshot: Snapshot, interval: Interval | None, columns: Callable[[], Columns]) -> str | None:
    """The condition that limits the snapshot's relation to a batch; None when the whole relation is meant.

    `columns` tells the relation's columns; it is asked only when they are needed.
    """
    kind = snapshot.model.kind
    if not isinstance(kind, IncrementalByTimeRange) or interval is None:
        return None
    return time_condition(kind.time_column, _time_type(snapshot, kind, columns()), kind.time_format, interval)


def _condition(work: Write, kind: IncrementalByTimeRange, columns: Columns, interval: Interval) -> str:
    return time_condition(kind.time_column, _time_type(work.snapshot, kind, columns), kind.time_format, interval)


def _time_type(snapshot: Snapshot, kind: IncrementalByTimeRange, columns: Columns) -> str:
    wanted = kind.time_column.lower()
    for name, column_type in columns:
        if name.lower() == wanted:
            return column_type
    raise ModelError(
        f"the time column {kind.time_column!r} is not a column of the result",
        model=snapshot.name,
        path=snapshot.model.path,
        line=snapshot.model.line,
        hint=f"its columns are {', '.join(name for name, _ in columns)}",
    )


def _cast(query: str, typed: tuple[Column, ...] | None) -> str:
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
