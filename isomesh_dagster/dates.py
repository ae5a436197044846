"""Dates as people write them, as moments in UTC.

`2020-01-01`, `20200101`, `2020-01-01 10:00:00`, ISO 8601 with or without an offset, epoch milliseconds, `yesterday`,
`1 week ago`, `in 2 days`, and what else the library dateparser reads. A moment without an offset is UTC. A relative
phrase of whole days or longer counts from today's midnight, so `1 week ago` names the same moment all day.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone
from functools import lru_cache

from isomesh_dagster.errors import ConfigError, ModelError

_UTC = timezone.utc
_EPOCH = datetime(1970, 1, 1, tzinfo=_UTC)
_DAY_MS = 86_400_000

_DATE = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})\Z")
_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d{2}-\d{2})[T ](?P<hour>\d{1,2}):(?P<minute>\d{2})"
    r"(?::(?P<second>\d{2})(?:\.(?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<zone>Z|UTC|[+-]\d{2}(?::?\d{2})?)?\Z",
    re.IGNORECASE,
)
_UNIT = r"(?P<unit>second|sec|minute|min|hour|day|week|month|year)s?"
_AGO = re.compile(rf"(?P<count>\d{{1,6}}|an?)\s+{_UNIT}\s+ago\Z", re.IGNORECASE)
_IN = re.compile(rf"in\s+(?P<count>\d{{1,6}}|an?)\s+{_UNIT}\Z", re.IGNORECASE)
_LENGTH = re.compile(rf"(?:in\s+)?(?P<count>\d{{1,6}}|an?)\s+{_UNIT}\Z", re.IGNORECASE)
_NAMED_DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}
_LENGTHS = {
    "second": timedelta(seconds=1),
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
    "month": timedelta(days=30),
    "year": timedelta(days=365),
}
_SHORT = {"sec": "second", "min": "minute"}
_SUB_DAY = frozenset({"second", "minute", "hour"})


def to_ms(phrase: str | int | date | datetime, *, now_ms: int) -> int:
    """Epoch milliseconds UTC of a date or moment, rounded down; `now_ms` is what relative phrases count from.

    An int is epoch milliseconds already. Raises ModelError for what cannot be read.
    """
    if isinstance(phrase, bool):
        raise _unreadable(str(phrase))
    if isinstance(phrase, int):
        return phrase
    if isinstance(phrase, datetime):
        return _ms(phrase)
    if isinstance(phrase, date):
        return _ms(datetime.combine(phrase, time()))
    text = " ".join(phrase.split())
    fixed = _absolute(text)
    if fixed is not None:
        return fixed
    return _relative(text, now_ms)


def is_date_only(phrase: str | int | date | datetime) -> bool:
    """Whether it names a day without a time (`2020-01-01`, `20200101`, a `date`); as an end it includes that day."""
    if isinstance(phrase, str):
        return _DATE.match(phrase.strip()) is not None
    return isinstance(phrase, date) and not isinstance(phrase, datetime)


def to_exclusive_end_ms(phrase: str | int | date | datetime, *, now_ms: int) -> int:
    """Where a range that ends with `phrase` ends, exclusive: the midnight after a date, any other moment itself."""
    end = to_ms(phrase, now_ms=now_ms)
    return end + _DAY_MS if is_date_only(phrase) else end


def duration(phrase: str) -> timedelta:
    """How long `in 1 week`, `1 week` or `36 hours` is; a month counts 30 days, a year 365.

    Raises ConfigError for what cannot be read, and for the past (`1 week ago`): a time to live has to lie ahead.
    """
    text = " ".join(str(phrase).split())
    if _AGO.match(text) or text.lower() in {"yesterday", "today", "now"}:
        raise ConfigError(f"{text!r} does not lie in the future", hint="write for instance 'in 1 week'")
    match = _LENGTH.match(text)
    length = _count(match["count"]) * _LENGTHS[_unit(match["unit"])] if match else timedelta()
    if not length:
        raise ConfigError(f"{text!r} is not a length of time", hint="write for instance 'in 1 week' or 'in 36 hours'")
    return length


@lru_cache(maxsize=1024)
def _absolute(text: str) -> int | None:
    try:
        if match := _DATE.match(text):
            return _ms(datetime(int(match[1]), int(match[2]), int(match[3]), tzinfo=_UTC))
        if text.isdecimal() and text.isascii():
            return int(text)
        if match := _MOMENT.match(text):
            return _ms(_moment(match))
    except (ValueError, OverflowError):
        raise _unreadable(text) from None
    return None


def _moment(match: re.Match[str]) -> datetime:
    day = date.fromisoformat(match["day"])
    fraction = int((match["fraction"] or "0").ljust(6, "0")[:6])
    naive = datetime.combine(day, time(int(match["hour"]), int(match["minute"]), int(match["second"] or 0), fraction))
    zone = (match["zone"] or "Z").upper()
    if zone in {"Z", "UTC"}:
        return naive.replace(tzinfo=_UTC)
    digits = zone[1:].replace(":", "")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:] or 0))
    return naive.replace(tzinfo=timezone(-offset if zone[0] == "-" else offset))


def _relative(text: str, now_ms: int) -> int:
    now = _EPOCH + timedelta(milliseconds=now_ms)
    lowered = text.lower()
    if lowered == "now":
        return now_ms
    if lowered in _NAMED_DAYS:
        return _ms(_midnight(now) + timedelta(days=_NAMED_DAYS[lowered]))
    match = _AGO.match(text)
    sign = -1 if match else 1
    match = match or _IN.match(text)
    if match is None:
        return _parsed(text, now)
    unit, count = _unit(match["unit"]), sign * _count(match["count"])
    base = now if unit in _SUB_DAY else _midnight(now)
    try:
        if unit in {"month", "year"}:
            return _ms(_add_months(base, count * (12 if unit == "year" else 1)))
        return _ms(base + count * _LENGTHS[unit])
    except (ValueError, OverflowError):
        raise _unreadable(text) from None


def _parsed(text: str, now: datetime) -> int:
    import dateparser  # costs a tenth of a second, and few projects write such phrases

    if not text:
        raise _unreadable(text)
    finest = re.search(r"\b(second|sec|minute|min|hour|hr)s?\b|\d:\d", text, re.IGNORECASE)
    base = now if finest else _midnight(now)
    moment = dateparser.parse(
        text,
        languages=["en"],
        settings={
            "RELATIVE_BASE": base.replace(tzinfo=None),
            "TIMEZONE": "UTC",
            "TO_TIMEZONE": "UTC",
            "RETURN_AS_TIMEZONE_AWARE": True,
        },
    )
    if moment is None:
        raise _unreadable(text)
    return _ms(moment)


def _add_months(moment: datetime, count: int) -> datetime:
    year, month = divmod(moment.year * 12 + moment.month - 1 + count, 12)
    first_of_next = date(year + (month == 11), (month + 1) % 12 + 1, 1)
    last_day = (first_of_next - timedelta(days=1)).day
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last_day))


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def _ms(moment: datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def _unit(text: str) -> str:
    lowered = text.lower()
    return _SHORT.get(lowered, lowered)


def _count(text: str) -> int:
    return int(text) if text.isdecimal() else 1


def _unreadable(text: str) -> ModelError:
    return ModelError(
        f"cannot read {text[:60]!r} as a date",
        hint="write 2020-01-01, 2020-01-01 10:00:00, '1 week ago' or 'yesterday'",
    )
