"""A warehouse for the tests of what every engine does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from isomesh_dagster.config.connections import DuckDBConnection
from isomesh_dagster.engine import open_connection
from isomesh_dagster.engine.connection import Session


@pytest.fixture
def session() -> Iterator[Session]:
    """A session of a DuckDB in memory with a schema `s`."""
    connection = open_connection(DuckDBConnection())
    with connection.session() as session:
        session.create_schema("s")
        yield session
    connection.close()
