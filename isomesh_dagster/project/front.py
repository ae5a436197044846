"""The door itself: everything a person, the command line or Dagster asks of a project, one method each.

What only needs the files is in `files`, what only reads is in `questions`; here is what is decided and done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from isomesh_dagster.errors import PlanError
from isomesh_dagster.model.names import validate_environment
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.wish import EVERYTHING_DUE, NOTHING, RunWish, Wish
from isomesh_dagster.project import clock, planning
from isomesh_dagster.project.questions import ProjectQuestions
from isomesh_dagster.snapshot.environment import PROD

if TYPE_CHECKING:
    from isomesh_dagster.execution.application import Application
    from isomesh_dagster.plan.cadence import Cadence
    from isomesh_dagster.plan.saved import SavedPlan
    from isomesh_dagster.project.intervals import MissingIntervals
    from isomesh_dagster.records.events import Event, Promoted
    from isomesh_dagster.records.log import Work
    from isomesh_dagster.state.protocol import PlanRecord


class Project(ProjectQuestions):
    """One project under one gateway. A context manager; `close()` lets go of state and warehouse. Safe to use from
    threads.
    """

    # -- deciding

    def plan(
        self,
        environment: str | None = None,
        *,
        now: datetime | None = None,
        wish: Wish = NOTHING,
    ) -> Plan:
        """What must be done so that `environment` shows the files; changes nothing.

        `now` (aware) stands for the clock. `wish` is all else that can be asked, such as a range of time, categories or
        a restatement. Raises PlanError and its kin; an interrupted apply is reconciled first.
        """
        return planning.plan_files(self, environment, now=now, wish=wish)

    def plan_again(self, saved: SavedPlan) -> Plan:
        """The plan that was saved, made anew from the files and the state.

        Raises ConflictingPlanError, saying why, when that is no longer what was agreed to.
        """
        return planning.plan_saved(self, saved)

    def keep_plan(self, plan: Plan) -> Path:
        """Keep the plan in the gateway's folder, for `saved_plan` to find by its id; the path of its document."""
        from isomesh_dagster.project import kept

        return kept.keep(self, plan)

    def saved_plan(self, wanted: str) -> SavedPlan:
        """The plan that was kept, or was begun, and whose id begins so. Raises PlanError for none or several."""
        from isomesh_dagster.project import kept

        return kept.find(self, wanted)

    def plans(self, environment: str | None = None) -> list[PlanRecord]:
        """The plans that were applied or begun, newest first; their documents are read by `plan.saved`."""
        return self.system.checked().plans(None if environment is None else validate_environment(environment))

    def run_plan(
        self, environment: str | None = None, *, now: datetime | None = None, wish: RunWish = EVERYTHING_DUE
    ) -> Plan:
        """What the clock has made due in `environment`, from the state alone; of that, what is wished.

        The files are not looked at and nothing is promoted. Raises PlanError when there is no such environment.
        """
        return planning.plan_clock(self, environment, now=now, wish=wish)

    def cadence(self, environment: str | None = None, *, now: datetime | None = None) -> Cadence:
        """What the clock has made due in `environment`, by model, and when it will next make something due.

        Reads the state once and nothing else: no file, no warehouse, no SQL; so a sensor may ask every few seconds. A
        `run` made now builds what is told. Raises PlanError when there is no such environment.
        """
        return planning.cadence_of(self, environment, now=now)

    def check_intervals(
        self,
        environment: str | None = None,
        *,
        models: Collection[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        signals: bool = True,
        now: datetime | None = None,
    ) -> Iterator[MissingIntervals]:
        """What the models of an environment lack at their crons, parents first, and what of it waits for signals.

        `models`, `start` and `end` limit what is told; without `signals` none is asked. Builds nothing.
        """
        from isomesh_dagster.project.intervals import missing_intervals

        span = clock.span(start, end)
        yield from missing_intervals(self, environment, models=models, within=span, signals=signals, now=now)

    # -- doing

    def apply(self, plan: Plan) -> Iterator[Event]:
        """Build what is missing, audit, then promote everything at once; yields what happened as it happens.

        After the last event raises AuditError, EngineError or PlanError when something failed; the environment is then
        untouched and the same command resumes. Idempotent: what is built is never built twice.
        """
        from isomesh_dagster.execution.schedule import run_plan_steps
        from isomesh_dagster.records.log import logged

        with self.application(plan) as application:
            events = run_plan_steps(application, concurrency=self.settings.connection.concurrent_tasks)
            yield from logged(events, self.work(plan))

    def work(self, plan: Plan) -> Work:
        """What log records say of the plan. The commit is that of a checkout; the folder's own is asked for only when
        somebody collects records, and not of a manifest: the folder may have moved on since it was compiled.
        """
        from isomesh_dagster.git.head import head
        from isomesh_dagster.records.log import Work, is_wanted

        if self.source is not None:
            commit: str | None = self.source.commit
        else:
            commit = head(self.root) if is_wanted() and not self.is_pinned else None
        return Work(gateway=plan.gateway, environment=plan.environment, plan=plan.id, commit=commit)

    @contextmanager
    def application(self, plan: Plan) -> Iterator[Application]:
        """The plan's steps one by one, for schedulers of their own such as Dagster."""
        from isomesh_dagster.execution.application import Application
        from isomesh_dagster.execution.statements import StatementSettings

        if plan.gateway != self.gateway:
            raise PlanError(f"plan {plan.id} is for gateway {plan.gateway!r}, this is {self.gateway!r}")
        application = Application(
            plan,
            connection=self.connection(),
            state=self.state(),
            identity=self.identity(),
            root=self.settings.files,
            default_catalog=self.settings.default_catalog,
            macros=self.macros,
            statements=StatementSettings(
                dialect=self.settings.dialect, variables=self.settings.variables, fill=self.settings.filled
            ),
            comments=self.settings.connection.register_comments,
            tasks=self.settings.concurrent_tasks,
        )
        try:
            yield application
        finally:
            application.finish()

    def rollback(self, environment: str | None = None, *, to: int | None = None) -> Promoted:
        """Show an earlier promotion again: number `to`, by default the one before the newest. Views swap, nothing is
        built.
        """
        from isomesh_dagster.execution.promote import rollback

        name = self.system.environment_name(environment)
        self.system.checked()
        self.system.reconcile(name)
        return rollback(
            self.state(),
            self.connection(),
            name,
            identity=self.identity(),
            now=clock.now(),
            to=to,
            default_catalog=self.settings.default_catalog,
            macros=self.macros,
            comments=self.settings.connection.register_comments,
        )

    def invalidate(self, environment: str) -> None:
        """End an environment now; the janitor removes it. `prod` is refused."""
        name = validate_environment(environment)
        if name == PROD:
            raise PlanError("prod cannot be invalidated", hint="to show something else there, plan or roll back")
        if not self.system.checked().expire(name, clock.now()):
            self.system.check_new(name)
            raise PlanError(
                f"there is no environment {name!r} in gateway {self.gateway!r}",
                hint="`isomesh environments` lists them",
            )

    def janitor(
        self,
        *,
        now: datetime | None = None,
        ignore_ttl: bool = False,
        dry_run: bool = False,
        environment: str | None = None,
    ) -> Iterator[Event]:
        """Remove expired environments and tables nobody needs; yields what went and what had to stay. `environment`:
        nothing but the views of this one, if it ended. Safe to interrupt.
        """
        from isomesh_dagster.upkeep.janitor import janitor

        state = self.system.checked()
        yield from janitor(
            self.connection(),
            state,
            identity=self.identity(),
            now=clock.now() if now is None else now,
            snapshot_ttl=self.settings.snapshot_ttl,
            ignore_ttl=ignore_ttl,
            dry_run=dry_run,
            only=None if environment is None else self.system.existing(environment).name,
        )
