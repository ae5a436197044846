"""Python files as models: a decorator says what a MODEL header says, and what the code reads is known at load."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isomesh_dagster.errors import IsomeshError, ModelError
from isomesh_dagster.macros.outline import outline
from isomesh_dagster.macros.project import ProjectMacros
from isomesh_dagster.model.codec import model_from_json, model_to_json
from isomesh_dagster.model.context import ParseContext
from isomesh_dagster.model.kinds import Full, View
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.parse import ParsedFile, parse_model
from isomesh_dagster.model.python_files import parse_python
from isomesh_dagster.snapshot.fingerprint import own

PATH = "models/t.py"
HEAD = """\
import datetime
from sqlglot import exp
from sqlmesh import model
from sqlmesh.core.model.kind import FullKind, IncrementalByTimeRangeKind, ModelKindName, TimeColumn
TABLE = "s.constant"
"""


def context(**files: str) -> ParseContext:
    sources = {f"{name.replace('__', '/')}.py": text for name, text in files.items()}
    return ParseContext(
        gateway="dev",
        dialect="duckdb",
        default_catalog="db",
        variables={"source": "raw", "factor": 3, "unused": 1},
        physical_schema=lambda schema: f"isomesh__{schema}",
        read_seed=lambda path: b"",
        macros=ProjectMacros(lambda: [outline(text, path) for path, text in sources.items()], sources.__getitem__),
    )


def parsed(text: str, **changes: object) -> ParsedFile:
    return parse_python(HEAD + text, PATH, replace(context(models__t=HEAD + text), **changes))


def one(decorator: str, body: str = "...", **changes: object) -> Model:
    text = f"@model({decorator})\ndef execute(context, start, end, execution_time, **kwargs):\n    {body}\n"
    (found,) = parsed(text, **changes).models
    return found


def wrong(decorator: str, body: str = "...") -> IsomeshError:
    with pytest.raises(IsomeshError) as caught:
        one(decorator, body)
    assert caught.value.path == PATH
    return caught.value


COLUMNS = 'columns={"id": "int", "Ds": "date", "my name": exp.DataType.build("text")}'


@pytest.mark.parametrize(
    ("decorator", "header"),
    [
        ("", ""),
        ("kind='full'", "kind FULL"),
        ("kind=FullKind()", "kind FULL"),
        (
            "kind=dict(name=ModelKindName.INCREMENTAL_BY_TIME_RANGE, time_column='ds', batch_size=3, lookback=None)",
            "kind INCREMENTAL_BY_TIME_RANGE (time_column ds, batch_size 3)",
        ),
        (
            "kind={'name': 'incremental_by_time_range', 'time_column': {'column': 'ds', 'format': '%d'}}",
            "kind INCREMENTAL_BY_TIME_RANGE (time_column (ds, '%d'))",
        ),
        (
            "kind={'name': 'incremental_by_time_range', 'time_column': ('ds', '%d')}",
            "kind INCREMENTAL_BY_TIME_RANGE (time_column (ds, '%d'))",
        ),
        (
            "kind=IncrementalByTimeRangeKind(time_column=TimeColumn(column='ds', format='%d'), batch_size=2)",
            "kind INCREMENTAL_BY_TIME_RANGE (time_column (ds, '%d'), batch_size 2)",
        ),
        (
            "kind=dict(name='INCREMENTAL_BY_TIME_RANGE', time_column=TimeColumn('ds'))",
            "kind INCREMENTAL_BY_TIME_RANGE (time_column ds)",
        ),
        (
            "kind={'name': ModelKindName.INCREMENTAL_BY_UNIQUE_KEY, 'unique_key': ['id', 'lower(\"my name\")'], "
            "'when_matched': 'WHEN MATCHED THEN UPDATE SET target.id = source.id', 'merge_filter': 'source.id > 1'}",
            'kind INCREMENTAL_BY_UNIQUE_KEY (unique_key (id, lower("my name")), '
            "when_matched (WHEN MATCHED THEN UPDATE SET target.id = source.id), merge_filter source.id > 1)",
        ),
        (
            "kind={'name': 'SCD_TYPE_2_BY_COLUMN', 'unique_key': 'id', 'columns': ['ds', 'id']}",
            "kind SCD_TYPE_2_BY_COLUMN (unique_key id, columns (ds, id))",
        ),
        (
            "kind={'name': 'SCD_TYPE_2_BY_COLUMN', 'unique_key': ['id'], 'columns': '*'}",
            "kind SCD_TYPE_2_BY_COLUMN (unique_key id, columns *)",
        ),
        ("cron='@hourly', owner='me', stamp='x'", "cron '@hourly', owner me, stamp 'x'"),
        ("cron='5 * * * *', cron_tz='Europe/Berlin'", "cron '5 * * * *', cron_tz 'Europe/Berlin'"),
        ("start=datetime.date(2024, 1, 2), end='2024-02-01'", "start '2024-01-02', end '2024-02-01'"),
        ("tags=['a', 'b c'], description=\"it's\"", "tags (a, 'b c'), description 'it''s'"),
        ("grain='id', references=['id', 'ds as day']", "grain id, references (id, ds as day)"),
        ("partitioned_by=['ds', 'id'], clustered_by='id'", "partitioned_by (ds, id), clustered_by id"),
        (
            "physical_properties={'a': 1, 'b c': 'x', 'd': True}, virtual_properties=dict(e=exp.true())",
            "physical_properties (a = 1, 'b c' = 'x', d = true), virtual_properties (e = TRUE)",
        ),
        ("column_descriptions={'id': 'the id'}", "column_descriptions (id = 'the id')"),
        (
            "audits=['not_null(columns := (id))', ('accepted_values', {'column': exp.column('id'), 'is_in': [1, 2]})]",
            "audits (not_null(columns := (id)), accepted_values(column := id, is_in := (1, 2)))",
        ),
        ("interval_unit='hour', cron='@daily'", "interval_unit hour, cron '@daily'"),
        ("ignored_rules=['all'], signals=[], enabled=True", "ignored_rules (all), enabled true"),
        ("depends_on={'s.b', 's.a', 'db.s.c'}", "depends_on (s.a, s.b, s.c)"),
    ],
)
def test_a_decorator_says_what_a_header_says(decorator: str, header: str) -> None:
    """As an SQL model of the same columns, whose query is then forgotten."""
    found = one(f"'s.t', {COLUMNS}, {decorator}")
    kind = "" if "kind" in header else "kind FULL, "
    columns = '(id int, ds date, "my name" text)'
    query = 'SELECT 1 AS id, 2 AS ds, 3 AS "my name"'
    text = f"MODEL (name s.t, {kind}columns {columns}{', ' if header else ''}{header});\n{query}"
    (expected,) = parse_model(text, PATH, context()).models
    assert found == replace(expected, query="", rendered="", output=None, line=found.line, python=found.python)


def test_statements_stand_around_the_function() -> None:
    found = one(
        f"'s.t', {COLUMNS}, pre_statements=['SET x = 1;', exp.select('1')], post_statements='SELECT a FROM raw.other', "
        "on_virtual_update=['GRANT SELECT ON VIEW @this_model TO r']"
    )
    assert found.pre_statements == ("SET x = 1", "SELECT 1")
    assert found.post_statements == ("SELECT a FROM raw.other",)
    assert found.on_virtual_update == ("GRANT SELECT ON VIEW @this_model TO r",)
    assert found.depends_on == ("raw.other",)


def test_the_default_kind_is_full_and_not_a_view() -> None:
    assert one(f"'s.t', {COLUMNS}").kind == Full()


def test_the_function_is_known_by_what_it_reads() -> None:
    body = """\
"doc"
    a = context.resolve_table("db.s.a")
    b = context.table(f"{context.var('source')}.b")
    c = context.resolve_table(model_name=TABLE)
    return context.var("factor"), context.var("Not_There", 1), context.gateway
"""
    found = one(f"'s.t', {COLUMNS}", body)
    assert found.depends_on == ("raw.b", "s.a", "s.constant")
    assert found.variables == {"factor": 3, "gateway": "dev", "source": "raw"}
    assert found.python is not None
    assert found.python.reads == ("var factor", "var gateway", "var not_there", "var source")
    assert found.python.source.startswith("def execute(context")
    assert (found.path, found.line) == (PATH, 6)
    assert model_from_json(model_to_json(found)) == found


def test_what_a_file_read_is_told() -> None:
    reads = parsed(f"@model('s.t', {COLUMNS})\ndef f(context): context.var('factor')\n").reads
    assert reads.variables == ("factor",)
    assert reads.macros == (f"module {PATH}",)


def test_listed_dependencies_stand_for_those_of_the_code() -> None:
    found = one(f"'s.t', {COLUMNS}, depends_on=['s.x']", "context.resolve_table(kwargs['name'])")
    assert found.depends_on == ("s.x",)
    assert one(f"'s.t', {COLUMNS}, depends_on=[]", "context.resolve_table('s.a')").depends_on == ()


def test_variables_count_as_code_does() -> None:
    before = one(f"'s.t', {COLUMNS}", "context.var('factor')")
    assert own(one(f"'s.t', {COLUMNS}", "context.var('factor')", variables={"factor": 4})).data != own(before).data
    other = one(f"'s.t', {COLUMNS}", "context.var('factor')", variables={"factor": 3, "unused": 2})
    assert own(other) == own(before)
    assert own(replace(before, owner="you")).data == own(before).data


def test_entries_of_blueprints_are_models() -> None:
    text = f"""\
@model("s.@{{x}}", {COLUMNS}, blueprints=[{{"x": "one", "n": 1}}, {{"x": "two", "n": 2}}], cron="@hourly")
def execute(context, **kwargs):
    return context.resolve_table("raw." + context.blueprint_var("x")), context.blueprint_var("n")
"""
    first, second = parsed(text).models
    assert (first.name, second.name) == ("s.one", "s.two")
    assert (first.depends_on, second.depends_on) == (("raw.one",), ("raw.two",))
    assert dict(first.blueprint) == {"n": "1", "x": "'one'"}
    assert own(first).data != own(second).data


def test_a_function_may_give_the_sql() -> None:
    text = """\
@model("s.t", is_sql=True, kind="VIEW", post_statements=["SELECT 2"])
def execute(evaluator):
    return f"SELECT {evaluator.var('factor')} AS f FROM s.parent WHERE ds < '{evaluator.locals['execution_ds']}'"
"""
    (found,) = parsed(text).models
    assert found.kind == View()
    assert found.python is None
    assert found.rendered == "SELECT 3 AS f FROM s.parent WHERE ds < '1970-01-01'"
    assert found.is_dynamic
    assert found.depends_on == ("s.parent",)
    assert found.post_statements == ("SELECT 2",)


def test_one_file_may_hold_several_and_none() -> None:
    def of(name: str, function: str) -> str:
        return f"@model('s.{name}', {COLUMNS})\ndef {function}(context): ...\n"

    found = parsed(of("a", "a") + of("b", "b"))
    assert [model.name for model in found.models] == ["s.a", "s.b"]
    assert found.names == ("s.a", "s.b")
    assert parsed("").models == ()
    with pytest.raises(ModelError, match="two functions of the file are this model") as caught:
        parsed(of("a", "a") + of("a", "b"))
    assert caught.value.line == 8


@pytest.mark.parametrize("kind", ["VIEW", "EMBEDDED", "EXTERNAL", {"name": "SEED", "path": "x.csv"}])
def test_kinds_that_no_function_can_make(kind: object) -> None:
    found = wrong(f"'s.t', {COLUMNS},\n  kind={kind!r}")
    assert "a Python model cannot be of kind" in found.message
    assert found.line == 7
    assert found.model == "s.t"


@pytest.mark.parametrize(
    ("decorator", "line", "message"),
    [
        ("'s.t'", 6, "a Python model needs `columns`"),
        (f"{COLUMNS}", 6, "the model has no name"),
        (f"'s.t', {COLUMNS},\n  colour=1", 7, "unknown property `colour`"),
        (f"'s.t', {COLUMNS},\n\n  cron='x y'", 8, "cron"),
        (f"'s.t', {COLUMNS},\n  kind={{'time_column': 'ds'}}", 7, "`kind` has no name"),
        (f"'s.t', {COLUMNS},\n  kind=object()", 7, "`kind` cannot hold"),
        (f"'s.t', {COLUMNS},\n  kind={{'name': 'FULL', 'x': 1}}", 7, "kind FULL has no parameter `x`"),
        (f"'s.t', {COLUMNS},\n  audits=[1]", 7, "`audits` cannot hold 1"),
        (f"'s.t', {COLUMNS},\n  audits=['not_nul']", 7, "not_nul"),
        (f"'s.t', {COLUMNS},\n  tags=[object()]", 7, "`tags` cannot hold"),
        ("'s.t', columns={'id': 'UNKNOWN'}", 6, "column 'id' has no type"),
        (f"'s.t', {COLUMNS}, kind={{'name': 'incremental_by_time_range', 'time_column': 'da'}}", 6, "'da' is not in"),
    ],
)
def test_what_is_wrong_is_told_at_its_line(decorator: str, line: int, message: str) -> None:
    found = wrong(decorator)
    assert message in found.message
    assert found.line == line


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("context.resolve_table(kwargs['x'])", "NameError"),
        ("context.resolve_table(1)", "it is 1, no text"),
        ("context.var(kwargs['x'])", "cannot be computed"),
        ("context.resolve_table('a b c')", "is not a table name"),
    ],
)
def test_dependencies_that_nobody_can_tell_are_refused(body: str, message: str) -> None:
    found = wrong(f"'s.t', {COLUMNS}", body)
    assert message in found.message
    assert found.line == 8


def test_a_model_that_reads_itself() -> None:
    assert one(f"'s.t', {COLUMNS}", "context.resolve_table('s.t')").depends_on == ()
    kind = "kind={'name': 'incremental_by_time_range', 'time_column': 'ds'}"
    assert one(f"'s.t', {COLUMNS}, {kind}", "context.resolve_table('s.t')").depends_on == ()
