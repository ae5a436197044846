"""What forward-only changes would do to the tables of production, asked of the warehouse when a plan is made."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from isomesh_dagster.errors import EngineError, IsomeshError, LockedError, PlanError
from isomesh_dagster.plan.plan import Migrate, Plan
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.relation import ColumnChange, Relation
from isomesh_dagster.snapshot.environment import Target
from isomesh_dagster.snapshot.interval import iso
from isomesh_dagster.snapshot.snapshot import Category, Snapshot

if TYPE_CHECKING:
    from isomesh_dagster.engine.connection import Session
    from isomesh_dagster.evaluation.texts import Surroundings
    from isomesh_dagster.plan.columns import ColumnCatalog
    from isomesh_dagster.project.front import Project


def looked_up(project: Project, wish: Wish, now: int) -> Wish:
    """The wish with the models' names in place of selections. Raises SelectionError, or PlanError for an effective date
    that is not past yet (`now` in epoch milliseconds).
    """
    if wish.effective_from is not None and wish.effective_from > now:
        raise PlanError(
            f"effective_from {iso(wish.effective_from)} is in the future",
            hint="what becomes due later is computed with the new definition anyway",
        )
    if not wish.allow_destructive and not wish.allow_additive:
        return wish
    return replace(
        wish,
        allow_destructive=project.select(wish.allow_destructive),
        allow_additive=project.select(wish.allow_additive),
    )


def checked(project: Project, plan: Plan, shown: Mapping[str, Snapshot], production: Target) -> Plan:
    """The plan with what its migrations do to the tables as they are; warned of what prod would refuse, for previews.

    `shown` is what the plan was compared with, `production` what prod shows. Raises PlanError, naming model and
    columns, for a change that must not be made. When the warehouse cannot be asked now, that is asked when the plan is
    applied.
    """
    previews = tuple(
        Migrate(
            snapshot=one,
            allows_destructive=one.name in plan.wish.allow_destructive,
            allows_additive=one.name in plan.wish.allow_additive,
        )
        for one in plan.snapshots.values()
        if one.is_preview
        and one.category is Category.FORWARD_ONLY
        and one.name in production.views
        and one.physical is not None
        and one.id in plan.new_snapshots
    )
    warnings = []
    changed = plan.migrations or any(change.category is Category.FORWARD_ONLY for change in plan.changes)
    if plan.wish.effective_from is not None and not changed and plan.changes:
        warnings.append("effective_from has no effect: no change of this plan is forward-only")
    if not plan.migrations and not previews:
        return replace(plan, warnings=(*plan.warnings, *warnings)) if warnings else plan
    from isomesh_dagster.plan.columns import ColumnCatalog

    old_columns = ColumnCatalog({name: snapshot.model for name, snapshot in shown.items()})
    asking = _Asking(project, plan, old_columns)
    try:
        with project.connection(wait_seconds=0).session() as session:
            migrations, told = asking.migrations(session, plan.migrations)
            warnings += told
            if migrations:
                from isomesh_dagster.project.elsewhere import told_elsewhere

                warnings += told_elsewhere(project, session, plan, migrations)
            for step in previews:
                table = Relation.parse(production.views[step.snapshot.name].physical)
                warnings += asking.foreseen(session, step, table)
    except LockedError:
        warnings.append("another process holds the warehouse: which columns change is found out when this is applied")
        migrations = plan.migrations
    return replace(plan, migrations=migrations, warnings=(*plan.warnings, *warnings))


class _Asking:
    """Asks the warehouse about tables one after the other, parents first."""

    def __init__(self, project: Project, plan: Plan, old_columns: ColumnCatalog) -> None:
        self._old = old_columns
        self._new = project.column_catalog()
        self._plan = plan
        self._around = project.surroundings(plan.snapshots, plan.execution_time)
        self._stand_ins: dict[str, str] = {}

    def migrations(self, session: Session, steps: tuple[Migrate, ...]) -> tuple[tuple[Migrate, ...], list[str]]:
        """The steps with their changes, and warnings. Raises PlanError."""
        from isomesh_dagster.execution.migrate import stand_in, table_of
        from isomesh_dagster.plan.migration import allowed_changes

        told: list[str] = []
        done: list[Migrate] = []
        for step in steps:
            table = table_of(step.snapshot)
            changes = self._changes(session, step, table)
            if changes is None:
                done.append(step)
                continue
            made, warnings = allowed_changes(step, changes)
            told += warnings
            done.append(replace(step, changes=made))
            if made and all(change.type != "UNKNOWN" for change in made):
                self._stand_ins[step.snapshot.name] = stand_in(table, session.columns(table), made)
        return tuple(done), told

    def foreseen(self, session: Session, step: Migrate, table: Relation) -> list[str]:
        """What prod will say to a change that is shown in a preview, as warnings."""
        from isomesh_dagster.plan.migration import allowed_changes

        changes = self._changes(session, step, table)
        if changes is None:
            return []
        try:
            allowed_changes(replace(step, snapshot=replace(step.snapshot, physical=table)), changes)
        except PlanError as error:
            return [f"{step.snapshot.name}: prod would refuse this: {error.message}; {error.hint}"]
        return []

    def _changes(self, session: Session, step: Migrate, table: Relation) -> tuple[ColumnChange, ...] | None:
        """What the definition changes of the table: by the engine where it can tell, else by the texts alone."""
        from isomesh_dagster.execution.migrate import definition_columns
        from isomesh_dagster.plan.migration import column_changes, inferred_changes

        name = step.snapshot.name
        current = session.columns(table)
        if not current:
            return None
        around: Surroundings = replace(self._around, stand_ins=self._stand_ins)
        with suppress(EngineError):  # it may read what is not built yet
            return column_changes(current, definition_columns(session, step.snapshot, around))
        with suppress(IsomeshError):
            return inferred_changes(current, self._old.of(name), self._new.of(name))
        return None
