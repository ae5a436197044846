"""`INCREMENTAL_BY_UNIQUE_KEY`: one row for each key, the same however history is cut."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isomesh_dagster.errors import AuditError, ConflictingPlanError, EngineError, ModelError
from isomesh_dagster.model import kinds
from isomesh_dagster.records.events import Audited, Evaluated
from isomesh_dagster.relation import Column
from isomesh_dagster_tests.factories import System, audit, days, model, snapshots

BY_ID = kinds.IncrementalByUniqueKey(unique_key=('"id"',))
EVENTS = "SELECT id, v, ts FROM ext.events WHERE ts >= @start_dt AND ts <= @end_dt"


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        yield system


def events(system, *rows):
    """The source's rows: key, value, day."""
    with system.connection.session() as session:
        session.execute("CREATE SCHEMA IF NOT EXISTS ext")
        session.execute("DROP TABLE IF EXISTS ext.events")
        session.execute("CREATE TABLE ext.events (id INT, v INT, ts TIMESTAMP)")
        for key, value, day in rows:
            session.execute(
                f"INSERT INTO ext.events VALUES (?, ?, TIMESTAMP '2020-01-01' + INTERVAL '{day}' DAY)", (key, value)
            )


def latest(kind=BY_ID, query=EVENTS, depends_on=(), **more):
    return model("mart.latest", query, kind, references=(), depends_on=depends_on, **more)


def table(system):
    return system.rows("SELECT id, v FROM mart.latest ORDER BY id NULLS LAST, v")


def test_the_first_build_has_one_row_for_each_key(system):
    events(system, (1, 10, 0), (1, 11, 1), (1, 9, 1), (2, 20, 0), (None, 30, 0), (None, 31, 2))
    system.apply(system.plan(snapshots([latest()]), batches={"mart.latest": [days(0, 3)]}))
    assert table(system) == [(1, 11), (2, 20), (None, 31)]


def test_a_later_batch_replaces_the_rows_of_its_keys(system):
    events(system, (1, 10, 0), (2, 20, 0), (None, 30, 0), (1, 12, 3), (1, 11, 3), (3, 33, 3), (None, 29, 3))
    shown = snapshots([latest()])
    system.apply(system.plan(shown, batches={"mart.latest": [days(0, 3)]}))
    told = system.apply(system.plan(shown, batches={"mart.latest": [days(3, 4)]}))
    assert table(system) == [(1, 12), (2, 20), (3, 33), (None, 29)]
    assert [event.rows for event in told if isinstance(event, Evaluated)] == [3]
    physical = str(shown["mart.latest"].physical)
    assert system.state.intervals([physical])[physical] == (days(0, 4),)


def test_what_is_there_already_is_not_merged_again(system):
    events(system, (1, 10, 0))
    shown = snapshots([latest()])
    plan = system.plan(shown, batches={"mart.latest": [days(0, 2), days(2, 4)]})
    system.apply(plan)
    events(system, (1, 99, 0))
    system.apply(plan)
    assert table(system) == [(1, 10)]


def test_history_made_again_forgets_what_the_query_no_longer_returns(system):
    events(system, (1, 10, 0), (2, 20, 1))
    shown = snapshots([latest()])
    batches = {"mart.latest": [days(0, 1), days(1, 2)]}
    system.apply(system.plan(shown, batches=batches))
    events(system, (1, 11, 0), (1, 12, 0), (3, 30, 1))
    again = system.plan(shown, batches={"mart.latest": [days(0, 1), days(1, 3)]}, restates=["mart.latest"])
    system.apply(again)
    assert table(system) == [(1, 12), (3, 30)]
    physical = str(shown["mart.latest"].physical)
    assert system.state.intervals([physical])[physical] == (days(0, 3),)
    events(system, (4, 40, 0))
    system.apply(again)  # the same plan has done it
    assert table(system) == [(1, 12), (3, 30)]


def test_a_history_made_again_goes_on_after_a_stop(system):
    events(system, (1, 10, 0), (2, 20, 1))
    bad = audit("no_nines", "SELECT * FROM @this_model WHERE v = 9")
    shown = snapshots([latest(audits=(bad,))])
    system.apply(system.plan(shown, batches={"mart.latest": [days(0, 2)]}))
    events(system, (1, 11, 0), (2, 9, 1))
    again = system.plan(shown, batches={"mart.latest": [days(0, 1), days(1, 2)]}, restates=["mart.latest"])
    with pytest.raises(AuditError, match="no_nines"):
        system.apply(again)
    assert table(system) == [(1, 11)]  # the second batch is rolled back, the first stays
    events(system, (1, 12, 0), (2, 21, 1))
    system.apply(again)
    assert table(system) == [(1, 11), (2, 21)]


def test_lookback_merges_again(system):
    events(system, (1, 10, 1), (2, 20, 2))
    shown = snapshots([latest(kinds.IncrementalByUniqueKey(unique_key=('"id"',), lookback=1))])
    system.apply(system.plan(shown, batches={"mart.latest": [days(0, 3)]}))
    events(system, (1, 99, 1), (2, 21, 2), (3, 30, 3))
    system.apply(system.plan(shown, batches={"mart.latest": [days(2, 4)]}))
    assert table(system) == [(1, 10), (2, 21), (3, 30)]


def test_keys_may_be_expressions_and_several(system):
    kind = kinds.IncrementalByUniqueKey(unique_key=("COALESCE(id, -1)", "v % 10"))
    events(system, (None, 1, 0), (-1, 11, 1), (1, 1, 0), (1, 2, 0))
    shown = snapshots([latest(kind)])
    system.apply(system.plan(shown, batches={"mart.latest": [days(0, 2)]}))
    assert table(system) == [(-1, 11), (1, 1), (1, 2)]
    events(system, (None, 21, 2), (1, 12, 2), (1, 3, 2))
    system.apply(system.plan(shown, batches={"mart.latest": [days(2, 3)]}))
    assert table(system) == [(1, 1), (1, 3), (1, 12), (None, 21)]


def test_when_matched_says_what_becomes_of_a_row(system):
    clauses = "WHEN MATCHED AND source.v < 0 THEN DELETE WHEN MATCHED THEN UPDATE SET target.v = source.v + target.v"
    shown = snapshots([latest(kinds.IncrementalByUniqueKey(unique_key=('"id"',), when_matched=clauses))])
    events(system, (1, 10, 0), (2, 20, 0), (1, 5, 1), (2, -1, 1), (3, 30, 1))
    system.apply(system.plan(shown, batches={"mart.latest": [days(0, 1), days(1, 2)]}))
    assert table(system) == [(1, 15), (3, 30)]
    assert system.rows("SELECT CAST(ts AS DATE)::TEXT FROM mart.latest WHERE id = 1") == [("2020-01-01",)]


def test_a_server_without_merge_gets_the_same_rows_in_two_statements(tmp_path, postgres):
    with System(tmp_path, postgres) as system:
        capabilities = replace(system.connection.capabilities, merge=False)
        system.connection.capabilities = capabilities
        events(system, (1, 10, 0), (2, 20, 0), (None, 30, 0), (1, 12, 3), (1, 11, 3), (3, 33, 3), (None, 29, 3))
        shown = snapshots([latest()])
        system.apply(system.plan(shown, batches={"mart.latest": [days(0, 3)]}))
        told = system.apply(system.plan(shown, batches={"mart.latest": [days(3, 4)]}))
        assert table(system) == [(1, 12), (2, 20), (3, 33), (None, 29)]
        assert [event.rows for event in told if isinstance(event, Evaluated)] == [3]
        matched = kinds.IncrementalByUniqueKey(unique_key=('"id"',), when_matched="WHEN MATCHED THEN DELETE")
        choosy = snapshots([latest(matched)])
        with pytest.raises(ModelError, match="has no MERGE"):
            system.apply(system.plan(choosy, "dev", batches={"mart.latest": [days(0, 3), days(3, 4)]}))


def test_a_merge_filter_limits_what_is_matched(system):
    kind = kinds.IncrementalByUniqueKey(unique_key=('"id"',), merge_filter="source.v > target.v")
    events(system, (1, 10, 0), (2, 20, 0), (1, 11, 1))
    shown = snapshots([latest(kind)])
    system.apply(system.plan(shown, batches={"mart.latest": [days(0, 1), days(1, 2)]}))
    assert table(system) == [(1, 11), (2, 20)]


def test_a_failed_audit_leaves_the_table_as_it_was(system):
    events(system, (1, 10, 0), (1, 9, 1))
    bad = audit("no_nines", "SELECT * FROM @this_model WHERE v = 9")
    shown = snapshots([latest(audits=(bad,))])
    told = system.apply(system.plan(shown, batches={"mart.latest": [days(0, 1)]}))
    assert [event.interval for one in told if isinstance(one, Evaluated) for event in one.audits] == [None]
    assert not [event for event in told if isinstance(event, Audited) and event.failing_rows]
    with pytest.raises(AuditError, match="no_nines"):
        system.apply(system.plan(shown, batches={"mart.latest": [days(1, 2)]}))
    assert table(system) == [(1, 10)]


def test_declared_columns_are_cast(system):
    columns = (Column(name="v", type="VARCHAR"), Column(name="id", type="BIGINT"), Column(name="ts", type="DATE"))
    events(system, (1, 10, 0), (1, 11, 1))
    shown = snapshots([latest(columns=columns)])
    system.apply(system.plan(shown, batches={"mart.latest": [days(0, 1), days(1, 2)]}))
    assert table(system) == [(1, "11")]


def test_a_model_may_read_its_rows_of_before(system):
    query = (
        "SELECT events.id, CAST(events.v + COALESCE(old.v, 0) AS INT) AS v, events.ts FROM ext.events "
        "LEFT JOIN mart.latest AS old ON old.id = events.id WHERE events.ts >= @start_dt AND events.ts <= @end_dt"
    )
    columns = (Column(name="id", type="INT"), Column(name="v", type="INT"), Column(name="ts", type="TIMESTAMP"))
    reader = model("mart.latest", query, BY_ID, columns=columns, depends_on=())
    events(system, (1, 10, 0), (1, 5, 1), (2, 20, 1), (1, 1, 2))
    system.apply(system.plan(snapshots([reader]), batches={"mart.latest": [days(0, 1), days(1, 2), days(2, 3)]}))
    assert table(system) == [(1, 16), (2, 20)]


def test_columns_without_an_order_do_not_hinder_the_choice(system):
    dialect = system.warehouse.dialect
    query = {
        "duckdb": "SELECT id, MAP {'v': v} AS m, [v] AS l, {'v': v} AS s, v, ts FROM ext.events",
        "postgres": "SELECT id, json_build_object('v', v) AS m, ARRAY[v] AS l, point(v, v) AS s, v, ts FROM ext.events",
    }[dialect]
    events(system, (1, 10, 0), (1, 11, 0), (1, 9, 0))
    system.apply(
        system.plan(
            snapshots([latest(query=query, dialect=dialect)]), batches={"mart.latest": [days(0, 1), days(1, 2)]}
        )
    )
    assert len(table(system)) == 1


@pytest.mark.parametrize(
    "kind",
    [
        BY_ID,
        kinds.IncrementalByTimeRange(time_column="ts"),
        kinds.IncrementalUnmanaged(),
        kinds.ScdType2ByTime(unique_key=('"id"',), updated_at_name="ts"),
    ],
    ids=kinds.kind_name,
)
def test_a_large_first_batch_is_there_when_it_is_audited_and_after(system, kind):
    # 122,880 rows are where an engine begins to write a transaction's rows to the file before it commits
    query = "SELECT CAST(x AS INT) AS id, x AS v, TIMESTAMP '2020-01-01' AS ts FROM range(130_000) AS r(x)"
    enough = audit(
        "enough", "SELECT 1 FROM (SELECT COUNT(*) AS rows FROM @this_model WHERE v >= 0) AS counted WHERE rows < 130000"
    )
    system.apply(system.plan(snapshots([latest(kind, query, audits=(enough,))]), batches={"mart.latest": [days(0, 1)]}))
    assert system.rows("SELECT COUNT(*) FROM mart.latest WHERE v >= 0") == [(130_000,)]


def test_a_key_that_is_no_column_is_told(system):
    events(system, (1, 10, 0))
    with pytest.raises(EngineError, match="nowhere"):
        system.apply(
            system.plan(
                snapshots([latest(kinds.IncrementalByUniqueKey(unique_key=('"nowhere"',)))]),
                batches={"mart.latest": [days(0, 1)]},
            )
        )


ROWS = st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 3)), st.integers(0, 5), st.integers(0, 5)), max_size=14)
CUTS = st.sets(st.integers(1, 5))


def test_any_cut_of_history_gives_the_same_table(tmp_path_factory, new_warehouse, examples):
    @settings(max_examples=examples(15))
    @given(rows=ROWS, cuts=CUTS)
    def law(rows, cuts):
        folder = tmp_path_factory.mktemp("keys")
        with System(folder, new_warehouse(folder)) as system:
            events(system, *rows)
            shown = snapshots([latest()])
            borders = [0, *sorted(cuts), 6]
            batches = [days(first, last) for first, last in itertools.pairwise(borders)]
            system.apply(system.plan(shown, batches={"mart.latest": batches}))
            expected = {key: value for key, value, _day in sorted(rows, key=lambda row: (row[2], row[1]))}
            assert dict(table(system)) == expected
            assert len(table(system)) == len(expected)

    law()


def test_a_merge_sees_the_moment_of_each_batch(system):
    events(system, (1, 10, 0), (2, 20, 0), (1, 11, 1), (2, 21, 2))
    kind = kinds.IncrementalByUniqueKey(
        unique_key=('"id"',),
        when_matched="WHEN MATCHED AND source.ts >= @start_ts AND @end_ds = '2020-01-03' THEN UPDATE SET v = source.v",
    )
    system.apply(system.plan(snapshots([latest(kind)]), batches={"mart.latest": [days(0, 1), days(1, 2), days(2, 3)]}))
    assert table(system) == [(1, 10), (2, 21)]


def test_a_merge_may_ask_other_tables_and_its_own(system):
    events(system, (1, 10, 0), (2, 20, 0), (3, 30, 0), (1, 11, 1), (2, 21, 1), (3, 31, 1))
    open_keys = model("ref.open_keys", "SELECT 1 AS id UNION ALL SELECT 3")
    kind = kinds.IncrementalByUniqueKey(
        unique_key=('"id"',),
        when_matched="WHEN MATCHED AND source.v > (SELECT MAX(v) FROM mart.latest) THEN UPDATE SET v = source.v",
        merge_filter="source.id IN (SELECT open_keys.id FROM ref.open_keys) AND @start_ds > '2020-01-01'",
    )
    shown = snapshots([open_keys, latest(kind, depends_on=("ref.open_keys",))])  # as the loader finds it
    system.apply(system.plan(shown, batches={"mart.latest": [days(0, 1), days(1, 2)]}))
    # 2 is not open: its row is one more; of the open ones 1 is not above what was there
    assert table(system) == [(1, 10), (2, 20), (2, 21), (3, 31)]


def test_a_run_and_a_restatement_at_once_write_in_order_or_not_at_all(system):
    events(system, (1, 10, 0), (1, 11, 1), (1, 12, 2))
    shown = snapshots([latest()])
    system.apply(system.plan(shown, batches={"mart.latest": [days(0, 1), days(1, 2)]}))
    physical = str(shown["mart.latest"].physical)
    again = system.plan(
        shown, batches={"mart.latest": [days(0, 1), days(1, 2)]}, restates=["mart.latest"], promote=False
    )
    more = system.plan(shown, batches={"mart.latest": [days(2, 3)]}, promote=False)
    restating, running = system.application(again), system.application(more)
    restating.begin()
    running.begin()
    steps = restating.build(again.builds[0])
    next(event for event in steps if isinstance(event, Evaluated))  # the first of its two batches
    with pytest.raises(ConflictingPlanError, match="history was made anew"):
        list(running.build(more.builds[0]))
    list(steps)
    assert table(system) == [(1, 11)]
    restating.finish()
    running.finish()
    assert system.state.intervals([physical])[physical] == (days(0, 2),)
    # whoever was in the way plans again, and the newest row stays
    system.apply(system.plan(shown, batches={"mart.latest": [days(0, 3)]}, restates=["mart.latest"], promote=False))
    assert table(system) == [(1, 12)]


def test_what_was_made_anew_meanwhile_is_not_recorded_late(system):
    events(system, (1, 10, 0), (1, 11, 1), (1, 12, 2))
    shown = snapshots([latest()])
    system.apply(system.plan(shown, batches={"mart.latest": [days(0, 1), days(1, 2)]}))
    physical = str(shown["mart.latest"].physical)
    more = system.plan(shown, batches={"mart.latest": [days(2, 3)]}, promote=False)
    running = system.application(more)
    running.begin()
    list(running.build(more.builds[0]))
    assert table(system) == [(1, 12)]
    again = {"mart.latest": [days(0, 1), days(1, 2)]}
    system.apply(system.plan(shown, batches=again, restates=["mart.latest"], promote=False))
    assert table(system) == [(1, 11)]
    running.finish()  # it comes to record the third day, which is not there any more
    assert system.state.intervals([physical])[physical] == (days(0, 2),)
