"""init writes its scaffold whole or not at all."""

from __future__ import annotations

from pathlib import Path

from isomesh_dagster.cli.init import scaffold_files
from isomesh_dagster_tests.cli.conftest import isomesh


def test_init_writes_the_scaffold(tmp_path: Path) -> None:
    result = isomesh("init", str(tmp_path / "new"))
    assert result.exit_code == 0
    written = {path.relative_to(tmp_path / "new") for path in (tmp_path / "new").rglob("*") if path.is_file()}
    assert written == {path for path, _ in scaffold_files()}
    assert {Path("config.yaml"), Path(".gitignore"), Path("models/shop/orders.sql")} <= written


def test_init_overwrites_nothing_and_then_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("mine")
    result = isomesh("init", str(tmp_path))
    assert result.exit_code == 1
    assert "config.yaml" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    assert (tmp_path / "config.yaml").read_text() == "mine"
