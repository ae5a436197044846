"""Half-open intervals of time in UTC, as epoch milliseconds, and their algebra.

All functions take and return tuples of intervals; results are merged: sorted, disjoint, not adjacent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds of a moment; a naive one is taken as UTC. Rounds down."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return (moment - _EPOCH) // _MILLISECOND


def from_ms(ms: int) -> datetime:
    """The moment, aware, in UTC."""
    return _EPOCH + timedelta(milliseconds=ms)


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """`[start, end)` in epoch milliseconds UTC; never empty."""

    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end <= self.start:
            raise ValueError(f"an interval ends after it starts: [{self.start}, {self.end})")

    def iso(self) -> tuple[str, str]:
        """Start and end as ISO 8601 in UTC, seconds precision, e.g. `2013-01-01T00:00:00Z`."""
        return iso(self.start), iso(self.end)

    def __str__(self) -> str:
        start, end = self.iso()
        return f"[{start}, {end})"


def iso(ms: int) -> str:
    """A moment as ISO 8601 UTC; milliseconds only where there are any."""
    text = from_ms(ms).isoformat(timespec="milliseconds" if ms % 1000 else "seconds")
    return text.replace("+00:00", "Z")


def merge(intervals: Iterable[Interval]) -> tuple[Interval, ...]:
    """The same moments as sorted, disjoint intervals with the gaps kept. Idempotent."""
    merged: list[Interval] = []
    for interval in sorted(intervals):
        if merged and interval.start <= merged[-1].end:
            if interval.end > merged[-1].end:
                merged[-1] = Interval(merged[-1].start, interval.end)
        else:
            merged.append(interval)
    return tuple(merged)


def subtract(whole: Iterable[Interval], taken: Iterable[Interval]) -> tuple[Interval, ...]:
    """What of `whole` is not in `taken`."""
    result: list[Interval] = []
    holes = merge(taken)
    position = 0
    for interval in merge(whole):
        start = interval.start
        while position < len(holes) and holes[position].end <= start:
            position += 1
        index = position
        while index < len(holes) and holes[index].start < interval.end:
            if holes[index].start > start:
                result.append(Interval(start, holes[index].start))
            start = max(start, holes[index].end)
            index += 1
        if start < interval.end:
            result.append(Interval(start, interval.end))
    return tuple(result)


def intersect(left: Iterable[Interval], right: Iterable[Interval]) -> tuple[Interval, ...]:
    """The moments in both."""
    first = merge(left)
    return subtract(first, subtract(first, right))
