"""The end of a system: everything that this project owns in a gateway goes, and nothing that others own.

The order survives a crash anywhere, because asking again does the rest: environments leave the warehouse before the
state, tables leave the warehouse while the state knows them as going, the warehouse's records go when they are empty
and the state goes last. Somebody else's view on one of ours is found before anything is dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

from isomesh_dagster.engine.connection import Connection, Session
from isomesh_dagster.errors import ConflictingPlanError, EngineError
from isomesh_dagster.plan.words import some
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.checkpoint import no_checkpoint
from isomesh_dagster.records.events import Dropped
from isomesh_dagster.records.homes import leave_old_homes
from isomesh_dagster.records.stamp import check_pairing
from isomesh_dagster.relation import Relation
from isomesh_dagster.state.protocol import Identity, StateStore
from isomesh_dagster.upkeep.janitor import remove_snapshots, remove_unknown, take_down

_ALWAYS = datetime.max.replace(tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Belongings:
    """What a system owns: how many views each environment has, by name; its tables and views of the physical layer
    (dotted), sorted.
    """

    environments: dict[str, int]
    physicals: tuple[str, ...]


def belongings(connection: Connection, state: StateStore, *, identity: Identity) -> Belongings:
    """What `destroy` would remove; changes nothing.

    Raises SystemMismatch for state or warehouse of another system, and EngineError that names what others have put on
    something of ours.
    """
    with connection.session() as session:
        check_pairing(session, state, identity)
        shown = {one.name: one.target for one in state.environments()}
        physicals = state.physicals()
        records: list[Relation] = []
        if warehouse.exists(session):
            shown |= {one.name: one.target for one in warehouse.all_shown(session)}
            physicals |= warehouse.all_physicals(session)
            records = warehouse.tables(session)
        views = [Relation.parse(view.view) for target in shown.values() for view in target.views.values()]
        _refuse_readers(session, [*views, *map(Relation.parse, sorted(physicals)), *records])
        return Belongings(
            environments={name: len(target.views) for name, target in sorted(shown.items())},
            physicals=tuple(sorted(physicals)),
        )


def _refuse_readers(session: Session, relations: list[Relation]) -> None:
    standing = session.standing_on(relations)
    if standing:
        told = [f"{what} (on {relation})" for what, relation in standing]
        raise EngineError(
            f"what isomesh did not make stands on what it made: {some(told)}",
            hint="drop it, or let it read something else; nothing was dropped",
        )


def destroy(
    connection: Connection,
    state: StateStore,
    *,
    identity: Identity,
    with_state_schema: bool = True,
    checkpoint: Callable[[str], None] = no_checkpoint,
) -> Iterator[Dropped]:
    """Remove all environments, all tables and views, the warehouse's records and the state; an event per environment
    and per relation. The state is closed then; `with_state_schema` says whether its schema may go with it.

    What `belongings` raises is raised before anything is dropped. Raises EngineError at the end when something could
    not be dropped, and ConflictingPlanError when another process works on the system: what is left is recorded as
    before, and asking again goes on.
    """
    belongings(connection, state, identity=identity)
    kept: list[Dropped] = []

    def told(events: Iterator[Dropped]) -> Iterator[Dropped]:
        for event in events:
            if event.kept_because is not None:
                kept.append(event)
            yield event

    with connection.session() as session:
        if warehouse.exists(session):
            shown = warehouse.all_shown(session)
            for one in shown:
                leave_old_homes(session, one.name)
            yield from told(take_down(session, one, checkpoint) for one in shown)
            _refuse_kept(kept)
        for environment in state.environments():
            state.remove_environment(environment.name)
        for plan in state.open_plans():
            state.close_plan(plan.id, "superseded")
        going = state.mark_unreferenced(keep_promotions=0, older_than=_ALWAYS)
        checkpoint("marked")
        yield from told(remove_snapshots(session, state, going, checkpoint))
        _refuse_kept(kept)
        if warehouse.exists(session):
            yield from told(remove_unknown(session, state, warehouse.all_physicals(session)))
            _refuse_kept(kept)
            with session.transaction(claim="stamp"):
                if warehouse.all_shown(session) or warehouse.all_physicals(session):
                    raise ConflictingPlanError(
                        "another process built something meanwhile",
                        hint="end what uses this gateway, then `isomesh destroy` again",
                    )
                warehouse.remove(session)
            checkpoint("records gone")
    state.remove(with_schema=with_state_schema)


def _refuse_kept(kept: list[Dropped]) -> None:
    if kept:
        raise EngineError(
            f"{len(kept)} objects could not be dropped: {some([one.name for one in kept])}",
            hint="mend what is told of each, then `isomesh destroy` again: it goes on from here",
        )
