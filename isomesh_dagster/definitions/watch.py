"""Runs whose process died, and nobody told Dagster: it would show them as started for ever, and their place in the
queue's limits stayed taken.

A run's process is watched by the code server that started it. When that dies too, as a machine that lost its power has
it, this sensor tells that the run failed; then it is requested or launched again as any other that died.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from isomesh_dagster.definitions.alive import Dead, dead_runs, runs_folder, unmark

SENSOR = "tell_dead_runs"


def build_watch_sensor(manifest: Path, jobs: Sequence[Any]) -> dg.SensorDefinition:
    """A sensor that ends runs in Dagster whose process is certainly gone. `jobs` are those of the project: a run of
    one of them is one process. It launches nothing.
    """
    folder, names = runs_folder(manifest), frozenset(job.name for job in jobs)

    @dg.sensor(
        name=SENSOR,
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Did the process of a run die without anybody telling? Then the run has failed. It starts none.",
    )
    def tell_dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        told = [one for one in dead_runs(folder) if _tell(context.instance, folder, one, names)]
        ended = ", ".join(f"run {one.run_id[:8]} has failed: its process {one.pid} is gone" for one in told)
        return dg.SkipReason(ended or "every run that is going on has its process")

    return tell_dead_runs


def _tell(instance: dg.DagsterInstance, folder: Path, one: Dead, names: frozenset[str]) -> bool:
    """Tell Dagster that the run is over, unless it knows, or the run may have other processes."""
    run = instance.get_run_by_id(one.run_id)
    if run is None:
        return False  # of another instance that works here
    if run.is_finished:
        unmark(folder, one.run_id)
        return False
    if not one.is_whole and run.job_name not in names:
        return False
    message = f"The process of this run, {one.pid}, is gone, and nobody told. What it had recorded stays."
    if run.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, message)
    else:
        instance.report_run_failed(run, message)
    unmark(folder, one.run_id)
    return True
