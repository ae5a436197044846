"""What readers of an environment would find different by a plan: its views as they are, asked of the warehouse, against
what the new definitions give.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from isomesh_dagster.errors import EngineError, IsomeshError
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.relation import ColumnChange, Relation, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from isomesh_dagster.engine.connection import Session
    from isomesh_dagster.project.front import Project
    from isomesh_dagster.snapshot.environment import Environment
    from isomesh_dagster.snapshot.snapshot import Snapshot


def column_changes_of(project: Project, plan: Plan, environment: Environment) -> dict[str, list[ColumnChange]]:
    """By model, how the columns of the environment's views change when it shows what `plan` makes; parents first.

    Asks for the models that differ only, whichever environment the plan is for. A table that is there is believed, else
    the engine is asked what the query gives; where it cannot tell, the texts are. Models of which none tells are left
    out. Raises EngineError and its kin when the warehouse cannot be asked.
    """
    target = environment.target
    changed = [
        name for name, one in plan.snapshots.items() if name in target.views and target.snapshots.get(name) != one.id
    ]
    if not changed:
        return {}
    from isomesh_dagster.plan.columns import ColumnCatalog
    from isomesh_dagster.plan.migration import column_changes, inferred_changes

    shown = project.system.snapshots(environment)
    old = ColumnCatalog({name: snapshot.model for name, snapshot in shown.items()})
    new = ColumnCatalog({name: snapshot.model for name, snapshot in plan.snapshots.items()})
    altered = {step.snapshot.name: step.changes for step in plan.migrations}
    found: dict[str, list[ColumnChange]] = {}
    with project.connection().session() as session:
        asked = _Definitions(project, session, plan)
        for name in changed:
            current = session.columns(Relation.parse(target.views[name].view))
            changes: Sequence[ColumnChange] | None = altered.get(name)
            if changes is None and current:
                columns = asked.columns(plan.snapshots[name])
                if columns is not None:
                    changes = column_changes(current, columns)
                else:
                    with suppress(IsomeshError):
                        changes = inferred_changes(current, old.of(name), new.of(name))
            if changes:
                found[name] = [*changes]
    return found


class _Definitions:
    """The columns of what a plan makes; asked parents first, since those that are not built stand in for their tables
    when their children are asked.
    """

    def __init__(self, project: Project, session: Session, plan: Plan) -> None:
        self._session = session
        self._around = project.surroundings(plan.snapshots, plan.execution_time)
        self._stay = {step.snapshot.name for step in plan.migrations}
        self._stand_ins: dict[str, str] = {}

    def columns(self, snapshot: Snapshot) -> Sequence[tuple[str, str]] | None:
        """In the engine's spelling; None when it cannot tell."""
        from isomesh_dagster.execution.migrate import definition_columns

        if snapshot.physical is not None and snapshot.name not in self._stay:
            there = self._session.columns(snapshot.physical)
            if there:
                return there
        try:
            columns = definition_columns(self._session, snapshot, replace(self._around, stand_ins=self._stand_ins))
        except EngineError:
            return None
        items = ", ".join(f"CAST(NULL AS {kind}) AS {quote(name)}" for name, kind in columns)
        self._stand_ins[snapshot.name] = f"SELECT {items} WHERE FALSE"
        return columns
