"""Many small edits of one project, each of a model of its own, made at once: `edits.yaml`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).parent / "edits.yaml"
PARTS = ("kind", "props", "before", "query", "after")


def read() -> dict[str, Any]:
    """The file as it is written."""
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def write(root: Path, given: dict[str, Any], connection: str, *, edited: bool) -> None:
    """The project's files in the folder, before the edits or after them; `connection` as config.yaml says it."""
    which = int(edited)
    config = {
        "gateways": {"local": {"connection": yaml.safe_load(connection)}},
        "model_defaults": {"dialect": "duckdb", "start": str(given["start"])},
        "variables": given["variables"][which],
    }
    files = {
        "config.yaml": yaml.safe_dump(config),
        "external_models.yaml": yaml.safe_dump(
            [{"name": name, "columns": columns} for name, columns in given["raw"].items()]
        ),
        **{path: text if isinstance(text, str) else text[which] for path, text in given["files"].items()},
    }
    for name, edit in given["edits"].items():
        if f"models/{name}.py" not in files:
            files[f"models/{name}.sql"] = _model(name, {**given, **edit}, which)
        reads = edit.get("reads", given["reads"]).replace("{of}", f"s.x_{name}")
        files[f"models/{name}_reader.sql"] = f"MODEL (name s.x_{name}_reader, kind FULL);\n{reads}\n"
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def _model(name: str, given: dict[str, Any], which: int) -> str:
    kind, props, before, query, after = (
        part if isinstance(part, str) else part[which] for part in (given.get(part, "") for part in PARTS)
    )
    header = ", ".join(filter(None, (f"name s.x_{name}", f"kind {kind}", props)))
    return ";\n".join(filter(None, (f"MODEL ({header})", before, query, after))) + "\n"


def raw_statements(given: dict[str, Any]) -> list[str]:
    """What makes the tables that the models read; they have no rows."""
    made = ["CREATE SCHEMA raw"]
    for name, columns in given["raw"].items():
        items = ", ".join(f"{column} {kind}" for column, kind in columns.items())
        made.append(f"CREATE TABLE {name} ({items})")
    return made
