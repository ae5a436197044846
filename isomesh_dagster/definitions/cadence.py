"""A deployment runs by itself: a sensor asks the state what the clock has made due and launches one run of just that.

What the environment shows gets the rows that are due, whatever the files say by now; nothing is promoted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.translator import IsomeshTranslator, is_built
from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.plan.cadence import Cadence
from isomesh_dagster.project import Project

SENSOR = "run_when_due"
JOB = "run_due"
"""The job of the models that are due, a step each; only the sensor launches it."""
WHOLE_JOB = "run"
"""The job that loads all that is due in one step, for models too that the files no longer have."""

_EVERY_SECONDS = 30
_UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def build_due_job(
    project: Project, translator: IsomeshTranslator, executor: dg.ExecutorDefinition, tags: Mapping[str, str]
) -> object:
    """The job `run_due`: models as steps, planned by the clock from what the environment shows."""
    models = [translator.get_asset_key(name) for name in project.graph.order if is_built(project.models[name])]
    return dg.define_asset_job(
        JOB,
        dg.AssetSelection.assets(*models),
        description="Load what the clock made due for what the environment shows; the sensor selects the models.",
        tags={**tags, keys.DUE_TAG: "true"},
        executor_def=executor,
    )


def build_cadence_sensor(
    project: Project,
    manifest: Path,
    translator: IsomeshTranslator,
    jobs: Sequence[Any],
    *,
    environment: str,
    name: str = SENSOR,
    is_on: bool | None = None,
) -> dg.SensorDefinition:
    """A sensor that launches one run of what is due in `environment`. `jobs` are those of the project.

    The same work is requested once: a run that failed is not repeated until a cron ticks again, or somebody launches
    `run`. While one is under way no other is requested. `is_on` None: on, but off under `dagster dev`.
    """
    keys_of = {one: translator.get_asset_key(one) for one in project.graph.order if is_built(project.models[one])}
    graph, gateway = project.graph, project.gateway
    is_on = not os.environ.get("DAGSTER_IS_DEV_CLI") if is_on is None else is_on

    @dg.sensor(
        name=name,
        jobs=[job for job in jobs if job.name in (JOB, WHOLE_JOB)],
        minimum_interval_seconds=_EVERY_SECONDS,
        # who develops wants to see what starts; a deployment runs by itself
        default_status=dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED,
        description=f"Is any model due by its cron in {environment}? Only then a run starts, of these models only.",
    )
    def run_when_due(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        with Project.from_manifest(manifest) as opened:
            if opened.environment(environment) is None:
                return dg.SkipReason(f"there is no environment {environment!r} yet; the job apply makes it")
            cadence = opened.cadence(environment)
        if not cadence.due:
            when = "never again" if cadence.next_tick is None else f"at {cadence.next_tick:%Y-%m-%d %H:%M} UTC"
            return dg.SkipReason(f"nothing is due; next {when}")
        at_work = context.instance.get_run_records(
            dg.RunsFilter(statuses=_UNFINISHED, tags={keys.DUE_TAG: "true", keys.GATEWAY_TAG: gateway}), limit=1
        )
        if at_work:
            return dg.SkipReason(f"run {at_work[0].dagster_run.run_id} is under way")
        return due_request(cadence, graph, keys_of)

    return run_when_due


def due_request(cadence: Cadence, graph: ModelGraph, keys_of: Mapping[str, dg.AssetKey]) -> dg.RunRequest:
    """One run of what is due: of those models and what lies between them, which keeps their order.

    A model that the files no longer have is no asset: then the job that asks the state alone does it all.
    """
    due = [one.model for one in cadence.due]
    config = {"resources": {keys.RESOURCE: {"config": {"environment": cadence.environment}}}}
    if any(name not in keys_of for name in due):
        return dg.RunRequest(_run_key(cadence), config, job_name=WHOLE_JOB, tags={keys.DUE_TAG: "true"})
    wanted = _connected(due, graph)
    selected = [key for name, key in keys_of.items() if name in wanted]
    return dg.RunRequest(_run_key(cadence), config, job_name=JOB, asset_selection=selected)


def _connected(models: Iterable[str], graph: ModelGraph) -> set[str]:
    """The models, and those on a way from one of them to another."""
    chosen = set(models)
    return chosen | (graph.ancestors(chosen) & graph.descendants(chosen))


def _run_key(cadence: Cadence) -> str:
    """The same models with the same intervals give the same key."""
    text = repr([cadence.environment, [(one.model, one.intervals) for one in cadence.due]])
    return f"{cadence.environment}:{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
