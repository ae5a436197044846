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
