"""Forward-only changes from end to end: files, plans, a real warehouse of each engine. Days are of January 2024."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isomesh_dagster.config.connections import DuckDBConnection, WarehouseConnection
from isomesh_dagster.errors import PlanError
from isomesh_dagster.plan.documents import plan_markdown
from isomesh_dagster.plan.explain import plan_steps
from isomesh_dagster.plan.saved import plan_document, read_document
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.project import Project
from isomesh_dagster.snapshot.interval import to_ms
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster_tests.scenarios.altered import FORWARD, NEW, OLD, Files, category, moment


@pytest.fixture
def files(tmp_path: Path, warehouse: WarehouseConnection) -> Files:
    """A project that prod shows, with three days loaded, on each engine."""
    files = Files(tmp_path / "project", warehouse)
    files.apply(wish=Wish())
    return files


def is_postgres(files: Files) -> bool:
    return "postgres" in (files.root / "config.yaml").read_text()


def test_a_change_in_prod_keeps_the_past_and_counts_from_now_on(files: Files) -> None:
    before = files.plan(wish=Wish()).snapshots["s.days"]
    files.days(NEW)
    plan = files.apply()
    assert {name: category(plan, name) for name in ("s.days", "s.totals", "s.shown")} == dict.fromkeys(
        ("s.days", "s.totals", "s.shown"), Category.FORWARD_ONLY
    )
    assert plan.snapshots["s.days"].physical == before.physical
    assert plan.builds == ()
    text = "text" if is_postgres(files) else "VARCHAR"
    assert [[str(change) for change in step.changes or ()] for step in plan.migrations] == [
        [f"ADD COLUMN tag {text}"],
        [],
    ]
    assert files.rows("s.days", "id, v, tag") == [(0, 0, None), (1, 2, None), (2, 4, None)]
    assert files.rows("s.shown") == files.rows("s.days")
    assert files.rows("s.totals", "total") == [(0,), (2,), (4,)]
    assert files.plan().is_empty
    files.run(6)
    assert files.rows("s.days", "id, v, tag") == [
        (0, 0, None),
        (1, 2, None),
        (2, 4, None),
        (3, 9, "new"),
        (4, 12, "new"),
    ]
    assert [row[0] for row in files.rows("s.totals", "total")] == [0, 2, 4, 9, 12]
    assert files.plan(day=6).is_empty


def test_a_preview_shows_it_elsewhere_and_is_never_taken_for_the_model(files: Files) -> None:
    old = files.rows("s.days")
    files.days(NEW)
    plan = files.apply("dev")
    days = plan.snapshots["s.days"]
    assert days.is_preview
    assert str(days.physical).endswith("__dev")
    assert files.rows("s__dev.days", "id, v, tag") == [(2, 6, "new")]
    assert files.rows("s__dev.totals", "total") == [(6,)]
    assert files.rows("s__dev.shown") == files.rows("s__dev.days")
    assert files.rows("s.days") == old
    files.run(5, "dev")
    assert files.rows("s__dev.days", "id") == [(2,), (3,)]  # the clock does not fill its past

    whole = files.plan(wish=Wish())  # the same files, as an ordinary change
    assert {step.snapshot.name for step in whole.builds} == {"s.days", "s.totals", "s.shown"}
    assert not any(snapshot.is_preview for snapshot in whole.snapshots.values())

    files.apply()
    assert files.rows("s__dev.days", "id") == [(2,), (3,)]
    caught_up = files.apply("dev")
    assert caught_up.migrations == ()
    assert files.rows("s__dev.days") == files.rows("s.days")
    assert files.plan("dev").is_empty


def test_the_range_of_a_preview(files: Files) -> None:
    files.days(NEW)
    within = read_document(plan_document(files.plan("dev")), "it").wish
    assert within == FORWARD
    asked = Wish(forward_only=True, effective_from=to_ms(moment(2)))
    files.apply("dev", wish=asked)
    assert files.rows("s__dev.days", "id") == [(1,), (2,)]
    files.configure((files.root / "config.yaml").read_text() + "plan: {enable_preview: false}\n")
    files.days(NEW.replace("new", "newer"))
    files.apply("other")
    assert files.rows("s__other.days") == []


def test_audits_of_a_preview_do_not_block(files: Files) -> None:
    files.write(
        "days",
        "MODEL (name s.days, kind INCREMENTAL_BY_TIME_RANGE (time_column ds), audits (not_null(columns := (v))));\n"
        "SELECT id, ds, CAST(NULL AS INT) AS v FROM s.src WHERE ds BETWEEN @start_ds AND @end_ds",
    )
    files.apply("dev")
    assert files.rows("s__dev.days", "id, v") == [(2, None)]


def test_what_is_built_in_the_same_plan_reads_the_table_as_it_will_be(files: Files) -> None:
    files.days(NEW, ", forward_only true")
    files.write(
        "totals", "MODEL (name s.totals, kind FULL);\nSELECT ds, tag, SUM(v) AS total FROM s.days GROUP BY ds, tag"
    )
    files.write("shown", "MODEL (name s.shown);\nSELECT tag, id FROM s.days")
    plan = files.apply(wish=Wish())
    assert category(plan, "s.totals") is Category.BREAKING
    assert files.rows("s.totals", "tag, total") == [(None, 0), (None, 2), (None, 4)]
    assert files.rows("s.shown") == [(None, 0), (None, 1), (None, 2)]
    files.run(5)
    assert files.rows("s.totals", "tag, total")[0] == ("new", 9)


def test_other_environments_go_on_to_show_the_table(files: Files) -> None:
    files.apply("dev", wish=Wish())
    files.days(NEW)
    files.apply()
    assert files.rows("s__dev.days") == files.rows("s.days")
    assert files.rows("s__dev.shown") == files.rows("s.days")


@pytest.mark.parametrize("kind", [", on_destructive_change allow", ", on_destructive_change warn"])
def test_a_property_allows_what_loses_values(files: Files, kind: str) -> None:
    files.days("id, ds", f", forward_only true{kind}")
    files.write("totals", "MODEL (name s.totals, kind FULL);\nSELECT ds, COUNT(*) AS total FROM s.days GROUP BY ds")
    plan = files.apply(wish=Wish())
    assert files.rows("s.days", "id") == [(0,), (1,), (2,)]
    assert files.rows("s.shown") == files.rows("s.days")
    assert ("warn" in kind) == any("DROP COLUMN v" in warning for warning in plan.warnings)


def test_what_loses_values_is_refused_unless_it_is_allowed(files: Files) -> None:
    before = files.rows("s.days")
    files.days("id, ds, CAST(id AS VARCHAR) AS v")
    files.write("totals", "MODEL (name s.totals, kind FULL);\nSELECT ds, COUNT(v) AS total FROM s.days GROUP BY ds")
    with pytest.raises(PlanError) as caught:
        files.plan()
    told = "integer → text" if is_postgres(files) else "INTEGER → VARCHAR"
    assert f"ALTER COLUMN v {told}" in str(caught.value)
    assert caught.value.model == "s.days"
    assert "--allow-destructive-model s.days" in (caught.value.hint or "")
    assert files.rows("s.days") == before
    (warning,) = files.plan("dev").warnings
    assert "prod would refuse" in warning
    files.apply(wish=Wish(forward_only=True, allow_destructive=("s.day*",)))
    assert files.rows("s.days", "v") == [("0",), ("2",), ("4",)]


def test_what_is_ignored_leaves_the_table_as_it_is(files: Files) -> None:
    files.days("id, ds, 'x' AS extra", ", forward_only true, on_destructive_change ignore, on_additive_change ignore")
    files.write("totals", "MODEL (name s.totals, kind FULL);\nSELECT ds, COUNT(*) AS total FROM s.days GROUP BY ds")
    plan = files.apply(wish=Wish())
    assert len(plan.warnings) == 2
    files.run(5)
    assert files.rows("s.days", "id, v") == [(0, 0), (1, 2), (2, 4), (3, None)]


def test_from_the_effective_date_on_it_is_computed_again(files: Files) -> None:
    files.days(NEW)
    plan = files.apply(wish=Wish(forward_only=True, effective_from=to_ms(moment(2))))
    assert [step.snapshot.name for step in plan.later] == ["s.days", "s.totals"]
    assert files.rows("s.days", "id, v, tag") == [(0, 0, None), (1, 3, "new"), (2, 6, "new")]
    assert [row[0] for row in files.rows("s.totals", "total")] == [0, 3, 6]
    assert files.plan().is_empty
    assert "2024-01-02" in plan_markdown(plan)
    assert "Compute again, after the swap" in [section.title for section in plan_steps(plan)]


def test_an_effective_date_to_come_is_refused(files: Files) -> None:
    with pytest.raises(PlanError, match="in the future"):
        files.plan(wish=Wish(forward_only=True, effective_from=to_ms(moment(9))))


def test_an_apply_that_ends_after_the_swap_is_gone_on_with(files: Files) -> None:
    files.days(NEW)
    with Project.load(files.root) as project:
        plan = project.plan("prod", now=moment(4), wish=Wish(forward_only=True, effective_from=to_ms(moment(2))))
        with project.application(plan) as application:
            application.begin()
            application.promote()
    assert files.rows("s.days", "v") == [(0,), (2,), (4,)]
    left = files.plan()
    assert {step.snapshot.name for step in left.builds} == {"s.days", "s.totals"}
    with Project.load(files.root) as project:
        list(project.apply(project.plan_again(read_document(plan_document(plan), "the first"))))
    assert files.rows("s.days", "v") == [(0,), (3,), (6,)]
    assert [row[0] for row in files.rows("s.totals", "total")] == [0, 3, 6]
    assert files.plan().is_empty


def test_older_files_never_show_the_altered_table_as_theirs(files: Files) -> None:
    files.days(NEW)
    altered = files.apply().snapshots["s.days"].physical
    files.days(OLD)
    plan = files.apply(wish=Wish())
    assert plan.snapshots["s.days"].physical != altered
    assert files.rows("s.days") == [(0, moment(1).date(), 0), (1, moment(2).date(), 2), (2, moment(3).date(), 4)]
    files.days(NEW)
    again = files.plan(wish=Wish()).snapshots["s.days"].physical
    assert again not in (altered, plan.snapshots["s.days"].physical)


def test_seeds_and_other_kinds_never_keep_their_table(files: Files) -> None:
    files.write("days", f"MODEL (name s.days, kind FULL);\nSELECT {OLD} FROM s.src")
    assert category(files.plan(), "s.days") is Category.BREAKING
    with pytest.raises(PlanError, match="cannot be forward-only: kind INCREMENTAL_BY_TIME_RANGE → FULL"):
        files.plan(wish=Wish(choices={"s.days": Category.FORWARD_ONLY}))


def test_a_choice_beats_the_property(files: Files) -> None:
    files.days(NEW, ", forward_only true")
    plan = files.plan(wish=Wish(choices={"s.days": Category.BREAKING}))
    assert category(plan, "s.days") is Category.BREAKING
    assert plan.migrations == ()


def test_a_rollback_tells_what_does_not_come_back(files: Files) -> None:
    files.days("id, ds, 'new' AS tag", ", forward_only true, on_destructive_change allow")
    files.write("totals", "MODEL (name s.totals, kind FULL);\nSELECT ds, COUNT(tag) AS total FROM s.days GROUP BY ds")
    files.write("shown", "MODEL (name s.shown);\nSELECT id, tag FROM s.days")
    files.apply(wish=Wish())
    files.run(5)
    with Project.load(files.root) as project:
        done = project.rollback("prod")
    (note,) = done.notes
    assert note.startswith("s.days: ")
    assert note.endswith("v comes back without values; tag stays, empty in new rows")
    assert files.rows("s.days", "id, v, tag")[-1] == (3, None, "new")
    assert files.rows("s.shown", "id, v")[0] == (0, None)
    files.run(6)
    assert files.rows("s.days", "id, v, tag")[-1] == (4, 8, None)
    assert sorted(row[0] or 0 for row in files.rows("s.totals", "total"))[-1] == 8
    with Project.load(files.root) as project:
        project.rollback("prod")
    assert files.rows("s.shown")[-1] == (4, None)


def test_another_environment_cannot_bring_back_what_prod_has_dropped(files: Files) -> None:
    files.apply("dev", wish=Wish())
    files.write("more", "MODEL (name s.more, kind FULL);\nSELECT 1 AS one")
    files.apply("dev", wish=Wish())
    files.days("id, ds", ", forward_only true, on_destructive_change allow")
    files.write("totals", "MODEL (name s.totals, kind FULL);\nSELECT ds, COUNT(*) AS total FROM s.days GROUP BY ds")
    files.apply(wish=Wish())
    with Project.load(files.root) as project, pytest.raises(PlanError, match="have been dropped in prod"):
        project.rollback("dev")


COLUMNS = st.lists(
    st.sampled_from(["id * 5 AS v", "id + 0.5 AS w", "'t' AS x", "ds AS y", "NULL AS z"]), min_size=1, unique=True
)


@settings(max_examples=8, suppress_health_check=list(HealthCheck))
@given(edits=st.lists(COLUMNS, min_size=1, max_size=3))
def test_no_edit_rewrites_what_is_there(edits: list[list[str]]) -> None:
    """A column keeps every value of the past as long as each definition has it, with one type."""
    with TemporaryDirectory() as folder:
        files = Files(Path(folder) / "project", DuckDBConnection(database=str(Path(folder) / "warehouse.duckdb")))
        files.write("totals", "MODEL (name s.totals, kind FULL);\nSELECT COUNT(*) AS total FROM s.days")
        files.apply(wish=Wish())
        for number, columns in enumerate(edits):
            day = 5 + number
            before, names = files.table("s.days")
            files.days(", ".join(["id", "ds", *columns]), ", forward_only true, on_destructive_change allow")
            files.apply(day=day - 1, wish=Wish())
            after, new_names = files.table("s.days")
            kept = [name for name in names if name in new_names]
            assert {"id", "ds"} <= set(kept)
            assert [[row[name] for name in kept] for row in after] == [[row[name] for name in kept] for row in before]
            files.run(day)
            grown, _ = files.table("s.days")
            assert grown[:-1] == after
            assert grown[-1]["id"] == len(after)


def test_a_definition_that_reads_what_its_statements_make(files: Files) -> None:
    files.write(
        "days",
        "MODEL (name s.days, kind INCREMENTAL_BY_TIME_RANGE (time_column ds));\n"
        "CREATE TEMP TABLE factor AS SELECT 3 AS f;\n"
        "SELECT id, ds, id * f AS v, f FROM s.src CROSS JOIN factor WHERE ds BETWEEN @start_ds AND @end_ds;\n"
        "DROP TABLE factor",
    )
    files.apply()
    assert files.rows("s.days", "id, v, f") == [(0, 0, None), (1, 2, None), (2, 4, None)]
    files.run(5)
    assert files.rows("s.days", "id, v, f")[-1] == (3, 9, 3)
