"""Output columns of models, inferred on demand from the models themselves."""

from __future__ import annotations

from collections.abc import Mapping

from isomesh_dagster.dialect.query import output_columns
from isomesh_dagster.model.kinds import table_columns
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Column


class ColumnCatalog:
    """Columns of each model of one set of models; a model is analysed the first time somebody asks.

    Explicit columns win; what neither the author nor its query tells is None. Not for threads.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models
        self._known: dict[str, tuple[Column, ...] | None] = {}

    def of(self, name: str) -> tuple[Column, ...] | None:
        """The output columns of a model; None when they cannot be told."""
        order = [name]
        for needed in order:  # grows while it is walked: ancestors whose columns are not known yet
            model = self._models.get(needed)
            if needed not in self._known and model is not None and model.columns is None:
                order.extend(parent for parent in model.depends_on if parent not in self._known and parent not in order)
        for needed in reversed(order):
            self._infer(needed, frozenset())
        return self._known.get(name)

    def schema(self, name: str) -> dict[str, tuple[Column, ...]]:
        """The columns of everything a model reads, by name, as far as they are known; types only where at hand.

        What is compared column by column needs names only, and most queries tell theirs without being analysed again.
        """
        found = {parent: self._named(parent) for parent in self._models[name].depends_on if parent != name}
        return {parent: columns for parent, columns in found.items() if columns is not None}

    def _named(self, name: str) -> tuple[Column, ...] | None:
        model = self._models.get(name)
        if name in self._known or model is None or model.columns is not None or model.output is None:
            return self.of(name)
        return table_columns(model.kind, [Column(name=column) for column in model.output])

    def _infer(self, name: str, above: frozenset[str]) -> tuple[Column, ...] | None:
        if name in self._known:
            return self._known[name]
        model = self._models.get(name)
        if model is None:
            return None
        columns: tuple[Column, ...] | None
        if model.columns is not None:
            columns = model.columns
        elif not model.rendered:
            columns = None if model.output is None else tuple(Column(name=column) for column in model.output)
        elif name in above:
            columns = None
        else:
            schema = {}
            for parent in model.depends_on:
                if parent != name and (known := self._infer(parent, above | {name})) is not None:
                    schema[parent] = known
            columns = output_columns(model.rendered, model.dialect, schema)
        columns = None if columns is None else table_columns(model.kind, columns)
        self._known[name] = columns
        return columns
