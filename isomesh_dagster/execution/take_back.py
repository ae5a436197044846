"""What a restatement takes back: intervals of other tables that stand on rows which were made again."""

from __future__ import annotations

from collections.abc import Callable

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.reconcile import adopt_loaded
from isomesh_dagster.snapshot.interval import subtract
from isomesh_dagster.state.protocol import StateStore


def take_back(session: Session, state: StateStore, plan: Plan, checkpoint: Callable[[str], None]) -> None:
    """The intervals of `plan.due_again` no longer count as loaded, in the state and then in the warehouse: the state
    never knows of more than is there. Rows stay until they are built again. Idempotent.
    """
    recorded = state.intervals({str(one.snapshot.physical) for one in plan.due_again})
    left = {
        str(one.snapshot.physical): subtract(recorded[str(one.snapshot.physical)], one.intervals)
        for one in plan.due_again
        if str(one.snapshot.physical) in recorded
    }
    if left:
        state.add_intervals(left, replace=True)
        checkpoint("taken back in the state")
    for one in plan.due_again:
        physical = str(one.snapshot.physical)
        with session.transaction(claim=physical):
            for interval in one.intervals:
                warehouse.erase_range(session, physical, interval, plan.id)
        checkpoint("taken back")
    adopt_loaded(session, state, {str(one.snapshot.physical) for one in plan.due_again})
