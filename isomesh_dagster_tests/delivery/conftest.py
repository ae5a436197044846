from pathlib import Path

import pytest

from isomesh_dagster_tests import repositories


@pytest.fixture
def team(tmp_path: Path) -> repositories.Team:
    """A remote with models on `main`, and a system that nothing was deployed to."""
    return repositories.team(tmp_path)
