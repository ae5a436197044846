"""Make the state agree with the warehouse, which is the authority: what a crash left behind is finished here.

A crash can leave an environment that shows more than the state knows (promoted, not finalized), intervals that are
loaded and not recorded, or an environment removed from the warehouse only. All three are taken over; nothing is undone.
"""

from __future__ import annotations

from collections.abc import Collection

from isomesh_dagster.engine.connection import Connection, Session
from isomesh_dagster.errors import StateError
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.homes import leave_old_homes
from isomesh_dagster.records.warehouse import Loaded
from isomesh_dagster.snapshot.interval import Interval, subtract
from isomesh_dagster.state.protocol import StateStore

_LOOKS = 10  # at most; who makes rows anew all the time records them, too


def reconcile(connection: Connection, state: StateStore, environment: str) -> None:
    """Bring the state's record of `environment`, and of what open plans have built, up to the warehouse's.

    Cheap when there is nothing to do: two queries. Raises StateError when the warehouse shows a plan the state never
    heard of.
    """
    with connection.session() as session:
        reconcile_in(session, state, environment)


def reconcile_in(session: Session, state: StateStore, environment: str) -> None:
    """`reconcile` on a session that is already open, outside of a transaction."""
    if not warehouse.exists(session):
        return
    leave_old_homes(session, environment)
    open_plans = state.open_plans()
    adopt_loaded(session, state, {view.physical for plan in open_plans for view in plan.target.views.values()})
    shown_plan = warehouse.shown_plan(session, environment)
    known = state.environment(environment)
    if shown_plan is None:
        if known is not None:
            state.remove_environment(environment)
        return
    if known is not None and known.plan_id == shown_plan:
        return
    shown = warehouse.shown(session, environment)
    if shown is None or state.plan(shown.plan_id) is None:
        raise StateError(
            f"environment {environment!r} shows plan {shown_plan}, which this state does not know",
            hint="the state is older than the warehouse; restore the state that goes with it, or let"
            " `isomesh system adopt` make it again from the warehouse and the files",
        )
    if known is not None and shown.number <= known.number:
        raise StateError(
            f"environment {environment!r} shows promotion {shown.number}, and this state knows of {known.number}",
            hint="the warehouse is older than the state: was it restored from a backup? `isomesh doctor --repair`"
            " believes the warehouse",
        )
    state.finalize(
        environment=environment,
        plan_id=shown.plan_id,
        based_on=known.plan_id if known is not None else None,
        number=shown.number,
        target=shown.target,
        promoted_at=shown.promoted_at,
        expires_at=shown.expires_at,
        suffix_target=shown.suffix_target,
        reason=shown.reason,
    )


def adopt_loaded(session: Session, state: StateStore, physicals: Collection[str]) -> dict[str, tuple[Loaded, ...]]:
    """The state knows of these physical relations just what is loaded afterwards.

    Returns the warehouse's records; relations without one are absent. Somebody else may build them meanwhile, and
    records it: so this looks again after each change it made, lest what it took over was no longer true by then.
    """
    loaded: dict[str, tuple[Loaded, ...]] = {}
    left = sorted(physicals)
    for _ in range(_LOOKS):
        if not left:
            break
        # in this order: what is recorded was loaded before, so what is read second holds it, whoever builds meanwhile
        recorded = state.intervals(left)
        now = warehouse.loaded(session, left)
        moments = warehouse.intervals_of(now)
        loaded = {**{physical: records for physical, records in loaded.items() if physical not in left}, **now}
        left = [physical for physical in left if moments.get(physical, ()) != recorded.get(physical, ())]
        unknown: dict[str, tuple[Interval, ...]] = {}
        lost: dict[str, tuple[Interval, ...]] = {}
        for physical in left:
            there = moments.get(physical, ())
            (lost if subtract(recorded.get(physical, ()), there) else unknown)[physical] = there
        if unknown:
            state.add_intervals(unknown)
        if lost:
            state.add_intervals(lost, replace=True)
    return loaded
