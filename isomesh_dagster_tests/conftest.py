import os
from collections.abc import Iterator

import pytest

from isomesh_dagster.model.connections import PostgresConnection
from isomesh_dagster_tests.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One Postgres for the session. Without binaries tests fail; only ISOMESH_TESTS_WITHOUT_POSTGRES=1 skips them."""
    if os.environ.get("ISOMESH_TESTS_WITHOUT_POSTGRES") == "1":
        pytest.skip("ISOMESH_TESTS_WITHOUT_POSTGRES=1")
    server = PostgresServer()
    yield server
    server.stop()


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[PostgresConnection]:
    """How to connect to a new database."""
    with postgres_server.database() as place:
        yield PostgresConnection(**place, password="")
