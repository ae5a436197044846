"""What a model asks for and its warehouse does not have is told when it would matter, and not again."""

from __future__ import annotations

from isomesh_dagster.plan.limits import limits, settings
from isomesh_dagster_tests.plan.projects import System, graph, model


def test_nobody_is_granted_anything_where_there_are_no_users() -> None:
    system = System()
    granted = graph(model("s.m", "SELECT 1 AS a", grants={"select": ("reader",)}), model("s.n", "SELECT 1 AS a"))
    plan = system.apply(system.plan(granted))
    assert limits(plan, "duckdb") == ("s.m: nobody is granted anything, as duckdb has no users",)
    assert limits(plan, "postgres") == ()
    assert limits(system.plan(granted), "duckdb") == ()
    other = graph(model("s.m", "SELECT 1 AS a", grants={"select": ("other",)}), model("s.n", "SELECT 1 AS a"))
    changed = system.plan(other)
    assert changed.builds == ()
    assert len(limits(changed, "duckdb")) == 1


def test_settings_of_another_engine_are_left_out() -> None:
    system = System()
    given = {"TimeZone": "'UTC'", "spark.sql.shuffle": "1", "query_label": "'x'"}
    plan = system.apply(system.plan(graph(model("s.m", "SELECT 1 AS a", session_properties=given))))
    assert settings(plan) == {"TimeZone", "spark.sql.shuffle"}
    assert limits(plan, "duckdb", {"spark.sql.shuffle"}) == (
        "s.m: duckdb has no setting spark.sql.shuffle, so it is left out",
    )
