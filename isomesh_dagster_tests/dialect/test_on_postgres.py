"""What is written in another dialect gives on Postgres the rows that its own engine documents.

`on_postgres.txt` has a question a line: the dialect, the query, the rows it gives. They read the table `t`, whose
columns are known by the names of types in that dialect.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from datetime import date, datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from isomesh_dagster.dialect.query import transpile
from isomesh_dagster.errors import UnsupportedError
from isomesh_dagster.relation import Column
from isomesh_dagster_tests.postgres_server import PostgresServer

TABLE = """
CREATE TABLE t (
    a int, b int, x double precision, d numeric(10, 2), s text, s2 text, day date, at timestamp, atz timestamptz,
    j jsonb, n int, flag boolean, arr int[], big bigint
);
INSERT INTO t VALUES
    (7, 2, 2.5, 1.25, 'Abc', NULL, '2026-11-20', '2026-11-20 23:30', '2026-11-20 23:30+00',
     '{"who": {"name": "ann"}, "tags": ["x", "y"], "n": 5, "z": null}', NULL, true, '{10, 20, 30}', 9000000000),
    (-7, 2, -2.5, -0.5, 'abd', '', '2026-11-22', '2026-11-22 00:15', '2026-11-22 00:15+00',
     NULL, 3, false, '{1}', 1)
"""
TYPES = {
    "a": "INT",
    "b": "INT",
    "x": "DOUBLE",
    "d": "DECIMAL(10, 2)",
    "s": "TEXT",
    "s2": "TEXT",
    "day": "DATE",
    "at": "TIMESTAMP",
    "atz": "TIMESTAMPTZ",
    "j": "JSON",
    "n": "INT",
    "flag": "BOOLEAN",
    "arr": "INT[]",
    "big": "BIGINT",
}
_SPARK = {"s": "STRING", "s2": "STRING", "at": "TIMESTAMP_NTZ", "atz": "TIMESTAMP", "j": "STRING", "arr": "ARRAY<INT>"}
_WHOLE = dict.fromkeys(("a", "b", "n", "big"), "INT64")
_BIGQUERY = {"x": "FLOAT64", "d": "NUMERIC", "at": "DATETIME", "atz": "TIMESTAMP", "arr": "ARRAY<INT64>"}
OWN_TYPES = {
    "bigquery": {**_WHOLE, **_BIGQUERY, "s": "STRING", "s2": "STRING", "flag": "BOOL"},
    "snowflake": {"at": "TIMESTAMP_NTZ", "atz": "TIMESTAMP_TZ", "j": "VARIANT", "arr": "ARRAY", "d": "NUMBER(10, 2)"},
    "tsql": {"s": "VARCHAR(50)", "at": "DATETIME2", "atz": "DATETIMEOFFSET", "flag": "BIT", "x": "FLOAT"},
    "spark": _SPARK,
    "databricks": _SPARK,
    "mysql": {"at": "DATETIME", "atz": "TIMESTAMP", "flag": "TINYINT"},
    "redshift": {"x": "DOUBLE PRECISION", "j": "SUPER", "arr": "SUPER"},
    "trino": {"atz": "TIMESTAMP WITH TIME ZONE", "s": "VARCHAR", "s2": "VARCHAR", "arr": "ARRAY(INTEGER)"},
}
NEEDS_16 = re.compile("subquery in FROM must have an alias|function any_value|VALUES in FROM must have an alias")
NAMES = {"date": date, "datetime": datetime, "Decimal": Decimal}
QUESTIONS: dict[str, list[tuple[str, Any]]] = {}
for _line in Path(__file__).with_name("on_postgres.txt").read_text().splitlines():
    _asked, _, _given = _line.rpartition(" => ")
    _dialect, _, _sql = _asked.partition(" | ")
    QUESTIONS.setdefault(_dialect, []).append((_sql, eval(_given, NAMES)))


@pytest.fixture(scope="module")
def cursor(postgres_server: PostgresServer) -> Iterator[Any]:
    with postgres_server.database() as place, closing(psycopg2.connect(**place, options="-c TimeZone=UTC")) as opened:
        opened.autocommit = True
        cursor = opened.cursor()
        cursor.execute(TABLE)
        yield cursor


def words(sql: str, dialect: str) -> str:
    types = {**TYPES, **OWN_TYPES.get(dialect, {})}
    is_upper = dialect == "snowflake"
    columns = tuple(Column(name=name.upper() if is_upper else name, type=type_) for name, type_ in types.items())
    return transpile(sql, dialect, "postgres", schema=lambda: {"T" if is_upper else "t": columns})


def value(given: Any) -> Any:
    """A moment without its zone, a float as far as it is sure; whether it is a date or a truth is told apart."""
    if isinstance(given, datetime) and given.tzinfo is not None:
        given = given.astimezone(timezone.utc).replace(tzinfo=None)
    if isinstance(given, (float, Decimal)):
        given = round(float(given), 6)
    return (isinstance(given, (bool, datetime)), given)


def rows(given: Any) -> list[list[Any]]:
    return [[value(one) for one in row] for row in given]


@pytest.mark.parametrize("dialect", sorted(QUESTIONS))
def test_rows_are_those_of_the_dialect(dialect: str, cursor: Any) -> None:
    for sql, given in QUESTIONS[dialect]:
        written = words(sql, dialect)
        try:
            cursor.execute(written)
        except psycopg2.ProgrammingError as error:
            if cursor.connection.server_version < 160_000 and NEEDS_16.search(str(error)):
                continue
            raise
        assert rows(cursor.fetchall()) == rows(given), f"{sql}\n{written}"


@pytest.mark.parametrize(
    ("dialect", "sql"),
    [
        ("duckdb", "SELECT a FROM t ASOF JOIN u ON a >= z"),
        ("duckdb", "SELECT a FROM t JOIN u USING (a) ANTI JOIN v USING (a)"),
        ("snowflake", "SELECT * EXCLUDE (a) FROM t"),
        ("duckdb", "SELECT *, COUNT(*) FROM t GROUP BY ALL"),
        ("duckdb", "SELECT FORMAT('{}', a) FROM t"),
    ],
)
def test_what_would_be_read_as_something_else_is_told(dialect: str, sql: str) -> None:
    with pytest.raises(UnsupportedError, match="postgres cannot say this: "):
        words(sql, dialect)


def test_types_keep_their_size(cursor: Any) -> None:
    for sql, dialect in (("1::FLOAT", "snowflake"), ("CAST(1 AS FLOAT)", "tsql"), ("CAST(1 AS FLOAT64)", "bigquery")):
        cursor.execute(f"SELECT pg_typeof(q) FROM ({words(f'SELECT {sql} AS q', dialect)}) AS one")
        assert cursor.fetchall() == [("double precision",)]
