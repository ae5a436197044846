"""DuckDB, catalogs: the databases that are attached, and the files of those that we make for environments.

A catalog that we make for the warehouse `w.db` is called `w__…` and lives in `w.db.environments/w__….db`; beside a
warehouse in memory it is in memory, too. What is in that folder is attached whenever the warehouse is opened, and goes
when nothing is in it. Who holds the warehouse's lock holds these files as well.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import duckdb

from isomesh_dagster.errors import EngineError
from isomesh_dagster.relation import literal, quote

FOLDER_SUFFIX = ".environments"
_MEMORY = ":memory:"


class DuckDBCatalogs:
    """What is attached to an open warehouse whose file is `path` (None: in memory), shared by its sessions.

    `default` is the database that is written to where nothing else is said, `names` are those known here, in lower
    case; another connection of this process may have attached more.
    """

    def __init__(self, default: str, path: Path | None) -> None:
        self.default = default
        self.names: set[str] = set()
        self._folder = None if path is None else environments_folder(path)

    def attach(self, parent: duckdb.DuckDBPyConnection) -> None:
        """Look what is attached, and attach what we have made; other files in the folder are nobody's. Raises
        EngineError.
        """
        self.names.update(name.lower() for name in _attached(parent))
        for file in sorted(self._folder.glob("*.db")) if self._folder is not None else ():
            if file.stem.lower() not in self.names and self._is_ours(file.stem):
                self.create(parent, file.stem)
                self.drop_if_empty(parent, file.stem)  # left by who was killed between two steps

    def create(self, cursor: duckdb.DuckDBPyConnection, catalog: str) -> None:
        """Attach it, as a new database when there is none. Raises EngineError."""
        if catalog.lower() in (name.lower() for name in _attached(cursor)):
            return
        if not self._is_ours(catalog):
            raise EngineError(
                f"no catalog {catalog!r} is attached to the warehouse",
                hint="name it under `catalogs` of the gateway's connection",
            )
        if self._folder is not None:
            self._folder.mkdir(exist_ok=True)
        target = _MEMORY if self._folder is None else str(self._file(catalog))
        try:
            cursor.execute(f"ATTACH IF NOT EXISTS {literal(target)} AS {quote(catalog)}")
        except duckdb.Error as error:
            raise EngineError(
                f"cannot attach the catalog {catalog!r}: {str(error).splitlines()[0][:200]}",
                hint="close the program that has its file open, if there is one",
            ) from None
        self.names.add(catalog.lower())

    def drop_if_empty(self, cursor: duckdb.DuckDBPyConnection, catalog: str) -> None:
        """Detach it and remove its file, unless something is in it or we have not made it. Raises EngineError."""
        if not self._is_ours(catalog):
            return
        try:
            there = cursor.execute(
                "SELECT 1 FROM (SELECT database_name FROM duckdb_tables() "
                "UNION ALL SELECT database_name FROM duckdb_views() WHERE NOT internal) "
                "WHERE lower(database_name) = lower(?) LIMIT 1",
                [catalog],
            ).fetchall()
            path = {name.lower(): path for name, path in _attached(cursor).items()}.get(catalog.lower())
            if there or path != (None if self._folder is None else str(self._file(catalog))):
                return
            cursor.execute(f"DETACH {quote(catalog)}")
        except duckdb.Error as error:
            raise EngineError(f"cannot detach the catalog {catalog!r}: {str(error).splitlines()[0][:200]}") from None
        self.names.discard(catalog.lower())
        if self._folder is not None:
            file = self._file(catalog)
            for one in (file.with_name(f"{file.name}.wal"), file):
                one.unlink(missing_ok=True)
            with suppress(OSError):  # others are in it
                self._folder.rmdir()

    def is_alone(self, cursor: duckdb.DuckDBPyConnection) -> bool:
        """Whether the default catalog is the only one."""
        return len(_attached(cursor)) == 1

    def _is_ours(self, catalog: str) -> bool:
        return catalog.lower().startswith(f"{self.default}__".lower())

    def _file(self, catalog: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{catalog}.db"


def _attached(cursor: duckdb.DuckDBPyConnection) -> dict[str, str | None]:
    """The path of each database that is attached, by name; None: in memory."""
    rows = cursor.execute("SELECT database_name, path FROM duckdb_databases() WHERE NOT internal").fetchall()
    return {str(name): path for name, path in rows}


def environments_folder(path: Path) -> Path:
    """Where the catalogs are that we make for the warehouse of that file."""
    return path.with_name(path.name + FOLDER_SUFFIX)
