"""Batches written: what of a step is left to do, and each batch in one transaction with its record.

Whether a batch is there already is asked before anything is begun, and once more inside the transaction: two appliers
of one plan, or an applier and a run, write every batch once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from isomesh_dagster.engine.connection import Lead, Session
from isomesh_dagster.errors import ConflictingPlanError, WriteConflict
from isomesh_dagster.evaluation.batch import Batch
from isomesh_dagster.evaluation.rows import Written
from isomesh_dagster.model.kinds import adds_rows, depends_on_past, is_incremental, keeps_history, lookback
from isomesh_dagster.plan.expected import Duration, batch_units
from isomesh_dagster.plan.missing import open_unit
from isomesh_dagster.plan.plan import Build, Plan
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.record import Recorder
from isomesh_dagster.records.warehouse import Loaded
from isomesh_dagster.snapshot.interval import Interval, intersect, subtract

_CONFLICT_TRIES = 5


class BatchWriter:
    """Writes the batches of one plan. What is written is told to `recorder`, for the state; `checkpoint` as for
    `Application`. Safe to use from several threads.
    """

    def __init__(self, plan: Plan, recorder: Recorder, checkpoint: Callable[[str], None]) -> None:
        self._plan = plan
        self._recorder = recorder
        self._checkpoint = checkpoint
        self._done: frozenset[str] = frozenset()

    def forget_plans(self, done: frozenset[str]) -> None:
        """Nobody will ask what of the tables these plans wrote: their records may become one."""
        self._done = done

    def todo(self, step: Build, loaded: Sequence[Loaded]) -> list[Interval | None]:
        """The batches that are not there yet; `[None]` when only the empty table is missing."""
        if not step.batches:
            return [] if loaded else [None]
        return [batch for batch in step.batches if not self._is_there(step, batch, loaded)]

    def _is_there(self, step: Build, batch: Interval | None, loaded: Sequence[Loaded]) -> bool:
        """Whether the batch was built already, by an earlier try of this plan or by somebody else.

        What the plan makes again although it is loaded (restated, or looked back upon) counts only when this plan has
        done it.
        """
        kind = step.snapshot.model.kind
        if step.later:
            return batch is None or not subtract([batch], warehouse.intervals(loaded))
        again = step.snapshot.name in self._plan.restates or lookback(kind) > 0
        counting = [one for one in loaded if one.plan_id == self._plan.id] if again else loaded
        if batch is None:
            return bool(counting)
        if not is_incremental(kind) and not again:
            return any(one.end >= batch.end for one in counting)
        return not subtract([batch], warehouse.intervals(counting))

    def _begins_again(self, step: Build, before: Sequence[Loaded]) -> bool:
        """Whether the next batch is the first of a history that this plan makes again from its beginning."""
        is_again = step.snapshot.name in self._plan.restates and depends_on_past(step.snapshot.model.kind)
        return is_again and all(one.plan_id != self._plan.id for one in before)

    def write(self, session: Session, batch: Batch, lead: Lead | None = None) -> Written | None:
        """The batch in one transaction, with a `lead` beside others of its table; None when it was there already."""
        for left in reversed(range(_CONFLICT_TRIES)):
            try:
                return self._try_batch(session, batch, lead)
            except WriteConflict:  # noqa: PERF203 (another writer was first: look again what is left to do)
                if not left:
                    raise
                time.sleep(0.02 * (_CONFLICT_TRIES - left))
        raise AssertionError("unreachable")

    def _try_batch(self, session: Session, batch: Batch, lead: Lead | None) -> Written | None:
        step, interval = batch.step, batch.interval
        physical = str(batch.physical)
        batch.audits = ()
        kind = step.snapshot.model.kind
        with session.transaction(claim=physical, lead=lead):
            began = time.perf_counter()  # nobody is waited for any more
            before = warehouse.loaded_of(session, physical)
            there = bool(before) and self._is_there(step, interval, before)
            written = None
            # what each batch stands on is gone when nothing counts as loaded any more
            is_void = depends_on_past(kind) and not warehouse.intervals(before)
            again = bool(before) and self._begins_again(step, before)
            anew = not before or is_void or again
            if anew and lead is not None:  # the first batch, which was alone, made the table
                raise ConflictingPlanError(
                    "its table went since this began", model=step.snapshot.name, hint="plan again"
                )
            if again and not there:
                self._recorder.forget(physical)
                self._checkpoint("forgotten")
            whole = not is_incremental(kind) or anew
            if not there:
                if keeps_history(kind) and not anew:
                    _refuse_overlap(step, interval, warehouse.intervals(before))
                if depends_on_past(kind) and not again and not step.later and interval is not None:
                    is_own = step.snapshot.name in self._plan.restates
                    _refuse_disorder(step, interval, () if is_own else batch.known, batch.known, before)
                is_first = anew or not warehouse.intervals(before)
                written = batch.write(session, is_new=anew, is_first=is_first)
                self._checkpoint("written")
                if lead is not None:  # beside others, records are written one after the other, up to the commit
                    session.claim(f"records of {physical}")
                    before = warehouse.loaded_of(session, physical)
                record = Loaded(
                    start=interval.start if interval is not None else 0,
                    end=interval.end if interval is not None else 0,
                    plan_id=self._plan.id,
                    rows=written.rows,
                )
                if whole:
                    warehouse.record_whole(session, physical, record, before)
                else:
                    warehouse.record_range(session, physical, record, before, self._done)
                self._checkpoint("recorded")
        self._checkpoint("built")
        if there:
            self._recorder.add(physical, warehouse.intervals(before), whole=whole)
        elif interval is not None:
            self._recorder.add(physical, (interval,), whole=whole, took=_took(batch, time.perf_counter() - began))
        self._checkpoint("noted")
        return written


def _took(batch: Batch, seconds: float) -> tuple[str, Duration] | None:
    """What to remember of the time the batch took; nothing of one that made no rows."""
    step, interval = batch.step, batch.interval
    if step.repoint or step.hollow or batch.is_empty or interval is None:
        return None
    return step.snapshot.name, Duration(units=batch_units(step.snapshot.model, interval), seconds=seconds)


def _refuse_disorder(
    step: Build, interval: Interval, stands_on: Sequence[Interval], known: Sequence[Interval], before: Sequence[Loaded]
) -> None:
    """A batch that depends on those before it must find them as they were when its plan was begun, and none behind it
    that somebody else wrote since: rows of another order would stay.
    """
    loaded = warehouse.intervals(before)
    later = [Interval(max(one.start, interval.end), one.end) for one in loaded if one.end > interval.end]
    if subtract(stands_on, loaded) or subtract(later, known):
        raise ConflictingPlanError(
            f"its history was made anew, or went on, since this began: {interval} would be written out of order",
            model=step.snapshot.name,
            hint="plan again",
        )


def _refuse_overlap(step: Build, interval: Interval | None, loaded: Sequence[Interval]) -> None:
    """Rows that a batch adds must not be added twice: what somebody else loaded since the plan was made is told. The
    last unit may be there in part, where it is replaced.
    """
    if interval is None or not loaded:
        return
    model = step.snapshot.model
    closed = loaded[-1].end if adds_rows(model.kind) else open_unit(model, loaded)
    if any(one.start < closed for one in intersect([interval], loaded)):
        raise ConflictingPlanError(
            f"a part of {interval} was loaded since the plan was made", model=step.snapshot.name, hint="plan again"
        )
