"""`isomesh ci`: what people and their CI see of deliveries."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result

from isomesh_dagster_tests.cli.conftest import isomesh
from isomesh_dagster_tests.repositories import Team, team

AMOUNT = "MODEL (name core.orders, kind FULL);\nSELECT 1 AS id, {} AS amount\n"
BRANCH = "feature/amounts"


@pytest.fixture
def people(tmp_path: Path) -> Team:
    return team(tmp_path)


def ci(people: Team, *arguments: str) -> Result:
    return isomesh("-p", str(people.system), "ci", *arguments)


def test_sync_does_all_that_is_due(people: Team) -> None:
    people.commit("Twenty", {"models/orders.sql": AMOUNT.format(20)}, branch=BRANCH)
    dry = ci(people, "sync", "--dry-run")
    assert dry.stdout.splitlines()[0].startswith("deploy refs/heads/main at ")
    assert dry.stdout.splitlines()[1].endswith("→ feature_amounts")
    due = json.loads(ci(people, "sync", "--dry-run", "--json").stdout)["due"]
    assert [(task["what"], task["environment"]) for task in due] == [
        ("deploy", "prod"),
        ("preview", "feature_amounts"),
    ]
    done = ci(people, "sync")
    assert done.exit_code == 0, done.stderr
    assert "prod shows " in done.stdout
    assert "feature_amounts shows " in done.stdout
    assert "built    core.orders" in done.stderr
    assert ci(people, "sync").stdout == "Nothing is due.\n"


def test_status(people: Team) -> None:
    assert "Nothing was done" in ci(people, "status").stdout
    ci(people, "deploy")
    (ref,) = json.loads(ci(people, "status", "--json").stdout)["refs"]
    assert (ref["ref"], ref["environment"], ref["status"]) == ("refs/heads/main", "prod", "shown")
    assert ref["shown"] == people.git("rev-parse", "HEAD")


def test_a_report_for_a_pull_request(people: Team) -> None:
    ci(people, "deploy")
    people.commit("Twenty", {"models/orders.sql": AMOUNT.format(20)}, branch="somebodys", push=False)
    people.git("push", "-q", "origin", "somebodys:refs/pull/12/head")
    page = ci(people, "preview", "--pr", "12", "--markdown").stdout
    assert page.startswith("## ✅ Preview of `refs/pull/12/head` on gateway `production`\n")
    assert "Rows of `prod` and `pr_12`" in page
    (report,) = json.loads(ci(people, "deploy", "--json").stdout)["reports"]
    assert (report["outcome"], report["views_only"]) == ("shown", False)


def test_what_fails_has_its_code(people: Team) -> None:
    people.commit("Broken", {"models/orders.sql": "no"})
    failed = ci(people, "deploy")
    assert failed.exit_code == 4
    assert "models/orders.sql:1" in failed.stderr
    assert ci(people, "preview", "nothing").exit_code == 1
    assert ci(people, "preview").exit_code == 2
    assert ci(people, "deploy", "--commit", "main").exit_code == 1


def test_an_approval_by_either_command(people: Team) -> None:
    people.configure(approval="always")
    waiting = ci(people, "deploy", "--json")
    assert waiting.exit_code == 3
    plan = json.loads(waiting.stdout)["reports"][0]["plan"]["plan_id"]
    assert ci(people, "approve", "ffffffff").exit_code == 1
    done = isomesh("-p", str(people.system), "apply", plan)
    assert done.exit_code == 0, done.stderr
    assert "prod shows" in done.stdout
    people.commit("More", {"models/orders.sql": AMOUNT.format(30)})
    plan = json.loads(ci(people, "deploy", "--json").stdout)["reports"][0]["plan"]["plan_id"]
    assert ci(people, "approve", plan[:8]).exit_code == 0


def test_ends_by_hand(people: Team) -> None:
    people.commit("Twenty", {"models/orders.sql": AMOUNT.format(20)}, branch=BRANCH)
    ci(people, "preview", BRANCH)
    assert "ended" in ci(people, "expire", BRANCH).stdout
    assert ci(people, "expire", "main").exit_code == 1


def test_where_no_repository_drives(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("gateway: {connection: {type: duckdb}}\nmodel_defaults: {dialect: duckdb}\n")
    told = isomesh("-p", str(tmp_path), "ci", "status")
    assert told.exit_code == 1
    assert "no repository drives gateway 'default'" in told.stderr
