"""Engines: the only room where database drivers live.

Here      the protocols of `connection`, and three files per engine that speak them, with the same headings in the same
          order: opening and closing (`duckdb`), statements (`duckdb_statements`) and relations
          (`duckdb_session`). Beside them what only one engine has (`duckdb_catalogs`; `postgres_dependents`,
          `postgres_rights`, `postgres_types`), and what several share: data frames (`frames`), seeds (`seed_file`),
          both on their way to a server (`transfer`), who may end a transaction (`transactions`).
Not here  what is written and in which order (`evaluation/`, `execution/`), what is remembered (`state/`).
Imports   config (its connections), dialect, relation, errors; the driver inside an engine's files, when it is opened.
Decided   an engine is chosen by the type of its settings; a driver's error never leaves the room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from isomesh_dagster.engine.connection import Connection
from isomesh_dagster.errors import ConfigError

if TYPE_CHECKING:
    from isomesh_dagster.config.connections import WarehouseConnection

LOCK_TIMEOUT_SECONDS = 60.0


def open_connection(
    settings: WarehouseConnection,
    *,
    timeout: float = LOCK_TIMEOUT_SECONDS,
    on_wait: Callable[[str], None] | None = None,
) -> Connection:
    """Open the warehouse that the gateway's connection settings describe.

    `timeout` is how many seconds to wait for another process to let go of it; `on_wait` is told once, in a sentence,
    when that wait begins. Raises LockedError after the wait, EngineError when the warehouse cannot be opened,
    ConfigError for a kind of connection that no engine here speaks.
    """
    if settings.type == "duckdb":
        from isomesh_dagster.engine.duckdb import DuckDBWarehouse  # the driver costs its import only where it is used

        return DuckDBWarehouse(settings, timeout=timeout, on_wait=on_wait)
    if settings.type == "postgres":
        from isomesh_dagster.engine.postgres import PostgresWarehouse

        return PostgresWarehouse(settings)
    raise ConfigError(
        f"no engine for connections of type {settings.type!r}",
        hint="use `type: duckdb` or `type: postgres` in this gateway's connection",
    )
