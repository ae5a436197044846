"""Conditions: a closed subset of SQL, computed without handing anything to Python."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.errors import MacroError
from isomesh_dagster.macros.conditions import evaluate, is_true


@pytest.mark.parametrize("dialect", ["duckdb", "bigquery", "tsql"])
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * -3", -9),
        ("7 / 2", 3.5),
        ("7 % 4", 3),
        ("-(-3)", 3),
        ("1e2", 100.0),
        ("'a' || 'b' || 1", "ab1"),
        ("'a' = 'a' AND NOT 1 = 2", True),
        ("1 = 2 OR 2 <> 3 AND 3 >= 3", True),
        ("'x' IN ('x', 'y')", True),
        ("'x' NOT IN ('x')", False),
        ("2 BETWEEN 1 AND 3 AND FALSE", False),
        ("2 NOT BETWEEN 3 AND 4", True),
        ("NULL IS NULL", True),
        ("0 IS NOT NULL", True),
        ("NULL = 'x'", False),
        ("NOT NULL", True),
        ("NULL + 1", None),
        ("'prod_eu' LIKE 'prod%'", True),
        ("'prod' NOT LIKE 'P_od'", True),
        ("'prod' ILIKE 'P_OD'", True),
        ("UPPER('a') = 'A'", True),
        ("COALESCE(NULL, 'b', 'c')", "b"),
        ("CONCAT('a', NULL, 1)", "a1"),
        ("LENGTH(TRIM(' ab ')) + ABS(-1)", 3),
        ("CASE WHEN 1 = 2 THEN 'a' WHEN TRUE THEN 'b' ELSE 'c' END", "b"),
        ("CASE 3 WHEN 1 THEN 'a' ELSE 'c' END", "c"),
        ("CASE WHEN FALSE THEN 1 END", None),
        ("CAST('5' AS INT) + '1'::INT", 6),
        ("CAST('2024-01-02' AS DATE) > CAST('2020-01-01' AS DATE)", True),
        ("CAST('2024-01-02' AS DATE)", date(2024, 1, 2)),
        ("CAST('2024-01-02 00:00:00+00:00' AS TIMESTAMPTZ)", datetime(2024, 1, 2, tzinfo=timezone.utc)),
        ("a.b = a.b", True),
        ("a = b", False),
        ("()", []),
        ("('a', 1)", ["a", 1]),
    ],
)
def test_values(text: str, expected: object, dialect: str) -> None:
    value = evaluate(text, dialect)
    assert value == expected
    assert type(value) is type(expected)


@given(st.recursive(st.sampled_from(["TRUE", "FALSE"]), lambda inner: st.one_of(
    inner.map(lambda text: f"NOT ({text})"),
    st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(" ".join),
)))  # fmt: skip
def test_logic_is_that_of_python(text: str) -> None:
    python = text.replace("TRUE", "True").replace("FALSE", "False")
    python = python.replace("NOT", "not").replace("AND", "and").replace("OR", "or")
    assert is_true(text, "duckdb") is bool(eval(python))


@pytest.mark.parametrize(
    "text",
    ["1 +", "(1", "f(1)", "1 2", "1 / 0", "1 < 'a'", "SELECT 1", "1 BETWEEN 2", "CAST(1 AS POINT)", "a.*", "@x", "?"],
)
def test_what_cannot_be_computed_is_told(text: str) -> None:
    with pytest.raises(MacroError, match="cannot compute"):
        evaluate(text, "duckdb")


@pytest.mark.parametrize("text", ["__import__('os')", "().__class__", "[x for x in y]", "lambda: 1", "exec('1')"])
def test_python_is_not_understood(text: str) -> None:
    with pytest.raises(MacroError):
        evaluate(text, "duckdb")


@pytest.mark.parametrize(
    ("text", "truth"),
    [
        ("TRUE", True),
        ("1", True),
        ("'no'", True),
        ("", False),
        ("NULL", False),
        ("0", False),
        ("''", False),
        ("(FALSE)", False),
    ],
)
def test_truth(text: str, truth: bool) -> None:
    assert is_true(text, "duckdb") is truth
