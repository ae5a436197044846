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


PARTIAL = "cron '@hourly', interval_unit day, allow_partials true"


def test_a_unit_that_is_not_over_is_built_as_far_as_it_goes(tmp_path: Path) -> None:
    ranges = "SELECT 1 AS id, @start_ts AS first, @end_ts AS last"
    with project(
        tmp_path,
        added=f"MODEL (name s.added, kind INCREMENTAL_UNMANAGED, {PARTIAL});\n{ranges}",
        replaced=f"""MODEL (name s.replaced, kind INCREMENTAL_UNMANAGED (insert_overwrite true), partitioned_by day,
        {PARTIAL});\n{ranges}, @start_ds AS day""",
        versions=f"""MODEL (name s.versions, kind SCD_TYPE_2_BY_COLUMN (unique_key id, columns [last]), {PARTIAL});
        {ranges}""",
        timed=f"""MODEL (name s.timed, kind SCD_TYPE_2_BY_TIME (unique_key id), {PARTIAL});
        {ranges}, @end_dt AS updated_at""",
    ) as there:
        list(there.apply(there.plan("prod", now=at(1, 11))))
        for moment in (at(1, 15), at(2, 0), at(2, 5)):
            list(there.apply(there.run_plan("prod", now=moment)))
            assert there.run_plan("prod", now=moment).is_empty

        # each moment is added once
        added = [(first[8:13], last[8:13]) for _, first, last in rows(there, "SELECT * FROM s.added ORDER BY first")]
        assert added == [("01 00", "01 10"), ("01 11", "01 14"), ("01 15", "01 23"), ("02 00", "02 04")]
        # what can be done again is done for the whole of the unit
        replaced = rows(there, "SELECT first[9:13], last[9:13] FROM s.replaced ORDER BY first")
        assert replaced == [("01 00", "01 23"), ("02 00", "02 04")]
        for name in ("versions", "timed"):
            versions = rows(there, f"SELECT first[9:13], last[9:13], valid_to IS NULL FROM s.{name} ORDER BY last")
            assert versions == [
                ("01 00", "01 10", False),
                ("01 00", "01 14", False),
                ("01 00", "01 23", False),
                ("02 00", "02 04", True),
            ]


def test_the_times_of_versions_are_those_of_the_kind_whatever_the_query_says(tmp_path: Path) -> None:
    query = "SELECT 1 AS id, TIMESTAMP '2020-01-01' AS valid_from, TIMESTAMP '2021-01-01' AS valid_to, 2 AS v"
    header = "MODEL (name s.v, kind SCD_TYPE_2_BY_COLUMN (unique_key id, columns [v]));"
    with project(tmp_path, v=f"{header}\n{query}") as there:
        list(there.apply(there.plan("prod", now=at(3))))
        assert rows(there, "SELECT id, v, valid_from, valid_to FROM s.v") == [(1, 2, datetime(1970, 1, 1), None)]
        assert there.plan("prod", now=at(3)).is_empty
