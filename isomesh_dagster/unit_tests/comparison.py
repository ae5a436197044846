"""Expected rows against the rows a query returned: what a unit test compares, and how.

Values are compared, not types: `'2024-01-01'` equals that date, `1` equals `1.0` and `'1'`, floats are equal within a
small tolerance, NULL equals only NULL. Pure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal, InvalidOperation
from itertools import zip_longest
from typing import Any

# as in pandas, by which the model format compares
_RELATIVE = 1e-5
_ABSOLUTE = 1e-8
# beyond so many pairs unmatched rows are shown in order, not beside those most like them
_PAIRS_LOOKED_AT = 10_000

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Columns and rows."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RowPair:
    """Two rows that differ, in the cells `differing` (positions). `expected` None: nobody expected the other one;
    `actual` None: it did not come.
    """

    expected: Row | None
    actual: Row | None
    differing: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How one output differs from what was expected.

    output   the CTE's name; None: the query itself
    columns  those that were compared, in the query's order
    missing  columns that were expected and are not there
    actual   all columns the query has
    rows     those that differ; equal ones are only counted
    equal    how many rows are equal
    """

    output: str | None
    columns: tuple[str, ...]
    missing: tuple[str, ...]
    actual: tuple[str, ...]
    rows: tuple[RowPair, ...]
    equal: int


def compare(
    expected: Table, actual: Table, *, output: str | None = None, partial: bool = False, ordered: bool = False
) -> Difference | None:
    """The difference; None when there is none.

    Names of columns are compared without case. With `partial` only the expected columns count, else a column that is
    not given is expected to be NULL. Without `ordered` the order of rows does not matter.
    """
    wanted = {name.lower(): index for index, name in enumerate(expected.columns)}
    have = {name.lower() for name in actual.columns}
    missing = tuple(name for name in expected.columns if name.lower() not in have)
    kept = [index for index, name in enumerate(actual.columns) if not partial or name.lower() in wanted]
    places = [wanted.get(actual.columns[index].lower()) for index in kept]
    expected_rows = [tuple(None if at is None else row[at] for at in places) for row in expected.rows]
    actual_rows = [tuple(row[index] for index in kept) for row in actual.rows]
    if ordered:
        pairs = list(zip_longest(expected_rows, actual_rows))
        differing = [_pair(*pair) for pair in pairs if pair[0] is None or pair[1] is None or not _equal(*pair)]
        equal = len(pairs) - len(differing)
    else:
        lacking, extra, equal = _unmatched(expected_rows, actual_rows)
        differing = _paired(lacking, extra)
    if not differing and not missing:
        return None
    return Difference(
        output=output,
        columns=tuple(actual.columns[index] for index in kept),
        missing=missing,
        actual=actual.columns,
        rows=tuple(differing),
        equal=equal,
    )


def same(expected: Any, actual: Any) -> bool:
    """Whether two cells are equal, whatever their types."""
    if expected is None or actual is None:
        return expected is None and actual is None
    if isinstance(expected, Mapping | list | tuple) or isinstance(actual, Mapping | list | tuple):
        return _same_nested(expected, actual)
    if isinstance(actual, date | time):  # a datetime is a date
        return _same_time(expected, actual)
    if isinstance(expected, date | time):
        return _same_time(actual, expected)
    if isinstance(actual, bool | int | float | Decimal) or isinstance(expected, bool | int | float | Decimal):
        return _same_number(expected, actual)
    if isinstance(actual, bytes | timedelta) and isinstance(expected, str):
        return expected in (
            (actual.hex(), actual.decode(errors="replace")) if isinstance(actual, bytes) else (str(actual),)
        )
    return bool(expected == actual or str(expected) == str(actual))


def _equal(expected: Row, actual: Row) -> bool:
    return all(map(same, expected, actual))


def _unmatched(expected: Sequence[Row], actual: Sequence[Row]) -> tuple[list[Row], list[Row], int]:
    """Rows without an equal one on the other side, and how many have one."""
    left = list(actual)
    lacking = []
    for row in expected:
        at = next((index for index, other in enumerate(left) if _equal(row, other)), None)
        if at is None:
            lacking.append(row)
        else:
            del left[at]
    return lacking, left, len(actual) - len(left)


def _paired(expected: Sequence[Row], actual: Sequence[Row]) -> list[RowPair]:
    """Each expected row beside the actual one most like it."""
    if len(expected) * len(actual) > _PAIRS_LOOKED_AT:
        return [_pair(*pair) for pair in zip_longest(expected, actual)]
    left = list(actual)
    pairs = []
    for row in expected:
        likeness = [sum(map(same, row, other)) for other in left]
        best = max(likeness, default=0)
        alone = not left or (best == 0 and len(row) > 1)
        pairs.append(_pair(row, None if alone else left.pop(likeness.index(best))))
    return pairs + [_pair(None, row) for row in left]


def _pair(expected: Row | None, actual: Row | None) -> RowPair:
    if expected is None or actual is None:
        differing = range(len(expected or actual or ()))
        return RowPair(expected=expected, actual=actual, differing=tuple(differing))
    cells = enumerate(zip(expected, actual, strict=True))
    return RowPair(expected=expected, actual=actual, differing=tuple(index for index, pair in cells if not same(*pair)))


def _same_number(expected: Any, actual: Any) -> bool:
    first, second = _number(expected), _number(actual)
    if first is None or second is None:
        return str(expected).lower() == str(actual).lower()
    if isinstance(first, float) or isinstance(second, float):
        one, other = float(first), float(second)
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    return first == second


def _number(value: Any) -> int | float | Decimal | None:
    if isinstance(value, int | float | Decimal):  # a bool is an int
        return value
    try:
        return Decimal(value.strip()) if isinstance(value, str) else None
    except InvalidOperation:
        return None


def _same_time(written: Any, value: date | time) -> bool:
    """Whether `written`, a text or another kind of time, is the moment, the day or the time of day `value`."""
    if isinstance(value, time):
        read = _read(time, written) if isinstance(written, str) else written
        return isinstance(read, time) and read.replace(tzinfo=None) == value.replace(tzinfo=None)
    first, second = _moment(written), _moment(value)
    return first is not None and first == second


def _moment(value: Any) -> datetime | None:
    """In UTC; a day is its midnight, what has no zone is in UTC."""
    if isinstance(value, str):
        value = _read(datetime, value)
    if isinstance(value, datetime):
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)
    return datetime(value.year, value.month, value.day, tzinfo=timezone.utc) if isinstance(value, date) else None


def _read(kind: type[datetime] | type[time], text: str) -> datetime | time | None:
    text = text.strip()
    if text[-1:] in ("Z", "z"):
        text = f"{text[:-1]}+00:00"
    elif len(text) > 3 and text[-3] in "+-" and ":" in text:  # +00, which Python reads from 3.11 on
        text = f"{text}:00"
    if "." in text:  # Python before 3.11 wants three or six digits
        whole, _, rest = text.partition(".")
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        text = f"{whole}.{digits[:6]:0<6}{rest[len(digits) :]}"
    try:
        return kind.fromisoformat(text)
    except ValueError:
        return None


def _same_nested(expected: Any, actual: Any) -> bool:
    """Lists item by item, structs field by field (one that is not given is NULL); a text is read as JSON."""
    expected, actual = _parsed(expected), _parsed(actual)
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return all(same(expected.get(key), actual.get(key)) for key in {*expected, *actual})
    if isinstance(expected, list | tuple) and isinstance(actual, list | tuple):
        return len(expected) == len(actual) and all(map(same, expected, actual))
    return False


def _parsed(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value
