"""Output columns of all models of a project, inferred parents first and kept by what they follow from.

A model's columns follow from its rendered query and its parents' columns, so a change above that leaves a parent's
columns alone costs nothing below it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b

from isomesh_dagster.cache.facts import code_digest
from isomesh_dagster.cache.store import FactStore
from isomesh_dagster.model.codec import columns_from_json, columns_to_json
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Column

_KEEP = 20_000


def infer_columns(models: Iterable[Model], cache: FactStore) -> dict[str, tuple[Column, ...] | None]:
    """The output columns of each model by name; `models` come parents before children.

    Explicit columns are taken as written. None: the text does not tell (a star over a table nobody declared, a seed
    without `columns`). Parses a query only when nothing equal was inferred before.
    """
    known: dict[str, tuple[Column, ...] | None] = {}
    new: list[tuple[str, str, str]] = []
    for model in models:
        if model.columns is not None or not model.rendered:
            known[model.name] = model.columns
            continue
        schema = {parent: columns for parent in model.depends_on if (columns := known.get(parent)) is not None}
        parts = [
            "columns",
            code_digest(),
            model.rendered,
            model.dialect,
            {parent: columns_to_json(columns) for parent, columns in schema.items()},
        ]
        key = blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()
        found = cache.get([key]).get(key)
        if found:
            data = json.loads(found[0][1])
            known[model.name] = None if data is None else columns_from_json(data)
            continue
        from isomesh_dagster.dialect.query import output_columns  # needs sqlglot, so only on a miss

        columns = output_columns(model.rendered, model.dialect, schema)
        known[model.name] = columns
        new.append((key, "", json.dumps(None if columns is None else columns_to_json(columns))))
    if new:
        cache.put(new, keep=_KEEP)
    return known
