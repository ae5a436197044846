"""The tables that a text reads: their names as its dialect writes them, and their columns under these names."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace

from isomesh_dagster.dialect.query import normalize_name
from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.kinds import Embedded, External
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.columns import ColumnCatalog
from isomesh_dagster.relation import Column, KnownColumns, Relation
from isomesh_dagster.snapshot.snapshot import Snapshot

# where names are quoted as on our engines; elsewhere the dialect is asked
_DOUBLE_QUOTED = frozenset({"", "duckdb", "postgres", "redshift", "snowflake", "trino", "presto"})


def quoted(relation: Relation, dialect: str) -> str:
    """The relation's name as the dialect writes it, quoted."""
    if dialect in _DOUBLE_QUOTED:
        return relation.sql
    from isomesh_dagster.dialect import rewrite  # only for dialects that quote in their own way

    return ".".join(
        rewrite.quote_name(part, dialect) for part in (relation.catalog, relation.schema, relation.name) if part
    )


class Schemas:
    """What is known of the columns of snapshots and of what they read; each is inferred once. Safe for threads."""

    def __init__(self, snapshots: Mapping[str, Snapshot]) -> None:
        self._snapshots = snapshots
        self._lock = threading.Lock()
        self._catalog: ColumnCatalog | None = None

    def of(self, name: str) -> KnownColumns | None:
        """The columns of a model, as its own dialect writes them; None where they cannot be told."""
        with self._lock:
            if self._catalog is None:
                self._catalog = ColumnCatalog({name: snapshot.model for name, snapshot in self._snapshots.items()})
            columns = self._catalog.of(name)
        if columns is None:
            return None
        model = self._snapshots[name].model
        return KnownColumns(columns=columns, dialect=model.dialect, is_declared=model.columns is not None)

    def around(self, model: Model, dialect: str) -> dict[str, tuple[Column, ...]]:
        """The columns of the model and of what it reads, by physical name (an external table's by its own), with names
        and types as `dialect` has them.
        """
        found = {}
        for name in dict.fromkeys((model.name, *self._read_by(model, frozenset()))):
            snapshot = self._snapshots.get(name)
            if snapshot is None or (known := self.of(name)) is None:
                continue
            if snapshot.physical is not None and not isinstance(snapshot.model.kind, External):
                name = normalize_name(quoted(snapshot.physical, dialect), dialect)
            found[name] = tuple(said_in(column, known.dialect, dialect) for column in known.columns)
        return found

    def _read_by(self, model: Model, inside: frozenset[str]) -> Iterator[str]:
        """What the model reads, through models that are embedded in it, too."""
        for name in model.depends_on:
            yield name
            parent = self._snapshots.get(name)
            if parent is not None and isinstance(parent.model.kind, Embedded) and name not in inside:
                yield from self._read_by(parent.model, inside | {name})


def said_in(column: Column, read: str, write: str) -> Column:
    """A column of another dialect's model: its type, and its name in the case that names have there."""
    if read == write:
        return column
    from isomesh_dagster.dialect.rewrite import transpile_type  # only where dialects meet

    try:
        is_plain = normalize_name(column.name, read) == column.name
        name = normalize_name(column.name, write) if is_plain else column.name
    except ModelError:
        name = column.name
    try:
        return replace(column, name=name, type=transpile_type(column.type, read, write))
    except ModelError:
        return replace(column, name=name, type="UNKNOWN")
