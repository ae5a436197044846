"""Errors show where they are, in the words of the file."""

from __future__ import annotations

from isomesh_dagster_tests.cli.conftest import Shop

ORDERS = "models/shop/orders.sql"
AUDIT = "audits/positive_amount.sql"


def test_the_line_is_shown_with_a_caret_under_the_spot(shop: Shop) -> None:
    shop.edit(ORDERS, "@start_date", "@strat_date")
    lines = shop("plan", "dev").stderr.splitlines()
    assert lines[1:3] == ["    ordered_on BETWEEN @strat_date AND @end_date", " " * 23 + "^" * 11]


def test_a_spot_that_only_the_message_names_is_found_in_the_line(shop: Shop) -> None:
    shop.edit(ORDERS, "GROUP BY", "GRUOP BY")
    lines = shop("plan", "dev").stderr.splitlines()
    assert f"{ORDERS}:23" in lines[0]
    assert lines[1:3] == ["    GRUOP BY", "    ^^^^^"]


def test_lines_of_the_configuration_are_never_shown(shop: Shop) -> None:
    shop.edit("config.yaml", "project: shop", "projct: hunter2")
    told = shop("plan", "dev").stderr
    assert "config.yaml:3" in told
    assert "hunter2" not in told


def test_a_broken_audit_is_placed_in_its_own_file(shop: Shop) -> None:
    file = shop.root / AUDIT
    file.write_text("AUDIT (name positive_amount);\nSELECT * FROM @this_model WHERE GRUOP BY x")
    told = shop("plan", "dev").stderr
    assert told.startswith(f"error {AUDIT}:2 (shop.orders): audit positive_amount: the SQL does not parse")


def test_a_failed_build_is_told_in_a_line_and_then_in_full(shop: Shop) -> None:
    shop.edit(ORDERS, "SUM(quantity", "SUM(quantty")
    lines = shop("plan", "dev", "--auto-apply").stderr.splitlines()
    [failed] = [line for line in lines if line.startswith("failed   shop.orders: ")]
    assert "LINE" not in failed
    at = next(k for k, line in enumerate(lines) if line.startswith("error [local] models/shop/orders.sql:"))
    quoted, marks, hint = lines[at + 1 : at + 4]
    assert quoted[marks.index("^") :].startswith("quantty")
    assert marks.strip() == "^" * len("quantty")
    assert hint == "  hint: did you mean quantity?"


def test_an_audit_that_fails_says_how_many_rows_of_which_days(shop: Shop) -> None:
    shop.edit(ORDERS, "COUNT(*) AS lines", "-1 AS lines")
    shop.edit(ORDERS, "    positive_amount\n", "    accepted_range(column := lines, min_v := 0)\n")
    result = shop("plan", "dev", "--auto-apply")
    assert result.exit_code == 4
    assert "audit accepted_range found 8 rows in 2024-01-01 → 2024-03-31; what was written is rolled" in result.stderr


def test_going_back_from_the_first_promotion_says_that_there_is_nothing(planned: Shop) -> None:
    result = planned("rollback", "dev")
    assert result.exit_code == 1
    assert "promoted only once: there is nothing to go back to" in result.stderr


def test_a_difference_to_no_environment_is_an_error(planned: Shop) -> None:
    result = planned("diff", "dve")
    assert result.exit_code == 1
    assert "there is no environment 'dve'" in result.stderr


def test_rows_of_a_model_by_time_say_which_day_they_are_of(planned: Shop) -> None:
    assert "the rows of yesterday" in planned("evaluate", "shop.orders").stderr
    chosen = planned("evaluate", "shop.orders", "--start", "2024-01-01", "--end", "2024-03-31")
    assert "yesterday" not in chosen.stderr
    assert "8 rows" in chosen.stdout


def test_a_line_of_a_seed_with_too_few_values_is_named(shop: Shop) -> None:
    with (shop.root / "seeds" / "order_lines.csv").open("a") as file:
        file.write("9,lamp,1\n")
    result = shop("plan", "dev", "--auto-apply")
    assert result.exit_code == 4
    assert "line 14 of the seed's file has 3 values for 5 columns" in result.stderr
    assert "sniffing" not in result.stderr
