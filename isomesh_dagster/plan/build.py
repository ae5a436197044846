"""The plan itself: from a decision and what is recorded as built to steps."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model.kinds import depends_on_past, is_incremental, keeps_history
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.audits import audit_steps
from isomesh_dagster.plan.cadence import due_builds
from isomesh_dagster.plan.missing import batches, due_end, in_order, missing, must_begin_again, starts
from isomesh_dagster.plan.plan import Build, Decision, Plan, Promote
from isomesh_dagster.plan.wish import NOTHING, Wish
from isomesh_dagster.snapshot.environment import PROD, Environment, Target, View
from isomesh_dagster.snapshot.fingerprint import digest
from isomesh_dagster.snapshot.interval import Interval, from_ms, intersect
from isomesh_dagster.snapshot.naming import view_relation
from isomesh_dagster.snapshot.snapshot import Snapshot, SnapshotId

Recorded = Mapping[str, tuple[Interval, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """How environments of this gateway are laid out: where their name goes, how long they live (None: for ever), and
    the statements that run before and after all that is done to them.
    """

    gateway: str
    suffix_target: str = "schema"
    environment_ttl: timedelta | None = None
    pinned: Collection[str] = ()
    before_all: tuple[str, ...] = ()
    after_all: tuple[str, ...] = ()


def build_plan(
    *,
    layer: Layer,
    environment: str,
    current: Environment | None,
    compared_with: str | None,
    shown: Mapping[str, Snapshot],
    graph: ModelGraph,
    decision: Decision,
    known: Collection[SnapshotId],
    recorded: Recorded,
    now: int,
    wish: Wish = NOTHING,
    vouched: Iterable[Snapshot] = (),
) -> Plan:
    """The plan that makes `environment` show the decision's snapshots.

    `current` is the environment as recorded, `shown` the snapshots of the environment compared with (`compared_with`;
    itself, prod for a new one, or None), `known` the ids the state has, `recorded` the intervals by physical relation,
    `now` epoch milliseconds UTC. `wish` is what people ask of it; its `within` limits which intervals of time-range
    models are built (None: all that are missing). A plan does not catch up with the clock: models end where the
    environment compared with ends, `run` goes on from there. `vouched` are further snapshots that some environment
    shows or showed, so that their audits passed.
    """
    already = current.target.snapshots if current is not None else {}
    begins = starts(graph, now)
    frontier = _Frontier(shown, recorded, now)
    builds: list[Build] = []
    reuses: list[SnapshotId] = []
    for name in graph.order:
        snapshot = decision.snapshots[name]
        if not snapshot.is_physical or already.get(name) == snapshot.id:
            continue
        build = _build(
            snapshot, begins[name], frontier.end(snapshot.model), recorded, name in decision.repoints, wish.within
        )
        if build is not None:
            builds.append(build)
        else:
            reuses.append(snapshot.id)
    promote = _promote(layer, environment, current, decision.snapshots, now)
    based_on = current.plan_id if current is not None else None
    return Plan(
        id=_plan_id(layer, environment, based_on, decision.snapshots, builds),
        gateway=layer.gateway,
        environment=environment,
        based_on=based_on,
        execution_time=from_ms(now),
        changes=decision.changes,
        snapshots=decision.snapshots,
        new_snapshots=tuple(one.id for one in decision.snapshots.values() if one.id not in known),
        builds=tuple(builds),
        reuses=tuple(reuses),
        before_all=layer.before_all,
        after_all=layer.after_all,
        statement_diff=statement_diff(current.target if current is not None else Target(), layer),
        audits=audit_steps(decision.snapshots, builds, recorded, (*shown.values(), *vouched)),
        promote=promote,
        is_new_environment=current is None,
        compared_with=compared_with,
        restates=frozenset(step.snapshot.name for step in builds if _begins_again(step, recorded)),
        warnings=tuple(_lost_history(builds, shown, recorded)),
        wish=replace(wish, choices=decision.choices),
    )


def build_run(
    *,
    layer: Layer,
    current: Environment,
    graph: ModelGraph,
    snapshots: Mapping[str, Snapshot],
    recorded: Recorded,
    now: int,
) -> Plan:
    """The plan that catches `current` up with the clock: what its models' crons have made due, from the state alone.

    Whole-table models are made again when a tick passed since they were; nothing is promoted, the views stay.
    """
    builds = due_builds(graph, snapshots, recorded, now)
    return Plan(
        id=_plan_id(layer, current.name, current.plan_id, snapshots, builds),
        gateway=layer.gateway,
        environment=current.name,
        based_on=current.plan_id,
        execution_time=from_ms(now),
        changes=(),
        snapshots=snapshots,
        new_snapshots=(),
        builds=builds,
        reuses=(),
        before_all=current.target.before_all,
        after_all=current.target.after_all,
        audits=audit_steps(snapshots, builds, recorded, snapshots.values()),
        promote=None,
        compared_with=current.name,
        restates=frozenset(
            step.snapshot.name
            for step in builds
            if not is_incremental(step.snapshot.model.kind) or _begins_again(step, recorded)
        ),
    )


def statement_diff(old: Target, new: Layer) -> str:
    """How the statements before and after everything differ; "" when they do not."""

    def lines(before: Sequence[str], after: Sequence[str]) -> list[str]:
        told = [(name, text) for name, texts in (("before_all", before), ("after_all", after)) for text in texts]
        return [f"{name}: {line}" for name, text in told for line in text.splitlines()]

    before, after = lines(old.before_all, old.after_all), lines(new.before_all, new.after_all)
    return "\n".join(difflib.unified_diff(before, after, fromfile="before", tofile="after", lineterm="", n=3))


class _Frontier:
    """How far in time the environment compared with has come: the end of what a plan builds."""

    def __init__(self, shown: Mapping[str, Snapshot], recorded: Recorded, now: int) -> None:
        self._now = now
        self._ends = {
            name: recorded[str(snapshot.physical)][-1].end
            for name, snapshot in shown.items()
            if str(snapshot.physical) in recorded
        }
        self._furthest = max(self._ends.values(), default=None)

    def end(self, model: Model) -> int:
        due = due_end(model, self._now)
        reached = self._ends.get(model.name, self._furthest)
        return due if reached is None else min(due, reached)


def _build(
    snapshot: Snapshot, start: int, end: int, recorded: Recorded, repoint: bool, within: Interval | None
) -> Build | None:
    """The step that makes the snapshot whole up to `end`; None when it is."""
    model = snapshot.model
    done = recorded.get(str(snapshot.physical))
    if not is_incremental(model.kind):
        return _whole(snapshot, start, end, repoint=repoint) if done is None else None
    gaps = missing(model, done or (), start=start, end=end)
    if within is not None and depends_on_past(model.kind) and gaps and within.end > gaps[0].start:
        within = Interval(min(within.start, gaps[0].start), within.end)  # a later batch stands on all before it
    if within is not None:
        gaps = intersect(gaps, [within])
    gaps = in_order(model, done or (), gaps)
    if not gaps and done is not None:
        return None
    # nothing may be due yet (a start to come): the step then makes the empty table its view needs
    return Build(snapshot=snapshot, intervals=gaps, batches=batches(model, gaps))


def _begins_again(step: Build, recorded: Recorded) -> bool:
    return must_begin_again(step.snapshot.model, recorded.get(str(step.snapshot.physical), ()), step.intervals)


def _lost_history(builds: Iterable[Build], shown: Mapping[str, Snapshot], recorded: Recorded) -> Iterator[str]:
    """A warning for each table that starts anew although the old one holds what no query can tell again."""
    for step in builds:
        snapshot, old = step.snapshot, shown.get(step.snapshot.name)
        is_replaced = old is not None and old.physical is not None and old.physical != snapshot.physical
        if old is not None and is_replaced and keeps_history(old.model.kind) and str(snapshot.physical) not in recorded:
            yield (
                f"{snapshot.name} begins anew: its new table holds what the query returns now, the history that "
                f"{old.physical} gathered is not taken over"
            )


def _whole(snapshot: Snapshot, start: int, end: int, *, repoint: bool) -> Build:
    interval = Interval(min(start, end - 1), end)
    return Build(snapshot=snapshot, intervals=(interval,), batches=(interval,), repoint=repoint)


def _promote(
    layer: Layer, environment: str, current: Environment | None, snapshots: Mapping[str, Snapshot], now: int
) -> Promote | None:
    views = {
        name: View(view=str(view_relation(name, environment, layer.suffix_target)), physical=str(snapshot.physical))
        for name, snapshot in snapshots.items()
        if snapshot.physical is not None
    }
    target = Target(
        snapshots={name: snapshot.id for name, snapshot in snapshots.items()},
        views=views,
        before_all=layer.before_all,
        after_all=layer.after_all,
    )
    if current is not None and current.target == target:
        return None
    before = {one.view: one.physical for one in current.target.views.values()} if current is not None else {}
    after = {one.view: one.physical for one in views.values()}
    lives_for = None if environment == PROD or environment in layer.pinned else layer.environment_ttl
    return Promote(
        environment=environment,
        target=target,
        create={view: physical for view, physical in sorted(after.items()) if before.get(view) != physical},
        drop=tuple(sorted(before.keys() - after.keys())),
        expires_at=from_ms(now) + lives_for if lives_for is not None else None,
        suffix_target=layer.suffix_target,
    )


def _plan_id(
    layer: Layer, environment: str, based_on: str | None, snapshots: Mapping[str, Snapshot], builds: Iterable[Build]
) -> str:
    return digest(
        [
            layer.gateway,
            environment,
            based_on,
            [layer.before_all, layer.after_all],
            sorted([one.name, one.fingerprint.identity, one.version] for one in snapshots.values()),
            [[step.snapshot.name, [[one.start, one.end] for one in step.intervals]] for step in builds],
        ],
        size=8,
    )
