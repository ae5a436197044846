"""Jinja blocks in model files: which statement they are, what of them is fingerprinted, what is rendered again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isomesh_dagster.errors import MacroError, ModelError
from isomesh_dagster.macros.project import ProjectMacros
from isomesh_dagster.model.audit_blocks import parse_audits
from isomesh_dagster.model.codec import model_from_json, model_to_json
from isomesh_dagster.model.parse import parse_model
from isomesh_dagster.model.render import RenderContext, render, render_audit
from isomesh_dagster.snapshot.fingerprint import own
from isomesh_dagster_tests.model.test_parse import context, model

QUERY = "JINJA_QUERY_BEGIN;\n{}\nJINJA_END;"


def test_a_block_is_the_query_and_others_are_statements() -> None:
    text = "MODEL (name a.b, kind FULL);\nJINJA_STATEMENT_BEGIN;\nSET a = {{ var('x', 1) }};\nSET b = 2;\nJINJA_END;\n"
    text += QUERY.format("SELECT id, '{{ gateway }}' AS g FROM raw.t")
    text += "\nON_VIRTUAL_UPDATE_BEGIN;\nJINJA_STATEMENT_BEGIN;\nGRANT SELECT ON {{ this_model }} TO y;\nJINJA_END;\n"
    made = model(text + "ON_VIRTUAL_UPDATE_END;")
    assert made.rendered == "SELECT id, 'dev' AS g FROM raw.t"
    assert made.depends_on == ("raw.t",)
    assert not made.is_dynamic
    moment = RenderContext(start=0, end=1, execution_time=0, stage="evaluating", this_model='"p"."t"')
    rendered = render(made, moment)
    assert rendered.pre == ("SET a = 1", "SET b = 2")
    assert rendered.virtual_update == ('GRANT SELECT ON "p"."t" TO y',)
    assert model_from_json(model_to_json(made)) == made


def test_a_range_is_known_to_incremental_kinds_only() -> None:
    query = QUERY.format("SELECT ds FROM raw.t WHERE ds = '{{ start_ds }}'")
    with pytest.raises(MacroError, match="FULL or VIEW has no range, so there is no start_ds") as caught:
        model(f"MODEL (name a.b, kind FULL);\n{query}")
    assert caught.value.hint == "use execution_ds"
    assert model(f"MODEL (name a.b, kind INCREMENTAL_BY_TIME_RANGE (time_column ds));\n{query}").is_dynamic


def test_what_gives_the_same_sql_is_the_same() -> None:
    header = "MODEL (name a.b, kind FULL);\n"
    one = model(header + QUERY.format("SELECT {% for c in ['x', 'y'] %}{{ c }}, {% endfor %}1 AS z"))
    two = model(header + QUERY.format("SELECT {% for c in ['x',  'y'] -%} {{ c }}, {% endfor -%} {# why #} 1 AS z"))
    plain = model(header + "SELECT x, y, 1 AS z")
    assert own(one) == own(two) == own(plain)


def test_a_template_with_time_is_rendered_again_and_counts_as_written() -> None:
    header = "MODEL (name a.b, kind INCREMENTAL_BY_TIME_RANGE (time_column d));\n"
    text = "SELECT d FROM t WHERE d = '{{ start_ds }}'"
    made = model(header + QUERY.format(text))
    assert made.is_dynamic
    day = 86_400_000
    moment = RenderContext(start=day, end=2 * day, execution_time=0, stage="evaluating")
    assert render(made, moment).query == "SELECT d FROM t WHERE d = '1970-01-02'"
    other = model(header + QUERY.format(text + "{% if start_ds > '2000' %} AND x{% endif %}"))
    assert other.rendered == made.rendered
    assert own(other).data != own(made).data


def test_a_variable_that_only_another_moment_shows_is_part_of_the_rows() -> None:
    text = "MODEL (name a.b, kind INCREMENTAL_BY_TIME_RANGE (time_column d));\nSELECT @start_date AS d, "
    for call in ("@IF(@start_ds > '2000-01-01', @x, 0) AS x", "@x AS x, @unused AS u"):
        before, after = (model(f"{text}{call}", variables={"x": x, "unused": 1}) for x in (1, 2))
        assert own(before).data != own(after).data
    hidden = model(f"{text}@IF(@start_ds > '2000-01-01', @x, 0) AS x", variables={"x": 1})
    assert hidden.hidden == ("x",)


def test_errors_are_told_with_their_line() -> None:
    with pytest.raises(ModelError) as caught:
        model("MODEL (\n  name a.b\n);\n" + QUERY.format("SELECT 1,\n{{ nope }}"))
    assert (caught.value.path, caught.value.line, caught.value.model) == ("models/m.sql", 6, "a.b")
    with pytest.raises(ModelError) as caught:
        model("MODEL (name a.b);\nSELECT 1 AS a;\n" + QUERY.format("SELECT 2 AS b"))
    assert "one query" in caught.value.message


def test_macros_of_the_project_are_kept_when_they_are_called_again() -> None:
    macros = ProjectMacros(templates=lambda: {"macros/a.sql": "{% macro day() %}'{{ start_ds }}'{% endmacro %}"})
    text = "MODEL (name a.b, kind INCREMENTAL_BY_TIME_RANGE (time_column d));\n" + QUERY.format(
        "SELECT {{ day() }} AS d"
    )
    (made,) = parse_model(text, "models/m.sql", replace(context(), macros=macros)).models
    assert made.macros == dict(macros.digests)
    assert made.hidden == ("jinja day",)
    moment = RenderContext(start=0, end=86_400_000, execution_time=0, stage="evaluating")
    with pytest.raises(ModelError, match="macro day was there when the model was planned, and is gone"):
        render(made, moment)
    assert render(made, replace(moment, macros=macros)).query == "SELECT '1970-01-01' AS d"


AUDITED = """
MODEL (name a.b, kind FULL, audits (above(column := id, most := 5)));
SELECT 1 AS id;
AUDIT (name above);
"""


def test_an_audit_may_be_a_block_of_jinja() -> None:
    block = QUERY.format("SELECT * FROM {{ this_model }} WHERE {{ column }} > {{ most }} + {{ var('least') }}")
    made = model(AUDITED + block, variables={"least": 1})
    moment = RenderContext(start=0, end=1, execution_time=0, stage="auditing", this_model='"p"."t"')
    assert render_audit(made.audits[0], made, moment) == 'SELECT * FROM "p"."t" WHERE id > 5 + 1'
    assert made.variables["least"] == 1
    other = model(AUDITED + block.replace("most }}", "most }} * 2"), variables={"least": 1})
    assert own(made).data == own(other).data
    assert own(made).metadata != own(other).metadata
    assert model_from_json(model_to_json(made)) == made


@pytest.mark.parametrize("text", ["SELECT {{ var('x') }} AS a", "SELECT 1 AS a {% if x %}, 2 AS b{% endif %}"])
def test_jinja_outside_of_its_blocks_is_told_at_its_place(text: str) -> None:
    with pytest.raises(ModelError, match="outside of a block of Jinja") as caught:
        model(f"MODEL (name a.b);\n{text}")
    assert (caught.value.line, caught.value.column) == (2, text.index("{") + 1)
    assert "JINJA_QUERY_BEGIN" in str(caught.value.hint)
    with pytest.raises(ModelError, match="outside of a block of Jinja"):
        parse_audits(f"AUDIT (name a);\n{text}", "audits/a.sql", context())


def test_braces_of_structs_and_in_texts_are_no_jinja() -> None:
    query = "SELECT {'a': {'b': 1}} AS s, '{{ x }}' AS t, \"{%\" AS u FROM x"
    assert model(f"MODEL (name a.b);\n{query}").output == ("s", "t", "u")
