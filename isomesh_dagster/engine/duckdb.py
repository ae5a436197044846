"""DuckDB, opening and closing: one process per file, many threads inside it, readers never wait.

A file is held through `<file>.lock` (flock) before DuckDB opens it: waiting for that lock is fair and quick, and the
lock file tells who holds it. All sessions are cursors of one parent connection. A forked child is refused: DuckDB
itself would let two processes write one file without an error.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
from filelock import FileLock, Timeout

from isomesh_dagster.engine.duckdb_catalogs import FOLDER_SUFFIX, DuckDBCatalogs, environments_folder
from isomesh_dagster.engine.duckdb_session import DuckDBSession
from isomesh_dagster.engine.duckdb_statements import CAPABILITIES, MAKE_ROOM, is_full, short
from isomesh_dagster.errors import EngineError, LockedError
from isomesh_dagster.relation import literal, quote

if TYPE_CHECKING:
    from isomesh_dagster.config.connections import DuckDBCatalog, DuckDBConnection

MEMORY = ":memory:"

_NULL_TYPE = "legacy_disable_null_type"
_EXTERNAL = "enable_external_access"
_making = threading.Lock()
"""Who makes a file may remove it again: no other thread opens it before."""
_preparing = threading.Lock()
"""Connections of one process share what is set and attached: one at a time looks, and changes it."""
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

    capabilities = CAPABILITIES

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
        self._cursors: set[duckdb.DuckDBPyConnection] = set()
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
            with _preparing:
                default_catalog = self._prepare(settings)
                self._catalogs = DuckDBCatalogs(default_catalog, settings.path)
                self._catalogs.attach(self._parent)
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
        self._cursors.add(cursor)
        try:
            if self._has_catalogs:  # a cursor does not inherit USE
                cursor.execute(f"USE {quote(self._catalogs.default)}")
            yield DuckDBSession(cursor, database=self._database, catalogs=self._catalogs)
        finally:
            self._cursors.discard(cursor)
            cursor.close()

    def interrupt(self) -> None:
        """See `Connection`."""
        for cursor in tuple(self._cursors):
            with suppress(duckdb.Error):  # it may have been closed meanwhile
                cursor.interrupt()

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
                f", {quote(key)} {literal(value.get_secret_value())}" for key, value in secret.options.items()
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
    files to be loaded is open, and where catalogs are made for environments. DuckDB lets nobody open more for as
    long as the connection lives; what this process has open already is confined, and shared.
    """
    if parent.execute(f"SELECT current_setting('{_EXTERNAL}')").fetchone() == (False,):
        return
    folders, files = list(settings.allowed_paths), []
    folders += [f"{project / own}{os.sep}" for own in _OWN_FOLDERS]
    if settings.path is not None:
        folders.append(f"{environments_folder(settings.path)}{os.sep}")
    for secret in settings.secrets:
        folders += _SCHEMES.get(secret.type.lower(), ())
    for entry in sorted(project.iterdir()) if project.is_dir() else ():
        if entry.name.startswith(".") or entry.name.endswith(FOLDER_SUFFIX):
            continue
        if not entry.resolve().is_relative_to(project.resolve()):
            continue
        if entry.is_dir():
            folders.append(f"{entry}{os.sep}")
        elif entry.suffix.lower() in _READABLE:
            files.append(str(entry))
    for setting, values in (("allowed_directories", folders), ("allowed_paths", files)):
        parent.execute(f"SET {setting} = [{', '.join(literal(value) for value in values)}]")
    parent.execute(f"SET {_EXTERNAL} = false")


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
        except OSError as error:
            raise EngineError(
                f"the warehouse {file} cannot be locked: {error.strerror or error}",
                hint="it must be in a folder that you may write to, on a disk whose file system knows locks",
            ) from None
        else:
            with suppress(OSError):
                path.write_text(f"{os.getpid()}\n")
            return lock


def _holder(path: Path) -> str:
    with suppress(OSError):
        if text := path.read_text().strip():
            return f"process {text}"
    return "another process"


_CLOSING_SECONDS = 10.0  # how long closing a database, which may write much to its file, is waited for


def _connect(
    path: str, config: dict[str, Any], deadline: float, on_wait: Callable[[str], None] | None
) -> duckdb.DuckDBPyConnection:
    """Open the database; a program that does not know our lock (DuckDB's own shell) is waited for as well."""
    told, closed_by = False, time.monotonic() + _CLOSING_SECONDS
    while True:
        try:
            return _open(path, config)
        except duckdb.IOException as error:  # noqa: PERF203 (the loop is a wait)
            text = str(error)
            if not _is_locked(text):
                raise EngineError(f"cannot open the warehouse {path}: {short(text)}", hint=_mend(text)) from None
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
            # another thread closes it at this moment: DuckDB neither shares it any more nor has let go of the file
            if "already attached by database" in str(error) and time.monotonic() < min(deadline, closed_by):
                time.sleep(0.01)
                continue
            raise EngineError(
                f"cannot open the warehouse {path}: {short(str(error))}",
                hint="check connector_config of the gateway's connection"
                if "not recognized" in str(error)
                else "within one process a DuckDB file is opened with one and the same configuration",
            ) from None


_LOCKLESS = tuple(os.strerror(code) for code in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EINVAL))


def _open(path: str, config: dict[str, Any]) -> duckdb.DuckDBPyConnection:
    if path == MEMORY or Path(path).exists():
        return duckdb.connect(path, config=config)
    with _making:
        is_new = not Path(path).exists()
        if is_new and Path(f"{path}.wal").exists():
            raise EngineError(
                f"the warehouse {path} is gone, and its log {path}.wal is there",
                hint="put the file back beside its log, which holds what was committed last; or remove the log",
            )
        try:
            return duckdb.connect(path, config=config)
        except duckdb.Error as error:
            if is_new and not _is_locked(str(error)):
                _remove(path)  # on a full disk half a file stays, which nothing opens ever again
            raise


def _is_locked(text: str) -> bool:
    return "set lock" in text and not any(reason in text for reason in _LOCKLESS)


def _remove(path: str) -> None:
    for file in (path, f"{path}.wal"):
        with suppress(OSError):
            Path(file).unlink(missing_ok=True)


def _mend(text: str) -> str:
    if is_full(text):
        return MAKE_ROOM
    if "not a valid" in text or "enough bytes" in text:
        return "restore the file from a backup; one that was being made when its process died, and is empty, can go"
    if "set lock" in text:
        return "its file system knows no locks; put the warehouse on a local disk"
    return "check that it is a file that DuckDB made, and that you may write to it and to its folder"


# ---- small things ----------------------------------------------------------------------------------------


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
    return f"ATTACH IF NOT EXISTS {literal(target)} AS {quote(name)}{options}"


def _source(repository: str) -> str:
    """A repository's alias (`community`) bare, its address or folder in quotes."""
    return repository if repository.isidentifier() else literal(repository)


def _setting(value: Any) -> Any:
    return value if isinstance(value, bool | str | list) else str(value)
