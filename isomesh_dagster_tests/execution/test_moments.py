"""What range a batch is for: of what is made whole, of what a model embeds, of a unit that is not over."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from isomesh_dagster.project import Project

CONFIG = """
gateways:
  one:
    connection: {type: duckdb, database: warehouse.duckdb}
model_defaults: {dialect: duckdb, start: '2024-01-01'}
"""


def project(root: Path, **models: str) -> Project:
    (root / "config.yaml").write_text(CONFIG)
    (root / "models").mkdir()
    for name, text in models.items():
        (root / "models" / f"{name}.sql").write_text(text)
    return Project.load(root, environ={})


def at(day: int, hour: int = 12) -> datetime:
    return datetime(2024, 1, day, hour, tzinfo=timezone.utc)


def rows(project: Project, sql: str) -> list[tuple]:
    with project.connection().session() as session:
        return session.fetch(sql)


def test_what_is_made_whole_is_made_for_all_of_history_each_time(tmp_path: Path) -> None:
    embedded = "MODEL (name s.day, kind EMBEDDED);\nSELECT @start_ds AS first, @end_ds AS last"
    whole = "SET VARIABLE since = @start_ds;\nSELECT first, last, GETVARIABLE('since') AS since FROM s.day"
    with project(tmp_path, day=embedded, whole=f"MODEL (name s.whole, kind FULL);\n{whole}") as there:
        list(there.apply(there.plan("prod", now=at(3))))
        assert rows(there, "SELECT * FROM s.whole") == [("2024-01-01", "2024-01-02", "2024-01-01")]
        list(there.apply(there.run_plan("prod", now=at(4))))
        assert rows(there, "SELECT * FROM s.whole") == [("2024-01-01", "2024-01-03", "2024-01-01")]


def test_a_promotion_tells_what_the_table_holds(tmp_path: Path) -> None:
    told = """MODEL (name s.told, kind INCREMENTAL_UNMANAGED);
    CREATE SCHEMA IF NOT EXISTS log;
    CREATE TABLE IF NOT EXISTS log.log (first TEXT, last TEXT);
    SELECT 1 AS id;
    ON_VIRTUAL_UPDATE_BEGIN;
    INSERT INTO log.log VALUES (@start_ds, @end_ds);
    ON_VIRTUAL_UPDATE_END;"""
    with project(tmp_path, told=told) as there:
        list(there.apply(there.plan("prod", now=at(3))))
        assert rows(there, "SELECT * FROM log.log") == [("2024-01-01", "2024-01-02")]
