"""One plan being applied, step by step: the protocol that survives a crash at any of its points.

begin    stamp, reconcile, conflict, intent, schemas   state transaction, then warehouse transaction; `before_all`
build    each batch: rows + audits + `loaded`          one warehouse transaction; the state follows in bulk
promote  all views + the record of what they show      one warehouse transaction; then the state is finalized
finish   what is left to record; `after_all` ran after the swap, or runs here when there is none

A plan is applied again after a crash by applying it again: what is loaded is adopted, what is shown is done. The
scheduler of `schedule.py` and Dagster's ops are two drivers of this one class; it is safe to use from several threads
after `begin`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

from isomesh_dagster.engine.connection import Connection, Session
from isomesh_dagster.errors import ConflictingPlanError, PlanError, WriteConflict
from isomesh_dagster.execution import statements, warehouse
from isomesh_dagster.execution.audit import refuse_failures, run_audits
from isomesh_dagster.execution.batch import Batch
from isomesh_dagster.execution.events import Audited, Built, Evaluated, Event, Failed, Promoted, Reused, Waiting
from isomesh_dagster.execution.failures import located
from isomesh_dagster.execution.migrate import Alteration, definition_columns, prepare
from isomesh_dagster.execution.promote import Swap, swap
from isomesh_dagster.execution.reconcile import adopt_loaded, reconcile_in
from isomesh_dagster.execution.record import Recorder
from isomesh_dagster.execution.rows import Columns, Written
from isomesh_dagster.execution.stamp import check_stamp
from isomesh_dagster.execution.statements import StatementSettings
from isomesh_dagster.execution.take_back import take_back
from isomesh_dagster.execution.texts import Surroundings, Texts
from isomesh_dagster.execution.waiting import Waits
from isomesh_dagster.execution.warehouse import Loaded
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.model.kinds import depends_on_past, is_incremental, keeps_history, lookback
from isomesh_dagster.plan.plan import Audit, Build, Plan
from isomesh_dagster.plan.saved import plan_document
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import Environment, Target, View
from isomesh_dagster.snapshot.interval import Interval, subtract
from isomesh_dagster.snapshot.naming import view_relation
from isomesh_dagster.snapshot.snapshot import Snapshot, SnapshotId
from isomesh_dagster.state.protocol import Identity, PlanRecord, StateStore

_CONFLICT_TRIES = 5


def utc_now() -> datetime:
    """The moment, aware."""
    return datetime.now(timezone.utc)


_NO_STATEMENTS = StatementSettings()


def _no_checkpoint(name: str) -> None:
    """Nothing happens at a checkpoint outside of crash tests."""


class Application:
    """A plan being applied to one system.

    `connection` and `state` are the gateway's and stay the caller's to close. `identity` is who applies; its uuid
    counts only for a new system. `root` is the project's folder, `macros` are its own. `now` is asked for the
    moments that are recorded. `statements` is what `before_all` and `after_all` are rendered with, `comments` says
    whether descriptions are written on views. `checkpoint` is told the name of every point at which a crash must do no
    harm.
    """

    def __init__(
        self,
        plan: Plan,
        *,
        connection: Connection,
        state: StateStore,
        identity: Identity,
        root: Path,
        default_catalog: str | None = None,
        macros: ProjectMacros = NO_MACROS,
        statements: StatementSettings = _NO_STATEMENTS,
        comments: bool = False,
        now: Callable[[], datetime] = utc_now,
        checkpoint: Callable[[str], None] = _no_checkpoint,
    ) -> None:
        self.plan = plan
        self._connection = connection
        self._state = state
        self._identity = identity
        self._root = root
        self._now = now
        self._checkpoint = checkpoint
        self._recorder = Recorder(state)
        self._around = Surroundings(
            snapshots=plan.snapshots,
            engine_dialect=connection.capabilities.dialect,
            default_catalog=default_catalog,
            execution_time=plan.execution_time,
            macros=macros,
            reads=connection.reads,
            sessions=connection.session,
        )
        self._waits = Waits(plan, self._around)
        self._statements = statements
        self._comments = comments
        self._after_all: tuple[str, ...] = ()
        self._unasked: tuple[str, ...] = tuple(step.snapshot.name for step in plan.migrations)
        self._lock = threading.Lock()
        self._begun = False
        self._stopped = threading.Event()
        self._loaded: dict[str, tuple[Loaded, ...]] = {}
        self._done: set[SnapshotId] = set()
        self._audited: set[SnapshotId] = set()
        self._failed: dict[str, Exception] = {}

    # ---- begin -------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Check that the plan may be applied, record the intent, prepare the schemas. Idempotent.

        Raises SystemMismatch, ConflictingPlanError or PlanError; nothing of the plan is written then.
        """
        with self._lock:
            if self._begun:
                return
            with self._connection.session() as session:
                if not self.plan.is_empty:
                    self._check_rights(session)
                check_stamp(session, self._state, self._identity)
                self._checkpoint("stamped")
                reconcile_in(session, self._state, self.plan.environment)
                self._checkpoint("reconciled")
                self._check_base(self._state.environment(self.plan.environment))
                if not self.plan.is_empty:
                    self._check_catalogs()
                    self._open_intent(session)
                    self._before_all(session)
            self._begun = True

    def _check_base(self, current: Environment | None) -> None:
        shown = current.plan_id if current is not None else None
        if shown in (self.plan.based_on, self.plan.id):
            return
        raise ConflictingPlanError(
            f"environment {self.plan.environment!r} moved since the plan was made: it shows {shown or 'nothing'}, "
            f"the plan is based on {self.plan.based_on or 'a new environment'}",
            hint="plan again",
        )

    def _check_still_shown(self) -> None:
        """Raises ConflictingPlanError when somebody promoted while this plan, which only builds, is at work: what it
        builds on is no longer what the environment shows.
        """
        if self.plan.promote is not None or self.plan.based_on is None:
            return
        with self._connection.session() as session:
            shown = warehouse.shown_plan(session, self.plan.environment)
        if shown != self.plan.based_on:
            raise ConflictingPlanError(
                f"environment {self.plan.environment!r} was changed during the run: it shows {shown or 'nothing'} now",
                hint="what is built is kept; run again",
            )

    def _check_rights(self, session: Session) -> None:
        """Whether this user may write where the plan writes; EngineError before anything is done."""
        views = [Relation.parse(view) for view in (self.plan.promote.create if self.plan.promote is not None else ())]
        built = [_physical_of(step) for step in self.plan.builds]
        schemas = {relation.schema for relation in (*views, *built)}
        session.preflight(sorted({warehouse.META_SCHEMA, *schemas}), views)

    def _check_catalogs(self) -> None:
        """Rows and the record of them commit together, and a transaction writes one database only."""
        for step in self.plan.builds:
            catalog = _physical_of(step).catalog
            if catalog not in (None, self._around.default_catalog):
                raise PlanError(
                    f"lives in catalog {catalog!r}; models are written to the default catalog only",
                    model=step.snapshot.name,
                    path=step.snapshot.model.path,
                    line=step.snapshot.model.line,
                    hint="leave the catalog out of the model's name; other catalogs can be read as external tables",
                )

    def _open_intent(self, session: Session) -> None:
        plan = self.plan
        promote = plan.promote
        target = promote.target if promote is not None else self._unchanged_target()
        # every snapshot that nothing else protects: the janitor may have taken some away since the plan was made
        wanted = {*plan.new_snapshots, *plan.reuses, *(step.snapshot.id for step in plan.builds)}
        record = PlanRecord(
            id=plan.id,
            environment=plan.environment,
            based_on=plan.based_on,
            status="open",
            target=target,
            created_at=self._now(),
            document=plan_document(plan),
            expires_at=promote.expires_at if promote is not None else None,
            suffix_target=promote.suffix_target if promote is not None else "schema",
        )
        self._state.open_plan(record, [one for one in plan.snapshots.values() if one.id in wanted])
        if plan.restatements:
            self._state.mark_restatements(plan.restatements)
        self._checkpoint("intent")
        schemas = {
            (step.snapshot.physical.catalog, step.snapshot.physical.schema)
            for step in plan.builds
            if step.snapshot.physical
        }
        if schemas:
            # one at a time: two that make the same schema at once would be told that they conflict
            with session.transaction(claim="schemas"):
                for catalog, schema in sorted(schemas, key=str):
                    session.create_schema(schema, catalog)
        physicals = {str(one.physical) for one in plan.snapshots.values() if one.physical is not None}
        self._loaded = adopt_loaded(session, self._state, physicals)
        self._checkpoint("begun")
        lost = [one.name for one in plan.reuses if str(plan.snapshots[one.name].physical) not in self._loaded]
        if lost:
            raise PlanError(f"built when the plan was made and gone since: {', '.join(lost)}", hint="plan again")

    def _before_all(self, session: Session) -> None:
        """Run the statements that come first; those that come last are rendered now, so that they fail now."""
        plan = self.plan
        views = (plan.promote.target if plan.promote is not None else self._unchanged_target()).views
        first, self._after_all = (
            statements.rendered(texts, stage, plan, views, self._around, self._statements)
            for stage, texts in (("before_all", plan.before_all), ("after_all", plan.after_all))
        )
        statements.run(session, first, "before_all")
        self._checkpoint("before_all")

    def _run_after_all(self, session: Session) -> None:
        """Run the statements that come last, once."""
        last, self._after_all = self._after_all, ()
        statements.run(session, last, "after_all")

    def _unchanged_target(self) -> Target:
        """What the environment shows, for a plan that only builds."""
        current = self._state.environment(self.plan.environment)
        if current is not None:
            return current.target
        snapshots = self.plan.snapshots
        return Target(
            snapshots={name: one.id for name, one in snapshots.items()},
            views={
                name: View(view=str(view_relation(name, self.plan.environment)), physical=str(one.physical))
                for name, one in snapshots.items()
                if one.physical is not None
            },
        )

    # ---- build -------------------------------------------------------------------------------------------

    def build(self, step: Build) -> Iterator[Event]:
        """Make the rows of one step: `Evaluated` for every batch, then `Built`; `Reused` when nothing was left to do;
        `Waiting` first, for what has to wait and is left out.

        When it fails: `Failed`, then the error is raised; finished batches stay. One thread per step; parents first.
        """
        self._require_begun()
        snapshot = step.snapshot
        physical = _physical_of(step)
        started = time.perf_counter()
        if self._stopped.is_set():
            raise PlanError("stopped", model=snapshot.name)
        self._check_still_shown()
        todo = self._todo(step, self._loaded.get(str(physical), ()))
        waiting: tuple[Waiting, ...] = ()
        if todo and not step.hollow and self._waits.concern(step):
            try:
                step, waiting = self._without_waiting(step, todo)
            except Exception as error:
                yield (failed := self._failure(snapshot, error))
                raise failed.error from error.__cause__
            yield from waiting
            todo = self._todo(step, self._loaded.get(str(physical), ()))
            if waiting and not todo:
                self._finished(step)
                return
        if not todo:
            self._finished(step)
            yield Reused(model=snapshot.name, snapshot=snapshot.id, physical=physical)
            return
        audits: list[Audited] = []
        rows: int | None = 0
        wrote = False
        columns: Columns | None = None
        attempt: Batch | None = None
        try:
            with self._connection.session() as session:
                around = self._surroundings(session)
                texts = Texts(snapshot, around)
                for statement in texts.session():
                    session.execute(statement)
                for interval in todo:
                    if self._stopped.is_set():
                        raise PlanError("stopped between two batches", model=snapshot.name)
                    is_empty = step.hollow or (bool(waiting) and interval is None)
                    attempt = Batch(step, physical, interval, texts, around, self._root, is_empty=is_empty)
                    begun = time.perf_counter()
                    written = self._write_batch(session, attempt)
                    if written is None:
                        continue  # somebody else did it meanwhile
                    wrote = True
                    audits += attempt.audits
                    columns = written.columns or columns
                    rows = None if rows is None or written.rows is None else rows + written.rows
                    if interval is not None:
                        yield Evaluated(
                            model=snapshot.name,
                            snapshot=snapshot.id,
                            interval=interval,
                            rows=written.rows,
                            seconds=time.perf_counter() - begun,
                            audits=attempt.audits,
                        )
                if wrote and columns is None:
                    columns = session.columns(physical)
        except Exception as error:
            yield (failed := self._failure(snapshot, error, attempt.audits if attempt is not None else ()))
            raise failed.error from error.__cause__
        self._finished(step)
        if not wrote:
            yield Reused(model=snapshot.name, snapshot=snapshot.id, physical=physical)
            return
        yield Built(
            model=snapshot.name,
            snapshot=snapshot.id,
            physical=physical,
            intervals=step.intervals,
            rows=rows,
            seconds=time.perf_counter() - started,
            columns=tuple(columns or ()),
            audits=tuple(audits),
            repoint=step.repoint,
        )

    def later(self) -> Iterator[Event]:
        """Compute again what forward-only changes mean from their effective date on: the plan's builds after the swap,
        one after the other. As `build` for each; what is done already, by an earlier try, is `Reused`.
        """
        self._require_begun()
        if not self.plan.later:
            return
        with self._connection.session() as session:
            now = warehouse.loaded(session, [str(step.snapshot.physical) for step in self.plan.later])
        with self._lock:
            self._loaded.update(now)
            self._stopped.clear()  # the builds before the swap are through
            self._done.difference_update(step.snapshot.id for step in self.plan.later)
        for step in self.plan.later:
            yield from self.build(step)

    def _surroundings(self, session: Session) -> Surroundings:
        """What texts depend on now: until the swap, tables that it migrates are read as they will be."""
        with self._lock:
            if self._unasked:
                prepared = prepare(session, self.plan.migrations, self._around)
                self._unasked = prepared.waiting
                self._around = replace(self._around, stand_ins=prepared.stand_ins)
            return self._around

    def stop(self) -> None:
        """Running steps end after the batch they are in, others do not begin."""
        self._stopped.set()

    def audit(self, step: Audit) -> Iterator[Event]:
        """Run the audits of a table that is not built: `Audited` for each. A blocking one that finds rows gives
        `Failed`, then AuditError is raised; nothing is promoted then.
        """
        self._require_begun()
        snapshot = step.snapshot
        audits: tuple[Audited, ...] = ()
        try:
            with self._connection.session() as session:
                columns = partial(session.columns, snapshot.physical) if snapshot.physical is not None else list
                texts = Texts(snapshot, self._surroundings(session))
                audits = run_audits(session, snapshot, texts, step.interval, columns)
            refuse_failures(snapshot, audits, "its rows stay as they were")
        except Exception as error:
            yield (failed := self._failure(snapshot, error, audits))
            raise failed.error from error.__cause__
        with self._lock:
            self._audited.add(snapshot.id)
            self._failed.pop(snapshot.name, None)
        yield from audits

    def _without_waiting(self, step: Build, todo: Sequence[Interval | None]) -> tuple[Build, tuple[Waiting, ...]]:
        """The step without what signals hold back, and what that is."""
        loaded = warehouse.intervals(self._loaded.get(str(_physical_of(step)), ()))
        wanted = [one for one in todo if one is not None]
        with self._connection.session() as session:
            return self._waits.ask(session, step, wanted, loaded)

    def _todo(self, step: Build, loaded: Sequence[Loaded]) -> list[Interval | None]:
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
        again = step.snapshot.name in self.plan.restates or lookback(kind) > 0
        counting = [one for one in loaded if one.plan_id == self.plan.id] if again else loaded
        if batch is None:
            return bool(counting)
        if not is_incremental(kind) and not again:
            return any(one.end >= batch.end for one in counting)
        return not subtract([batch], warehouse.intervals(counting))

    def _begins_again(self, step: Build, before: Sequence[Loaded]) -> bool:
        """Whether the next batch is the first of a history that this plan makes again from its beginning."""
        is_again = step.snapshot.name in self.plan.restates and depends_on_past(step.snapshot.model.kind)
        return is_again and all(one.plan_id != self.plan.id for one in before)

    def _write_batch(self, session: Session, batch: Batch) -> Written | None:
        """The batch in one transaction; None when it was there already."""
        for left in reversed(range(_CONFLICT_TRIES)):
            try:
                return self._try_batch(session, batch)
            except WriteConflict:  # noqa: PERF203 (another writer was first: look again what is left to do)
                if not left:
                    raise
                time.sleep(0.02 * (_CONFLICT_TRIES - left))
        raise AssertionError("unreachable")

    def _try_batch(self, session: Session, batch: Batch) -> Written | None:
        step, interval = batch.step, batch.interval
        physical = str(batch.physical)
        batch.audits = ()
        kind = step.snapshot.model.kind
        with session.transaction(claim=physical):
            before = warehouse.loaded_of(session, physical)
            there = bool(before) and self._is_there(step, interval, before)
            written = None
            # what each batch stands on is gone when nothing counts as loaded any more
            is_void = depends_on_past(kind) and not warehouse.intervals(before)
            anew = not before or is_void or self._begins_again(step, before)
            whole = not is_incremental(kind) or anew
            if not there:
                if keeps_history(kind) and not anew:
                    _refuse_overlap(step, interval, before)
                is_first = anew or not warehouse.intervals(before)
                written = batch.write(session, is_new=anew, is_first=is_first)
                self._checkpoint("written")
                record = Loaded(
                    start=interval.start if interval is not None else 0,
                    end=interval.end if interval is not None else 0,
                    plan_id=self.plan.id,
                    rows=written.rows,
                )
                (warehouse.record_whole if whole else warehouse.record_range)(session, physical, record, before)
                self._checkpoint("recorded")
        self._checkpoint("built")
        if there:
            self._recorder.add(physical, warehouse.intervals(before), whole=whole)
        elif interval is not None:
            self._recorder.add(physical, (interval,), whole=whole)
        self._checkpoint("noted")
        return written

    def _failure(self, snapshot: Snapshot, error: Exception, audits: tuple[Audited, ...] = ()) -> Failed:
        """Note that a step failed; the event that tells it, with the error to raise."""
        failure = located(error, snapshot, self.plan.snapshots)
        with self._lock:
            self._failed[snapshot.name] = failure
        return Failed(model=snapshot.name, error=failure, audits=audits)

    def _finished(self, step: Build) -> None:
        known = self.plan.restatements.get(str(step.snapshot.physical))
        if known is not None and known.pending and step.intervals:
            self._state.settle_restatements({str(step.snapshot.physical): step.intervals})
        with self._lock:
            self._done.add(step.snapshot.id)
            self._failed.pop(step.snapshot.name, None)

    # ---- promote -----------------------------------------------------------------------------------------

    def promote(self) -> Promoted | None:
        """Make the environment show the plan's target; None when the plan only builds. Idempotent.

        Raises PlanError while a build of the plan is missing or failed, ConflictingPlanError when the environment
        moved.
        """
        self._require_begun()
        promote = self.plan.promote
        if promote is None:
            return None
        for step in self.plan.audits:
            if step.snapshot.id not in self._audited:
                deque(self.audit(step), maxlen=0)
        with self._connection.session() as session:
            self._check_built(session, promote.target)
            self._waits.refuse_loss(session, self._state.environment(self.plan.environment))
            self._recorder.flush()
            alterations = self._alterations(session)
            self._checkpoint("promoting")
            promoted = swap(
                session,
                self._state,
                Swap(
                    promote=promote,
                    plan_id=self.plan.id,
                    based_on=self.plan.based_on,
                    promoted_at=self._now(),
                    around=replace(self._around, stand_ins={}),
                    comments=self._comments,
                    alterations=alterations,
                    recomputed={
                        str(step.snapshot.physical): _begins_later(step, self.plan.wish.effective_from or 0)
                        for step in self.plan.later
                    },
                ),
                self._checkpoint,
            )
            with self._lock:
                self._around, self._unasked = replace(self._around, stand_ins={}), ()
            self._run_after_all(session)
            return promoted

    def _alterations(self, session: Session) -> tuple[Alteration, ...]:
        """The tables that get other columns with the swap; everything their definitions read is built by now."""
        if not self.plan.migrations:
            return ()
        prepared = prepare(session, self.plan.migrations, replace(self._around, stand_ins={}))
        if prepared.waiting:  # asked once more for the engine's own words
            first = self.plan.snapshots[prepared.waiting[0]]
            definition_columns(session, first, replace(self._around, stand_ins=prepared.stand_ins))
        return prepared.alterations

    def _check_built(self, session: Session, target: Target) -> None:
        """Every step is done, by this application or an earlier try, and everything to be shown is loaded."""
        with self._lock:
            failed, done = sorted(self._failed), set(self._done)
        if failed:
            raise PlanError(
                f"not promoted: {', '.join(failed)} failed", hint="mend it and apply again; what is built is kept"
            )
        physicals = {view.physical for view in target.views.values()}
        loaded = warehouse.loaded(session, physicals)
        missing = [
            step.snapshot.name
            for step in self.plan.builds
            if step.snapshot.id not in done and self._todo(step, loaded.get(str(step.snapshot.physical), ()))
        ]
        missing += sorted(
            name for name, view in target.views.items() if view.physical not in loaded and name not in missing
        )
        if missing:
            raise PlanError(f"not promoted: {', '.join(missing)} is not built", hint="build it first, or plan again")

    # ---- finish ------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Record what is left to record; a plan that only builds is closed when all of it is built. Idempotent."""
        if not self._begun:
            return
        self._recorder.flush()
        self._checkpoint("flushed")
        plan = self.plan
        if plan.promote is not None or plan.is_empty:
            return
        with self._lock:
            if any(step.snapshot.id not in self._done for step in plan.builds):
                return
        with self._connection.session() as session:
            take_back(session, self._state, plan, self._checkpoint)
            self._run_after_all(session)
        record = self._state.plan(plan.id)
        if record is None or record.status != "open":
            return
        for other in self._state.open_plans(plan.environment):
            # an earlier run that failed: it protects the same snapshots as this one, which made up for it
            if other.id == plan.id or other.target == record.target:
                self._state.close_plan(other.id, "done" if other.id == plan.id else "superseded")

    def _require_begun(self) -> None:
        if not self._begun:
            raise PlanError("the plan's application has not begun", hint="call begin() first")


def _begins_later(step: Build, effective_from: int) -> int:
    """From when on the step's table counts as not built after the swap: its first interval, or, of a table that is made
    whole, the effective date.
    """
    return step.intervals[0].start if is_incremental(step.snapshot.model.kind) else effective_from


def _refuse_overlap(step: Build, interval: Interval | None, before: Sequence[Loaded]) -> None:
    """Rows that a batch adds must not be added twice: what somebody else loaded since the plan was made is told."""
    loaded = warehouse.intervals(before)
    if interval is not None and subtract([interval], loaded) != (interval,):
        raise ConflictingPlanError(
            f"a part of {interval} was loaded since the plan was made", model=step.snapshot.name, hint="plan again"
        )


def _physical_of(step: Build) -> Relation:
    if step.snapshot.physical is None:
        raise PlanError("has no relation to build", model=step.snapshot.name)
    return step.snapshot.physical
