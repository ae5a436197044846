"""Plans that build some models only: what is not built is not shown, because an empty table would be taken for an
answer.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model.kinds import View
from isomesh_dagster.plan.plan import Change, ChangeType, Decision, Plan
from isomesh_dagster.snapshot.snapshot import Snapshot


def unbuilt(plan: Plan, wanted: Collection[str], graph: ModelGraph) -> frozenset[str]:
    """Models that cannot be shown when only `wanted` (whatever they read is among them) are built: those that `plan`
    would have to make rows of, and all that reads them. Views hold no rows.
    """
    waiting = [
        step.snapshot.name
        for step in plan.builds
        if step.snapshot.name not in wanted and not isinstance(step.snapshot.model.kind, View)
    ]
    return frozenset({*waiting, *graph.descendants(waiting)})


def leave_out(decision: Decision, names: Collection[str], shown: Mapping[str, Snapshot]) -> Decision:
    """The decision without these models: those that the environment showed go, the others do not come."""
    gone = tuple(
        Change(model=name, change=ChangeType.REMOVED, category=None, reason="left out: its rows are not to be built")
        for name in sorted(names)
        if name in shown
    )
    return replace(
        decision,
        snapshots={name: one for name, one in decision.snapshots.items() if name not in names},
        changes=(*(one for one in decision.changes if one.model not in names), *gone),
        repoints=decision.repoints.difference(names),
    )
