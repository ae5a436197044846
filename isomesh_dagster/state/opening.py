"""Opening the state of a system where it is: a SQLite file, or a schema in Postgres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from isomesh_dagster.state.database import Database, open_postgres, open_sqlite
from isomesh_dagster.state.store import SqlStateStore


def open_state(location: str | Path | Mapping[str, Any], *, schema: str | None = None) -> SqlStateStore:
    """The state at `location`, its tables made if it is new.

    `location` is the path of a SQLite file, made with its folder (`:memory:` for a state that ends with this store); or
    the arguments of `database.open_postgres` (host,
    port, user, password, database, …), where `schema` (default `isomesh`) is the schema that holds the state. Raises
    StateError when the place cannot be opened, is no state, or has tables of another version; nothing is changed then.
    """
    database = open_database(location, schema=schema)
    try:
        return SqlStateStore(database)
    except BaseException:
        database.close()
        raise


@contextmanager
def opened(location: str | Path | Mapping[str, Any], *, schema: str | None = None) -> Iterator[Database]:
    """The database at `location` as it is, whatever its tables are; closed at the end. See `open_state`."""
    database = open_database(location, schema=schema)
    try:
        yield database
    finally:
        database.close()


def open_database(location: str | Path | Mapping[str, Any], *, schema: str | None = None) -> Database:
    """The database at `location` as it is; see `open_state`."""
    if isinstance(location, Mapping):
        arguments = dict(location) if schema is None else {**location, "schema": schema}
        return open_postgres(**arguments)
    return open_sqlite(Path(location))
