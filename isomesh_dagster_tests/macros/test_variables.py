"""Time variables: nine forms for each moment, ends written inclusive."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.macros.values import Fragment
from isomesh_dagster.macros.variables import RANGE_VARIABLES, RUNTIME_VARIABLES, TIME_VARIABLES, time_variables

DAY = 86_400_000
JANUARY_2 = 1_704_153_600_000  # 2024-01-02T00:00Z


def test_every_form_of_a_day() -> None:
    values = time_variables("duckdb", start=JANUARY_2, end=JANUARY_2 + DAY, execution=JANUARY_2 + 3_723_004)
    assert {name: value for name, value in values.items() if name.startswith("end_")} == {
        "end_dt": "CAST('2024-01-02 23:59:59.999999+00:00' AS TIMESTAMPTZ)",
        "end_dtntz": "CAST('2024-01-02 23:59:59.999999' AS TIMESTAMP)",
        "end_date": "CAST('2024-01-02' AS DATE)",
        "end_ds": "2024-01-02",
        "end_ts": "2024-01-02 23:59:59.999999",
        "end_tstz": "2024-01-02 23:59:59.999999+00:00",
        "end_hour": 23,
        "end_epoch": 1704239999.999,
        "end_millis": 1704239999999,
    }
    assert (values["start_ds"], values["start_ts"]) == ("2024-01-02", "2024-01-02 00:00:00")
    assert (values["start_epoch"], values["start_hour"]) == (1704153600.0, 0)
    assert values["execution_ts"] == "2024-01-02 01:02:03.004000"
    assert values["latest_millis"] == values["execution_millis"] == JANUARY_2 + 3_723_004
    assert {name for name, value in values.items() if isinstance(value, Fragment)} == {
        f"{prefix}_{form}" for prefix in ("start", "end", "execution", "latest") for form in ("dt", "dtntz", "date")
    }


@pytest.mark.parametrize(
    ("dialect", "aware", "naive"),
    [
        ("postgres", "TIMESTAMPTZ", "TIMESTAMP"),
        ("bigquery", "TIMESTAMP", "DATETIME"),
        ("snowflake", "TIMESTAMPTZ", "TIMESTAMPNTZ"),
        ("spark", "TIMESTAMP", "TIMESTAMP_NTZ"),
        ("tsql", "DATETIMEOFFSET", "DATETIME2"),
    ],
)
def test_types_are_those_of_the_dialect(dialect: str, aware: str, naive: str) -> None:
    values = time_variables(dialect, start=0, end=DAY, execution=0)
    assert values["start_dt"] == f"CAST('1970-01-01 00:00:00+00:00' AS {aware})"
    assert values["start_dtntz"] == f"CAST('1970-01-01 00:00:00' AS {naive})"


@given(st.integers(0, 4_000_000_000_000), st.integers(1, 10 * DAY))
def test_the_end_is_the_last_moment_of_the_range(start: int, length: int) -> None:
    values = time_variables("duckdb", start=start, end=start + length, execution=start)
    following = time_variables("duckdb", start=start + length, end=start + length + 1, execution=start)
    assert str(values["start_ts"]) < str(values["end_ts"])
    assert str(values["end_ts"])[:26] < str(following["start_ts"]).ljust(26, ".")
    assert values["end_millis"] == start + length - 1


def test_every_form_of_every_moment_is_there() -> None:
    assert set(time_variables("duckdb", start=0, end=1, execution=0)) == TIME_VARIABLES
    assert len(TIME_VARIABLES) == 2 * len(RANGE_VARIABLES) == 36
    assert {"this_model", "runtime_stage", "start_ds"} < RUNTIME_VARIABLES


def test_the_answer_may_be_changed_by_its_owner() -> None:
    time_variables("duckdb", start=0, end=1, execution=0).clear()
    assert time_variables("duckdb", start=0, end=1, execution=0)
