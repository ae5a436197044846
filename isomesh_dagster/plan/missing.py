"""Which intervals a model still lacks, and how they are cut into batches. Arithmetic on epoch milliseconds in UTC."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from isomesh_dagster import dates
from isomesh_dagster.errors import PlanError
from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model import cron
from isomesh_dagster.model.kinds import (
    Custom,
    External,
    IncrementalByPartition,
    IncrementalByTimeRange,
    IncrementalByUniqueKey,
    ScdType2ByColumn,
    ScdType2ByTime,
    Seed,
    adds_rows,
    batch_size,
    depends_on_past,
    lookback,
)
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
    """The end of what is complete at `now`: the last cron tick, at most the model's end; in whole interval units unless
    the model allows partial ones, which are built again when more of them is due.
    """
    end = cron.cron_floor(model.cron, model.cron_tz, now)
    if not model.allow_partials:
        end = cron.unit_floor(model.interval_unit, end)
    if model.end is not None:
        end = min(end, dates.to_exclusive_end_ms(model.end, now_ms=now))
    return end


def missing(model: Model, recorded: Iterable[Interval], *, start: int, end: int) -> tuple[Interval, ...]:
    """What of `[start, end)` is not recorded, in whole units; with lookback, the units before each missing one as well.

    Where a batch only adds rows, of a unit that was built in part the rest is missing. Of a slowly changing dimension
    nothing before what is recorded is missing: its query tells what is now. Empty when `end` is not after `start`.
    """
    done = tuple(recorded)
    unit = model.interval_unit
    if done and isinstance(model.kind, ScdType2ByTime | ScdType2ByColumn):
        start = max(start, open_unit(model, done))
    if end <= start:
        return ()
    whole = (Interval(start, end),)
    gaps = []
    for gap in subtract(whole, done):
        first, last = cron.unit_floor(unit, gap.start), cron.unit_ceil(unit, gap.end)
        if adds_rows(model.kind) and model.allow_partials:
            first = gap.start
        if min(last, end) > max(first, start):
            gaps.append(Interval(max(first, start), min(last, end)))
    if back := lookback(model.kind):
        gaps = [Interval(cron.unit_add(unit, gap.start, -back), gap.end) for gap in gaps]
        return intersect(gaps, whole)
    return merge(gaps)


def open_unit(model: Model, done: Sequence[Interval]) -> int:
    """Where what may still be built of a history that only goes on begins: after what is recorded, with the unit that
    is recorded in part.
    """
    return cron.unit_floor(model.interval_unit, done[-1].end) if model.allow_partials else done[-1].end


def must_begin_again(model: Model, recorded: Iterable[Interval], gaps: Sequence[Interval]) -> bool:
    """Whether the gaps can only be filled with what is loaded after them: what a batch leaves, or reads, depends on the
    batches before it. Rows that are only added may come in any order.
    """
    stands_on_rows = isinstance(model.kind, IncrementalByTimeRange) and model.may_read_itself
    if not stands_on_rows and not isinstance(model.kind, IncrementalByUniqueKey | IncrementalByPartition | Custom):
        return False
    done = tuple(recorded)
    new = subtract(gaps, done)
    return bool(done and new) and new[0].start < done[-1].end


def in_order(model: Model, recorded: Sequence[Interval], gaps: tuple[Interval, ...]) -> tuple[Interval, ...]:
    """The gaps, or, where they cannot be filled by themselves, all of history; of a model that replaces the rows of a
    range and reads its own, everything from the first gap on.
    """
    if not must_begin_again(model, recorded, gaps):
        return gaps
    start = gaps[0].start if isinstance(model.kind, IncrementalByTimeRange) else min(recorded[0].start, gaps[0].start)
    return (Interval(start, max(recorded[-1].end, gaps[-1].end)),)


def units(model: Model, spans: Iterable[Interval], end: int) -> tuple[Interval, ...]:
    """The ranges that people ask for in units of the model: from the beginning of the one a range starts in to the end
    of the last that it holds. What is due ends at `end`, whether or not a unit does; a model that allows partial units
    takes the ranges as they are.
    """
    if model.allow_partials:
        return merge(spans)
    unit = model.interval_unit
    cut = (
        (cron.unit_floor(unit, one.start), one.end if one.end >= end else cron.unit_floor(unit, one.end))
        for one in spans
    )
    return merge(Interval(first, last) for first, last in cut if first < last)


def limited(model: Model, gaps: tuple[Interval, ...], spans: Sequence[Interval] | None) -> tuple[Interval, ...]:
    """The gaps within the ranges (None: all of time), in whole units as `units` says. Where a later batch stands on
    those before it, that is everything up to the last range's end.
    """
    if spans is None or not gaps:
        return gaps
    spans = units(model, spans, gaps[-1].end)
    if not spans:
        return ()
    end = max(one.end for one in spans)
    if depends_on_past(model.kind) and end > gaps[0].start:
        spans = [Interval(min(gaps[0].start, *(one.start for one in spans)), end)]
    return intersect(gaps, spans)


def batches(model: Model, intervals: Sequence[Interval]) -> tuple[Interval, ...]:
    """The intervals cut into pieces of at most `batch_size` units, in order; without a batch size they stay whole."""
    size = batch_size(model.kind)
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
