"""`INCREMENTAL_BY_PARTITION` replaces the partitions that occur in a batch, `INCREMENTAL_UNMANAGED` adds rows."""

from __future__ import annotations

import pytest

from isomesh_dagster.errors import AuditError, ConflictingPlanError
from isomesh_dagster.model import kinds
from isomesh_dagster_tests.factories import System, audit, days, model, snapshots

QUERY = "SELECT country, v FROM ext.sales"


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        yield system


def sales(system, *rows):
    with system.connection.session() as session:
        session.execute("CREATE SCHEMA IF NOT EXISTS ext")
        session.execute("DROP TABLE IF EXISTS ext.sales")
        session.execute("CREATE TABLE ext.sales (country TEXT, v INT)")
        for row in rows:
            session.execute("INSERT INTO ext.sales VALUES (?, ?)", row)


def target(kind, **more):
    return model("mart.sales", QUERY, kind, references=(), depends_on=(), **more)


def table(system):
    return system.rows("SELECT country, v FROM mart.sales ORDER BY country NULLS LAST, v")


def load(system, shown, *batches, **more):
    return system.apply(system.plan(shown, batches={"mart.sales": batches}, **more))


@pytest.mark.parametrize(
    "kind",
    [kinds.IncrementalByPartition(), kinds.IncrementalUnmanaged(insert_overwrite=True)],
    ids=["partition", "overwrite"],
)
def test_partitions_of_a_batch_are_replaced_and_others_stay(system, kind):
    shown = snapshots([target(kind, partitioned_by=("country",))])
    sales(system, ("at", 1), ("at", 2), ("de", 3), (None, 4))
    load(system, shown, days(0, 1))
    assert table(system) == [("at", 1), ("at", 2), ("de", 3), (None, 4)]
    sales(system, ("at", 5), ("fr", 6), (None, 7), (None, 8))
    load(system, shown, days(1, 2))
    assert table(system) == [("at", 5), ("de", 3), ("fr", 6), (None, 7), (None, 8)]
    sales(system)
    load(system, shown, days(2, 3))
    assert len(table(system)) == 5


def test_partitions_may_be_expressions(system):
    kind = kinds.IncrementalByPartition()
    shown = snapshots([target(kind, partitioned_by=("upper(country)", "v % 2"))])
    sales(system, ("at", 1), ("AT", 3), ("at", 2))
    load(system, shown, days(0, 1))
    sales(system, ("At", 5))
    load(system, shown, days(1, 2))
    assert table(system) == [("At", 5), ("at", 2)]


def test_history_made_again_begins_with_an_empty_table(system):
    shown = snapshots([target(kinds.IncrementalByPartition(), partitioned_by=("country",))])
    sales(system, ("at", 1), ("de", 3))
    load(system, shown, days(0, 1))
    sales(system, ("at", 2))
    load(system, shown, days(0, 1), days(1, 2), restates=["mart.sales"])
    assert table(system) == [("at", 2)]


def test_a_failed_audit_leaves_the_partitions_as_they_were(system):
    bad = audit("no_nines", "SELECT * FROM @this_model WHERE v = 9")
    shown = snapshots([target(kinds.IncrementalByPartition(), partitioned_by=("country",), audits=(bad,))])
    sales(system, ("at", 1))
    load(system, shown, days(0, 1))
    sales(system, ("at", 9))
    with pytest.raises(AuditError):
        load(system, shown, days(1, 2))
    assert table(system) == [("at", 1)]
    sales(system, ("at", 8))  # nothing of the failed batch is in the way of the next
    load(system, shown, days(1, 2))
    assert table(system) == [("at", 8)]


def test_unmanaged_rows_are_added_once_for_each_interval(system):
    shown = snapshots([target(kinds.IncrementalUnmanaged())])
    sales(system, ("at", 1))
    first = system.plan(shown, batches={"mart.sales": [days(0, 2)]})
    system.apply(first)
    system.apply(first)
    later = system.plan(shown, batches={"mart.sales": [days(2, 3)]})
    system.apply(later)
    system.apply(later)
    assert table(system) == [("at", 1), ("at", 1)]


def test_rows_are_not_added_for_what_somebody_loaded_meanwhile(system):
    shown = snapshots([target(kinds.IncrementalUnmanaged())])
    sales(system, ("at", 1))
    load(system, shown, days(0, 2))
    wider = system.plan(shown, batches={"mart.sales": [days(1, 4)]})
    with pytest.raises(ConflictingPlanError, match=r"loaded since the plan was made(.|\n)*plan again"):
        system.apply(wider)
    assert table(system) == [("at", 1)]


def test_a_table_that_was_made_empty_takes_its_first_rows(system):
    kind = kinds.IncrementalByPartition()
    shown = snapshots([target(kind, partitioned_by=("country",))])
    sales(system, ("at", 1))
    load(system, shown)
    assert table(system) == []
    load(system, shown, days(0, 1))
    assert table(system) == [("at", 1)]
