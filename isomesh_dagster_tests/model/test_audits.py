"""Every built-in audit on real rows: some that pass and some that do not. And how uses of audits are resolved."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import duckdb
import pytest

from isomesh_dagster.dialect.header import parse_file
from isomesh_dagster.errors import ModelError
from isomesh_dagster.macros.expander import Expander
from isomesh_dagster.macros.values import Fragment
from isomesh_dagster.model.audits import BUILT_IN, AuditDefinition, AuditUse, resolve
from isomesh_dagster.model.properties import MODEL_PROPERTIES, read_properties
from isomesh_dagster_tests.postgres_server import PostgresServer


def uses(text: str) -> tuple[AuditUse, ...]:
    (definition,) = parse_file(f"MODEL (audits ({text}))", "duckdb", "m.sql")
    assert definition.block is not None
    found: tuple[AuditUse, ...] = read_properties(
        definition.block, MODEL_PROPERTIES, dialect="duckdb", expander=None
    ).get("audits")
    return found


Count = Callable[[str], int]


@pytest.fixture(scope="module")
def duckdb_count() -> Iterator[Count]:
    with duckdb.connect() as connection:
        yield lambda sql: int(connection.execute(sql).fetchall()[0][0])


@pytest.fixture(scope="module")
def postgres_count(postgres_server: PostgresServer) -> Iterator[Count]:
    with contextlib.closing(postgres_server.connect()) as connection:

        def count(sql: str) -> int:
            cursor = connection.cursor()
            cursor.execute(sql)
            return int(cursor.fetchone()[0])

        yield count


def counting(use: str, rows: str, dialect: str) -> str:
    """SQL that counts what the audit finds among `rows`, the FROM part that makes a relation `t`; as execution does."""
    (call,) = resolve(uses(use), {}, dialect=dialect)
    fragments = {name: Fragment(text) for name, text in call.arguments.items()}
    expander = Expander(dialect, {**fragments, "this_model": Fragment('"audited"')})
    query = expander.expand(call.query)
    return f'WITH "audited" AS (SELECT * FROM {rows})\nSELECT COUNT(*) FROM (\n{query}\n) AS bad'


NOTHING = "(SELECT 1 AS a, 'x' AS b WHERE FALSE) AS t"


def values(rows: str, columns: str = "a") -> str:
    return f"(VALUES {rows}) AS t({columns})"


CASES = [
    ("not_null(columns := (a, b))", values("(1, 2), (3, 4)", "a, b"), 0),
    ("not_null(columns := (a, b))", values("(1, NULL), (NULL, 4), (5, 6)", "a, b"), 2),
    ("not_null(columns := a)", values("(1), (NULL)"), 1),
    ("not_null(columns := (a, b), condition := a > 3 OR b = 9)", values("(1, NULL::INT), (5, NULL)", "a, b"), 1),
    ("unique_values(columns := (a, b))", values("(1, 1), (2, 2)", "a, b"), 0),
    ("unique_values(columns := (a, b))", values("(1, 7), (2, 7), (3, 8)", "a, b"), 2),
    ("unique_values(columns := a)", values("(NULL), (NULL)"), 2),
    ("unique_values(columns := (a % 2))", values("(1), (3), (4)"), 2),
    ("unique_combination_of_columns(columns := (a, b))", values("(1, 1), (1, 2)", "a, b"), 0),
    ("unique_combination_of_columns(columns := (a, b))", values("(1, 1), (1, 1), (2, 1)", "a, b"), 1),
    ("at_least_one(column := a)", values("(NULL), (1)"), 0),
    ("at_least_one(column := a)", values("(NULL::INT), (NULL)"), 1),
    ("at_least_one(column := a)", NOTHING, 0),
    ("not_constant(column := a)", values("(1), (2)"), 0),
    ("not_constant(column := a)", values("(1), (1), (NULL)"), 1),
    ("not_empty_string(column := a)", values("('x'), (NULL)"), 0),
    ("not_empty_string(column := a)", values("('x'), ('')"), 1),
    ("not_null_proportion(column := a, threshold := 0.5)", values("(1), (NULL)"), 0),
    ("not_null_proportion(column := a, threshold := 0.8)", values("(1), (NULL)"), 1),
    ("not_null_proportion(column := a, threshold := 0.8)", NOTHING, 0),
    ("accepted_values(column := a, is_in := ('x', 'y'))", values("('x'), (NULL)"), 0),
    ("accepted_values(column := a, is_in := ('x', 'y'))", values("('x'), ('z')"), 1),
    ("accepted_values(column := a, is_in := ['x', 'y'])", values("('x'), ('z')"), 1),
    ("accepted_values(column := a, is_in := (1))", values("(1), (2)"), 1),
    ("not_accepted_values(column := a, is_in := ('x', 'y'))", values("('z'), (NULL)"), 0),
    ("not_accepted_values(column := a, is_in := ('x', 'y'))", values("('z'), ('x')"), 1),
    ("number_of_rows(threshold := 1)", values("(1), (2)"), 0),
    ("number_of_rows(threshold := 2)", values("(1), (2)"), 1),
    ("number_of_rows(threshold := 1, condition := a > 1)", values("(1), (2)"), 1),
    ("forall(criteria := (a > 0, LENGTH(b) > 1))", values("(1, 'xx'), (NULL, 'yy')", "a, b"), 0),
    ("forall(criteria := (a > 0, LENGTH(b) > 1))", values("(1, 'x'), (0, 'yy'), (1, 'zz')", "a, b"), 2),
    ("forall(criteria := (a = 1 OR a = 2))", values("(1), (3)"), 1),
    ("accepted_range(column := a, min_v := 1, max_v := 3)", values("(1), (3), (NULL)"), 0),
    ("accepted_range(column := a, min_v := 1, max_v := 3)", values("(0), (4)"), 2),
    ("accepted_range(column := a, min_v := 1, max_v := 3, inclusive := false)", values("(1), (2), (3)"), 2),
    ("accepted_range(column := a, min_v := 1)", values("(0), (99)"), 1),
    ("accepted_range(column := a, max_v := 1)", values("(0), (99)"), 1),
    ("sequential_values(column := a)", values("(3), (1), (2)"), 0),
    ("sequential_values(column := a)", values("(1), (3), (4)"), 1),
    ("sequential_values(column := a, interval := 2)", values("(1), (3), (5)"), 0),
    ("sequential_values(column := a, interval := INTERVAL '1 day')", values("(DATE '2020-01-01'), ('2020-01-03')"), 1),
    (
        "mutually_exclusive_ranges(lower_bound_column := a, upper_bound_column := b)",
        values("(1, 3), (3, 5)", "a, b"),
        0,
    ),
    (
        "mutually_exclusive_ranges(lower_bound_column := a, upper_bound_column := b)",
        values("(1, 4), (3, 5)", "a, b"),
        1,
    ),
    (
        "mutually_exclusive_ranges(lower_bound_column := a, upper_bound_column := b)",
        values("(5, 4)", "a, b"),
        1,
    ),
    (
        "mutually_exclusive_ranges(lower_bound_column := a, upper_bound_column := b,"
        " partition_clause := PARTITION BY c)",
        values("(1, 4, 'x'), (3, 5, 'y')", "a, b, c"),
        0,
    ),
    ("match_regex_pattern_list(column := a, patterns := ('^[0-9]', '!$'))", values("('1st'), ('hey!'), (NULL)"), 0),
    ("match_regex_pattern_list(column := a, patterns := ('^[0-9]', '!$'))", values("('x'), ('')"), 2),
    ("match_regex_pattern_list(column := a, patterns := ('^$'))", values("(''), ('x')"), 1),
    ("not_match_regex_pattern_list(column := a, patterns := ('^[0-9]', '!$'))", values("('x'), (NULL), ('')"), 0),
    ("not_match_regex_pattern_list(column := a, patterns := ('^[0-9]', '!$'))", values("('1'), ('x!')"), 2),
    ("match_like_pattern_list(column := a, patterns := ('jim%', 'pam%'))", values("('jimmy'), ('pam'), (NULL)"), 0),
    ("match_like_pattern_list(column := a, patterns := ('jim%', 'pam%'))", values("('tom')"), 1),
    ("not_match_like_pattern_list(column := a, patterns := ('%doe', '%smith'))", values("('jane'), (NULL)"), 0),
    ("not_match_like_pattern_list(column := a, patterns := ('%doe', '%smith'))", values("('john doe')"), 1),
    ("valid_uuid(column := a)", values("('123e4567-e89b-12d3-a456-426614174000'), (NULL)"), 0),
    ("valid_uuid(column := a)", values("('123e4567-e89b-12d3-a456-42661417400'), ('x'), ('')"), 3),
    ("valid_uuid(column := a)", "(SELECT gen_random_uuid() AS a) AS t", 0),
    ("valid_email(column := a)", values("('a.b+c@example.co.uk'), (NULL)"), 0),
    ("valid_email(column := a)", values("('a@b'), ('a b@c.d'), ('@x.y')"), 3),
    ("valid_url(column := a)", values("('https://example.com/x?y=1#z'), (NULL)"), 0),
    ("valid_url(column := a)", values("('example.com'), ('http:// x.y'), ('gopher://x.y')"), 3),
    ("valid_http_method(column := a)", values("('GET'), ('PATCH'), (NULL)"), 0),
    ("valid_http_method(column := a)", values("('get'), ('FETCH')"), 2),
    ("string_length_equal(column := a, v := 2)", values("('ab'), (NULL)"), 0),
    ("string_length_equal(column := a, v := 2)", values("('abc'), ('')"), 2),
    ("string_length_between(column := a, min_v := 1, max_v := 2)", values("('a'), ('ab'), (NULL)"), 0),
    ("string_length_between(column := a, min_v := 1, max_v := 2)", values("(''), ('abc')"), 2),
    ("string_length_between(column := a, min_v := 1, max_v := 3, inclusive := false)", values("('a'), ('ab')"), 1),
    ("z_score(column := a, threshold := 3)", values("(1), (2), (3)"), 0),
    ("z_score(column := a, threshold := 1)", values("(1), (1), (1), (9)"), 1),
    ("z_score(column := a, threshold := 1)", values("(1), (1)"), 0),
    ("mean_in_range(column := a, min_v := 1, max_v := 2)", values("(1), (3)"), 0),
    ("mean_in_range(column := a, min_v := 1, max_v := 2, inclusive := false)", values("(1), (3)"), 1),
    ("mean_in_range(column := a, max_v := 1)", values("(1), (3)"), 1),
    ("stddev_in_range(column := a, min_v := 0, max_v := 1)", values("(1), (2)"), 0),
    ("stddev_in_range(column := a, min_v := 0, max_v := 1)", values("(1), (9)"), 1),
    ("kl_divergence(source_column := a, target_column := b, threshold := 0.1)", values("(1, 2), (2, 1)", "a, b"), 0),
    (
        "kl_divergence(source_column := a, target_column := b, threshold := 1.09)",
        values("(1, 1), (1, 2), (1, 2), (2, 2)", "a, b"),
        1,  # 2 * (0.75 - 0.25) * ln(3) = 1.0986
    ),
    (
        "kl_divergence(source_column := a, target_column := b, threshold := 1.09)",
        values("(1, 1), (1, 2), (1, 2), (1, 2), (2, 1), (2, 1), (2, 1), (2, 2)", "a, b"),
        0,  # a and b are as often 1 as 2
    ),
    ("kl_divergence(source_column := a, target_column := b, threshold := 99)", values("(1, 1), (1, 2)", "a, b"), 1),
    (
        "chi_square(column_a := a, column_b := b, critical_value := 3.84)",
        values("(1, 'x'), (1, 'y'), (2, 'x'), (2, 'y')", "a, b"),
        0,
    ),
    (
        "chi_square(column_a := a, column_b := b, critical_value := 3.84)",
        values("(1, 'x'), (1, 'x'), (2, 'y'), (2, 'y')", "a, b"),
        1,  # the statistic is 4
    ),
    (
        "chi_square(column_a := a, column_b := b, critical_value := 3.84, dependent := false)",
        values("(1, 'x'), (1, 'x'), (2, 'y'), (2, 'y')", "a, b"),
        0,
    ),
]


@pytest.mark.parametrize(("use", "rows", "expected"), CASES)
def test_built_in_on_duckdb(use: str, rows: str, expected: int, duckdb_count: Count) -> None:
    assert duckdb_count(counting(use, rows, "duckdb")) == expected


@pytest.mark.parametrize(("use", "rows", "expected"), CASES)
def test_built_in_on_postgres(use: str, rows: str, expected: int, postgres_count: Count) -> None:
    assert postgres_count(counting(use, rows, "postgres")) == expected


def test_every_built_in_is_tried_with_rows_that_pass_and_rows_that_do_not() -> None:
    blocking = {name for name, audit in BUILT_IN.items() if audit.blocking}
    assert len(blocking) == 29
    for outcome in (True, False):
        assert {use.split("(")[0] for use, _, expected in CASES if (expected == 0) is outcome} == blocking


def test_every_built_in_has_a_twin_that_does_not_block() -> None:
    for name, audit in BUILT_IN.items():
        if audit.blocking:
            twin = BUILT_IN[f"{name}_non_blocking"]
            assert (twin.query, twin.arguments, twin.defaults, twin.blocking) == (
                audit.query,
                audit.arguments,
                audit.defaults,
                False,
            )


# --- resolving


MINE = {
    "mine": AuditDefinition(
        name="Mine", query="SELECT * FROM @this_model WHERE @column > @VAR('limit', 1)", defaults={"column": "a"}
    ),
    "soft": AuditDefinition(name="soft", query="SELECT 1 FROM @this_model", blocking=False, dialect="postgres"),
    "off": AuditDefinition(name="off", query="SELECT 1", skip=True),
    "not_null": AuditDefinition(name="not_null", query="SELECT 'mine'"),
}


def test_defaults_are_merged_and_the_definition_told() -> None:
    (first, second) = resolve(uses("MINE(limit := 3), mine(column := b)"), MINE, dialect="duckdb")
    assert dict(first.arguments) == {"column": "a", "limit": "3"}
    assert dict(second.arguments) == {"column": "b"}
    assert (first.name, first.query, first.blocking, first.dialect) == ("Mine", MINE["mine"].query, True, "duckdb")


def test_blocking_is_the_definitions_unless_the_use_says_otherwise() -> None:
    calls = resolve(
        uses("soft, soft(blocking := true), not_null_non_blocking(columns := (a)), mine(blocking := FALSE)"),
        MINE,
        dialect="duckdb",
    )
    assert [call.blocking for call in calls] == [False, True, False, False]
    assert calls[0].dialect == "postgres"
    assert "blocking" not in calls[1].arguments


def test_a_skipped_audit_is_accepted_and_never_called() -> None:
    assert resolve(uses("off"), MINE, dialect="duckdb") == ()


def test_the_projects_audit_wins_over_a_built_in_one() -> None:
    (call,) = resolve(uses("not_null"), MINE, dialect="duckdb")
    assert call.query == "SELECT 'mine'"


@pytest.mark.parametrize(
    ("use", "told", "hint"),
    [
        ("not_nul(columns := (a))", "unknown audit 'not_nul'", "not_null"),
        ("zzzzz", "unknown audit", "AUDIT"),
        ("not_null", "needs 'columns'", "columns := …"),
        ("unique_values(column := a)", "no argument 'column'", "columns"),
        ("unique_values(columns := a, zzzz := 1)", "no argument 'zzzz'", "it takes columns, condition"),
        ("mine(colum := a)", "no argument 'colum'", "column"),
        ("soft(blocking := maybe)", "true or false", None),
    ],
)
def test_wrong_uses(use: str, told: str, hint: str | None) -> None:
    definitions = {name: audit for name, audit in MINE.items() if name != "not_null"}
    with pytest.raises(ModelError, match=told) as caught:
        resolve(uses(use), definitions, dialect="duckdb")
    if hint is not None:
        assert hint in (caught.value.hint or "")
