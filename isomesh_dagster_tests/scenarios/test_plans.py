"""Every scenario under `plans/` gives the plans that its file says, word for word.

`ISOMESH_UPDATE_PLANS=1 pytest …/test_plans.py` writes what is told now into the files; read the difference before you
commit it: a plan is what people decide by.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from isomesh_dagster_tests.scenarios.told import Scenario, Teller, make_project, projects, scenarios

ALL = tuple(scenarios())


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], None]:
    """Copies a project that prod shows; each is deployed once."""
    made: dict[str, Path] = {}

    def copy(name: str, target: Path) -> None:
        if name not in made:
            root = tmp_path_factory.mktemp(name)
            make_project(root, projects()[name])
            made[name] = root
        shutil.copytree(made[name], target)

    return copy


@pytest.mark.parametrize("scenario", ALL, ids=[one.path.stem for one in ALL])
def test_plans_are_told_as_written(scenario: Scenario, deployed: Callable[[str, Path], None], tmp_path: Path) -> None:
    content = scenario.content
    root = tmp_path / "project"
    deployed(content["project"], root)
    told = Teller(root).tell(content["steps"])
    if os.environ.get("ISOMESH_UPDATE_PLANS"):
        scenario.write(told)
        return
    assert told.splitlines() == scenario.told.splitlines()


def test_there_are_scenarios_for_all_that_changes() -> None:
    assert len(ALL) >= 60
