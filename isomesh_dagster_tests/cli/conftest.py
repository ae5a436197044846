"""A real project on DuckDB, made by `isomesh init`, and the command line run on it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isomesh_dagster.cli.main import cli


@dataclass(frozen=True, slots=True)
class Shop:
    """A project's folder and its command line."""

    root: Path

    def __call__(self, *arguments: str, gateway: str | None = None) -> Result:
        """Run `isomesh` on the project; a bug's exception comes through, everything else is in the result."""
        chosen = ["--gateway", gateway] if gateway else []
        return isomesh("--project", str(self.root), *chosen, *arguments)

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace a piece of text that must be there."""
        file = self.root / path
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))


def isomesh(*arguments: str) -> Result:
    """Run the command in this process, without a terminal."""
    result = CliRunner().invoke(cli, list(arguments), env={"ISOMESH_GATEWAY": None, "HOME": None})
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def _new(root: Path) -> Shop:
    """A new project; without its unit test and its lint rules, which every plan would run."""
    assert isomesh("init", str(root)).exit_code == 0
    shutil.rmtree(root / "tests")
    config = root / "config.yaml"
    config.write_text(config.read_text().partition("\nlinter:")[0])
    return Shop(root)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A new project that nothing was planned for."""
    return _new(tmp_path / "shop")


@pytest.fixture(scope="session")
def _planned(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A project that was planned today, made once: after midnight another day would be due."""

    @cache
    def made(day: date) -> Path:
        shop = _new(tmp_path_factory.mktemp(f"planned_{day}") / "shop")
        result = shop("plan", "dev", "--auto-apply")
        assert result.exit_code == 0, result.output
        return shop.root

    return lambda: made(datetime.now(timezone.utc).date())


@pytest.fixture
def planned(_planned: Callable[[], Path], tmp_path: Path) -> Shop:
    """A project whose dev environment shows its files, on the first gateway."""
    root = tmp_path / "shop"
    shutil.copytree(_planned(), root)
    return Shop(root)
