"""What models ask for and their warehouse does not have: said in the plan, instead of being left out in silence."""

from __future__ import annotations

from isomesh_dagster.model.kinds import View
from isomesh_dagster.plan.plan import Plan

_MATERIALIZES = frozenset({"postgres"})
"""Types of warehouses that keep the rows of a view."""


def limits(plan: Plan, warehouse: str) -> tuple[str, ...]:
    """A warning for each model the plan builds that gets less than its header asks for. `warehouse` is its type."""
    return tuple(
        f"{build.snapshot.name}: it is a plain view, as materialized ones are not made on {warehouse}; FULL keeps rows"
        for build in plan.builds
        if warehouse not in _MATERIALIZES
        and isinstance(build.snapshot.model.kind, View)
        and build.snapshot.model.kind.materialized
    )
