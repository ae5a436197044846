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
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from isomesh_dagster.engine.connection import Connection, Session
from isomesh_dagster.errors import ConflictingPlanError, EngineError, PlanError
from isomesh_dagster.evaluation.audit import refuse_failures, run_audits
from isomesh_dagster.evaluation.batch import physical_of
from isomesh_dagster.evaluation.failures import located
from isomesh_dagster.evaluation.rows import Columns
from isomesh_dagster.evaluation.texts import Surroundings, Texts
from isomesh_dagster.evaluation.together import Batches, Budget
from isomesh_dagster.evaluation.writing import BatchWriter
from isomesh_dagster.execution import statements
from isomesh_dagster.execution.beginning import check_base, check_catalogs, check_rights, open_intent, unchanged_target
from isomesh_dagster.execution.migrate import Alteration, definition_columns, prepare
from isomesh_dagster.execution.promote import Swap, swap
from isomesh_dagster.execution.statements import StatementSettings
from isomesh_dagster.execution.take_back import take_back
from isomesh_dagster.execution.waiting import Waits
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.model.kinds import is_incremental
from isomesh_dagster.plan.plan import Audit, Build, Plan
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.checkpoint import no_checkpoint
from isomesh_dagster.records.events import Audited, Built, Evaluated, Event, Failed, Promoted, Reused, Waiting
from isomesh_dagster.records.reconcile import adopt_loaded, reconcile_in
from isomesh_dagster.records.record import Recorder
from isomesh_dagster.records.stamp import check_stamp
from isomesh_dagster.records.warehouse import Loaded
from isomesh_dagster.snapshot.environment import Target
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Snapshot, SnapshotId
from isomesh_dagster.state.protocol import Identity, StateStore, utc_now

_NO_STATEMENTS = StatementSettings()


class Application:
    """A plan being applied to one system.

    `connection` and `state` are the gateway's and stay the caller's to close. `identity` is who applies; its uuid
    counts only for a new system. `root` is the project's folder, `macros` are its own. `now` is asked for the
    moments that are recorded. `statements` is what `before_all` and `after_all` are rendered with, `comments` says
    whether descriptions are written on views, `tasks` how many batches may be written at once. `checkpoint` is told the
    name of every point at which a crash must do no harm.
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
        tasks: int = 1,
        now: Callable[[], datetime] = utc_now,
        checkpoint: Callable[[str], None] = no_checkpoint,
    ) -> None:
        self.plan = plan
        self._connection = connection
        self._state = state
        self._identity = identity
        self._root = root
        self._now = now
        self._checkpoint = checkpoint
        self._recorder = Recorder(state)
        self._writer = BatchWriter(plan, self._recorder, checkpoint)
        self._around = Surroundings(
            files=root,
            snapshots=plan.snapshots,
            engine_dialect=connection.capabilities.dialect,
            default_catalog=default_catalog,
            execution_time=plan.execution_time,
            macros=macros,
            reads=connection.reads,
            sessions=connection.session,
        )
        self._budget = Budget(tasks)
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
                    check_rights(self.plan, session)
                check_stamp(session, self._state, self._identity)
                self._checkpoint("stamped")
                reconcile_in(session, self._state, self.plan.environment)
                self._checkpoint("reconciled")
                check_base(self.plan, self._state.environment(self.plan.environment))
                if not self.plan.is_empty:
                    check_catalogs(self.plan, session, self._around.default_catalog)
                    self._open_intent(session)
                    self._before_all(session)
            self._begun = True

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

    def _open_intent(self, session: Session) -> None:
        plan = self.plan
        open_intent(plan, self._state, self._now())
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
        self._writer.forget_plans(self._plans_done())
        self._checkpoint("begun")
        lost = [one.name for one in plan.reuses if str(plan.snapshots[one.name].physical) not in self._loaded]
        if lost:
            raise PlanError(f"built when the plan was made and gone since: {', '.join(lost)}", hint="plan again")

    def _plans_done(self) -> frozenset[str]:
        """The plans that wrote what is loaded in many pieces, and are at work no more."""
        many = (records for records in self._loaded.values() if len(records) >= warehouse.MOST_RECORDS)
        wrote = {one.plan_id for records in many for one in records} - {self.plan.id}
        return frozenset(wrote - {one.id for one in self._state.open_plans()}) if wrote else frozenset()

    def _before_all(self, session: Session) -> None:
        """Run the statements that come first; those that come last are rendered now, so that they fail now."""
        plan = self.plan
        views = (plan.promote.target if plan.promote is not None else unchanged_target(self.plan, self._state)).views
        first, self._after_all = (
            statements.rendered(session, texts, stage, plan, views, self._around, self._statements)
            for stage, texts in (("before_all", plan.before_all), ("after_all", plan.after_all))
        )
        statements.run(session, first, "before_all")
        self._checkpoint("before_all")

    def _run_after_all(self, session: Session) -> None:
        """Run the statements that come last, once."""
        last, self._after_all = self._after_all, ()
        statements.run(session, last, "after_all")

    # ---- build -------------------------------------------------------------------------------------------

    def build(self, step: Build) -> Iterator[Event]:
        """Make the rows of one step: `Evaluated` for every batch, then `Built`; `Reused` when nothing was left to do;
        `Waiting` first, for what has to wait and is left out.

        When it fails: `Failed`, then the error is raised; finished batches stay. One thread per step; parents first.
        """
        self._require_begun()
        snapshot = step.snapshot
        physical = physical_of(step)
        started = time.perf_counter()
        if self._stopped.is_set():
            raise PlanError("stopped", model=snapshot.name)
        self._check_still_shown()
        todo = self._writer.todo(step, self._loaded.get(str(physical), ()))
        waiting: tuple[Waiting, ...] = ()
        if todo and not step.hollow and self._waits.concern(step):
            try:
                step, waiting = self._without_waiting(step, todo)
            except Exception as error:
                yield (failed := self._failure(snapshot, error))
                raise failed.error from error.__cause__
            yield from waiting
            todo = self._writer.todo(step, self._loaded.get(str(physical), ()))
            if waiting and not todo:
                self._finished(step)
                return
        built = (yield from self._written(step, todo, started, waits=bool(waiting))) if todo else None
        self._finished(step)
        yield built or Reused(model=snapshot.name, snapshot=snapshot.id, physical=physical)

    def _written(
        self, step: Build, todo: Sequence[Interval | None], started: float, *, waits: bool
    ) -> Generator[Event, None, Built | None]:
        """Write the batches: `Evaluated` for each, at the end what is built; None when somebody else wrote them all
        meanwhile. `waits`: some of the step is left out. As for errors see `build`.
        """
        snapshot, physical = step.snapshot, physical_of(step)
        audits: list[Audited] = []
        rows: int | None = 0
        wrote = False
        columns: Columns | None = None
        batches = Batches(
            step,
            connection=self._connection,
            writer=self._writer,
            surroundings=self._surroundings,
            root=self._root,
            budget=self._budget,
            stopped=self._stopped,
            known=warehouse.intervals(self._loaded.get(str(physical), ())),
            is_empty=lambda interval: step.hollow or (waits and interval is None),
        )
        try:
            for done in batches.write(todo):
                wrote = True
                batch, written = done.batch, done.written
                audits += batch.audits
                columns = written.columns or columns
                rows = None if rows is None or written.rows is None else rows + written.rows
                if batch.interval is not None:
                    yield Evaluated(
                        model=snapshot.name,
                        snapshot=snapshot.id,
                        interval=batch.interval,
                        rows=written.rows,
                        seconds=done.seconds,
                        audits=batch.audits,
                    )
            if not wrote:
                return None
            if columns is None:
                with self._connection.session() as session:
                    columns = session.columns(physical)
        except Exception as error:
            yield (failed := self._failure(snapshot, error, batches.audits_of(error)))
            raise failed.error from error.__cause__
        return Built(
            model=snapshot.name,
            snapshot=snapshot.id,
            physical=physical,
            intervals=step.intervals,
            rows=rows,
            seconds=time.perf_counter() - started,
            columns=tuple(columns),
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

    def interrupt(self) -> None:
        """Stop, and do not wait for the statements that run: their batches fail and roll back."""
        self.stop()
        self._connection.interrupt()

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
        loaded = warehouse.intervals(self._loaded.get(str(physical_of(step)), ()))
        wanted = [one for one in todo if one is not None]
        with self._connection.session() as session:
            return self._waits.ask(session, step, wanted, loaded)

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
            self._recorder.settle(session)
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
            if step.snapshot.id not in done and self._writer.todo(step, loaded.get(str(step.snapshot.physical), ()))
        ]
        missing += sorted(
            name for name, view in target.views.items() if view.physical not in loaded and name not in missing
        )
        if missing:
            raise PlanError(
                f"not promoted, for lack of what is not built: {', '.join(missing)}",
                hint="build first, then promote; or apply, which does both",
            )

    # ---- finish ------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Record what is left to record; a plan that only builds is closed when all of it is built. Idempotent."""
        if not self._begun:
            return
        self._recorder.flush()
        # a warehouse that has gone is not what to tell last; while the plan is open, whoever plans next asks it again
        with suppress(EngineError), self._connection.session() as session:
            self._recorder.settle(session)
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
