"""What one run works on: the project as it was compiled, one plan and one application of it, shared by all its ops.

Opened late (the first op that needs the warehouse opens it) and closed at the end of the run. Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from isomesh_dagster.definitions.asked import NOTHING_ASKED, Asked
from isomesh_dagster.errors import IsomeshError, LockedError, PlanError
from isomesh_dagster.graph.order import build_graph
from isomesh_dagster.plan.missing import due_end, missing, starts
from isomesh_dagster.plan.plan import Audit, Build, Plan
from isomesh_dagster.snapshot.interval import Interval, merge, to_ms

if TYPE_CHECKING:
    from isomesh_dagster.definitions.steps import ModelStep
    from isomesh_dagster.execution.application import Application
    from isomesh_dagster.project import Project
    from isomesh_dagster.records.log import Work
    from isomesh_dagster.snapshot.snapshot import Snapshot

T = TypeVar("T")


class RunSession:
    """The project, plan and application of a run.

    `environment` None means the project's default. `asked` is what the plan shall heed. `only_due`: the plan is what
    the clock has made due for what the environment shows, whatever the files say.
    """

    def __init__(
        self,
        manifest: Path,
        *,
        environment: str | None = None,
        asked: Asked = NOTHING_ASKED,
        only_due: bool = False,
    ) -> None:
        self._manifest = manifest
        self.named_environment = environment
        self.asked = asked
        self._only_due = only_due
        self._lock = threading.RLock()
        self._resources = ExitStack()
        self._project: Project | None = None
        self._plan: Plan | None = None
        self._refusal: IsomeshError | None = None
        self._application: Application | None = None
        self._work: Work | None = None
        self._steps: dict[str, Build] = {}
        self._audits: dict[str, Audit] = {}
        self._built: set[str] = set()
        self._recorded: dict[str, tuple[Interval, ...]] | None = None
        self._starts: dict[str, int] | None = None
        self._entered: dict[str, ModelStep] = {}

    @property
    def project(self) -> Project:
        """The project, from the manifest this run is pinned to."""
        with self._lock:
            if self._project is None:
                from isomesh_dagster.project import Project

                self._project = self._resources.enter_context(Project.from_manifest(self._manifest))
            return self._project

    @property
    def environment(self) -> str:
        """The name of the environment this run is about."""
        return self.named_environment or self.project.settings.default_target_environment

    @property
    def plan(self) -> Plan:
        """The run's plan, made once. Raises what `Project.plan` raises, to every op that asks."""
        return self._once(self._make_plan)

    def application(self) -> Application:
        """The plan's application, begun: the warehouse is open and its lock is held from here to the end of the run."""
        return self._once(self._begin)

    @property
    def work(self) -> Work:
        """What log records of this run say of it."""
        return self._once(self._tell_work)

    def build_of(self, model: str) -> Build | None:
        """The work the plan has for the model; None when its snapshot is built already."""
        self._once(self._make_plan)
        return self._steps.get(model)

    def audit_of(self, model: str) -> Audit | None:
        """The audits the plan runs over the model's table, which it does not build; None when there are none."""
        self._once(self._make_plan)
        return self._audits.get(model)

    def shown_version(self, model: str) -> str | None:
        """The version of the model that the environment shows; None when it shows none."""
        shown = self.project.environment(self.environment)
        its_id = shown.target.snapshots.get(model) if shown is not None else None
        return its_id.version if its_id is not None else None

    def enter(self, op: str, step: ModelStep) -> None:
        """Note what the step of a model does, for its function to ask for."""
        with self._lock:
            self._entered[op] = step

    def step(self, op: str) -> ModelStep:
        """What the op does. Raises PlanError for one that is no model's."""
        with self._lock:
            found = self._entered.get(op)
        if found is None:
            raise PlanError(
                f"{op} is no model of this project",
                hint="`isomesh.build(context)` belongs into a function under @isomesh_assets",
            )
        return found

    def recorded(self, snapshot: Snapshot) -> tuple[Interval, ...]:
        """The intervals of the snapshot that were built before this run."""
        with self._lock:
            if self._recorded is None:
                physicals = [str(one.physical) for one in self.plan.snapshots.values() if one.physical is not None]
                self._recorded = self.project.state().intervals(physicals)
            return self._recorded.get(str(snapshot.physical), ())

    def missing(self, snapshot: Snapshot, built: Sequence[Interval] = ()) -> tuple[Interval, ...]:
        """What is due of the snapshot and not there, when this run has `built` these."""
        now = to_ms(self.plan.execution_time)
        with self._lock:
            if self._starts is None:
                self._starts = starts(build_graph({name: one.model for name, one in self.plan.snapshots.items()}), now)
        done = merge((*self.recorded(snapshot), *built))
        return missing(snapshot.model, done, start=self._starts[snapshot.name], end=due_end(snapshot.model, now))

    def snapshot(self, model: str) -> Snapshot:
        """The snapshot that the run's plan has for the model. Raises PlanError when it has none."""
        found = self.plan.snapshots.get(model)
        if found is None:
            raise PlanError(
                f"{self.environment!r} does not show it, and this run only loads what is shown",
                model=model,
                hint="launch the job apply",
            )
        return found

    def built(self, model: str) -> None:
        """Note that this run has built the model."""
        with self._lock:
            self._built.add(model)

    def check_parents(self, model: str) -> None:
        """Raises PlanError when something the model reads is neither built nor was built by this run."""
        graph = self.project.graph
        todo = list(graph.parents[model])
        above = set(todo)
        with self._lock:
            while todo:
                name = todo.pop()
                if name in self._built:  # what it reads was built before it
                    continue
                new = set(graph.parents[name]) - above
                above |= new
                todo += new
            above.update(graph.models[model].audit_reads)
            missing = sorted(name for name in above if name in self._steps and name not in self._built)
        if missing:
            raise PlanError(
                f"reads what is not built yet: {', '.join(missing)}",
                model=model,
                hint="select these models too, or materialize everything upstream",
            )

    def interrupt(self) -> None:
        """End the statements at work; their batches fail and roll back. Waits for nobody."""
        application = self._application
        if application is not None:
            application.interrupt()

    def close(self) -> None:
        """Record what is left to record and let go of the warehouse. Idempotent."""
        with self._lock:
            self._application = self._project = self._plan = None
            self._resources.close()

    def _make_plan(self) -> Plan:
        if self._plan is None:
            now = datetime.now(timezone.utc)
            if self._only_due:
                self.asked.nothing("a run of what is due builds just that")
                self._plan = self.project.run_plan(self.environment, now=now)
            else:
                self._plan = self.project.plan(self.environment, now=now, wish=self.asked.wish(to_ms(now)))
            self._steps = {step.snapshot.name: step for step in self._plan.builds}
            self._audits = {step.snapshot.name: step for step in self._plan.audits}
        return self._plan

    def _tell_work(self) -> Work:
        if self._work is None:
            self._work = self.project.work(self._make_plan())
        return self._work

    def _begin(self) -> Application:
        if self._application is None:
            application = self._resources.enter_context(self.project.application(self._make_plan()))
            application.begin()
            self._application = application
        return self._application

    def _once(self, make: Callable[[], T]) -> T:
        """`make` under the lock; a refusal is remembered, so that a thousand ops do not plan a thousand times."""
        with self._lock:
            if self._refusal is not None:
                raise self._refusal
            try:
                return make()
            except LockedError:
                raise  # the one refusal that time mends: a step's next try asks again
            except IsomeshError as error:
                self._refusal = error
                raise
