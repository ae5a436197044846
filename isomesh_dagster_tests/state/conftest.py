import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isomesh_dagster.state.opening import open_state
from isomesh_dagster.state.store import SqlStateStore
from isomesh_dagster_tests.postgres_server import PostgresServer

Location = Path | dict[str, Any]


@pytest.fixture(params=["sqlite", "postgres"])
def empty_location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    """Where nothing is yet."""
    if request.param == "sqlite":
        yield tmp_path / "new folder" / "state.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database() as database:
        yield database


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "state.db"
    open_state(path).close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as database:
        open_state(database).close()
        yield database["database"]


@pytest.fixture(params=["sqlite", "postgres"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    """Where a state is that nobody has used yet."""
    if request.param == "sqlite":
        yield Path(shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "state.db"))
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with server.database(template=request.getfixturevalue("postgres_template")) as database:
        yield database


@pytest.fixture
def store(location: Location) -> Iterator[SqlStateStore]:
    with open_state(location) as store:
        yield store
