"""A small project with raw data that a test may change behind the models' backs, planned and applied for real."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb

from isomesh_dagster.config.connections import PostgresConnection
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.wish import RunWish, Wish
from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Built, Event
from isomesh_dagster.snapshot.interval import Interval, to_ms
from isomesh_dagster_tests.postgres_server import connected, in_config

NOW = datetime(2024, 1, 8, 12, tzinfo=timezone.utc)
DAY = 86_400_000
FIRST = to_ms(datetime(2024, 1, 1, tzinfo=timezone.utc))
CONFIG = """
gateways:
  one:
    connection: {connection}
model_defaults: {{dialect: duckdb, start: '2024-01-01'}}
"""
ON_DUCKDB = "{type: duckdb, database: warehouse.duckdb}"
EXTERNAL = """
- name: raw.t
  columns: {id: BIGINT, ds: DATE, v: BIGINT}
"""
MODELS = {
    "m.inc": "MODEL (name m.inc, kind INCREMENTAL_BY_TIME_RANGE (time_column ds, batch_size 2));\n"
    "SELECT id, ds, v FROM raw.t WHERE ds BETWEEN @start_date AND @end_date",
    "m.daily": "MODEL (name m.daily, kind INCREMENTAL_BY_TIME_RANGE (time_column ds));\n"
    "SELECT ds, SUM(v) AS total FROM m.inc WHERE ds BETWEEN @start_date AND @end_date GROUP BY ds",
    "m.keyed": "MODEL (name m.keyed, kind INCREMENTAL_BY_UNIQUE_KEY (unique_key id, batch_size 3));\n"
    "SELECT id, ds, v FROM m.inc WHERE ds BETWEEN @start_date AND @end_date",
    "m.agg": "MODEL (name m.agg, kind FULL, audits (not_null(columns := (n))));\n"
    "SELECT COUNT(*) AS n, SUM(v) AS s FROM m.inc",
    "m.show": "MODEL (name m.show, kind VIEW);\nSELECT total FROM m.daily",
    "m.alone": "MODEL (name m.alone, kind FULL);\nSELECT 1 AS one",
}


def days(first: int, end: int) -> Interval:
    """Days of January 2024, from 1; the end excluded."""
    return Interval(FIRST + (first - 1) * DAY, FIRST + (end - 1) * DAY)


class Life:
    """The project in a folder; every plan is made by a project that is loaded anew. `postgres` None: on DuckDB."""

    def __init__(self, root: Path, postgres: PostgresConnection | None = None) -> None:
        self.root = root
        self.postgres = postgres
        connection = ON_DUCKDB if postgres is None else in_config(postgres)
        (root / "config.yaml").write_text(CONFIG.format(connection=connection))
        (root / "external_models.yaml").write_text(EXTERNAL)
        (root / "models").mkdir()
        for name, text in MODELS.items():
            self.write(name, text)
        self.sql("CREATE SCHEMA raw")
        self.sql(
            "CREATE TABLE raw.t AS SELECT CAST(x AS BIGINT) AS id, DATE '2024-01-01' + CAST(x % 7 AS INTEGER) AS ds,"
            " CAST(1 AS BIGINT) AS v FROM generate_series(0, 20) AS r(x)"
        )

    def write(self, name: str, text: str) -> None:
        (self.root / "models" / f"{name}.sql").write_text(text + "\n")

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.root / "models" / f"{name}.sql"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))

    def remove(self, name: str) -> None:
        (self.root / "models" / f"{name}.sql").unlink()

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        """Run SQL in the warehouse; its rows, sorted."""
        if self.postgres is not None:
            with closing(connected(self.postgres)) as connection, connection.cursor() as cursor:
                cursor.execute(text)
                return sorted(cursor.fetchall(), key=str) if cursor.description else []
        with duckdb.connect(str(self.root / "warehouse.duckdb")) as connection:
            return sorted(connection.execute(text).fetchall(), key=str)

    def plan(self, environment: str = "prod", *, now: datetime = NOW, **wish: Any) -> Plan:
        with Project.load(self.root) as project:
            return project.plan(environment, now=now, wish=Wish(**wish))

    def apply(self, environment: str = "prod", *, now: datetime = NOW, **wish: Any) -> dict[str, Built]:
        """Plan and apply; what was built, by model."""
        with Project.load(self.root) as project:
            return built(project.apply(project.plan(environment, now=now, wish=Wish(**wish))))

    def run(self, environment: str = "prod", *, now: datetime = NOW, **wish: Any) -> dict[str, Built]:
        with Project.load(self.root) as project:
            return built(project.apply(project.run_plan(environment, now=now, wish=RunWish(**wish))))

    def tables(self, environment: str = "prod") -> dict[str, Counter]:
        """The rows of every table that the environment shows, by model."""
        with Project.load(self.root) as project:
            found = project.environment(environment)
            assert found is not None
            views = {name: view.view for name, view in found.target.views.items()}
        return {name: Counter(self.sql(f"SELECT * FROM {view}")) for name, view in views.items()}

    def recorded(self, environment: str = "prod") -> Mapping[str, tuple[Interval, ...]]:
        """The intervals the state records for what the environment shows, by model."""
        with Project.load(self.root) as project:
            found = project.environment(environment)
            assert found is not None
            tables = {name: view.physical for name, view in found.target.views.items()}
            recorded = project.state().intervals(tables.values())
        return {name: recorded.get(physical, ()) for name, physical in tables.items()}


def built(events: Any) -> dict[str, Built]:
    """What was built, by model."""
    listed: list[Event] = list(events)
    return {event.model: event for event in listed if isinstance(event, Built)}
