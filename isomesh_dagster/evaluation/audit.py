"""Audits: queries that must return no rows, run on what a batch has just written, before anybody can see it.

`@this_model` is the physical relation; for a time-range model only its rows of the batch. It is bound as the name of a
common table, so that an audit may give it an alias or not, as it likes.
"""

from __future__ import annotations

from collections.abc import Callable

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import AuditError, EngineError, WriteConflict
from isomesh_dagster.evaluation.evaluate import condition_of
from isomesh_dagster.evaluation.rows import Columns
from isomesh_dagster.evaluation.texts import Texts
from isomesh_dagster.model.kinds import IncrementalByTimeRange
from isomesh_dagster.plan.words import count, interval_words
from isomesh_dagster.records.events import Audited
from isomesh_dagster.relation import quote
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Snapshot

THIS_MODEL = quote("_isomesh_audited")


def run_audits(
    session: Session, snapshot: Snapshot, texts: Texts, interval: Interval | None, columns: Callable[[], Columns]
) -> tuple[Audited, ...]:
    """Run all audits of the model on the batch (None: the whole relation), also after one that fails.

    Raises EngineError, naming the audit, when one cannot run.
    """
    model = snapshot.model
    if not model.audits or snapshot.physical is None:
        return ()
    condition = condition_of(snapshot, interval, columns)
    audited = f"SELECT * FROM {snapshot.physical.sql}" + (f" WHERE {condition}" if condition is not None else "")
    results = []
    for call in model.audits:
        query = texts.audit(call, interval, THIS_MODEL)
        try:
            with texts.pointing_audit(call, query):
                counted = session.fetch(
                    f"WITH {THIS_MODEL} AS ({audited})\nSELECT COUNT(*) FROM (\n{query}\n) AS _bad_rows"
                )
        except WriteConflict:
            raise
        except EngineError as error:
            error.message = f"audit {call.name} cannot run: {error.message}"
            raise error.located(path=model.path, model=model.name) from None
        results.append(
            Audited(
                model=model.name,
                audit=call.name,
                failing_rows=int(counted[0][0]),
                blocking=call.blocking and not snapshot.is_preview,
                interval=interval if isinstance(model.kind, IncrementalByTimeRange) else None,
            )
        )
    return tuple(results)


def refuse_failures(
    snapshot: Snapshot, audits: tuple[Audited, ...], consequence: str = "what was written is rolled back"
) -> None:
    """Raises AuditError when a blocking audit found bad rows."""
    failed = [audit for audit in audits if audit.blocking and not audit.passed]
    if not failed:
        return
    told = ", ".join(f"audit {audit.audit} found {count(audit.failing_rows, 'row')}" for audit in failed)
    interval = failed[0].interval
    where = f" in {interval_words(interval, snapshot.model.interval_unit)}" if interval is not None else ""
    raise AuditError(
        f"{told}{where}; {consequence}",
        model=snapshot.name,
        path=snapshot.model.path,
        line=snapshot.model.line,
        hint="mend the rows or the query; an audit with `blocking := false` only warns",
    )
