"""Git drives the system: a sensor that deploys what was merged, and one that keeps a preview of each branch.

Both ask the remote for its refs, and the state for what was done about them; a cursor keeps what was requested and is
not done yet. So a daemon or a code server that starts again goes on where it stopped, and a commit is requested once;
again, some times, when its run ended without having recorded anything: its process died, or the warehouse was locked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg

from isomesh_dagster.config.git import short_ref
from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.git_jobs import DEPLOY, DEPLOY_OP, PREVIEW, PREVIEW_OP
from isomesh_dagster.definitions.reload import reload_location
from isomesh_dagster.definitions.tries import next_try, runs_here
from isomesh_dagster.delivery import Delivery, Deploy, Due, Expire, Preview
from isomesh_dagster.errors import RemoteError
from isomesh_dagster.project import Project

DEPLOY_SENSOR, PREVIEW_SENSOR = "deploy_on_merge", "preview_on_push"
JANITOR = "janitor"

_SECONDS = 30
"""Of one tick's work after which the rest is left to the next one: Dagster gives a tick a minute."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """What a sensor keeps: the commits asked for and not done yet, by ref; how many requests there were; the commit it
    reloaded the location for.
    """

    asked: Mapping[str, str] = field(default_factory=dict)
    number: int = 0
    reloaded: str = ""

    @classmethod
    def read(cls, text: str | None) -> Cursor:
        """From its text; a new one for what is none."""
        try:
            kept = json.loads(text or "")
            asked = {str(ref): str(commit) for ref, commit in kept["asked"].items()}
            return cls(asked, int(kept["number"]), str(kept["reloaded"]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls()

    def text(self) -> str:
        """As Dagster keeps it."""
        return json.dumps({"asked": dict(sorted(self.asked.items())), "number": self.number, "reloaded": self.reloaded})

    def after(self, ref: str, commit: str) -> Cursor:
        """With one more request."""
        return replace(self, asked={**self.asked, ref: commit}, number=self.number + 1)

    def only(self, due: Due) -> Cursor:
        """Without the requests that are done or overtaken: what is due no more need not be remembered."""
        open_ones = {task.ref: task.commit for task in due.tasks if not isinstance(task, Expire)}
        return replace(self, asked={ref: commit for ref, commit in self.asked.items() if open_ones.get(ref) == commit})


def build_git_sensors(project: Project, jobs: Sequence[Any]) -> list[dg.SensorDefinition]:
    """The two sensors; none when no repository drives the gateway. `jobs` are those of the project."""
    config = project.settings.git
    if config is None:
        return []
    status = dg.DefaultSensorStatus.RUNNING if config.sensors == "running" else dg.DefaultSensorStatus.STOPPED
    by_name = {job.name: job for job in jobs}
    root, gateway = project.root, project.gateway
    loaded = project.source.commit if project.source is not None else ""

    @dg.sensor(
        name=DEPLOY_SENSOR,
        job=by_name[DEPLOY],
        minimum_interval_seconds=config.poll_seconds,
        default_status=status,
        description=f"A new commit on {config.deploy_branch}? One run lets prod show it.",
    )
    def deploy_on_merge(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with Delivery(root, gateway=gateway) as delivery:
            return _deploy(context, delivery, loaded)

    @dg.sensor(
        name=PREVIEW_SENSOR,
        jobs=[by_name[PREVIEW], by_name[JANITOR]],
        minimum_interval_seconds=config.poll_seconds,
        default_status=status,
        description="A push to a branch with a preview? One run refreshes its environment, which ends with the branch.",
    )
    def preview_on_push(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        with Delivery(root, gateway=gateway) as delivery:
            return _preview(context, delivery)

    return [deploy_on_merge, preview_on_push]


def _deploy(context: dg.SensorEvaluationContext, delivery: Delivery, loaded: str) -> dg.SensorResult:
    due = _due(delivery)
    if isinstance(due, str):
        return _skipped(due, Cursor.read(context.cursor))
    cursor = Cursor.read(context.cursor).only(due)
    task = next((task for task in due.tasks if isinstance(task, Deploy)), None)
    if task is None:
        wrong = [f"{one.ref}: {one.reason}" for one in due.refused if one.ref == delivery.config.deploy_ref]
        return _skipped(wrong[0], cursor) if wrong else _follow(context, delivery, cursor, loaded)
    attempt = _attempt(context, delivery, cursor, task, DEPLOY)
    if isinstance(attempt, str):
        return _skipped(attempt, cursor)
    broken = _broken(delivery, task)
    if broken is not None:
        return _skipped(broken, cursor)
    cursor = cursor.after(task.ref, task.commit)
    request = _request(DEPLOY, DEPLOY_OP, {"commit": task.commit}, task, "prod", delivery, cursor, attempt)
    return dg.SensorResult(run_requests=[request], cursor=cursor.text())


def _preview(context: dg.SensorEvaluationContext, delivery: Delivery) -> dg.SensorResult:
    due = _due(delivery)
    if isinstance(due, str):
        return _skipped(due, Cursor.read(context.cursor))
    cursor = Cursor.read(context.cursor).only(due)
    told = [*([due.unknown] if due.unknown else []), *(f"{one.ref}: {one.reason}" for one in due.refused)]
    requests: list[dg.RunRequest] = []
    ended: list[str] = []
    waiting: list[str] = []
    until = time.monotonic() + _SECONDS
    for task in due.tasks:
        if isinstance(task, Expire):
            _cancel_queued(context, delivery, task.ref)
            ended.append(task.environment)
            told.append(delivery.expire(task.ref).told)
        if not isinstance(task, Preview) or time.monotonic() > until:
            continue
        attempt = _attempt(context, delivery, cursor, task, PREVIEW)
        if isinstance(attempt, str):
            waiting.append(attempt)
            continue
        broken = _broken(delivery, task)
        if broken is not None:
            told.append(broken)
            continue
        _cancel_queued(context, delivery, task.ref)
        cursor = cursor.after(task.ref, task.commit)
        config = {"ref": task.ref, "commit": task.commit}
        requests.append(_request(PREVIEW, PREVIEW_OP, config, task, task.environment, delivery, cursor, attempt))
    if ended:
        delivery.clean()
        cursor = replace(cursor, number=cursor.number + 1)
        key = f"{delivery.settings.gateway}:{cursor.number}:{JANITOR}"
        requests.append(dg.RunRequest(key, job_name=JANITOR, tags={keys.GATEWAY_TAG: delivery.settings.gateway}))
    for line in told:
        context.log.warning(line)
    if not requests:
        return _skipped("; ".join([*told, *waiting]) or "every preview shows its branch", cursor)
    return dg.SensorResult(run_requests=requests, cursor=cursor.text())


def _due(delivery: Delivery) -> Due | str:
    """What is due, or why the remote cannot be asked: that passes, and is no failure of the tick."""
    try:
        return delivery.due()
    except RemoteError as error:
        return str(error)


def _broken(delivery: Delivery, task: Deploy | Preview) -> str | None:
    """Why the commit cannot be compiled; None when it can. One that cannot be fetched keeps no other ref waiting."""
    try:
        report = delivery.examine(task)
    except RemoteError as error:
        return str(error)
    return report.told if report is not None else None


def _request(
    job: str,
    op: str,
    config: Mapping[str, str],
    task: Deploy | Preview,
    environment: str,
    delivery: Delivery,
    cursor: Cursor,
    attempt: int,
) -> dg.RunRequest:
    """One run. Its key counts requests, so that a branch that is forced back to an old commit is followed too."""
    gateway = delivery.settings.gateway
    return dg.RunRequest(
        f"{gateway}:{cursor.number}:{task.commit}",
        {"ops": {op: {"config": dict(config)}}},
        job_name=job,
        tags={
            keys.GATEWAY_TAG: gateway,
            keys.COMMIT_TAG: task.commit,
            keys.REF_TAG: task.ref,
            keys.ENVIRONMENT_TAG: environment,
            **({keys.ATTEMPT_TAG: str(attempt)} if attempt > 1 else {}),
        },
    )


def _attempt(
    context: dg.SensorEvaluationContext, delivery: Delivery, cursor: Cursor, task: Deploy | Preview, job: str
) -> int | str:
    """Which try a run requested now would be, or why none is: one is under way, or the last ones came to nothing.

    What is due and was requested has a run that recorded nothing yet. Where that has ended, its process died or
    something was in the way that passes.
    """
    if cursor.asked.get(task.ref) != task.commit:
        return 1
    tags = {
        keys.REF_TAG: task.ref,
        keys.COMMIT_TAG: task.commit,
        keys.GATEWAY_TAG: delivery.settings.gateway,
    }
    what = f"for {short_ref(task.ref)} at {task.commit[:12]}"
    requested = dg.RunsFilter(job_name=job, tags=tags)
    return next_try(context, requested, what, remedy="launch it again, or push")


def _cancel_queued(context: dg.SensorEvaluationContext, delivery: Delivery, ref: str) -> None:
    """Runs for older commits of the ref that have not begun are not needed any more."""
    tags = {keys.REF_TAG: ref, keys.GATEWAY_TAG: delivery.settings.gateway}
    waiting = dg.RunsFilter(job_name=PREVIEW, statuses=[dg.DagsterRunStatus.QUEUED], tags=tags)
    for record in runs_here(context, waiting):
        context.instance.run_coordinator.cancel_run(record.dagster_run.run_id)


def _follow(context: dg.SensorEvaluationContext, delivery: Delivery, cursor: Cursor, loaded: str) -> dg.SensorResult:
    """Nothing is to be deployed: let the location show the commit that was deployed last, once for each."""
    shown = delivery.shown_commit()
    if shown is None or shown == loaded:
        return _skipped("prod shows the deploy branch", cursor)
    address, origin = delivery.config.webserver, context.code_location_origin
    if address is None or origin is None or cursor.reloaded == shown:
        return _skipped(f"prod shows {shown[:12]}: reload the code location to see its models here", cursor)
    problem = reload_location(address, origin.location_name)
    if problem is not None:
        return _skipped(problem, cursor)  # the web server may be starting again: the next tick asks once more
    return _skipped(f"the code location is reloaded to show {shown[:12]}", replace(cursor, reloaded=shown))


def _skipped(told: str, cursor: Cursor) -> dg.SensorResult:
    return dg.SensorResult(skip_reason=told, cursor=cursor.text())
