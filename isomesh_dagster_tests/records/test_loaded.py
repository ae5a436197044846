"""What the warehouse records of a relation stays small however long it lives, and says the same."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.model import kinds
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.events import Evaluated
from isomesh_dagster.records.warehouse import MOST_RECORDS, Loaded, intervals, joined
from isomesh_dagster_tests.factories import System, days, model, snapshots

KIND = kinds.IncrementalByTimeRange(time_column="ds")
DAILY = model("mart.daily", "SELECT CAST(@start_ds AS DATE) AS ds", KIND)
SHOWN = snapshots([DAILY])
PHYSICAL = str(SHOWN["mart.daily"].physical)
RECORDS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(1, 2), st.sampled_from("abc"), st.none() | st.integers(0, 9)), max_size=8
)


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        yield system


def run(system, day, shown=SHOWN, **more):
    """What a run of this day writes."""
    plan = system.plan(shown, batches={"mart.daily": [days(day, day + 1)]}, promote=False, **more)
    return [one for one in system.apply(plan) if isinstance(one, Evaluated)]


def loaded(system):
    with system.connection.session() as session:
        return warehouse.loaded_of(session, PHYSICAL)


@given(RECORDS, st.sets(st.sampled_from("abc")))
def test_joined_records_say_the_same(given_records, done):
    records, end = [], 0
    for gap, length, plan_id, rows in given_records:
        records.append(Loaded(start=end + gap, end=end + gap + length, plan_id=plan_id, rows=rows))
        end += gap + length
    result = joined(reversed(records), done)
    assert joined(result, done) == result
    assert intervals(result) == intervals(records)
    for plan_id in {"a", "b", "c"} - done:
        assert intervals(one for one in result if one.plan_id == plan_id) == intervals(
            one for one in records if one.plan_id == plan_id
        )
    for left, right in pairwise(result):
        assert left.end < right.start or left.plan_id != right.plan_id
    if all(one.rows is not None for one in records):
        assert sum(one.rows for one in result) == sum(one.rows for one in records)


def test_that_a_table_was_made_while_nothing_was_due_is_a_record_of_its_own():
    empty = Loaded(start=0, end=0, plan_id="a", rows=None)
    first = Loaded(start=0, end=5, plan_id="a", rows=1)
    assert joined([empty, first], ()) == [empty, first]


def test_the_records_of_many_runs_are_few(system):
    system.apply(system.plan(SHOWN, batches={"mart.daily": [days(0, 1)]}))
    most = 0
    for day in range(1, 3 * MOST_RECORDS):
        assert len(run(system, day)) == 1
        most = max(most, len(loaded(system)))
    assert most == MOST_RECORDS
    records = loaded(system)
    assert records[0].plan_id == ""
    assert intervals(records) == (days(0, 3 * MOST_RECORDS),)
    assert system.rows("SELECT COUNT(*), COUNT(DISTINCT ds) FROM mart.daily") == [(3 * MOST_RECORDS,) * 2]
    assert run(system, 5) == [], "it counts as built"


def test_one_plan_of_many_batches_leaves_one_record_and_is_known_to_have_made_it(system):
    batches = [days(day, day + 1) for day in range(3 * MOST_RECORDS + 1)]
    shown = snapshots([replace(DAILY, kind=replace(KIND, batch_size=1))])
    plan = system.plan(shown, batches={"mart.daily": batches}, restates=["mart.daily"])
    assert len([one for one in system.apply(plan) if isinstance(one, Evaluated)]) == len(batches)
    ((count, rows),) = system.rows("SELECT COUNT(*), SUM(rows) FROM isomesh_meta.loaded")
    assert count <= MOST_RECORDS + 1
    assert rows == len(batches)
    assert [one for one in system.apply(plan) if isinstance(one, Evaluated)] == []


def test_what_a_plan_that_is_not_done_has_made_again_is_not_forgotten(system):
    """Another run joins records beside those of a restatement that was interrupted: its own stay its own."""
    system.apply(system.plan(SHOWN, batches={"mart.daily": [days(0, 1)]}))
    again = system.plan(SHOWN, batches={"mart.daily": [days(0, 1), days(1, 2)]}, restates=["mart.daily"], promote=False)
    application = system.application(again)
    application.begin()
    stream = application.build(again.builds[0])
    assert isinstance(next(stream), Evaluated)
    stream.close()
    application.finish()
    for day in range(2, 2 * MOST_RECORDS):
        run(system, day)
    assert len(loaded(system)) <= MOST_RECORDS + 2
    mine = [one for one in loaded(system) if one.plan_id == again.id]
    assert intervals(mine) == (days(0, 1),)
    written = [one.interval for one in system.apply(again) if isinstance(one, Evaluated)]
    assert written == [days(1, 2)]
