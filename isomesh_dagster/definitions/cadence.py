"""A deployment runs by itself: a sensor asks the state what the clock has made due and launches one run of just that.

What an environment shows gets the rows that are due, whatever the files say by now; nothing is promoted. The default
environment comes first, then those that `scheduled_environments` names, one run at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.translator import IsomeshTranslator, is_built
from isomesh_dagster.definitions.tries import UNFINISHED, next_try, runs_here, what_stays
from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.plan.cadence import Cadence
from isomesh_dagster.project import Project

SENSOR = "run_when_due"
JOB = "run_due"
"""The job of the models that are due, a step each; only the sensor launches it."""
WHOLE_JOB = "run"
"""The job that loads all that is due in one step, for models too that the files no longer have."""

_EVERY_SECONDS = 30
_SECONDS = 20
"""Of one tick's work after which other environments are left to the next one: Dagster gives a tick a minute."""


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


@dataclass(frozen=True, slots=True)
class Requests:
    """What the sensor keeps: the key of the work asked for last, by environment, and the environment looked at last."""

    asked: Mapping[str, str] = field(default_factory=dict)
    last: str = ""

    @classmethod
    def read(cls, text: str | None) -> Requests:
        """From its text; a new one for what is none."""
        try:
            kept = json.loads(text or "")
            return cls({str(name): str(key) for name, key in kept["asked"].items()}, str(kept["last"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def after(self, environment: str, key: str) -> Requests:
        """With one more request."""
        return replace(self, asked={**self.asked, environment: key})

    def without(self, environment: str) -> Requests:
        """With none for the environment: what was asked for is done, and may be due again one day."""
        return replace(self, asked={name: key for name, key in self.asked.items() if name != environment})

    def only(self, environments: Iterable[str]) -> Requests:
        """Without those for other environments."""
        return replace(self, asked={name: self.asked[name] for name in environments if name in self.asked})

    def text(self) -> str:
        """As Dagster keeps it."""
        return json.dumps({"asked": dict(sorted(self.asked.items())), "last": self.last})


def build_cadence_sensor(
    project: Project,
    manifest: Path,
    translator: IsomeshTranslator,
    jobs: Sequence[Any],
    *,
    name: str = SENSOR,
    is_on: bool | None = None,
) -> dg.SensorDefinition:
    """A sensor that launches one run of what is due in the default environment, or else in one of those that
    `scheduled_environments` names. `jobs` are those of the project.

    The same work is requested once, and again, some times, when its run died or met only what passes, such as a locked
    warehouse. Otherwise a run that failed is not repeated until a cron ticks again, or somebody launches `run`. While
    one is under way no other is requested. `is_on` None: on, but off under `dagster dev`.
    """
    keys_of = {one: translator.get_asset_key(one) for one in project.graph.order if is_built(project.models[one])}
    graph, gateway, default = project.graph, project.gateway, project.settings.default_target_environment
    patterns = project.settings.scheduled_environments
    is_on = not os.environ.get("DAGSTER_IS_DEV_CLI") if is_on is None else is_on
    whose = " or ".join((default, *patterns))

    @dg.sensor(
        name=name,
        jobs=[job for job in jobs if job.name in (JOB, WHOLE_JOB)],
        minimum_interval_seconds=_EVERY_SECONDS,
        # who develops wants to see what starts; a deployment runs by itself
        default_status=dg.DefaultSensorStatus.RUNNING if is_on else dg.DefaultSensorStatus.STOPPED,
        description=f"Is any model due by its cron in {whose}? Only then a run starts, of these models only.",
    )
    def run_when_due(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        at_work = runs_here(
            context, dg.RunsFilter(statuses=UNFINISHED, tags={keys.DUE_TAG: "true", keys.GATEWAY_TAG: gateway})
        )
        if at_work:
            return dg.SkipReason(f"run {at_work[0].dagster_run.run_id} is under way")
        kept, until = Requests.read(context.cursor), time.monotonic() + _SECONDS
        again: dg.RunRequest | None = None
        told: list[str] = []
        with Project.from_manifest(manifest) as opened:
            others = scheduled(opened, patterns, kept.last)
            is_there = opened.environment(default) is not None
            if not is_there:
                told.append(f"there is no environment {default!r} yet; the job apply makes it")
            for environment in (*((default,) if is_there else ()), *others):
                if told and time.monotonic() > until:
                    told.append("others are looked at next time")
                    break
                cadence = opened.cadence(environment)
                kept = kept if environment == default else replace(kept, last=environment)
                if not cadence.due:
                    kept = kept.without(environment)
                    told.append(_quiet(cadence, is_alone=not others))
                    continue
                work = work_of(cadence)
                same = dg.RunsFilter(tags={keys.WORK_TAG: work, keys.GATEWAY_TAG: gateway})
                is_new = kept.asked.get(environment) != work
                attempt = 1 if is_new else _attempt(context, same, environment)
                if isinstance(attempt, str):
                    told.append(attempt)  # others are not kept waiting by one that failed
                    continue
                number = context.instance.get_runs_count(same) + 1
                request = due_request(cadence, graph, keys_of if environment == default else {}, number, attempt)
                if is_new or attempt > 1:
                    context.update_cursor(kept.after(environment, work).text())
                    return request
                again = again or request  # its run is not there: nobody else is to wait because of that
        context.update_cursor(kept.only((default, *others)).text())
        return again or dg.SkipReason("; ".join(told))

    return run_when_due


def scheduled(project: Project, patterns: Sequence[str], after: str) -> list[str]:
    """The environments beside the default one that are kept current and have not ended, by name, from the one behind
    `after` on.
    """
    now, default = datetime.now(timezone.utc), project.settings.default_target_environment
    names = sorted(
        one.name
        for one in (project.environments() if patterns else ())
        if one.name != default
        and not one.has_ended(now)
        and any(fnmatchcase(one.name, pattern) for pattern in patterns)
    )
    return [*(name for name in names if name > after), *(name for name in names if name <= after)]


def _quiet(cadence: Cadence, *, is_alone: bool) -> str:
    when = "never again" if cadence.next_tick is None else f"at {cadence.next_tick:%Y-%m-%d %H:%M} UTC"
    return f"nothing is due{'' if is_alone else f' in {cadence.environment}'}; next {when}"


def _attempt(context: dg.SensorEvaluationContext, same: dg.RunsFilter, environment: str) -> int | str:
    """Which try of what is due, and was requested, comes now; or why none does. `same` finds its runs."""
    return next_try(
        context,
        same,
        f"of what is due in {environment}",
        settled=lambda run: what_stays(context.instance, run),
        remedy="what is left waits for the next tick of a cron, or for somebody who launches the job run",
    )


def due_request(
    cadence: Cadence, graph: ModelGraph, keys_of: Mapping[str, dg.AssetKey], number: int = 1, attempt: int = 1
) -> dg.RunRequest:
    """One run of what is due: of those models and what lies between them, which keeps their order. `number` counts the
    runs of this work, `attempt` those since it was last done.

    A model that is no asset of `keys_of`, since the files no longer have it, or since assets stand for what another
    environment shows: then the job that asks the state alone does it all.
    """
    due = [one.model for one in cadence.due]
    config = {"resources": {keys.RESOURCE: {"config": {"environment": cadence.environment}}}}
    work = key = work_of(cadence)
    tags = {keys.DUE_TAG: "true", keys.ENVIRONMENT_TAG: cadence.environment, keys.WORK_TAG: work}
    if number > 1:  # Dagster launches no key twice
        key = f"{work}:{number}"
    if attempt > 1:
        tags[keys.ATTEMPT_TAG] = str(attempt)
    if any(name not in keys_of for name in due):
        return dg.RunRequest(key, config, job_name=WHOLE_JOB, tags=tags)
    wanted = _connected(due, graph)
    selected = [one for name, one in keys_of.items() if name in wanted]
    return dg.RunRequest(key, config, job_name=JOB, asset_selection=selected, tags=tags)


def _connected(models: Iterable[str], graph: ModelGraph) -> set[str]:
    """The models, and those on a way from one of them to another."""
    chosen = set(models)
    return chosen | (graph.ancestors(chosen) & graph.descendants(chosen))


def work_of(cadence: Cadence) -> str:
    """The key of what is due: the same for the same models with the same intervals."""
    text = repr([cadence.environment, [(one.model, one.intervals) for one in cadence.due]])
    return f"{cadence.environment}:{hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}"
