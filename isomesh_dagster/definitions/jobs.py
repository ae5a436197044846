"""The jobs: apply and build over assets; plan, promote, rollback, run, invalidate and janitor as single ops.

Every job takes what it works on from the resource `isomesh`. What an op did is in its output's metadata, and, where it
changed an environment, on that environment's partition.
"""

# no postponed annotations: Dagster reads those of ops and assets when it makes them
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from typing import Any

import dagster as dg
from pydantic import Field

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.assets import promote as promote_environment
from isomesh_dagster.definitions.cadence import build_due_job
from isomesh_dagster.definitions.checks import CheckResults, evaluation
from isomesh_dagster.definitions.events import (
    built_result,
    dropped_metadata,
    failures,
    plan_metadata,
    promoted_metadata,
    waiting_metadata,
)
from isomesh_dagster.definitions.history import history_markdown
from isomesh_dagster.definitions.provenance import version_tags
from isomesh_dagster.definitions.resource import register_environments
from isomesh_dagster.definitions.session import RunSession
from isomesh_dagster.definitions.sync import sync
from isomesh_dagster.definitions.translator import IsomeshTranslator, check_names, is_built
from isomesh_dagster.errors import PlanError
from isomesh_dagster.execution.events import Audited, Built, Dropped, Failed, Promoted, Skipped, Waiting
from isomesh_dagster.plan.explain import summary
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.wish import RunWish, Wish
from isomesh_dagster.project import Project
from isomesh_dagster.snapshot.interval import to_ms
from isomesh_dagster.snapshot.snapshot import Snapshot

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


def build_jobs(project: Project, translator: IsomeshTranslator, executor: dg.ExecutorDefinition) -> list[AnyJob]:
    """All jobs of a project, tagged with its gateway so that a queue can keep two runs off one warehouse."""
    models = [translator.get_asset_key(name) for name in project.graph.order if is_built(project.models[name])]
    environment = translator.get_environment_key(project)
    tags = {keys.GATEWAY_TAG: project.gateway}
    return [
        dg.define_asset_job(
            "apply",
            dg.AssetSelection.assets(*models, environment),
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
        *(
            op_job(name, op, tags)
            for name, op in (
                ("plan", _plan_op(environment)),
                ("promote", _promote_op(environment)),
                ("rollback", _rollback_op(environment)),
                ("run", _run_op(environment, translator)),
                ("restate", _restate_op(environment, translator)),
                ("invalidate", _invalidate_op()),
                ("sync", _sync_op(environment, translator)),
                ("janitor", _janitor_op()),
            )
        ),
    ]


def op_job(name: str, op: dg.OpDefinition, tags: dict[str, str]) -> dg.JobDefinition:
    """A job of one op, in the run's own process."""
    graph = dg.GraphDefinition(name=name, node_defs=[op], description=op.description)
    # one op: nothing to run at once, and the process that has the warehouse open is the run's own
    return graph.to_job(name=name, tags=tags, executor_def=dg.in_process_executor)


def _op(name: str, compute: Callable[..., Iterator[Any]], description: str) -> dg.OpDefinition:
    return dg.op(name=name, out=dg.Out(dg.Nothing), required_resource_keys={keys.RESOURCE}, description=description)(
        compute
    )


def _session(context: dg.OpExecutionContext) -> RunSession:
    session: RunSession = context.resources.isomesh.session
    return session


def _plan_op(key: dg.AssetKey) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext) -> Iterator[Any]:
        session = _session(context)
        with failures():
            plan = session.plan
            register_environments(context.instance, [env.name for env in session.project.environments()])
        metadata = plan_metadata(plan)
        context.log_event(
            dg.AssetObservation(asset_key=key, partition=plan.environment, description=summary(plan), metadata=metadata)
        )
        yield dg.Output(None, metadata=metadata)

    return _op("make_plan", compute, "Say what an apply would build, reuse and show, as Markdown; changes nothing.")


def _promote_op(key: dg.AssetKey) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext) -> Iterator[Any]:
        with failures():
            plan, metadata, version = promote_environment(_session(context))
        yield from _tell_environment(context, key, plan.environment, metadata, version)

    return _op("swap_views", compute, "Let the environment show what is built; refused while something is missing.")


def _rollback_op(key: dg.AssetKey) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext, config: RollbackConfig) -> Iterator[Any]:
        session = _session(context)
        with failures():
            promoted = session.project.rollback(session.environment, to=config.to)
        metadata = {**promoted_metadata(promoted), "isomesh/rolled_back": True}
        yield from _tell_environment(context, key, promoted.environment, metadata, promoted.plan_id)

    return _op(
        "swap_views_back", compute, "Point the environment's views back at an earlier promotion; builds nothing."
    )


def _run_op(key: dg.AssetKey, translator: IsomeshTranslator) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext, config: RunConfig) -> Iterator[Any]:
        session, now = _session(context), datetime.now(timezone.utc)
        with failures():
            wish = RunWish(
                within=session.span(to_ms(now)),
                select=tuple(config.models),
                auto_upstream=config.auto_upstream,
                ignore_cron=config.ignore_cron,
            )
            plan = session.project.run_plan(session.environment, now=now, wish=wish)
            _apply(context, plan, session.project, key, translator)
        yield dg.Output(None, metadata=plan_metadata(plan))

    return _op(
        "load_what_is_due",
        compute,
        "Load the intervals that are due by the models' crons, for the snapshots the environment shows now,"
        " whatever the files say.",
    )


def _restate_op(key: dg.AssetKey, translator: IsomeshTranslator) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext, config: RestateConfig) -> Iterator[Any]:
        session, now = _session(context), datetime.now(timezone.utc)
        with failures():
            if not config.models:
                raise PlanError("no models to restate", hint="name them in the op's configuration: models")
            wish = Wish(restate=tuple(config.models), within=session.span(to_ms(now)))
            plan = session.project.plan(session.environment, now=now, wish=wish)
            _apply(context, plan, session.project, key, translator)
        yield dg.Output(None, metadata=plan_metadata(plan))

    return _op(
        "make_rows_again",
        compute,
        "Make the rows of some models, and of all that reads them, again where the environment shows them, whatever the"
        " files say. In production, tables of other versions that stand on these rows are due again.",
    )


def _apply(
    context: dg.OpExecutionContext, plan: Plan, project: Project, key: dg.AssetKey, translator: IsomeshTranslator
) -> None:
    """Apply the plan within one op, telling what happens as it happens."""
    for event in project.apply(plan):
        match event:
            case Built():
                tell_built(context, event, plan, project, translator)
            case Failed():
                tell_audits(context, plan.snapshots[event.model], event.audits, translator)
                context.log.error(str(event.error))
            case Waiting():
                told = waiting_metadata((event,), plan.snapshots[event.model].model)
                waits = f"waits for {told[keys.WAITING]}"
                context.log.info(f"{event.model} {waits}")
                model_key = translator.get_asset_key(event.model)
                context.log_event(dg.AssetObservation(asset_key=model_key, description=waits, metadata=told))
            case Skipped():
                context.log.warning(f"{event.model} is skipped: {event.because} failed")
            case Promoted():
                metadata = {**promoted_metadata(event), keys.REUSED: False}
                log_environment(context, key, event.environment, metadata, event.plan_id)


def tell_built(
    context: dg.OpExecutionContext, event: Built, plan: Plan, project: Project, translator: IsomeshTranslator
) -> None:
    """Tell that a model was built: of its asset when it is the version of `project`'s files."""
    snapshot = plan.snapshots[event.model]
    key = translator.get_asset_key(event.model)
    own = project.fingerprints.get(event.model)
    if own is None or own.version != snapshot.fingerprint.version:
        # the asset stands for what the files say: rows of another version are seen there, and make it neither
        # synced nor unsynced
        result = built_result(event, plan, snapshot, key, None)
        context.log_event(
            dg.AssetObservation(
                asset_key=key,
                description=f"Loaded: another version than that of the files, the one {plan.environment} shows.",
                metadata=result.metadata,
            )
        )
        return
    result = built_result(event, plan, snapshot, key, translator.get_column_lineage(snapshot.model, project))
    tags = version_tags(context.instance, snapshot, plan.snapshots, translator)
    context.log_event(dg.AssetMaterialization(asset_key=key, metadata=result.metadata, tags=tags))
    tell_audits(context, snapshot, event.audits, translator)


def tell_audits(
    context: dg.OpExecutionContext, snapshot: Snapshot, audits: Iterable[Audited], translator: IsomeshTranslator
) -> None:
    """Tell what audits of a model found, as results of its checks."""
    key = translator.get_asset_key(snapshot.name)
    found = CheckResults(snapshot.model, key, snapshot.version)
    found.add(audits)
    for result in found.results(check_names(snapshot.model)):
        # stored and shown like any other, although the signature of `log_event` does not name it
        context.log_event(evaluation(result, key))  # type: ignore[arg-type]


def _sync_op(key: dg.AssetKey, translator: IsomeshTranslator) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext) -> Iterator[Any]:
        yield from sync(context, _session(context), translator, key)

    return _op(
        "tell_what_is_true",
        compute,
        "Tell Dagster what is built and shown, whoever did it; writes nothing into the warehouse.",
    )


def _invalidate_op() -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext) -> Iterator[Any]:
        session = _session(context)
        with failures():
            session.project.invalidate(session.environment)
        yield dg.Output(None, metadata={keys.ENVIRONMENT: session.environment})

    return _op("end_environment", compute, "End the environment now; the janitor removes it. Not for production.")


def _janitor_op() -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext, config: JanitorConfig) -> Iterator[Any]:
        project = _session(context).project
        with failures():
            events = project.janitor(ignore_ttl=config.ignore_ttl, dry_run=config.dry_run)
            dropped = [event for event in events if isinstance(event, Dropped)]
        if not config.dry_run:
            for name in {event.environment for event in dropped if event.environment and not event.kept_because}:
                context.instance.delete_dynamic_partition(keys.ENVIRONMENTS, name)
        yield dg.Output(None, metadata=dropped_metadata(dropped))

    return _op("clean_up", compute, "Remove ended environments, and tables that nothing has needed for a while.")


def _tell_environment(
    context: dg.OpExecutionContext, key: dg.AssetKey, environment: str, metadata: Any, version: str
) -> Iterator[Any]:
    log_environment(context, key, environment, metadata, version)
    yield dg.Output(None, metadata=metadata)


def log_environment(
    context: dg.OpExecutionContext, key: dg.AssetKey, environment: str, metadata: Any, version: str
) -> None:
    """Tell what an environment shows now, and offer it as a partition."""
    register_environments(context.instance, [environment])
    history = history_markdown(context.instance, _session(context).project, key, environment, run=context.run)
    metadata = {keys.HISTORY: history, **metadata}
    if commit := context.run.tags.get(keys.COMMIT_TAG):
        metadata[keys.COMMIT] = commit
    context.log_event(
        dg.AssetMaterialization(
            asset_key=key, partition=environment, metadata=metadata, tags={"dagster/data_version": version}
        )
    )
