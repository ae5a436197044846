"""DuckDB files on disks that are full, damaged or cannot be locked."""

import errno
import fcntl
import os
from pathlib import Path

import pytest

from isomesh_dagster.config.connections import DuckDBConnection
from isomesh_dagster.engine.duckdb import DuckDBWarehouse
from isomesh_dagster.errors import EngineError
from isomesh_dagster_tests.disks import files_of_at_most


def rows(path: Path) -> list[tuple[object, ...]]:
    warehouse = DuckDBWarehouse(DuckDBConnection(database=str(path)), timeout=1)
    try:
        with warehouse.session() as session:
            session.execute("CREATE TABLE IF NOT EXISTS t AS SELECT 1 AS a")
            return session.fetch("FROM t")
    finally:
        warehouse.close()


@pytest.mark.parametrize("room", [0, 4096, 8192])
def test_a_file_that_could_not_be_made_is_not_there(tmp_path: Path, room: int) -> None:
    path = tmp_path / "w.duckdb"
    with files_of_at_most(room), pytest.raises(EngineError, match="cannot open the warehouse") as caught:
        rows(path)
    assert "make room" in str(caught.value.hint)
    assert not path.exists(), "DuckDB opens no half file"
    assert rows(path) == [(1,)]


def test_a_log_without_its_file_is_kept(tmp_path: Path) -> None:
    path, log = tmp_path / "w.duckdb", tmp_path / "w.duckdb.wal"
    log.write_bytes(b"what was committed")
    with pytest.raises(EngineError, match=r"its log .* is there"):  # DuckDB would begin a new file and delete the log
        rows(path)
    assert not path.exists()
    assert log.read_bytes() == b"what was committed"


@pytest.mark.parametrize("left", [0, 100, 12288])
def test_half_a_file_is_told_and_kept(tmp_path: Path, left: int) -> None:
    path = tmp_path / "block.duckdb"  # a name that is no word of DuckDB's about locks
    rows(path)
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(EngineError, match="cannot open the warehouse") as caught:
        rows(path)
    assert "backup" in str(caught.value.hint)
    assert path.stat().st_size == left


def test_a_folder_is_no_warehouse(tmp_path: Path) -> None:
    path = tmp_path / "w.duckdb"
    path.mkdir()
    with pytest.raises(EngineError, match="cannot open the warehouse") as caught:
        rows(path)
    assert "is a file" in str(caught.value.hint)
    assert path.is_dir()


def test_a_file_system_without_locks_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_file: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(EngineError, match="No locks available") as caught:
        rows(tmp_path / "w.duckdb")
    assert "file system knows locks" in str(caught.value.hint)
    assert not (tmp_path / "w.duckdb").exists()
