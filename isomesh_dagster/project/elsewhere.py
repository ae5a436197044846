"""What a forward-only change in prod means for other environments that show the same table.

Their views are made again in the swap: a column that goes stays in them, empty; one whose type changes has the new
type. Who plans is told, and refused when a view could not be made again. The table's rows are prod's from then on:
nobody writes what an older definition gives.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from isomesh_dagster.errors import EngineError, PlanError
from isomesh_dagster.plan.plan import Migrate, Plan
from isomesh_dagster.relation import ColumnChange, Relation
from isomesh_dagster.snapshot.environment import PROD

if TYPE_CHECKING:
    from isomesh_dagster.engine.connection import Session
    from isomesh_dagster.graph.order import ModelGraph
    from isomesh_dagster.project.front import Project
    from isomesh_dagster.snapshot.environment import Environment
    from isomesh_dagster.snapshot.snapshot import Snapshot
    from isomesh_dagster.state.protocol import StateStore

_WORD = re.compile(r"\w+")


def told_elsewhere(project: Project, session: Session, plan: Plan, steps: Sequence[Migrate]) -> list[str]:
    """Warnings that name environments and views; `steps` are the plan's migrations with their changes.

    Raises PlanError when a view of another environment cannot read what a type becomes.
    """
    losing = {
        str(step.snapshot.physical): (step, lossy)
        for step in steps
        if (lossy := [change for change in step.changes or () if change.was is not None])
    }
    if not losing:
        return []
    told: list[str] = []
    broken: list[str] = []
    for other in project.system.checked().environments():
        if other.name == plan.environment:
            continue
        concerned = {name: losing[one.physical] for name, one in other.target.views.items() if one.physical in losing}
        if not concerned:
            continue
        asked = _Elsewhere(project, session, plan, other)
        for name, (_, changes) in concerned.items():
            told += asked.warnings(name, changes)
        broken += asked.broken(concerned)
    if broken:
        raise PlanError(
            f"types of columns change, and views elsewhere could not read them any more: {'; '.join(broken)}",
            hint="plan these environments again, or end them with `isomesh invalidate`; nothing was changed",
        )
    return told


def left_to_prod(
    state: StateStore, environment: str, snapshots: Mapping[str, Snapshot], graph: ModelGraph
) -> frozenset[str]:
    """Models of an environment that it must not build, because prod shows their tables with another definition, and
    what reads them: rows of both definitions would stand in one table, or be computed before prod wrote the others.
    """
    production = state.environment(PROD) if environment != PROD else None
    if production is None:
        return frozenset()
    views, ids = production.target.views, production.target.snapshots
    shared = {
        name: ids[name]
        for name, one in snapshots.items()
        if name in views and views[name].physical == str(one.physical) and ids[name] != one.id
    }
    found = {one.name: one for one in state.snapshots(shared.values()).values()} if shared else {}
    altered = [name for name, one in found.items() if one.fingerprint.version != snapshots[name].fingerprint.version]
    return frozenset({*altered, *graph.descendants(altered)}) if altered else frozenset()


def left_words(environment: str, names: Collection[str]) -> tuple[str, ...]:
    """What a run says of models that it leaves out; nothing when there are none."""
    if not names:
        return ()
    return (
        f"not built in {environment}: {', '.join(sorted(names))}: prod has changed what fills a table they share;"
        f" plan {environment} to follow it",
    )


class _Elsewhere:
    """One environment that shows tables which prod alters."""

    def __init__(self, project: Project, session: Session, plan: Plan, environment: Environment) -> None:
        self._session = session
        self._environment = environment
        self._snapshots: Mapping[str, Snapshot] = project.system.snapshots(environment)
        self._around = project.surroundings(self._snapshots, plan.execution_time)

    def warnings(self, model: str, changes: Iterable[ColumnChange]) -> list[str]:
        """What becomes of the columns of the model's table that views of the environment show or read."""
        told = []
        for change in changes:
            reading = self._reading(model, change.name)
            if not reading:
                continue
            views = f"{', '.join(reading)} {'reads' if len(reading) == 1 else 'read'}"
            becomes = (
                f"which is dropped: it stays there without values until {self._environment.name} is planned again"
                if change.type is None
                else f"which becomes {change.type}, there too"
            )
            told.append(f"environment {self._environment.name}: {views} {change.name} of {model}, {becomes}")
        return told

    def broken(self, concerned: Mapping[str, tuple[Migrate, Sequence[ColumnChange]]]) -> list[str]:
        """The views that cannot be made again, each with the engine's words."""
        from isomesh_dagster.execution.migrate import keeping, readers, stand_in

        # read by the texts of all views below: a view that reads a view reads what that becomes
        stand_ins: dict[str, str] = {}
        tables = set()
        for name, (step, _) in concerned.items():
            table = Relation.parse(self._environment.target.views[name].physical)
            tables.add(str(table))
            current = self._session.columns(table)
            after = stand_in(table, current, step.changes or ())
            shape = keeping(table, self._session.query_columns(after), self._columns(name))
            stand_ins[name] = after if shape is None else shape.replace(f"FROM {table.sql}", f"FROM ({after}) AS t")
        models = {view.physical: name for name, view in self._environment.target.views.items()}
        found = []
        for relation, query in readers(tables, replace(self._around, stand_ins=stand_ins)):
            name = models[str(relation)]
            try:
                self._session.query_columns(query)
            except EngineError as error:
                view = self._environment.target.views[name].view
                found.append(f"environment {self._environment.name}: {view} ({error.message})")
            stand_ins[name] = query
        return found

    def _reading(self, model: str, column: str) -> list[str]:
        """The views of the environment that show or read a column of the model, its own first."""
        key = column.lower()
        views = self._environment.target.views
        found = [views[model].view] if key in {name.lower() for name, _ in self._columns(model)} else []
        if not found:
            return []
        from isomesh_dagster.execution.migrate import readers

        below = {str(relation) for relation, _ in readers({views[model].physical}, self._around)}
        for name, view in views.items():
            if view.physical not in below:
                continue
            words = {word.lower() for word in _WORD.findall(self._snapshots[name].model.rendered)}
            if key in words or key in {one.lower() for one, _ in self._columns(name)}:
                found.append(view.view)
        return found

    def _columns(self, model: str) -> list[tuple[str, str]]:
        return self._session.columns(Relation.parse(self._environment.target.views[model].view))
