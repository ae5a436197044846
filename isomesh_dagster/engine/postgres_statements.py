"""Postgres, statements: running them, data frames in and out, transactions and claims, the driver's errors.

A claim is an advisory lock of the transaction, so it goes with the transaction however that ends.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR

from isomesh_dagster.engine import frames, transfer
from isomesh_dagster.engine import postgres_types as types
from isomesh_dagster.engine.connection import Lead
from isomesh_dagster.engine.transactions import refuse_end
from isomesh_dagster.errors import EngineError, WriteConflict
from isomesh_dagster.relation import Relation, quote

if TYPE_CHECKING:
    from isomesh_dagster.config.connections import PostgresConnection
    from isomesh_dagster.engine.connection import Capabilities

_IMPATIENCE = "100ms"
"""How long a swap of views waits for one lock. Shorter than the server's `deadlock_timeout` (1 s): who waits that long
first is ended by the server, and that must not be a reader.
"""
_STATEMENTS_PER_TRIP = 200
_LOCKS_PER_VIEW = 3


class PostgresStatements:
    """One thread's connection: the part of `Session` that knows of no relation."""

    def __init__(self, connection: Any, settings: PostgresConnection, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self._connection = connection
        self._database = settings.database
        self._makes_schemas = settings.create_schemas
        self._in_transaction = False

    # ---- statements --------------------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int | None:
        """Run one statement; the number of rows it wrote where Postgres tells, else None. EngineError for one that
        would end the transaction it is in.
        """
        if self._in_transaction:
            refuse_end(sql)
        return self._execute(sql, parameters)

    def _execute(self, sql: str, parameters: Sequence[Any] = ()) -> int | None:
        with self._run(sql, parameters) as cursor:
            return row_count(cursor)

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one query and return all rows."""
        with self._run(sql, parameters) as cursor:
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def knows_setting(self, name: str) -> bool:
        """Whether the server has a setting of that name; one with a dot is whatever the model makes of it."""
        return "." in name or bool(self.fetch("SELECT 1 FROM pg_settings WHERE lower(name) = ?", [name.lower()]))

    def fetch_table(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run one query; column names and all rows."""
        with self._run(sql) as cursor:
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    def query_columns(self, query: str) -> list[tuple[str, str]]:
        """Name and type of each column that the query returns; it is not run."""
        with self._atomic():
            self.execute(f"CREATE TEMPORARY VIEW _isomesh_shape AS\n{query}")
            rows = self.fetch(
                "SELECT attname, pg_catalog.format_type(atttypid, atttypmod) FROM pg_catalog.pg_attribute "
                "WHERE attrelid = 'pg_temp._isomesh_shape'::regclass AND attnum > 0 ORDER BY attnum"
            )
            self.execute("DROP VIEW pg_temp._isomesh_shape")
        return [(name, kind) for name, kind in rows]

    @contextmanager
    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
        with self._told(None if parameters else sql), self._connection.cursor() as cursor:
            if parameters:
                cursor.execute(_marked(sql), tuple(parameters))
            else:
                cursor.execute(sql)
            yield cursor

    @contextmanager
    def _told(self, sql: str | None = None) -> Iterator[None]:
        try:
            yield
        except psycopg2.Error as error:
            raise engine_error(error, sql) from None  # the driver's quotes the statement, and rows

    # ---- data frames -------------------------------------------------------------------------------------

    def fetch_frame(self, sql: str, library: str) -> Any:
        """Run one query; its rows as a data frame of `library`: pandas, polars or pyarrow."""
        frames.need_installed(library)
        described = self.query_columns(sql)
        columns = [(name, types.to_frame(kind)) for name, kind in described]
        own_names = [f"c{number}" for number in range(len(described))]
        items = ", ".join(_copied(own, kind) for own, (_, kind) in zip(own_names, columns, strict=True))
        with temporary_file() as file:
            with file.open("wb") as target:
                self._copy(
                    f"COPY (SELECT {items} FROM (\n{sql}\n) AS _rows({', '.join(own_names)})) TO STDOUT (FORMAT csv)",
                    target,
                )
            return transfer.frame_of_csv(file, columns, library)

    @contextmanager
    def frame(self, frame: Any) -> Iterator[str]:
        """A data frame as a temporary table of this session; its SQL name."""
        name = quote(frames.new_name("frame"))
        with temporary_file() as file:
            columns = transfer.csv_of_frame(frame, file)
            items = ", ".join(f"{quote(column)} {types.from_frame(kind)}" for column, kind in columns)
            with self._atomic():
                self.execute(f"CREATE TEMPORARY TABLE {name} ({items})")
                self._load(name, file)
        try:
            yield name
        finally:
            with suppress(EngineError):  # after a failed statement; the table goes with the transaction then
                self.execute(f"DROP TABLE IF EXISTS pg_temp.{name}")

    def _load(self, target: str, file: Path) -> int:
        with file.open("rb") as source:
            return self._copy(f"COPY {target} FROM STDIN (FORMAT csv)", source)

    def _copy(self, sql: str, file: Any) -> int:
        with self._told(), self._connection.cursor() as cursor:
            cursor.copy_expert(sql, file)
            return int(cursor.rowcount)

    # ---- transactions ------------------------------------------------------------------------------------

    def transaction(self, claim: str | None = None, lead: Lead | None = None) -> AbstractContextManager[None]:
        """All or nothing: commits at the end, rolls back on any exception. Not nested.

        `claim` is a name that one transaction on this database holds at a time, or those of one `lead`; the others wait
        before they begin.
        """
        return self._transaction("BEGIN", claim, lead)

    @contextmanager
    def leading(self, claim: str) -> Iterator[Lead]:
        """See `Session`. The transaction has no snapshot: it is in nobody's way, however long it lasts."""
        number = lock_number(f"lead {claim}")
        with self.transaction():
            ((session, _),) = self.fetch(
                "SELECT pg_catalog.pg_backend_pid(), CAST(pg_catalog.pg_advisory_xact_lock(?) AS TEXT)", (number,)
            )
            yield Lead(session=session, number=number)

    def claim(self, name: str) -> None:
        """See `Session`."""
        self.fetch("SELECT pg_catalog.pg_advisory_xact_lock(?)", (lock_number(name),))

    def _share(self, claim: str, lead: Lead) -> None:
        """Hold the claim together with others of the lead, which must be there still: once the claim is held, another
        lead begins only after this transaction, so it is enough to look now.
        """
        self.fetch("SELECT pg_catalog.pg_advisory_xact_lock_shared(?)", (lock_number(claim),))
        leads = self.fetch(
            "SELECT 1 FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND pid = ? AND granted AND objsubid = 1 "
            "AND mode = 'ExclusiveLock' AND (CAST(classid AS BIGINT) << 32) | CAST(objid AS BIGINT) = ? "
            "AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
            (lead.session, lead.number),
        )
        if not leads:
            raise EngineError(
                "the connection that leads the batches of this table is gone",
                hint="apply again: what is built is kept; is there a limit to idle transactions on the server?",
            )

    @contextmanager
    def _transaction(self, begin: str, claim: str | None, lead: Lead | None = None) -> Iterator[None]:
        if self._in_transaction:
            raise EngineError("transactions do not nest")
        self._in_transaction = True
        try:
            self._execute(begin)
            if claim is not None and lead is not None:
                self._share(claim, lead)
            elif claim is not None:
                self.claim(claim)
            yield
            status = self._connection.info.transaction_status
            if status == TRANSACTION_STATUS_INERROR:
                raise EngineError("a statement of this transaction failed, nothing of it was kept")
            if status == TRANSACTION_STATUS_IDLE:  # it was among several in one text
                raise EngineError("a statement ended this transaction", hint="leave its COMMIT or ROLLBACK out")
            self._execute("COMMIT")
        except BaseException:
            with suppress(psycopg2.Error):  # without a connection there is nothing to roll back
                if self._connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
                    self._connection.cursor().execute("ROLLBACK")
            raise
        finally:
            self._in_transaction = False

    def _atomic(self) -> AbstractContextManager[None]:
        """The transaction that is open, else one of its own."""
        return nullcontext() if self._in_transaction else self.transaction()

    @contextmanager
    def swapping(self, views: Sequence[Relation], claim: str) -> Iterator[tuple[str, ...]]:
        """A transaction in which these views are to be replaced or dropped, without making a reader of them fail.

        It never waits long for one lock: WriteConflict then, and trying again is right. EngineError when the server's
        lock table is too small; told when it takes more than half of it.
        """
        with self._transaction(f"BEGIN; SET LOCAL lock_timeout = '{_IMPATIENCE}'", claim):
            told = self._check_locks(len(views))
            # all locks first, always in one order: the time in which a deadlock can form is short
            there = {
                (schema, name): options or ()
                for schema, name, options in self.fetch(
                    "SELECT n.nspname, c.relname, c.reloptions FROM pg_catalog.pg_class c "
                    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
                    "WHERE c.relkind = 'v' AND n.nspname = ANY(?) AND c.relname = ANY(?)",
                    (sorted({view.schema for view in views}), sorted({view.name for view in views})),
                )
            }
            locks = [
                # of all statements that lock a view alone, and not the tables below it, the one that changes nothing
                f"ALTER VIEW {view.sql} RESET ({_unset(there[view.schema, view.name])})"
                for view in sorted(set(views))
                if (view.schema, view.name) in there
            ]
            for first in range(0, len(locks), _STATEMENTS_PER_TRIP):
                self.execute("; ".join(locks[first : first + _STATEMENTS_PER_TRIP]))
            yield told

    def _check_locks(self, views: int) -> tuple[str, ...]:
        needed = _LOCKS_PER_VIEW * views
        if needed < _STATEMENTS_PER_TRIP:
            return ()
        per_transaction, connections, prepared = (
            int(row[0])
            for row in self.fetch(
                "SELECT setting FROM pg_catalog.pg_settings WHERE name IN "
                "('max_locks_per_transaction', 'max_connections', 'max_prepared_transactions') "
                "ORDER BY name = 'max_prepared_transactions', name = 'max_connections'"
            )
        )
        capacity = per_transaction * (connections + prepared)
        text = f"{views} views change at once, which takes about {needed} locks; the server has room for {capacity}"
        remedy = f"set max_locks_per_transaction to {-(-2 * needed // (connections + prepared))} or more"
        if needed > capacity:
            raise EngineError(text, hint=f"{remedy} and restart the server")
        return (f"{text} of everybody: {remedy} at the server's next restart",) if 2 * needed > capacity else ()


# ---- errors ----------------------------------------------------------------------------------------------

_TRY_AGAIN = frozenset({errorcodes.SERIALIZATION_FAILURE, errorcodes.DEADLOCK_DETECTED, errorcodes.LOCK_NOT_AVAILABLE})


def engine_error(error: psycopg2.Error, sql: str | None = None) -> EngineError:
    """The driver's error as ours: without the statement `sql` and without rows, which the server's message may quote.

    What depends on what (and which line of a seed is wrong) is told, since it is what there is to mend.
    """
    state, diagnosis = error.pgcode, error.diag
    message = diagnosis.message_primary or first_line(error)
    hint = diagnosis.message_hint
    if state == errorcodes.DEPENDENT_OBJECTS_STILL_EXIST and diagnosis.message_detail:
        message = f"{message}: {diagnosis.message_detail}"
        hint = "drop what depends on it first, if it is not needed; nothing is dropped with CASCADE"
    elif state == errorcodes.OUT_OF_MEMORY and "max_locks" in (hint or ""):
        hint = "raise max_locks_per_transaction and restart the server"
    elif hint is None and (remedy := _outside(state, message)) is not None:
        hint = remedy
    elif found := re.match(r"COPY [^,]+, line (\d+), column ([^:]+)", diagnosis.context or ""):
        message = f"{message} (line {found[1]}, column {found[2]})"
        hint = hint or "mend the file, or the type under `columns`"
    if state in _TRY_AGAIN or message == "tuple concurrently updated":  # two grants on one table
        return WriteConflict(message[:1000], hint=hint)
    refused = RefusedError(message[:1000], hint=hint)
    refused.state, refused.is_syntax = state, state == errorcodes.SYNTAX_ERROR
    if sql is not None and diagnosis.statement_position is not None:
        start = int(diagnosis.statement_position) - 1
        named = _NAME.match(sql, start)
        refused.statement, refused.spot = sql, (start, named.end() if named is not None else start + 1)
    return refused


def _outside(state: str | None, message: str) -> str | None:
    """What to do about what is not the statement's fault: the server, the network, the disk."""
    if state == errorcodes.DISK_FULL:
        return "make room on the server's disk, then run the same command again: what is finished is kept"
    if (state or "").startswith(("08", "57P")) or "closed the connection" in message or "already closed" in message:
        return "the server's log tells why; run the same command again: what is finished is kept"
    if state == errorcodes.READ_ONLY_SQL_TRANSACTION:
        return "the server is a standby, or sets default_transaction_read_only for this role or database"
    if state == errorcodes.QUERY_CANCELED and "statement timeout" in message:
        return "this role or database has a statement_timeout; builds need a longer one: ALTER ROLE … SET"
    return None


_NAME = re.compile(r"""(?:"[^"]*"|\w+)(?:\.(?:"[^"]*"|\w+))*|'[^']*'|[^\w\s"']+""")
"""What the server may point at: it tells where that begins."""


class RefusedError(EngineError):
    """The server refused a statement; `state` is its code for why."""

    state: str | None = None


def first_line(error: psycopg2.Error) -> str:
    """What the driver says, without the statement that it quotes below."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


# ---- small things ----------------------------------------------------------------------------------------


def row_count(cursor: Any) -> int | None:
    """The number of rows that INSERT, DELETE, UPDATE, MERGE and CREATE TABLE AS answer with."""
    said = (cursor.statusmessage or "").split(" ", 1)[0]
    is_written = said in {"INSERT", "UPDATE", "DELETE", "MERGE"} or (said == "SELECT" and cursor.description is None)
    return int(cursor.rowcount) if is_written else None


@lru_cache(maxsize=256)
def _marked(sql: str) -> str:
    """The statement with the driver's marks for parameters: `%s` for each `?` that is in no quotes."""
    pieces = re.split(r"""('[^']*'|"[^"]*")""", sql.replace("%", "%%"))
    return "".join(piece if piece[:1] in ("'", '"') else piece.replace("?", "%s") for piece in pieces)


def _copied(column: str, kind: str) -> str:
    """The column as `transfer.frame_of_csv` reads it."""
    if kind == "BLOB":
        return f"encode({column}, 'hex')"
    return f"array_to_json({column})" if types.is_list(kind) else column


def lock_number(claim: str) -> int:
    """The number of the advisory lock that stands for the claim."""
    return int.from_bytes(hashlib.sha256(f"isomesh claim {claim}".encode()).digest()[:8], "big", signed=True)


def _unset(options: Sequence[str]) -> str:
    """An option of views that this one does not have: to take it away changes nothing."""
    given = {option.partition("=")[0] for option in options}
    return next(name for name in ("security_barrier", "check_option", "security_invoker") if name not in given)


@contextmanager
def temporary_file() -> Iterator[Path]:
    """The path of a file for rows; its folder goes afterwards."""
    with tempfile.TemporaryDirectory(prefix="isomesh_copy_") as folder:
        yield Path(folder, "rows.csv")
