"""environments, rollback, invalidate, janitor on a real project."""

from __future__ import annotations

import json

from isomesh_dagster_tests.cli.conftest import Shop


def test_a_new_system_has_no_environment(shop: Shop) -> None:
    assert json.loads(shop("environments", "--json").stdout) == {"gateway": "local", "environments": []}
    assert "No environment yet" in shop("environments").stdout


def test_environments_are_listed_with_what_they_show(planned: Shop) -> None:
    document = json.loads(planned("environments", "--json", "--history").stdout)
    (dev,) = document["environments"]
    assert dev["name"] == "dev"
    assert dev["promotion"] == 1
    assert dev["expires_at"] is not None
    assert "shop__dev.orders" in {view.removeprefix("local.") for view in dev["views"]}
    assert [entry["promotion"] for entry in dev["promotions"]] == [1]
    text = planned("environments", "--history").stdout
    assert "history of dev" in text
    assert "gateway local" in text


def test_rollback_shows_the_promotion_before(planned: Shop) -> None:
    first = json.loads(planned("environments", "--json").stdout)["environments"][0]
    planned.edit("models/shop/monthly_revenue.sql", "COUNT(*) AS orders", "COUNT(*) + 1 AS orders")
    assert planned("plan", "dev", "--auto-apply").exit_code == 0
    result = planned("rollback", "dev")
    assert "dev shows again what promotion 1 showed, as promotion 3" in result.stdout
    assert result.exit_code == 0, result.output
    assert "promotion 3" in result.stdout
    now = json.loads(planned("environments", "--json").stdout)["environments"][0]
    assert now["views"] == first["views"]
    assert now["promotion"] == 3


def test_rollback_to_nowhere_is_an_error(planned: Shop) -> None:
    assert planned("rollback", "dev", "--to", "9").exit_code == 1
    assert planned("rollback", "nowhere").exit_code == 1


def test_an_ended_environment_is_removed_by_the_janitor(planned: Shop) -> None:
    assert planned("invalidate", "dev").exit_code == 0
    dry = planned("janitor", "--dry-run", "--ignore-ttl")
    assert dry.exit_code == 0
    assert "would" in dry.stdout
    assert len(json.loads(planned("environments", "--json").stdout)["environments"]) == 1
    assert planned("janitor", "--ignore-ttl").exit_code == 0
    assert json.loads(planned("environments", "--json").stdout)["environments"] == []


def test_an_ended_environment_lives_again_when_it_is_planned(planned: Shop) -> None:
    planned("invalidate", "dev")
    again = planned("plan", "dev", "--auto-apply")
    assert again.exit_code == 0, again.stderr
    planned("janitor", "--ignore-ttl")
    (dev,) = json.loads(planned("environments", "--json").stdout)["environments"]
    assert (dev["name"], dev["promotion"]) == ("dev", 2)
    assert "Nothing to do" in planned("plan", "dev").stdout


def test_prod_cannot_be_invalidated(planned: Shop) -> None:
    result = planned("invalidate", "prod")
    assert result.exit_code == 1
    assert "prod" in result.stderr
