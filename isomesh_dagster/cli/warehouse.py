"""`isomesh table_name`, `fetchdf` and `create_external_models`: what the warehouse has under which name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import click

from isomesh_dagster.cli.models import shown_environment
from isomesh_dagster.cli.parameters import accepted
from isomesh_dagster.cli.session import Session, json_option, pass_session
from isomesh_dagster.errors import UnknownColumnsError


@click.command("table_name", short_help="Print the table behind MODEL.")
@click.argument("model")
@click.option(
    "--env", "--environment", "environment", metavar="ENV", help="The environment.  [default: prod, or the only one]"
)
@accepted("--prod")
@pass_session
def table_name(session: Session, *, model: str, environment: str | None) -> None:
    """Print the physical table or view that MODEL is in ENV: where its rows are, under the views that readers use.

    \b
    Examples:
      isomesh table_name core.flights
      isomesh table_name core.flights --env dev
    """
    with session.project() as project:
        table = project.table_name(model, shown_environment(project, environment))
    session.console.line(str(table))


@click.command("fetchdf", short_help="Run a query on the warehouse, show its rows.")
@click.argument("sql")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many rows.  [default: all]")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on stdout and nothing else there.")
@json_option
@pass_session
def fetchdf(session: Session, *, sql: str, limit: int | None, as_csv: bool, as_json: bool) -> None:
    """Run one query, in the warehouse's own SQL, and show its rows. Anything but a query is refused.

    \b
    Examples:
      isomesh fetchdf "SELECT * FROM marts__dev.routes LIMIT 5"
      isomesh fetchdf "SELECT COUNT(*) AS n FROM core.flights" --json
      isomesh --gateway production fetchdf "FROM marts.routes" --csv > routes.csv
    """
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other.")
    console = session.console
    with session.project() as project:
        columns, rows = project.fetch(sql, limit=limit)
        gateway = project.gateway
    if as_json:
        plain = [[_plain(cell) for cell in row] for row in rows]
        console.json({"gateway": gateway, "columns": columns, "rows": plain})
    elif as_csv:
        console.csv(columns, rows)
    else:
        console.table(columns, rows)
        console.note(f"gateway {gateway} · {len(rows):,} row{'' if len(rows) == 1 else 's'}")


@click.command("create_external_models", short_help="Declare tables that models read, from the warehouse.")
@click.option("--strict", is_flag=True, help="Fail when the warehouse lacks one of the tables; write nothing then.")
@pass_session
def create_external_models(session: Session, *, strict: bool) -> None:
    """Add the columns of tables that models read, and that nobody declared, to external_models.yaml.

    What is declared already stays as it is. Works also where the project cannot be loaded before: its macros ask for
    the columns of these tables.

    \b
    Examples:
      isomesh create_external_models
      isomesh create_external_models --strict      in CI
    """
    console = session.console
    from isomesh_dagster.project.declaring import declare_lacking

    found: dict[str, Sequence[tuple[str, str]]] = {}
    while True:  # ends: each turn declares tables that the next load does not lack
        try:
            with session.project() as project:
                declared = project.declare_external_tables(strict=strict)
            break
        except UnknownColumnsError as error:
            found |= declare_lacking(error, session.directory, session.gateway, strict=strict).tables
    declared = replace(declared, tables={**found, **declared.tables})
    for name, columns in declared.tables.items():
        console.line(f"+ {name}  {len(columns)} columns", "green")
    for name in declared.missing:
        console.note(f"! {name} is not in the warehouse: it stays undeclared", "yellow")
    if declared.tables:
        console.line(f"{len(declared.tables)} declared in {declared.path}.", "bold")
    else:
        console.line("Nothing to declare." if not declared.missing else "Nothing declared.", "bold")


def _plain(cell: object) -> object:
    """A value as JSON has it; what JSON has not as text."""
    if isinstance(cell, list | tuple):
        return [_plain(each) for each in cell]
    if isinstance(cell, dict):
        return {str(key): _plain(each) for key, each in cell.items()}
    if isinstance(cell, float) and (cell != cell or cell in (float("inf"), float("-inf"))):
        return str(cell)
    return cell if cell is None or isinstance(cell, bool | int | float | str) else str(cell)
