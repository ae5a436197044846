"""What the warm path loads: a plan without a change needs neither the SQL library nor what only some projects use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = (
    "sqlglot",
    "duckdb",
    "sqlalchemy",
    "dagster",
    "pandas",
    "click",
    "jinja2",
    "dateparser",
    "isomesh_dagster.plan.categorize",
    "isomesh_dagster.plan.decide",
    "isomesh_dagster.config.git",
    "isomesh_dagster.delivery",
    "isomesh_dagster.dialect.query",
)

LOAD = f"""
import sys
from isomesh_dagster import Project
with Project.load(sys.argv[1]) as project:
    pass
print(*[name for name in {HEAVY!r} if name in sys.modules])
"""

PLAN = f"""
import sys
from isomesh_dagster import Project
with Project.load(sys.argv[1]) as project:
    assert project.plan("prod").is_empty
print(*[name for name in {HEAVY!r} if name in sys.modules and name != "sqlalchemy"])
"""


def test_a_warm_load_and_a_plan_without_a_change_load_little(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "config.yaml").write_text(
        "gateways: {here: {connection: {type: duckdb, database: w.duckdb}}}\nmodel_defaults: {dialect: duckdb}\n"
    )
    (tmp_path / "models/a.sql").write_text("MODEL (name s.a, kind FULL);\nSELECT 1 AS id")
    (tmp_path / "models/b.sql").write_text("MODEL (name s.b, kind FULL);\nSELECT id FROM s.a")
    from isomesh_dagster import Project

    with Project.load(tmp_path) as project:
        list(project.apply(project.plan("prod")))
    for script in (LOAD, PLAN):
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == []
