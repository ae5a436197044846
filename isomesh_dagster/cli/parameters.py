"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


class Moment(click.ParamType):
    """A moment as ISO 8601: `2013-02-01`, `2013-02-01T06:00`; without an offset it is UTC. The value is aware."""

    name = "moment"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The moment in UTC; a usage error when it is none."""
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
        except ValueError:
            self.fail(f"{value!r} is not a date or moment like 2013-02-01 or 2013-02-01T06:00.", param, ctx)
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


MOMENT = Moment()


def start_option(text: str) -> Callable[[Command], Command]:
    """`-s/--start`, told as `text`."""
    return click.option("-s", "--start", metavar="DATE", help=text)


def end_option(text: str) -> Callable[[Command], Command]:
    """`-e/--end`, told as `text`; a date is meant with its whole day."""
    return click.option("-e", "--end", metavar="DATE", help=text)


execution_time_option = click.option(
    "--execution-time", type=MOMENT, metavar="MOMENT", help="Take this moment (UTC) for now."
)
