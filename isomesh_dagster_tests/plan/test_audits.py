"""Audits that run over tables which are not built: new ones, and those that read what was built."""

from __future__ import annotations

from isomesh_dagster.model.kinds import IncrementalByTimeRange
from isomesh_dagster.model.model import AuditCall
from isomesh_dagster_tests.plan.projects import System, graph, model

BY_DAY = IncrementalByTimeRange(time_column="ds")
POSITIVE = AuditCall(name="positive", query="SELECT * FROM @this_model WHERE x <= 0")
KNOWN = AuditCall(name="known", query="SELECT * FROM @this_model WHERE x NOT IN (SELECT x FROM s.others)")


def project(audits=(), reads=(), others="SELECT 1 AS x", **more):
    query = "SELECT 1 AS x, CAST('2023-12-30' AS DATE) AS ds"
    return graph(model("s.m", query, audits=audits, audit_reads=reads, **more), model("s.others", others))


def steps(plan):
    return [(step.snapshot.name, step.interval) for step in plan.audits]


def test_a_new_audit_runs_over_what_is_built_and_is_no_build():
    system = System()
    assert steps(system.apply(system.plan(project()))) == []
    plan = system.plan(project((POSITIVE,)))
    assert steps(plan) == [("s.m", None)]
    assert not plan.builds
    assert not plan.is_empty
    system.apply(plan)
    assert system.plan(project((POSITIVE,))).is_empty


def test_an_audit_that_goes_and_other_metadata_run_nothing():
    system = System()
    assert steps(system.apply(system.plan(project((POSITIVE,))))) == []  # the build runs it
    assert steps(system.apply(system.plan(project((POSITIVE,), owner="me")))) == []
    assert steps(system.plan(project())) == []


def test_a_table_of_intervals_is_audited_from_its_first_to_its_last():
    system = System()
    (done,) = system.apply(system.plan(project(kind=BY_DAY))).builds[0].intervals
    assert steps(system.plan(project((POSITIVE,), kind=BY_DAY))) == [("s.m", done)]


def test_an_audit_runs_when_what_it_reads_is_built():
    system = System()
    first = system.apply(system.plan(project((KNOWN,), ("s.others",))))
    assert [step.snapshot.name for step in first.builds] == ["s.others", "s.m"]
    plan = system.plan(project((KNOWN,), ("s.others",), others="SELECT 2 AS x"))
    assert [step.snapshot.name for step in plan.builds] == ["s.others"]
    assert steps(plan) == [("s.m", None)]
    assert {change.model for change in plan.changes} == {"s.others"}  # no row of s.m can change by it


def test_a_table_of_another_environment_is_audited_unless_it_was_shown_with_these_audits():
    def other(*audits):
        return graph(model("s.m", "SELECT 2 AS x", audits=audits), model("s.others", "SELECT 1 AS x"))

    system = System()
    system.apply(system.plan(project((POSITIVE,))))
    system.apply(system.plan(other(), "dev"))
    assert steps(system.plan(other(POSITIVE))) == [("s.m", None)]  # prod had it, but not over this table
    system.apply(system.plan(other(POSITIVE), "dev"))
    assert steps(system.plan(other(POSITIVE))) == [("s.m", None)]
    assert steps(system.plan(other(POSITIVE), vouched=system.shown("dev").values())) == []
    assert steps(system.plan(other(POSITIVE), "dev")) == []


def test_an_audit_runs_again_when_a_variable_it_mentions_changes():
    below = AuditCall(name="below", query="SELECT * FROM @this_model WHERE x > @highest")
    system = System()
    system.apply(system.plan(project((below,), variables={"highest": 5, "other": 1})))
    assert system.plan(project((below,), variables={"highest": 5, "other": 2})).is_empty
    plan = system.plan(project((below,), variables={"highest": 6}))
    assert steps(plan) == [("s.m", None)]
    assert not plan.builds
    system.apply(plan)
    assert system.plan(project((below,), variables={"highest": 6})).is_empty
