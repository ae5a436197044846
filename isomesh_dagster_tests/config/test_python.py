"""What `config.py` says, told as `config.yaml` without running a line of it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from isomesh_dagster.config.python import yaml_of
from isomesh_dagster.config.read import load_settings
from isomesh_dagster.errors import ConfigError

SHOP = """
import os
from pathlib import Path
from sqlmesh.core.config import Config, DuckDBConnectionConfig, GatewayConfig, ModelDefaultsConfig

raise SystemExit("nobody runs this")
HERE = Path(__file__).parent
COMMON = {"dialect": "duckdb"}

def warehouse(name, suffix="db"):
    '''One file for each system.'''
    return DuckDBConnectionConfig(database=str(HERE / "data" / f"{name}.{suffix}"))

config: Config = Config(
    project=os.getenv("SHOP_PROJECT", "shop"),
    gateways={
        "dev": GatewayConfig(connection=warehouse("dev"), variables=dict(region="test")),
        "prod": GatewayConfig(connection=warehouse(suffix="duckdb", name="prod")),
    },
    default_gateway="dev",
    model_defaults=ModelDefaultsConfig(**COMMON, start="2024-01-01", cron="@hourly"),
    before_all=["CREATE SCHEMA IF NOT EXISTS raw"] + ["SELECT 'a, b'"],
    environment_suffix_target=EnvironmentSuffixTarget.TABLE,
    users=[User(username="ann", roles=[UserRole.REQUIRED_APPROVER])],
)
"""


def test_the_lines_are_a_configuration_that_works(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(SHOP, encoding="utf-8")
    with pytest.raises(ConfigError, match="in Python is not supported") as caught:
        load_settings(tmp_path, environ={})
    _, _, derived = caught.value.hint.partition(":\n\n")
    (tmp_path / "config.py").unlink()
    (tmp_path / "config.yaml").write_text(derived, encoding="utf-8")
    settings = load_settings(tmp_path, "prod", {})
    assert settings.project == "shop"
    assert str(settings.connection.database) == str(tmp_path / "data/prod.duckdb")
    assert settings.model_defaults == {"dialect": "duckdb", "start": "2024-01-01", "cron": "@hourly"}
    assert settings.before_all == ("CREATE SCHEMA IF NOT EXISTS raw", "SELECT 'a, b'")
    assert settings.environment_suffix_target == "table"


def derived(value: str, before: str = "") -> str | None:
    return yaml_of(f"{dedent(before)}\nconfig = Config(x={value})")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("BigQueryConnectionConfig(project='p')", {"type": "bigquery", "project": "p"}),
        ("GCPPostgresConnectionConfig()", {"type": "gcp_postgres"}),
        ("CategorizerConfig.all_full()", {"external": "full", "python": "full", "sql": "full", "seed": "full"}),
        ("int(os.environ['PORT'])", "{{ env_var('PORT') }}"),
        ("f\"{os.environ['A']}-{1}\"", "{{ env_var('A') }}-1"),
        ("os.path.join(os.path.dirname(os.path.abspath(__file__)), 'd', 'x.db')", "d/x.db"),
        ("{'a', 'a'} and None or [True, None, 1.5]", None),
        ("[True, None, 1.5, 'yes', '1', 'a: b', '']", [True, None, 1.5, "yes", "1", "a: b", ""]),
        ("[dict(a=1, b=[2]), dict()]", [{"a": 1, "b": [2]}, {}]),
    ],
)
def test_values(value: str, told: object) -> None:
    assert yaml.safe_load(derived(value) or "") == {"x": told}


def test_a_copy_has_the_changes() -> None:
    text = "base = Config(a=1, b=2)\nconfig = base.copy(update={'b': 3})"
    assert yaml.safe_load(yaml_of(text) or "") == {"a": 1, "b": 3}


@pytest.mark.parametrize("value", ["settings.NAME", "input()", "x", "again()", "open('x').read()", "Thing(1)"])
def test_what_the_text_does_not_tell_is_left_to_the_author(value: str) -> None:
    assert derived(value, "x = x\ndef again():\n    return again()") in [
        f"x:  # line {line} of config.py says it" for line in (1, 3, 4)
    ]


def test_a_secret_that_is_written_down_is_not_repeated() -> None:
    found = derived(
        "dict(connection=SnowflakeConnectionConfig(user='me', password='hunter2', private_key=KEY))", "KEY='k2'"
    )
    assert found is not None
    assert "hunter2" not in found
    assert "k2" not in found
    assert "password: \"{{ env_var('X_CONNECTION_PASSWORD') }}\"" in found


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("dict(password=os.environ.get('PW', 'hunter2'))", {"password": "{{ env_var('PW') }}"}),
        ("dict(password=os.environ.get('PW'))", {"password": "{{ env_var('PW') }}"}),
        ("dict(password='hunter2' + os.environ['PW'])", {"password": "{{ env_var('X_PASSWORD') }}"}),
        ("dict(password=123456, use_token=True)", {"password": "{{ env_var('X_PASSWORD') }}", "use_token": True}),
        ("dict(pg='postgres:dbname=d password=hunter2')", {"pg": "{{ env_var('X_PG') }}"}),
        ("dict(at=os.getenv('AT', 'https://me:hunter2@host/d'))", {"at": "{{ env_var('AT') }}"}),
        ("{'Authorization': 'Bearer hunter2'}", {"Authorization": "{{ env_var('X_AUTHORIZATION') }}"}),
        ("['s3://b', 'https://me:hunter2@host/d']", ["s3://b", "{{ env_var('X') }}"]),
        (
            "dict(pg=f\"postgres:user=me password={os.environ['PW']}\")",
            {"pg": "postgres:user=me password={{ env_var('PW') }}"},
        ),
    ],
)
def test_nor_is_one_that_stands_anywhere_else(value: str, told: object) -> None:
    assert yaml.safe_load(derived(value) or "") == {"x": told}


def test_what_multiplies_itself_is_left() -> None:
    names = "\n".join(f"a{number} = [a{number + 1}, a{number + 1}]" for number in range(40))
    doubled = "double(" * 40 + "'x'" + ")" * 40
    for value in ("a0", doubled):
        told = derived(value, f"{names}\na40 = 1\ndef double(x):\n    return x + x")
        assert told is not None
        assert "config.py says it" in told
        assert len(told) < 2_000_000


@pytest.mark.parametrize(
    "text",
    [
        "raise SystemExit",
        "config = load()",
        "config = (",
        "config = sqlmesh_config(1)",
        "",
        f"config = Config(x={'-' * 100_000}1)",
        f"config = Config(x={'+'.join(['a'] * 5_000)})",
    ],
)
def test_there_may_be_nothing_to_tell(text: str) -> None:
    assert yaml_of(text) is None
