"""`@signal()`: makes a function of a project's `signals/` folder one that says what is ready. It stays the function it
was.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

DatetimeRange = tuple[datetime, datetime]
"""One interval: its first moment and the first after it, aware, UTC."""

DatetimeRanges = list[DatetimeRange]
"""Intervals that follow one another without a gap."""


def signal(name: str = "") -> Callable[[Function], Function]:
    """Make a function a signal: `@signal()`, or `@signal("name")` to call it by another name than its own.

    The function takes `DatetimeRanges`, the intervals that are to be built, and the arguments of the model's header. It
    returns True when all of them are ready, False when none is, or the list of those that are. Parameters named
    `context`, `snapshot` and `execution_time` are given what these say, if it has them.
    """
    if callable(name):
        raise TypeError("write @signal() with brackets")

    def mark(function: Function) -> Function:
        return function

    return mark
