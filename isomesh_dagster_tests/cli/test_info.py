"""info: what it tells, and that it makes nothing."""

from __future__ import annotations

import json

from isomesh_dagster_tests.cli.conftest import Shop, isomesh


def test_info_of_a_new_project_makes_nothing(shop: Shop) -> None:
    result = shop("info", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0
    assert document["gateway"] == "local"
    assert document["gateways"] == ["local", "production"]
    assert document["models"] == {
        "total": 4,
        "by_kind": {"FULL": 1, "INCREMENTAL_BY_TIME_RANGE": 1, "SEED": 1, "VIEW": 1},
    }
    assert document["audits"] == 3
    assert "not made yet" in document["warehouse"]["message"]
    assert not (shop.root / ".systems").exists()


def test_info_asks_warehouse_and_state(planned: Shop) -> None:
    document = json.loads(planned("info", "--json").stdout)
    assert document["warehouse"]["ok"] is True
    assert document["state"]["message"] == "answers, knows 1 environment"
    skipped = json.loads(planned("info", "--json", "--skip-connection").stdout)
    assert skipped["warehouse"]["ok"] is None
    text = planned("info").stdout
    assert "gateway local" in text
    assert "duckdb" in text


def test_a_broken_configuration_is_told_with_its_line(shop: Shop) -> None:
    shop.edit("config.yaml", "type: duckdb", "type: duckbd")
    result = shop("info")
    assert result.exit_code == 1
    assert "config.yaml:" in result.stderr
    assert "Traceback" not in result.stderr


def test_another_file_of_variables(shop: Shop) -> None:
    file = shop.root / "other.env"
    file.write_text("ISOMESH__DEFAULT_GATEWAY=production\n")
    result = isomesh("--project", str(shop.root), "--dotenv", str(file), "info", "--json", "--skip-connection")
    assert json.loads(result.stdout)["gateway"] == "production"
    assert json.loads(shop("info", "--json", "--skip-connection").stdout)["gateway"] == "local"
