"""FULL models that read their own table: each time the rows of the time before are there, at first none."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

from isomesh_dagster import Project
from isomesh_dagster.errors import IsomeshError

CONFIG = """
gateways: {dev: {connection: {type: duckdb, database: w.duckdb}}}
model_defaults: {dialect: duckdb, start: 2024-01-01}
"""
SQL = """
MODEL (name s.t, kind FULL, columns (n INT, seen TIMESTAMP));
SELECT n, seen FROM s.t
UNION ALL
SELECT COUNT(*)::INT AS n, @execution_ts::TIMESTAMP AS seen FROM s.t
"""
PYTHON = """
import pandas as pd
from sqlmesh import model

@model("s.t", kind="FULL", columns={"n": "int", "seen": "timestamp"})
def execute(context, start, end, execution_time, **kwargs):
    before = context.fetchdf(f"SELECT n, seen FROM {context.resolve_table('s.t')}")
    now = pd.DataFrame({"n": [len(before)], "seen": [execution_time.replace(tzinfo=None)]})
    return pd.concat([before, now])
"""


def numbers(project: Project) -> list[tuple[int, ...]]:
    with project.connection().session() as session:
        return session.fetch("SELECT n FROM s.t ORDER BY n")


@pytest.mark.parametrize(("file", "text"), [("t.sql", SQL), ("t.py", PYTHON)])
def test_rows_of_the_time_before(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / file).write_text(text)
    with Project.load(tmp_path, environ={}) as project:
        first = datetime(2024, 1, 5, 12, tzinfo=timezone.utc)
        list(project.apply(project.plan("prod", now=first)))
        assert numbers(project) == [(0,)]
        second = datetime(2024, 1, 6, 12, tzinfo=timezone.utc)
        list(project.apply(project.run_plan("prod", now=second)))
        assert numbers(project) == [(0,), (1,)]


def test_columns_must_be_declared(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "t.sql").write_text(SQL.replace(", columns (n INT, seen TIMESTAMP)", ""))
    with Project.load(tmp_path, environ={}) as project, pytest.raises(IsomeshError, match="columns are not declared"):
        list(project.apply(project.plan("prod", now=datetime(2024, 1, 5, 12, tzinfo=timezone.utc))))
