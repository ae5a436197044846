"""Python's part on Postgres: `CUSTOM` and Python models, with the state in a database of its own."""

from __future__ import annotations

from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from isomesh_dagster.config.connections import PostgresConnection
from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.project import Project
from isomesh_dagster_tests.evaluation.test_custom import CLASS, MODEL
from isomesh_dagster_tests.evaluation.test_python_model import CONFIG, Files
from isomesh_dagster_tests.postgres_server import connected, in_config

DAY_3 = datetime(2024, 1, 3, 12, tzinfo=timezone.utc)
RAW = """
MODEL (name raw.days, kind FULL);
SELECT n AS id, DATE '2024-01-01' + n AS ds FROM GENERATE_SERIES(0, 2) AS r(n)
"""
SPELLED = 'assert self.adapter.columns(table_name) == model.columns_to_types == {"id": "INTEGER", "ds": "DATE"}'


@pytest.fixture
def files(tmp_path: Path, postgres: PostgresConnection, second_postgres: PostgresConnection) -> Files:
    files = Files(tmp_path)
    connections = f"{in_config(postgres)}\n    state_connection: {in_config(second_postgres)}"
    files.write("config.yaml", CONFIG.replace("{type: duckdb, database: warehouse.duckdb}", connections))
    files.write("models/raw/days.sql", RAW)
    return files


def rows(settings: PostgresConnection, sql: str) -> list[tuple[Any, ...]]:
    with closing(connected(settings)) as connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_a_class_writes_every_batch(
    files: Files, postgres: PostgresConnection, second_postgres: PostgresConnection
) -> None:
    assert SPELLED in CLASS
    told = 'assert self.adapter.columns(table_name) == {"id": "integer", "ds": "date"}'
    files.write("models/s/t.sql", MODEL)
    files.write("materializations/newest.py", CLASS.replace(SPELLED, told))
    files.apply(now=DAY_3)
    assert files.rows("SELECT id FROM s.t ORDER BY id") == [(0,), (1,)]
    with Project.load(files.root) as project:
        list(project.apply(project.run_plan(now=DAY_3.replace(day=4))))
    assert files.rows("SELECT id FROM s.t ORDER BY id") == [(1,), (2,)]
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'isomesh%' ORDER BY 1"
    assert rows(second_postgres, schemas) == [("isomesh",)]
    assert rows(postgres, schemas) == [("isomesh__raw",), ("isomesh__s",), ("isomesh_meta",)]

    frames = CLASS.replace(SPELLED, told).replace(
        "insert_append(table_name, query_or_df)", "insert_append(table_name, self.adapter.fetchdf(query_or_df))"
    )
    files.write("materializations/newest.py", frames)
    files.write("models/s/t.sql", MODEL.replace("columns (", "audits (forall(criteria := (id < 2))), columns ("))
    with pytest.raises(IsomeshError, match="forall"):
        files.apply()
    assert files.rows("SELECT id FROM s.t ORDER BY id") == [(1,), (2,)]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (
            "{'name': 'INCREMENTAL_BY_TIME_RANGE', 'time_column': 'ds', 'batch_size': 1}",
            [(0, "01"), (0, "02"), (0, "03")],
        ),
        ("{'name': 'INCREMENTAL_BY_UNIQUE_KEY', 'unique_key': ['id'], 'batch_size': 1}", [(0, "03")]),
        ("{'name': 'SCD_TYPE_2_BY_COLUMN', 'unique_key': ['id'], 'columns': ['v']}", [(0, "01")]),
    ],
)
def test_frames_are_rows_of_every_kind(files: Files, kind: str, expected: list[tuple[int, str]]) -> None:
    files.python(
        "yield pd.DataFrame({'id': [0], 'ds': [start.date()], 'v': [start.strftime('%d')]})",
        "{'id': 'int', 'ds': 'date', 'v': 'text'}",
        f"kind={kind}",
    )
    files.apply()
    assert files.rows("SELECT id, v FROM s.t ORDER BY v") == expected
