"""Progress on stderr: a bar on a terminal, one line per event elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from isomesh_dagster.cli.report import event_line, failing_audits
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.records.events import Built, Evaluated, Event, Failed, Reused, Skipped, Waiting

# Loading is told only when somebody would otherwise wonder: below this many files it is over before a bar is drawn.
_FILES_WORTH_A_BAR = 200


@contextmanager
def loading() -> Iterator[Callable[[int, int], None]]:
    """A callback `(done, total)` that shows a line on a terminal while a large project is read."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return

    shown = False

    def show(done: int, total: int) -> None:
        nonlocal shown
        if total >= _FILES_WORTH_A_BAR and (done % 50 == 0 or done == total):
            shown = True
            sys.stderr.write(f"\r\033[2Kreading models {done:,}/{total:,}")
            sys.stderr.flush()

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\r\033[2K")
            sys.stderr.flush()


@contextmanager
def building(plan: Plan, *, quiet: bool = False) -> Iterator[Callable[[Event], None]]:
    """A callback that shows each event of an apply of `plan`.

    On a terminal a bar counts batches, rows and rows per second below the lines; elsewhere there are only the lines.
    `quiet` leaves out the lines of what went well (used beside a JSON document).
    """
    from rich.text import Text

    from isomesh_dagster.cli.console import Console

    err = Console().err

    def tell(event: Event) -> None:
        lines = [event_line(event), *(event_line(audit) for audit in failing_audits(event))]
        for line in lines:
            if line is not None and not (quiet and not isinstance(event, Failed | Skipped | Waiting)):
                err.print(Text(line[0], style=line[1]), soft_wrap=True)

    if not err.is_terminal or not plan.builds:
        yield tell
        return

    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    batches = {build.snapshot.name: max(1, len(build.batches)) for build in plan.builds}
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rows]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(f"building on {plan.gateway}", total=sum(batches.values()), rows="")
        done: dict[str, int] = {}
        rows = 0

        def show(event: Event) -> None:
            nonlocal rows
            match event:
                case Evaluated():
                    done[event.model] = min(done.get(event.model, 0) + 1, batches.get(event.model, 1))
                    rows += event.rows or 0
                case Built() | Reused() | Skipped() | Failed() if event.model in batches:
                    done[event.model] = batches[event.model]
                case _:
                    pass
            elapsed = bar.tasks[task].elapsed or 0.0
            speed = f"{rows:,} rows, {rows / elapsed:,.0f}/s" if rows and elapsed > 0 else ""
            bar.update(task, completed=sum(done.values()), rows=speed)
            tell(event)

        yield show
