"""Values are compared, not types; rows as a multiset unless order was asked for."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from random import Random
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.unit_tests.comparison import Table, compare, same

UTC = timezone.utc
NOON = datetime.combine(date(2024, 1, 1), time(12))  # without a zone


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (None, None),
        (1, Decimal("1.00")),
        ("1", 1),
        ("007", 7),
        (1, True),
        ("true", True),
        (0.1 + 0.2, 0.3),
        (0.333333, 1 / 3),
        (float("nan"), float("nan")),
        ("2024-01-01", date(2024, 1, 1)),
        (date(2024, 1, 1), "2024-01-01"),
        (date(2024, 1, 1), NOON - timedelta(hours=12)),
        ("2024-01-01T10:00:00Z", datetime(2024, 1, 1, 10, tzinfo=UTC)),
        ("2024-01-01 12:00:00+02", datetime(2024, 1, 1, 10, tzinfo=UTC)),
        ("2024-01-01 10:00:00.5", NOON - timedelta(hours=1, minutes=59, seconds=59, milliseconds=500)),
        (NOON, datetime(2024, 1, 1, 12, tzinfo=UTC)),
        ("10:30:00", time(10, 30)),
        ([1, [2.0]], (1, [2])),
        ({"a": 1}, {"a": 1, "b": None}),
        ({"a": ["2024-01-01"]}, {"a": [date(2024, 1, 1)]}),
        ({"a": [1, 2]}, '{"a": [1, 2]}'),
        ("6f1c1d3e-0000-4000-8000-000000000000", UUID("6f1c1d3e-0000-4000-8000-000000000000")),
        ("abc", b"abc"),
        ("00ff", b"\x00\xff"),
    ],
)
def test_the_same_value_in_other_types(expected: object, actual: object) -> None:
    assert same(expected, actual)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (None, 0),
        (0, None),
        (None, ""),
        (None, float("nan")),
        (1, 2),
        (1.0, 1.001),
        (2**60, 2**60 + 1),
        ("a", "A"),
        ("x", 1),
        ("2024-01-01", date(2024, 1, 2)),
        ("yesterday", date(2024, 1, 2)),
        ("10:00:00", time(10, 30)),
        ([1], [1, 2]),
        ([1, 2], [2, 1]),
        ({"a": 1}, {"a": None}),
        ({"a": 1}, [1]),
        ({"a": 1}, "text"),
    ],
)
def test_other_values(expected: object, actual: object) -> None:
    assert not same(expected, actual)


def table(columns: str, *rows: tuple[object, ...]) -> Table:
    return Table(columns=tuple(columns.split()), rows=rows)


ROWS = st.lists(st.tuples(st.none() | st.integers(0, 3), st.sampled_from("ab") | st.none()), max_size=6)


@given(ROWS, st.randoms(use_true_random=False))
def test_order_does_not_matter_and_counts_do(rows: list[tuple[object, ...]], random: Random) -> None:
    shuffled = random.sample(rows, len(rows))
    assert compare(table("n t", *rows), table("n t", *shuffled)) is None
    found = compare(table("n t", *rows, (9, "z")), table("n t", *shuffled))
    assert found is not None
    assert (len(found.rows), found.equal) == (1, len(rows))
    extra = compare(table("n t", *rows), table("n t", *shuffled, (9, "z")))
    assert extra is not None
    assert extra.rows[0].expected is None


def test_order_matters_when_it_was_asked_for() -> None:
    one, other = table("n", (1,), (2,), (3,)), table("n", (1,), (3,), (2,))
    assert compare(one, other) is None
    found = compare(one, other, ordered=True)
    assert found is not None
    assert [(pair.expected, pair.actual) for pair in found.rows] == [((2,), (3,)), ((3,), (2,))]


def test_a_row_is_shown_beside_the_one_most_like_it() -> None:
    found = compare(
        table("id name n", (1, "a", 1), (2, "b", 1), (3, "c", 1)),
        table("id name n", (3, "c", 2), (2, "b", 1), (1, "a", 9)),
    )
    assert found is not None
    assert found.equal == 1
    assert {(pair.expected, pair.actual, pair.differing) for pair in found.rows} == {
        ((1, "a", 1), (1, "a", 9), (2,)),
        ((3, "c", 1), (3, "c", 2), (2,)),
    }


def test_columns_that_are_not_given_are_null_or_do_not_count() -> None:
    expected, actual = table("ID", (1,)), table("name id", ("a", 1))
    assert compare(expected, actual, partial=True) is None
    assert compare(expected, table("name id", (None, 1))) is None
    found = compare(expected, actual)
    assert found is not None
    assert found.columns == ("name", "id")
    assert found.rows[0].differing == (0,)


def test_a_column_that_is_not_there() -> None:
    found = compare(table("id total", (1, 2)), table("id sum", (1, 2)), partial=True)
    assert found is not None
    assert (found.missing, found.actual, found.rows) == (("total",), ("id", "sum"), ())
