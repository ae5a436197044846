"""Which rows belong to an interval: the condition on a model's time column, for the column's type. Pure text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from isomesh_dagster.relation import literal, quote
from isomesh_dagster.snapshot.interval import Interval, from_ms

_MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(
    r"(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?\d*|DECIMAL|NUMERIC|NUMBER|FLOAT|DOUBLE|REAL)\b", re.IGNORECASE
)


def time_condition(column: str, column_type: str, time_format: str, interval: Interval) -> str:
    """SQL that is true for rows of the interval.

    `column_type` is the engine's spelling. Timestamps: `[start, end)`. Dates: from the day of the start to the day of
    the last moment, both included. Text and numbers: the same two moments written in `time_format`, both included,
    compared as what they are, so the format must sort as time does.
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
    first_text, last_text = start.strftime(time_format), last.strftime(time_format)
    if _NUMBER.match(kind) and _is_number(first_text) and _is_number(last_text):
        return f"{name} BETWEEN {first_text} AND {last_text}"
    return f"{name} BETWEEN {literal(first_text)} AND {literal(last_text)}"


def are_disjoint(column_type: str, time_format: str, intervals: Sequence[Interval]) -> bool:
    """Whether the conditions of these intervals, in order, are true for no row in common."""
    kind = column_type.upper()
    for one, following in pairwise(intervals):
        last, first = from_ms(one.end) - _MICROSECOND, from_ms(following.start)
        if one.end > following.start:
            return False
        form = "%Y-%m-%d" if kind == "DATE" else time_format
        if not kind.startswith(("TIMESTAMP", "DATETIME")) and last.strftime(form) == first.strftime(form):
            return False
    return True


def _stamp(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(sep=" ")


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None
