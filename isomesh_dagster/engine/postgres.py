"""Postgres: many processes and sessions, everything transactional, one reader's lock can make a writer wait.

Sessions come from a pool, one connection each while they are open. Names are always quoted and qualified. A claim is an
advisory lock of the transaction, so it goes with the transaction however that ends. Readers keep seeing the old rows of
a table while it is rebuilt: rows are deleted and inserted, never truncated. A forked child is refused.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2 import errorcodes
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INERROR

from isomesh_dagster.engine import postgres_dependents, postgres_rights, transfer
from isomesh_dagster.engine import postgres_types as types
from isomesh_dagster.engine.connection import Capabilities
from isomesh_dagster.engine.duckdb import need_installed
from isomesh_dagster.errors import EngineError, WriteConflict
from isomesh_dagster.relation import ColumnChange, Relation, quote

if TYPE_CHECKING:
    from isomesh_dagster.model.connections import PostgresConnection

_MERGE_SINCE = 150_000
_QUERY = re.compile(r"\s*(?:(?:select|with|values)\b|\()", re.IGNORECASE)
_BODY = "$isomesh_reads$"
_IMPATIENCE = "100ms"
"""How long a swap of views waits for one lock. Shorter than the server's `deadlock_timeout` (1 s): who waits that long
first is ended by the server, and that must not be a reader.
"""
_PING_AFTER_SECONDS = 5.0
_STATEMENTS_PER_TRIP = 200
_LOCKS_PER_VIEW = 3


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
        first = self._connect()
        self.capabilities = Capabilities(
            dialect="postgres", max_identifier=63, merge=first.server_version >= _MERGE_SINCE, keeps_comments=True
        )
        self._give_back(first)

    def session(self) -> AbstractContextManager[PostgresSession]:
        """A session for the calling thread."""
        return self._session()

    @contextmanager
    def _session(self) -> Iterator[PostgresSession]:
        connection = self._take()
        try:
            yield PostgresSession(connection, self._settings, self.capabilities)
        finally:
            if not connection.closed and self._is_clean_again(connection):
                self._give_back(connection)
            else:
                connection.close()

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
        role = quote(self._settings.role) if self._settings.role else "NONE"
        try:
            if connection.info.transaction_status != TRANSACTION_STATUS_IDLE:
                return False
            with connection.cursor() as cursor:
                cursor.execute(f"RESET ALL; SET ROLE {role}; DISCARD TEMP")
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
                options="-c TimeZone=UTC -c DateStyle=ISO -c client_encoding=UTF8",
                **{name: value for name, value in options.items() if value is not None},
            )
        except psycopg2.Error as error:
            raise EngineError(
                f"cannot open the warehouse {self._place}: {self._without_secrets(_first_line(error))}",
                hint="check the gateway's connection, and that the server answers",
            ) from None
        try:
            connection.autocommit = True  # transactions are begun in so many words
            if settings.role:
                with connection.cursor() as cursor:
                    cursor.execute(f"SET ROLE {quote(settings.role)}")
        except psycopg2.Error as error:
            connection.close()
            raise EngineError(
                f"cannot act as role {settings.role!r} in {self._place}: {_first_line(error)}",
                hint=f"as an administrator: GRANT {quote(settings.role or '')} TO {quote(settings.user)}",
            ) from None
        return connection

    @property
    def _place(self) -> str:
        return f"{self._settings.host}:{self._settings.port}/{self._settings.database}"

    def _without_secrets(self, text: str) -> str:
        for secret in self._settings.secret_values():
            text = text.replace(secret, "***")
        return text


# ---- sessions --------------------------------------------------------------------------------------------


class PostgresSession:
    """One thread's connection (`Session`)."""

    def __init__(self, connection: Any, settings: PostgresConnection, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self._connection = connection
        self._database = settings.database
        self._makes_schemas = settings.create_schemas
        self._in_transaction = False

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int | None:
        """Run one statement; the number of rows it wrote where Postgres tells, else None."""
        with self._run(sql, parameters) as cursor:
            return _count(cursor)

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one query and return all rows."""
        with self._run(sql, parameters) as cursor:
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows

    def fetch_table(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run one query; column names and all rows."""
        with self._run(sql) as cursor:
            return [column.name for column in cursor.description or ()], cursor.fetchall()

    def fetch_frame(self, sql: str, library: str) -> Any:
        """Run one query; its rows as a data frame of `library`: pandas, polars or pyarrow."""
        need_installed(library)
        described = self.query_columns(sql)
        columns = [(name, types.to_frame(kind)) for name, kind in described]
        own_names = [f"c{number}" for number in range(len(described))]
        items = ", ".join(_copied(own, kind) for own, (_, kind) in zip(own_names, columns, strict=True))
        with _temporary_file() as file:
            with file.open("wb") as target:
                self._copy(
                    f"COPY (SELECT {items} FROM (\n{sql}\n) AS _rows({', '.join(own_names)})) TO STDOUT (FORMAT csv)",
                    target,
                )
            return transfer.frame_of_csv(file, columns, library)

    @contextmanager
    def frame(self, frame: Any) -> Iterator[str]:
        """A data frame as a temporary table of this session; its SQL name."""
        name = quote(f"_isomesh_frame_{next(_frames)}")
        with _temporary_file() as file:
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

    def transaction(self, claim: str | None = None) -> AbstractContextManager[None]:
        """All or nothing: commits at the end, rolls back on any exception. Not nested.

        `claim` is a name that one transaction on this database holds at a time; the others wait before they begin.
        """
        return self._transaction("BEGIN", claim)

    @contextmanager
    def swapping(self, views: Sequence[Relation], claim: str) -> Iterator[None]:
        """A transaction in which these views are to be replaced or dropped, without making a reader of them fail.

        It never waits long for one lock: WriteConflict then, and trying again is right. EngineError when the server's
        lock table is too small.
        """
        with self._transaction(f"BEGIN; SET LOCAL lock_timeout = '{_IMPATIENCE}'", claim):
            self._check_locks(len(views))
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
            yield

    def _check_locks(self, views: int) -> None:
        needed = _LOCKS_PER_VIEW * views
        if needed < _STATEMENTS_PER_TRIP:
            return
        per_transaction, connections, prepared = (
            int(row[0])
            for row in self.fetch(
                "SELECT setting FROM pg_catalog.pg_settings WHERE name IN "
                "('max_locks_per_transaction', 'max_connections', 'max_prepared_transactions') "
                "ORDER BY name = 'max_prepared_transactions', name = 'max_connections'"
            )
        )
        capacity = per_transaction * (connections + prepared)
        if needed > capacity:
            raise EngineError(
                f"{views} views change at once, which takes about {needed} locks; the server has room for {capacity}",
                hint=f"set max_locks_per_transaction to {-(-2 * needed // (connections + prepared))} or more "
                "and restart the server",
            )

    @contextmanager
    def _transaction(self, begin: str, claim: str | None) -> Iterator[None]:
        if self._in_transaction:
            raise EngineError("transactions do not nest")
        self._in_transaction = True
        try:
            self.execute(begin)
            if claim is not None:
                self.fetch("SELECT pg_catalog.pg_advisory_xact_lock(?)", (_key(claim),))
            yield
            if self._connection.info.transaction_status == TRANSACTION_STATUS_INERROR:
                raise EngineError("a statement of this transaction failed, nothing of it was kept")
            self.execute("COMMIT")
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

    def columns(self, relation: Relation) -> list[tuple[str, str]]:
        """Name and type of each column in order; empty when the relation does not exist.

        Inside a transaction the relation must exist (EngineError).
        """
        found = self._columns(relation)
        if not found and self._in_transaction and self._kind(relation) is None:
            raise EngineError(f"relation {relation} does not exist")
        return found

    def _columns(self, relation: Relation) -> list[tuple[str, str]]:
        rows = self.fetch(
            "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a "
            "JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = ? AND c.relname = ? AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            (relation.schema, relation.name),
        )
        return [(name, kind) for name, kind in rows] if self._is_here(relation) else []

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

    def same(self, left: Sequence[str], right: Sequence[str]) -> str:
        """The condition that two keys are the same; what is missing in both is the same, too.

        Arrays are compared so, and can be joined by hash, which IS NOT DISTINCT FROM cannot.
        """
        return " AND ".join(f"ARRAY[{one}] = ARRAY[{other}]" for one, other in zip(left, right, strict=True))

    def exists(self, relation: Relation) -> bool:
        """Whether a table or view of that name exists."""
        return self._kind(relation) is not None

    def _kind(self, relation: Relation) -> str | None:
        """What the catalog calls it: `r` a table, `v` a view, …; None when it does not exist."""
        if not self._is_here(relation):
            return None
        rows = self.fetch(
            "SELECT c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = ? AND c.relname = ? AND c.relkind IN ('r', 'p', 'f', 'v', 'm')",
            (relation.schema, relation.name),
        )
        return str(rows[0][0]) if rows else None

    def _is_here(self, relation: Relation) -> bool:
        return relation.catalog in (None, self._database)

    def preflight(self, schemas: Sequence[str], views: Sequence[Relation]) -> None:
        """EngineError that names every right this user lacks to write into these schemas and to replace these views;
        its hint is the SQL that gives them. Schemas that are not there are to be made.
        """
        postgres_rights.check(self, schemas, views, makes_schemas=self._makes_schemas)

    def create_schema(self, schema: str, catalog: str | None = None) -> None:
        """Create the schema if it is not there."""
        if catalog not in (None, self._database):
            raise EngineError(
                f"{catalog!r} is another database than {self._database!r}",
                hint="leave the catalog out of the model's name; Postgres writes to one database at a time",
            )
        if self._has_schema(schema):  # before all else: making it takes a right that this user may not need
            return
        if not self._makes_schemas:
            raise EngineError(
                f"there is no schema {schema!r}, and the connection says `create_schemas: false`",
                hint=f"as an administrator: CREATE SCHEMA {quote(schema)}, with USAGE and CREATE on it for this user",
            )
        with self._atomic():
            self.fetch("SELECT pg_catalog.pg_advisory_xact_lock(?)", (_key("schemas"),))
            if not self._has_schema(schema):
                self.execute(f"CREATE SCHEMA {quote(schema)}")

    def _has_schema(self, schema: str) -> bool:
        return bool(self.fetch("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?", (schema,)))

    def create_table(self, relation: Relation, columns: Sequence[tuple[str, str]]) -> None:
        """The table has these columns (name and type, Postgres's spelling) and no rows afterwards."""
        items = ", ".join(f"{quote(name)} {kind}" for name, kind in columns)
        with self._atomic():
            if self._kind(relation) is None:
                self.execute(f"CREATE TABLE {relation.sql} ({items})")
                return
            new = _beside(relation)
            self.execute(f"CREATE TABLE {new.sql} ({items})")
            if self._columns(new) == self._columns(relation):
                self.execute(f"DROP TABLE {new.sql}")
                self.execute(f"DELETE FROM {relation.sql}")
            else:
                self._take_place(relation, new)

    def replace_table(self, relation: Relation, query: str) -> int | None:
        """The table holds exactly the query's rows afterwards; the number of rows."""
        with self._atomic():
            if self._kind(relation) is None:
                return self.execute(f"CREATE TABLE {relation.sql} AS\n{query}")
            columns = self._columns(relation)
            if self.query_columns(query) == columns:
                # one statement, so that a query over the table itself reads the rows that go
                names = ", ".join(quote(name) for name, _ in columns)
                return self.execute(
                    f"WITH _gone AS (DELETE FROM {relation.sql})\n"
                    f"INSERT INTO {relation.sql} ({names})\nSELECT * FROM (\n{query}\n) AS _new_rows"
                )
            new = _beside(relation)
            rows = self.execute(f"CREATE TABLE {new.sql} AS\n{query}")
            self._take_place(relation, new)
            return rows

    def _take_place(self, relation: Relation, new: Relation) -> None:
        def replace() -> None:
            self.execute(f"DROP TABLE {relation.sql}")
            self.execute(f"ALTER TABLE {new.sql} RENAME TO {quote(relation.name)}")

        postgres_dependents.rebuilt_around(self, relation, replace)

    def insert(self, relation: Relation, query: str, columns: Sequence[str]) -> int | None:
        """Append the query's rows, columns matched by name; the number of rows."""
        names = ", ".join(quote(column) for column in columns)
        return self.execute(f"INSERT INTO {relation.sql} ({names})\nSELECT {names} FROM (\n{query}\n) AS _new_rows")

    def load_csv(
        self,
        relation: Relation,
        path: str,
        columns: Sequence[tuple[str, str]] | None,
        settings: dict[str, Any],
    ) -> int | None:
        """The table holds exactly the rows of the CSV file (absolute path); `columns` None: types are inferred.

        As on DuckDB: the file is read by it, so the same rules hold and the same types come out.
        """
        with _temporary_file() as file, self._atomic():
            found = transfer.csv_of_seed(
                path, None if columns is None else [name for name, _ in columns], settings, file
            )
            if columns is None:
                typed = [(name, types.from_frame(kind)) for name, kind in found]
            else:
                typed = [(name, "text" if kind == "UNKNOWN" else kind) for name, kind in columns]
            self.create_table(relation, typed)
            return self._load(relation.sql, file)

    def alter_table(self, relation: Relation, changes: Sequence[ColumnChange]) -> None:
        """The table has the changed columns afterwards, its rows stay.

        Views know their columns by number: an added one is no matter to them. For others those that read the table are
        made again, with owners, grants and comments. EngineError that names those which would not work any more.
        """
        actions = []
        for change in changes:
            column = quote(change.name)
            if change.was is None:
                actions.append(f"ADD COLUMN {column} {change.type}")
            elif change.type is None:
                actions.append(f"DROP COLUMN {column} RESTRICT")
            else:
                actions.append(f"ALTER COLUMN {column} TYPE {change.type} USING {column}::{change.type}")
        statement = f"ALTER TABLE {relation.sql} {', '.join(actions)}"
        if all(change.was is None for change in changes):
            self.execute(statement)
            return
        with self._atomic():
            postgres_dependents.rebuilt_around(self, relation, lambda: self._ran(statement))

    def _ran(self, statement: str) -> None:
        self.execute(statement)

    def replace_view(self, relation: Relation, query: str, *, materialized: bool = False) -> None:
        """The view shows the query afterwards, whatever it showed before.

        A materialized one holds the rows of now; what is there as one stays one. It is refreshed where its query is the
        same: readers wait for the end of the transaction then.

        Where its columns stay or are added to, it is replaced in place. Else it is made anew, and with it the views
        that read it; owners, grants, options and comments stay. EngineError that names them when they would not work
        any more.
        """
        kind = self._kind(relation)
        if materialized or kind == "m":
            with self._atomic():
                self._materialize(relation, query, kind)
            return
        options = postgres_dependents.view_options(self, relation)
        create = f"CREATE OR REPLACE VIEW {relation.sql}{options} AS\n{query}"
        with self._atomic():
            self.execute("SAVEPOINT isomesh_view")
            try:
                self.execute(create)
            except _RefusedError as error:
                if error.state != errorcodes.INVALID_TABLE_DEFINITION:  # other columns, or in another order
                    raise
                self.execute("ROLLBACK TO SAVEPOINT isomesh_view")
                postgres_dependents.rebuilt_around(self, relation, lambda: self._remake(relation, create))
            self.execute("RELEASE SAVEPOINT isomesh_view")

    def _materialize(self, relation: Relation, query: str, kind: str | None) -> None:
        create = f"CREATE MATERIALIZED VIEW {relation.sql} AS\n{query}"
        if kind is None:
            self.execute(create)
        elif kind == "m" and self._shows(relation, query):
            self.execute(f"REFRESH MATERIALIZED VIEW {relation.sql}")
        else:
            drop = f"DROP {'MATERIALIZED VIEW' if kind == 'm' else 'VIEW'} {relation.sql}"
            postgres_dependents.rebuilt_around(self, relation, lambda: self._ran(f"{drop}; {create}"))

    def _shows(self, relation: Relation, query: str) -> bool:
        """Whether a view shows just this query: the server writes both down in its own words."""
        self.execute(f"CREATE TEMPORARY VIEW _isomesh_shape AS\n{query}")
        ((is_same,),) = self.fetch(
            "SELECT pg_catalog.pg_get_viewdef(CAST(? AS regclass)) "
            "= pg_catalog.pg_get_viewdef('pg_temp._isomesh_shape'::regclass)",
            (Relation(schema=relation.schema, name=relation.name).sql,),
        )
        self.execute("DROP VIEW pg_temp._isomesh_shape")
        return bool(is_same)

    def _remake(self, relation: Relation, create: str) -> None:
        self.execute(f"DROP VIEW {relation.sql}")
        self.execute(create)

    def grant(self, relation: Relation, grants: Mapping[str, Sequence[str]]) -> None:
        """Of all but its owner, just these have these privileges on the table or view afterwards: who, by privilege.

        They may also look into its schema, where that is ours to allow.
        """
        there = {
            (privilege, grantee)
            for privilege, grantee in self.fetch(
                "SELECT x.privilege_type, COALESCE(pg_catalog.pg_get_userbyid(NULLIF(x.grantee, 0)), 'public') "
                "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
                "CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS x "
                "WHERE n.nspname = ? AND c.relname = ? AND x.grantee <> c.relowner",
                (relation.schema, relation.name),
            )
        }
        wanted = {(privilege.upper(), grantee) for privilege, grantees in grants.items() for grantee in grantees}
        everything = {grantee for privilege, grantee in wanted if privilege in _ALL_PRIVILEGES}
        statements = [
            f"REVOKE {privilege} ON {relation.sql} FROM {_role(grantee)}"
            for privilege, grantee in sorted(there - wanted)
            if grantee not in everything
        ]
        statements += [
            f"GRANT {privilege} ON {relation.sql} TO {_role(grantee)}" for privilege, grantee in sorted(wanted - there)
        ]
        grantees = sorted({grantee for _, grantee in wanted})
        if grantees and self._owns_schema(relation.schema):
            statements.append(f"GRANT USAGE ON SCHEMA {quote(relation.schema)} TO {', '.join(map(_role, grantees))}")
        if statements:
            self.execute("; ".join(statements))

    def _owns_schema(self, schema: str) -> bool:
        return bool(
            self.fetch(
                "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ? AND pg_catalog.pg_has_role(nspowner, 'USAGE')",
                (schema,),
            )
        )

    def drop(self, relation: Relation, *, view: bool) -> None:
        """Drop it if it exists; never cascades."""
        kind = "TABLE"
        if view:
            kind = "MATERIALIZED VIEW" if self._kind(relation) == "m" else "VIEW"
        self.execute(f"DROP {kind} IF EXISTS {relation.sql} RESTRICT")

    def list_relations(self, schema: str) -> list[tuple[str, str]]:
        """Name and type ("table" or "view") of everything in the schema; empty when there is no such schema."""
        rows = self.fetch(
            "SELECT c.relname, CASE WHEN c.relkind IN ('v', 'm') THEN 'view' ELSE 'table' END "
            "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = ? AND c.relkind IN ('r', 'p', 'f', 'v', 'm') ORDER BY 1",
            (schema,),
        )
        return [(name, kind) for name, kind in rows]

    def drop_schema_if_empty(self, schema: str) -> None:
        """Drop the schema unless something is in it, it is Postgres's own `public`, or somebody else's."""
        if not self._makes_schemas or schema == "public" or self.list_relations(schema):
            return
        if not self._owns_schema(schema):
            return
        with self._atomic():
            self.execute("SAVEPOINT isomesh_schema")
            try:
                self.execute(f"DROP SCHEMA {quote(schema)} RESTRICT")
            except _RefusedError as error:  # a function or a type is in it
                if error.state != errorcodes.DEPENDENT_OBJECTS_STILL_EXIST:
                    raise
                self.execute("ROLLBACK TO SAVEPOINT isomesh_schema")
            self.execute("RELEASE SAVEPOINT isomesh_schema")

    def _load(self, target: str, file: Path) -> int:
        with file.open("rb") as source:
            return self._copy(f"COPY {target} FROM STDIN (FORMAT csv)", source)

    def _copy(self, sql: str, file: Any) -> int:
        with self._told(), self._connection.cursor() as cursor:
            cursor.copy_expert(sql, file)
            return int(cursor.rowcount)

    @contextmanager
    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> Iterator[Any]:
        with self._told(), self._connection.cursor() as cursor:
            if parameters:
                cursor.execute(_marked(sql), tuple(parameters))
            else:
                cursor.execute(sql)
            yield cursor

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except psycopg2.Error as error:
            raise _engine_error(error) from None  # the driver's quotes the statement, and rows


# ---- small things ----------------------------------------------------------------------------------------

_ALL_PRIVILEGES = frozenset({"ALL", "ALL PRIVILEGES"})

_frames = count()
"""Numbers for the names of data frames."""

_TRY_AGAIN = frozenset({errorcodes.SERIALIZATION_FAILURE, errorcodes.DEADLOCK_DETECTED, errorcodes.LOCK_NOT_AVAILABLE})


def _engine_error(error: psycopg2.Error) -> EngineError:
    """The driver's error as ours: without the statement and without rows, which the server's message may quote.

    What depends on what (and which line of a seed is wrong) is told, since it is what there is to mend.
    """
    state, diagnosis = error.pgcode, error.diag
    message = diagnosis.message_primary or _first_line(error)
    hint = diagnosis.message_hint
    if state == errorcodes.DEPENDENT_OBJECTS_STILL_EXIST and diagnosis.message_detail:
        message = f"{message}: {diagnosis.message_detail}"
        hint = "drop what depends on it first, if it is not needed; nothing is dropped with CASCADE"
    elif state == errorcodes.OUT_OF_MEMORY and "max_locks" in (hint or ""):
        hint = "raise max_locks_per_transaction and restart the server"
    elif found := re.match(r"COPY [^,]+, line (\d+), column ([^:]+)", diagnosis.context or ""):
        message = f"{message} (line {found[1]}, column {found[2]})"
        hint = hint or "mend the file, or the type under `columns`"
    if state in _TRY_AGAIN or message == "tuple concurrently updated":  # two grants on one table
        return WriteConflict(message[:1000], hint=hint)
    refused = _RefusedError(message[:1000], hint=hint)
    refused.state = state
    return refused


class _RefusedError(EngineError):
    """The server refused a statement; `state` is its code for why."""

    state: str | None = None


def _first_line(error: psycopg2.Error) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def _answers(connection: Any) -> bool:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except psycopg2.Error:
        return False
    return True


def _count(cursor: Any) -> int | None:
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


def _key(claim: str) -> int:
    """The number of the advisory lock that stands for the claim."""
    return int.from_bytes(hashlib.sha256(f"isomesh claim {claim}".encode()).digest()[:8], "big", signed=True)


def _role(name: str) -> str:
    return "PUBLIC" if name.lower() == "public" else quote(name)


def _unset(options: Sequence[str]) -> str:
    """An option of views that this one does not have: to take it away changes nothing."""
    given = {option.partition("=")[0] for option in options}
    return next(name for name in ("security_barrier", "check_option", "security_invoker") if name not in given)


def _beside(relation: Relation) -> Relation:
    return Relation(catalog=relation.catalog, schema=relation.schema, name=f"_isomesh_new_{next(_frames)}")


@contextmanager
def _temporary_file() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="isomesh_copy_") as folder:
        yield Path(folder, "rows.csv")
