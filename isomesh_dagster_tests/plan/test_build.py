"""Steps from a decision: which reused tables are audited before they are shown."""

from __future__ import annotations

from isomesh_dagster.model.model import AuditCall
from isomesh_dagster.plan.explain import plan_json, plan_sections, plan_steps, summary
from isomesh_dagster_tests.plan.projects import System, graph, model

POSITIVE = AuditCall(name="positive", query="SELECT * FROM @this_model WHERE x <= 0", dialect="duckdb")
FILLED = AuditCall(name="filled", query="SELECT * FROM @this_model WHERE x IS NULL", dialect="duckdb")


def project(*audits: AuditCall, query: str = "SELECT 1 AS x", **properties: object):
    return graph(model("mart.m", query, audits=audits, **properties), model("mart.reader", "SELECT x FROM mart.m"))


def names(plan) -> list[str]:
    return [one.name for one in plan.audits]


def test_an_audit_that_is_new_runs_over_the_reused_table() -> None:
    system = System()
    assert not system.apply(system.plan(project())).audits, "what is built is audited with each batch"
    plan = system.plan(project(POSITIVE))
    assert names(plan) == ["mart.m"]
    assert not plan.builds
    assert "reuses 1 table without work, 1 of them after an audit" in summary(plan)
    assert plan_json(plan)["audits"] == ["mart.m"]
    (reused,) = [item for section in plan_sections(plan) if section.tone == "reuse" for item in section.items]
    assert (reused.name, reused.label) == ("mart.m", "1 audit")
    assert "Audit what is reused" in [section.title for section in plan_steps(plan)]
    assert not system.plan(project(POSITIVE, FILLED)).builds
    system.apply(plan)
    assert names(system.plan(project(POSITIVE, FILLED))) == ["mart.m"]


def test_audits_that_vouched_for_the_table_do_not_run_again() -> None:
    system = System()
    system.apply(system.plan(project(POSITIVE, FILLED)))
    assert not system.plan(project(POSITIVE, FILLED, owner="jo")).audits, "another property changed"
    assert not system.plan(project(FILLED)).audits, "one audit less"
    assert not system.plan(project(POSITIVE, FILLED), "dev").audits, "another environment"


def test_a_table_built_for_another_environment_is_audited_unless_it_was_shown_with_the_same_audits() -> None:
    system = System()
    system.apply(system.plan(project(query="SELECT 1 AS x")))
    system.apply(system.plan(project(query="SELECT 2 AS x"), "dev"))
    weaker = system.plan(project(query="SELECT 2 AS x"))
    assert not weaker.audits
    system.apply(system.plan(project(POSITIVE, query="SELECT 2 AS x"), "dev"))
    stronger = project(POSITIVE, query="SELECT 2 AS x")
    assert names(system.plan(stronger)) == ["mart.m"], "nobody vouches"
    assert not system.plan(stronger, vouched=system.shown("dev").values()).audits, "dev shows it with this audit"
