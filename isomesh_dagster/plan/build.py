"""The plan itself: from a decision and what is recorded as built to steps."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model.kinds import is_incremental
from isomesh_dagster.plan.audits import audit_steps
from isomesh_dagster.plan.cadence import due_builds, pending_restatements
from isomesh_dagster.plan.coverage import Recorded, Spans
from isomesh_dagster.plan.forward_steps import later_builds, migrations
from isomesh_dagster.plan.layer import Layer, plan_id
from isomesh_dagster.plan.missing import must_begin_again
from isomesh_dagster.plan.plan import Build, Decision, Plan, Promote
from isomesh_dagster.plan.restatement import Restatement
from isomesh_dagster.plan.steps import Steps, lost_history, refuse_gaps, warnings_of
from isomesh_dagster.plan.wish import EVERYTHING_DUE, NOTHING, RunWish, Wish
from isomesh_dagster.snapshot.environment import PROD, Environment, Target, View
from isomesh_dagster.snapshot.interval import from_ms
from isomesh_dagster.snapshot.snapshot import Snapshot, SnapshotId


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
    due_again: Recorded = MappingProxyType({}),
    unfinished: Mapping[str, Spans] = MappingProxyType({}),
    left: Collection[str] = (),
) -> Plan:
    """The plan that makes `environment` show the decision's snapshots.

    `current` is the environment as recorded, `shown` the snapshots of the environment compared with (`compared_with`;
    itself, prod for a new one, or None), `known` the ids the state has, `recorded` the intervals by physical relation,
    `now` epoch milliseconds UTC. `wish` is what people ask of it; its `within` limits which intervals of time-range
    models are built (None: all that are missing), its models are names. A plan does not catch up with the clock unless
    that is wished: models end where the environment compared with ends, `run` goes on from there. `vouched` are further
    snapshots that some environment shows or showed, so that their audits passed. `due_again` are intervals by
    physical relation that were built once and are not any more, `unfinished` those, by model, that the plan the
    environment shows was to compute again after its swap, and has not. `left` are models that only prod may build as
    long as the environment shows them as it does. Raises PlanError when the wish is to have no
    gaps and there would be some.
    """
    already = current.target.snapshots if current is not None else {}
    migrated = migrations(graph, decision.snapshots, already, wish) if environment == PROD else ()
    stay = {step.snapshot.name for step in migrated}
    steps = Steps(
        graph=graph,
        shown=shown,
        recorded=recorded,
        due_again=due_again,
        unfinished=unfinished,
        fills_previews=layer.fills_previews,
        now=now,
        wish=wish,
    )
    builds: list[Build] = []
    reuses: list[SnapshotId] = []
    for name in graph.order:
        snapshot = decision.snapshots[name]
        is_shown = already.get(name) == snapshot.id
        if is_shown and name in left and snapshot.is_physical:
            continue
        step = steps.of(snapshot, is_shown=is_shown, repoint=name in decision.repoints, stays=name in stay)
        if step is not None:
            builds.append(step)
        elif snapshot.is_physical and not is_shown:
            reuses.append(snapshot.id)
    if wish.no_gaps and current is not None:
        refuse_gaps(shown, decision.snapshots, builds, recorded)
    later: tuple[Build, ...] = ()
    told: tuple[str, ...] = ()
    if wish.effective_from is not None and stay:
        later, told = later_builds(graph, decision.snapshots, stay, builds, recorded, wish.effective_from)
    promote = _promote(layer, environment, current, decision.snapshots, now)
    based_on = current.plan_id if current is not None else None
    return Plan(
        id=plan_id(layer, environment, based_on, decision.snapshots, builds, later),
        gateway=layer.gateway,
        environment=environment,
        based_on=based_on,
        execution_time=from_ms(now),
        changes=decision.changes,
        snapshots=decision.snapshots,
        new_snapshots=frozenset(one.id for one in decision.snapshots.values() if one.id not in known),
        builds=tuple(builds),
        reuses=tuple(reuses),
        before_all=layer.before_all,
        after_all=layer.after_all,
        statement_diff=statement_diff(current.target if current is not None else Target(), layer),
        audits=tuple(
            step
            # rows that stay are not asked what their definition has become: its audits run as it computes others
            for step in audit_steps(decision.snapshots, builds, recorded, (*shown.values(), *vouched))
            if step.snapshot.name not in stay
        ),
        promote=promote,
        is_new_environment=current is None,
        compared_with=compared_with,
        restates=frozenset(step.snapshot.name for step in builds if steps.begins_again(step)),
        warnings=(*lost_history(builds, shown, recorded), *warnings_of(builds, environment), *told),
        migrations=migrated,
        later=later,
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
    wish: RunWish = EVERYTHING_DUE,
    known: Mapping[str, Restatement] = MappingProxyType({}),
) -> Plan:
    """The plan that catches `current` up with the clock: what its models' crons have made due, from the state alone.

    Whole-table models are made again when a tick passed since they were; nothing is promoted, the views stay. `wish` is
    what people ask of it, its models are names.
    """
    again = pending_restatements(current, graph, snapshots, recorded, known, now)
    pending = {name for name, one in again.items() if one.pending}
    builds = due_builds(graph, snapshots, recorded, now, wish, again)
    # two ticks may make the same intervals to be built again: the second is another decision
    tick = max((one.tick for one in again.values() if one.tick is not None), default=None) if pending else None
    made = build_in_place(
        layer=layer,
        current=current,
        snapshots=snapshots,
        builds=builds,
        recorded=recorded,
        now=now,
        moment=tick,
        restates=frozenset(
            step.snapshot.name
            for step in builds
            if not is_incremental(step.snapshot.model.kind)
            or must_begin_again(step.snapshot.model, recorded.get(str(step.snapshot.physical), ()), step.intervals)
            or str(step.snapshot.physical) in pending
        ),
    )
    heeded = {name: one for name, one in again.items() if one.pending or one != known.get(name)}
    return replace(made, restatements=heeded, by_clock=True)


def build_in_place(
    *,
    layer: Layer,
    current: Environment,
    snapshots: Mapping[str, Snapshot],
    builds: Sequence[Build],
    recorded: Recorded,
    now: int,
    moment: int | None,
    restates: frozenset[str],
    warnings: Iterable[str] = (),
) -> Plan:
    """The plan that makes rows in the tables that `current` shows, as `snapshots`, and leaves its views alone.

    `restates` are the models among `builds` whose rows are there and made again, `moment` what tells the plan from
    one that does the same at another time (None: nothing), `warnings` come before those about the steps.
    """
    return Plan(
        id=plan_id(layer, current.name, current.plan_id, snapshots, builds, moment=moment),
        gateway=layer.gateway,
        environment=current.name,
        based_on=current.plan_id,
        execution_time=from_ms(now),
        changes=(),
        snapshots=snapshots,
        new_snapshots=frozenset(),
        builds=tuple(builds),
        reuses=(),
        before_all=current.target.before_all,
        after_all=current.target.after_all,
        audits=audit_steps(snapshots, builds, recorded, snapshots.values()),
        promote=None,
        compared_with=current.name,
        restates=restates,
        warnings=(*warnings, *warnings_of(builds, current.name)),
    )


def statement_diff(old: Target, new: Layer) -> str:
    """How the statements before and after everything differ; "" when they do not."""

    def lines(before: Sequence[str], after: Sequence[str]) -> list[str]:
        told = [(name, text) for name, texts in (("before_all", before), ("after_all", after)) for text in texts]
        return [f"{name}: {line}" for name, text in told for line in text.splitlines()]

    before, after = lines(old.before_all, old.after_all), lines(new.before_all, new.after_all)
    return "\n".join(difflib.unified_diff(before, after, fromfile="before", tofile="after", lineterm="", n=3))


def _promote(
    layer: Layer, environment: str, current: Environment | None, snapshots: Mapping[str, Snapshot], now: int
) -> Promote | None:
    views = {
        name: View(view=str(layer.view(name, environment)), physical=str(snapshot.physical))
        for name, snapshot in snapshots.items()
        if snapshot.physical is not None
    }
    target = Target(
        snapshots={name: snapshot.id for name, snapshot in snapshots.items()},
        views=views,
        before_all=layer.before_all,
        after_all=layer.after_all,
    )
    has_ended = current is not None and current.has_ended(from_ms(now))
    if current is not None and current.target == target and not has_ended:
        return None  # one that ended lives again: the janitor would take what people just asked for
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
