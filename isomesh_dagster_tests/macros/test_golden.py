"""The golden snippets of the macro language: what is written, and the SQL it must give."""

from __future__ import annotations

import pytest
from sqlglot import parse

from isomesh_dagster.errors import MacroError
from isomesh_dagster.macros.expander import Expander
from isomesh_dagster.macros.values import Variable
from isomesh_dagster.macros.variables import time_variables

VARIABLES: dict[str, Variable] = {
    "gateway": "production",
    "x": "str",
    "n": -3,
    "cols": ["a", "b"],
    "unit": "day",
    "type": "INT",
    "tbl": "my_tbl",
}

GOLDEN = [
    ("SELECT @start_ds AS d", "SELECT '1970-01-01' AS d"),
    (
        "SELECT * FROM t WHERE ds BETWEEN @start_ds AND @end_ds",
        "SELECT * FROM t WHERE ds BETWEEN '1970-01-01' AND '1970-01-01'",
    ),
    (
        "SELECT '@start_ds' AS lit, @'prefix_@{x}' AS tpl, @'@x' AS tpl2",
        "SELECT '@start_ds' AS lit, 'prefix_str' AS tpl, 'str' AS tpl2",
    ),
    ("SELECT @IF(@gateway = 'production', a, b) AS v FROM t", "SELECT a AS v FROM t"),
    ("SELECT x, @IF(@gateway = 'dev', a), c FROM t", "SELECT x, c FROM t"),
    ("SELECT @EACH(@cols, c -> c AS @c) FROM t", "SELECT 'a' AS \"a\", 'b' AS \"b\" FROM t"),
    ("SELECT @EACH(['a', 'b'], c -> c AS @c) FROM t", "SELECT 'a' AS \"a\", 'b' AS \"b\" FROM t"),
    ("SELECT @EACH([a, b], c -> c AS @c) FROM t", "SELECT a AS a, b AS b FROM t"),
    ("SELECT @EACH([a, b], c -> SUM(c) AS sum_@c) FROM t", "SELECT SUM(a) AS sum_a, SUM(b) AS sum_b FROM t"),
    (
        "SELECT @EACH(['a', 'b'], v -> CASE WHEN k = v THEN 1 ELSE 0 END AS is_@v) FROM t",
        "SELECT CASE WHEN k = 'a' THEN 1 ELSE 0 END AS is_a, CASE WHEN k = 'b' THEN 1 ELSE 0 END AS is_b FROM t",
    ),
    (
        "SELECT @EACH([(a, b), (c, d)], (p, q) -> p + q AS @{p}_@{q}) FROM t",
        "SELECT a + b AS a_b, c + d AS c_d FROM t",
    ),
    ("SELECT * FROM @{gateway}_schema.my_model", "SELECT * FROM production_schema.my_model"),
    (
        "SELECT * FROM @IF(@gateway = 'production', prod_schema, dev_schema).my_model",
        "SELECT * FROM prod_schema.my_model",
    ),
    (
        "SELECT * FROM @IF(@gateway = 'production', prod_schema.m, dev_schema.m) AS t",
        "SELECT * FROM prod_schema.m AS t",
    ),
    ("SELECT @VAR('x') AS a, @VAR('nope', 1) AS b", "SELECT 'str' AS a, 1 AS b"),
    ("SELECT 1 FROM t WHERE @AND(TRUE, x > 1)", "SELECT 1 FROM t WHERE TRUE AND x > 1"),
    (
        "SELECT 1 FROM t WHERE @AND(TRUE, NULL, x > 1, y = 2 OR z)",
        "SELECT 1 FROM t WHERE TRUE AND x > 1 AND (y = 2 OR z)",
    ),
    ("SELECT 1 FROM t WHERE @OR(FALSE, x > 1)", "SELECT 1 FROM t WHERE FALSE OR x > 1"),
    ("@WITH(TRUE) cte AS (SELECT 1 AS a) SELECT * FROM cte", "WITH cte AS (SELECT 1 AS a) SELECT * FROM cte"),
    ("@WITH(@gateway = 'dev') cte AS (SELECT 1 AS a) SELECT 2 AS b", "SELECT 2 AS b"),
    (
        "SELECT * FROM t LEFT OUTER @JOIN(@gateway = 'production') u ON t.a = u.a",
        "SELECT * FROM t LEFT OUTER JOIN u ON t.a = u.a",
    ),
    (
        "SELECT * FROM t LEFT OUTER @JOIN(@gateway = 'dev') u ON t.a = u.a WHERE t.x > 1",
        "SELECT * FROM t WHERE t.x > 1",
    ),
    ("SELECT * FROM t @WHERE(@gateway = 'dev') a > 1 OR b = 2", "SELECT * FROM t"),
    (
        "SELECT a, COUNT(*) AS c FROM t @GROUP_BY(TRUE) a @HAVING(FALSE) COUNT(*) > 1 @ORDER_BY(TRUE) a DESC"
        " @LIMIT(TRUE) 10",
        "SELECT a, COUNT(*) AS c FROM t GROUP BY a ORDER BY a DESC LIMIT 10",
    ),
    ("SELECT INTERVAL @n DAY AS i", "SELECT INTERVAL (-3) DAY AS i"),
    ("SELECT INTERVAL '1' @unit AS i", "SELECT INTERVAL '1' day AS i"),
    ("SELECT CAST(a AS @type) AS a, b::@type AS b FROM t", "SELECT CAST(a AS INT) AS a, b::INT AS b FROM t"),
    ("SELECT foo_@{x}_bar, a_@x FROM t_@x", "SELECT foo_str_bar, a_str FROM t_str"),
    ("@DEF(y, 10); SELECT @y + 1 AS z", "SELECT 10 + 1 AS z"),
    ("@DEF(f, v -> v + 1); SELECT @f(a) AS z FROM t", "SELECT a + 1 AS z FROM t"),
    ("@DEF(cc, ['a', 'b']); SELECT @EACH(@cc, c -> @c) FROM t", "SELECT 'a', 'b' FROM t"),
    ("SELECT @SQL('a + 1') AS z, @SQL(@'@x + 2') AS w FROM t", "SELECT a + 1 AS z, str + 2 AS w FROM t"),
    ("SELECT @EVAL(1 + 2) AS z", "SELECT 3 AS z"),
    (
        "SELECT @REDUCE([a, b, c], (p, q) -> p + q) AS s,"
        " @REDUCE(@FILTER([1, 2, 3], v -> v > 1), (p, q) -> p + q) AS r",
        "SELECT a + b + c AS s, 2 + 3 AS r",
    ),
    (
        "SELECT @SAFE_ADD(a, b) AS s, @SAFE_DIV(a, b) AS q FROM t",
        "SELECT CASE WHEN a IS NULL AND b IS NULL THEN NULL ELSE COALESCE(a, 0) + COALESCE(b, 0) END AS s,"
        " a / NULLIF(b, 0) AS q FROM t",
    ),
    ("SELECT @IF(@IF(TRUE, TRUE, FALSE), @IF(FALSE, 1, 2), 3) AS n", "SELECT 2 AS n"),
    ("SELECT a FROM t LIMIT @n", "SELECT a FROM t LIMIT (-3)"),
    ("SELECT -@n AS neg, @n * 2 AS m, a<@n AS lt FROM t", "SELECT -(-3) AS neg, (-3) * 2 AS m, a<(-3) AS lt FROM t"),
    ("SELECT @EACH(@cols, c -> @IF(@c = 'a', NULL, @c)) FROM t", "SELECT NULL, 'b' FROM t"),
    ("SELECT COUNT(*) FILTER (WHERE @AND(a, b)) AS n FROM t", "SELECT COUNT(*) FILTER (WHERE a AND b) AS n FROM t"),
    (
        "SELECT CASE WHEN @gateway = 'production' THEN 1 END AS p",
        "SELECT CASE WHEN 'production' = 'production' THEN 1 END AS p",
    ),
    (
        "SELECT @x AS s, @tbl AS t, @{tbl} AS u FROM @tbl, @{tbl}",
        "SELECT 'str' AS s, 'my_tbl' AS t, my_tbl AS u FROM \"my_tbl\", my_tbl",
    ),
    ("SELECT {{ a }} FROM t", "SELECT {{ a }} FROM t"),
    ("SELECT ARRAY_AGG(x -> x) FROM t", "SELECT ARRAY_AGG(x -> x) FROM t"),
    (
        "@IF(@gateway = 'production', CREATE TABLE foo (a INT)); SELECT 1 AS a",
        "CREATE TABLE foo (a INT); SELECT 1 AS a",
    ),
    (
        "SELECT a FROM t WHERE a IN (@EACH(['a', 'b'], v -> v)) AND b IN @cols",
        "SELECT a FROM t WHERE a IN ('a', 'b') AND b IN ('a', 'b')",
    ),
]

# Snippets whose result is spelled differently in other dialects, or which only some of them read.
DUCKDB_ONLY = [
    ('SELECT "@{x}_suffix" FROM t', 'SELECT "str_suffix" FROM t'),
    (
        "SELECT @GENERATE_SURROGATE_KEY(a, b) AS k FROM t",
        "SELECT MD5(COALESCE(CAST(a AS TEXT), '_sqlmesh_surrogate_key_null_') || '|' ||"
        " COALESCE(CAST(b AS TEXT), '_sqlmesh_surrogate_key_null_')) AS k FROM t",
    ),
    (
        "SELECT @DATE_SPINE('day', '2024-01-01', '2024-01-03') AS x",
        "SELECT (SELECT date_day FROM UNNEST(CAST(GENERATE_SERIES(CAST('2024-01-01' AS DATE),"
        " CAST('2024-01-03' AS DATE), INTERVAL '1' DAY) AS DATE[])) AS _spine(date_day)) AS x",
    ),
]

REFUSED = [
    ("SELECT @IF(@gateway = 'dev', a) AS v, c FROM t", MacroError, 8, "take the alias into the macro"),
    ("SELECT @STAR(foo) FROM foo", MacroError, 8, "list the columns"),
    ("@UNION('distinct', foo, foo)", MacroError, 1, "list the columns"),
]

DIALECTS = ("postgres", "bigquery", "snowflake", "spark", "databricks", "redshift", "tsql", "mysql", "trino")


def expand(text: str, dialect: str) -> str:
    times = time_variables(dialect, start=0, end=86_400_000, execution=0)
    return Expander(dialect, {**VARIABLES, **times}, path="m.sql").expand(text)


@pytest.mark.parametrize(("text", "expected"), [*GOLDEN, *DUCKDB_ONLY])
def test_duckdb(text: str, expected: str) -> None:
    assert expand(text, "duckdb") == expected


@pytest.mark.parametrize("dialect", DIALECTS)
def test_other_dialects_differ_in_quotes_only(dialect: str) -> None:
    for text, expected in GOLDEN:
        result = expand(text, dialect)
        for name in ("a", "b", "my_tbl"):
            result = result.replace(f"`{name}`", f'"{name}"').replace(f" [{name}]", f' "{name}"')
        assert result == expected


@pytest.mark.parametrize("dialect", ["duckdb", *DIALECTS])
@pytest.mark.parametrize(
    "text",
    [
        "SELECT @GENERATE_SURROGATE_KEY(a, b) AS k FROM t",
        "WITH d AS (@DATE_SPINE('week', @start_date, '2024-01-03')) SELECT * FROM d",
        "@DEDUPLICATE(my.t, [id, CAST(ts AS DATE)], ['ts desc', 'x'])",
        "SELECT @PIVOT(status, ['a', 'b c']), @HAVERSINE_DISTANCE(a, b, c, d) FROM t",
        "SELECT * FROM t WHERE ts BETWEEN @start_dt AND @end_dt AND d = @start_date AND x < @execution_dtntz",
    ],
)
def test_generated_sql_is_valid_in_every_dialect(text: str, dialect: str) -> None:
    (tree,) = parse(expand(text, dialect), dialect=dialect)
    assert tree is not None
    assert tree.sql(dialect)


@pytest.mark.parametrize(("text", "error", "column", "hint"), REFUSED)
def test_refused(text: str, error: type[MacroError], column: int, hint: str) -> None:
    with pytest.raises(error) as caught:
        expand(text, "duckdb")
    assert (caught.value.path, caught.value.line, caught.value.column) == ("m.sql", 1, column)
    assert hint in (caught.value.hint or "")
