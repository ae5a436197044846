"""What the janitor may take: which snapshots nothing needs any more, and which plans, promotions and targets are
history.

A snapshot is needed by the environments that show it, by open plans, and by the last promotions of every environment
(so that a rollback finds its tables). Everything here runs inside a transaction of the caller.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Subquery,
    and_,
    bindparam,
    delete,
    exists,
    func,
    select,
    union,
    update,
)

from isomesh_dagster.snapshot.codec import snapshot_from_json, target_from_json
from isomesh_dagster.snapshot.environment import Target
from isomesh_dagster.snapshot.snapshot import Category, Snapshot, SnapshotId
from isomesh_dagster.state import rows, tables

ACTIVE = "active"
DELETING = "deleting"


def unneeded(connection: Connection, *, keep_promotions: int, older_than: datetime) -> dict[SnapshotId, str | None]:
    """Snapshots that nothing needs and that were last needed before `older_than`, or whose removal began earlier.

    Each with its physical relation (dotted), or None when it has none or a snapshot that stays shares it. A
    forward-only snapshot stays as long as its table: it alone tells that the rows there come from more than one
    definition.
    """
    needed = _needed(connection, keep_promotions, older_than)
    columns = tables.snapshots.c
    rows = connection.execute(
        select(
            columns.name,
            columns.identifier,
            columns.version,
            columns.physical,
            columns.status,
            columns.needed_at,
            columns.category,
        ).order_by(columns.name, columns.identifier, columns.version)
    )
    going: dict[SnapshotId, str | None] = {}
    kept_physicals: set[str | None] = set()
    forward_only: set[SnapshotId] = set()
    for name, identifier, version, physical, status, needed_at, category in rows:
        snapshot = SnapshotId(name=name, identifier=identifier, version=version)
        if snapshot not in needed and (status == DELETING or needed_at < older_than):
            going[snapshot] = physical
            if category == Category.FORWARD_ONLY.value:
                forward_only.add(snapshot)
        else:
            kept_physicals.add(physical)
    return {
        snapshot: None if physical in kept_physicals else physical
        for snapshot, physical in going.items()
        if snapshot not in forward_only or physical not in kept_physicals
    }


def mark(connection: Connection, snapshots: Iterable[SnapshotId], status: str) -> None:
    """Set the status of snapshots."""
    columns = tables.snapshots.c
    statement = update(tables.snapshots).where(_same_id()).values(status=bindparam("new_status"))
    statement = statement.where(columns.status != bindparam("new_status"))
    if values := [{**_id_values(snapshot), "new_status": status} for snapshot in snapshots]:
        connection.execute(statement, values)


def release(connection: Connection, snapshots: Iterable[SnapshotId], at: datetime) -> None:
    """Snapshots something stopped needing at `at`: their time to live starts now."""
    columns = tables.snapshots.c
    statement = update(tables.snapshots).where(_same_id(), columns.needed_at < bindparam("at"))
    statement = statement.values(needed_at=bindparam("at", type_=tables.Moment))
    if values := [{**_id_values(snapshot), "at": at} for snapshot in snapshots]:
        connection.execute(statement, values)


def going(connection: Connection, ids: Iterable[SnapshotId]) -> set[SnapshotId]:
    """Those of `ids` whose removal began; no other snapshot is read."""
    wanted = set(ids)
    columns = tables.snapshots.c
    found = select(columns.name, columns.identifier, columns.version, columns.status)
    marked: set[SnapshotId] = set()
    for chunk in rows.chunks(sorted({one.identifier for one in wanted})):
        # told apart here, as in `rows.active_physicals`: asked for both, SQLite reads all that are going
        for name, identifier, version, status in connection.execute(found.where(columns.identifier.in_(chunk))):
            if status == DELETING:
                marked.add(SnapshotId(name=name, identifier=identifier, version=version))
    return marked & wanted


def take_back(connection: Connection, target: Target) -> None:
    """Make those snapshots of `target` active again whose removal began."""
    columns = tables.snapshots.c
    marked = select(columns.name, columns.identifier, columns.version).where(columns.status == DELETING)
    found = {
        SnapshotId(name=name, identifier=identifier, version=version)
        for name, identifier, version in connection.execute(marked)
    }
    mark(connection, found.intersection(target.snapshots.values()), ACTIVE)


def forget(connection: Connection, snapshots: Iterable[SnapshotId]) -> None:
    """Delete those of `snapshots` whose removal began and that were not taken back."""
    statement = delete(tables.snapshots).where(_same_id(), tables.snapshots.c.status == DELETING)
    if values := [_id_values(snapshot) for snapshot in snapshots]:
        connection.execute(statement, values)


def forget_history(connection: Connection, *, keep_promotions: int, older_than: datetime) -> None:
    """Delete what no rollback and no crash needs: promotions before the last `keep_promotions` of their environment,
    closed plans that no environment and no promotion shows, both only when older than `older_than`; then targets
    nothing points to, and what batches took of models without a snapshot. Plans that were given up are closed first.
    """
    plans, promotions, environments = tables.plans, tables.promotions, tables.environments
    connection.execute(update(plans).where(_given_up(older_than)).values(status="superseded"))
    ranked = _ranked()
    old = select(ranked.c.number).where(
        ranked.c.environment == promotions.c.environment,
        ranked.c.number == promotions.c.number,
        ranked.c.rank > max(keep_promotions, 1),
    )
    connection.execute(delete(promotions).where(promotions.c.promoted_at < older_than, old.exists()))
    connection.execute(
        delete(plans).where(
            plans.c.status != "open",
            plans.c.created_at < older_than,
            ~exists().where(environments.c.plan_id == plans.c.id),
            ~exists().where(promotions.c.plan_id == plans.c.id),
        )
    )
    used = [~exists().where(table.c.target == tables.targets.c.digest) for table in (environments, promotions, plans)]
    connection.execute(delete(tables.targets).where(*used))
    durations = tables.durations
    connection.execute(delete(durations).where(durations.c.model.not_in(select(tables.snapshots.c.name))))


def _given_up(older_than: datetime) -> ColumnElement[bool]:
    """Open plans of environments that never came to be, and would have ended before `older_than`: nothing else would
    ever close them.
    """
    plans, environments = tables.plans.c, tables.environments.c
    is_there = exists().where(environments.name == plans.environment)
    has_ended = and_(plans.expires_at.is_not(None), plans.expires_at < older_than)  # false, not null, of prod's
    return and_(plans.status == "open", has_ended, ~is_there)


def _needed(connection: Connection, keep_promotions: int, older_than: datetime) -> set[SnapshotId]:
    ranked = _ranked()
    digests: list[Select[tuple[str]]] = [
        select(tables.environments.c.target),
        select(tables.plans.c.target).where(tables.plans.c.status == "open", ~_given_up(older_than)),
        select(ranked.c.target).where(ranked.c.rank <= keep_promotions),
    ]
    documents = connection.scalars(
        select(tables.targets.c.document).where(tables.targets.c.digest.in_(union(*digests)))
    )
    return {snapshot for text in documents for snapshot in target_from_json(json.loads(text)).snapshots.values()}


def _same_id() -> ColumnElement[bool]:
    columns = tables.snapshots.c
    return and_(
        columns.identifier == bindparam("id_identifier"),
        columns.name == bindparam("id_name"),
        columns.version == bindparam("id_version"),
    )


def _id_values(snapshot: SnapshotId) -> dict[str, Any]:
    return {"id_identifier": snapshot.identifier, "id_name": snapshot.name, "id_version": snapshot.version}


def _ranked() -> Subquery:
    """Promotions with their rank in their environment: the newest has 1."""
    columns = tables.promotions.c
    rank = func.row_number().over(partition_by=columns.environment, order_by=columns.number.desc()).label("rank")
    return select(columns.environment, columns.number, columns.target, rank).subquery()


def unneeded_snapshots(connection: Connection, going: Mapping[SnapshotId, str | None]) -> list[Snapshot]:
    """The snapshots of what is going, by id; one that shares its relation with a kept one comes without it."""
    documents = rows.snapshot_documents(connection, (snapshot.identifier for snapshot in going))
    found = []
    for id, text in documents:
        if id in going:
            snapshot = snapshot_from_json(json.loads(text))
            found.append(snapshot if going[id] is not None else replace(snapshot, physical=None))
    return sorted(found, key=lambda snapshot: snapshot.id)
