"""A small project on disk and Dagster's own event log: what the tests of this room run against."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from isomesh_dagster import Project, build_definitions
from isomesh_dagster.relation import Relation

FILES = {
    "config.yaml": """
project: shop
gateways:
  here:
    connection: {type: duckdb, database: here.duckdb}
    variables: {most: 100}
  there:
    connection: {type: duckdb, database: there.duckdb}
    variables: {most: 5}
model_defaults: {dialect: duckdb, start: 2024-01-01}
""",
    "external_models.yaml": """
- name: raw.orders
  description: Orders as the shop wrote them.
  columns: {id: INT, day: DATE, amount: INT}
""",
    "models/staging/orders.sql": """
-- the header is on line 3
MODEL (
  name staging.orders,
  kind VIEW,
  description 'Orders, checked.',
  owner analysts,
  tags (clean, 'two words'),
  audits (
    accepted_range(column := id, min_v := 0),
    accepted_range(column := amount, max_v := @most, blocking := false),
    not_null(columns := (id))
  )
);
SELECT id, day, amount FROM raw.orders
""",
    "models/core/days.sql": """
MODEL (
  name core.days,
  kind INCREMENTAL_BY_TIME_RANGE (time_column day),
  end '2024-01-10',
  audits (not_null(columns := (day)))
);
SELECT day, SUM(amount) AS amount FROM staging.orders WHERE day BETWEEN @start_date AND @end_date GROUP BY day
""",
    "models/core/good_days.sql": """
MODEL (name core.good_days, kind EMBEDDED);
SELECT * FROM core.days WHERE amount > 1
""",
    "models/marts/total.sql": """
MODEL (name marts.total, kind FULL);
SELECT COUNT(*) AS days, SUM(amount) AS amount FROM core.good_days
""",
    "models/marts/labels.sql": """
MODEL (name marts.labels, kind SEED (path '$root/seeds/labels.csv'), columns (id INT, label TEXT));
""",
    "seeds/labels.csv": "id,label\n1,one\n2,two\n",
}


@dataclass
class Shop:
    """The project, and what people do with it."""

    root: Path
    instance: dg.DagsterInstance
    assets: list[Any] = field(default_factory=list)

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def load_orders(self, *rows: tuple[int, str, int], gateway: str = "here") -> None:
        with (
            Project.load(self.root, gateway=gateway) as project,
            project.connection().session() as session,
            session.transaction(),
        ):
            session.create_schema("raw")
            session.create_table(
                Relation(schema="raw", name="orders"), [("id", "INTEGER"), ("day", "DATE"), ("amount", "INTEGER")]
            )
            for row in rows:
                session.execute("INSERT INTO raw.orders VALUES (?, CAST(? AS DATE), ?)", row)

    def query(self, sql: str, gateway: str = "here") -> list[tuple[Any, ...]]:
        with Project.load(self.root, gateway=gateway) as project, project.connection().session() as session:
            return session.fetch(sql)

    def definitions(self, **options: Any) -> dg.Definitions:
        return build_definitions(self.root, assets=self.assets, **options)

    def run(
        self,
        job: str,
        *,
        models: list[str] | None = None,
        partition: str | None = None,
        environment: str | None = None,
        config: dict[str, Any] | None = None,
        gateway: str | None = None,
        tags: dict[str, str] | None = None,
    ) -> dg.ExecuteInProcessResult:
        if partition is not None:
            self.instance.add_dynamic_partitions("isomesh_environments", [partition])
        run_config = dict(config or {})
        if environment is not None:
            run_config["resources"] = {"isomesh": {"config": {"environment": environment}}}
        selection = None if models is None else [dg.AssetKey(model.split(".")) for model in models]
        return (
            self.definitions(gateway=gateway)
            .resolve_job_def(job)
            .execute_in_process(
                instance=self.instance,
                raise_on_error=False,
                partition_key=partition,
                run_config=run_config,
                asset_selection=selection,
                tags=tags,
            )
        )


ORDERS = ((1, "2024-01-01", 10), (2, "2024-01-02", 20), (3, "2024-01-02", 1))


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with dg.DagsterInstance.ephemeral() as instance:
        shop = Shop(tmp_path / "shop", instance)
        for path, text in FILES.items():
            shop.write(path, text.lstrip("\n"))
        yield shop


@pytest.fixture
def loaded_shop(shop: Shop) -> Shop:
    shop.load_orders(*ORDERS)
    return shop


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetMaterialization]:
    """The last materialization per asset, by its key written with a dot."""
    return {
        ".".join(event.materialization.asset_key.path): event.materialization
        for event in (one.step_materialization_data for one in result.get_asset_materialization_events())
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[str, dg.AssetCheckEvaluation]:
    """Evaluations by `schema.table:check`."""
    return {f"{'.'.join(one.asset_key.path)}:{one.check_name}": one for one in result.get_asset_check_evaluations()}


def reused(result: dg.ExecuteInProcessResult) -> dict[str, bool]:
    """Whether each model was reported as reused."""
    return {
        name: bool(one.metadata["isomesh/reused"].value)
        for name, one in materialized(result).items()
        if name != "environment"
    }


def failure(result: dg.ExecuteInProcessResult) -> str:
    """What the failed steps said."""
    return "\n".join(
        event.event_specific_data.user_failure_data.description or ""
        for event in result.all_events
        if event.is_step_failure and event.event_specific_data.user_failure_data
    )
