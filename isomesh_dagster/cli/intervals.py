"""`isomesh check_intervals`: what an environment lacks, and what that waits for."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from isomesh_dagster.cli.parameters import check_range, end_option, execution_time_option, selected, start_option
from isomesh_dagster.cli.session import Session, json_option, pass_session

if TYPE_CHECKING:
    from isomesh_dagster.project.intervals import MissingIntervals


@click.command("check_intervals", short_help="Show which intervals ENV lacks, and what they wait for.")
@click.argument("environment", required=False, metavar="[ENV]")
@click.option("--no-signals", is_flag=True, help="Do not ask signals; the warehouse is not opened.")
@click.option(
    "--select-model",
    "models",
    multiple=True,
    metavar="SELECTION",
    help="Only these models: a name, schema.*, tag:x, +name+, joined by & | ^ ( ); repeated: either.",
)
@start_option("Only from this date or moment on.")
@end_option("Only up to this date (included) or moment.")
@execution_time_option
@json_option
@pass_session
def check_intervals(
    session: Session,
    *,
    environment: str | None,
    no_signals: bool,
    models: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    execution_time: datetime | None,
    as_json: bool,
) -> None:
    """Show which intervals the models of ENV lack at their crons, and which signals hold these back. Builds nothing.

    A run builds what is shown and does not wait. Works from what ENV shows, not from the project's files.

    \b
    Examples:
      isomesh check_intervals prod
      isomesh check_intervals prod --select-model sales.orders+ --json
      isomesh check_intervals dev --no-signals -s 2024-01-01 -e 2024-01-31
    """
    check_range(start, end)
    console = session.console
    with session.project() as project:
        found = list(
            project.check_intervals(
                environment,
                models=selected(project, models),
                start=start,
                end=end,
                signals=not no_signals,
                now=execution_time,
            )
        )
        told = project.cadence(environment, now=execution_time)
        gateway = project.gateway
    if as_json:
        console.json(
            {"gateway": gateway, "environment": told.environment, "missing": [_missing_json(one) for one in found]}
        )
        return
    from isomesh_dagster.plan.words import count, range_words

    console.line(
        f"gateway {gateway} · {told.environment} · {count(len(found), 'model')} with intervals to build", "bold"
    )
    for one in found:
        console.line(f"{one.model}: {'whole table, ' if one.whole else ''}{range_words(one.intervals, one.unit)}")
        for waiting in one.waiting:
            what = f"signal {waiting.signal}" if waiting.signal is not None else waiting.parent
            ranges = range_words(waiting.intervals, one.unit)
            console.line(f"  waits for {what}: {count(waiting.units, 'interval')}, {ranges}", "yellow")
    if not found:
        console.line(next_words(told.next_tick))


def next_words(next_tick: datetime | None) -> str:
    """When the clock next makes something due, as a sentence."""
    if next_tick is None:
        return "Nothing is due, and nothing will be."
    return f"Nothing is due; the next tick is at {next_tick:%Y-%m-%d %H:%M} UTC."


def _missing_json(one: MissingIntervals) -> dict[str, object]:
    return {
        "model": one.model,
        "whole_table": one.whole,
        "unit": one.unit,
        "intervals": [list(interval.iso()) for interval in one.intervals],
        "waiting": [
            {
                "signal": waiting.signal,
                "parent": waiting.parent,
                "intervals": [list(interval.iso()) for interval in waiting.intervals],
                "units": waiting.units,
            }
            for waiting in one.waiting
        ],
    }
