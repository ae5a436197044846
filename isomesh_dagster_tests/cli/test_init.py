"""init writes its scaffold whole or not at all."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

from isomesh_dagster.cli.init import scaffold_files
from isomesh_dagster_tests.cli.conftest import Shop, isomesh


@pytest.fixture
def new(tmp_path: Path) -> Shop:
    """A project as `init` writes it."""
    assert isomesh("init", str(tmp_path / "new")).exit_code == 0
    return Shop(tmp_path / "new")


def test_init_writes_the_scaffold(tmp_path: Path) -> None:
    result = isomesh("init", str(tmp_path / "new"))
    assert result.exit_code == 0
    written = {path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert written == {path for path, _ in scaffold_files()}
    assert {Path("config.yaml"), Path(".gitignore"), Path("models/shop/orders.sql")} <= written


def test_a_new_project_passes_its_own_test_and_rules_and_is_laid_out(new: Shop) -> None:
    assert "1 passed" in new("test").output
    assert "nothing found" in new("lint").stdout
    assert new("format", "--check").exit_code == 0


def test_a_new_project_loads_in_dagster(new: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ISOMESH_GATEWAY", raising=False)
    loaded: Any = runpy.run_path(str(new.root / "definitions.py"))["defs"]
    keys = {key.to_user_string() for key in loaded().resolve_all_asset_keys()}
    assert {"shop/orders", "shop/monthly_revenue"} <= keys


def test_an_engine_is_not_taken_for_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    refused = isomesh("init", "postgres")
    assert (refused.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "isomesh init ./postgres" in " ".join(refused.stderr.split())
    (tmp_path / "postgres").mkdir()
    assert isomesh("init", "postgres").exit_code == 0


def test_init_overwrites_nothing_and_then_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    result = isomesh("init", str(tmp_path))
    assert result.exit_code == 1
    assert "config.yaml" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert (tmp_path / "config.yaml").read_text() == "mine"
