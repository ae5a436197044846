"""Intervals that are due: whole units, or parts of the last one where a model allows them."""

from __future__ import annotations

from isomesh_dagster.model.kinds import IncrementalByTimeRange
from isomesh_dagster.plan.missing import due_end, missing
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster_tests.plan.projects import DAY, NOW, model

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
