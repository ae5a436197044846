"""Intervals that are due: whole units, or parts of the last one where a model allows them."""

from __future__ import annotations

from isomesh_dagster.model.kinds import IncrementalByTimeRange, IncrementalUnmanaged
from isomesh_dagster.plan.missing import due_end, limited, missing
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster_tests.plan.projects import DAY, NOW, System, graph, model

HOUR = DAY // 24


def daily(**more):
    return model("s.m", "SELECT 1 AS ds", IncrementalByTimeRange(time_column="ds"), interval_unit="day", **more)


def test_only_whole_units_are_due():
    assert due_end(daily(cron="@hourly"), NOW + 10 * HOUR + 5) == NOW
    assert due_end(daily(cron="@daily"), NOW + 10 * HOUR + 5) == NOW


def test_a_partial_unit_is_due_up_to_the_last_tick():
    partial = daily(cron="@hourly", allow_partials=True)
    assert due_end(partial, NOW + 10 * HOUR + 5) == NOW + 10 * HOUR
    assert due_end(daily(cron="@daily", allow_partials=True), NOW + 10 * HOUR) == NOW
    assert due_end(daily(cron="@hourly", allow_partials=True, end="2023-12-31"), NOW + HOUR) == NOW


def test_a_unit_that_was_partial_is_built_again_from_its_beginning():
    partial = daily(cron="@hourly", allow_partials=True)
    start, recorded = NOW - DAY, [Interval(NOW - DAY, NOW + 10 * HOUR)]
    assert missing(partial, recorded, start=start, end=NOW + 10 * HOUR) == ()
    assert missing(partial, recorded, start=start, end=NOW + 11 * HOUR) == (Interval(NOW, NOW + 11 * HOUR),)
    assert missing(partial, recorded, start=start, end=NOW + DAY) == (Interval(NOW, NOW + DAY),)


def test_a_range_that_is_asked_for_is_built_in_whole_units():
    due = (Interval(NOW - 3 * DAY, NOW + 6 * HOUR),)  # what is due may end within a unit, as the model's `end` does
    asked = [Interval(NOW - 2 * DAY + 5 * HOUR, NOW - DAY + 7 * HOUR)]
    assert limited(daily(), due, asked) == (Interval(NOW - 2 * DAY, NOW - DAY),)
    assert limited(daily(allow_partials=True), due, asked) == tuple(asked)
    assert limited(daily(), due, [Interval(NOW - 5 * HOUR, NOW - HOUR)]) == ()
    assert limited(daily(), due, [Interval(NOW - DAY, NOW + 9 * HOUR)]) == (Interval(NOW - DAY, NOW + 6 * HOUR),)


def test_a_new_model_beside_one_that_stopped_within_its_unit_ends_with_a_whole_unit():
    query = "SELECT id, ds FROM raw.e"
    hourly = model("s.h", query, IncrementalByTimeRange(time_column="ds"), cron="@hourly", interval_unit="hour")
    system = System()
    system.apply(system.plan(graph(hourly), now=NOW + 13 * HOUR))
    added = graph(hourly, model("s.d", query, IncrementalUnmanaged()))
    (step,) = system.plan(added, now=NOW + 3 * DAY).builds
    assert step.intervals == (Interval(NOW - 2 * DAY, NOW),)


def test_a_clock_that_was_set_back_makes_no_table_again():
    one = graph(model("s.whole", "SELECT 1 AS a"), daily())
    system = System()
    system.apply(system.plan(one, now=NOW + DAY))
    for now in (NOW, NOW - 2 * DAY, NOW - 400 * DAY, 0):
        for environment in ("prod", "dev"):  # they share their tables
            assert system.plan(one, environment, now=now).builds == ()
