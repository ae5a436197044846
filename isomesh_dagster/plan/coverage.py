"""Which of its time a table can be built for: what is read must be there, or it counts as built what it never saw.

A range that people ask for, or a selection, may leave tables with a part of their history. What is built over such a
table is right for that part only, and is recorded so: when the rest comes, it is missing there too. Moments are epoch
milliseconds in UTC, intervals half-open.
"""

from __future__ import annotations

from collections.abc import Mapping

from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model import cron
from isomesh_dagster.model.kinds import IncrementalByTimeRange, Seed, View
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.missing import missing
from isomesh_dagster.plan.plan import Build
from isomesh_dagster.snapshot.interval import Interval, intersect, merge
from isomesh_dagster.snapshot.snapshot import Snapshot

Spans = tuple[Interval, ...]
Recorded = Mapping[str, Spans]
"""Intervals that are built, by physical relation (dotted)."""


class Coverage:
    """What the tables of one plan hold once it is applied, noted model by model, parents first.

    `begins` says when each model's history begins.
    """

    def __init__(self, graph: ModelGraph, begins: Mapping[str, int]) -> None:
        self._graph = graph
        self._begins = begins
        self._parts: dict[str, Spans] = {}

    def below(self, name: str) -> Spans | None:
        """The ranges for which all that the model reads is there; None: all of time."""
        found: Spans | None = None
        for parent in self._graph.parents[name]:
            if (part := self._parts.get(parent)) is not None:
                found = part if found is None else intersect(found, part)
        return found

    def note(self, snapshot: Snapshot, recorded: Recorded, step: Build | None, end: int) -> None:
        """What of a history that is due until `end` the table holds: what is recorded of it (by physical relation), and
        what `step` builds.
        """
        model = snapshot.model
        if isinstance(model.kind, Seed) or snapshot.is_preview:
            return  # a file is read whole, and previews are read by previews only, which are never more than a part
        if snapshot.physical is None or isinstance(model.kind, View):
            parts = self.below(model.name)  # without rows of its own it shows what it reads
        else:
            done = merge([*recorded.get(str(snapshot.physical), ()), *(step.intervals if step is not None else ())])
            is_whole = not missing(model, done, start=self._begins[model.name], end=end)
            parts = None if is_whole else done
        if parts is not None:
            self._parts[model.name] = parts


def whole_units(model: Model, spans: Spans) -> Spans:
    """The ranges without the units of the model that they hold only a part of."""
    unit = model.interval_unit
    cut = ((cron.unit_ceil(unit, one.start), cron.unit_floor(unit, one.end)) for one in spans)
    return tuple(Interval(start, end) for start, end in cut if start < end)


def within(model: Model, gaps: Spans, spans: Spans | None) -> Spans:
    """What of the model's gaps can be built over `spans`: where batches stand on those before, only what lies in the
    last of them.
    """
    if spans is None:
        return gaps
    there = whole_units(model, spans)
    return intersect(gaps, there if isinstance(model.kind, IncrementalByTimeRange) else there[-1:])


def of_whole(start: int, end: int, spans: Spans | None) -> Interval:
    """The range for which a table that is made in one piece counts as built: `[start, end)`, or the last part of it
    that is there; never empty.
    """
    parts = intersect([Interval(min(start, end - 1), end)], spans) if spans is not None else ()
    if spans is None or not parts:
        return Interval(min(start, end - 1) if spans is None else end - 1, end)
    return parts[-1]
