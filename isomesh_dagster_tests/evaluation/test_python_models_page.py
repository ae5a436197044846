"""The examples of docs/python-models.md give the rows that the page says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

import pytest

from isomesh_dagster.project import Project

PAGE = (Path(__file__).parents[2] / "docs" / "python-models.md").read_text()


def blocks() -> Iterator[tuple[str, str]]:
    """What a block is (a path, or `shows name`), and its text without that line."""
    for found in re.finditer(r"```\w+\n(?:--|#) ([^\n]+)\n(.*?)```", PAGE, re.DOTALL):
        yield found[1], found[2]


SHOWN = [(title.removeprefix("shows "), text) for title, text in blocks() if title.startswith("shows ")]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("page")
    for title, text in blocks():
        if not title.startswith("shows "):
            (root / title).parent.mkdir(parents=True, exist_ok=True)
            (root / title).write_text(text)
    with Project.load(root) as project:
        list(project.apply(project.plan("prod", now=datetime(2024, 1, 8, tzinfo=timezone.utc))))
        yield project


@pytest.mark.parametrize(("name", "rows"), SHOWN, ids=[name for name, _ in SHOWN])
def test_an_example_shows_what_the_page_says(project: Project, name: str, rows: str) -> None:
    with project.connection().session() as session:
        assert session.fetch(f"SELECT * FROM {name} ORDER BY ALL") == session.fetch(f"FROM ({rows}) ORDER BY ALL")
