"""Making and migrating the tables of a state.

Opening a state whose tables are current costs two small reads and does not load alembic. Tables are only ever made or
changed inside one transaction, alone, so a killed migration leaves what was there before.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, func, inspect, select
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.schema import CreateSchema, DropSchema

from isomesh_dagster.errors import StateError
from isomesh_dagster.relation import quote
from isomesh_dagster.state import tables
from isomesh_dagster.state.database import Database
from isomesh_dagster.state.protocol import Identity
from isomesh_dagster.state.rows import read_identity

MIGRATIONS = Path(__file__).parent / "migrations"


def revisions(folder: Path = MIGRATIONS) -> tuple[str, ...]:
    """The revisions this version knows, oldest first: what comes before the `_` in the names of the files."""
    return tuple(sorted(file.name.split("_", 1)[0] for file in (folder / "versions").glob("[0-9]*.py")))


def ensure(database: Database, *, folder: Path = MIGRATIONS) -> str:
    """Make the tables if the state is empty; the revision they have.

    Tables of an older revision are upgraded when nobody has used them yet (no stamp). Raises StateError, with nothing
    changed: older tables in use, newer tables, other tables in the way.
    """
    known = revisions(folder)
    with database.read() as connection:
        found = _revision(connection, database)
    if found == known[-1]:
        return found
    with database.write() as connection:
        found = _revision(connection, database)  # again: somebody may have been first
        if found == known[-1]:
            return found
        if found is not None:
            _refuse_newer(found, known, database)
            if connection.scalar(select(tables.system.c.uuid)) is not None:
                raise StateError(
                    f"state {database.place}: its tables have revision {found}, this version needs {known[-1]}",
                    hint="run `isomesh migrate`; it makes a backup first",
                )
        _move(connection, database, folder, known[-1])
    return known[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """What a migration did: the revision before (None: there were no tables) and after, and where the backup is (None:
    none was made, because nothing was to do or none was asked for).
    """

    before: str | None
    after: str
    backup: str | None = None


def migrate(database: Database, *, backup: bool = True, to: str | None = None, folder: Path = MIGRATIONS) -> Migrated:
    """Bring the tables to the newest revision, or to `to`: back to an older one too, for an older version of us.

    The backup is a file beside the SQLite file, or a schema beside the Postgres one, whose name tells the revision it
    has; to go back without `to`, put it in the place of the migrated one. No other writer comes between the backup and
    the migration. Raises StateError when the tables are newer than this version, or `to` is not known.
    """
    known = revisions(folder)
    wanted = known[-1] if to is None else to
    if wanted not in known:
        raise StateError(f"there is no revision {wanted!r}", hint=f"this version knows {', '.join(known)}")
    with database.write() as connection:
        found = _revision(connection, database)
        if found == wanted:
            return Migrated(before=found, after=wanted)
        made = None
        if found is not None:
            _refuse_newer(found, known, database)
            if backup:
                made = back_up(connection, database, found)
        is_back = found is not None and known.index(wanted) < known.index(found)
        _move(connection, database, folder, wanted, is_back=is_back)
    return Migrated(before=found, after=wanted, backup=made)


def stamp_of(database: Database) -> Identity | None:
    """Whose state it is, whatever revision its tables have; None when nobody has used it yet."""
    with database.read() as connection:
        return read_identity(connection) if _revision(connection, database) is not None else None


def remove(database: Database, *, with_schema: bool) -> None:
    """Drop the tables of a state in which nothing is recorded, all or nothing, then close it and remove what held them:
    the SQLite file or, `with_schema`, the Postgres schema unless something else is in it. Backups stay.

    Raises StateError, with nothing changed, when environments, plans that are open or snapshots are recorded.
    """
    with database.write() as connection:
        open_plans = select(func.count()).select_from(tables.plans).where(tables.plans.c.status == "open")
        counts = [select(func.count()).select_from(table) for table in (tables.environments, tables.snapshots)]
        if any(connection.scalar(counted) for counted in (*counts, open_plans)):
            raise StateError(
                f"state {database.place}: another process uses it right now",
                hint="end what uses this gateway, then `isomesh destroy` again",
            )
        tables.metadata.drop_all(connection)
        tables.version.drop(connection)
        if with_schema and database.schema is not None:
            schema = inspect(connection)
            held = (schema.get_table_names, schema.get_view_names, schema.get_sequence_names)
            if not any(names(schema=database.schema) for names in held):
                connection.execute(DropSchema(database.schema))
    database.close()
    if database.path is not None:
        for suffix in ("", "-wal", "-shm"):
            Path(f"{database.path}{suffix}").unlink(missing_ok=True)


def check(connection: Connection, database: Database, revision: str) -> None:
    """Raise StateError when somebody migrated the tables since this process found them at `revision`."""
    found = connection.scalar(select(tables.version.c.version_num))
    if found != revision:
        raise StateError(
            f"state {database.place}: its tables were migrated from revision {revision} to {found} meanwhile",
            hint="start again, with the version of isomesh-dagster that migrated them",
        )


def _revision(connection: Connection, database: Database) -> str | None:
    """The revision of the tables; None when there are none."""
    there = set(inspect(connection).get_table_names(schema=database.schema))
    if tables.version.name in there and "system" in there:
        rows = connection.scalars(select(tables.version.c.version_num)).all()
        if len(rows) == 1:
            return str(rows[0])
        raise StateError(
            f"state {database.place}: it does not tell the revision of its tables", hint="restore it from a backup"
        )
    # A SQLite file is ours alone; a schema may hold others' tables, as long as no name is taken.
    in_the_way = sorted(there if database.path is not None else there & {*tables.metadata.tables, tables.version.name})
    if in_the_way:
        raise StateError(
            f"state {database.place}: it holds other tables: {', '.join(in_the_way[:5])}",
            hint="give the state a file or schema of its own: state_connection, state_schema",
        )
    return None


def _refuse_newer(found: str, known: tuple[str, ...], database: Database) -> None:
    if found not in known:
        raise StateError(
            f"state {database.place}: its tables have revision {found}, this version knows up to {known[-1]}",
            hint="a newer isomesh-dagster made it; install that version",
        )


def _move(connection: Connection, database: Database, folder: Path, to: str, *, is_back: bool = False) -> None:
    from alembic import command
    from alembic.config import Config

    if database.schema is not None:
        # asked first: to make one takes a right, also where it is there already
        if database.schema not in inspect(connection).get_schema_names():
            connection.execute(CreateSchema(database.schema, if_not_exists=True))
        # Revisions name no schema, so that one text serves all states.
        connection.execute(select(func.set_config("search_path", quote(database.schema), True)))
    config = Config()
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    (command.downgrade if is_back else command.upgrade)(config, to)


def back_up(connection: Connection, database: Database, revision: str) -> str:
    """Copy the state beside itself, inside the caller's transaction that writes; where the copy is."""
    if database.path is not None:
        return _back_up_file(database.path, revision)
    assert database.schema is not None
    there = inspect(connection)
    schemas = set(there.get_schema_names())
    # one that is there and empty was made for it, by somebody who may
    name = _free(
        f"{database.schema[:40]}_backup_{revision}",
        lambda candidate: candidate in schemas and bool(there.get_table_names(schema=candidate)),
    )
    if name not in schemas:
        _make_schema(connection, database, name)
    for table in there.get_table_names(schema=database.schema):
        copy, source = (f"{quote(schema)}.{quote(table)}" for schema in (name, database.schema))
        connection.exec_driver_sql(f"CREATE TABLE {copy} AS TABLE {source}")
    return name


def _make_schema(connection: Connection, database: Database, name: str) -> None:
    try:
        with connection.begin_nested():
            connection.execute(CreateSchema(name))
    except ProgrammingError as error:
        user = connection.scalar(select(func.current_user()))
        raise StateError(
            f"state {database.place}: a backup goes into the schema {name!r}, which this user may not make",
            hint=f"as an administrator: CREATE SCHEMA {quote(name)} AUTHORIZATION {quote(str(user))}; or keep what"
            " `isomesh state export` writes, and go on without a backup",
        ) from error


def _free(name: str, taken: Callable[[str], bool]) -> str:
    """`name`, or `name_2`, `name_3`, …: an earlier backup is never written over."""
    candidate, number = name, 1
    while taken(candidate):
        number += 1
        candidate = f"{name}_{number}"
    return candidate


def _back_up_file(path: Path, revision: str) -> str:
    import sqlite3

    name = _free(f"{path}.backup_{revision}", lambda candidate: Path(candidate).exists())
    # A connection of its own reads what was committed, while the caller's transaction keeps writers out.
    source = sqlite3.connect(path)
    part = Path(f"{name}.part")
    try:
        part.unlink(missing_ok=True)
        target = sqlite3.connect(part)
        try:
            source.backup(target)
        finally:
            target.close()
        part.replace(name)
    except (sqlite3.Error, OSError) as error:
        raise StateError(
            f"state {path}: the backup {name} failed: {error}", hint="make room for it, or migrate without a backup"
        ) from error
    finally:
        source.close()
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return name
