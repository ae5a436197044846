"""`isomesh test`, `create_test`, and the tests a plan runs."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import yaml

from isomesh_dagster_tests.cli.conftest import Shop
from isomesh_dagster_tests.sample.test_raw import copy_of_the_project

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "unit-tests.md").read_text()

TESTS = """
dear_orders:
  model: shop.large_orders
  description: An order of 100 is large.
  inputs:
    shop.orders: [{order_id: 1, ordered_on: 2024-01-01, amount: 99}, {order_id: 2, amount: 100}]
  outputs: {partial: true, query: [{order_id: 2}]}

one_day:
  model: shop.orders
  vars: {start: 2024-01-02}
  inputs:
    shop.order_lines:
      - {order_id: 1, ordered_on: 2024-01-01, quantity: 1, price: 1}
      - {order_id: 2, ordered_on: 2024-01-02, quantity: 2, price: 1.5}
      - {order_id: 2, ordered_on: 2024-01-02, quantity: 1, price: 1}
  outputs: {partial: true, query: [{order_id: 2, amount: 4}]}
"""


@pytest.fixture
def tested(shop: Shop) -> Shop:
    """A new project with two unit tests that pass."""
    write(shop, TESTS)
    return shop


def write(shop: Shop, text: str, name: str = "test_shop.yaml") -> None:
    (shop.root / "tests").mkdir(exist_ok=True)
    (shop.root / "tests" / name).write_text(text)


def test_passed_tests_are_a_sentence_or_listed(tested: Shop) -> None:
    result = tested("test")
    assert result.exit_code == 0, result.output
    assert "2 unit tests: 2 passed, 0 failed" in result.stdout
    assert "dear_orders" not in result.stdout
    assert "passed   dear_orders  (shop.large_orders)" in tested("test", "-v").stdout
    assert not (tested.root / ".systems" / "local.duckdb").exists()


def test_without_tests_there_is_nothing_to_do(shop: Shop) -> None:
    result = shop("test")
    assert result.exit_code == 0
    assert "no unit tests" in result.stdout


def test_a_failed_test_shows_the_cells_and_ends_with_4(tested: Shop) -> None:
    tested.edit("tests/test_shop.yaml", "amount: 4", "amount: 5")
    result = tested("test")
    assert result.exit_code == 4
    assert "failed   one_day  (shop.orders)  tests/test_shop.yaml:9" in result.stdout
    assert re.search(r"expected +2 +≠ 5", result.stdout)
    assert re.search(r"actual +2 +≠ 4(\.0+)?\s", result.stdout)
    assert "1 passed, 1 failed" in result.stdout
    assert "isomesh_test_" in tested("test", "-v").stdout


def test_a_forgotten_range_is_told(tested: Shop) -> None:
    tested.edit("tests/test_shop.yaml", "  vars: {start: 2024-01-02}\n", "")
    assert "the range is 1970-01-01" in tested("test").stdout


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (("tests/test_shop.yaml",), ["dear_orders", "one_day"]),
        (("tests",), ["dear_orders", "one_day"]),
        (("tests/test_shop.yaml::one_day",), ["one_day"]),
        (("-k", "dear"), ["dear_orders"]),
        (("-k", "*day"), ["one_day"]),
        (("-k", "shop.large*"), ["dear_orders"]),
        (("-k", "nothing"), []),
        (("tests/test_shop.yaml", "-m", "shop.large_orders"), ["dear_orders"]),
        (("tests/test_shop.yaml::one_day", "-m", "shop.large_orders"), []),
    ],
)
def test_tests_are_chosen_by_place_and_name(tested: Shop, arguments: tuple[str, ...], names: list[str]) -> None:
    document = json.loads(tested("test", "--json", *arguments).stdout)
    assert [one["name"] for one in document["unit_tests"]] == names
    assert document["passed"] == len(names)


def test_a_place_without_tests_is_refused(tested: Shop) -> None:
    result = tested("test", "tests/test_shop.yaml::one_week")
    assert result.exit_code == 1
    assert "tests/test_shop.yaml" in result.stderr


def test_a_wrong_file_is_told_with_its_line(tested: Shop) -> None:
    write(tested, "t:\n  model: shop.ordres\n  outputs: {query: []}\n", "test_typo.yaml")
    result = tested("test")
    assert result.exit_code == 1
    assert "tests/test_typo.yaml:2" in result.stderr
    assert "shop.orders" in result.stderr


def test_files_of_other_names_and_tests_of_other_gateways_are_left_out(tested: Shop) -> None:
    write(tested, "nonsense", "data.yaml")
    tested.edit("tests/test_shop.yaml", "dear_orders:\n", "dear_orders:\n  gateway: production\n")
    assert "1 unit test:" in tested("test").stdout
    assert "2 unit tests:" in tested("test", gateway="production").stdout


def test_json_holds_differences_and_errors(tested: Shop) -> None:
    tested.edit("tests/test_shop.yaml", "amount: 4", "amount: 5")
    tested.edit("tests/test_shop.yaml", "amount: 100", "amont: 100")
    result = tested("test", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 4
    assert (document["gateway"], document["passed"], document["failed"]) == ("local", 0, 2)
    first, second = document["unit_tests"]
    assert "amont" in first["error"]["message"]
    assert second["differences"][0]["columns"] == ["order_id", "amount"]
    assert second["differences"][0]["rows"][0]["expected"] == [2, 5]


# ---- plan ------------------------------------------------------------------------------------------------


def test_a_plan_runs_the_tests_of_what_changes(tested: Shop) -> None:
    assert "2 unit tests: 2 passed" in tested("plan", "dev", "--auto-apply").stderr
    assert "unit test" not in tested("plan", "dev").stderr
    tested.edit("models/shop/large_orders.sql", "SELECT\n", "SELECT\n  1 AS one,\n")
    assert "1 unit test: 1 passed" in tested("plan", "dev", "--no-diff").stderr
    assert "2 unit tests: 2 passed" in tested("plan", "dev", "--all-tests").stderr
    assert "unit test" not in tested("plan", "dev", "--skip-tests").stderr
    assert tested("plan", "dev", "--skip-tests", "--all-tests").exit_code == 2


def test_a_change_of_an_ancestor_runs_the_tests_below_it(tested: Shop) -> None:
    assert tested("plan", "dev", "--auto-apply").exit_code == 0
    tested.edit("models/shop/orders.sql", "SUM(quantity * price)", "SUM(price * quantity)")
    assert "2 unit tests: 2 passed" in tested("plan", "dev").stderr


def test_a_failing_test_stops_the_plan_and_nothing_is_changed(tested: Shop) -> None:
    tested.edit("tests/test_shop.yaml", "amount: 4", "amount: 5")
    result = tested("plan", "dev", "--auto-apply")
    assert result.exit_code == 4
    assert "failed   one_day" in result.stderr
    assert not (tested.root / ".systems" / "local.duckdb").exists()
    assert json.loads(tested("environments", "--json").stdout)["environments"] == []
    document = json.loads(tested("plan", "dev", "--auto-apply", "--json").stdout)
    assert (document["tests"]["passed"], document["tests"]["failed"]) == (1, 1)
    assert "applied" not in document
    assert tested("plan", "dev", "--auto-apply", "--skip-tests").exit_code == 0


# ---- create_test -----------------------------------------------------------------------------------------


def test_a_test_made_from_real_rows_passes_until_the_model_changes(planned: Shop) -> None:
    query = "SELECT * FROM shop.orders WHERE order_id <= 3"
    made = planned("create_test", "shop.large_orders", "-q", "shop.orders", query, "-o", "first_three")
    assert made.exit_code == 0, made.output
    document = yaml.safe_load((planned.root / "tests" / "test_first_three.yaml").read_text())
    assert document["first_three"]["model"] == "shop.large_orders"
    assert len(document["first_three"]["inputs"]["shop.orders"]["rows"]) == 3
    assert "1 unit test: 1 passed" in planned("test").stdout
    assert planned("create_test", "shop.large_orders", "-o", "first_three").exit_code == 1
    assert planned("create_test", "shop.large_orders", "-o", "first_three", "--overwrite").exit_code == 0


def test_a_range_and_ctes_in_a_made_test(planned: Shop) -> None:
    planned.edit(
        "models/shop/monthly_revenue.sql",
        "SELECT\n",
        "WITH paid AS (SELECT * FROM shop.orders)\nSELECT\n",
    )
    result = planned("create_test", "shop.monthly_revenue", "--include-ctes", "--path", "revenue/test_it.yaml")
    assert result.exit_code == 0, result.output
    assert "no range, so it is of 1970-01-01" not in result.stderr
    made = planned("create_test", "shop.orders", "-v", "start", "2024-01-01", "-v", "end", "2024-01-31", "-n", "month")
    assert made.exit_code == 0, made.output
    assert "no range, so it is of 1970-01-01" not in made.stderr
    assert "no range, so it is of 1970-01-01" in planned("create_test", "shop.orders", "--path", "test_it.yaml").stderr
    (planned.root / "tests" / "test_it.yaml").unlink()
    document = yaml.safe_load((planned.root / "tests" / "revenue" / "test_it.yaml").read_text())
    assert list(document["test_shop_monthly_revenue"]["outputs"]["ctes"]) == ["paid"]
    month = yaml.safe_load((planned.root / "tests" / "test_month.yaml").read_text())["month"]
    assert month["outputs"]["query"]["rows"]
    assert "2 unit tests: 2 passed" in planned("test").stdout


def test_a_table_the_model_does_not_read_is_refused(planned: Shop) -> None:
    result = planned("create_test", "shop.large_orders", "-q", "shop.order", "SELECT 1")
    assert result.exit_code == 1
    assert "does not read shop.order" in result.stderr
    assert "shop.orders" in result.stderr
    assert planned("create_test", "shop.large_orders", "--path", "../x.yaml").exit_code == 1


# ---- the page and the sample -----------------------------------------------------------------------------


@pytest.mark.parametrize("gateway", ["nonproduction", "production"])
def test_the_tests_of_the_sample_pass(tmp_path: Path, gateway: str) -> None:
    root = copy_of_the_project(tmp_path)
    shutil.copytree(ROOT / "tests", root / "tests", dirs_exist_ok=True)
    result = Shop(root)("test", gateway=gateway)
    assert result.exit_code == 0, result.output
    assert "4 passed, 0 failed" in result.stdout


def test_the_examples_of_the_page_pass(shop: Shop) -> None:
    models = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
    tests = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    assert models
    assert len(tests) > 2
    for index, text in enumerate(models):
        (shop.root / "models" / "shop" / f"page_{index}.sql").write_text(text)
    for index, text in enumerate(tests):
        write(shop, text, f"test_page_{index}.yaml")
    result = shop("test", "-v")
    assert result.exit_code == 0, result.output
    assert result.stdout.count("passed   ") >= len(tests)
