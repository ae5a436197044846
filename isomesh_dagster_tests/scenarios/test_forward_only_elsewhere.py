"""What a forward-only change in prod does to other environments that show the same table, on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from isomesh_dagster.config.connections import WarehouseConnection
from isomesh_dagster.errors import EngineError, PlanError
from isomesh_dagster.plan.documents import plan_json, plan_markdown
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.project import Project
from isomesh_dagster_tests.scenarios.altered import COUNTS, LOSES, NEW, OLD, Files, moment

LARGE = "MODEL (name s.large);\nSELECT id, v + 1 AS more FROM s.shown WHERE v > 0"


@pytest.fixture
def files(tmp_path: Path, warehouse: WarehouseConnection) -> Files:
    """Prod and dev show the same table of three days; dev has a view over a view of it, too. The files are prod's."""
    files = Files(tmp_path / "project", warehouse)
    files.apply(wish=Wish())
    files.write("large", LARGE)
    files.apply("dev", wish=Wish())
    (files.root / "models" / "large.sql").unlink()
    return files


def drop(files: Files) -> None:
    """Write files whose table has no column `v`."""
    files.days("id, ds", LOSES)
    files.write("totals", COUNTS)


def test_a_dropped_column_stays_without_values_and_the_plan_says_where(files: Files) -> None:
    before = files.table("s__dev.days")
    assert files.rows("s__dev.large") == [(1, 3), (2, 5)]
    drop(files)
    plan = files.apply(wish=Wish())
    (warning,) = plan.warnings
    assert warning == (
        "environment dev: s__dev.days, s__dev.large, s__dev.shown read v of s.days, which is dropped: "
        "it stays there without values until dev is planned again"
    )
    assert warning in plan_markdown(plan)
    assert warning in plan_json(plan)["warnings"]
    assert files.table("s.days")[1] == ["id", "ds"]
    rows, columns = files.table("s__dev.days")
    assert columns == before[1]
    assert rows == [{**row, "v": None} for row in before[0]]
    assert files.table("s__dev.shown")[1] == columns
    assert files.rows("s__dev.large") == []
    assert files.plan().is_empty

    files.apply("dev", wish=Wish())  # from then on it shows what prod shows
    assert files.table("s__dev.days") == files.table("s.days")
    assert files.table("s__dev.shown") == files.table("s.shown")


def test_it_stays_over_the_next_change_as_well(files: Files) -> None:
    drop(files)
    files.apply(wish=Wish())
    files.days("id, ds, id * 7 AS w", LOSES)
    assert files.apply(wish=Wish()).warnings == ()
    assert files.rows("s__dev.days", "id, v, w") == [(0, None, None), (1, None, None), (2, None, None)]
    files.run(5)
    assert files.rows("s__dev.days", "id, v, w")[-1] == (3, None, 21)
    assert files.rows("s__dev.large") == []


def test_a_type_follows_where_the_views_can_read_it(files: Files) -> None:
    files.days("id, ds, CAST(id * 2 AS BIGINT) AS v", LOSES)
    plan = files.apply(wish=Wish())
    told = "environment dev: s__dev.days, s__dev.large, s__dev.shown read v of s.days, which becomes bigint, there too"
    assert told in [warning.lower() for warning in plan.warnings]
    assert files.rows("s__dev.large") == [(1, 3), (2, 5)]
    assert files.rows("s__dev.shown") == files.rows("s.days")


def test_a_type_that_a_view_elsewhere_cannot_read_is_refused(files: Files) -> None:
    before = files.rows("s.days")
    files.days("id, ds, CAST(id AS TEXT) AS v", LOSES)
    files.write("totals", COUNTS)
    with pytest.raises(PlanError, match=r"environment dev: s__dev\.large \(") as caught:
        files.plan(wish=Wish())
    assert "invalidate" in (caught.value.hint or "")
    assert files.rows("s.days") == before
    files.apply("dev", wish=Wish())  # without the view, there is nothing in the way
    files.apply(wish=Wish())
    assert files.rows("s.days", "id, v") == [(0, "0"), (1, "2"), (2, "4")]


def test_what_appears_after_the_plan_undoes_the_whole_swap(files: Files) -> None:
    files.write("totals", COUNTS)
    files.apply("dev", wish=Wish())  # the files, which have no view over it any more
    files.days("id, ds, CAST(id AS TEXT) AS v", LOSES)
    plan = files.plan(wish=Wish())
    files.days(OLD)
    files.write("large", LARGE)
    files.apply("dev", wish=Wish())
    before = files.table("s.days"), files.rows("s__dev.large")
    (files.root / "models" / "large.sql").unlink()
    files.days("id, ds, CAST(id AS TEXT) AS v", LOSES)
    with Project.load(files.root) as project, pytest.raises(EngineError, match=r"environment 'dev' could not show"):
        list(project.apply(plan))
    assert (files.table("s.days"), files.rows("s__dev.large")) == before


def test_back_and_forth_leaves_other_environments_their_columns(files: Files) -> None:
    drop(files)
    files.apply(wish=Wish())
    with Project.load(files.root) as project:
        project.rollback("prod")
    assert files.rows("s.days", "id, v") == [(0, None), (1, None), (2, None)]
    assert files.table("s__dev.days") == files.table("s.days")
    files.run(5)
    assert files.rows("s__dev.large") == [(3, 7)]


def test_a_view_that_nobody_shows_any_more_is_made_anew(files: Files) -> None:
    """What a table was when the view was made, it is no more."""
    files.apply("dev", wish=Wish())
    files.days(NEW)
    files.apply()
    files.write("large", LARGE)
    plan = files.apply("dev")
    assert [step.snapshot.name for step in plan.builds] == ["s.large"]
    assert files.rows("s__dev.large") == [(1, 3), (2, 5)]


def test_only_prod_writes_the_table_it_has_changed(files: Files) -> None:
    """No run of an older definition puts rows among those of the newer, nor what reads them before they are there."""
    files.days(NEW)
    files.apply()
    with Project.load(files.root) as project:
        due = project.run_plan("dev", now=moment(5))
        assert [step.snapshot.name for step in due.builds] == ["s.src"]
        (warning,) = due.warnings
        assert warning.startswith("not built in dev: s.days, s.large, s.shown, s.totals: prod has changed")
        assert {one.model for one in project.cadence("dev", now=moment(5)).due} == {"s.src"}
        list(project.apply(due))
    assert len(files.rows("s.days")) == 3
    files.run(5)
    assert files.rows("s.days", "id, v, tag")[-1] == (3, 9, "new")
    assert files.rows("s__dev.days") == files.rows("s.days")
    files.apply("dev", day=6)
    with Project.load(files.root) as project:
        assert project.run_plan("dev", now=moment(6)).warnings == ()
