"""What can be asked of a plan and of a run, each on a real warehouse."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from isomesh_dagster.errors import PlanError
from isomesh_dagster.plan.plan import ChangeType
from isomesh_dagster.plan.saved import plan_document, read_document
from isomesh_dagster.project import Project
from isomesh_dagster_tests.scenarios.lives import NOW, Life, built, days


@pytest.fixture
def life(tmp_path: Path) -> Life:
    """Prod shows everything."""
    life = Life(tmp_path)
    life.apply()
    return life


@pytest.fixture
def new(tmp_path: Path) -> Life:
    """Nothing was planned yet."""
    return Life(tmp_path)


def changed(life: Life, **wish) -> set[str]:
    return {change.model for change in life.plan("dev", **wish).changes}


# ---- select ----------------------------------------------------------------------------------------------


def test_only_the_selected_edits_are_taken(life: Life) -> None:
    life.edit("m.daily", "SUM(v)", "MAX(v)")
    life.edit("m.alone", "1 AS one", "2 AS one")
    life.write("m.new", "MODEL (name m.new, kind FULL);\nSELECT 3 AS three")
    life.remove("m.keyed")
    assert changed(life) == {"m.daily", "m.show", "m.alone", "m.new", "m.keyed"}
    assert changed(life, select=("m.daily",)) == {"m.daily", "m.show"}
    life.apply("dev", select=("m.daily",))
    shown = life.tables("dev")
    assert shown.keys() == {"m.inc", "m.daily", "m.keyed", "m.agg", "m.show", "m.alone"}
    assert shown["m.alone"] == {(1,): 1}
    assert shown["m.show"] == {(1,): 7}
    life.apply("dev", select=("m.keyed", "m.new"))
    assert life.tables("dev").keys() == {"m.inc", "m.daily", "m.agg", "m.show", "m.alone", "m.new"}
    assert changed(life) == {"m.alone"}


def test_a_selected_model_brings_what_it_reads(life: Life) -> None:
    life.write("m.base", "MODEL (name m.base, kind FULL);\nSELECT 3 AS three")
    life.edit("m.alone", "1 AS one", "three AS one FROM m.base")
    with pytest.raises(PlanError, match=r"reads m\.base, which is new and not selected"):
        life.plan("dev", select=("m.alone",))
    life.apply("dev", select=("+m.alone",))
    assert life.tables("dev")["m.alone"] == {(3,): 1}


def test_a_saved_selection_is_the_same_plan(life: Life) -> None:
    life.edit("m.daily", "SUM(v)", "MAX(v)")
    life.edit("m.alone", "1 AS one", "2 AS one")
    plan = life.plan("dev", select=("m.d*",))
    saved = read_document(plan_document(plan), "x")
    assert saved.wish.select == ("m.daily",)
    with Project.load(life.root) as project:
        assert project.plan_again(saved).id == plan.id


# ---- backfill --------------------------------------------------------------------------------------------


def test_what_is_not_built_is_not_shown(life: Life) -> None:
    life.edit("m.inc", "id, ds, v", "id, ds, v * 2 AS v")
    plan = life.plan("dev", backfill=("m.daily",))
    assert {step.snapshot.name for step in plan.builds} == {"m.inc", "m.daily", "m.show"}
    assert "dev does not show m.agg, m.keyed" in plan.warnings[0]
    life.apply("dev", backfill=("m.daily",))
    assert life.tables("dev").keys() == {"m.inc", "m.daily", "m.show", "m.alone"}
    assert life.plan("dev", backfill=("m.daily",)).is_empty
    assert {(one.model, one.change) for one in life.plan("dev").changes} == {
        ("m.agg", ChangeType.ADDED),
        ("m.keyed", ChangeType.ADDED),
    }
    assert life.apply("dev").keys() == {"m.agg", "m.keyed"}


def test_prod_shows_every_model(life: Life) -> None:
    life.edit("m.inc", "id, ds, v", "id, ds, v * 2 AS v")
    with pytest.raises(PlanError, match="prod always shows every model"):
        life.plan(backfill=("m.daily",))


def test_backfill_fills_what_a_range_left_out(new: Life) -> None:
    new.apply("dev", within=days(6, 8))
    assert new.recorded("dev")["m.daily"] == (days(6, 8),)
    assert new.plan("dev").is_empty, "what is shown is not filled unasked"
    assert new.apply("dev", backfill=("m.daily",)).keys() == {"m.inc", "m.daily"}
    assert new.recorded("dev")["m.daily"] == (days(1, 8),)


def test_what_is_built_over_a_part_counts_for_that_part(life: Life) -> None:
    life.edit("m.inc", "id, ds, v", "id, ds, v * 2 AS v")
    life.apply("dev", within=days(5, 8))
    assert life.plan("dev").is_empty
    assert life.apply("same", within=days(5, 8)) == {}
    assert life.tables("dev")["m.agg"] == {(9, 18): 1}
    life.edit("m.daily", "SUM(v)", "MAX(v)")
    life.apply("dev")
    assert life.recorded("dev")["m.daily"] == (days(5, 8),), "its rows are those of what it reads"
    assert life.apply().keys() == {"m.inc", "m.daily", "m.keyed", "m.agg"}
    assert life.tables()["m.agg"] == {(21, 42): 1}
    assert sum(life.tables()["m.daily"].values()) == 7
    assert len(life.tables()["m.keyed"]) == 21
    assert life.tables("dev")["m.daily"] == life.tables()["m.daily"]


# ---- without rows ----------------------------------------------------------------------------------------


def test_skipped_tables_are_empty_until_they_are_due(new: Life) -> None:
    plan = new.plan(skip_backfill=True)
    assert "prod will show tables without rows: m.alone, m.inc" in plan.warnings[0]
    new.apply(skip_backfill=True)
    assert {name: sum(rows.values()) for name, rows in new.tables().items()} == dict.fromkeys(
        ("m.inc", "m.daily", "m.keyed", "m.agg", "m.show", "m.alone"), 0
    )
    assert set(new.recorded().values()) == {(), new.recorded()["m.show"]}
    assert new.plan(skip_backfill=True).is_empty
    new.run()
    assert new.tables()["m.agg"] == {(21, 21): 1}
    assert new.plan().is_empty


def test_the_next_plan_fills_skipped_tables(new: Life) -> None:
    new.apply(skip_backfill=True)
    assert new.apply().keys() == {"m.inc", "m.daily", "m.keyed", "m.agg", "m.alone"}
    assert new.tables()["m.agg"] == {(21, 21): 1}


def test_skipping_shows_what_is_built_elsewhere(life: Life) -> None:
    life.apply("dev", skip_backfill=True)
    assert life.tables("dev") == life.tables()


def test_empty_tables_count_as_built(new: Life) -> None:
    new.apply(empty_backfill=True)
    assert new.recorded()["m.inc"] == (days(1, 8),)
    assert new.tables()["m.inc"] == {}
    assert new.plan().is_empty
    assert new.run() == {}
    new.apply(restate=("m.inc",))
    assert new.tables()["m.agg"] == {(21, 21): 1}


# ---- gaps, ranges, other environments --------------------------------------------------------------------


def test_gaps_are_refused(new: Life) -> None:
    new.apply("dev")
    new.edit("m.inc", "id, ds, v", "id, ds, v * 2 AS v")
    with pytest.raises(PlanError, match=r"(?s)would lack intervals.*m\.inc: \[2024-01-01T00:00:00Z"):
        new.plan("dev", no_gaps=True, within=days(5, 8))
    with pytest.raises(PlanError, match="would lack intervals"):
        new.plan("dev", no_gaps=True, skip_backfill=True)
    assert new.plan("dev", no_gaps=True).builds


def test_at_least_so_many_of_the_latest_intervals(new: Life) -> None:
    plan = new.plan("dev", within=days(2, 3), min_intervals=2)
    spans = {step.snapshot.name: step.intervals for step in plan.builds}
    assert spans["m.inc"] == (days(2, 3), days(6, 8))
    assert spans["m.keyed"] == (days(6, 8),)


def test_a_new_environment_from_another(life: Life) -> None:
    life.edit("m.alone", "1 AS one", "2 AS one")
    life.apply("one")
    assert life.plan("two").compared_with == "prod"
    plan = life.plan("two", create_from="one")
    assert (plan.compared_with, plan.changes) == ("one", ())
    life.apply("two", create_from="one")
    assert "has no effect" in life.plan("two", create_from="prod").warnings[0]
    with pytest.raises(PlanError, match="there is no environment 'four'"):
        life.plan("three", create_from="four")


def test_prod_takes_no_range_but_for_a_restatement(life: Life) -> None:
    with pytest.raises(PlanError, match="prod always shows all of history"):
        life.plan(within=days(1, 2))
    assert life.plan(restate=("m.inc",), within=days(1, 2)).builds


# ---- the clock -------------------------------------------------------------------------------------------


def test_a_plan_may_catch_up_with_the_clock(life: Life) -> None:
    later = NOW + timedelta(days=2)
    assert life.plan(now=later).is_empty
    assert life.apply(now=later, run=True).keys() == {"m.inc", "m.daily", "m.keyed", "m.agg", "m.alone"}
    assert life.recorded()["m.inc"] == (days(1, 10),)
    assert life.plan(now=later, run=True).is_empty


def test_cron_may_be_ignored(life: Life) -> None:
    life.edit("m.daily", "time_column ds)", "time_column ds), cron '@weekly'")
    life.apply()
    assert life.plan(now=NOW + timedelta(days=2), run=True).builds
    wanted = {step.snapshot.name: step.intervals for step in life.plan(now=NOW + timedelta(days=2), run=True).builds}
    assert "m.daily" not in wanted
    life.apply(now=NOW + timedelta(days=2), run=True, ignore_cron=True)
    assert life.recorded()["m.daily"] == (days(1, 10),)


def test_a_run_of_some_models(life: Life) -> None:
    later = NOW + timedelta(days=2)
    assert life.run(now=later, select=("m.inc",), within=days(8, 9)).keys() == {"m.inc"}
    assert life.recorded()["m.inc"] == (days(1, 9),)
    assert life.run(now=later, select=("m.agg",), auto_upstream=False).keys() == {"m.agg"}
    assert life.run(now=later, select=("m.daily",)).keys() == {"m.inc", "m.daily"}
    # m.agg was made when m.inc had the first of the two days only
    assert life.run(now=later).keys() == {"m.keyed", "m.alone", "m.agg"}
    assert life.run(now=later) == {}


def test_very_many_batches_are_told(new: Life) -> None:
    new.edit("m.inc", "batch_size 2)", "batch_size 1), cron '*/5 * * * *', start '2023-12-25'")
    told = "m.inc takes 4,176 batches of 1 five_minute, a transaction for each"
    assert any(one.startswith(told) for one in new.plan().warnings)


def test_no_apply_is_done_twice(new: Life) -> None:
    """A plan made again finds what an earlier one left hollow."""
    with Project.load(new.root) as project:
        document = plan_document(new.plan(skip_backfill=True))
        plan = project.plan_again(read_document(document, "x"))
        assert len(built(project.apply(plan))) == 6
        assert built(project.apply(plan)) == {}


# ---- what to expect --------------------------------------------------------------------------------------


def test_what_was_built_tells_what_to_expect(new: Life) -> None:
    assert {step.expected_seconds for step in new.plan().builds if step.snapshot.name != "m.show"} == {None}
    new.apply()
    with Project.load(new.root) as project:
        known = project.state().durations(["m.inc", "m.agg", "m.never"])
    assert [one.units for one in known["m.inc"]] == [2, 2, 2, 1]
    assert [one.units for one in known["m.agg"]] == [1]
    assert all(one.seconds > 0 for batches in known.values() for one in batches)
    # another version of the model, as long as it has its name, is expected to take as long
    new.edit("m.inc", "id, ds, v", "id, ds, v + 1 AS v")
    expected = {step.snapshot.name: step.expected_seconds for step in new.plan("dev").builds}
    assert expected.keys() >= {"m.inc", "m.agg"}
    assert None not in expected.values()
    new.apply("dev", skip_backfill=True)
    with Project.load(new.root) as project:  # empty tables take no time that counts
        assert project.state().durations(["m.inc"]) == {"m.inc": known["m.inc"]}


def test_files_that_are_not_read_are_told(life: Life) -> None:
    (life.root / "metrics").mkdir()
    (life.root / "metrics/total.sql").write_text("METRIC (name total, expression SUM(m.inc.v))")
    assert life.plan("dev").warnings[0].startswith("metrics/total.sql is not read: metrics are not supported")
