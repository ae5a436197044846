"""What is wrong with a system: its state, its warehouse, and whether the one still is what the other says.

The warehouse may have been changed behind our back: views replaced by hand, tables dropped, a backup restored. Here it
is found out, told object by object, and, when asked for, mended: views are made again over the tables they belong to,
and what is recorded for rows that are gone is forgotten, so that the next run builds them again. Nothing is dropped.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from enum import Enum

from isomesh_dagster.engine.connection import Connection, Session
from isomesh_dagster.errors import EngineError, IsomeshError
from isomesh_dagster.evaluation.texts import view_query
from isomesh_dagster.execution.comments import comment_on
from isomesh_dagster.model.kinds import View, adds_rows, is_incremental, table_columns
from isomesh_dagster.plan.words import some
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.homes import claim_of
from isomesh_dagster.records.reconcile import adopt_loaded
from isomesh_dagster.records.stamp import check_pairing
from isomesh_dagster.relation import Column, Relation
from isomesh_dagster.snapshot.environment import PROD, Environment
from isomesh_dagster.snapshot.interval import Interval, iso, subtract
from isomesh_dagster.snapshot.naming import MAX_IDENTIFIER_BYTES
from isomesh_dagster.snapshot.snapshot import Snapshot
from isomesh_dagster.state.protocol import Identity, StateStore
from isomesh_dagster.upkeep.adopt import believe

CLOCK_TOLERANCE_SECONDS = 60.0
"""How far the clocks of this machine and of the warehouse may be apart: intervals end by the clock."""

_PROBE = "isomesh_doctor"


class Level(str, Enum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `subject` is what (stamp, clock, an environment, an object), `hint` the mend, and
    `is_repaired` tells that it was mended just now.
    """

    level: Level
    subject: str
    message: str
    hint: str | None = None
    is_repaired: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """The system that is looked at. `identity` is who asks, `comments` whether views of prod carry descriptions,
    `makes_schemas` whether schemas are made as they are needed, not by somebody else.
    """

    connection: Connection
    state: StateStore
    identity: Identity
    comments: bool = False
    makes_schemas: bool = True


def examine(patient: Patient, *, environments: Collection[str] = (), repair: bool = False) -> Iterator[Finding]:
    """Look at the whole system, or at the drift of some of its `environments`; with `repair`, mend what can be.

    Yields a finding per thing looked at; what is as it should be is told once for many objects.
    """
    state = patient.state
    with patient.connection.session() as session:
        stamp = _stamp(patient, session)
        if not environments or stamp.level is Level.ERROR:
            yield stamp
        if stamp.level is Level.ERROR:
            return  # what follows compares the one with the other, and believes one of them
        if not environments:
            yield _clock(session)
            yield _rights(session, patient)
        if not warehouse.exists(session) or state.identity() is None:
            yield Finding(level=Level.OK, subject="warehouse", message="nothing is built yet")
            return
        shown = [one for one in state.environments() if not environments or one.name in environments]
        for environment in shown:
            yield from _recorded(session, state, environment, repair=repair)
        if not environments:
            yield from _unknown(session, state, repair=repair)
        # what they disagree on is not to be compared any further: the mend would follow the wrong one
        agreed = {one.name for one in warehouse.all_shown(session) if _is_known(state.environment(one.name), one)}
        shown = [one for one in state.environments() if one.name in agreed and one.name in {*(environments or agreed)}]
        snapshots = state.snapshots({id for one in shown for id in one.target.snapshots.values()})
        lost = yield from _tables(session, state, shown, snapshots.values(), repair=repair)
        for environment in shown:
            yield from _views(session, patient, environment, snapshots.values(), lost, repair=repair)
        if not environments:
            yield from _strangers(session, state, snapshots.values())


# ---- the system -------------------------------------------------------------------------------------------


def _stamp(patient: Patient, session: Session) -> Finding:
    try:
        stamp, _ = check_pairing(session, patient.state, patient.identity)
    except IsomeshError as error:
        return Finding(level=Level.ERROR, subject="stamp", message=error.message, hint=error.hint)
    if stamp is None:
        return Finding(level=Level.OK, subject="stamp", message="state and warehouse are new")
    message = f"state and warehouse belong together (gateway {stamp.gateway}, system {stamp.uuid[:8]})"
    return Finding(level=Level.OK, subject="stamp", message=message)


def _clock(session: Session) -> Finding:
    before = time.time()
    there = float(session.fetch("SELECT CAST(EXTRACT(EPOCH FROM now()) AS DOUBLE PRECISION)")[0][0])
    apart = there - (before + time.time()) / 2
    if abs(apart) <= CLOCK_TOLERANCE_SECONDS:
        return Finding(level=Level.OK, subject="clock", message="the warehouse and this machine agree on the time")
    return Finding(
        level=Level.WARNING,
        subject="clock",
        message=f"the warehouse's clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} this machine's",
        hint="set both by a time server: what is due is decided by this machine's clock",
    )


class _TakenBack(Exception):
    """Ends the transaction of a trial, so that nothing of it stays."""


def _rights(session: Session, patient: Patient) -> Finding:
    """Ask for the rights on what is shown, and try what a plan does, in a transaction that is rolled back."""
    shown = patient.state.environments() if patient.state.identity() is not None else []
    views = [Relation.parse(view.view) for one in shown for view in one.target.views.values()]
    physicals = [Relation.parse(view.physical) for one in shown for view in one.target.views.values()]
    schemas = {one.schema for one in (*views, *physicals) if one.catalog is None}
    place = _PROBE if patient.makes_schemas else warehouse.META_SCHEMA
    table = Relation(schema=place, name=f"{_PROBE}_table")
    try:
        session.preflight(sorted(schemas), views)
        with session.transaction():
            session.create_schema(place)
            session.create_table(table, (("a", "INTEGER"),))
            view = Relation(schema=place, name=f"{_PROBE}_view")
            session.replace_view(view, view_query(str(table), str(view), session.default_catalog))
            raise _TakenBack
    except _TakenBack:
        what = "schemas, tables and views" if patient.makes_schemas else "tables and views"
        return Finding(level=Level.OK, subject="rights", message=f"{what} can be made")
    except EngineError as error:
        return Finding(
            level=Level.ERROR,
            subject="rights",
            message=f"what a plan does could not be done: {error.message}",
            hint=error.hint or "grant this user the right to create schemas in the warehouse",
        )


# ---- what is recorded -------------------------------------------------------------------------------------


def _recorded(session: Session, state: StateStore, environment: Environment, *, repair: bool) -> Iterator[Finding]:
    """Whether state and warehouse agree on the plan an environment shows."""
    shown = warehouse.shown(session, environment.name)
    if shown is not None and _is_known(environment, shown):
        return
    there = "nothing" if shown is None else f"plan {shown.plan_id} (promotion {shown.number})"
    yield from _disagreement(
        session,
        state,
        shown,
        environment.name,
        f"the state says it shows plan {environment.plan_id} (promotion {environment.number}), the warehouse {there}",
        repair=repair,
    )


def _is_known(known: Environment | None, shown: warehouse.Shown) -> bool:
    return known is not None and known.plan_id == shown.plan_id


def _unknown(session: Session, state: StateStore, *, repair: bool) -> Iterator[Finding]:
    """Environments that only the warehouse knows."""
    known = {one.name for one in state.environments()}
    for shown in warehouse.all_shown(session):
        if shown.name not in known:
            message = f"the warehouse shows plan {shown.plan_id} in it, the state does not know it"
            yield from _disagreement(session, state, shown, shown.name, message, repair=repair)


def _disagreement(
    session: Session, state: StateStore, shown: warehouse.Shown | None, name: str, message: str, *, repair: bool
) -> Iterator[Finding]:
    """An environment of which the warehouse is believed, as far as the state knows what it shows."""
    hint: str | None = (
        "an apply was interrupted, or a backup restored; `isomesh doctor --repair` believes the warehouse"
    )
    if shown is not None:
        ids = shown.target.snapshots.values()
        if len(state.snapshots(ids)) < len(set(ids)):
            hint = "the state has lost what it shows: restore the state of that time, or `isomesh system adopt`"
            repair = False
    if repair:
        if shown is None:
            state.remove_environment(name)
        else:
            believe(session, state, shown)
    yield Finding(level=Level.ERROR, subject=name, message=message, hint=None if repair else hint, is_repaired=repair)


def _tables(
    session: Session,
    state: StateStore,
    shown: Iterable[Environment],
    snapshots: Collection[Snapshot],
    *,
    repair: bool,
) -> Generator[Finding, None, set[str]]:
    """Tables that are gone, and records that do not agree; returns (as the generator's value) the tables gone."""
    wanted = {view.physical for environment in shown for view in environment.target.views.values()}
    gone = wanted - _existing(session, wanted)
    owners = {str(one.physical): one for one in snapshots if one.physical is not None}
    for physical in sorted(gone):
        if repair:
            with session.transaction():
                warehouse.forget(session, physical)
            state.add_intervals({physical: ()}, replace=True)
        owner = owners.get(physical)
        yield Finding(
            level=Level.ERROR,
            subject=owner.name if owner is not None else physical,
            message=f"its table {physical} is gone",
            hint="`isomesh run ENV` builds it again"
            if repair
            else "`isomesh doctor --repair` forgets its intervals, `isomesh run ENV` then builds it again",
            is_repaired=repair,
        )
    kept = sorted(wanted - gone)
    recorded = state.intervals(kept)
    loaded = warehouse.intervals_of(warehouse.loaded(session, kept))
    wrong = [
        physical
        for physical in kept
        if physical in owners
        and is_incremental(owners[physical].model.kind)
        and subtract(recorded.get(physical, ()), loaded.get(physical, ()))
    ]
    if wrong and repair:
        adopt_loaded(session, state, wrong)
    for physical in wrong:
        yield Finding(
            level=Level.ERROR,
            subject=owners[physical].name,
            message=f"the state knows of intervals that {physical} does not hold",
            hint="was one of the two restored from a backup? `isomesh doctor --repair` believes the warehouse",
            is_repaired=repair,
        )
    yield from _to_come(session, state, [owners[physical] for physical in kept if physical in owners], repair=repair)
    altered = [
        (name, physical, missing)
        for name, physical, missing in _altered(session, state, snapshots)
        if physical in wanted
    ]
    for name, physical, missing in altered:
        yield Finding(
            level=Level.ERROR,
            subject=name,
            message=f"its table {physical} has no column {', '.join(missing)} any more: somebody altered it",
            hint="add it again (ALTER TABLE … ADD COLUMN), then `isomesh plan ENV --restate-model "
            f"{name}` fills it; what is built meanwhile goes without it",
        )
    if not gone and not wrong and not altered:
        yield Finding(level=Level.OK, subject="tables", message=f"all {len(wanted)} tables that are shown are there")
    return gone


def _to_come(
    session: Session, state: StateStore, snapshots: Collection[Snapshot], *, repair: bool
) -> Iterator[Finding]:
    """Tables that count as built for moments that are yet to come: what comes then would never be built."""
    latest = int((time.time() + CLOCK_TOLERANCE_SECONDS) * 1000)
    recorded = state.intervals({str(one.physical) for one in snapshots if is_incremental(one.model.kind)})
    for one in {str(each.physical): each for each in snapshots}.values():
        physical = str(one.physical)
        end = max((interval.end for interval in recorded.get(physical, ())), default=0)
        if end <= latest:
            continue
        # rows that were appended would be appended again
        is_mended = repair and not adds_rows(one.model.kind)
        if is_mended:
            state.add_intervals({physical: subtract(recorded[physical], [Interval(latest, end)])}, replace=True)
            with session.transaction(claim=physical):
                warehouse.cut(session, physical, latest)
            adopt_loaded(session, state, [physical])
        yield Finding(
            level=Level.WARNING,
            subject=one.name,
            message=f"its table {physical} counts as built until {iso(end)}, which is yet to come",
            hint=None
            if is_mended
            else "was this machine's clock ahead? `isomesh doctor --repair` forgets what is to come, runs then build it"
            if not adds_rows(one.model.kind)
            else "was this machine's clock ahead? restate the model: what it appended cannot be told apart",
            is_repaired=is_mended,
        )


def _altered(
    session: Session, state: StateStore, snapshots: Collection[Snapshot]
) -> Iterator[tuple[str, str, list[str]]]:
    """Tables that lack columns which their models tell: model, table (dotted), columns. What forward-only changes were
    made to may lawfully have others, and what is gone has none.
    """
    forward_only = state.forward_only_tables({one.name for one in snapshots})
    for one in sorted(snapshots, key=lambda each: each.id):
        model = one.model
        told = model.columns or tuple(Column(name=name) for name in model.output or ())
        if not told or one.physical is None or isinstance(model.kind, View) or str(one.physical) in forward_only:
            continue
        there = {name.lower() for name, _ in session.columns(one.physical)}
        missing = [column.name for column in table_columns(model.kind, told) if column.name.lower() not in there]
        if there and missing:
            yield one.name, str(one.physical), missing


# ---- drift ------------------------------------------------------------------------------------------------


def _views(
    session: Session,
    patient: Patient,
    environment: Environment,
    snapshots: Collection[Snapshot],
    gone: Collection[str],
    *,
    repair: bool,
) -> Iterator[Finding]:
    """Views that are not there, or show another table than they should."""
    models = {view.view: name for name, view in environment.target.views.items()}
    views = {view.view: view.physical for view in environment.target.views.values()}
    definitions = _definitions(session, views)
    drifted: dict[str, str] = {}
    for view, physical in sorted(views.items()):
        if view not in definitions:
            drifted[view] = "the view is gone"
        elif (text := definitions[view]) is not None and Relation.parse(physical).name not in text:
            drifted[view] = f"the view does not show {physical}: somebody replaced it"
    is_mended = repair and bool(drifted)
    by_id = {one.id: one for one in snapshots}
    with session.transaction(claim=claim_of(environment.name)) if is_mended else nullcontext():
        now = warehouse.shown(session, environment.name) if drifted else None
        if drifted and (now is None or not _is_known(environment, now)):
            return  # promoted or taken down since it was looked up: its views are not to be those of before
        if is_mended:
            for view in sorted(drifted.keys() - {view for view, physical in views.items() if physical in gone}):
                relation = Relation.parse(view)
                session.create_schema(relation.schema, relation.catalog)
                session.replace_view(relation, view_query(views[view], view, session.default_catalog))
                snapshot = by_id.get(environment.target.snapshots[models[view]])
                if patient.comments and environment.name == PROD and snapshot is not None:
                    comment_on(session, relation, snapshot.model)
    for view, message in drifted.items():
        yield Finding(
            level=Level.ERROR,
            subject=view,
            message=message,
            hint=None if is_mended else "`isomesh doctor --repair` makes it again over its table",
            is_repaired=is_mended and views[view] not in gone,
        )
    if not drifted:
        message = f"its {len(views)} views show what promotion {environment.number} made them show"
        yield Finding(level=Level.OK, subject=environment.name, message=message)


def _definitions(session: Session, views: Iterable[str]) -> Mapping[str, str | None]:
    """What the warehouse says that these views are, by view; None where it does not tell us, absent: no such view."""
    places: dict[tuple[str | None, str], list[str]] = defaultdict(list)
    for view in views:
        relation = Relation.parse(view)
        places[relation.catalog, relation.schema].append(view)
    found: dict[str, str | None] = {}
    query = (
        "SELECT table_name, view_definition FROM information_schema.views "
        "WHERE table_schema = ? AND lower(table_catalog) = lower(?)"
    )
    for (catalog, schema), wanted in places.items():
        texts = dict(session.fetch(query, (schema, catalog or session.default_catalog)))
        for view in wanted:
            name = Relation.parse(view).name
            cut = name.encode()[:MAX_IDENTIFIER_BYTES].decode(errors="ignore")  # as Postgres keeps it
            if (one := name if name in texts else cut) in texts:
                found[view] = texts[one]
    return found


def _strangers(session: Session, state: StateStore, snapshots: Collection[Snapshot]) -> Iterator[Finding]:
    """Objects in the schemas of the physical layer that no snapshot owns: told, and left alone."""
    schemas = {one.physical.schema for one in snapshots if one.physical is not None and one.physical.catalog is None}
    owned = state.physicals() | warehouse.all_physicals(session)
    strangers = [name for schema in sorted(schemas) for name in _listed(session, schema) if name not in owned]
    if strangers:
        yield Finding(
            level=Level.WARNING,
            subject="physical layer",
            message=f"{len(strangers)} objects in our schemas belong to no snapshot: {some(strangers)}",
            hint="nobody uses them through isomesh; drop them by hand if they are nobody's",
        )


def _existing(session: Session, physicals: Collection[str]) -> set[str]:
    """Those that the warehouse has."""
    relations = {physical: Relation.parse(physical) for physical in physicals}
    plain = {physical for physical, relation in relations.items() if relation.catalog is None}
    there = {name for schema in {relations[each].schema for each in plain} for name in _listed(session, schema)}
    return (plain & there) | {each for each in physicals if each not in plain and session.exists(relations[each])}


def _listed(session: Session, schema: str) -> list[str]:
    """What is in a schema of the default catalog, dotted."""
    return [str(Relation(schema=schema, name=name)) for name, _ in session.list_relations(schema)]
