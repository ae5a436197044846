"""What a plan builds of one snapshot: its gaps up to where the environment has come, as people wish."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from isomesh_dagster.errors import PlanError
from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model import cron
from isomesh_dagster.model.kinds import Seed, View, batch_size, is_incremental, keeps_history
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.cadence import clock_end, is_due
from isomesh_dagster.plan.coverage import Coverage, Recorded, Spans, of_whole, within
from isomesh_dagster.plan.forward_steps import preview_build, preview_range
from isomesh_dagster.plan.missing import batches, due_end, in_order, limited, missing, must_begin_again, starts
from isomesh_dagster.plan.plan import Build
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.plan.words import some
from isomesh_dagster.snapshot.interval import Interval, merge, subtract
from isomesh_dagster.snapshot.snapshot import Snapshot

MANY_BATCHES = 2_000
"""More batches than this for one model are warned of: each is a transaction of its own."""

_GAPS_SHOWN = 5


class Steps:
    """The steps of one plan, to be asked for parents first. `shown` are the snapshots of the environment compared with,
    `recorded` and `due_again` the intervals by physical relation, `unfinished` those by model that were to be computed
    again after a swap and are not, `now` epoch milliseconds UTC. Previews stay empty unless `fills_previews`.
    """

    def __init__(
        self,
        *,
        graph: ModelGraph,
        shown: Mapping[str, Snapshot],
        recorded: Recorded,
        due_again: Recorded,
        unfinished: Mapping[str, Spans],
        fills_previews: bool,
        now: int,
        wish: Wish,
    ) -> None:
        self._recorded = recorded
        self._due_again = due_again
        self._unfinished = unfinished
        self._fills_previews = fills_previews
        self._now = now
        self._wish = wish
        self._backfill = frozenset(wish.backfill)
        self._begins = starts(graph, now)
        self._coverage = Coverage(graph, self._begins)
        self._ends = {
            # what was taken back was there: an environment has come as far as its rows
            name: merge([*recorded.get(table, ()), *due_again.get(table, ())])[-1].end
            for name, snapshot in shown.items()
            if (table := str(snapshot.physical)) in recorded or due_again.get(table)
        }
        self._furthest = max(self._ends.values(), default=None)

    def of(self, snapshot: Snapshot, *, is_shown: bool, repoint: bool, stays: bool) -> Build | None:
        """The step that makes the snapshot whole; None when nothing is to do.

        Of what the environment shows already (`is_shown`) only what was taken back is missing, or was never built at
        all, unless more is asked for. What is missing of a table that `stays` under its new definition waits for the
        clock: its columns come first.
        """
        step = None
        if snapshot.is_physical and not stays:
            step = self._of_table(snapshot, is_shown=is_shown, repoint=repoint)
        self._coverage.note(snapshot, self._recorded, step, self._end(snapshot.model))
        return step

    def _of_table(self, snapshot: Snapshot, *, is_shown: bool, repoint: bool) -> Build | None:
        model = snapshot.model
        done = self._recorded.get(str(snapshot.physical))
        start, end = self._begins[model.name], self._end(model)
        if is_shown and model.name in self._unfinished:
            if self._wish.skip_backfill:
                return None
            gaps = self._unfinished[model.name]
            return Build(snapshot=snapshot, intervals=gaps, batches=batches(model, gaps), later=True)
        if snapshot.is_preview and is_incremental(model.kind) and not is_shown:
            span = preview_range(model, start, end, self._wish) if self._fills_previews else None
            preview = preview_build(snapshot, done, span)
            return None if preview is None else self._shaped(preview, is_shown=False)
        if is_shown and self._backfill and model.name not in self._backfill:
            return None
        below = self._coverage.below(model.name)
        if not is_incremental(model.kind):
            # a view holds no rows: that what it reads is a part is told of that
            over = None if isinstance(model.kind, View) else below
            step = replace(whole(snapshot, of_whole(start, end, below), repoint=repoint), over=over)
            # a view that is there shows what is there; before the start, by a clock that is wrong, nothing is due
            is_open = not is_shown and not isinstance(model.kind, View) and start < end
            if done is None or ((is_open or self._wish.run) and is_due(model, done, step.intervals[0])):
                return self._shaped(step, is_shown=is_shown)
            return None
        due_again = self._due_again.get(str(snapshot.physical), ())
        is_asked = self._wish.run or model.name in self._backfill
        gaps = due_again if is_shown and done and not is_asked else missing(model, done or (), start=start, end=end)
        gaps = within(model, limited(model, merge([*gaps, *due_again]), self._spans(model, end)), below)
        gaps = in_order(model, done or (), gaps)
        if not gaps and (done is not None or is_shown):
            return None
        # nothing may be due yet (a start to come): the step then makes the empty table its view needs
        return self._shaped(Build(snapshot=snapshot, intervals=gaps, batches=batches(model, gaps)), is_shown=is_shown)

    def begins_again(self, step: Build) -> bool:
        """Whether the step makes rows again that are there: a whole table, or a history from its beginning."""
        done = self._recorded.get(str(step.snapshot.physical), ())
        if not is_incremental(step.snapshot.model.kind):
            return bool(done)
        return must_begin_again(step.snapshot.model, done, step.intervals)

    def _end(self, model: Model) -> int:
        """How far the model is built: as far as the environment compared with has come, with `run` to the clock."""
        if self._wish.run:
            return clock_end(model, self._now, ignore_cron=self._wish.ignore_cron)
        due = due_end(model, self._now)
        reached = self._ends.get(model.name, self._furthest)
        if reached is None or reached >= due:
            return due
        return reached if model.allow_partials else cron.unit_floor(model.interval_unit, reached)

    def _spans(self, model: Model, end: int) -> tuple[Interval, ...] | None:
        """The ranges that are asked for; None: all of time."""
        if self._wish.within is None:
            return None
        if not self._wish.min_intervals:
            return (self._wish.within,)
        unit = model.interval_unit
        first = cron.unit_add(unit, cron.unit_floor(unit, end), -self._wish.min_intervals)
        return merge([self._wish.within, Interval(first, end)])

    def _shaped(self, step: Build, *, is_shown: bool) -> Build | None:
        """The step as asked: with its rows, or with none. Views hold no rows, and a seed's cost nothing."""
        if isinstance(step.snapshot.model.kind, View | Seed):
            return step
        if self._wish.empty_backfill:
            return Build(snapshot=step.snapshot, intervals=step.intervals, batches=step.intervals, hollow=True)
        if self._wish.skip_backfill:
            is_there = is_shown or str(step.snapshot.physical) in self._recorded
            return None if is_there else Build(snapshot=step.snapshot, intervals=(), batches=(), hollow=True)
        return step


def whole(snapshot: Snapshot, interval: Interval, *, repoint: bool) -> Build:
    """The step that makes a table or view of a kind without intervals, which counts as built for `interval`."""
    return Build(snapshot=snapshot, intervals=(interval,), batches=(interval,), repoint=repoint)


def refuse_gaps(
    shown: Mapping[str, Snapshot], snapshots: Mapping[str, Snapshot], builds: Iterable[Build], recorded: Recorded
) -> None:
    """Raises PlanError when a table that takes the place of one in `shown` will hold fewer intervals than that does."""
    built = {step.snapshot.name: step.intervals for step in builds}
    lost = []
    for name, snapshot in snapshots.items():
        old = shown.get(name)
        if old is None or old.physical is None or old.physical == snapshot.physical:
            continue
        had = recorded.get(str(old.physical), ())
        has = (*recorded.get(str(snapshot.physical), ()), *built.get(name, ()))
        both = is_incremental(old.model.kind) and is_incremental(snapshot.model.kind)
        gaps = subtract(had, has) if both else had if not has else ()
        if gaps:
            lost.append(f"\n    {name}: {', '.join(map(str, gaps[:_GAPS_SHOWN]))}")
    if lost:
        raise PlanError(
            f"{len(lost)} of the new tables would lack intervals that the present ones hold:{''.join(lost)}",
            hint="plan a range that holds them, give the models their earlier start back, or leave no_gaps out",
        )


def warnings_of(builds: Iterable[Build], environment: str) -> Iterator[str]:
    """What a person should know of the steps before they agree."""
    skipped = [step.snapshot.name for step in builds if step.hollow and not step.intervals]
    empty = [step.snapshot.name for step in builds if step.hollow and step.intervals]
    if skipped:
        yield (
            f"{environment} will show tables without rows: {some(skipped)}."
            f" `isomesh run {environment}` fills them, and so does the next plan"
        )
    if empty:
        yield (
            f"{environment} will show tables without rows: {some(empty)}."
            " Their intervals count as built, so that only a restatement fills them"
        )
    for step in builds:
        if len(step.batches) > MANY_BATCHES:
            model = step.snapshot.model
            yield (
                f"{model.name} takes {len(step.batches):,} batches of {batch_size(model.kind)} {model.interval_unit},"
                " a transaction for each: fewer with a larger batch_size, a later start or a coarser interval_unit"
            )


def lost_history(builds: Iterable[Build], shown: Mapping[str, Snapshot], recorded: Recorded) -> Iterator[str]:
    """A warning for each table that starts anew although the old one holds what no query can tell again."""
    for step in builds:
        snapshot, old = step.snapshot, shown.get(step.snapshot.name)
        is_replaced = old is not None and old.physical is not None and old.physical != snapshot.physical
        if old is not None and is_replaced and keeps_history(old.model.kind) and str(snapshot.physical) not in recorded:
            yield (
                f"{snapshot.name} begins anew: its new table holds what the query returns now, the history that "
                f"{old.physical} gathered is not taken over"
            )
