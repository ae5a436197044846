"""The options of plan and run that say what is asked, on a real project."""

from __future__ import annotations

import json
import shlex

import click
from click.testing import CliRunner

from isomesh_dagster.cli.wishes import as_flags, plan_options, plan_wish
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster_tests.cli.conftest import Shop

REVENUE = "models/shop/monthly_revenue.sql"


def test_a_restatement_from_the_command_line(planned: Shop) -> None:
    told = planned("plan", "dev", "--restate-model", "shop.orders")
    assert told.exit_code == 3, told.output
    assert "To restate: these rows are made again, where they are" in told.stdout
    assert "plan dev --restate-model shop.orders --auto-apply" in " ".join(told.stderr.split())
    done = planned("plan", "dev", "--restate-model", "shop.orders", "--auto-apply", "--json")
    assert done.exit_code == 0, done.output
    document = json.loads(done.stdout)
    assert document["wish"] == {"restate": ["shop.orders"]}
    assert {one["model"] for one in document["builds"]} >= {"shop.orders", "shop.monthly_revenue"}
    assert document["changes"] == []


def test_a_saved_restatement_is_applied(planned: Shop) -> None:
    file = str(planned.root / "again.json")
    saved = planned("plan", "dev", "--restate-model", "shop.orders", "--save", file)
    assert saved.exit_code == 0, saved.output
    applied = planned("apply", file)
    assert applied.exit_code == 0, applied.output
    assert "Done in" in applied.stdout


def test_a_selection_and_a_range(planned: Shop) -> None:
    planned.edit(REVENUE, "COUNT(*) AS orders", "COUNT(*) + 1 AS orders")
    other = json.loads(planned("plan", "dev", "--select-model", "shop.orders", "--json").stdout)
    assert other["changes"] == []
    taken = json.loads(planned("plan", "dev", "--select-model", "shop.m* & ^shop.orders", "--json").stdout)
    assert [change["model"] for change in taken["changes"]] == ["shop.monthly_revenue"]


def test_what_cannot_be_asked_together_is_told(planned: Shop) -> None:
    refused = planned("plan", "dev", "--skip-backfill", "--empty-backfill")
    assert refused.exit_code == 1
    assert "exclude each other" in refused.stderr
    assert planned("plan", "prod", "--start", "2024-01-01").exit_code == 1
    reversed_range = planned("plan", "dev", "--start", "2024-01-02", "--end", "2024-01-01")
    assert "ends before it starts" in reversed_range.stderr


def test_a_run_of_one_model(planned: Shop) -> None:
    done = planned("run", "dev", "--select-model", "shop.orders", "--ignore-cron", "--execution-time", "2030-01-01")
    assert done.exit_code == 0, done.output
    assert "shop.monthly_revenue" not in done.stdout
    unknown = planned("run", "dev", "--select-model", "shop.order")
    assert unknown.exit_code == 1
    assert "did you mean 'shop.orders'?" in unknown.stderr


def test_flags_ask_for_what_the_wish_asks() -> None:
    """What is told to people who have no terminal gives the same wish when it is typed."""
    found: list[Wish] = []

    @click.command()
    @plan_options
    def ask(**asked: object) -> None:
        found.append(plan_wish(dict(asked), now=None))

    for wish in (
        Wish(restate=("m.a", "m.b"), within=Interval(86_400_000, 172_800_000)),
        Wish(select=("m.a",), backfill=("m.b",), no_gaps=True, create_from="dev", min_intervals=3),
        Wish(run=True, ignore_cron=True, skip_backfill=True),
        Wish(empty_backfill=True),
        Wish(enable_preview=True, no_auto_categorization=True, skip_linter=True, diff_rendered=True),
    ):
        result = CliRunner().invoke(ask, shlex.split(as_flags(wish)))
        assert result.exit_code == 0, result.output
        assert found.pop() == wish
    assert as_flags(Wish(choices={"m.a": Category.NON_BREAKING})) == " --categorize m.a=non-breaking"
