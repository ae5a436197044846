"""Descriptions as comments on the views of an environment."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isomesh_dagster.config.connections import DuckDBConnection
from isomesh_dagster.execution.promote import rollback
from isomesh_dagster_tests.factories import System, model, snapshots


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        yield system


def shown(description="it's", columns=None, **more):
    described = {"id": "the key", "gone": "no such column"} if columns is None else columns
    query = 'SELECT 1 AS "Id", 2 AS other'
    return snapshots([model("mart.m", query, description=description, column_descriptions=described, **more)])


def comments(system, schema="mart"):
    if system.warehouse.type == "postgres":
        of_postgres = (
            "SELECT col_description(attrelid, attnum), obj_description(attrelid) FROM pg_attribute "
            f"WHERE attrelid = '{schema}.m'::regclass AND attnum > 0 ORDER BY attnum"
        )
        rows = system.rows(of_postgres)
        return [rows[0][1], *(text for text, _ in rows)]
    views = system.rows(f"SELECT comment FROM duckdb_views() WHERE schema_name = '{schema}'")
    columns = system.rows(f"SELECT comment FROM duckdb_columns() WHERE schema_name = '{schema}' ORDER BY column_index")
    return [text for (text,) in (*views, *columns)]


def test_views_tell_what_models_and_columns_are(system):
    system.apply(system.plan(shown()), comments=True)
    assert comments(system) == ["it's", "the key", None]
    system.apply(system.plan(shown(), "dev"), comments=True)  # only production is for everybody
    assert comments(system, "mart__dev") == [None, None, None]


def edited(before, **properties):
    """The same table under a model with other properties."""
    (old,) = before.values()
    fingerprint = replace(old.fingerprint, identity=repr(properties))
    return {"mart.m": replace(old, model=replace(old.model, **properties), fingerprint=fingerprint)}


def test_a_new_description_replaces_all_of_the_old_ones(system):
    system.apply(system.plan(shown()), comments=True)
    plan = system.plan(edited(shown(), description="new", column_descriptions={"other": "2"}))
    assert (plan.builds, plan.promote.create) == ((), {})
    system.apply(plan, comments=True)
    assert comments(system) == ["new", None, "2"]
    rollback(system.state, system.connection, "prod", identity=system.identity, now=system.now, comments=True)
    assert comments(system) == ["it's", "the key", None]


def test_statements_of_a_changed_model_run_although_its_table_stays(system):
    system.apply(system.plan(shown()))
    system.apply(system.plan(edited(shown(), on_virtual_update=("CREATE TABLE mart.log AS SELECT 1 AS x",))))
    assert system.rows("SELECT x FROM mart.log") == [(1,)]


def test_in_a_file_that_is_named_like_the_schema(tmp_path):
    warehouse = DuckDBConnection(database=str(tmp_path / "mart.duckdb"))
    with System(tmp_path, warehouse) as system:
        system.apply(
            system.plan(shown(on_virtual_update=("CREATE TABLE seen AS SELECT * FROM @this_model",))), comments=True
        )
        assert comments(system) == ["it's", "the key", None]
        assert system.rows("SELECT * FROM seen") == [(1, 2)]
