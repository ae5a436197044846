"""The stamp of a system: its state and its warehouse name the same gateway and project, or nothing is written.

A new system stamps its state first and its warehouse second; a crash between the two is resumed, because the state then
knows no environment yet. Every other difference is refused.
"""

from __future__ import annotations

from pathlib import Path

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import SystemMismatch
from isomesh_dagster.records import warehouse
from isomesh_dagster.state.protocol import Identity, StateStore


def check_stamp(session: Session, state: StateStore, identity: Identity) -> Identity:
    """The system's stamp, made when state and warehouse are both new.

    `identity` is who asks; its uuid is used only for a new system. Raises SystemMismatch before anything is written.
    """
    of_state, of_warehouse = check_pairing(session, state, identity)
    if of_state is None:
        of_state = state.stamp(identity)
        check_owner("state", of_state, identity)
    if of_warehouse is None:
        with session.transaction(claim="stamp"):
            warehouse.create(session, of_state)
    return of_state


def check_pairing(session: Session, state: StateStore, identity: Identity) -> tuple[Identity | None, Identity | None]:
    """The stamps of state and warehouse, None for one that is new; changes nothing. Raises SystemMismatch unless both
    are new, are of one system, or the warehouse of a state without environments is new.
    """
    of_state = state.identity()
    of_warehouse = warehouse.identity(session)
    for place, stamp in (("state", of_state), ("warehouse", of_warehouse)):
        if stamp is not None:
            check_owner(place, stamp, identity)
    if of_state is None and of_warehouse is not None:
        raise SystemMismatch(
            f"the warehouse is stamped ({_short(of_warehouse)}) but the state is new",
            hint="point `state_connection` at this system's state, or restore it from a backup; when it is lost,"
            " `isomesh system adopt` makes it again from the warehouse and the files",
        )
    if of_state is not None and of_warehouse is None and state.environments():
        raise SystemMismatch(
            f"the state is stamped ({_short(of_state)}) and has environments, but the warehouse is new",
            hint="point the gateway's connection at this system's warehouse, or give the new warehouse a new state",
        )
    if of_state is not None and of_warehouse is not None and of_state.uuid != of_warehouse.uuid:
        raise SystemMismatch(
            f"the state ({_short(of_state)}) and the warehouse ({_short(of_warehouse)}) belong to different systems",
            hint="use the state and the warehouse of one and the same system",
        )
    return of_state, of_warehouse


def check_not_gone(warehouse: Path | None, state: StateStore) -> None:
    """Raises SystemMismatch when the warehouse's file is not there although the state knows environments of it.

    Costs no connection: what a plan reads from the state alone is not called up to date for rows that nobody has.
    """
    if warehouse is not None and not warehouse.exists() and state.environments():
        raise SystemMismatch(
            f"the warehouse {warehouse} is gone, but the state knows environments of it",
            hint="restore the file; to start anew, remove the state too",
        )


def check_owner(place: str, stamp: Identity, asked: Identity) -> None:
    """Refuse a stamp of another gateway or project (SystemMismatch); `place` is "state" or "warehouse"."""
    if stamp.gateway != asked.gateway:
        raise SystemMismatch(
            f"the {place} belongs to gateway {stamp.gateway!r} ({_short(stamp)}), this gateway is {asked.gateway!r}",
            hint="every gateway has a warehouse and a state of its own; correct this gateway's connections",
        )
    if stamp.project != asked.project:
        raise SystemMismatch(
            f"the {place} belongs to project {stamp.project!r} ({_short(stamp)}), this project is {asked.project!r}",
            hint="every project has a warehouse and a state of its own; correct the connections or the name",
        )


def _short(stamp: Identity) -> str:
    return stamp.uuid[:8]
