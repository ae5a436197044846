"""What every column of a project is read from, kept by what it follows from: a query and the columns it reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from isomesh_dagster.cache.facts import code_digest
from isomesh_dagster.cache.store import FactStore
from isomesh_dagster.graph.lineage import ColumnReads
from isomesh_dagster.model.codec import columns_to_json
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Column

_KEEP = 20_000
_LAYOUT = 1  # of the rows; the code that makes them is below the rooms that `code_digest` covers


def read_columns(
    models: Iterable[Model], columns: Mapping[str, Sequence[Column] | None], cache: FactStore
) -> dict[str, ColumnReads]:
    """What each model with a query reads, by name; `columns` are the output columns of all models, as far as known."""
    keys: dict[str, str] = {}
    schemas: dict[str, dict[str, Sequence[Column]]] = {}
    wanted = [model for model in models if model.rendered]
    for model in wanted:
        schema = schemas[model.name] = {
            parent: its for parent in (*model.depends_on, model.name) if (its := columns.get(parent))
        }
        parts = [
            "lineage",
            _LAYOUT,
            code_digest(),
            model.rendered,
            model.dialect,
            {parent: columns_to_json(its) for parent, its in schema.items()},
        ]
        keys[model.name] = blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()
    known = cache.get(list(keys.values()))
    found: dict[str, ColumnReads] = {}
    new: list[tuple[str, str, str]] = []
    for model in wanted:
        key = keys[model.name]
        if key in known:
            found[model.name] = ColumnReads.from_json(json.loads(known[key][0][1]))
            continue
        reads = found[model.name] = _reads(model, schemas[model.name])
        new.append((key, "", json.dumps(reads.to_json())))
    if new:
        cache.put(new, keep=_KEEP)
    return found


def _reads(model: Model, schema: Mapping[str, Sequence[Column]]) -> ColumnReads:
    from isomesh_dagster.dialect.summary import Opaque, summarize  # needs sqlglot, so only on a miss

    try:
        return ColumnReads.of(summarize(model.rendered, model.dialect, schema))
    except Opaque as error:
        return ColumnReads(opaque=error.reason)
