"""Rows of the state's tables as values, and values as rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, Table, func, select

from isomesh_dagster.model.kinds import kind_name
from isomesh_dagster.plan.expected import Duration
from isomesh_dagster.plan.restatement import Restatement
from isomesh_dagster.snapshot.codec import snapshot_to_json, target_from_json
from isomesh_dagster.snapshot.environment import Environment, Promotion, Target
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Category, Snapshot, SnapshotId
from isomesh_dagster.state import tables
from isomesh_dagster.state.protocol import GitRef, Identity, PlanRecord

_Item = TypeVar("_Item")

_IN_LIST = 900
"""Values in one IN list; old SQLite libraries take 999 parameters."""


def chunks(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """The items in lists short enough for an IN list."""
    rest = iter(items)
    while chunk := list(islice(rest, _IN_LIST)):
        yield chunk


def compact(data: Any) -> str:
    """JSON with no spaces, keys sorted: equal data has equal text."""
    return json.dumps(data, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


class Targets(dict[str, Target]):
    """Targets by their JSON text, each decoded once: many rows show the same one."""

    def __missing__(self, text: str) -> Target:
        target = self[text] = target_from_json(json.loads(text))
        return target


def with_target(table: Table) -> Select[Any]:
    """The table's rows with the JSON of what they show as `target_text`."""
    text = tables.targets.c.document.label("target_text")
    return select(table, text).join(tables.targets, tables.targets.c.digest == table.c.target)


def to_environment(row: Row[Any], decoded: Targets) -> Environment:
    """From a row of `with_target(environments)`."""
    return Environment(
        name=row.name,
        plan_id=row.plan_id,
        number=row.number,
        target=decoded[row.target_text],
        promoted_at=row.promoted_at,
        expires_at=row.expires_at,
        suffix_target=row.suffix_target,
    )


def to_promotion(row: Row[Any], decoded: Targets) -> Promotion:
    """From a row of `with_target(promotions)`."""
    return Promotion(
        environment=row.environment,
        number=row.number,
        plan_id=row.plan_id,
        target=decoded[row.target_text],
        promoted_at=row.promoted_at,
        reason=row.reason,
    )


def to_plan(row: Row[Any], decoded: Targets) -> PlanRecord:
    """From a row of `with_target(plans)`."""
    return PlanRecord(
        id=row.id,
        environment=row.environment,
        based_on=row.based_on,
        status=row.status,
        target=decoded[row.target_text],
        created_at=row.created_at,
        document=row.document,
        expires_at=row.expires_at,
        suffix_target=row.suffix_target,
    )


def snapshot_row(snapshot: Snapshot, at: datetime) -> dict[str, Any]:
    """The row of a new snapshot, needed since `at`."""
    return {
        "identifier": snapshot.fingerprint.identity,
        "name": snapshot.name,
        "version": snapshot.version,
        "kind": kind_name(snapshot.model.kind),
        "category": snapshot.category.value,
        "algorithm": snapshot.fingerprint.algorithm,
        "physical": None if snapshot.physical is None else str(snapshot.physical),
        "status": "active",
        "created_at": at,
        "needed_at": at,
        "document": compact(snapshot_to_json(snapshot)),
    }


def snapshot_documents(connection: Connection, identifiers: Iterable[str]) -> Iterator[tuple[SnapshotId, str]]:
    """Id and JSON of every snapshot that has one of these identifiers."""
    columns = tables.snapshots.c
    found = select(columns.name, columns.identifier, columns.version, columns.document)
    for chunk in chunks(sorted(set(identifiers))):
        for name, identifier, version, document in connection.execute(found.where(columns.identifier.in_(chunk))):
            yield SnapshotId(name=name, identifier=identifier, version=version), document


def ever_shown(connection: Connection, ids: Iterable[SnapshotId]) -> set[SnapshotId]:
    """Those of `ids` that are in a target of a promotion. Each target is decoded once, the newest first, and none when
    all are found.
    """
    missing, found = set(ids), set[SnapshotId]()
    promotions, targets = tables.promotions.c, tables.targets.c
    latest = select(promotions.target, func.max(promotions.promoted_at).label("at")).group_by(promotions.target)
    shown = latest.subquery()
    texts = select(targets.document).join(shown, shown.c.target == targets.digest).order_by(shown.c.at.desc())
    if missing:
        for text in connection.scalars(texts):
            found |= missing.intersection(target_from_json(json.loads(text)).snapshots.values())
            if found == missing:
                break
    return found


def recorded_intervals(
    connection: Connection, physicals: Iterable[str], table: Table = tables.intervals
) -> dict[str, list[Interval]]:
    """What `table` (or `due_again`) says of these physical relations, in order; nothing recorded: absent."""
    columns = table.c
    found: dict[str, list[Interval]] = {}
    for chunk in chunks(physicals):
        statement = select(columns.physical, columns.start_ms, columns.end_ms).where(columns.physical.in_(chunk))
        for physical, start, end in connection.execute(statement.order_by(columns.physical, columns.start_ms)):
            found.setdefault(physical, []).append(Interval(start, end))
    return found


def known_restatements(connection: Connection, physicals: Iterable[str]) -> dict[str, Restatement]:
    """What is known of the automatic restatement of these physical relations; nothing: absent."""
    columns = tables.restatements.c
    found: dict[str, Restatement] = {}
    for chunk in chunks(physicals):
        for row in connection.execute(select(tables.restatements).where(columns.physical.in_(chunk))):
            pending = tuple(Interval(start, end) for start, end in json.loads(row.pending))
            found[row.physical] = Restatement(tick=row.tick_ms, pending=pending)
    return found


def restatement_row(physical: str, known: Restatement) -> dict[str, Any]:
    """The row of what is known of a relation's restatement."""
    pending = compact([[interval.start, interval.end] for interval in known.pending])
    return {"physical": physical, "tick_ms": known.tick, "pending": pending}


def known_durations(connection: Connection, models: Iterable[str]) -> dict[str, list[Duration]]:
    """What the last batches of these models took, oldest first; nothing: absent."""
    columns = tables.durations.c
    found: dict[str, list[Duration]] = {}
    for chunk in chunks(models):
        for row in connection.execute(select(tables.durations).where(columns.model.in_(chunk))):
            found[row.model] = [Duration(units=units, seconds=seconds) for units, seconds in json.loads(row.recent)]
    return found


def forward_only_tables(connection: Connection, names: Iterable[str]) -> set[str]:
    """The physical relations of these models that have a forward-only snapshot."""
    columns = tables.snapshots.c
    found: set[str] = set()
    for chunk in chunks(sorted(set(names))):
        kept = select(columns.physical).where(columns.category == Category.FORWARD_ONLY.value, columns.name.in_(chunk))
        found.update(physical for physical in connection.scalars(kept.distinct()) if physical is not None)
    return found


def active_physicals(connection: Connection, physicals: Iterable[str]) -> set[str]:
    """Those physical relations that belong to a snapshot which stays."""
    columns = tables.snapshots.c
    found: set[str] = set()
    for chunk in chunks(physicals):
        # told apart here: asked for both, SQLite reads every active snapshot there is to find a few
        owned = select(columns.physical, columns.status).where(columns.physical.in_(chunk))
        found.update(physical for physical, status in connection.execute(owned) if status == "active")
    return found


def read_environment(connection: Connection, name: str) -> Environment | None:
    """The environment of this name."""
    row = connection.execute(with_target(tables.environments).where(tables.environments.c.name == name)).first()
    return None if row is None else to_environment(row, Targets())


def read_plan(connection: Connection, plan_id: str) -> PlanRecord | None:
    """The plan of this id."""
    row = connection.execute(with_target(tables.plans).where(tables.plans.c.id == plan_id)).first()
    return None if row is None else to_plan(row, Targets())


def read_identity(connection: Connection) -> Identity | None:
    """The stamp."""
    row = connection.execute(select(tables.system)).first()
    return None if row is None else Identity(uuid=row.uuid, gateway=row.gateway, project=row.project)


def to_git_ref(row: Row[Any]) -> GitRef:
    """From a row of `git_refs`."""
    return GitRef(
        ref=row.ref,
        environment=row.environment,
        commit=row.commit_id,
        status=row.status,
        changed_at=row.changed_at,
        shown=row.shown,
        told=row.told,
        document=row.document,
    )


def from_git_ref(record: GitRef) -> dict[str, Any]:
    """A row of `git_refs`."""
    return {
        "ref": record.ref,
        "environment": record.environment,
        "commit_id": record.commit,
        "status": record.status,
        "shown": record.shown,
        "changed_at": record.changed_at,
        "told": record.told,
        "document": record.document,
    }
