"""Python models are assets like all others."""

from __future__ import annotations

import dagster as dg
import pytest

from isomesh_dagster_tests.definitions.conftest import Shop, failure, materialized

LARGE = """
import polars as pl
from sqlmesh import model


@model("marts.large", columns={"day": "DATE", "amount": "INT"}, audits=["not_null(columns := (day))"])
def execute(context, **kwargs):
    '''What is large.'''
    days = context.fetch_polars(f"SELECT * FROM {context.resolve_table('core.days')}")
    return days.filter(pl.col("amount") > LIMIT)


LIMIT = 10
"""


@pytest.fixture
def python_shop(loaded_shop: Shop) -> Shop:
    loaded_shop.write("models/marts/large.py", LARGE)
    return loaded_shop


def test_it_shows_its_language_its_code_and_its_parents(python_shop: Shop) -> None:
    graph = python_shop.definitions().resolve_asset_graph()
    key = dg.AssetKey(["marts", "large"])
    assert graph.get(key).parent_keys == {dg.AssetKey(["core", "days"])}
    assert graph.get(key).kinds == {"python", "full", "duckdb"}
    assert "days.filter" in graph.get(key).metadata["isomesh/code"].value
    assert [one.name for one in graph.asset_check_keys if one.asset_key == key] == ["not_null"]


def test_it_is_built_by_a_run(python_shop: Shop) -> None:
    result = python_shop.run("apply", partition="prod")
    assert result.success
    assert materialized(result)["marts.large"].metadata["dagster/row_count"].value == 1
    assert python_shop.query("SELECT amount FROM marts.large") == [(21,)]


def test_a_failure_tells_the_line(python_shop: Shop) -> None:
    python_shop.write("models/marts/large.py", LARGE.replace("days.filter", "days.filtre"))
    result = python_shop.run("apply", partition="prod")
    assert not result.success
    assert "models/marts/large.py:10 in execute" in failure(result)
