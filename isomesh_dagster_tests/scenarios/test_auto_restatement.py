"""`auto_restatement_cron`: at each tick a run of prod builds the last intervals again, and what reads them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from isomesh_dagster import Project
from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.plan.documents import plan_json
from isomesh_dagster.plan.explain import plan_sections
from isomesh_dagster.records.events import Built, Event, Waiting
from isomesh_dagster_tests.postgres_server import in_config

CONFIG = """
gateways:
  one:
    connection: {type: duckdb, database: warehouse.duckdb}
model_defaults: {dialect: duckdb, start: '2024-01-01'}
"""
FILES = {
    "config.yaml": CONFIG,
    "signals/open.py": "from sqlmesh import signal\n\n@signal()\ndef opened(batch, context):\n"
    "    return not context.engine_adapter.fetchone('SELECT shut FROM raw.gate')[0]\n",
    "models/days.sql": """
MODEL (name s.days, kind INCREMENTAL_BY_TIME_RANGE (
  time_column ds, auto_restatement_cron '@weekly', auto_restatement_intervals 3
), signals (opened));
SELECT ds, v FROM raw.days WHERE ds BETWEEN @start_ds AND @end_ds
""",
    "models/child.sql": """
MODEL (name s.child, kind INCREMENTAL_BY_TIME_RANGE (time_column ds, batch_size 1));
SELECT ds, v FROM s.days WHERE ds BETWEEN @start_ds AND @end_ds
""",
    "models/keyed.sql": """
MODEL (name s.keyed, kind INCREMENTAL_BY_UNIQUE_KEY (unique_key ds));
SELECT ds, v FROM s.days WHERE ds BETWEEN @start_ds AND @end_ds
""",
    "models/total.sql": "MODEL (name s.total, kind FULL); SELECT SUM(v) AS v FROM s.names",
    "models/names.sql": "MODEL (name s.names, kind VIEW); SELECT * FROM s.days",
    "models/other.sql": "MODEL (name s.other, kind FULL, cron '@yearly'); SELECT 1 AS a",
    "models/kept.sql": """
MODEL (name s.kept, kind INCREMENTAL_BY_TIME_RANGE (time_column ds, disable_restatement true));
SELECT ds, v FROM s.days WHERE ds BETWEEN @start_ds AND @end_ds
""",
}
THURSDAY = datetime(2024, 1, 11, 10, tzinfo=timezone.utc)
SATURDAY, SUNDAY = THURSDAY + timedelta(days=2), THURSDAY + timedelta(days=3)


@pytest.fixture(params=["duckdb"])
def project(request: pytest.FixtureRequest, tmp_path: Path):
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    if request.param == "postgres":
        connection = in_config(request.getfixturevalue("postgres"))
        (tmp_path / "config.yaml").write_text(CONFIG.replace("{type: duckdb, database: warehouse.duckdb}", connection))
    with Project.load(tmp_path, environ={}) as project:
        with project.connection().session() as session:
            session.execute("CREATE SCHEMA raw")
            session.execute("CREATE TABLE raw.gate AS SELECT FALSE AS shut")
            session.execute(
                "CREATE TABLE raw.days AS "
                "SELECT DATE '2024-01-01' + CAST(i AS INT) AS ds, 1 AS v FROM generate_series(0, 59) AS t(i)"
            )
        list(project.apply(project.plan("prod", now=THURSDAY)))
        # the first run takes note of the last tick; only those after it are heeded
        built(project, SATURDAY)
        yield project


def built(project: Project, now: datetime) -> dict[str, list[str]]:
    """What a run builds: days of January by model, `1-3` without the last."""
    return days(list(project.apply(project.run_plan("prod", now=now))), Built)


def days(events: list[Event], kind: type) -> dict[str, list[str]]:
    return {
        event.model: ["-".join(text[8:10] for text in one.iso()) for one in event.intervals]
        for event in events
        if isinstance(event, kind)
    }


def execute(project: Project, sql: str) -> list[tuple]:
    with project.connection().session() as session:
        return session.fetch(sql)


@pytest.mark.parametrize("project", ["duckdb", "postgres"], indirect=True)
def test_a_tick_builds_the_last_intervals_again_with_what_reads_them(project: Project) -> None:
    execute(project, "UPDATE raw.days SET v = 2 RETURNING 1")
    told = {one.model for one in project.cadence("prod", now=SUNDAY).due}
    assert built(project, SUNDAY) == {
        "s.days": ["11-14"],  # the last three, one of which was missing anyway
        "s.child": ["11-14"],
        "s.keyed": ["01-14"],  # batches stand on each other: all of history
        "s.total": ["01-14"],
        "s.kept": ["13-14"],
    }
    assert told == {"s.days", "s.child", "s.keyed", "s.total", "s.kept"}
    assert execute(project, "SELECT SUM(v), COUNT(*) FROM s.child") == [(16, 13)]
    assert execute(project, "SELECT v FROM s.total") == [(16,)]
    assert execute(project, "SELECT SUM(v), COUNT(*) FROM s.kept") == [(14, 13)]
    assert project.run_plan("prod", now=SUNDAY).is_empty
    assert project.cadence("prod", now=SUNDAY).due == ()


def test_the_plan_tells_whose_cron_it_is(project: Project) -> None:
    plan = project.run_plan("prod", now=SUNDAY)
    told = {one["model"]: one["restated_by"] for one in plan_json(plan)["builds"]}
    assert told == {
        "s.days": ["s.days"],
        "s.child": ["s.days"],
        "s.keyed": ["s.days"],
        "s.total": [],  # made whole at its own tick
        "s.kept": [],  # a new day, and nothing again
    }
    (section,) = [one for one in plan_sections(plan) if one.title == "To build"]
    texts = {item.name: item.text for item in section.items}
    assert texts["s.days"] == "restated by auto_restatement_cron"
    assert texts["s.child"] == "restated by auto_restatement_cron of s.days"
    assert not texts["s.kept"]


def test_each_tick_counts_once_and_the_next_one_again(project: Project) -> None:
    assert built(project, SUNDAY)["s.days"] == ["11-14"]
    assert built(project, SUNDAY + timedelta(days=1))["s.days"] == ["14-15"]
    assert built(project, SUNDAY + timedelta(days=7))["s.days"] == ["15-21"]
    # a tick in a week in which nobody ran counts all the same
    assert built(project, SUNDAY + timedelta(days=15))["s.days"] == ["21-29"]
    assert built(project, SUNDAY + timedelta(days=16))["s.days"] == ["29-30"]


@pytest.mark.parametrize("project", ["duckdb", "postgres"], indirect=True)
def test_what_waits_or_fails_stays_pending(project: Project) -> None:
    execute(project, "UPDATE raw.gate SET shut = TRUE RETURNING 1")
    events = list(project.apply(project.run_plan("prod", now=SUNDAY)))
    assert days(events, Built) == {}
    assert days(events, Waiting)["s.days"] == ["11-14"]
    monday = SUNDAY + timedelta(days=1)
    execute(project, "UPDATE raw.gate SET shut = FALSE RETURNING 1")
    execute(project, "UPDATE raw.days SET v = 3 RETURNING 1")
    found = built(project, monday)
    assert found["s.days"] == ["11-15"]
    assert found["s.child"] == ["11-15"]
    assert execute(project, "SELECT SUM(v) FROM s.child WHERE EXTRACT(DAY FROM ds) > 10") == [(12,)]
    assert project.run_plan("prod", now=monday).is_empty


def test_a_run_that_was_killed_goes_on_where_it_stopped(project: Project) -> None:
    plan = project.run_plan("prod", now=SUNDAY)
    events = project.apply(plan)
    for event in events:
        if isinstance(event, Built) and event.model == "s.days":
            break
    events.close()
    again = project.run_plan("prod", now=SUNDAY)
    assert "s.child" in {step.snapshot.name for step in again.builds}
    list(project.apply(again))
    assert project.run_plan("prod", now=SUNDAY).is_empty


def test_other_environments_and_plans_are_not_restated(project: Project) -> None:
    assert project.plan("prod", now=SUNDAY).is_empty
    list(project.apply(project.plan("dev", now=SUNDAY)))
    assert {one.model: [str(each)[:11] for each in one.intervals] for one in project.cadence("dev", now=SUNDAY).due}[
        "s.days"
    ] == ["[2024-01-13"]


def test_kinds_that_cannot_tell_history_again_refuse_it(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "config.yaml").write_text(CONFIG)
    kind = "INCREMENTAL_UNMANAGED (auto_restatement_cron '@weekly')"
    (tmp_path / "models/m.sql").write_text(f"MODEL (name s.m, kind {kind}); SELECT 1 AS a")
    with pytest.raises(IsomeshError, match="auto_restatement_cron"):
        Project.load(tmp_path, environ={})
