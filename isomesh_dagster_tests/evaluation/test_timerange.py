"""The condition on a time column: batches that touch share no row and lose none."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isomesh_dagster.errors import ModelError
from isomesh_dagster.evaluation.timerange import time_condition
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster_tests.factories import T0, days

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("column_type", "time_format", "expected"),
    [
        ("DATE", "", "\"t\" BETWEEN DATE '2020-01-01' AND DATE '2020-01-02'"),
        ("TIMESTAMP", "", "\"t\" >= TIMESTAMP '2020-01-01 00:00:00' AND \"t\" < TIMESTAMP '2020-01-03 00:00:00'"),
        (
            "TIMESTAMP WITH TIME ZONE",
            "",
            "\"t\" >= TIMESTAMPTZ '2020-01-01 00:00:00+00:00' AND \"t\" < TIMESTAMPTZ '2020-01-03 00:00:00+00:00'",
        ),
        ("VARCHAR", "%Y/%m/%d", "\"t\" BETWEEN '2020/01/01' AND '2020/01/02'"),
        ("INTEGER", "%Y%m%d", '"t" BETWEEN 20200101 AND 20200102'),
        ("BIGINT", "%Y-%m-%d", "\"t\" BETWEEN '2020-01-01' AND '2020-01-02'"),
    ],
)
def test_the_condition_for_a_type(column_type, time_format, expected):
    assert time_condition("t", column_type, time_format, days(0, 2)) == expected


@settings(max_examples=40)
@given(st.lists(st.integers(min_value=0, max_value=5 * 24), min_size=2, max_size=6, unique=True).map(sorted))
def test_touching_batches_split_timestamps_exactly(cuts):
    origin = days(0, 1).start
    start = T0.replace(tzinfo=None)
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE rows_ (t TIMESTAMP)")
        moments = [start + timedelta(minutes=30 * step) for step in range(2 * 5 * 24)]
        connection.executemany(
            "INSERT INTO rows_ VALUES (?)", [(moment,) for moment in moments[:: max(1, len(moments) // 60)]]
        )
        batches = [Interval(origin + a * HOUR, origin + b * HOUR) for a, b in pairwise(cuts)]
        whole = Interval(batches[0].start, batches[-1].end)
        count = "SELECT COUNT(*) FROM rows_ WHERE "
        parts = [
            connection.execute(count + time_condition("t", "TIMESTAMP", "", batch)).fetchone() for batch in batches
        ]
        total = connection.execute(count + time_condition("t", "TIMESTAMP", "", whole)).fetchone()
        assert total is not None
        assert sum(part[0] for part in parts if part) == total[0]


@pytest.mark.parametrize(
    ("column_type", "time_format", "written"),
    [
        ("VARCHAR", "%d.%m.%Y", "strftime(m, '%d.%m.%Y')"),
        ("VARCHAR", "%Y-%m-%-d", "strftime(m, '%Y-%m-%-d')"),
        ("VARCHAR", "%d/%m/%Y %H:%M", "strftime(m, '%d/%m/%Y %H:%M')"),
        ("BIGINT", "%d%m%Y", "CAST(strftime(m, '%d%m%Y') AS BIGINT)"),
        ("BIGINT", "%s", "CAST(epoch(m) AS BIGINT)"),
    ],
)
def test_text_that_does_not_sort_as_time_loses_no_row(column_type, time_format, written):
    condition = time_condition("t", column_type, time_format, days(28, 33))
    hours = "SELECT TIMESTAMP '2020-01-01' + INTERVAL (h) HOUR AS m FROM range(0, 24 * 60) AS r(h)"
    with duckdb.connect() as connection:
        found = connection.execute(
            f"SELECT COUNT(*), MIN(m), MAX(m) FROM (SELECT m, {written} AS t FROM ({hours})) WHERE {condition}"
        ).fetchone()
    first = T0.replace(tzinfo=None) + timedelta(days=28)
    assert found == (5 * 24, first, first + timedelta(days=5, hours=-1))


@pytest.mark.parametrize("time_format", ["%I:%M %p %d.%m.%Y", "%H:%M %d.%m.%Y", "%d.%m.%Y %M:%H"])
def test_text_that_sorts_not_even_within_a_day_is_refused(time_format):
    with pytest.raises(ModelError, match="does not sort as time does"):
        time_condition("t", "VARCHAR", time_format, days(0, 1))
