"""`isomesh lineage`: what columns are made of, and what becomes of them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

from isomesh_dagster.cli.session import Session, json_option, pass_session
from isomesh_dagster.errors import GraphError

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

    from isomesh_dagster.cli.console import Console
    from isomesh_dagster.graph.lineage import ColumnLineage, Step
    from isomesh_dagster.project import Project

_UP, _DOWN = "cyan", "green"


@click.command(short_help="Show what columns are made of and what becomes of them.")
@click.argument("name", metavar="MODEL[.COLUMN]")
@click.option("--upstream", is_flag=True, help="Only what it is made of.")
@click.option("--downstream", is_flag=True, help="Only what becomes of it.")
@json_option
@pass_session
def lineage(session: Session, *, name: str, upstream: bool, downstream: bool, as_json: bool) -> None:
    """Show where the values of a column come from and where they go, through all models; of a MODEL, column by column.

    A column that decides which rows a model has (in WHERE, JOIN, GROUP BY …) is shown as rows of that model.

    \b
    Examples:
      isomesh lineage marts.routes
      isomesh lineage marts.routes.late_share --upstream
      isomesh lineage raw.flights.dep_time --downstream --json
    """
    console = session.console
    both = upstream == downstream
    with session.project() as project:
        found = project.lineage()
        model, column = _cell(project, found, name)
        gateway = project.gateway
        columns = [column] if column is not None else _columns(project, found, model)
        asked = project.models.get(model)
        undeclared = [] if asked is None else [each for each in asked.depends_on if each not in project.models]
    reads = found.of(model)
    ups = [found.upstream(model, each) for each in columns] if both or upstream else []
    downs = [found.downstream(model, each) for each in columns] if both or downstream else []
    if as_json:
        document = {
            "gateway": gateway,
            "model": model,
            "column": column,
            "rows_depend_on": [list(cell) for cell in reads.rows] if reads is not None else [],
            "opaque": reads.opaque if reads is not None else None,
            "upstream": [step.to_json() for step in ups],
            "downstream": [step.to_json() for step in downs],
        }
        console.json(document)
        return
    if reads is not None and reads.opaque is not None:
        console.note(f"{model}: {reads.opaque}; nothing can be told about its columns.", "yellow")
        if undeclared:
            console.note(f"  hint: declare {', '.join(undeclared)} with `isomesh create_external_models`", "dim")
    if ups:
        console.line("made of", "bold")
        _trees(console, ups, _UP)
        if reads is not None and reads.rows:
            told = ", ".join(f"{table}.{each}" for table, each in reads.rows)
            console.line(f"which rows {model} has is decided by {told}", "dim")
    if ups and downs:
        console.line()
    if downs:
        console.line("goes to", "bold")
        _trees(console, downs, _DOWN)


def _cell(project: Project, found: ColumnLineage, name: str) -> tuple[str, str | None]:
    """Model and column; external tables that nobody declared are known by being read."""
    if name in project.models or "." not in name:
        return project.model(name).name, None
    model, _, column = name.rpartition(".")
    read = {table for each in project.models.values() for table in each.depends_on}
    if model not in project.models and model not in read:
        return project.model(name).name, None  # raises, with the nearest name
    known = _columns(project, found, model)
    if known and column not in known:
        near = difflib.get_close_matches(column, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(known)}"
        raise GraphError(f"{model} has no column {column!r}", hint=hint)
    return model, column


def _columns(project: Project, found: ColumnLineage, model: str) -> list[str]:
    reads = found.of(model)
    if reads is not None and reads.columns:
        return list(reads.columns)
    return [column.name for column in (project.columns(model) if model in project.models else None) or ()]


def _trees(console: Console, steps: list[Step], style: str) -> None:
    from rich.tree import Tree

    for step in steps:
        label = _label(step, style)
        if not step.next and style == _DOWN:
            label.append("  read by no model", style="dim")
        tree = Tree(label, guide_style="dim")
        _grow(tree, step, style)
        console.out.print(tree)


def _grow(tree: Tree, step: Step, style: str) -> None:
    for each in step.next:
        _grow(tree.add(_label(each, style)), each, style)


def _label(step: Step, style: str) -> Text:
    from rich.text import Text

    if step.is_rows:
        return Text(f"rows of {step.model}", style="magenta")
    text = Text(f"{step.model}.")
    text.append("(all columns)" if step.column == "*" else str(step.column), style=style)
    if step.is_again:
        text.append(" … as above", style="dim")
    if step.opaque is not None:
        text.append(f"  ? {step.opaque}", style="yellow")
    return text
