"""The documentation is true: its commands exist, its paths are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from isomesh_dagster.cli.main import cli

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))


def test_every_isomesh_command_is_in_the_table_and_exists() -> None:
    table = set(re.findall(r"^\| `isomesh (\w+)", README, re.MULTILINE))
    assert table == set(cli.commands)


def test_commands_used_in_the_text_exist() -> None:
    used = set(re.findall(r"isomesh (?:--gateway \w+ )?([a-z_]+)(?![a-z_]*=)", README))
    assert used
    assert used <= set(cli.commands)


def test_make_targets_that_are_named_exist() -> None:
    texts = README + (ROOT / "docs" / "architecture.md").read_text() + (ROOT / ".ci" / "run").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", texts, re.MULTILINE))
    assert {"demo", "test", "dev"} <= named
    assert named <= TARGETS


def test_every_target_is_listed_as_phony() -> None:
    phony = re.search(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == TARGETS


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`(isomesh_dagster/[\w/.]+)`|\]\((docs/[\w./]+)\)", README))))
def test_the_map_names_real_places(path: tuple[str, str]) -> None:
    assert (ROOT / (path[0] or path[1])).exists()
