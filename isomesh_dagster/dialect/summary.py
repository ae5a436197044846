"""What a query's rows and columns are made of, and what an edit therefore changes: down to single columns.

A `Summary` says for every output column, and for the set of rows, what defines it (a fingerprint) and which columns of
which tables it reads. Two summaries compare without a query at hand: equal rows and equal columns are the same data
however they are written. In doubt the answer is BREAKING, so that NONE, ADDITIVE and COLUMNS are never a lie: the rows
over the columns not named by the verdict are the same multiset before and after.

Fingerprints here depend on the release of the SQL library. They are for comparing an old and a new text with one
program, and for caches keyed by that release; what names a table is `canonical.digest`.

Not seen, as by any comparison of texts: functions that answer differently each time, and data that arrives in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from isomesh_dagster.dialect.canonical import digest
from isomesh_dagster.relation import Column

ROWS = "*rows*"
"""In a read `(table, ROWS)`: which rows the table has. As an impact: the rows, and so everything."""

ALL = "*all*"
"""In a read `(table, ALL)`: all columns of the table, whatever they are (a whole row used as a value)."""

Reads = frozenset[tuple[str, str]]
"""Pairs `(table, column)`, the table by the name models are known by, the column normalised, or ROWS or ALL."""


class Opaque(Exception):
    """It cannot be told what a query's rows and columns are made of; the message says why, for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnSummary:
    """What defines one column, and what its values are computed from."""

    fingerprint: str
    reads: Reads


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a query returns.

    columns    by name, in order
    rows       fingerprint of the set of rows, values aside: sources, joins, filters, grouping, DISTINCT, LIMIT …
    row_reads  what decides the set of rows
    clauses    fingerprint of each clause that shapes the rows, by a label such as "WHERE" or "JOIN db.u in x": only to
               tell people which one changed
    """

    columns: Mapping[str, ColumnSummary]
    rows: str
    row_reads: Reads
    clauses: Mapping[str, str] = field(default_factory=dict)

    @property
    def reads(self) -> Reads:
        """Everything the query reads."""
        return self.row_reads.union(*(column.reads for column in self.columns.values()))

    def to_json(self) -> dict[str, Any]:
        """As JSON-ready data."""
        return {
            "columns": {name: [column.fingerprint, sorted(column.reads)] for name, column in self.columns.items()},
            "rows": self.rows,
            "row_reads": sorted(self.row_reads),
            "clauses": dict(self.clauses),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Summary:
        """The summary that `to_json` encoded, also after a trip through JSON text."""
        columns = {
            name: ColumnSummary(fingerprint=fingerprint, reads=_reads(reads))
            for name, (fingerprint, reads) in data["columns"].items()
        }
        return cls(
            columns=columns, rows=data["rows"], row_reads=_reads(data["row_reads"]), clauses=dict(data["clauses"])
        )


class VerdictKind(str, Enum):
    """What an edit does to the rows that readers see, from nothing to everything."""

    NONE = "none"
    ADDITIVE = "additive"
    COLUMNS = "columns"
    BREAKING = "breaking"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an edit does.

    columns    COLUMNS: those whose values changed or that are gone; ADDITIVE: those that are new; else empty
    reason     a sentence for people: "adds column x", "WHERE changed"
    reordered  NONE: the same columns come in another order, which matters to whoever reads them by position
    """

    kind: VerdictKind
    columns: frozenset[str] = frozenset()
    reason: str
    reordered: bool = False


def summarize(sql: str, dialect: str, schema: Mapping[str, Sequence[Column]]) -> Summary:
    """The summary of the one query in `sql`.

    `schema` has the columns of the tables it reads by normalised name, in order. A table that is missing there is fine
    as long as every column of it is qualified, or it is the only source, and no star stands for its columns. Raises
    Opaque when it cannot be told, also when `sql` is no query.
    """
    from isomesh_dagster.dialect import lineage

    return lineage.summarize(sql, dialect, schema)


def categorize(
    old_sql: str,
    new_sql: str,
    dialect: str,
    old_schema: Mapping[str, Sequence[Column]],
    new_schema: Mapping[str, Sequence[Column]],
) -> Verdict:
    """What the edit from `old_sql` to `new_sql` does to the rows. Never raises: what cannot be compared is BREAKING.

    The schemas are those of the tables read, before and after: a star may change without a word of the query changing.
    """
    try:
        same_text = digest(old_sql, dialect) == digest(new_sql, dialect)
        if same_text and old_schema == new_schema:
            return Verdict(kind=VerdictKind.NONE, reason="the query is the same")
        try:
            return compare(summarize(old_sql, dialect, old_schema), summarize(new_sql, dialect, new_schema))
        except Opaque:
            if same_text and not _has_star(new_sql, dialect):
                return Verdict(kind=VerdictKind.NONE, reason="the query is the same")
            raise
    except Exception as error:  # a query nobody thought of must mean a rebuild, not a crash
        return Verdict(kind=VerdictKind.BREAKING, reason=f"cannot be compared: {_say(error)}")


def compare(old: Summary, new: Summary) -> Verdict:
    """What the difference of two summaries means."""
    if old.rows != new.rows:
        return Verdict(kind=VerdictKind.BREAKING, reason=_changed_clauses(old.clauses, new.clauses))
    changed = [
        name
        for name, column in old.columns.items()
        if name in new.columns and new.columns[name].fingerprint != column.fingerprint
    ]
    removed = [name for name in old.columns if name not in new.columns]
    added = [name for name in new.columns if name not in old.columns]
    reasons = []
    if changed:
        reasons.append(f"{_columns(changed)}: expression{'s' * (len(changed) > 1)} changed")
    if removed:
        reasons.append(f"drops {_columns(removed)}")
    if added:
        reasons.append(f"adds {_columns(added)}")
    if changed or removed:
        return Verdict(kind=VerdictKind.COLUMNS, columns=frozenset(changed + removed), reason="; ".join(reasons))
    if added:
        return Verdict(kind=VerdictKind.ADDITIVE, columns=frozenset(added), reason="; ".join(reasons))
    if list(old.columns) != list(new.columns):
        return Verdict(kind=VerdictKind.NONE, reason="the columns come in another order", reordered=True)
    return Verdict(kind=VerdictKind.NONE, reason="the same rows and columns, written differently")


def touched(summary: Summary, hits: Mapping[str, frozenset[str]]) -> tuple[Reads, dict[str, Reads]]:
    """What a query reads of columns that changed, by table: for its rows, and for each of its columns that changes."""
    changed = {(table, column) for table, columns in hits.items() for column in (*columns, ALL)}
    columns = {name: found for name, column in summary.columns.items() if (found := column.reads & changed)}
    return summary.row_reads & changed, columns


def _changed_clauses(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Which clauses changed, as a sentence."""
    reasons = []
    for label in dict.fromkeys((*new, *old)):
        if label not in old:
            reasons.append(f"{label} added")
        elif label not in new:
            reasons.append(f"{label} removed")
        elif old[label] != new[label]:
            columns = label.partition(" in ")[0] in _OVER_COLUMNS
            reasons.append(f"columns under {label} changed" if columns else f"{label} changed")
    if not reasons:
        return "the set of rows changed"
    more = f" and {len(reasons) - 3} more" if len(reasons) > 3 else ""
    return ", ".join(reasons[:3]) + more


# Clauses whose fingerprint is that of all columns.
_OVER_COLUMNS = ("DISTINCT", "UNION", "EXCEPT", "INTERSECT")


def _columns(names: Sequence[str]) -> str:
    return f"column {names[0]}" if len(names) == 1 else f"columns {', '.join(names)}"


def _say(error: Exception) -> str:
    return error.reason if isinstance(error, Opaque) else f"{type(error).__name__}: {error}"


def _has_star(sql: str, dialect: str) -> bool:
    from isomesh_dagster.dialect.query import analyse

    return analyse(sql, dialect).has_star


def _reads(pairs: Iterable[Sequence[str]]) -> Reads:
    return frozenset((table, column) for table, column in pairs)
