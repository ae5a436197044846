"""render, evaluate and audit on a real project."""

from __future__ import annotations

import csv
import io
import json

from isomesh_dagster_tests.cli.conftest import Shop


def test_render_replaces_macros(shop: Shop) -> None:
    result = shop("render", "shop.orders", "-s", "2024-01-01", "-e", "2024-01-31")
    assert result.exit_code == 0, result.output
    assert "2024-01-01" in result.stdout
    assert "2024-01-31" in result.stdout
    assert "@start_date" not in result.stdout
    assert result.stdout.startswith("-- shop.orders on gateway local")


def test_render_with_an_environment_reads_its_tables(planned: Shop) -> None:
    document = json.loads(planned("render", "shop.orders", "--environment", "dev", "--json").stdout)
    assert document["gateway"] == "local"
    assert "isomesh__shop" in document["sql"]


def test_an_unknown_model_suggests_the_nearest(shop: Shop) -> None:
    result = shop("render", "shop.order")
    assert result.exit_code == 1
    assert "shop.orders" in result.stderr


def test_evaluate_shows_rows(planned: Shop) -> None:
    result = planned("evaluate", "shop.monthly_revenue", "--environment", "dev", "--csv")
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["orders"] for row in sorted(rows, key=lambda row: row["month"])] == ["3", "3", "2"]
    table = planned("evaluate", "shop.monthly_revenue", "--environment", "dev", "--limit", "1")
    assert "gateway local · environment dev" in table.stdout
    assert "1 row (the limit" in table.stdout


def test_evaluate_reads_the_only_environment_and_asks_for_one_of_several(planned: Shop) -> None:
    assert planned("evaluate", "shop.large_orders").exit_code == 0
    unknown = planned("evaluate", "shop.large_orders", "--environment", "nowhere")
    assert unknown.exit_code == 1
    assert "there are dev" in unknown.stderr
    assert planned("plan", "other", "--auto-apply").exit_code == 0
    several = planned("evaluate", "shop.large_orders")
    assert several.exit_code == 1
    assert "--environment" in several.stderr


def test_audits_pass_and_fail(planned: Shop) -> None:
    result = planned("audit", "dev")
    assert result.exit_code == 0, result.output
    assert "3 audits ran, 3 passed, 0 found rows." in result.stdout
    assert planned("audit", "nowhere").exit_code == 1


def test_a_range_that_ends_before_it_starts_is_a_usage_error(shop: Shop) -> None:
    assert shop("render", "shop.orders", "-s", "2024-02-01", "-e", "2024-01-01").exit_code == 2
    assert shop("render", "shop.orders", "-s", "no date").exit_code == 2


def test_audit_takes_a_selection_of_models(planned: Shop) -> None:
    ran = planned("audit", "dev", "-m", "+shop.monthly_revenue & ^shop.monthly_revenue")
    assert ran.exit_code == 0, ran.output
    assert "shop.orders: positive_amount" in ran.stdout
    none = planned("audit", "dev", "-m", "nothing.*")
    assert none.exit_code == 0
    assert "0 audits ran" in none.stdout


def test_a_selection_that_is_not_understood_is_shown_with_its_place(planned: Shop) -> None:
    result = planned("audit", "dev", "-m", "shop.* & ^shop.ordrs")
    assert result.exit_code == 1
    assert "    shop.* & ^shop.ordrs\n              ^^^^^^^^^^\n" in result.stderr
    assert "did you mean 'shop.orders'?" in result.stderr


def test_render_shows_the_function_of_a_python_model(shop: Shop) -> None:
    text = "from sqlmesh import model\n\n@model('shop.p', columns={'a': 'int'})\ndef rows(context):\n    return None\n"
    (shop.root / "models" / "p.py").write_text(text)
    assert shop("render", "shop.p").stdout == ("# shop.p on gateway local\ndef rows(context):\n    return None\n")
    assert json.loads(shop("render", "shop.p", "--json").stdout)["python"].startswith("def rows")
