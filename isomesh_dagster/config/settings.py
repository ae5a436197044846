"""The project's configuration under one gateway, as values. `read.load_settings` reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from isomesh_dagster.config.connections import (
    DuckDBConnection,
    PostgresConnection,
    SqliteConnection,
    StateConnection,
    WarehouseConnection,
)
from isomesh_dagster.config.values import filled
from isomesh_dagster.dialect.style import Style
from isomesh_dagster.lint.settings import LinterSettings
from isomesh_dagster.model.model import Json
from isomesh_dagster.plan.automatic import AutoCategorize

if TYPE_CHECKING:
    from isomesh_dagster.config.git import GitConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """`plan.*`: what the command line does without being told: `auto_apply` without asking, `no_diff` leave text diffs
    out; and what a plan decides by itself. `forward_only`: every change keeps tables and rows; `enable_preview`: such
    changes are shown in a table of their own outside of prod.
    """

    no_diff: bool = False
    auto_apply: bool = False
    auto_categorize: AutoCategorize = field(default_factory=AutoCategorize)
    forward_only: bool = False
    enable_preview: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StateLocation:
    """Where a gateway keeps its state.

    kind        "sqlite" or "postgres"
    path        the SQLite file, absolute; None with "sqlite": in memory, gone with the process as its warehouse is
    connection  the database, with "postgres"
    schema      the schema in that database, with "postgres"
    note        something to tell the person, e.g. that a DuckDB state is kept in SQLite
    """

    kind: Literal["sqlite", "postgres"]
    path: Path | None = None
    connection: PostgresConnection | None = None
    schema: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A project's configuration under one gateway. Holds no value of any other gateway.

    root                        the project's folder, absolute
    gateway, gateways           the chosen one; the names of all, as configured
    default_catalog             the catalog of names that give none
    dialect                     of models that give none, lower case
    model_defaults              as written, the gateway's over the root's; keys are those of `MODEL_DEFAULT_KEYS`
    variables                   by lower-case name, the gateway's over the root's
    physical_schema_mapping     pairs of pattern (from the start of a model's schema) and schema; the first match wins
    environment_catalog_mapping pairs of pattern (from the start of an environment's name) and the catalog of its views,
                                None for the default one; the first match wins
    environment_ttl             None: environments never end by themselves
    pinned_environments         those that never end
    scheduled_environments      those that Dagster keeps current beside the default one, by name or with `*`
    infer_names                 whether models that give no name are called by their path
    before_all, after_all       statements, as written, around everything that is done to an environment: variables are
                                named in them, their values are put in (`filled`) when the statements run
    notes                       what was accepted but has no effect here, in words for the person
    git                         what a repository drives under this gateway; None: nothing
    checkout                    the folder with the files of a commit, where those count instead of the ones in `root`
    environ                     the environment variables, for `filled`
    """

    root: Path
    gateway: str
    gateways: tuple[str, ...]
    connection: WarehouseConnection
    state_connection: StateConnection | None = None
    state_schema: str = "isomesh"
    project: str = ""
    default_catalog: str
    dialect: str
    model_defaults: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Json] = field(default_factory=dict)
    environment_suffix_target: Literal["schema", "table", "catalog"] = "schema"
    environment_catalog_mapping: tuple[tuple[str, str | None], ...] = ()
    physical_schema_mapping: tuple[tuple[str, str], ...] = ()
    snapshot_ttl: timedelta = timedelta(weeks=1)
    environment_ttl: timedelta | None = timedelta(weeks=1)
    pinned_environments: tuple[str, ...] = ()
    scheduled_environments: tuple[str, ...] = ()
    default_target_environment: str = "prod"
    time_column_format: str = "%Y-%m-%d"
    physical_table_naming_convention: Literal["schema_and_table", "table_only", "hash_md5"] = "schema_and_table"
    infer_names: bool = False
    before_all: tuple[str, ...] = ()
    after_all: tuple[str, ...] = ()
    ignore_patterns: tuple[str, ...] = (".ipynb_checkpoints/*",)
    plan: PlanSettings = PlanSettings()
    linter: LinterSettings = field(default_factory=LinterSettings)
    format: Style = field(default_factory=Style)
    notes: tuple[str, ...] = ()
    git: GitConfig | None = None
    checkout: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict, repr=False, compare=False)

    @property
    def files(self) -> Path:
        """The folder with models, macros, tests and seeds."""
        return self.checkout or self.root

    @property
    def concurrent_tasks(self) -> int:
        """How many models may be built at once."""
        return self.connection.concurrent_tasks

    def physical_schema(self, schema: str) -> str:
        """The schema of the physical layer for models of `schema`."""
        for pattern, target in self.physical_schema_mapping:
            if re.match(pattern, schema):
                return target
        return f"isomesh__{schema}"

    def filled(self, statement: str) -> str:
        """One of `before_all` and `after_all` with the values of the environment variables it names. ConfigError when
        one is not set.
        """
        return filled(statement, self.environ, "before_all, after_all")

    def secret_values(self) -> tuple[str, ...]:
        """Every secret text of the chosen gateway, for filters that keep secrets out of messages."""
        state = self.state_connection.secret_values() if self.state_connection else ()
        return (*self.connection.secret_values(), *state)


def state_location(settings: Settings) -> StateLocation:
    """Where the gateway keeps its state: its `state_connection`, else in (Postgres) or beside (DuckDB) its warehouse.

    State is never kept in DuckDB: a DuckDB file belongs to one process at a time, and the web server, the daemon and
    runs all need the state. Beside `x.duckdb` it is `x.duckdb.state.sqlite`. A warehouse in memory has its state in
    memory.
    """
    connection = settings.state_connection or settings.connection
    match connection:
        case SqliteConnection():
            return StateLocation(kind="sqlite", path=connection.database)
        case PostgresConnection():
            return StateLocation(kind="postgres", connection=connection, schema=settings.state_schema)
        case DuckDBConnection(path=None):
            return StateLocation(
                kind="sqlite", note="the warehouse and its state are in memory: both end with the process"
            )
        case DuckDBConnection(path=Path() as path):
            beside = path.with_name(path.name + ".state.sqlite")
            if settings.state_connection is None:
                return StateLocation(kind="sqlite", path=beside)
            return StateLocation(
                kind="sqlite",
                path=beside,
                note=f"state is kept in SQLite, in {beside.name}, not in DuckDB: several processes need it at once",
            )
    raise AssertionError(connection)
