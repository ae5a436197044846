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
from isomesh_dagster.model.kinds import table_columns
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Column

_KEEP = 20_000


def infer_columns(models: Iterable[Model], cache: FactStore) -> dict[str, tuple[Column, ...] | None]:
    """The output columns of each model by name; `models` come parents before children.

    Explicit columns are taken as written. None: the text does not tell (a star over a table nobody declared).
    Parses a query only when nothing equal was inferred before.
    """
    inference = ColumnInference(cache)
    for model in models:
        inference.add(model)
    inference.save()
    return inference.known


class ColumnInference:
    """Output columns of models that are told one by one, parents before children; `known` has them by name."""

    def __init__(self, cache: FactStore) -> None:
        self.known: dict[str, tuple[Column, ...] | None] = {}
        self._cache = cache
        self._new: list[tuple[str, str, str]] = []

    def add(self, model: Model) -> None:
        """Infer the columns of one model. Raises ModelError when its query cannot be read."""
        if model.columns is not None or not model.rendered:
            columns = model.columns
            if columns is None and model.output is not None:  # a seed, whose file tells names and no types
                columns = tuple(Column(name=name) for name in model.output)
            self.known[model.name] = _of_table(model, columns)
            return
        schema = {parent: columns for parent in model.depends_on if (columns := self.known.get(parent)) is not None}
        parts = [
            "columns",
            code_digest(),
            model.rendered,
            model.dialect,
            {parent: columns_to_json(columns) for parent, columns in schema.items()},
        ]
        key = blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()
        found = self._cache.get([key]).get(key)
        if found:
            data = json.loads(found[0][1])
            self.known[model.name] = _of_table(model, None if data is None else columns_from_json(data))
            return
        from isomesh_dagster.dialect.query import output_columns  # needs sqlglot, so only on a miss

        columns = output_columns(model.rendered, model.dialect, schema)
        self.known[model.name] = _of_table(model, columns)
        self._new.append((key, "", json.dumps(None if columns is None else columns_to_json(columns))))

    def save(self) -> None:
        """Keep what was inferred."""
        if self._new:
            self._cache.put(self._new, keep=_KEEP)
            self._new = []


def _of_table(model: Model, columns: tuple[Column, ...] | None) -> tuple[Column, ...] | None:
    """The columns of the model's table, given those of its query: a kind may add some."""
    return None if columns is None else table_columns(model.kind, columns)
