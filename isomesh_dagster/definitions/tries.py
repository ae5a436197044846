"""Whether work that a sensor requested, and that is still due, is requested again: its run died, or met what passes.

A few times, with pauses that grow; then somebody has to look.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import dagster as dg

from isomesh_dagster.definitions import keys

PAUSES = (0, 60, 240, 960)
"""Seconds after a run that came to nothing before the next one is requested; one try more than there are pauses."""

UNFINISHED = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Of runs that wait or go on."""

_MOST_RUNS = 100


def runs_here(context: dg.SensorEvaluationContext, wanted: dg.RunsFilter) -> list[dg.RunRecord]:
    """The newest runs that are wanted, of the sensor's own code location: another one of the same instance may serve
    another folder of the same repository.
    """
    records = context.instance.get_run_records(wanted, limit=_MOST_RUNS)
    here = context.code_location_origin
    return [record for record in records if here is None or _location(record.dagster_run) in (None, here.location_name)]


def _location(run: dg.DagsterRun) -> str | None:
    origin = run.remote_job_origin
    return None if origin is None else origin.repository_origin.code_location_origin.location_name


def next_try(
    context: dg.SensorEvaluationContext,
    requested: dg.RunsFilter,
    what: str,
    *,
    remedy: str,
    settled: Callable[[dg.DagsterRun], str] = lambda _run: "",
) -> int | str:
    """Which try a run requested now would be, or why none is. `requested` finds the runs of the work, `what` says which
    work that is, `settled` why a run that has ended is not tried again ("": it is), `remedy` what people can do then.
    """
    records = runs_here(context, requested)
    if not records:
        return 1  # somebody deleted it
    run, ended = records[0].dagster_run, records[0].end_time
    told = f"run {run.run_id[:8]} {what}"
    if not run.is_finished:
        return f"{told} is under way"
    if run.tags.get(keys.WILL_RETRY_TAG) == "true" and keys.RETRIED_BY_TAG not in run.tags:
        return f"{told} ended without a result; Dagster launches it again"
    if run.status == dg.DagsterRunStatus.CANCELED:
        return f"{told} was canceled; {remedy}"
    if why := settled(run):
        return f"{told} {why}; {remedy}"
    tag = run.tags.get(keys.ATTEMPT_TAG, "")
    tries = int(tag) if tag.isdecimal() else 1
    if tries > len(PAUSES):
        return f"{told} ended without a result, as {tries - 1} before it; look at it; {remedy}"
    pause = PAUSES[tries - 1] - (time.time() - (ended or 0))
    return f"{told} ended without a result; it is requested again in {pause:.0f} s" if pause > 0 else tries + 1


def what_stays(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Why trying the run's work again at once would be in vain: it succeeded, or a step failed of something that does
    not pass. "" when its process died, or when all that was in its way passes.
    """
    if run.status == dg.DagsterRunStatus.SUCCESS:
        return "did what could be done"
    if run.tags.get(keys.FAILURE_REASON_TAG) != "STEP_FAILURE":
        return ""
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        failed = event.step_failure_data.user_failure_data if event is not None else None
        if failed is None or keys.PASSES not in failed.metadata:
            return "failed"
    return ""
