"""A comparison of tables, told to people and to scripts: sentences, JSON, Markdown for a pull request. Pure.

Whoever shows a comparison takes its words from here; shares are rounded down, so that 100 % means all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

from isomesh_dagster.inspection.table_diff import (
    ColumnChange,
    Comparison,
    Incomparable,
    OneSided,
    Row,
    RowPair,
    SameTable,
    TableDiff,
)
from isomesh_dagster.model.model import Json
from isomesh_dagster.plan.words import count

_SHOWN_IN_CELL = 60


def title(comparison: Comparison) -> str:
    """What was compared: the model, or the two tables."""
    if isinstance(comparison, OneSided) or comparison.model is not None:
        return str(comparison.model)
    return f"{comparison.source.relation} and {comparison.target.relation}"


def verdict(comparison: Comparison) -> str:
    """The answer in one sentence."""
    match comparison:
        case SameTable():
            return f"both show the same table, {comparison.source.relation}: nothing to compare"
        case OneSided():
            return f"only {comparison.shown_by} shows it, {comparison.missing_in} does not"
        case Incomparable():
            return f"not compared: {comparison.reason}"
        case TableDiff():
            return _difference(comparison)


def remarks(diff: TableDiff) -> tuple[str, ...]:
    """What one must know to read the counts."""
    told = []
    if not diff.key:
        told.append("no key is known: rows are compared whole; --on COLUMN pairs those that differ")
    for side, repeated in zip((diff.source, diff.target), diff.repeated, strict=True):
        if repeated:
            keys = count(repeated, "value", "values")
            told.append(f"{keys} of the key name several rows in {side.name}: they are paired in order of their values")
    return tuple(told)


def change_words(change: ColumnChange, diff: TableDiff) -> str:
    """How a column differs between the two tables."""
    if change.source is None:
        return f"{change.name} {change.target}, only in {diff.target.name}"
    if change.target is None:
        return f"{change.name} {change.source}, only in {diff.source.name}"
    return f"{change.name} {change.source} → {change.target}"


def count_rows(diff: TableDiff) -> tuple[tuple[str, int, str], ...]:
    """Every sort of row with its number and its share: of the pairs for equal and differing ones, else of its side."""
    rows = diff.rows
    paired = rows.full + rows.partial
    differing = [("rows that differ", rows.partial, share(rows.partial, paired))] if diff.key else []
    return (
        ("equal rows", rows.full, share(rows.full, paired if diff.key else max(rows.source, rows.target))),
        *differing,
        (f"only in {diff.source.name}", rows.source_only, share(rows.source_only, rows.source)),
        (f"only in {diff.target.name}", rows.target_only, share(rows.target_only, rows.target)),
    )


def share(part: int, whole: int) -> str:
    """A share in percent, rounded down to a tenth; "" of nothing."""
    if not whole:
        return ""
    tenths = part * 1000 // whole
    return f"{tenths // 10}.{tenths % 10} %"


def cell(value: Any) -> str:
    """A value as people read it: NULL told, long texts cut."""
    if value is None:
        return "NULL"
    text = " ".join(str(value).split()) if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_IN_CELL else f"{text[: _SHOWN_IN_CELL - 1]}…"


def pair_rows(diff: TableDiff) -> tuple[tuple[str, ...], ...]:
    """The differing cells of the sample: values of the key, the column, the source's value, the target's."""
    place = {name: index for index, name in enumerate(diff.compared)}
    return tuple(
        (*map(cell, pair.source[: len(diff.key)]), name, cell(pair.source[place[name]]), cell(pair.target[place[name]]))
        for pair in diff.pairs
        for name in pair.columns
    )


def comparison_json(comparison: Comparison) -> dict[str, Json]:
    """The comparison as a JSON document; `result` says which of same_table, one_sided, not_compared and
    compared it is.
    """
    match comparison:
        case SameTable():
            return {
                "model": comparison.model,
                "result": "same_table",
                "source": str(comparison.source.relation),
                "target": str(comparison.target.relation),
            }
        case OneSided():
            return {
                "model": comparison.model,
                "result": "one_sided",
                "shown_by": comparison.shown_by,
                "missing_in": comparison.missing_in,
            }
        case Incomparable():
            return {
                "model": comparison.model,
                "result": "not_compared",
                "source": str(comparison.source.relation),
                "target": str(comparison.target.relation),
                "reason": comparison.reason,
            }
        case TableDiff():
            return _diff_json(comparison)


def comparisons_markdown(source: str, target: str, comparisons: Iterable[Comparison], *, samples: bool) -> str:
    """All comparisons as Markdown: a table with a line for each, then what differs. Ends with a newline."""
    found = list(comparisons)
    lines = [*verdicts_markdown(source, target, found), *details_markdown(found, samples=samples)]
    return "\n".join(lines) + "\n"


def verdicts_markdown(source: str, target: str, comparisons: Sequence[Comparison]) -> list[str]:
    """A table with a line for each comparison, under a heading."""
    lines = [f"### Rows of `{source}` and `{target}`", ""]
    if not comparisons:
        return [*lines, "Nothing to compare: both show the same tables."]
    rows = [f"| `{title(one)}` | {_in_table(verdict(one))} |" for one in comparisons]
    return [*lines, "| table | result |", "|---|---|", *rows]


def details_markdown(comparisons: Sequence[Comparison], *, samples: bool) -> list[str]:
    """What differs, a part for each comparison in which something does; an empty line before each."""
    lines = []
    for one in comparisons:
        if isinstance(one, TableDiff) and not one.is_equal:
            lines += ["", *_diff_markdown(one, samples=samples)]
    return lines


def _difference(diff: TableDiff) -> str:
    rows = diff.rows
    columns = f"{count(len(diff.changes), 'column')} changed" if diff.changes else ""
    if rows.full == rows.source == rows.target:
        equal = f"all {count(rows.full, 'row')} equal" if rows.full else "no rows on either side"
        return f"{equal}, {columns}" if columns else equal
    parts = [f"{count(rows.full, 'row')} equal"]
    if rows.partial:
        parts.append(f"{rows.partial:,} differ")
    if rows.source_only:
        parts.append(f"{rows.source_only:,} only in {diff.source.name}")
    if rows.target_only:
        parts.append(f"{rows.target_only:,} only in {diff.target.name}")
    return ", ".join([*parts, columns] if columns else parts)


def _diff_json(diff: TableDiff) -> dict[str, Json]:
    rows = diff.rows
    return {
        "model": diff.model,
        "result": "compared",
        "is_equal": diff.is_equal,
        "source": str(diff.source.relation),
        "target": str(diff.target.relation),
        "key": list(diff.key),
        "repeated_keys": {"source": diff.repeated[0], "target": diff.repeated[1]},
        "schema": [{"column": one.name, "source": one.source, "target": one.target} for one in diff.changes],
        "rows": {
            "source": rows.source,
            "target": rows.target,
            "full_match": rows.full,
            "partial_match": rows.partial,
            "source_only": rows.source_only,
            "target_only": rows.target_only,
        },
        "columns": [{"column": one.name, "equal": one.equal, "compared": one.compared} for one in diff.matches],
        "samples": {
            "differing": [_pair_json(diff, pair) for pair in diff.pairs],
            "source_only": [_row_json(diff.compared, row) for row in diff.source_only],
            "target_only": [_row_json(diff.compared, row) for row in diff.target_only],
        },
    }


def _pair_json(diff: TableDiff, pair: RowPair) -> dict[str, Json]:
    return {
        "source": _row_json(diff.compared, pair.source),
        "target": _row_json(diff.compared, pair.target),
        "columns": list(pair.columns),
    }


def _row_json(names: Sequence[str], row: Row) -> dict[str, Json]:
    return {name: _json(value) for name, value in zip(names, row, strict=True)}


def _json(value: Any) -> Json:
    """JSON's own types as they are, numbers it cannot hold and all others as text."""
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # infinity and NaN are not JSON
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value.normalize() if isinstance(value, Decimal) and value == 0 else value)


def _diff_markdown(diff: TableDiff, *, samples: bool) -> list[str]:
    lines = [f"#### `{title(diff)}`", ""]
    lines += [f"- column `{change_words(change, diff)}`" for change in diff.changes]
    lines += [f"- {remark}" for remark in remarks(diff)]
    if diff.changes or remarks(diff):
        lines.append("")
    lines += _table(
        ("rows", "number", "share"), [(name, f"{number:,}", part) for name, number, part in count_rows(diff)]
    )
    differing = [one for one in diff.matches if one.equal < one.compared]
    if differing:
        rows = [(f"`{one.name}`", share(one.equal, one.compared)) for one in differing]
        lines += ["", *_table((f"column, of {diff.rows.full + diff.rows.partial:,} pairs", "equal"), rows)]
    if samples:
        lines += _samples_markdown(diff)
    return lines


def _samples_markdown(diff: TableDiff) -> list[str]:
    lines = []
    if diff.pairs:
        columns = (*diff.key, "column", diff.source.name, diff.target.name)
        lines += ["", f"Rows that differ, {_of(len(diff.pairs), diff.rows.partial)}:", ""]
        lines += _table(columns, pair_rows(diff))
    for side, sample, number in (
        (diff.source, diff.source_only, diff.rows.source_only),
        (diff.target, diff.target_only, diff.rows.target_only),
    ):
        if sample:
            lines += ["", f"Rows only in {side.name}, {_of(len(sample), number)}:", ""]
            lines += _table(diff.compared, [tuple(map(cell, row)) for row in sample])
    return lines


def _of(shown: int, there: int) -> str:
    return "all" if shown == there else f"the first {shown:,} of {there:,}"


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table."""
    return [
        f"| {' | '.join(map(_in_table, columns))} |",
        f"|{'---|' * len(columns)}",
        *(f"| {' | '.join(map(_in_table, row))} |" for row in rows),
    ]


def _in_table(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
