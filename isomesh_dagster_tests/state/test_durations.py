"""What batches took is remembered, the latest of each model, as long as there is a model."""

from __future__ import annotations

import pytest

from isomesh_dagster.plan.expected import KEPT, Duration
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.state.store import SqlStateStore
from isomesh_dagster_tests.state.examples import at, plan, snapshot

ONE = snapshot("s.one")
PHYSICAL = str(ONE.physical)


def took(*seconds: float) -> list[Duration]:
    return [Duration(units=2, seconds=one) for one in seconds]


@pytest.fixture
def filled(store: SqlStateStore) -> SqlStateStore:
    store.open_plan(plan("p1", ONE), [ONE])
    return store


def test_the_latest_are_kept(filled: SqlStateStore) -> None:
    assert filled.durations([ONE.name]) == {}
    filled.add_intervals({PHYSICAL: [Interval(0, 10)]}, took={ONE.name: took(1.5, 2)})
    filled.add_intervals({PHYSICAL: [Interval(10, 20)]})
    assert filled.durations([ONE.name, "s.other"]) == {ONE.name: took(1.5, 2)}
    filled.add_intervals({PHYSICAL: [Interval(20, 30)]}, took={ONE.name: took(*range(KEPT))})
    assert filled.durations([ONE.name]) == {ONE.name: took(*range(KEPT))}


def test_what_is_not_recorded_takes_no_time(filled: SqlStateStore) -> None:
    with pytest.raises(Exception, match="owns"):
        filled.add_intervals({"no.table": [Interval(0, 1)]}, took={ONE.name: took(1)})
    assert filled.durations([ONE.name]) == {}


def test_they_go_with_the_last_snapshot_of_the_model(filled: SqlStateStore) -> None:
    filled.add_intervals({PHYSICAL: [Interval(0, 10)]}, took={ONE.name: took(1)})
    filled.close_plan("p1", "superseded")
    late = at(10_000)
    filled.forget(one.id for one in filled.mark_unreferenced(keep_promotions=0, older_than=late))
    filled.mark_unreferenced(keep_promotions=0, older_than=late)
    assert filled.durations([ONE.name]) == {}
