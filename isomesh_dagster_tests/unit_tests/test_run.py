"""Tests of models run on a real DuckDB in memory: what is made of fixtures, of the query, of the differences."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone

import pytest

from isomesh_dagster.dialect.query import analyse
from isomesh_dagster.dialect.testable import cte_names, frozen, is_ordered, up_to_cte
from isomesh_dagster.model import kinds
from isomesh_dagster.model.kinds import ModelKind
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.unit_tests import UnitTestContext, parse_unit_tests
from isomesh_dagster.plan.columns import ColumnCatalog
from isomesh_dagster.relation import Column
from isomesh_dagster.unit_tests.run import UnitTestBed, UnitTestResult, run_unit_tests
from isomesh_dagster_tests.factories import model

RAW = model(
    "db.raw",
    kind=kinds.External(),
    columns=(Column(name="id", type="INT"), Column(name="ts", type="TIMESTAMP"), Column(name="tags", type="TEXT[]")),
)


def written(name: str, query: str, kind: ModelKind | None = None, *, dialect: str = "duckdb", **more: object) -> Model:
    """A model as the loader makes it: with its references and what it depends on."""
    facts = analyse(query.replace("@{source}", "db").replace("@", ""), dialect)
    parents = tuple(one for one in facts.depends_on if one != name)
    values = {"references": facts.references, "depends_on": parents, "dialect": dialect, **more}
    return model(name, query, kind, **values)


def run(yaml: str, *models: Model, variables: Mapping[str, str] | None = None) -> UnitTestResult:
    """The result of the one test in `yaml`, of a model that is the last of `models`."""
    by_name = {one.name: one for one in models}
    context = UnitTestContext(
        models=by_name, dialect="duckdb", default_catalog=None, gateways=("test",), read_file=lambda _: b""
    )
    indented = "\n".join(f"  {line}" for line in yaml.strip("\n").splitlines())
    tests = parse_unit_tests(f"t:\n  model: {models[-1].name}\n{indented}\n", "tests/test_a.yaml", context)
    bed = UnitTestBed(models=by_name, columns=ColumnCatalog(by_name).of)
    (result,) = run_unit_tests(tests, bed)
    return result


def passes(yaml: str, *models: Model) -> None:
    result = run(yaml, *models)
    assert result.error is None, str(result.error)
    assert result.differences == ()
    assert result.passed


def fails(yaml: str, *models: Model) -> str:
    """The message of the error."""
    result = run(yaml, *models)
    assert not result.passed
    assert result.error is not None, result.differences
    assert result.error.path == "tests/test_a.yaml"
    assert result.error.line is not None
    return f"{result.error.message} {result.error.hint}"


# ---- fixtures --------------------------------------------------------------------------------------------


def test_a_column_that_no_row_gives_is_null_of_its_type() -> None:
    passes(
        "inputs: {db.raw: [{id: 1}]}\noutputs: {query: [{id: 1, y: null, tags: null}]}",
        RAW,
        written("db.m", "SELECT id, YEAR(ts) AS y, list_sort(tags) AS tags FROM db.raw"),
    )


def test_declared_types_are_given_to_text() -> None:
    passes(
        "inputs: {db.raw: [{id: '7', ts: '2024-02-03 04:05:06', tags: [b, a]}]}\n"
        "outputs: {query: [{d: 6, h: 4, t: a}]}",
        RAW,
        written("db.m", "SELECT id - 1 AS d, HOUR(ts) AS h, list_sort(tags)[1] AS t FROM db.raw"),
    )


def test_types_are_inferred_from_the_query_of_the_model_that_is_read() -> None:
    parent = written("db.p", "SELECT id, CAST(ts AS DATE) AS day, SUM(id) AS total FROM db.raw GROUP BY ALL")
    passes(
        "inputs: {db.p: [{day: '2024-02-03', total: 1.5}]}\noutputs: {query: [{month: 2, total: 1.5, id: null}]}",
        RAW,
        parent,
        written("db.m", "SELECT MONTH(day) AS month, total, id FROM db.p"),
    )


def test_types_of_the_test_win() -> None:
    passes(
        "inputs: {db.raw: {columns: {id: 'DECIMAL(9, 4)'}, rows: [{id: 1.0625}]}}\noutputs: {query: [{id: 1.0625}]}",
        RAW,
        written("db.m", "SELECT id FROM db.raw"),
    )


def test_tables_nobody_knows_have_the_types_of_their_values() -> None:
    passes(
        """
inputs:
  x.y:
    - {n: 1, f: 1, t: a, d: 2024-01-31, m: 2024-01-31 10:00:00, s: {a: 1}, l: [1, 2], b: true, big: 9999999999999999999}
    - {n: 2, f: 2.5}
outputs:
  query:
    - {n: 1, f: 2, t: A, y: 2024, h: 10, s: 1, l: 2, b: false, big: 10000000000000000000}
    - {n: 2, f: 3.5}
""",
        written(
            "db.m",
            "SELECT n, f + 1 AS f, UPPER(t) AS t, YEAR(d) AS y, HOUR(m) AS h, s.a AS s, l[2] AS l, NOT b AS b,"
            " big + 1 AS big FROM x.y",
        ),
    )


def test_codes_in_csv_that_look_like_numbers_stay_text() -> None:
    passes(
        """
inputs:
  x.y: {format: csv, rows: "zip,code,n\\n012.5,1_000,1.\\n00e1,2_000,-2e3\\n"}
outputs: {query: [{zip: '012.5!', code: '1_000!', n: 2.0}, {zip: '00e1!', code: '2_000!', n: -1999}]}
""",
        written("db.m", "SELECT zip || '!' AS zip, code || '!' AS code, n + 1 AS n FROM x.y"),
    )


def test_csv_has_the_declared_types_else_those_of_its_values() -> None:
    passes(
        """
inputs:
  db.raw: {format: csv, rows: "id,ts\\n1,2024-01-31\\n2,\\n"}
  x.y: {format: csv, rows: "id,f,b,t,z\\n1,1.5,true,7,007\\n2,2,false,x,008\\n"}
outputs:
  query:
    - {d: 31, f: 3, b: false, t: '7', z: '007'}
    - {d: null, f: 4, b: true, t: x, z: '008'}
""",
        RAW,
        written("db.m", "SELECT DAY(ts) AS d, f * 2 AS f, NOT b AS b, t, z FROM db.raw JOIN x.y USING (id)"),
    )


def test_a_query_as_fixture_and_as_expectation() -> None:
    passes(
        """
inputs:
  db.raw: {query: "SELECT n AS id FROM range(3) AS r(n);"}
outputs:
  query: {query: "SELECT 3 AS total, NULL AS last"}
""",
        RAW,
        written("db.m", "SELECT SUM(id) AS total, MAX(ts) AS last FROM db.raw"),
    )


def test_empty_tables() -> None:
    passes("inputs: {db.raw: []}\noutputs: {query: []}", RAW, written("db.m", "SELECT id FROM db.raw"))
    passes("inputs: {db.raw: []}\noutputs: {query: [{n: 0}]}", RAW, written("db.m", "SELECT COUNT(*) AS n FROM db.raw"))


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("inputs: {db.raw: [{idd: 1}]}\noutputs: {query: []}", "no column 'idd' did you mean `id`?"),
        ("inputs: {db.raw: {query: SELECT 1 AS idd}}\noutputs: {query: []}", "no column 'idd' did you mean `id`?"),
        ("inputs: {db.raw: [{id: 1.5}]}\noutputs: {query: []}", "1.5 would become '2', as id is INT"),
        ("inputs: {db.raw: [{id: one}]}\noutputs: {query: []}", "do not fit the columns"),
        ("inputs: {db.raw: {query: SELEC 1}}\noutputs: {query: []}", "input db.raw"),
        ("inputs: {db.raw: []}\noutputs: {ctes: {a: []}}", "no CTE 'a'"),
        ("inputs: {db.raw: {columns: {id: nonsens}, rows: [{id: 1}]}}\noutputs: {query: []}", "nonsens"),
    ],
)
def test_what_is_wrong_with_a_fixture_is_told(yaml: str, message: str) -> None:
    assert message in fails(yaml, RAW, written("db.m", "SELECT id FROM db.raw"))


def test_an_empty_table_nobody_knows_needs_columns() -> None:
    reader = written("db.m", "SELECT id FROM x.y")
    assert "add `columns" in fails("inputs: {x.y: []}\noutputs: {query: []}", reader)
    passes("inputs: {x.y: {columns: {id: INT}, rows: []}}\noutputs: {query: []}", reader)


# ---- the query -------------------------------------------------------------------------------------------


def test_an_embedded_parent_is_inlined_or_given_and_can_be_tested_itself() -> None:
    half = written("db.half", "SELECT id / 2 AS h FROM db.raw", kinds.Embedded())
    reader = written("db.m", "SELECT half.h + 1 AS n FROM db.half")
    passes("inputs: {db.raw: [{id: 4}]}\noutputs: {query: [{n: 3}]}", RAW, half, reader)
    passes("inputs: {db.half: [{h: 9}]}\noutputs: {query: [{n: 10}]}", RAW, half, reader)
    passes("inputs: {db.raw: [{id: 4}]}\noutputs: {query: [{h: 2}]}", RAW, half)


def test_the_range_and_variables_of_a_test() -> None:
    daily = written(
        "db.m",
        "SELECT id, @region AS r FROM db.raw WHERE ts BETWEEN @start_ts AND @end_ts",
        kinds.IncrementalByTimeRange(time_column="ts"),
        variables={"gateway": "test", "region": "eu"},
    )
    rows = "inputs: {db.raw: [{id: 1, ts: 2024-01-01}, {id: 2, ts: 2024-01-02 23:00:00}, {id: 3, ts: 2024-01-03}]}"
    passes(f"vars: {{start: 2024-01-02}}\n{rows}\noutputs: {{query: [{{id: 2, r: eu}}]}}", RAW, daily)
    passes(
        f"vars: {{start: 2024-01-02, end: 2024-01-03, Region: us}}\n{rows}\n"
        "outputs: {query: [{id: 2, r: us}, {id: 3, r: us}]}",
        RAW,
        daily,
    )
    passes(f"{rows}\noutputs: {{query: []}}", RAW, daily)


def test_the_clock_is_frozen() -> None:
    passes(
        """
vars: {execution_time: '2024-01-03 10:20:30'}
inputs: {db.raw: [{id: 1, ts: 2024-01-01}]}
outputs:
  query: [{current_date: 2024-01-03, n: '2024-01-03 10:20:30', age: 2, ds: '2024-01-03', t: '10:20:30', s: testing}]
""",
        RAW,
        written(
            "db.m",
            "SELECT CURRENT_DATE, now() AS n, today() - CAST(ts AS DATE) AS age, @execution_ds AS ds, "
            "CURRENT_TIME AS t, @runtime_stage AS s FROM db.raw",
        ),
    )


def test_a_model_that_reads_itself_starts_with_nothing_unless_it_is_given() -> None:
    own = written(
        "db.m", "SELECT 1 + COALESCE((SELECT MAX(n) FROM db.m), 0) AS n", columns=(Column(name="n", type="INT"),)
    )
    passes("outputs: {query: [{n: 1}]}", own)
    passes("inputs: {db.m: [{n: 4}]}\noutputs: {query: [{n: 5}]}", own)


def test_a_table_that_only_the_variables_of_the_test_lead_to() -> None:
    chosen = written(
        "db.m", "SELECT id FROM @{source}.raw", variables={"source": "db"}, references=(), depends_on=("db.raw",)
    )
    message = fails("vars: {source: other}\ninputs: {db.raw: []}\noutputs: {query: []}", RAW, chosen)
    assert "db.m reads other.raw, which `inputs` does not give" in message


def test_other_dialects_are_translated() -> None:
    snow = written(
        "DB.M",
        "SELECT IFF(n > 1, 'many', 'one') AS c, TO_DATE(d) AS d FROM DB.RAW",
        dialect="snowflake",
    )
    passes(
        "inputs: {DB.RAW: {columns: {n: 'NUMBER(10, 2)'}, rows: [{n: 1.5, d: '2024-01-31'}]}}\n"
        "outputs: {query: [{c: many, d: 2024-01-31}]}",
        snow,
    )


def test_a_broken_query_is_an_error_of_its_test_alone() -> None:
    message = fails("inputs: {db.raw: []}\noutputs: {query: []}", RAW, written("db.m", "SELECT nothing FROM db.raw"))
    assert "nothing" in message


# ---- outputs ---------------------------------------------------------------------------------------------


TWO_CTES = written(
    "db.m",
    "WITH a AS (SELECT id FROM db.raw WHERE id > 1), b(n) AS (SELECT COUNT(*) FROM a)"
    " SELECT n + 1 AS n FROM b ORDER BY n",
)


def test_ctes_are_compared_too() -> None:
    inputs = "inputs: {db.raw: [{id: 1}, {id: 2}, {id: 3}]}\n"
    passes(f"{inputs}outputs: {{ctes: {{a: [{{id: 3}}, {{id: 2}}], B: [{{n: 2}}]}}, query: [{{n: 3}}]}}", RAW, TWO_CTES)
    result = run(f"{inputs}outputs: {{ctes: {{a: [{{id: 3}}]}}, query: [{{n: 4}}]}}", RAW, TWO_CTES)
    assert [difference.output for difference in result.differences] == ["a", None]
    assert [(pair.expected, pair.actual) for pair in result.differences[0].rows] == [(None, (2,))]
    assert [(pair.expected, pair.actual) for pair in result.differences[1].rows] == [((4,), (3,))]
    assert "did you mean `a`" in fails(f"{inputs}outputs: {{ctes: {{aa: []}}}}", RAW, TWO_CTES)


def test_order_counts_when_the_query_orders() -> None:
    ordered = written("db.m", "SELECT id FROM db.raw ORDER BY id DESC")
    rows = "inputs: {db.raw: [{id: 1}, {id: 2}]}\noutputs: {query: [{id: 1}, {id: 2}]}"
    assert len(run(rows, RAW, ordered).differences) == 1
    passes(rows, RAW, written("db.m", "SELECT id FROM (SELECT id FROM db.raw ORDER BY id DESC) AS q"))


def test_partial_and_values_of_any_type() -> None:
    passes(
        """
inputs: {db.raw: [{id: 3, ts: 2024-01-01, tags: [a, b]}]}
outputs:
  partial: true
  query: [{third: 0.33333333, price: 1.1, ts: '2024-01-01 00:00:00', tags: [a, b], s: {id: 3, tags: [a, b]}}]
""",
        RAW,
        written(
            "db.m",
            "SELECT 1 / id AS third, CAST(1.10 AS DECIMAL(9, 2)) AS price, ts, tags, {'id': id, 'tags': tags} AS s, id"
            " FROM db.raw",
        ),
    )


def test_the_result_holds_what_ran() -> None:
    result = run(
        "inputs: {db.raw: [{id: 1}]}\noutputs: {query: [{id: 2}]}", RAW, written("db.m", "SELECT id FROM db.raw")
    )
    assert not result.passed
    assert "isomesh_test_0" in result.sql
    assert result.seconds > 0
    assert result.differences[0].rows[0].actual == (1,)


# ---- the texts -------------------------------------------------------------------------------------------


AT = datetime(2024, 1, 3, 10, tzinfo=timezone.utc)


def test_a_query_without_a_clock_stays_as_it_is_written() -> None:
    text = "SELECT  a -- current_date\nFROM t"
    assert frozen(text, "duckdb", AT) == text


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "bigquery", "snowflake", "clickhouse"])
def test_no_clock_is_left(dialect: str) -> None:
    text = frozen("SELECT CURRENT_DATE() AS a, CURRENT_TIMESTAMP() AS b", dialect, AT)
    assert "CURRENT" not in text.upper()
    assert text.count("2024-01-03") == 2


def test_a_query_up_to_one_of_its_ctes() -> None:
    text = 'WITH RECURSIVE a(x) AS (SELECT 1), "B" AS MATERIALIZED (SELECT (2)) SELECT * FROM a ORDER BY 1'
    assert cte_names(text, "duckdb") == ("a", "B")
    shown = up_to_cte(text, "b", "duckdb")
    assert shown == 'WITH RECURSIVE a(x) AS (SELECT 1), "B" AS MATERIALIZED (SELECT (2))\nSELECT * FROM "B"'
    assert up_to_cte(text, "c", "duckdb") is None
    assert cte_names("SELECT 1", "duckdb") == ()


def test_only_the_outermost_order_counts() -> None:
    assert is_ordered("WITH a AS (SELECT 1 AS x) SELECT x FROM a ORDER BY x", "duckdb")
    assert is_ordered("(SELECT 1 AS x ORDER BY x)", "duckdb")
    assert is_ordered("SELECT 1 AS x UNION ALL SELECT 2 ORDER BY x", "duckdb")
    assert not is_ordered("SELECT x FROM (SELECT 1 AS x ORDER BY x) AS q", "duckdb")


# ---- what tests of SQLMesh's projects rely on ------------------------------------------------------------


def test_forms_of_the_range_may_be_given_by_themselves() -> None:
    query = "SELECT id FROM db.raw WHERE ts BETWEEN @start_date - INTERVAL 1 DAY AND @end_dt"
    days = written("db.m", query, kinds.IncrementalByTimeRange(time_column="ts"))
    rows = "{id: 1, ts: '2024-01-01 10:00:00'}, {id: 2, ts: '2024-01-09'}"
    wanted = f"inputs: {{db.raw: [{rows}]}}\noutputs: {{query: [{{id: 1}}]}}"
    passes(f"vars: {{start_date: 2024-01-02, end_dt: '2024-01-03 00:00:00'}}\n{wanted}", RAW, days)
    passes(f"vars: {{start: 2024-01-02, end: 2024-01-03, start_date: 1999-01-01}}\n{wanted}", RAW, days)
