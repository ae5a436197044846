"""DuckDB: one process per file, many threads inside it, everything transactional, readers never wait.

A file is held through `<file>.lock` (flock) before DuckDB opens it: waiting for that lock is fair and quick, and the
lock file tells who holds it. All sessions are cursors of one parent connection. A forked child is refused: DuckDB
itself would let two processes write one file without an error.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from difflib import get_close_matches
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from filelock import FileLock, Timeout

from isomesh_dagster.engine import seed_file
from isomesh_dagster.engine.connection import Capabilities
from isomesh_dagster.errors import EngineError, LockedError, ModelError, WriteConflict
from isomesh_dagster.relation import ColumnChange, Relation, quote

if TYPE_CHECKING:
    from isomesh_dagster.model.connections import DuckDBCatalog, DuckDBConnection

MEMORY = ":memory:"

_CAPABILITIES = Capabilities(dialect="duckdb")
_NULL_TYPE = "legacy_disable_null_type"
_EXTERNAL = "enable_external_access"
_CONFINED = (
    "SQL may use the project's own visible folders; allow more in config.yaml, in the gateway's connection:"
    " `allowed_paths: [folder, 's3://bucket/']`, or `external_access: true` for everything"
)
_OWN_FOLDERS = (".isomesh/git", ".isomesh/files")
_READABLE = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".arrow", ".gz", ".zst"})
"""Files beside the project's configuration that SQL may read: data, and no database."""
_SCHEMES = {
    "s3": ("s3://", "s3a://", "s3n://"),
    "aws": ("s3://", "s3a://", "s3n://"),
    "gcs": ("gcs://", "gs://"),
    "r2": ("r2://",),
    "azure": ("azure://", "az://", "abfss://"),
    "http": ("http://", "https://"),
    "huggingface": ("hf://",),
}
"""Which addresses a secret of each type is for."""


# ---- opening and closing ---------------------------------------------------------------------------------


class DuckDBWarehouse:
    """An open DuckDB database (`Connection`)."""

    capabilities = _CAPABILITIES

    def __init__(
        self,
        settings: DuckDBConnection,
        *,
        timeout: float = 60.0,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self._pid = os.getpid()
        self._closed = False
        self._close_lock = threading.Lock()
        self._locks: list[FileLock] = []
        paths = [catalog.path for catalog in settings.catalogs.values()] or [settings.database]
        path = MEMORY if settings.catalogs or settings.database is None else str(settings.database)
        self._has_catalogs = bool(settings.catalogs)
        self._database = f"{MEMORY}{id(self)}" if settings.path is None else str(settings.path)
        deadline = time.monotonic() + timeout
        try:
            for file in sorted({str(path) for path in paths if path is not None}):
                Path(file).parent.mkdir(parents=True, exist_ok=True)
                self._locks.append(_hold(file, deadline, on_wait))
            config = {key: _setting(value) for key, value in settings.connector_config.items()}
            self._parent = _connect(path, config, deadline, on_wait)
        except BaseException:
            self._release()
            raise
        try:
            self._default_catalog = self._prepare(settings)
            self._catalogs = frozenset(
                str(row[0]).lower()
                for row in self._parent.execute("SELECT database_name FROM duckdb_databases()").fetchall()
            )
        except BaseException:
            self.close()
            raise

    def session(self) -> AbstractContextManager[DuckDBSession]:
        """A session for the calling thread."""
        return self._session()

    @contextmanager
    def _session(self) -> Iterator[DuckDBSession]:
        self._check_alive()
        cursor = self._parent.cursor()
        try:
            if self._has_catalogs:  # a cursor does not inherit USE
                cursor.execute(f"USE {quote(self._default_catalog)}")
            yield DuckDBSession(
                cursor, database=self._database, default_catalog=self._default_catalog, catalogs=self._catalogs
            )
        finally:
            cursor.close()

    def reads(self, sql: str) -> bool:
        """See `Connection`."""
        self._check_alive()
        cursor = self._parent.cursor()
        try:
            cursor.extract_statements(sql)
        except duckdb.ParserException:
            return False
        except duckdb.Error:
            return True
        finally:
            cursor.close()
        return True

    def close(self) -> None:
        """Let go of the file and of the lock on it. Idempotent; does nothing in a forked child."""
        if os.getpid() != self._pid:
            return
        with self._close_lock:
            if self._closed:
                return
            self._closed = True
        self._parent.close()
        self._release()

    def _release(self) -> None:
        for lock in self._locks:
            lock.release()
        self._locks.clear()

    def _check_alive(self) -> None:
        if os.getpid() != self._pid:
            raise EngineError(
                f"this DuckDB connection belongs to process {self._pid}, not to {os.getpid()}",
                hint="open the warehouse after forking; in Dagster use an executor that runs steps in one process",
            )
        if self._closed:
            raise EngineError("this DuckDB connection is closed")

    def _prepare(self, settings: DuckDBConnection) -> str:
        """Extensions, secrets, catalogs; returns the default catalog."""
        parent = self._parent
        for extension in settings.extensions:
            source = f" FROM {_source(extension.repository)}" if extension.repository else ""
            install = f"INSTALL {quote(extension.name)}{source}"
            if extension.force_install:
                _setup(parent, f"FORCE {install}", f"extension {extension.name!r}")
            # an extension that is already there must not need the network
            _setup(parent, f"LOAD {quote(extension.name)}", f"extension {extension.name!r}", otherwise=install)
        for number, secret in enumerate(settings.secrets, start=1):
            options = "".join(
                f", {quote(key)} {_literal(value.get_secret_value())}" for key, value in secret.options.items()
            )
            name = f" {quote(secret.name)}" if secret.name else ""
            _setup(
                parent,
                f"CREATE OR REPLACE SECRET{name} (TYPE {quote(secret.type)}{options})",
                f"secret number {number}",
            )
        for name, catalog in settings.catalogs.items():
            _setup(parent, _attach(name, catalog), f"catalog {name!r}")
        if settings.catalogs:
            _setup(parent, f"USE {quote(settings.default_catalog)}", "the default catalog")
        with suppress(duckdb.Error):  # without ICU there are no other time zones anyway
            parent.execute("SET GLOBAL TimeZone = 'UTC'")
        if _NULL_TYPE not in settings.connector_config:
            # a column of NULLs only is INTEGER, as in DuckDB 1: one of type NULL would take no value ever after
            with suppress(duckdb.Error):  # DuckDB 1 does not know the setting
                parent.execute(f"SET GLOBAL {_NULL_TYPE} = true")
        row = parent.execute("SELECT current_database()").fetchone()
        assert row is not None
        if settings.project is not None and not settings.external_access and _EXTERNAL not in settings.connector_config:
            _confine(parent, settings, settings.project)
        return str(row[0])


def _confine(parent: duckdb.DuckDBPyConnection, settings: DuckDBConnection, project: Path) -> None:
    """SQL sees the project's visible folders and what the settings allow, and no other file or address.

    Hidden folders and databases are left out: other systems' warehouses may be there; of our own folder only what holds
    files to be loaded is open. DuckDB lets nobody open more for as long as the connection lives.
    """
    folders, files = list(settings.allowed_paths), []
    folders += [f"{project / own}{os.sep}" for own in _OWN_FOLDERS]
    for secret in settings.secrets:
        folders += _SCHEMES.get(secret.type.lower(), ())
    for entry in sorted(project.iterdir()) if project.is_dir() else ():
        if entry.name.startswith(".") or not entry.resolve().is_relative_to(project.resolve()):
            continue
        if entry.is_dir():
            folders.append(f"{entry}{os.sep}")
        elif entry.suffix.lower() in _READABLE:
            files.append(str(entry))
    for setting, values in (("allowed_directories", folders), ("allowed_paths", files)):
        parent.execute(f"SET {setting} = [{', '.join(_literal(value) for value in values)}]")
    parent.execute(f"SET {_EXTERNAL} = false")


# ---- sessions --------------------------------------------------------------------------------------------


class DuckDBSession:
    """One thread's cursor (`Session`)."""

    capabilities = _CAPABILITIES

    def __init__(
        self, cursor: duckdb.DuckDBPyConnection, *, database: str, default_catalog: str, catalogs: frozenset[str]
    ) -> None:
        self._cursor = cursor
        self._database = database
        self._default_catalog = default_catalog
        self._catalogs = catalogs
        self._in_transaction = False

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int | None:
        """Run one statement; the number of rows it wrote where DuckDB tells, else None."""
        return _count(self._run(sql, parameters))

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one query and return all rows."""
        try:
            rows: list[tuple[Any, ...]] = self._run(sql, parameters).fetchall()
        except duckdb.Error as error:
            raise _engine_error(error) from None
        return rows

    def fetch_table(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run one query; column names and all rows."""
        try:
            result = self._run(sql)
            return [column[0] for column in result.description or ()], result.fetchall()
        except duckdb.Error as error:
            raise _engine_error(error) from None

    def fetch_frame(self, sql: str, library: str) -> Any:
        """Run one query; its rows as a data frame of `library`: pandas, polars or pyarrow."""
        need_installed(library)
        try:
            result = self._cursor.sql(sql)
            if result is None:
                raise EngineError("the statement returns no rows", hint="write a query")
            table = result.df() if library == "pandas" else result.to_arrow_table()
        except duckdb.Error as error:
            raise _engine_error(error) from None
        if library != "polars":
            return table
        import polars

        return polars.from_arrow(table)

    @contextmanager
    def frame(self, frame: Any) -> Iterator[str]:
        """A data frame as a relation of this session; its SQL name."""
        need_installed(type(frame).__module__.partition(".")[0])
        name = f"_isomesh_frame_{next(_frames)}"
        try:
            self._cursor.register(name, frame)
        except (duckdb.InvalidInputException, TypeError):
            raise ModelError(f"{type(frame).__name__} is no data frame with columns") from None
        except duckdb.Error as error:
            raise _engine_error(error) from None
        try:
            yield quote(name)
        finally:
            with suppress(duckdb.Error):  # after a failed statement; the name goes with the session then
                self._cursor.unregister(name)

    def transaction(self, claim: str | None = None) -> AbstractContextManager[None]:
        """All or nothing: commits at the end, rolls back on any exception. Not nested.

        `claim` is a name that one transaction on this database holds at a time; the others wait before they begin.
        """
        if claim is None:
            return self._transaction()
        return self._claimed_transaction(claim)

    @contextmanager
    def _claimed_transaction(self, claim: str) -> Iterator[None]:
        # one process has the file, so a lock of this process is a lock on the warehouse
        with _claimed((self._database, claim)), self._transaction():
            yield

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._in_transaction:
            raise EngineError("transactions do not nest")
        self._run("BEGIN TRANSACTION")
        self._in_transaction = True
        try:
            yield
            self._run("COMMIT")
        except BaseException:
            with suppress(duckdb.Error):  # a failed commit has already rolled back
                self._cursor.execute("ROLLBACK")
            raise
        finally:
            self._in_transaction = False

    def swapping(self, views: Sequence[Relation], claim: str) -> AbstractContextManager[None]:
        """A transaction with a claim; readers never wait for it, nor it for them."""
        return self.transaction(claim)

    def columns(self, relation: Relation) -> list[tuple[str, str]]:
        """Name and type of each column in order; empty when the relation does not exist.

        Inside a transaction the relation must exist: there a failed look-up would abort the transaction (EngineError).
        """
        try:
            rows = self._cursor.execute(f"DESCRIBE {self._sql(relation)}").fetchall()
        except duckdb.CatalogException as error:
            if self._in_transaction:
                raise _engine_error(error) from None
            return []
        except duckdb.Error as error:
            raise _engine_error(error) from None
        return [(row[0], row[1]) for row in rows]

    def query_columns(self, query: str) -> list[tuple[str, str]]:
        """Name and type of each column that a table made by the query would have."""
        # DESCRIBE would tell the query's own types, of which a table has not all
        self._run(
            f"CREATE OR REPLACE TEMPORARY TABLE _isomesh_shape AS\nSELECT * FROM (\n{query}\n) AS _rows\nWHERE 1 = 0"
        )
        columns = self.fetch("DESCRIBE temp._isomesh_shape")
        self._run("DROP TABLE temp._isomesh_shape")
        return [(row[0], row[1]) for row in columns]

    def same(self, left: Sequence[str], right: Sequence[str]) -> str:
        """The condition that two keys are the same; what is missing in both is the same, too."""
        return " AND ".join(f"{one} IS NOT DISTINCT FROM {other}" for one, other in zip(left, right, strict=True))

    def exists(self, relation: Relation) -> bool:
        """Whether a table or view of that name exists."""
        found = self.fetch(
            "SELECT 1 FROM (SELECT database_name, schema_name, table_name FROM duckdb_tables() "
            "UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views()) "
            "WHERE lower(database_name) = lower(?) AND lower(schema_name) = lower(?) "
            "AND lower(table_name) = lower(?) LIMIT 1",
            (relation.catalog or self._default_catalog, relation.schema, relation.name),
        )
        return bool(found)

    def preflight(self, schemas: Sequence[str], views: Sequence[Relation]) -> None:
        """Nothing: who may open the file may do everything in it."""

    def create_schema(self, schema: str, catalog: str | None = None) -> None:
        """Create the schema if it is not there."""
        self._run(f"CREATE SCHEMA IF NOT EXISTS {quote(catalog or self._default_catalog)}.{quote(schema)}")

    def create_table(self, relation: Relation, columns: Sequence[tuple[str, str]]) -> None:
        """The table has these columns (name and type, DuckDB's spelling) and no rows afterwards.

        DuckDB 2.0.0 loses sight of 122,880 rows and more that are inserted, in the transaction that made it, into a
        table made by a query without rows: `COUNT(*)` has them, a scan has none until the file is opened again. A table
        made by its columns has all of them.
        """
        items = ", ".join(f"{quote(name)} {kind}" for name, kind in columns)
        self._run(f"CREATE OR REPLACE TABLE {self._sql(relation)} ({items})")

    def alter_table(self, relation: Relation, changes: Sequence[ColumnChange]) -> None:
        """The table has the changed columns afterwards, its rows stay. Views are bound when they are read."""
        table = self._sql(relation)
        for change in changes:
            column = quote(change.name)
            if change.was is None:
                self._run(f"ALTER TABLE {table} ADD COLUMN {column} {change.type}")
            elif change.type is None:
                self._run(f"ALTER TABLE {table} DROP COLUMN {column}")
            else:
                self._run(f"ALTER TABLE {table} ALTER COLUMN {column} SET DATA TYPE {change.type}")

    def replace_table(self, relation: Relation, query: str) -> int | None:
        """The table holds exactly the query's rows afterwards; the number of rows."""
        return _count(self._run(f"CREATE OR REPLACE TABLE {self._sql(relation)} AS\n{query}"))

    def insert(self, relation: Relation, query: str, columns: Sequence[str]) -> int | None:
        """Append the query's rows, columns matched by name; the number of rows."""
        names = ", ".join(quote(column) for column in columns)
        return _count(
            self._run(f"INSERT INTO {self._sql(relation)} ({names})\nSELECT {names} FROM (\n{query}\n) AS _new_rows")
        )

    def load_csv(
        self,
        relation: Relation,
        path: str,
        columns: Sequence[tuple[str, str]] | None,
        settings: dict[str, Any],
    ) -> int | None:
        """The table holds exactly the rows of the CSV file (absolute path); `columns` None: types are inferred.

        `settings` are the model format's `csv_settings`, only those that were given. Columns are matched by the
        header's names; a type "UNKNOWN" leaves the column text.
        """
        with seed_file.readable(path, settings) as (file, given):
            rows = seed_file.source(file, given)
            if columns is None:
                names = self.fetch_table(f"SELECT * FROM {rows} LIMIT 0")[0]
                (told,) = self.fetch(f"SELECT {seed_file.survey(names, given)} FROM {rows}")
                items = seed_file.inferred(names, told, given)
            else:
                self._check_seed(rows, columns, given)
                items = [seed_file.value(name, None if kind == "UNKNOWN" else kind, given) for name, kind in columns]
            return self.replace_table(relation, f"SELECT {', '.join(items)} FROM {rows}")

    def _check_seed(self, rows: str, columns: Sequence[tuple[str, str]], given: dict[str, Any]) -> None:
        """Raises EngineError for a declared column that the file lacks, or a value that is not of its type."""
        names = self.fetch_table(f"SELECT * FROM {rows} LIMIT 0")[0]
        known = {name.lower() for name in names}
        for name, _ in columns:
            if name.lower() not in known:
                near = get_close_matches(name, names, n=1)
                raise EngineError(
                    f"the seed's file has no column {name}; it has {', '.join(names)}",
                    hint=f"did you mean {near[0]}?" if near else "its first line names the columns",
                )
        typed = [(name, kind) for name, kind in columns if kind != "UNKNOWN"]
        if not typed:
            return
        wrong = ", ".join(seed_file.misfit(name, kind, given) for name, kind in typed)
        (found,) = self.fetch(f"SELECT {wrong} FROM {rows}")
        for (name, kind), value in zip(typed, found, strict=True):
            if value is not None:
                raise EngineError(
                    f"the seed's column {name} holds {value!r}, which is no {kind}",
                    hint="mend the file, or the type under `columns`",
                )

    def replace_view(self, relation: Relation, query: str, *, materialized: bool = False) -> None:
        """The view shows the query afterwards, whatever it showed before. DuckDB has no materialized ones."""
        self._run(f"CREATE OR REPLACE VIEW {self._sql(relation)} AS\n{query}")

    def grant(self, relation: Relation, grants: Mapping[str, Sequence[str]]) -> None:
        """Nothing: DuckDB has no users."""

    def drop(self, relation: Relation, *, view: bool) -> None:
        """Drop it if it exists; never cascades."""
        self._run(f"DROP {'VIEW' if view else 'TABLE'} IF EXISTS {self._sql(relation)} RESTRICT")

    def list_relations(self, schema: str) -> list[tuple[str, str]]:
        """Name and type ("table" or "view") of everything in the schema; empty when there is no such schema."""
        rows = self.fetch(
            "SELECT table_name, 'table' FROM duckdb_tables() WHERE database_name = ? AND lower(schema_name) = lower(?) "
            "UNION ALL SELECT view_name, 'view' FROM duckdb_views() "
            "WHERE NOT internal AND database_name = ? AND lower(schema_name) = lower(?) ORDER BY 1",
            (self._default_catalog, schema, self._default_catalog, schema),
        )
        return [(row[0], row[1]) for row in rows]

    def drop_schema_if_empty(self, schema: str) -> None:
        """Drop the schema unless something is in it or it is DuckDB's own `main`."""
        if schema.lower() == "main" or self.list_relations(schema):
            return
        self._run(f"DROP SCHEMA IF EXISTS {quote(self._default_catalog)}.{quote(schema)} RESTRICT")

    def _sql(self, relation: Relation) -> str:
        # "x"."t" is ambiguous when a catalog is called x too, as with a file named like a schema
        if relation.catalog is None and relation.schema.lower() in self._catalogs:
            return f"{quote(self._default_catalog)}.{relation.sql}"
        return relation.sql

    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        try:
            return self._cursor.execute(sql, list(parameters)) if parameters else self._cursor.execute(sql)
        except duckdb.Error as error:
            raise _engine_error(error) from None


# ---- the file's lock -------------------------------------------------------------------------------------


def _hold(file: str, deadline: float, on_wait: Callable[[str], None] | None) -> FileLock:
    """Take the lock beside the database file. One lock object per process and path: the second opener shares it."""
    path = Path(f"{file}.lock")
    lock = FileLock(str(path), is_singleton=True, thread_local=False)
    told = False
    while True:
        try:
            lock.acquire(timeout=max(0.0, min(0.5, deadline - time.monotonic())), poll_interval=0.02)
        except Timeout:  # noqa: PERF203 (the loop is a wait)
            holder = _holder(path)
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"the warehouse {file} is held by {holder}",
                    hint="wait until it is done, or stop it; a DuckDB file has one writing process at a time",
                ) from None
            if not told and on_wait is not None:
                on_wait(f"waiting for the warehouse {file}, held by {holder}")
            told = True
        else:
            with suppress(OSError):
                path.write_text(f"{os.getpid()}\n")
            return lock


_frames = count()
"""Numbers for the names of data frames."""

_claims: dict[tuple[str, str], tuple[threading.Lock, int]] = {}
"""Claims that somebody holds or waits for: the lock, and how many they are."""
_claims_lock = threading.Lock()


@contextmanager
def _claimed(key: tuple[str, str]) -> Iterator[None]:
    with _claims_lock:
        lock, users = _claims.get(key, (threading.Lock(), 0))
        _claims[key] = (lock, users + 1)
    try:
        with lock:
            yield
    finally:
        with _claims_lock:
            lock, users = _claims[key]
            if users == 1:
                del _claims[key]
            else:
                _claims[key] = (lock, users - 1)


def _holder(path: Path) -> str:
    with suppress(OSError):
        if text := path.read_text().strip():
            return f"process {text}"
    return "another process"


def _connect(
    path: str, config: dict[str, Any], deadline: float, on_wait: Callable[[str], None] | None
) -> duckdb.DuckDBPyConnection:
    """Open the database; a program that does not know our lock (DuckDB's own shell) is waited for as well."""
    told = False
    while True:
        try:
            return duckdb.connect(path, config=config)
        except duckdb.IOException as error:  # noqa: PERF203 (the loop is a wait)
            text = str(error)
            if "lock" not in text.lower():
                raise EngineError(f"cannot open the warehouse {path}: {_short(text)}") from None
            holder = f"process {text.split('PID ', 1)[1].split(')', 1)[0]}" if "PID " in text else "another process"
            if time.monotonic() >= deadline:
                raise LockedError(
                    f"the warehouse {path} is held by {holder}",
                    hint="close the program that has the file open; a DuckDB file has one writing process at a time",
                ) from None
            if not told and on_wait is not None:
                on_wait(f"waiting for the warehouse {path}, held by {holder}")
            told = True
            time.sleep(0.1)
        except duckdb.Error as error:
            raise EngineError(
                f"cannot open the warehouse {path}: {_short(str(error))}",
                hint="check connector_config of the gateway's connection"
                if "not recognized" in str(error)
                else "within one process a DuckDB file is opened with one and the same configuration",
            ) from None


# ---- data frames -----------------------------------------------------------------------------------------


def need_installed(library: str) -> None:
    """Refuse a library that is not there, or that DuckDB cannot work with alone."""
    for name in (library, *(("pyarrow",) if library == "polars" else ())):
        if find_spec(name) is None:
            raise EngineError(
                f"{name} is not installed" + (", which DuckDB needs for polars" if name != library else ""),
                hint=f"install {name} beside isomesh-dagster",
            )


# ---- small things ----------------------------------------------------------------------------------------


def _engine_error(error: duckdb.Error) -> EngineError:
    """The driver's error as ours: the message without the statement's whole text."""
    text = str(error)
    if isinstance(error, duckdb.PermissionException) and "disabled" in text:
        return EngineError(_short(text), hint=_CONFINED)
    lost_race = isinstance(error, duckdb.TransactionException) and ("conflict" in text.lower() or "PRIMARY KEY" in text)
    return (WriteConflict if lost_race else EngineError)(_short(text))


def _short(text: str) -> str:
    """At most a dozen lines of two hundred characters."""
    lines = [line.rstrip()[:200] for line in text.strip().splitlines()]
    return "\n".join(line for line in lines[:12] if line)


def _setup(parent: duckdb.DuckDBPyConnection, sql: str, what: str, otherwise: str | None = None) -> None:
    """Run a statement of the opening, when it fails `otherwise` before it.

    Its text may hold a secret, and DuckDB quotes it: only `what` is told.
    """
    try:
        parent.execute(sql)
    except duckdb.Error as error:
        if otherwise is not None:
            with suppress(duckdb.Error):
                parent.execute(otherwise)
                parent.execute(sql)
                return
        raise EngineError(
            f"DuckDB refuses {what} ({type(error).__name__})",
            hint="check it in the gateway's connection; DuckDB's own message is withheld because it can quote secrets",
        ) from None


def _attach(name: str, catalog: DuckDBCatalog) -> str:
    target = MEMORY if catalog.path is None else str(catalog.path)
    options = " (READ_ONLY)" if catalog.read_only else ""
    return f"ATTACH IF NOT EXISTS {_literal(target)} AS {quote(name)}{options}"


def _source(repository: str) -> str:
    """A repository's alias (`community`) bare, its address or folder in quotes."""
    return repository if repository.isidentifier() else _literal(repository)


def _setting(value: Any) -> Any:
    return value if isinstance(value, bool | str | list) else str(value)


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _count(result: duckdb.DuckDBPyConnection) -> int | None:
    """The number of rows that INSERT, DELETE, UPDATE and CREATE TABLE AS answer with."""
    description = result.description
    if description is None or len(description) != 1 or description[0][0] != "Count":
        return None
    row = result.fetchone()
    return None if row is None else int(row[0])
