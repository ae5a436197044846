"""Write, audit, publish: what a blocking audit refuses was never there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isomesh_dagster.errors import AuditError, EngineError
from isomesh_dagster.execution.schedule import run_plan_steps
from isomesh_dagster.model import kinds
from isomesh_dagster.plan.plan import Audit
from isomesh_dagster.records.events import Built, Evaluated, Failed, Promoted
from isomesh_dagster.relation import Relation
from isomesh_dagster_tests.factories import System, audit, days, model, snapshots

POSITIVE = audit("positive", "SELECT * FROM @this_model WHERE x <= 0")
BY_DAY = kinds.IncrementalByTimeRange(time_column="ds")
DAYS = "SELECT CAST(x AS INT) AS x, DATE '2020-01-01' + CAST(x AS INT) AS ds FROM range(10) AS r(x)"


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        yield system


def refused(system, plan):
    """The events of an apply that an audit stops, and the error."""
    events = []
    with pytest.raises(AuditError) as caught:
        events.extend(collect(run_plan_steps(system.application(plan)), events))
    return events, caught.value


def collect(stream, events):
    for event in stream:
        events.append(event)
    return ()


def test_a_passing_audit_is_told_with_what_it_audited(system):
    shown = snapshots([model("mart.m", "SELECT 1 AS x", audits=(POSITIVE,))])
    events = system.apply(system.plan(shown))
    (built,) = [event for event in events if isinstance(event, Built)]
    assert [(one.audit, one.failing_rows, one.passed, one.interval) for one in built.audits] == [
        ("positive", 0, True, None)
    ]


def test_a_failed_blocking_audit_leaves_no_table(system):
    events, error = refused(system, system.plan(snapshots([model("mart.m", "SELECT 0 AS x", audits=(POSITIVE,))])))
    assert "audit positive found 1 row;" in str(error)
    assert error.model == "mart.m"
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert [(one.audit, one.failing_rows) for one in failed.audits] == [("positive", 1)]
    assert system.relations("isomesh__mart") == []
    assert system.rows("SELECT COUNT(*) FROM isomesh_meta.loaded") == [(0,)]
    assert system.state.environment("prod") is None


def test_a_failed_blocking_audit_leaves_the_old_rows_in_place(system):
    def outside(value):
        with system.connection.session() as session:
            session.create_schema("ext")
            session.replace_table(Relation(schema="ext", name="value"), f"SELECT {value} AS x")

    outside(1)
    shown = snapshots([model("mart.m", "SELECT x FROM ext.value", audits=(POSITIVE,))])
    system.apply(system.plan(shown))
    outside(-1)
    refused(system, system.plan(shown, batches={"mart.m": [days(0, 11)]}, restates=["mart.m"]))
    assert system.rows("SELECT x FROM mart.m") == [(1,)]
    outside(2)
    system.apply(system.plan(shown, batches={"mart.m": [days(0, 11)]}, restates=["mart.m"]))
    assert system.rows("SELECT x FROM mart.m") == [(2,)]


def test_only_the_batch_is_audited_and_rolled_back(system):
    under_five = audit("under_five", "SELECT * FROM @this_model AS t WHERE t.x >= @most", most="5")
    shown = snapshots([model("mart.daily", DAYS, BY_DAY, audits=(under_five,))])
    batches = {"mart.daily": [days(0, 3), days(3, 5), days(5, 7), days(7, 9)]}
    events, error = refused(system, system.plan(shown, batches=batches))
    assert "in 2020-01-06 → 2020-01-07;" in str(error)
    evaluated = [event for event in events if isinstance(event, Evaluated)]
    assert [event.interval for event in evaluated] == [days(0, 3), days(3, 5)]
    assert [event.audits[0].interval for event in evaluated] == [days(0, 3), days(3, 5)]
    physical = shown["mart.daily"].physical
    assert system.rows(f"SELECT COUNT(*), MAX(x) FROM {physical.sql}") == [(5, 4)]
    assert system.state.intervals([str(physical)])[str(physical)] == (days(0, 5),)


def test_a_non_blocking_audit_only_tells(system):
    warning = audit("positive", POSITIVE.query, blocking=False)
    events = system.apply(system.plan(snapshots([model("mart.m", "SELECT 0 AS x", audits=(warning,))])))
    (built,) = [event for event in events if isinstance(event, Built)]
    assert [(one.failing_rows, one.blocking) for one in built.audits] == [(1, False)]
    assert isinstance(events[-1], Promoted)


def test_all_audits_run_and_all_failures_are_told(system):
    negative = audit("negative", "SELECT * FROM @this_model WHERE x >= 0")
    warning = audit("warned", "SELECT * FROM @this_model", blocking=False)
    shown = snapshots([model("mart.m", "SELECT 0 AS x", audits=(warning, POSITIVE, negative))])
    events, error = refused(system, system.plan(shown))
    assert "audit positive found 1 row, audit negative found 1 row;" in str(error)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert [one.audit for one in failed.audits] == ["warned", "positive", "negative"]


def test_an_audit_may_read_other_models(system):
    """By their own names, which mean the tables of this plan and not what prod shows."""
    source = model("raw.source", "SELECT 1 AS id")
    orphan = audit(
        "orphans", "SELECT m.id FROM @this_model AS m LEFT JOIN raw.source AS s ON s.id = m.id WHERE s.id IS NULL"
    )
    shown = snapshots([source, model("mart.m", "SELECT source.id FROM raw.source", audits=(orphan,))])
    system.apply(system.plan(shown, "dev"))
    assert system.rows("SELECT id FROM mart__dev.m") == [(1,)]


def test_views_are_audited(system):
    refused(system, system.plan(snapshots([model("mart.v", "SELECT -1 AS x", kinds.View(), audits=(POSITIVE,))])))
    assert system.relations("isomesh__mart") == []


def test_an_audit_that_cannot_run_names_itself(system):
    broken = audit("broken", "SELECT no_such FROM @this_model")
    with pytest.raises(EngineError, match="audit broken cannot run"):
        system.apply(system.plan(snapshots([model("mart.m", "SELECT 1 AS x", audits=(broken,))])))
    assert system.relations("isomesh__mart") == []


def audited(system, shown, *names, environment="prod"):
    """The plan that shows `shown` and audits the tables of `names`, which are built."""
    plan = system.plan(shown, environment)
    return replace(plan, audits=tuple(Audit(snapshot=shown[name], interval=None) for name in names))


def with_audit(query, *, blocking=True):
    """The snapshots of one model, and those of the same model with an audit."""
    before = snapshots([model("mart.m", "SELECT 1 AS x")])
    after = snapshots([model("mart.m", "SELECT 1 AS x", audits=(audit("new", query, blocking=blocking),))])
    assert before["mart.m"].physical == after["mart.m"].physical
    return before, after


def test_a_new_audit_runs_over_rows_that_are_there(system):
    before, after = with_audit("SELECT * FROM @this_model WHERE x <= 0")
    system.apply(system.plan(before))
    events = system.apply(audited(system, after, "mart.m"))
    assert [type(event).__name__ for event in events] == ["Audited", "Promoted"]


def test_a_new_blocking_audit_stops_the_promotion_and_touches_no_row(system):
    before, after = with_audit("SELECT * FROM @this_model WHERE x > 0")
    first = system.plan(before)
    system.apply(first)
    plan = audited(system, after, "mart.m")
    events, error = refused(system, plan)
    assert "audit new found 1 row; its rows stay as they were" in str(error)
    (failed,) = events
    assert isinstance(failed, Failed)
    assert [one.audit for one in failed.audits] == ["new"]
    assert system.rows("SELECT x FROM mart.m") == [(1,)]
    assert system.state.environment("prod").plan_id == first.id
    # a driver that forgets to audit does not get past it either
    application = system.application(plan)
    application.begin()
    with pytest.raises(AuditError):
        application.promote()
    assert system.state.environment("prod").plan_id == first.id


def test_a_new_audit_that_does_not_block_only_warns(system):
    before, after = with_audit("SELECT * FROM @this_model WHERE x > 0", blocking=False)
    system.apply(system.plan(before))
    told, promoted = system.apply(audited(system, after, "mart.m"))
    assert (told.audit, told.passed) == ("new", False)
    assert isinstance(promoted, Promoted)
