"""What a query reads, refuses and becomes; where it can be told by running it, DuckDB tells."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.dialect.query import (
    analyse,
    found_again,
    normalize_name,
    output_columns,
    splice,
    transpile,
    without_terminator,
)
from isomesh_dagster.errors import ModelError, UnsupportedError
from isomesh_dagster.relation import Column, Reference

DEPENDENCIES = [
    ("plain", "duckdb", "SELECT 1 FROM db.t", ["db.t"]),
    ("no table", "duckdb", "SELECT 1", []),
    ("join and comma", "duckdb", "SELECT 1 FROM db.t JOIN db.u ON true, x.v", ["db.t", "db.u", "x.v"]),
    ("cte", "duckdb", "WITH q AS (SELECT 1 FROM db.t) SELECT 1 FROM q", ["db.t"]),
    ("cte of its table's name", "duckdb", "WITH t AS (SELECT 1 FROM t) SELECT 1 FROM t", ["t"]),
    ("cte of a qualified table's last name", "duckdb",
     "WITH orders AS (SELECT 1 FROM raw.orders) SELECT 1 FROM orders JOIN raw.orders AS r ON true", ["raw.orders"]),
    ("cte hides nothing qualified", "duckdb", "WITH t AS (SELECT 1) SELECT 1 FROM t, db.t", ["db.t"]),
    ("a cte sees only those before it", "duckdb",
     "WITH a AS (SELECT 1 FROM b), b AS (SELECT 1 FROM a) SELECT 1 FROM b", ["b"]),
    ("recursive", "duckdb",
     "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r JOIN db.t ON true) SELECT 1 FROM r", ["db.t"]),
    ("recursive sees later ones", "postgres",
     "WITH RECURSIVE a AS (SELECT 1 FROM b), b AS (SELECT 1) SELECT 1 FROM a", []),
    ("recursive without the word", "snowflake",
     "WITH r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT n FROM r", []),
    ("nested cte ends with its query", "duckdb",
     "SELECT 1 FROM (WITH q AS (SELECT 1) SELECT 1 FROM q) AS s, q", ["q"]),
    ("outer cte inside a subquery", "duckdb",
     "WITH q AS (SELECT 1 FROM db.t) SELECT (SELECT 1 FROM q) FROM db.u WHERE EXISTS (SELECT 1 FROM q)",
     ["db.t", "db.u"]),
    ("inner cte wins", "duckdb",
     "WITH q AS (SELECT 1 FROM db.t) SELECT 1 FROM (WITH q AS (SELECT 1 FROM q) SELECT 1 FROM q) AS s", ["db.t"]),
    ("cte in a branch of a union", "duckdb",
     "WITH q AS (SELECT 1) (WITH q2 AS (SELECT 1 FROM db.t) SELECT 1 FROM q2) UNION ALL SELECT 1 FROM q, q2",
     ["db.t", "q2"]),
    ("case of a cte", "snowflake", 'WITH Q AS (SELECT 1) SELECT 1 FROM q, "Q", "q"', ["q"]),
    ("case of a quoted cte", "duckdb", 'WITH "Q" AS (SELECT 1) SELECT 1 FROM q, Q', []),
    ("case of a table", "duckdb", 'SELECT 1 FROM "Db"."T", DB.t', ["db.t"]),
    ("case of a table", "snowflake", 'SELECT 1 FROM db.t, "db"."t"', ["DB.T", "db.t"]),
    ("table functions", "duckdb", "SELECT 1 FROM range(3), read_csv('x.csv'), (VALUES (1)) AS v(a)", []),
    ("files", "duckdb", "SELECT 1 FROM 'x.parquet', \"y.csv\", db.t", ["db.t"]),
    ("stage", "snowflake", "SELECT 1 FROM @stage/x.csv, db.t", ["DB.T"]),
    ("array of a table", "bigquery", "SELECT 1 FROM d.t, t.arr", ["d.t"]),
    ("unnest", "bigquery", "SELECT 1 FROM d.t, UNNEST(t.arr) AS e", ["d.t"]),
    ("quoted as a whole", "bigquery", "SELECT 1 FROM `p.d.T`, p.d.T, `p.d`.T", ["p.d.T"]),
    ("dashes", "bigquery", "SELECT 1 FROM my-project-12.d.t, `my-project-12`.d.t", ["my-project-12.d.t"]),
    ("in a table", "clickhouse", "SELECT 1 FROM db.t FINAL WHERE a IN db.u", ["db.t", "db.u"]),
    ("lock and hint name no tables", "postgres", "SELECT 1 FROM db.t FOR UPDATE OF t", ["db.t"]),
    ("lock and hint name no tables", "spark", "SELECT /*+ BROADCAST(t) */ 1 FROM db.t", ["db.t"]),
    ("pivot statement", "duckdb", "PIVOT db.t ON k USING sum(v)", ["db.t"]),
    ("pivot statement over a cte", "duckdb", "WITH q AS (SELECT 1 FROM db.t) PIVOT q ON k USING sum(v)", ["db.t"]),
    ("lateral", "postgres", "SELECT 1 FROM db.t, LATERAL (SELECT 1 FROM db.u WHERE u.id = t.id) AS z",
     ["db.t", "db.u"]),
    ("scalar, in, having, order", "duckdb",
     "SELECT (SELECT 1 FROM a.a) FROM b.b WHERE x IN (SELECT 1 FROM c.c) GROUP BY y HAVING (SELECT true FROM d.d)"
     " ORDER BY (SELECT 1 FROM e.e)", ["a.a", "b.b", "c.c", "d.d", "e.e"]),
    ("from first", "duckdb", "FROM db.t", ["db.t"]),
    ("comma in parentheses", "duckdb", "SELECT 1 FROM (db.t JOIN db.u USING (id)) LEFT JOIN (x.v) USING (id)",
     ["db.t", "db.u", "x.v"]),
    ("default catalog", "duckdb", "SELECT 1 FROM main_db.db.t, other.db.t", ["db.t", "other.db.t"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "sql", "expected"), [case[1:] for case in DEPENDENCIES], ids=[c[0] for c in DEPENDENCIES]
)
def test_dependencies_are_exact(dialect: str, sql: str, expected: list[str]) -> None:
    facts = analyse(sql, dialect, default_catalog="main_db")
    assert list(facts.depends_on) == expected
    assert {reference.name for reference in facts.references} == set(expected)
    assert [reference.start for reference in facts.references] == sorted(r.start for r in facts.references)


def test_references_have_their_places_aliases_and_repeats() -> None:
    sql = 'SELECT \'é𝒳\' AS ü -- db.t\nFROM "Db" . "T" AS x, main_db.db.t, db.U'
    found = analyse(sql, "duckdb", default_catalog="main_db").references
    assert [(sql[r.start : r.end], r.name, r.alias_needed) for r in found] == [
        ('"Db" . "T"', "db.t", None),
        ("main_db.db.t", "db.t", '"t"'),
        ("db.U", "db.u", '"u"'),
    ]


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM db.t", True),
        ("SELECT t.* FROM db.t", True),
        ("SELECT * EXCLUDE (a) FROM db.t", True),
        ("SELECT MIN(COLUMNS(*)) FROM db.t", True),
        ("FROM db.t", True),
        ("WITH q AS (SELECT * FROM db.t) SELECT a FROM q", True),
        ("SELECT * FROM (db.t) AS q", True),
        ("SELECT q.*, t.a FROM (SELECT 1 AS x) AS q, db.t", False),
        ("SELECT t.* FROM (SELECT 1 AS x) AS q, db.t", True),
        ("WITH q AS (SELECT a FROM db.t) SELECT * FROM q", False),
        ("SELECT * FROM (SELECT a FROM db.t) AS q", False),
        ("SELECT COUNT(*), COUNT(*) FILTER (WHERE a > 1) FROM db.t", False),
        ("SELECT a FROM db.u WHERE EXISTS (SELECT * FROM db.t)", False),
        ("SELECT t FROM db.t", True),
        ("SELECT TO_JSON(t) FROM db.t", True),
        ("SELECT HASH(*) FROM db.t", True),
        ("SELECT a FROM db.t NATURAL JOIN db.u", True),
        ("SELECT a FROM db.t PIVOT (SUM(v) FOR k IN (1, 2))", True),
        ("SELECT * FROM range(3)", False),
        ("SELECT a, b FROM db.t GROUP BY ALL", False),
    ],
)
def test_has_star(sql: str, expected: bool) -> None:
    assert analyse(sql, "duckdb").has_star is expected


@pytest.mark.parametrize(
    ("dialect", "sql", "expected"),
    [
        ("duckdb", 'SELECT id, t.B, 1 AS "X", s.y.z, w: 3 FROM db.t', ("id", "b", "x", "z", "w")),
        ("snowflake", 'SELECT id, "b" FROM db.t', ("ID", "b")),
        ("duckdb", "SELECT a + 1 FROM db.t", None),
        ("duckdb", "SELECT a::INT FROM db.t", None),
        ("duckdb", "SELECT COUNT(*) FROM db.t", None),
        ("duckdb", "SELECT * FROM db.t", None),
        ("duckdb", "SELECT id, id FROM db.t", None),
        ("duckdb", "WITH q(x) AS (SELECT a, b FROM db.t) SELECT * EXCLUDE (b), 1 AS n FROM q", ("x", "n")),
        ("duckdb", "SELECT * FROM (SELECT 1 AS a) AS p JOIN (SELECT 1 AS a, 2 AS b) AS q USING (a)", ("a", "b")),
        ("duckdb", "SELECT * FROM (SELECT 1 AS a) AS p SEMI JOIN (SELECT 1 AS a, 2 AS b) AS q USING (a)", ("a",)),
        ("duckdb", "SELECT q.* FROM (SELECT 1 AS a) AS p, (VALUES (1, 2)) AS q(x, y)", ("x", "y")),
        ("duckdb", "SELECT 1 AS a UNION ALL BY NAME SELECT 2 AS b", ("a", "b")),
        ("duckdb", "SELECT 1 AS a UNION ALL SELECT 2 AS b", ("a",)),
        ("duckdb", "SELECT UNNEST(s) AS e FROM db.t", None),
        ("duckdb", "WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM r) SELECT * FROM r", ("n",)),
    ],
)
def test_output_names(dialect: str, sql: str, expected: tuple[str, ...] | None) -> None:
    assert analyse(sql, dialect).output == expected
    if expected and dialect == "duckdb" and "db.t" not in sql:
        assert tuple(item[0] for item in duckdb.connect().execute(sql + " LIMIT 0").description) == expected


@pytest.mark.parametrize(
    ("dialect", "sql", "line", "column", "message"),
    [
        ("duckdb", "", 1, 1, "there is no query"),
        ("duckdb", "-- nothing\n", 1, 1, "there is no query"),
        ("duckdb", "SELECT 1;\n DROP TABLE x", 2, 2, "more than one statement"),
        ("duckdb", "SELECT 1;;SELECT 2", 1, 11, "more than one statement"),
        ("duckdb", "\n DELETE FROM x", 2, 2, "DELETE is not a query"),
        ("duckdb", "COPY t TO '/x'", 1, 1, "COPY is not a query"),
        ("duckdb", "SET x = 1", 1, 1, "SET is not a query"),
        ("duckdb", "INSERT INTO x SELECT 1", 1, 1, "INSERT is not a query"),
        ("duckdb", "CREATE TABLE x AS SELECT 1", 1, 1, "CREATE is not a query"),
        ("duckdb", "EXPLAIN ANALYZE DELETE FROM x", 1, 1, "EXPLAIN is not a query"),
        ("duckdb", "ATTACH 'x' AS y", 1, 1, "ATTACH is not a query"),
        ("duckdb", "MERGE INTO x USING y ON a = b WHEN MATCHED THEN DELETE", 1, 1, "MERGE is not a query"),
        ("duckdb", "a + 1", 1, 1, "an expression is not a query"),
        ("postgres", "WITH d AS (\n  DELETE FROM x RETURNING *) SELECT * FROM d", 2, 15, "DELETE inside a query"),
        ("postgres", "SELECT * INTO y FROM x", 1, 15, "SELECT INTO inside a query"),
        ("duckdb", "SELECT a,\n  (1\nFROM t", 3, 1, "does not parse: Expecting \\), at 'FROM'"),
        ("duckdb", "SELECT 1 FROM", 1, 10, "does not parse: Expected table name but got the end"),
        ("duckdb", "SELECT a b c FROM t", 1, 12, "does not parse"),
    ],
)
def test_only_one_reading_query_is_accepted(dialect: str, sql: str, line: int, column: int, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        analyse(sql, dialect)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_a_trailing_semicolon_and_comments_are_fine() -> None:
    assert analyse("SELECT 1 AS a; -- done", "duckdb").output == ("a",)


# -- splicing


@pytest.mark.parametrize(
    ("dialect", "sql", "expected"),
    [
        ("duckdb", "SELECT t.a FROM db.t -- db.t", 'SELECT t.a FROM "p"."db__t" AS "t" -- db.t'),
        ("duckdb", "SELECT 'db.t' FROM db.t x", 'SELECT \'db.t\' FROM "p"."db__t" x'),
        ("duckdb", 'SELECT 1 FROM"Db"."T"WHERE a', 'SELECT 1 FROM "p"."db__t" AS "T" WHERE a'),
        (
            "duckdb",
            "SELECT 1 FROM db.t TABLESAMPLE (10 PERCENT)",
            'SELECT 1 FROM "p"."db__t" AS "t" TABLESAMPLE (10 PERCENT)',
        ),
        ("duckdb", "SELECT 1 FROM db.order", 'SELECT 1 FROM "p"."db__order" AS "order"'),
        ("postgres", "SELECT 1 FROM db.t FOR UPDATE OF t", 'SELECT 1 FROM "p"."db__t" AS "t" FOR UPDATE OF t'),
        ("snowflake", "SELECT t.a FROM db.t, x", 'SELECT t.a FROM "p"."DB__T" AS "T", x'),
        ("snowflake", "SELECT 1 FROM db.t AT (OFFSET => -60)", 'SELECT 1 FROM "p"."DB__T" AT (OFFSET => -60) AS "T"'),
        (
            "bigquery",
            "SELECT 1 FROM `a-b.d.T`, p-q.d.u",
            "SELECT 1 FROM `p`.`a-b__d__T` AS `T`, `p`.`p-q__d__u` AS `u`",
        ),
        (
            "spark",
            "SELECT 1 FROM db.t LATERAL VIEW explode(x) AS y",
            "SELECT 1 FROM `p`.`db__t` AS `t` LATERAL VIEW explode(x) AS y",
        ),
        (
            "spark",
            "SELECT 1 FROM db.t TABLESAMPLE (10 PERCENT)",
            "SELECT 1 FROM `p`.`db__t` TABLESAMPLE (10 PERCENT) AS `t`",
        ),
        ("mysql", "SELECT 1 FROM db.t USE INDEX (i)", "SELECT 1 FROM `p`.`db__t` AS `t` USE INDEX (i)"),
        ("tsql", "SELECT 1 FROM [dbo].[a b] WITH (NOLOCK)", "SELECT 1 FROM [p].[dbo__a b] AS [a b] WITH (NOLOCK)"),
        (
            "clickhouse",
            "SELECT 1 FROM db.t FINAL WHERE a IN db.u",
            'SELECT 1 FROM "p"."db__t" AS "t" FINAL WHERE a IN "p"."db__u"',
        ),
        ("oracle", "SELECT t.a FROM db.t", 'SELECT t.a FROM "p"."DB__T" "T"'),
        ("postgres", "TABLE db.t", 'SELECT * FROM "p"."db__t" AS "t"'),
    ],
)
def test_names_are_replaced_in_the_author_s_text(dialect: str, sql: str, expected: str) -> None:
    left, right = {"bigquery": "``", "spark": "``", "mysql": "``", "tsql": "[]"}.get(dialect, '""')
    facts = analyse(sql, dialect)
    names = [name for name in facts.depends_on if name.lower() != "x"]
    replacements = {name: f"{left}p{right}.{left}{name.replace('.', '__')}{right}" for name in names}
    assert splice(sql, facts.references, replacements, dialect) == expected


def test_names_without_a_replacement_stay_as_written() -> None:
    sql = 'SELECT 1 FROM "Db".t, other.X'
    references = analyse(sql, "duckdb").references
    assert splice(sql, references, {}, "duckdb") == sql
    assert splice(sql, references, {"db.t": "p.q"}, "duckdb") == 'SELECT 1 FROM p.q AS "t", other.X'


@pytest.fixture(scope="module")
def warehouse() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for schema in ("a", "b"):
        connection.execute(f"CREATE SCHEMA {schema}")
        connection.execute(
            f"CREATE TABLE {schema}.t AS SELECT i AS id, i * {len(schema)} AS v, {{'v': i}} AS s FROM range(9) r(i)"
        )
        connection.execute(f"CREATE TABLE {schema}.u AS SELECT i AS id, i % 2 AS k FROM range(5) r(i)")
    connection.execute("CREATE SCHEMA p")
    for name in ("a.t", "b.t", "a.u", "b.u"):
        connection.execute(f"CREATE TABLE p.{name.replace('.', '__')} AS SELECT * FROM {name}")
    return connection


@pytest.mark.parametrize("subquery", [False, True], ids=["table", "subquery"])
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT t.id, v FROM a.t",
        "SELECT a.t.id, a.t.s.v, t.v FROM a.t WHERE a.t.id > 3",
        "SELECT memory.a.t.id FROM memory.a.t",
        "SELECT a.t.id AS x, b.t.id AS y FROM a.t JOIN b.t ON a.t.id = b.t.v",
        "SELECT t.id, (SELECT MAX(b.t.v) FROM b.t WHERE b.t.id = a.t.id) AS m FROM a.t",
        "WITH t AS (SELECT * FROM a.t) SELECT * FROM t JOIN a.u USING (id)",
        "WITH q AS (SELECT * FROM a.t WHERE id > 2) SELECT q.id FROM q WHERE EXISTS (FROM a.u WHERE u.id = q.id)",
        "SELECT * FROM (a.t JOIN a.u USING (id)) WHERE t.v > 1",
        "SELECT t FROM a.t",
        "SELECT x.id FROM a.t AS x, a.t y WHERE x.id = y.v",
        "FROM a.t SELECT id ORDER BY id LIMIT 3",
        "TABLE a.u",
        "SELECT * FROM a.u PIVOT (COUNT(*) FOR k IN (0, 1))",
        "PIVOT a.u ON k USING COUNT(*)",
        "SELECT a.t.id, t.v FROM a.t WHERE EXISTS (SELECT 1 FROM b.t WHERE b.t.id = a.t.id AND t.v > 3)",
        "SELECT id FROM a.t UNION ALL SELECT id FROM b.u WHERE id IN (SELECT k FROM a.u)",
        "SELECT t.id, z.k FROM a.t, LATERAL (SELECT u.k FROM a.u WHERE u.id = t.id) AS z",
        "SELECT COUNT(*) OVER (PARTITION BY a.u.k) AS n FROM a.u",
        "SELECT t.id FROM a.t TABLESAMPLE 100 PERCENT",
    ],
)
def test_a_spliced_query_returns_the_same_rows(warehouse: duckdb.DuckDBPyConnection, sql: str, subquery: bool) -> None:
    facts = analyse(sql, "duckdb", default_catalog="memory")
    replacements = {
        name: f"(SELECT * FROM p.{name.replace('.', '__')})" if subquery else f'"p"."{name.replace(".", "__")}"'
        for name in facts.depends_on
    }
    spliced = splice(sql, facts.references, replacements, "duckdb")
    assert analyse(spliced, "duckdb").depends_on == tuple(sorted(f"p.{n.replace('.', '__')}" for n in facts.depends_on))
    expected = warehouse.execute(sql).fetchall()
    assert expected
    assert sorted(map(repr, warehouse.execute(spliced).fetchall())) == sorted(map(repr, expected))


@given(
    st.lists(st.sampled_from(["a.t", "b.u", 'a."T x"', "c"]), min_size=1, max_size=6),
    st.sampled_from([" ", "\n", "/**/"]),
)
def test_splicing_leaves_every_other_character_alone(names: list[str], gap: str) -> None:
    sql = (
        f"SELECT{gap}1{gap}FROM{gap}"
        + f",{gap}".join(f"{name}{gap}AS{gap}n{i}" for i, name in enumerate(names))
        + f"{gap}-- é"
    )
    facts = analyse(sql, "duckdb")
    spliced = splice(sql, facts.references, dict.fromkeys(facts.depends_on, "<>"), "duckdb")
    assert (
        spliced
        == f"SELECT{gap}1{gap}FROM{gap}"
        + f",{gap}".join(f"<>{gap}AS{gap}n{i}" for i in range(len(names)))
        + f"{gap}-- é"
    )


# -- names, columns, other dialects


@pytest.mark.parametrize(
    ("name", "dialect", "expected"),
    [
        ('"Db"."T"', "duckdb", "db.t"),
        ("Db.T", "snowflake", "DB.T"),
        ('"Db".T', "snowflake", "Db.T"),
        ("`p.d.T`", "bigquery", "p.d.T"),
        ("p-1.d.T", "bigquery", "p-1.d.T"),
        (["Db", '"a b"'], "postgres", "db.a b"),
        ("c.s.t", "duckdb", "c.s.t"),
        ("t", "duckdb", "t"),
    ],
)
def test_names_are_normalised(name: str | list[str], dialect: str, expected: str) -> None:
    assert normalize_name(name, dialect) == expected


@pytest.mark.parametrize(
    "name", ["", "a.b.c.d", '"a.b".c', "f(x)", "select", "a b", "a; drop table b", "a -- x\n, b", "(select 1)"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match="is not a table name"):
        normalize_name(name, "duckdb")


SCHEMA = {
    "db.t": [Column(name="id", type="INT"), Column(name="a", type="DOUBLE"), Column(name="s", type="STRUCT(x INT)")],
    "other.db.u": [Column(name="id", type="BIGINT"), Column(name="v", type="no such type")],
}


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM db.t", [("id", "INT"), ("a", "DOUBLE"), ("s", "STRUCT(x INT)")]),
        ("SELECT * FROM main_db.db.t", [("id", "INT"), ("a", "DOUBLE"), ("s", "STRUCT(x INT)")]),
        ("SELECT t.id, s.x, v, NULL AS n, DATE '2020-01-01' AS d FROM db.t, other.db.u",
         [("id", "INT"), ("x", "INT"), ("v", "UNKNOWN"), ("n", "UNKNOWN"), ("d", "DATE")]),
        ("SELECT u.* FROM db.t JOIN other.db.u USING (id)", [("id", "BIGINT"), ("v", "UNKNOWN")]),
        ("WITH t AS (SELECT 'x' AS y) SELECT * FROM t", [("y", "TEXT")]),
        ("SELECT nowhere AS x FROM db.t", [("x", "UNKNOWN")]),
        ("SELECT a + 1 FROM db.t", None),
        ("SELECT * FROM db.unheard", None),
        ("SELECT id, * FROM db.t", None),
        ("PIVOT db.t ON id USING SUM(a)", None),
    ],
)  # fmt: skip
def test_output_columns(sql: str, expected: list[tuple[str, str]] | None) -> None:
    columns = output_columns(sql, "duckdb", SCHEMA)
    assert (None if columns is None else [(column.name, column.type) for column in columns]) == expected


def test_a_terminator_inside_a_string_stays() -> None:
    assert without_terminator("SELECT ';' ; ; ", "duckdb").strip() == "SELECT ';'"


def test_transpiling() -> None:
    assert transpile("SELECT a::INT FROM t", "duckdb", "bigquery") == "SELECT CAST(a AS INT64) FROM t"
    assert transpile("select  a", "duckdb", "duckdb") == "select  a"
    assert transpile("SELECT 1; SELECT 2", "duckdb", "postgres") == "SELECT 1;\nSELECT 2"
    with pytest.raises(ModelError, match="does not parse"):
        transpile("SELECT (1", "duckdb", "postgres")
    with pytest.raises(UnsupportedError, match="postgres cannot say this"):
        transpile("SELECT * FROM t PIVOT (SUM(v) FOR k IN (1, 2))", "duckdb", "postgres")


def test_the_librarys_own_warnings_are_not_printed(caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(ModelError, match="EXPLAIN is not a query"):
        analyse("EXPLAIN ANALYZE DELETE FROM t", "duckdb")
    assert not caplog.records


def test_the_library_writes_again_only_what_the_engine_cannot_read_as_written() -> None:
    asked: list[str] = []

    def reads(text: str) -> bool:
        asked.append(text)
        return "a, b" in text or "plain" in text

    assert transpile("select plain  from t", "duckdb", "duckdb", reads=reads) == "select plain  from t"
    assert transpile("SELECT 1 FROM a JOIN b", "duckdb", "duckdb", reads=reads) == "SELECT 1 FROM a, b"
    # when that does not help, or the library cannot read it either, the engine tells what is wrong with the text
    assert transpile("SELECT 1  FROM t", "duckdb", "duckdb", reads=reads) == "SELECT 1  FROM t"
    assert transpile("SELECT (1", "duckdb", "duckdb", reads=reads) == "SELECT (1"
    assert len(asked) == 6


DAY = """SELECT a."it's", 'it''s' AS said -- don't
FROM {0} AS a JOIN s.b ON a.ds BETWEEN '{1}' AND '{2}' WHERE EXISTS (SELECT 1 FROM s.c AS c WHERE c.ds > '{2}')"""


@pytest.mark.parametrize("dialect", ["", "duckdb", "postgres"])
@pytest.mark.parametrize("last", ["1970-01-02", "2024-02-29", "2024-02-29 23:59:59.999999", "", "it''s -- late"])
def test_references_are_found_again_where_only_strings_differ(dialect, last):
    before = DAY.format("s.a", "1970-01-01", "1970-01-01")
    text = DAY.format("s.a", "2024-02-28", last)
    found = found_again(text, dialect, analyse(before, dialect).references, before)
    assert found == (None if "''" in last else analyse(text, dialect).references)


@pytest.mark.parametrize(
    "text",
    [
        DAY.format("s.x", "1970-01-01", "1970-01-01"),
        DAY.format("s.a", "1970-01-01", "1970-01-01") + " LIMIT 1",
        DAY.format("s.a", "1970-01-01", "1970-01-01").replace('"it\'s"', '"it\'x"'),
        DAY.format("s.a", "1970-01-01", "1970-01-01").replace("don't", "do not"),
        DAY.format("s.a", "$$1970-01-01", "1970-01-01"),
        DAY.format("s.a", "\\1970-01-01", "1970-01-01"),
        DAY.format("/* ' */ s.a", "1970-01-01", "1970-01-01"),
    ],
)
def test_references_are_not_guessed_where_more_may_differ(text):
    before = DAY.format("s.a", "1970-01-01", "1970-01-01")
    references = analyse(before, "duckdb").references
    assert found_again(text, "duckdb", references, before) is None
    assert found_again(before.replace("01", "02"), "bigquery", references, before) is None


def test_a_file_whose_name_varies_is_no_reference_that_is_found_again():
    before, after = (f"SELECT * FROM s.a, '{day}.csv'" for day in ("1970-01-01", "2024-01-01"))
    references = (*analyse(before, "duckdb").references, Reference(start=19, end=35, name="x"))
    assert found_again(after, "duckdb", references, before) is None
