"""Rendering a model for a moment."""

from __future__ import annotations

from typing import Any

import pytest

from isomesh_dagster.dialect.tokens import tokenize
from isomesh_dagster.errors import MacroError
from isomesh_dagster.model.audits import BUILT_IN
from isomesh_dagster.model.kinds import Full, IncrementalByTimeRange, View
from isomesh_dagster.model.model import AuditCall, Model
from isomesh_dagster.model.render import LOADING, RenderContext, render, render_audit

DAY = 86_400_000
INCREMENTAL = IncrementalByTimeRange(time_column="ds")


def model(**fields: Any) -> Model:
    return Model(
        **{
            "name": "s.m",
            "path": "models/s/m.sql",
            "dialect": "duckdb",
            "kind": INCREMENTAL,
            "query": "SELECT 1",
            **fields,
        }
    )


def running(stage: str = "evaluating", **fields: Any) -> RenderContext:
    given = {"start": DAY, "end": 3 * DAY, "execution_time": 5 * DAY, "this_model": '"p"."m__1"', **fields}
    return RenderContext(stage=stage, **given)


def test_a_model_without_macros_is_rendered_as_it_is() -> None:
    plain = model(pre_statements=("SET a = 1",), post_statements=("SELECT 2",), on_virtual_update=("SELECT 3",))
    rendered = render(plain, running())
    assert (rendered.pre, rendered.query, rendered.post, rendered.virtual_update) == (
        ("SET a = 1",),
        "SELECT 1",
        ("SELECT 2",),
        ("SELECT 3",),
    )
    assert rendered.used_variables == rendered.used_macros == frozenset()


def test_definitions_hold_for_later_statements_and_vanish() -> None:
    written = model(
        pre_statements=("@DEF(y, @n + 1)", "@IF(@runtime_stage = 'creating', CREATE INDEX i ON @this_model (a))"),
        query="SELECT @y AS y, ds FROM t WHERE ds BETWEEN @start_ds AND @end_ds",
        post_statements=("@DEF(z, 2)", "SELECT @y, @z, @model_kind_name"),
        on_virtual_update=("GRANT SELECT ON @this_model TO r",),
        variables={"gateway": "g", "n": 7},
    )
    rendered = render(written, running())
    assert rendered.pre == ()
    assert rendered.query == "SELECT 7 + 1 AS y, ds FROM t WHERE ds BETWEEN '1970-01-02' AND '1970-01-03'"
    assert rendered.post == ("SELECT 7 + 1, 2, 'INCREMENTAL_BY_TIME_RANGE'",)
    assert rendered.virtual_update == ('GRANT SELECT ON "p"."m__1" TO r',)
    assert rendered.used_variables == {"n", "runtime_stage", "this_model", "start_ds", "end_ds", "model_kind_name"}
    assert rendered.used_macros == {"def", "if"}
    assert render(written, running("creating")).pre == ('CREATE INDEX i ON "p"."m__1" (a)',)


def test_a_statement_may_become_several() -> None:
    written = model(pre_statements=("@EACH([a, b], t -> DROP TABLE @t)",))
    assert render(written, running()).pre == ("DROP TABLE a", "DROP TABLE b")


def test_loading_has_a_day_but_for_the_queries_of_full_and_view() -> None:
    written = model(query="SELECT @start_ts AS a, @end_ds AS b, @this_model, @runtime_stage")
    loaded = render(written, LOADING)
    assert loaded.query == "SELECT '1970-01-01 00:00:00' AS a, '1970-01-01' AS b, \"s\".\"m\", 'loading'"
    for kind in (Full(), View()):
        with pytest.raises(MacroError, match="FULL or VIEW has no range, so there is no @start_ts") as caught:
            render(model(query=written.query, kind=kind), LOADING)
        assert (caught.value.path, caught.value.model) == ("models/s/m.sql", "s.m")
        assert render(model(query="SELECT @execution_ds", kind=kind), LOADING).query == "SELECT '1970-01-01'"
        around = model(query="SELECT 1 AS a", kind=kind, pre_statements=("SET x = @start_ds",))
        assert render(around, LOADING).pre == ("SET x = '1970-01-01'",)


def test_promotion_renders_what_follows_it_alone() -> None:
    written = model(
        pre_statements=("@DEF(who, r)", "SET x = @start_ds"),
        query="SELECT @start_ds",
        on_virtual_update=("GRANT SELECT ON @this_model TO @who",),
    )
    rendered = render(written, running("promoting", this_model="v"))
    assert (rendered.pre, rendered.query, rendered.virtual_update) == ((), "", ("GRANT SELECT ON v TO r",))


def test_errors_tell_the_line_when_it_is_known() -> None:
    written = model(query="SELECT\n  @nope")
    with pytest.raises(MacroError) as caught:
        render(written, running(), lines={written.query: 10})
    assert (caught.value.path, caught.value.line, caught.value.column) == ("models/s/m.sql", 11, 3)
    with pytest.raises(MacroError) as caught:
        render(written, running())
    assert (caught.value.line, caught.value.model) == (None, "s.m")


def test_extra_variables_are_texts() -> None:
    assert render(model(query="SELECT @this_env"), running(extra={"this_env": "dev"})).query == "SELECT 'dev'"


def test_an_audits_arguments_are_sql() -> None:
    audit = AuditCall(
        name="mine",
        query="SELECT * FROM @this_model WHERE @column > @n OR @OR(@EACH(@columns, c -> @c IS NULL))"
        " OR @AND(@EACH(@criteria, c -> NOT @c)) OR @flag",
        arguments={
            "column": '"A b"',
            "columns": "(x, y)",
            "criteria": "(a > @gateway, b)",
            "flag": "TRUE",
            "n": "1 + 1",
        },
    )
    text = render_audit(audit, model(variables={"gateway": "g"}), running("auditing", this_model="t"))
    assert text == (
        "SELECT * FROM t WHERE \"A b\" > 1 + 1 OR (x IS NULL OR y IS NULL) OR (NOT a > 'g' AND NOT b) OR TRUE"
    )


def test_an_audits_errors_name_it() -> None:
    with pytest.raises(MacroError, match="audit mine: variable @colum is not defined") as caught:
        render_audit(AuditCall(name="mine", query="SELECT @colum", arguments={"column": "a"}), model(), running())
    assert caught.value.hint == "did you mean @column?"


@pytest.mark.parametrize("name", sorted(BUILT_IN))
def test_every_built_in_audit_renders(name: str) -> None:
    definition = BUILT_IN[name]
    given = dict.fromkeys(definition.arguments or (), "(x, y)")
    audit = AuditCall(name=name, query=definition.query, arguments={**given, **definition.defaults})
    text = render_audit(audit, model(), running("auditing", this_model="audited"))
    assert "@" not in [token.text for token in tokenize(text, "duckdb").tokens]
    assert "audited" in text
