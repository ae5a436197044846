"""Readers see one generation of all views, get no errors, and do not wait for long."""

from pathlib import Path

import pytest

from isomesh_dagster_tests.postgres_server import PostgresServer
from isomesh_dagster_tests.reliability.readers import promote_under_readers


@pytest.mark.slow
@pytest.mark.parametrize(("views", "rounds"), [(10, 6), (100, 1)])
def test_promotions_under_readers(tmp_path: Path, postgres_server: PostgresServer, views: int, rounds: int) -> None:
    with postgres_server.database() as place:
        readings = promote_under_readers(tmp_path, place, views=views, readers=3, rounds=rounds)
    assert len(readings.promotions) == rounds + 1
    assert readings.reads
    assert readings.torn == 0
    assert readings.errors == []
