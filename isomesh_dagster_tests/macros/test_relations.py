"""Macros that write down the columns of relations, and the one that names the table being built."""

from __future__ import annotations

import pytest

from isomesh_dagster.errors import MacroError
from isomesh_dagster.macros.expander import Expander
from isomesh_dagster.macros.values import Fragment
from isomesh_dagster.macros.warehouse import no_columns
from isomesh_dagster.relation import Column, KnownColumns

TABLES = {
    "raw.a": KnownColumns(
        columns=(Column(name="id", type="INT"), Column(name="day", type="DATE"), Column(name="x y", type="TEXT")),
        dialect="duckdb",
        is_declared=True,
    ),
    "raw.b": KnownColumns(
        columns=(Column(name="day", type="DATE"), Column(name="id", type="INT"), Column(name="other", type="INT")),
        dialect="duckdb",
        is_declared=True,
    ),
    "raw.c": KnownColumns(columns=(Column(name="id", type="BIGINT"), Column(name="n")), dialect="duckdb"),
}


def columns(name: str) -> KnownColumns:
    return TABLES[name] if name in TABLES else no_columns(name)


def expanded(text: str, dialect: str = "duckdb", **variables: str) -> str:
    values = {name: Fragment(value) for name, value in variables.items()}
    return Expander(dialect, values, columns=columns).expand(text)


A_ID, A_DAY = 'CAST("a"."id" AS INT)', 'CAST("a"."day" AS DATE)'
A = f'{A_ID} AS "id", {A_DAY} AS "day", CAST("a"."x y" AS TEXT) AS "x y"'


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ("@STAR(raw.a)", A),
        ("@STAR(RAW.A)", A),
        ("@star('raw.a')", A),
        ("@STAR(raw.a, T, exclude := [day, 'x y'])", 'CAST("t"."id" AS INT) AS "id"'),
        ('@STAR(relation := raw.a, alias := t, except_ := (day, "x y"))', 'CAST("t"."id" AS INT) AS "id"'),
        (
            "@STAR(raw.a, exclude := [\"x y\"], prefix := 'p_', suffix := '_s')",
            f'{A_ID} AS "p_id_s", {A_DAY} AS "p_day_s"',
        ),
        ("@STAR(raw.a, T, [day], 'p_', suffix := '_s', except_ := ['x y'])", 'CAST("t"."id" AS INT) AS "p_id_s"'),
        ("@STAR(raw.a, exclude := ['x y', day], quote_identifiers := false)", "CAST(a.id AS INT) AS id"),
        ("@STAR(raw.c)", '"c"."id" AS "id", "c"."n" AS "n"'),
    ],
)
def test_star(written: str, given: str) -> None:
    assert expanded(f"SELECT {written} FROM t") == f"SELECT {given} FROM t"


def test_an_option_is_given_once() -> None:
    with pytest.raises(MacroError, match="@STAR is given `exclude` twice"):
        expanded("SELECT @STAR(raw.a, t, [day], exclude := [id]) FROM t")


def test_star_in_another_dialect_names_types_and_quotes_as_that_one() -> None:
    assert expanded("SELECT @STAR(raw.a, exclude := ['x y'])", "bigquery") == (
        "SELECT CAST(`a`.`id` AS INT64) AS `id`, CAST(`a`.`day` AS DATE) AS `day`"
    )


def test_union_keeps_what_is_common_by_name_and_type() -> None:
    part = 'SELECT CAST("id" AS INT) AS "id", CAST("day" AS DATE) AS "day" FROM raw.'
    assert expanded("@UNION('all', raw.a, raw.b)") == f"{part}a UNION ALL {part}b"
    assert expanded("@UNION('DISTINCT', raw.a, raw.b)") == f"{part}a UNION {part}b"
    assert expanded("@UNION(@x = 1, 'all', raw.a, raw.b)", x="1") == f"{part}a UNION ALL {part}b"
    assert expanded("@UNION(@x = 1, 'all', raw.a, raw.b)", x="2") == f"{part}a"
    assert expanded("@UNION('all', raw.c)") == 'SELECT "id" AS "id", "n" AS "n" FROM raw.c'


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("@UNION('some', raw.a, raw.b)", "'all' or 'distinct'"),
        ("@UNION(TRUE, 'all')", "needs a relation"),
        ("@UNION('all', raw.a, raw.c)", "no column in common"),
        ("SELECT @STAR(raw.nope)", "columns of raw.nope"),
        ("SELECT @STAR(raw.a, exclude := [id, day, 'x y'])", "every column"),
        ("SELECT @STAR(raw.a, excluded := [id])", "exclude"),
        ("SELECT @RESOLVE_TEMPLATE('@{table_name}', mode := 'tables')", "'literal' or 'table'"),
    ],
)
def test_what_cannot_be_is_told(written: str, told: str) -> None:
    with pytest.raises(MacroError) as caught:
        expanded(written, this_model='"p"."t"')
    assert told in str(caught.value)


def test_the_relations_asked_for_are_told() -> None:
    expander = Expander("duckdb", {}, columns=columns)
    expander.expand("SELECT @STAR(Raw.a) FROM raw.a JOIN (@UNION('all', raw.c)) USING (id)")
    assert set(expander.used_columns) == {"raw.a", "raw.c"}


def test_a_template_is_filled_with_the_parts_of_the_table_being_built() -> None:
    template = "@RESOLVE_TEMPLATE('s3://b/@{catalog_name}/@{schema_name}/@{table_name}')"
    assert expanded(template, this_model='"c"."p"."t__1"') == "'s3://b/c/p/t__1'"
    assert expanded(template, this_model='"p"."t__1"') == "'s3://b//p/t__1'"
    table = "SELECT * FROM @RESOLVE_TEMPLATE('@{schema_name}.x_@{table_name}', mode := 'table')"
    assert expanded(table, this_model='"p"."t__1"') == "SELECT * FROM p.x_t__1"
