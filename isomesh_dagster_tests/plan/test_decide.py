"""What an edit means, through the whole pure pipeline: diff, categories, versions, steps."""

from __future__ import annotations

import pytest

from isomesh_dagster.errors import PlanError
from isomesh_dagster.model.context import ParseContext
from isomesh_dagster.model.kinds import Embedded, External, IncrementalByTimeRange, View
from isomesh_dagster.model.parse import parse_model
from isomesh_dagster.plan.diff import check_references
from isomesh_dagster.plan.explain import change_sections, plan_steps
from isomesh_dagster.plan.layer import Layer
from isomesh_dagster.plan.plan import ChangeType
from isomesh_dagster.relation import Column
from isomesh_dagster.snapshot.codec import target_from_json, target_to_json
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster_tests.plan.projects import DAY, NOW, System, graph, model

RAW = model(
    "raw.t",
    kind=External(),
    columns=(Column(name="id", type="INT"), Column(name="a", type="INT"), Column(name="b", type="INT")),
)
STG = "SELECT id, a, b FROM raw.t"
MART = "SELECT a, COUNT(*) AS n FROM s.stg GROUP BY a"
OTHER = "SELECT id, b FROM s.stg"


def project(stg: str = STG, mart: str = MART, other: str = OTHER, view: str = "SELECT a, n FROM s.mart"):
    return graph(
        RAW,
        model("s.stg", stg),
        model("s.mart", mart),
        model("s.other", other),
        model("s.view", view, View()),
    )


def applied() -> System:
    system = System()
    system.apply(system.plan(project()))
    return system


def built(plan) -> set[str]:
    return {step.snapshot.name for step in plan.builds if not step.repoint}


def category(plan, name: str):
    return next(change.category for change in plan.changes if change.model == name)


def test_a_new_environment_builds_and_shows_everything_physical():
    plan = System().plan(project())
    assert built(plan) == {"s.stg", "s.mart", "s.other", "s.view"}
    assert {change.change for change in plan.changes} == {ChangeType.ADDED}
    assert sorted(plan.promote.create) == ["s.mart", "s.other", "s.stg", "s.view"]
    assert plan.is_new_environment


def test_a_plan_after_its_apply_is_empty():
    system = applied()
    again = system.plan(project())
    assert again.is_empty
    assert not again.changes


def test_a_second_environment_with_the_same_files_builds_nothing():
    system = applied()
    plan = system.plan(project(), "dev")
    assert not plan.builds
    assert plan.compared_with == "prod"
    assert set(plan.promote.create) == {"s__dev.mart", "s__dev.other", "s__dev.stg", "s__dev.view"}
    assert {one.name for one in plan.reuses} == {"s.stg", "s.mart", "s.other", "s.view"}


def test_layout_and_comments_change_nothing():
    plan = applied().plan(project(stg="select id,\n  a, b -- fine\nFROM raw.t"))
    assert plan.is_empty


def test_an_added_column_builds_that_model_only():
    plan = applied().plan(project(stg="SELECT id, a, b, a + b AS c FROM raw.t"))
    assert built(plan) == {"s.stg"}
    assert category(plan, "s.stg") is Category.NON_BREAKING
    assert category(plan, "s.mart") is Category.INDIRECT_NON_BREAKING
    assert category(plan, "s.view") is Category.INDIRECT_NON_BREAKING


def test_a_changed_filter_builds_the_model_and_its_readers():
    plan = applied().plan(project(stg=STG + " WHERE a > 0"))
    assert built(plan) == {"s.stg", "s.mart", "s.other", "s.view"}
    assert category(plan, "s.stg") is Category.BREAKING
    assert category(plan, "s.mart") is Category.INDIRECT_BREAKING


def test_a_changed_column_spares_readers_that_do_not_read_it():
    plan = applied().plan(project(stg="SELECT id, a, b * 2 AS b FROM raw.t"))
    assert built(plan) == {"s.stg", "s.other"}
    assert category(plan, "s.mart") is Category.INDIRECT_NON_BREAKING
    assert category(plan, "s.other") is Category.INDIRECT_BREAKING


def test_a_rewrite_with_the_same_rows_builds_nothing():
    plan = applied().plan(project(stg="WITH x AS (SELECT id, a, b FROM raw.t) SELECT id, a, b FROM x"))
    assert built(plan) == set()
    assert category(plan, "s.stg") is Category.METADATA


def test_a_star_reader_gains_the_parents_new_column():
    system = System()
    system.apply(system.plan(project(other="SELECT * FROM s.stg")))
    plan = system.plan(project(stg="SELECT id, a, b, 1 AS c FROM raw.t", other="SELECT * FROM s.stg"))
    assert built(plan) == {"s.stg", "s.other"}
    assert category(plan, "s.other") is Category.NON_BREAKING


def test_columns_in_another_order_build_that_model_and_readers_by_position():
    system = System()
    union = "SELECT * FROM s.stg UNION ALL SELECT id, a, b FROM raw.t"
    system.apply(system.plan(project(other=union)))
    plan = system.plan(project(stg="SELECT a, id, b FROM raw.t", other=union))
    assert category(plan, "s.stg") is Category.NON_BREAKING
    assert built(plan) == {"s.stg", "s.other"}
    assert category(plan, "s.other") is Category.INDIRECT_BREAKING
    system = System()
    system.apply(system.plan(project(other="SELECT * FROM s.stg")))
    plan = system.plan(project(stg="SELECT a, id, b FROM raw.t", other="SELECT * FROM s.stg"))
    assert category(plan, "s.other") is Category.NON_BREAKING


def test_a_description_is_metadata_and_touches_no_reader():
    system = System()
    system.apply(system.plan(graph(RAW, model("s.stg", STG), model("s.other", OTHER))))
    plan = system.plan(graph(RAW, model("s.stg", STG, description="staged"), model("s.other", OTHER)))
    assert [change.model for change in plan.changes] == ["s.stg"]
    assert category(plan, "s.stg") is Category.METADATA
    assert not plan.builds
    assert plan.promote is not None
    assert not plan.promote.create


def test_what_dev_built_prod_only_shows():
    system = applied()
    changed = project(stg=STG + " WHERE a > 0")
    system.apply(system.plan(changed, "dev"))
    deploy = system.plan(changed, "prod")
    assert not deploy.builds
    assert set(deploy.promote.create) == {"s.mart", "s.other", "s.stg", "s.view"}


def test_going_back_builds_nothing():
    system = applied()
    system.apply(system.plan(project(stg=STG + " WHERE a > 0")))
    back = system.plan(project())
    assert not back.builds
    assert len(back.promote.create) == 4


def test_a_view_follows_its_parents_table_without_a_build():
    plan = applied().plan(project(mart=MART.replace("n FROM", "n, MAX(b) AS top FROM")))
    assert built(plan) == {"s.mart"}
    assert [step.snapshot.name for step in plan.builds if step.repoint] == ["s.view"]


def test_readers_of_an_embedded_model_follow_what_it_reads():
    def embedded(stg: str):
        return graph(
            RAW,
            model("s.stg", stg),
            model("s.mid", "SELECT a, b FROM s.stg", Embedded()),
            model("s.top", "SELECT a FROM s.mid"),
        )

    system = System()
    first = system.apply(system.plan(embedded(STG)))
    assert built(first) == {"s.stg", "s.top"}
    assert "s.mid" not in {view.rsplit(".")[-1] for view in first.promote.create}
    assert built(system.plan(embedded(STG + " WHERE b = 1"))) == {"s.stg", "s.top"}
    assert built(system.plan(embedded("SELECT id, a, b + 1 AS b FROM raw.t"))) == {"s.stg"}


def test_external_columns_that_go_are_breaking_new_ones_are_not():
    system = System()
    system.apply(system.plan(graph(RAW, model("s.stg", STG))))
    more = model("raw.t", kind=External(), columns=(*RAW.columns, Column(name="c", type="INT")))
    assert not system.plan(graph(more, model("s.stg", STG))).builds
    fewer = model("raw.t", kind=External(), columns=(RAW.columns[0], Column(name="a", type="TEXT"), RAW.columns[2]))
    assert built(system.plan(graph(fewer, model("s.stg", STG)))) == {"s.stg"}


def test_declaring_a_table_that_is_read_already_builds_nothing():
    for query in (STG, "SELECT * FROM raw.t"):
        system = System()
        system.apply(system.plan(graph(model("s.stg", query))))
        plan = system.plan(graph(RAW, model("s.stg", query)))
        assert category(plan, "s.stg") is Category.INDIRECT_NON_BREAKING
        assert not plan.builds


def test_intervals_stop_where_prod_stops_and_are_not_built_twice():
    kind = IncrementalByTimeRange(time_column="ds", batch_size=1)
    query = "SELECT id, ds FROM raw.e WHERE ds BETWEEN '1970-01-01' AND '1970-01-01'"
    system = System()
    first = system.apply(system.plan(graph(model("s.inc", query, kind))))
    assert [len(step.batches) for step in first.builds] == [2]
    later = system.plan(graph(model("s.inc", query + " AND id > 0", kind)), now=NOW + 5 * DAY)
    assert later.builds[0].intervals == first.builds[0].intervals


def test_removing_what_is_read_is_refused():
    with pytest.raises(PlanError, match=r"reads s\.stg, which this plan removes"):
        check_references(graph(model("s.other", OTHER)), ("s.stg",))


def test_a_removed_model_loses_its_view():
    plan = applied().plan(graph(RAW, model("s.stg", STG), model("s.other", OTHER)))
    assert [change.model for change in plan.changes if change.change is ChangeType.REMOVED] == ["s.mart", "s.view"]
    assert plan.promote.drop == ("s.mart", "s.view")


def test_a_naming_convention_is_for_new_tables():
    system = applied()
    physical = {name: one.physical for name, one in system.shown("prod").items()}
    shorter = system.decision(project(other=f"{OTHER} WHERE id > 0"), convention="table_only").snapshots
    assert str(shorter["s.other"].physical).startswith("isomesh__s.other__")
    assert {name for name, one in shorter.items() if one.physical != physical[name]} == {"s.other"}
    described = system.decision(project(), convention="table_only").snapshots
    assert {name: one.physical for name, one in described.items()} == physical


def test_changed_statements_around_everything_are_a_change_of_their_own():
    system = applied()
    layer = Layer(gateway="test", before_all=("SELECT 1",), after_all=("SELECT 2",))
    plan = system.plan(project(), layer=layer)
    assert not plan.is_empty
    assert (plan.builds, plan.changes, plan.promote.create) == ((), (), {})
    assert "+before_all: SELECT 1\n+after_all: SELECT 2" in plan.statement_diff
    assert [section.title for section in change_sections(plan)] == ["Statements around every apply modified"]
    assert [section.title[:9] for section in plan_steps(plan)] == ["Check", "Run first", "Swap, in ", "Run last "]
    system.apply(plan)
    assert system.plan(project(), layer=layer).is_empty
    target = plan.promote.target
    assert target_from_json(target_to_json(target)) == target
    assert not system.plan(project()).is_empty


def test_the_same_decision_has_the_same_id_and_every_other_another():
    system = applied()
    changed = project(stg=STG + " WHERE a > 0")
    assert system.plan(changed).id == system.plan(changed).id
    assert system.plan(changed).id != system.plan(project(stg=STG + " WHERE a > 1")).id
    assert system.plan(changed).id != system.plan(changed, "dev").id


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("ds <= @end_ds", "ds <= @start_ds"),  # the same day in a batch of one
        ("v > @end_hour", "v > 23"),
        ("v > @start_hour", "v > @execution_hour"),
        ("@IF(@start_ds >= '2024-06-01', v > 2, TRUE)", "@IF(@start_ds >= '2024-06-01', v > 3, TRUE)"),
        ("@IF(@start_ds >= '2024-06-01', v > 2, TRUE)", "@IF(@start_ds >= '2024-07-01', v > 2, TRUE)"),
        ("@WHERE(@start_ds >= '2024-06-01') v > 2", "@WHERE(@start_ds >= '2024-06-01') v > 3"),
        ("TRUE", "TRUE AND @IF(@end_ds > '2024-01-01', v > 2, TRUE)"),
    ],
)
def test_what_a_query_is_at_other_moments_counts(before: str, after: str):
    def written(condition: str):
        where = condition if condition.startswith("@WHERE") else f"WHERE {condition}"
        header = "MODEL (name s.inc, kind INCREMENTAL_BY_TIME_RANGE (time_column ds), start '2023-12-30');"
        text = f"{header}\nSELECT id, ds, v FROM raw.e AS e {where}"
        context = ParseContext(gateway="test", dialect="duckdb", physical_schema=str, read_seed=str.encode)
        return graph(*parse_model(text, "models/inc.sql", context).models)

    system = System()
    system.apply(system.plan(written(before)))
    assert category(system.plan(written(after)), "s.inc") is Category.BREAKING


def test_a_name_that_becomes_a_column_of_a_parent_means_something_else():
    def project(near: str, far: str, reader: str):
        return graph(
            model("s.near", f"SELECT {near} FROM raw.a"),
            model("s.far", f"SELECT {far} FROM raw.b"),
            model("s.reader", reader),
        )

    correlated = "SELECT id, (SELECT MAX(v) FROM s.near WHERE k = x) AS m FROM s.far"
    aliased = "SELECT id, v + 1 AS x, x * 2 AS y FROM s.far"
    for reader, before, after in (
        (correlated, ("a.k, a.v", "b.id, b.x"), ("a.k, a.v, a.x", "b.id, b.x")),  # it was the outer one's
        (correlated, ("a.k, a.v, a.x", "b.id, b.x"), ("a.k, a.v", "b.id, b.x")),
        (aliased, ("a.k", "b.id, b.v"), ("a.k", "b.id, b.v, b.x")),  # it was the alias
    ):
        system = System()
        system.apply(system.plan(project(*before, reader)))
        assert category(system.plan(project(*after, reader)), "s.reader") is Category.INDIRECT_BREAKING


def test_a_column_that_is_added_and_used_at_once_is_an_addition():
    def project(stg: str, mart: str):
        return graph(
            model("s.stg", f"SELECT {stg} FROM raw.a"),
            model("s.mart", f"SELECT {mart} FROM s.stg"),
            model("s.reader", "SELECT k FROM s.mart"),
        )

    system = System()
    system.apply(system.plan(project("a.k, a.v", "k, v")))
    plan = system.plan(project("a.k, a.v, a.x", "k, v, x + 1 AS x"))
    assert {one.model: one.category for one in plan.changes} == {
        "s.stg": Category.NON_BREAKING,
        "s.mart": Category.NON_BREAKING,
        "s.reader": Category.INDIRECT_NON_BREAKING,
    }


def test_another_time_column_moves_rows_between_intervals():
    kind = IncrementalByTimeRange(time_column="ds")

    def project(at: str, day: str):
        return graph(
            model("s.stg", f"SELECT e.id, {at} AS at FROM raw.e"),
            model("s.inc", f"SELECT id, {day} AS ds FROM s.stg", kind),
            model("s.reader", "SELECT id FROM s.inc"),
        )

    system = System()
    system.apply(system.plan(project("e.at", "at")))
    assert category(system.plan(project("e.at", "at + 1")), "s.reader") is Category.INDIRECT_BREAKING
    assert category(system.plan(project("e.at + 1", "at")), "s.reader") is Category.INDIRECT_BREAKING


def test_what_a_model_reads_of_itself_changes_with_every_column():
    kind = IncrementalByTimeRange(time_column="ds")

    def project(columns: str):
        query = f"SELECT e.ds, {columns}, (SELECT SUM(x) FROM s.inc) AS total FROM raw.e"
        return graph(model("s.inc", query, kind), model("s.reader", "SELECT total FROM s.inc"))

    system = System()
    system.apply(system.plan(project("e.x")))
    for columns in ("e.x + 1 AS x", "e.x, e.y"):
        assert category(system.plan(project(columns)), "s.reader") is Category.INDIRECT_BREAKING
