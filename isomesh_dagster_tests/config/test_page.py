"""The page that documents config.yaml names every key there is, and its example loads."""

import re
from pathlib import Path

import pytest

from isomesh_dagster.config.connections import (
    UNSUPPORTED_OPTIONS,
    DuckDBCatalog,
    DuckDBConnection,
    DuckDBExtension,
    PostgresConnection,
    SqliteConnection,
)
from isomesh_dagster.config.keys import (
    GATEWAY_KEYS,
    MODEL_DEFAULT_KEYS,
    ROOT_KEYS,
    UNSUPPORTED_PLAN_KEYS,
    FormatConfig,
    LinterConfig,
    PlanConfig,
)
from isomesh_dagster.config.read import load_settings

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"

CONNECTIONS = (DuckDBConnection, DuckDBCatalog, DuckDBExtension, PostgresConnection, SqliteConnection)
KEYS = {
    *ROOT_KEYS,
    *GATEWAY_KEYS,
    *MODEL_DEFAULT_KEYS,
    *(key for model in CONNECTIONS for key in model.model_fields),
    *UNSUPPORTED_OPTIONS,
    *(f"plan.{key}" for key in (*PlanConfig.model_fields, *UNSUPPORTED_PLAN_KEYS)),
    *(f"linter.{key}" for key in LinterConfig.model_fields),
    *(f"format.{key}" for key in FormatConfig.model_fields),
} - {"plan", "linter", "format"}


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_every_key_is_told(page: str) -> None:
    told = {name for code in re.findall(r"`([^`\n]+)`", page) for name in re.findall(r"[\w.]+", code)}
    assert KEYS - told == set()


def test_the_example_loads(page: str, tmp_path: Path) -> None:
    example = re.search(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert example
    (tmp_path / "config.yaml").write_text(example[1], encoding="utf-8")
    assert load_settings(tmp_path, environ={}).variables == {"region": "test", "min_orders": 10}
    prod = load_settings(tmp_path, "prod", environ={"SHOP_PASSWORD": "x"})
    assert prod.variables["region"] == "eu"
    assert prod.default_catalog == "warehouse"
