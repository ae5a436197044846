"""The compiled manifest: everything that loading definitions needs, in one JSON file.

It lets a run stay at the commit it was made from and start without parsing: reading it imports no sqlglot and opens no
database. Nothing in it depends on where the project lies.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.files import write_whole
from isomesh_dagster.graph.lineage import ColumnReads
from isomesh_dagster.model.codec import columns_from_json, columns_to_json, model_from_json, model_to_json
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Column
from isomesh_dagster.snapshot.fingerprint import ALGORITHM, OwnFingerprint

FORMAT = 1
_UNUSED_DAYS = 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The commit a project's files are of.

    ref, commit     the full name of the ref it was looked up for; the commit's id
    files           the folder with its files, relative to the project's, posix
    may_run_code    whether code of the ref may run in this system; else the configuration is that of the project
    """

    ref: str
    commit: str
    files: str
    may_run_code: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A project as it was when compiled, under one gateway.

    `digest` is that of everything loaded (`LoadedFiles.digest`). `columns` are explicit or inferred output columns;
    None when they cannot be known without a warehouse. `column_reads` is what columns are read from. `tests` are the
    texts of the files with unit tests, by path, `decisions` those of recorded choices.
    `source` tells the commit the files are of; None: of the project's folder.
    """

    gateway: str
    project: str
    digest: str
    models: Mapping[str, Model]
    own: Mapping[str, OwnFingerprint]
    columns: Mapping[str, tuple[Column, ...] | None] = field(default_factory=dict)
    column_reads: Mapping[str, ColumnReads] = field(default_factory=dict)
    tests: Mapping[str, str] = field(default_factory=dict)
    decisions: Mapping[str, str] = field(default_factory=dict)
    source: Source | None = None


def write_manifest(path: Path, data: Manifest) -> None:
    """Write the file whole or not at all; an existing one is replaced. Equal data gives equal bytes."""
    content = {
        "format": FORMAT,
        "algorithm": ALGORITHM,
        "gateway": data.gateway,
        "project": data.project,
        "digest": data.digest,
        "models": [
            {
                "model": model_to_json(data.models[name]),
                "own": [data.own[name].data, data.own[name].metadata],
                **({"columns": columns_to_json(columns)} if (columns := data.columns.get(name)) is not None else {}),
                **({"reads": reads.to_json()} if (reads := data.column_reads.get(name)) is not None else {}),
            }
            for name in sorted(data.models)
        ],
        "tests": dict(sorted(data.tests.items())),
        "decisions": dict(sorted(data.decisions.items())),
        **({"source": asdict(data.source)} if data.source is not None else {}),
    }
    write_whole({path: json.dumps(content, ensure_ascii=False, separators=(",", ":"))})


def mark_used(path: Path) -> None:
    """The file or folder was used now; nothing where it is not, or may not be touched."""
    with suppress(OSError):
        os.utime(path)


def remove_unused(folder: Path) -> None:
    """Remove the folder's manifests that nobody used for two weeks, and what killed writers left of others."""
    oldest = time.time() - _UNUSED_DAYS * 86_400
    for path in folder.iterdir():
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def read_manifest(path: Path) -> Manifest:
    """The manifest in the file. IsomeshError when it is missing, damaged or of another version."""
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        if content.get("format") != FORMAT or content.get("algorithm") != ALGORITHM:
            raise IsomeshError(
                "the manifest was compiled by another version", path=str(path), hint="compile the project again"
            )
        rows = content["models"]
        models = [model_from_json(row["model"]) for row in rows]
        return Manifest(
            gateway=content["gateway"],
            project=content["project"],
            digest=content["digest"],
            models={model.name: model for model in models},
            own={
                model.name: OwnFingerprint(data=row["own"][0], metadata=row["own"][1])
                for model, row in zip(models, rows, strict=True)
            },
            columns={
                model.name: columns_from_json(row["columns"]) if "columns" in row else None
                for model, row in zip(models, rows, strict=True)
            },
            column_reads={row["model"]["name"]: ColumnReads.from_json(row["reads"]) for row in rows if "reads" in row},
            tests=content.get("tests", {}),
            decisions=content.get("decisions", {}),
            source=Source(**content["source"]) if "source" in content else None,
        )
    except FileNotFoundError:
        raise IsomeshError("there is no such manifest", path=str(path), hint="compile the project again") from None
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise IsomeshError(
            f"the manifest is damaged: {error}", path=str(path), hint="delete it and compile the project again"
        ) from error
