"""lint on a real project, and in its plans."""

from __future__ import annotations

import json

from isomesh_dagster_tests.cli.conftest import Shop

STAR = "MODEL (name shop.everything, kind FULL);\n\nSELECT\n  *\nFROM shop.orders\n"


def _star(shop: Shop, linter: str) -> None:
    (shop.root / "models" / "shop" / "everything.sql").write_text(STAR)
    config = shop.root / "config.yaml"
    config.write_text(f"{config.read_text()}\nlinter: {linter}\n")


def test_errors_are_told_with_their_line_and_an_exit_code(shop: Shop) -> None:
    _star(shop, "{rules: [noselectstar], warn_rules: [nomissingaudits]}")
    result = shop("lint")
    assert result.exit_code == 1
    assert "models/shop/everything.sql:4  shop.everything  the query returns `*`  [noselectstar]" in result.stdout
    document = json.loads(shop("lint", "--json", "-m", "shop.everything").stdout)
    assert {(one["rule"], one["is_error"]) for one in document["violations"]} == {
        ("noselectstar", True),
        ("nomissingaudits", False),
    }
    assert shop("lint", "-m", "shop.orders").exit_code == 0
    assert shop("lint", "-m", "shop.order").exit_code == 1  # no such model


def test_without_rules_all_of_them_warn(shop: Shop) -> None:
    (shop.root / "models" / "shop" / "everything.sql").write_text(STAR)
    result = shop("lint")
    assert result.exit_code == 0
    assert "noselectstar" in result.stdout
    assert "all of them are checked" in result.stderr


def test_an_enabled_linter_stops_the_plan_before_anything_is_made(shop: Shop) -> None:
    _star(shop, "{enabled: true, rules: [noselectstar]}")
    result = shop("plan", "dev", "--auto-apply")
    assert result.exit_code == 1
    assert "noselectstar" in result.stderr
    assert not list(shop.root.rglob("*.duckdb"))


def test_an_enabled_linter_warns_in_the_plan(shop: Shop) -> None:
    _star(shop, "{enabled: true, warn_rules: [noselectstar]}")
    result = shop("plan", "dev", "--auto-apply")
    assert result.exit_code == 0, result.output
    assert "[noselectstar]" in result.stdout or "(noselectstar)" in result.stdout


def test_an_exception_is_told_in_the_model(shop: Shop) -> None:
    _star(shop, "{enabled: true, rules: noselectstar}")
    shop.edit("models/shop/everything.sql", "kind FULL", "kind FULL, ignored_rules (noselectstar)")
    assert shop("lint").exit_code == 0
    assert shop("plan", "dev", "--auto-apply").exit_code == 0


RULES = """
import typing as t

from sqlglot import exp
from sqlmesh.core.context import Context
from sqlmesh.core.linter.rule import Fix, Position, Range, Rule, RuleViolation, TextEdit
from sqlmesh.core.model import Model, SqlModel


class NoMissingOwner(Rule):
    \"\"\"All models should have an owner.\"\"\"

    def check_model(self, model: Model) -> t.Optional[RuleViolation]:
        if model.owner:
            return None
        place = Range(Position(0, 0), Position(0, 0))
        fix = Fix("say that it is ours", edits=[TextEdit(model._path, place, "-- owned by us\\n")])
        return self.violation(fixes=[fix] if model.view_name == "everything" else None)


class NoLimit(Rule):
    \"\"\"No query ends with a limit.\"\"\"

    def check_model(self, model):
        assert isinstance(self.context, Context)
        if isinstance(model, SqlModel) and model.kind.is_full and model.query.find(exp.Limit):
            return [self.violation(f"{model.name} of {len(self.context.models)} models has a limit")]
"""


def _own(shop: Shop, text: str, linter: str) -> None:
    (shop.root / "linter").mkdir()
    (shop.root / "linter" / "own.py").write_text(text)
    _star(shop, linter)
    shop.edit("models/shop/everything.sql", "FROM shop.orders", "FROM shop.orders\nLIMIT 10")


def test_rules_of_the_project_are_asked_like_ours(shop: Shop) -> None:
    _own(shop, RULES, "{rules: [NoLimit], warn_rules: [nomissingowner]}")
    result = shop("lint", "-m", "shop.everything")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert "models/shop/everything.sql:1  shop.everything  shop.everything of " in lines[0]
    assert lines[0].endswith("models has a limit  [nolimit]")
    assert lines[2].endswith("All models should have an owner.  [nomissingowner]")
    document = json.loads(shop("lint", "--json", "-m", "shop.orders").stdout)
    assert [one["rule"] for one in document["violations"]] == ["nomissingowner"]


KINDS = """
from sqlglot import exp
from sqlmesh.core.linter.rule import Rule
from sqlmesh.core.model import FullKind, IncrementalByTimeRangeKind


class Seen(Rule):
    \"\"\"What a rule sees.\"\"\"

    def check_model(self, model):
        if not isinstance(model.kind, IncrementalByTimeRangeKind) or isinstance(model.kind, FullKind):
            return None
        time = model.time_column
        mentioned = [column.name for one in model.partitioned_by for column in one.find_all(exp.Column)]
        types = {name: given.this.value for name, given in model.columns_to_types.items()}
        told = [time.column.name, mentioned, model.interval_unit.seconds, model.interval_unit.is_month, types["day"]]
        audited = model.audits[0][1]["columns"].sql()
        return self.violation(f"{model.query.find(exp.With).expressions[0].alias} {told} {audited}")
"""


def test_rules_see_kinds_columns_and_types_as_sqlmesh_shows_them(shop: Shop) -> None:
    _own(shop, KINDS, "{warn_rules: [seen]}")
    (shop.root / "models/shop/daily.sql").write_text(
        "MODEL (name shop.daily, kind INCREMENTAL_BY_TIME_RANGE (time_column day), cron '@hourly',"
        " partitioned_by (date_trunc('month', day), n), audits (not_null(columns := (n))));\n"
        "WITH days AS (SELECT DATE '2024-01-01' AS day, 1 AS n) SELECT day::DATE AS day, n::INT AS n FROM days"
    )
    told = shop("lint", "-m", "shop.daily").stdout
    assert "days ['day', ['day', 'n'], 3600, False, 'DATE'] (n)" in told


def test_all_means_those_of_the_project_too_and_a_wrong_name_is_told_the_nearest(shop: Shop) -> None:
    _own(shop, RULES, "{warn_rules: ALL}")
    assert "[nomissingowner]" in shop("lint").stdout
    shop.edit("models/shop/everything.sql", "kind FULL", "kind FULL, ignored_rules (nomissingowner, nolimit)")
    assert "nolimit" not in shop("lint").stdout
    shop.edit("config.yaml", "{warn_rules: ALL}", "{rules: [nomissingowners]}")
    assert "did you mean 'nomissingowner'?" in shop("lint").stderr


def test_a_rule_that_fails_is_told_at_its_line(shop: Shop) -> None:
    _own(shop, RULES.replace("model.kind.is_full", "model.kindness"), "{rules: [nolimit]}")
    result = shop("lint")
    assert result.exit_code == 1
    line = RULES[: RULES.index("model.kind.is_full")].count("\n") + 1
    assert f"linter/own.py:{line} " in result.stderr
    assert "cannot ask a model for `kindness`" in result.stderr


def test_a_rule_cannot_take_the_name_of_another(shop: Shop) -> None:
    _own(shop, RULES.replace("class NoLimit", "class NoSelectStar"), "{rules: [noselectstar]}")
    assert "two lint rules 'noselectstar'" in shop("lint").stderr


def test_fix_writes_columns_for_a_star_and_does_what_own_rules_propose(shop: Shop) -> None:
    _own(shop, RULES, "{rules: [noselectstar], warn_rules: [nomissingowner]}")
    before = shop("render", "shop.everything").stdout
    result = shop("lint", "--fix")
    assert result.exit_code == 0, result.output
    assert "models/shop/everything.sql  mended" in result.stdout
    text = (shop.root / "models/shop/everything.sql").read_text()
    assert text.startswith("-- owned by us\nMODEL (name shop.everything")
    assert "*" not in text
    assert before != shop("render", "shop.everything").stdout
    assert "noselectstar" not in shop("lint").stdout
    assert shop("plan", "dev", "--auto-apply").exit_code == 0
    assert shop("lint", "--fix").stdout.count("mended") == 1  # what its own rule still asks for
