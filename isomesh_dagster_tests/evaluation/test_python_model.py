"""Python models run: frames become rows of every kind, errors keep their place, only planned code runs."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path

import pytest

from isomesh_dagster.errors import EngineError, IsomeshError, ModelError
from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Built, Event

NOW = datetime(2024, 1, 4, 12, tzinfo=timezone.utc)
CONFIG = """
project: shop
gateways:
  one:
    connection: {type: duckdb, database: warehouse.duckdb}
model_defaults: {dialect: duckdb, start: '2024-01-01'}
variables: {factor: 3}
"""
RAW = """
MODEL (name raw.days, kind FULL);
SELECT n AS id, DATE '2024-01-01' + CAST(n AS INT) AS ds FROM UNNEST(RANGE(3)) AS r(n)
"""
HEAD = """\
import datetime
import pandas as pd
import polars as pl
import pyarrow as pa
from isomesh_dagster.python import model
"""


class Files:
    """A project on disk, planned and applied anew each time."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.write("config.yaml", CONFIG)
        self.write("models/raw/days.sql", RAW)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def python(self, body: str, columns: str = "{'id': 'int', 'v': 'text'}", more: str = "", path: str = "t") -> None:
        """A model `s.t`; `body` is the function's, indented by four."""
        lines = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
        head = f"@model('s.{path}', columns={columns}{', ' if more else ''}{more})\n"
        function = f"def execute(context, start, end, execution_time, **kwargs):\n{lines}\n"
        self.write(f"models/s/{path}.py", HEAD + head + function)

    def apply(self, environment: str = "prod", now: datetime = NOW) -> list[Event]:
        with Project.load(self.root) as project:
            return list(project.apply(project.plan(environment, now=now)))

    def rows(self, query: str = "SELECT * FROM s.t ORDER BY ALL") -> list[tuple]:
        with Project.load(self.root) as project, project.connection().session() as session:
            return session.fetch(query)

    def fails(self, kind: type[IsomeshError] = ModelError) -> IsomeshError:
        with pytest.raises(IsomeshError) as caught:
            self.apply()
        found: BaseException = caught.value
        while not isinstance(found, kind):
            assert found.__cause__ is not None or found.__context__ is not None, found
            found = found.__cause__ or found.__context__  # type: ignore[assignment]
        return found


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.mark.parametrize(
    "body",
    [
        "return pd.DataFrame({'v': ['x', None], 'id': ['1', '2'], 'more': [0, 0]})",
        "return pl.DataFrame({'ID': [1, 2], 'v': ['x', None]})",
        "return pl.LazyFrame({'id': [1, 2], 'v': ['x', None]})",
        "return pa.table({'id': [1.0, 2.0], 'v': ['x', None]})",
        "return pa.table({'id': [1, 2], 'v': ['x', None]}).to_reader()",
        "yield pd.DataFrame({'id': [1], 'v': ['x']})\nyield pd.DataFrame()\nyield pl.DataFrame({'v': [None], 'id': 2})",
    ],
)
def test_frames_are_rows_of_the_declared_columns(files: Files, body: str) -> None:
    files.python(body)
    (built,) = [event for event in files.apply() if isinstance(event, Built) and event.model == "s.t"]
    assert built.columns == (("id", "INTEGER"), ("v", "VARCHAR"))
    assert built.rows == 2
    assert files.rows() == [(1, "x"), (2, None)]


@pytest.mark.parametrize("body", ["yield from ()", "return pd.DataFrame()", "return pl.DataFrame({'other': []})"])
def test_no_rows_are_a_result_too(files: Files, body: str) -> None:
    files.python(body)
    files.apply()
    assert files.rows() == []


def test_the_function_is_told_when_and_reads_what_the_plan_means(files: Files) -> None:
    body = """
days = context.fetchdf(f"SELECT * FROM {context.resolve_table('raw.days')}")
assert type(context.fetch_polars("SELECT 1 AS a")).__name__ == type(pl.DataFrame()).__name__
assert context.fetch_arrow("SELECT 1 AS a").num_rows == 1
assert context.engine_adapter.fetchone("SELECT 7") == (7,)
assert (context.gateway, context.default_catalog) == ("one", "warehouse")
assert context.table("raw.days") == context.resolve_table("warehouse.raw.days") != "raw.days"
yield pd.DataFrame({"id": [len(days) * context.var("factor")], "v": [f"{start}|{end}|{execution_time}"]})
"""
    files.python(body)
    files.apply("dev")
    start, end = "2024-01-01 00:00:00+00:00", "2024-01-03 23:59:59.999999+00:00"
    assert files.rows("SELECT * FROM s__dev.t") == [(9, f"{start}|{end}|{NOW}")]


def test_parameters_may_be_left_out_and_variables_be_taken(files: Files) -> None:
    head = "@model('s.t', columns={'n': 'int'})\n"
    function = "def execute(context, factor):\n    return pd.DataFrame({'n': [factor + context.var('factor')]})\n"
    files.write("models/t.py", HEAD + head + function)
    files.apply()
    assert files.rows() == [(6,)]


def test_a_parameter_that_only_the_signature_names_is_a_variable_too(files: Files) -> None:
    head = "@model('s.t', columns={'n': 'int', 'g': 'text'})\n"
    function = "def execute(context, factor, gateway):\n    return pd.DataFrame({'n': [factor], 'g': [gateway]})\n"
    files.write("models/t.py", HEAD + head + function)
    files.apply()
    assert files.rows() == [(3, "one")]


TIME = "kind={'name': 'INCREMENTAL_BY_TIME_RANGE', 'time_column': 'ds', 'batch_size': 1}"
DAYS = """
days = context.resolve_table("raw.days")
return context.fetchdf(f"SELECT id, ds FROM {days}").assign(v=str(start.date()))
"""


def test_a_batch_writes_its_own_days_and_the_next_run_only_the_new_ones(files: Files) -> None:
    columns = "{'id': 'int', 'ds': 'date', 'v': 'text'}"
    files.python(DAYS, columns, TIME)
    files.apply(now=datetime(2024, 1, 3, 12, tzinfo=timezone.utc))
    assert files.rows("SELECT id, v FROM s.t ORDER BY id") == [(0, "2024-01-01"), (1, "2024-01-02")]
    with Project.load(files.root) as project:
        list(project.apply(project.run_plan(now=NOW)))
    assert files.rows("SELECT id, v FROM s.t ORDER BY id")[2:] == [(2, "2024-01-03")]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("{'name': 'INCREMENTAL_BY_UNIQUE_KEY', 'unique_key': 'id', 'batch_size': 2}", [(1, "3", None)]),
        ("{'name': 'INCREMENTAL_UNMANAGED'}", [(1, "1", None)]),
        ("{'name': 'INCREMENTAL_BY_PARTITION'}", [(1, "1", None)]),
        (
            "{'name': 'SCD_TYPE_2_BY_COLUMN', 'unique_key': 'id', 'columns': '*', 'batch_size': 2}",
            [(1, "1", NOW.replace(tzinfo=None)), (1, "3", None)],
        ),
    ],
)
def test_every_kind_that_writes_rows(files: Files, kind: str, expected: list[tuple]) -> None:
    files.python("yield pd.DataFrame({'id': [1], 'v': [str(start.day)]})", more=f"kind={kind}, partitioned_by=['id']")
    files.apply()
    ends = "valid_to" if "SCD" in kind else "NULL"
    assert files.rows(f"SELECT id, v, {ends} FROM s.t ORDER BY v") == expected


def test_a_model_reads_its_own_earlier_rows(files: Files) -> None:
    body = """
own = context.resolve_table("s.t")
seen = context.engine_adapter.fetchone(f"SELECT COUNT(*) FROM {own}")[0]
return pd.DataFrame({"ds": [start.date()], "seen": [seen]})
"""
    files.python(body, "{'ds': 'date', 'seen': 'int'}", TIME)
    files.apply()
    assert [seen for _, seen in files.rows()] == [0, 1, 2]


def test_statements_run_around_the_function_and_audits_after_it(files: Files) -> None:
    more = (
        "pre_statements=['CREATE TEMP TABLE before AS SELECT 5 AS n'], post_statements=['DROP TABLE before'], "
        "audits=['not_null(columns := (v))']"
    )
    body = "return context.fetchdf('SELECT n AS id, CASE WHEN n = 5 THEN {} END AS v FROM before')"
    files.python(body.format("NULL"), more=more)
    assert "not_null" in str(files.fails(IsomeshError))
    assert files.rows("SELECT COUNT(*) FROM duckdb_tables() WHERE schema_name = 'isomesh__s'") == [(0,)]
    files.python(body.format("7"), more=more)
    files.apply()
    assert files.rows() == [(5, "7")]


@pytest.mark.parametrize(
    ("body", "message", "hint"),
    [
        ("return None", "returned NoneType, which is no data frame", "DataFrame of pandas or polars"),
        ("return [1]", "returned list, which is no data frame", "yield"),
        ("return pd.DataFrame({'idd': [1], 'v': [1]})", "the frame has no 'id', but 'idd'", "did you mean `idd`?"),
        ("return pd.DataFrame({'v': [1]})", "the frame has no 'id'", "`columns` declares"),
        ("context.fetchdf('SELECT * FROM raw.days')", "reads raw.days by its name", "context.resolve_table"),
        ("getattr(context, 'var')('factor')", "nobody knew that the model reads variable 'factor'", "context.var"),
        ("getattr(context, 'table')('raw.days')", "'raw.days' is not among what the model reads", "depends_on"),
        ("1 / 0", "the function failed with ZeroDivisionError: division by zero", None),
    ],
)
def test_what_is_wrong_is_told_with_its_place(files: Files, body: str, message: str, hint: str | None) -> None:
    files.python(body)
    found = files.fails()
    assert message in found.message
    assert hint is None or hint in (found.hint or "")
    assert (found.path, found.model) == ("models/s/t.py", "s.t")
    assert files.rows("SELECT COUNT(*) FROM duckdb_tables() WHERE schema_name = 's'") == [(0,)]


def test_a_traceback_is_that_of_the_project(files: Files) -> None:
    files.write("lib/help.py", "def inner(frame):\n    return frame['gone']\n")
    files.python("from lib.help import inner\nyield pd.DataFrame({'id': [1], 'v': ['x']})\ninner(pd.DataFrame())")
    found = files.fails()
    assert found.message.splitlines() == [
        "the function failed with KeyError: 'gone'",
        "  models/s/t.py:10 in execute: inner(pd.DataFrame())",
        "  lib/help.py:2 in inner: return frame['gone']",
    ]
    assert found.line == 10
    assert files.rows("SELECT COUNT(*) FROM duckdb_tables() WHERE schema_name = 'isomesh__s'") == [(0,)]


def test_values_that_do_not_fit_are_told(files: Files) -> None:
    files.python("return pd.DataFrame({'id': ['x'], 'v': ['x']})")
    assert "Could not convert string 'x' to INT32" in str(files.fails(EngineError))
    files.python("return context.fetchdf('SELECT nonsense')")
    found = files.fails(EngineError)
    assert (found.path, found.line) == ("models/s/t.py", 8)


def test_edits_count_when_they_can_change_rows(files: Files) -> None:
    body = "'''What it is.'''\nreturn pd.DataFrame({'id': [1], 'v': ['x']})"
    files.python(body)
    files.apply()
    files.python(body.replace("What it is", "What it was") + "  # one row")
    with Project.load(files.root) as project:
        assert project.plan(now=NOW).is_empty
    files.python(body.replace("'x'", "'y'"))
    with Project.load(files.root) as project:
        (change,) = project.plan(now=NOW).changes
    assert change.category is not None
    assert change.category.value == "breaking"
    assert change.reason.startswith("its Python code changed")
    assert "+    return pd.DataFrame({'id': [1], 'v': ['y']})" in change.diff
    files.python(body, more="owner='me'")
    with Project.load(files.root) as project:
        (change,) = project.plan(now=NOW).changes
    assert change.category.value == "metadata"  # type: ignore[union-attr]


def test_a_reader_in_python_is_built_again_when_what_it_reads_changes_at_all(files: Files) -> None:
    files.python("return context.fetchdf('SELECT id, 1 AS v FROM ' + context.resolve_table('raw.days'))")
    files.apply()
    files.write("models/raw/days.sql", RAW.replace("AS ds", "AS ds, 1 AS more"))
    with Project.load(files.root) as project:
        changes = {change.model: change for change in project.plan(now=NOW).changes}
    assert changes["raw.days"].category.value == "non_breaking"  # type: ignore[union-attr]
    assert changes["s.t"].category.value == "indirect_breaking"  # type: ignore[union-attr]
    assert "what its Python code reads of raw.days cannot be told" in changes["s.t"].reason


def test_only_code_that_was_planned_runs(files: Files) -> None:
    columns = "{'id': 'int', 'ds': 'date', 'v': 'text'}"
    files.python(DAYS, columns, TIME)
    files.apply(now=datetime(2024, 1, 3, 12, tzinfo=timezone.utc))
    files.python(DAYS.replace("assign", "head(0).assign"), columns, TIME)
    with Project.load(files.root) as project:
        plan = project.run_plan(now=NOW)
        with pytest.raises(IsomeshError, match="is not what the model was planned with"):
            list(project.apply(plan))
    assert len(files.rows()) == 2
    (files.root / "models/s/t.py").unlink()
    with Project.load(files.root) as project, pytest.raises(IsomeshError, match="is not what the model was planned"):
        list(project.apply(project.run_plan(now=NOW)))


def test_a_manifest_runs_the_code_it_was_compiled_with(files: Files) -> None:
    files.python("return pd.DataFrame({'id': [1], 'v': ['x']})")
    with Project.load(files.root) as project:
        manifest = project.compile()
    assert "pd.DataFrame" in json.dumps(json.loads(manifest.read_text()))
    with Project.from_manifest(manifest) as project:
        list(project.apply(project.plan(now=NOW)))
    assert files.rows() == [(1, "x")]


def test_planning_runs_no_function(files: Files) -> None:
    files.python("open('/nonexistent/file')")
    with Project.load(files.root) as project:
        assert [step.snapshot.name for step in project.plan(now=NOW).builds] == ["raw.days", "s.t"]


def test_a_model_is_evaluated_and_nothing_stays(files: Files) -> None:
    body = """
context.engine_adapter.execute("CREATE TABLE left_over AS SELECT 1 AS a")
for n in range(1000):
    yield pd.DataFrame({"id": [n], "v": ["x"]})
    assert n < 5, "enough was there"
"""
    files.python(body)
    with Project.load(files.root) as project:
        columns, rows = project.evaluate("s.t", limit=3, execution_time=NOW)
        assert (columns, rows) == (["id", "v"], [(0, "x"), (1, "x"), (2, "x")])
        assert project.render("s.t").startswith("def execute(context")
    assert files.rows("SELECT COUNT(*) FROM duckdb_tables()") == [(0,)]


def test_a_function_that_gives_sql_is_a_model_in_sql(files: Files) -> None:
    text = (
        "@model('s.t', is_sql=True, kind='VIEW')\ndef q(evaluator): return 'SELECT id, ds FROM raw.days WHERE id > 0'\n"
    )
    files.write("models/s/t.py", HEAD + text)
    files.apply()
    assert [row[0] for row in files.rows()] == [1, 2]
    files.write("models/s/t.py", HEAD + text.replace("id, ds", "id, ds, id + 1 AS next"))
    with Project.load(files.root) as project:
        (change,) = project.plan(now=NOW).changes
    assert change.category.value == "non_breaking"  # type: ignore[union-attr]


TESTED = """
{name}:
  model: s.t
  vars: {{factor: 10}}
  inputs:
    raw.days:
      rows:
        - {{id: 1, ds: 2024-01-01}}
        - {{id: 2, ds: 2024-01-02}}
  outputs:
    query:
      rows:
        - {{id: {first}, v: "2024-01-01"}}
        - {{id: 20, v: "2024-01-02"}}
"""


def test_a_function_is_tested_over_rows_written_by_hand(files: Files) -> None:
    body = """
days = context.fetchdf("SELECT * FROM " + context.resolve_table("raw.days"))
return pd.DataFrame({"id": days.id * context.var("factor"), "v": days.ds.dt.strftime("%Y-%m-%d")})
"""
    files.python(body)
    files.write("tests/test_t.yaml", TESTED.format(name="right", first=10) + TESTED.format(name="wrong", first=11))
    with Project.load(files.root) as project:
        right, wrong = project.run_unit_tests()
        assert right.error is None
        assert right.passed
        assert wrong.error is None
        assert len(wrong.differences) == 1
    files.python("return 1 / 0")
    with Project.load(files.root) as project:
        (failed, *_) = project.run_unit_tests()
    assert "ZeroDivisionError" in str(failed.error)
    assert (failed.error.path, failed.error.line) == ("models/s/t.py", 8)  # type: ignore[union-attr]


MADE = """
def clean(frame):
    return frame

def make(table, at_least=0, then=clean):
    @model(f"s.{table}_kept", columns={"id": "int", "v": "text"})
    def execute(context, **kwargs):
        found = context.fetchdf(f"SELECT id, '{table}' AS v FROM {context.resolve_table(f'raw.{table}')}")
        return then(found[found.id >= at_least])
"""


def test_functions_that_a_function_makes_are_models_of_their_own(files: Files) -> None:
    files.write("models/weeks.sql", "MODEL (name raw.weeks, kind FULL); SELECT 7 AS id")
    calls = 'for table in ["days", "weeks"]:\n    make(table, at_least=2)\n'
    files.write("models/made.py", HEAD + MADE + calls)
    files.apply()
    rows = "SELECT * FROM s.days_kept UNION ALL SELECT * FROM s.weeks_kept ORDER BY ALL"
    assert files.rows(rows) == [(2, "days"), (7, "weeks")]
    files.write("models/made.py", HEAD + MADE + calls.replace("at_least=2", "at_least=2 if table == 'weeks' else 1"))
    with Project.load(files.root, environ={}) as project:
        assert [build.snapshot.name for build in project.plan("prod", now=NOW).builds] == ["s.days_kept"]
    files.write("models/made.py", HEAD + MADE.replace("return frame", "return frame[:0]") + calls)
    files.apply()
    assert files.rows(rows) == []
    files.write("models/made.py", HEAD + MADE + "make('days', then=object())\n")
    with pytest.raises(IsomeshError, match="whether `then`, which the function was made with, is still the same"):
        Project.load(files.root, environ={})
