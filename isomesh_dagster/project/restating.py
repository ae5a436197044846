"""How a restatement comes from the state alone: what the environment shows, and what else stands on the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from isomesh_dagster.errors import PlanError
from isomesh_dagster.graph.order import ModelGraph, build_graph
from isomesh_dagster.model.kinds import is_incremental
from isomesh_dagster.plan.layer import Layer
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.restate import Others, build_restatement
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.project import scope
from isomesh_dagster.project.timing import timed
from isomesh_dagster.snapshot.environment import PROD
from isomesh_dagster.snapshot.interval import Interval, merge
from isomesh_dagster.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from isomesh_dagster.project.front import Project
    from isomesh_dagster.state.protocol import StateStore


def plan_restatement(project: Project, name: str, *, moment: int, wish: Wish, layer: Layer) -> Plan:
    """The plan that makes the rows of `wish.restate` again in the environment of that name; see `Project.plan`.

    One that was begun, on what the environment shows now, and did not come to its end is gone on with. Raises PlanError
    when there is no such environment.
    """
    system = project.system
    state = system.checked()
    warnings = system.reconcile(name)
    current = system.existing(name)
    snapshots = system.snapshots(current)
    graph = _graph(snapshots)
    names = scope.named(project, wish.restate, graph, "restate")
    others = _others(project, state, name, names, graph)

    def made(moment: int, wish: Wish, *, goes_on: bool = False) -> Plan:
        return build_restatement(
            layer=layer,
            current=current,
            graph=graph,
            snapshots={model: snapshots[model] for model in graph.order},
            recorded=_recorded(state, snapshots, others, goes_on=goes_on),
            others=others,
            now=moment,
            wish=wish,
        )

    plan = made(moment, replace(wish, restate=names))
    begun = _begun(state, plan)
    plan = made(*begun, goes_on=True) if begun is not None else plan
    return timed(state, replace(plan, warnings=(*plan.warnings, *warnings)))


def _others(project: Project, state: StateStore, name: str, names: Iterable[str], graph: ModelGraph) -> Others:
    """What a restatement must look at besides its environment: prod, or from there everything."""
    system = project.system
    if name != PROD:
        prod = state.environment(PROD)
        return Others(environments={PROD: system.snapshots(prod)} if prod is not None else {})
    environments = {one.name: system.snapshots(one) for one in state.environments() if one.name != name}
    concerned = {*names, *graph.descendants(names)}
    for shown in environments.values():
        concerned |= _graph(shown).descendants(concerned & shown.keys())
    shown_somewhere = {one.id for shown in environments.values() for one in shown.values()}
    unshown = tuple(one for one in state.snapshots_named(concerned) if one.id not in shown_somewhere)
    return Others(environments=environments, unshown=unshown)


def _recorded(
    state: StateStore, snapshots: Mapping[str, Snapshot], others: Others, *, goes_on: bool
) -> dict[str, tuple[Interval, ...]]:
    """The intervals by physical relation; of the environment's own also what is due again, as an interrupted
    restatement leaves it. One that `goes_on` may have been killed while it took intervals back: in the state, which
    forgets first, and not in the warehouse yet. What is due again of other tables is taken back once more then.
    """
    own = {str(one.physical): one for one in snapshots.values() if one.physical is not None}
    foreign = [one for shown in others.environments.values() for one in shown.values()] + list(others.unshown)
    recorded = state.intervals({*own, *(str(one.physical) for one in foreign if one.physical is not None)})
    theirs = {str(one.physical) for one in foreign if one.physical is not None} if goes_on else set()
    for physical, again in state.due_again({*own, *theirs}).items():
        if physical not in own or is_incremental(own[physical].model.kind):
            recorded[physical] = merge([*recorded.get(physical, ()), *again])
    return recorded


def _begun(state: StateStore, plan: Plan) -> tuple[int, Wish] | None:
    """Moment and wish of the same restatement when it was begun before and is not done."""
    from isomesh_dagster.plan.saved import read_document
    from isomesh_dagster.snapshot.interval import to_ms

    steps = {step.snapshot.name: step.intervals for step in plan.builds}
    for record in reversed(state.open_plans(plan.environment)):
        if not record.document or record.based_on != plan.based_on:
            continue
        try:
            saved = read_document(record.document, f"plan {record.id}")
        except PlanError:  # of another version: it is begun anew
            continue
        if saved.wish.restate == plan.wish.restate and dict(saved.builds) == steps:
            return to_ms(saved.execution_time), saved.wish
    return None


def _graph(snapshots: Mapping[str, Snapshot]) -> ModelGraph:
    return build_graph({name: one.model for name, one in snapshots.items()})
