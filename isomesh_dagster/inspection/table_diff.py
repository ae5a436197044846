"""How the rows of two tables differ, as values; and which tables two environments show of a model.

`row_comparison` finds the difference in the warehouse, `table_diff_words` tells it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from isomesh_dagster.dialect.query import normalize_name
from isomesh_dagster.errors import PlanError
from isomesh_dagster.model.kinds import unique_key
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import Environment
from isomesh_dagster.snapshot.snapshot import Snapshot

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of the two: what people call it (an environment, or the table itself) and where its rows are."""

    name: str
    relation: Relation


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """How rows are compared.

    on        columns that name a row; none: the grain of the model, and without one rows are compared whole
    skip      columns that are not compared
    where     a condition in the engine's SQL that limits the rows of both sides
    sample    how many rows of each sort are shown
    decimals  floats are compared after rounding to so many
    """

    on: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    where: str | None = None
    sample: int = 20
    decimals: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChange:
    """A column whose type differs, or that one side lacks (None)."""

    name: str
    source: str | None
    target: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowCounts:
    """How many rows there are, and how they meet.

    full         rows that are on both sides, equal in every compared column
    partial      rows whose key is on both sides and that differ elsewhere; always 0 when there is no key
    source_only, target_only   rows without a partner
    """

    source: int
    target: int
    full: int
    partial: int
    source_only: int
    target_only: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnMatch:
    """In how many of the rows that have a partner the column is `equal`."""

    name: str
    equal: int
    compared: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPair:
    """Two rows with one key that differ in `columns`; values in the order of `TableDiff.compared`."""

    source: Row
    target: Row
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDiff:
    """How the rows of two tables differ.

    model       the model both are tables of; None for tables that were named
    key         columns that name a row; () when rows were compared whole
    repeated    how many keys name several rows, on either side: those rows are paired in order of their values
    changes     columns that differ in type or are missing on a side
    compared    names of the columns that were compared, key first
    matches     by column, without those of the key
    pairs, source_only, target_only   the first rows of each sort, in order of the key
    """

    model: str | None
    source: Side
    target: Side
    key: tuple[str, ...]
    repeated: tuple[int, int]
    changes: tuple[ColumnChange, ...]
    compared: tuple[str, ...]
    rows: RowCounts
    matches: tuple[ColumnMatch, ...]
    pairs: tuple[RowPair, ...]
    source_only: tuple[Row, ...]
    target_only: tuple[Row, ...]

    @property
    def is_equal(self) -> bool:
        """Whether both sides have the same columns and the same rows, as far as they were compared."""
        return not self.changes and self.rows.full == self.rows.source == self.rows.target


@dataclass(frozen=True, slots=True, kw_only=True)
class SameTable:
    """Both sides show one physical table: there is nothing to compare."""

    model: str | None
    source: Side
    target: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class OneSided:
    """Only the environment `shown_by` shows the model; `missing_in` does not."""

    model: str
    shown_by: str
    missing_in: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Incomparable:
    """Both environments show the model, and rows could not be compared: `reason`."""

    model: str
    source: Side
    target: Side
    reason: str


Comparison = TableDiff | SameTable | OneSided | Incomparable


def differs(comparison: Comparison) -> bool:
    """Whether a reader of the two would see a difference."""
    match comparison:
        case TableDiff():
            return not comparison.is_equal
        case OneSided() | Incomparable():
            return True
        case SameTable():
            return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two tables to compare. `grain` are columns that may name a row, as far as the model tells."""

    model: str | None
    source: Side
    target: Side
    grain: tuple[str, ...] = ()


def named_pair(source: str, target: str, dialect: str) -> Pair:
    """Two tables by their names, as `dialect` writes them."""
    sides = [Side(name=name, relation=Relation.parse(normalize_name(name, dialect))) for name in (source, target)]
    return Pair(model=None, source=sides[0], target=sides[1])


def shown_pairs(
    source: Environment, target: Environment, snapshots: Mapping[str, Snapshot], chosen: Collection[str] | None
) -> Iterator[Pair | SameTable | OneSided]:
    """What two environments show of the `chosen` models, in that order; None: of all whose tables are not the same.

    `snapshots` tell the grains. Raises PlanError for a chosen model that neither shows.
    """
    first, second = source.target.views, target.target.views
    for name in sorted({*first, *second}) if chosen is None else chosen:
        if name not in first and name not in second:
            raise PlanError(
                f"neither {source.name!r} nor {target.name!r} shows a table of it",
                model=name,
                hint="external and embedded models have none; others are shown once they are planned",
            )
        if name not in first:
            yield OneSided(model=name, shown_by=target.name, missing_in=source.name)
        elif name not in second:
            yield OneSided(model=name, shown_by=source.name, missing_in=target.name)
        else:
            sides = [
                Side(name=environment.name, relation=Relation.parse(environment.target.views[name].physical))
                for environment in (source, target)
            ]
            if sides[0].relation != sides[1].relation:
                grain = _grain(snapshots[name].model)
                yield Pair(model=name, source=sides[0], target=sides[1], grain=grain)
            elif chosen is not None:
                yield SameTable(model=name, source=sides[0], target=sides[1])


def _grain(model: Model) -> tuple[str, ...]:
    """Columns that name a row of the model: its grain, else its kind's key. Of several grains the first.

    `grain (a, b)` is one grain of two columns; where one of `grains` is in parentheses, each of them is a grain.
    """
    texts = model.grains or unique_key(model.kind)
    if any(text.startswith("(") for text in texts):
        texts = tuple(part.strip() for part in texts[0].strip("()").split(","))
    return tuple(text[1:-1].replace('""', '"') if text.startswith('"') else text for text in texts)
