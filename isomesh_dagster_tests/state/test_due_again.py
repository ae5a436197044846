"""What was recorded once and is not any more is remembered until it is recorded again."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isomesh_dagster.snapshot.interval import Interval, merge, subtract
from isomesh_dagster.state.opening import open_state
from isomesh_dagster.state.store import SqlStateStore
from isomesh_dagster_tests.state.examples import plan, snapshot

ONE = snapshot("s.one")
PHYSICAL = str(ONE.physical)


@pytest.fixture
def filled(store: SqlStateStore) -> SqlStateStore:
    store.open_plan(plan("p1", ONE), [ONE])
    store.add_intervals({PHYSICAL: [Interval(0, 10)]})
    return store


def test_nothing_is_due_again_at_first(filled: SqlStateStore) -> None:
    assert filled.due_again([PHYSICAL]) == {}


def test_what_is_replaced_by_less_is_due_again_until_it_is_recorded(filled: SqlStateStore) -> None:
    filled.add_intervals({PHYSICAL: [Interval(0, 3), Interval(5, 10)]}, replace=True)
    assert filled.due_again([PHYSICAL, "x.y"]) == {PHYSICAL: (Interval(3, 5),)}
    filled.add_intervals({PHYSICAL: []}, replace=True)
    assert filled.intervals([PHYSICAL]) == {}
    assert filled.due_again([PHYSICAL]) == {PHYSICAL: (Interval(0, 10),)}
    filled.add_intervals({PHYSICAL: [Interval(4, 12)]})
    assert filled.due_again([PHYSICAL]) == {PHYSICAL: (Interval(0, 4),)}


def test_snapshots_are_found_by_model(filled: SqlStateStore) -> None:
    assert filled.snapshots_named([ONE.name, "s.other"]) == [ONE]
    assert filled.snapshots_named(["s.other"]) == []


INTERVALS = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 5)).map(lambda pair: Interval(pair[0], pair[0] + pair[1])), max_size=4
)


@given(st.lists(st.tuples(INTERVALS, st.booleans()), max_size=6))
@settings(max_examples=25)
def test_nothing_that_was_ever_recorded_is_lost(steps) -> None:
    with open_state(":memory:") as store:
        store.open_plan(plan("p1", ONE), [ONE])
        ever: tuple[Interval, ...] = ()
        for added, replace in steps:
            store.add_intervals({PHYSICAL: added}, replace=replace)
            ever = merge([*ever, *added])
        now = store.intervals([PHYSICAL]).get(PHYSICAL, ())
        assert store.due_again([PHYSICAL]).get(PHYSICAL, ()) == subtract(ever, now)
