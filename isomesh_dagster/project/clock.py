"""Now, for what a project is asked: nothing that decides reads the clock itself, moments are handed to it."""

from __future__ import annotations

from datetime import datetime, timezone

from isomesh_dagster.snapshot.interval import Interval, to_ms


def now() -> datetime:
    """The moment, aware, in UTC."""
    return datetime.now(timezone.utc)


def moment(given: datetime | None) -> int:
    """Epoch milliseconds of the moment given, else of now."""
    return to_ms(now() if given is None else given)


def span(start: datetime | None, end: datetime | None) -> Interval | None:
    """`[start, end)`: without a start from the beginning of time, without an end until now; None without both."""
    if start is None and end is None:
        return None
    stop = moment(end)
    return Interval(to_ms(start) if start is not None else min(0, stop - 1), stop)
