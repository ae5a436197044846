import sqlite3
from pathlib import Path

import pytest

from isomesh_dagster.cache.store import FactStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".isomesh" / "cache.sqlite"


def test_what_was_put_is_found_by_key_newest_first(path: Path) -> None:
    with FactStore(path) as store:
        store.put([("a", "1", "old"), ("b", "1", "other")], keep=10)
        store.put([("a", "2", "new")], keep=10)
    with FactStore(path) as store:
        assert store.get(["a", "missing"]) == {"a": [("2", "new"), ("1", "old")]}


def test_the_same_key_and_reads_is_replaced(path: Path) -> None:
    with FactStore(path) as store:
        store.put([("a", "1", "old")], keep=10)
        store.put([("a", "1", "new")], keep=10)
        assert store.get(["a"]) == {"a": [("1", "new")]}


def test_more_keys_than_one_statement_takes(path: Path) -> None:
    rows = [(f"k{number}", "", str(number)) for number in range(1234)]
    with FactStore(path) as store:
        store.put(rows, keep=5000)
        assert len(store.get([key for key, _, _ in rows])) == 1234


def test_the_oldest_rows_are_forgotten(path: Path) -> None:
    with FactStore(path) as store:
        store.put([(f"k{number}", "", "") for number in range(10)], keep=10)
        store.put([("new", "", "")], keep=3)
        assert set(store.get([*(f"k{number}" for number in range(10)), "new"])) == {"k8", "k9", "new"}


@pytest.mark.parametrize("damage", [b"no database, but long enough to look at" * 99, b"", b"\0" * 8192])
def test_a_damaged_file_is_made_again(path: Path, damage: bytes) -> None:
    with FactStore(path) as store:
        store.put([("a", "", "x")], keep=10)
    for stale in path.parent.glob("cache.sqlite-*"):
        stale.unlink()
    path.write_bytes(damage)
    with FactStore(path) as store:
        assert store.get(["a"]) == {}
        store.put([("a", "", "y")], keep=10)
        assert store.get(["a"]) == {"a": [("", "y")]}


def test_pages_damaged_behind_a_sound_header_are_a_miss(path: Path) -> None:
    with FactStore(path) as store:
        store.put([(f"k{number}", "", "x" * 500) for number in range(200)], keep=1000)
        store._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # type: ignore[union-attr]
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with FactStore(path) as store:
        assert store.get(["k1"]) == {}
        store.put([("k1", "", "y")], keep=10)
        assert store.get(["k1"]) == {"k1": [("", "y")]}


def test_another_layout_is_dropped(path: Path) -> None:
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE facts (x)")
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with FactStore(path) as store:
        store.put([("a", "", "x")], keep=10)
        assert store.get(["a"]) == {"a": [("", "x")]}


def test_a_place_that_cannot_hold_a_file_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with FactStore(tmp_path / "file" / "cache.sqlite") as store:
        store.put([("a", "", "x")], keep=10)
        assert store.get(["a"]) == {}


def test_two_processes_may_share_the_file(path: Path) -> None:
    with FactStore(path) as one, FactStore(path) as two:
        one.put([("a", "", "x")], keep=10)
        two.put([("b", "", "y")], keep=10)
        assert set(one.get(["a", "b"])) == {"a", "b"}
