"""The jobs `deploy` and `preview`: one commit of the repository to one environment, whatever the files say meanwhile.

A run names its commit in its configuration, so it works on that commit in every process. What is built for `prod` is
told of the models' assets; a preview is told of its environment only, because an asset stands for what `prod` shows.
"""

# no postponed annotations: Dagster reads those of ops when it makes them
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.events import failures, promoted_metadata, reused_result
from isomesh_dagster.definitions.ops import log_environment, make_op, op_job, tell_audits, tell_built
from isomesh_dagster.definitions.provenance import version_tags
from isomesh_dagster.definitions.resource import SystemResource
from isomesh_dagster.definitions.translator import IsomeshTranslator, is_built
from isomesh_dagster.delivery import Delivery, Report
from isomesh_dagster.errors import LockedError, RemoteError, WriteConflict
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Built, Event, Failed, Promoted, Skipped

DEPLOY, PREVIEW = "deploy", "preview"
DEPLOY_OP, PREVIEW_OP = "deploy_commit", "preview_commit"

_PASSING = (LockedError, WriteConflict, RemoteError)


class DeployConfig(dg.Config):
    """Which commit `prod` shall show."""

    commit: str | None = Field(
        default=None, description="A commit of the deploy branch, all characters; by default its newest."
    )
    approve: str | None = Field(
        default=None, description="The id of the plan that waits for an approval: apply that one, or nothing."
    )


class PreviewConfig(dg.Config):
    """Which ref's environment shall show which commit."""

    ref: str = Field(description="A branch, or the full name of a ref, that git.previews has a pattern for.")
    commit: str | None = Field(default=None, description="Its newest commit; an older one is skipped.")


def build_git_jobs(project: Project, manifest: Path, translator: IsomeshTranslator) -> list[dg.JobDefinition]:
    """The two jobs; none when no repository drives the gateway. `project` is what is compiled into `manifest`."""
    if project.settings.git is None:
        return []
    key = translator.get_environment_key(project)
    tags, resource = {keys.GATEWAY_TAG: project.gateway}, SystemResource.serving(manifest)
    return [
        op_job(DEPLOY, _deploy_op(project.root, project.gateway, key, translator), tags, resource),
        op_job(PREVIEW, _preview_op(project.root, project.gateway, key), tags, resource),
    ]


def _deploy_op(root: Path, gateway: str, key: dg.AssetKey, translator: IsomeshTranslator) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext, config: DeployConfig) -> Iterator[Any]:
        teller = _DeployTeller(context, key, translator)
        with failures(_PASSING), Delivery(root, gateway=gateway) as delivery:
            report = delivery.deploy(config.commit, approve=config.approve, on_event=teller)
            metadata = _metadata(delivery, report)
        yield from _ended(report, metadata)

    return make_op(
        DEPLOY_OP,
        compute,
        "Let prod show a commit of the deploy branch: test, check, build what is missing, audit, swap all views.",
    )


def _preview_op(root: Path, gateway: str, key: dg.AssetKey) -> dg.OpDefinition:
    def compute(context: dg.OpExecutionContext, config: PreviewConfig) -> Iterator[Any]:
        def tell(_project: Project, _plan: Plan, event: Event) -> None:
            _tell(context, key, event)

        with failures(_PASSING), Delivery(root, gateway=gateway) as delivery:
            report = delivery.preview(config.ref, config.commit, on_event=tell)
            metadata = _metadata(delivery, report)
        yield from _ended(report, metadata)

    return make_op(PREVIEW_OP, compute, "Let the environment of a branch or pull request show its newest commit.")


class _DeployTeller:
    """Tells Dagster what a deploy does to the models' assets, as it happens."""

    def __init__(self, context: dg.OpExecutionContext, key: dg.AssetKey, translator: IsomeshTranslator) -> None:
        self._context = context
        self._key = key
        self._translator = translator
        self._plans: set[str] = set()

    def __call__(self, project: Project, plan: Plan, event: Event) -> None:
        if plan.id not in self._plans:
            self._plans.add(plan.id)
            self._tell_reused(plan, project)
        match event:
            case Built():
                tell_built(self._context, event, plan, project, self._translator)
            case Failed():
                tell_audits(self._context, plan.snapshots[event.model], event.audits, self._translator)
                _tell(self._context, self._key, event)
            case _:
                _tell(self._context, self._key, event)

    def _tell_reused(self, plan: Plan, project: Project) -> None:
        reused = set(plan.reuses)
        for snapshot in plan.snapshots.values():
            if snapshot.id in reused and is_built(snapshot.model):
                key = self._translator.get_asset_key(snapshot.name)
                result = reused_result(plan, snapshot, key, self._translator.lineage_of_events(snapshot.model, project))
                tags = version_tags(self._context.instance, snapshot, plan.snapshots, self._translator)
                self._context.log_event(dg.AssetMaterialization(asset_key=key, metadata=result.metadata, tags=tags))


def _tell(context: dg.OpExecutionContext, key: dg.AssetKey, event: Event) -> None:
    """What every delivery tells: a failure, a swap."""
    match event:
        case Failed():
            context.log.error(str(event.error))
        case Skipped():
            context.log.warning(f"{event.model} is skipped: {event.because} failed")
        case Promoted():
            metadata = {**promoted_metadata(event), keys.REUSED: False}
            log_environment(context, key, event.environment, metadata, event.plan_id)


def _metadata(delivery: Delivery, report: Report) -> dict[str, Any]:
    return {
        keys.REPORT: dg.MetadataValue.md(delivery.markdown(report)),
        keys.OUTCOME: report.outcome,
        keys.COMMIT: report.commit.id,
        keys.REF: report.ref,
        keys.ENVIRONMENT: report.environment,
        keys.VIEWS_ONLY: report.views_only,
        **({keys.PLAN_ID: report.plan.id} if report.plan is not None else {}),
    }


def _ended(report: Report, metadata: Mapping[str, Any]) -> Iterator[Any]:
    if not report.is_good:
        raise dg.Failure(description=report.told, metadata=dict(metadata), allow_retries=False)
    yield dg.Output(None, metadata=dict(metadata))
