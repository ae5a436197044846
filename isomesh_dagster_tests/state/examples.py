"""Small values for the tests of the state."""

from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from isomesh_dagster.model.kinds import Embedded, Full, IncrementalByTimeRange, is_physical
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import Target, View
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Category, Fingerprint, Snapshot
from isomesh_dagster.state.opening import opened
from isomesh_dagster.state.protocol import PlanRecord
from isomesh_dagster.state.schema import Migrated, migrate
from isomesh_dagster.state.store import SqlStateStore

START = datetime(2024, 1, 1, 12, 0, 0, 123456, tzinfo=timezone.utc)
DAY_MS = 24 * 60 * 60 * 1000


def at(days: float) -> datetime:
    """A moment, days after START."""
    return START + timedelta(days=days)


def days(first: int, end: int) -> Interval:
    """Whole days, `end` excluded."""
    return Interval(first * DAY_MS, end * DAY_MS)


def snapshot(name: str = "shop.orders", files: str = "a", *, version: str | None = None, **fields: Any) -> Snapshot:
    """`files` stands for what the author wrote, `version` for the table (default: one of its own)."""
    version = version or f"v{files}"
    model = Model(
        name=name,
        path=f"models/{name}.sql",
        dialect="duckdb",
        **{"kind": Full(), "query": f"SELECT '{files}' AS ü"} | fields,
    )
    physical = Relation(schema="isomesh__shop", name=f"{name.replace('.', '__')}__{version}")
    return Snapshot(
        model=model,
        fingerprint=Fingerprint(data=f"d{files}", metadata="m", version=version, identity=f"i{files}"),
        version=version,
        category=Category.BREAKING,
        physical=physical if is_physical(model.kind) else None,
    )


INCREMENTAL = IncrementalByTimeRange(time_column="day", batch_size=7, lookback=2)
EMBEDDED = Embedded()


def target(*snapshots: Snapshot, environment: str = "prod") -> Target:
    """An environment that shows these."""
    return Target(
        snapshots={item.name: item.id for item in snapshots},
        views={
            item.name: View(view=f"{item.name}@{environment}", physical=str(item.physical))
            for item in snapshots
            if item.physical is not None
        },
    )


def plan(
    id: str,
    *snapshots: Snapshot,
    environment: str = "prod",
    based_on: str | None = None,
    created: float = 0,
    **fields: Any,
) -> PlanRecord:
    """An open plan that shows these."""
    return PlanRecord(
        id=id,
        environment=environment,
        based_on=based_on,
        status="open",
        target=target(*snapshots, environment=environment),
        created_at=at(created),
        **fields,
    )


def finalize(store: SqlStateStore, record: PlanRecord, number: int, promoted: float = 0, reason: str = "plan") -> None:
    """Record that the plan's target is shown."""
    store.finalize(
        environment=record.environment,
        plan_id=record.id,
        based_on=record.based_on,
        number=number,
        target=record.target,
        promoted_at=at(promoted),
        expires_at=record.expires_at,
        suffix_target=record.suffix_target,
        reason=reason,
    )


def promote(
    store: SqlStateStore, id: str, *snapshots: Snapshot, environment: str = "prod", when: float = 0
) -> PlanRecord:
    """Open and finalize a plan on top of what the environment shows."""
    live = store.environment(environment)
    record = plan(id, *snapshots, environment=environment, based_on=live.plan_id if live else None, created=when)
    store.open_plan(record, snapshots)
    finalize(store, record, live.number + 1 if live else 1, when)
    return record


def migrated(location: str | Path | Mapping[str, Any]) -> Migrated:
    """The state at `location` is brought to this version."""
    with opened(location) as database:
        return migrate(database)
