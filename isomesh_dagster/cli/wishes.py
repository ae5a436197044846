"""The options of `isomesh plan` and `run` that say what is asked of a plan, and the wish they are."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from isomesh_dagster.cli.parameters import end_option, start_option

if TYPE_CHECKING:
    from isomesh_dagster.plan.wish import RunWish, Wish
    from isomesh_dagster.snapshot.interval import Interval

Command = TypeVar("Command", bound=Callable[..., Any])

_SELECTION = "SELECTION"


def _selections(*names: str, text: str) -> Callable[[Command], Command]:
    return click.option(*names, multiple=True, metavar=_SELECTION, help=text)


def _flag(*names: str, text: str) -> Callable[[Command], Command]:
    return click.option(*names, is_flag=True, help=text)


_PLAN_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    start_option("Build or restate from this day only; not in prod, unless restating."),
    end_option("Build or restate up to this day, included; not in prod, unless restating."),
    _selections(
        "-r",
        "--restate-model",
        "restate",
        text="Make the rows of these models, and of all that reads them, again where they are; files are ignored.",
    ),
    _selections(
        "--select-model", "select", text="Take the changes of these models only; the others stay as ENV shows them."
    ),
    _selections(
        "--backfill-model",
        "backfill",
        text="Build these models and what they read only. What is not built is not shown; not for prod.",
    ),
    _flag(
        "--skip-backfill",
        "--dry-run",
        text="Build nothing: show new tables without rows, for the next plan or run to fill.",
    ),
    _flag("--empty-backfill", text="Build nothing: show new tables without rows, and count what they lack as built."),
    _flag("--no-gaps", text="Refuse when a new table would hold fewer intervals than the one it takes the place of."),
    click.option("--create-from", metavar="ENV", help="Compare a new environment with this one instead of prod."),
    click.option(
        "--min-intervals",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="With --start: build at least the N latest intervals of each model, whatever its unit.",
    ),
    click.option(
        "--run", "run_too", is_flag=True, help="Also build what the clock has made due, as `isomesh run` does."
    ),
    _flag("--ignore-cron", text="With --run: up to now, in whole intervals, whatever the models' crons say."),
    _flag("--enable-preview", text="Fill the previews of forward-only changes, whatever the configuration says."),
    _flag("--no-auto-categorization", text="Categorize no edit by itself: ask, or have them from --categorize."),
    _flag("--skip-linter", text="Do not check the lint rules."),
    _flag("--diff-rendered", text="Show how queries differ with their macros expanded."),
    _flag(
        "--include-unmodified",
        text="Nothing to ask for: an environment always shows every model. For scripts that do.",
    ),
)

_RUN_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    start_option("Build from this day only."),
    end_option("Build up to this day only, included."),
    _selections("--select-model", "select", text="Build these models, and what they read, only."),
    _flag("--no-auto-upstream", text="With --select-model: not what they read."),
    _flag("--ignore-cron", text="Build up to now, in whole intervals, whatever the models' crons say."),
)


def plan_options(command: Command) -> Command:
    """The options of `isomesh plan`; the command hands them to `plan_wish` as they come."""
    return _with(command, _PLAN_OPTIONS)


def run_options(command: Command) -> Command:
    """The options of `isomesh run`; the command hands them to `run_wish` as they come."""
    return _with(command, _RUN_OPTIONS)


def _with(command: Command, options: tuple[Callable[[Any], Any], ...]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def plan_wish(asked: dict[str, Any], *, now: datetime | None, **parts: Any) -> Wish:
    """What `plan_options` were given as a wish; `parts` are those that other options say. Raises PlanError when they
    contradict each other.
    """
    from isomesh_dagster.plan.wish import Wish

    return Wish(
        within=_within(asked, now),
        run=asked["run_too"],
        **{key: asked[key] for key in ("restate", "select", "backfill", "create_from", "min_intervals", *_FLAGS)},
        **parts,
    )


def run_wish(asked: dict[str, Any], *, now: datetime | None) -> RunWish:
    """What `run_options` were given as a wish."""
    from isomesh_dagster.plan.wish import RunWish

    return RunWish(
        within=_within(asked, now),
        select=asked["select"],
        auto_upstream=not asked["no_auto_upstream"],
        ignore_cron=asked["ignore_cron"],
    )


_FLAGS = (
    "skip_backfill",
    "empty_backfill",
    "no_gaps",
    "ignore_cron",
    "enable_preview",
    "no_auto_categorization",
    "skip_linter",
    "diff_rendered",
)


def _within(asked: dict[str, Any], now: datetime | None) -> Interval | None:
    from isomesh_dagster.plan.wish import span
    from isomesh_dagster.project import clock
    from isomesh_dagster.snapshot.interval import to_ms

    start, end = (None if asked[key] is None else to_ms(asked[key]) for key in ("start", "end"))
    return span(start, end, clock.moment(now))


def as_flags(wish: Wish) -> str:
    """The wish as it is written on the command line, each option after a space; "" when nothing is asked."""
    from isomesh_dagster.plan.words import category_words

    words = [f"--categorize {name}={category_words(one)}" for name, one in sorted(wish.choices.items())]
    if wish.within is not None:
        start, end = wish.within.iso()
        words += [f"--start {start}"] if wish.within.start > 0 else []
        words += [f"--end {end}"]
    for part, flag in (("restate", "--restate-model"), ("select", "--select-model"), ("backfill", "--backfill-model")):
        words += [f"{flag} {shlex.quote(name)}" for name in getattr(wish, part)]
    words += [f"--{part.replace('_', '-')}" for part in (*_FLAGS, "run") if getattr(wish, part)]
    words += [f"--create-from {wish.create_from}"] if wish.create_from is not None else []
    words += [f"--min-intervals {wish.min_intervals}"] if wish.min_intervals else []
    return "".join(f" {word}" for word in words)
