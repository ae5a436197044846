"""Batches of one table written at once: the same rows, nobody else between, and nothing lost when it ends early."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from isomesh_dagster.engine.postgres_statements import lock_number
from isomesh_dagster.errors import AuditError, EngineError, PlanError
from isomesh_dagster.evaluation.timerange import are_disjoint
from isomesh_dagster.evaluation.together import Budget, most_together
from isomesh_dagster.execution.schedule import run_plan_steps
from isomesh_dagster.model import kinds
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.events import Evaluated, Failed
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster_tests.factories import DAY, System, audit, days, model, snapshots

NUMBERS = model("raw.numbers", "SELECT x, DATE '2020-01-01' + CAST(x AS INT) AS ds FROM generate_series(0, 5) AS r(x)")
KIND = kinds.IncrementalByTimeRange(time_column="ds", batch_size=1, batch_concurrency=3)
DAILY = model("mart.daily", "SELECT ds, x FROM raw.numbers WHERE ds BETWEEN @start_ds AND @end_ds", KIND)
BATCHES = {"mart.daily": [days(day, day + 1) for day in range(6)]}
ALL = [(0,), (1,), (2,), (3,), (4,), (5,)]
PATIENCE = 120
HOUR = DAY // 24


@pytest.fixture
def system(tmp_path, postgres):
    with System(tmp_path, postgres) as system:
        system.apply(system.plan(snapshots([NUMBERS])))
        yield system


def project(**more):
    return snapshots([NUMBERS, replace(DAILY, **more)])


def apply(system, checkpoint: Callable[[str], None] = lambda name: None, **more):
    """The days that were written, in the order in which they were done."""
    plan = system.plan(project(**more), batches=BATCHES)
    events = system.apply(plan, tasks=3, checkpoint=checkpoint)
    return [event.interval for event in events if isinstance(event, Evaluated) and event.model == "mart.daily"]


def shown(system):
    return sorted(system.rows("SELECT x FROM mart.daily"))


def loaded(system):
    with system.connection.session() as session:
        return warehouse.intervals(warehouse.loaded_of(session, str(project()["mart.daily"].physical)))


class Meeting:
    """A checkpoint at which three batches must be at once, each with its rows written and not committed, before any of
    them goes on; `then` is called by one of them. The first batch, which is alone, passes.
    """

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self._barrier = threading.Barrier(3, action=then)
        self._lock = threading.Lock()
        self._arrived = 0

    def __call__(self, name: str) -> None:
        if name != "written":
            return
        with self._lock:
            self._arrived += 1
            meets = 2 <= self._arrived <= 4
        if meets:
            self._barrier.wait(PATIENCE)


def test_batches_meet_inside_their_transactions_and_nobody_else_gets_between(system):
    claim = str(project()["mart.daily"].physical)
    seen = []

    def look():
        with system.connection.session() as session, session.transaction():
            names = (claim, f"lead {claim}", "something else")
            seen.append(
                [session.fetch("SELECT pg_try_advisory_xact_lock(?)", (lock_number(name),))[0][0] for name in names]
            )

    written = apply(system, Meeting(look))
    assert seen == [[False, False, True]]
    assert sorted(written) == BATCHES["mart.daily"]
    assert shown(system) == ALL
    assert loaded(system) == (days(0, 6),)
    assert system.state.intervals([claim]) == {claim: (days(0, 6),)}
    assert apply(system) == []


def test_what_was_one_record_is_written_again_in_parts_at_once(system):
    system.apply(system.plan(project(), batches={"mart.daily": [days(0, 6)]}))
    plan = system.plan(project(), batches=BATCHES, restates=["mart.daily"])
    system.apply(plan, tasks=3, checkpoint=Meeting())
    assert shown(system) == ALL
    assert loaded(system) == (days(0, 6),)
    records = system.rows("SELECT COUNT(*), SUM(rows) FROM isomesh_meta.loaded WHERE physical LIKE '%daily%'")
    assert records == [(6, 6)]


def test_one_batch_fails_and_the_others_stay(system):
    refuses = audit("no_four", "SELECT * FROM @this_model WHERE x = 4")
    with pytest.raises(AuditError):
        apply(system, audits=(refuses,))
    there = {row[0] for row in system.rows(f"SELECT x FROM {project()['mart.daily'].physical}")}
    assert there == {moment.start // DAY - days(0, 1).start // DAY for moment in per_day(loaded(system))}
    assert 4 not in there
    apply(system)
    assert shown(system) == ALL


def test_of_two_batches_that_fail_the_error_and_the_audits_are_of_one(system):
    refuses = audit("neither", "SELECT * FROM @this_model WHERE x IN (2, 3)")
    events = []
    application = system.application(system.plan(project(audits=(refuses,)), batches=BATCHES), tasks=3)
    with pytest.raises(AuditError):
        events.extend(run_plan_steps(application, 2))
    (failed,) = [event for event in events if isinstance(event, Failed)]
    (told,) = [one.interval for one in failed.audits]
    first = {days(2, 3): "2020-01-03", days(3, 4): "2020-01-04"}  # whichever failed first
    assert [date for date in first.values() if date in str(failed.error)] == [first[told]]


def per_day(intervals):
    return [Interval(start, start + DAY) for one in intervals for start in range(one.start, one.end, DAY)]


def test_without_its_lead_no_batch_is_written(system):
    def end_the_lead():
        lead = f"lead {project()['mart.daily'].physical}"
        with system.connection.session() as session, session.transaction():
            session.fetch(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = ? AND granted",
                (lock_number(lead) & 0xFFFFFFFF,),
            )
            session.claim(lead)  # the server takes a moment to end it

    # those three held their claim while the lead was there: they end well, and no other begins
    with pytest.raises(EngineError, match="leads the batches of this table is gone"):
        apply(system, Meeting(end_the_lead))
    assert len(per_day(loaded(system))) == 4
    apply(system)
    assert shown(system) == ALL


def test_interrupted_no_other_batch_begins(system):
    application = None

    def interrupt():
        application.interrupt()

    application = system.application(system.plan(project(), batches=BATCHES), tasks=3, checkpoint=Meeting(interrupt))
    # a statement that had just begun is cancelled, else the next batch does not begin
    with pytest.raises((PlanError, EngineError), match=r"stopped between two batches|canceling statement"):
        list(run_plan_steps(application, 2))
    assert 1 <= len(per_day(loaded(system))) <= 4
    apply(system)
    assert shown(system) == ALL


def test_killed_in_the_middle_nothing_is_lost_or_doubled(tmp_path, postgres):
    with System(tmp_path, postgres) as system:
        system.apply(system.plan(snapshots([NUMBERS])))
    child = os.fork()
    if child == 0:
        try:
            with System(tmp_path, postgres) as system:
                apply(system, Meeting(lambda: os.kill(os.getpid(), signal.SIGKILL)))
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    with System(tmp_path, postgres) as system:
        assert loaded(system) == (days(0, 1),)
        assert len(apply(system, Meeting())) == 5
        assert shown(system) == ALL
        assert loaded(system) == (days(0, 6),)


def test_on_duckdb_they_come_one_after_the_other(tmp_path):
    with System(tmp_path) as system:
        events = system.apply(system.plan(project(), batches=BATCHES), tasks=3)
        assert [one.interval for one in events if isinstance(one, Evaluated)][1:] == BATCHES["mart.daily"]
        assert shown(system) == ALL


# ---- which may be ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "most"),
    [
        ({}, 3),
        ({"kind": replace(KIND, batch_concurrency=None)}, 1),
        ({"pre_statements": ("SET x = 1",)}, 1),
        ({"post_statements": ("CREATE INDEX i ON t (x)",)}, 1),
        ({"query": "SELECT * FROM @this_model"}, 1),
        ({"query": "SELECT * FROM @THIS_MODEL"}, 1),
        ({"depends_on": ("raw.numbers", "mart.daily")}, 1),
        ({"kind": kinds.IncrementalByUniqueKey(unique_key=("x",), batch_size=1)}, 1),
    ],
)
def test_only_batches_that_cannot_tell_the_order_are_written_at_once(more, most):
    assert most_together(replace(DAILY, **more)) == most


def test_rows_of_two_batches_are_apart_where_the_column_tells_them_apart():
    hours = [Interval(hour * HOUR, (hour + 1) * HOUR) for hour in range(30)]
    whole = [Interval(day * DAY, (day + 1) * DAY) for day in range(30, 34)]
    for kind, form in [("timestamp without time zone", ""), ("TIMESTAMP", ""), ("text", "%Y-%m-%d %H")]:
        assert are_disjoint(kind, form, hours)
    assert not are_disjoint("date", "", hours)
    assert not are_disjoint("text", "%Y-%m-%d", hours)
    assert are_disjoint("date", "", whole)
    assert are_disjoint("integer", "%Y%m%d", whole)
    assert not are_disjoint("text", "%Y-%m", whole[1:])
    assert not are_disjoint("date", "", [whole[1], whole[0]])


def test_steps_come_before_batches_of_one_step():
    budget = Budget(2)
    budget.enter()
    assert budget.one_more()
    assert not budget.one_more()
    budget.enter()  # another step is never refused
    budget.leave()
    assert not budget.one_more()
    budget.leave()
    assert budget.one_more()
