"""What an edit of a seed's file means: columns are compared, so that readers of the others keep their tables."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isomesh_dagster.model.kinds import CsvSettings, Seed, View
from isomesh_dagster.model.seeds import column_hashes, seed_hash
from isomesh_dagster.plan.limits import limits
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.relation import Column
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster_tests.plan.projects import System, graph, model

FILE = "id,name,n\n1,a,10\n2,b,20\n"
B, NB = Category.BREAKING, Category.NON_BREAKING


def project(text: str, settings: CsvSettings | None = None, **more: object):
    content = text.encode()
    settings = settings or CsvSettings()
    hashes = column_hashes(content, settings, "duckdb")
    kind = Seed(path="s.csv", content_hash=seed_hash(content), column_hashes=hashes, csv_settings=settings)
    return graph(
        replace(model("s.seed", kind=kind, **more), output=tuple(hashes) or None),
        model("s.names", "SELECT id, name FROM s.seed"),
        model("s.sums", "SELECT SUM(n) AS n FROM s.seed"),
        model("s.star", "SELECT * FROM s.seed"),
    )


def of_the_seed(plan: Plan) -> tuple[Category, str]:
    (change,) = [one for one in plan.changes if one.model == "s.seed"]
    return change.category, change.reason


@pytest.mark.parametrize(
    ("after", "category", "built", "reason"),
    [
        ("id,name,n,x\n1,a,10,5\n2,b,20,6\n", NB, {"s.star"}, "adds x"),
        ("x,id,y,name,n\n5,1,,a,10\n6,2,,b,20\n", NB, {"s.star"}, "adds x, y"),
        ("id,name,n\n1,a,11\n2,b,20\n", B, {"s.sums", "s.star"}, "seed's n changed"),
        ("id,name,n,x\n1,a,10,5\n2,B,20,6\n", B, {"s.names", "s.star"}, "seed's name changed"),
        ("id,n,name\n1,10,a\n2,20,b\n", NB, {"s.star"}, "another order"),
        ('"id",name,n\n"1",a,10\n2,b,20\n', NB, set(), "rows are the same"),
        ("id,name,n\n2,b,20\n1,a,10\n", B, {"s.names", "s.sums", "s.star"}, "content changed"),
        ("id,name,n\n1,a,10\n2,b,20\n3,c,30\n", B, {"s.names", "s.sums", "s.star"}, "content changed"),
        ("id,name,n\n1,a,10\n", B, {"s.names", "s.sums", "s.star"}, "content changed"),
        ("id,name,n\n1,a\n2,b,20\n", B, {"s.names", "s.sums", "s.star"}, "content changed"),
    ],
)
def test_an_edit_of_the_file(after: str, category: Category, built: set[str], reason: str) -> None:
    system = System()
    system.apply(system.plan(project(FILE)))
    plan = system.plan(project(after))
    found = of_the_seed(plan)
    assert (found[0], reason in found[1]) == (category, True), found
    assert {build.snapshot.name for build in plan.builds} == {"s.seed", *built}


def test_a_column_that_goes_touches_its_readers_only() -> None:
    system = System()
    system.apply(system.plan(project(FILE)))
    plan = system.plan(project("id,name\n1,a\n2,b\n"))
    assert "s.names" not in {build.snapshot.name for build in plan.builds}
    assert {"s.sums", "s.star"} < {build.snapshot.name for build in plan.builds}


def test_declared_columns_count_with_their_types() -> None:
    def declared(**types: str):
        return tuple(Column(name=name, type=its_type) for name, its_type in types.items())

    system = System()
    system.apply(system.plan(project(FILE, columns=declared(id="INT", name="TEXT"))))
    wider = "id,name,n,x\n1,a,10,5\n2,b,20,6\n"
    plan = system.plan(project(wider, columns=declared(id="INT", name="TEXT", x="INT")))
    assert of_the_seed(plan) == (NB, "the seed's file adds x")
    plan = system.plan(project(wider, columns=declared(id="BIGINT", name="TEXT")))
    assert [(one.category, one.reason) for one in plan.changes if one.model == "s.seed"] == [
        (B, "the seed's id changed")
    ]


def test_other_settings_are_breaking() -> None:
    system = System()
    system.apply(system.plan(project(FILE)))
    plan = system.plan(project(FILE, CsvSettings(keep_default_na=False)))
    assert of_the_seed(plan) == (B, "csv_settings changed")


def test_a_view_that_becomes_materialized_touches_no_reader() -> None:
    def viewed(**kind: bool):
        return graph(
            model("s.t", "SELECT 1 AS a"),
            model("s.v", "SELECT a FROM s.t", View(**kind)),
            model("s.r", "SELECT a FROM s.v"),
        )

    system = System()
    assert limits(system.apply(system.plan(viewed())), "duckdb") == ()
    plan = system.plan(viewed(materialized=True))
    assert [(one.model, one.category, one.reason) for one in plan.changes if one.category is NB] == [
        ("s.v", NB, "storage only: materialized")
    ]
    assert {build.snapshot.name for build in plan.builds} == {"s.v"}
    (warning,) = limits(plan, "duckdb")
    assert "s.v" in warning
    assert "duckdb" in warning
