"""DuckDB speaks the protocol: values, transactions, locks, and no secret in an error."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest

from isomesh_dagster.config.connections import DuckDBConnection
from isomesh_dagster.engine import open_connection
from isomesh_dagster.errors import EngineError, LockedError, WriteConflict
from isomesh_dagster.relation import Relation

T = Relation(schema="s", name="t")


def test_tables_views_and_counts(session):
    assert session.replace_table(T, "SELECT * FROM range(5) AS r(a)") == 5
    assert session.insert(T, "SELECT 9 AS b, 7 AS a", ["a"]) == 1
    assert session.columns(T) == [("a", "BIGINT")]
    view = Relation(schema="s", name="v")
    session.replace_view(view, "SELECT a FROM s.t WHERE a = 7")
    session.replace_view(view, "SELECT a AS renamed FROM s.t WHERE a = 7 -- the end")
    assert session.fetch_table('SELECT * FROM "s"."v"') == (["renamed"], [(7,)])
    assert session.list_relations("s") == [("t", "table"), ("v", "view")]
    assert session.exists(view)
    assert session.exists(T)
    session.drop(view, view=True)
    session.drop(view, view=True)
    assert not session.exists(view)
    assert session.columns(view) == []
    session.drop_schema_if_empty("s")
    assert session.list_relations("s") == [("t", "table")]
    session.drop(T, view=False)
    session.drop_schema_if_empty("s")
    with pytest.raises(EngineError):
        session.execute("CREATE TABLE s.t (a INT)")


def test_a_table_is_made_by_its_columns_and_filled_in_one_transaction(session):
    columns = [("a b", "BIGINT"), ("s", 'STRUCT("x y" INTEGER, l VARCHAR[])'), ("e", "ENUM('one', 'two')")]
    session.replace_table(T, "SELECT 1 AS old")
    with session.transaction():
        session.create_table(T, columns)
        assert session.columns(T)[0] == ("a b", "BIGINT")
        session.create_table(T, [*session.columns(T), ("v", "BIGINT")])
        # as many rows as go to the file before the transaction ends
        session.insert(T, "SELECT r AS v FROM range(130_000) AS t(r)", ["v"])
        assert session.fetch("SELECT COUNT(*) FROM s.t WHERE v >= 0") == [(130_000,)]
    assert session.fetch("SELECT COUNT(*) FROM s.t WHERE v >= 0") == [(130_000,)]


def test_rows_are_inserted_by_name(session):
    session.execute("CREATE TABLE s.t (a INT, b VARCHAR)")
    session.insert(T, "SELECT 'x' AS b, 1 AS a", ["a", "b"])
    assert session.fetch("SELECT a, b FROM s.t WHERE a = ?", [1]) == [(1, "x")]


def test_a_transaction_is_all_or_nothing(session):
    with pytest.raises(ZeroDivisionError), session.transaction():  # noqa: PT012
        session.create_schema("gone")
        session.replace_table(T, "SELECT 1 AS a")
        raise ZeroDivisionError
    assert not session.exists(T)
    with pytest.raises(EngineError), session.transaction():  # noqa: PT012
        session.replace_table(T, "SELECT 1 AS a")
        session.execute("SELECT nonsense")
    assert not session.exists(T)
    with session.transaction():
        session.replace_table(T, "SELECT 1 AS a")
        assert session.columns(T) == [("a", "INTEGER")]
    assert session.exists(T)


def test_the_second_of_two_writers_of_one_thing_is_told_to_try_again():
    connection = open_connection(DuckDBConnection())
    with connection.session() as first, connection.session() as second:
        first.execute("CREATE SCHEMA s")
        with pytest.raises(WriteConflict), first.transaction():  # noqa: PT012
            first.replace_table(T, "SELECT 1 AS a")
            with second.transaction():
                second.replace_table(T, "SELECT 2 AS a")
    connection.close()


def test_a_schema_named_like_the_file_is_no_obstacle(tmp_path):
    connection = open_connection(DuckDBConnection(database=str(tmp_path / "prod.duckdb")))
    with connection.session() as session:
        session.create_schema("prod")
        session.replace_table(Relation(schema="prod", name="t"), "SELECT 1 AS a")
        session.replace_view(Relation(schema="prod", name="v"), "SELECT 2 AS a")
        assert session.columns(Relation(schema="prod", name="t")) == [("a", "INTEGER")]
        assert session.list_relations("prod") == [("t", "table"), ("v", "view")]
    connection.close()


def test_catalogs_the_first_is_the_default(tmp_path):
    catalogs = {"main_one": str(tmp_path / "a.duckdb"), "other": {"path": str(tmp_path / "b.duckdb")}}
    connection = open_connection(DuckDBConnection(catalogs=catalogs))
    with connection.session() as session:
        assert session.fetch("SELECT current_database()") == [("main_one",)]
        session.create_schema("s", catalog="other")
        session.replace_table(Relation(catalog="other", schema="s", name="t"), "SELECT 1 AS a")
        assert session.fetch("SELECT * FROM other.s.t") == [(1,)]
    connection.close()
    read_only = open_connection(
        DuckDBConnection(catalogs={"x": ":memory:", "b": {"path": str(tmp_path / "b.duckdb"), "read_only": True}})
    )
    with read_only.session() as session:
        assert session.fetch("SELECT * FROM b.s.t") == [(1,)]
        with pytest.raises(EngineError):
            session.execute("DELETE FROM b.s.t")
    read_only.close()


def test_a_column_of_nulls_takes_values_later(session):
    session.replace_table(T, "SELECT 1 AS a, NULL AS b, [] AS c")
    assert session.columns(T) == [("a", "INTEGER"), ("b", "INTEGER"), ("c", "INTEGER[]")]
    assert session.insert(T, "SELECT 2 AS a, 3 AS b, [4] AS c", ["a", "b", "c"]) == 1


CSV = 'id,name,day,score\n1,"a, b",2020-01-01,1.5\n2,NA,2020-01-02,\n'


def test_seed_types_are_inferred_as_the_format_has_it(session, tmp_path):
    file = tmp_path / "seed.csv"
    file.write_text(CSV)
    assert session.load_csv(T, str(file), None, {}) == 2
    assert session.columns(T) == [("id", "BIGINT"), ("name", "VARCHAR"), ("day", "VARCHAR"), ("score", "DOUBLE")]
    assert session.fetch("SELECT * FROM s.t ORDER BY id") == [
        (1, "a, b", "2020-01-01", 1.5),
        (2, None, "2020-01-02", None),
    ]


def test_seed_columns_are_matched_by_name_and_cast(session, tmp_path):
    file = tmp_path / "seed.csv"
    file.write_text(CSV)
    session.load_csv(T, str(file), [("day", "DATE"), ("id", "TEXT"), ("name", "UNKNOWN")], {"keep_default_na": False})
    assert session.columns(T) == [("day", "DATE"), ("id", "VARCHAR"), ("name", "VARCHAR")]
    assert session.fetch("SELECT name FROM s.t WHERE id = '2'") == [("NA",)]


def test_a_seed_that_does_not_fit_says_where(session, tmp_path):
    file = tmp_path / "seed.csv"
    file.write_text("id,qty\n1,5\ntwo,6\n")
    seed = Relation(schema="s", name="seed")
    with pytest.raises(EngineError, match="column id holds 'two', which is no INT"):
        session.load_csv(seed, str(file), [("id", "INT"), ("qty", "INT")], {})
    with pytest.raises(EngineError, match="has no column quty; it has id, qty") as caught:
        session.load_csv(seed, str(file), [("id", "TEXT"), ("quty", "INT")], {})
    assert caught.value.hint == "did you mean qty?"


@pytest.mark.parametrize(
    ("text", "encoding", "settings"),
    [
        ("a;b\n1;'x;y'\n", "utf-8", {"delimiter": ";", "quotechar": "'"}),
        ("a,b\n1,  x;y\n", "utf-8", {"skipinitialspace": True}),
        ("a,b\n1,x;y\n", "cp1252", {"encoding": "cp1252"}),
        ("a,b|1,x;y|", "utf-8", {"lineterminator": "|"}),
        ('a,b\n1,"x;y"\n', "utf-8", {"doublequote": False, "escapechar": "\\"}),
        ("a,b\r\n1,x;y\r\n", "utf-8", {}),
    ],
)
def test_seed_settings(session, tmp_path, text, encoding, settings):
    file = tmp_path / "seed.csv"
    file.write_bytes(text.encode(encoding))
    session.load_csv(T, str(file), None, settings)
    assert session.fetch("SELECT a, b FROM s.t") == [(1, "x;y")]


def test_threads_share_one_database(tmp_path):
    connection = open_connection(DuckDBConnection(database=str(tmp_path / "w.duckdb")))
    with connection.session() as session:
        session.create_schema("s")

    def work(number: int) -> None:
        with connection.session() as mine, mine.transaction():
            mine.replace_table(Relation(schema="s", name=f"t{number}"), f"SELECT {number} AS a")

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with connection.session() as session:
        assert len(session.list_relations("s")) == 8
    connection.close()
    connection.close()
    with pytest.raises(EngineError, match="closed"), connection.session():
        pass


HOLDER = """
import sys, time
from isomesh_dagster.engine import open_connection
from isomesh_dagster.config.connections import DuckDBConnection
connection = open_connection(DuckDBConnection(database=sys.argv[1]))
print("held", flush=True)
sys.stdin.readline()
connection.close()
print("released", flush=True)
sys.stdin.readline()
"""


def test_another_process_waits_its_turn_and_names_the_holder(tmp_path):
    file = str(tmp_path / "w.duckdb")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=f"held by process {holder.pid}"):
            open_connection(DuckDBConnection(database=file), timeout=0.05)
        told: list[str] = []

        def on_wait(message: str) -> None:
            told.append(message)
            assert holder.stdin is not None
            holder.stdin.write("\n")
            holder.stdin.flush()

        open_connection(DuckDBConnection(database=file), timeout=30, on_wait=on_wait).close()
        assert len(told) == 1
        assert str(holder.pid) in told[0]
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()


def test_a_program_without_our_lock_is_told_as_well(tmp_path):
    file = str(tmp_path / "w.duckdb")
    code = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('held', flush=True); sys.stdin.readline()"
    holder = subprocess.Popen(
        [sys.executable, "-c", code, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    try:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(LockedError, match=str(holder.pid)):
            open_connection(DuckDBConnection(database=file), timeout=0.05)
    finally:
        holder.communicate("\n")
    open_connection(DuckDBConnection(database=file), timeout=5).close()


def test_one_process_may_open_its_file_twice(tmp_path):
    file = str(tmp_path / "w.duckdb")
    first, second = (
        open_connection(DuckDBConnection(database=file)),
        open_connection(DuckDBConnection(database=file), timeout=0.05),
    )
    first.close()
    with second.session() as session:
        assert session.fetch("SELECT 1") == [(1,)]
    second.close()


def test_a_forked_child_is_refused(tmp_path):
    connection = open_connection(DuckDBConnection(database=str(tmp_path / "w.duckdb")))
    child = os.fork()
    if child == 0:
        try:
            with connection.session():
                os._exit(1)
        except EngineError:
            connection.close()
            os._exit(0)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with connection.session() as session:
        assert session.fetch("SELECT 1") == [(1,)]
    connection.close()


def test_errors_are_ours_and_keep_secrets(tmp_path):
    with pytest.raises(EngineError) as caught:
        open_connection(DuckDBConnection(secrets=[{"type": "s3", "nonsense": "hunter2"}]))
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    with pytest.raises(EngineError, match="cannot open") as caught:
        open_connection(DuckDBConnection(connector_config={"no_such_setting": "1"}))
    assert caught.value.hint == "check connector_config of the gateway's connection"
    garbage = tmp_path / "w.duckdb"
    garbage.write_text("not a database" * 1000)
    with pytest.raises(EngineError, match="cannot open"):
        open_connection(DuckDBConnection(database=str(garbage)), timeout=0.05)
    connection = open_connection(DuckDBConnection())
    with connection.session() as session, pytest.raises(EngineError) as caught:
        session.execute("SELECT " + "x" * 5000)
    assert len(str(caught.value)) < 2600
    connection.close()
    assert issubclass(duckdb.Error, Exception)


def test_a_claim_is_held_by_one_transaction_at_a_time_and_shows_what_was_committed(tmp_path):
    connection = open_connection(DuckDBConnection(database=str(tmp_path / "w.duckdb")))
    with connection.session() as session:
        session.execute("CREATE TABLE seen (n INT)")

    def work() -> None:
        with connection.session() as mine:
            for _ in range(10):
                with mine.transaction(claim="counter"):
                    (count,) = mine.fetch("SELECT COUNT(*) FROM seen")[0]
                    mine.execute("INSERT INTO seen VALUES (?)", [count])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with connection.session() as session:
        assert session.fetch("SELECT COUNT(*), COUNT(DISTINCT n), MAX(n) FROM seen") == [(40, 40, 39)]
    connection.close()


def test_what_the_parser_takes_is_told_without_running_it():
    connection = open_connection(DuckDBConnection())
    assert connection.reads("SELECT a.x FROM nobody.has AS a; DROP TABLE everything -- the end")
    assert not connection.reads("SELECT * FROM a JOIN b")
    assert not connection.reads("SELECT (1")
    with connection.session() as session:
        for text, is_syntax in (("SELECT * FROM a JOIN b", True), ("SELECT 1 FROM nobody.has", False)):
            with pytest.raises(EngineError) as told:
                session.fetch(text)
            assert told.value.is_syntax is is_syntax
    connection.close()


def test_a_view_that_the_sql_library_does_not_parse_is_seen(session):
    session.replace_table(T, "SELECT 1 AS a")
    session.execute("CREATE VIEW s.theirs AS SELECT {'x': 1}.x, [i FOR i IN [1, 2] IF i > 1], t.a FROM s.t")
    assert session.standing_on([T]) == [("s.theirs", T)]


def test_a_file_is_opened_by_several_threads_at_once(tmp_path):
    settings = DuckDBConnection.model_validate({"database": "w.duckdb"}, context={"root": tmp_path})
    ready = threading.Barrier(6)

    def opened(_: int) -> None:
        ready.wait()
        open_connection(settings).close()

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(opened, range(6))) == [None] * 6


@pytest.mark.parametrize("statement", ["USE other", "/* x */ use other.main", "SET search_path = 'other.main'"])
def test_no_statement_makes_another_catalog_the_one_in_use(tmp_path, statement):
    catalogs = {"own": str(tmp_path / "own.duckdb"), "other": str(tmp_path / "other.duckdb")}
    connection = open_connection(DuckDBConnection(catalogs=catalogs))
    with connection.session() as session:
        with pytest.raises(EngineError, match="made 'other' the catalog in use"), session.transaction():
            session.execute(statement)
        assert session.fetch("SELECT current_database()") == [("own",)]
        session.create_schema("s")
        session.execute("USE own.s")
    connection.close()
