"""What differs between a table and its new definition, and what may be done about it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.errors import PlanError
from isomesh_dagster.model.kinds import Full, IncrementalByTimeRange
from isomesh_dagster.plan.migration import allowed_changes, column_changes, inferred_changes, is_destructive
from isomesh_dagster.plan.plan import Migrate
from isomesh_dagster.relation import Column, ColumnChange
from isomesh_dagster_tests.factories import model, snapshots

DAYS = IncrementalByTimeRange(time_column="ds")
TYPES = st.sampled_from(["INTEGER", "BIGINT", "VARCHAR", "DATE", "DECIMAL(10,2)"])
TABLES = st.dictionaries(st.sampled_from("abcdef"), TYPES, min_size=1).map(lambda found: tuple(found.items()))
ADDED = ColumnChange(name="c", type="INTEGER", was=None)
DROPPED = ColumnChange(name="b", type=None, was="DATE")


def step(kind=DAYS, **more) -> Migrate:
    allowed = {key: more.pop(key) for key in ("allows_destructive", "allows_additive") if key in more}
    made = snapshots([model("s.t", "SELECT 1 AS a", kind, **more)])["s.t"]
    return Migrate(snapshot=made, **allowed)


@given(TABLES, TABLES)
def test_the_changes_make_one_table_the_other(current, wanted):
    table = dict(current)
    for change in column_changes(current, wanted):
        if change.type is None:
            assert table.pop(change.name) == change.was
        else:
            assert table.get(change.name) == change.was
            table[change.name] = change.type
    assert table == dict(wanted)


@pytest.mark.parametrize(
    ("was", "now", "destructive"),
    [
        ("INTEGER", "BIGINT", False),
        ("integer", "int8", False),
        ("BIGINT", "INTEGER", True),
        ("INTEGER", "UBIGINT", True),
        ("FLOAT", "DOUBLE", False),
        ("DECIMAL(10,2)", "DECIMAL(12,2)", False),
        ("DECIMAL(10,2)", "DECIMAL(10,4)", True),
        ("VARCHAR(10)", "VARCHAR", False),
        ("VARCHAR", "VARCHAR(10)", True),
        ("DATE", "VARCHAR", True),
    ],
)
def test_a_type_that_holds_every_value_loses_none(was, now, destructive):
    (change,) = column_changes([("a", was)], [("A", now)])
    assert (change.name, is_destructive(change)) == ("a", destructive)


def test_spellings_of_a_type_are_no_change():
    pairs = [("int", "INTEGER"), ("text", "VARCHAR"), ("numeric(10, 2)", "DECIMAL(10,2)"), ("float8", "DOUBLE")]
    for one, other in pairs:
        assert column_changes([("a", one)], [("a", other)]) == ()


@pytest.mark.parametrize(
    ("properties", "made", "warnings"),
    [
        ({"on_destructive_change": "ALLOW"}, (ADDED, DROPPED), 0),
        ({"on_destructive_change": "WARN"}, (ADDED, DROPPED), 1),
        ({"on_destructive_change": "IGNORE"}, (ADDED,), 1),
        ({"on_destructive_change": "ALLOW", "on_additive_change": "IGNORE"}, (DROPPED,), 1),
        ({"allows_destructive": True}, (ADDED, DROPPED), 0),
        ({"kind": Full()}, (ADDED, DROPPED), 0),
    ],
)
def test_what_the_properties_allow(properties, made, warnings):
    done, told = allowed_changes(step(**properties), (ADDED, DROPPED))
    assert (done, len(told)) == (made, warnings)


@pytest.mark.parametrize(
    ("properties", "flag"),
    [({}, "--allow-destructive-model s.t"), ({"allows_destructive": True, "on_additive_change": "ERROR"}, "additive")],
)
def test_what_they_refuse_is_told_with_the_way_out(properties, flag):
    with pytest.raises(PlanError, match="which keeps its rows") as caught:
        allowed_changes(step(**properties), (ADDED, DROPPED))
    assert flag in (caught.value.hint or "")
    assert ("ADD COLUMN c INTEGER" in str(caught.value)) == (flag == "additive")


def test_inferred_types_count_only_where_the_texts_differ():
    table = [("a", "HUGEINT"), ("b", "INTEGER")]
    old = [Column(name="a", type="BIGINT"), Column(name="b", type="INT")]
    assert inferred_changes(table, old, old) == ()
    (changed,) = inferred_changes(table, old, [old[0], Column(name="b", type="TEXT")]) or ()
    assert (changed.name, changed.type) == ("b", "TEXT")
    assert inferred_changes(table, old, None) is None
