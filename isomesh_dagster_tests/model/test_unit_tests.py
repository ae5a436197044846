"""Test files read as values; whatever is wrong is told with its line."""

from __future__ import annotations

from datetime import date, datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.errors import ModelError
from isomesh_dagster.model import kinds
from isomesh_dagster.model.fixtures import FixtureQuery, Rows, cell, compose, dump
from isomesh_dagster.model.unit_tests import UnitTest, UnitTestContext, parse_unit_tests, required_inputs
from isomesh_dagster_tests.factories import model

MODELS = {
    one.name: one
    for one in (
        model("db.raw"),
        model("db.dim"),
        model("db.half", "SELECT id FROM db.raw", kinds.Embedded()),
        model("db.orders", "SELECT id FROM db.raw JOIN db.dim"),
        model("db.inlined", "SELECT id FROM db.half"),
        model("db.seed", kind=kinds.Seed(path="a.csv", content_hash="h")),
    )
}
FILES = {
    "tests/rows.csv": b"id;name\n1;a\n2;\n",
    "tests/rows.yaml": b"columns: {id: BIGINT}\nrows:\n- {id: 7}\n",
}


def read_file(path: str) -> bytes:
    if path not in FILES:
        raise FileNotFoundError(2, "No such file or directory")
    return FILES[path]


CONTEXT = UnitTestContext(
    models=MODELS, dialect="duckdb", default_catalog="main_db", gateways=("local", "production"), read_file=read_file
)


def parsed(text: str) -> UnitTest:
    (test,) = parse_unit_tests(text, "tests/test_a.yaml", CONTEXT)
    return test


def refused(text: str) -> ModelError:
    with pytest.raises(ModelError) as raised:
        parse_unit_tests(text, "tests/test_a.yaml", CONTEXT)
    assert raised.value.path is not None
    return raised.value


def rows_of(fixture: object) -> list[dict[str, Any]]:
    assert isinstance(fixture, Rows)
    return [dict(zip(fixture.columns, row, strict=True)) for row in fixture.cells]


WHOLE = """
first:
  model: main_db.db.orders
  description: all there is
  gateway: local
  schema: somewhere
  vars: {start: 2024-01-01, end: 2024-01-02, Execution_Time: '2024-01-03 10:00:00', Any_Var: 1}
  inputs:
    DB.raw:
      - {id: 1, ts: 2024-01-01}
      - {id: 2, name: x}
    db.dim:
      columns: {id: int, at: timestamp}
      rows: []
  outputs:
    partial: true
    ctes:
      half: {rows: [{id: 1}], partial: false}
    query: {query: "SELECT 1 AS id"}
"""


def test_everything_a_test_can_say() -> None:
    test = parsed(WHOLE)
    assert (test.name, test.id, test.line, test.model) == ("first", "tests/test_a.yaml::first", 2, "db.orders")
    assert (test.description, test.gateway, test.schema) == ("all there is", "local", "somewhere")
    assert test.variables == {"any_var": 1}
    day = 86_400_000
    assert (test.start, test.end) == (19723 * day, 19725 * day), "a date as end is included"
    assert test.execution_time == 19725 * day + 10 * 3_600_000
    assert rows_of(test.inputs["db.raw"]) == [
        {"id": 1, "ts": date(2024, 1, 1), "name": None},
        {"id": 2, "ts": None, "name": "x"},
    ]
    dim = test.inputs["db.dim"]
    assert isinstance(dim, Rows)
    assert (dim.columns, dim.cells, dim.types) == (("id", "at"), (), {"id": "int", "at": "timestamp"})
    assert test.query is not None
    assert test.query.partial
    assert test.query.fixture == FixtureQuery(sql="SELECT 1 AS id", line=19)
    assert not test.ctes["half"].partial


def minimal(inputs: str, outputs: str = "{query: []}", more: str = "") -> str:
    return f"t:\n  model: db.inlined\n{more}  inputs:\n    db.raw: {inputs}\n  outputs: {outputs}\n"


def test_csv_as_text() -> None:
    text = minimal(
        '{format: csv, csv_settings: {sep: ";", na_values: [nothing]}, rows: "id; name\\n1;a b\\n2;nothing\\n"}'
    )
    raw = parsed(text).inputs["db.raw"]
    assert rows_of(raw) == [{"id": "1", "name": "a b"}, {"id": "2", "name": None}]
    assert isinstance(raw, Rows)
    assert raw.is_text


def test_rows_in_files_of_their_own() -> None:
    csv = parsed(minimal('{path: tests/rows.csv, csv_settings: {delimiter: ";"}}'))
    assert rows_of(csv.inputs["db.raw"]) == [{"id": "1", "name": "a"}, {"id": "2", "name": None}]
    yaml = parsed(minimal("{path: tests/rows.yaml}")).inputs["db.raw"]
    assert rows_of(yaml) == [{"id": 7}]
    assert yaml.types == {"id": "BIGINT"}


def test_anchors_and_merges() -> None:
    text = minimal("\n      - &row {id: 1, name: x}\n      - {<<: *row, id: 2}")
    assert rows_of(parsed(text).inputs["db.raw"]) == [{"id": 1, "name": "x"}, {"id": 2, "name": "x"}]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("true", True),
        ("010", 10),
        ("10:30", "10:30"),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("0x1F", 31),
        ("~", None),
        ("'1'", "1"),
        ("2024-01-31", date(2024, 1, 31)),
        ("2024-01-31 10:00:00Z", datetime(2024, 1, 31, 10, tzinfo=timezone.utc)),
        ("{a: [1, null]}", {"a": [1, None]}),
    ],
)
def test_scalars_are_those_of_yaml_1_2(written: str, value: object) -> None:
    assert cell(compose(written, "p"), "p") == value


CELLS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.from_regex(r"[-+0-9.:eExTZ_~<=]{1,12}", fullmatch=True)
    | st.sampled_from(["NO", "on", "null", "true", "2024-01-31", "<<", "="])
    | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abn o1", min_size=1), inner, max_size=3),
    max_leaves=5,
)


@given(CELLS)
def test_what_is_dumped_reads_back_as_it_was(value: object) -> None:
    node = compose(dump({"k": value}), "p")
    assert cell(node, "p") == {"k": value}


def test_an_embedded_model_is_replaced_by_what_it_reads_unless_it_is_given() -> None:
    inlined = MODELS["db.inlined"]
    assert required_inputs(inlined, MODELS) == ("db.raw",)
    assert required_inputs(inlined, MODELS, {"db.half"}) == ("db.half",)


GOOD = "  inputs: {db.raw: [], db.dim: []}\n  outputs: {query: []}\n"


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("t:\n  modle: db.orders\n", 2, "no key `modle`", "`model`"),
        ("t:\n  outputs: {query: []}\n", 1, "`model` is missing", "outputs"),
        (f"t:\n  model: db.order\n{GOOD}", 2, "no model named 'db.order'", "`db.orders`"),
        (f"t:\n  model: db.seed\n{GOOD}", 2, "SEED and has no query", "reads it"),
        ("t:\n  model: db.orders\n  inputs: {db.raw: []}\n  outputs: {query: []}\n", 3, "reads db.dim", "db.dim"),
        ("t:\n  model: db.orders\n  outputs: {query: []}\n", 1, "reads db.dim, db.raw", "add db.dim"),
        ("t:\n  model: db.orders\n  outputs: {}\n", 3, "gives no rows", "query:"),
        ("t:\n  model: db.orders\n  outputs: {qery: []}\n", 3, "no key `qery`", "`query`"),
        (f"t:\n  model: db.orders\n  gateway: locl\n{GOOD}", 3, "no gateway 'locl'", "`local`"),
        (f"t:\n  model: db.orders\n  vars: {{start: 1 week ago}}\n{GOOD}", 3, "another moment every time", "fixed"),
        (f"t:\n  model: db.orders\n  vars: {{start: 2024-02-01, end: 2024-01-01}}\n{GOOD}", 3, "before `start`", ""),
        ("t:\n  model: [\n", None, "not valid YAML", ""),
        ("- t\n", 1, "tests by name", ""),
        ("t:\n  model: db.orders\nt:\n  model: db.raw\n", 3, "written twice", ""),
        (minimal("{row: []}"), 4, "no key `row`", "`rows`"),
        (minimal("{rows: [], query: SELECT 1}"), 4, "one of rows:, query: and path:", "rows: []"),
        (minimal("{columns: {id: INT}}"), 4, "one of rows:, query: and path:", "rows: []"),
        (minimal("[1]"), 4, "a row is", ""),
        (minimal("[{id: 2024-02-31}]"), 4, "cannot be read", ""),
        (minimal("{path: nowhere.csv}"), 4, "nowhere.csv cannot be read", "project's folder"),
        (minimal("{format: cvs, rows: x}"), 4, "unknown format", "`csv`"),
        (minimal('{format: csv, rows: "a,b\\n1\\n"}'), 4, "row 1 of the CSV has 1 cells", ""),
        (minimal("[]", "{query: {rows: [], partial: maybe}}"), 5, "`partial` is true or false", ""),
    ],
)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int | None, message: str, hint: str) -> None:
    error = refused(text)
    assert message in error.message
    assert hint in (error.hint or "")
    if line is not None:
        assert error.line == line
