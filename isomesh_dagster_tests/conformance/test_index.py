"""Every row of the model format that we keep is tried somewhere, and the index of it is true."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from isomesh_dagster.macros.clauses import CLAUSES
from isomesh_dagster.macros.library import MACROS
from isomesh_dagster.macros.variables import RUNTIME_VARIABLES
from isomesh_dagster.model.kind_properties import kinds_described
from isomesh_dagster.model.properties import MODEL_PROPERTIES, Refused
from isomesh_dagster_tests.conformance import edits

HERE = Path(__file__).parent
INDEX = yaml.safe_load((HERE / "index.yaml").read_text(encoding="utf-8"))
EDITS = edits.read()["edits"]
PARSING = ("model/", "macros/", "dialect/")
"""Rooms whose tests see how a text is read, and not what comes of it."""
REFUSED = re.compile(r"::test_(refused|kinds_not_supported|not_supported)$")
ROWS = [(f"{section}: {row}", cases) for section, its in INDEX.items() for row, cases in its.items()]


@cache
def named_in(path: str) -> frozenset[str]:
    """Names of the tests in a file of this package."""
    file = HERE.parent / path
    return frozenset(re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize(("row", "cases"), ROWS, ids=[row for row, _ in ROWS])
def test_the_cases_of_a_row_are_there(row: str, cases: list[str] | str) -> None:
    if isinstance(cases, str):
        assert re.match(r"left: \w", cases), "a row without a case says why"
        return
    assert cases
    for case in cases:
        path, _, test = case.partition("::")
        if path.startswith("edits/"):
            assert path.removeprefix("edits/") in EDITS, case
        elif not test:
            assert (HERE / f"{path}.yaml").is_file(), case
        elif test == "*":
            assert named_in(path), case
        else:
            assert test in named_in(path), case


def test_nothing_that_the_code_knows_is_left_out() -> None:
    assert INDEX["properties"].keys() == MODEL_PROPERTIES.keys()
    assert INDEX["kinds"].keys() == {name for name, _, _ in kinds_described()}
    assert INDEX["parameters"].keys() == {parameter for _, its, _ in kinds_described() for parameter in its}
    assert INDEX["macros"].keys() == {*MACROS, *CLAUSES}
    assert INDEX["variables"].keys() == RUNTIME_VARIABLES
    assert [int(row.partition(" ")[0]) for row in INDEX["edges"]] == list(range(1, 60))


def test_every_measured_project_stands_in_the_index() -> None:
    told = {case for _, cases in ROWS if not isinstance(cases, str) for case in cases}
    assert {f"cases/{path.stem}" for path in (HERE / "cases").glob("*.yaml")} <= told


def test_every_edit_stands_in_the_index() -> None:
    told = {case for _, cases in ROWS if not isinstance(cases, str) for case in cases}
    assert {f"edits/{name}" for name in EDITS} <= told


@pytest.mark.parametrize(
    "section", ["properties", "parameters", "kinds", "edits", "variables", "interpolation", "macros"]
)
def test_a_row_shows_in_rows_in_sql_in_a_plan_or_in_a_state(section: str) -> None:
    """That a text is read is not enough: something must come of it, or it must be refused."""
    for row, cases in INDEX[section].items():
        seen = [case for case in cases if not case.startswith(PARSING) or REFUSED.search(case)]
        assert seen, row


def test_a_property_is_edited_and_what_a_plan_says_of_it_is_measured() -> None:
    """But for what makes another model, more of them, or none."""
    kept = {name for name, decoder in MODEL_PROPERTIES.items() if not isinstance(decoder, Refused)}
    assert kept - {"name", "enabled", "blueprints"} <= EDITS.keys()
    for name in kept & EDITS.keys() - {"kind"}:
        edit = EDITS[name]
        assert name.removesuffix("s") in f"{edit.get('props')} {edit.get('kind')}", name


def test_a_parameter_is_in_the_edit_that_is_named_for_it() -> None:
    for parameter, cases in INDEX["parameters"].items():
        for case in cases:
            if case.startswith("edits/"):
                was, now = EDITS[case.removeprefix("edits/")]["kind"]
                assert parameter in was, case
                assert parameter in now, case
                assert was != now


@pytest.mark.parametrize(("section", "pattern"), [("macros", r"@{}\s*\("), ("variables", r"@\{{?{}\b")])
def test_macros_and_variables_stand_in_the_projects_that_are_named_for_them(section: str, pattern: str) -> None:
    """Each in one at least, so that what it gives is measured in rows and in rendered SQL."""
    for row, cases in INDEX[section].items():
        projects = [case for case in cases if case.startswith("cases/")]
        assert projects, row
        for case in projects:
            text = (HERE / f"{case}.yaml").read_text(encoding="utf-8")
            assert re.search(pattern.format(row), text, re.IGNORECASE), (row, case)


def test_properties_stand_in_the_projects_that_are_named_for_them() -> None:
    for row, cases in INDEX["properties"].items():
        for case in cases:
            if case.startswith("cases/"):
                text = (HERE / f"{case}.yaml").read_text(encoding="utf-8")
                assert re.search(rf"\b{row.removesuffix('s')}s?\b", text, re.IGNORECASE), (row, case)
