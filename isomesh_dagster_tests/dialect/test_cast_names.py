"""What a query only casts is called as what is cast."""

from __future__ import annotations

import duckdb
import pytest

from isomesh_dagster.dialect.cast_names import with_cast_names


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("SELECT a::INT FROM t", "SELECT a::INT AS a FROM t"),
        ("SELECT t.a::INT, b", "SELECT t.a::INT AS a, b"),
        ('SELECT t."My a"::DECIMAL(10, 2), b::INT[]', 'SELECT t."My a"::DECIMAL(10, 2) AS "My a", b::INT[] AS b'),
        ("SELECT a::TEXT::DOUBLE PRECISION FROM t", "SELECT a::TEXT::DOUBLE PRECISION AS a FROM t"),
        ("SELECT CAST(a AS STRUCT(x INT, y TEXT)), 1", "SELECT CAST(a AS STRUCT(x INT, y TEXT)) AS a, 1"),
        ("SELECT TRY_CAST(CAST(t.a AS TEXT) AS INT)", "SELECT TRY_CAST(CAST(t.a AS TEXT) AS INT) AS a"),
        ("SELECT DISTINCT a::INT", "SELECT DISTINCT a::INT AS a"),
        ("SELECT DISTINCT ON (b::INT) a::INT FROM t", "SELECT DISTINCT ON (b::INT) a::INT AS a FROM t"),
        ("SELECT * EXCEPT (a), a::INT -- the key\nFROM t", "SELECT * EXCEPT (a), a::INT AS a -- the key\nFROM t"),
        (
            "WITH c AS (SELECT a::INT FROM t) SELECT x.a FROM (SELECT c.a::TEXT FROM c) AS x",
            "WITH c AS (SELECT a::INT AS a FROM t) SELECT x.a FROM (SELECT c.a::TEXT AS a FROM c) AS x",
        ),
        ("SELECT a::INT UNION ALL SELECT b::INT", "SELECT a::INT AS a UNION ALL SELECT b::INT AS b"),
        ("SELECT a::TIMESTAMP WITH TIME ZONE", "SELECT a::TIMESTAMP WITH TIME ZONE AS a"),
        ("FROM t SELECT a::INT;", "FROM t SELECT a::INT AS a;"),
        *(
            (text, text)
            for text in (
                "SELECT a::INT AS b, a::INT c, CAST(a AS INT) d FROM t",
                "SELECT UPPER(a)::TEXT, a + b::INT, a::INT + 1, NULL::INT, 1::INT, 'x'::DATE, CAST(NULL AS INT)",
                "SELECT a FROM t WHERE a::INT > 1 GROUP BY a::INT ORDER BY a::INT",
                "SELECT COUNT(a::INT), [a::INT, b], CASE WHEN a::INT > 1 THEN b::INT END, '::', CURRENT_DATE::TEXT",
                "SELECT a:b::INT",
            )
        ),
    ],
)
def test_names(query: str, named: str) -> None:
    assert with_cast_names(query, "duckdb") == named
    assert with_cast_names(named, "duckdb") == named


def test_the_warehouse_reads_them() -> None:
    query = with_cast_names(
        "WITH c AS (SELECT t.a::TEXT, CAST(b AS TEXT) FROM t) SELECT a::INT, b FROM c WHERE a::INT = 1", "duckdb"
    )
    found = duckdb.connect().execute(f"WITH t AS (SELECT 1 AS a, 2 AS b) SELECT * FROM ({query})")
    assert [column[0] for column in found.description] == ["a", "b"]
    assert found.fetchall() == [(1, "2")]
