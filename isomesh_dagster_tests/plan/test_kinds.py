"""Kinds whose batches stand on each other: what is missing, in which order it is built, and what an edit means."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isomesh_dagster.model import kinds
from isomesh_dagster.plan.build import build_plan, build_run
from isomesh_dagster.plan.layer import Layer
from isomesh_dagster.plan.missing import batches, missing, must_begin_again
from isomesh_dagster.plan.restate import EVER, reach
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.plan.words import build_words
from isomesh_dagster.relation import Column
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster_tests.plan.projects import DAY, NOW, System, graph, model

BY_ID = kinds.IncrementalByUniqueKey(unique_key=('"id"',))
BY_PARTITION = kinds.IncrementalByPartition()
APPENDED = kinds.IncrementalUnmanaged()
BY_TIME = kinds.ScdType2ByTime(unique_key=('"id"',))
BY_COLUMN = kinds.ScdType2ByColumn(unique_key=('"id"',))
ALL = [BY_ID, BY_PARTITION, APPENDED, BY_TIME, BY_COLUMN]
QUERY = "SELECT id, v, updated_at FROM raw.src"


def days(first: int, last: int) -> Interval:
    """Days before NOW: `days(-2, 0)` are the last two."""
    return Interval(NOW + first * DAY, NOW + last * DAY)


def of(kind, query=QUERY, **more):
    return model("m.t", query, kind, **{"partitioned_by": ("id",), "forward_only": False, **more})


# --- what is missing


def test_a_gap_before_what_is_loaded():
    recorded = (days(-3, -1),)
    span = {"start": NOW - 5 * DAY, "end": NOW}
    both = (days(-5, -3), days(-1, 0))
    for kind in (BY_ID, BY_PARTITION, APPENDED):
        assert missing(of(kind), recorded, **span) == both
    for kind in (BY_TIME, BY_COLUMN):
        assert missing(of(kind), recorded, **span) == (days(-1, 0),)
    assert must_begin_again(of(BY_ID), recorded, both)
    assert must_begin_again(of(BY_PARTITION), recorded, both)
    assert not must_begin_again(of(APPENDED), recorded, both)
    assert not must_begin_again(of(BY_ID), recorded, (days(-1, 0),))
    assert not must_begin_again(of(BY_ID), (), both)


def test_lookback_is_no_reason_to_begin_again():
    found = of(replace(BY_ID, lookback=1))
    gaps = missing(found, (days(-3, -1),), start=NOW - 3 * DAY, end=NOW)
    assert gaps == (days(-2, 0),)
    assert not must_begin_again(found, (days(-3, -1),), gaps)


def test_batches():
    whole = (days(-5, 0),)
    assert batches(of(replace(BY_TIME, batch_size=2)), whole) == (days(-5, -3), days(-3, -1), days(-1, 0))
    assert batches(of(replace(BY_ID, batch_size=3)), whole) == (days(-5, -2), days(-2, 0))
    assert batches(of(BY_PARTITION), whole) == whole


@pytest.mark.parametrize("kind", ALL, ids=kinds.kind_name)
def test_a_build_by_intervals_and_nothing_after_it(kind):
    system, project = System(), graph(of(kind))
    plan = system.apply(system.plan(project))
    (build,) = plan.builds
    assert build.intervals == (days(-2, 0),)
    assert build_words(build) == "2023-12-30 → 2023-12-31 (2 days, 1 batch)"
    assert system.plan(project).is_empty
    assert plan.restates == frozenset()
    assert plan.warnings == ()


def run(system, now):
    current = system.environments["prod"]
    shown = system.shown("prod")
    return build_run(
        layer=Layer(gateway="test"),
        current=current,
        graph=graph(*(one.model for one in shown.values())),
        snapshots=shown,
        recorded=system.recorded,
        now=now,
    )


@pytest.mark.parametrize("kind", ALL, ids=kinds.kind_name)
def test_a_run_goes_on_where_the_last_ended(kind):
    system = System()
    system.apply(system.plan(graph(of(kind))))
    plan = run(system, NOW + 2 * DAY)
    assert [build.intervals for build in plan.builds] == [(days(0, 2),)]
    assert plan.restates == frozenset()


@pytest.mark.parametrize(("kind", "again"), [(BY_ID, True), (BY_PARTITION, True), (APPENDED, False), (BY_TIME, None)])
def test_an_earlier_start(kind, again):
    system = System()
    system.apply(system.plan(graph(of(kind))))
    plan = system.plan(graph(of(kind, start="2023-12-28")))
    if again is None:
        assert plan.builds == ()
        return
    (build,) = plan.builds
    assert build.intervals == ((days(-4, 0),) if again else (days(-4, -2),))
    assert plan.restates == ({"m.t"} if again else set())


BY_DAY = kinds.IncrementalByTimeRange(time_column="updated_at")
OF_ITS_OWN = ["SELECT id, v, updated_at FROM m.t", "SELECT id, v, updated_at FROM @this_model"]


@pytest.mark.parametrize("query", OF_ITS_OWN)
def test_what_reads_its_own_rows_is_built_again_from_the_first_gap_on(query):
    system = System()
    system.apply(system.plan(graph(of(BY_DAY, query))))
    plan = system.plan(graph(of(BY_DAY, query, start="2023-12-28")))
    assert [build.intervals for build in plan.builds] == [(days(-4, 0),)]
    assert plan.restates == {"m.t"}


@pytest.mark.parametrize("query", OF_ITS_OWN)
def test_what_is_restated_of_its_own_rows_reaches_to_the_end(query):
    own, reader, other = (
        of(BY_DAY, query),
        model("m.reader", "SELECT id, v, updated_at FROM m.t", BY_DAY),
        model("m.other", QUERY, BY_DAY),
    )
    reached = reach(graph(own, reader, other), {"m.t", "m.other"}, days(-4, -3), ())
    assert reached == {
        "m.t": Interval(days(-4, 0).start, EVER.end),
        "m.reader": Interval(days(-4, 0).start, EVER.end),
        "m.other": days(-4, -3),
    }
    assert reach(graph(own), {"m.t"}, EVER, ()) == {"m.t": EVER}


def test_a_preview_of_the_last_days_stands_on_all_before_them():
    system = System()
    project = graph(of(BY_ID), model("m.plain", QUERY, kinds.IncrementalByTimeRange(time_column="updated_at")))
    plan = build_plan(
        layer=Layer(gateway="test"),
        environment="dev",
        current=None,
        compared_with=None,
        shown={},
        graph=project,
        decision=system.decision(project, "dev"),
        known=set(),
        recorded={},
        now=NOW,
        wish=Wish(within=days(-1, 0)),
    )
    assert {build.snapshot.name: build.intervals for build in plan.builds} == {
        "m.plain": (days(-1, 0),),
        "m.t": (days(-2, 0),),
    }


# --- what an edit means


def category(old, new, *others):
    """Of `m.t` and of its reader, when `old` becomes `new`."""
    system = System()
    reader = model("m.reader", "SELECT id FROM m.t")
    system.apply(system.plan(graph(old, reader, *others)))
    decision = system.decision(graph(new, reader, *others))
    changed = {change.model: change.category for change in decision.changes}
    return changed.get("m.t"), changed.get("m.reader")


BOTH = (Category.BREAKING, Category.INDIRECT_BREAKING)
OWN = (Category.NON_BREAKING, Category.INDIRECT_NON_BREAKING)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (BY_ID, replace(BY_ID, unique_key=('"v"',))),
        (BY_ID, replace(BY_ID, merge_filter="source.v > 1")),
        (BY_ID, replace(BY_ID, when_matched="WHEN MATCHED THEN DELETE")),
        (BY_ID, replace(BY_ID, lookback=2)),
        (BY_TIME, replace(BY_TIME, invalidate_hard_deletes=True)),
        (BY_TIME, replace(BY_TIME, valid_from_name="since")),
        (BY_COLUMN, replace(BY_COLUMN, columns=("v",))),
        (APPENDED, replace(APPENDED, insert_overwrite=True)),
        (BY_ID, BY_PARTITION),
        (BY_TIME, BY_COLUMN),
    ],
)
def test_parameters_that_change_rows(old, new):
    assert category(of(old), of(new)) == BOTH


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (BY_ID, replace(BY_ID, batch_size=2, disable_restatement=True)),
        (BY_TIME, replace(BY_TIME, batch_size=2, disable_restatement=False)),
    ],
)
def test_parameters_that_do_not(old, new):
    assert category(of(old), of(new)) == (Category.METADATA, None)


def test_what_is_only_spelled_otherwise_builds_nothing():
    def spelled(amount, day):
        columns = (Column(name="ds", type="DATE"), Column(name="id", type=amount))
        by_day = kinds.IncrementalByTimeRange(time_column="ds")
        return model("m.t", "SELECT ds, id FROM raw.src", by_day, columns=columns, partitioned_by=(day,))

    before = spelled("DECIMAL(9,2)", "ds")
    for after in (spelled("numeric(9, 2)", "ds"), spelled("DECIMAL(9,2)", "DS")):
        assert category(before, after) == (Category.METADATA, Category.INDIRECT_NON_BREAKING)
    assert category(before, spelled("DECIMAL(9,3)", "ds")) == BOTH


ADDED = "SELECT id, v, updated_at, 1 AS one FROM raw.src"


@pytest.mark.parametrize(
    ("kind", "query", "expected"),
    [
        (BY_PARTITION, ADDED, OWN),
        (BY_ID, ADDED, OWN),  # compared last, it decides nothing
        (BY_ID, "SELECT 1 AS one, id, v, updated_at FROM raw.src", BOTH),
        (BY_ID, "SELECT id, v, updated_at, CAST(x AS DATE) AS day FROM raw.src", BOTH),
        (BY_ID, "SELECT id, v, updated_at, unknown FROM raw.src", BOTH),
        (BY_ID, "SELECT id, updated_at, v FROM raw.src", BOTH),
        (BY_PARTITION, "SELECT id, updated_at, v FROM raw.src", OWN),
        (APPENDED, ADDED, BOTH),
        (BY_TIME, ADDED, BOTH),
        (BY_ID, "SELECT id, v + 1 AS v, updated_at FROM raw.src", BOTH),
        (BY_PARTITION, "SELECT id, v + 1 AS v, updated_at FROM raw.src", BOTH),
    ],
)
def test_columns_of_the_query(kind, query, expected):
    assert category(of(kind), of(kind, query)) == expected


def test_what_partitions_are_matters_where_they_are_replaced():
    for kind, expected in ((BY_PARTITION, BOTH), (BY_ID, OWN)):
        changed = replace(of(kind), partitioned_by=("v",))
        assert category(of(kind), changed) == expected


def test_storage_does_not_cost_a_history():
    for kind in (BY_TIME, APPENDED):
        changed = replace(of(kind), clustered_by=("id",))
        assert category(of(kind), changed)[0] is Category.METADATA
    stamped = replace(of(BY_TIME), stamp="again")
    assert category(of(BY_TIME), stamped) == BOTH


def test_a_history_that_ends_is_told():
    system = System()
    system.apply(system.plan(graph(of(BY_TIME))))
    old = system.shown("prod")["m.t"].physical
    plan = system.plan(graph(of(BY_TIME, "SELECT id, v + 1 AS v, updated_at FROM raw.src")))
    (told,) = plan.warnings
    assert "m.t begins anew" in told
    assert str(old) in told
    assert system.plan(graph(of(BY_ID))).warnings == plan.warnings
    assert system.plan(graph(of(replace(BY_TIME, batch_size=3)))).warnings == ()


def test_a_changed_column_of_a_parent_reaches_all_of_a_keyed_reader():
    def project(kind, expression):
        parent = model("m.parent", f"SELECT id, {expression} AS v, 1 AS w, updated_at FROM raw.src")
        child = model("m.t", "SELECT id, v, updated_at FROM m.parent", kind)
        return graph(parent, child, model("m.reader", "SELECT id FROM m.t"))

    for kind, expected in ((BY_ID, Category.INDIRECT_BREAKING), (kinds.Full(), Category.INDIRECT_NON_BREAKING)):
        system = System()
        system.apply(system.plan(project(kind, "v")))
        changes = {one.model: one.category for one in system.decision(project(kind, "v + 1")).changes}
        assert changes["m.t"] is Category.INDIRECT_BREAKING
        assert changes["m.reader"] is expected


# --- columns


def test_readers_see_the_times_of_validity():
    reader = model("m.reader", "SELECT * FROM m.t")
    system = System()
    system.apply(system.plan(graph(of(BY_TIME), reader)))
    changed = graph(of(replace(BY_TIME, valid_to_name="until")), reader)
    reasons = {one.model: one for one in system.decision(changed).changes}
    assert reasons["m.reader"].category is Category.INDIRECT_BREAKING

    from isomesh_dagster.plan.columns import ColumnCatalog

    columns = ColumnCatalog(changed.models).of("m.reader")
    assert columns is not None
    assert [column.name for column in columns] == ["id", "v", "updated_at", "valid_from", "until"]
    assert columns[-1].type == "TIMESTAMP"
