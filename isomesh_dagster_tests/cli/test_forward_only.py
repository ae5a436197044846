"""The options of `isomesh plan` about forward-only changes, each on a real project. Days are those of January 2024."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from isomesh_dagster.config.connections import DuckDBConnection
from isomesh_dagster_tests.cli.conftest import isomesh
from isomesh_dagster_tests.scenarios.altered import COUNTS, NEW, SHOWN, Files

NOW = ("--execution-time", "2024-01-04 01:00:00")


class Typed(Files):
    """The project, and what is typed about it."""

    def typed(self, *arguments: str) -> Result:
        return isomesh("--project", str(self.root), *arguments)

    def told(self, *arguments: str) -> dict[str, Any]:
        """A plan of prod as JSON, applied with --auto-apply."""
        result = self.typed("plan", "prod", *NOW, "--json", *arguments)
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found

    def refused(self, *arguments: str) -> str:
        """Why a plan of prod is not made."""
        result = self.typed("plan", "prod", *NOW, *arguments)
        assert result.exit_code == 1, result.output
        return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def _made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("forward_only")
    place = root / "project" / "warehouse.duckdb"
    project = Typed(root / "project", DuckDBConnection(database=str(place)))
    project.configure((project.root / "config.yaml").read_text().replace(str(place), place.name))  # to be copied
    result = project.typed("plan", "prod", *NOW, "--auto-apply")
    assert result.exit_code == 0, result.output
    return root / "project"


@pytest.fixture
def files(_made: Path, tmp_path: Path) -> Typed:
    """Prod shows three days."""
    shutil.copytree(_made, tmp_path / "project")
    files = Typed.__new__(Typed)
    files.root = tmp_path / "project"
    return files


def test_forward_only(files: Typed) -> None:
    files.days(NEW)
    shown = files.typed("plan", "prod", *NOW, "--forward-only")
    assert shown.exit_code == 3, shown.output
    assert "Forward-only: tables that keep their rows" in shown.stdout
    assert "ADD COLUMN tag VARCHAR" in shown.stdout
    assert "plan prod --forward-only --auto-apply" in " ".join(shown.stderr.split())
    document = files.told("--forward-only", "--auto-apply")
    assert document["builds"] == []
    assert document["wish"] == {"forward_only": True}
    assert files.rows("s.days", "id, v, tag") == [(0, 0, None), (1, 2, None), (2, 4, None)]


def test_effective_from(files: Typed) -> None:
    files.days(NEW)
    asked = files.told("--forward-only", "--effective-from", "2024-01-02", "--auto-apply")
    assert [step["model"] for step in asked["later"]] == ["s.days", "s.totals"]
    assert files.rows("s.days", "id, v") == [(0, 0), (1, 3), (2, 6)]
    files.days("id, ds, id * 4 AS v, CAST('new' AS TEXT) AS tag")
    assert "is in the future" in files.refused("--forward-only", "--effective-from", "2024-02-01")
    alone = files.told("--effective-from", "2024-01-02")
    assert "effective_from has no effect: no change of this plan is forward-only" in alone["warnings"]


def test_allow_destructive_model(files: Typed) -> None:
    files.days("id, ds")
    files.write("totals", COUNTS)
    refused = files.refused("--forward-only")
    assert "DROP COLUMN v" in refused
    assert "--allow-destructive-model s.days" in refused
    files.told("--forward-only", "--allow-destructive-model", "s.d*", "--auto-apply")
    assert files.table("s.days")[1] == ["id", "ds"]


def test_allow_additive_model(files: Typed) -> None:
    files.days(NEW, ", forward_only true, on_additive_change error")
    refused = files.refused()
    assert "ADD COLUMN tag VARCHAR" in refused
    assert "--allow-additive-model s.days" in refused
    assert "no model is named 's.nothing'" in files.refused("--allow-additive-model", "s.nothing")
    files.told("--allow-additive-model", "s.days", "--auto-apply")
    assert files.table("s.days")[1] == ["id", "ds", "v", "tag"]


def test_one_change_is_chosen_to_be_forward_only(files: Typed) -> None:
    files.days(NEW)
    document = files.told("--categorize", "s.days=forward-only", "--auto-apply")
    assert {one["category"] for one in document["changes"]} == {"forward_only"}
    assert files.rows("s.days", "id, v, tag") == [(0, 0, None), (1, 2, None), (2, 4, None)]
    assert list((files.root / "decisions").iterdir())
    files.write("shown", f"{SHOWN} WHERE id > 0")
    assert "s.shown" in files.refused("--categorize", "s.shown=forward-only")


def test_with_a_selection_only_the_selected_change_keeps_its_table(files: Typed) -> None:
    files.days(NEW)
    files.write("src", "MODEL (name s.src, kind FULL);\nSELECT 1 AS id, DATE '2024-01-01' AS ds")
    document = files.told("--forward-only", "--select-model", "s.days", "--auto-apply")
    assert {one["model"] for one in document["changes"]} == {"s.days", "s.totals", "s.shown"}
    assert document["builds"] == []
    assert len(files.rows("s.src")) == 20


@pytest.mark.parametrize("option", ["--skip-backfill", "--empty-backfill"])
def test_without_backfill_the_rows_of_the_past_stay(files: Typed, option: str) -> None:
    files.days(NEW)
    files.told("--forward-only", option, "--auto-apply")
    assert files.rows("s.days", "id, v, tag") == [(0, 0, None), (1, 2, None), (2, 4, None)]
    assert files.typed("plan", "dev", *NOW, "--forward-only", option, "--auto-apply").exit_code == 0
    assert files.rows("s__dev.days") == files.rows("s.days")


def test_a_preview_without_backfill_is_empty(files: Typed) -> None:
    files.days(NEW)
    result = files.typed("plan", "dev", *NOW, "--forward-only", "--skip-backfill", "--auto-apply")
    assert result.exit_code == 0, result.output
    assert files.rows("s__dev.days") == []


def test_nothing_is_computed_again_where_nothing_is_built(files: Typed) -> None:
    files.days(NEW)
    for option in ("--skip-backfill", "--empty-backfill"):
        assert "exclude each other" in files.refused("--forward-only", "--effective-from", "2024-01-02", option)


@pytest.mark.parametrize(
    "asked", [["--forward-only"], ["--effective-from", "2024-01-02"], ["--allow-destructive-model", "s.days"]]
)
def test_a_restatement_is_not_forward_only(files: Typed, asked: list[str]) -> None:
    files.days(NEW)
    told = files.refused("--restate-model", "s.days", *asked)
    assert "a restatement ignores the files" in told
