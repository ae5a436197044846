"""When models are due, and the units their time is cut into. Pure arithmetic; moments are epoch milliseconds in UTC.

A cron expression says when to look for work; the interval unit says in what pieces time is built. A cron's time zone
shifts only when to look: units are always those of UTC.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from isomesh_dagster.errors import ModelError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

UNITS = ("year", "month", "day", "hour", "half_hour", "quarter_hour", "five_minute")
"""Interval units, coarsest first."""

ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_EPOCH_ORDINAL = date(1970, 1, 1).toordinal()
_MINUTE = 60_000
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_WEEK = 7 * _DAY
_SUNDAY = 3 * _DAY  # the first Sunday of the epoch, 1970-01-04

_FIXED = {"day": _DAY, "hour": _HOUR, "half_hour": _HOUR // 2, "quarter_hour": _HOUR // 4, "five_minute": 5 * _MINUTE}
_SHORTEST = {"year": 365 * _DAY, "month": 28 * _DAY, **_FIXED}
_SAMPLED_TICKS = 400  # more than a month of `*/5` within a working day's hour, a year of daily ticks
_SAMPLED_TIME = 5 * 366 * _DAY  # a leap day lies in it

_FIELD = re.compile(r"[0-9A-Za-z*/,#-]+\Z")
_NAMES = frozenset(
    {
        *("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
        *("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "L"),
    }
)


# ---------------------------------------------------------------------------------------------------------------- crons


def validate_cron(text: str) -> str:
    """The expression with single spaces, an alias in small letters.

    Raises ModelError for no cron, or one that never comes.
    """
    cron = " ".join(text.split())
    if cron.startswith("@"):
        cron = cron.lower()
    _ticks(cron)
    return cron


def validate_timezone(name: str) -> str:
    """The IANA name, unchanged. Raises ModelError for an unknown one."""
    if name != "UTC":
        _zone(name)
    return name


def infer_interval_unit(cron: str) -> str:
    """The coarsest unit that is not longer than the shortest gap between two ticks: weekly gives day, quarterly month.

    Raises ModelError for a cron that comes more often than every five minutes.
    """
    gap = _shortest_gap(cron)
    for unit in UNITS:
        if _SHORTEST[unit] <= gap:
            return unit
    raise ModelError(f"cron {cron!r} comes more often than every five minutes", hint="write */5 * * * * or a rarer one")


def validate_unit(unit: str, *, cron: str, allow_partials: bool = False) -> str:
    """The unit in small letters.

    Raises ModelError for an unknown one, and for one coarser than the cron unless partial units are allowed.
    """
    lowered = unit.lower()
    if lowered not in UNITS:
        raise ModelError(f"unknown interval_unit {unit!r}", hint="known are " + ", ".join(UNITS))
    inferred = infer_interval_unit(cron)
    if UNITS.index(lowered) < UNITS.index(inferred) and not allow_partials:
        raise ModelError(
            f"interval_unit {lowered} is coarser than cron {cron!r}, whose unit is {inferred}",
            hint=f"write {inferred} or a finer unit, or set allow_partials true",
        )
    return lowered


def cron_floor(cron: str, tz: str, ms: int) -> int:
    """The last tick at or before a moment."""
    ticks = _ticks(cron)
    if tz == "UTC":
        return ticks.floor(ms)
    zone = _zone(tz)
    if ticks.every_hour:
        offset = _offset(zone, ms)
        return ticks.floor(ms + offset) - offset
    return _first_instant(zone, ticks.floor(_latest_wall(zone, ms)))


def cron_next(cron: str, tz: str, ms: int) -> int:
    """The first tick after a moment."""
    ticks = _ticks(cron)
    if tz == "UTC":
        return ticks.next(ms)
    zone = _zone(tz)
    if ticks.every_hour:
        offset = _offset(zone, ms)
        return ticks.next(ms + offset) - offset
    return _first_instant(zone, ticks.next(_latest_wall(zone, ms)))


# ---------------------------------------------------------------------------------------------------------------- units


def unit_floor(unit: str, ms: int) -> int:
    """The start of the unit that holds a moment."""
    size = _FIXED.get(unit)
    return ms - ms % size if size else _unit_start(unit, _unit_index(unit, ms))


def unit_ceil(unit: str, ms: int) -> int:
    """The first start of a unit at or after a moment."""
    floor = unit_floor(unit, ms)
    return floor if floor == ms else unit_add(unit, floor, 1)


def unit_add(unit: str, ms: int, n: int) -> int:
    """The moment `n` units later (earlier when negative). A month from 31 January is the last day of February."""
    size = _FIXED.get(unit)
    if size:
        return ms + n * size
    day, time_of_day = divmod(ms, _DAY)
    written = date.fromordinal(_EPOCH_ORDINAL + day)
    months = written.year * 12 + written.month - 1 + n * _months(unit)
    start = _month_start(months)
    length = (_month_start(months + 1) - start) // _DAY
    return start + (min(written.day, length) - 1) * _DAY + time_of_day


def unit_count(unit: str, start: int, end: int) -> int:
    """How many whole units lie in `[start, end)`."""
    return max(0, _unit_index(unit, end) - _unit_index(unit, unit_ceil(unit, start)))


def _unit_index(unit: str, ms: int) -> int:
    size = _FIXED.get(unit)
    if size:
        return ms // size
    day = date.fromordinal(_EPOCH_ORDINAL + ms // _DAY)
    return (day.year * 12 + day.month - 1) // _months(unit)


def _unit_start(unit: str, index: int) -> int:
    return _month_start(index * _months(unit))


def _months(unit: str) -> int:
    return {"month": 1, "year": 12}[unit]


def _month_start(months: int) -> int:
    return (date(months // 12, months % 12 + 1, 1).toordinal() - _EPOCH_ORDINAL) * _DAY


# ---------------------------------------------------------------------------------------------- ticks on a wall's clock


class _Ticks(NamedTuple):
    """A cron on a clock that never jumps: the last tick at or before, and the first after, a reading in milliseconds.

    `every_hour`: it ticks at the same minutes of every hour of every day.
    """

    floor: Callable[[int], int]
    next: Callable[[int], int]
    every_hour: bool


@lru_cache(maxsize=256)
def _ticks(cron: str) -> _Ticks:
    """The ticks of an expression. Raises ModelError."""
    expression = ALIASES.get(cron.lower(), cron)
    fields = expression.split()
    if len(fields) != 5:
        known = ", ".join(ALIASES)
        raise ModelError(
            f"{cron!r} is not a cron expression",
            hint=f"write five fields (minute hour day month weekday) or one of {known}",
        )
    return _regular_ticks(*fields) or _irregular_ticks(cron, expression)


def _regular_ticks(minute: str, hour: str, day: str, month: str, weekday: str) -> _Ticks | None:
    """Ticks at one distance, or at the start of months or years, without a library; None for all others."""
    rest = (day, month, weekday)
    every_day = rest == ("*", "*", "*")
    if every_day and hour == "*" and (step := _step(minute, 60)):
        return _periodic(step * _MINUTE, 0, every_hour=True)
    at = _number(minute, 59)
    if at is None:
        return None
    offset = at * _MINUTE
    if every_day and hour == "*":
        return _periodic(_HOUR, offset, every_hour=True)
    if every_day and (step := _step(hour, 24)):
        return _periodic(step * _HOUR, offset)
    at = _number(hour, 23)
    if at is None:
        return None
    offset += at * _HOUR
    if every_day:
        return _periodic(_DAY, offset)
    if rest[:2] == ("*", "*") and (at := _number(weekday, 7)) is not None:
        return _periodic(_WEEK, _SUNDAY + at * _DAY + offset)
    if offset == 0 and rest in {("1", "*", "*"), ("1", "1", "*")}:
        unit = "month" if month == "*" else "year"
        return _Ticks(
            lambda wall: unit_floor(unit, wall),
            lambda wall: unit_add(unit, unit_floor(unit, wall), 1),
            every_hour=False,
        )
    return None


def _step(text: str, whole: int) -> int | None:
    """The n of `*/n` when it divides the whole."""
    match = re.fullmatch(r"\*/(\d{1,2})", text)
    step = int(match[1]) if match else 0
    return step if step and whole % step == 0 else None


def _number(text: str, highest: int) -> int | None:
    if len(text) > 2 or not (text.isascii() and text.isdecimal()):
        return None
    return int(text) if int(text) <= highest else None


def _periodic(period: int, offset: int, *, every_hour: bool = False) -> _Ticks:
    def floor(wall: int) -> int:
        return wall - (wall - offset) % period

    return _Ticks(floor, lambda wall: floor(wall) + period, every_hour)


def _irregular_ticks(cron: str, expression: str) -> _Ticks:
    from croniter import croniter

    fields = expression.split()
    words = re.findall(r"[A-Za-z]+", expression.upper())
    # croniter would also take hashed and random fields: the same file must mean the same moments everywhere.
    plain = all(_FIELD.match(field) for field in fields) and _NAMES.issuperset(words)
    if not plain or not croniter.is_valid(expression):
        raise ModelError(f"{cron!r} is not a cron expression", hint="the fields are minute hour day month weekday")

    def moment(wall: int) -> datetime:
        return _EPOCH + timedelta(milliseconds=wall)

    def milliseconds(tick: datetime) -> int:
        return (tick - _EPOCH) // timedelta(milliseconds=1)

    # Ticks lie on whole minutes, so the last one at or before a reading is the last one before the next whole minute.
    def floor(wall: int) -> int:
        return milliseconds(croniter(expression, moment(wall - wall % _MINUTE + _MINUTE)).get_prev(datetime))

    def following(wall: int) -> int:
        return milliseconds(croniter(expression, moment(wall - wall % _MINUTE)).get_next(datetime))

    try:
        following(0)
    except ValueError:  # CroniterBadDateError: nothing within 50 years
        raise ModelError(f"cron {cron!r} never comes", hint="no such day exists") from None
    every_hour = fields[1:] == ["*", "*", "*", "*"]
    return _Ticks(floor, following, every_hour)


@lru_cache(maxsize=256)
def _shortest_gap(cron: str) -> int:
    ticks = _ticks(cron)
    start = _month_start(2000 * 12)  # a leap year
    previous = ticks.next(start - 1)
    shortest = None
    for _ in range(_SAMPLED_TICKS):
        tick = ticks.next(previous)
        gap = tick - previous
        shortest = gap if shortest is None else min(shortest, gap)
        previous = tick
        if shortest < _SHORTEST[UNITS[-1]] or tick - start > _SAMPLED_TIME:
            break
    assert shortest is not None
    return shortest


# ------------------------------------------------------------------------------------------------- clocks that do jump
#
# A wall's clock in a zone jumps forward (some readings never show) and back (some show twice). A tick happens when the
# clock first shows its reading or a later one: one that never shows, at the jump; one that shows twice, the first time.
# So ticks keep their order, and "the last tick at or before" asks for the latest reading shown so far.


@lru_cache(maxsize=64)
def _zone(name: str) -> ZoneInfo:
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ModelError(f"unknown time zone {name!r}", hint="write an IANA name, like Europe/Berlin") from None


def _offset(zone: ZoneInfo, ms: int) -> int:
    """What the zone's clock is ahead of UTC at a moment."""
    offset = (_EPOCH + timedelta(milliseconds=ms)).astimezone(zone).utcoffset()
    assert offset is not None
    return offset // timedelta(milliseconds=1)


def _latest_wall(zone: ZoneInfo, ms: int) -> int:
    """The latest reading that the zone's clock has shown at or before a moment."""
    local = (_EPOCH + timedelta(milliseconds=ms)).astimezone(zone)
    if not local.fold:
        return ms + _offset(zone, ms)
    before, after = (_wall_offset(zone, local, fold) for fold in (0, 1))
    jump = _jump(zone, ms - (before - after), ms)
    return jump - 1 + before


def _first_instant(zone: ZoneInfo, wall: int) -> int:
    """The moment when the zone's clock first shows a reading or a later one."""
    local = _EPOCH + timedelta(milliseconds=wall)
    before, after = (_wall_offset(zone, local, fold) for fold in (0, 1))
    if before >= after:  # an ordinary reading, or the first of two
        return wall - before
    return _jump(zone, wall - after, wall - before)


def _wall_offset(zone: ZoneInfo, local: datetime, fold: int) -> int:
    offset = local.replace(tzinfo=zone, fold=fold).utcoffset()
    assert offset is not None
    return offset // timedelta(milliseconds=1)


def _jump(zone: ZoneInfo, before: int, after: int) -> int:
    """The moment in `(before, after]` at which the zone's offset changes."""
    old = _offset(zone, before)
    while after - before > 1:
        middle = (before + after) // 2
        if _offset(zone, middle) == old:
            before = middle
        else:
            after = middle
    return after
