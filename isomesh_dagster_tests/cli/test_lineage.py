"""lineage on a real project."""

from __future__ import annotations

import json

from isomesh_dagster_tests.cli.conftest import Shop


def test_a_column_up_and_down(shop: Shop) -> None:
    result = shop("lineage", "shop.monthly_revenue.revenue")
    assert result.exit_code == 0, result.output
    assert "made of" in result.stdout
    assert "shop.orders." in result.stdout
    assert "read by no model" in result.stdout
    down = shop("lineage", "shop.orders.ordered_on", "--downstream")
    assert "made of" not in down.stdout
    assert "shop.monthly_revenue.month" in down.stdout


def test_a_model_column_by_column_as_json(shop: Shop) -> None:
    document = json.loads(shop("lineage", "shop.monthly_revenue", "--upstream", "--json").stdout)
    assert document["downstream"] == []
    assert "month" in [step["column"] for step in document["upstream"]]
    assert all(step["model"] == "shop.monthly_revenue" for step in document["upstream"])


def test_names_that_nothing_has(shop: Shop) -> None:
    column = shop("lineage", "shop.monthly_revenue.revenu")
    assert column.exit_code == 1
    assert "'revenue'" in column.stderr
    assert shop("lineage", "shop.monthly").exit_code == 1
    assert shop("lineage", "nothing").exit_code == 1


def test_the_second_time_comes_from_the_cache_and_is_the_same(shop: Shop) -> None:
    assert (
        shop("lineage", "shop.monthly_revenue", "--json").stdout
        == shop("lineage", "shop.monthly_revenue", "--json").stdout
    )


def test_what_stands_in_the_way_is_told_with_the_mend(shop: Shop) -> None:
    (shop.root / "models/mixed.sql").write_text("MODEL (name mart.mixed);\nSELECT id FROM raw.one AS a, raw.two AS b")
    told = shop("lineage", "mart.mixed").stderr
    assert "nothing can be told about its columns" in told
    assert "declare raw.one, raw.two with `isomesh create_external_models`" in " ".join(told.split())
