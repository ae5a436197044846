"""Slowly changing dimensions: every version of a row, valid in a time that meets no other of its key."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isomesh_dagster.errors import AuditError
from isomesh_dagster.model import kinds
from isomesh_dagster.records.events import Built
from isomesh_dagster.relation import Column
from isomesh_dagster_tests.factories import T0, System, audit, days, model, snapshots

KEY = ('"id"',)
BY_TIME = kinds.ScdType2ByTime(unique_key=KEY)
BY_COLUMN = kinds.ScdType2ByColumn(unique_key=KEY, columns=("v",))
QUERY = "SELECT id, v, updated_at FROM ext.customers"


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        yield system


def source(system, *rows):
    """The source as it is now: key, value, day of January 2020 of the last update."""
    with system.connection.session() as session:
        session.execute("CREATE SCHEMA IF NOT EXISTS ext")
        session.execute("DROP TABLE IF EXISTS ext.customers")
        session.execute("CREATE TABLE ext.customers (id INT, v INT, updated_at TIMESTAMP)")
        for key, value, day in rows:
            moment = None if day is None else datetime(2020, 1, day)
            session.execute("INSERT INTO ext.customers VALUES (?, ?, ?)", (key, value, moment))


def dimension(kind, query=QUERY, **more):
    return model("mart.customers", query, kind, references=(), depends_on=(), **more)


class Life:
    """A dimension that is loaded day after day."""

    def __init__(self, system, kind, **more):
        self.system = system
        self.shown = snapshots([dimension(kind, **more)])

    def load(self, day, *rows):
        """Load what the source says on that day of January 2020, the interval before it."""
        source(self.system, *rows)
        self.system.now = T0 + timedelta(days=day - 1)
        return self.system.apply(self.system.plan(self.shown, batches={"mart.customers": [days(day - 2, day - 1)]}))

    def table(self):
        """Key, value, first and last day: 0 stands for 1970, None for what goes on."""
        rows = self.system.rows(
            "SELECT id, v, valid_from, valid_to FROM mart.customers "
            "ORDER BY id NULLS LAST, valid_from, valid_to NULLS LAST"
        )
        return [(key, value, _day(first), _day(last)) for key, value, first, last in rows]


def _day(moment):
    if moment is None:
        return None
    return 0 if moment.year == 1970 else (moment - datetime(2019, 12, 31)).days


def test_by_time(system):
    life = Life(system, BY_TIME)
    life.load(10, (1, 10, 5), (2, 20, 5), (3, 30, 5))
    assert life.table() == [(1, 10, 0, None), (2, 20, 0, None), (3, 30, 0, None)]
    life.load(11, (1, 11, 7), (2, 21, 5), (4, 40, 9))
    assert life.table() == [
        (1, 10, 0, 7),  # changed: the old version ends where the new one begins
        (1, 11, 7, None),
        (2, 20, 0, None),  # other values, same update: not a version
        (3, 30, 0, None),  # gone, and deletes do not count
        (4, 40, 0, None),  # found later, valid since ever
    ]


def test_by_time_with_deletes_and_returns(system):
    life = Life(system, kinds.ScdType2ByTime(unique_key=KEY, invalidate_hard_deletes=True))
    life.load(10, (1, 10, 5), (2, 20, 5), (3, 30, 5))
    life.load(11, (3, 30, 5))
    assert life.table() == [(1, 10, 0, 11), (2, 20, 0, 11), (3, 30, 0, None)]
    life.load(12, (1, 10, 5), (2, 21, 20), (3, 30, 5))
    assert life.table() == [
        (1, 10, 0, 11),
        (1, 10, 11, None),  # back as it was: valid again since it was missed
        (2, 20, 0, 11),
        (2, 21, 20, None),  # back with a later update
        (3, 30, 0, None),
    ]


def test_by_time_valid_since_the_update(system):
    life = Life(system, kinds.ScdType2ByTime(unique_key=KEY, updated_at_as_valid_from=True))
    life.load(10, (1, 10, 5), (2, 20, None))
    life.load(11, (1, 11, 6), (2, 20, 8), (3, 30, 7))
    assert life.table() == [(1, 10, 5, 6), (1, 11, 6, None), (2, 20, 0, 8), (2, 20, 8, None), (3, 30, 7, None)]


def test_by_column(system):
    life = Life(system, BY_COLUMN)
    life.load(10, (1, 10, 5), (2, 20, 5), (3, None, 5), (5, 50, 5))
    life.load(11, (1, 11, 5), (2, 20, 9), (3, 30, 5), (4, 40, 5), (5, None, 5))
    assert life.table() == [
        (1, 10, 0, 11),
        (1, 11, 11, None),
        (2, 20, 0, None),  # updated, but no column that counts
        (3, None, 0, 11),
        (3, 30, 11, None),
        (4, 40, 11, None),  # found later: valid since then
        (5, 50, 0, 11),
        (5, None, 11, None),
    ]


def test_by_all_columns_and_deletes(system):
    life = Life(system, kinds.ScdType2ByColumn(unique_key=KEY, invalidate_hard_deletes=True))
    life.load(10, (1, 10, 5), (2, 20, 5))
    life.load(11, (1, 10, 6))
    life.load(12, (1, 10, 6), (2, 20, 5))
    assert life.table() == [(1, 10, 0, 11), (1, 10, 11, None), (2, 20, 0, 11), (2, 20, 12, None)]


def test_by_column_valid_since_the_execution(system):
    life = Life(system, kinds.ScdType2ByColumn(unique_key=KEY, columns=("v",), execution_time_as_valid_from=True))
    life.load(10, (1, 10, 5))
    life.load(11, (1, 11, 5), (2, 20, 5))
    assert life.table() == [(1, 10, 10, 11), (1, 11, 11, None), (2, 20, 11, None)]


def test_by_column_with_the_time_of_the_update(system):
    kind = kinds.ScdType2ByColumn(
        unique_key=KEY, columns=("v",), updated_at_name="updated_at", invalidate_hard_deletes=True
    )
    life = Life(system, kind)
    life.load(10, (1, 10, 5), (2, 20, 5))
    life.load(11, (1, 11, 7), (3, 30, 8), (4, 40, None))
    assert life.table() == [(1, 10, 0, 7), (1, 11, 7, None), (2, 20, 0, 11), (3, 30, 8, None), (4, 40, 11, None)]


def test_of_several_rows_with_a_key_the_latest_counts(system):
    life = Life(system, BY_TIME)
    life.load(10, (1, 10, 5), (1, 11, 6), (1, 9, 6), (None, 1, 5), (None, 2, 4))
    assert life.table() == [(1, 11, 0, None), (None, 1, 0, None)]
    life.load(11, (1, 11, 6), (None, 3, 7))
    assert life.table() == [(1, 11, 0, None), (None, 1, 0, 7), (None, 3, 7, None)]


def test_a_time_that_goes_back_makes_no_version_end_before_it_began(system):
    life = Life(system, kinds.ScdType2ByTime(unique_key=KEY, invalidate_hard_deletes=True))
    life.load(10, (1, 10, 5))
    life.load(12)
    life.load(13, (1, 10, 5))  # valid again since the 12th
    life.load(14, (1, 11, 7))  # updated on the 7th, as we learn
    assert life.table() == [(1, 10, 0, 12), (1, 10, 12, 12), (1, 11, 12, None)]


def test_the_types_of_times(system):
    kind = kinds.ScdType2ByTime(
        unique_key=KEY, time_data_type="DATE", valid_from_name="since", valid_to_name="until", updated_at_name="changed"
    )
    query = "SELECT strftime(updated_at, '%Y-%m-%d') AS changed, id, v FROM ext.customers"
    life = Life(system, kind, query=query)
    told = life.load(10, (1, 10, 5))
    (built,) = (event for event in told if isinstance(event, Built))
    assert built.columns == system.types(
        ("changed", "DATE"),
        ("id", "INTEGER"),
        ("v", "INTEGER"),
        ("since", "DATE"),
        ("until", "DATE"),
    )
    life.load(11, (1, 11, 7))
    found = system.rows("SELECT v, since::TEXT, until::TEXT FROM mart.customers ORDER BY v")
    assert found == [(10, "1970-01-01", "2020-01-07"), (11, "2020-01-07", None)]


def test_times_with_zone_and_declared_columns(system):
    columns = (
        Column(name="id", type="BIGINT"),
        Column(name="v", type="VARCHAR"),
        Column(name="updated_at", type="TIMESTAMP"),
    )
    kind = kinds.ScdType2ByTime(unique_key=KEY, time_data_type="TIMESTAMPTZ", invalidate_hard_deletes=True)
    life = Life(system, kind, columns=columns)
    told = life.load(10, (1, 10, 5))
    (built,) = (event for event in told if isinstance(event, Built))
    zoned = "TIMESTAMP WITH TIME ZONE"
    types = (("id", "BIGINT"), ("v", "VARCHAR"), ("updated_at", zoned), ("valid_from", zoned), ("valid_to", zoned))
    assert built.columns == system.types(*types)
    life.load(11)
    assert system.rows("SELECT v, valid_to AT TIME ZONE 'UTC' FROM mart.customers") == [("10", datetime(2020, 1, 11))]


def test_a_load_that_is_refused_leaves_no_trace(system):
    bad = audit("one_open", "SELECT id FROM @this_model WHERE valid_to IS NULL AND v = 9")
    life = Life(system, BY_COLUMN, audits=(bad,))
    life.load(10, (1, 10, 5))
    with pytest.raises(AuditError):
        life.load(11, (1, 9, 5))
    assert life.table() == [(1, 10, 0, None)]
    life.load(11, (1, 8, 5))
    assert life.table() == [(1, 10, 0, 11), (1, 8, 11, None)]


def test_keys_may_be_expressions(system):
    life = Life(system, kinds.ScdType2ByColumn(unique_key=("COALESCE(id, 0)", "v % 2"), columns=("v",)))
    life.load(10, (None, 2, 5), (1, 3, 5))
    life.load(11, (0, 4, 5), (1, 3, 5), (1, 2, 5))
    assert life.table() == [(0, 4, 11, None), (1, 3, 0, None), (1, 2, 11, None), (None, 2, 0, 11)]


ROW = st.tuples(st.one_of(st.none(), st.integers(0, 2)), st.integers(0, 3), st.one_of(st.none(), st.integers(1, 28)))
LOADS = st.lists(st.lists(ROW, max_size=5), min_size=1, max_size=5)
KINDS = st.one_of(
    st.builds(
        kinds.ScdType2ByTime,
        unique_key=st.just(KEY),
        invalidate_hard_deletes=st.booleans(),
        updated_at_as_valid_from=st.booleans(),
    ),
    st.builds(
        kinds.ScdType2ByColumn,
        unique_key=st.just(KEY),
        columns=st.sampled_from([None, ("v",)]),
        invalidate_hard_deletes=st.booleans(),
        execution_time_as_valid_from=st.booleans(),
        updated_at_name=st.sampled_from([None, "updated_at"]),
    ),
)


def test_versions_of_a_key_never_overlap_and_one_is_open(tmp_path_factory, new_warehouse, examples):
    @settings(max_examples=examples(25))
    @given(kind=KINDS, loads=LOADS)
    def law(kind, loads):
        folder = tmp_path_factory.mktemp("versions")
        with System(folder, new_warehouse(folder)) as system:
            versions_of(system, kind, loads)

    law()


def versions_of(system, kind, loads):
    life = Life(system, kind)
    before = []
    seen = set()
    for day, rows in enumerate(loads, start=10):
        life.load(day, *rows)
        table = system.rows("SELECT id, v, updated_at, valid_from, valid_to FROM mart.customers")
        present = {key for key, _, _ in rows}
        seen |= present
        versions = {}
        for key, *_, first, last in table:
            assert first is not None
            assert last is None or last >= first
            versions.setdefault(key, []).append((first, last or datetime.max))
        for times in versions.values():
            times.sort()
            assert all(one[1] <= other[0] for one, other in itertools.pairwise(times))
        opened = [key for key, *_, last in table if last is None]
        assert len(opened) == len(set(opened))
        assert set(opened) == (present if kind.invalidate_hard_deletes else seen)
        # what ended stays as it was
        assert all(row in table for row in before if row[-1] is not None)
        before = table


def test_the_same_source_again_changes_nothing(tmp_path_factory, new_warehouse, examples):
    @settings(max_examples=examples(10))
    @given(kind=KINDS, rows=st.lists(ROW, max_size=6))
    def law(kind, rows):
        folder = tmp_path_factory.mktemp("versions")
        with System(folder, new_warehouse(folder)) as system:
            life = Life(system, kind)
            life.load(10, *rows)
            first = life.table()
            life.load(11, *rows)
            assert life.table() == first

    law()


def test_by_columns_of_a_type_that_has_no_equality(system):
    query = "SELECT id, CAST('{\"v\": ' || CAST(v AS VARCHAR) || '}' AS JSON) AS j FROM ext.customers"
    life = Life(system, kinds.ScdType2ByColumn(unique_key=KEY, columns=("j",)), query=query)
    life.load(10, (1, 10, 5), (2, 20, 5))
    life.load(11, (1, 11, 5), (2, 20, 5))
    assert system.rows("SELECT id, COUNT(*) FROM mart.customers GROUP BY id ORDER BY id") == [(1, 2), (2, 1)]
