"""plan, run and diff on a real project: what is printed where, what is written, how it ends."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys

import duckdb

from isomesh_dagster_tests.cli.conftest import Shop

ORDERS = "models/shop/orders.sql"
REVENUE = "models/shop/monthly_revenue.sql"


def test_without_a_terminal_a_plan_is_shown_and_not_applied(shop: Shop) -> None:
    result = shop("plan", "dev")
    assert result.exit_code == 3
    assert "gateway local" in result.stdout
    assert "shop.orders" in result.stdout
    assert "--auto-apply" in result.stderr
    assert not (shop.root / ".systems" / "local.duckdb").exists()


def test_applying_says_what_was_done_and_planning_again_finds_nothing(shop: Shop) -> None:
    first = shop("plan", "dev", "--auto-apply")
    assert first.exit_code == 0, first.output
    assert "Done in" in first.stdout
    assert "built    shop.orders" in first.stderr
    again = shop("plan", "dev")
    assert again.exit_code == 0
    assert "Nothing to do" in again.stdout


def test_the_plan_tells_ranges_diffs_and_categories(planned: Shop) -> None:
    planned.edit(ORDERS, "SUM(quantity * price)", "SUM(quantity * price * 2)")
    text = planned("plan", "dev").stdout
    assert "Directly modified" in text
    assert "breaking" in text
    assert "2024-01-01 → 2024-03-31 (91 days, 1 batch)" in text
    assert any(line.strip().startswith("+") and "* 2" in line for line in text.splitlines())
    assert "* 2" not in planned("plan", "dev", "--no-diff").stdout


def test_a_comment_changes_nothing(planned: Shop) -> None:
    planned.edit(REVENUE, "SELECT\n", "-- of what was ordered\nSELECT\n")
    result = planned("plan", "dev")
    assert result.exit_code == 0
    assert "Nothing to do" in result.stdout


def test_json_is_one_document_and_nothing_else(shop: Shop) -> None:
    result = shop("plan", "dev", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["gateway"] == "local"
    assert document["environment"] == "dev"
    assert {change["change"] for change in document["changes"]} == {"added"}
    assert "applied" not in document
    assert not (shop.root / ".systems" / "local.duckdb").exists()


def test_json_with_auto_apply_holds_what_was_done(shop: Shop) -> None:
    result = shop("plan", "dev", "--json", "--auto-apply")
    applied = json.loads(result.stdout)["applied"]
    assert result.exit_code == 0
    assert {"shop.order_lines", "shop.orders", "shop.monthly_revenue", "shop.large_orders"} == {
        built["model"] for built in applied["built"]
    }
    assert applied["promoted"]["number"] == 1
    assert applied["seconds"] > 0
    again = json.loads(shop("plan", "dev", "--json", "--auto-apply").stdout)
    assert again["is_empty"]
    assert again["applied"]["built"] == []


def test_many_models_are_folded_unless_every_line_is_asked_for(shop: Shop) -> None:
    for number in range(30):
        model = f"MODEL (name shop.view_{number}, kind VIEW);\nSELECT month FROM shop.monthly_revenue\n"
        (shop.root / "models" / f"view_{number}.sql").write_text(model)
    folded, whole = (shop("plan", "dev", "--explain", *flags).stdout for flags in ((), ("--verbose",)))
    assert "shop.*  34 models" in folded.partition("What an apply does")[0]
    assert all(f"shop.view_{number}  view\n" in whole for number in range(30))


def test_explain_shows_every_step_and_applies_nothing(shop: Shop) -> None:
    result = shop("plan", "dev", "--explain", "--auto-apply")
    assert result.exit_code == 0
    assert "What an apply does, in order" in result.stdout
    assert "isomesh__shop" in result.stdout
    assert "audit positive_amount" in result.stdout
    assert not (shop.root / ".systems" / "local.duckdb").exists()


def test_a_second_environment_reuses_and_builds_nothing(planned: Shop) -> None:
    document = json.loads(planned("plan", "staging", "--json", "--auto-apply").stdout)
    assert document["builds"] == []
    assert document["applied"]["built"] == []
    assert document["applied"]["promoted"]["environment"] == "staging"


def test_diff_ends_with_3_when_there_is_one(planned: Shop) -> None:
    assert planned("diff", "dev").exit_code == 0
    planned.edit(REVENUE, "COUNT(*) AS orders", "COUNT(*) + 1 AS orders")
    result = planned("diff", "dev")
    assert result.exit_code == 3
    assert "shop.monthly_revenue" in result.stdout
    assert "To build" not in result.stdout


def test_a_broken_model_is_one_message_with_its_line(planned: Shop) -> None:
    planned.edit(REVENUE, "COUNT(*)", "COUNT((*)")
    result = planned("plan", "dev", "--auto-apply")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert f"{REVENUE}:" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_broken_model_in_json_mode_is_a_document(planned: Shop) -> None:
    planned.edit(REVENUE, "kind FULL", "kind FUL")
    result = planned("plan", "dev", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert document["error"]["path"] == REVENUE
    assert document["error"]["line"] is not None


def test_an_audit_added_later_runs_over_what_is_built(planned: Shop) -> None:
    planned.edit(ORDERS, "positive_amount\n", "positive_amount,\n    accepted_range(column := lines, max_v := 1)\n")
    result = planned("plan", "dev", "--auto-apply")
    assert result.exit_code == 4
    assert "accepted_range found" in result.stderr
    assert "built    " not in result.stderr
    planned.edit(ORDERS, "max_v := 1", "max_v := 100")
    result = planned("plan", "dev", "--auto-apply")
    assert result.exit_code == 0, result.stderr
    assert "passed   shop.orders: accepted_range" in result.stderr
    assert "audited 1 table" in result.stdout
    assert "Nothing to do" in planned("plan", "dev").stdout


def test_a_failed_audit_ends_with_4_and_the_environment_stays(planned: Shop) -> None:
    before = json.loads(planned("environments", "--json").stdout)
    planned.edit(ORDERS, "SUM(quantity * price)", "-1 * SUM(quantity * price)")
    result = planned("plan", "dev", "--auto-apply")
    assert result.exit_code == 4
    assert "positive_amount" in result.stderr
    assert "Traceback" not in result.stderr
    assert json.loads(planned("environments", "--json").stdout) == before
    document = json.loads(planned("plan", "dev", "--json", "--auto-apply").stdout)
    assert [failed["model"] for failed in document["applied"]["failed"]] == ["shop.orders"]
    assert document["applied"]["promoted"] is None


def test_gateways_are_isolated_and_named(planned: Shop) -> None:
    result = planned("plan", "prod", "--auto-apply", gateway="production")
    assert result.exit_code == 0, result.output
    assert "gateway production" in result.stdout
    listed = json.loads(planned("environments", "--json", gateway="production").stdout)
    assert [each["name"] for each in listed["environments"]] == ["prod"]
    unknown = planned("plan", "dev", gateway="nowhere")
    assert unknown.exit_code == 1
    assert "production" in unknown.stderr


def test_run_builds_what_is_due_and_then_nothing(planned: Shop) -> None:
    assert planned("run", "dev", "--execution-time", "in 3 days").exit_code == 0
    assert planned("run", "nowhere").exit_code == 1


def test_somebody_at_a_terminal_is_asked(shop: Shop) -> None:
    def answer(reply: bytes) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        code = "from isomesh_dagster.cli.main import main; main()"
        environment = {key: value for key, value in os.environ.items() if key != "ISOMESH_GATEWAY"}
        with subprocess.Popen(
            [sys.executable, "-c", code, "--project", str(shop.root), "plan", "dev"],
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
        ) as process:
            os.write(ours, reply)
            out, _ = process.communicate(timeout=120)
        os.close(ours)
        os.close(theirs)
        return process.returncode, out.decode()

    code, text = answer(b"n\n")
    assert code == 3
    assert "Apply to dev on gateway local?" in text
    assert not (shop.root / ".systems" / "local.duckdb").exists()
    code, text = answer(b"y\n")
    assert code == 0
    assert "Done in" in text


def test_who_waits_for_the_warehouse_is_told(planned: Shop) -> None:
    planned.edit(REVENUE, "COUNT(*) AS orders", "COUNT(*) + 1 AS orders")
    code = "from isomesh_dagster.cli.main import main; main()"
    command = [sys.executable, "-c", code, "--project", str(planned.root), "plan", "dev", "--auto-apply"]
    environment = {key: value for key, value in os.environ.items() if key != "ISOMESH_GATEWAY"}
    with duckdb.connect(str(planned.root / ".systems" / "local.duckdb")):
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
        assert waiting.stderr is not None
        told = next((line for line in waiting.stderr if "waiting for the warehouse" in line), None)
    out, errors = waiting.communicate(timeout=120)
    assert told is not None
    assert waiting.returncode == 0, errors
    assert "waiting" not in out


def test_a_project_without_models_drops_nothing(planned: Shop) -> None:
    (planned.root / "models").rename(planned.root / "elsewhere")
    result = planned("plan", "dev", "--auto-apply")
    assert result.exit_code == 1
    assert "has no models" in result.stderr
    assert json.loads(planned("environments", "--json").stdout)["environments"][0]["views"]


def test_a_warehouse_that_is_gone_is_not_called_up_to_date(planned: Shop) -> None:
    (planned.root / ".systems" / "local.duckdb").unlink()
    result = planned("plan", "dev")
    assert result.exit_code == 1
    assert "is gone" in result.stderr
    assert not (planned.root / ".systems" / "local.duckdb").exists()
