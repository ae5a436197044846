"""What models ask for and their warehouse does not have: said in the plan, instead of being left out in silence."""

from __future__ import annotations

from collections.abc import Collection

from isomesh_dagster.model.kinds import View
from isomesh_dagster.model.model import SESSION_LABELS
from isomesh_dagster.plan.plan import Plan

_MATERIALIZES = frozenset({"postgres"})
"""Types of warehouses that keep the rows of a view."""

_HAS_USERS = frozenset({"postgres"})
"""Types of warehouses in which somebody can be granted something."""


def limits(plan: Plan, warehouse: str, unknown_settings: Collection[str] = ()) -> tuple[str, ...]:
    """A warning for each model that gets less than its header asks for, when the plan builds or changes it.

    `warehouse` is its type, `unknown_settings` are those of `settings(plan)` that it does not have.
    """
    built = {build.snapshot.name for build in plan.builds}
    touched = built | {change.model for change in plan.changes}
    told = []
    for name, snapshot in plan.snapshots.items():
        model = snapshot.model
        is_materialized = isinstance(model.kind, View) and model.kind.materialized
        if name in built and is_materialized and warehouse not in _MATERIALIZES:
            what = f"it is a plain view, as materialized ones are not made on {warehouse}"
            told.append(f"{name}: {what}; FULL keeps rows")
        if name in touched and model.grants and warehouse not in _HAS_USERS:
            told.append(f"{name}: nobody is granted anything, as {warehouse} has no users")
        if name in built and (unknown := [key for key in model.session_properties if key in unknown_settings]):
            told.append(f"{name}: {warehouse} has no setting {', '.join(unknown)}, so it is left out")
    return tuple(told)


def settings(plan: Plan) -> frozenset[str]:
    """The settings that models of the plan's builds set for their session; labels, which name a query, are none."""
    return frozenset(key for build in plan.builds for key in build.snapshot.model.session_properties) - SESSION_LABELS
