"""Every example of docs/macros.md gives what the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from isomesh_dagster.cache.load import LoadedFiles, load_project_files
from isomesh_dagster.config.read import load_settings
from isomesh_dagster.macros.clauses import CLAUSES
from isomesh_dagster.macros.library import MACROS

PAGE = (Path(__file__).parents[2] / "docs" / "macros.md").read_text()


def blocks() -> Iterator[tuple[str, str]]:
    """What a block is (a path, or `gives name`), and its text without that line."""
    for found in re.finditer(r"```\w+\n(?:--|#) ([^\n]+)\n(.*?)```", PAGE, re.DOTALL):
        yield found[1], found[2]


EXPECTED = [(title.removeprefix("gives "), text) for title, text in blocks() if title.startswith("gives ")]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> LoadedFiles:
    root = tmp_path_factory.mktemp("page")
    for title, text in blocks():
        if not title.startswith("gives "):
            (root / title).parent.mkdir(parents=True, exist_ok=True)
            (root / title).write_text(text)
    return load_project_files(load_settings(root, "dev", {}))


@pytest.mark.parametrize(("name", "sql"), EXPECTED, ids=[name for name, _ in EXPECTED])
def test_an_example_gives_what_the_page_says(files: LoadedFiles, name: str, sql: str) -> None:
    assert " ".join(files.models[name].rendered.split()) == " ".join(sql.split())


def test_every_macro_is_named() -> None:
    assert not [
        name for name in (*MACROS, *CLAUSES) if f"@{name.upper()}`" not in PAGE and f"@{name.upper()}(" not in PAGE
    ]
