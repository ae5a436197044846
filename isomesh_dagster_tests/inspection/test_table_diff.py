"""Comparing tables on a real DuckDB: what is counted, shown and told; counts as by hand on random tables."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from typing import Any, cast

import psycopg2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isomesh_dagster.config.connections import DuckDBConnection, PostgresConnection
from isomesh_dagster.engine import open_connection
from isomesh_dagster.engine.connection import Connection
from isomesh_dagster.errors import EngineError, PlanError
from isomesh_dagster.inspection.row_comparison import compare_tables
from isomesh_dagster.inspection.table_diff import (
    ColumnChange,
    ColumnMatch,
    OneSided,
    Pair,
    Question,
    RowCounts,
    RowPair,
    SameTable,
    Side,
    TableDiff,
    shown_pairs,
)
from isomesh_dagster.inspection.table_diff_words import comparison_json, comparisons_markdown, verdict
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import Environment
from isomesh_dagster_tests.factories import T0, model, snapshots, target
from isomesh_dagster_tests.postgres_server import connected


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Connection]:
    connection = open_connection(DuckDBConnection(), timeout=20)
    with connection.session() as session:
        session.create_schema("a")
        session.create_schema("b")
    yield connection
    connection.close()


def write(connection: Connection, schema: str, columns: str, rows: Sequence[str]) -> None:
    """Table `schema.t` with these columns and rows, both as SQL text."""
    with connection.session() as session:
        session.execute(f"CREATE OR REPLACE TABLE {schema}.t ({columns})")
        if rows:
            session.execute(f"INSERT INTO {schema}.t VALUES {', '.join(rows)}")


PAIR = Pair(
    model=None,
    source=Side(name="prod", relation=Relation.parse("a.t")),
    target=Side(name="dev", relation=Relation.parse("b.t")),
    grain=("id",),
)


def compared(connection: Connection, pair: Pair = PAIR, **question: Any) -> TableDiff:
    result = compare_tables(connection, pair, Question(**question))
    assert isinstance(result, TableDiff)
    with connection.session() as session:
        assert session.fetch("SELECT table_name FROM duckdb_tables() WHERE temporary") == []
    return result


@pytest.fixture
def orders(warehouse: Connection) -> Connection:
    """Orders 1 and NULL are equal, 2 differs in two columns, 3 is only in prod, 4 and 5 are only in dev."""
    old = ["(1, 'a', 1.5, DATE '2024-01-01')", "(2, 'b', 2.5, NULL)", "(3, 'c', 0, NULL)", "(NULL, NULL, NULL, NULL)"]
    new = [
        "(1, 'a', 1.50004, '2024-01-01', 7)",
        "(2, 'B', NULL, NULL, 7)",
        "(4, 'x|y', 1, NULL, 7)",
        "(5, NULL, 1e300, NULL, 7)",
        "(NULL, NULL, NULL, NULL, 7)",
    ]
    write(warehouse, "a", "id INTEGER, name VARCHAR, amount DOUBLE, day DATE", old)
    write(warehouse, "b", "ID BIGINT, name VARCHAR, amount DOUBLE, day VARCHAR, extra INTEGER", new)
    return warehouse


def test_rows_are_paired_by_key_and_counted(orders: Connection) -> None:
    diff = compared(orders)
    assert diff.key == ("id",)
    assert diff.compared == ("id", "name", "amount", "day")
    assert diff.rows == RowCounts(source=4, target=5, full=2, partial=1, source_only=1, target_only=2)
    assert diff.changes == (
        ColumnChange(name="id", source="INTEGER", target="BIGINT"),
        ColumnChange(name="day", source="DATE", target="VARCHAR"),
        ColumnChange(name="extra", source=None, target="INTEGER"),
    )
    assert diff.matches == (
        ColumnMatch(name="name", equal=2, compared=3),
        ColumnMatch(name="amount", equal=2, compared=3),
        ColumnMatch(name="day", equal=3, compared=3),
    )
    assert diff.pairs == (RowPair(source=(2, "b", 2.5, None), target=(2, "B", None, None), columns=("name", "amount")),)
    assert diff.source_only == ((3, "c", 0.0, None),)
    assert diff.target_only == ((4, "x|y", 1.0, None), (5, None, 1e300, None))
    assert diff.repeated == (0, 0)


def test_floats_are_compared_after_rounding(orders: Connection) -> None:
    assert compared(orders, decimals=5).rows.full == 1
    assert compared(orders, decimals=0).rows.full == 2


def test_a_number_beside_a_float_is_rounded_too(warehouse: Connection) -> None:
    write(warehouse, "a", "id INTEGER, v DOUBLE", ["(1, 1.2346)", "(2, 1.2346)", "(3, NULL)"])
    write(warehouse, "b", "id INTEGER, v DECIMAL(18, 4)", ["(1, 1.2346)", "(2, 1.2366)", "(3, NULL)"])
    diff = compared(warehouse)
    assert diff.rows == RowCounts(source=3, target=3, full=2, partial=1, source_only=0, target_only=0)
    assert diff.pairs == (RowPair(source=(2, 1.235), target=(2, 1.237), columns=("v",)),)


def test_columns_can_be_skipped_and_rows_limited(orders: Connection) -> None:
    diff = compared(orders, skip=("Name", "amount"), where="id < 4 -- not the new ones")
    assert diff.compared == ("id", "day")
    assert diff.rows == RowCounts(source=3, target=2, full=2, partial=0, source_only=1, target_only=0)
    assert diff.target_only == ()


def test_samples_are_the_first_rows_by_key(orders: Connection) -> None:
    diff = compared(orders, sample=1)
    assert diff.target_only == ((4, "x|y", 1.0, None),)
    assert diff.rows.target_only == 2
    assert compared(orders, sample=0).pairs == ()


def test_a_key_of_several_columns_may_hold_null(warehouse: Connection) -> None:
    write(warehouse, "a", "x INTEGER, y VARCHAR, v INTEGER", ["(1, NULL, 1)", "(NULL, NULL, 2)", "(1, 'b', 3)"])
    write(warehouse, "b", "x INTEGER, y VARCHAR, v INTEGER", ["(1, NULL, 9)", "(NULL, NULL, 2)", "(2, 'b', 3)"])
    diff = compared(warehouse, on=("Y", "x"))
    assert diff.key == ("y", "x")
    assert diff.rows == RowCounts(source=3, target=3, full=1, partial=1, source_only=1, target_only=1)
    assert diff.pairs == (RowPair(source=(None, 1, 1), target=(None, 1, 9), columns=("v",)),)


def test_without_a_key_rows_are_compared_whole(warehouse: Connection) -> None:
    write(warehouse, "a", "x INTEGER, y INTEGER", ["(1, 1)", "(1, 1)", "(1, 1)", "(2, 2)"])
    write(warehouse, "b", "x INTEGER, y INTEGER", ["(1, 1)", "(2, 3)"])
    diff = compared(warehouse)  # the grain is a column that is not there
    assert diff.key == ()
    assert diff.rows == RowCounts(source=4, target=2, full=1, partial=0, source_only=3, target_only=1)
    assert diff.matches == ()
    assert diff.source_only == ((1, 1), (2, 2))


def test_repeated_keys_are_paired_and_told(warehouse: Connection) -> None:
    write(warehouse, "a", "id INTEGER, v INTEGER", ["(1, 1)", "(1, 1)", "(1, 2)", "(2, 5)", *["(3, 3)"] * 12])
    write(warehouse, "b", "id INTEGER, v INTEGER", ["(1, 1)", "(1, 7)", "(2, 5)"])
    diff = compared(warehouse)
    assert diff.repeated == (2, 1)
    assert diff.rows == RowCounts(source=16, target=3, full=2, partial=1, source_only=13, target_only=0)
    assert diff.pairs == (RowPair(source=(1, 1), target=(1, 7), columns=("v",)),)
    assert diff.source_only == ((1, 2), *[(3, 3)] * 12)


def test_columns_of_every_type_are_compared(warehouse: Connection) -> None:
    columns = (
        "id INTEGER, j JSON, l INTEGER[], s STRUCT(a INTEGER), m MAP(VARCHAR, INTEGER), b BLOB, t BOOLEAN, u UUID,"
        " i INTERVAL"
    )
    row = "({}, '{{}}', [1], {{'a': 1}}, map {{'a': {}}}, 'a'::BLOB, true, uuid(), INTERVAL 1 DAY)"
    write(warehouse, "a", columns, [row.format(1, 1), row.format(2, 2)])
    with warehouse.session() as session:
        session.execute("CREATE OR REPLACE TABLE b.t AS FROM a.t")
        session.execute("UPDATE b.t SET m = map {'a': 9} WHERE id = 2")
    diff = compared(warehouse)
    assert diff.rows == RowCounts(source=2, target=2, full=1, partial=1, source_only=0, target_only=0)
    assert [match.name for match in diff.matches if match.equal < match.compared] == ["m"]


def test_equal_tables_are_equal_and_one_table_is_not_compared_with_itself(warehouse: Connection) -> None:
    write(warehouse, "a", "id INTEGER, v DOUBLE", ["(1, 'nan')", "(2, 'inf')", "(2, 'inf')"])
    write(warehouse, "b", "id INTEGER, v DOUBLE", ["(2, 'inf')", "(1, 'nan')", "(2, 'inf')"])
    diff = compared(warehouse)
    assert diff.is_equal
    assert verdict(diff) == "all 3 rows equal"
    same = Pair(model="m", source=PAIR.source, target=Side(name="dev", relation=PAIR.source.relation))
    result = compare_tables(warehouse, same, Question(where="nothing runs this"))
    assert isinstance(result, SameTable)
    assert verdict(result) == "both show the same table, a.t: nothing to compare"


def test_what_cannot_be_compared_is_told(orders: Connection) -> None:
    with pytest.raises(PlanError, match="no column 'nmae' on both sides") as caught:
        compared(orders, on=("nmae",))
    assert caught.value.hint == "did you mean `name`?"
    with pytest.raises(PlanError, match="--skip-columns: there is no column 'q'"):
        compared(orders, skip=("q",))
    with pytest.raises(PlanError, match="cannot be both"):
        compared(orders, skip=("id",))
    with pytest.raises(EngineError, match="nothing"):
        compared(orders, where="nothing = 1")
    missing = Pair(model=None, source=PAIR.source, target=Side(name="x", relation=Relation.parse("a.nothing")))
    with pytest.raises(PlanError, match=r"there is no table a\.nothing"):
        compare_tables(orders, missing, Question())
    write(orders, "b", "other INTEGER", [])
    with pytest.raises(PlanError, match="no column in common"):
        compared(orders)


_OF_POSTGRES: tuple[tuple[str, str, str, str], ...] = (
    ("rounded", "double precision", "1.0004", "1.0"),
    ("nan", "double precision", "'NaN'", "'NaN'"),
    ("zero", "double precision", "-0.0", "0.0"),
    ("infinite", "real", "'-Infinity'", "'Infinity'"),
    ("document", "jsonb", """'{"a": 1, "b": [null]}'""", """'{"b": [null], "a": 1.0}'"""),
    ("written", "json", """'{"a":1}'""", """'{"a": 1}'"""),
    ("documents", "json[]", "ARRAY['1'::json]", "ARRAY['1'::json]"),
    ("list", "integer[]", "'{1, 2}'", "'{1, NULL}'"),
    ("moment", "timestamp with time zone", "'2024-01-01 00:00+00'", "'2024-01-01 01:00+01'"),
    ("uuid", "uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'", "'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"),
    ("scale", "numeric", "1.50", "1.5"),
    ("bytes", "bytea", "'\\x01'", "'\\x02'"),
    ("duration", "interval", "'24 hours'", "'1 day'"),
    ("range", "int4range", "'[1,3)'", "'[1,2]'"),
    ("address", "inet", "'10.0.0.1'", "'10.0.0.1'"),
    ("box", "box", "'(1,2),(0,0)'", "'(2,1),(0,0)'"),
    ("path", "jsonpath", "'$.a'", "'$.a'"),
    ("padded", "character(5)", "'a'", "'a  '"),
)


@pytest.mark.parametrize("grain", [("id",), ()])
def test_columns_of_every_type_of_postgres(postgres: PostgresConnection, grain: tuple[str, ...]) -> None:
    connection = open_connection(postgres)
    with connection.session() as session:
        for side, place in (("a", 2), ("b", 3)):
            session.create_schema(side)
            values = ", ".join(f"CAST({row[place]} AS {row[1]}) AS {row[0]}" for row in _OF_POSTGRES)
            nulls = ", ".join("NULL" for _ in _OF_POSTGRES)
            session.execute(f"CREATE TABLE {side}.t AS SELECT 1 AS id, {values} UNION ALL SELECT 2, {nulls}")
    diff = compare_tables(connection, replace(PAIR, grain=grain), Question())
    connection.close()
    assert isinstance(diff, TableDiff)
    assert diff.rows.full == 1
    document = comparison_json(diff)
    assert json.loads(json.dumps(document)) == document
    if not grain:
        assert (diff.rows.source_only, diff.rows.target_only) == (1, 1)
        return
    (pair,) = diff.pairs
    assert pair.columns == ("infinite", "written", "list", "bytes", "box")
    assert (pair.source[12], pair.target[12]) == (b"\x01", b"\x02")


class Interfered:
    """A connection whose sessions are overtaken: after the first read of a comparison, somebody else writes."""

    def __init__(self, connection: Connection, write: Callable[[], None]) -> None:
        self.connection, self.write, self.writes = connection, write, 0

    @contextmanager
    def session(self) -> Iterator[Any]:
        with self.connection.session() as session:
            execute = session.execute

            def overtaken(sql: str) -> int | None:
                count = execute(sql)
                if sql.startswith("CREATE TEMPORARY TABLE") and not self.writes:
                    self.writes += 1
                    self.write()
                return count

            session.execute = overtaken  # type: ignore[method-assign,assignment]
            yield session


def test_a_writer_between_two_reads_is_not_seen(postgres: PostgresConnection) -> None:
    connection = open_connection(postgres)
    with connection.session() as session, closing(connected(postgres)) as other:
        for side in ("a", "b"):
            session.create_schema(side)
            session.execute(f"CREATE TABLE {side}.t AS SELECT 1 AS id, 2 AS n")
        overtaken = Interfered(connection, lambda: other.cursor().execute("INSERT INTO b.t VALUES (1, 2), (7, 7)"))
        diff = compare_tables(cast(Connection, overtaken), PAIR, Question())
        assert session.fetch("SELECT count(*) FROM b.t") == [(3,)]
    connection.close()
    assert overtaken.writes == 1
    assert isinstance(diff, TableDiff)
    assert diff.rows == RowCounts(source=1, target=1, full=1, partial=0, source_only=0, target_only=0)
    assert diff.repeated == (0, 0)


@pytest.mark.parametrize("statement", ["CREATE VIEW", "CREATE MATERIALIZED VIEW"])
def test_what_is_read_at_one_moment_is_locked_where_it_can_be(postgres: PostgresConnection, statement: str) -> None:
    connection = open_connection(postgres)
    with connection.session() as session, closing(connected(postgres)) as other:
        session.create_schema("a")
        session.execute("CREATE TABLE a.t AS SELECT 1 AS id")
        session.execute(f"{statement} a.v AS SELECT 2 AS id")
        names = [Relation.parse("a.t"), Relation.parse("a.v")]
        with session.reading(names), other.cursor() as cursor:
            cursor.execute("SET lock_timeout = '1ms'")
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                cursor.execute("ALTER TABLE a.t ALTER id TYPE BIGINT")  # before any query of the reader
            assert session.fetch("SELECT * FROM a.t UNION ALL SELECT * FROM a.v ORDER BY 1") == [(1,), (2,)]
    connection.close()


# ── environments ─────────────────────────────────────────────────────────────────────────────────────────────────────


def environment(name: str, *models: Any) -> Environment:
    return Environment(name=name, plan_id="p", number=1, target=target(snapshots(models), name), promoted_at=T0)


def test_environments_differ_where_their_tables_do() -> None:
    same, old, new = model("s.same", "SELECT 1"), model("s.t", "SELECT 1"), model("s.t", "SELECT 2", grains=("id",))
    prod = environment("prod", same, old, model("s.gone", "SELECT 1"))
    dev = environment("dev", same, new, model("s.new", "SELECT 1"))
    shown = snapshots([new])
    found = list(shown_pairs(prod, dev, shown, None))
    assert [type(one) for one in found] == [OneSided, OneSided, Pair]
    assert found[:2] == [
        OneSided(model="s.gone", shown_by="prod", missing_in="dev"),
        OneSided(model="s.new", shown_by="dev", missing_in="prod"),
    ]
    pair = found[2]
    assert isinstance(pair, Pair)
    assert (pair.source.name, pair.target.name, pair.grain) == ("prod", "dev", ("id",))
    assert pair.source.relation != pair.target.relation
    (chosen,) = shown_pairs(prod, dev, shown, ["s.same"])
    assert isinstance(chosen, SameTable)
    with pytest.raises(PlanError, match="neither 'prod' nor 'dev'"):
        list(shown_pairs(prod, dev, shown, ["s.nothing"]))


@pytest.mark.parametrize(
    ("grains", "key"),
    [(("id",), ("id",)), (("id", '"B x"'), ("id", "B x")), (("(a, b)", "c"), ("a", "b")), ((), ())],
)
def test_the_grain_of_a_model_is_its_key(grains: tuple[str, ...], key: tuple[str, ...]) -> None:
    one = model("s.t", "SELECT 1", grains=grains)
    (pair,) = shown_pairs(
        environment("prod", model("s.t", "SELECT 2")), environment("dev", one), snapshots([one]), None
    )
    assert isinstance(pair, Pair)
    assert pair.grain == key


# ── words ────────────────────────────────────────────────────────────────────────────────────────────────────────────

MARKDOWN = """\
### Rows of `prod` and `dev`

| table | result |
|---|---|
| `s.new` | only dev shows it, prod does not |
| `a.t and b.t` | 2 rows equal, 1 differ, 1 only in prod, 2 only in dev, 3 columns changed |

#### `a.t and b.t`

- column `id INTEGER → BIGINT`
- column `day DATE → VARCHAR`
- column `extra INTEGER, only in dev`

| rows | number | share |
|---|---|---|
| equal rows | 2 | 66.6 % |
| rows that differ | 1 | 33.3 % |
| only in prod | 1 | 25.0 % |
| only in dev | 2 | 40.0 % |

| column, of 3 pairs | equal |
|---|---|
| `name` | 66.6 % |
| `amount` | 66.6 % |

Rows that differ, all:

| id | column | prod | dev |
|---|---|---|---|
| 2 | name | b | B |
| 2 | amount | 2.5 | NULL |

Rows only in prod, all:

| id | name | amount | day |
|---|---|---|---|
| 3 | c | 0.0 | NULL |

Rows only in dev, the first 1 of 2:

| id | name | amount | day |
|---|---|---|---|
| 4 | x\\|y | 1.0 | NULL |
"""


def test_markdown_for_a_pull_request(orders: Connection) -> None:
    missing = OneSided(model="s.new", shown_by="dev", missing_in="prod")
    found = [missing, compared(orders, sample=1)]
    assert comparisons_markdown("prod", "dev", found, samples=True) == MARKDOWN
    short = comparisons_markdown("prod", "dev", found, samples=False)
    assert short == MARKDOWN[: MARKDOWN.index("\nRows that differ, all")]
    assert "same tables" in comparisons_markdown("prod", "dev", [], samples=True)


def test_the_document_holds_every_count_and_only_json(warehouse: Connection) -> None:
    write(warehouse, "a", "id INTEGER, v DOUBLE, d DATE", ["(1, 'nan', '2024-01-02')", "(2, 1, NULL)"])
    write(warehouse, "b", "id INTEGER, v DOUBLE, d DATE", ["(1, 2, '2024-01-02')"])
    assert comparison_json(compared(warehouse)) == {
        "model": None,
        "result": "compared",
        "is_equal": False,
        "source": "a.t",
        "target": "b.t",
        "key": ["id"],
        "repeated_keys": {"source": 0, "target": 0},
        "schema": [],
        "rows": {
            "source": 2,
            "target": 1,
            "full_match": 0,
            "partial_match": 1,
            "source_only": 1,
            "target_only": 0,
        },
        "columns": [{"column": "v", "equal": 0, "compared": 1}, {"column": "d", "equal": 1, "compared": 1}],
        "samples": {
            "differing": [
                {
                    "source": {"id": 1, "v": "nan", "d": "2024-01-02"},
                    "target": {"id": 1, "v": 2.0, "d": "2024-01-02"},
                    "columns": ["v"],
                }
            ],
            "source_only": [{"id": 2, "v": 1.0, "d": None}],
            "target_only": [],
        },
    }


# ── by hand ──────────────────────────────────────────────────────────────────────────────────────────────────────────

Rows = list[tuple[int | None, int | None, str | None, date | None]]
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(1, 3),
        st.none() | st.integers(1, 2),
        st.none() | st.sampled_from(["", "NULL", "a"]),
        st.none() | st.sampled_from([date(2024, 1, 1), date(2024, 1, 2)]),
    ),
    max_size=14,
)


def by_hand(source: Rows, target: Rows, keys: int) -> RowCounts:
    """Row by row: equal rows meet first; what is left meets by key; the rest is alone."""
    ours, theirs = Counter(source), Counter(target)
    full = (ours & theirs).total()
    left, right = ours - theirs, theirs - ours
    partial = 0
    if keys:
        left_keys, right_keys = Counter[Any](), Counter[Any]()
        for row, number in left.items():
            left_keys[row[:keys]] += number
        for row, number in right.items():
            right_keys[row[:keys]] += number
        partial = (left_keys & right_keys).total()
    return RowCounts(
        source=len(source),
        target=len(target),
        full=full,
        partial=partial,
        source_only=left.total() - partial,
        target_only=right.total() - partial,
    )


@settings(max_examples=60)
@given(ROWS, ROWS, st.integers(0, 4))
def test_counts_are_those_of_a_comparison_by_hand(warehouse: Connection, source: Rows, target: Rows, keys: int) -> None:
    for schema, rows in (("a", source), ("b", target)):
        with warehouse.session() as session:
            session.execute(f"CREATE OR REPLACE TABLE {schema}.t (k INTEGER, l INTEGER, v VARCHAR, d DATE)")
            for row in rows:
                session.execute(f"INSERT INTO {schema}.t VALUES (?, ?, ?, ?)", row)
    diff = compared(warehouse, on=("k", "l", "v", "d")[:keys], sample=100)
    counts = by_hand(source, target, keys)
    assert diff.rows == counts
    assert diff.is_equal == (Counter(source) == Counter(target))
    # the samples hold every row that is not equal to one of the other side
    if keys:
        ours = [*(pair.source for pair in diff.pairs), *diff.source_only]
        theirs = [*(pair.target for pair in diff.pairs), *diff.target_only]
        assert Counter(ours) == Counter(source) - Counter(target)
        assert Counter(theirs) == Counter(target) - Counter(source)
        assert all(pair.source[:keys] == pair.target[:keys] for pair in diff.pairs)
        for index, match in enumerate(diff.matches, start=keys):
            differing = sum(pair.source[index] != pair.target[index] for pair in diff.pairs)
            assert match == ColumnMatch(
                name="klvd"[index],
                equal=counts.full + counts.partial - differing,
                compared=counts.full + counts.partial,
            )
    else:
        assert set(diff.source_only) == set(Counter(source) - Counter(target))
        assert set(diff.target_only) == set(Counter(target) - Counter(source))
