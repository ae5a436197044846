"""Questions that write nothing: the SQL a model would run, its rows, the audits of what an environment shows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from isomesh_dagster.dialect.query import transpile
from isomesh_dagster.engine.connection import Connection
from isomesh_dagster.errors import PlanError
from isomesh_dagster.evaluation.audit import run_audits
from isomesh_dagster.evaluation.texts import BatchText, Surroundings, Texts
from isomesh_dagster.model.kinds import Embedded, is_incremental
from isomesh_dagster.model.model import Model
from isomesh_dagster.records.events import Audited
from isomesh_dagster.snapshot.interval import Interval, to_ms
from isomesh_dagster.snapshot.snapshot import Category, Fingerprint, Snapshot

_DAY = 86_400_000


def rendered_query(model: Model, around: Surroundings, interval: Interval | None, dialect: str | None = None) -> str:
    """The model's query over the tables that `around` names, in the engine's dialect or in `dialect`; of a Python model
    its function.

    `interval` None: the last whole day before the moment of `around`. Raises PlanError for a model without a query.
    """
    if model.python is not None:
        return model.python.source
    if not model.query:
        raise PlanError(
            "the model has no query to show",
            model=model.name,
            path=model.path,
            line=model.line,
            hint="seeds and external tables hold rows that no query makes",
        )
    query = _texts(model, around).batch(_interval(model, around, interval), is_new=False).query
    return query if dialect is None else transpile(query, around.engine_dialect, dialect)


def expanded(snapshots: Mapping[str, Snapshot], models: Iterable[Model]) -> dict[str, Snapshot]:
    """`snapshots`, but those of `models` are queries to be written where their names stand. What has no query stays."""
    inlined = {
        model.name: Snapshot(
            model=replace(model, kind=Embedded()),
            fingerprint=_UNPLANNED,
            version="",
            category=Category.BREAKING,
            physical=None,
        )
        for model in models
        if model.query and model.python is None
    }
    return {**snapshots, **inlined}


def evaluated_query(
    connection: Connection, model: Model, around: Surroundings, interval: Interval | None, *, limit: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run the model's query or function; column names and at most `limit` rows. Nothing is written."""
    if model.python is not None:
        return _evaluated_function(connection, model, around, interval, limit)
    query = rendered_query(model, around, interval)
    written = BatchText(pre=(), query=query, post=())
    with connection.session() as session, _texts(model, around).pointing(written):
        return session.fetch_table(_limited(query, limit))


class _TakeBack(Exception):
    """Ends a transaction of which nothing may stay."""


def _evaluated_function(
    connection: Connection, model: Model, around: Surroundings, interval: Interval | None, limit: int
) -> tuple[list[str], list[tuple[Any, ...]]]:
    from isomesh_dagster.evaluation.python_model import PythonCall, python_rows

    texts = _texts(model, around)
    range_ = _interval(model, around, interval) or Interval(0, max(to_ms(around.execution_time), 1))
    call = PythonCall(
        model=model,
        table=partial(texts.table, interval=range_),
        around=around,
        typed=texts.typed() or (),
        interval=range_,
        limit=limit,
    )
    found: tuple[list[str], list[tuple[Any, ...]]] = ([], [])
    with connection.session() as session, suppress(_TakeBack), session.transaction():
        with python_rows(session, call) as query:
            found = session.fetch_table(_limited(query, limit))
        raise _TakeBack
    return found


def _limited(query: str, limit: int) -> str:
    return f"SELECT * FROM (\n{query}\n) AS _rows LIMIT {int(limit)}"


def audited(
    connection: Connection, snapshots: Sequence[Snapshot], around: Surroundings, interval: Interval | None
) -> Iterator[Audited]:
    """Run the audits of the snapshots' physical tables; `interval` limits time-range models (None: all rows)."""
    with connection.session() as session:
        for snapshot in snapshots:
            physical = snapshot.physical
            if physical is None or not snapshot.model.audits:
                continue
            columns = partial(session.columns, physical)
            yield from run_audits(session, snapshot, Texts(snapshot, around), interval, columns)


def _texts(model: Model, around: Surroundings) -> Texts:
    """The texts of a model as it is in the files, whether or not it was ever planned."""
    shown = around.snapshots.get(model.name)
    physical = shown.physical if shown is not None else None
    return Texts(
        Snapshot(
            model=model,
            fingerprint=shown.fingerprint if shown is not None else _UNPLANNED,
            version=shown.version if shown is not None else "",
            category=Category.BREAKING,
            physical=physical,
        ),
        around,
    )


_UNPLANNED = Fingerprint(data="", metadata="", version="", identity="")


def _interval(model: Model, around: Surroundings, interval: Interval | None) -> Interval | None:
    if not is_incremental(model.kind):
        return None
    if interval is not None:
        return interval
    midnight = to_ms(around.execution_time) // _DAY * _DAY
    return Interval(midnight - _DAY, midnight)
