import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from isomesh_dagster.config.connections import DuckDBConnection, PostgresConnection, WarehouseConnection
from isomesh_dagster_tests.postgres_server import PostgresServer
from isomesh_dagster_tests.postgres_server import server as new_server

IS_LONG = os.environ.get("ISOMESH_TESTS_LONG") == "1"
"""Whether Postgres gets as many examples and kills as DuckDB does; without, what differs on a server."""

# Many tests start processes, which import much: they compile it once, even where the environment would rather not.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long an example takes says how busy the machine is. What is tried is the same each time, so that nobody's change
# fails by chance; ISOMESH_TESTS_LONG=1 looks for more.
settings.register_profile(
    "steady", deadline=None, derandomize=not IS_LONG, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")

SECONDS_BEFORE_THE_HOUR = 10


def pytest_runtest_setup() -> None:
    """No test begins right before an hour or a day is over: what is due would change while it runs."""
    left = 3600 - time.time() % 3600
    if left < SECONDS_BEFORE_THE_HOUR:
        time.sleep(left)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One Postgres for the session. Without binaries tests fail; only ISOMESH_TESTS_WITHOUT_POSTGRES=1 skips them."""
    if os.environ.get("ISOMESH_TESTS_WITHOUT_POSTGRES") == "1":
        pytest.skip("ISOMESH_TESTS_WITHOUT_POSTGRES=1")
    server = new_server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _one_database(postgres_server: PostgresServer) -> Iterator[PostgresConnection]:
    with postgres_server.database() as place:
        yield PostgresConnection(**place)


@pytest.fixture
def postgres(postgres_server: PostgresServer, _one_database: PostgresConnection) -> PostgresConnection:
    """How to connect to a database in which nothing is."""
    postgres_server.emptied(_one_database.database)
    return _one_database


@pytest.fixture
def second_postgres(postgres_server: PostgresServer) -> Iterator[PostgresConnection]:
    """How to connect to another database."""
    with postgres_server.database() as place:
        yield PostgresConnection(**place)


@pytest.fixture(params=["duckdb", "postgres"])
def new_warehouse(request: pytest.FixtureRequest) -> Callable[[Path], WarehouseConnection]:
    """On each engine: makes a warehouse in which nothing is, given a folder for it; the one before it is gone then."""
    if request.param == "duckdb":
        return lambda folder: DuckDBConnection(database=str(folder / "warehouse.duckdb"))
    server: PostgresServer = request.getfixturevalue("postgres_server")
    connection: PostgresConnection = request.getfixturevalue("postgres")

    def emptied(_folder: Path) -> PostgresConnection:
        server.emptied(connection.database)
        return connection

    return emptied


@pytest.fixture
def warehouse(new_warehouse: Callable[[Path], WarehouseConnection], tmp_path: Path) -> WarehouseConnection:
    """A warehouse in which nothing is, on each engine."""
    return new_warehouse(tmp_path)


@pytest.fixture
def examples(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """How many examples of a law are tried: on Postgres a fifth, unless ISOMESH_TESTS_LONG=1."""
    engine = request.node.callspec.params["new_warehouse"]
    return (lambda number: max(1, number // 5)) if engine == "postgres" and not IS_LONG else (lambda number: number)
