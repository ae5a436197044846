"""Restatement: the rows of some models, and of all that reads them, are made again in their tables.

The range that is asked for grows on its way down: a model that is built day by day makes a whole day again for an hour,
and so does all that reads it. Kinds without intervals, and those where each batch stands on the ones before, make
everything again. What production makes again is due again in the tables of other versions: `DueAgain`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from isomesh_dagster.graph.order import ModelGraph, build_graph
from isomesh_dagster.model import cron
from isomesh_dagster.model.kinds import (
    External,
    IncrementalByTimeRange,
    Seed,
    View,
    disable_restatement,
    is_physical,
    keeps_history,
)
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.build import build_in_place
from isomesh_dagster.plan.coverage import Recorded
from isomesh_dagster.plan.layer import Layer
from isomesh_dagster.plan.missing import batches
from isomesh_dagster.plan.plan import Build, DueAgain, Plan
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.snapshot.environment import PROD, Environment
from isomesh_dagster.snapshot.interval import Interval, intersect, merge
from isomesh_dagster.snapshot.snapshot import Snapshot

EVER = Interval(-(2**62), 2**62)
"""All of time, for who asks for no range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Others:
    """What else the state knows: snapshots by model of each other environment; `unshown`, those that none shows."""

    environments: Mapping[str, Mapping[str, Snapshot]]
    unshown: tuple[Snapshot, ...] = ()


def build_restatement(
    *,
    layer: Layer,
    current: Environment,
    graph: ModelGraph,
    snapshots: Mapping[str, Snapshot],
    recorded: Recorded,
    others: Others,
    now: int,
    wish: Wish,
) -> Plan:
    """The plan that makes the rows of `wish.restate` and of their readers again, where `current` shows them.

    `graph` and `snapshots` are what it shows, `recorded` the intervals by physical relation (what is due again among
    them), also of `others`; `now` epoch milliseconds UTC. What is not recorded is not built. From another environment
    than prod, tables that prod shows too stay as they are. The same restatement at another moment is another plan: rows
    that were made again once may be made again twice.
    """
    asked_names = frozenset(wish.restate)
    tables_of_prod = _tables(others.environments.get(PROD, {}))
    blocked = {
        name: told for name, snapshot in snapshots.items() if (told := _blocked(snapshot, tables_of_prod)) is not None
    }
    asked = reach(graph, asked_names, wish.within or EVER, blocked.keys())
    builds = [step for name, span in asked.items() if (step := _again(snapshots[name], span, recorded)) is not None]
    due_again = _due_again(snapshots, others, asked_names, wish, recorded) if builds and current.name == PROD else ()
    restates = frozenset(step.snapshot.name for step in builds)
    made = build_in_place(
        layer=layer,
        current=current,
        snapshots=snapshots,
        builds=builds,
        recorded=recorded,
        now=now,
        moment=now,
        restates=restates,
        warnings=_warnings(graph, asked_names, asked, blocked, snapshots, restates),
    )
    return replace(made, due_again=due_again, wish=wish)


def reach(graph: ModelGraph, names: Collection[str], span: Interval, blocked: Collection[str]) -> dict[str, Interval]:
    """The range in which rows of `names` and their readers may change, by model, parents first. A blocked model's rows
    do not change, and nothing changes through it.
    """
    result: dict[str, Interval] = {}
    for name in graph.order:
        spans = [result[parent] for parent in graph.parents[name] if parent in result]
        if name in names:
            spans.append(span)
        if spans and name not in blocked:
            hull = Interval(min(one.start for one in spans), max(one.end for one in spans))
            result[name] = _outward(graph.models[name], hull)
    return result


def _outward(model: Model, span: Interval) -> Interval:
    """The range in whole units of a model that is built by them; of one that reads its own rows, all after it too."""
    if not isinstance(model.kind, IncrementalByTimeRange):
        return span
    unit = model.interval_unit
    start = span.start if span.start == EVER.start else cron.unit_floor(unit, span.start)
    if span.end == EVER.end or model.may_read_itself:
        return Interval(start, EVER.end)
    return Interval(start, cron.unit_ceil(unit, span.end))


def _held(snapshot: Snapshot, span: Interval, recorded: Recorded) -> tuple[Interval, ...]:
    """What of the snapshot's rows the range concerns: the recorded intervals within it, or all that there are."""
    if snapshot.physical is None or isinstance(snapshot.model.kind, View | Seed):
        return ()
    done = recorded.get(str(snapshot.physical), ())
    if isinstance(snapshot.model.kind, IncrementalByTimeRange):
        return intersect(done, [span])
    return (Interval(done[0].start, done[-1].end),) if done else ()


def _again(snapshot: Snapshot, span: Interval, recorded: Recorded) -> Build | None:
    held = _held(snapshot, span, recorded)
    if not held:
        return None
    return Build(snapshot=snapshot, intervals=held, batches=batches(snapshot.model, held))


def _blocked(snapshot: Snapshot, tables_of_prod: Collection[str]) -> str | None:
    """Why the snapshot's rows are not made again; None when they may be."""
    kind = snapshot.model.kind
    if disable_restatement(kind):
        return "its kind says disable_restatement"
    if str(snapshot.physical) in tables_of_prod and not isinstance(kind, View | Seed):
        return "prod shows the same table, and only a plan for prod makes it again"
    return None


def _tables(snapshots: Mapping[str, Snapshot]) -> frozenset[str]:
    return frozenset(str(one.physical) for one in snapshots.values() if one.physical is not None)


def _due_again(
    snapshots: Mapping[str, Snapshot],
    others: Others,
    names: Collection[str],
    wish: Wish,
    recorded: Recorded,
) -> tuple[DueAgain, ...]:
    """What is due again in tables that prod does not show: those of the same models, and of what reads them there."""
    kept = _tables(snapshots)
    found: dict[str, tuple[Snapshot, tuple[Interval, ...], set[str]]] = {}

    def take_back(snapshot: Snapshot, span: Interval, environment: str | None) -> None:
        held = _held(snapshot, span, recorded)
        if not held or str(snapshot.physical) in kept or disable_restatement(snapshot.model.kind):
            return
        one, before, shown_in = found.setdefault(str(snapshot.physical), (snapshot, (), set()))
        shown_in.update([environment] if environment is not None else [])
        found[str(snapshot.physical)] = (one, merge([*before, *held]), shown_in)

    widest: dict[str, Interval] = {}
    for environment, shown in [("", snapshots), *others.environments.items()]:
        graph = build_graph({name: one.model for name, one in shown.items()})
        fixed = [name for name, one in shown.items() if disable_restatement(one.model.kind)]
        for name, span in reach(graph, names, wish.within or EVER, fixed).items():
            other = widest.get(name, span)
            widest[name] = Interval(min(span.start, other.start), max(span.end, other.end))
            if environment:
                take_back(shown[name], span, environment)
    for snapshot in others.unshown:
        if snapshot.name in widest:
            take_back(snapshot, widest[snapshot.name], None)
    return tuple(
        DueAgain(snapshot=snapshot, intervals=intervals, environments=tuple(sorted(shown_in)))
        for _, (snapshot, intervals, shown_in) in sorted(found.items())
    )


def _warnings(
    graph: ModelGraph,
    names: Collection[str],
    asked: Collection[str],
    blocked: Mapping[str, str],
    snapshots: Mapping[str, Snapshot],
    restates: Collection[str],
) -> Iterator[str]:
    reached = {*names, *(child for name in asked for child in graph.children[name])}
    for name in graph.order:
        if name not in reached:
            continue
        kind = snapshots[name].model.kind
        if name in blocked:
            yield f"{name} is not restated: {blocked[name]}"
        elif name in names and isinstance(kind, Seed | External):
            what = "its rows come from its file" if isinstance(kind, Seed) else "its table is written by somebody else"
            yield f"{name} is not built again, {what}; what reads it is"
        elif name in names and is_physical(kind) and not isinstance(kind, View) and name not in restates:
            yield f"{name} has no rows in this range: nothing of it is restated"
        elif name in restates and keeps_history(kind):
            yield f"{name} is made again from its query: the history it gathered, which no query tells again, is lost"
