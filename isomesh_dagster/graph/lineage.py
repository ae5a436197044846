"""Which columns become which: a project's models down to single columns.

In: for every model what its columns and its rows are read from (`ColumnReads`). Out: trees of columns, upwards to
tables that no model makes, downwards to what is read by nobody. A column that decides which rows a reader has (a
filter, a join key, a grouping) is told as such: it is in no column of the reader, and in all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from isomesh_dagster.dialect.summary import ALL, ROWS, Reads, Summary

Cell = tuple[str, str]
"""A table's name and a column's; the column "*" stands for all of them."""

EVERY = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnReads:
    """What one model reads, directly.

    columns  by output column, in order: what its values are made of
    rows     what decides which rows there are
    opaque   why it cannot be told, in words for people; None when it can
    """

    columns: Mapping[str, tuple[Cell, ...]] = field(default_factory=dict)
    rows: tuple[Cell, ...] = ()
    opaque: str | None = None

    @classmethod
    def of(cls, summary: Summary) -> ColumnReads:
        """The reads of a summary; that a table's rows are read says nothing about columns, and is left out."""
        columns = {name: _cells(column.reads) for name, column in summary.columns.items()}
        return cls(columns=columns, rows=_cells(summary.row_reads))

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready data."""
        data: dict[str, Any] = {"columns": {name: list(map(list, cells)) for name, cells in self.columns.items()}}
        if self.rows:
            data["rows"] = list(map(list, self.rows))
        if self.opaque is not None:
            data["opaque"] = self.opaque
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ColumnReads:
        """The reads that `to_json` encoded."""
        return cls(
            columns={name: _pairs(cells) for name, cells in data["columns"].items()},
            rows=_pairs(data.get("rows", ())),
            opaque=data.get("opaque"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A column in a tree of lineage, and the next ones.

    is_rows    not a column: it decides which rows `model` has
    is_again   its own next ones stand elsewhere in the tree
    opaque     why nothing more is known of `model`
    """

    model: str
    column: str | None = None
    is_rows: bool = False
    is_again: bool = False
    opaque: str | None = None
    next: tuple[Step, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready data."""
        data: dict[str, Any] = {"model": self.model, "column": self.column}
        if self.is_rows:
            data["rows"] = True
        if self.is_again:
            data["again"] = True
        if self.opaque is not None:
            data["opaque"] = self.opaque
        data["next"] = [step.to_json() for step in self.next]
        return data


class ColumnLineage:
    """The column lineage of one set of models."""

    def __init__(self, reads: Mapping[str, ColumnReads]) -> None:
        self._reads = reads
        self._readers: dict[str, list[str]] | None = None

    def of(self, model: str) -> ColumnReads | None:
        """What a model reads directly; None for a table that no query makes."""
        return self._reads.get(model)

    def upstream(self, model: str, column: str) -> Step:
        """What a column's values are made of, down to columns that no model makes."""
        return self._walk((model, column), self._sources, set())

    def downstream(self, model: str, column: str) -> Step:
        """What becomes of a column: columns made of it, and rows it decides."""
        return self._walk((model, column), self._uses, set())

    def _walk(self, cell: Cell, following: Any, seen: set[Cell]) -> Step:
        model, column = cell
        reads = self._reads.get(model)
        opaque = reads.opaque if reads is not None and following == self._sources else None
        found = list(following(cell))
        if cell in seen and found:
            return Step(model=model, column=column, is_again=True)
        seen.add(cell)
        steps = [
            Step(model=other, is_rows=True) if name == ROWS else self._walk((other, name), following, seen)
            for other, name in found
        ]
        return Step(model=model, column=column, opaque=opaque, next=tuple(steps))

    def _sources(self, cell: Cell) -> Iterator[Cell]:
        model, column = cell
        reads = self._reads.get(model)
        if reads is None:
            return
        if column == EVERY:
            found = dict.fromkeys(each for cells in reads.columns.values() for each in cells)
        else:
            found = dict.fromkeys(reads.columns.get(column, ()))
        yield from (each for each in found if each[0] != model)

    def _uses(self, cell: Cell) -> Iterator[Cell]:
        model, column = cell

        def uses(cells: Iterable[Cell]) -> bool:
            return any(table == model and (EVERY in (name, column) or name == column) for table, name in cells)

        for reader in self._readers_of(model):
            reads = self._reads[reader]
            if reader != model:
                yield from ((reader, name) for name, cells in reads.columns.items() if uses(cells))
            if uses(reads.rows):
                yield reader, ROWS

    def _readers_of(self, model: str) -> list[str]:
        if self._readers is None:
            self._readers = {}
            for name in sorted(self._reads):
                reads = self._reads[name]
                cells = (*reads.rows, *(cell for its in reads.columns.values() for cell in its))
                for table in sorted({table for table, _ in cells}):
                    self._readers.setdefault(table, []).append(name)
        return self._readers.get(model, [])


def _cells(reads: Reads) -> tuple[Cell, ...]:
    return tuple(sorted((table, EVERY if column == ALL else column) for table, column in reads if column != ROWS))


def _pairs(cells: Iterable[Iterable[str]]) -> tuple[Cell, ...]:
    return tuple((table, column) for table, column in cells)
