"""doctor, migrate and state on a real project."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb

from isomesh_dagster_tests.cli.conftest import Shop


def warehouse(shop: Shop) -> Path:
    (found,) = shop.root.rglob("*.duckdb")
    return found


def test_the_doctor_finds_a_replaced_view_and_mends_it(planned: Shop) -> None:
    assert planned("doctor").exit_code == 0
    with duckdb.connect(str(warehouse(planned))) as connection:
        connection.execute("CREATE OR REPLACE VIEW shop__dev.orders AS SELECT 1 AS nothing")
    found = planned("doctor")
    assert found.exit_code == 1
    assert "shop__dev.orders" in found.stdout
    mended = planned("doctor", "--repair", "--json")
    assert mended.exit_code == 0
    document = json.loads(mended.stdout)
    assert document["healthy"]
    assert [each["subject"] for each in document["findings"] if each["repaired"]] == ["shop__dev.orders"]
    assert planned("evaluate", "shop.orders", "--limit", "1").exit_code == 0
    assert planned("doctor", "dev").exit_code == 0


def test_a_table_that_is_gone_is_built_again_by_run(planned: Shop) -> None:
    table = planned("table_name", "shop.monthly_revenue").stdout.strip()
    with duckdb.connect(str(warehouse(planned))) as connection:
        connection.execute(f"DROP TABLE {table}")
    assert planned("doctor", "dev", "--repair").exit_code == 0
    assert planned("run", "dev").exit_code == 0
    assert planned("doctor", "dev").exit_code == 0
    rows = json.loads(planned("fetchdf", "SELECT COUNT(*) FROM shop__dev.monthly_revenue", "--json").stdout)["rows"]
    assert rows[0][0] > 0


def test_an_unknown_environment_is_told(planned: Shop) -> None:
    assert planned("doctor", "nowhere").exit_code == 1


def test_it_works_when_a_model_is_broken(planned: Shop) -> None:
    planned.edit("models/shop/orders.sql", "SELECT", "SELEC")
    assert planned("plan", "dev").exit_code == 1
    assert planned("doctor").exit_code == 0
    assert planned("migrate").exit_code == 0


def test_the_state_goes_into_a_file_and_back(planned: Shop, tmp_path: Path) -> None:
    file = tmp_path / "state.jsonl"
    assert planned("state", "export", "-o", str(file)).exit_code == 0
    before = planned("environments", "--json", "--history").stdout
    refused = planned("state", "import", "-i", str(file))
    assert refused.exit_code == 1
    assert "--replace" in refused.stderr
    assert planned("state", "import", "-i", str(file), "--replace").exit_code == 0
    assert planned("environments", "--json", "--history").stdout == before
    assert planned("doctor").exit_code == 0


def test_a_current_state_has_nothing_to_migrate(planned: Shop) -> None:
    result = planned("migrate")
    assert result.exit_code == 0
    assert "nothing to do" in result.stdout
    assert planned("migrate", "--to", "9999").exit_code == 1


def test_a_system_is_destroyed_by_who_names_its_gateway(planned: Shop) -> None:
    file = warehouse(planned)
    with duckdb.connect(str(file)) as connection:
        connection.execute("CREATE TABLE raw_orders AS SELECT 1 AS id")
    told = planned("destroy", "--dry-run").stdout
    assert "environment dev: 4 views" in told
    for arguments in ((), ("--confirm", "production")):  # nobody is there to ask
        refused = planned("destroy", *arguments)
        assert (refused.exit_code, "--confirm local" in refused.stderr) == (3, True)
    assert planned("doctor").exit_code == 0
    assert "Nothing of this project is left" in planned("destroy", "--confirm", "local").stdout
    with duckdb.connect(str(file)) as connection:
        assert connection.execute("SELECT table_name FROM duckdb_tables()").fetchall() == [("raw_orders",)]
        assert connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall() == []
    assert sorted(path.name for path in file.parent.glob(f"{file.name}*")) == [file.name, f"{file.name}.lock"]
    assert "there is nothing" in planned("destroy", "--confirm", "local").stdout
    assert planned("plan", "dev", "--auto-apply").exit_code == 0
