"""`SqlStateStore`: the state of one system in SQLite or Postgres."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace as replaced
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, func, insert, select, update

from isomesh_dagster.errors import ConflictingPlanError, StateError
from isomesh_dagster.plan.expected import Duration
from isomesh_dagster.plan.restatement import Restatement
from isomesh_dagster.snapshot.codec import snapshot_from_json
from isomesh_dagster.snapshot.environment import Environment, Promotion, Target
from isomesh_dagster.snapshot.interval import Interval, merge, subtract
from isomesh_dagster.snapshot.snapshot import Snapshot, SnapshotId
from isomesh_dagster.state import retention, rows, tables, writes
from isomesh_dagster.state.database import Database
from isomesh_dagster.state.protocol import NO_DURATIONS, GitRef, Identity, PlanRecord, Showing, utc_now
from isomesh_dagster.state.schema import check, ensure, remove

STATUSES = ("open", "done", "superseded")


class SqlStateStore:
    """`StateStore` over SQLAlchemy; safe to use from several threads. Every method is one transaction.

    `clock` is asked where the port gives no moment: when the stamp was made, when an environment was removed or a plan
    closed.
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock
        self._revision = ensure(database)

    @property
    def place(self) -> str:
        """Where the state is, for people; without secrets."""
        return self._database.place

    def close(self) -> None:
        """Close the connections."""
        self._database.close()

    def __enter__(self) -> SqlStateStore:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the stamp

    def identity(self) -> Identity | None:
        """The stamp; None when the state is new."""
        with self._database.read() as connection:
            return rows.read_identity(connection)

    def stamp(self, identity: Identity) -> Identity:
        """Stamp a new state; the stamp that is there afterwards (somebody else may have been first)."""
        with self._write() as connection:
            row = {"singleton": 1, "uuid": identity.uuid, "gateway": identity.gateway, "project": identity.project}
            writes.insert_new(connection, tables.system, [{**row, "created_at": self._clock()}])
            stamped = rows.read_identity(connection)
        assert stamped is not None
        return stamped

    def restamp(self, identity: Identity) -> None:
        """The stamp is this one, whatever it was."""
        with self._write() as connection:
            row = {"singleton": 1, "uuid": identity.uuid, "gateway": identity.gateway, "project": identity.project}
            connection.execute(delete(tables.system))
            connection.execute(insert(tables.system).values(**row, created_at=self._clock()))

    def remove(self, *, with_schema: bool) -> None:
        """End this state, in which nothing is recorded any more; see `schema.remove`. The store is closed then."""
        remove(self._database, with_schema=with_schema)

    # --- environments and their history

    def environment(self, name: str) -> Environment | None:
        """The environment; None when there is none of this name."""
        with self._database.read() as connection:
            return rows.read_environment(connection, name)

    def environments(self) -> list[Environment]:
        """All, by name."""
        with self._database.read() as connection:
            found = connection.execute(rows.with_target(tables.environments).order_by(tables.environments.c.name)).all()
        decoded = rows.Targets()
        return [rows.to_environment(row, decoded) for row in found]

    def showing(self, environment: str) -> Showing | None:
        """What the environment shows and holds, read at once; None when there is none of this name."""
        with self._database.read() as connection:
            live = rows.read_environment(connection, environment)
            if live is None:
                return None
            wanted = set(live.target.snapshots.values())
            documents = rows.snapshot_documents(connection, (snapshot.identifier for snapshot in wanted))
            found = {id: snapshot_from_json(json.loads(text)) for id, text in documents if id in wanted}
            physicals = {str(one.physical) for one in found.values() if one.physical is not None}
            recorded = rows.recorded_intervals(connection, physicals)
            restatements = rows.known_restatements(connection, physicals)
        return Showing(
            environment=live,
            snapshots={name: found[id] for name, id in live.target.snapshots.items() if id in found},
            recorded={physical: tuple(intervals) for physical, intervals in recorded.items()},
            restatements=restatements,
        )

    def promotions(self, environment: str, *, newest: int | None = None) -> list[Promotion]:
        """Newest first; only so many of them."""
        columns = tables.promotions.c
        statement = rows.with_target(tables.promotions).where(columns.environment == environment)
        with self._database.read() as connection:
            found = connection.execute(statement.order_by(columns.number.desc()).limit(newest)).all()
        decoded = rows.Targets()
        return [rows.to_promotion(row, decoded) for row in found]

    def finalize(
        self,
        *,
        environment: str,
        plan_id: str,
        based_on: str | None,
        number: int,
        target: Target,
        promoted_at: datetime,
        expires_at: datetime | None,
        suffix_target: str,
        reason: str = "plan",
    ) -> None:
        """The environment shows `target` as promotion `number`; its plan is done, its other open plans are superseded.

        Idempotent. Snapshots it no longer shows start their time to live at `promoted_at`. Raises ConflictingPlanError
        when the environment shows neither `based_on` nor `plan_id`, or has a promotion of that number already.
        """
        with self._write() as connection:
            live = rows.read_environment(connection, environment)
            if live is not None and live.plan_id == plan_id:
                return
            if (live.plan_id if live is not None else None) != based_on:
                raise _conflict(environment, based_on, live)
            if live is not None and number <= live.number:
                raise ConflictingPlanError(
                    f"environment {environment!r} has promotion {live.number} already, {number} comes too late",
                    hint="plan again",
                )
            shown = {"plan_id": plan_id, "number": number, "target": writes.put_target(connection, target)}
            shown["promoted_at"] = promoted_at
            row = {"name": environment, **shown, "expires_at": expires_at, "suffix_target": suffix_target}
            if live is None:
                connection.execute(insert(tables.environments).values(row))
            else:
                # The condition repeats what the writers' lock already grants: one row, still at its base.
                columns = tables.environments.c
                at_base = and_(columns.name == environment, columns.plan_id == based_on)
                if connection.execute(update(tables.environments).where(at_base).values(row)).rowcount != 1:
                    raise _conflict(environment, based_on, live)
            connection.execute(insert(tables.promotions).values(environment=environment, reason=reason, **shown))
            plans = tables.plans.c
            connection.execute(update(tables.plans).where(plans.id == plan_id).values(status="done"))
            losers = writes.supersede(connection, environment)
            retention.take_back(connection, target)
            left = {snapshot for other in losers for snapshot in other.snapshots.values()}
            left |= set(live.target.snapshots.values()) if live is not None else set()
            retention.release(connection, left - set(target.snapshots.values()), promoted_at)

    def adopt(self, environment: Environment, *, reason: str, snapshots: Sequence[Snapshot] = ()) -> None:
        """The environment shows this, whatever was recorded of it; see the protocol."""
        shown = environment
        with self._write() as connection:
            live = rows.read_environment(connection, shown.name)
            row = {
                "plan_id": shown.plan_id,
                "number": shown.number,
                "target": writes.put_target(connection, shown.target),
                "promoted_at": shown.promoted_at,
            }
            more = {"expires_at": shown.expires_at, "suffix_target": shown.suffix_target}
            promotions = tables.promotions.c
            connection.execute(delete(tables.environments).where(tables.environments.c.name == shown.name))
            connection.execute(insert(tables.environments).values(name=shown.name, **row, **more))
            late = and_(promotions.environment == shown.name, promotions.number >= shown.number)
            connection.execute(delete(tables.promotions).where(late))
            connection.execute(insert(tables.promotions).values(environment=shown.name, reason=reason, **row))
            losers = writes.supersede(connection, shown.name)
            plan = {"id": shown.plan_id, "environment": shown.name, "based_on": None, "status": "done"}
            made = {"target": row["target"], "created_at": shown.promoted_at, "document": ""}
            writes.insert_new(connection, tables.plans, [{**plan, **made, **more}])
            connection.execute(update(tables.plans).where(tables.plans.c.id == shown.plan_id).values(status="done"))
            writes.insert_new(
                connection, tables.snapshots, [rows.snapshot_row(one, shown.promoted_at) for one in snapshots]
            )
            retention.take_back(connection, shown.target)
            left = {snapshot for other in losers for snapshot in other.snapshots.values()}
            left |= set(live.target.snapshots.values()) if live is not None else set()
            retention.release(connection, left - set(shown.target.snapshots.values()), self._clock())

    def expire(self, environment: str, at: datetime | None) -> bool:
        """Set when the environment ends (None: never); whether it exists."""
        statement = update(tables.environments).where(tables.environments.c.name == environment)
        with self._write() as connection:
            return connection.execute(statement.values(expires_at=at)).rowcount == 1

    def remove_environment(self, environment: str) -> None:
        """Forget the environment and its promotions; its open plans are superseded. Nothing happens when it is not
        there.
        """
        with self._write() as connection:
            live = rows.read_environment(connection, environment)
            if live is None:
                return
            columns = tables.promotions.c
            connection.execute(delete(tables.environments).where(tables.environments.c.name == environment))
            connection.execute(delete(tables.promotions).where(columns.environment == environment))
            left = [live.target, *writes.supersede(connection, environment)]
            retention.release(connection, {i for target in left for i in target.snapshots.values()}, self._clock())

    # --- snapshots and intervals

    def snapshots(self, ids: Iterable[SnapshotId]) -> dict[SnapshotId, Snapshot]:
        """Those of `ids` that are known."""
        wanted = set(ids)
        with self._database.read() as connection:
            documents = rows.snapshot_documents(connection, (snapshot.identifier for snapshot in wanted))
            return {found: snapshot_from_json(json.loads(text)) for found, text in documents if found in wanted}

    def ever_shown(self, ids: Iterable[SnapshotId]) -> set[SnapshotId]:
        """Those of `ids` that an environment shows or showed, as long as its promotion is remembered."""
        with self._database.read() as connection:
            return rows.ever_shown(connection, ids)

    def snapshots_like(self, identifiers: Iterable[tuple[str, str]]) -> list[Snapshot]:
        """All snapshots with one of these (name, identifier) pairs, whatever their version; by name and version."""
        wanted = set(identifiers)
        with self._database.read() as connection:
            documents = rows.snapshot_documents(connection, (identifier for _, identifier in wanted))
            found = [
                snapshot_from_json(json.loads(text)) for id, text in documents if (id.name, id.identifier) in wanted
            ]
        return sorted(found, key=lambda snapshot: snapshot.id)

    def physicals(self) -> set[str]:
        """The physical relations (dotted) that the snapshots own, those that the janitor is removing among them."""
        column = tables.snapshots.c.physical
        with self._database.read() as connection:
            return {str(owned) for owned in connection.scalars(select(column).where(column.is_not(None)))}

    def forward_only_tables(self, names: Iterable[str]) -> set[str]:
        """Physical relations (dotted) of these models that a forward-only change was made to, or is shown in."""
        with self._database.read() as connection:
            return rows.forward_only_tables(connection, names)

    def intervals(self, physicals: Iterable[str]) -> dict[str, tuple[Interval, ...]]:
        """Recorded intervals by physical relation (dotted), merged; nothing recorded: absent."""
        with self._database.read() as connection:
            return {name: tuple(recorded) for name, recorded in rows.recorded_intervals(connection, physicals).items()}

    def due_again(self, physicals: Iterable[str]) -> dict[str, tuple[Interval, ...]]:
        """What was recorded for a physical relation (dotted) once and is not now, merged; nothing: absent."""
        with self._database.read() as connection:
            found = rows.recorded_intervals(connection, physicals, tables.due_again)
        return {name: tuple(intervals) for name, intervals in found.items()}

    def snapshots_named(self, names: Iterable[str] | None) -> list[Snapshot]:
        """All snapshots of these models (None: of all) that are not being removed, by id."""
        columns = tables.snapshots.c
        found: list[Snapshot] = []
        stays = select(columns.document).where(columns.status == "active")
        asked = (
            [stays]
            if names is None
            else [stays.where(columns.name.in_(one)) for one in rows.chunks(sorted(set(names)))]
        )
        with self._database.read() as connection:
            for statement in asked:
                found += [snapshot_from_json(json.loads(text)) for text in connection.scalars(statement)]
        return sorted(found, key=lambda snapshot: snapshot.id)

    def add_intervals(
        self,
        added: Mapping[str, Sequence[Interval]],
        *,
        replace: bool = False,
        took: Mapping[str, Sequence[Duration]] = NO_DURATIONS,
    ) -> None:
        """Record intervals by physical relation. `replace`: they are all that is recorded for it afterwards, and what
        was recorded besides is due again. `took` is what batches took, by model; the latest of each are
        remembered.

        Raises StateError, recording nothing, when no snapshot with one of the relations is known, or the janitor is
        removing it: a record that outlived its rows would be taken for rows.
        """
        physicals = sorted(added)
        with self._write() as connection:
            if gone := set(physicals) - rows.active_physicals(connection, physicals):
                raise StateError(
                    f"no snapshot of the state owns {', '.join(sorted(gone)[:5])}",
                    hint="the janitor removed it, or its plan was never opened; plan again",
                )
            before = rows.recorded_intervals(connection, physicals)
            due = rows.recorded_intervals(connection, physicals, tables.due_again)
            after, due_after = {}, {}
            for physical in physicals:
                old = before.get(physical, [])
                after[physical] = merge(added[physical]) if replace else merge([*old, *added[physical]])
                due_after[physical] = subtract([*old, *due.get(physical, [])], after[physical])
            writes.change_intervals(connection, tables.intervals, before, after)
            writes.change_intervals(connection, tables.due_again, due, due_after)
            if took:
                writes.add_durations(connection, took)

    def durations(self, models: Iterable[str]) -> dict[str, list[Duration]]:
        """What the last batches of these models took, oldest first; nothing: absent."""
        with self._database.read() as connection:
            return rows.known_durations(connection, models)

    def mark_restatements(self, marks: Mapping[str, Restatement]) -> None:
        """Add ticks that are heeded and intervals to be built again, by physical relation. Idempotent."""
        with self._write() as connection:
            known = rows.known_restatements(connection, marks)
            for physical, mark in marks.items():
                before = known.get(physical, Restatement())
                ticks = [tick for tick in (before.tick, mark.tick) if tick is not None]
                pending = merge([*before.pending, *mark.pending])
                writes.put_restatement(
                    connection, physical, Restatement(tick=max(ticks, default=None), pending=pending)
                )

    def settle_restatements(self, built: Mapping[str, Sequence[Interval]]) -> None:
        """These intervals were built again. Idempotent."""
        with self._write() as connection:
            for physical, known in rows.known_restatements(connection, built).items():
                left = subtract(known.pending, built[physical])
                writes.put_restatement(connection, physical, Restatement(tick=known.tick, pending=left))

    # --- plans

    def open_plan(self, record: PlanRecord, snapshots: Sequence[Snapshot]) -> PlanRecord:
        """Record the intent and its new snapshots before anything is written; the record that is there afterwards.

        Idempotent by plan id; snapshots that are known stay as they are. Takes back what the janitor had marked of the
        target: its intervals are forgotten, so read them after this. A closed plan is opened again when the environment
        is at its base (again): it was rolled back, removed, or the plan was given up. Otherwise a closed plan is
        returned as it is, and nothing is recorded.
        """
        columns = tables.plans.c
        with self._write() as connection:
            row = {
                "id": record.id,
                "environment": record.environment,
                "based_on": record.based_on,
                "status": record.status,
                "target": writes.put_target(connection, record.target),
                "created_at": record.created_at,
                "expires_at": record.expires_at,
                "suffix_target": record.suffix_target,
                "document": record.document,
            }
            writes.insert_new(connection, tables.plans, [row])
            there = rows.read_plan(connection, record.id)
            assert there is not None
            if there.status != "open":
                live = connection.scalar(
                    select(tables.environments.c.plan_id).where(tables.environments.c.name == there.environment)
                )
                if live != there.based_on:
                    return there
                connection.execute(update(tables.plans).where(columns.id == there.id).values(status="open"))
                there = replaced(there, status="open")
            writes.insert_new(
                connection, tables.snapshots, [rows.snapshot_row(snapshot, record.created_at) for snapshot in snapshots]
            )
            retention.take_back(connection, there.target)
            return there

    def open_plans(self, environment: str | None = None) -> list[PlanRecord]:
        """Plans with status open, oldest first."""
        columns = tables.plans.c
        statement = rows.with_target(tables.plans).where(columns.status == "open")
        return self._plans(statement.order_by(columns.created_at, columns.id), environment)

    def plans(self, environment: str | None = None, *, beginning: str = "") -> list[PlanRecord]:
        """All plans that are recorded, of one environment or of all, newest first; those whose id begins so."""
        columns = tables.plans.c
        statement = rows.with_target(tables.plans).order_by(columns.created_at.desc(), columns.id.desc())
        if beginning:
            statement = statement.where(func.substr(columns.id, 1, len(beginning)) == beginning)
        return self._plans(statement, environment)

    def plan(self, plan_id: str) -> PlanRecord | None:
        """The plan, whatever its status; None when it was never opened, or is long closed and shown nowhere."""
        with self._database.read() as connection:
            return rows.read_plan(connection, plan_id)

    def close_plan(self, plan_id: str, status: str) -> None:
        """Set a plan's status: open, done or superseded. Raises StateError when the plan is not known."""
        if status not in STATUSES:
            raise ValueError(f"not a status of a plan: {status!r}")
        with self._write() as connection:
            record = rows.read_plan(connection, plan_id)
            if record is None:
                raise StateError(f"plan {plan_id!r} is not recorded", hint="plan again")
            connection.execute(update(tables.plans).where(tables.plans.c.id == plan_id).values(status=status))
            if record.status == "open" != status:
                retention.release(connection, record.target.snapshots.values(), self._clock())
            if status == "open":
                retention.take_back(connection, record.target)

    # --- the janitor

    def unreferenced(self, *, keep_promotions: int, older_than: datetime) -> list[Snapshot]:
        """What `mark_unreferenced` would return now; changes nothing."""
        with self._database.read() as connection:
            going = retention.unneeded(connection, keep_promotions=keep_promotions, older_than=older_than)
            return retention.unneeded_snapshots(connection, going)

    def mark_unreferenced(self, *, keep_promotions: int, older_than: datetime) -> list[Snapshot]:
        """Janitor, first step: forget the intervals of, and mark as going, snapshots that no environment, no open plan
        and none of the last `keep_promotions` promotions of an environment needs and that were last needed before
        `older_than`.

        Returns every snapshot marked so now or by an interrupted janitor, by id. One whose physical relation a kept
        snapshot shares comes without it (`physical` None). History as old, which no rollback and no crash needs, is
        deleted too.
        """
        with self._write() as connection:
            retention.forget_history(connection, keep_promotions=keep_promotions, older_than=older_than)
            going = retention.unneeded(connection, keep_promotions=keep_promotions, older_than=older_than)
            retention.mark(connection, going, retention.DELETING)
            physicals = sorted({physical for physical in going.values() if physical is not None})
            for chunk in rows.chunks(physicals):
                for table in (tables.intervals, tables.due_again, tables.restatements):
                    connection.execute(delete(table).where(table.c.physical.in_(chunk)))
            return retention.unneeded_snapshots(connection, going)

    def going(self, ids: Iterable[SnapshotId]) -> set[SnapshotId]:
        """Those of `ids` that are marked and were not taken back meanwhile; to be asked while the warehouse is held."""
        with self._database.read() as connection:
            return retention.going(connection, ids)

    def forget(self, ids: Iterable[SnapshotId]) -> None:
        """Janitor, last step: delete marked snapshots; one that was taken back meanwhile stays."""
        with self._write() as connection:
            retention.forget(connection, ids)

    # --- refs of a repository

    def git_refs(self) -> list[GitRef]:
        """What was last done about every ref that drives an environment, by name."""
        with self._database.read() as connection:
            found = connection.execute(select(tables.git_refs).order_by(tables.git_refs.c.ref)).all()
        return [rows.to_git_ref(row) for row in found]

    def record_git_ref(self, record: GitRef) -> None:
        """Record it instead of what was recorded of the ref."""
        with self._write() as connection:
            connection.execute(delete(tables.git_refs).where(tables.git_refs.c.ref == record.ref))
            connection.execute(insert(tables.git_refs).values(rows.from_git_ref(record)))

    def forget_git_ref(self, ref: str) -> None:
        """The ref is gone; nothing happens when nothing is recorded of it."""
        with self._write() as connection:
            connection.execute(delete(tables.git_refs).where(tables.git_refs.c.ref == ref))

    def _plans(self, statement: Select[Any], environment: str | None) -> list[PlanRecord]:
        """The plans that are asked for, of the environment if there is one."""
        if environment is not None:
            statement = statement.where(tables.plans.c.environment == environment)
        with self._database.read() as connection:
            found = connection.execute(statement).all()
        decoded = rows.Targets()
        return [rows.to_plan(row, decoded) for row in found]

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        with self._database.write() as connection:
            check(connection, self._database, self._revision)
            yield connection


def _conflict(environment: str, based_on: str | None, live: Environment | None) -> ConflictingPlanError:
    if live is None:
        return ConflictingPlanError(
            f"environment {environment!r} is gone; the plan was made when it showed plan {based_on}", hint="plan again"
        )
    base = f"plan {based_on}" if based_on is not None else "nothing"
    return ConflictingPlanError(
        f"environment {environment!r} moved: it shows plan {live.plan_id} (promotion {live.number}, "
        f"{live.promoted_at:%Y-%m-%d %H:%M:%S} UTC), and this plan was made when it showed {base}",
        hint="plan again",
    )
