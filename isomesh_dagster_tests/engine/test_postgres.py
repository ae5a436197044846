"""Postgres speaks the protocol: values, transactions, claims, views that others stand on, and no secret in an error."""

from __future__ import annotations

import datetime
import os
import threading
from decimal import Decimal

import pytest

from isomesh_dagster.config.connections import PostgresConnection
from isomesh_dagster.engine import open_connection
from isomesh_dagster.errors import EngineError, ModelError, WriteConflict
from isomesh_dagster.relation import ColumnChange, Relation, literal
from isomesh_dagster_tests.postgres_server import connected

T = Relation(schema="s", name="t")
V = Relation(schema="s", name="v")


@pytest.fixture
def connection(postgres):
    connection = open_connection(postgres)
    yield connection
    connection.close()


@pytest.fixture
def session(connection):
    with connection.session() as session:
        session.create_schema("s")
        yield session


def test_tables_views_and_counts(session):
    assert session.replace_table(T, "SELECT * FROM generate_series(1, 5) AS r(a)") == 5
    assert session.insert(T, "SELECT 9 AS b, 7 AS a", ["a"]) == 1
    assert session.columns(T) == [("a", "integer")]
    session.replace_view(V, "SELECT a FROM s.t WHERE a = 7")
    session.replace_view(V, "SELECT a AS renamed FROM s.t WHERE a = 7 -- the end")
    assert session.fetch_table('SELECT * FROM "s"."v"') == (["renamed"], [(7,)])
    assert session.list_relations("s") == [("t", "table"), ("v", "view")]
    assert session.exists(V)
    session.drop(V, view=True)
    session.drop(V, view=True)
    assert not session.exists(V)
    assert session.columns(V) == []
    session.drop_schema_if_empty("s")
    assert session.list_relations("s") == [("t", "table")]
    session.drop(T, view=False)
    session.execute("CREATE FUNCTION s.f() RETURNS int LANGUAGE sql AS 'SELECT 1'")
    session.drop_schema_if_empty("s")  # it is not empty, though no relation is in it
    session.execute("DROP FUNCTION s.f()")
    session.drop_schema_if_empty("s")
    with pytest.raises(EngineError, match='schema "s" does not exist'):
        session.execute("CREATE TABLE s.t (a INT)")


def test_parameters_are_marked_outside_of_quotes(session):
    rows = session.fetch("""SELECT ? AS "a?", '?%', 5 % ?""", ["it's", 3])
    assert rows == [("it's", "?%", 2)]
    assert session.fetch("SELECT '?%'") == [("?%",)]
    assert session.execute("SELECT 1") is None


def test_a_rebuilt_table_stays_in_place_under_its_views(session):
    session.replace_table(T, "SELECT 1 AS a")
    session.replace_view(V, "SELECT * FROM s.t")
    oid = session.fetch("SELECT 's.t'::regclass::oid")
    assert session.replace_table(T, "SELECT a + 1 AS a FROM s.t UNION ALL SELECT 9") == 2
    assert session.fetch("SELECT a FROM s.v ORDER BY 1") == [(2,), (9,)]
    session.create_table(T, [("a", "INT")])
    assert session.fetch("SELECT a FROM s.v") == []
    assert session.fetch("SELECT 's.t'::regclass::oid") == oid


def test_a_table_with_other_columns_takes_its_views_along(session):
    session.replace_table(T, "SELECT 1 AS a, 2 AS b")
    session.replace_view(V, "SELECT * FROM s.t")
    session.execute("CREATE VIEW s.users_own AS SELECT a + 1 AS next FROM s.v")
    session.execute("COMMENT ON VIEW s.users_own IS 'mine'")
    assert session.replace_table(T, "SELECT 'x' AS c, 5::bigint AS a FROM s.t") == 1
    assert session.fetch_table("SELECT * FROM s.v") == (["c", "a"], [("x", 5)])
    assert session.fetch("SELECT next, obj_description('s.users_own'::regclass) FROM s.users_own") == [(6, "mine")]
    with pytest.raises(EngineError, match=r"would break: s\.users_own \(column .*a.* does not exist\)"):
        session.create_table(T, [("c", "TEXT")])
    assert session.columns(T) == [("c", "text"), ("a", "bigint")]
    assert session.fetch("SELECT next FROM s.users_own") == [(6,)]
    assert [name for name, _ in session.list_relations("s")] == ["t", "users_own", "v"]


def test_a_replaced_view_keeps_what_people_did_to_it(session, postgres):
    for name in ("reader_of_views", "owner_of_views"):
        session.execute(f"DO $$ BEGIN CREATE ROLE {name}; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    session.execute("GRANT ALL ON SCHEMA s TO owner_of_views")
    session.execute("CREATE VIEW s.v AS SELECT 1 AS a, 2 AS b")
    session.execute("CREATE VIEW s.other AS SELECT a FROM s.v")
    for view in ("v", "other"):
        session.execute(
            f"ALTER VIEW s.{view} SET (security_barrier = true); COMMENT ON VIEW s.{view} IS 'told';"
            f"COMMENT ON COLUMN s.{view}.a IS 'the column'; "
            f"GRANT SELECT ON s.{view} TO reader_of_views WITH GRANT OPTION;"
            f"GRANT SELECT (a) ON s.{view} TO PUBLIC; ALTER VIEW s.{view} OWNER TO owner_of_views"
        )
    before = _told(session)
    for query in ("SELECT 1 AS a, 2 AS b, 3 AS c", "SELECT 3 AS c, 1 AS a", "SELECT 'x' AS a"):
        session.replace_view(V, query)
        assert _told(session) == before
    # of rights that new views get by default, a view made again gets none
    session.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA s GRANT DELETE ON TABLES TO reader_of_views")
    session.replace_view(V, "SELECT 5 AS n, 'x' AS a")
    assert _told(session) == before
    session.execute("DROP OWNED BY reader_of_views, owner_of_views; DROP ROLE reader_of_views, owner_of_views")


def _told(session):
    return session.fetch(
        "SELECT c.relname, pg_get_userbyid(c.relowner), c.reloptions::text, c.relacl::text, a.attacl::text, "
        "obj_description(c.oid), col_description(c.oid, a.attnum) FROM pg_class c JOIN pg_namespace n "
        "ON n.oid = relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND attname = 'a' "
        "WHERE nspname = 's' AND relkind = 'v' ORDER BY 1"
    )


def test_views_that_would_break_are_named_and_stay(session):
    session.replace_view(V, "SELECT 1 AS a, 2 AS b")
    session.execute("CREATE VIEW s.one AS SELECT b FROM s.v; CREATE VIEW s.two AS SELECT a FROM s.v")
    session.execute("CREATE VIEW s.on_one AS SELECT * FROM s.one")
    with pytest.raises(EngineError, match=r"break: s\.one \(column .*b.* does not exist\); s\.on_one \(") as caught:
        session.replace_view(V, "SELECT 3 AS a")
    assert "s.two" not in caught.value.message
    assert session.fetch("SELECT * FROM s.v") == [(1, 2)]
    assert len(session.list_relations("s")) == 4
    session.execute("DROP ROLE IF EXISTS isomesh_tests_other; CREATE ROLE isomesh_tests_other")
    session.execute("CREATE MATERIALIZED VIEW s.stored AS SELECT a FROM s.v")
    session.execute("ALTER MATERIALIZED VIEW s.stored OWNER TO isomesh_tests_other")
    with pytest.raises(EngineError, match=r"s\.stored cannot be made again"):
        session.replace_view(V, "SELECT 4 AS b, 3 AS a")
    with pytest.raises(EngineError, match=r"view s\.one depends on view s\.v"):
        session.drop(V, view=True)
    session.execute("DROP MATERIALIZED VIEW s.stored; DROP ROLE isomesh_tests_other")


def test_a_transaction_is_all_or_nothing(session):
    with pytest.raises(ZeroDivisionError), session.transaction():  # noqa: PT012
        session.create_schema("gone")
        session.replace_table(T, "SELECT 1 AS a")
        raise ZeroDivisionError
    assert not session.exists(T)
    with pytest.raises(EngineError, match="nonsense"), session.transaction():  # noqa: PT012
        session.replace_table(T, "SELECT 1 AS a")
        session.execute("SELECT nonsense")
    with pytest.raises(EngineError, match="nothing of it was kept"), session.transaction():  # noqa: PT012
        session.replace_table(T, "SELECT 1 AS a")
        with pytest.raises(EngineError):
            session.execute("SELECT nonsense")
    assert not session.exists(T)
    with pytest.raises(EngineError, match="do not nest"), session.transaction(), session.transaction():
        pass
    with session.transaction():
        session.replace_table(T, "SELECT 1 AS a")
        assert session.columns(T) == [("a", "integer")]
        with pytest.raises(EngineError, match="does not exist"):
            session.columns(V)
    assert session.exists(T)


def test_a_claim_is_held_by_one_transaction_of_all_connections(connection, postgres):
    other = open_connection(postgres)
    with connection.session() as session:
        session.execute("CREATE TABLE counter AS SELECT 0 AS n")

    def count(warehouse):
        for _ in range(20):
            with warehouse.session() as mine, mine.transaction(claim="counter"):
                ((n,),) = mine.fetch("SELECT n FROM counter")
                mine.execute("UPDATE counter SET n = ?", (n + 1,))

    threads = [threading.Thread(target=count, args=(one,)) for one in (connection, other, connection)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with connection.session() as session:
        assert session.fetch("SELECT n FROM counter") == [(60,)]
    other.close()


def test_a_swap_waits_for_no_reader(connection, session):
    session.replace_view(V, "SELECT 1 AS a")
    session.execute("ALTER VIEW s.v SET (security_barrier = true)")
    with connection.session() as reader, reader.transaction():
        reader.fetch("SELECT * FROM s.v")
        with pytest.raises(WriteConflict), session.swapping([V], claim="environment x"):
            raise AssertionError("the view is in use")
        with session.swapping([Relation(schema="s", name="new")], claim="environment x"):
            session.replace_view(Relation(schema="s", name="new"), "SELECT 2 AS a")
    with session.swapping([V], claim="environment x"):
        session.replace_view(V, "SELECT 3 AS a")
    assert session.fetch("SELECT a, reloptions::text FROM s.v, pg_class WHERE oid = 's.v'::regclass") == [
        (3, "{security_barrier=true}")
    ]


def test_too_many_views_for_the_lock_table_are_told_before(session):
    views = [Relation(schema="s", name=f"v{number}") for number in range(100_000)]
    with pytest.raises(EngineError, match="room for") as caught, session.swapping(views, claim="x"):
        raise AssertionError("not reached")
    assert "max_locks_per_transaction" in str(caught.value.hint)
    ((room,),) = session.fetch(
        "SELECT current_setting('max_locks_per_transaction')::int * (current_setting('max_connections')::int"
        " + current_setting('max_prepared_transactions')::int)"
    )
    with session.swapping(views[: room // 4], claim="x") as told:  # three locks each
        assert len(told) == 1
        assert "max_locks_per_transaction" in told[0]
    with session.swapping(views[: room // 7], claim="x") as told:
        assert told == ()


def test_what_a_session_sets_ends_with_it(connection):
    with connection.session() as session:
        session.execute("SET SESSION work_mem = '7MB'")
        session.execute("CREATE TEMP TABLE mine AS SELECT 1 AS a")
        pid = session.fetch("SELECT pg_backend_pid()")
    with connection.session() as session:
        assert session.fetch("SELECT pg_backend_pid()") == pid
        assert session.fetch("SHOW work_mem") != [("7MB",)]
        assert session.fetch("SHOW TimeZone") == [("UTC",)]
        with pytest.raises(EngineError, match="does not exist"):
            session.fetch("SELECT * FROM mine")


def test_a_lost_connection_is_replaced(connection):
    with connection.session() as session:
        session.execute("SELECT 1")
        ((pid,),) = session.fetch("SELECT pg_backend_pid()")
        with connection.session() as killer:
            killer.fetch("SELECT pg_terminate_backend(?)", (pid,))
        with pytest.raises(EngineError):
            session.fetch("SELECT 1")
    with connection.session() as session:
        assert session.fetch("SELECT 1") == [(1,)]


def test_a_role_is_taken_on_and_told_when_it_cannot_be(postgres):
    plain = open_connection(postgres)
    with plain.session() as session:
        session.execute("DROP ROLE IF EXISTS worker; CREATE ROLE worker")
    plain.close()
    connection = open_connection(postgres.model_copy(update={"role": "worker", "application_name": "nightly"}))
    for _ in range(2):
        with connection.session() as session:
            assert session.fetch("SELECT current_user, current_setting('application_name')") == [("worker", "nightly")]
            session.execute("RESET ROLE")
    connection.close()
    with pytest.raises(EngineError, match="cannot act as role 'nobody there'"):
        open_connection(postgres.model_copy(update={"role": "nobody there"}))


def test_a_user_with_a_role_of_its_own_keeps_it(postgres):
    plain = open_connection(postgres)
    with plain.session() as session:
        session.execute("DROP ROLE IF EXISTS comes, owns; CREATE ROLE owns; CREATE ROLE comes LOGIN IN ROLE owns")
        session.execute("ALTER ROLE comes SET role TO owns")
        session.execute(f"ALTER ROLE comes PASSWORD {literal(postgres.password.get_secret_value())}")
    plain.close()
    connection = open_connection(postgres.model_copy(update={"user": "comes"}))
    for _ in range(2):
        with connection.session() as session:
            assert session.fetch("SELECT session_user, current_user") == [("comes", "owns")]
            session.execute("SET ROLE NONE")
    connection.close()


def test_a_forked_child_is_refused_and_harms_nothing(connection):
    with connection.session() as session:
        session.execute("SELECT 1")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with connection.session():
                pass
        except EngineError as error:
            connection.close()
            code = 0 if "belongs to process" in error.message else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    with connection.session() as session:
        assert session.fetch("SELECT 1") == [(1,)]
    connection.close()
    connection.close()
    with pytest.raises(EngineError, match="is closed"), connection.session():
        pass


def test_no_secret_in_an_error(postgres):
    secret = "hunter2 @:/' secret"
    wrong = PostgresConnection(
        host="127.0.0.1", port=postgres.port, user="nobody_here", password=secret, database="none", sslmode="disable"
    )
    with pytest.raises(EngineError, match="cannot open the warehouse 127") as caught:
        open_connection(wrong)
    assert secret not in str(caught.value)
    assert secret not in repr(wrong)
    connection = open_connection(postgres)
    with connection.session() as session, pytest.raises(EngineError) as caught:
        session.execute(f"SELECT nonsense FROM (SELECT '{'x' * 5000} hunter2') AS t")
    assert "hunter2" not in str(caught.value)
    with connection.session() as session, pytest.raises(EngineError) as caught:
        session.execute("CREATE TABLE u (a TEXT PRIMARY KEY); INSERT INTO u VALUES ('hunter2'), ('hunter2')")
    assert "hunter2" not in str(caught.value)
    connection.close()


def test_another_database_is_refused(session, postgres):
    assert session.exists(Relation(catalog="elsewhere", schema="s", name="t")) is False
    assert session.columns(Relation(catalog="elsewhere", schema="pg_catalog", name="pg_class")) == []
    session.create_schema("s", postgres.database)
    with pytest.raises(EngineError, match="another database"):
        session.create_schema("s", "elsewhere")


def test_the_types_of_a_query(session):
    query = "SELECT 1.5::numeric(10, 2) AS n, 'x' AS t, now() AS at, NULL AS nothing, ARRAY[1] AS list -- end"
    assert session.query_columns(query) == [
        ("n", "numeric(10,2)"),
        ("t", "text"),
        ("at", "timestamp with time zone"),
        ("nothing", "text"),
        ("list", "integer[]"),
    ]
    with session.transaction():
        assert session.query_columns("SELECT 1 AS a") == [("a", "integer")]


def test_keys_are_joined_by_hash(session):
    session.execute("CREATE TABLE s.a AS SELECT n, n::text AS t FROM generate_series(1, 2000) AS r(n)")
    session.execute("INSERT INTO s.a VALUES (NULL, 'x'); CREATE TABLE s.b AS TABLE s.a; ANALYZE s.a; ANALYZE s.b")
    join = f"FROM s.a JOIN s.b ON {session.same(['a.n', 'a.t'], ['b.n', 'b.t'])}"
    assert session.fetch(f"SELECT COUNT(*) {join}") == [(2001,)]
    assert "Nested Loop" not in str(session.fetch(f"EXPLAIN SELECT COUNT(*) {join}"))
    session.execute("SET enable_mergejoin = off")
    assert "Hash Join" in str(session.fetch(f"EXPLAIN SELECT COUNT(*) {join}"))


# ---- files and frames ------------------------------------------------------------------------------------


def test_a_seed_has_the_types_it_has_on_duckdb(session, tmp_path):
    file = tmp_path / "seed.csv"
    file.write_text('id,rate,ok,word,gap\n1,0.5,true,"a ""b"",\nc",1\n2,1e3,false,NA,\n')
    assert session.load_csv(T, str(file), None, {}) == 2
    assert session.columns(T) == [
        ("id", "bigint"),
        ("rate", "double precision"),
        ("ok", "boolean"),
        ("word", "text"),
        ("gap", "double precision"),
    ]
    rows = session.fetch("SELECT * FROM s.t ORDER BY id")
    assert rows == [(1, 0.5, True, 'a "b",\nc', 1.0), (2, 1000.0, False, None, None)]
    assert session.load_csv(T, str(file), [("id", "INT"), ("word", "UNKNOWN")], {"keep_default_na": False}) == 2
    assert session.fetch("SELECT * FROM s.t ORDER BY id") == [(1, 'a "b",\nc'), (2, "NA")]
    with pytest.raises(EngineError, match=r'integer: "0\.5" \(line 1, column rate\)'):
        session.load_csv(T, str(file), [("rate", "INT")], {})
    with pytest.raises(EngineError, match="no column ids"):
        session.load_csv(T, str(file), [("ids", "INT")], {})
    assert session.fetch("SELECT COUNT(*) FROM s.t") == [(2,)]


FRAME = {
    "whole": [1, None, -3],
    "half": [0.5, None, 2.0],
    "word": ["a", None, 'q"\\,\n{}'],
    "empty": ["", "x", None],
    "flag": [True, None, False],
    "day": [datetime.date(2024, 1, 2), None, datetime.date(1999, 12, 31)],
    "at": [datetime.datetime(2024, 1, 2, 3, 4, 5, 678901), None, datetime.datetime(1999, 1, 1)],
    "utc": [datetime.datetime(2024, 1, 2, 3, tzinfo=datetime.timezone.utc), None, None],
    "money": [Decimal("12.34"), None, Decimal("-0.01")],
    "raw": [b"\x00\xff", None, b""],
    "list": [[1, None], None, []],
    "words": [["a,b", None, 'q"\\'], None, [""]],
}


@pytest.mark.parametrize("library", ["pyarrow", "polars", "pandas"])
def test_frames_go_in_and_come_out(session, library):
    import polars
    import pyarrow

    table = pyarrow.table(FRAME)
    given = polars.from_arrow(table) if library == "polars" else table.to_pandas() if library == "pandas" else table
    with session.frame(given) as name:
        session.replace_table(T, f"SELECT * FROM {name}")
    with pytest.raises(EngineError, match="does not exist"):
        session.fetch(f"SELECT * FROM {name}")
    rows = session.fetch("SELECT * FROM s.t")
    expected = [tuple(values) for values in zip(*FRAME.values(), strict=True)]
    told = [tuple(bytes(value) if isinstance(value, memoryview) else value for value in row) for row in rows]
    assert told == expected
    back = session.fetch_frame("SELECT * FROM s.t", library)
    arrow = back.to_arrow() if library == "polars" else pyarrow.Table.from_pandas(back) if library == "pandas" else back
    assert type(back).__module__.partition(".")[0] == library
    if library != "pandas":  # pandas has no whole numbers with gaps
        assert arrow.to_pylist() == table.to_pylist()
    else:
        assert [value for value in back["word"] if isinstance(value, str)] == ["a", 'q"\\,\n{}']
        assert str(back["at"].dtype).startswith("datetime64")


def test_frames_in_a_transaction_that_fails(session):
    import pandas

    frame = pandas.DataFrame({"a": [1]})
    with pytest.raises(EngineError, match="nonsense"), session.transaction(), session.frame(frame) as name:
        session.fetch(f"SELECT nonsense FROM {name}")
    with pytest.raises(ModelError, match="no data frame"), session.frame(pandas.DataFrame()):
        pass
    with pytest.raises(EngineError, match="fastframes is not installed"):
        session.fetch_frame("SELECT 1 AS a", "fastframes")
    with pytest.raises(EngineError):
        session.fetch_frame("DROP SCHEMA s", "pandas")


def test_what_the_parser_takes_is_told_without_running_it(connection):
    assert connection.reads("SELECT a.x FROM nobody.has AS a JOIN this_table AS b ON a.x = b.x -- the end")
    assert connection.reads("WITH c AS (SELECT 1 AS a) SELECT '%s', * FROM c")
    assert not connection.reads("SELECT * FROM a JOIN b")
    assert not connection.reads("SELECT (1")
    assert connection.reads("DROP TABLE everything")  # no query: not asked, and not run
    with connection.session() as session:
        for text, is_syntax in (("SELECT * FROM a JOIN b", True), ("SELECT 1 FROM nobody.has", False)):
            with pytest.raises(EngineError) as told:
                session.fetch(text)
            assert told.value.is_syntax is is_syntax
    with connection.session() as session:
        assert session.fetch("SELECT 1") == [(1,)]


# ---- materialized views, altered tables --------------------------------------------------------------------


def test_a_materialized_view_holds_the_rows_of_its_last_refresh(session):
    session.replace_table(T, "SELECT 1 AS a")
    query = "SELECT a, 'x' AS b FROM s.t -- its rows"
    session.replace_view(V, query, materialized=True)
    session.execute("CREATE VIEW s.reader AS SELECT a FROM s.v; COMMENT ON MATERIALIZED VIEW s.v IS 'kept'")
    ((oid,),) = session.fetch("SELECT 's.v'::regclass::oid")
    session.insert(T, "SELECT 2 AS a", ["a"])
    assert session.fetch("SELECT a FROM s.reader") == [(1,)]
    session.replace_view(V, query, materialized=True)
    assert session.fetch("SELECT a FROM s.reader ORDER BY a") == [(1,), (2,)]
    assert session.fetch("SELECT 's.v'::regclass::oid") == [(oid,)]
    session.replace_view(V, "SELECT 'y' AS b, a FROM s.t")  # it stays one
    assert session.columns(V) == [("b", "text"), ("a", "integer")]
    assert session.fetch("SELECT relkind, obj_description(oid) FROM pg_class WHERE relname = 'v'") == [("m", "kept")]
    session.drop(Relation(schema="s", name="reader"), view=True)
    session.drop(V, view=True)
    assert session.list_relations("s") == [("t", "table")]
    session.replace_view(V, "SELECT 1 AS a")
    session.replace_view(V, "SELECT 1 AS a", materialized=True)
    assert session.fetch("SELECT relkind FROM pg_class WHERE relname = 'v'") == [("m",)]


def test_an_altered_table_keeps_its_rows_and_its_views(session):
    session.replace_table(T, "SELECT 1 AS a, '2' AS b, 3 AS c")
    session.replace_view(V, "SELECT * FROM s.t")
    session.execute("CREATE VIEW s.users_own AS SELECT a FROM s.v")
    session.alter_table(T, [ColumnChange(name="d", was=None, type="date")])
    session.alter_table(T, [ColumnChange(name="b", was="text", type="integer")])
    assert session.fetch("SELECT a, b + 1, c, d FROM s.t") == [(1, 3, 3, None)]
    session.replace_view(V, "SELECT * FROM s.t")
    session.alter_table(T, [ColumnChange(name="c", was="integer", type=None)])
    assert session.fetch("SELECT a FROM s.users_own") == [(1,)]
    with pytest.raises(EngineError, match=r"s\.users_own"):
        session.alter_table(T, [ColumnChange(name="a", was="integer", type=None)])
    assert [name for name, _ in session.columns(T)] == ["a", "b", "d"]


def test_a_materialized_view_of_ours_is_made_again_on_what_is_altered(session):
    session.replace_table(T, "SELECT 1 AS a, '2' AS b, 3 AS c")
    session.replace_view(V, "SELECT a, b FROM s.t", materialized=True)
    session.execute(
        "CREATE UNIQUE INDEX first ON s.v (a); CREATE INDEX second ON s.v ((b || 'x')) WHERE a > 0;"
        "COMMENT ON MATERIALIZED VIEW s.v IS 'kept'; COMMENT ON COLUMN s.v.b IS 'too';"
        "CREATE VIEW s.reader AS SELECT b FROM s.v; CREATE MATERIALIZED VIEW s.empty AS SELECT b FROM s.v WITH NO DATA"
    )
    session.insert(T, "SELECT 2 AS a, '3' AS b", ["a", "b"])
    session.alter_table(
        T, [ColumnChange(name="b", was="text", type="integer"), ColumnChange(name="c", was="integer", type=None)]
    )
    assert session.columns(V) == [("a", "integer"), ("b", "integer")]
    assert session.fetch("SELECT b FROM s.reader ORDER BY b") == [(2,), (3,)]
    with pytest.raises(EngineError, match="has not been populated"):
        session.fetch("SELECT * FROM s.empty")
    indexes = "SELECT indexname FROM pg_indexes WHERE tablename = 'v' ORDER BY 1"
    assert session.fetch(indexes) == [("first",), ("second",)]
    assert session.fetch("SELECT obj_description('s.v'::regclass), col_description('s.v'::regclass, 2)") == [
        ("kept", "too")
    ]
    session.replace_view(V, "SELECT b FROM s.t", materialized=True)  # both indexes are over a column that is gone
    assert session.fetch(indexes) == []
    with pytest.raises(EngineError, match=r"s\.v "):
        session.alter_table(T, [ColumnChange(name="b", was="integer", type=None)])


def test_a_statement_that_runs_is_ended_from_another_thread(connection):
    ended = threading.Event()

    def interrupt():
        while not ended.wait(0.05):
            connection.interrupt()

    thread = threading.Thread(target=interrupt)
    with connection.session() as session:
        thread.start()
        try:
            with pytest.raises(EngineError):
                session.fetch("SELECT pg_sleep(300)")
        finally:
            ended.set()
            thread.join()
    with connection.session() as session:
        assert session.fetch("SELECT 1") == [(1,)]


def test_indexes_that_people_made_stay_when_a_table_gets_other_columns(session):
    session.replace_table(T, "SELECT 1 AS a, 'x' AS b, 2 AS c")
    session.execute(
        'CREATE INDEX "By B" ON s.t (lower(b)); CREATE INDEX gone ON s.t (c); ALTER TABLE s.t ADD PRIMARY KEY (a);'
        "CREATE INDEX part ON s.t (b) INCLUDE (a) WHERE a > 0"
    )
    indexes = "SELECT indexname FROM pg_indexes WHERE tablename = 't' ORDER BY 1"
    kept = [("By B",), ("part",), ("t_pkey",)]
    session.replace_table(T, "SELECT 1 AS a, 'y' AS b, 3 AS d")
    assert session.fetch(indexes) == kept
    assert session.fetch("SELECT conname FROM pg_constraint WHERE conrelid = 's.t'::regclass AND contype = 'p'") == [
        ("t_pkey",)
    ]
    session.alter_table(T, [ColumnChange(name="d", was="integer", type=None)])
    session.create_table(T, [("a", "bigint"), ("b", "text")])
    assert session.fetch(indexes) == kept
    session.replace_table(T, "SELECT a, b FROM s.t")  # the same columns
    assert session.fetch(indexes) == kept
    with pytest.raises(EngineError, match="its index t_pkey cannot be made again"):
        session.replace_table(T, "SELECT x AS a, 'y' AS b, 3 AS e FROM unnest(ARRAY[1, 1]) AS x")
    assert session.columns(T) == [("a", "bigint"), ("b", "text")]
    assert session.fetch(indexes) == kept


def test_bytes_are_bytes(session):
    assert session.fetch("SELECT '\\x00ff'::bytea, NULL::bytea") == [(b"\x00\xff", None)]
    assert session.fetch_table("SELECT '\\x00ff'::bytea AS b")[1] == [(b"\x00\xff",)]


def test_a_connection_that_is_cut_is_told_with_what_to_do(connection, session):
    ((pid,),) = session.fetch("SELECT pg_backend_pid()")
    with connection.session() as other:
        other.fetch("SELECT pg_terminate_backend(?)", [pid])
    for _ in range(2):  # the driver says it in other words once it knows
        with pytest.raises(EngineError) as caught:
            session.fetch("SELECT 1")
        assert "run the same command again" in str(caught.value.hint)
    with connection.session() as another:
        assert another.fetch("SELECT 1") == [(1,)]


def test_settings_of_a_database_do_not_change_what_sql_means(second_postgres):
    name = second_postgres.database
    admin = connected(second_postgres)
    for setting in ("standard_conforming_strings = off", "default_transaction_isolation = 'serializable'"):
        admin.cursor().execute(f"ALTER DATABASE {name} SET {setting}")
    admin.close()
    connection = open_connection(second_postgres)
    with connection.session() as session:
        assert session.fetch(r"SELECT 'a\b'") == [(r"a\b",)]
        with session.transaction():
            assert session.fetch("SHOW transaction_isolation") == [("read committed",)]
    connection.close()


def test_a_table_with_row_security_is_not_replaced_by_one_without(session):
    session.replace_table(T, "SELECT 1 AS a")
    session.execute("ALTER TABLE s.t ENABLE ROW LEVEL SECURITY")
    with pytest.raises(EngineError, match=r"s\.t cannot be made again"):
        session.replace_table(T, "SELECT 1 AS a, 2 AS b")
    assert session.replace_table(T, "SELECT 3 AS a") == 1
