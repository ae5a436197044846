"""What an expression means by the types of its operands is kept in another dialect."""

from datetime import date, datetime

import duckdb
import pytest

from isomesh_dagster.dialect.query import transpile
from isomesh_dagster.relation import Column

WHOLE = (Column(name="a", type="INT"), Column(name="b", type="INT"), Column(name="x", type="DOUBLE"))
DAYS = (Column(name="DAY", type="DATE"), Column(name="AT", type="TIMESTAMP_NTZ"))


def rows(text: str, dialect: str, columns: tuple[Column, ...], table: str) -> object:
    """What DuckDB answers to `text`, written in `dialect`, where the columns of t are known."""
    made = duckdb.connect()
    made.execute(f"CREATE TABLE t AS {table}")
    name = "T" if dialect == "snowflake" else "t"
    return made.execute(transpile(text, dialect, "duckdb", schema=lambda: {name: columns})).fetchall()


@pytest.mark.parametrize("dialect", ["postgres", "redshift", "trino", "tsql"])
@pytest.mark.parametrize(
    ("text", "given"),
    [
        ("SELECT a / b FROM t", [(-3,)]),
        ("SELECT a / x FROM t", [(-1.75,)]),
        ("SELECT SUM(a) / COUNT(*) FROM t", [(-7,)]),
        ("SELECT c.half FROM (SELECT o.a / 2 AS half FROM t AS o) AS c", [(-3,)]),
        ("WITH c AS (SELECT a AS n, b FROM t) SELECT n / b FROM c", [(-3,)]),
        ("SELECT t.a / other.n FROM t CROSS JOIN (SELECT 2 AS n) AS other", [(-3,)]),
        ("SELECT a / unheard FROM (SELECT a, x AS unheard FROM t) AS c", [(-1.75,)]),
    ],
)
def test_whole_numbers_are_divided_as_the_dialect_divides(dialect: str, text: str, given: object) -> None:
    assert rows(text, dialect, WHOLE, "SELECT -7 AS a, 2 AS b, 4.0::DOUBLE AS x") == given


def test_an_alias_of_the_same_select_has_the_type_of_its_expression() -> None:
    given = rows("SELECT a + 1 AS n, n / b AS half FROM t", "redshift", WHOLE, "SELECT 6 AS a, 2 AS b, 1.0 AS x")
    assert given == [(7, 3)]


def test_a_date_stays_a_date_where_it_does_in_the_dialect() -> None:
    text = "SELECT DATEADD(day, 1, day), DATE_TRUNC('month', day), DATEADD(day, 1, at) FROM t"
    given = rows(text, "snowflake", DAYS, "SELECT DATE '2026-11-20' AS day, TIMESTAMP '2026-11-20 06:00:00' AS at")
    assert given == [(date(2026, 11, 21), date(2026, 11, 1), datetime(2026, 11, 21, 6))]


def test_what_cannot_be_resolved_is_translated_all_the_same() -> None:
    assert transpile("SELECT unheard / b FROM u JOIN v USING (id)", "postgres", "duckdb").startswith("SELECT unheard /")


def test_texts_are_joined_where_the_dialect_adds_them() -> None:
    columns = (Column(name="a", type="VARCHAR(10)"), Column(name="n", type="INT"))
    text = "SELECT [a] + '-' + CAST([n] AS VARCHAR(5)) + a AS s, n + 1 AS m FROM t"
    assert rows(text, "tsql", columns, "SELECT 'x' AS a, 7 AS n") == [("x-7x", 8)]
