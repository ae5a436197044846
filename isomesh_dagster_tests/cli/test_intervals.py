"""check_intervals, and what a run says about waiting and about the next tick."""

from __future__ import annotations

import json

import pytest

from isomesh_dagster_tests.cli.conftest import Shop

SIGNAL = """\
from sqlmesh import signal

@signal()
def until(batch, day: str):
    return [one for one in batch if str(one[0].date()) < day]
"""
MODEL = """
MODEL (name shop.ticks, kind INCREMENTAL_BY_TIME_RANGE (time_column ds), start '2024-01-01', cron '@daily',
  signals (until(day := '2024-01-04')));
SELECT CAST(ds AS DATE) AS ds FROM GENERATE_SERIES(DATE '2024-01-01', DATE '2024-02-01', INTERVAL 1 DAY) AS t(ds)
"""
CHILD = "MODEL (name shop.count, kind FULL, start '2024-01-01'); SELECT COUNT(*) AS n FROM shop.ticks"
LATER = ("--execution-time", "2024-01-07 12:00")


@pytest.fixture
def waiting(shop: Shop) -> Shop:
    for path, text in (("signals/until.py", SIGNAL), ("models/ticks.sql", MODEL), ("models/count.sql", CHILD)):
        file = shop.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    result = shop("plan", "prod", "--auto-apply")
    assert result.exit_code == 0, result.output
    assert "waits    shop.ticks: for signal until" in result.stderr
    assert "waits    shop.count: for shop.ticks" in result.stderr
    assert "wait" in result.stdout
    return shop


def test_what_is_missing_and_what_it_waits_for(waiting: Shop) -> None:
    found = waiting("check_intervals", "prod", *LATER)
    assert found.exit_code == 0, found.output
    assert "shop.ticks: 2024-01-04 → 2024-01-06" in found.stdout
    assert "waits for signal until: 3 intervals, 2024-01-04 → 2024-01-06" in found.stdout
    assert "waits for shop.ticks: 3 intervals" in found.stdout
    only = waiting("check_intervals", "prod", *LATER, "--select-model", "shop.count", "--json")
    document = json.loads(only.stdout)
    assert [one["model"] for one in document["missing"]] == ["shop.count"]
    assert document["missing"][0]["waiting"][0]["parent"] == "shop.ticks"
    quiet = json.loads(waiting("check_intervals", "prod", *LATER, "--no-signals", "--json").stdout)
    assert {one["model"]: one["waiting"] for one in quiet["missing"]} == {"shop.ticks": [], "shop.count": []}
    ranged = waiting("check_intervals", "prod", *LATER, "-s", "2024-01-05", "-e", "2024-01-05", "--json")
    assert [one["units"] for entry in json.loads(ranged.stdout)["missing"] for one in entry["waiting"]] == [1, 1]


def test_a_run_in_which_all_waits_succeeds_and_says_so(waiting: Shop) -> None:
    result = waiting("run", "prod", *LATER)
    assert result.exit_code == 0, result.output
    assert "waits    shop.ticks: for signal until, 3 intervals" in result.stderr
    assert "2 models wait" in result.stdout


def test_when_nothing_is_due_the_next_tick_is_told(planned: Shop) -> None:
    assert planned("run", "dev").exit_code == 0
    result = planned("run", "dev")
    assert result.exit_code == 0
    assert "Nothing is due; the next tick is at 20" in result.stdout
    assert "Nothing is due" in planned("check_intervals", "dev").stdout
