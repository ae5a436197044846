"""Macros written in Python: how they are called, what they may ask, what they give, and what makes them the same."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from isomesh_dagster.errors import ConfigError, IsomeshError, MacroError, UnsupportedError
from isomesh_dagster.macros.expander import Expander
from isomesh_dagster.macros.outline import outline, outline_from_json, outline_to_json
from isomesh_dagster.macros.project import ProjectMacros
from isomesh_dagster.macros.values import Fragment, Variable
from isomesh_dagster.macros.variables import time_variables
from isomesh_dagster.relation import Column, KnownColumns

HEAD = """
import typing as t
from sqlglot import exp
from isomesh_dagster import macro
"""

VARIABLES: dict[str, Variable] = {
    "gateway": "dev",
    "x": "str",
    "list": ["a", "b"],
    "code": Fragment("amount"),
    "runtime_stage": "loading",
    "this_model": Fragment('"m"."t"'),
    **time_variables("duckdb", start=0, end=86_400_000, execution=0),
}


def macros(*texts: str, **files: str) -> ProjectMacros:
    paths = {name: name.replace("__", "/").replace("/init", "/__init__") for name in files}
    sources = {f"macros/{paths[name]}.py": text for name, text in files.items()}
    if texts:
        sources["macros/main.py"] = HEAD + "\n".join(texts)
    modules = [outline(text, path) for path, text in sources.items()]
    return ProjectMacros(lambda: modules, sources.__getitem__)


def expander(project: ProjectMacros, blueprint: tuple[str, ...] = ("code",)) -> Expander:
    def columns(name: str) -> KnownColumns:
        assert name == "raw.t"
        return KnownColumns(columns=(Column(name="id", type="INT"), Column(name="n")), dialect="duckdb")

    return Expander("duckdb", VARIABLES, path="m.sql", macros=project, columns=columns, blueprint=blueprint)


def expanded(text: str, *functions: str) -> str:
    return expander(macros(*functions)).expand(text)


def test_a_function_is_called_by_its_name_or_the_given_one_in_any_case() -> None:
    one = "@macro()\ndef Add(evaluator, x): return f'{x} + 1'"
    assert expanded("SELECT @ADD(a), @add(b)", one) == "SELECT a + 1, b + 1"
    two = "@macro('plus')\ndef anything(evaluator, x): return f'{x} + 1'"
    assert expanded("SELECT @PLUS(a)", two) == "SELECT a + 1"
    with pytest.raises(MacroError, match="no macro @anything"):
        expanded("SELECT @anything(a)", two)


def test_a_function_may_call_other_macros_and_list_variables() -> None:
    one = "@macro()\ndef twice(evaluator, x): return [x, x]"
    two = """
@macro()
def told(evaluator, *items):
    twice = evaluator.send("TWICE", items[0])
    add = evaluator.parse_one("SELECT F(c -> c + 1)").selects[0].expressions[0]
    more = evaluator.send("each", exp.Array(expressions=list(items)), add)
    assert evaluator.send("IF", False, 1) is None
    assert {"x", "list", "code"} <= evaluator.variables.keys() and evaluator.variables["list"] == ["a", "b"]
    return [*twice, *more]
"""
    assert expanded("SELECT @told(a, b)", one, two) == "SELECT a, a, a + 1, b + 1"


@pytest.mark.parametrize(
    ("result", "given"),
    [
        ("'a + 1'", "SELECT a + 1, z"),
        ("exp.column('a') + 1", "SELECT a + 1, z"),
        ("['a', exp.column('b').as_('c'), None]", "SELECT a, b AS c, z"),
        ("None", "SELECT z"),
        ("[]", "SELECT z"),
        ("5", "SELECT 5, z"),
        ("True", "SELECT TRUE, z"),
        ("'@x'", "SELECT 'str', z"),
        ("\"@IF(@x = 'str', yes, no)\"", "SELECT yes, z"),
    ],
)
def test_what_a_macro_may_give(result: str, given: str) -> None:
    assert expanded("SELECT @give(), z", f"@macro()\ndef give(evaluator): return {result}") == given


@pytest.mark.parametrize(
    ("hint", "argument", "told"),
    [
        ("", "a + 1", "Add"),
        ("exp.Column", "a", "Column"),
        ("exp.Column", "'a'", "Column"),
        ("exp.Literal", "'a'", "Literal"),
        ("exp.Table", "raw.t", "Table"),
        ("str", "'it''s'", "it's"),
        ("str", "name", "name"),
        ("str", "raw.t", "raw.t"),
        ("int", "5", "5"),
        ("int", "-5", "-5"),
        ("float", "1.5", "1.5"),
        ("bool", "true", "True"),
        ("list[int]", "[1, 2]", "[1, 2]"),
        ("t.List[str]", "(a, 'b')", "['a', 'b']"),
        ("t.List[str]", "@list", "['a', 'b']"),
        ("tuple[str, int]", "('a', 1)", "('a', 1)"),
        ("t.Tuple[int, ...]", "(1, 2, 3)", "(1, 2, 3)"),
        ("t.Optional[int]", "NULL", "None"),
        ("t.Optional[int]", "3", "3"),
        ("int | str", "'3a'", "3a"),
        ("t.Union[int, str]", "3", "3"),
        ("t.Literal['x', 2]", "'x'", "x"),
        ("t.Literal['x', 2]", "2", "2"),
        ("t.Any", "a", "Column"),
    ],
)
def test_arguments_become_what_the_hint_asks_for(hint: str, argument: str, told: str) -> None:
    value = "type(value).__name__ if isinstance(value, exp.Expression) else str(value)"
    function = f"@macro()\ndef tell(evaluator, value{': ' + hint if hint else ''}): return exp.Literal.string({value})"
    assert expanded(f"SELECT @tell({argument}) AS x", function) == "SELECT '" + told.replace("'", "''") + "' AS x"


@pytest.mark.parametrize(
    ("hint", "argument"),
    [
        ("int", "'a'"),
        ("int", "a"),
        ("bool", "1"),
        ("list[int]", "5"),
        ("tuple[int, int]", "(1, 2, 3)"),
        ("exp.Table", "1"),
    ],
)
def test_an_argument_that_does_not_fit_is_told(hint: str, argument: str) -> None:
    with pytest.raises(MacroError) as caught:
        expanded(f"SELECT\n @tell({argument})", f"@macro()\ndef tell(evaluator, value: {hint}): return '1'")
    assert "argument `value`" in caught.value.message
    assert caught.value.line == 2


def test_arguments_by_position_by_name_and_more() -> None:
    function = "@macro()\ndef all(e, first: str, *rest: str, Named: str = 'd', **others: str): "
    function += "return exp.Literal.string(f'{first} {rest} {Named} {others}')"
    assert expanded("SELECT @all(a, b, c, named := x, extra := y)", function) == (
        "SELECT 'a (''b'', ''c'') x {''extra'': ''y''}'"
    )
    assert expanded("SELECT @all(first := a)", function) == "SELECT 'a () d {}'"
    spread = "@macro()\ndef count(evaluator, *items): return str(len(items))"
    assert expanded("SELECT @count(@EACH(@list, i -> i), z)", spread) == "SELECT 3"
    with pytest.raises(MacroError, match="missing a required argument"):
        expanded("SELECT @all()", function)


def test_a_lambda_is_an_argument_too() -> None:
    assert expanded("SELECT @f(x -> x + 1)", "@macro()\ndef f(e, g: exp.Lambda): return g.this.sql()") == "SELECT x + 1"


def test_what_the_evaluator_tells() -> None:
    function = """
@macro()
def tell(evaluator):
    assert evaluator.var("x") == evaluator.var("X") == evaluator.locals["x"] == "str"
    assert evaluator.var("nope", 3) == 3 and "nope" not in evaluator.locals
    evaluator.locals["nope"] = 4
    assert evaluator.locals["nope"] == 4 and "nope" in list(evaluator.locals) and evaluator.var("nope", 3) == 3
    del evaluator.locals["nope"]
    assert evaluator.blueprint_var("code") == exp.column("amount")
    assert evaluator.blueprint_var("x", 1) == 1
    assert (evaluator.gateway, evaluator.runtime_stage, evaluator.dialect) == ("dev", "loading", "duckdb")
    assert evaluator.this_model == '"m"."t"'
    assert evaluator.eval_expression(evaluator.parse_one("1 < 2")) is True
    assert evaluator.template("a_@{x}_@y", {"y": 1}) == "a_str_1"
    return [f"{name} AS {kind.sql().lower()}" for name, kind in evaluator.columns_to_types("raw.t").items()]
"""
    assert expanded("SELECT @tell()", function) == "SELECT id AS int, n AS unknown"


def test_macros_in_what_the_evaluator_reads_are_expanded() -> None:
    function = """
from sqlmesh.core.dialect import MacroVar

@macro()
def twice(evaluator, item):
    return f"2 * {item.sql()}"

@macro()
def tell(evaluator):
    read = evaluator.parse_one("SELECT @twice(n) AS a, @IF(@x = 'str', 1, 2) AS b")
    assert evaluator.transform(read) == read
    assert evaluator.transform(exp.column("c")) == exp.column("c")
    return [*read.selects, evaluator.transform(MacroVar(this="x")).as_("c")]
"""
    assert expanded("SELECT @tell()", function) == "SELECT 2 * n AS a, 1 AS b, 'str' AS c"


def test_all_that_was_asked_is_remembered() -> None:
    one = expander(macros("@macro()\ndef f(e):\n e.var('x'); e.var('nope'); e.columns_to_types('raw.t'); return '1'"))
    one.expand("SELECT @f()")
    assert {"x", "nope"} <= one.used_variables
    assert one.used_facts == {"macro f", "columns raw.t"}
    assert one.scope.hidden == set()


def test_a_macro_that_looks_at_the_moment_hides_itself_and_what_it_read() -> None:
    project = macros("@macro()\ndef f(e): return e.var('x') if e.runtime_stage == 'creating' else '1'")
    one = expander(project)
    one.expand("SELECT @f()")
    assert one.scope.hidden == {"macro f"}
    two = expander(macros("@macro()\ndef f(e, d): return e.var('x')"))
    two.expand("SELECT @f(@start_ds)")
    assert two.scope.hidden == {"macro f", "x"}


# --- what is wrong


def test_an_error_inside_a_macro_tells_the_call_and_the_place_inside() -> None:
    with pytest.raises(MacroError) as caught:
        expanded("SELECT\n  @f(a)", "@macro()\ndef f(evaluator, x):\n    return 1 / 0")
    assert (caught.value.path, caught.value.line, caught.value.column) == ("m.sql", 2, 3)
    assert "@f failed (macros/main.py:7): ZeroDivisionError" in caught.value.message


def test_a_module_that_cannot_be_run_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError) as caught:
        expanded("SELECT @f()", "@macro()\ndef f(evaluator): return '1'\nimport nothing_of_that_name")
    assert (caught.value.path, caught.value.line) == ("macros/main.py", 7)
    with pytest.raises(ConfigError) as caught:
        macros("def f(:")
    assert (caught.value.path, caught.value.line) == ("macros/main.py", 5)


def test_a_macro_cannot_reach_the_warehouse_where_nothing_is_built() -> None:
    with pytest.raises(UnsupportedError) as caught:
        expanded("SELECT @f()", "@macro()\ndef f(evaluator): return evaluator.engine_adapter.fetchone('1')")
    assert "runtime_stage" in str(caught.value.hint)
    text = expanded("SELECT @f()", "@macro()\ndef f(evaluator): return evaluator.resolve_table('a.b') + '.x'")
    assert text == "SELECT a.b.x"


def test_two_macros_of_one_name_are_told() -> None:
    text = HEAD + "@macro()\ndef f(evaluator): return '1'"
    with pytest.raises(MacroError, match=r"defined in macros/a.py:6 too"):
        _ = macros(a=text, b=text).names


def test_what_is_no_sql_is_told() -> None:
    for result in ("{}", "object()"):
        with pytest.raises(MacroError, match="returned a"):
            expanded("SELECT @f()", f"@macro()\ndef f(evaluator): return {result}")
    with pytest.raises(MacroError, match="without end"):
        expanded("SELECT @f()", "@macro()\ndef f(evaluator): return '@f()'")


def test_another_source_than_the_planned_one_is_refused() -> None:
    project = macros("@macro()\ndef f(evaluator): return '1'")
    planned = dict(project.digests)
    same = Expander("duckdb", {}, macros=project, expected=planned)
    assert same.expand("SELECT @f()") == "SELECT 1"
    other = macros("@macro()\ndef f(evaluator): return '2'")
    with pytest.raises(MacroError) as caught:
        Expander("duckdb", {}, macros=other, expected=planned).expand("SELECT @f()")
    assert "not what it was when the model was planned" in caught.value.message


# --- imports


def test_modules_of_the_project_and_of_the_model_format_are_imported() -> None:
    main = """
from __future__ import annotations
import json
import macros.lib.tools as tools
import macros.lib.tools
from macros.lib import tools as again, twice
from .lib.tools import *
from sqlmesh import macro
from sqlmesh.core.macros import MacroEvaluator, SQL
from sqlmesh.utils.errors import SQLMeshError

@macro()
def f(evaluator: MacroEvaluator, x: SQL) -> str:
    from macros.lib.late import LATE
    assert tools is again is macros.lib.tools and plus is tools.plus
    return f"{tools.plus(x)} + {twice(LATE)} + {json.dumps(1)}"

@macro()
def fails(evaluator):
    raise SQLMeshError("not today")
"""
    project = macros(
        main=main,
        lib__init="from .tools import plus as _plus\ndef twice(x): return _plus(_plus(x))",
        lib__tools="def plus(x): return f'{x} + 1'",
        lib__late="LATE = 'late'",
    )
    assert expander(project).expand("SELECT @f(a * 2)") == "SELECT a * 2 + 1 + late + 1 + 1 + 1"
    with pytest.raises(MacroError, match="not today"):
        expander(project).expand("SELECT @fails()")


def test_nothing_of_a_project_stays_in_the_interpreter() -> None:
    import gc
    import sys

    before = set(sys.modules)
    project = macros(main=HEAD + "@macro()\ndef f(evaluator): return '1'")
    expander(project).expand("SELECT @f()")
    assert not {name for name in set(sys.modules) - before if name.startswith(("macros", "sqlmesh"))}
    del project
    gc.collect()
    assert not {name for name in set(sys.modules) - before if "macros.main" in name}


@pytest.mark.parametrize("future", ["", "from __future__ import annotations\n"])
def test_data_classes_of_a_project_find_their_module(future: str) -> None:
    main = (
        future
        + """
from dataclasses import dataclass
from sqlmesh import macro

@dataclass(frozen=True)
class Pair:
    left: str
    right: int = 2

@macro()
def f(evaluator):
    @dataclass
    class Late:
        pair: Pair
    told = Pair.__annotations__["left"]
    return f"{Late(Pair('a')).pair.right} + " + ("TRUE" if told is str else repr(told))
"""
    )
    annotation = "'str'" if future else "TRUE"
    assert expander(macros(main=main)).expand("SELECT @f()") == f"SELECT 2 + {annotation}"


def test_dates_of_the_model_format() -> None:
    main = """
from datetime import date, datetime
from sqlmesh import macro
from sqlmesh.utils.date import TimeLike, is_date, now, now_ds, to_date, to_datetime, to_ds, to_timestamp, to_ts, to_tstz
from sqlmesh.utils.date import now_timestamp, yesterday, yesterday_ds, yesterday_timestamp

@macro()
def f(evaluator, moment: str):
    base = datetime(2024, 3, 2, 10, 30)
    assert yesterday(base) == to_datetime("2024-03-01") and yesterday_ds(base) == "2024-03-01"
    assert yesterday_timestamp(base) == to_timestamp(date(2024, 3, 1))
    assert to_ds("1 week ago", base) == "2024-02-24" and to_date(1709374200000) == date(2024, 3, 2)
    assert now() <= to_datetime("now") and now().second == 0 and now_ds() <= to_ds("now")
    assert now_timestamp(minute_floor=True) % 60_000 == 0
    assert is_date("2024-03-02") and not is_date(base) and to_datetime(base).tzinfo is not None
    return [repr(text) for text in (to_ts(moment), to_tstz(moment), to_ds(moment))]
"""
    text = expander(macros(main=main)).expand("SELECT @f('2024-03-02 10:30:00.5')")
    assert text == "SELECT '2024-03-02 10:30:00.500000', '2024-03-02 10:30:00.500000+00:00', '2024-03-02'"


def test_a_query_may_end_as_people_end_one() -> None:
    code = "@macro()\ndef f(evaluator):\n    return 'SELECT 1 AS a;\\n'"
    assert expanded("@f()", code) == "SELECT 1 AS a"


def test_what_sqlmesh_has_and_we_have_not_is_told() -> None:
    with pytest.raises(ConfigError) as caught:
        expander(macros(main="from sqlmesh.core.nope import x\n" + HEAD + "@macro()\ndef f(e): return '1'")).expand(
            "SELECT @f()"
        )
    assert caught.value.line == 1


# --- digests

BASE: Mapping[str, str] = {
    "main": HEAD + "from .tools import help_me\nfrom . import consts\nN = 1\n\n"
    "@macro()\ndef f(evaluator):\n    'Doc.'\n    return inner(N) + help_me()\n\n"
    "def inner(n: int):\n    return str(n)\n\ndef unused():\n    return consts.A\n",
    "tools": "import os\nfrom .consts import A\n\ndef help_me():\n    return A\n\nB = 2\n",
    "consts": "A = 'a'\nC = 'c'\n",
}


@pytest.mark.parametrize(
    ("name", "old", "new", "same"),
    [
        ("main", "'Doc.'", "'Other words.'", True),
        ("main", "    return str(n)", "    # why\n    return  str( n )", True),
        ("main", "return consts.A", "return consts.C", True),
        ("tools", "B = 2", "B = 3", True),
        ("consts", "C = 'c'", "C = 'd'", True),
        ("main", "return inner(N)", "return '1' + inner(N)", False),
        ("main", "n: int", "n: str", False),
        ("main", "N = 1", "N = 2", False),
        ("main", "N = 1", "N = 1\nN += 1", False),
        ("main", "return str(n)", "return repr(n)", False),
        ("tools", "return A", "return A + 'x'", False),
        ("tools", "from .consts import A", "from .consts import C as A", False),
        ("consts", "A = 'a'", "A = 'b'", False),
    ],
)
def test_a_digest_covers_what_a_macro_reaches_and_nothing_else(name: str, old: str, new: str, same: bool) -> None:
    assert old in BASE[name]
    before = macros(**BASE).digests["macro f"]
    after = macros(**{**BASE, name: BASE[name].replace(old, new)}).digests["macro f"]
    assert (before == after) is same


@pytest.mark.parametrize("other", ["a", "b"])
@pytest.mark.parametrize(
    "text",
    [
        "def g():\n    from .a import A\n    return A\n\ndef h():\n    from .b import A\n    return A\n\n"
        "@macro()\ndef f(evaluator): return g() + h()",
        "import macros.a\nimport macros.b\n\n@macro()\ndef f(evaluator): return macros.a.A + macros.b.A",
        "try:\n    from .a import A\n    from .b import A as B\nexcept ImportError:\n    A = B = '0'\n\n"
        "@macro()\ndef f(evaluator): return A + B",
    ],
)
def test_all_that_a_name_is_imported_as_is_reached(text: str, other: str) -> None:
    files = {"main": HEAD + text, "a": "A = '1'", "b": "A = '2'"}
    before = macros(**files).digests["macro f"]
    assert macros(**{**files, other: "A = '9'"}).digests["macro f"] != before


def test_a_metadata_only_macro_has_a_key_of_its_own() -> None:
    project = macros("@macro(metadata_only=True)\ndef f(evaluator): return '1'")
    assert set(project.digests) == {"metadata macro f"}


def test_an_outline_survives_json() -> None:
    for name, text in BASE.items():
        module = outline(text, f"macros/{name}.py")
        assert outline_from_json(outline_to_json(module)) == module


def test_the_decorator_needs_its_brackets() -> None:
    with pytest.raises(IsomeshError, match="brackets"):
        expander(macros(main=HEAD + "@macro\ndef f(e): return '1'\n@macro()\ndef g(e): return '1'")).expand(
            "SELECT @g()"
        )
