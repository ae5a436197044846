"""Model kinds: a closed sum type, matched with `match`.

A kind says how rows reach the physical table. `execution/` has one file per kind that writes rows; everything else asks
the small properties here.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """`VIEW`: a physical view over the physical tables of its parents; holds no rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Full:
    """`FULL`: the whole table is replaced by the query's result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IncrementalByTimeRange:
    """`INCREMENTAL_BY_TIME_RANGE`: rows of a time range are replaced by the query's result for that range.

    `time_column` is a column of the result, normalised; `time_format` its strftime format, used when the column is text or
    a number. `batch_size` is the most interval units one batch may hold (None: one batch). `lookback` units before each
    missing interval are built again with it.
    """

    time_column: str
    time_format: str = "%Y-%m-%d"
    batch_size: int | None = None
    batch_concurrency: int | None = None
    lookback: int = 0
    disable_restatement: bool = False
    partition_by_time_column: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvSettings:
    """How a seed's file is read; None leaves the reader's default."""

    delimiter: str | None = None
    quotechar: str | None = None
    doublequote: bool | None = None
    escapechar: str | None = None
    skipinitialspace: bool | None = None
    lineterminator: str | None = None
    encoding: str | None = None
    na_values: tuple[str, ...] | None = None
    keep_default_na: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """`SEED`: rows of a CSV file. `path` is relative to the project root; `content_hash` is that of the file's bytes with
    line endings and trailing blank lines normalised, so that moving it between systems changes nothing."""

    path: str
    content_hash: str
    csv_settings: CsvSettings = field(default_factory=CsvSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """`EMBEDDED`: no physical object; its query is inlined where it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class External:
    """`EXTERNAL`: a table somebody else writes; known by its columns only."""


ModelKind = View | Full | IncrementalByTimeRange | Seed | Embedded | External

KIND_NAMES: dict[type, str] = {
    View: "VIEW",
    Full: "FULL",
    IncrementalByTimeRange: "INCREMENTAL_BY_TIME_RANGE",
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
    """Whether rows are written interval by interval."""
    return isinstance(kind, IncrementalByTimeRange)
