"""Which rows belong to an interval: the condition on a model's time column, for the column's type. Pure text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from isomesh_dagster.errors import ModelError
from isomesh_dagster.relation import literal, quote
from isomesh_dagster.snapshot.interval import Interval, from_ms

_MICROSECOND = timedelta(microseconds=1)
_PARTS = ["Y", "m", "d", "H", "M", "S", "f"]
_OF_DAYS = frozenset({"Y", "m", "-m", "d", "-d", "b", "B", "a", "A", "G", "V", "u", "w", "U", "W", "e", "-j", "x", "D"})
_NUMBER = re.compile(
    r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?\d*|DECIMAL|NUMERIC|NUMBER|FLOAT|DOUBLE|REAL)\b", re.IGNORECASE
)


def time_condition(column: str, column_type: str, time_format: str, interval: Interval) -> str:
    """SQL that is true for rows of the interval.

    `column_type` is the engine's spelling. Timestamps: `[start, end)`. Dates: from the day of the start to the day of
    the last moment, both included. Text and numbers: the same two moments written in `time_format`, both included,
    compared as what they are; day by day where the format does not sort as time does (`31.01.2024`). Raises ModelError
    for one that does not even within a day.
    """
    name = quote(column)
    start, end = from_ms(interval.start), from_ms(interval.end)
    last = end - _MICROSECOND
    kind = column_type.upper()
    if kind.startswith(("TIMESTAMP", "DATETIME")):
        if "TZ" in kind or "WITH TIME ZONE" in kind:
            return f"{name} >= TIMESTAMPTZ '{_stamp(start)}+00:00' AND {name} < TIMESTAMPTZ '{_stamp(end)}+00:00'"
        return f"{name} >= TIMESTAMP '{_stamp(start)}' AND {name} < TIMESTAMP '{_stamp(end)}'"
    if kind == "DATE":
        return f"{name} BETWEEN DATE '{start:%Y-%m-%d}' AND DATE '{last:%Y-%m-%d}'"

    def written(moment: datetime) -> str:
        text = _text(moment, time_format)
        return text if _NUMBER.match(kind) and _is_number(text) else literal(text)

    parts = _parts(time_format)
    if parts in (_PARTS[: len(parts)], ["s"]):
        return f"{name} BETWEEN {written(start)} AND {written(last)}"
    return _by_day(name, time_format, parts, written, (start, last))


def _by_day(
    name: str,
    time_format: str,
    parts: Sequence[str],
    written: Callable[[datetime], str],
    moments: tuple[datetime, datetime],
) -> str:
    """The condition for a format in which only the moments of one day sort: the time stands behind the day, which
    may be written in any way.
    """
    start, last = moments
    times = [part for part in parts if part not in _OF_DAYS]
    if times != _PARTS[3 : 3 + len(times)] or parts[len(parts) - len(times) :] != times:
        raise ModelError(
            f"the time column's format {time_format!r} does not sort as time does, not even within a day",
            hint="write day before hour before minute, with leading zeros: '%Y-%m-%d %H:%M'",
        )
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    days = [midnight + timedelta(days=number) for number in range((last - midnight).days + 1)]
    if not times:
        return f"{name} IN ({', '.join(dict.fromkeys(map(written, days)))})"
    spans = [(max(day, start), min(day + timedelta(days=1) - _MICROSECOND, last)) for day in days]
    return "(" + " OR ".join(f"{name} BETWEEN {written(one)} AND {written(other)}" for one, other in spans) + ")"


def are_disjoint(column_type: str, time_format: str, intervals: Sequence[Interval]) -> bool:
    """Whether the conditions of these intervals, in order, are true for no row in common."""
    kind = column_type.upper()
    for one, following in pairwise(intervals):
        last, first = from_ms(one.end) - _MICROSECOND, from_ms(following.start)
        if one.end > following.start:
            return False
        form = "%Y-%m-%d" if kind == "DATE" else time_format
        if not kind.startswith(("TIMESTAMP", "DATETIME")) and _text(last, form) == _text(first, form):
            return False
    return True


def _parts(time_format: str) -> list[str]:
    """What the format writes of a moment, in its order, without what is the same for all of UTC."""
    found = re.findall(r"%(-?.)", time_format.replace("%F", "%Y%m%d").replace("%T", "%H%M%S").replace("%j", "%m%d"))
    return ["Y" if part == "y" else part for part in found if part not in ("%", "z", "Z")]


def _text(moment: datetime, time_format: str) -> str:
    """The moment in the format; seconds since 1970 are those of UTC, whatever the machine's time zone is."""
    return str(int(moment.timestamp())) if time_format == "%s" else moment.strftime(time_format)


def _stamp(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(sep=" ")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None
