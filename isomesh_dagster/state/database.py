"""A database that holds state: its engine, its two kinds of transaction, and its errors as `StateError`.

SQLite: one file in WAL mode, so that readers and the one writer do not wait for each other; `synchronous=FULL`, so that
a commit survives power loss; never on a network file system, whose locks lie. Postgres: one schema of a database.

Connections are pooled, one per thread at a time, and kept: opening one costs more than a transaction does, and the last
one to leave a SQLite file writes its log back. A process that was forked gets connections of its own.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError, StatementError

from isomesh_dagster.errors import StateError
from isomesh_dagster.relation import quote

WAIT_SECONDS = 10
"""How long a writer waits for another one."""


class Database:
    """Where state is kept. `place` names it in messages, without secrets; `schema` is None on SQLite."""

    def __init__(self, engine: Engine, *, place: str, schema: str | None, path: Path | None) -> None:
        self.place = place
        self.schema = schema
        self.path = path
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        # SQLite's readers see one moment anyway
        self._reader = engine if path is not None else engine.execution_options(isolation_level="REPEATABLE READ")
        self._process = os.getpid()
        if path is None:
            key = int.from_bytes(hashlib.sha256(f"isomesh state {schema}".encode()).digest()[:8], "big", signed=True)
            # Two statements in one round trip: the second must start after the lock timeout is set.
            self._lock = f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'; SELECT pg_advisory_xact_lock({key})"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that only reads, and sees the state as it is at one moment."""
        with self._told(), self._mine(self._reader).begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that writes, alone: other writers of the same state wait until it ends."""
        with self._told(), self._mine(self._writer).begin() as connection:
            if self.path is None:
                connection.exec_driver_sql(self._lock)
            yield connection

    def close(self) -> None:
        """Close the pooled connections. A later transaction would open new ones."""
        self._engine.dispose()

    def _mine(self, engine: Engine) -> Engine:
        if self._process != os.getpid():
            self._engine.dispose(close=False)  # they are the parent's: closing them here would hurt it
            self._process = os.getpid()
        return engine

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = error.orig if isinstance(error, StatementError) and error.orig is not None else error
            message = str(cause).strip().split("\n", 1)[0]  # what follows may quote rows
            raise StateError(f"state {self.place}: {message}", hint=self._hint(message)) from error

    def _hint(self, message: str) -> str:
        if self.path is None:
            if "lock timeout" in message:
                return "another process is writing this state; try again when it is done"
            if "permission denied" in message:
                return f"grant this user what it needs in schema {self.schema!r}, or choose another state_schema"
            return (
                "check state_connection of the gateway and that the server answers, then run the same command again:"
                " what was committed stays"
            )
        if "malformed" in message or "not a database" in message:
            return "restore the file from a backup, or set state_connection to another one; nothing was changed"
        if "locked" in message:
            return "another process is writing this state; try again when it is done"
        if "full" in message:
            return "make room on the disk, then run the same command again: what was committed stays"
        return f"check that {self.path} is a file, and that you may write to it and to its folder"


def open_sqlite(path: Path) -> Database:
    """The SQLite file at `path`, made with its folder on first use; in memory, for `:memory:`."""
    place = str(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(
            f"state {place}: its folder cannot be made: {error.strerror}",
            hint="make the folder, or set state_connection to a path you may write to",
        ) from error
    engine = create_engine(
        URL.create("sqlite", database=place),
        hide_parameters=True,
        connect_args={"timeout": WAIT_SECONDS, "isolation_level": None, "check_same_thread": False},
        poolclass=QueuePool,
        # A state in memory is its one connection: threads take turns.
        **({"pool_size": 1, "max_overflow": 0} if place == ":memory:" else {"max_overflow": -1}),
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: Any) -> None:
        try:
            _write_ahead(connection)
            connection.execute("PRAGMA synchronous = full")
        except BaseException:
            connection.close()  # the pool does not know it yet, and an open one leaves files beside the database
            raise

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # Told explicitly: the driver would begin late, and a writer that starts as a reader can be refused half-way.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return Database(engine, place=place, schema=None, path=path)


def _is_foreign(connection: sqlite3.Connection) -> bool:
    names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return bool(names) and "system" not in names


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Put the file in WAL mode, a property it keeps. SQLite does not wait by itself for others who do the same.

    A file with tables of somebody else stays as it is: it is refused later, and not changed before.
    """
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",) and not _is_foreign(connection):
                connection.execute("PRAGMA journal_mode = wal")
            return
        except sqlite3.OperationalError as error:  # noqa: PERF203 (it waits anyway)
            if "locked" not in str(error) or time.monotonic() >= deadline:
                raise
            time.sleep(0.01)


def open_postgres(
    *,
    host: str,
    database: str,
    user: str,
    password: str | None = None,
    port: int = 5432,
    schema: str = "isomesh",
    role: str | None = None,
    connect_timeout: int = 10,
    keepalives_idle: int | None = None,
    sslmode: str | None = None,
    application_name: str | None = None,
) -> Database:
    """The schema `schema` of a Postgres database, made on first use. `role` is set on every connection."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", schema):
        raise StateError(
            f"state_schema {schema!r}: letters, digits and _ only, at most 63", hint="name another schema for the state"
        )
    url = URL.create("postgresql+psycopg2", username=user, password=password, host=host, port=port, database=database)
    options = {
        "connect_timeout": connect_timeout,
        "keepalives_idle": keepalives_idle,
        "sslmode": sslmode,
        "application_name": application_name,
    }
    engine = create_engine(
        url,
        hide_parameters=True,
        isolation_level="READ COMMITTED",  # whatever the role has: who waited for the lock sees what was written
        pool_pre_ping=True,
        executemany_mode="values_plus_batch",
        connect_args={name: value for name, value in options.items() if value is not None},
        execution_options={"schema_translate_map": {None: schema}},
    )
    if role is not None:
        set_role = f"SET ROLE {quote(role)}"

        @event.listens_for(engine, "connect")
        def assume(connection: Any, _record: Any) -> None:
            with connection, connection.cursor() as cursor:
                cursor.execute(set_role)

    place = f"{url.set(drivername='postgresql').render_as_string(hide_password=True)} (schema {schema})"
    return Database(engine, place=place, schema=schema, path=None)
