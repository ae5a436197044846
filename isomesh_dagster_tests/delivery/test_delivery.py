"""The life of branches: preview, push, merge, deploy, revert; and everything that may go wrong on the way."""

from __future__ import annotations

import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from isomesh_dagster.cache.manifest import read_manifest
from isomesh_dagster.delivery import Deploy, Due, Expire, Preview, Report
from isomesh_dagster.delivery.report import report_json, report_markdown
from isomesh_dagster.errors import ConfigError, ConflictingPlanError, GitError, PlanError, StateError
from isomesh_dagster.project import Project
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster_tests.repositories import MODELS, Team

AMOUNT = "MODEL (name core.orders, kind FULL);\nSELECT 1 AS id, {} AS amount\n"
BRANCH = "feature/amounts"
MAIN = "refs/heads/main"


def sync(team: Team) -> list[Report]:
    with team.delivery() as delivery:
        return [delivery.do(task) for task in delivery.due().tasks]


def told(team: Team) -> list[tuple[str, str]]:
    return [(report.kind, report.outcome) for report in sync(team)]


def shown(team: Team, schema: str = "marts") -> int:
    ((amount,),) = team.query(f"SELECT amount FROM {schema}.totals")
    return int(amount)


def tables(team: Team) -> list[tuple[Any, ...]]:
    """All tables of the physical layer; what is built anew is another one."""
    return team.query(
        "SELECT table_schema, table_name FROM information_schema.tables"
        " WHERE table_schema LIKE 'isomesh%' AND table_type = 'BASE TABLE' ORDER BY 1, 2"
    )


def test_a_branch_from_preview_to_revert(team: Team) -> None:
    assert told(team) == [("deploy", "shown")]
    assert shown(team) == 10

    team.commit("Twenty", {"models/orders.sql": AMOUNT.format(20)}, branch=BRANCH)
    (preview,) = sync(team)
    assert (preview.kind, preview.environment, preview.views_only) == ("preview", "feature_amounts", False)
    assert (shown(team), shown(team, "marts__feature_amounts")) == (10, 20)

    team.commit("Thirty", {"models/orders.sql": AMOUNT.format(30)}, branch=BRANCH)
    assert told(team) == [("preview", "shown")]
    assert (shown(team), shown(team, "marts__feature_amounts")) == (10, 30)

    team.merge(BRANCH)
    there = tables(team)
    deploy, gone = sync(team)
    assert deploy.views_only
    assert "views only" in deploy.told
    assert tables(team) == there
    assert deploy.also == ("ended feature_amounts: prod shows its changes now",)
    assert (gone.kind, gone.outcome) == ("expire", "ended")
    assert shown(team) == 30

    with team.delivery() as delivery, Project.from_manifest(delivery.shown_manifest() or "", environ={}) as project:
        assert set(project.rollback("prod").created) == {"core.orders", "marts.totals"}
    assert (shown(team), sync(team)) == (10, [])  # it stays until the next commit
    files: dict[str, str | None] = {"models/names.sql": MODELS["models/names.sql"].replace("AS name", "AS title")}
    team.commit("Titles", files)
    (again,) = sync(team)
    assert (shown(team), again.destructive) == (30, ("core.names loses column name",))

    team.git("revert", "--no-edit", "HEAD", "HEAD~1")
    team.git("push", "-q", "origin", "main")
    (revert,) = sync(team)
    assert revert.views_only  # the tables of before are still there
    assert shown(team) == 10
    assert sync(team) == []
    assert tables(team) == there


def test_the_files_of_the_system_do_not_matter(team: Team) -> None:
    """Models come from the commit, connections from the system's own folder."""
    model = team.system / "models" / "orders.sql"
    model.parent.mkdir()
    model.write_text("this is no model")
    shape = "project: shop\nmodel_defaults: {dialect: duckdb, start: 2024-02-01}\n"
    system = "{connection: {type: duckdb, database: stolen.duckdb}, git: {remote: x, hook: [touch, trap]}}"
    team.commit("Config", {"config.yaml": f"{shape}gateways: {{production: {system}}}\n"})
    with team.delivery() as delivery:
        report = delivery.deploy()
        assert report.outcome == "shown"
        with Project.from_manifest(delivery.compile("main", report.commit.id), environ={}) as project:
            assert project.settings.model_defaults["start"] == "2024-02-01"  # what shapes the project is the commit's
            assert project.root == team.system
    assert (team.system / "production.duckdb").exists()
    assert not list(team.system.rglob("stolen*"))
    assert not list(team.system.rglob("trap"))


def test_a_commit_that_does_not_parse_is_told_once(team: Team) -> None:
    assert told(team) == [("deploy", "shown")]
    team.commit("Broken", {"models/orders.sql": "MODEL (name core.orders);\nSELEC 1\n"})
    (report,) = sync(team)
    assert report.outcome == "failed"
    assert report.error is not None
    assert report.error.startswith("models/orders.sql:2")
    assert sync(team) == []
    assert shown(team) == 10
    team.commit("Mended", {"models/orders.sql": AMOUNT.format(11)})
    assert told(team) == [("deploy", "shown")]
    assert shown(team) == 11


def test_a_failing_unit_test_keeps_everything(team: Team) -> None:
    sync(team)
    test = "test_it:\n  model: marts.totals\n  inputs: {core.orders: {rows: [{amount: 1}]}}\n"
    files = {"tests/test_totals.yaml": f"{test}  outputs: {{query: {{rows: [{{amount: 2}}]}}}}\n"}
    team.commit("Wrong", {**files, "models/orders.sql": AMOUNT.format(12)})
    (report,) = sync(team)
    assert (report.outcome, "1 of 1 unit tests failed: test_it" in report.told) == ("failed", True)
    assert shown(team) == 10
    page = report_markdown(report)
    assert "- ❌ `test_it` of `marts.totals`, `tests/test_totals.yaml:1`" in page
    assert "  | expected | **`2`** |\n  | actual | **`1`** |" in page
    assert "```" not in page, "there is nothing more to tell"
    document: Any = report_json(report)
    assert document["tests"][0]["differences"][0]["rows"] == [{"expected": [2], "actual": [1]}]
    team.commit("Right", {"tests/test_totals.yaml": files["tests/test_totals.yaml"].replace("2", "1")})
    assert told(team) == [("deploy", "shown")]
    assert shown(team) == 12


def test_a_failing_audit_keeps_everything(team: Team) -> None:
    sync(team)
    audited = (
        "MODEL (name core.orders, kind FULL, audits (not_null(columns := (id))));\nSELECT NULL AS id, 5 AS amount\n"
    )
    team.commit("Null", {"models/orders.sql": audited})
    (report,) = sync(team)
    assert (report.outcome, report.told) == ("failed", "prod shows what it showed: core.orders failed")
    assert shown(team) == 10
    assert sync(team) == []


def test_a_force_push_back_is_deployed(team: Team) -> None:
    first = team.git("rev-parse", "HEAD")
    sync(team)
    team.commit("More", {"models/orders.sql": AMOUNT.format(40)})
    sync(team)
    assert shown(team) == 40
    team.git("reset", "-q", "--hard", first)
    team.git("push", "-q", "--force", "origin", "main")
    (report,) = sync(team)
    assert (report.commit.id, report.outcome, report.views_only) == (first, "shown", True)
    assert shown(team) == 10


def test_of_two_merges_the_newer_one_wins(team: Team) -> None:
    sync(team)
    older = team.commit("One", {"models/orders.sql": AMOUNT.format(41)})
    newer = team.commit("Two", {"models/orders.sql": AMOUNT.format(42)})
    with team.delivery() as delivery:
        assert delivery.due() == Due(tasks=(Deploy(ref=MAIN, commit=newer),))
        assert delivery.deploy(newer).outcome == "shown"
        late = delivery.deploy(older)  # its run came late
        assert (late.outcome, "is older than" in late.told) == ("skipped", True)
    assert shown(team) == 42
    with team.delivery() as delivery:
        assert delivery.due().tasks == ()


def test_an_older_commit_of_the_branch_may_come_first(team: Team) -> None:
    sync(team)
    older = team.commit("One", {"models/orders.sql": AMOUNT.format(41)})
    team.commit("Two", {"models/orders.sql": "broken"})
    with team.delivery() as delivery:
        assert delivery.deploy(older).outcome == "shown"
    assert shown(team) == 41


def test_what_was_never_merged_is_not_deployed(team: Team) -> None:
    sync(team)
    commit = team.commit("Never", {"models/orders.sql": AMOUNT.format(9)}, branch=BRANCH)
    with team.delivery() as delivery:
        with pytest.raises(GitError, match="is not on main"):
            delivery.deploy(commit)
        with pytest.raises(GitError, match="is not a commit"):
            delivery.deploy("--upload-pack=touch x")
    assert shown(team) == 10


def test_an_older_push_is_skipped(team: Team) -> None:
    older = team.commit("One", {"models/orders.sql": AMOUNT.format(1)}, branch=BRANCH)
    team.commit("Two", {"models/orders.sql": AMOUNT.format(2)}, branch=BRANCH)
    with team.delivery() as delivery:
        report = delivery.preview(BRANCH, older)
        assert report.outcome == "skipped"
        assert delivery.records() == []


class TestApproval:
    def test_a_plan_waits_and_goes_on(self, team: Team) -> None:
        team.configure(approval="always")
        (report,) = sync(team)
        assert report.outcome == "waiting"
        assert report.plan is not None
        assert sync(team) == []
        with team.delivery() as delivery:
            with pytest.raises(PlanError, match="waits"):
                delivery.approve("ffff")
            done = delivery.approve(report.plan.id[:12])
        assert done.outcome == "shown"
        assert shown(team) == 10
        with team.delivery() as delivery, pytest.raises(PlanError, match="waits"):
            delivery.approve(report.plan.id[:12])

    def test_it_is_refused_when_prod_moved(self, team: Team) -> None:
        sync(team)
        team.configure(approval="always")
        team.commit("More", {"models/orders.sql": AMOUNT.format(50)})
        (report,) = sync(team)
        assert report.plan is not None
        files = {"config.yaml": (team.system / "config.yaml").read_text(), **MODELS, "models/x.sql": AMOUNT.format(7)}
        del files["models/orders.sql"]
        for path, text in files.items():
            (team.system / path).parent.mkdir(exist_ok=True)
            (team.system / path).write_text(text)
        with Project.load(team.system, environ={}) as project:
            list(project.apply(project.plan("prod")))
        with team.delivery() as delivery, pytest.raises(ConflictingPlanError, match="moved"):
            delivery.approve(report.plan.id)
        assert shown(team) == 7

    def test_only_what_readers_lose_may_need_one(self, team: Team) -> None:
        sync(team)
        team.configure(approval="destructive")
        team.commit("More", {"models/orders.sql": AMOUNT.format(60)})
        assert told(team) == [("deploy", "shown")]
        names = "MODEL (name core.names, kind VIEW);\nSELECT 1 AS number\n"
        team.commit("Less", {"models/names.sql": names, "models/totals.sql": None})
        (report,) = sync(team)
        assert report.outcome == "waiting"
        assert set(report.destructive) == {"core.names loses column name", "marts.totals goes away"}

    def test_what_they_lose_is_asked_of_prod(self, team: Team) -> None:
        """Neither author nor query tells these columns: what the views have counts, and what the engine makes of it."""
        star = "MODEL (name core.stars, kind {});\nSELECT * FROM read_csv('{}.csv')\n"
        reader = "MODEL (name marts.reader, kind VIEW);\nSELECT * FROM core.stars\n"
        for name, text in (("a", "id,name,at\n1,x,2024-01-01\n"), ("b", "id,at\n1,noon\n")):
            (team.system / f"{name}.csv").write_text(text)
        files: dict[str, str | None] = {
            "models/stars.sql": star.format("FULL", team.system / "a"),
            "models/reader.sql": reader,
        }
        team.commit("Stars", files)
        sync(team)
        lost = (
            "core.stars.at changes from DATE to VARCHAR",
            "core.stars loses column name",
            "marts.reader.at changes from DATE to VARCHAR",
            "marts.reader loses column name",
        )
        team.commit("Less", {"models/stars.sql": star.format("FULL", team.system / "b")}, branch=BRANCH)
        assert sync(team)[0].destructive == lost
        team.commit("Else", {"models/names.sql": None}, branch=BRANCH)  # against prod, not against the last push
        assert sync(team)[0].destructive == ("core.names goes away", *lost)
        team.git("checkout", "-q", "main")
        team.configure(approval="destructive")
        team.commit("View", {"models/stars.sql": star.format("VIEW", team.system / "b")})  # nothing of it is built yet
        (report, *_) = sync(team)
        assert (report.outcome, report.destructive) == ("waiting", lost)

    def test_or_it_is_an_error(self, team: Team) -> None:
        sync(team)
        team.configure(on_destructive_change="error")
        team.commit("Less", {"models/totals.sql": None})
        (report,) = sync(team)
        assert (report.outcome, "marts.totals goes away" in (report.error or "")) == ("failed", True)
        assert shown(team) == 10
        team.configure(on_destructive_change="allow")
        with team.delivery() as delivery:
            allowed = delivery.deploy()
        assert (allowed.outcome, allowed.destructive) == ("shown", ())


class TestCodeOfUntrustedRefs:
    MACRO = "from sqlmesh import macro\n\n@macro()\ndef ten(evaluator):\n    return '10'\n"
    MODEL = "MODEL (name core.orders, kind FULL);\nSELECT 1 AS id, @ten() AS amount\n"

    def test_python_of_the_deploy_branch_runs(self, team: Team) -> None:
        team.commit("Macro", {"macros/ten.py": self.MACRO, "models/orders.sql": self.MODEL})
        assert told(team) == [("deploy", "shown")]
        assert shown(team) == 10

    def test_python_of_others_does_not(self, team: Team, tmp_path: Path) -> None:
        sync(team)
        trap = tmp_path / "trap"
        code = f"open({str(trap)!r}, 'w').write('x')\n{self.MACRO}"
        team.commit("Macro", {"macros/ten.py": code, "models/orders.sql": self.MODEL}, branch=BRANCH)
        (report,) = sync(team)
        assert report.outcome == "failed"
        assert "macros/ten.py, and its code may not run" in report.told
        assert not trap.exists()
        # once it may, it does
        team.configure(may_run_code='["main", "feature/*"]')
        with team.delivery() as delivery:
            assert delivery.preview(BRANCH).outcome == "shown"
        assert trap.exists()

    def test_nor_do_statements(self, team: Team) -> None:
        sync(team)
        model = "MODEL (name core.orders, kind FULL);\nDROP VIEW marts.totals;\nSELECT 1 AS id, 2 AS amount\n"
        team.commit("Drop", {"models/orders.sql": model}, branch=BRANCH)
        (report,) = sync(team)
        assert (report.outcome, "has statements beside the query" in report.told) == ("failed", True)
        assert shown(team) == 10

    def test_nor_does_their_configuration_count(self, team: Team) -> None:
        sync(team)
        config = "model_defaults: {dialect: duckdb}\nbefore_all: ['DROP VIEW marts.totals']\nproject: shop\n"
        team.commit("Config", {"config.yaml": config, "models/orders.sql": AMOUNT.format(3)}, branch=BRANCH)
        assert told(team) == [("preview", "shown")]
        assert shown(team) == 10

    def test_compiling_knows_no_secret(self, team: Team, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WAREHOUSE_PASSWORD", "opensesame")
        found = tmp_path / "environment"
        settings = "[one.environ for one in gc.get_objects() if type(one).__name__ == 'Settings']"
        look = f"open({str(found)!r}, 'w').write(repr((dict(os.environ), {settings})))"
        team.commit("Macro", {"macros/ten.py": f"import gc, os\n{look}\n{self.MACRO}", "models/orders.sql": self.MODEL})
        with team.delivery(WAREHOUSE_PASSWORD="opensesame") as delivery:
            delivery.compile("main", team.git("rev-parse", "HEAD"))
        assert "opensesame" not in found.read_text()
        assert found.read_text().endswith(", [{}])")
        assert str(team.folder) not in found.read_text()

    def test_compiling_ends(self, team: Team) -> None:
        code = f"import time\ntime.sleep(1000)\n{self.MACRO}"
        team.commit("Slow", {"macros/ten.py": code, "models/orders.sql": self.MODEL})
        with team.delivery() as delivery:
            (task,) = delivery.due().tasks
            limits = delivery.config.limits.model_copy(update={"seconds": 1})  # of compiling, and not of git's answers
            delivery.config = delivery.config.model_copy(update={"limits": limits})
            report = delivery.do(task)
        assert (report.outcome, "longer than 1 seconds" in report.told) == ("failed", True)


def test_reports_hook_and_what_they_hold(team: Team) -> None:
    hook = team.system / "hook.sh"
    hook.write_text('#!/bin/sh\ncat > "$ISOMESH_OUTCOME.json"\n')
    hook.chmod(hook.stat().st_mode | stat.S_IXUSR)
    team.configure(hook="[./hook.sh]", reports="reports")
    sync(team)
    commit = team.commit("`x` <img src=a> @all", {"models/orders.sql": AMOUNT.format(20)}, branch=BRANCH)
    (report,) = sync(team)
    document = json.loads((team.system / "reports" / f"{commit}.preview.feature_amounts.json").read_text())
    assert document == json.loads((team.system / "shown.json").read_text())
    assert document["outcome"] == "shown"
    assert [one["model"] for one in document["built"]] == ["core.orders", "marts.totals"]
    assert {one["model"] for one in document["rows"]} >= {"core.orders", "marts.totals"}
    page = (team.system / "reports" / f"{commit}.preview.feature_amounts.md").read_text()
    assert page == report_markdown(report)
    assert "`'x' <img src=a> @all` by `Jo`" in page
    assert "Rows of `prod` and `feature_amounts`" in page
    assert report_json(report)["views_only"] is False


def test_a_report_begins_with_what_a_reviewer_asks(team: Team) -> None:
    sync(team)
    names = "MODEL (name core.names, kind VIEW);\nSELECT 1 AS number\n"  # its rows cannot be compared with the old ones
    team.commit("Both", {"models/orders.sql": AMOUNT.format(20), "models/names.sql": names}, branch=BRANCH)
    (report,) = sync(team)
    assert report.outcome == "shown"
    page = report_markdown(report)
    before, fold, behind = page.partition("<details><summary>Plan</summary>")
    assert fold
    assert "- `core.orders` **breaking**: column amount: expression changed" in before
    assert "- core.names loses column name" in before
    assert "**Query it**: `core__feature_amounts.names`, `core__feature_amounts.orders`" in before
    assert "```diff" not in before
    assert "```diff" in behind
    assert "| `core.names` | not compared: there is no column in common to compare |" in behind
    assert "| `core.orders` | 0 rows equal, 1 only in prod, 1 only in feature_amounts |" in behind
    assert behind.index("Rows in detail") < behind.index("#### `core.orders`")
    assert "\n\n\n" not in page


def test_a_hook_that_fails_is_a_warning(team: Team) -> None:
    team.configure(hook='["false"]')
    (report,) = sync(team)
    assert (report.outcome, report.also) == ("shown", ("git.hook ended with code 1",))


def test_reports_that_cannot_be_written_are_a_warning(team: Team) -> None:
    team.configure(reports="config.yaml/reports")
    with team.delivery() as delivery:
        report = delivery.deploy()
    assert report.outcome == "shown"
    assert "git.reports" in report.also[0]


def test_a_preview_whose_branch_went_meanwhile_is_skipped(team: Team) -> None:
    commit = team.commit("Twenty", {"models/orders.sql": AMOUNT.format(20)}, branch="feature/x")
    team.git("push", "-q", "origin", ":feature/x")
    with team.delivery() as delivery:
        report = delivery.preview("feature/x", commit)
        assert (report.outcome, report.told, report.environment) == ("skipped", "feature/x is gone", "feature_x")
        with pytest.raises(GitError, match="the remote has no feature/x"):  # somebody names it
            delivery.preview("feature/x")


def test_a_deploy_branch_that_is_renamed(team: Team) -> None:
    with team.delivery() as delivery:
        delivery.deploy()
    team.git("branch", "-m", "main", "trunk")
    team.git("push", "-q", "origin", "trunk")
    team.git("symbolic-ref", "HEAD", "refs/heads/trunk", at=team.remote)
    team.git("push", "-q", "origin", ":main")
    with team.delivery() as delivery:
        found = delivery.due()
        assert found.tasks == ()
        assert [(one.ref, one.reason[:30]) for one in found.refused] == [
            ("refs/heads/main", "the remote has no such branch;")
        ]
    team.configure(deploy_branch="trunk")
    with team.delivery() as delivery:
        (task,) = delivery.due().tasks
        assert delivery.do(task).told.endswith("nothing differs from what it showed")
        assert delivery.due() == Due()


def test_a_preview_ends_with_its_branch_and_only_then(team: Team) -> None:
    sync(team)
    team.commit("X", {"models/orders.sql": AMOUNT.format(2)}, branch=BRANCH)
    sync(team)
    team.git("push", "-q", "origin", f":{BRANCH}")
    with team.delivery() as delivery:
        (task,) = delivery.due().tasks
        assert task == Expire(ref=f"refs/heads/{BRANCH}", environment="feature_amounts")
        delivery.do(task)
    with Project.load(team.system, environ={}) as project:
        list(project.janitor())
        assert [one.name for one in project.environments()] == ["prod"]


def test_pull_requests_are_numbered(team: Team) -> None:
    team.commit("X", {"models/orders.sql": AMOUNT.format(2)}, branch="somebodys", push=False)
    team.git("push", "-q", "origin", "somebodys:refs/pull/12/head")
    with team.delivery() as delivery:
        previews = [task for task in delivery.due().tasks if isinstance(task, Preview)]
        assert [(task.ref, task.environment) for task in previews] == [("refs/pull/12/head", "pr_12")]
        assert delivery.do(previews[0]).outcome == "shown"


def test_what_the_clock_made_due_may_follow_a_deploy(team: Team) -> None:
    team.configure(run_on_deploy_to_prod="true")
    assert told(team) == [("deploy", "shown")]


class TestWhatPreviewsBuild:
    DAYS = (
        "MODEL (name core.days, kind INCREMENTAL_BY_TIME_RANGE (time_column day), end '2024-01-10');\n"
        "SELECT day::DATE AS day FROM range(DATE '2024-01-01', DATE '2024-02-01', INTERVAL 1 DAY) AS t(day)\n"
        "WHERE day BETWEEN @start_date AND @end_date\n"
    )

    def rows(self, team: Team, schema: str) -> int:
        ((count,),) = team.query(f"SELECT count(*) FROM {schema}.days")
        return int(count)

    def test_from_a_start_and_the_deploy_builds_the_rest(self, team: Team) -> None:
        sync(team)
        team.configure(default_pr_start="'2024-01-08'")
        team.commit("Days", {"models/days.sql": self.DAYS}, branch=BRANCH)
        assert told(team) == [("preview", "shown")]
        assert self.rows(team, "core__feature_amounts") == 3
        team.merge(BRANCH)
        deploy = sync(team)[0]
        assert (deploy.outcome, deploy.views_only) == ("shown", False)
        assert self.rows(team, "core") == 10

    def test_nothing(self, team: Team) -> None:
        sync(team)
        team.configure(skip_pr_backfill="true")
        team.commit("Days", {"models/days.sql": self.DAYS}, branch=BRANCH)
        assert told(team) == [("preview", "shown")]
        assert self.rows(team, "core__feature_amounts") == 0
        team.merge(BRANCH)
        assert sync(team)[0].outcome == "shown"
        assert self.rows(team, "core") == 10


def test_a_forward_only_branch_keeps_its_rows_in_prod(team: Team) -> None:
    days = TestWhatPreviewsBuild.DAYS.replace("AS day FROM", "AS day, {} AS x FROM")
    team.commit("Days", {"models/days.sql": days.format(1)})
    sync(team)
    branch = "feature/x-forward-only"
    team.commit("Two", {"models/days.sql": days.format(2)}, branch=branch)
    (preview,) = sync(team)
    assert preview.plan is not None
    assert {change.model: change.category for change in preview.plan.changes} == {"core.days": Category.FORWARD_ONLY}
    team.merge(branch)
    deploy = sync(team)[0]
    assert (deploy.outcome, deploy.views_only) == ("shown", True)
    assert team.query("SELECT x, count(*) FROM core.days GROUP BY x") == [(1, 10)]


def test_files_of_a_commit_that_are_gone_are_told(team: Team) -> None:
    with team.delivery() as delivery:
        manifest = delivery.compile("main", team.git("rev-parse", "HEAD"))
        shutil.rmtree(team.system / ".isomesh" / "git" / "trees")
        with pytest.raises(StateError, match="the files of commit"):
            Project.from_manifest(manifest, environ={})
        assert delivery.deploy().outcome == "shown"  # they are fetched again


def test_what_commits_leave_lying_goes_when_nobody_used_it_for_long(team: Team) -> None:
    """A deploy a day would leave a folder and a manifest a day for ever."""
    made = [team.system / ".isomesh" / "production" / "manifests", team.system / ".isomesh" / "git" / "trees"]

    def deploy(amount: int) -> list[Path]:
        commit = team.commit(f"Amount {amount}", {"models/orders.sql": AMOUNT.format(amount)})
        (report,) = sync(team)
        assert report.outcome == "shown"
        with team.delivery() as delivery:
            manifest = delivery.compile("main", commit)
        source = read_manifest(manifest).source
        assert source is not None
        return [manifest, team.system / source.files]

    first, second = deploy(1), deploy(2)
    for path in (*first, *second):
        os.utime(path, (0, 0))
    Project.from_manifest(second[0], environ={}).close()  # as a code location does that was loaded long ago
    third = deploy(3)
    assert [sorted(folder.iterdir()) for folder in made] == [
        sorted({second[place], third[place]}) for place in range(2)
    ]


def test_no_repository_no_delivery(team: Team) -> None:
    (team.system / "config.yaml").write_text(
        "gateways: {production: {connection: {type: duckdb}}}\nmodel_defaults: {dialect: duckdb}\n"
    )
    with pytest.raises(ConfigError, match="no repository drives gateway 'production'"):
        team.delivery()


def test_a_branch_that_is_written_anew_is_followed(team: Team) -> None:
    """Its first commit is on no branch any more."""
    gone = team.commit("One", {"models/orders.sql": AMOUNT.format(1)}, branch=BRANCH)
    with team.delivery() as delivery:
        assert delivery.preview(BRANCH).commit.id == gone
        team.git("commit", "-q", "--amend", "-m", "Another")
        team.git("push", "-q", "--force", "origin", BRANCH)
        assert Preview in {type(task) for task in delivery.due().tasks}
        assert delivery.preview(BRANCH, gone).outcome == "skipped"
        preview = delivery.preview(BRANCH)
        assert (preview.commit.id, preview.outcome) == (team.git("rev-parse", "HEAD"), "shown")


def test_names_that_a_remote_has_and_nobody_may_use(team: Team) -> None:
    """Git takes them; they are refused, told, and nothing is done about them."""
    ways = ("$({})", "`{}`", "a;{}", "a|{}", "a&{}", "a'or'1'='1", 'a"b', "{{{{x}}}}", "%s", "dév", "\uff41", "a<b>")
    names = sorted(way.format("touch${IFS}trap") for way in ways)
    for name in names:
        team.git("update-ref", f"refs/heads/feature/{name}", "refs/heads/main", at=team.remote)
    with team.delivery() as delivery:
        due = delivery.due()
        assert [type(task) for task in due.tasks] == [Deploy]
        assert sorted(one.ref for one in due.refused) == [f"refs/heads/feature/{name}" for name in names]
        assert {"must start with a letter" in one.reason for one in due.refused} == {True}
        for name in names:
            with pytest.raises(GitError, match="is not valid"):
                delivery.preview(f"feature/{name}")
        assert delivery.records() == []
    assert not list(team.folder.rglob("trap"))
    assert not (team.system / "production.duckdb").exists()


@pytest.mark.parametrize("ref", ["main", "else", "-oProxyCommand=id", "refs/heads/../x", "feature/$(id)"])
def test_refs_without_a_preview(team: Team, ref: str) -> None:
    with team.delivery() as delivery, pytest.raises(GitError):
        delivery.preview(ref)
