"""Lawful ways for state and warehouse to part, mended: the state was lost or restored from an older backup, or gateway
or project have other names now. The warehouse is believed; whoever asks has said that he knows what he does.

What stays refused: state and warehouse of two different systems, and a warehouse that is new for a state in use.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import PlanError, SystemMismatch
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.homes import claim_of
from isomesh_dagster.records.reconcile import adopt_loaded
from isomesh_dagster.records.stamp import check_owner, check_pairing
from isomesh_dagster.records.warehouse import Shown
from isomesh_dagster.snapshot.environment import Environment
from isomesh_dagster.snapshot.snapshot import Snapshot
from isomesh_dagster.state.protocol import Identity, StateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Parted:
    """How state and warehouse differ. `stamp` is the one both get (the warehouse's uuid, the names asked for);
    `reasons` say what is wrong, in sentences; `environments` are what the warehouse shows and the state does not know.
    """

    stamp: Identity
    reasons: tuple[str, ...]
    environments: tuple[Shown, ...]


def examine(session: Session, state: StateStore, asked: Identity, gateways: Collection[str]) -> Parted:
    """How state and warehouse differ; changes nothing. `gateways` are the names of all that the project has.

    Raises SystemMismatch for what nothing makes right: two systems, the system of another of the gateways, and a system
    of other names of which only one half is here.
    """
    of_state, of_warehouse = state.identity(), warehouse.identity(session)
    if of_warehouse is None:
        check_pairing(session, state, asked)
        raise PlanError("the warehouse is new: there is nothing to adopt", hint="the first plan makes the system")
    reasons = []
    if of_state is None:
        reasons.append(f"the state is new, the warehouse is {_words(of_warehouse)}")
    elif of_state.uuid != of_warehouse.uuid:
        raise SystemMismatch(
            f"the state is {_words(of_state)}, the warehouse {_words(of_warehouse)}: two different systems",
            hint="correct the connections; when this state was begun by mistake, point `state_connection` to a new"
            " place and adopt again",
        )
    for place, stamp in (("state", of_state), ("warehouse", of_warehouse)):
        if stamp is None or (stamp.gateway, stamp.project) == (asked.gateway, asked.project):
            continue
        if of_state is None or (stamp.gateway != asked.gateway and stamp.gateway in gateways):
            check_owner(place, stamp, asked)
        reasons.append(f"the {place} is {_words(stamp)}: these names are replaced by those of now")
    strange = [one for one in warehouse.all_shown(session) if _is_strange(state.environment(one.name), one)]
    reasons += [
        f"the warehouse shows plan {one.plan_id} in {one.name}, which the state does not know"
        for one in strange
        if of_state is not None
    ]
    return Parted(
        stamp=Identity(uuid=of_warehouse.uuid, gateway=asked.gateway, project=asked.project),
        reasons=tuple(reasons),
        environments=tuple(strange),
    )


def _is_strange(known: Environment | None, shown: Shown) -> bool:
    return known is None or known.plan_id != shown.plan_id


def adopt(
    session: Session,
    state: StateStore,
    parted: Parted,
    *,
    recovered: Mapping[str, Collection[Snapshot]],
    let_go: Collection[str] = (),
) -> None:
    """Make the state know what the warehouse shows in the environments of `recovered`, with the snapshots of each; take
    those of `let_go` out of the warehouse's records, where their views stay; stamp both alike. Repeated after an
    interruption it goes on.
    """
    state.restamp(parted.stamp)
    for shown in parted.environments:
        if shown.name in recovered:
            believe(session, state, shown, recovered[shown.name])
        elif shown.name in let_go:
            with session.transaction(claim=claim_of(shown.name)):
                warehouse.hide(session, shown)
    with session.transaction(claim="stamp"):
        warehouse.stamp(session, parted.stamp)


def believe(session: Session, state: StateStore, shown: Shown, snapshots: Collection[Snapshot] = ()) -> None:
    """The state knows of the environment what the warehouse shows and holds; `snapshots` are those it may have lost."""
    state.adopt(
        Environment(
            name=shown.name,
            plan_id=shown.plan_id,
            number=shown.number,
            target=shown.target,
            promoted_at=shown.promoted_at,
            expires_at=shown.expires_at,
            suffix_target=shown.suffix_target,
        ),
        reason=shown.reason,
        snapshots=tuple(snapshots),
    )
    adopt_loaded(session, state, {view.physical for view in shown.target.views.values()})


def _words(stamp: Identity) -> str:
    return f"of gateway {stamp.gateway!r}, project {stamp.project!r} ({stamp.uuid[:8]})"
