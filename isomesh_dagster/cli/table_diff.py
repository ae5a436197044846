"""`isomesh table_diff`: how the rows of two environments, or of two tables, differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from isomesh_dagster.cli.parameters import accepted
from isomesh_dagster.cli.session import Session, json_option, pass_session

if TYPE_CHECKING:
    from isomesh_dagster.cli.console import Console
    from isomesh_dagster.inspection.table_diff import Comparison, TableDiff


@click.command("table_diff", short_help="Compare the rows of two environments or tables.")
@click.argument("sides", metavar="SOURCE:TARGET")
@click.argument("model", required=False)
@click.option(
    "-m",
    "--select-model",
    "selections",
    multiple=True,
    metavar="SELECTION",
    help="These models: schema.*, tag:x, git:branch, +name+, joined by & | ^ ( ); repeated: either.",
)
@click.option(
    "-o",
    "--on",
    "on",
    multiple=True,
    metavar="COLUMN",
    help="A column that names a row; repeated: together.  [default: the grain]",
)
@click.option(
    "-s", "--skip-columns", "skip", multiple=True, metavar="COLUMN", help="Do not compare it; may be repeated."
)
@click.option("--where", metavar="SQL", help="Compare only rows for which this holds.")
@click.option("--limit", type=click.IntRange(min=0), default=20, show_default=True, help="At most so many sample rows.")
@click.option("--show-sample", is_flag=True, help="Show rows that differ or are on one side only.")
@click.option(
    "-d", "--decimals", type=click.IntRange(0, 15), default=3, show_default=True, help="Round floats to so many."
)
@accepted("--skip-grain-check")
@accepted("--warn-grain-check")
@accepted("--schema-diff-ignore-case")
@click.option("--temp-schema", hidden=True, expose_value=False)  # nothing is written
@click.option("--markdown", is_flag=True, help="Print Markdown, for a pull request.")
@json_option
@pass_session
def table_diff(
    session: Session,
    *,
    sides: str,
    model: str | None,
    selections: tuple[str, ...],
    on: tuple[str, ...],
    skip: tuple[str, ...],
    where: str | None,
    limit: int,
    show_sample: bool,
    decimals: int,
    markdown: bool,
    as_json: bool,
) -> None:
    """Compare the rows SOURCE and TARGET have: two environments, by model, or two tables, schema.table.

    Rows are paired by the model's grain, or by --on; without either they are compared whole. NULL equals NULL. Without
    MODEL and --select-model every model is compared whose tables are not the same. Only counts and samples leave the
    warehouse; nothing is written.

    \b
    Examples:
      isomesh table_diff prod:dev marts.routes --show-sample
      isomesh table_diff prod:dev -m 'git:main+' --markdown > rows.md
      isomesh table_diff raw.flights:backup.flights --on flight_id --where "year = 2013"
    """
    from isomesh_dagster.inspection.table_diff import Question
    from isomesh_dagster.inspection.table_diff_words import comparison_json, comparisons_markdown

    source, colon, target = sides.partition(":")
    if not (colon and source and target):
        raise click.UsageError("Two environments or two tables are compared: SOURCE:TARGET, for instance prod:dev.")
    if markdown and as_json:
        raise click.UsageError("--markdown and --json exclude each other.")
    if model is not None and selections:
        raise click.UsageError("MODEL and --select-model exclude each other.")
    console = session.console
    sample = limit if show_sample or as_json else 0
    question = Question(on=on, skip=skip, where=where, sample=sample, decimals=decimals)
    with session.project() as project:
        models: tuple[str, ...] | None = None
        if model is not None:
            models = (project.model(model).name,)
        elif selections:
            models = project.select(selections)
        found = project.table_diff(source, target, models=models, question=question)
        if as_json:
            tables = [comparison_json(one) for one in found]
            console.json({"gateway": project.gateway, "source": source, "target": target, "tables": tables})
        elif markdown:
            from isomesh_dagster.cli.console import write_plain

            write_plain(comparisons_markdown(source, target, found, samples=show_sample).rstrip("\n"))
        else:
            console.line(f"gateway {project.gateway} · rows of {source} and {target}", "bold")
            _show(console, found, samples=show_sample)


def _show(console: Console, found: Iterable[Comparison], *, samples: bool) -> None:
    """Each comparison as soon as it is made."""
    from isomesh_dagster.inspection.table_diff import TableDiff
    from isomesh_dagster.inspection.table_diff_words import title, verdict

    shown = 0
    for one in found:
        shown += 1
        is_equal = not isinstance(one, TableDiff) or one.is_equal
        console.line()
        console.line(title(one), "bold")
        console.line(f"  {verdict(one)}", "green" if is_equal else "yellow")
        if isinstance(one, TableDiff):
            _show_diff(console, one, samples=samples)
    if not shown:
        console.line("Nothing to compare: both show the same tables.", "bold green")


def _show_diff(console: Console, diff: TableDiff, *, samples: bool) -> None:
    from isomesh_dagster.inspection.table_diff_words import (
        cell,
        change_words,
        count_rows,
        pair_rows,
        remarks,
        share,
    )

    for remark in remarks(diff):
        console.line(f"  {remark}", "dim")
    for change in diff.changes:
        console.line(f"  column {change_words(change, diff)}", "cyan")
    if diff.is_equal:
        return
    console.table(
        ("  rows", "number", "share"), ((f"  {name}", number, part) for name, number, part in count_rows(diff))
    )
    differing = [one for one in diff.matches if one.equal < one.compared]
    if differing:
        console.line()
        console.table(
            ("  column", "equal", "of", "share"),
            ((f"  {one.name}", one.equal, one.compared, share(one.equal, one.compared)) for one in differing),
        )
    if not samples:
        return
    if diff.pairs:
        console.line()
        console.table(
            (*diff.key, "column", diff.source.name, diff.target.name), pair_rows(diff), title="Rows that differ"
        )
    for side, rows in ((diff.source, diff.source_only), (diff.target, diff.target_only)):
        if rows:
            console.line()
            console.table(diff.compared, (tuple(map(cell, row)) for row in rows), title=f"Rows only in {side.name}")
