"""What people decide in one system travels with git, and the other system honours it when it meets just that edit."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from isomesh_dagster.errors import ConfigError
from isomesh_dagster.project import Project
from isomesh_dagster_tests.cli.conftest import Shop

CONFIG = """
gateways:
  nonproduction:
    connection: {{type: duckdb, database: np.duckdb}}
    variables: {{area: sandbox}}
  production:
    connection: {{type: duckdb, database: p.duckdb}}
    variables: {{area: live}}
model_defaults: {{dialect: duckdb, start: 2024-01-01}}
plan:
  auto_categorize_changes: {{sql: {mode}}}
"""
STG = "MODEL (name @{{area}}_stg.orders, kind FULL);\nSELECT 1 AS id, 10 AS amount{more}\n"
MART = "MODEL (name mart.sales, kind FULL);\nSELECT id, amount FROM @{area}_stg.orders\n"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """Two systems with names of their own, deployed, in a git repository; edits that may break are left to people."""
    (tmp_path / "models").mkdir()
    shop = Shop(tmp_path)
    (tmp_path / "config.yaml").write_text(CONFIG.format(mode="semi"))
    write(shop)
    (tmp_path / "models/sales.sql").write_text(MART)
    git = ["git", "-C", str(tmp_path), "-c", "init.defaultBranch=main"]
    subprocess.run([*git, "init", "-q"], check=True)
    for key, value in (("user.name", "Ann Smith"), ("user.email", "ann@example.org")):
        subprocess.run([*git, "config", key, value], check=True)
    for gateway in ("nonproduction", "production"):
        deploy(shop, gateway)
    return shop


def write(shop: Shop, more: str = "") -> None:
    (shop.root / "models/orders.sql").write_text(STG.format(more=more))


def deploy(shop: Shop, gateway: str, *arguments: str, code: int = 0) -> dict[str, object]:
    result = shop("plan", "prod", "--auto-apply", "--json", *arguments, gateway=gateway)
    assert result.exit_code == code, result.output
    document: dict[str, object] = json.loads(result.stdout)
    return document


def decided(document: dict[str, object]) -> dict[str, tuple[str, str]]:
    changes = document["changes"]
    assert isinstance(changes, list)
    return {change["model"]: (change["category"], change["reason"]) for change in changes}


def choose(shop: Shop, category: str, comment: str = "") -> None:
    deploy(shop, "nonproduction", "--categorize", f"sandbox_stg.orders={category}", "--comment", comment)


def test_the_other_system_does_not_ask_again(shop: Shop) -> None:
    write(shop, " WHERE 1 = 1")
    assert "nobody chose" in str(deploy(shop, "nonproduction", code=1)["error"])
    choose(shop, "non-breaking", "the condition is always true")
    (file,) = (shop.root / "decisions").rglob("*.yaml")
    assert "Ann Smith <ann@example.org>" in file.read_text()
    document = deploy(shop, "production")
    category, reason = decided(document)["live_stg.orders"]
    assert category == "non_breaking"
    assert reason.startswith("decided by Ann Smith <ann@example.org> on 20")
    assert reason.endswith("the condition is always true")
    assert decided(document)["mart.sales"][0] == "indirect_non_breaking"
    assert document["builds"] != []
    assert "mart.sales" not in {build["model"] for build in document["builds"]}  # type: ignore[attr-defined]


def test_a_decision_about_another_edit_is_ignored_and_told(shop: Shop) -> None:
    write(shop, " WHERE 1 = 1")
    choose(shop, "non-breaking")
    write(shop, " WHERE 1 = 2")
    refused = shop("plan", "prod", gateway="production")
    assert refused.exit_code == 1
    assert "nobody chose" in refused.stderr
    (shop.root / "config.yaml").write_text(CONFIG.format(mode="full"))
    document = deploy(shop, "production")
    assert decided(document)["live_stg.orders"][0] == "breaking"
    assert any("another edit" in str(warning) for warning in document["warnings"])  # type: ignore[attr-defined]


def test_several_edits_in_a_row_are_one_and_the_gravest_counts(shop: Shop) -> None:
    write(shop, " WHERE 1 = 1")
    choose(shop, "non-breaking")
    write(shop, " WHERE 1 = 1 AND 2 = 2")
    choose(shop, "non-breaking")
    with Project.load(shop.root, gateway="production") as production:
        (change, *_) = production.plan("prod").changes
        assert change.category is not None
        assert change.category.value == "non_breaking"
    write(shop, " WHERE 3 = 3")
    choose(shop, "breaking")
    assert decided(deploy(shop, "production"))["live_stg.orders"][0] == "breaking"


def test_what_is_said_now_wins_over_what_was_recorded(shop: Shop) -> None:
    write(shop, " WHERE 1 = 1")
    choose(shop, "non-breaking")
    document = deploy(shop, "production", "--categorize", "live_stg.orders=breaking")
    assert decided(document)["live_stg.orders"] == ("breaking", "chosen by hand")


def test_cosmetic_edits_leave_a_decision_valid(shop: Shop) -> None:
    write(shop, " WHERE 1 = 1")
    choose(shop, "non-breaking")
    write(shop, "  -- really\n  where 1 = 1")
    assert decided(deploy(shop, "production"))["live_stg.orders"][0] == "non_breaking"


DAYS = """MODEL (name @{{area}}_stg.days, kind INCREMENTAL_BY_TIME_RANGE (time_column day, forward_only true),
  start '2024-01-01', end '2024-01-03');
SELECT day::DATE AS day, 1 AS a{more} FROM (VALUES ('2024-01-01'), ('2024-01-02')) AS t(day)
WHERE day BETWEEN @start_ds AND @end_ds
"""


def test_an_allowed_destructive_change_is_allowed_in_the_other_system(shop: Shop) -> None:
    days = shop.root / "models/days.sql"
    days.write_text(DAYS.format(more=", 2 AS b"))
    for gateway in ("nonproduction", "production"):
        deploy(shop, gateway)
    days.write_text(DAYS.format(more=""))
    refused = shop("plan", "prod", gateway="production")
    assert refused.exit_code == 1
    assert "--allow-destructive-model" in refused.stderr
    deploy(shop, "nonproduction", "--allow-destructive-model", "sandbox_stg.days", "--comment", "nobody reads b")
    (file,) = (shop.root / "decisions").rglob("*.yaml")
    assert "- destructive" in file.read_text()
    before = file.read_text()
    deploy(shop, "production")
    assert file.read_text() == before, "what is honoured is not recorded anew"
    days.write_text(DAYS.format(more=", 3 AS c").replace("1 AS a, ", ""))
    other = shop("plan", "prod", gateway="production")
    assert other.exit_code == 1
    assert "--allow-destructive-model" in other.stderr, "it is allowed for just that edit"


def test_stale_decisions_are_listed_and_pruned(shop: Shop) -> None:
    write(shop, " WHERE 1 = 1")
    choose(shop, "non-breaking")
    write(shop, " WHERE 1 = 1 AND 2 = 2")
    choose(shop, "non-breaking")
    listed = json.loads(shop("decisions", "--json").stdout)["decisions"]
    assert [each["stale"] for each in listed] == [False, False]
    write(shop, " WHERE 7 = 7")
    assert "2 stale" in shop("decisions", "--prune").stdout
    assert list((shop.root / "decisions").rglob("*.yaml")) == []
    assert "0 decisions" in shop("decisions").stdout


def test_a_run_that_is_pinned_has_the_decisions_of_its_commit(shop: Shop) -> None:
    write(shop, " WHERE 1 = 1")
    choose(shop, "non-breaking")
    with Project.load(shop.root, gateway="production") as project:
        manifest = project.compile()
    for file in (shop.root / "decisions").rglob("*.yaml"):
        file.unlink()
    with Project.from_manifest(manifest) as pinned:
        (change, *_) = pinned.plan("prod").changes
        assert change.reason.startswith("decided by")
    with Project.load(shop.root, gateway="production") as project:
        assert project.compile() != manifest


def test_nothing_is_recorded_when_nothing_was_applied(shop: Shop) -> None:
    write(shop, " WHERE 1 = 1")
    assert shop("plan", "prod", "--categorize", "sandbox_stg.orders=breaking").exit_code == 3
    write(shop, " FROM nowhere")
    assert shop("plan", "prod", "--auto-apply", "--categorize", "sandbox_stg.orders=breaking").exit_code == 4
    assert not (shop.root / "decisions").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "a mapping"),
        ("a: [", "not YAML"),
        ("{model: m, from: a, to: b, category: fine}", "'fine' is no category"),
        ("{model: m, from: a, to: b, category: breaking, sql: DROP}", "no key 'sql'"),
        ("{model: m, from: a, category: breaking}", "'to' is missing"),
        ("{model: m, from: a, to: b, category: breaking, when: soon}", "no moment"),
        ("{model: m, from: a, to: b, category: breaking, allows: [everything]}", "destructive and additive"),
    ],
)
def test_a_damaged_file_is_named(shop: Shop, text: str, message: str) -> None:
    (shop.root / "decisions/m").mkdir(parents=True)
    (shop.root / "decisions/m/x.yaml").write_text(text)
    with Project.load(shop.root) as project, pytest.raises(ConfigError, match=message) as caught:
        project.plan("prod")
    assert caught.value.path == "decisions/m/x.yaml"


def test_somebody_at_a_terminal_is_asked(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from isomesh_dagster.cli import choosing
    from isomesh_dagster.cli.main import cli

    write(shop, " WHERE 1 = 1")
    monkeypatch.setattr(choosing, "can_ask", lambda: True)
    done = CliRunner().invoke(
        cli, ["--project", str(shop.root), "plan", "prod", "--auto-apply"], input="nonsense\nnon-breaking\n"
    )
    assert done.exit_code == 0, done.output
    assert "What does it mean for readers?" in done.stderr
    assert decided(deploy(shop, "production"))["live_stg.orders"][0] == "non_breaking"
