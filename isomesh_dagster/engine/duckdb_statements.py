"""DuckDB, statements: running them, data frames in and out, transactions and claims, the driver's errors.

A claim is a lock of this process: one process has the file.
"""

from __future__ import annotations

import errno
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import duckdb

from isomesh_dagster.engine import frames
from isomesh_dagster.engine.connection import Capabilities, Lead
from isomesh_dagster.engine.duckdb_catalogs import DuckDBCatalogs
from isomesh_dagster.engine.transactions import refuse_end
from isomesh_dagster.errors import EngineError, ModelError, WriteConflict
from isomesh_dagster.relation import Relation, quote

CAPABILITIES = Capabilities(dialect="duckdb")
_MOVES = re.compile(
    r"(?:[\s;]|--[^\n]*\n|/\*.*?\*/)*(?:USE|SET\s+(?:SESSION\s+|LOCAL\s+|GLOBAL\s+)?(?:schema|search_path))\b",
    re.IGNORECASE | re.DOTALL,
)
"""What may change which catalog names mean."""
_CONFINED = (
    "SQL may use the project's own visible folders; allow more in config.yaml, in the gateway's connection:"
    " `allowed_paths: [folder, 's3://bucket/']`, or `external_access: true` for everything"
)


class DuckDBStatements:
    """One thread's cursor: the part of `Session` that knows of no relation."""

    capabilities = CAPABILITIES

    def __init__(self, cursor: duckdb.DuckDBPyConnection, *, database: str, catalogs: DuckDBCatalogs) -> None:
        self._cursor = cursor
        self._database = database
        self._catalogs = catalogs
        self._in_transaction = False

    @property
    def default_catalog(self) -> str:
        """The database that is written to where nothing else is said."""
        return self._catalogs.default

    # ---- statements --------------------------------------------------------------------------------------

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int | None:
        """Run one statement; the number of rows it wrote where DuckDB tells, else None. EngineError for one that would
        end the transaction it is in.
        """
        if self._in_transaction:
            refuse_end(sql)
        count = row_count(self._run(sql, parameters))
        if _MOVES.match(sql):
            self._check_catalog()
        return count

    def _check_catalog(self) -> None:
        """Raises EngineError when another catalog than the default one is what names without a catalog mean now: ours
        are written so, and would be another system's, if its warehouse is attached.
        """
        ((current,),) = self.fetch("SELECT current_database()")
        if current != self.default_catalog:
            self._run(f"USE {quote(self.default_catalog)}")
            raise EngineError(
                f"a statement made {current!r} the catalog in use, where isomesh's own tables are not",
                hint=f"leave it out, and name tables in full: {current}.schema.table",
            )

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one query and return all rows."""
        try:
            rows: list[tuple[Any, ...]] = self._run(sql, parameters).fetchall()
        except duckdb.Error as error:
            raise engine_error(error, sql) from None
        return rows

    def knows_setting(self, name: str) -> bool:
        """Whether DuckDB has a setting of that name."""
        return bool(self.fetch("SELECT 1 FROM duckdb_settings() WHERE lower(name) = ?", [name.lower()]))

    def fetch_table(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run one query; column names and all rows."""
        try:
            result = self._run(sql)
            return [column[0] for column in result.description or ()], result.fetchall()
        except duckdb.Error as error:
            raise engine_error(error, sql) from None

    def query_columns(self, query: str) -> list[tuple[str, str]]:
        """Name and type of each column that a table made by the query would have."""
        # DESCRIBE would tell the query's own types, of which a table has not all
        self._run(
            f"CREATE OR REPLACE TEMPORARY TABLE _isomesh_shape AS\nSELECT * FROM (\n{query}\n) AS _rows\nWHERE 1 = 0"
        )
        columns = self.fetch("DESCRIBE temp._isomesh_shape")
        self._run("DROP TABLE temp._isomesh_shape")
        return [(row[0], row[1]) for row in columns]

    def _run(self, sql: str, parameters: Sequence[Any] = ()) -> duckdb.DuckDBPyConnection:
        try:
            return self._cursor.execute(sql, list(parameters)) if parameters else self._cursor.execute(sql)
        except duckdb.Error as error:
            raise engine_error(error, sql) from None
        except RuntimeError as error:
            if str(error) == "Query interrupted":  # what DuckDB makes of the KeyboardInterrupt of a main thread
                raise KeyboardInterrupt from None
            raise

    # ---- data frames -------------------------------------------------------------------------------------

    def fetch_frame(self, sql: str, library: str) -> Any:
        """Run one query; its rows as a data frame of `library`: pandas, polars or pyarrow."""
        frames.need_installed(library)
        try:
            result = self._cursor.sql(sql)
            if result is None:
                raise EngineError("the statement returns no rows", hint="write a query")
            table = result.df() if library == "pandas" else result.to_arrow_table()
        except duckdb.Error as error:
            raise engine_error(error) from None
        if library != "polars":
            return table
        import polars

        return polars.from_arrow(table)

    @contextmanager
    def frame(self, frame: Any) -> Iterator[str]:
        """A data frame as a relation of this session; its SQL name."""
        frames.need_installed(type(frame).__module__.partition(".")[0])
        name = frames.new_name("frame")
        try:
            self._cursor.register(name, frame)
        except (duckdb.InvalidInputException, TypeError):
            raise ModelError(f"{type(frame).__name__} is no data frame with columns") from None
        except duckdb.Error as error:
            raise engine_error(error) from None
        try:
            yield quote(name)
        finally:
            with suppress(duckdb.Error):  # after a failed statement; the name goes with the session then
                self._cursor.unregister(name)

    # ---- transactions ------------------------------------------------------------------------------------

    def leading(self, claim: str) -> AbstractContextManager[Lead]:
        """Not here: a statement of DuckDB uses all cores already."""
        raise EngineError("claims are not shared on DuckDB")

    def claim(self, name: str) -> None:
        """Not here, as no claim is shared."""
        raise EngineError("claims are not shared on DuckDB")

    def transaction(self, claim: str | None = None, lead: Lead | None = None) -> AbstractContextManager[None]:
        """All or nothing: commits at the end, rolls back on any exception. Not nested.

        `claim` is a name that one transaction on this database holds at a time; the others wait before they begin.
        """
        if claim is None:
            return self._transaction()
        return self._claimed_transaction(claim)

    def reading(self, _relations: Sequence[Relation]) -> AbstractContextManager[None]:
        """See `Session`: every transaction sees one moment."""
        return self._transaction()

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

    @contextmanager
    def swapping(self, views: Sequence[Relation], claim: str) -> Iterator[tuple[str, ...]]:
        """A transaction with a claim; readers never wait for it, nor it for them. There is nothing to tell."""
        with self.transaction(claim):
            yield ()


# ---- claims ----------------------------------------------------------------------------------------------

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


# ---- errors ----------------------------------------------------------------------------------------------

MAKE_ROOM = "make room on the disk, then run the same command again: what is finished is kept"
_FULL = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def is_full(text: str) -> bool:
    """Whether this is what DuckDB says when a file cannot grow."""
    return any(reason in text for reason in _FULL)


def engine_error(error: duckdb.Error, sql: str | None = None) -> EngineError:
    """The driver's error as ours: the message without the whole text of the statement `sql`."""
    text = str(error)
    if isinstance(error, duckdb.PermissionException) and "disabled" in text:
        return EngineError(short(text), hint=_CONFINED)
    if is_full(text):
        return EngineError(short(text), hint=MAKE_ROOM)
    lost_race = isinstance(error, duckdb.TransactionException) and ("conflict" in text.lower() or "PRIMARY KEY" in text)
    ours = (WriteConflict if lost_race else EngineError)(short(text))
    ours.is_syntax = isinstance(error, duckdb.ParserException)
    if sql is not None and (excerpt := _EXCERPT.search(text)) is not None:
        ours.statement, ours.spot = sql, _spot(sql, excerpt)
    return ours


_EXCERPT = re.compile(r"^(?P<head>LINE (?P<line>\d+): )(?P<text>.*)\n(?P<before> *)(?P<mark>\^+)\s*\Z", re.MULTILINE)


def _spot(sql: str, excerpt: re.Match[str]) -> tuple[int, int] | None:
    """Where in the statement DuckDB points: it quotes a line, or a part of it between dots, with a mark below."""
    lines = sql.splitlines(keepends=True)
    number = int(excerpt["line"])
    column = len(excerpt["before"]) - len(excerpt["head"])
    quoted = excerpt["text"]
    # the mark is placed by width, so that it is sure only where every character before it is one wide
    is_plain = all(letter.isascii() and letter.isprintable() for letter in quoted[: max(column, 0)])
    if column < 0 or number > len(lines) or not is_plain:
        return None
    line = lines[number - 1]
    left = 0 if line.startswith(quoted[: column + 1]) else 3 * quoted.startswith("...")
    right = len(quoted) if line.rstrip("\r\n").endswith(quoted[left:]) else len(quoted.removesuffix("..."))
    piece = quoted[left:right]
    if column < left or line.count(piece) != 1:
        return None
    start = sum(map(len, lines[: number - 1])) + line.index(piece) + column - left
    return start, start + len(excerpt["mark"])


def short(text: str) -> str:
    """At most a dozen lines of two hundred characters."""
    lines = [line.rstrip()[:200] for line in text.strip().splitlines()]
    return "\n".join(line for line in lines[:12] if line)


# ---- small things ----------------------------------------------------------------------------------------


def row_count(result: duckdb.DuckDBPyConnection) -> int | None:
    """The number of rows that INSERT, DELETE, UPDATE and CREATE TABLE AS answer with."""
    description = result.description
    if description is None or len(description) != 1 or description[0][0] != "Count":
        return None
    row = result.fetchone()
    return None if row is None else int(row[0])
