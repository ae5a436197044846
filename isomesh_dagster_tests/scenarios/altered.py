"""A project of one incremental table and its readers, on either engine, whose definitions are edited again and again.

Days are those of January 2024; a plan or run of day 4 finds three whole days.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from isomesh_dagster.config.connections import DuckDBConnection, WarehouseConnection
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Event
from isomesh_dagster.snapshot.snapshot import Category

SOURCE = (
    "MODEL (name s.src, kind FULL);\n"
    "SELECT CAST(i AS INT) AS id, DATE '2024-01-01' + CAST(i AS INT) AS ds FROM (VALUES "
    + ", ".join(f"({number})" for number in range(20))
    + ") AS r(i)"
)
TOTALS = "MODEL (name s.totals, kind FULL);\nSELECT ds, SUM(v) AS total FROM s.days GROUP BY ds"
COUNTS = "MODEL (name s.totals, kind FULL);\nSELECT ds, COUNT(*) AS total FROM s.days GROUP BY ds"
SHOWN = "MODEL (name s.shown);\nSELECT * FROM s.days"
OLD, NEW = "id, ds, id * 2 AS v", "id, ds, id * 3 AS v, CAST('new' AS TEXT) AS tag"
LOSES = ", forward_only true, on_destructive_change allow"
FORWARD = Wish(forward_only=True)


def moment(day: int) -> datetime:
    return datetime(2024, 1, day, 1, tzinfo=timezone.utc)


def config(warehouse: WarehouseConnection) -> str:
    """A config.yaml with one gateway."""
    if isinstance(warehouse, DuckDBConnection):
        place = warehouse.model_dump(mode="json", include={"type", "database"})
    else:
        place = {
            **warehouse.model_dump(mode="json", include={"type", "host", "port", "user", "database"}),
            "password": "",
        }
    return (
        f"gateways:\n  only:\n    connection: {json.dumps(place)}\n"
        "model_defaults: {dialect: duckdb, start: 2024-01-01}\n"
    )


class Files:
    """A project on disk, and what is done with it."""

    def __init__(self, root: Path, warehouse: WarehouseConnection) -> None:
        self.root = root
        (root / "models").mkdir(parents=True)
        self.configure(config(warehouse))
        self.write("src", SOURCE)
        self.days(OLD)
        self.write("totals", TOTALS)
        self.write("shown", SHOWN)

    def configure(self, text: str) -> None:
        (self.root / "config.yaml").write_text(text)

    def write(self, name: str, text: str) -> None:
        (self.root / "models" / f"{name}.sql").write_text(text)

    def days(self, columns: str, kind: str = "") -> None:
        self.write(
            "days",
            f"MODEL (name s.days, kind INCREMENTAL_BY_TIME_RANGE (time_column ds{kind}));\n"
            f"SELECT {columns} FROM s.src WHERE ds BETWEEN @start_ds AND @end_ds",
        )

    def plan(self, environment: str = "prod", day: int = 4, wish: Wish = FORWARD) -> Plan:
        with Project.load(self.root) as project:
            return project.plan(environment, now=moment(day), wish=wish)

    def apply(self, environment: str = "prod", day: int = 4, wish: Wish = FORWARD) -> Plan:
        with Project.load(self.root) as project:
            plan = project.plan(environment, now=moment(day), wish=wish)
            list(project.apply(plan))
            return plan

    def run(self, day: int, environment: str = "prod") -> list[Event]:
        with Project.load(self.root) as project:
            return list(project.apply(project.run_plan(environment, now=moment(day))))

    def table(self, name: str) -> tuple[list[dict[str, Any]], list[str]]:
        """The rows by id, each by column, and the columns' names."""
        with Project.load(self.root) as project:
            names, rows = project.fetch(f"SELECT * FROM {name} ORDER BY id")
        return [dict(zip(names, row, strict=True)) for row in rows], names

    def rows(self, table: str, columns: str = "*") -> list[tuple[Any, ...]]:
        """The rows in order, those without a value last."""
        with Project.load(self.root) as project:
            found = [tuple(row) for row in project.fetch(f"SELECT {columns} FROM {table}")[1]]
        return sorted(found, key=lambda row: [(value is None, value) for value in row])


def category(plan: Plan, model: str) -> Category | None:
    return next(change.category for change in plan.changes if change.model == model)
