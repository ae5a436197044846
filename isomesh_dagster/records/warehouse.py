"""What the warehouse itself records, in the same transactions as the rows and views it speaks of.

Schema `isomesh_meta` of the default catalog, and its first two tables in every other catalog that holds the views of an
environment: the record of what they show is where the views are, so that one transaction writes both.

system        one row, the stamp: whose warehouse this is
environments  what each environment's views show: the authority on what is live
loaded        which intervals a physical relation holds: the authority on what is built. `[start_ms, end_ms)`, epoch
              milliseconds UTC; `[0, 0)` says that the table was made while nothing was due. A relation of a
              whole-table kind has one row, that of its last build; of others, neighbours become one row when
              they are many.

SQL here is what every engine reads alike. Functions take an open session and leave transactions to the caller.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from typing import Any

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import EngineError, PlanError, SystemMismatch, WriteConflict
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

_COLUMNS = {
    _SYSTEM: "uuid VARCHAR PRIMARY KEY, gateway VARCHAR NOT NULL, project VARCHAR NOT NULL",
    _ENVIRONMENTS: "name VARCHAR PRIMARY KEY, plan_id VARCHAR NOT NULL, number BIGINT NOT NULL, "
    "target VARCHAR NOT NULL, promoted_at_ms BIGINT NOT NULL, expires_at_ms BIGINT, suffix_target VARCHAR NOT NULL, "
    "reason VARCHAR NOT NULL",
    # the key makes the second of two builders of one interval fail instead of doubling its rows
    _LOADED: "physical VARCHAR NOT NULL, start_ms BIGINT NOT NULL, end_ms BIGINT NOT NULL, plan_id VARCHAR NOT NULL, "
    "rows BIGINT, PRIMARY KEY (physical, start_ms)",
}
_CHUNK = 500
MOST_RECORDS = 12
"""Of one relation, before neighbours are made one: every batch and every run reads them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """One record of `loaded`: the moments, the plan that wrote them ("": several plans, which are done), how many rows
    (None: the engine did not tell).
    """

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

    @property
    def catalog(self) -> str | None:
        """Where the record is."""
        return home_of(self.target)


def home_of(target: Target) -> str | None:
    """The catalog that holds the target's views, and the record of them; None: the default one.

    Raises PlanError for views in several catalogs: no transaction writes two.
    """
    homes = {Relation.parse(view.view).catalog: name for name, view in sorted(target.views.items())}
    if len(homes) > 1:
        told = ", ".join(f"{name} in {home or 'the default one'}" for home, name in homes.items())
        raise PlanError(
            f"the views of one environment would be in several catalogs: {told}",
            hint="one transaction moves them all, and it writes one catalog: leave catalogs out of the models' names",
        )
    return next(iter(homes), None)


def exists(session: Session) -> bool:
    """Whether this warehouse has our records. Not inside a transaction."""
    return bool(session.columns(_SYSTEM))


def create(session: Session, identity: Identity) -> None:
    """Make the tables, stamped."""
    _create(session, TABLES, None)
    stamp(session, identity)


def stamp(session: Session, identity: Identity) -> None:
    """The stamp is this one afterwards, whatever it was."""
    session.execute(f"DELETE FROM {_SYSTEM.sql}")
    _stamp(session, identity, None)


def settle(session: Session, catalog: str | None) -> None:
    """Inside a transaction: make what is recorded beside views in this catalog, stamped as the default one is; nothing
    when it is there. Raises SystemMismatch when it is another system's.
    """
    if catalog is None:
        return
    _create(session, (_SYSTEM, _ENVIRONMENTS), catalog)
    ours = _read_stamp(session, None)
    if _read_stamp(session, catalog) is None and ours is not None:
        _stamp(session, ours, catalog)
    check_owner(session, catalog)


def check_owner(session: Session, catalog: str) -> None:
    """Raises SystemMismatch for a catalog that holds environments of another system."""
    if not any(one is not None and one.lower() == catalog.lower() for one in session.catalogs_with(_SYSTEM)):
        return
    theirs = _read_stamp(session, catalog)
    if theirs is not None and not _is_ours(theirs, _read_stamp(session, None)):
        raise SystemMismatch(
            f"the catalog {catalog!r} holds environments of gateway {theirs.gateway!r} of another system "
            f"({theirs.uuid[:8]})",
            hint="every gateway has catalogs of its own for its environments; name another one",
        )


def _is_ours(stamp: Identity | None, ours: Identity | None) -> bool:
    """Whether a catalog with that stamp is of our system, whose names may be others by now."""
    return stamp is None or ours is None or stamp.uuid == ours.uuid


def _create(session: Session, tables: Iterable[Relation], catalog: str | None) -> None:
    session.create_schema(META_SCHEMA, catalog)
    for table in tables:
        session.execute(f"CREATE TABLE IF NOT EXISTS {_in(table, catalog)} ({_COLUMNS[table]})")


def _stamp(session: Session, identity: Identity, catalog: str | None) -> None:
    session.execute(
        f"INSERT INTO {_in(_SYSTEM, catalog)} VALUES (?, ?, ?)", (identity.uuid, identity.gateway, identity.project)
    )


def remove(session: Session) -> None:
    """Drop the tables, and the schema unless something else is in it."""
    for table in TABLES:
        session.drop(table, view=False)
    session.drop_schema_if_empty(META_SCHEMA)


def identity(session: Session) -> Identity | None:
    """The stamp; None for a warehouse without our records. Not inside a transaction."""
    return _read_stamp(session, None) if exists(session) else None


def _read_stamp(session: Session, catalog: str | None) -> Identity | None:
    rows = session.fetch(f"SELECT uuid, gateway, project FROM {_in(_SYSTEM, catalog)}")
    return Identity(uuid=rows[0][0], gateway=rows[0][1], project=rows[0][2]) if rows else None


def _in(table: Relation, catalog: str | None) -> str:
    return replace(table, catalog=catalog).sql


# ---- environments ----------------------------------------------------------------------------------------

_SHOWN = "name, plan_id, number, target, promoted_at_ms, expires_at_ms, suffix_target, reason"


def shown(session: Session, environment: str) -> Shown | None:
    """What the environment shows; None when it is not there."""
    return next(iter(records(session, environment)), None)


def records(session: Session, environment: str) -> list[Shown]:
    """Every record of the environment, the latest first. That one counts: an older one, in another catalog, is what the
    environment showed before it moved, and goes with its views. Numbers begin anew with an environment, moments do not.
    """
    return sorted(_fetch(session, "WHERE name = ?", (environment,)), key=_age, reverse=True)


def left_behind(session: Session, environment: str) -> list[Shown]:
    """The records of the environment but the latest; where one catalog holds all, no target is read for it."""
    return records(session, environment)[1:] if len(_homes(session)) > 1 else []


def tables(session: Session) -> list[Relation]:
    """All tables with our records, in every catalog."""
    homes = (home for home in _homes(session) if home is not None)
    return [*TABLES, *(replace(table, catalog=home) for home in homes for table in (_SYSTEM, _ENVIRONMENTS))]


def _homes(session: Session) -> list[str | None]:
    """The catalogs that hold records of this system's environments, the default one first."""
    others = [home for home in session.catalogs_with(_ENVIRONMENTS) if home is not None]
    if not others:
        return [None]
    ours = _read_stamp(session, None)  # somebody else's warehouse may be attached to be read
    return [None, *(home for home in others if _is_ours(_read_stamp(session, home), ours))]


def _fetch(session: Session, rest: str = "", values: Sequence[Any] = ()) -> list[Shown]:
    """The records of this system's environments, from every catalog that has some. A record is where its views are: one
    that speaks of views elsewhere is in a copy of that catalog, attached to be read, and says nothing of today.
    """

    def place(catalog: str | None) -> str:
        return (catalog or session.default_catalog).lower()

    return [
        record
        for home in _homes(session)
        for record in map(_to_shown, session.fetch(f"SELECT {_SHOWN} FROM {_in(_ENVIRONMENTS, home)} {rest}", values))
        if place(record.catalog) == place(home)
    ]


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
    latest = {one.name: one for one in sorted(_fetch(session), key=_age)}
    return [latest[name] for name in sorted(latest)]


def _age(record: Shown) -> tuple[datetime, int]:
    return record.promoted_at, record.number


def shown_plan(session: Session, environment: str) -> str | None:
    """The id of the plan the environment shows; where one catalog holds all records, without reading its target."""
    if len(_homes(session)) > 1:
        record = shown(session, environment)
        return None if record is None else record.plan_id
    rows = session.fetch(f"SELECT plan_id FROM {_ENVIRONMENTS.sql} WHERE name = ?", (environment,))
    return str(rows[0][0]) if rows else None


def show(session: Session, record: Shown) -> None:
    """Record what the environment shows, instead of what it showed, in the catalog of its views."""
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
        f"INSERT INTO {_in(_ENVIRONMENTS, record.catalog)} ({_SHOWN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
        "ON CONFLICT (name) DO UPDATE SET plan_id = EXCLUDED.plan_id, number = EXCLUDED.number, "
        "target = EXCLUDED.target, promoted_at_ms = EXCLUDED.promoted_at_ms, expires_at_ms = EXCLUDED.expires_at_ms, "
        "suffix_target = EXCLUDED.suffix_target, reason = EXCLUDED.reason",
        (record.name, *values),
    )


def hide(session: Session, record: Shown) -> None:
    """Forget a record; our tables go with the last one of a catalog other than the default."""
    table = _in(_ENVIRONMENTS, record.catalog)
    session.execute(f"DELETE FROM {table} WHERE name = ?", (record.name,))
    if record.catalog is not None and not session.fetch(f"SELECT 1 FROM {table} LIMIT 1"):
        for ours in (_ENVIRONMENTS, _SYSTEM):
            session.drop(replace(ours, catalog=record.catalog), view=False)
        session.drop_schema_if_empty(META_SCHEMA, record.catalog)


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
    """The relation holds what one build wrote. `before` are its records as read in this transaction."""
    if before:
        session.execute(f"DELETE FROM {_LOADED.sql} WHERE physical = ?", (physical,))
    _insert(session, physical, (record,))


def record_range(
    session: Session, physical: str, record: Loaded, before: Sequence[Loaded], done: Container[str] = ()
) -> None:
    """The relation holds these moments as now written, others as before. `before` as for `record_whole`. `done` are
    plans of which nobody asks any more what they wrote.
    """
    _insert(session, physical, (record, *_cut(session, physical, Interval(record.start, record.end), before)))
    if len(before) >= MOST_RECORDS:
        _join(session, physical, done)


def joined(records: Iterable[Loaded], done: Container[str]) -> list[Loaded]:
    """The same moments in fewer records, by start: neighbours become one that the same plan wrote, or plans that are
    `done`.
    """
    result: list[Loaded] = []
    for one in sorted(records, key=lambda each: each.start):
        plan_id = "" if one.plan_id in done else one.plan_id
        last = result[-1] if result else None
        if last is not None and last.end == one.start and last.start < last.end and last.plan_id == plan_id:
            rows = None if last.rows is None or one.rows is None else last.rows + one.rows
            result[-1] = replace(last, end=one.end, rows=rows)
        else:
            result.append(replace(one, plan_id=plan_id))
    return result


def _join(session: Session, physical: str, done: Container[str]) -> None:
    """Write the relation's records as `joined` has them."""
    before = {one.start: one for one in loaded_of(session, physical)}
    for one in joined(before.values(), done):
        if one.end == before[one.start].end:
            continue
        session.execute(
            f"DELETE FROM {_LOADED.sql} WHERE physical = ? AND start_ms > ? AND start_ms < ?",
            (physical, one.start, one.end),
        )
        session.execute(
            f"UPDATE {_LOADED.sql} SET end_ms = ?, plan_id = ?, rows = ? WHERE physical = ? AND start_ms = ?",
            (one.end, one.plan_id, one.rows, physical, one.start),
        )


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
