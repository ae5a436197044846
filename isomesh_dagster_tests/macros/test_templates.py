"""Jinja blocks: what is defined in them, what they read, what they give, and what is wrong with its place."""

from __future__ import annotations

import pytest

from isomesh_dagster.errors import MacroError
from isomesh_dagster.macros.expander import Expander
from isomesh_dagster.macros.outline import outline
from isomesh_dagster.macros.project import ProjectMacros
from isomesh_dagster.macros.values import Fragment, Variable
from isomesh_dagster.macros.variables import time_variables

PYTHON = """
from isomesh_dagster import macro

@macro()
def shout(evaluator, word: str, sign: str = '!'):
    return f"'{word.upper()}{sign}'"
"""
FILES = {
    "macros/a.sql": "{% macro plus(x, n=1) %}{{ x }} + {{ n }}{% endmacro %}\n"
    "{%- macro both(x) -%} {{ plus(x) }}, {{ plus(x, var('n')) }} {%- endmacro -%}",
    "macros/b.sql": "{% macro day() %}{{ start_ds }}{% endmacro %}{% macro unused() %}x{% endmacro %}",
}
VARIABLES: dict[str, Variable] = {
    "gateway": "dev",
    "n": 3,
    "names": ["a", "b"],
    "runtime_stage": "loading",
    "this_model": Fragment('"m"."t"'),
    "customer": Fragment("'c1'"),
    **time_variables("duckdb", start=0, end=86_400_000, execution=0),
}


def project(files: dict[str, str] | None = None) -> ProjectMacros:
    module = outline(PYTHON, "macros/shout.py")
    return ProjectMacros(lambda: [module], {"macros/shout.py": PYTHON}.__getitem__, lambda: files or FILES)


def expander(macros: ProjectMacros | None = None, expected: dict[str, str] | None = None) -> Expander:
    return Expander(
        "duckdb", VARIABLES, path="m.sql", macros=macros or project(), blueprint=("customer",), expected=expected
    )


def expanded(template: str) -> str:
    return expander().expand(f"JINJA_QUERY_BEGIN;\n{template}\nJINJA_END")


@pytest.mark.parametrize(
    ("template", "sql"),
    [
        ("SELECT {{ var('n') }} AS a, {{ var('nope', 4) }}", "SELECT 3 AS a, 4"),
        ("SELECT {{ var('N') + 1 }}", "SELECT 4"),
        ("SELECT '{{ gateway }}', '{{ gateway() }}'", "SELECT 'dev', 'dev'"),
        ("SELECT {{ blueprint_var('customer') }}, {{ blueprint_var('n', 0) }}", "SELECT 'c1', 0"),
        ("SELECT '{{ start_ds }}', {{ end_millis }}", "SELECT '1970-01-01', 86399999"),
        ("SELECT '{{ start_dt.year }}', '{{ end_date }}'", "SELECT '1970', '1970-01-01'"),
        ("SELECT 1 FROM {{ this_model }}", 'SELECT 1 FROM "m"."t"'),
        ("SELECT {% for x in var('names') %}{{ x }}{{ ', ' if not loop.last }}{% endfor %}", "SELECT a, b"),
        ("{% set l = [] %}{% do l.append('x') %}SELECT {{ l[0] }}", "SELECT x"),
        ("SELECT 1{% for x in [1, 2, 3] %}{% if x == 2 %}{% break %}{% endif %}, {{ x }}{% endfor %}", "SELECT 1, 1"),
        ("SELECT {{ plus('a') }}, {{ both('b') }}", "SELECT a + 1, b + 1, b + 3"),
        ("SELECT {{ shout('a') }}, {{ shout('b', sign='?') }}", "SELECT 'A!', 'B?'"),
        ("SELECT @n, {{ '@' }}IF(@n = 3, yes, no)", "SELECT 3, yes"),
        ("SELECT '{{ 'x' | b64encode }}', '{{ 'eA==' | b64decode }}';", "SELECT 'eA==', 'x'"),
        ("{% if runtime_stage == 'loading' %}SELECT 1{% else %}SELECT 2{% endif %}", "SELECT 1"),
        ("SELECT 1 {# a remark #} AS a", "SELECT 1  AS a"),
    ],
)
def test_what_a_template_gives(template: str, sql: str) -> None:
    assert expanded(template) == sql


def test_a_block_of_statements_gives_several() -> None:
    block = "JINJA_STATEMENT_BEGIN;\n{% for x in var('names') %}SET {{ x }} = ';' || @n;\n{% endfor %}JINJA_END"
    assert expander().expand_statement(block) == ["SET a = ';' || 3", "SET b = ';' || 3"]


@pytest.mark.parametrize(
    ("template", "told", "line"),
    [
        ("SELECT 1,\n{{ n }}", "'n' is undefined", 12),
        ("SELECT 1,\n\n{{ nothing(1) }}", "'nothing' is undefined", 13),
        ("SELECT {% if %}", "Expected an expression", 11),
        ("SELECT\n{{ 1 / 0 }}", "ZeroDivisionError", 12),
        ("SELECT {{ var.__globals__ }}", "unsafe", 11),
        ("SELECT {{ shout([]) }}", "@shout failed (macros/shout.py:6): AttributeError", 11),
        ("SELECT @nope", "@nope is not defined", None),
    ],
)
def test_what_is_wrong_is_told_with_its_line(template: str, told: str, line: int | None) -> None:
    with pytest.raises(MacroError) as caught:
        expander().expand_statement(f"JINJA_QUERY_BEGIN;\n{template}\nJINJA_END", 10)
    assert told in caught.value.message
    assert caught.value.path == "m.sql"
    if line is not None:
        assert caught.value.line == line


def test_what_a_template_mentions_is_read_whichever_branch_is_taken() -> None:
    one = expander()
    one.expand(
        "JINJA_QUERY_BEGIN;\nSELECT {% if false %}{{ var('x') }}{{ both('a') }}{{ shout('b') }}{% endif %} 1\nJINJA_END"
    )
    assert {"x", "n"} <= one.used_variables
    assert one.used_facts == {"jinja both", "macro shout"}
    assert one.scope.hidden == set()


def test_a_template_that_knows_the_moment_hides_what_it_reads() -> None:
    one = expander()
    one.expand("JINJA_QUERY_BEGIN;\nSELECT {{ var('n') }} + {{ day() }}\nJINJA_END")
    assert one.scope.hidden == {"n", "jinja day"}
    assert "start_ds" in one.used_variables


def test_a_digest_covers_what_a_macro_calls_and_nothing_else() -> None:
    before = project().digests
    after = project({**FILES, "macros/a.sql": FILES["macros/a.sql"].replace("n=1", "n=2")}).digests
    assert {key for key in before if before[key] != after[key]} == {"jinja plus", "jinja both"}


def test_another_source_than_the_planned_one_is_refused() -> None:
    planned = dict(project().digests)
    other = project({"macros/a.sql": "{% macro plus(x) %}{{ x }} + 9{% endmacro %}"})
    with pytest.raises(MacroError, match="not what it was when the model was planned"):
        expander(other, planned).expand("JINJA_QUERY_BEGIN;\nSELECT {{ plus('a') }}\nJINJA_END")


def test_two_macros_of_one_name_are_told() -> None:
    with pytest.raises(MacroError, match=r"defined in macros/a.sql:1 too"):
        _ = project({**FILES, "macros/z.sql": "\n{% macro plus(x) %}{% endmacro %}"}).templates
