"""What one run works on: the project as it was compiled, one plan, one application of it; shared by all ops of the process.

Opened late (the first op that needs the warehouse opens it) and closed at the end of the run. Thread-safe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from isomesh_dagster.errors import IsomeshError, PlanError
from isomesh_dagster.plan.plan import Build, Plan

if TYPE_CHECKING:
    from isomesh_dagster.execution.application import Application
    from isomesh_dagster.project import Project

T = TypeVar("T")


class RunSession:
    """The project, plan and application of a run.

    `environment` None means the project's default; `start` and `end` bound what is built, as in `Project.plan`.
    """

    def __init__(
        self, manifest: Path, *, environment: str | None = None, start: str | None = None, end: str | None = None
    ) -> None:
        self._manifest = manifest
        self._environment = environment
        self._start = start
        self._end = end
        self._lock = threading.RLock()
        self._resources = ExitStack()
        self._project: Project | None = None
        self._plan: Plan | None = None
        self._refusal: IsomeshError | None = None
        self._application: Application | None = None
        self._built: set[str] = set()

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
        return self._environment or self.project.settings.default_target_environment

    @property
    def plan(self) -> Plan:
        """The run's plan, made once. Raises what `Project.plan` raises, to every op that asks."""
        return self._once(self._make_plan)

    def application(self) -> Application:
        """The plan's application, begun: the warehouse is open and its lock is held from here to the end of the run."""
        return self._once(self._begin)

    def build_of(self, model: str) -> Build | None:
        """The work the plan has for the model; None when its snapshot is built already."""
        for build in self.plan.builds:
            if build.snapshot.name == model:
                return build
        return None

    def built(self, model: str) -> None:
        """Note that this run has built the model."""
        with self._lock:
            self._built.add(model)

    def check_parents(self, model: str) -> None:
        """Raises PlanError when something the model reads is neither built nor was built by this run."""
        waiting = {build.snapshot.name for build in self.plan.builds}
        with self._lock:
            waiting -= self._built
        missing = sorted(waiting & self.project.graph.ancestors([model]))
        if missing:
            raise PlanError(
                f"reads what is not built yet: {', '.join(missing)}",
                model=model,
                hint="select these models too, or materialize everything upstream",
            )

    def close(self) -> None:
        """Record what is left to record and let go of the warehouse. Idempotent."""
        with self._lock:
            application, self._application = self._application, None
            try:
                if application is not None:
                    application.finish()
            finally:
                self._resources.close()
                self._project = self._plan = None

    def _make_plan(self) -> Plan:
        if self._plan is None:
            self._plan = self.project.plan(self.environment, start=self._start, end=self._end)
        return self._plan

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
            except IsomeshError as error:
                self._refusal = error
                raise
