"""Restating from Dagster's launchpad."""

from __future__ import annotations

from typing import Any

from isomesh_dagster_tests.definitions.conftest import Shop, failure, materialized


def restating(*models: str, **resource: str) -> dict[str, Any]:
    return {
        "ops": {"make_rows_again": {"config": {"models": list(models)}}},
        "resources": {"isomesh": {"config": {"environment": "prod", **resource}}},
    }


def test_rows_are_made_again_in_the_range(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    days = dict(loaded_shop.query("SELECT CAST(day AS VARCHAR), amount FROM core.days"))
    first, last = min(days), max(days)
    loaded_shop.load_orders((1, first, 1000), (2, last, 1000))
    result = loaded_shop.run("restate", config=restating("core.days", start=first, end=first))
    assert result.success
    told = materialized(result)
    assert told.keys() == {"core.days", "marts.total"}
    assert first in told["core.days"].metadata["isomesh/intervals"].value
    assert loaded_shop.query("SELECT CAST(day AS VARCHAR), amount FROM core.days WHERE amount = 1000") == [
        (first, 1000)
    ]
    assert loaded_shop.query("SELECT amount FROM marts.total") == [(1000 + days[last],)]


def test_what_cannot_be_restated_fails_the_run_with_the_reason(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    unknown = loaded_shop.run("restate", config=restating("core.day"))
    assert not unknown.success
    assert "core.days" in failure(unknown)
    nothing = loaded_shop.run("restate", config=restating())
    assert "no models to restate" in failure(nothing)


def test_a_run_of_one_model(loaded_shop: Shop) -> None:
    loaded_shop.run("apply", partition="prod")
    config = {"ops": {"load_what_is_due": {"config": {"models": ["marts.nothing"]}}}}
    assert "marts.nothing" in failure(loaded_shop.run("run", config=config))
    config = {"ops": {"load_what_is_due": {"config": {"models": ["marts.total"], "ignore_cron": True}}}}
    assert loaded_shop.run("run", config=config).success
