"""The cache's file: rows of text by key in SQLite. It forgets rather than fails."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

CACHE_PATH = ".isomesh/cache.sqlite"  # in a project's folder
LAYOUT = 1  # of the table below; another layout is dropped and made again
_CHUNK = 500  # parameters per statement; old SQLite builds allow 999
_WAIT_SECONDS = 5.0


class FactStore:
    """Values by `(key, reads)`: `key` says which thing, `reads` what it looked like when the value was made.

    A file that is missing, damaged, locked for long or not writable makes every look-up a miss and every write nothing.
    Several processes may use one file. Not for threads.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        try:
            self._connection = self._open()
        except sqlite3.OperationalError:
            return  # locked, or a place we may not write to
        except (sqlite3.DatabaseError, OSError):
            self._start_over()

    def __enter__(self) -> FactStore:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def get(self, keys: Collection[str]) -> dict[str, list[tuple[str, str]]]:
        """`(reads, value)` pairs of each key that has any, newest first."""
        found: dict[str, list[tuple[str, str]]] = {}
        wanted = list(dict.fromkeys(keys))
        try:
            for first in range(0, len(wanted), _CHUNK):
                if self._connection is None:
                    break
                chunk = wanted[first : first + _CHUNK]
                marks = ",".join("?" * len(chunk))
                rows = self._connection.execute(
                    f"SELECT key, reads, value FROM facts WHERE key IN ({marks}) ORDER BY id DESC", chunk
                )
                for key, reads, value in rows:
                    found.setdefault(key, []).append((reads, value))
        except sqlite3.OperationalError:
            return {}
        except sqlite3.DatabaseError:
            self._start_over()
            return {}
        return found

    def put(self, rows: Iterable[tuple[str, str, str]], *, keep: int) -> None:
        """Write `(key, reads, value)` rows, then forget the oldest rows beyond `keep`."""
        if self._connection is None:
            return
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO facts (key, reads, value) VALUES (?, ?, ?)", rows)
                self._connection.execute(
                    "DELETE FROM facts WHERE id IN (SELECT id FROM facts ORDER BY id DESC LIMIT -1 OFFSET ?)", [keep]
                )
        except sqlite3.OperationalError:
            return
        except sqlite3.DatabaseError:
            self._start_over()

    def _open(self) -> sqlite3.Connection:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=_WAIT_SECONDS)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            (layout,) = connection.execute("PRAGMA user_version").fetchone()
            if layout != LAYOUT:
                with connection:
                    connection.execute("DROP TABLE IF EXISTS facts")
                    connection.execute(
                        "CREATE TABLE facts (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT NOT NULL,"
                        " reads TEXT NOT NULL, value TEXT NOT NULL, UNIQUE (key, reads))"
                    )
                    connection.execute(f"PRAGMA user_version = {LAYOUT}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _start_over(self) -> None:
        self.close()
        for suffix in ("", "-wal", "-shm"):
            with suppress(OSError):
                Path(f"{self._path}{suffix}").unlink(missing_ok=True)
        with suppress(sqlite3.Error, OSError):
            self._connection = self._open()
