"""The sample's raw tables: everything in production, a small sample elsewhere, the same each time."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from isomesh_dagster import Project
from isomesh_dagster.model.kinds import External
from isomesh_dagster.sample.raw import TABLES, load

ROOT = Path(__file__).parents[2]


def copy_of_the_project(folder: Path) -> Path:
    """The sample project somewhere else, so that tests write no files into the repository."""
    import shutil

    for name in ("models", "seeds", "audits"):
        shutil.copytree(ROOT / name, folder / name)
    for name in ("config.yaml", "external_models.yaml"):
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return copy_of_the_project(tmp_path)


@pytest.fixture
def nonproduction(root: Path) -> Iterator[Project]:
    with Project.load(root, gateway="nonproduction") as project:
        yield project


def rows(project: Project, table: str) -> int:
    with project.connection().session() as session:
        return int(session.fetch(f"SELECT COUNT(*) FROM {table}")[0][0])


def test_the_sample_is_small_and_the_same_each_time(nonproduction: Project) -> None:
    first = [load(nonproduction, table) for table in TABLES]
    assert {one.table.name: one.rows for one in first} == {
        "flights": 6042,
        "weather": 1002,
        "planes": 3322,
        "airports": 1458,
        "airlines": 16,
    }
    assert [load(nonproduction, table) for table in TABLES] == first
    assert rows(nonproduction, "raw.flights") == 6042


def test_tables_load_at_the_same_time(nonproduction: Project) -> None:
    small = [table for table in TABLES if table.file.endswith(".csv")]
    with ThreadPoolExecutor(len(small)) as threads:
        loaded = list(threads.map(lambda table: load(nonproduction, table), small))
    assert [rows(nonproduction, str(one.table.relation)) for one in loaded] == [one.rows for one in loaded]


def test_missing_values_are_null_and_times_are_times(nonproduction: Project) -> None:
    load(nonproduction, TABLES[0])
    with nonproduction.connection().session() as session:
        (found,) = session.fetch(
            "SELECT COUNT(*) FILTER (dep_time IS NULL) > 0, MIN(time_hour) = TIMESTAMP '2013-01-01 10:00:00'"
            " FROM raw.flights"
        )
    assert found == (True, True)


def test_the_declared_columns_are_those_that_are_loaded(nonproduction: Project) -> None:
    declared = {name: model for name, model in nonproduction.models.items() if isinstance(model.kind, External)}
    assert set(declared) == {str(table.relation) for table in TABLES}
    for table in TABLES:
        load(nonproduction, table)
        columns = nonproduction.columns(str(table.relation))
        assert columns is not None
        with nonproduction.connection().session() as session:
            loaded = session.columns(table.relation)
        assert [column.name for column in columns] == [name for name, _ in loaded]
        same = {"INT": "INTEGER", "TEXT": "VARCHAR"}
        assert [same.get(column.type.upper(), column.type.upper()) for column in columns] == [
            type_ for _, type_ in loaded
        ]


def load_into(gateway: str, root: Path) -> subprocess.CompletedProcess[str]:
    """The sample's command line."""
    command = [sys.executable, "-m", "isomesh_dagster.sample", "load", "--gateway", gateway, "--project", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_production_gets_everything_from_the_command_line(root: Path) -> None:
    done = load_into("production", root)
    assert done.returncode == 0
    assert "production: raw.flights 336,776 rows\n" in done.stdout
    with Project.load(root, gateway="production") as project:
        assert rows(project, "raw.flights") == 336_776


def test_an_unknown_gateway_is_one_readable_message(root: Path) -> None:
    done = load_into("productoin", root)
    assert done.returncode == 1
    assert "production" in done.stderr
    assert "Traceback" not in done.stderr


def test_loading_needs_no_dagster() -> None:
    script = "import sys, isomesh_dagster.sample.__main__; print(sorted({'dagster', 'pandas'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
