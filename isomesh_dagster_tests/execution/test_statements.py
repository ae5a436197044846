"""Statements around every apply: rendered for the environment, run once each, told in time when they are wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isomesh_dagster.errors import MacroError, PlanError
from isomesh_dagster.execution.statements import StatementSettings
from isomesh_dagster_tests.factories import System, days, model, snapshots

SHOWN = snapshots([model("mart.m", "SELECT 1 AS x"), model("raw.r", "SELECT 2 AS x")])
LOG = "CREATE TABLE IF NOT EXISTS logs.log (what VARCHAR)"


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        with system.connection.session() as session:
            session.create_schema("logs")
        yield system


def apply(system, plan, *, before=(), after=(), **variables):
    plan = replace(plan, before_all=(LOG, *before), after_all=tuple(after))
    return system.apply(plan, statements=StatementSettings(dialect="duckdb", variables=variables))


def log(system):
    return [what for (what,) in system.rows("SELECT what FROM logs.log")]


def test_they_know_the_environment_its_views_and_the_variables(system):
    before = ["INSERT INTO logs.log VALUES (@this_env || ' ' || @who || ' ' || @gateway || ' ' || @execution_ds)"]
    after = [
        "@EACH(@schemas, s -> INSERT INTO logs.log VALUES (@s))",
        "INSERT INTO logs.log SELECT v FROM (VALUES @EACH(@views, v -> (@v))) AS t(v)",
        "INSERT INTO logs.log SELECT 'shown ' || MAX(r.x) FROM raw.r",
        "@IF(@this_env = 'prod', INSERT INTO logs.log VALUES ('never'))",
        "@IF(@runtime_stage = 'after_all', INSERT INTO logs.log VALUES ('last'))",
    ]
    apply(system, system.plan(SHOWN, "dev"), before=before, after=after, who="me")
    expected = ["dev me test 2020-01-11", "mart__dev", "raw__dev", "mart__dev.m", "raw__dev.r", "shown 2", "last"]
    assert log(system) == expected


def test_a_plan_that_only_builds_runs_them_too_and_one_without_work_does_not(system):
    apply(system, system.plan(SHOWN), before=["INSERT INTO logs.log VALUES ('a')"])
    assert apply(system, system.plan(SHOWN), before=["INSERT INTO logs.log VALUES ('b')"]) == []
    run = system.plan(SHOWN, batches={"raw.r": [days(0, 11)]}, restates=["raw.r"], promote=False)
    last = "INSERT INTO logs.log SELECT 'd ' || x FROM raw.r"
    apply(system, run, before=["INSERT INTO logs.log VALUES ('c')"], after=[last])
    assert log(system) == ["a", "c", "d 2"]


def test_they_know_what_the_plan_builds(system):
    log_range = ["INSERT INTO logs.log VALUES (@start_ds || ' ' || @end_ts)"]
    apply(system, system.plan(SHOWN, batches={"raw.r": [days(0, 5)]}), before=log_range)
    apply(system, system.plan(SHOWN, "dev"), before=log_range)  # builds nothing
    assert log(system) == ["2020-01-01 2020-01-10 23:59:59.999999", "2020-01-11 2020-01-10 23:59:59.999999"]


def test_one_that_fails_at_the_beginning_stops_everything(system):
    plan = system.plan(SHOWN)
    with pytest.raises(PlanError, match=r"before_all: .*nonsense") as caught:
        apply(system, plan, before=["SELECT nonsense"])
    assert "SELECT nonsense" in (caught.value.hint or "")
    assert system.relations("isomesh__mart") == []
    assert system.relations("logs") == []  # the first statement of the list is rolled back, too
    apply(system, plan)
    assert system.rows("SELECT x FROM mart.m") == [(1,)]


def test_one_that_cannot_be_rendered_is_told_before_anything_runs(system):
    with pytest.raises(MacroError, match="after_all: variable @nobody is not defined"):
        apply(system, system.plan(SHOWN), after=["SELECT @nobody"])
    assert system.relations("logs") == []


def test_one_that_fails_at_the_end_does_so_after_the_swap(system):
    with pytest.raises(PlanError, match=r"after_all: .*nonsense"):
        apply(system, system.plan(SHOWN), after=["SELECT nonsense"])
    assert system.rows("SELECT x FROM mart.m") == [(1,)]
