"""Files of people are replaced whole or not at all."""

import os
import stat
from pathlib import Path

import pytest

from isomesh_dagster.files import write_whole
from isomesh_dagster_tests.disks import files_of_at_most


def test_text_bytes_and_folders(tmp_path: Path) -> None:
    write_whole({tmp_path / "a" / "ü.sql": "ü\r\n", tmp_path / "b": b"\0"})
    assert (tmp_path / "a" / "ü.sql").read_bytes() == "ü\r\n".encode()
    assert (tmp_path / "b").read_bytes() == b"\0"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "b", "ü.sql"]


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    write_whole({tmp_path / "link": "new"})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o640


def test_all_of_them_or_none_on_a_full_disk(tmp_path: Path) -> None:
    first, second = tmp_path / "first.sql", tmp_path / "second.sql"
    first.write_text("SELECT 1")
    second.write_text("SELECT 2")
    with files_of_at_most(4096), pytest.raises(OSError, match=r"second\.sql") as caught:
        write_whole({first: "new", second: "x" * 5000})
    assert caught.value.filename == str(second)
    assert (first.read_text(), second.read_text()) == ("SELECT 1", "SELECT 2")
    assert sorted(os.listdir(tmp_path)) == ["first.sql", "second.sql"]


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_whole({tmp_path / "pipe": "said"})
    assert os.read(reader, 100) == b"said"
    os.close(reader)
