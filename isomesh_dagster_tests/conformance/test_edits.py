"""What a plan says of every edit that the model format knows, beside what the anchor was measured to say."""

from __future__ import annotations

from datetime import timezone
from pathlib import Path
from typing import Any

import pytest

from isomesh_dagster import Project
from isomesh_dagster.snapshot.interval import to_ms
from isomesh_dagster_tests.conformance import edits
from isomesh_dagster_tests.plan.projects import System, graph

GIVEN = edits.read()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The category of each change, by model: the edits are planned at once, over what was planned before them."""
    root, system = tmp_path_factory.mktemp("edits"), System()
    now = to_ms(GIVEN["now"].replace(tzinfo=timezone.utc))
    system.apply(system.plan(graph(*_models(root, edited=False)), now=now))
    plan = system.plan(graph(*_models(root, edited=True)), now=now)
    return {change.model: change.category.name for change in plan.changes if change.category is not None}


def _models(root: Path, *, edited: bool) -> list[Any]:
    edits.write(root, GIVEN, "{type: duckdb, database: warehouse.duckdb}", edited=edited)
    with Project.load(root, environ={}) as project:
        return list(project.models.values())


@pytest.mark.parametrize("name", GIVEN["edits"])
def test_an_edit_means_what_is_written(told: dict[str, str], name: str) -> None:
    edit = GIVEN["edits"][name]
    assert [told.get(f"s.x_{name}", "-"), told.get(f"s.x_{name}_reader", "-")] == edit["here"]
    if edit["here"] == edit["anchor"]:
        assert "because" not in edit
    else:
        assert edit["because"] in GIVEN["reasons"]


def test_rows_that_may_change_are_made_again_wherever_the_anchor_makes_them_again() -> None:
    """Where we build less than the anchor, the reason is one of these and none other."""
    fewer = {
        edit["because"]
        for edit in GIVEN["edits"].values()
        if edit["here"] != edit["anchor"] and _weight(edit["here"]) < _weight(edit["anchor"])
    }
    assert fewer <= {"columns", "names", "cosmetic", "effect", "metadata"}


def _weight(told: list[str]) -> int:
    return sum(word in ("BREAKING", "INDIRECT_BREAKING", "NON_BREAKING") for word in told)
