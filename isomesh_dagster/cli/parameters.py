"""Options that several commands share, and how their values are read.

Dates and moments are written as in models: `2013-02-01`, `2013-02-01 06:00`, `1 week ago`; without an offset they are
UTC. Commands get aware datetimes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypeVar

import click

from isomesh_dagster.errors import ModelError

if TYPE_CHECKING:
    from isomesh_dagster.dialect.style import Style
    from isomesh_dagster.project import Project
    from isomesh_dagster.snapshot.snapshot import Category

Command = TypeVar("Command", bound=Callable[..., Any])


def start_option(text: str) -> Callable[[Command], Command]:
    """`-s/--start`, told as `text`."""
    return click.option("-s", "--start", callback=moment_of, metavar="DATE", help=text)


def end_option(text: str) -> Callable[[Command], Command]:
    """`-e/--end`, told as `text`; the command gets an exclusive end, so a date is included whole."""
    return click.option("-e", "--end", callback=_exclusive_end, metavar="DATE", help=text)


models_option = click.option(
    "-m",
    "--model",
    "--models",
    "--select-model",
    "models",
    multiple=True,
    metavar="SELECTION",
    help="Only these models: a name, schema.*, tag:x, git:branch, +name+, joined by & | ^ ( ); repeated: either.",
)


def selected(project: Project, selections: tuple[str, ...]) -> tuple[str, ...] | None:
    """The models of `models_option`, parents before children; None when it was not given. Raises SelectionError."""
    return project.select(selections) if selections else None


def _choices(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, Category]:
    """`model=breaking`, `=non-breaking` or `=forward-only`, each; a model that is named twice has the last one."""
    if not values:
        return {}
    from isomesh_dagster.snapshot.snapshot import Category

    read: dict[str, Category] = {}
    for value in values:
        model, _, word = value.rpartition("=")
        category = word.strip().lower().replace("-", "_")
        if not model or category not in (Category.BREAKING, Category.NON_BREAKING, Category.FORWARD_ONLY):
            raise click.BadParameter(
                f"{value!r} is not like core.flights=breaking, core.flights=non-breaking or core.flights=forward-only."
            )
        read[model.strip()] = Category(category)
    return read


categorize_option = click.option(
    "--categorize",
    "choices",
    multiple=True,
    callback=_choices,
    metavar="MODEL=CATEGORY",
    help="What an edit means for readers, instead of what the plan finds: breaking, non-breaking or"
    " forward-only (the table keeps its rows). May be repeated.",
)


def check_range(start: datetime | None, end: datetime | None) -> None:
    """Refuse a range that ends before it starts; without an end it ends now."""
    if start is not None and start >= (_now() if end is None else end):
        raise click.UsageError("The range ends before it starts: --start must be before --end (default: now).")


def moment_of(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    """The moment an option says; a callback for click."""
    return _read(value, is_end=False)


def _exclusive_end(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    return _read(value, is_end=True)


def _read(value: str | None, *, is_end: bool) -> datetime | None:
    if value is None:
        return None
    from isomesh_dagster.dates import to_exclusive_end_ms, to_ms
    from isomesh_dagster.snapshot.interval import from_ms
    from isomesh_dagster.snapshot.interval import to_ms as epoch_ms

    read = to_exclusive_end_ms if is_end else to_ms
    try:
        return from_ms(read(value, now_ms=epoch_ms(_now())))
    except (ModelError, OverflowError):
        raise click.BadParameter(
            f"{value!r} is not a date or moment like 2013-02-01, '2013-02-01 06:00' or '1 week ago'."
        ) from None


def _now() -> datetime:
    return datetime.now(timezone.utc)


def accepted(*names: str) -> Callable[[Command], Command]:
    """A flag of SQLMesh's that scripts may pass and that asks for what happens anyway; not shown in the help."""
    return click.option(*names, is_flag=True, hidden=True, expose_value=False)


_STYLE: tuple[Callable[[Any], Any], ...] = (
    click.option("--max-text-width", type=click.IntRange(min=20), metavar="N", help="Break lines longer than this."),
    click.option("--indent", type=click.IntRange(min=1), metavar="N", help="Spaces inside brackets and under clauses."),
    click.option("--pad", type=click.IntRange(min=0), metavar="N", help="Spaces under clauses only."),
    click.option("--leading-comma", is_flag=True, help="Begin lines with commas."),
    click.option(
        "--normalize-functions", type=click.Choice(["upper", "lower"]), help="Write functions' names in this case."
    ),
    accepted("--normalize"),
)


def style_options(command: Command) -> Command:
    """How SQL is laid out; the command hands these options to `restyled` as they come."""
    for option in reversed(_STYLE):
        command = option(command)
    return command


def style_asked(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `style_options` that were given."""
    return {key: value for key, value in asked.items() if value is not None and value is not False}


def restyled(style: Style, asked: Mapping[str, Any]) -> Style:
    """The style with what `style_options` were given."""
    return replace(style, **{"pad": asked["indent"] or style.pad, **style_asked(asked)})


execution_time_option = click.option(
    "--execution-time", callback=moment_of, metavar="MOMENT", help="Take this moment (UTC) for now."
)
