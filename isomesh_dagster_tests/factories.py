"""Values made by hand for tests below the loader: models with real positions, snapshots, plans, a whole small
system.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from isomesh_dagster.config.connections import DuckDBConnection, WarehouseConnection
from isomesh_dagster.engine import open_connection
from isomesh_dagster.engine.connection import Connection
from isomesh_dagster.execution.application import Application
from isomesh_dagster.execution.schedule import run_plan_steps
from isomesh_dagster.model import kinds
from isomesh_dagster.model.kinds import ModelKind, is_physical
from isomesh_dagster.model.model import AuditCall, Model
from isomesh_dagster.plan.plan import Build, Plan, Promote
from isomesh_dagster.records.events import Event
from isomesh_dagster.relation import Reference
from isomesh_dagster.snapshot.environment import Environment, Target, View
from isomesh_dagster.snapshot.interval import Interval, to_ms
from isomesh_dagster.snapshot.naming import physical_relation, view_relation
from isomesh_dagster.snapshot.snapshot import Category, Fingerprint, Snapshot
from isomesh_dagster.state.opening import open_state
from isomesh_dagster.state.protocol import Identity
from isomesh_dagster.state.store import SqlStateStore

DAY = 86_400_000
T0 = datetime(2020, 1, 1, tzinfo=timezone.utc)
"""The first day of everything made here."""


def days(first: int, last: int) -> Interval:
    """The days `[first, last)` counted from 2020-01-01."""
    return Interval(to_ms(T0) + first * DAY, to_ms(T0) + last * DAY)


WHOLE = days(0, 10)
OF_POSTGRES = {
    "BIGINT": "bigint",
    "BOOLEAN": "boolean",
    "DATE": "date",
    "INTEGER": "integer",
    "SMALLINT": "smallint",
    "TIMESTAMP": "timestamp without time zone",
    "TIMESTAMP WITH TIME ZONE": "timestamp with time zone",
    "VARCHAR": "text",
}


def model(name: str, query: str = "", kind: ModelKind | None = None, **more: Any) -> Model:
    """A DuckDB model. Names written `schema.table` in the query are its references; those with `@` make it dynamic."""
    references = tuple(
        Reference(start=found.start(), end=found.end(), name=found.group(), alias_needed=found.group().split(".")[1])
        for found in re.finditer(r"(?<=FROM )\w+\.\w+|(?<=JOIN )\w+\.\w+", query)
    )
    values: dict[str, Any] = {
        "name": name,
        "path": f"models/{name.replace('.', '/')}.sql",
        "dialect": "duckdb",
        "kind": kind if kind is not None else kinds.Full(),
        "query": query,
        "rendered": query,
        "references": references,
        "is_dynamic": "@" in query,
        "depends_on": tuple(sorted({reference.name for reference in references} - {name})),
        "variables": {"gateway": "test"},
    }
    return Model(**{**values, **more})


def audit(name: str, query: str, *, blocking: bool = True, **arguments: str) -> AuditCall:
    """A use of an audit."""
    return AuditCall(name=name, query=query, arguments=arguments, blocking=blocking, dialect="duckdb")


def snapshots(models: Iterable[Model], category: Category = Category.BREAKING) -> dict[str, Snapshot]:
    """A snapshot per model, parents before children as given; versions follow the text of the model and its parents.

    What a model asks for while it is built must be its parent, else threads would race: a loader would have found it.
    """
    made: dict[str, Snapshot] = {}
    models = tuple(models)
    for one in models:
        texts = repr((one.query, one.kind, one.pre_statements, one.post_statements, one.audits)).lower()
        asked = {other.name for other in models if re.search(rf"\b{re.escape(other.name)}\b", texts)}
        missing = asked - {one.name, *one.depends_on, *one.audit_reads}
        assert not missing, f"{one.name} asks {missing}: depends_on must name them"
        parents = tuple(made[name].id for name in one.depends_on if name in made)
        text = repr((replace(one, audits=(), owner=None), [parent.version for parent in parents]))
        version = hashlib.sha256(text.encode()).hexdigest()[:10]
        identity = hashlib.sha256(repr((one, parents)).encode()).hexdigest()[:10]
        fingerprint = Fingerprint(data=version, metadata=identity, version=version, identity=identity)
        made[one.name] = Snapshot(
            model=one,
            fingerprint=fingerprint,
            version=version,
            category=category,
            physical=physical_relation(one, version) if is_physical(one.kind) else None,
            parents=parents,
        )
    return made


def target(shown: Mapping[str, Snapshot], environment: str, catalog: str | None = None) -> Target:
    """What an environment shows with these snapshots; `catalog` is where its views are."""
    return Target(
        snapshots={name: one.id for name, one in shown.items()},
        views={
            name: View(view=str(view_relation(name, environment, catalog=catalog)), physical=str(one.physical))
            for name, one in shown.items()
            if one.physical is not None
        },
    )


class System:
    """A warehouse and a state in one folder, and plans made against them as the planner would make them.

    `warehouse` None: a DuckDB file in the folder.
    """

    def __init__(self, folder: Path, warehouse: WarehouseConnection | None = None, *, name: str = "test") -> None:
        self.root = folder
        self.warehouse = warehouse or DuckDBConnection(database=str(folder / "warehouse.duckdb"))
        self.identity = Identity(uuid=f"uuid-of-{name}", gateway=name, project="tests")
        self.connection: Connection = open_connection(self.warehouse, timeout=20)
        if not (folder / "state.db").exists():
            (folder / "state.db").write_bytes(_empty_state())
        self.state: SqlStateStore = open_state(folder / "state.db")
        self.now = T0 + timedelta(days=10)

    def types(self, *columns: tuple[str, str]) -> tuple[tuple[str, str], ...]:
        """Columns with DuckDB's types as this warehouse spells them."""
        if self.warehouse.type == "duckdb":
            return columns
        return tuple((name, OF_POSTGRES[kind]) for name, kind in columns)

    def close(self) -> None:
        self.connection.close()
        self.state.close()

    def plan(
        self,
        shown: Mapping[str, Snapshot],
        environment: str = "prod",
        *,
        batches: Mapping[str, Sequence[Interval]] | None = None,
        restates: Iterable[str] = (),
        expires_at: datetime | None = None,
        promote: bool = True,
        catalog: str | None = None,
    ) -> Plan:
        """`batches` by model; a model without gets one for `WHOLE` unless its relation is recorded as built. `catalog`
        is where the views are.
        """
        given = dict(batches or {})
        current = self.state.environment(environment)
        recorded = self.state.intervals([str(one.physical) for one in shown.values()])
        known = self.state.snapshots([one.id for one in shown.values()])
        builds, reuses = [], []
        for name, one in shown.items():
            if one.physical is None:
                continue
            if name in given or str(one.physical) not in recorded:
                cut = tuple(given.get(name, (WHOLE,)))
                builds.append(Build(snapshot=one, intervals=cut, batches=cut))
            elif current is None or current.target.snapshots.get(name) != one.id:
                reuses.append(one.id)
        aim = target(shown, environment, catalog)
        return Plan(
            id=_plan_id(environment, current, aim, builds),
            gateway=self.identity.gateway,
            environment=environment,
            based_on=current.plan_id if current is not None else None,
            execution_time=self.now,
            changes=(),
            snapshots=dict(shown),
            new_snapshots=frozenset(one.id for one in shown.values() if one.id not in known),
            builds=tuple(builds),
            reuses=tuple(reuses),
            promote=_promote(environment, current, aim, expires_at) if promote else None,
            restates=frozenset(restates),
        )

    def application(self, plan: Plan, **more: Any) -> Application:
        return Application(
            plan,
            connection=self.connection,
            state=self.state,
            identity=self.identity,
            root=self.root,
            default_catalog=self.warehouse.default_catalog,
            now=lambda: self.now,
            **more,
        )

    def apply(self, plan: Plan, *, concurrency: int = 2, **more: Any) -> list[Event]:
        """Apply to the end; what it raises is raised."""
        return list(run_plan_steps(self.application(plan, **more), concurrency))

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connection.session() as session:
            return session.fetch(sql)

    def relations(self, schema: str) -> list[str]:
        with self.connection.session() as session:
            return [name for name, _ in session.list_relations(schema)]

    def __enter__(self) -> System:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@cache
def _empty_state() -> bytes:
    """A new state, for copies: making its tables takes many times longer."""
    with TemporaryDirectory() as folder:
        open_state(Path(folder) / "state.db").close()
        return (Path(folder) / "state.db").read_bytes()


def _plan_id(environment: str, current: Environment | None, aim: Target, builds: Sequence[Build]) -> str:
    based_on = current.plan_id if current is not None else None
    text = repr(
        (environment, based_on, sorted(aim.snapshots.items()), [(step.snapshot.id, step.batches) for step in builds])
    )
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _promote(environment: str, current: Environment | None, aim: Target, expires_at: datetime | None) -> Promote | None:
    if current is not None and current.target == aim:
        return None
    before = {one.view: one.physical for one in current.target.views.values()} if current is not None else {}
    after = {one.view: one.physical for one in aim.views.values()}
    return Promote(
        environment=environment,
        target=aim,
        create={view: physical for view, physical in after.items() if before.get(view) != physical},
        drop=tuple(sorted(before.keys() - after.keys())),
        expires_at=expires_at,
    )
