"""One case: a project written to a folder, its raw data, and the tables somebody made of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
CONNECTION = "THE-CONNECTION"
DUCKDB = "{type: duckdb, database: warehouse.duckdb}"

Fetch = Callable[[str], list[tuple[Any, ...]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What `cases/<name>.yaml` says. `later` is the raw data that comes after the first build, and when it is run.

    `error_on_postgres` is part of what Postgres says where its SQL is of DuckDB alone; None: it gives the same tables.
    """

    name: str
    now: datetime
    files: dict[str, str]
    raw: str
    tables: tuple[str, ...]
    later: tuple[datetime, str] | None
    error_on_postgres: str | None

    def write(self, root: Path, connection: str = DUCKDB) -> None:
        """Write the project's files; `connection` is the warehouse, as `config.yaml` says it."""
        for path, text in self.files.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace(CONNECTION, connection), encoding="utf-8")


def names() -> list[str]:
    """The names of all cases."""
    return sorted(path.stem for path in (FOLDER / "cases").glob("*.yaml"))


def read(name: str) -> Case:
    """The case of that name."""
    given = yaml.safe_load((FOLDER / "cases" / f"{name}.yaml").read_text(encoding="utf-8"))
    gateway = given.get("gateway", "local")
    config = {
        "gateways": {
            gateway: {
                "connection": CONNECTION,
                "variables": given.get("gateway_variables", {}),
            }
        },
        "default_gateway": gateway,
        "model_defaults": {"dialect": "duckdb", "start": str(given["start"])},
    }
    later = given.get("later")
    return Case(
        name=name,
        now=_utc(given["now"]),
        files={"config.yaml": yaml.safe_dump(config) + given.get("config", ""), **given["files"]},
        raw=given.get("raw", ""),
        tables=tuple(given["tables"]),
        later=(_utc(later["now"]), later["raw"]) if later else None,
        error_on_postgres=given.get("not_on_postgres", {}).get("error"),
    )


def tables_of(case: Case, fetch: Fetch) -> dict[str, Any]:
    """Columns, types and rows of the case's tables, as texts; names of columns in lower case, rows in order."""
    found = {}
    for name in case.tables:
        table = ".".join(f'"{part}"' for part in name.split("."))
        columns = fetch(f"DESCRIBE SELECT * FROM {table}")
        texts = ", ".join(f'"{row[0]}"::VARCHAR' for row in columns)
        rows = [list(row) for row in fetch(f"SELECT {texts} FROM {table}")]
        found[name] = {
            "columns": [f"{row[0].lower()} {row[1]}" for row in columns],
            "rows": sorted(rows, key=lambda row: [(cell is not None, cell or "") for cell in row]),
        }
    return found


def expected(name: str) -> dict[str, Any]:
    """What was measured: `{"tables": …, "later": …}`."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / "expected" / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def rendered(name: str) -> dict[str, str]:
    """The queries of the case's models as they were agreed to be at load, by model."""
    found: dict[str, str] = yaml.safe_load((FOLDER / "rendered" / f"{name}.yaml").read_text(encoding="utf-8"))
    return found


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=timezone.utc)
