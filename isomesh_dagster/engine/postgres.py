"""Postgres, opening and closing: many processes and sessions, one reader's lock can make a writer wait.

Sessions come from a pool, one connection each while they are open. A forked child is refused.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, new_type, register_type

from isomesh_dagster.engine.connection import Capabilities
from isomesh_dagster.engine.postgres_session import PostgresSession
from isomesh_dagster.engine.postgres_statements import first_line
from isomesh_dagster.errors import EngineError
from isomesh_dagster.relation import quote

if TYPE_CHECKING:
    from isomesh_dagster.config.connections import PostgresConnection

_MERGE_SINCE = 150_000
_QUERY = re.compile(r"\s*(?:(?:select|with|values)\b|\()", re.IGNORECASE)
_BODY = "$isomesh_reads$"
_PING_AFTER_SECONDS = 5.0
_MEANINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "IntervalStyle": "postgres",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "array_nulls": "on",
    "extra_float_digits": "1",
    "default_transaction_isolation": "read committed",
}
"""What decides how SQL and rows are read, and what a waiting transaction sees: a server, a database or a role may have
settings of its own for all of them, and what is written here means one thing. They are set by statements: a pooler may
drop what is asked for while connecting.
"""
_SETTINGS = "; ".join(f"SET {name} TO '{value}'" for name, value in _MEANINGS.items())


def _bytes(value: Any, cursor: Any) -> bytes | None:
    """A `bytea`, which the driver gives as a view of memory that nothing can print, compare or write down."""
    given = psycopg2.BINARY(value, cursor)
    return None if given is None else bytes(given)


_BYTES = new_type(psycopg2.BINARY.values, "ISOMESH_BYTES", _bytes)


# ---- opening and closing ---------------------------------------------------------------------------------


class PostgresWarehouse:
    """An open Postgres database (`Connection`)."""

    capabilities: Capabilities

    def __init__(self, settings: PostgresConnection) -> None:
        self._settings = settings
        self._pid = os.getpid()
        self._closed = False
        self._lock = threading.Lock()
        self._idle: list[tuple[Any, float]] = []
        self._busy: set[Any] = set()
        first = self._connect()
        self._refuse_shared_sessions(first)
        self.capabilities = Capabilities(
            dialect="postgres",
            merge=first.server_version >= _MERGE_SINCE,
            keeps_comments=True,
            shared_claims=True,
        )
        self._give_back(first)

    def _refuse_shared_sessions(self, first: Any) -> None:
        """A pooler tells another number than the server's process has. One that gives that process to somebody else
        between two transactions would lose role, settings and temporary tables, or give them to others.
        """
        if (process := _process(first)) == first.info.backend_pid:
            return
        second = self._connect()
        is_shared = _process(second) == process
        second.close()
        if is_shared:
            first.close()
            raise EngineError(
                f"the pooler at {self._place} gives one session of the server to several connections",
                hint="pool_mode = session for this database in PgBouncer, or connect to the server itself",
            )

    def session(self) -> AbstractContextManager[PostgresSession]:
        """A session for the calling thread."""
        return self._session()

    @contextmanager
    def _session(self) -> Iterator[PostgresSession]:
        connection = self._take()
        self._busy.add(connection)
        try:
            yield PostgresSession(connection, self._settings, self.capabilities)
        finally:
            self._busy.discard(connection)
            if not connection.closed and self._is_clean_again(connection):
                self._give_back(connection)
            else:
                connection.close()

    def interrupt(self) -> None:
        """See `Connection`."""
        for connection in tuple(self._busy):
            with suppress(psycopg2.Error):  # it may have been closed meanwhile
                connection.cancel()

    def reads(self, sql: str) -> bool:
        """See `Connection`. Only queries can be told: what stands behind a RETURN is parsed and never run."""
        if _QUERY.match(sql) is None or _BODY in sql:
            return True
        connection = self._take()
        try:
            with connection.cursor() as cursor:
                cursor.execute(f"DO {_BODY}\nBEGIN\nRETURN;\n{sql}\n;\nEND\n{_BODY}")
        except psycopg2.Error as error:
            return bool(error.pgcode != errorcodes.SYNTAX_ERROR)
        finally:
            if not connection.closed and self._is_clean_again(connection):
                self._give_back(connection)
            else:
                connection.close()
        return True

    def close(self) -> None:
        """Close the connections; those of open sessions are closed when these end. Idempotent; does nothing in a
        forked child.
        """
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _take(self) -> Any:
        if os.getpid() != self._pid:
            raise EngineError(
                f"this Postgres connection belongs to process {self._pid}, not to {os.getpid()}",
                hint="open the warehouse after forking",
            )
        while True:
            with self._lock:
                if self._closed:
                    raise EngineError("this Postgres connection is closed")
                connection, since = self._idle.pop() if self._idle else (None, 0.0)
            if connection is None:
                return self._connect()
            if connection.closed or (self._is_doubtful(since) and not _answers(connection)):
                connection.close()
                continue
            return connection

    def _is_doubtful(self, since: float) -> bool:
        return self._settings.pre_ping and time.monotonic() - since > _PING_AFTER_SECONDS

    def _give_back(self, connection: Any) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()

    def _is_clean_again(self, connection: Any) -> bool:
        """Undo what a session's statements have set; False when the connection is of no use any more."""
        try:
            if connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
                return False
            with connection.cursor() as cursor:
                cursor.execute(f"RESET ALL; {_SETTINGS}; {self._set_role}; DISCARD TEMP")
        except psycopg2.Error:
            return False
        return True

    def _connect(self) -> Any:
        settings = self._settings
        options: dict[str, Any] = {
            "keepalives_idle": settings.keepalives_idle,
            "sslmode": settings.sslmode,
            "application_name": settings.application_name or "isomesh",
        }
        try:
            connection = psycopg2.connect(
                host=settings.host,
                port=settings.port,
                user=settings.user,
                password=settings.password.get_secret_value(),
                dbname=settings.database,
                connect_timeout=settings.connect_timeout,
                client_encoding=_MEANINGS["client_encoding"],
                **{name: value for name, value in options.items() if value is not None},
            )
        except psycopg2.Error as error:
            raise EngineError(
                f"cannot open the warehouse {self._place}: {self._without_secrets(first_line(error))}",
                hint="check the gateway's connection, and that the server answers",
            ) from None
        try:
            register_type(_BYTES, connection)
            connection.autocommit = True  # transactions are begun in so many words
            with connection.cursor() as cursor:
                cursor.execute(f"{_SETTINGS}; {self._set_role}")
        except psycopg2.Error as error:
            connection.close()
            raise EngineError(
                f"cannot act as role {settings.role!r} in {self._place}: {first_line(error)}",
                hint=f"as an administrator: GRANT {quote(settings.role or '')} TO {quote(settings.user)}",
            ) from None
        return connection

    @property
    def _set_role(self) -> str:
        # RESET and not NONE: the user or the database may have a role of its own that every connection takes on
        return f"SET ROLE {quote(self._settings.role)}" if self._settings.role else "RESET ROLE"

    @property
    def _place(self) -> str:
        return f"{self._settings.host}:{self._settings.port}/{self._settings.database}"

    def _without_secrets(self, text: str) -> str:
        for secret in self._settings.secret_values():
            text = text.replace(secret, "***")
        return text


# ---- small things ----------------------------------------------------------------------------------------


def _process(connection: Any) -> int:
    """The number of the server's process that answers."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_catalog.pg_backend_pid()")
        return int(cursor.fetchone()[0])


def _answers(connection: Any) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error:
        return False
    return True
