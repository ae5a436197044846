"""What edits do: golden cases, traps, reasons, and how far an edit reaches."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pytest

from isomesh_dagster.dialect.summary import (
    ALL,
    ROWS,
    ColumnSummary,
    Opaque,
    Summary,
    Verdict,
    VerdictKind,
    categorize,
    summarize,
    touched,
)
from isomesh_dagster.relation import Column
from isomesh_dagster_tests.dialect import oracle

TABLES = {
    "db.t": ("id INT", "a INT", "b INT", "c TEXT", "ds TEXT", "arr INT[]", "s STRUCT<x INT, y INT>"),
    "db.u": ("id INT", "k INT", "v INT", "a INT"),
}
GOLDEN = json.loads((Path(__file__).parent / "golden_categories.json").read_text())


def schema(dialect: str = "duckdb") -> dict[str, tuple[Column, ...]]:
    """The tables of the cases, with names as the dialect normalises them."""
    normal = str.upper if dialect == "snowflake" else str
    return {
        normal(table): tuple(
            Column(name=normal(name), type=type_) for name, _, type_ in (column.partition(" ") for column in columns)
        )
        for table, columns in TABLES.items()
    }


def verdict(old: str, new: str, dialect: str = "duckdb") -> Verdict:
    return categorize(old, new, dialect, schema(dialect), schema(dialect))


@pytest.mark.parametrize(
    ("dialect", "old", "new", "kind", "columns"), [case[1:] for case in GOLDEN], ids=[c[0] for c in GOLDEN]
)
def test_golden_cases(dialect: str, old: str, new: str, kind: str, columns: list[str] | None) -> None:
    found = verdict(old, new, dialect)
    assert found.kind.name == kind, found.reason
    if columns is not None:
        assert {column.lower() for column in found.columns} == set(columns)


WRONG_ELSEWHERE = {
    "DISTINCT": ("SELECT DISTINCT b FROM db.t", "SELECT DISTINCT b, id FROM db.t"),
    "GROUP BY ALL": (
        "SELECT b, COUNT(*) AS n FROM db.t GROUP BY ALL",
        "SELECT b, COUNT(*) AS n, c FROM db.t GROUP BY ALL",
    ),
    "UNION": (
        "SELECT b FROM db.t UNION SELECT k FROM db.u",
        "SELECT b, id FROM db.t UNION SELECT k, id FROM db.u",
    ),
    "DISTINCT in a subquery": (
        "SELECT b FROM (SELECT DISTINCT b FROM db.t) AS q",
        "SELECT b, id FROM (SELECT DISTINCT b, id FROM db.t) AS q",
    ),
    "a first aggregate": ("SELECT 1 AS one FROM db.t", "SELECT 1 AS one, MAX(id) AS m FROM db.t"),
}


@pytest.mark.parametrize(("old", "new"), WRONG_ELSEWHERE.values(), ids=WRONG_ELSEWHERE)
def test_only_adding_columns_can_be_breaking(old: str, new: str) -> None:
    """Called non-breaking by the tool whose format we read, though the rows of the old columns change."""
    connection = oracle.warehouse()
    columns = [item[0] for item in connection.execute(old).description]
    assert oracle.rows(connection, old, columns) != oracle.rows(connection, new, columns)
    assert verdict(old, new).kind is VerdictKind.BREAKING


TRAPS = [
    ("a star in a function reads all columns", "duckdb",
     "WITH q AS (SELECT id, a FROM db.t) SELECT 1 AS one, HASH(*) AS h FROM q",
     "WITH q AS (SELECT id, b FROM db.t) SELECT 1 AS one, HASH(*) AS h FROM q", {"h"}),
    ("an outer join by a mark", "oracle", "SELECT t.id, u.v FROM db.t, db.u WHERE t.id = u.id",
     "SELECT t.id, u.v FROM db.t, db.u WHERE t.id = u.id (+)", set()),
    ("a window that extends a named one", "duckdb",
     "SELECT id, SUM(a) OVER (w ORDER BY b) AS s FROM db.t WINDOW w AS (PARTITION BY id)",
     "SELECT id, SUM(a) OVER (w ORDER BY c) AS s FROM db.t WINDOW w AS (PARTITION BY id)", {"s"}),
    ("commas inside literals", "duckdb", "SELECT id, CONCAT('a,s''b') AS x FROM db.t",
     "SELECT id, CONCAT('a', 'b') AS x FROM db.t", {"x"}),
    ("a pivot over a cte", "duckdb",
     "WITH q AS (SELECT id, k, v FROM db.u) SELECT p.id FROM q PIVOT (SUM(v) FOR k IN (1, 2)) AS p",
     "WITH q AS (SELECT id, k + 1 AS k, v FROM db.u) SELECT p.id FROM q PIVOT (SUM(v) FOR k IN (1, 2)) AS p", {"id"}),
    ("an aggregate the library does not know", "duckdb", "SELECT 1 AS one FROM db.t",
     "SELECT 1 AS one, my_aggregate(a) AS m FROM db.t", set()),
    ("a set-returning function nobody knows", "postgres", "SELECT id FROM db.t",
     "SELECT id, my_function(a) AS m FROM db.t", set()),
    ("a set-returning function in a cte", "duckdb", "WITH q AS (SELECT id FROM db.t) SELECT id FROM q",
     "WITH q AS (SELECT id, UNNEST(arr) AS e FROM db.t) SELECT id FROM q", set()),
    ("the order that picks a row", "duckdb", "SELECT DISTINCT ON (id) id, a FROM db.t ORDER BY id, a",
     "SELECT DISTINCT ON (id) id, a FROM db.t ORDER BY id, a DESC", set()),
    ("order by all", "duckdb", "SELECT id, a FROM db.t ORDER BY ALL LIMIT 3",
     "SELECT id, -a AS a FROM db.t ORDER BY ALL LIMIT 3", {"a"}),
    ("order by a position of a union", "duckdb",
     "SELECT id, a FROM db.t UNION ALL SELECT id, v FROM db.u ORDER BY 2 LIMIT 3",
     "SELECT id, -a AS a FROM db.t UNION ALL SELECT id, v FROM db.u ORDER BY 2 LIMIT 3", {"a"}),
    ("rows as structs", "bigquery", "SELECT AS STRUCT id FROM db.t", "SELECT AS VALUE id FROM db.t", set()),
    ("a limit with ties", "duckdb",
     "SELECT id FROM db.t ORDER BY a LIMIT 3", "SELECT id FROM db.t ORDER BY a LIMIT 3 OFFSET 1",
     set()),
    ("a recursive cte over another cte", "duckdb",
     "WITH RECURSIVE p AS (SELECT 3 AS n), r AS (SELECT n, 1 AS x FROM p UNION ALL SELECT n - 1, x FROM r WHERE n > 0)"
     " SELECT x FROM r",
     "WITH RECURSIVE p AS (SELECT 4 AS n), r AS (SELECT n, 1 AS x FROM p UNION ALL SELECT n - 1, x FROM r WHERE n > 0)"
     " SELECT x FROM r", {"x"}),
    ("a correlated recursive cte", "duckdb",
     "SELECT id, (WITH RECURSIVE r AS (SELECT q.x AS n UNION ALL SELECT n - 1 FROM r WHERE n > 0)"
     " SELECT SUM(n) FROM r) AS s"
     " FROM (SELECT id, a AS x FROM db.t) AS q",
     "SELECT id, (WITH RECURSIVE r AS (SELECT q.x AS n UNION ALL SELECT n - 1 FROM r WHERE n > 0)"
     " SELECT SUM(n) FROM r) AS s"
     " FROM (SELECT id, b AS x FROM db.t) AS q", {"s"}),
    ("columns named by an alias", "duckdb", "SELECT q.y FROM (SELECT id, a FROM db.t) AS q(x, y)",
     "SELECT q.y FROM (SELECT id, b FROM db.t) AS q(x, y)", {"y"}),
    ("lateral subquery", "duckdb",
     "SELECT t.id, z.m FROM db.t, LATERAL (SELECT MAX(v) AS m FROM db.u WHERE u.id = t.id) AS z",
     "SELECT t.id, z.m FROM db.t, LATERAL (SELECT MAX(v) AS m FROM db.u WHERE u.id = t.a) AS z", {"m"}),
    ("hidden rows of a left join", "duckdb",
     "SELECT t.id FROM db.t LEFT JOIN (SELECT id FROM db.u) AS u ON t.id = u.id",
     "SELECT t.id FROM db.t LEFT JOIN (SELECT id FROM db.u WHERE k > 1) AS u ON t.id = u.id", set()),
    ("values", "duckdb", "SELECT x FROM (VALUES (1), (2)) AS q(x)", "SELECT x FROM (VALUES (1), (3)) AS q(x)", {"x"}),
    ("range", "duckdb", "SELECT r.i AS i FROM range(3) AS r(i)", "SELECT r.i AS i FROM range(4) AS r(i)", {"i"}),
    ("the other one of a table read twice", "duckdb", "SELECT x.a FROM db.t AS x JOIN db.t AS y ON x.id = y.b",
     "SELECT y.a FROM db.t AS x JOIN db.t AS y ON x.id = y.b", {"a"}),
    ("a table read twice, joined the other way round", "duckdb",
     "SELECT x.id FROM db.t AS x LEFT JOIN db.t AS y ON x.id = y.b",
     "SELECT x.id FROM db.t AS x LEFT JOIN db.t AS y ON y.id = x.b", set()),
    ("a cte and the table it reads", "duckdb",
     "WITH q AS (SELECT id, a, b FROM db.t) SELECT q.a FROM q JOIN db.t AS y ON q.id = y.b",
     "WITH q AS (SELECT id, a, b FROM db.t) SELECT y.a FROM q JOIN db.t AS y ON q.id = y.b", {"a"}),
    ("a table inside and outside of a subquery", "duckdb",
     "SELECT id, (SELECT MAX(y.a) FROM db.t AS y WHERE y.id > x.b) AS m FROM db.t AS x",
     "SELECT id, (SELECT MAX(y.a) FROM db.t AS y WHERE x.id > y.b) AS m FROM db.t AS x", {"m"}),
    ("counts of two tables, swapped", "duckdb",
     "SELECT p.n AS x, q.n AS y FROM (SELECT COUNT(*) AS n FROM db.t) AS p, (SELECT COUNT(*) AS n FROM db.u) AS q",
     "SELECT q.n AS x, p.n AS y FROM (SELECT COUNT(*) AS n FROM db.t) AS p, (SELECT COUNT(*) AS n FROM db.u) AS q",
     {"x", "y"}),
    ("a constant where the joined row may be missing", "duckdb",
     "SELECT t.id, q.one FROM db.t LEFT JOIN (SELECT id, 1 AS one FROM db.u) AS q ON q.id = t.id",
     "SELECT t.id, 1 AS one FROM db.t LEFT JOIN (SELECT id, 1 AS one FROM db.u) AS q ON q.id = t.id", {"one"}),
    ("a default before and after an outer join", "duckdb",
     "SELECT q.v, t.id FROM (SELECT id, COALESCE(v, 0) AS v FROM db.u) AS q RIGHT JOIN db.t ON q.id = t.id",
     "SELECT COALESCE(q.v, 0) AS v, t.id FROM (SELECT id, v FROM db.u) AS q RIGHT JOIN db.t ON q.id = t.id", {"v"}),
    ("a row number before and after a filter", "duckdb",
     "WITH q AS (SELECT id, ROW_NUMBER() OVER (ORDER BY id) AS n FROM db.t) SELECT n FROM q WHERE id > 3",
     "WITH q AS (SELECT id FROM db.t) SELECT ROW_NUMBER() OVER (ORDER BY id) AS n FROM q WHERE id > 3", {"n"}),
    ("a count before and after another grouping", "duckdb",
     "WITH q AS (SELECT a, COUNT(*) AS n FROM db.t GROUP BY a) SELECT a, n FROM q GROUP BY a, n",
     "WITH q AS (SELECT a, COUNT(*) AS n FROM db.t GROUP BY a) SELECT a, COUNT(*) AS n FROM q GROUP BY a, n", {"n"}),
    ("an alias alone sorts, in an expression the column does", "duckdb",
     "SELECT a % 2 AS a, id FROM db.t ORDER BY a + 0, id LIMIT 3",
     "SELECT a % 2 AS a, id FROM db.t ORDER BY t.a % 2 + 0, id LIMIT 3", set()),
    ("names of values, swapped", "duckdb",
     "SELECT x FROM (VALUES (1, 2)) AS q(x, y)", "SELECT x FROM (VALUES (1, 2)) AS q(y, x)", {"x"}),
    ("names of a table's columns, swapped", "duckdb",
     "SELECT x FROM db.u AS q(x, y)", "SELECT x FROM db.u AS q(y, x)", {"x"}),
    ("rollup", "duckdb",
     "SELECT id, COUNT(*) AS n FROM db.t GROUP BY id", "SELECT id, COUNT(*) AS n FROM db.t GROUP BY ROLLUP (id)",
     set()),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "old", "new", "changed"), [case[1:] for case in TRAPS], ids=[case[0] for case in TRAPS]
)
def test_traps(dialect: str, old: str, new: str, changed: set[str]) -> None:
    """A change of these may be called breaking, or by its columns; never nothing, never additive."""
    found = verdict(old, new, dialect)
    assert found.kind is VerdictKind.BREAKING or (changed and found.columns >= changed), found


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("SELECT id FROM db.t", "SELECT id FROM db.t WHERE a > 1", "WHERE added"),
        ("SELECT id FROM db.t WHERE a > 1", "SELECT id FROM db.t WHERE a > 2", "WHERE changed"),
        ("SELECT id FROM db.t WHERE a > 1", "SELECT id FROM db.t", "WHERE removed"),
        ("SELECT id FROM db.t", "SELECT id FROM db.u", "FROM changed"),
        ("SELECT t.id FROM db.t", "SELECT t.id FROM db.t JOIN db.u USING (id)", "JOIN db.u added"),
        ("WITH q AS (SELECT id FROM db.t) SELECT id FROM q",
         "WITH q AS (SELECT id FROM db.t LIMIT 3) SELECT id FROM q", "LIMIT in q added"),
        ("SELECT DISTINCT id FROM db.t", "SELECT DISTINCT id, a FROM db.t", "columns under DISTINCT changed"),
        ("SELECT id FROM db.t", "SELECT id FROM db.t TABLESAMPLE 10 PERCENT", "SAMPLE of db.t added"),
        ("SELECT id FROM db.t", "SELECT id, a FROM db.t", "adds column a"),
        ("SELECT id FROM db.t", "SELECT id, a, b FROM db.t", "adds columns a, b"),
        ("SELECT id, a FROM db.t", "SELECT id, a + 1 AS a FROM db.t", "column a: expression changed"),
        ("SELECT id, a, b FROM db.t", "SELECT id + 1 AS id, a + 1 AS a, c FROM db.t",
         "columns id, a: expressions changed; drops column b; adds column c"),
        ("SELECT id, a FROM db.t", "SELECT a, id FROM db.t", "the columns come in another order"),
        ("SELECT id FROM db.t", "SELECT  id FROM db.t -- hi", "the query is the same"),
        ("SELECT id FROM db.t", "SELECT (id) AS id FROM db.t", "the same rows and columns, written differently"),
        ("SELECT * FROM raw.x", "SELECT *, 1 AS n FROM raw.x",
         "cannot be compared: unexpanded star over raw.x, whose columns are not known"),
        ("SELECT id FROM db.t", "SELECT id, a + 1 FROM db.t",
         "cannot be compared: a column of the output has no name: give it an alias"),
        ("SELECT id FROM db.t", "SELECT id, nope FROM db.t",
         "cannot be compared: Column 'nope' could not be resolved"),
        ("SELECT id FROM db.t", "DROP TABLE x", "cannot be compared: DROP is not a query"),
        ("SELECT id FROM db.t", "SELECT (", "cannot be compared: the SQL does not parse: something is missing, at '('"),
    ],
)  # fmt: skip
def test_reasons_are_told_in_words(old: str, new: str, reason: str) -> None:
    assert verdict(old, new).reason == reason


def test_a_star_follows_the_columns_of_its_table() -> None:
    before = {"db.t": (Column(name="id"), Column(name="a"))}
    after = {"db.t": (Column(name="id"), Column(name="a"), Column(name="b"))}

    def seen(sql: str, old: dict[str, tuple[Column, ...]], new: dict[str, tuple[Column, ...]]) -> tuple[str, set[str]]:
        found = categorize(sql, sql, "duckdb", old, new)
        return found.kind.name, set(found.columns)

    assert seen("SELECT * FROM db.t", before, after) == ("ADDITIVE", {"b"})
    assert seen("SELECT * FROM db.t", after, before) == ("COLUMNS", {"b"})
    assert seen("SELECT DISTINCT * FROM db.t", before, after) == ("BREAKING", set())
    assert seen("SELECT id FROM db.t", before, after) == ("NONE", set())
    assert seen("SELECT a + 1 FROM db.t", before, after) == ("NONE", set())  # opaque, but the same text without a star
    assert seen("SELECT a + 1, * FROM db.t", before, after) == ("BREAKING", set())


@pytest.mark.parametrize(
    ("sql", "opaque"),
    [
        ("SELECT x.a FROM raw.x", False),
        ("SELECT a FROM raw.x WHERE b > 1", False),
        ("SELECT x.a, y.b FROM raw.x JOIN raw.y ON x.id = y.id", False),
        ("SELECT COUNT(*) AS n FROM raw.x", False),
        ("SELECT CAST(id AS INT) AS id, TRIM(c) AS c, id + 1 AS n FROM raw.x WHERE id > 1", False),
        ("WITH s AS (SELECT id, a FROM raw.x) SELECT s.*, u.v FROM s JOIN db.u USING (id)", False),
        ("SELECT DATE_TRUNC('day', ts) AS day, COUNT(*) AS n FROM raw.x GROUP BY day HAVING n > 1 ORDER BY n", False),
        ("SELECT x.a, b FROM (SELECT a, b FROM raw.x) AS x", False),
        ("SELECT t.id, x.v FROM db.t LEFT JOIN raw.x USING (id)", False),
        ("SELECT id FROM db.t WHERE EXISTS (SELECT 1 FROM raw.x WHERE x.id = t.id)", False),
        ("SELECT a FROM raw.x JOIN raw.y ON x.id = y.id", True),
        ("SELECT id FROM db.t WHERE EXISTS (SELECT 1 FROM raw.x WHERE x.id = a)", True),  # a of t, or of raw.x?
        ("SELECT a, ROW_NUMBER() OVER (ORDER BY a) AS n FROM raw.x QUALIFY n = 1", True),
        ("SELECT a AS b FROM raw.x WHERE b > 1", True),
        ("SELECT b AS c, c AS d FROM raw.x", True),
        ("SELECT x FROM raw.x", True),  # a row of it?
        ("SELECT a, b AS a1, COUNT(*) AS n FROM raw.x GROUP BY a, b, a1", True),
        ("SELECT x.* FROM raw.x", True),
        ("SELECT t.a FROM db.t NATURAL JOIN raw.x", True),
        ("SELECT p.a FROM raw.x PIVOT (SUM(v) FOR k IN (1)) AS p", True),
        ("SELECT * FROM raw.x", True),
        ("SELECT a + 1 AS b, b * 2 AS c FROM raw.x", True),  # is b a column of raw.x?
    ],
)
def test_tables_without_known_columns(sql: str, opaque: bool) -> None:
    if opaque:
        with pytest.raises(Opaque):
            summarize(sql, "duckdb", schema())
    else:
        assert summarize(sql, "duckdb", schema()).columns


def test_what_is_read_is_told_by_column() -> None:
    found = summarize(
        "WITH q AS (SELECT t.id, t.a + u.v AS x, t.c FROM main_db.db.t JOIN db.u ON t.id = u.k)"
        " SELECT q.x AS y, (SELECT MAX(a) FROM db.u) AS m, q FROM q WHERE q.c = 'x'",
        "duckdb",
        schema(),
    )
    joined = {("db.t", ROWS), ("db.u", ROWS), ("db.t", "id"), ("db.u", "k"), ("db.t", "c")}
    assert found.row_reads == joined
    assert found.columns["y"].reads == {("db.t", "a"), ("db.u", "v")}
    assert found.columns["m"].reads == {("db.u", ROWS), ("db.u", "a")}
    assert found.columns["q"].reads == (joined - {("db.t", "c")}) | {("db.t", "c"), ("db.t", "a"), ("db.u", "v")}
    assert list(found.columns) == ["y", "m", "q"]
    assert found.reads == joined | {("db.t", "a"), ("db.u", "v"), ("db.u", "a")}
    whole = summarize("SELECT t AS r FROM db.t", "duckdb", schema())
    assert whole.columns["r"].reads == {("db.t", ALL)}


def test_a_summary_survives_json() -> None:
    for _, dialect, old, _, _, _ in GOLDEN:
        try:
            summary = summarize(old, dialect, schema(dialect))
        except Opaque:
            continue
        again = Summary.from_json(json.loads(json.dumps(summary.to_json())))
        assert again == summary
        assert list(again.columns) == list(summary.columns)


# -- how far an edit reaches


def made_of(row_reads: list[tuple[str, str]], **columns: list[tuple[str, str]]) -> Summary:
    return Summary(
        columns={name: ColumnSummary(fingerprint=name, reads=frozenset(reads)) for name, reads in columns.items()},
        rows="rows",
        row_reads=frozenset(row_reads),
    )


@pytest.mark.parametrize(
    ("reader", "in_rows", "columns"),
    [
        (made_of([("a", ROWS)], x=[("a", "x")], y=[("a", "y")]), set(), {"x"}),
        (made_of([("a", ROWS), ("a", "x")], y=[("a", "y")]), {("a", "x")}, set()),
        (made_of([("other", ROWS)], n=[("a", ROWS), ("a", "x")], k=[("other", "x")]), set(), {"n"}),
        (made_of([("a", ROWS)], row=[("a", ALL)], one=[]), set(), {"row"}),
        (made_of([("a", ROWS)], y=[("a", "y")]), set(), set()),
    ],
)
def test_a_changed_column_touches_what_reads_it(reader: Summary, in_rows: set[str], columns: set[str]) -> None:
    rows, found = touched(reader, {"a": frozenset({"x"})})
    assert rows == in_rows
    assert set(found) == columns


# -- the oracle


def test_verdicts_are_true_of_real_rows() -> None:
    connection = oracle.warehouse()
    claims = 0
    for seed in range(400):
        maker = oracle.Maker(seed)
        old = maker.query()
        new = maker.edit(old)
        try:
            before, after = (oracle.names(connection, sql) for sql in (old, new))
        except duckdb.Error:
            continue  # not every edit leaves a query
        found = categorize(old, new, "duckdb", oracle.SCHEMA, oracle.SCHEMA)
        if found.kind is VerdictKind.BREAKING:
            continue
        claims += 1
        kept = [name for name in before if name in after and name not in found.columns]
        assert set(before) - set(after) <= found.columns, (seed, found, old, new)
        assert oracle.rows(connection, old, kept) == oracle.rows(connection, new, kept), (seed, found, old, new)
    assert claims > 100


def test_models_that_are_not_reached_keep_their_rows() -> None:
    connection = oracle.warehouse()
    claims = 0
    for seed in range(1000, 1250):
        maker = oracle.Maker(seed)
        old = maker.query()
        new = maker.edit(old)
        try:
            before, after = (oracle.names(connection, sql) for sql in (old, new))
        except duckdb.Error:
            continue
        edit = categorize(old, new, "duckdb", oracle.SCHEMA, oracle.SCHEMA)
        if edit.kind is VerdictKind.BREAKING:
            continue
        reader = maker.reader(before)
        schemas = [{**oracle.SCHEMA, "db.m": tuple(Column(name=name) for name in names)} for names in (before, after)]
        through_star = categorize(reader, reader, "duckdb", *schemas)
        if through_star.kind is VerdictKind.BREAKING:
            continue
        try:
            in_rows, changed = touched(summarize(reader, "duckdb", schemas[1]), {"db.m": edit.columns})
        except Opaque:
            continue
        if edit.kind is VerdictKind.COLUMNS and in_rows:
            continue
        reached = through_star.columns | (changed.keys() if edit.kind is VerdictKind.COLUMNS else set())
        connection.execute(f"CREATE OR REPLACE VIEW db.m AS {old}")
        kept = [name for name in oracle.names(connection, reader) if name not in reached]
        expected = oracle.rows(connection, reader, kept)
        connection.execute(f"CREATE OR REPLACE VIEW db.m AS {new}")
        try:
            found = oracle.rows(connection, reader, kept)
        except duckdb.Error:
            assert edit.columns - set(after), (seed, edit, old, new, reader)  # only a dropped column breaks a reader
            continue
        assert found == expected, (seed, edit, reached, old, new, reader)
        claims += 1
    assert claims > 60
