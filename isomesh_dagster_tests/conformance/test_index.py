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
from isomesh_dagster.model.properties import MODEL_PROPERTIES

HERE = Path(__file__).parent
INDEX = yaml.safe_load((HERE / "index.yaml").read_text(encoding="utf-8"))
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
        if not test:
            assert (HERE / f"{path}.yaml").is_file(), case
        elif test == "*":
            assert named_in(path), case
        else:
            assert test in named_in(path), case


def test_nothing_that_the_code_knows_is_left_out() -> None:
    assert INDEX["properties"].keys() == MODEL_PROPERTIES.keys()
    assert INDEX["kinds"].keys() == {name for name, _, _ in kinds_described()}
    assert INDEX["macros"].keys() == {*MACROS, *CLAUSES}
    assert INDEX["variables"].keys() == RUNTIME_VARIABLES
    assert [int(row.partition(" ")[0]) for row in INDEX["edges"]] == list(range(1, 60))


def test_every_measured_project_stands_in_the_index() -> None:
    told = {case for _, cases in ROWS if not isinstance(cases, str) for case in cases}
    assert {f"cases/{path.stem}" for path in (HERE / "cases").glob("*.yaml")} <= told
