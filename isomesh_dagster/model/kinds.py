"""Model kinds: a closed sum type, matched with `match`.

A kind says how rows reach the physical table. `evaluation/` has one file per kind that writes rows; everything else
asks the small properties here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from isomesh_dagster.relation import Column


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """`VIEW`: a physical view over the physical tables of its parents; holds no rows.

    `materialized` asks the warehouse to keep the rows; one that has no such views makes a plain one.
    """

    materialized: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """`FULL`: the whole table is replaced by the query's result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncrementalByTimeRange:
    """`INCREMENTAL_BY_TIME_RANGE`: rows of a time range are replaced by the query's result for that range.

    `time_column` is a column of the result, normalised; `time_format` its strftime format, used when the column is text
    or a number. `batch_size` is the most interval units one batch may hold (None: one batch). `lookback` units before
    each missing interval are built again with it.
    """

    time_column: str
    time_format: str = "%Y-%m-%d"
    batch_size: int | None = None
    batch_concurrency: int | None = None
    lookback: int = 0
    disable_restatement: bool = False
    partition_by_time_column: bool = True
    auto_restatement_cron: str | None = None
    auto_restatement_intervals: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncrementalByUniqueKey:
    """`INCREMENTAL_BY_UNIQUE_KEY`: one row for each key; a batch's rows replace those of the same key.

    `unique_key` are SQL expressions over the result's columns, a plain column as its quoted name. `when_matched` are
    `WHEN MATCHED … THEN …` clauses that say what becomes of a key's row (None: it is replaced); `merge_filter` is a
    condition that a row of the table must meet to be matched. Both name the tables `source` and `target`. All are as
    written, in the model's dialect. `batch_size` and `lookback` as for a time range.
    """

    unique_key: tuple[str, ...]
    when_matched: str | None = None
    merge_filter: str | None = None
    batch_size: int | None = None
    lookback: int = 0
    disable_restatement: bool = False
    auto_restatement_cron: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncrementalByPartition:
    """`INCREMENTAL_BY_PARTITION`: a batch's rows replace whole partitions, those that occur in it. What a partition is
    says the model's `partitioned_by`.
    """

    disable_restatement: bool = False
    auto_restatement_cron: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IncrementalUnmanaged:
    """`INCREMENTAL_UNMANAGED`: a batch's rows are added to the others; with `insert_overwrite` they replace the
    partitions that occur in them.
    """

    insert_overwrite: bool = False
    disable_restatement: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ScdType2ByTime:
    """`SCD_TYPE_2_BY_TIME`: every version of a row with the time it was valid, told apart by `updated_at_name`.

    `unique_key` as for `INCREMENTAL_BY_UNIQUE_KEY`; names are normalised. Validity is `[valid_from, valid_to)` in
    `time_data_type` (a type of the model's dialect), without an end for what is valid now. Keys that are gone stay
    valid unless `invalidate_hard_deletes`. A key's first version is valid since 1970, or since its update with
    `updated_at_as_valid_from`.
    """

    unique_key: tuple[str, ...]
    updated_at_name: str = "updated_at"
    updated_at_as_valid_from: bool = False
    valid_from_name: str = "valid_from"
    valid_to_name: str = "valid_to"
    invalidate_hard_deletes: bool = False
    time_data_type: str = "TIMESTAMP"
    batch_size: int | None = None
    disable_restatement: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ScdType2ByColumn:
    """`SCD_TYPE_2_BY_COLUMN`: every version of a row with the time it was valid, told apart by the values of `columns`.

    `columns` are normalised names; None stands for `*`, all of them. A version begins at the execution time, or at
    `updated_at_name` where that is given; the first load's versions are valid since 1970 unless
    `execution_time_as_valid_from`. The rest as for `SCD_TYPE_2_BY_TIME`.
    """

    unique_key: tuple[str, ...]
    columns: tuple[str, ...] | None = None
    execution_time_as_valid_from: bool = False
    updated_at_name: str | None = None
    valid_from_name: str = "valid_from"
    valid_to_name: str = "valid_to"
    invalidate_hard_deletes: bool = False
    time_data_type: str = "TIMESTAMP"
    batch_size: int | None = None
    disable_restatement: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Custom:
    """`CUSTOM`: a class of the project's `materializations/` writes the batches.

    `materialization` is its name, `properties` are what it is given of the header, `code` is the digest of the class
    and all it reaches in the project. `batch_size` and `lookback` as for a time range.
    """

    materialization: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""
    batch_size: int | None = None
    lookback: int = 0
    disable_restatement: bool = False
    auto_restatement_cron: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvSettings:
    """How a seed's file is read; None leaves the reader's default. `na_values` are the texts that stand for a missing
    value: in every column, or by the column's name in the file.
    """

    delimiter: str | None = None
    quotechar: str | None = None
    doublequote: bool | None = None
    escapechar: str | None = None
    skipinitialspace: bool | None = None
    lineterminator: str | None = None
    encoding: str | None = None
    na_values: tuple[str, ...] | Mapping[str, tuple[str, ...]] | None = None
    keep_default_na: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """`SEED`: rows of a CSV file. `path` is relative to the project root; `content_hash` is that of the file's bytes
    with line endings and trailing blank lines normalised, so that moving it between systems changes nothing.
    `column_hashes` are those of the values by column, in the file's order; empty when they are not known.
    """

    path: str
    content_hash: str
    column_hashes: Mapping[str, str] = field(default_factory=dict)
    csv_settings: CsvSettings = field(default_factory=CsvSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """`EMBEDDED`: no physical object; its query is inlined where it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """`EXTERNAL`: a table somebody else writes; known by its columns only."""


ScdType2 = ScdType2ByTime | ScdType2ByColumn
ModelKind = (
    View
    | Full
    | IncrementalByTimeRange
    | IncrementalByUniqueKey
    | IncrementalByPartition
    | IncrementalUnmanaged
    | ScdType2ByTime
    | ScdType2ByColumn
    | Custom
    | Seed
    | Embedded
    | External
)

KIND_NAMES: dict[type, str] = {
    View: "VIEW",
    Full: "FULL",
    IncrementalByTimeRange: "INCREMENTAL_BY_TIME_RANGE",
    IncrementalByUniqueKey: "INCREMENTAL_BY_UNIQUE_KEY",
    IncrementalByPartition: "INCREMENTAL_BY_PARTITION",
    IncrementalUnmanaged: "INCREMENTAL_UNMANAGED",
    ScdType2ByTime: "SCD_TYPE_2_BY_TIME",
    ScdType2ByColumn: "SCD_TYPE_2_BY_COLUMN",
    Custom: "CUSTOM",
    Seed: "SEED",
    Embedded: "EMBEDDED",
    External: "EXTERNAL",
}


def kind_name(kind: ModelKind) -> str:
    """The kind's name as the model format writes it."""
    return KIND_NAMES[type(kind)]


def is_physical(kind: ModelKind) -> bool:
    """Whether a snapshot of this kind owns a table or view in the physical layer."""
    return not isinstance(kind, Embedded | External)


def is_incremental(kind: ModelKind) -> bool:
    """Whether rows are written interval by interval, and which intervals are is remembered."""
    return isinstance(kind, IncrementalByTimeRange) or depends_on_past(kind)


def depends_on_past(kind: ModelKind) -> bool:
    """Whether what a batch leaves in the table depends on the batches before it, so that they run strictly in order and
    only all of history can be made again.
    """
    return isinstance(
        kind,
        IncrementalByUniqueKey
        | IncrementalByPartition
        | IncrementalUnmanaged
        | ScdType2ByTime
        | ScdType2ByColumn
        | Custom,
    )


def keeps_history(kind: ModelKind) -> bool:
    """Whether the table may hold rows that the query cannot tell again: they are gone when it is built anew."""
    return isinstance(kind, IncrementalUnmanaged | ScdType2ByTime | ScdType2ByColumn)


def adds_rows(kind: ModelKind) -> bool:
    """Whether a batch adds its rows to what is there, so that doing it again would add them again."""
    return isinstance(kind, IncrementalUnmanaged) and not kind.insert_overwrite


def forward_only_by_default(kind: ModelKind) -> bool:
    """Whether a change keeps the table unless the author says otherwise: a new one could not have all of its rows."""
    return isinstance(kind, IncrementalByPartition) or keeps_history(kind)


def is_keyed(kind: ModelKind) -> bool:
    """Whether of several rows with one key in a batch one is chosen."""
    return isinstance(kind, IncrementalByUniqueKey | ScdType2ByTime | ScdType2ByColumn)


def replaces_partitions(kind: ModelKind) -> bool:
    """Whether `partitioned_by` tells which rows a batch replaces."""
    return isinstance(kind, IncrementalByPartition) or (
        isinstance(kind, IncrementalUnmanaged) and kind.insert_overwrite
    )


def batch_size(kind: ModelKind) -> int | None:
    """The most interval units one batch may hold; None: one batch for all."""
    if isinstance(kind, IncrementalByTimeRange | IncrementalByUniqueKey | ScdType2ByTime | ScdType2ByColumn | Custom):
        return kind.batch_size
    return None


def disable_restatement(kind: ModelKind) -> bool:
    """Whether the rows are never made again where they are, because they could not be the same."""
    return bool(getattr(kind, "disable_restatement", False))


def lookback(kind: ModelKind) -> int:
    """How many units before each missing interval are built again with it."""
    return kind.lookback if isinstance(kind, IncrementalByTimeRange | IncrementalByUniqueKey | Custom) else 0


def auto_restatement(kind: ModelKind) -> tuple[str, int | None] | None:
    """The cron at whose ticks the model is made again in production, and how many of its last units are (None: all of
    history); None when it never is.
    """
    if isinstance(kind, IncrementalByTimeRange | IncrementalByUniqueKey | IncrementalByPartition | Custom):
        units = kind.auto_restatement_intervals if isinstance(kind, IncrementalByTimeRange) else None
        if kind.auto_restatement_cron is not None and not kind.disable_restatement:
            return kind.auto_restatement_cron, units
    return None


def can_restate(kind: ModelKind) -> bool:
    """Whether intervals that are built may be made again."""
    if isinstance(kind, Embedded | External | Seed) or keeps_history(kind):
        return False
    return not getattr(kind, "disable_restatement", False)


def unique_key(kind: ModelKind) -> tuple[str, ...]:
    """The expressions that name a row; empty for kinds without."""
    if isinstance(kind, IncrementalByUniqueKey | ScdType2ByTime | ScdType2ByColumn):
        return kind.unique_key
    return ()


def managed_columns(kind: ModelKind) -> tuple[Column, ...]:
    """Columns of the table that the kind adds to those of the query, last; types of the model's dialect."""
    if not isinstance(kind, ScdType2ByTime | ScdType2ByColumn):
        return ()
    return (
        Column(name=kind.valid_from_name, type=kind.time_data_type),
        Column(name=kind.valid_to_name, type=kind.time_data_type),
    )


def table_columns(kind: ModelKind, columns: Sequence[Column]) -> tuple[Column, ...]:
    """The columns of the table, given those of the query."""
    managed = managed_columns(kind)
    if not isinstance(kind, ScdType2ByTime):
        return (*columns, *managed)
    return (
        *(replace(one, type=kind.time_data_type) if one.name == kind.updated_at_name else one for one in columns),
        *managed,
    )
