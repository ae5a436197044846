"""Stars written out, and left alone where a list of names would be another query."""

from __future__ import annotations

import pytest

from isomesh_dagster.dialect.stars import written_out


def fixed(sql: str, names: list[str], dialect: str = "duckdb") -> str | None:
    found = written_out(sql, dialect, names)
    return None if found is None else sql[: found[0]] + found[2] + sql[found[1] :]


@pytest.mark.parametrize(
    ("sql", "names", "expected"),
    [
        ("SELECT * FROM t", ["a", "b"], "SELECT a, b FROM t"),
        ("SELECT DISTINCT * FROM t WHERE x * 2 > 1", ["a"], "SELECT DISTINCT a FROM t WHERE x * 2 > 1"),
        ("SELECT\n  *\nFROM t", ["a", "b"], "SELECT\n  a,\n  b\nFROM t"),
        ("WITH c AS (SELECT * FROM t) SELECT * FROM c", ["a"], "WITH c AS (SELECT * FROM t) SELECT a FROM c"),
        ("SELECT * FROM t", ["my col", "select"], 'SELECT "my col", "select" FROM t'),
        ("SELECT * FROM t -- all *", ["a"], "SELECT a FROM t -- all *"),
    ],
)
def test_the_columns_stand_where_the_star_stood(sql: str, names: list[str], expected: str) -> None:
    assert fixed(sql, names) == expected


@pytest.mark.parametrize(
    ("sql", "names"),
    [
        ("SELECT *, 1 AS b FROM t", ["a", "b"]),
        ("SELECT t.* FROM t", ["a"]),
        ("SELECT * EXCLUDE (b) FROM t", ["a"]),
        ("SELECT * FROM t UNION ALL SELECT * FROM u", ["a"]),
        ("SELECT COUNT(*) FROM t", ["a"]),
        ("SELECT * FROM t JOIN u ON t.a = u.a", ["a", "a"]),
        ("SELECT * FROM t", []),
        ("FROM t", ["a"]),
        ("SELECT 'open FROM t", ["a"]),
    ],
)
def test_what_is_more_than_a_star_is_left_alone(sql: str, names: list[str]) -> None:
    assert fixed(sql, names) is None


def test_a_name_keeps_what_the_dialect_makes_of_it() -> None:
    assert fixed("SELECT * FROM t", ["ID"], "snowflake") == "SELECT ID FROM t"
