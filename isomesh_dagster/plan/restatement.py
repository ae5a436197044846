"""Automatic restatement: what ticks of `auto_restatement_cron` have made to be built again in production.

A tick marks the last intervals of its model, and what reads these, as pending; the marks are kept in the state until
the intervals are built again, so nothing is forgotten when a run fails, waits for a signal, or is killed. Pure
arithmetic on epoch milliseconds in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model import cron
from isomesh_dagster.model.kinds import View, auto_restatement, can_restate, depends_on_past, is_incremental
from isomesh_dagster.model.model import Model
from isomesh_dagster.snapshot.interval import Interval, intersect, merge
from isomesh_dagster.snapshot.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Restatement:
    """Of one physical relation: the last tick of its cron that was heeded (None: it has none, or none was yet), and the
    intervals that are recorded and are to be built again.
    """

    tick: int | None = None
    pending: tuple[Interval, ...] = ()


NONE = Restatement()


def restatements(
    graph: ModelGraph,
    snapshots: Mapping[str, Snapshot],
    recorded: Mapping[str, tuple[Interval, ...]],
    known: Mapping[str, Restatement],
    *,
    since: int,
    now: int,
) -> dict[str, Restatement]:
    """What the state should know at `now`, by physical relation: `known`, with the marks of ticks since then added.

    A relation whose tick is not known heeds those after `since`. Models that cannot be restated are passed over, and so
    is what reads only them.
    """
    result = dict(known)
    spread: dict[str, tuple[Interval, ...]] = {}
    for name in graph.order:
        snapshot = snapshots[name]
        model = snapshot.model
        above = merge(interval for parent in graph.parents[name] for interval in spread.get(parent, ()))
        if snapshot.physical is None:
            spread[name] = above  # an embedded query is a part of its readers
            continue
        physical = str(snapshot.physical)
        done = recorded.get(physical, ())
        if not done or not can_restate(model.kind):
            continue
        before = result.get(physical, NONE)
        tick, own = _ticked(model, done, before, since=since, now=now)
        again = _again(model, done, (*own, *above))
        if tick != before.tick or again:
            pending = () if is_plain_view(model) else again
            result[physical] = Restatement(tick=tick, pending=merge([*before.pending, *pending]))
        spread[name] = again
    return result


def is_plain_view(model: Model) -> bool:
    """Whether a view shows at any time what there is, so that it is never made again: it keeps no rows, nothing of it
    is audited, and no macro in it depends on when it is rendered.
    """
    return isinstance(model.kind, View) and not (model.kind.materialized or model.audits or model.is_dynamic)


def _ticked(
    model: Model, done: tuple[Interval, ...], before: Restatement, *, since: int, now: int
) -> tuple[int | None, tuple[Interval, ...]]:
    """The last tick, and what those since the last one that was heeded make to be built again."""
    found = auto_restatement(model.kind)
    if found is None:
        return before.tick, ()
    expression, count = found
    tick = cron.cron_floor(expression, model.cron_tz, now)
    if tick <= (since if before.tick is None else before.tick):
        return max(tick, before.tick or tick), ()
    if count is None:
        return tick, (Interval(done[0].start, done[-1].end),)
    end = cron.unit_floor(model.interval_unit, now)
    return tick, (Interval(cron.unit_add(model.interval_unit, end, -count), end),)


def _again(model: Model, done: tuple[Interval, ...], ranges: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """What of the recorded intervals the ranges touch, in whole units; of what can only be made whole, all."""
    if not ranges:
        return ()
    unit = model.interval_unit
    touched = intersect(
        done, [Interval(cron.unit_floor(unit, one.start), cron.unit_ceil(unit, one.end)) for one in ranges]
    )
    if touched and (not is_incremental(model.kind) or depends_on_past(model.kind)):
        return (Interval(done[0].start, done[-1].end),)
    if touched and model.may_read_itself:  # what comes after was made of the rows that are made again
        return intersect(done, [Interval(touched[0].start, done[-1].end)])
    return touched
