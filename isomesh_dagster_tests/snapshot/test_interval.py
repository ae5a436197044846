"""The algebra of intervals, as laws."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.snapshot.interval import Interval, from_ms, intersect, iso, merge, subtract, to_ms

points = st.integers(min_value=-50, max_value=50)
intervals = st.builds(lambda start, length: Interval(start, start + length), points, st.integers(1, 20))
sets = st.lists(intervals, max_size=8)


def moments(items):
    return {moment for item in items for moment in range(item.start, item.end)}


@given(sets)
def test_merge_keeps_moments_and_is_idempotent(items):
    merged = merge(items)
    assert moments(merged) == moments(items)
    assert merge(merged) == merged
    assert all(left.end < right.start for left, right in itertools.pairwise(merged))


@given(sets, sets)
def test_subtract_and_intersect_split_the_whole(whole, taken):
    rest, both = subtract(whole, taken), intersect(whole, taken)
    assert moments(rest) == moments(whole) - moments(taken)
    assert moments(both) == moments(whole) & moments(taken)
    assert merge([*rest, *both]) == merge(whole)


@given(sets, sets)
def test_results_are_merged(whole, taken):
    assert merge(subtract(whole, taken)) == subtract(whole, taken)


def test_an_empty_interval_is_refused():
    with pytest.raises(ValueError, match="ends after it starts"):
        Interval(5, 5)


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_moments_survive_the_round_trip(ms):
    assert to_ms(from_ms(ms)) == ms


def test_iso_is_utc_and_short():
    assert iso(0) == "1970-01-01T00:00:00Z"
    assert iso(1) == "1970-01-01T00:00:00.001Z"
    assert Interval(0, 86_400_000).iso() == ("1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z")
