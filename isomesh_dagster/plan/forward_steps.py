"""The steps of a plan that forward-only changes need: tables to migrate, rows to compute again, previews to fill.

Moments are epoch milliseconds in UTC.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model import cron
from isomesh_dagster.model.kinds import View, is_incremental, keeps_history, replaces_partitions
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.coverage import Recorded
from isomesh_dagster.plan.forward_only import migrates
from isomesh_dagster.plan.missing import batches, missing, units
from isomesh_dagster.plan.plan import Build, Migrate
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.snapshot.interval import Interval, intersect, subtract
from isomesh_dagster.snapshot.snapshot import Snapshot, SnapshotId


def migrations(
    graph: ModelGraph, snapshots: Mapping[str, Snapshot], already: Mapping[str, SnapshotId], wish: Wish
) -> tuple[Migrate, ...]:
    """A step for each table that stays under another definition than the environment shows, parents first."""
    return tuple(
        Migrate(
            snapshot=snapshots[name],
            allows_destructive=name in wish.allow_destructive,
            allows_additive=name in wish.allow_additive,
        )
        for name in graph.order
        if migrates(snapshots[name]) and already.get(name) != snapshots[name].id
    )


def preview_range(model: Model, start: int, end: int, wish: Wish) -> Interval | None:
    """Which of `[start, end)` a preview holds: what was asked for, else from `effective_from` on, else the last
    unit.
    """
    if wish.within is not None:
        found = intersect(units(model, [wish.within], end), [Interval(start, end)]) if end > start else ()
        return found[0] if found else None
    first = cron.unit_add(model.interval_unit, cron.unit_floor(model.interval_unit, end), -1)
    if wish.effective_from is not None:
        first = cron.unit_floor(model.interval_unit, wish.effective_from)
    first = max(first, start)
    return Interval(first, end) if end > first else None


def preview_build(snapshot: Snapshot, done: Sequence[Interval] | None, span: Interval | None) -> Build | None:
    """The step that fills a preview that is written interval by interval over `span` (None: it stays empty); None when
    it is filled. `done` is what is recorded of it, None when it was never made.
    """
    gaps = missing(snapshot.model, done or (), start=span.start, end=span.end) if span is not None else ()
    gaps = intersect(gaps, [span]) if span is not None else ()
    if not gaps and done is not None:
        return None
    return Build(snapshot=snapshot, intervals=gaps, batches=batches(snapshot.model, gaps))


def later_builds(
    graph: ModelGraph,
    snapshots: Mapping[str, Snapshot],
    migrated: Collection[str],
    builds: Sequence[Build],
    recorded: Recorded,
    effective_from: int,
) -> tuple[tuple[Build, ...], tuple[str, ...]]:
    """What is computed again after the swap, parents first, and warnings about what cannot be.

    `migrated` are models whose tables stay under a new definition, `builds` what is built before the swap: what of them
    reads a table whose rows are computed again is so as well.
    """
    before = {step.snapshot.name: step for step in builds if not step.repoint}
    reached: set[str] = set()
    steps: list[Build] = []
    warnings: list[str] = []
    for name in graph.order:
        snapshot = snapshots[name]
        reads_again = any(parent in reached for parent in graph.parents[name])
        if not snapshot.is_physical or isinstance(snapshot.model.kind, View):
            if reads_again:
                reached.add(name)
            continue
        if name not in migrated and not (reads_again and name in before):
            continue
        if not _can_compute_again(snapshot.model):
            warnings.append(
                f"{name} is not computed again from the effective date: its kind only adds to what is there"
            )
            continue
        done = (*recorded.get(str(snapshot.physical), ()), *(before[name].intervals if name in before else ()))
        step = _again(snapshot, done, effective_from)
        if step is not None:
            steps.append(step)
            reached.add(name)
    return tuple(steps), tuple(warnings)


def unfinished(
    later: Mapping[str, tuple[Interval, ...]], shown: Mapping[str, Snapshot], recorded: Recorded
) -> dict[str, tuple[Interval, ...]]:
    """What of `later`, the rows a plan was to compute again after its swap (by model), is not recorded as built.

    `shown` are the snapshots that plan made its environment show.
    """
    left: dict[str, tuple[Interval, ...]] = {}
    for name, intervals in later.items():
        snapshot = shown.get(name)
        if snapshot is None:
            continue
        gaps = subtract(intervals, recorded.get(str(snapshot.physical), ()))
        if gaps:
            left[name] = gaps if is_incremental(snapshot.model.kind) else intervals
    return left


def _can_compute_again(model: Model) -> bool:
    return not keeps_history(model.kind) or replaces_partitions(model.kind)


def _again(snapshot: Snapshot, done: Sequence[Interval], effective_from: int) -> Build | None:
    model = snapshot.model
    if not done:
        return None
    begin, end = min(one.start for one in done), max(one.end for one in done)
    first = max(cron.unit_floor(model.interval_unit, effective_from), begin)
    if first >= end:
        return None
    gaps = (Interval(first if is_incremental(model.kind) else begin, end),)
    return Build(snapshot=snapshot, intervals=gaps, batches=batches(model, gaps), later=True)
