"""table_diff on a real project: two environments, two tables, and what is printed."""

from __future__ import annotations

import json

import pytest

from isomesh_dagster_tests.cli.conftest import Shop

REVENUE = "models/shop/monthly_revenue.sql"


@pytest.fixture
def changed(planned: Shop) -> Shop:
    """The files as they were in dev, in next one order more for every month after January."""
    planned.edit(
        REVENUE, "COUNT(*) AS orders", "COUNT(*) + CASE WHEN MAX(ordered_on) < '2024-02-01' THEN 0 ELSE 1 END AS orders"
    )
    result = planned("plan", "next", "--auto-apply", "--skip-tests")
    assert result.exit_code == 0, result.output
    return planned


def test_models_whose_tables_differ_are_compared(changed: Shop) -> None:
    result = changed("table_diff", "dev:next", "--show-sample")
    assert result.exit_code == 0, result.output
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    assert lines[0] == "gateway local · rows of dev and next"
    assert "shop.monthly_revenue" in lines
    assert "  1 row equal, 2 differ" in lines
    assert any(line.split() == ["rows", "that", "differ", "2", "66.6", "%"] for line in lines)
    assert any(line.split() == ["orders", "1", "3", "33.3", "%"] for line in lines)
    assert "shop.orders" not in result.stdout
    told = lines[lines.index("Rows that differ") + 1 :]
    assert [line.split()[-3:] for line in told] == [
        ["column", "dev", "next"],
        ["orders", "3", "4"],
        ["orders", "2", "3"],
    ]


def test_a_model_that_is_the_same_is_told_without_work(changed: Shop) -> None:
    result = changed("table_diff", "dev:next", "shop.orders")
    assert "both show the same table" in result.stdout
    assert "nothing to compare" in result.stdout
    everything = changed("table_diff", "dev:dev")
    assert "Nothing to compare" in everything.stdout


def test_a_selection_and_json(changed: Shop) -> None:
    document = json.loads(changed("table_diff", "dev:next", "-m", "+shop.monthly_revenue", "--json").stdout)
    by_model = {table["model"]: table for table in document["tables"]}
    assert set(by_model) == {"shop.order_lines", "shop.orders", "shop.monthly_revenue"}
    assert by_model["shop.orders"]["result"] == "same_table"
    revenue = by_model["shop.monthly_revenue"]
    assert revenue["rows"]["partial_match"] == 2
    assert revenue["samples"]["differing"][0]["columns"] == ["orders"]


def test_markdown_is_for_a_pull_request(changed: Shop) -> None:
    result = changed("table_diff", "dev:next", "--markdown")
    assert result.stdout.startswith("### Rows of `dev` and `next`\n\n| table | result |\n")
    assert "| `shop.monthly_revenue` | 1 row equal, 2 differ |" in result.stdout


def test_two_tables_are_compared(changed: Shop) -> None:
    result = changed(
        "table_diff", "shop__dev.monthly_revenue:shop__next.monthly_revenue", "-o", "month", "-s", "orders"
    )
    assert result.exit_code == 0, result.output
    assert "all 3 rows equal" in result.stdout


def test_what_is_not_there_is_told(planned: Shop) -> None:
    assert "SOURCE:TARGET" in planned("table_diff", "dev").stderr
    nowhere = planned("table_diff", "dev:nowhere")
    assert nowhere.exit_code == 1
    assert "there is no environment 'nowhere'" in nowhere.stderr
    assert "there is no table shop.nothing" in planned("table_diff", "shop__dev.orders:shop.nothing").stderr
    assert "did you mean 'shop.orders'" in planned("table_diff", "dev:dev", "shop.ordrs").stderr
