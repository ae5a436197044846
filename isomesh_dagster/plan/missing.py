"""Which intervals a model still lacks, and how they are cut into batches. Arithmetic on epoch milliseconds in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from isomesh_dagster.errors import PlanError
from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model import cron, dates
from isomesh_dagster.model.kinds import External, IncrementalByTimeRange, Seed
from isomesh_dagster.model.model import Model
from isomesh_dagster.snapshot.interval import Interval, intersect, iso, merge, subtract

MAX_BATCHES = 100_000  # beyond this somebody chose the wrong start or unit; planning it would only eat memory


def starts(graph: ModelGraph, now: int) -> dict[str, int]:
    """When each model begins: its own start, else the earliest start among its parents, else one cron tick before the
    last.

    External tables and seeds without a start of their own say nothing about time and are passed over.
    """
    result: dict[str, int] = {}
    for name in graph.order:
        model = graph.models[name]
        if model.start is not None:
            result[name] = cron.unit_floor(model.interval_unit, dates.to_ms(model.start, now_ms=now))
            continue
        inherited = [result[parent] for parent in graph.parents[name] if _tells_start(graph.models[parent])]
        if inherited:
            result[name] = cron.unit_floor(model.interval_unit, min(inherited))
        else:
            last = cron.cron_floor(model.cron, model.cron_tz, now)
            result[name] = cron.unit_floor(model.interval_unit, cron.cron_floor(model.cron, model.cron_tz, last - 1))
    return result


def _tells_start(model: Model) -> bool:
    return model.start is not None or not isinstance(model.kind, External | Seed)


def due_end(model: Model, now: int) -> int:
    """The end of what is complete at `now`: the last cron tick, in whole interval units, at most the model's end."""
    end = cron.unit_floor(model.interval_unit, cron.cron_floor(model.cron, model.cron_tz, now))
    if model.end is not None:
        end = min(end, dates.to_exclusive_end_ms(model.end, now_ms=now))
    return end


def missing(model: Model, recorded: Iterable[Interval], *, start: int, end: int) -> tuple[Interval, ...]:
    """What of `[start, end)` is not recorded, in whole units; with lookback, the units before each missing one as well.

    Empty when `end` is not after `start`.
    """
    if end <= start:
        return ()
    whole = (Interval(start, end),)
    unit = model.interval_unit
    gaps = []
    for gap in subtract(whole, recorded):
        first, last = cron.unit_floor(unit, gap.start), cron.unit_ceil(unit, gap.end)
        if min(last, end) > max(first, start):
            gaps.append(Interval(max(first, start), min(last, end)))
    lookback = model.kind.lookback if isinstance(model.kind, IncrementalByTimeRange) else 0
    if lookback:
        gaps = [Interval(cron.unit_add(unit, gap.start, -lookback), gap.end) for gap in gaps]
        return intersect(gaps, whole)
    return merge(gaps)


def batches(model: Model, intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """The intervals cut into pieces of at most `batch_size` units, in order; without a batch size they stay whole."""
    size = model.kind.batch_size if isinstance(model.kind, IncrementalByTimeRange) else None
    if size is None:
        return tuple(intervals)
    result: list[Interval] = []
    for interval in intervals:
        start = interval.start
        while start < interval.end:
            end = min(cron.unit_add(model.interval_unit, start, size), interval.end)
            result.append(Interval(start, end))
            start = end
            if len(result) > MAX_BATCHES:
                raise PlanError(
                    f"more than {MAX_BATCHES} batches of {size} {model.interval_unit} since {iso(interval.start)}",
                    model=model.name,
                    path=model.path,
                    line=model.line,
                    hint="give the model a later start, a larger batch_size or a coarser interval_unit",
                )
    return tuple(result)
