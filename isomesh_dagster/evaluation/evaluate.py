"""How each kind writes its rows: one function per kind, all called inside the transaction of a batch. Kinds whose
batches meet the rows of others have files of their own: `merge`, `partitions`, `scd2`.

What goes in is final text in the engine's dialect; nothing is decided or rendered here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import ModelError
from isomesh_dagster.evaluation.custom import write_custom
from isomesh_dagster.evaluation.merge import write_unique_key
from isomesh_dagster.evaluation.partitions import write_appended, write_partitions
from isomesh_dagster.evaluation.rows import Columns, Write, Written, begun, cast, create_empty, names
from isomesh_dagster.evaluation.scd2 import write_versions
from isomesh_dagster.evaluation.timerange import are_disjoint, time_condition
from isomesh_dagster.model import kinds
from isomesh_dagster.model.kinds import IncrementalByTimeRange, Seed
from isomesh_dagster.model.seeds import seed_hash
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Snapshot


def write(session: Session, work: Write) -> Written:
    """Write the batch as its kind asks. Raises EngineError, or ModelError when the model and its rows do not fit."""
    match work.snapshot.model.kind:
        case kinds.View(materialized=materialized):
            return _write_view(session, work, materialized=materialized)
        case kinds.Full():
            return _write_full(session, work)
        case IncrementalByTimeRange() as kind:
            return _write_time_range(session, work, kind)
        case kinds.IncrementalByUniqueKey():
            return write_unique_key(session, work)
        case kinds.IncrementalByPartition():
            return write_partitions(session, work)
        case kinds.IncrementalUnmanaged() as kind:
            return write_partitions(session, work) if kind.insert_overwrite else write_appended(session, work)
        case kinds.ScdType2ByTime() | kinds.ScdType2ByColumn() as kind:
            return write_versions(session, work, kind)
        case kinds.Custom() as kind:
            return write_custom(session, work, kind)
        case Seed() as kind:
            return _write_seed(session, work, kind)
        case kinds.Embedded() | kinds.External() as kind:
            raise ModelError(f"{kinds.kind_name(kind)} models have nothing to build", model=work.snapshot.name)


def _write_view(session: Session, work: Write, *, materialized: bool) -> Written:
    session.replace_view(work.physical, cast(work.query, work.typed), materialized=materialized)
    return Written(rows=None)


def _write_full(session: Session, work: Write) -> Written:
    if work.interval is None:
        create_empty(session, work, cast(work.query, work.typed))
        return Written(rows=0)
    return Written(rows=session.replace_table(work.physical, cast(work.query, work.typed)))


def _write_seed(session: Session, work: Write, kind: Seed) -> Written:
    settings = kind.csv_settings
    given = {name: value for name in settings.__slots__ if (value := getattr(settings, name)) is not None}
    path = work.root / kind.path
    if not path.is_file():
        raise ModelError(
            f"the seed's file {kind.path} is missing", model=work.snapshot.name, path=work.snapshot.model.path
        )
    content = path.read_bytes()
    if not content.strip():
        raise ModelError(
            f"the seed's file {kind.path} is empty",
            model=work.snapshot.name,
            path=work.snapshot.model.path,
            hint="its first line names the columns",
        )
    if seed_hash(content) != kind.content_hash:
        raise ModelError(
            f"the seed's file {kind.path} is not what it was when the plan was made",
            model=work.snapshot.name,
            path=work.snapshot.model.path,
            hint="plan again",
        )
    columns = None if work.typed is None else [(column.name, column.type) for column in work.typed]
    return Written(rows=session.load_csv(work.physical, str(path), columns, given))


def _write_time_range(session: Session, work: Write, kind: IncrementalByTimeRange) -> Written:
    query, columns = begun(session, work)
    if work.interval is None:
        return Written(rows=0, columns=columns)
    condition = _condition(work, kind, columns, work.interval)
    if not work.is_new:
        session.execute(f"DELETE FROM {work.physical.sql} WHERE {condition}")
    # rows outside of the batch are discarded even when the query does not filter: a batch never writes another's rows
    rows = session.insert(
        work.physical,
        f"SELECT * FROM (\n{query}\n) AS _rows\nWHERE {condition}",
        names(columns),
    )
    return Written(rows=rows, columns=columns)


def condition_of(snapshot: Snapshot, interval: Interval | None, columns: Callable[[], Columns]) -> str | None:
    """The condition that limits the snapshot's relation to a batch; None when the whole relation is meant.

    `columns` tells the relation's columns; it is asked only when they are needed.
    """
    kind = snapshot.model.kind
    if not isinstance(kind, IncrementalByTimeRange) or interval is None:
        return None
    return time_condition(kind.time_column, _time_type(snapshot, kind, columns()), kind.time_format, interval)


def are_apart(snapshot: Snapshot, columns: Columns, batches: Sequence[Interval]) -> bool:
    """Whether no row belongs to two of these batches, in order. A column that tells less than their bounds, as a date
    does of hours, makes neighbours own the same rows.
    """
    kind = snapshot.model.kind
    assert isinstance(kind, IncrementalByTimeRange)
    return are_disjoint(_time_type(snapshot, kind, columns), kind.time_format, batches)


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
