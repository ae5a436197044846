"""The janitor: environments that ended, and tables that nothing needs any more.

The order survives a crash anywhere, because the next janitor does the rest: an environment leaves the warehouse before
the state; a table's intervals leave the state before the table goes, and its snapshot after. One object that cannot be
dropped stops nothing else. Nothing is dropped with CASCADE.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import datetime, timedelta

from isomesh_dagster.engine.connection import Connection, Session
from isomesh_dagster.errors import EngineError
from isomesh_dagster.model.kinds import View
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.checkpoint import no_checkpoint
from isomesh_dagster.records.events import Dropped
from isomesh_dagster.records.homes import claim_of, hide_views, views_of
from isomesh_dagster.records.reconcile import reconcile_in
from isomesh_dagster.records.stamp import check_stamp
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import PROD, Environment
from isomesh_dagster.snapshot.snapshot import Snapshot, SnapshotId
from isomesh_dagster.state.protocol import Identity, StateStore


def janitor(
    connection: Connection,
    state: StateStore,
    *,
    identity: Identity,
    now: datetime,
    snapshot_ttl: timedelta = timedelta(days=7),
    keep_promotions: int = 3,
    ignore_ttl: bool = False,
    dry_run: bool = False,
    only: str | None = None,
    checkpoint: Callable[[str], None] = no_checkpoint,
) -> Iterator[Dropped]:
    """Remove environments that ended by `now`, then snapshots that were last needed more than `snapshot_ttl` ago.

    What an environment shows, an open plan needs, or one of the last `keep_promotions` promotions of an environment
    showed, stays. `ignore_ttl` takes the rest at once, tables that a lost state knew among them. `dry_run` tells what
    would go and changes nothing; what only the removal of an environment would free is not told then. `only`: nothing
    but this environment, if it ended. Yields one event per environment and per object, `kept_because` set for one that
    could not be dropped.
    """
    older_than = now if ignore_ttl else now - snapshot_ttl
    with connection.session() as session:
        check_stamp(session, state, identity)
        for environment in state.environments():
            if only is not None and environment.name != only:
                continue
            if environment.name != PROD and environment.has_ended(now):
                if dry_run:
                    yield Dropped(name=environment.name, environment=environment.name)
                else:
                    yield from _remove_environment(session, state, environment, checkpoint)
        if only is not None:
            return
        if dry_run:
            going = state.unreferenced(keep_promotions=keep_promotions, older_than=older_than)
        else:
            going = state.mark_unreferenced(keep_promotions=keep_promotions, older_than=older_than)
            checkpoint("marked")
        if dry_run:
            shown = _shown(session)
            told = (str(one.physical) for one in _readers_first(going) if one.physical is not None)
            yield from (Dropped(name=physical) for physical in told if physical not in shown)
        else:
            yield from remove_snapshots(session, state, going, checkpoint)
        if ignore_ttl:  # nobody knows since when these are not needed
            unknown, kept = _unused(session, _unknown(session, state))
            yield from kept
            if dry_run:
                yield from (Dropped(name=physical) for physical in sorted(unknown))
            else:
                yield from remove_unknown(session, state, unknown)


def remove_snapshots(
    session: Session, state: StateStore, going: Collection[Snapshot], checkpoint: Callable[[str], None]
) -> Iterator[Dropped]:
    """Remove snapshots that the state has marked, with their relations and the schemas that are empty afterwards; an
    event per relation. What the warehouse shows stays, although the state, which may be an older one, does not know.
    """
    shown = _shown(session)
    for snapshot in _readers_first(going):
        if environment := shown.get(str(snapshot.physical)):
            why = f"the warehouse shows it in {environment}, of which this state does not know"
            yield Dropped(name=str(snapshot.physical), kept_because=why)
        else:
            yield from _remove_snapshot(session, state, snapshot, checkpoint)
    yield from drop_schemas(session, {one.physical.schema for one in going if one.physical is not None})


def _unknown(session: Session, state: StateStore) -> set[str]:
    """What the warehouse records as ours, shows nowhere, and the state, which was lost or restored, does not know."""
    if not warehouse.exists(session):
        return set()
    recorded = warehouse.all_physicals(session)
    return recorded - _shown(session).keys() - state.physicals()  # asked last: what is built now was known before


def _shown(session: Session) -> dict[str, str]:
    """The physical relations (dotted) that the warehouse shows, each with an environment."""
    if not warehouse.exists(session):
        return {}
    return {view.physical: one.name for one in warehouse.all_shown(session) for view in one.target.views.values()}


def _unused(session: Session, physicals: Collection[str]) -> tuple[set[str], list[Dropped]]:
    """Those of the relations (dotted) on which nothing stands, and an event for each of the others: views of an
    environment that was let go still show them, and not every engine keeps a table under a view.
    """
    left, kept = set(physicals), list[Dropped]()
    while left and (standing := session.standing_on([Relation.parse(one) for one in sorted(left)])):
        used = {str(relation): what for what, relation in standing}
        kept += [Dropped(name=one, kept_because=f"{what} stands on it") for one, what in sorted(used.items())]
        left -= used.keys()  # and look again: what stays may be a view that stands on others
    return left, kept


def remove_unknown(session: Session, state: StateStore, physicals: Collection[str]) -> Iterator[Dropped]:
    """Drop relations (dotted) that the warehouse records as ours and the state does not know; an event for each."""
    relations = sorted(map(Relation.parse, physicals), key=str)
    schemas = {relation.schema for relation in relations if relation.catalog is None}
    views = {
        Relation(schema=schema, name=name)
        for schema in schemas
        for name, kind in session.list_relations(schema)
        if kind == "view"
    }
    for relation in sorted(relations, key=lambda one: (one not in views, str(one))):
        try:
            with session.transaction():
                if str(relation) in state.physicals():
                    continue  # a plan took it over meanwhile
                session.drop(relation, view=relation in views)
                warehouse.forget(session, str(relation))
        except EngineError as error:
            yield Dropped(name=str(relation), kept_because=error.message)
        else:
            yield Dropped(name=str(relation))
    yield from drop_schemas(session, schemas)


def drop_schemas(session: Session, schemas: Iterable[str]) -> Iterator[Dropped]:
    """Drop those that are empty; an event per schema that could not be."""
    for schema in sorted(schemas):
        try:
            session.drop_schema_if_empty(schema)
        except EngineError as error:  # noqa: PERF203 (one schema must not stop the others)
            yield Dropped(name=schema, kept_because=error.message)


def _readers_first(snapshots: Collection[Snapshot]) -> list[Snapshot]:
    """In an order in which nothing is dropped under a view that reads it: some engines refuse that."""
    there = {snapshot.id: snapshot for snapshot in snapshots}
    order: dict[SnapshotId, Snapshot] = {}  # parents first

    def visit(snapshot: Snapshot) -> None:
        if snapshot.id not in order:
            for parent in snapshot.parents:
                if parent in there:
                    visit(there[parent])
            order[snapshot.id] = snapshot

    for snapshot in sorted(snapshots, key=lambda one: one.name, reverse=True):
        visit(snapshot)
    return list(reversed(order.values()))


def _remove_environment(
    session: Session, state: StateStore, environment: Environment, checkpoint: Callable[[str], None]
) -> Iterator[Dropped]:
    """Views and record in one warehouse transaction, then the state."""
    reconcile_in(session, state, environment.name)
    current = state.environment(environment.name)
    if current is None:  # an interrupted janitor had removed its views already
        yield Dropped(name=environment.name, environment=environment.name)
        return
    if current.plan_id != environment.plan_id:
        return  # promoted since
    record = warehouse.shown(session, environment.name)
    removed = Dropped(name=environment.name, environment=environment.name)
    if record is not None:
        removed = take_down(session, record, checkpoint)
    if removed.kept_because is None:
        state.remove_environment(environment.name)
    yield removed


def take_down(session: Session, record: warehouse.Shown, checkpoint: Callable[[str], None]) -> Dropped:
    """Drop the environment's views and its record in one warehouse transaction; tells whether that was done."""
    environment = record.name
    try:
        with session.swapping(views_of(record), claim=claim_of(environment)):
            hide_views(session, record)
            checkpoint("hidden")
        if record.catalog is not None:
            session.drop_catalog_if_empty(record.catalog)
    except EngineError as error:
        return Dropped(name=environment, environment=environment, kept_because=error.message)
    checkpoint("removed")
    return Dropped(name=environment, environment=environment)


def _remove_snapshot(
    session: Session, state: StateStore, snapshot: Snapshot, checkpoint: Callable[[str], None]
) -> Iterator[Dropped]:
    """The relation and its record in one warehouse transaction, then the snapshot."""
    physical = snapshot.physical
    if physical is not None:
        try:
            with session.transaction():
                if not state.going((snapshot.id,)):
                    return  # a plan took it back since it was marked
                session.drop(physical, view=isinstance(snapshot.model.kind, View))
                warehouse.forget(session, str(physical))
                checkpoint("dropping")
        except EngineError as error:
            yield Dropped(name=str(physical), kept_because=error.message)
            return
        checkpoint("dropped")
    state.forget((snapshot.id,))
    if physical is not None:
        yield Dropped(name=str(physical))
