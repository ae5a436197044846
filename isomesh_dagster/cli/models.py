"""`isomesh render`, `evaluate` and `audit`: looking at models and rows without changing anything."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from isomesh_dagster.cli.outcome import FAILED
from isomesh_dagster.cli.parameters import (
    accepted,
    check_range,
    end_option,
    execution_time_option,
    models_option,
    restyled,
    selected,
    start_option,
    style_asked,
    style_options,
)
from isomesh_dagster.cli.session import Session, json_option, pass_session
from isomesh_dagster.errors import PlanError

if TYPE_CHECKING:
    from isomesh_dagster.project import Project


@click.command(short_help="Print the SQL of MODEL.")
@click.argument("model")
@start_option("First day of the range that @start_ds and its like stand for.")
@end_option("Last day of that range.")
@execution_time_option
@click.option("--environment", metavar="ENV", help="Name the tables that ENV shows instead of models as written.")
@click.option(
    "--expand",
    multiple=True,
    metavar="SELECTION",
    help="Write the queries of these models in the place of their names; `*` for all that is read.",
)
@click.option("--dialect", metavar="DIALECT", help="Write the SQL in this dialect instead of the warehouse's.")
@style_options
@accepted("--no-format")
@json_option
@pass_session
def render(
    session: Session,
    /,
    *,
    model: str,
    start: datetime | None,
    end: datetime | None,
    execution_time: datetime | None,
    environment: str | None,
    expand: tuple[str, ...],
    dialect: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Print the SQL of MODEL with its macros and variables replaced, or its Python function. Runs nothing.

    \b
    Examples:
      isomesh render marts.routes
      isomesh render core.flights -s 2013-01-01 -e 2013-01-31
      isomesh render marts.routes --environment prod      with the tables prod shows
      isomesh render marts.routes --expand 'core.*'       down to what core reads
      isomesh render marts.routes --dialect snowflake
      isomesh --gateway production render marts.routes > routes.sql
    """
    check_range(start, end)
    console = session.console
    with session.project() as project:
        if environment is not None:
            environment = shown_environment(project, environment)
        sql = project.render(
            model,
            start=start,
            end=end,
            execution_time=execution_time,
            environment=environment,
            expand=project.select(expand) if expand else (),
            dialect=dialect,
        )
        gateway = project.gateway
        is_python = project.model(model).python is not None
        if style_asked(asked) and not is_python:
            from isomesh_dagster.dialect.layout import laid_out

            style = restyled(project.settings.format, asked)
            sql = laid_out(sql, dialect or project.settings.connection.dialect, style) or sql
    if as_json:
        language = "python" if is_python else "sql"
        console.json({"gateway": gateway, "environment": environment, "model": model, language: sql})
        return
    where = f", environment {environment}" if environment else ""
    if is_python:
        console.code(f"# {model} on gateway {gateway}{where}\n{sql}", "python")
    else:
        console.code(f"-- {model} on gateway {gateway}{where}\n{sql}")


@click.command(short_help="Run the query of MODEL, write nothing.")
@click.argument("model")
@start_option("First day of the range to read.  [default: yesterday]")
@end_option("Last day of that range.")
@execution_time_option
@click.option(
    "--environment",
    metavar="ENV",
    help="Read the tables that ENV shows.  [default: prod, or the only one there is]",
)
@click.option("--limit", type=click.IntRange(min=0), default=100, show_default=True, help="At most so many rows.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV on stdout and nothing else there.")
@pass_session
def evaluate(
    session: Session,
    *,
    model: str,
    start: datetime | None,
    end: datetime | None,
    execution_time: datetime | None,
    environment: str | None,
    limit: int,
    as_csv: bool,
) -> None:
    """Run the query of MODEL as the files have it, over the tables ENV shows. Writes nothing.

    \b
    Examples:
      isomesh evaluate marts.routes --limit 5 --environment dev
      isomesh evaluate core.flights -s 2013-02-01 -e 2013-02-01
      isomesh evaluate marts.routes --csv > routes.csv
    """
    from isomesh_dagster.model.kinds import is_incremental

    check_range(start, end)
    console = session.console
    with session.project() as project:
        shown = shown_environment(project, environment)
        columns, rows = project.evaluate(
            model, start=start, end=end, execution_time=execution_time, limit=limit, environment=shown
        )
        gateway = project.gateway
        is_one_day = start is None and end is None and is_incremental(project.model(model).kind)
    if is_one_day:
        day = "yesterday" if execution_time is None else "the day before --execution-time"
        console.note(f"{model} is built by time: these are the rows of {day}; --start and --end choose others")
    if as_csv:
        console.csv(columns, rows)
        console.note(f"gateway {gateway} · environment {shown} · {model}: {len(rows):,} rows")
        return
    console.line(f"gateway {gateway} · environment {shown} · {model}", "bold")
    console.table(columns, rows)
    more = " (the limit; --limit for more)" if len(rows) == limit else ""
    console.line(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}{more}", "dim")


@click.command(short_help="Run the audits of what ENV shows.")
@click.argument("environment", required=False, metavar="[ENV]")
@models_option
@start_option("First day to audit.")
@end_option("Last day to audit.")
@execution_time_option
@pass_session
def audit(
    session: Session,
    *,
    environment: str | None,
    models: tuple[str, ...],
    start: datetime | None,
    end: datetime | None,
    execution_time: datetime | None,
) -> None:
    """Run the audits of the models ENV shows, over the rows they have now.

    The exit code is 4 when a blocking one finds rows.

    \b
    Examples:
      isomesh audit prod
      isomesh audit dev -m core.flights
      isomesh audit dev -m 'git:main+ & ^tag:slow'
    """
    from isomesh_dagster.cli.report import event_line

    check_range(start, end)
    console = session.console
    ran = failed = blocking = 0
    with session.project() as project:
        chosen = selected(project, models)
        for event in project.audit(environment, models=chosen, start=start, end=end, execution_time=execution_time):
            if not ran:
                console.line(f"gateway {project.gateway} · audits", "bold")
            told = event_line(event)
            if told is not None:
                console.line(*told)
            ran += 1
            failed += not event.passed
            blocking += event.blocking and not event.passed
    console.line(f"{ran} audit{'' if ran == 1 else 's'} ran, {ran - failed} passed, {failed} found rows.", "bold")
    if blocking:
        raise click.exceptions.Exit(FAILED)


def shown_environment(project: Project, asked: str | None) -> str:
    """The environment whose tables are read: the one asked for, else the default one, else the only one there is."""
    names = [each.name for each in project.environments()]
    wanted = asked or project.settings.default_target_environment
    if wanted in names:
        return wanted
    if asked is None and len(names) == 1:
        return names[0]
    listed = (
        f"there are {', '.join(names)}: choose one with --environment" if names else f"`isomesh plan {wanted}` makes it"
    )
    raise PlanError(f"there is no environment {wanted!r} in gateway {project.gateway!r}", hint=listed)
