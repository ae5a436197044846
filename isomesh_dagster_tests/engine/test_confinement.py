"""What SQL on DuckDB may reach: the project's own files, what the configuration allows, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from isomesh_dagster.config.read import load_settings
from isomesh_dagster.engine import open_connection
from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import ConfigError, EngineError

Open = Callable[..., Session]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for place in ("project/data", "project/.systems", "elsewhere"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.csv").write_text("a\n1\n")
    (root / "top.csv").write_text("a\n1\n")
    (root / "link").symlink_to(tmp_path / "elsewhere")
    return root


@pytest.fixture
def opened(project: Path) -> Iterator[Open]:
    with ExitStack() as stack:

        def session(more: str = "") -> Session:
            (project / "config.yaml").write_text(
                "gateways:\n  here:\n    connection:\n      type: duckdb\n      database: .systems/here.duckdb\n" + more
            )
            connection = open_connection(load_settings(project, environ={}).connection)
            stack.callback(connection.close)
            return stack.enter_context(connection.session())

        yield session


def read(session: Session, path: Path | str) -> list[tuple[object, ...]]:
    return session.fetch(f"SELECT * FROM read_csv('{path}')")


def test_the_projects_visible_files_are_read_and_written(project: Path, opened: Open) -> None:
    session = opened()
    assert read(session, project / "data/a.csv") == [(1,)]
    assert read(session, project / "top.csv") == [(1,)]
    session.execute(f"COPY (SELECT 2 AS a) TO '{project / 'data/b.csv'}'")
    assert read(session, project / "data/b.csv") == [(2,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('{elsewhere}/a.csv')",
        "SELECT * FROM '{elsewhere}/a.csv'",
        "SELECT * FROM read_csv('{project}/data/../../elsewhere/a.csv')",
        "SELECT * FROM read_csv('{project}/link/a.csv')",
        "SELECT * FROM read_csv('{project}/.systems/a.csv')",
        "SELECT * FROM read_text('{project}/config.yaml')",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('{elsewhere}/*')",
        "SELECT * FROM read_csv('https://example.org/a.csv')",
        "COPY (SELECT 1 AS a) TO '{elsewhere}/b.csv'",
        "COPY (SELECT 1 AS a) TO '{project}/.systems/b.csv'",
        "ATTACH '{project}/.systems/there.duckdb' AS there",
        "ATTACH '{elsewhere}/there.duckdb' AS there",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "RESET allowed_directories",
    ],
)
def test_nothing_else_is_reached(project: Path, opened: Open, statement: str) -> None:
    session = opened()
    text = statement.format(project=project, elsewhere=project.parent / "elsewhere")
    with pytest.raises(EngineError):
        session.execute(text)
    assert sorted(path.name for path in (project.parent / "elsewhere").iterdir()) == ["a.csv"]
    assert not (project / ".systems/b.csv").exists()


def test_the_refusal_says_how_to_allow_it(project: Path, opened: Open) -> None:
    with pytest.raises(EngineError) as caught:
        read(opened(), project.parent / "elsewhere/a.csv")
    assert "allowed_paths" in str(caught.value)


def test_what_is_allowed_is_open_and_the_rest_is_not(project: Path, opened: Open) -> None:
    session = opened("      allowed_paths: [../elsewhere, 's3://bucket/']\n")
    assert read(session, project.parent / "elsewhere/a.csv") == [(1,)]
    with pytest.raises(EngineError):
        session.fetch("SELECT * FROM read_text('/etc/passwd')")


@pytest.mark.parametrize("setting", ["external_access: true", "connector_config: {enable_external_access: true}"])
def test_everything_is_open_when_asked_for(project: Path, opened: Open, setting: str) -> None:
    session = opened(f"      {setting}\n")
    assert read(session, project / ".systems/a.csv") == [(1,)]
    assert session.fetch("SELECT COUNT(*) FROM read_text('/etc/passwd')") == [(1,)]


def test_the_warehouse_itself_works_as_ever(project: Path, opened: Open) -> None:
    session = opened()
    session.create_schema("s")
    session.execute("CREATE TABLE s.t AS SELECT range AS a FROM range(300000)")
    session.execute("CHECKPOINT")
    session.execute("SET threads = 1")
    assert session.fetch("SELECT COUNT(*) FROM (SELECT a FROM s.t ORDER BY a DESC)") == [(300000,)]


def test_the_projects_folder_is_not_configured(project: Path, opened: Open) -> None:
    with pytest.raises(ConfigError, match="project"):
        opened("      project: /\n")


def test_a_warehouse_that_this_process_has_open_is_shared_and_stays_confined(
    project: Path, tmp_path: Path, opened: Open
) -> None:
    first, second = opened(), opened()
    first.execute("CREATE TABLE t AS SELECT 1 AS a")
    assert second.fetch("SELECT a FROM t") == [(1,)]
    assert read(second, project / "data/a.csv") == [(1,)]
    for session in (first, second):
        with pytest.raises(EngineError, match="disabled"):
            read(session, tmp_path / "elsewhere/a.csv")
