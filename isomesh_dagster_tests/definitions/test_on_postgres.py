"""A deployment on Postgres: the warehouse, its state, and Dagster's own records as docs/deploy has them."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from isomesh_dagster.config.connections import PostgresConnection
from isomesh_dagster_tests.definitions.conftest import FILES, ORDERS, Shop, checks, materialized, reused
from isomesh_dagster_tests.definitions.test_restating import restating
from isomesh_dagster_tests.postgres_server import in_config

DAGSTER_YAML = Path(__file__).parents[2] / "docs" / "deploy" / "dagster.yaml"


@pytest.fixture
def deployed(
    postgres: PostgresConnection,
    second_postgres: PostgresConnection,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Shop]:
    """The shop on Postgres; Dagster's records in another database of the same server."""
    records = second_postgres
    for name, value in (
        ("HOST", records.host),
        ("PORT", records.port),
        ("DB", records.database),
        ("USER", records.user),
        ("PASSWORD", records.password.get_secret_value()),
    ):
        monkeypatch.setenv(f"DAGSTER_PG_{name}", str(value))
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML.read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        shop = Shop(tmp_path / "shop", instance)
        for path, text in FILES.items():
            shop.write(path, text.lstrip("\n"))
        config = FILES["config.yaml"].replace("{type: duckdb, database: here.duckdb}", in_config(postgres))
        shop.write("config.yaml", config)
        shop.load_orders(*ORDERS)
        yield shop


def test_the_life_of_a_deployment(deployed: Shop) -> None:
    first = deployed.run("apply", partition="prod")
    assert first.success
    assert deployed.query("SELECT days, amount FROM marts.total") == [(2, 31)]
    total = materialized(first)["marts.total"]
    assert total.metadata["dagster/row_count"].value == 1
    types = {column.name: column.type for column in total.metadata["dagster/column_schema"].value.columns}
    assert types == {"days": "bigint", "amount": "numeric"}
    assert all(check.passed for check in checks(first).values())
    assert deployed.instance.get_latest_materialization_event(dg.AssetKey(["marts", "total"])) is not None

    text = (deployed.root / "models/marts/total.sql").read_text()
    deployed.write("models/marts/total.sql", text.replace("SUM(amount)", "MAX(amount)"))
    preview = deployed.run("apply", partition="dev_jo")
    assert [name for name, was_reused in reused(preview).items() if not was_reused] == ["marts.total"]
    assert deployed.query("SELECT amount FROM marts__dev_jo.total") == [(21,)]

    assert deployed.run("promote").success  # all is built: views only
    assert deployed.query("SELECT amount FROM marts.total") == [(21,)]
    assert deployed.run("rollback").success
    assert deployed.query("SELECT amount FROM marts.total") == [(31,)]

    deployed.write("models/marts/total.sql", text)
    days = [row[0] for row in deployed.query("SELECT day::TEXT FROM core.days ORDER BY day")]
    deployed.load_orders((1, days[0], 1000), (2, days[1], 2000))
    again = deployed.run("restate", config=restating("core.days", start=days[0], end=days[0]))
    assert again.success
    assert deployed.query("SELECT amount FROM core.days ORDER BY day") == [(1000,), (21,)]
    assert deployed.query("SELECT amount FROM marts.total") == [(1021,)]
    assert deployed.run("run").success
    assert deployed.run("sync").success
    assert deployed.instance.get_run_records(limit=1)[0].dagster_run.status == dg.DagsterRunStatus.SUCCESS
