"""Places that cannot hold a state, and what messages tell."""

import os
import socket
import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from isomesh_dagster.errors import StateError
from isomesh_dagster.state import tables
from isomesh_dagster.state.opening import open_database, open_state
from isomesh_dagster_tests.postgres_server import PostgresServer
from isomesh_dagster_tests.state.conftest import Location
from isomesh_dagster_tests.state.examples import migrated, plan, promote, snapshot
from isomesh_dagster_tests.state.forks import fork, wait

SECRET = "hunter2 @:/?"


@pytest.fixture
def path(tmp_path: Path, sqlite_template: Path) -> Path:
    """A state with something in it, closed."""
    path = tmp_path / "state.db"
    path.write_bytes(sqlite_template.read_bytes())
    with open_state(path) as store:
        many = [snapshot(f"shop.t{number}") for number in range(200)]
        promote(store, "p1", *many)
    return path


def files_beside(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in path.parent.glob("*") if file.is_file()}


def refused(path: Path, message: str) -> StateError:
    """Opening is refused, the file is as before and nothing else is there."""
    before = files_beside(path)
    for attempt in (open_state, migrated):
        with pytest.raises(StateError, match=message) as caught:
            attempt(path)
        assert str(path) in str(caught.value)
        assert caught.value.hint
    assert files_beside(path) == before
    return caught.value


def test_sqlite_is_set_up_for_safety(path: Path) -> None:
    database = open_database(path)
    with database.read() as connection:
        settings = [connection.execute(text(f"PRAGMA {name}")).scalar() for name in ("journal_mode", "synchronous")]
        assert connection.execute(text("PRAGMA busy_timeout")).scalar() == 10_000
    database.close()
    assert settings == ["wal", 2]
    assert [file.name for file in path.parent.iterdir()] == ["state.db"], "closing leaves one file"


def test_a_state_in_memory_is_one_for_all_threads_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with open_state(":memory:", schema="isomesh") as store:
        record = promote(store, "p1", snapshot())
        with ThreadPoolExecutor(4) as threads:
            seen = list(threads.map(lambda _: store.environments()[0].target, range(20)))
        assert seen == [record.target] * 20
    with open_state(":memory:") as store:
        assert store.environments() == []
    assert list(tmp_path.iterdir()) == []


def test_text_is_no_state(path: Path) -> None:
    path.write_text("name: shop\n" * 100)
    assert "backup" in str(refused(path, "not a database"))


def test_a_truncated_file_is_no_state(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "backup" in str(refused(path, "malformed"))


def test_damage_inside_is_told_when_it_is_read(path: Path) -> None:
    content = bytearray(path.read_bytes())
    page = 4096
    content[page * 5 :] = os.urandom(len(content) - page * 5)
    path.write_bytes(bytes(content))

    def read() -> None:
        with open_state(path) as store:
            store.snapshots(store.environments()[0].target.snapshots.values())

    with pytest.raises(StateError, match=r"malformed|not a database"):
        read()


def test_others_sqlite_files_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "bookmarks.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("CREATE TABLE bookmarks (url)")
    connection.close()
    assert "state_connection" in str(refused(path, "bookmarks"))


def test_a_folder_is_no_state(tmp_path: Path) -> None:
    assert "is a file" in str(refused(tmp_path, "unable to open"))


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "make the folder" in str(refused(tmp_path / "file" / "state.db", "cannot be made"))


def test_a_file_without_permission(tmp_path: Path, sqlite_template: Path) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    path = folder / "state.db"
    path.write_bytes(sqlite_template.read_bytes())
    path.chmod(stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH)
    folder.chmod(0o555)

    def read() -> None:
        if os.geteuid() == 0:
            for parent in tmp_path.parents[:3]:  # pytest's folders, one more under xdist
                parent.chmod(parent.stat().st_mode | 0o055)
            tmp_path.chmod(0o755)
            os.setuid(65534)  # nothing is closed to root
        with pytest.raises(StateError, match=r"readonly|unable to open") as caught, open_state(path) as store:
            store.open_plan(plan("p1"), [])
        assert "you may write" in str(caught.value)

    try:
        assert wait(fork(read)) == 0
    finally:
        folder.chmod(0o755)
    assert path.read_bytes() == sqlite_template.read_bytes()


def test_a_busy_sqlite_file_is_told_apart(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isomesh_dagster.state.database.WAIT_SECONDS", 0)
    with open_state(path) as store:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert store.environments(), "readers do not wait"
        with pytest.raises(StateError, match="locked") as caught:
            store.expire("prod", None)
        other.close()
        assert "another process" in str(caught.value)
        assert store.expire("prod", None)


def test_a_busy_postgres_schema_is_told_apart(
    postgres_server: PostgresServer, postgres_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isomesh_dagster.state.database.WAIT_SECONDS", 1)
    with postgres_server.database(template=postgres_template) as location, open_state(location) as store:
        other = open_database(location)
        with other.write():
            assert store.environments() == [], "readers do not wait"
            with pytest.raises(StateError, match="lock timeout") as caught:
                store.expire("prod", None)
        other.close()
        assert "another process" in str(caught.value)
        assert not store.expire("prod", None)


def test_an_unreachable_server_is_told_without_the_password() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # taken, and nobody listens
        port = nobody.getsockname()[1]
        location = {"host": "127.0.0.1", "port": port, "user": "alice", "password": SECRET, "database": "shop"}
        with pytest.raises(StateError, match="refused") as caught:
            open_state(location)
    error: BaseException | None = caught.value
    assert "alice:***@127.0.0.1" in str(error)
    while error is not None:
        assert "hunter2" not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__


def test_rows_are_not_told(postgres_server: PostgresServer, postgres_template: str) -> None:
    with postgres_server.database(template=postgres_template) as location, open_state(location) as store:
        wrong = replace(plan("p1", document=SECRET), status="hunter2")
        with pytest.raises(StateError, match="plans_status_ck") as caught:
            store.open_plan(wrong, [])
        assert "hunter2" not in str(caught.value)


def test_a_role_is_assumed_and_its_rights_count(postgres_server: PostgresServer, postgres_template: str) -> None:
    with postgres_server.database(template=postgres_template) as location:
        connection = postgres_server.connect(location["database"])
        cursor = connection.cursor()
        cursor.execute('CREATE ROLE "read er"')
        try:
            cursor.execute('GRANT USAGE ON SCHEMA isomesh TO "read er"')
            cursor.execute('GRANT SELECT ON ALL TABLES IN SCHEMA isomesh TO "read er"')
            with open_state({**location, "role": "read er", "application_name": "isomesh"}) as store:
                assert store.environments() == []
                with pytest.raises(StateError, match="permission denied") as caught:
                    store.open_plan(plan("p1"), [])
            assert "grant" in str(caught.value)
        finally:
            cursor.execute('DROP OWNED BY "read er"; DROP ROLE "read er"')
            connection.close()


@pytest.mark.parametrize("schema", ["", 'x"; DROP SCHEMA public; --', "a b", "1a", "x" * 64])
def test_odd_schema_names_are_refused(schema: str) -> None:
    with pytest.raises(StateError, match="state_schema"):
        open_state({"host": "127.0.0.1", "user": "alice", "database": "shop"}, schema=schema)


def test_connections_come_back_after_the_server_dropped_them(
    postgres_server: PostgresServer, postgres_template: str
) -> None:
    with postgres_server.database(template=postgres_template) as location, open_state(location) as store:
        assert store.environments() == []
        connection = postgres_server.connect()
        connection.cursor().execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [location["database"]]
        )
        connection.close()
        assert store.environments() == []


def test_who_reads_sees_one_moment(location: Location) -> None:
    database = open_database(location)
    with open_state(location) as store, database.read() as connection:
        assert connection.scalar(select(func.count()).select_from(tables.environments)) == 0
        promote(store, "p1", snapshot("shop.t"))
        assert connection.scalar(select(func.count()).select_from(tables.promotions)) == 0
    database.close()
