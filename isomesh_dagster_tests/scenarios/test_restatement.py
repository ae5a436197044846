"""Restatement on a real warehouse: rows are made again where they are, and nothing else is touched."""

from __future__ import annotations

import os
import random
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from isomesh_dagster.errors import EngineError, PlanError, SelectionError
from isomesh_dagster.execution.application import Application
from isomesh_dagster.execution.schedule import run_plan_steps
from isomesh_dagster.plan.documents import plan_json, plan_markdown
from isomesh_dagster.plan.saved import plan_document, read_document
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.project import Project
from isomesh_dagster_tests.scenarios.lives import NOW, Life, built, days


@pytest.fixture
def life(tmp_path: Path) -> Life:
    """Prod shows everything; dev shows another version of m.inc and of what reads it."""
    life = Life(tmp_path)
    life.apply()
    return life


def other_version(life: Life) -> None:
    """Dev shows another m.inc, the files are as before."""
    life.edit("m.inc", "id, ds, v", "id, ds, v * 10 AS v")
    life.apply("dev")
    life.edit("m.inc", "id, ds, v * 10 AS v", "id, ds, v")


def test_rows_are_made_again_with_all_that_reads_them(life: Life) -> None:
    before = life.tables()
    life.sql("UPDATE raw.t SET v = 5 WHERE ds IN ('2024-01-02', '2024-01-05')")
    done = life.apply(restate=("m.inc",), within=days(2, 3))
    assert done.keys() == {"m.inc", "m.daily", "m.keyed", "m.agg"}
    assert done["m.inc"].intervals == done["m.daily"].intervals == (days(2, 3),)
    assert done["m.keyed"].intervals == (days(1, 8),)
    after = life.tables()
    assert life.sql("SELECT DISTINCT ds::TEXT FROM m.inc WHERE v = 5") == [("2024-01-02",)]
    assert after["m.agg"] == {(21, 33): 1}
    assert after["m.alone"] == before["m.alone"]
    assert after["m.keyed"].keys() == after["m.inc"].keys()
    assert life.plan().is_empty


def test_asked_twice_is_done_twice(life: Life) -> None:
    for value in (7, 8):
        life.sql(f"UPDATE raw.t SET v = {value}")
        assert life.apply(restate=("m.daily+", "m.inc"), now=NOW + timedelta(minutes=value))
        assert life.tables()["m.agg"] == {(21, 21 * value): 1}


def test_files_do_not_matter(life: Life) -> None:
    life.edit("m.inc", "id, ds, v", "id, ds, v * 100 AS v")
    assert life.plan(restate=("m.agg",)).changes == ()
    assert life.apply(restate=("m.inc",)).keys() == {"m.inc", "m.daily", "m.keyed", "m.agg"}
    assert life.tables()["m.agg"] == {(21, 21): 1}


def test_an_external_table_and_a_view_pass_it_on(life: Life) -> None:
    plan = life.plan(restate=("raw.t",))
    assert [step.snapshot.name for step in plan.builds] == ["m.inc", "m.agg", "m.daily", "m.keyed"]
    assert "raw.t is not built again" in plan.warnings[0]
    assert life.plan(restate=("m.show",)).is_empty


def test_what_disables_restatement_stays_and_hides_what_is_above(life: Life) -> None:
    life.edit("m.inc", "batch_size 2", "batch_size 2, disable_restatement true")
    life.apply()
    plan = life.plan(restate=("m.inc",))
    assert plan.is_empty
    assert plan.warnings == ("m.inc is not restated: its kind says disable_restatement",)


def test_from_dev_what_prod_shows_too_is_not_touched(life: Life) -> None:
    life.edit("m.agg", "SUM(v)", "MAX(v)")
    life.apply("dev")
    plan = life.plan("dev", restate=("m.inc",))
    assert plan.is_empty
    assert "prod shows the same table" in plan.warnings[0]
    assert life.apply("dev", restate=("m.agg",)).keys() == {"m.agg"}


def test_prod_makes_other_versions_due_again(life: Life) -> None:
    other_version(life)
    assert life.plan("dev", select=("m.alone",)).is_empty
    life.sql("UPDATE raw.t SET v = 5 WHERE ds = '2024-01-07'")
    plan = life.plan(restate=("m.inc",), within=days(7, 8))
    told = {one.snapshot.name: (one.intervals, one.environments) for one in plan.due_again}
    assert told["m.inc"] == ((days(7, 8),), ("dev",))
    assert told.keys() == {"m.inc", "m.daily", "m.keyed", "m.agg"}
    assert "Due again" in plan_markdown(plan)
    assert plan_json(plan)["due_again"][1]["environments"] == ["dev"]
    life.apply(restate=("m.inc",), within=days(7, 8))
    assert life.recorded("dev")["m.inc"] == (days(1, 7),)
    assert life.tables("dev")["m.agg"] == {(21, 210): 1}, "the rows stay until they are built again"
    healing = life.plan("dev", select=("m.alone",))
    assert {step.snapshot.name for step in healing.builds} == told.keys()
    assert healing.promote is None
    life.apply("dev", select=("m.alone",))
    assert life.tables("dev")["m.agg"] == {(21, 330): 1}
    assert life.recorded("dev")["m.inc"] == (days(1, 8),)
    assert life.plan("dev", select=("m.alone",)).is_empty


def test_what_was_taken_back_at_the_end_is_in_the_next_version(life: Life) -> None:
    other_version(life)
    life.apply(restate=("m.inc",), within=days(7, 8))
    life.edit("m.inc", "id, ds, v", "id, ds, v * 100 AS v")
    life.apply("dev")
    assert life.recorded("dev")["m.inc"] == (days(1, 8),)
    assert life.tables("dev")["m.agg"] == {(21, 2100): 1}


def test_a_run_makes_up_for_it_too(life: Life) -> None:
    other_version(life)
    life.sql("UPDATE raw.t SET v = 5")
    life.apply(restate=("m.inc",))
    assert life.run("dev").keys() == {"m.inc", "m.daily", "m.keyed", "m.agg"}
    assert life.tables("dev")["m.agg"] == {(21, 1050): 1}
    assert life.tables("dev")["m.keyed"] == life.tables("dev")["m.inc"]


def test_a_table_that_nobody_shows_is_due_again_too(life: Life) -> None:
    other_version(life)
    life.apply("dev")  # dev shows what prod shows: the other version is kept for a while
    life.sql("UPDATE raw.t SET v = 5")
    assert {one.environments for one in life.plan(restate=("m.inc",)).due_again} == {()}
    life.apply(restate=("m.inc",))
    life.edit("m.inc", "id, ds, v", "id, ds, v * 10 AS v")
    life.apply("dev")
    assert life.tables("dev")["m.agg"] == {(21, 1050): 1}


def test_an_interrupted_restatement_is_gone_on_with(life: Life) -> None:
    other_version(life)
    life.sql("UPDATE raw.t SET v = 5")
    with Project.load(life.root) as project:
        first = project.plan("prod", now=NOW, wish=Wish(restate=("m.inc",)))
        with project.application(first) as application:
            application.begin()
            for step in first.builds:
                if step.snapshot.name == "m.inc":
                    list(application.build(step))
                if step.snapshot.name == "m.keyed":
                    one_batch = application.build(step)
                    next(one_batch)
                    one_batch.close()
    assert life.recorded("dev")["m.inc"] == (days(1, 8),), "nothing is taken back before all is done"
    later = NOW + timedelta(hours=1)
    with Project.load(life.root) as project:
        plan = project.plan("prod", now=later, wish=Wish(restate=("m.inc",)))
        assert plan.id == first.id
        done = built(project.apply(plan))
    assert "m.inc" not in done
    assert life.tables()["m.keyed"] == life.tables()["m.inc"]
    assert life.recorded("dev")["m.inc"] == ()
    assert life.plan(restate=("m.inc",), now=later).id != first.id


def test_a_failing_restatement_leaves_other_tables_alone(life: Life) -> None:
    other_version(life)
    life.sql("ALTER TABLE raw.t RENAME COLUMN v TO w")
    before = life.tables()
    with pytest.raises(EngineError):
        life.apply(restate=("m.inc",))
    assert life.tables() == before
    assert life.recorded("dev")["m.inc"] == (days(1, 8),)


def test_a_saved_restatement_is_applied_as_agreed(life: Life) -> None:
    document = plan_document(life.plan(restate=("m.inc",), within=days(2, 3)))
    with Project.load(life.root) as project:
        again = project.plan_again(read_document(document, "x"))
        assert again.id == read_document(document, "x").id
        assert built(project.apply(again)).keys() == {"m.inc", "m.daily", "m.keyed", "m.agg"}
        assert not built(project.apply(project.plan_again(read_document(document, "x"))))


def test_what_is_not_there_is_told(life: Life) -> None:
    with pytest.raises(SelectionError, match=r"no model is named 'm\.nothing'"):
        life.plan(restate=("m.nothing",))
    with pytest.raises(SelectionError, match="selects no model"):
        life.plan(restate=("x.*",))
    with pytest.raises(PlanError, match="there is no environment 'dev'"):
        life.plan("dev", restate=("m.inc",))
    assert "no rows in this range" in life.plan(restate=("m.inc",), within=days(-9, -5)).warnings[0]


@pytest.mark.parametrize("seed", range(4))
def test_restating_any_range_over_the_same_data_changes_nothing(life: Life, seed: int) -> None:
    """And over new data it changes the days that were asked for, as a full rebuild would."""
    chance = random.Random(seed)
    before, recorded = life.tables(), life.recorded()
    first = chance.randrange(1, 7)
    span = days(first, chance.randrange(first + 1, 9))
    name = chance.choice(["m.inc", "m.daily", "m.keyed", "m.agg", "m.show", "m.alone"])
    life.apply(restate=(name,), within=span)
    assert (life.tables(), life.recorded()) == (before, recorded)
    life.sql(f"UPDATE raw.t SET v = v + 1 WHERE ds = DATE '2024-01-01' + {first - 1}")
    life.apply(restate=("m.inc",), within=span, now=NOW + timedelta(hours=1))
    fresh = life.root / "fresh"
    fresh.mkdir()
    rebuilt = Life(fresh)
    rebuilt.sql(f"UPDATE raw.t SET v = v + 1 WHERE ds = DATE '2024-01-01' + {first - 1}")
    rebuilt.apply()
    assert life.tables() == rebuilt.tables()


# ---- killed while it takes back --------------------------------------------------------------------------


def killed_taking_back(life: Life, at: str, number: int) -> None:
    """Restate m.inc of prod in a child that is killed the `number`-th time it comes to the checkpoint."""
    child = os.fork()
    if child == 0:
        left = [number]

        def checkpoint(name: str) -> None:
            left[0] -= name == at
            if not left[0]:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            with Project.load(life.root) as project:
                application = Application(
                    project.plan("prod", now=NOW, wish=Wish(restate=("m.inc",))),
                    connection=project.connection(),
                    state=project.state(),
                    identity=project.identity(),
                    root=life.root,
                    checkpoint=checkpoint,
                )
                for _ in run_plan_steps(application, concurrency=1):
                    pass
                application.finish()
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize(("at", "number"), [("taken back in the state", 1), ("taken back", 1), ("taken back", 3)])
@pytest.mark.parametrize("goes_first", ["restatement", "dev"])
def test_a_kill_between_the_halves_of_the_take_back_loses_nothing(
    life: Life, at: str, number: int, goes_first: str
) -> None:
    other_version(life)
    life.sql("UPDATE raw.t SET v = 5")
    killed_taking_back(life, at, number)
    assert life.tables()["m.agg"] == {(21, 105): 1}, "prod's own rows are made"
    if goes_first == "dev":
        life.run("dev")
    life.apply(restate=("m.inc",))
    life.run("dev")
    assert life.tables("dev")["m.agg"] == {(21, 1050): 1}
    assert life.tables("dev")["m.keyed"] == life.tables("dev")["m.inc"]
    assert life.run("dev") == {}
