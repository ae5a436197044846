"""Every kind writes what its name says, in batches that never touch each other's rows."""

from __future__ import annotations

import pytest

from isomesh_dagster.errors import EngineError, ModelError
from isomesh_dagster.model import kinds
from isomesh_dagster.model.seeds import seed_hash
from isomesh_dagster.records.events import Built, Evaluated, Reused
from isomesh_dagster.relation import Column
from isomesh_dagster_tests.factories import System, days, model, snapshots

DAYS = model("raw.days", "SELECT CAST(x AS INT) AS x, DATE '2020-01-01' + CAST(x AS INT) AS ds FROM range(10) AS r(x)")
BY_DAY = kinds.IncrementalByTimeRange(time_column="ds")


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        yield system


def events_of(events, kind, name):
    return [event for event in events if isinstance(event, kind) and event.model == name]


def test_full_view_and_seed(system):
    (system.root / "seed.csv").write_text("id,name\n1,one\n2,two\n")
    seed = model("raw.seed", kind=kinds.Seed(path="seed.csv", content_hash=seed_hash(b"id,name\n1,one\n2,two\n")))
    full = model("mart.tens", "SELECT id * 10 AS id, name FROM raw.seed")
    view = model("mart.view", "SELECT MAX(tens.id) AS top FROM mart.tens", kinds.View())
    events = system.apply(system.plan(snapshots([seed, full, view])))
    assert system.rows("SELECT * FROM raw.seed ORDER BY id") == [(1, "one"), (2, "two")]
    assert system.rows("SELECT * FROM mart.tens ORDER BY id") == [(10, "one"), (20, "two")]
    assert system.rows("SELECT * FROM mart.view") == [(20,)]
    (built,) = events_of(events, Built, "mart.tens")
    assert built.columns == system.types(("id", "BIGINT"), ("name", "VARCHAR"))
    assert built.rows == 2
    assert events_of(events, Built, "mart.view")[0].rows is None


def test_a_seed_edited_after_the_plan_is_not_loaded(system):
    file = system.root / "seed.csv"
    file.write_text("id\n1\n")
    seed = model("raw.seed", kind=kinds.Seed(path="seed.csv", content_hash=seed_hash(b"id\n1\n")))
    plan = system.plan(snapshots([seed]))
    file.write_text("id\n2\n")
    with pytest.raises(ModelError, match="is not what it was when the plan was made"):
        system.apply(plan)
    assert system.state.environment("prod") is None
    assert system.relations("isomesh__raw") == []
    file.write_text("id\r\n1\r\n")  # the same content
    system.apply(plan)
    assert system.rows("SELECT * FROM raw.seed") == [(1,)]


def test_declared_columns_are_cast_and_ordered(system):
    columns = (Column(name="name", type="VARCHAR"), Column(name="id", type="SMALLINT"), Column(name="rest"))
    full = model("mart.full", "SELECT 1 AS id, 7 AS name, true AS rest, 'not declared' AS more", columns=columns)
    view = model("mart.view", "SELECT 1 AS id, 7 AS name, true AS rest", kinds.View(), columns=columns)
    events = system.apply(system.plan(snapshots([full, view])))
    expected = system.types(("name", "VARCHAR"), ("id", "SMALLINT"), ("rest", "BOOLEAN"))
    assert events_of(events, Built, "mart.full")[0].columns == expected
    assert events_of(events, Built, "mart.view")[0].columns == expected


def test_embedded_models_are_inlined_also_nested(system):
    low = model("stage.low", "SELECT x FROM raw.days WHERE x < 5 -- a comment ends it", kinds.Embedded())
    next_ones = model("stage.next_ones", "SELECT low.x + 1 AS x FROM stage.low", kinds.Embedded())
    reader = model("mart.reader", "SELECT SUM(next_ones.x) AS total FROM stage.next_ones")
    system.apply(system.plan(snapshots([DAYS, low, next_ones, reader])))
    assert system.rows("SELECT total FROM mart.reader") == [(15,)]
    assert system.relations("stage") == []


def test_a_time_range_batch_owns_its_days_only(system):
    # without a filter of its own: rows outside of the batch must be discarded
    daily = model("mart.daily", "SELECT ds, x FROM raw.days", BY_DAY)
    shown = snapshots([DAYS, daily])
    events = system.apply(system.plan(shown, batches={"mart.daily": [days(0, 3), days(5, 7)]}))
    assert [event.rows for event in events_of(events, Evaluated, "mart.daily")] == [3, 2]
    assert [row[0] for row in system.rows("SELECT x FROM mart.daily ORDER BY x")] == [0, 1, 2, 5, 6]
    physical = str(shown["mart.daily"].physical)
    assert system.state.intervals([physical])[physical] == (days(0, 3), days(5, 7))
    later = system.plan(shown, batches={"mart.daily": [days(3, 5)]})
    system.apply(later)
    assert [row[0] for row in system.rows("SELECT x FROM mart.daily ORDER BY x")] == [0, 1, 2, 3, 4, 5, 6]
    assert system.state.intervals([physical])[physical] == (days(0, 7),)


def test_a_restated_range_is_replaced_and_the_rest_stays(system):
    daily = model("mart.daily", "SELECT ds, x FROM raw.days", BY_DAY)
    shown = snapshots([DAYS, daily])
    system.apply(system.plan(shown, batches={"mart.daily": [days(0, 6)]}))
    physical = shown["mart.daily"].physical
    with system.connection.session() as session:
        session.execute(f"UPDATE {physical.sql} SET x = x + 100")
    plan = system.plan(shown, batches={"mart.daily": [days(2, 4)]}, restates=["mart.daily"])
    assert plan.promote is None
    events = system.apply(plan)
    assert events_of(events, Evaluated, "mart.daily")[0].rows == 2
    assert [row[0] for row in system.rows("SELECT x FROM mart.daily ORDER BY ds")] == [100, 101, 2, 3, 104, 105]
    assert system.state.intervals([str(physical)])[str(physical)] == (days(0, 6),)
    assert system.state.open_plans() == []
    # the same restatement again: this plan has done it
    assert [type(event) for event in system.apply(plan)] == [Reused]


def test_lookback_is_built_again_although_it_is_loaded(system):
    daily = model(
        "mart.daily", "SELECT ds, x FROM raw.days", kinds.IncrementalByTimeRange(time_column="ds", lookback=2)
    )
    shown = snapshots([DAYS, daily])
    system.apply(system.plan(shown, batches={"mart.daily": [days(0, 4)]}))
    with system.connection.session() as session:
        session.execute(f"UPDATE {shown['mart.daily'].physical.sql} SET x = x + 100")
    system.apply(system.plan(shown, batches={"mart.daily": [days(2, 4), days(4, 5)]}))
    assert [row[0] for row in system.rows("SELECT x FROM mart.daily ORDER BY ds")] == [100, 101, 2, 3, 4]


@pytest.mark.parametrize(
    ("expression", "time_format", "column_type"),
    [
        ("ds", "%Y-%m-%d", "DATE"),
        ("CAST(ds AS TIMESTAMP) + INTERVAL 23 HOURS + INTERVAL 59 MINUTES", "%Y-%m-%d", "TIMESTAMP"),
        ("CAST(ds AS TIMESTAMPTZ)", "%Y-%m-%d", "TIMESTAMP WITH TIME ZONE"),
        ("strftime(ds, '%Y-%m-%d')", "%Y-%m-%d", "VARCHAR"),
        ("CAST(strftime(ds, '%Y%m%d') AS INT)", "%Y%m%d", "INTEGER"),
        ("strftime(ds, '%Y%m%d')", "%Y%m%d", "VARCHAR"),
    ],
)
def test_time_columns_of_every_type(system, expression, time_format, column_type):
    kind = kinds.IncrementalByTimeRange(time_column="at", time_format=time_format)
    daily = model("mart.daily", f"SELECT {expression} AS at, x FROM raw.days", kind)
    shown = snapshots([DAYS, daily])
    events = system.apply(system.plan(shown, batches={"mart.daily": [days(1, 2), days(2, 4)]}))
    assert events_of(events, Built, "mart.daily")[0].columns[:1] == system.types(("at", column_type))
    assert [event.rows for event in events_of(events, Evaluated, "mart.daily")] == [1, 2]
    system.apply(system.plan(shown, batches={"mart.daily": [days(1, 3)]}, restates=["mart.daily"]))
    assert [row[0] for row in system.rows("SELECT x FROM mart.daily ORDER BY x")] == [1, 2, 3]


def test_columns_are_matched_by_name_in_every_batch(system):
    daily = model(
        "mart.daily",
        "SELECT x, ds FROM raw.days",
        BY_DAY,
        columns=(Column(name="ds", type="DATE"), Column(name="x", type="INT")),
    )
    system.apply(system.plan(snapshots([DAYS, daily]), batches={"mart.daily": [days(0, 1), days(1, 2)]}))
    assert system.rows("SELECT ds::TEXT, x FROM mart.daily ORDER BY x") == [("2020-01-01", 0), ("2020-01-02", 1)]


def test_a_model_may_read_itself_when_its_columns_are_declared(system):
    query = "SELECT ds, x + COALESCE((SELECT MAX(total) FROM mart.running), 0) AS total FROM raw.days WHERE x > 0"
    columns = (Column(name="ds", type="DATE"), Column(name="total", type="BIGINT"))
    running = model("mart.running", query, BY_DAY, columns=columns)
    batches = {"mart.running": [days(1, 2), days(2, 3), days(3, 4)]}
    system.apply(system.plan(snapshots([DAYS, running]), batches=batches))
    assert [row[0] for row in system.rows("SELECT total FROM mart.running ORDER BY ds")] == [1, 3, 6]
    undeclared = model("mart.running", query, BY_DAY)
    with pytest.raises(ModelError, match="reads itself"):
        system.apply(system.plan(snapshots([DAYS, undeclared]), "dev", batches=batches))


def test_nothing_due_makes_an_empty_table_with_its_view(system):
    daily = model("mart.daily", "SELECT ds, x FROM raw.days", BY_DAY)
    shown = snapshots([DAYS, daily])
    plan = system.plan(shown, batches={"mart.daily": []})
    events = system.apply(plan)
    assert events_of(events, Evaluated, "mart.daily") == []
    assert events_of(events, Built, "mart.daily")[0].columns == system.types(("ds", "DATE"), ("x", "INTEGER"))
    assert system.rows("SELECT * FROM mart.daily") == []
    system.apply(system.plan(shown, batches={"mart.daily": [days(0, 2)]}))
    assert len(system.rows("SELECT * FROM mart.daily")) == 2
    assert system.rows("SELECT COUNT(*) FROM isomesh_meta.loaded WHERE start_ms = end_ms") == [(0,)]


def test_a_missing_time_column_is_told(system):
    daily = model("mart.daily", "SELECT x FROM raw.days", BY_DAY)
    with pytest.raises(ModelError, match=r"'ds' is not a column.*\n.*its columns are x"):
        system.apply(system.plan(snapshots([DAYS, daily]), batches={"mart.daily": [days(0, 2)]}))


def test_a_missing_seed_file_is_told(system):
    seed = model("raw.seed", kind=kinds.Seed(path="nowhere.csv", content_hash="x"))
    with pytest.raises(ModelError, match=r"nowhere\.csv is missing"):
        system.apply(system.plan(snapshots([seed])))


def test_an_engine_error_names_the_model(system):
    with pytest.raises(EngineError, match="no_such_column") as caught:
        system.apply(system.plan(snapshots([DAYS, model("mart.bad", "SELECT no_such_column FROM raw.days")])))
    assert caught.value.model == "mart.bad"
    assert caught.value.path == "models/mart/bad.sql"


def test_external_tables_are_read_as_they_are_named(system):
    with system.connection.session() as session:
        session.execute("CREATE SCHEMA ext")
        session.execute("CREATE TABLE ext.orders AS SELECT 42 AS id")
    known = model("ext.orders", kind=kinds.External())
    reader = model("mart.reader", "SELECT orders.id FROM ext.orders")
    system.apply(system.plan(snapshots([known, reader])))
    assert system.rows("SELECT id FROM mart.reader") == [(42,)]
    assert system.relations("ext") == ["orders"]


def test_a_materialized_view_shows_the_rows_of_its_last_build(tmp_path, postgres):
    with System(tmp_path, postgres) as system:
        source = model("raw.source", "SELECT 1 AS x")
        kept = model("mart.kept", "SELECT x FROM raw.source", kinds.View(materialized=True))
        shown = snapshots([source, kept])
        system.apply(system.plan(shown))
        with system.connection.session() as session:
            session.execute(f"INSERT INTO {shown['raw.source'].physical.sql} VALUES (2)")
        assert system.rows("SELECT x FROM mart.kept") == [(1,)]
        system.apply(system.plan(shown, batches={"mart.kept": [days(0, 11)]}, restates=["mart.kept"]))
        assert system.rows("SELECT x FROM mart.kept ORDER BY x") == [(1,), (2,)]
