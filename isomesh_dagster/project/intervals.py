"""Which intervals an environment lacks, and which signals they wait for: the question, without building anything."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from isomesh_dagster.model.kinds import is_incremental
from isomesh_dagster.snapshot.interval import Interval, intersect

if TYPE_CHECKING:
    from isomesh_dagster.plan.plan import Build
    from isomesh_dagster.project.front import Project
    from isomesh_dagster.records.events import Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingIntervals:
    """What a model lacks at its cron: `intervals` in units of `unit`; `whole` tells that the table is made whole, and
    the interval stands for all of it. `waiting` is what of it a run would not build now.
    """

    model: str
    intervals: tuple[Interval, ...]
    unit: str
    whole: bool
    waiting: tuple[Waiting, ...] = ()


def missing_intervals(
    project: Project,
    environment: str | None,
    *,
    models: Collection[str] | None,
    within: Interval | None,
    signals: bool,
    now: datetime | None,
) -> Iterator[MissingIntervals]:
    """See `Project.check_intervals`."""
    plan = project.run_plan(environment, now=now)
    steps = [_within(step, within) for step in plan.builds]
    wanted = {step.snapshot.name for step in steps if models is None or step.snapshot.name in models}
    asked = {name for name in wanted if signals}
    for name in reversed(list(plan.snapshots)):
        if name in asked:
            asked.update(parent.name for parent in plan.snapshots[name].parents)
    with ExitStack() as stack:
        waits = session = None
        for step in steps:
            snapshot = step.snapshot
            waiting: tuple[Waiting, ...] = ()
            if snapshot.name in asked and step.intervals:
                if waits is None:
                    from isomesh_dagster.execution.waiting import Waits

                    waits = Waits(plan, project.surroundings(plan.snapshots, plan.execution_time))
                if waits.concern(step):
                    if session is None:
                        session = stack.enter_context(project.connection().session())
                    loaded = project.state().intervals([str(snapshot.physical)]).get(str(snapshot.physical), ())
                    _, waiting = waits.ask(session, step, step.intervals, loaded)
            if snapshot.name in wanted and step.intervals:
                yield MissingIntervals(
                    model=snapshot.name,
                    intervals=step.intervals,
                    unit=snapshot.model.interval_unit,
                    whole=not is_incremental(snapshot.model.kind),
                    waiting=waiting,
                )


def _within(step: Build, within: Interval | None) -> Build:
    return step if within is None else replace(step, intervals=intersect(step.intervals, [within]))
