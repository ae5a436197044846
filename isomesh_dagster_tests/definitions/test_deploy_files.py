"""The files of docs/deploy are the ones to use: Dagster reads them, and they do what the page says."""

import re
from pathlib import Path

import dagster as dg
import pytest
import yaml

from isomesh_dagster.model.connections import PostgresConnection

DOCS = Path(__file__).parents[2] / "docs"
FILES = DOCS / "deploy"


def test_dagsters_records_live_in_postgres(
    postgres: PostgresConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("HOST", postgres.host),
        ("PORT", postgres.port),
        ("DB", postgres.database),
        ("USER", postgres.user),
        ("PASSWORD", postgres.password.get_secret_value()),
    ):
        monkeypatch.setenv(f"DAGSTER_PG_{name}", str(value))
    (tmp_path / "dagster.yaml").write_text((FILES / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.run_storage).__module__.startswith("dagster_postgres")
        instance.report_runless_asset_event(dg.AssetMaterialization("there"))
        assert instance.get_latest_materialization_event(dg.AssetKey("there")) is not None
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        (limit,) = limits.tag_concurrency_limits
        assert (limit["key"], limit["limit"]) == ("isomesh/gateway", 1)


def test_what_one_file_asks_of_the_environment_another_gives() -> None:
    given = set(re.findall(r"^(\w+)=", (FILES / "production.env").read_text(), re.MULTILINE))
    asked = set()
    for path in ("dagster.yaml", "workspace.yaml"):
        asked |= set(re.findall(r"env: (\w+)", (FILES / path).read_text()))
    for path in FILES.glob("*.service"):
        asked |= set(re.findall(r"\$\{(\w+)\}", path.read_text()))
    assert asked <= given
    assert yaml.safe_load((FILES / "workspace.yaml").read_text())["load_from"]


@pytest.mark.parametrize("page", ["dagster.md", "deploy.md"])
def test_what_a_page_shows_is_there(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (DOCS / page).read_text())
    assert links
    for link in links:
        assert (DOCS / link).exists(), link
