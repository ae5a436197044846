"""How unit tests failed, in words, rows and JSON: for people at a terminal, in a report, and for programs."""

from __future__ import annotations

from typing import Any

from isomesh_dagster.model.model import Json
from isomesh_dagster.unit_tests.comparison import Difference, Row

_BESIDE = 4  # columns without a difference that are shown beside the others, to tell which row it is


def sentences(difference: Difference) -> list[str]:
    """What is wrong with one output: columns that are not there, how many rows differ."""
    what = "the query" if difference.output is None else f"CTE {difference.output}"
    told = []
    if difference.missing:
        told.append(f"{what} has no column {', '.join(difference.missing)}; it has {', '.join(difference.actual)}")
    if difference.rows:
        lacking = sum(pair.actual is None for pair in difference.rows)
        extra = sum(pair.expected is None for pair in difference.rows)
        other = len(difference.rows) - lacking - extra
        counts = ((other, "different"), (lacking, "missing"), (extra, "extra"))
        parts = [f"{difference.equal} equal", *(f"{number} {word}" for number, word in counts if number)]
        told.append(f"{what}, rows: {', '.join(parts)}")
    return told


def shown_rows(difference: Difference, most: int) -> tuple[list[str], list[tuple[str, list[tuple[str, bool]]]]]:
    """The columns worth showing, and a line for each side of at most so many differing rows: its label (expected,
    actual, missing, extra), and its cells, each with whether it differs.
    """
    columns = _columns_to_show(difference)
    rows: list[tuple[str, Row | None, tuple[int, ...]]] = []
    for pair in difference.rows[:most]:
        if pair.expected is not None and pair.actual is not None:
            rows.append(("expected", pair.expected, pair.differing))
            rows.append(("actual", pair.actual, pair.differing))
        else:
            rows.append(("missing", pair.expected, ()) if pair.actual is None else ("extra", pair.actual, ()))
    return [difference.columns[index] for index in columns], [
        (label, [(_cell(row[index]), index in differing) for index in columns])
        for label, row, differing in rows
        if row is not None
    ]


def _columns_to_show(difference: Difference) -> list[int]:
    """Positions of columns with a difference, and of the first others: they tell which row it is."""
    everything = range(len(difference.columns))
    if any(pair.expected is None or pair.actual is None for pair in difference.rows):
        return list(everything)
    differing = {index for pair in difference.rows for index in pair.differing}
    beside = [index for index in everything if index not in differing][:_BESIDE]
    return sorted(differing.union(beside))


def _cell(value: Any) -> str:
    return "NULL" if value is None else str(value) if str(value).strip() else repr(value)


def difference_json(difference: Difference) -> dict[str, Json]:
    """The difference as a JSON document."""
    return {
        "output": difference.output or "query",
        "is_cte": difference.output is not None,
        "columns": list(difference.columns),
        "missing_columns": list(difference.missing),
        "equal_rows": difference.equal,
        "rows": [{"expected": _row_json(pair.expected), "actual": _row_json(pair.actual)} for pair in difference.rows],
    }


def _row_json(row: Row | None) -> list[Json] | None:
    return None if row is None else [_value_json(value) for value in row]


def _value_json(value: Any) -> Json:
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value == value and abs(value) != float("inf") else str(value)
        case list() | tuple():
            return [_value_json(item) for item in value]
        case dict():
            return {str(key): _value_json(item) for key, item in value.items()}
    return str(value)
