"""The jobs: apply and build over assets; plan, promote, rollback, run, invalidate and janitor as single ops.

Every job takes what it works on from the resource `isomesh`, which offers each of them what it heeds. What an op did is
in its output's metadata, and, where it changed an environment, on that environment's partition.
"""

# no postponed annotations: Dagster reads those of ops and assets when it makes them
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.assets import promote as promote_environment
from isomesh_dagster.definitions.cadence import build_due_job
from isomesh_dagster.definitions.doctor import CHECK, doctor_job
from isomesh_dagster.definitions.events import (
    dropped_metadata,
    failures,
    plan_metadata,
    promoted_metadata,
)
from isomesh_dagster.definitions.ops import apply_in_op, log_environment, make_op, op_job, session_of
from isomesh_dagster.definitions.plan_jobs import apply_plan_op, compare_op, plan_op
from isomesh_dagster.definitions.resource import EnvironmentResource, IsomeshResource, RangeResource, SystemResource
from isomesh_dagster.definitions.sync import sync
from isomesh_dagster.definitions.translator import IsomeshTranslator, is_built
from isomesh_dagster.errors import PlanError
from isomesh_dagster.plan.wish import RunWish, Wish
from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Dropped
from isomesh_dagster.snapshot.interval import to_ms

AnyJob = (
    dg.JobDefinition | Any
)  # asset jobs are "unresolved" until Dagster sees all assets, and that class is not public


class RollbackConfig(dg.Config):
    """Where to go back to."""

    to: int | None = Field(default=None, description="A promotion's number; by default the one before the present one.")


class RestateConfig(dg.Config):
    """Which rows to make again."""

    models: list[str] = Field(
        description="Selections, as on the command line: core.flights, tag:x, core.*, joined by & | ^ ( ). What reads"
        " the models is restated too. The resource's start and end say which range; without them it is everything."
    )


class RunConfig(dg.Config):
    """What of all that is due to build. The resource's start and end limit the range."""

    models: list[str] = Field(default=[], description="Selections of the models to build; by default all that are due.")
    auto_upstream: bool = Field(default=True, description="Build what the selected models read, too.")
    ignore_cron: bool = Field(
        default=False, description="Build up to now, in whole intervals, whatever the models' crons say."
    )


class JanitorConfig(dg.Config):
    """How thoroughly to clean."""

    ignore_ttl: bool = Field(default=False, description="Also remove what has not been unused for long enough.")
    dry_run: bool = Field(default=False, description="Only tell what would be removed.")


def build_jobs(
    project: Project, manifest: Path, translator: IsomeshTranslator, executor: dg.ExecutorDefinition
) -> list[AnyJob]:
    """All jobs of a project, tagged with its gateway so that a queue can keep two runs off one warehouse. `project` is
    what is compiled into `manifest`.
    """
    models = [translator.get_asset_key(name) for name in project.graph.order if is_built(project.models[name])]
    environment = translator.get_environment_key(project)
    drift = dg.AssetCheckKey(environment, CHECK)
    tags = {keys.GATEWAY_TAG: project.gateway}
    return [
        dg.define_asset_job(
            "apply",
            dg.AssetSelection.assets(*models, environment) - dg.AssetSelection.checks(drift),
            description="Build what is missing, audit it, and let the environment show it, in one run."
            " A failed blocking audit leaves the environment as it was.",
            tags=tags,
            executor_def=executor,
        ),
        dg.define_asset_job(
            "build",
            dg.AssetSelection.assets(*models),
            description="Build and audit what is missing; no environment changes.",
            tags=tags,
            executor_def=executor,
        ),
        build_due_job(project, translator, executor, tags),
        doctor_job(environment, tags),
        *(
            op_job(name, op, tags, resource.serving(manifest))
            for name, op, resource in (
                ("plan", plan_op(environment), IsomeshResource),
                ("apply_plan", apply_plan_op(environment, translator), EnvironmentResource),
                ("compare", compare_op(environment), SystemResource),
                ("promote", _promote_op(environment), IsomeshResource),
                ("rollback", _rollback_op(environment), EnvironmentResource),
                ("run", _run_op(environment, translator), RangeResource),
                ("restate", _restate_op(environment, translator), RangeResource),
                ("invalidate", _invalidate_op(), EnvironmentResource),
                ("sync", _sync_op(environment, translator), EnvironmentResource),
                ("janitor", _janitor_op(), SystemResource),
            )
        ),
    ]


def _promote_op(key: dg.AssetKey) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext) -> Iterator[Any]:
        with failures():
            plan, metadata, version = promote_environment(session_of(context))
        yield from _tell_environment(context, key, plan.environment, metadata, version)

    return make_op("swap_views", compute, "Let the environment show what is built; refused while something is missing.")


def _rollback_op(key: dg.AssetKey) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext, config: RollbackConfig) -> Iterator[Any]:
        session = session_of(context)
        with failures():
            promoted = session.project.rollback(session.environment, to=config.to)
        metadata = {**promoted_metadata(promoted), "isomesh/rolled_back": True}
        yield from _tell_environment(context, key, promoted.environment, metadata, promoted.plan_id)

    return make_op(
        "swap_views_back", compute, "Point the environment's views back at an earlier promotion; builds nothing."
    )


def _run_op(key: dg.AssetKey, translator: IsomeshTranslator) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext, config: RunConfig) -> Iterator[Any]:
        session, now = session_of(context), datetime.now(timezone.utc)
        with failures():
            wish = RunWish(
                within=session.asked.span(to_ms(now)),
                select=tuple(config.models),
                auto_upstream=config.auto_upstream,
                ignore_cron=config.ignore_cron,
            )
            plan = session.project.run_plan(session.environment, now=now, wish=wish)
            apply_in_op(context, plan, session.project, key, translator)
        yield dg.Output(None, metadata=plan_metadata(plan))

    return make_op(
        "load_what_is_due",
        compute,
        "Load the intervals that are due by the models' crons, for the snapshots the environment shows now,"
        " whatever the files say.",
    )


def _restate_op(key: dg.AssetKey, translator: IsomeshTranslator) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext, config: RestateConfig) -> Iterator[Any]:
        session, now = session_of(context), datetime.now(timezone.utc)
        with failures():
            if not config.models:
                raise PlanError("no models to restate", hint="name them in the op's configuration: models")
            wish = Wish(restate=tuple(config.models), within=session.asked.span(to_ms(now)))
            plan = session.project.plan(session.environment, now=now, wish=wish)
            apply_in_op(context, plan, session.project, key, translator)
        yield dg.Output(None, metadata=plan_metadata(plan))

    return make_op(
        "make_rows_again",
        compute,
        "Make the rows of some models, and of all that reads them, again where the environment shows them, whatever the"
        " files say. In production, tables of other versions that stand on these rows are due again.",
    )


def _sync_op(key: dg.AssetKey, translator: IsomeshTranslator) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext) -> Iterator[Any]:
        yield from sync(context, session_of(context), translator, key)

    return make_op(
        "tell_what_is_true",
        compute,
        "Tell Dagster what is built and shown, whoever did it; writes nothing into the warehouse.",
    )


def _invalidate_op() -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext) -> Iterator[Any]:
        session = session_of(context)
        with failures():
            session.project.invalidate(session.environment)
        yield dg.Output(None, metadata={keys.ENVIRONMENT: session.environment})

    return make_op("end_environment", compute, "End the environment now; the janitor removes it. Not for production.")


def _janitor_op() -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext, config: JanitorConfig) -> Iterator[Any]:
        project = session_of(context).project
        with failures():
            events = project.janitor(ignore_ttl=config.ignore_ttl, dry_run=config.dry_run)
            dropped = [event for event in events if isinstance(event, Dropped)]
        if not config.dry_run:
            for name in {event.environment for event in dropped if event.environment and not event.kept_because}:
                context.instance.delete_dynamic_partition(keys.ENVIRONMENTS, name)
        yield dg.Output(None, metadata=dropped_metadata(dropped))

    return make_op("clean_up", compute, "Remove ended environments, and tables that nothing has needed for a while.")


def _tell_environment(
    context: dg.OpExecutionContext, key: dg.AssetKey, environment: str, metadata: Any, version: str
) -> Iterator[Any]:
    log_environment(context, key, environment, metadata, version)
    yield dg.Output(None, metadata=metadata)
