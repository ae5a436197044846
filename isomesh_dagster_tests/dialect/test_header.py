"""Definition files: one grammar in every dialect, and every complaint at its line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isomesh_dagster.dialect.header import Definition, Statement, parse_file, parse_properties
from isomesh_dagster.dialect.values import pairs, parse_columns, parse_value, split_expressions
from isomesh_dagster.errors import ModelError

DIALECTS = (
    "duckdb postgres bigquery snowflake spark databricks redshift tsql mysql trino clickhouse athena".split()  # noqa: SIM905
)

WHOLE = """-- A comment
-- in two lines
MODEL (
  name @IF(@gateway = 'production', prod_schema, dev_schema).my_model,
  dialect DIALECT,
  kind INCREMENTAL_BY_TIME_RANGE (time_column (ds, '%Y-%m-%d'), batch_size 30, forward_only true),
  owner me, cron '@daily', start '2020-01-01', tags [a, 'b'], grain (id, ds),
  description 'it''s the dialect of foo',
  audits (not_null(columns := (a, b)), forall(criteria := (a > 0, b < 3)), my_audit(x := 1, blocking := false), plain),
  columns (a INT, b STRUCT<a INT, b ARRAY<INT>>, c DECIMAL(10,2)),
  physical_properties (a = 1, b = 'x', 'c.d' = [1, 2]),
  blueprints ((customer := c1, x := 1), (customer := c2, x := 2)),
  merge_filter source.a > target.b and start = 1,
  when_matched (WHEN MATCHED THEN UPDATE SET target.a = source.a),
  partitioned_by (date_trunc('day', ds), bucket(4, id)),
  references (a AS b, c)
);
@DEF(x, 1);
SELECT 1 AS a; -- a tail
ON_VIRTUAL_UPDATE_BEGIN; GRANT SELECT ON @this_model TO y; ON_VIRTUAL_UPDATE_END;
JINJA_STATEMENT_BEGIN;
SELECT {{ "it's" }};
JINJA_END;
AUDIT (name foo, dialect DIALECT, blocking false);
SELECT * FROM @this_model WHERE x;
"""


def _read(dialect: str) -> tuple[Definition, ...]:
    return parse_file(WHOLE.replace("DIALECT", dialect), "duckdb", "m.sql")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_whole_grammar_reads_the_same_in_every_dialect(dialect: str) -> None:
    model, audit = _read(dialect)
    reference, _ = _read("duckdb")
    assert model.dialect == audit.dialect == dialect
    assert model.block is not None
    assert reference.block is not None
    for ours, theirs in zip(model.block.properties, reference.block.properties, strict=True):
        if ours.key != "dialect":
            assert (ours.key, ours.text, ours.line) == (theirs.key, theirs.text, theirs.line)
        if ours.key not in ("dialect", "columns"):
            assert parse_value(ours.text, dialect) == parse_value(theirs.text, "duckdb")
    assert model.statements == reference.statements


def test_blocks_properties_and_statements_know_where_they_are() -> None:
    model, audit = _read("duckdb")
    assert model.comment == "A comment\nin two lines"
    assert model.block is not None
    assert (model.block.keyword, model.block.line) == ("MODEL", 3)
    name, cron = model.block.get("name"), model.block.get("cron")
    assert name is not None
    assert cron is not None
    assert name.text == "@IF(@gateway = 'production', prod_schema, dev_schema).my_model"
    assert (name.line, name.column) == (4, 3)
    assert (cron.text, cron.line, cron.column) == ("'@daily'", 7, 13)
    assert model.block.get("gateway") is None
    assert model.statements == (
        Statement(text="@DEF(x, 1)", line=18),
        Statement(text="SELECT 1 AS a", line=19),
        Statement(text="GRANT SELECT ON @this_model TO y", line=20, kind="virtual_update"),
        Statement(text='JINJA_STATEMENT_BEGIN;\nSELECT {{ "it\'s" }};\nJINJA_END', line=21, kind="jinja_statement"),
    )
    assert audit.block is not None
    assert [(item.key, item.text) for item in audit.block.properties] == [
        ("name", "foo"),
        ("dialect", "duckdb"),
        ("blocking", "false"),
    ]
    assert audit.statements == (Statement(text="SELECT * FROM @this_model WHERE x", line=25),)


def test_a_file_without_a_block_is_one_definition() -> None:
    (only,) = parse_file("SELECT 1; SELECT 2", "postgres", None)
    assert (only.block, only.dialect, only.comment) == (None, "postgres", None)
    assert [statement.text for statement in only.statements] == ["SELECT 1", "SELECT 2"]
    (empty,) = parse_file("-- nothing", "duckdb", None)
    assert (empty.block, empty.statements) == (None, ())


@pytest.mark.parametrize(
    "header",
    [
        "MODEL (name a.b, dialect bigquery)",
        "model (name @{x}.b, description 'the dialect spark', DIALECT 'bigquery')",
        "MODEL (-- dialect spark\nname a.b, kind FULL (dialect spark), /* dialect spark */ dialect bigquery)",
    ],
)
def test_the_dialect_is_that_of_the_header(header: str) -> None:
    (definition,) = parse_file(f"{header};\nSELECT `a`", "duckdb", None)
    assert definition.dialect == "bigquery"
    assert definition.statements[0].text == "SELECT `a`"


def test_an_audit_may_have_its_own_dialect() -> None:
    model, audit = parse_file("MODEL (name a);SELECT 1; AUDIT (name b, dialect spark); SELECT 2", "duckdb", None)
    assert (model.dialect, audit.dialect) == ("duckdb", "spark")


BROKEN = [
    ("MODEL (name a.b\n, kind FULL (;\nSELECT 1", "MODEL (… is not closed", 2, None),
    ("\nMODEL (name a.b, kind FULL; SELECT f(1)", "MODEL (… is not closed", 2, None),
    ("\nMODEL (name a.b, kind FULL; SELECT (1))", "MODEL (… is not closed", 2, None),
    ("MODEL (name a.b,\n grain [a, b;\nSELECT 1", "MODEL (… is not closed", 2, None),
    ("MODEL (\n name a.b\n kind FULL,\n owner me);SELECT 1", "a comma is missing before `kind`", 3, 2),
    ("MODEL (name a.b, kind FULL (x 1) cron '@daily');", "a comma is missing before `cron`", 1, 34),
    ("MODEL (name a,\nname b);", "property `name` is given twice", 2, 1),
    ("MODEL (name a, NAME b);", "property `name` is given twice", 1, 16),
    ("MODEL (name a,\n kind);", "property `kind` has no value", 2, 2),
    ("MODEL (name a,, kind FULL);", "a property is missing between two commas", 1, None),
    ("MODEL (name a)\nSELECT 1", "`;` is missing after MODEL (…)", 1, None),
    ("\nSELECT 1; MODEL (name a);", "a statement stands before MODEL (…)", 2, None),
    ("MODEL (name a,\n dialect duckd); SELECT 1", "Unknown dialect 'duckd'", 2, None),
    ("MODEL (name a); SELECT 1;\nAUDIT (name b,\n dialect duckd); SELECT 1", "Unknown dialect 'duckd'", 3, None),
    ("MODEL (name a,\n description 'abc); SELECT 1", "a quote or comment is not closed", 2, None),
    ("MODEL ('a' b);", "expected a property's name, found `a`", 1, 8),
    ("MODEL (name a);\nJINJA_QUERY_BEGIN; select 1", "JINJA_QUERY_BEGIN is not closed", 2, None),
    ("MODEL (name a);\nJINJA_END;", "JINJA_END without its JINJA_…_BEGIN", 2, None),
    ("MODEL (name a);\nON_VIRTUAL_UPDATE_BEGIN; select 1", "ON_VIRTUAL_UPDATE_BEGIN is not closed", 2, None),
    ("MODEL (name a);\nON_VIRTUAL_UPDATE_END;", "ON_VIRTUAL_UPDATE_END without its", 2, None),
]


@pytest.mark.parametrize(("text", "message", "line", "column"), BROKEN, ids=[case[1][:30] for case in BROKEN])
def test_broken_headers_are_told_at_their_place(text: str, message: str, line: int, column: int | None) -> None:
    with pytest.raises(ModelError) as caught:
        parse_file(text, "duckdb", "models/a.sql")
    assert caught.value.message.startswith(message)
    assert (caught.value.path, caught.value.line, caught.value.column) == ("models/a.sql", line, column)


def test_the_last_statement_of_a_section_may_leave_out_its_semicolon() -> None:
    text = "MODEL (name a); SELECT 1; ON_VIRTUAL_UPDATE_BEGIN; SELECT 2; SELECT 3 ON_VIRTUAL_UPDATE_END; SELECT 4"
    (definition,) = parse_file(text, "duckdb", "a.sql")
    assert [(statement.text, statement.kind) for statement in definition.statements] == [
        ("SELECT 1", "sql"),
        ("SELECT 2", "virtual_update"),
        ("SELECT 3", "virtual_update"),
        ("SELECT 4", "sql"),
    ]


def test_a_macro_may_stand_in_place_of_a_property() -> None:
    (definition,) = parse_file("MODEL (name a, @IF(true, kind FULL));", "duckdb", "a.sql")
    assert definition.block is not None
    _, macro = definition.block.properties
    assert (macro.key[0], macro.text, macro.line, macro.column) == ("@", "@IF(true, kind FULL)", 1, 16)


def test_properties_that_a_macro_gave_are_read_as_any() -> None:
    found = parse_properties("kind FULL, owner 'me, and you'", "duckdb", 7)
    assert [(item.key, item.text, item.line) for item in found] == [("kind", "FULL", 7), ("owner", "'me, and you'", 7)]


@pytest.mark.parametrize(
    "header",
    [
        "references (a, b), grain id, start '1 week ago', end '2020-01-01', kind VIEW",
        "owner start, tags end",
        "description 'a' , merge_filter a = b and cron = kind and name is null, kind FULL",
        "physical_properties (kind = 1, name = 2)",
        "name model.start, kind FULL",
    ],
)
def test_words_that_look_like_keys_are_no_missing_commas(header: str) -> None:
    (definition,) = parse_file(f"MODEL ({header});", "duckdb", None)
    assert definition.block is not None


SOUP = (
    "MODEL ( AUDIT METRIC ) ); ; , ,, name kind a.b FULL dialect duckdb postgres zz [ ] 'x' ' \" cron '@daily' @x @IF( "
    "SELECT 1 JINJA_QUERY_BEGIN; JINJA_END; ON_VIRTUAL_UPDATE_BEGIN; ON_VIRTUAL_UPDATE_END; columns (a INT, b) := = -- "
    "/* */ { } CALL -1 . <"
)


@settings(max_examples=400)
@given(st.lists(st.sampled_from([*SOUP.split(), "\n"]), max_size=20))
def test_whatever_is_written_is_read_or_a_told_error(pieces: list[str]) -> None:
    try:
        for definition in parse_file(" ".join(pieces), "duckdb", "a.sql"):
            for item in definition.block.properties if definition.block else ():
                parse_columns(item.text, definition.dialect, item.line)
                split_expressions(item.text, definition.dialect, item.line)
                pairs(parse_value(item.text, definition.dialect, item.line), item.line)
    except ModelError as error:
        told = error
    else:
        return
    assert told.message
    assert told.line is not None


def test_only_a_comment_before_a_block_describes_it():
    (one,) = parse_file("-- what it is\nMODEL -- not this\n(name a.b -- nor this\n); SELECT 1", "duckdb", None)
    assert one.comment == "what it is"
    (one,) = parse_file("MODEL /* not this */ (name a.b); SELECT 1", "duckdb", None)
    assert one.comment is None
