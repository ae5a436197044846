"""The words of a plan: numbers with their nouns, ranges of time, categories, what a build writes. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from isomesh_dagster.model.kinds import Embedded, External, Seed, View, is_incremental
from isomesh_dagster.plan.plan import Build
from isomesh_dagster.snapshot.interval import Interval, from_ms
from isomesh_dagster.snapshot.snapshot import Category

# More ranges than this are told as a number: a plan is read by people, the JSON has them all.
_RANGES_SHOWN = 3

# Epoch milliseconds per unit where that is constant; months and years are counted on the calendar.
_UNIT_MS = {
    "day": 86_400_000,
    "hour": 3_600_000,
    "half_hour": 1_800_000,
    "quarter_hour": 900_000,
    "five_minute": 300_000,
}
_UNIT_WORDS = {
    "year": ("year", "years"),
    "month": ("month", "months"),
    "day": ("day", "days"),
    "hour": ("hour", "hours"),
    "half_hour": ("half hour", "half hours"),
    "quarter_hour": ("quarter of an hour", "quarters of an hour"),
    "five_minute": ("five-minute step", "five-minute steps"),
}


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: `1 model`, `1,200 models`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def category_words(category: Category | None) -> str:
    """A category as people read it: `non-breaking`; "" for None."""
    return "" if category is None else category.value.replace("_", "-")


def range_words(intervals: Sequence[Interval], unit: str) -> str:
    """Intervals as people read them, last unit included where units are days or longer.

    `2013-01-01 → 2013-12-31` for days, `2013-01 → 2013-12` for months, `2013 → 2015` for years, moments in UTC with an
    exclusive end for smaller units and for ends that do not lie on a boundary.
    """
    shown = [interval_words(interval, unit) for interval in intervals[:_RANGES_SHOWN]]
    if len(intervals) > _RANGES_SHOWN:
        shown.append(f"{count(len(intervals) - _RANGES_SHOWN, 'more range')}")
    return ", ".join(shown)


def duration_words(seconds: float) -> str:
    """A length of time as people guess it: `about 4 min`; "" for less than ten seconds, which nobody plans for."""
    for name, length in (("h", 3600), ("min", 60), ("s", 1)):
        amount = seconds / length
        if amount >= (1.5 if length > 1 else 10):
            return f"about {amount:,.1f} {name}" if length == 3600 and amount < 10 else f"about {amount:,.0f} {name}"
    return ""


def build_words(build: Build) -> str:
    """What a build writes: `2013-01-01 → 2013-12-31 (365 days, 13 batches)`, `whole table`, `seed file`, `view`, and
    over which part of what it reads.
    """
    model = build.snapshot.model
    if build.hollow:
        told = range_words(build.intervals, model.interval_unit) if is_incremental(model.kind) else "all of it"
        return f"empty table, {told} counted as built" if build.intervals else "empty table, to be filled later"
    if is_incremental(model.kind):
        ranges = range_words(build.intervals, model.interval_unit)
        total = sum(units(interval, model.interval_unit) for interval in build.intervals)
        amount = count(total, *_UNIT_WORDS[model.interval_unit])
        return f"{ranges} ({amount}, {count(len(build.batches), 'batch', 'batches')})"
    match model.kind:
        case View():
            return "view"
        case Seed():
            return "seed file"
        case Embedded() | External():
            return "nothing physical"
        case _:
            return "whole table" if build.over is None else f"whole table, {_part_words(build.over)}"


def _part_words(over: Sequence[Interval]) -> str:
    return f"over {range_words(over, 'day')} only" if over else "over tables without rows"


def interval_words(interval: Interval, unit: str) -> str:
    """One interval as people read it; see `range_words`."""
    start, end = from_ms(interval.start), from_ms(interval.end)
    last = from_ms(interval.end - 1)
    on_day = all((m.hour, m.minute, m.second, m.microsecond) == (0, 0, 0, 0) for m in (start, end))
    if unit == "year" and on_day and (start.month, start.day, end.month, end.day) == (1, 1, 1, 1):
        first_text, last_text = f"{start:%Y}", f"{last:%Y}"
    elif unit == "month" and on_day and (start.day, end.day) == (1, 1):
        first_text, last_text = f"{start:%Y-%m}", f"{last:%Y-%m}"
    elif unit in ("year", "month", "day") and on_day:
        first_text, last_text = f"{start:%Y-%m-%d}", f"{last:%Y-%m-%d}"
    else:
        form = "%Y-%m-%d %H:%M" if interval.start % 60_000 == interval.end % 60_000 == 0 else "%Y-%m-%d %H:%M:%S"
        return f"{start.strftime(form)} → {end.strftime(form)} UTC"
    return first_text if first_text == last_text else f"{first_text} → {last_text}"


def units(interval: Interval, unit: str) -> int:
    """How many units the interval holds, a begun one counted as whole."""
    if unit in _UNIT_MS:
        return -(-(interval.end - interval.start) // _UNIT_MS[unit])
    start, last = from_ms(interval.start), from_ms(interval.end - 1)
    years = last.year - start.year
    return years + 1 if unit == "year" else years * 12 + last.month - start.month + 1


def some(names: Sequence[str], most: int = 5) -> str:
    """Names, or the first of many and how many more: `a, b and 7 more`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def listed(parts: Sequence[str]) -> str:
    """At least one part, as an enumeration: `a, b and c`."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
