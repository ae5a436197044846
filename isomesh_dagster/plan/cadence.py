"""What the clock has made due, and when it will next: from what an environment shows and what is recorded as built.

Pure arithmetic; moments are epoch milliseconds in UTC unless they say otherwise. `build_run` makes its plan of the same
steps, so what is told to be due is what a run builds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from isomesh_dagster import dates
from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model import cron, kinds
from isomesh_dagster.model.kinds import auto_restatement, is_incremental
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.coverage import Coverage, Recorded, of_whole, within
from isomesh_dagster.plan.missing import batches, due_end, in_order, limited, missing, starts
from isomesh_dagster.plan.plan import Build
from isomesh_dagster.plan.restatement import Restatement, is_plain_view, restatements
from isomesh_dagster.plan.wish import EVERYTHING_DUE, RunWish
from isomesh_dagster.snapshot.environment import PROD, Environment
from isomesh_dagster.snapshot.interval import Interval, from_ms, merge, to_ms
from isomesh_dagster.snapshot.snapshot import Snapshot

_MOST_TICKS = 400
"""Ticks looked at for one that makes something due. Most do; one may not where clocks are put forward, or while a
relative `end` stands still, which is a day of `*/5` at most.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A model with work to do: the intervals to be built, half-open, UTC; of a model that is made whole, the one
    interval that stands for all of it.
    """

    model: str
    intervals: tuple[Interval, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cadence:
    """What is due in an environment at `now` (UTC), parents first, and `next_tick`: when the clock next makes something
    due, after `now`, whether or not what is due now is built by then. None: never again.
    """

    environment: str
    now: datetime
    due: tuple[Due, ...]
    next_tick: datetime | None


def cadence(
    environment: Environment,
    graph: ModelGraph,
    snapshots: Mapping[str, Snapshot],
    recorded: Recorded,
    now: int,
    known: Mapping[str, Restatement] = MappingProxyType({}),
) -> Cadence:
    """The cadence of what `snapshots` (by model) are shown as, with `recorded` intervals and `known` restatements by
    physical relation.
    """
    again = pending_restatements(environment, graph, snapshots, recorded, known, now)
    steps = due_builds(graph, snapshots, recorded, now, again=again)
    ticks = [next_tick(graph, snapshots, recorded, now)]
    if environment.name == PROD:
        found = [(one.model, auto_restatement(one.model.kind)) for one in snapshots.values()]
        ticks += [cron.cron_next(its[0], model.cron_tz, now) for model, its in found if its is not None]
    tick = min((one for one in ticks if one is not None), default=None)
    return Cadence(
        environment=environment.name,
        now=from_ms(now),
        due=tuple(Due(model=step.snapshot.name, intervals=step.intervals) for step in steps),
        next_tick=None if tick is None else from_ms(tick),
    )


def pending_restatements(
    environment: Environment,
    graph: ModelGraph,
    snapshots: Mapping[str, Snapshot],
    recorded: Recorded,
    known: Mapping[str, Restatement],
    now: int,
) -> dict[str, Restatement]:
    """What the state should know of automatic restatement at `now`, by physical relation; nothing outside of prod."""
    if environment.name != PROD:
        return {}
    since = to_ms(environment.promoted_at)
    return restatements(graph, snapshots, recorded, known, since=since, now=now)


def due_builds(
    graph: ModelGraph,
    snapshots: Mapping[str, Snapshot],
    recorded: Recorded,
    now: int,
    wish: RunWish = EVERYTHING_DUE,
    again: Mapping[str, Restatement] = MappingProxyType({}),
) -> tuple[Build, ...]:
    """What the models' crons have made due at `now`, parents first, and what is to be built `again`; of that, what is
    wished.

    Models that are made whole are due when a tick passed since they were made.
    """
    chosen = frozenset(wish.select) if wish.select else snapshots.keys()
    spans = None if wish.within is None else (wish.within,)
    begins = starts(graph, now)
    builds = []
    coverage = Coverage(graph, begins)
    for name in graph.order:
        snapshot = snapshots[name]
        end = clock_end(snapshot.model, now, ignore_cron=wish.ignore_cron)
        step: Build | None = None
        if snapshot.is_physical and name in chosen:
            pending = again[str(snapshot.physical)].pending if str(snapshot.physical) in again else ()
            done = recorded.get(str(snapshot.physical), ())
            history = (begins[name], end)
            step = _due_step(snapshot, done, history, pending, spans, coverage.below(name))
        if step is not None:
            builds.append(step)
        coverage.note(snapshot, recorded, step, end)
    return tuple(builds)


def _due_step(
    snapshot: Snapshot,
    done: tuple[Interval, ...],
    history: tuple[int, int],
    pending: tuple[Interval, ...],
    spans: tuple[Interval, ...] | None,
    below: tuple[Interval, ...] | None,
) -> Build | None:
    """The step that builds what of `history` (start and end) is missing, and what is `pending`; None when nothing is.

    `spans` are the ranges that are asked for, `below` those for which what the model reads is there (None: all).
    """
    model, (begin, end) = snapshot.model, history
    if done and _is_once(model):
        return None
    if not is_incremental(model.kind):
        whole = of_whole(begin, end, below)
        is_due = limited(model, missing(model, done, start=max(begin, whole.start), end=whole.end), spans)
        return Build(snapshot=snapshot, intervals=(whole,), batches=(whole,)) if is_due or pending else None
    if snapshot.is_preview:
        if not done:
            return None  # it is to stay empty
        begin = max(begin, done[0].start)  # the clock never fills the past of a preview
    gaps = within(model, limited(model, missing(model, done, start=begin, end=end), spans), below)
    gaps = in_order(model, done, merge([*gaps, *pending]))
    return Build(snapshot=snapshot, intervals=gaps, batches=batches(model, gaps)) if gaps else None


def clock_end(model: Model, now: int, *, ignore_cron: bool) -> int:
    """The end of what is complete at `now`: by the model's cron, or, without it, by its interval unit alone."""
    if not ignore_cron:
        return due_end(model, now)
    end = now if model.allow_partials else cron.unit_floor(model.interval_unit, now)
    return end if model.end is None else min(end, dates.to_exclusive_end_ms(model.end, now_ms=now))


def is_due(model: Model, recorded: Sequence[Interval], span: Interval) -> bool:
    """Whether a model that is made whole, and was made as `recorded` tells, is to be made again for `span`."""
    return not _is_once(model) and bool(missing(model, recorded, start=span.start, end=span.end))


def next_tick(graph: ModelGraph, snapshots: Mapping[str, Snapshot], recorded: Recorded, now: int) -> int | None:
    """The first moment after `now` at which a cron makes something due; None when no model is ever due again."""
    begins = starts(graph, now)
    ticks = []
    for name in graph.order:
        snapshot = snapshots[name]
        if not snapshot.is_physical or (_is_once(snapshot.model) and str(snapshot.physical) in recorded):
            continue
        tick = _next_due(snapshot.model, begins[name], now)
        if tick is not None:
            ticks.append(tick)
    return min(ticks, default=None)


def _next_due(model: Model, begin: int, now: int) -> int | None:
    """The first tick after `now` that makes more of the model due than is due at `now`; None when none will."""
    if _is_over(model, begin, now):
        return None
    reached = max(due_end(model, now), begin)
    tick = max(now, begin - 1)
    for _ in range(_MOST_TICKS):
        tick = cron.cron_next(model.cron, model.cron_tz, tick)
        if due_end(model, tick) > reached:
            return tick
    return None


def _is_over(model: Model, begin: int, now: int) -> bool:
    """Whether the model has an end that does not move with the clock, and all before it is due."""
    if model.end is None:
        return False
    end, at_the_epoch = (dates.to_exclusive_end_ms(model.end, now_ms=moment) for moment in (now, 0))
    return end == at_the_epoch and max(due_end(model, now), begin) >= end


def _is_once(model: Model) -> bool:
    """Models that a tick of the clock does not make due: a seed's rows change with the files only."""
    return isinstance(model.kind, kinds.Seed) or is_plain_view(model)
