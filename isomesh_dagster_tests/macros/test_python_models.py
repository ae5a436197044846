"""Functions that are models: how they are found in the text, what makes them the same, what they can import."""

from __future__ import annotations

import pytest

from isomesh_dagster import python
from isomesh_dagster.errors import ConfigError
from isomesh_dagster.macros.outline import ModelFunction, outline, outline_from_json, outline_to_json
from isomesh_dagster.macros.project import ProjectMacros, module_key
from isomesh_dagster.macros.python_models import MARK, ModelMark

BASE = """\
from sqlmesh import model
from lib.help import scaled, UNUSED
FACTOR = 2
NAMES = ["a"]

@model("s.t", columns={"a": "int"}, owner="me")
def rows(context, start, end, execution_time, **kwargs):
    '''What it does.'''
    table = context.resolve_table("s.parent")
    return scaled(context, FACTOR)
"""
HELP = """\
import json
UNUSED = 1
def scaled(context, x):
    return x * context.var("factor", 1)
"""


def project(**files: str) -> ProjectMacros:
    sources = {f"{name.replace('__', '/')}.py": text for name, text in files.items()}
    return ProjectMacros(lambda: [outline(text, path) for path, text in sources.items()], sources.__getitem__)


def digest(text: str = BASE, help: str = HELP, path: str = "models__t") -> str:
    found = project(**{path: text, "lib__help": help}).function_digest(f"{path.replace('__', '/')}.py", "rows")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("'''What it does.'''", "'''Something else.'''"),
        ("    table =", "    # a comment\n    table  ="),
        ('owner="me"', 'owner="you", cron="@hourly"'),
        ('@model("s.t", columns={"a": "int"}, owner="me")', '@model("s.t", columns={"a": "int"}, tags=NAMES)'),
        ('NAMES = ["a"]', 'NAMES = ["b"]'),
        ("from sqlmesh import model", "from sqlmesh.core.model import model"),
        ("from sqlmesh import model", "from isomesh_dagster.python import model"),
    ],
)
def test_what_no_row_depends_on_changes_nothing(old: str, new: str) -> None:
    assert BASE.replace(old, new) != BASE
    assert digest(BASE.replace(old, new)) == digest()


@pytest.mark.parametrize(
    ("old", "new"), [("FACTOR = 2", "FACTOR = 3"), ('"s.parent"', '"s.other"'), ("return scaled", "yield scaled")]
)
def test_code_that_is_reached_counts(old: str, new: str) -> None:
    assert digest(BASE.replace(old, new)) != digest()


def test_so_does_code_of_other_modules_and_not_where_the_file_lies() -> None:
    assert digest(help=HELP.replace("x *", "x +")) != digest()
    assert digest(help=HELP.replace("UNUSED = 1", "UNUSED = 2").replace("import json", "import csv")) == digest()
    assert digest(path="models__deep__other") == digest()


def test_a_file_is_known_by_all_it_reaches_also_for_its_decorators() -> None:
    def of(help: str) -> str:
        return project(models__t=BASE, lib__help=help).digests[module_key("models/t.py")]

    assert of(HELP.replace("UNUSED = 1", "UNUSED = 2")) != of(HELP)
    assert of(HELP.replace("return", "return  ")) == of(HELP)


def test_what_is_asked_of_context_is_found_wherever_it_is_asked() -> None:
    found = project(models__t=BASE, lib__help=HELP).context_uses("models/t.py", "rows")
    assert [(path, use.asks, use.argument, use.line) for path, use in found] == [
        ("models/t.py", "table", "'s.parent'", 9),
        ("lib/help.py", "var", "'factor'", 4),
    ]


@pytest.mark.parametrize(
    "head",
    [
        "from sqlmesh import model",
        "from sqlmesh.core.model import model",
        "from isomesh_dagster import model",
        "from isomesh_dagster.python import model as model",
    ],
)
def test_a_decorated_function_is_a_model(head: str) -> None:
    text = (
        f"{head}\n@model('s.t', is_sql=True)\ndef f(evaluator): return 'SELECT 1'\n@model('s.u')\ndef g(context): ...\n"
    )
    found = outline(text, "models/t.py")
    assert found.models == (
        ModelFunction(function="f", line=2, is_sql=True),
        ModelFunction(function="g", line=4),
    )
    assert list(found.macros) == ["python_model_models_t_f"]
    assert outline_from_json(outline_to_json(found)) == found
    macros = project(models__t=text)
    assert getattr(macros.function("models/t.py", "g"), MARK) == (ModelMark(properties={"name": "s.u"}),)
    assert macros.python("python_model_models_t_f").function(None) == "SELECT 1"


def test_other_decorators_of_that_name_make_no_models() -> None:
    assert outline("from keras import model\n@model('x')\ndef f(): ...", "models/t.py").models == ()
    assert outline("def model(x): ...\n@model('x')\ndef f(): ...", "models/t.py").models == ()


@pytest.mark.parametrize(
    "body",
    [
        "for name in 'ab':\n    @model(name)\n    def f(context): ...",
        "class A:\n    @model('x')\n    def f(context): ...",
        "\n@model('x')\nasync def f(context): ...",
    ],
)
def test_models_that_nobody_could_follow_are_refused(body: str) -> None:
    with pytest.raises(ConfigError, match="at the top level") as caught:
        outline(f"from sqlmesh import model\n{body}", "models/t.py")
    assert (caught.value.path, caught.value.line) == ("models/t.py", 3)


def test_kinds_and_names_are_there_to_import() -> None:
    text = """\
from sqlmesh import ExecutionContext, model
from sqlmesh.core.context import ExecutionContext as Same
from sqlmesh.core.model import ModelKindName, FullKind
from sqlmesh.core.model.kind import IncrementalByTimeRangeKind
import isomesh_dagster
from isomesh_dagster.errors import IsomeshError

assert Same is ExecutionContext
KINDS = [ModelKindName.FULL, FullKind(), IncrementalByTimeRangeKind(time_column="ds")]
MACRO = isomesh_dagster.macro
"""
    names = project(models__t=text).namespace("models/t.py")
    assert names["KINDS"] == ["FULL", {"name": "FULL"}, {"time_column": "ds", "name": "INCREMENTAL_BY_TIME_RANGE"}]
    assert names["MACRO"] is python.macro
    assert names["ExecutionContext"] is python.ExecutionContext


def test_the_decorator_without_brackets_is_told() -> None:
    with pytest.raises(ConfigError, match=r"write @model\(…\) with a name") as caught:
        project(models__t="from sqlmesh import model\n\n@model\ndef f(context): ...").namespace("models/t.py")
    assert caught.value.line == 3


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (
            "from sqlmesh import RuntimeEnv",
            r"no RuntimeEnv in 'sqlmesh': a project's files can import macro, ",
        ),
        (
            "from sqlmesh.utils.pydantic import x",
            r"no module 'sqlmesh.utils.pydantic': .* sqlmesh.core",
        ),
    ],
)
def test_what_there_is_not_is_told_with_what_there_is(wanted: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        project(lib__x=f"{wanted}\ndef f(): ...").function("lib/x.py", "f")
