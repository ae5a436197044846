"""What is due, in which batches, and when the clock next makes something due: measured cases, and laws."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.model import cron
from isomesh_dagster.model.cron import infer_interval_unit as infer_unit
from isomesh_dagster.model.kinds import Full, IncrementalByTimeRange, Seed, View
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.cadence import cadence, due_builds, next_tick
from isomesh_dagster.plan.missing import batches, due_end, missing, starts
from isomesh_dagster.snapshot.environment import Environment, Target
from isomesh_dagster.snapshot.interval import Interval, from_ms, intersect, merge, subtract, to_ms
from isomesh_dagster_tests import factories
from isomesh_dagster_tests.plan.projects import graph, model

HOUR = 3_600_000


def at(text: str) -> int:
    """Epoch milliseconds of a moment in UTC."""
    return to_ms(datetime.fromisoformat(text).replace(tzinfo=timezone.utc))


def timed(
    name: str = "s.m", *, cron: str = "@daily", unit: str | None = None, query: str = "SELECT 1 AS ds", **more: Any
) -> Model:
    """A time-range model; its unit is that of its cron unless it is given, `lookback` and `batch_size` are its
    kind's.
    """
    kind = {key: more.pop(key) for key in ("lookback", "batch_size") if key in more}
    return model(
        name,
        query,
        IncrementalByTimeRange(time_column="ds", **kind),
        cron=cron,
        interval_unit=unit or infer_unit(cron),
        **{"start": "2026-11-15", **more},
    )


def due(one: Model, now: int, recorded: tuple[Interval, ...] = ()) -> list[tuple[str, str]]:
    """What is due of one model, as moments to the minute."""
    snapshots = factories.snapshots([one])
    found = {str(snapshots[one.name].physical): recorded} if recorded else {}
    steps = due_builds(graph(one), snapshots, found, now)
    return [tuple(from_ms(moment).strftime("%m-%d %H:%M") for moment in (each.start, each.end))
            for step in steps for each in step.intervals]  # fmt: skip


NOW = at("2026-11-19T10:30:00")


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, [("11-15 00:00", "11-19 00:00")]),
        ({"cron": "@hourly", "start": "2026-11-18"}, [("11-18 00:00", "11-19 10:00")]),
        ({"cron": "@weekly", "start": "2026-11-01"}, [("11-01 00:00", "11-15 00:00")]),
        ({"cron": "@monthly", "start": "2026-09-01"}, [("09-01 00:00", "11-01 00:00")]),
        ({"allow_partials": True}, [("11-15 00:00", "11-19 00:00")]),
        ({"cron": "@hourly", "unit": "day", "allow_partials": True}, [("11-15 00:00", "11-19 10:00")]),
        ({"cron": "0 12 * * *"}, [("11-15 00:00", "11-18 00:00")]),
        ({"cron": "0 6 * * *"}, [("11-15 00:00", "11-19 00:00")]),
        ({"cron": "0 5 * * *", "cron_tz": "America/Los_Angeles"}, [("11-15 00:00", "11-18 00:00")]),
        ({"unit": "hour"}, [("11-15 00:00", "11-19 00:00")]),
        ({"cron": "*/15 * * * *", "start": "2026-11-19"}, [("11-19 00:00", "11-19 10:30")]),
        ({"end": "2026-11-16"}, [("11-15 00:00", "11-17 00:00")]),
        ({"end": "2026-11-10", "start": "2026-11-01"}, [("11-01 00:00", "11-11 00:00")]),
        ({"start": "2026-11-25"}, []),
        ({"start": "3 days ago"}, [("11-16 00:00", "11-19 00:00")]),
        ({"start": "2026-11-15 07:20:00", "cron": "@hourly", "end": "2026-11-15"}, [("11-15 07:00", "11-16 00:00")]),
    ],
)
def test_what_is_due_on_a_thursday_morning(properties: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert due(timed(**properties), NOW) == expected


def test_lookback_comes_with_something_missing_only() -> None:
    one = timed(lookback=2)
    assert due(one, NOW, (Interval(at("2026-11-15"), at("2026-11-18")),)) == [("11-16 00:00", "11-19 00:00")]
    assert due(one, NOW, (Interval(at("2026-11-15"), at("2026-11-19")),)) == []
    assert due(timed(lookback=9), NOW, (Interval(at("2026-11-15"), at("2026-11-18")),)) == [
        ("11-15 00:00", "11-19 00:00")
    ]


def test_a_model_made_whole_is_due_once_for_each_tick() -> None:
    one = model("s.whole", "SELECT 1 AS a", Full(), start="2026-11-15")
    done = (Interval(at("2026-11-15"), at("2026-11-18")),)
    assert due(one, NOW, done) == [("11-15 00:00", "11-19 00:00")]
    assert due(one, NOW, (Interval(at("2026-11-15"), at("2026-11-19")),)) == []


def test_seeds_and_views_are_not_due_by_the_clock_once_they_are_made() -> None:
    for kind in (Seed(path="s.csv", content_hash=""), View()):
        one = model("s.m", "SELECT 1 AS a", kind, start="2026-11-15")
        assert due(one, NOW)
        assert due(one, NOW, (Interval(at("2026-11-15"), at("2026-11-16")),)) == []


def test_a_view_whose_text_depends_on_when_it_is_rendered_is_due_at_each_tick() -> None:
    one = model("s.m", "SELECT @execution_ds AS a", View(), start="2026-11-15", is_dynamic=True)
    assert due(one, NOW, (Interval(at("2026-11-15"), at("2026-11-18")),)) == [("11-15 00:00", "11-19 00:00")]
    assert due(one, NOW, (Interval(at("2026-11-15"), at("2026-11-19")),)) == []


@pytest.mark.parametrize(
    ("properties", "expected"),
    [
        ({}, "2026-11-20T00:00:00"),
        ({"cron": "@hourly"}, "2026-11-19T11:00:00"),
        ({"cron": "@weekly"}, "2026-11-22T00:00:00"),
        ({"cron": "0 9 * * 1-5"}, "2026-11-20T09:00:00"),
        ({"cron": "0 5 * * *", "cron_tz": "America/Los_Angeles"}, "2026-11-19T13:00:00"),
        ({"start": "2026-11-25"}, "2026-11-26T00:00:00"),
        ({"end": "2026-11-16"}, None),
        ({"end": "2026-11-19"}, "2026-11-20T00:00:00"),
        ({"end": "yesterday", "start": "2026-11-01"}, "2026-11-20T00:00:00"),
    ],
)
def test_the_next_tick(properties: dict[str, Any], expected: str | None) -> None:
    one = timed(**properties)
    found = next_tick(graph(one), factories.snapshots([one]), {}, NOW)
    assert found == (None if expected is None else at(expected))


def test_a_tick_that_gives_no_whole_unit_is_not_the_next() -> None:
    # clocks go forward on 2026-03-29: the ticks of that night are 23 hours apart and end in one UTC day
    one = timed(cron="30 1 * * *", cron_tz="Europe/Berlin", start="2026-03-01")
    found = next_tick(graph(one), factories.snapshots([one]), {}, at("2026-03-29T00:45:00"))
    assert found == at("2026-03-30T23:30:00")


def test_the_cadence_of_several_models() -> None:
    parent = timed("s.a", cron="@hourly", start="2026-11-19", query="SELECT 1 AS ds")
    child = timed("s.b", query="SELECT ds FROM s.a")
    snapshots = factories.snapshots([parent, child])
    recorded = {str(snapshots["s.a"].physical): (Interval(at("2026-11-19"), at("2026-11-19T10:00:00")),)}
    shown = Environment(name="dev", plan_id="p", number=1, target=Target(), promoted_at=from_ms(NOW))
    found = cadence(shown, graph(parent, child), snapshots, recorded, NOW)
    assert [(one.model, [str(each) for each in one.intervals]) for one in found.due] == [
        ("s.b", ["[2026-11-15T00:00:00Z, 2026-11-19T00:00:00Z)"])
    ]
    assert found.next_tick == datetime(2026, 11, 19, 11, tzinfo=timezone.utc)


# --- laws

CRONS = ("@daily", "@hourly", "@weekly", "@monthly", "*/15 * * * *", "0 6 * * *", "30 7 * * 1-5", "0 */6 * * *")
ZONES = ("UTC", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata")
moments = st.integers(at("2025-01-01"), at("2027-01-01"))


@st.composite
def models(draw: st.DrawFn) -> Model:
    more: dict[str, Any] = {"start": "2026-01-01", "cron_tz": draw(st.sampled_from(ZONES))}
    if draw(st.booleans()):
        more["batch_size"] = draw(st.integers(1, 40))
    if draw(st.booleans()):
        more["lookback"] = draw(st.integers(1, 5))
    if draw(st.booleans()):
        more["end"] = draw(st.sampled_from(("2026-03-01", "2026-06-15", "2027-01-01")))
    return timed(cron=draw(st.sampled_from(CRONS)), allow_partials=draw(st.booleans()), **more)


@st.composite
def recordings(draw: st.DrawFn, one: Model) -> tuple[Interval, ...]:
    """Whole units of the year, here and there."""
    begin = at("2026-01-01")
    found = []
    for first, length in draw(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 60)), max_size=4)):
        start = cron.unit_add(one.interval_unit, begin, first)
        found.append(Interval(start, cron.unit_add(one.interval_unit, start, length)))
    return merge(found)


@given(st.data(), models(), moments)
def test_what_is_missing_and_what_is_recorded_make_the_range(data: st.DataObject, one: Model, now: int) -> None:
    recorded = data.draw(recordings(one))
    start, end = starts(graph(one), now)[one.name], due_end(one, now)
    gaps = missing(one, recorded, start=start, end=end)
    whole = (Interval(start, end),) if end > start else ()
    assert merge([*gaps, *intersect(recorded, whole)]) == whole
    assert subtract(gaps, whole) == ()
    if not subtract(whole, recorded):
        assert gaps == ()
    if not one.kind.lookback and not one.allow_partials:  # type: ignore[union-attr]
        assert intersect(gaps, recorded) == ()


@given(st.data(), models(), moments)
def test_batches_are_the_gaps_cut_at_whole_units(data: st.DataObject, one: Model, now: int) -> None:
    gaps = missing(one, data.draw(recordings(one)), start=at("2026-01-01"), end=due_end(one, now))
    cut = batches(one, gaps)
    assert merge(cut) == gaps
    assert all(left.end <= right.start for left, right in itertools.pairwise(cut))
    assert all(not subtract([piece], gaps) for piece in cut)
    size = one.kind.batch_size  # type: ignore[union-attr]
    unit = one.interval_unit
    ends = {gap.end for gap in gaps}
    for piece in cut:
        assert piece.start == cron.unit_floor(unit, piece.start)
        assert piece.end in ends or piece.end == cron.unit_floor(unit, piece.end)
        assert size is None or cron.unit_add(unit, piece.start, size) >= piece.end


@given(models(), moments, st.integers(0, 40 * 24 * HOUR))
def test_what_is_due_stays_due_as_time_goes_on(one: Model, now: int, passed: int) -> None:
    assert due_end(one, now) <= due_end(one, now + passed)
    assert due_end(one, now) <= now


@given(models(), moments)
def test_nothing_becomes_due_before_the_next_tick_and_something_does_at_it(one: Model, now: int) -> None:
    shown = factories.snapshots([one])
    tick = next_tick(graph(one), shown, {}, now)
    begin = starts(graph(one), now)[one.name]
    if tick is None:
        assert due_end(one, now) == due_end(one, now + 4 * 366 * 24 * HOUR)
        return
    assert tick > now
    assert max(due_end(one, tick - 1), begin) == max(due_end(one, now), begin)
    assert due_end(one, tick) > max(due_end(one, now), begin)


@given(st.data(), models(), moments)
def test_nothing_is_due_after_what_was_due_is_built(data: st.DataObject, one: Model, now: int) -> None:
    shown = factories.snapshots([one])
    physical = str(shown[one.name].physical)
    before = data.draw(recordings(one))
    built = [each for step in due_builds(graph(one), shown, {physical: before}, now) for each in step.batches]
    after = {physical: merge([*before, *built])}
    assert due_builds(graph(one), shown, after, now) == ()
