"""What the ops of all jobs share: how they are made, how they apply a plan and tell Dagster of it."""

# no postponed annotations: Dagster reads those of ops and assets when it makes them
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.checks import CheckResults, evaluation
from isomesh_dagster.definitions.events import (
    built_result,
    promoted_metadata,
    waiting_metadata,
)
from isomesh_dagster.definitions.history import history_markdown
from isomesh_dagster.definitions.provenance import version_tags
from isomesh_dagster.definitions.resource import SystemResource, register_environments
from isomesh_dagster.definitions.session import RunSession
from isomesh_dagster.definitions.translator import IsomeshTranslator, check_names
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Audited, Built, Failed, Promoted, Skipped, Waiting
from isomesh_dagster.snapshot.snapshot import Snapshot


def op_job(name: str, op: dg.OpDefinition, tags: dict[str, str], resource: type[SystemResource]) -> dg.JobDefinition:
    """A job of one op, in the run's own process. `resource` serves the project, and has what the job heeds."""
    graph = dg.GraphDefinition(name=name, node_defs=[op], description=op.description)
    # one op: nothing to run at once, and the process that has the warehouse open is the run's own
    resources = {keys.RESOURCE: resource.configure_at_launch()}
    return graph.to_job(name=name, tags=tags, resource_defs=resources, executor_def=dg.in_process_executor)


def make_op(name: str, compute: Callable[..., Iterator[Any]], description: str) -> dg.OpDefinition:
    """An op that takes the resource `isomesh`, gives nothing on, and tells what it did in metadata."""
    return dg.op(name=name, out=dg.Out(dg.Nothing), required_resource_keys={keys.RESOURCE}, description=description)(
        compute
    )


def session_of(context: dg.OpExecutionContext) -> RunSession:
    """What the run works on."""
    session: RunSession = context.resources.isomesh.session
    return session


def apply_in_op(
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
    result = built_result(event, plan, snapshot, key, translator.lineage_of_events(snapshot.model, project))
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


def log_environment(
    context: dg.OpExecutionContext, key: dg.AssetKey, environment: str, metadata: Any, version: str
) -> None:
    """Tell what an environment shows now, and offer it as a partition."""
    register_environments(context.instance, [environment])
    history = history_markdown(context.instance, session_of(context).project, key, environment, run=context.run)
    metadata = {keys.HISTORY: history, **metadata}
    if commit := context.run.tags.get(keys.COMMIT_TAG):
        metadata[keys.COMMIT] = commit
    context.log_event(
        dg.AssetMaterialization(
            asset_key=key, partition=environment, metadata=metadata, tags={"dagster/data_version": version}
        )
    )
