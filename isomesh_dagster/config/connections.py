"""How to reach a gateway's warehouse and state: one configuration class per type of connection.

Nothing is opened here. Passwords are `SecretStr`; `repr` and error messages show no value. A connection must not be
pickled, logged with `model_dump`, or written into run configuration: only the gateway's name leaves the process.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PositiveInt,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from isomesh_dagster.config.values import as_yaml, looks_secret


def _local_path(value: object, info: ValidationInfo) -> object:
    """Absolute, from the project's folder; None for `:memory:`. URLs are refused."""
    if value is None or isinstance(value, Path):
        return value
    if not isinstance(value, str):
        raise ValueError("must be a path")
    if value == ":memory:":
        return None
    if not value.strip():
        raise ValueError("is empty; leave the key out for a database in memory")
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", value):
        raise ValueError("only local files are supported, not URLs")
    root = (info.context or {}).get("root", Path.cwd())
    return Path(root, value).absolute()


def _no_value(value: object, info: ValidationInfo) -> object:
    """The project's folder, which nobody writes into a configuration."""
    if value is not None:
        raise ValueError("unknown key")
    return (info.context or {}).get("root")


def _external(value: object, info: ValidationInfo) -> object:
    """A folder from the project's folder, or the beginning of URLs as it is."""
    if isinstance(value, str) and _URL.match(value):
        return value
    return str(_local_path(value, info) or "")


_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")

LocalPath = Annotated[Path | None, BeforeValidator(_local_path)]
Plain = Annotated[Any, BeforeValidator(as_yaml)]


def secrets_in_address(text: str) -> list[str]:
    """The passwords and tokens in an address (`http://user:password@host/?token=…`) or a list of `key=value`."""
    parts = re.findall(r"://[^/@\s]*?:([^\s]+)@", text)
    parts += [value for key, value in re.findall(r"([\w-]+)=([^&;\s]+)", text) if looks_secret(key)]
    return [*parts, *(unquote(part) for part in parts)]


def _plain_text(value: object) -> object:
    """Numbers and booleans as text: options of a secret are text to the engine, whatever YAML took them for."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int | float) else value


SecretText = Annotated[SecretStr, BeforeValidator(_plain_text)]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class DuckDBCatalog(_Config):
    """A DuckDB file attached under a name. `path` is absolute; None: in memory."""

    type: Literal["duckdb"] = "duckdb"
    path: LocalPath = None
    read_only: bool = False


class DuckDBExtension(_Config):
    """An extension to install (from `repository`, when given) and load on each new connection."""

    name: str
    repository: str | None = Field(default=None, repr=False)
    force_install: bool = False


class DuckDBSecret(_Config):
    """One `CREATE SECRET`: its type and options. `name` None: DuckDB's default name."""

    name: str | None = None
    type: str
    options: Mapping[str, SecretText] = Field(default_factory=dict, repr=False)


class DuckDBConnection(_Config):
    """A DuckDB warehouse: one file, several attached ones, or none (in memory).

    `catalogs` holds every attached database by name in order; the first is the default one. It is empty when the
    configuration gives `database`.

    SQL reads and writes files only in the project's visible folders (`project`: None for a connection that belongs to
    no project, which is not restricted) and in `allowed_paths`: folders, absolute, or beginnings of URLs. What a secret
    is for is allowed too. `external_access` opens everything.
    """

    type: Literal["duckdb"] = "duckdb"
    project: Annotated[Path | None, BeforeValidator(_no_value), Field(validate_default=True, repr=False)] = None
    external_access: bool = False
    allowed_paths: tuple[Annotated[str, BeforeValidator(_external)], ...] = Field(default=(), repr=False)
    database: LocalPath = None
    catalogs: Mapping[str, DuckDBCatalog] = Field(default_factory=dict)
    extensions: tuple[DuckDBExtension, ...] = ()
    connector_config: Mapping[str, Plain] = Field(default_factory=dict, repr=False)
    secrets: tuple[DuckDBSecret, ...] = Field(default=(), repr=False)
    concurrent_tasks: PositiveInt = 1
    register_comments: bool = True
    pre_ping: bool = False
    pretty_sql: bool = False

    @field_validator("catalogs", mode="before")
    @classmethod
    def _catalog_paths(cls, value: object) -> object:
        if isinstance(value, dict):
            return {name: {"path": item} if isinstance(item, str) else item for name, item in value.items()}
        return value

    @field_validator("extensions", mode="before")
    @classmethod
    def _extension_names(cls, value: object) -> object:
        return (
            [{"name": item} if isinstance(item, str) else item for item in value] if isinstance(value, list) else value
        )

    @field_validator("secrets", mode="before")
    @classmethod
    def _secret_options(cls, value: object) -> object:
        named: list[tuple[str | None, Any]]
        if isinstance(value, dict):
            named = list(value.items())
        elif isinstance(value, list):
            named = [(None, item) for item in value]
        else:
            return value
        if not all(isinstance(item, dict) for _, item in named):
            raise ValueError("each secret must be a mapping with a type")
        return [
            {
                "name": item.get("name", name),
                **({"type": item["type"]} if "type" in item else {}),
                "options": {key: option for key, option in item.items() if key not in {"type", "name"}},
            }
            for name, item in named
        ]

    @model_validator(mode="after")
    def _one_place(self) -> DuckDBConnection:
        if self.catalogs:
            if self.database is not None:
                raise ValueError("give database or catalogs, not both")
            if next(iter(self.catalogs.values())).read_only:
                raise ValueError("the first catalog is the one written to, it cannot be read_only")
        return self

    @property
    def dialect(self) -> str:
        """In sqlglot's name."""
        return "duckdb"

    @property
    def path(self) -> Path | None:
        """The file that is written to, absolute; None: in memory."""
        return next(iter(self.catalogs.values())).path if self.catalogs else self.database

    @property
    def default_catalog(self) -> str:
        """DuckDB's name of the database that is written to: the file's stem, `memory`, or the first catalog's name."""
        if self.catalogs:
            return next(iter(self.catalogs))
        return "memory" if self.database is None else self.database.stem

    def secret_values(self) -> tuple[str, ...]:
        """Every secret text in here, for filters that keep secrets out of messages."""
        options = [option.get_secret_value() for secret in self.secrets for option in secret.options.values()]
        texts = {key: value for key, value in self.connector_config.items() if isinstance(value, str)}
        declared = [value for key, value in texts.items() if looks_secret(key)]
        addresses = [*texts.values(), *self.allowed_paths, *(one.repository or "" for one in self.extensions)]
        found = [part for address in addresses for part in secrets_in_address(address)]
        return tuple(value for value in options + declared + found if value)


class PostgresConnection(_Config):
    """A Postgres database, as warehouse or for state. `role`: `SET ROLE` after connecting. `create_schemas` False: all
    schemas are made by somebody else, none is made or dropped.
    """

    type: Literal["postgres"] = "postgres"
    host: str
    user: str
    password: SecretStr
    port: Annotated[int, Field(ge=1, le=65535)]
    database: str
    keepalives_idle: int | None = None
    connect_timeout: PositiveInt = 10
    role: str | None = None
    sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] | None = None
    application_name: str | None = None
    create_schemas: bool = True
    concurrent_tasks: PositiveInt = 4
    register_comments: bool = True
    pre_ping: bool = True
    pretty_sql: bool = False

    @property
    def dialect(self) -> str:
        """In sqlglot's name."""
        return "postgres"

    @property
    def default_catalog(self) -> str:
        """The database."""
        return self.database

    def secret_values(self) -> tuple[str, ...]:
        """Every secret text in here, for filters that keep secrets out of messages."""
        value = self.password.get_secret_value()
        return (value,) if value else ()


class SqliteConnection(_Config):
    """A SQLite file that holds state; never a warehouse."""

    type: Literal["sqlite"] = "sqlite"
    database: LocalPath

    @model_validator(mode="after")
    def _a_file(self) -> SqliteConnection:
        if self.database is None:
            raise ValueError("state in memory is lost with the process: give a file")
        return self

    def secret_values(self) -> tuple[str, ...]:
        """None."""
        return ()


WarehouseConnection = DuckDBConnection | PostgresConnection
StateConnection = DuckDBConnection | PostgresConnection | SqliteConnection

WAREHOUSES: Mapping[str, type[DuckDBConnection] | type[PostgresConnection]] = {
    "duckdb": DuckDBConnection,
    "postgres": PostgresConnection,
}
STATES: Mapping[str, type[DuckDBConnection] | type[PostgresConnection] | type[SqliteConnection]] = {
    **WAREHOUSES,
    "sqlite": SqliteConnection,
}
KNOWN_TYPES = frozenset(
    {
        *(
            "athena",
            "azuresql",
            "bigquery",
            "clickhouse",
            "databricks",
            "db2",
            "duckdb",
            "fabric",
            "gcp_postgres",
            "motherduck",
        ),
        *("mssql", "mysql", "postgres", "redshift", "risingwave", "snowflake", "spark", "sqlite", "starrocks", "trino"),
    }
)
"""Types of connection the format knows. Those not in `WAREHOUSES` or `STATES` are not supported yet."""

UNSUPPORTED_OPTIONS: Mapping[str, str] = {
    "schema_differ_overrides": "it would change how table differences are computed",
    "catalog_type_overrides": "it would change how catalogs are addressed",
    "filesystems": "it would register fsspec file systems",
    "token": "it would connect to MotherDuck",
}
"""Keys of connections that the format knows and we do not support yet, with what they would do."""
