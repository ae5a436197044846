"""What scripts written for SQLMesh pass: each option is understood, and does here what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isomesh_dagster_tests.cli.conftest import Shop, isomesh

REVENUE = "models/shop/monthly_revenue.sql"


@pytest.mark.parametrize(
    "command",
    [
        "plan dev --no-prompts --auto-apply --test-changed-only --include-unmodified",
        "plan dev --skip-linter --enable-preview --no-diff",
        "lint --local --models shop.orders --use-project-index",
        "test --local --preserve-fixtures",
        "table_name shop.orders --env dev --prod",
        "table_diff dev:dev shop.orders --skip-grain-check --warn-grain-check --schema-diff-ignore-case",
        "table_diff dev:dev shop.orders --temp-schema scratch",
        "format --check --append-newline --normalize --rewrite-casts",
        "render shop.orders --no-format",
        "info --skip-connection --verbose",
        "info --skip-connection -v",
        "audit dev --model shop.orders --execution-time 2024-06-01",
    ],
)
def test_what_asks_for_nothing_else_is_accepted(planned: Shop, command: str) -> None:
    done = planned(*command.split())
    assert done.exit_code == 0, done.output


def test_no_edit_is_categorized_when_that_is_asked(planned: Shop) -> None:
    planned.edit(REVENUE, "COUNT(*) AS orders", "COUNT(*) + 1 AS orders")
    refused = planned("plan", "dev", "--no-auto-categorization", "--no-prompts", "--auto-apply")
    assert refused.exit_code == 1, refused.output
    assert "--categorize" in refused.stderr
    chosen = planned(
        "plan", "dev", "--no-auto-categorization", "--categorize", "shop.monthly_revenue=breaking", "--json"
    )
    assert [one["category"] for one in json.loads(chosen.stdout)["changes"]] == ["breaking"]


def test_a_lint_error_stops_a_plan_unless_the_linter_is_skipped(planned: Shop) -> None:
    config = planned.root / "config.yaml"
    config.write_text(config.read_text() + "linter: {enabled: true, rules: [nomissingowner]}\n")
    assert planned("plan", "dev").exit_code == 1
    assert planned("plan", "dev", "--skip-linter").exit_code == 0


def test_rendered_queries_are_compared(planned: Shop) -> None:
    planned.edit(REVENUE, "COUNT(*) AS orders", "COUNT(*) + @EVAL(1 + 1) AS orders")
    told = planned("plan", "dev", "--diff-rendered")
    assert "+ 2 AS orders" in told.stdout
    assert "@EVAL" not in told.stdout
    assert "@EVAL" in planned("plan", "dev").stdout


def test_text_diffs_are_left_out_by_the_configuration(planned: Shop) -> None:
    planned.edit(REVENUE, "COUNT(*) AS orders", "COUNT(*) + 1 AS orders")
    assert "COUNT(*) + 1" in planned("plan", "dev").stdout
    config = planned.root / "config.yaml"
    config.write_text(config.read_text() + "plan: {no_diff: true}\n")
    assert "COUNT(*) + 1" not in planned("plan", "dev").stdout


def test_a_query_is_rendered_with_what_it_reads_in_it(planned: Shop) -> None:
    plain = planned("render", "shop.monthly_revenue").stdout
    assert "shop.orders" in plain
    expanded = planned("render", "shop.monthly_revenue", "--expand", "shop.orders")
    assert expanded.exit_code == 0, expanded.output
    body = expanded.stdout.split("\n", 1)[1]
    assert "shop.orders" not in body
    assert body.count("SELECT") > plain.count("SELECT")


def test_a_query_is_rendered_in_another_dialect_and_layout(planned: Shop) -> None:
    asked = planned("render", "shop.monthly_revenue", "--dialect", "bigquery", "--leading-comma", "--json")
    assert asked.exit_code == 0, asked.output
    query = json.loads(asked.stdout)["sql"]
    assert "\n  , " in query
    assert "\nDATE_TRUNC" in planned("render", "shop.monthly_revenue", "--pad", "0").stdout
    unknown = planned("render", "shop.monthly_revenue", "--dialect", "bigqury")
    assert "did you mean bigquery?" in unknown.stderr


def test_an_environment_goes_at_once(planned: Shop) -> None:
    assert planned("plan", "stage", "--auto-apply").exit_code == 0
    ended = planned("invalidate", "stage", "--sync")
    assert ended.exit_code == 0, ended.output
    named = {one["name"] for one in json.loads(planned("environments", "--json").stdout)["environments"]}
    assert named == {"dev"}
    assert planned("fetchdf", "SELECT * FROM shop__stage.orders").exit_code == 1
    assert planned("fetchdf", "SELECT * FROM shop__dev.orders LIMIT 1").exit_code == 0


def test_the_janitor_minds_one_environment(planned: Shop) -> None:
    for name in ("one", "two"):
        assert planned("plan", name, "--auto-apply").exit_code == 0
        assert planned("invalidate", name).exit_code == 0
    swept = planned("janitor", "-e", "one", "--ignore-ttl")
    assert "1 object removed" in swept.stdout
    named = {one["name"] for one in json.loads(planned("environments", "--json").stdout)["environments"]}
    assert named == {"dev", "two"}
    assert planned("janitor", "-e", "on").exit_code == 1


def test_the_graph_of_some_models(planned: Shop) -> None:
    page = planned.root / "some.html"
    assert planned("dag", str(page), "--select-model", "shop.orders").exit_code == 0
    text = page.read_text()
    assert '"name":"shop.orders"' in text
    assert '"name":"shop.monthly_revenue"' not in text


def test_the_cache_is_forgotten(planned: Shop) -> None:
    cache = planned.root / ".isomesh" / "cache.sqlite"
    assert cache.is_file()
    assert planned("clean").exit_code == 0
    assert not cache.exists()
    assert "no cache" in planned("clean").stdout
    assert "Nothing to do" in planned("plan", "dev").stdout
    assert cache.is_file()


@pytest.mark.parametrize(("name", "instead"), [("ui", "dagster dev"), ("dlt_refresh", "create_external_models")])
def test_a_command_that_is_not_here_is_told_what_stands_in_for_it(name: str, instead: str) -> None:
    refused = isomesh(name)
    assert refused.exit_code == 2
    assert instead in refused.output


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("--config dev plan", "config.yaml"),
        ("--ignore-warnings plan", "stderr"),
        ("--log-file-dir logs plan", "--log-file FILE"),
        ("--log-to-stdout plan", "--log-file /dev/stderr"),
        ("init -t empty", "one template"),
        ("init --template dbt", "one template"),
        ("format -t duckdb", "--dialect"),
        ("format --transpile duckdb", "--dialect"),
        ("janitor --force-delete", "next janitor"),
        ("state export --local -o x", "state of the gateway"),
        ("plan --paths shop", "before the command"),
    ],
)
def test_an_option_that_is_not_here_is_told_what_stands_in_for_it(command: str, instead: str) -> None:
    refused = isomesh(*command.split())
    assert refused.exit_code == 2
    assert instead in " ".join(refused.stderr.split())


def test_the_state_is_written_and_read_with_the_options_of_the_anchor(planned: Shop, tmp_path: Path) -> None:
    file = str(tmp_path / "state.jsonl")
    assert planned("state", "export", "--output-file", file, "--no-confirm").exit_code == 0
    assert planned("state", "import", "--input-file", file, "--replace", "--no-confirm").exit_code == 0
    assert isomesh("--paths", str(planned.root), "diff", "dev").exit_code == 0


def test_a_run_ends_with_the_code_asked_for_when_somebody_promotes_meanwhile(planned: Shop) -> None:
    moved = "@IF(@execution_ds >= '2030-01-01', UPDATE isomesh_meta.environments SET plan_id = 'another');\n"
    planned.edit(REVENUE, "SELECT\n", moved + "\nSELECT\n")
    best = "MODEL (name shop.best, kind FULL);\nSELECT MAX(revenue) AS revenue FROM shop.monthly_revenue\n"
    (planned.root / "models/shop/best.sql").write_text(best)
    made = planned("plan", "dev", "--auto-apply")
    assert made.exit_code == 0, made.output
    ended = planned("run", "dev", "--execution-time", "2030-01-02", "--exit-on-env-update", "77")
    assert ended.exit_code == 77, ended.output
    assert "was changed during the run" in ended.stderr
