"""Dates for the Python code of a project, under the names of the model format: `from sqlmesh.utils.date import to_ds`.

In: what people write as a moment (`TimeLike`): a date, a text as in `start`, epoch milliseconds. Out: UTC. Relative
phrases count from `relative_base`; without one, and in `now` and `yesterday`, from the clock: only the code of a
project calls these.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta, timezone
from typing import Any

from isomesh_dagster.dates import is_date_only, to_ms

TimeLike = date | datetime | str | int | float
"""What stands for a moment."""


def now(minute_floor: bool = True) -> datetime:
    """The present moment, by default without its seconds."""
    moment = datetime.now(timezone.utc)
    return moment.replace(second=0, microsecond=0) if minute_floor else moment


def now_timestamp(minute_floor: bool = False) -> int:
    """The present moment as epoch milliseconds."""
    return to_timestamp(now(minute_floor))


def now_ds() -> str:
    """Today, `YYYY-MM-DD`."""
    return to_ds(now())


def yesterday(relative_base: datetime | None = None) -> datetime:
    """The midnight with which yesterday began."""
    return to_datetime("yesterday", relative_base)


def yesterday_ds(relative_base: datetime | None = None) -> str:
    """Yesterday, `YYYY-MM-DD`."""
    return to_ds("yesterday", relative_base)


def yesterday_timestamp(relative_base: datetime | None = None) -> int:
    """The midnight with which yesterday began, as epoch milliseconds."""
    return to_timestamp("yesterday", relative_base)


def to_datetime(value: TimeLike, relative_base: datetime | None = None, **_: Any) -> datetime:
    """The moment, aware. Raises ModelError for what cannot be read."""
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc) if value.tzinfo else value.replace(tzinfo=timezone.utc)
    if isinstance(value, float):
        value = int(value)
    base = to_datetime(relative_base) if relative_base is not None else now(minute_floor=False)
    epoch = datetime(1970, 1, 1, tzinfo=timezone.utc)
    now_ms = (base - epoch) // timedelta(milliseconds=1)
    return epoch + timedelta(milliseconds=to_ms(value, now_ms=now_ms))


def to_timestamp(value: TimeLike, relative_base: datetime | None = None, **_: Any) -> int:
    """The moment as epoch milliseconds."""
    return int(to_datetime(value, relative_base).timestamp() * 1000)


def to_date(value: TimeLike, relative_base: datetime | None = None) -> date:
    """The day."""
    return to_datetime(value, relative_base).date()


def to_ds(obj: TimeLike, relative_base: datetime | None = None) -> str:
    """The day, `YYYY-MM-DD`."""
    return to_date(obj, relative_base).isoformat()


def to_ts(obj: TimeLike, relative_base: datetime | None = None) -> str:
    """`YYYY-MM-DD HH:MM:SS`, with microseconds where there are some."""
    return to_datetime(obj, relative_base).replace(tzinfo=None).isoformat(sep=" ")


def to_tstz(obj: TimeLike, relative_base: datetime | None = None) -> str:
    """`YYYY-MM-DD HH:MM:SS+00:00`."""
    return to_datetime(obj, relative_base).isoformat(sep=" ")


def is_date(obj: TimeLike) -> bool:
    """Whether it names a day without a time."""
    return not isinstance(obj, float) and is_date_only(obj)


DATE_FUNCTIONS: Mapping[str, Any] = {
    "TimeLike": TimeLike,
    **{
        function.__name__: function
        for function in (
            *(now, now_timestamp, now_ds, yesterday, yesterday_ds, yesterday_timestamp),
            *(to_datetime, to_timestamp, to_date, to_ds, to_ts, to_tstz, is_date),
        )
    },
}
"""Everything above by the name it is imported with."""
