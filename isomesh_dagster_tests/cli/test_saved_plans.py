"""plan --save, apply, plans and --categorize on a real project."""

from __future__ import annotations

import json

from isomesh_dagster_tests.cli.conftest import Shop

ORDERS = "models/shop/orders.sql"
REVENUE = "models/shop/monthly_revenue.sql"


def test_a_saved_plan_is_applied_as_it_was_agreed_to(shop: Shop) -> None:
    file = str(shop.root / "dev.json")
    saved = shop("plan", "dev", "--save", file)
    assert saved.exit_code == 0, saved.output
    assert f"isomesh --gateway local apply {file}" in saved.stderr
    assert not (shop.root / ".systems" / "local.duckdb").exists()
    applied = shop("apply", file)
    assert applied.exit_code == 0, applied.output
    assert "Done in" in applied.stdout
    document = json.loads((shop.root / "dev.json").read_text())
    (environment,) = json.loads(shop("environments", "--json").stdout)["environments"]
    assert environment["plan_id"] == document["plan"]["plan_id"]
    again = shop("apply", file)
    assert again.exit_code == 0
    assert "Nothing to do" in again.stdout


def test_a_saved_plan_is_refused_when_the_files_differ(planned: Shop) -> None:
    file = str(planned.root / "prod.json")
    assert planned("plan", "prod", "--save", file).exit_code == 0
    planned.edit(REVENUE, "COUNT(*) AS orders", "COUNT(*) + 1 AS orders")
    refused = planned("apply", file)
    assert refused.exit_code == 5
    assert "the files are not those it was made from: shop.monthly_revenue" in refused.stderr
    planned.edit(REVENUE, "COUNT(*) + 1 AS orders", "COUNT(*) AS orders")
    assert planned("apply", file).exit_code == 0


def test_a_saved_plan_is_refused_when_the_environment_moved(planned: Shop) -> None:
    file = str(planned.root / "dev.json")
    planned.edit(REVENUE, "COUNT(*) AS orders", "COUNT(*) + 1 AS orders")
    assert planned("plan", "dev", "--save", file).exit_code == 0
    planned.edit(REVENUE, "COUNT(*) + 1 AS orders", "COUNT(*) + 2 AS orders")
    assert planned("plan", "dev", "--auto-apply").exit_code == 0
    planned.edit(REVENUE, "COUNT(*) + 2 AS orders", "COUNT(*) + 1 AS orders")
    refused = planned("apply", file, "--json")
    assert refused.exit_code == 5
    error = json.loads(refused.stdout)["error"]
    assert error["kind"] == "ConflictingPlanError"
    assert "environment 'dev' moved" in error["message"]


def test_a_plan_of_another_gateway_is_refused(planned: Shop) -> None:
    file = str(planned.root / "prod.json")
    assert planned("plan", "prod", "--save", file).exit_code == 0
    refused = planned("apply", file, gateway="production")
    assert refused.exit_code == 1
    assert "is for gateway 'local'" in refused.stderr


def test_an_interrupted_plan_goes_on_by_its_id(planned: Shop) -> None:
    planned.edit(ORDERS, "SUM(quantity * price)", "-1 * SUM(quantity * price)")
    assert planned("plan", "dev", "--auto-apply", "--skip-tests").exit_code == 4
    (failed, first) = json.loads(planned("plans", "dev", "--json").stdout)["plans"]
    assert (failed["status"], first["status"]) == ("open", "done")
    assert failed["document"]["plan"]["plan_id"] == failed["plan_id"]
    assert failed["document"]["markdown"].startswith("### Plan for `dev`")
    again = planned("apply", failed["plan_id"][:8], "--skip-tests")
    assert again.exit_code == 4, again.output
    assert "positive_amount" in again.stderr
    done = planned("apply", first["plan_id"])
    assert done.exit_code == 5
    assert "applied already, and the files changed since" in done.stderr


def test_plans_are_listed(planned: Shop) -> None:
    planned("plan", "staging", "--auto-apply")
    lines = planned("plans").stdout.splitlines()
    assert lines[0] == "gateway local · 2 plans"
    assert "staging" in lines[2]
    begun, did = lines[3].split(maxsplit=1)
    assert len(begun) == 12
    assert "builds 4 models and swaps the environment at once (4 views set)" in did
    assert "Applying" not in did
    assert "gateway local · 0 plans" in planned("plans", "nowhere").stdout
    assert "no plan is known by 'ffff'" in planned("apply", "ffff").stderr


def test_a_category_can_be_chosen(planned: Shop) -> None:
    planned.edit(ORDERS, "SUM(quantity * price)", "SUM(quantity * price * 2)")
    judged = json.loads(planned("plan", "dev", "--json", "--skip-tests").stdout)
    assert "shop.monthly_revenue" in {build["model"] for build in judged["builds"]}
    flags = ("--categorize", "shop.orders=non-breaking")
    shown = planned("plan", "dev", "--skip-tests", *flags)
    assert shown.exit_code == 3
    assert "chosen by hand" in shown.stdout
    assert "plan dev --categorize shop.orders=non-breaking --auto-apply" in shown.stderr
    file = str(planned.root / "dev.json")
    assert planned("plan", "dev", "--skip-tests", "--save", file, *flags).exit_code == 0
    applied = json.loads(planned("apply", file, "--json", "--skip-tests").stdout)
    assert [build["model"] for build in applied["applied"]["built"]] == ["shop.orders"]
    assert "Nothing to do" in planned("plan", "dev").stdout


def test_a_choice_that_is_not_understood_is_told(planned: Shop) -> None:
    assert planned("plan", "dev", "--categorize", "shop.orders").exit_code == 2
    assert planned("plan", "dev", "--categorize", "shop.orders=metadata").exit_code == 2
    unknown = planned("plan", "dev", "--categorize", "shop.ordrs=breaking")
    assert unknown.exit_code == 1
    assert "did you mean 'shop.orders'" in unknown.stderr


def test_what_the_configuration_leaves_to_people_stops_a_plan(planned: Shop) -> None:
    config = planned.root / "config.yaml"
    config.write_text(config.read_text() + "\nplan:\n  auto_categorize_changes: {sql: semi}\n")
    planned.edit(ORDERS, "SUM(quantity * price)", "SUM(quantity * price * 2)")
    refused = planned("plan", "dev")
    assert refused.exit_code == 1
    assert "shop.orders" in refused.stderr
    assert "--categorize shop.orders=non-breaking" in refused.stderr
    assert planned("plan", "dev", "--skip-tests", "--categorize", "shop.orders=breaking").exit_code == 3
