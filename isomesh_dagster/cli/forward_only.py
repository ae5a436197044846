"""Options of `isomesh plan` about changes that keep tables and the rows in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from isomesh_dagster.cli.parameters import moment_of

if TYPE_CHECKING:
    from isomesh_dagster.plan.wish import Wish

Command = TypeVar("Command", bound=Callable[..., Any])


def forward_only_options(command: Command) -> Command:
    """`--forward-only`, `--effective-from`, `--allow-destructive-model`, `--allow-additive-model`."""
    options = (
        click.option(
            "--forward-only", is_flag=True, help="Every change keeps its table and the rows in it, where it can."
        ),
        click.option(
            "--effective-from",
            callback=moment_of,
            metavar="DATE",
            help="From this day on compute what forward-only changes mean again.",
        ),
        click.option(
            "--allow-destructive-model",
            "allow_destructive",
            multiple=True,
            metavar="SELECTION",
            help="A forward-only change of these models may drop or change columns of the table.",
        ),
        click.option(
            "--allow-additive-model",
            "allow_additive",
            multiple=True,
            metavar="SELECTION",
            help="A forward-only change of these models may add columns, whatever on_additive_change says.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def flags(wish: Wish) -> str:
    """The options that ask for the same, each with a space before it."""
    from isomesh_dagster.snapshot.interval import iso

    parts = [" --forward-only"] if wish.forward_only else []
    if wish.effective_from is not None:
        parts.append(f" --effective-from {iso(wish.effective_from)}")
    parts += [f" --allow-destructive-model {name}" for name in wish.allow_destructive]
    parts += [f" --allow-additive-model {name}" for name in wish.allow_additive]
    return "".join(parts)
