"""What people write daily in a dialect means the same on DuckDB: what their own engine answers."""

from datetime import date

import duckdb
import pytest

from isomesh_dagster.dialect.query import transpile

MADE = """
CREATE TABLE o AS SELECT 1 AS id, 'a b' AS n, TIMESTAMP '2026-11-20 06:05:00' AS at, 10 AS qty,
    '{"tags": ["x", "y"], "who": {"name": "ann"}, "none": []}'::JSON AS p,
    [{'key': 'page', 'value': 'home'}, {'key': 'ref', 'value': 'mail'}] AS params;
"""
FLATTENED = "SELECT f.value::VARCHAR AS tag, f.index AS at FROM o, LATERAL FLATTEN(input => o.p:tags) f ORDER BY 2"
NAMED = "SELECT f.key, f.path, f.value:name::VARCHAR FROM o, TABLE(FLATTEN(o.p)) AS f WHERE f.key = 'who'"
OUTER = "SELECT id, f.value::INT FROM o, LATERAL FLATTEN(input => o.p:none, outer => TRUE) AS f"
SPLIT = "SELECT s.value::STRING FROM o CROSS JOIN LATERAL FLATTEN(INPUT => SPLIT(n, ' ')) AS s WHERE s.value = 'b'"
GENERATED = "SELECT value::INT AS n FROM TABLE(FLATTEN(ARRAY_GENERATE_RANGE(0, 3))) ORDER BY n"
APPLIED = "SELECT v.k, v.n FROM o CROSS APPLY (VALUES ('qty', o.qty), ('id', o.id)) AS v(k, n) ORDER BY 1"
TOP = "SELECT o.id, t.id AS other FROM o OUTER APPLY (SELECT TOP 1 x.id FROM o AS x WHERE x.id > o.id) AS t"
SUNDAY, NEW_YEAR = "CAST('2026-11-22' AS DATE)", "CAST('2026-01-01' AS DATE)"
EARLY, LATE = "CAST('2026-01-01 00:59:00' AS TIMESTAMP)", "CAST('2026-01-01 01:01:00' AS TIMESTAMP)"
FIRST = "SELECT ARRAY_AGG(v IGNORE NULLS ORDER BY v DESC LIMIT 2)[OFFSET(1)] FROM UNNEST([1, 2, 3]) AS v"


@pytest.mark.parametrize(
    ("dialect", "text", "given"),
    [
        ("snowflake", FLATTENED, [("x", 0), ("y", 1)]),
        ("snowflake", NAMED, [("who", "who", "ann")]),
        ("snowflake", OUTER, [(1, None)]),
        ("snowflake", OUTER.replace(", outer => TRUE", ""), []),
        ("snowflake", SPLIT, [("b",)]),
        ("snowflake", GENERATED, [(0,), (1,), (2,)]),
        ("snowflake", "SELECT p:who.name::STRING, p:who, p:tags[1]::VARCHAR FROM o", [("ann", '{"name":"ann"}', "y")]),
        ("databricks", "SELECT p:who.name::STRING FROM o", [("ann",)]),
        ("snowflake", "SELECT column1 AS a, $2 AS b FROM VALUES (1, 'x'), (2, 'y') ORDER BY 1", [(1, "x"), (2, "y")]),
        ("snowflake", "SELECT t.$1 FROM (VALUES (1, 'x')) AS t", [(1,)]),
        ("snowflake", "SELECT TO_CHAR(at, 'YYYY-MM-DD HH24:MI') FROM o", [("2026-11-20 06:05",)]),
        ("snowflake", "SELECT RATIO_TO_REPORT(qty) OVER (PARTITION BY id) FROM o", [(1.0,)]),
        ("redshift", "SELECT RATIO_TO_REPORT(qty) OVER (PARTITION BY id) FROM o", [(1.0,)]),
        ("bigquery", "SELECT (SELECT value FROM UNNEST(params) WHERE key = 'ref') AS ref FROM o", [("mail",)]),
        ("bigquery", "SELECT one.value, i FROM o, UNNEST(params) AS one WITH OFFSET AS i WHERE i = 1", [("mail", 1)]),
        ("bigquery", "SELECT n, i FROM UNNEST(['a', 'b']) AS n WITH OFFSET AS i ORDER BY i", [("a", 0), ("b", 1)]),
        ("bigquery", "SELECT offset FROM o LEFT JOIN UNNEST(params) WITH OFFSET ORDER BY 1", [(0,), (1,)]),
        ("bigquery", FIRST, [(2,)]),
        ("snowflake", "SELECT id FROM o WHERE p:who.name = 'ann'", [(1,)]),
        ("snowflake", "SELECT LISTAGG(n, ',') FROM o WHERE id = 2", [("",)]),
        ("snowflake", "SELECT CAST(2.5::FLOAT AS INT)", [(3,)]),
        ("spark", f"SELECT dayofweek({SUNDAY}), CAST(2.9 AS INT), CAST(2.7 AS DECIMAL)", [(1, 2, 3)]),
        ("spark", "SELECT regexp_replace('ab', '(a)(b)', '$2$1')", [("ba",)]),
        ("postgres", f"SELECT EXTRACT(dow FROM {SUNDAY})", [(0,)]),
        ("bigquery", f"SELECT EXTRACT(DAYOFWEEK FROM {SUNDAY}), EXTRACT(WEEK FROM {NEW_YEAR})", [(1, 0)]),
        ("bigquery", f"SELECT TIMESTAMP_DIFF({LATE}, {EARLY}, HOUR)", [(0,)]),
        ("mysql", f"SELECT TIMESTAMPDIFF(HOUR, {EARLY}, {LATE}), WEEK({SUNDAY}), CAST(2.7 AS DECIMAL)", [(0, 47, 3)]),
        ("trino", f"SELECT date_diff('hour', {EARLY}, {LATE}), date_diff('month', {NEW_YEAR}, {SUNDAY})", [(0, 10)]),
        ("trino", f"SELECT {SUNDAY} + INTERVAL '1' DAY, day_of_week({SUNDAY})", [(date(2026, 11, 23), 7)]),
        ("redshift", f"SELECT DATEDIFF(week, {SUNDAY} - 1, {SUNDAY}), CONCAT('a', NULL)", [(1, None)]),
        (
            "tsql",
            "SELECT DATEDIFF(week, '2026-11-21', '2026-11-22'), LEN('a '), 7 / 2 / 2, 9.0 / 2 / 2",
            [(1, 1, 1, 2.25)],
        ),
        ("tsql", f"SELECT DATEPART(weekday, {SUNDAY}), DATEPART(week, {SUNDAY}), CAST(1 AS BIT)", [(1, 48, True)]),
        ("tsql", APPLIED, [("id", 1), ("qty", 10)]),
        ("tsql", TOP, [(1, None)]),
        ("tsql", "SELECT s.value FROM o CROSS APPLY STRING_SPLIT(n, ' ') AS s ORDER BY 1", [("a",), ("b",)]),
        ("tsql", "SELECT CAST(qty AS VARCHAR(MAX)) + N'!' FROM o", [("10!",)]),
    ],
)
def test_an_idiom_is_understood(dialect: str, text: str, given: object) -> None:
    made = duckdb.connect()
    made.execute(MADE)
    assert made.execute(transpile(text, dialect, "duckdb")).fetchall() == given
