"""What macros may ask of what is around a model: columns of relations, its tables, its version and its parents'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from isomesh_dagster.errors import MacroError
from isomesh_dagster.relation import KnownColumns

ColumnsOf = Callable[[str], KnownColumns]
"""The columns of a relation by normalised name; raises `MacroError` when nobody knows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenSnapshot:
    """What macros may know of a model's version: its full name, quoted and with the catalog, what it reads, and the
    `intervals` that its table holds: pairs of epoch milliseconds, half-open, as far as they are committed.
    """

    name: str
    version: str
    parents: tuple[SeenSnapshot, ...] = ()
    intervals: list[tuple[int, int]] = field(default_factory=list)
    physical: str | None = None

    def table_name(self, is_deployable: bool = True) -> str:
        """The table or view behind it, dotted; "" where it has none."""
        return self.physical or ""


NOTHING_BUILT = "a macro reads the warehouse only where its model is built, and here it is not"
ASK_FIRST = "ask first: if evaluator.runtime_stage == 'evaluating': …"


class Warehouse(Protocol):
    """The warehouse as macros written in Python may read it."""

    @property
    def adapter(self) -> Any:
        """What answers `fetchone`, `fetchall` and `fetchdf`."""

    def table(self, name: str) -> str:
        """The relation that a model's rows are in, as SQL."""

    def snapshot(self, name: str) -> SeenSnapshot | None:
        """The version of a model that this is about; None for a name that no model has."""


def no_columns(name: str) -> KnownColumns:
    """Where no relation is known."""
    raise MacroError(f"the columns of {name} are not known here", hint="list the columns")
