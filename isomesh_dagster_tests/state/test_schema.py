"""Making, recognising and migrating the tables."""

import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, func, inspect, select, update
from sqlalchemy.engine import URL

from isomesh_dagster.errors import StateError
from isomesh_dagster.state import tables
from isomesh_dagster.state.database import Database
from isomesh_dagster.state.opening import open_database, open_state
from isomesh_dagster.state.protocol import Identity
from isomesh_dagster.state.schema import MIGRATIONS, ensure, migrate, revisions
from isomesh_dagster.state.store import SqlStateStore
from isomesh_dagster_tests.disks import files_of_at_most
from isomesh_dagster_tests.postgres_server import PostgresServer
from isomesh_dagster_tests.state.conftest import Location
from isomesh_dagster_tests.state.examples import days, migrated, plan, promote, snapshot
from isomesh_dagster_tests.state.forks import fork, wait

STAMP = Identity(uuid="1", gateway="prod", project="shop")
NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{down}"


def upgrade():
    with op.batch_alter_table("plans") as batch:
        batch.add_column(sa.Column("author", sa.Text, nullable=False, server_default="somebody"))
        batch.alter_column("document", nullable=True)
    op.create_index("plans_author_ix", "plans", ["author"])
{more}


def downgrade():
    op.drop_index("plans_author_ix", "plans")
    with op.batch_alter_table("plans") as batch:
        batch.alter_column("document", nullable=False)
        batch.drop_column("author")
"""


@pytest.fixture
def database(location: Location) -> Iterator[Database]:
    database = open_database(location)
    yield database
    database.close()


def with_next(folder: Path, more: str = "") -> Path:
    """The packaged revisions and one more."""
    shutil.copytree(MIGRATIONS, folder)
    (folder / "versions" / "9999_next.py").write_text(NEXT.format(down=revisions()[-1], more=more))
    return folder


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    return with_next(tmp_path / "migrations with 100% and a space")


def plan_columns(database: Database) -> set[str]:
    with database.read() as connection:
        return {column["name"] for column in inspect(connection).get_columns("plans", schema=database.schema)}


def all_rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """Whatever tables there are, each with its rows."""
    with database.read() as connection:
        names = inspect(connection).get_table_names(schema=database.schema)
        prefix = f"{database.schema}." if database.schema is not None else ""
        found = {name: connection.exec_driver_sql(f"SELECT * FROM {prefix}{name}").all() for name in names}
    return {name: sorted((tuple(row) for row in rows), key=str) for name, rows in found.items()}


def test_a_new_state_is_made_with_its_folder_or_schema(empty_location: Location) -> None:
    with open_state(empty_location) as store:
        assert store.identity() is None
    with open_state(empty_location) as store:
        store.stamp(STAMP)
    with open_state(empty_location) as store:
        assert store.identity() == STAMP


def test_revisions_are_one_line_that_alembic_sees_too() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    script = ScriptDirectory.from_config(config)
    assert tuple(reversed([revision.revision for revision in script.walk_revisions()])) == revisions()
    assert script.get_heads() == [revisions()[-1]]


def test_migrations_make_the_tables_that_the_code_uses(location: Location) -> None:
    if isinstance(location, Path):
        engine = create_engine(f"sqlite:///{location}")
    else:
        url = URL.create(
            "postgresql+psycopg2",
            username=location["user"],
            password=location.get("password"),
            host=location["host"],
            port=location["port"],
            database=location["database"],
        )
        engine = create_engine(url, connect_args={"options": "-c search_path=isomesh"})
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
        checks = {
            check["name"]
            for name in tables.metadata.tables
            for check in inspect(connection).get_check_constraints(name)
        }
    engine.dispose()
    assert checks == {
        "system_one_row_ck",
        "snapshots_status_ck",
        "intervals_not_empty_ck",
        "due_again_not_empty_ck",
        "plans_status_ck",
    }


def test_alembic_is_not_loaded_for_current_tables_nor_sqlalchemy_for_the_port(sqlite_template: Path) -> None:
    code = f"""
import sys
import isomesh_dagster.state.protocol
assert "sqlalchemy" not in sys.modules
from isomesh_dagster.state.opening import open_state
with open_state({str(sqlite_template)!r}) as store:
    assert store.environments() == []
assert "alembic" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_newer_tables_are_refused(database: Database, location: Location) -> None:
    with database.write() as connection:
        connection.execute(update(tables.version).values(version_num="7777"))
    for attempt in (open_state, migrated):
        with pytest.raises(StateError, match="7777") as caught:
            attempt(location)
        assert "newer isomesh-dagster" in str(caught.value)


def test_older_tables_in_use_wait_for_migrate(database: Database, newer: Path) -> None:
    SqlStateStore(database).stamp(STAMP)
    with pytest.raises(StateError, match="9999") as caught:
        ensure(database, folder=newer)
    assert "`isomesh migrate`" in str(caught.value)
    assert "author" not in plan_columns(database)


def test_older_tables_that_nobody_used_are_upgraded(database: Database, newer: Path) -> None:
    assert ensure(database, folder=newer) == "9999"
    assert "author" in plan_columns(database)


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
def test_migrate_makes_a_backup_beside_the_file(database: Database, location: Path, newer: Path) -> None:
    store = SqlStateStore(database)
    store.stamp(STAMP)
    record = promote(store, "p1", snapshot())
    (location.parent / f"state.db.backup_{revisions()[-1]}").write_text("an older backup")
    made = migrate(database, folder=newer).backup
    assert made == f"{location}.backup_{revisions()[-1]}_2"
    assert "author" in plan_columns(database)
    with open_state(made) as backup:
        assert backup.identity() == STAMP
        assert backup.environments()[0].target == record.target
    again = migrate(database, folder=newer)
    assert (again.before, again.after, again.backup) == ("9999", "9999", None), "nothing to do"


@pytest.mark.parametrize("location", ["postgres"], indirect=True)
def test_migrate_makes_a_backup_beside_the_schema(database: Database, location: Location, newer: Path) -> None:
    store = SqlStateStore(database)
    store.stamp(STAMP)
    record = promote(store, "p1", snapshot())
    made = migrate(database, folder=newer).backup
    assert made == f"isomesh_backup_{revisions()[-1]}"
    assert "author" in plan_columns(database)
    with open_state(location, schema=made) as backup:
        assert backup.identity() == STAMP
        assert backup.environments()[0].target == record.target


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
def test_a_backup_that_does_not_fit_leaves_nothing(database: Database, location: Path, newer: Path) -> None:
    store = SqlStateStore(database)
    store.stamp(STAMP)
    before = {file.name for file in location.parent.iterdir()}
    with files_of_at_most(2 * 4096), pytest.raises(StateError, match="backup") as caught:
        migrate(database, folder=newer)
    assert "make room" in str(caught.value)
    assert {file.name for file in location.parent.iterdir()} == before, "half a backup would be taken for one"
    assert store.identity() == STAMP
    assert migrate(database, folder=newer).backup is not None


def test_migrate_without_a_backup_keeps_the_rows(database: Database, newer: Path) -> None:
    store = SqlStateStore(database)
    record = promote(store, "p1", snapshot())
    assert migrate(database, backup=False, folder=newer).backup is None
    assert store.environments()[0].target == record.target, "added columns do not disturb readers"


def test_migrate_goes_back_with_the_rows(database: Database, newer: Path) -> None:
    store = SqlStateStore(database)
    store.stamp(STAMP)
    record = promote(store, "p1", snapshot())
    before, plans = plan_columns(database), store.plans()
    migrate(database, backup=False, folder=newer)
    back = migrate(database, backup=False, to=revisions()[-1], folder=newer)
    assert (back.before, back.after) == ("9999", revisions()[-1])
    assert plan_columns(database) == before
    assert SqlStateStore(database).plans() == plans
    assert store.environments()[0].target == record.target
    with pytest.raises(StateError, match="no revision '7777'"):
        migrate(database, to="7777", folder=newer)


def test_migrate_makes_a_new_state_too(empty_location: Location) -> None:
    assert migrated(empty_location).before is None
    with open_state(empty_location) as store:
        assert store.environments() == []


def test_a_failed_migration_changes_nothing(database: Database, tmp_path: Path) -> None:
    failing = with_next(tmp_path / "failing", more='    op.execute("SELECT no_such_function_anywhere()")')
    store = SqlStateStore(database)
    store.stamp(STAMP)
    before = plan_columns(database)
    with pytest.raises(StateError, match="no_such_function_anywhere"):
        migrate(database, folder=failing)
    assert plan_columns(database) == before
    with database.read() as connection:
        assert connection.scalar(select(tables.version.c.version_num)) == revisions()[-1]
        schemas = inspect(connection).get_schema_names()
    assert not [name for name in schemas if "backup" in name]
    assert store.identity() == STAMP


@pytest.mark.parametrize("is_back", [False, True])
def test_a_migration_that_is_killed_changes_nothing(database: Database, tmp_path: Path, is_back: bool) -> None:
    store = SqlStateStore(database)
    store.stamp(STAMP)
    record = promote(store, "p1", snapshot())
    kill = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    folder = with_next(tmp_path / "migrations")
    last = folder / "versions" / "9999_next.py"
    if is_back:
        migrate(database, backup=False, folder=folder)
    text = last.read_text()
    last.write_text(text.replace("\n\ndef downgrade", f"    {kill}\n\ndef downgrade") + f"    {kill}\n")
    before, columns = all_rows(database), plan_columns(database)
    database.close()
    to = revisions()[-1] if is_back else None
    assert wait(fork(lambda: migrate(database, backup=False, to=to, folder=folder))) == -signal.SIGKILL
    assert (all_rows(database), plan_columns(database)) == (before, columns)
    last.write_text(text)
    migrate(database, backup=False, to=to, folder=folder)
    assert store.environments()[0].target == record.target


@pytest.mark.parametrize("revision", revisions()[:-1])
def test_every_older_revision_is_reached_and_left_with_the_rows(database: Database, revision: str) -> None:
    store = SqlStateStore(database)
    store.stamp(STAMP)
    for number in range(3):
        promote(store, f"p{number}", snapshot(files=str(number)), snapshot("shop.t"), when=number)
        store.add_intervals({str(snapshot("shop.t").physical): [days(2 * number, 2 * number + 1)]})
    before = all_rows(database)
    migrate(database, backup=False, to=revision)
    older = all_rows(database)
    with pytest.raises(StateError, match=f"revision {revision}, this version needs {revisions()[-1]}"):
        ensure(database)
    assert all_rows(database) == older, "refused, and nothing changed"
    migrate(database, backup=False)
    assert all_rows(database) == before


def test_a_process_that_was_running_during_a_migration_stops_writing(database: Database, newer: Path) -> None:
    store = SqlStateStore(database)
    store.stamp(STAMP)
    migrate(database, backup=False, folder=newer)
    with pytest.raises(StateError, match="migrated from revision"):
        store.open_plan(plan("p1"), [])
    assert store.plan("p1") is None


def test_two_schemas_of_a_database_are_two_states(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as database:
        with open_state(database, schema="Alice") as alice, open_state(database, schema="bob") as bob:
            alice.stamp(STAMP)
            promote(alice, "p1", snapshot())
            assert bob.identity() is None
            assert bob.environments() == []
        with open_state(database) as third:
            assert third.environments() == []


def test_others_tables_in_a_schema_are_left_alone(postgres_server: PostgresServer) -> None:
    with postgres_server.database() as location:
        connection = postgres_server.connect(location["database"])
        cursor = connection.cursor()
        cursor.execute("CREATE SCHEMA shared; CREATE TABLE shared.orders (id int); CREATE SCHEMA taken")
        cursor.execute("CREATE TABLE taken.plans (id int)")
        with open_state(location, schema="shared") as store:
            assert store.environments() == []
        with pytest.raises(StateError, match="plans") as caught:
            open_state(location, schema="taken")
        assert "state_schema" in str(caught.value)
        cursor.execute("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'taken'")
        assert cursor.fetchone() == (1,)
        connection.close()


def test_a_version_table_without_a_version_is_refused(database: Database, location: Location) -> None:
    with database.write() as connection:
        connection.execute(tables.version.delete())
        assert connection.scalar(select(func.count()).select_from(tables.version)) == 0
    with pytest.raises(StateError, match="does not tell the revision"):
        open_state(location)


def test_a_file_of_somebody_else_is_refused_and_not_changed(tmp_path: Path) -> None:
    file = tmp_path / "theirs.sqlite"
    connection = sqlite3.connect(file)
    connection.executescript("CREATE TABLE theirs (a)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(StateError, match="other tables"), open_state(file) as state:
        state.environments()
    assert file.read_bytes() == before
