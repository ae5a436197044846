"""What the warehouse itself records, in the same transactions as the rows and views it speaks of.

Schema `isomesh_meta` of the default catalog:

system        one row, the stamp: whose warehouse this is
environments  what each environment's views show: the authority on what is live
loaded        which intervals a physical relation holds: the authority on what is built. `[start_ms, end_ms)`, epoch
              milliseconds UTC; `[0, 0)` says that the table was made while nothing was due. A relation of a
              whole-table kind has one row, that of its last rebuild.

SQL here is what every engine reads alike. Functions take an open session and leave transactions to the caller.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import EngineError, WriteConflict
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.codec import target_from_json, target_to_json
from isomesh_dagster.snapshot.environment import Target
from isomesh_dagster.snapshot.interval import Interval, from_ms, merge, to_ms
from isomesh_dagster.state.protocol import Identity

META_SCHEMA = "isomesh_meta"

_SYSTEM = Relation(schema=META_SCHEMA, name="system")
_ENVIRONMENTS = Relation(schema=META_SCHEMA, name="environments")
_LOADED = Relation(schema=META_SCHEMA, name="loaded")
TABLES = (_SYSTEM, _ENVIRONMENTS, _LOADED)

_DEFINITIONS = (
    f"CREATE TABLE IF NOT EXISTS {_SYSTEM.sql} "
    "(uuid VARCHAR PRIMARY KEY, gateway VARCHAR NOT NULL, project VARCHAR NOT NULL)",
    f"CREATE TABLE IF NOT EXISTS {_ENVIRONMENTS.sql} (name VARCHAR PRIMARY KEY, plan_id VARCHAR NOT NULL, "
    "number BIGINT NOT NULL, target VARCHAR NOT NULL, promoted_at_ms BIGINT NOT NULL, expires_at_ms BIGINT, "
    "suffix_target VARCHAR NOT NULL, reason VARCHAR NOT NULL)",
    # the key makes the second of two builders of one interval fail instead of doubling its rows
    f"CREATE TABLE IF NOT EXISTS {_LOADED.sql} (physical VARCHAR NOT NULL, start_ms BIGINT NOT NULL, "
    "end_ms BIGINT NOT NULL, plan_id VARCHAR NOT NULL, rows BIGINT, PRIMARY KEY (physical, start_ms))",
)
_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One record of `loaded`: the moments, the plan that wrote them, how many rows (None: the engine did not tell)."""

    start: int
    end: int
    plan_id: str
    rows: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One record of `environments`."""

    name: str
    plan_id: str
    number: int
    target: Target
    promoted_at: datetime
    expires_at: datetime | None
    suffix_target: str
    reason: str


def exists(session: Session) -> bool:
    """Whether this warehouse has our records. Not inside a transaction."""
    return bool(session.columns(_SYSTEM))


def create(session: Session, identity: Identity) -> None:
    """Make the tables, stamped."""
    session.create_schema(META_SCHEMA)
    for statement in _DEFINITIONS:
        session.execute(statement)
    stamp(session, identity)


def stamp(session: Session, identity: Identity) -> None:
    """The stamp is this one afterwards, whatever it was."""
    session.execute(f"DELETE FROM {_SYSTEM.sql}")
    session.execute(f"INSERT INTO {_SYSTEM.sql} VALUES (?, ?, ?)", (identity.uuid, identity.gateway, identity.project))


def remove(session: Session) -> None:
    """Drop the tables, and the schema unless something else is in it."""
    for table in TABLES:
        session.drop(table, view=False)
    session.drop_schema_if_empty(META_SCHEMA)


def identity(session: Session) -> Identity | None:
    """The stamp; None for a warehouse without our records. Not inside a transaction."""
    if not exists(session):
        return None
    rows = session.fetch(f"SELECT uuid, gateway, project FROM {_SYSTEM.sql}")
    return Identity(uuid=rows[0][0], gateway=rows[0][1], project=rows[0][2]) if rows else None


# ---- environments ----------------------------------------------------------------------------------------

_SHOWN = "name, plan_id, number, target, promoted_at_ms, expires_at_ms, suffix_target, reason"


def shown(session: Session, environment: str) -> Shown | None:
    """What the environment shows; None when it is not there."""
    rows = session.fetch(f"SELECT {_SHOWN} FROM {_ENVIRONMENTS.sql} WHERE name = ?", (environment,))
    return _to_shown(rows[0]) if rows else None


def _to_shown(row: tuple[Any, ...]) -> Shown:
    name, plan_id, number, target, promoted_at, expires_at, suffix_target, reason = row
    return Shown(
        name=name,
        plan_id=plan_id,
        number=number,
        target=target_from_json(json.loads(target)),
        promoted_at=from_ms(promoted_at),
        expires_at=None if expires_at is None else from_ms(expires_at),
        suffix_target=suffix_target,
        reason=reason,
    )


def all_shown(session: Session) -> list[Shown]:
    """What every environment shows, by name."""
    rows = session.fetch(f"SELECT {_SHOWN} FROM {_ENVIRONMENTS.sql} ORDER BY name")
    return [_to_shown(row) for row in rows]


def shown_plan(session: Session, environment: str) -> str | None:
    """The id of the plan the environment shows, without reading its target."""
    rows = session.fetch(f"SELECT plan_id FROM {_ENVIRONMENTS.sql} WHERE name = ?", (environment,))
    return str(rows[0][0]) if rows else None


def show(session: Session, record: Shown) -> None:
    """Record what the environment shows, instead of what it showed."""
    values = (
        record.plan_id,
        record.number,
        json.dumps(target_to_json(record.target), separators=(",", ":")),
        to_ms(record.promoted_at),
        None if record.expires_at is None else to_ms(record.expires_at),
        record.suffix_target,
        record.reason,
    )
    session.execute(
        f"INSERT INTO {_ENVIRONMENTS.sql} ({_SHOWN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET plan_id = EXCLUDED.plan_id, number = EXCLUDED.number, "
        "target = EXCLUDED.target, promoted_at_ms = EXCLUDED.promoted_at_ms, expires_at_ms = EXCLUDED.expires_at_ms, "
        "suffix_target = EXCLUDED.suffix_target, reason = EXCLUDED.reason",
        (record.name, *values),
    )


def hide(session: Session, environment: str) -> None:
    """Forget the environment."""
    session.execute(f"DELETE FROM {_ENVIRONMENTS.sql} WHERE name = ?", (environment,))


# ---- loaded ----------------------------------------------------------------------------------------------


def loaded(session: Session, physicals: Iterable[str]) -> dict[str, tuple[Loaded, ...]]:
    """The records of these physical relations (dotted), by start; without a record: absent."""
    wanted = list(dict.fromkeys(physicals))
    found: dict[str, list[Loaded]] = {}
    for first in range(0, len(wanted), _CHUNK):
        chunk = wanted[first : first + _CHUNK]
        marks = ", ".join("?" * len(chunk))
        for physical, start, end, plan_id, rows in session.fetch(
            f"SELECT physical, start_ms, end_ms, plan_id, rows FROM {_LOADED.sql} "
            f"WHERE physical IN ({marks}) ORDER BY physical, start_ms",
            chunk,
        ):
            found.setdefault(physical, []).append(Loaded(start=start, end=end, plan_id=plan_id, rows=rows))
    return {physical: tuple(records) for physical, records in found.items()}


def all_physicals(session: Session) -> set[str]:
    """Every physical relation (dotted) that has a record."""
    return {str(physical) for (physical,) in session.fetch(f"SELECT DISTINCT physical FROM {_LOADED.sql}")}


def loaded_of(session: Session, physical: str) -> tuple[Loaded, ...]:
    """The records of one physical relation (dotted), by start."""
    rows = session.fetch(f"SELECT start_ms, end_ms, plan_id, rows FROM {_LOADED.sql} WHERE physical = ?", (physical,))
    return tuple(
        Loaded(start=start, end=end, plan_id=plan_id, rows=count)
        for start, end, plan_id, count in sorted(rows, key=itemgetter(0))
    )


def record_whole(session: Session, physical: str, record: Loaded, before: Sequence[Loaded]) -> None:
    """The relation holds what one rebuild wrote. `before` are its records as read in this transaction."""
    if before:
        session.execute(f"DELETE FROM {_LOADED.sql} WHERE physical = ?", (physical,))
    _insert(session, physical, (record,))


def record_range(session: Session, physical: str, record: Loaded, before: Sequence[Loaded]) -> None:
    """The relation holds these moments as now written, others as before. `before` as for `record_whole`."""
    _insert(session, physical, (record, *_cut(session, physical, Interval(record.start, record.end), before)))


def erase_range(session: Session, physical: str, interval: Interval, plan_id: str) -> None:
    """The relation no longer counts as holding these moments; that it was made is remembered."""
    before = loaded_of(session, physical)
    if not before:
        return
    left = _cut(session, physical, interval, before)
    whole = [one for one in before if one.end > one.start and (one.end <= interval.start or one.start >= interval.end)]
    if not left and not whole:
        left = [Loaded(start=0, end=0, plan_id=plan_id, rows=None)]
    if left:
        _insert(session, physical, left)


def _cut(session: Session, physical: str, interval: Interval, before: Sequence[Loaded]) -> list[Loaded]:
    """Delete the records that meet the interval, and those of a table without rows; what of them lies outside."""
    touched = [one for one in before if (one.start < interval.end and one.end > interval.start) or one.start == one.end]
    for one in touched:
        session.execute(f"DELETE FROM {_LOADED.sql} WHERE physical = ? AND start_ms = ?", (physical, one.start))
    left = []
    for one in touched:
        if one.start < interval.start and one.end > one.start:
            left.append(Loaded(start=one.start, end=interval.start, plan_id=one.plan_id, rows=None))
        if one.end > interval.end:
            left.append(Loaded(start=interval.end, end=one.end, plan_id=one.plan_id, rows=None))
    return left


def cut(session: Session, physical: str, start: int) -> None:
    """Nothing from `start` (epoch milliseconds) on counts as held by the relation any more; its rows stay."""
    records = loaded_of(session, physical)
    late = [one for one in records if one.end > start and one.end > one.start]
    for one in late:
        session.execute(f"DELETE FROM {_LOADED.sql} WHERE physical = ? AND start_ms = ?", (physical, one.start))
    left = [Loaded(start=one.start, end=start, plan_id=one.plan_id, rows=None) for one in late if one.start < start]
    if not left and len(late) == len(records) and late:  # the table is there all the same
        left = [Loaded(start=0, end=0, plan_id=late[0].plan_id, rows=None)]
    if left:
        _insert(session, physical, left)


def forget(session: Session, physical: str) -> None:
    """The relation holds nothing any more."""
    session.execute(f"DELETE FROM {_LOADED.sql} WHERE physical = ?", (physical,))


def intervals(records: Iterable[Loaded]) -> tuple[Interval, ...]:
    """The moments of the records, merged."""
    return merge(Interval(one.start, one.end) for one in records if one.end > one.start)


def intervals_of(found: Mapping[str, Sequence[Loaded]]) -> dict[str, tuple[Interval, ...]]:
    """The moments by physical relation; relations that hold none are absent."""
    merged = {physical: intervals(records) for physical, records in found.items()}
    return {physical: moments for physical, moments in merged.items() if moments}


def _insert(session: Session, physical: str, records: Sequence[Loaded]) -> None:
    marks = ", ".join(["(?, ?, ?, ?, ?)"] * len(records))
    values = [value for one in records for value in (physical, one.start, one.end, one.plan_id, one.rows)]
    try:
        session.execute(f"INSERT INTO {_LOADED.sql} (physical, start_ms, end_ms, plan_id, rows) VALUES {marks}", values)
    except WriteConflict:
        raise
    except EngineError as error:  # the key is taken: somebody recorded these moments since we looked
        raise WriteConflict(error.message) from None
