"""What a project says is due is what a run builds, and asking costs neither warehouse nor SQL library."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from isomesh_dagster import Project
from isomesh_dagster.errors import ConflictingPlanError, PlanError
from isomesh_dagster.records.events import Built

NOW = datetime(2024, 1, 8, 10, 30, tzinfo=timezone.utc)
FILES = {
    "config.yaml": """
gateways:
  one:
    connection: {type: duckdb, database: warehouse.duckdb}
model_defaults: {dialect: duckdb, start: '2024-01-01'}
""",
    "models/hours.sql": """
MODEL (name s.hours, kind INCREMENTAL_BY_TIME_RANGE (time_column ts), cron '@hourly');
SELECT ts FROM GENERATE_SERIES(TIMESTAMP '2024-01-01', TIMESTAMP '2024-01-31', INTERVAL 1 HOUR) AS t(ts)
WHERE ts BETWEEN @start_ts AND @end_ts
""",
    "models/days.sql": "MODEL (name s.days, kind FULL); SELECT ts::DATE AS ds, COUNT(*) AS n FROM s.hours GROUP BY 1",
    "models/names.sql": "MODEL (name s.names, kind VIEW); SELECT * FROM s.days",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    return tmp_path


def test_what_is_due_is_what_a_run_builds(root: Path) -> None:
    with Project.load(root, environ={}) as project:
        list(project.apply(project.plan("prod", now=NOW)))
        assert project.cadence("prod", now=NOW).due == ()
        assert project.cadence("prod", now=NOW).next_tick == NOW.replace(hour=11, minute=0)
        for hours, expected in ((1, ["s.hours"]), (14, ["s.hours", "s.days"]), (15, ["s.hours"])):
            now = NOW + timedelta(hours=hours)
            told = project.cadence("prod", now=now)
            built = [event for event in project.apply(project.run_plan("prod", now=now)) if isinstance(event, Built)]
            assert [one.model for one in told.due] == expected
            assert {one.model: one.intervals for one in told.due} == {one.model: one.intervals for one in built}
            assert project.cadence("prod", now=now).due == ()


def test_an_environment_that_is_not_there_has_no_cadence(root: Path) -> None:
    with Project.load(root, environ={}) as project, pytest.raises(PlanError, match="no environment 'prod'"):
        project.cadence("prod")


def test_asking_loads_no_sql_library_and_opens_no_warehouse(root: Path) -> None:
    with Project.load(root, environ={}) as project:
        list(project.apply(project.plan("prod", now=NOW)))
        manifest = project.compile()
    program = (
        "import sys; from isomesh_dagster.project import Project\n"
        f"with Project.from_manifest({str(manifest)!r}, environ={{}}) as project:\n"
        "    assert project.cadence('prod').due\n"
        "assert not {'sqlglot', 'duckdb', 'dagster'} & set(sys.modules), sorted(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_run_stops_when_somebody_promotes_meanwhile(root: Path) -> None:
    with Project.load(root, environ={}) as project:
        list(project.apply(project.plan("prod", now=NOW)))
    (root / "models/names.sql").write_text("MODEL (name s.names, kind VIEW); SELECT n FROM s.days")
    with Project.load(root, environ={}) as project:
        list(project.apply(project.plan("prod", now=NOW)))
        plan = project.run_plan("prod", now=NOW + timedelta(days=1))
        with project.application(plan) as application:
            application.begin()
            list(application.build(plan.builds[0]))
            project.rollback("prod")
            with pytest.raises(ConflictingPlanError, match="was changed during the run"):
                list(application.build(plan.builds[1]))
        assert [one.model for one in project.cadence("prod", now=NOW + timedelta(days=1)).due] == ["s.days"]
