"""The resource `isomesh`: what a run is launched with, in one place of the launchpad."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import dagster as dg
from pydantic import Field, PrivateAttr

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.alive import marked, runs_folder
from isomesh_dagster.definitions.asked import Asked
from isomesh_dagster.definitions.executor import WHOLE_RUNS
from isomesh_dagster.definitions.session import RunSession
from isomesh_dagster.errors import InvalidName, PlanError
from isomesh_dagster.model.names import validate_environment

if TYPE_CHECKING:
    from isomesh_dagster.definitions.project import IsomeshProject
    from isomesh_dagster.project import Project

R = TypeVar("R", bound="SystemResource")


class SystemResource(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The gateway's system, for jobs that have no more to be told.

    What people choose is in the classes below, each with what its jobs heed: their launchpads offer and take just that.
    """

    # the project this class serves: set by `serving`, never by run configuration, which anybody may write
    manifest: ClassVar[Path | None] = None

    _session: RunSession | None = PrivateAttr(default=None)
    _marks: ExitStack = PrivateAttr(default_factory=ExitStack)

    @classmethod
    def serving(cls: type[R], manifest: Path) -> type[R]:
        """The resource class for the project compiled into `manifest`, to be configured as any other."""
        return type(cls.__name__, (cls,), {"manifest": manifest, "__doc__": cls.__doc__, "__module__": cls.__module__})

    @property
    def session(self) -> RunSession:
        """The run's project, plan and application."""
        if self._session is None:
            raise PlanError("the resource is used outside of a run", hint="use isomesh_dagster.Project there")
        return self._session

    @property
    def project(self) -> Project:
        """The project of the run; `project.connection()` is its gateway's warehouse, open in this process already."""
        return self.session.project

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Called by Dagster once per process of a run. Opens nothing."""
        if self.manifest is None:
            raise PlanError(
                "the resource serves no project", hint="use build_definitions(), or IsomeshResource.serving()"
            )
        said = {name: getattr(self, name) for name in type(self).model_fields}
        environment = said.pop("environment", None) or None
        tags = context.run.tags if context.run is not None else {}
        partition = tags.get(keys.PARTITION_TAG)
        # partitions of other assets (days, regions) are none of our business
        if (
            partition is not None
            and context.instance is not None
            and context.instance.has_dynamic_partition(keys.ENVIRONMENTS, partition)
        ):
            if environment not in (None, partition):
                raise PlanError(
                    f"the partition says environment {partition!r}, the run configuration says {environment!r}",
                    hint="leave `environment` out of the configuration; the partition says it all",
                )
            environment = partition
        self._session = RunSession(
            self.manifest,
            environment=environment,
            asked=Asked(**said),
            only_due=tags.get(keys.DUE_TAG) == "true",
        )
        if context.run is not None:
            run_id = context.run.run_id
            self._marks.enter_context(marked(runs_folder(self.manifest), run_id, is_whole=run_id in WHOLE_RUNS))
            WHOLE_RUNS.get(run_id, []).append(self._session.interrupt)
        if context.instance is not None:
            register_environments(context.instance, [self._session.environment])

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Called by Dagster at the end of the run."""
        if self._session is not None:
            self._session.close()
            self._session = None
        self._marks.close()


class EnvironmentResource(SystemResource):
    """Which environment to work on. The gateway is the deployment's and not a choice here.

    A run of a partition of the environment asset is about that environment; naming another one here is refused.
    """

    environment: str | None = Field(
        default="",  # not None: the launchpad offers what has a default, and this is what people change
        description="The environment to plan for, where the run has no partition of the environment asset to say it;"
        " by default the project's default_target_environment.",
    )


class RangeResource(EnvironmentResource):
    """Which environment to work on, and the range of time to build."""

    start: str | None = Field(
        default=None, description="Build from this day (2013-01-01, '1 week ago'); by default from each model's start."
    )
    end: str | None = Field(
        default=None, description="Build to this day, inclusive; by default to the last complete interval."
    )


class IsomeshResource(RangeResource):
    """What to work on: the environment, the range to build, and what the plan shall heed."""

    forward_only: bool = Field(
        default=False, description="Every change keeps its table and the rows in it, where the kind of model can."
    )
    effective_from: str | None = Field(
        default=None, description="From this day on compute what forward-only changes mean again."
    )
    categorize: dict[str, str] = Field(
        default={}, description="Categories by model, where you know better: breaking, non-breaking, forward-only."
    )
    skip_backfill: bool = Field(
        default=False, description="Build no rows: show new tables empty, for the next plan or run to fill."
    )
    empty_backfill: bool = Field(
        default=False, description="Build no rows: show new tables empty, and count what they lack as built."
    )
    no_gaps: bool = Field(
        default=False, description="Refuse when a new table would hold fewer intervals than the one it replaces."
    )
    create_from: str | None = Field(
        default=None, description="Compare a new environment with this one; by default with prod."
    )
    min_intervals: int = Field(
        default=0, ge=0, description="With start: build at least so many of the latest intervals of each model."
    )
    run: bool = Field(default=False, description="Also build what the clock has made due.")
    ignore_cron: bool = Field(
        default=False, description="With run: up to now, in whole intervals, whatever the models' crons say."
    )

    @classmethod
    def of(cls, project: IsomeshProject) -> dg.ResourceDefinition | Any:
        """The resource of a project: `Definitions(resources={"isomesh": IsomeshResource.of(project)}, ...)`."""
        return cls.serving(project.manifest).configure_at_launch()

    def build(self, context: dg.AssetExecutionContext) -> Iterator[Any]:
        """Build the model of this step, or say that it is built: results of its checks, then its materialization.

        For functions under `@isomesh_assets`.
        """
        yield from self.session.step(context.op_execution_context.op_def.name).run(context, self.session)


def register_environments(instance: dg.DagsterInstance, names: Collection[str]) -> None:
    """Offer the environments in Dagster's partition dialogs; names that break the rule for them do not enter."""
    missing = set(names).difference(instance.get_dynamic_partitions(keys.ENVIRONMENTS))
    if allowed := allowed_names(missing):
        instance.add_dynamic_partitions(keys.ENVIRONMENTS, allowed)


def allowed_names(names: Collection[str]) -> list[str]:
    """Those that are names of environments, sorted."""
    return sorted(name for name in names if _is_allowed(name))


def _is_allowed(name: str) -> bool:
    try:
        validate_environment(name)
    except InvalidName:
        return False
    return True
