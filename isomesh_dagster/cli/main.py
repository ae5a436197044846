"""The `isomesh` command: global options, the commands, and how errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import NoReturn

import click

from isomesh_dagster import __version__
from isomesh_dagster.cli.choosing import decisions
from isomesh_dagster.cli.ci import ci
from isomesh_dagster.cli.dag import dag
from isomesh_dagster.cli.environments import environments, invalidate, janitor, plans, rollback
from isomesh_dagster.cli.format import format_
from isomesh_dagster.cli.info import info
from isomesh_dagster.cli.init import init
from isomesh_dagster.cli.intervals import check_intervals
from isomesh_dagster.cli.lineage import lineage
from isomesh_dagster.cli.lint import lint
from isomesh_dagster.cli.logs import log_to
from isomesh_dagster.cli.models import audit, evaluate, render
from isomesh_dagster.cli.outcome import EXIT_CODES, INTERRUPTED, error_json, exit_code
from isomesh_dagster.cli.plan import apply, diff, plan, run
from isomesh_dagster.cli.session import Session, answers_json, known_gateway
from isomesh_dagster.cli.table_diff import table_diff
from isomesh_dagster.cli.testing import create_test, test
from isomesh_dagster.cli.upkeep import clean, destroy, doctor, migrate, state, system
from isomesh_dagster.cli.warehouse import create_external_models, fetchdf, table_name
from isomesh_dagster.config.file import DOTENV_VARIABLE
from isomesh_dagster.errors import IsomeshError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Commands(click.Group):
    """The group: commands by what they are for, near misses named, every `IsomeshError` told once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The commands in the order in which they were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands of each group under its title."""
        width = max(map(len, self.commands))
        limit = formatter.width - width - 6
        for title, commands in _GROUPS:
            with formatter.section(title):
                formatter.write_dl(
                    [((one.name or "").ljust(width), one.get_short_help_str(limit=limit)) for one in commands]
                )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does; an unknown command's message names the nearest one."""
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            near = get_close_matches(name, self.commands, n=1)
            instead = _ELSEWHERE.get(name) or (f"Did you mean {near[0]!r}?" if near else "")
            ctx.fail(f"No such command {name!r}. {instead}".rstrip())
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        """Run the command; an IsomeshError ends it with one message and its exit code."""
        try:
            return super().invoke(ctx)
        except IsomeshError as error:
            self._told(ctx, error)
        except OSError as error:
            if isinstance(error, BrokenPipeError):  # nobody reads the answer any more: click ends quietly
                raise
            hint = "make room on the disk" if error.errno in _FULL else "check the path and who may use it"
            told = IsomeshError(f"{error.filename or 'writing failed'}: {error.strerror}", hint=hint)
            self._told(ctx, told, as_json=error.filename is not None)  # else it may be stdout that is full
        except (KeyboardInterrupt, click.Abort):
            click.echo("\nInterrupted. What was committed stays; the environment shows what it showed.", err=True)
            ctx.exit(INTERRUPTED)
        except click.NoSuchOption as error:
            raise _mended(error) from None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click does; a global option of the anchor's that is not here is told what stands in for it."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            raise _mended(error) from None

    @staticmethod
    def _told(ctx: click.Context, error: IsomeshError, *, as_json: bool = True) -> NoReturn:
        """Tell the error that is being handled, once, and end with its exit code; `as_json`: as JSON if that was asked
        for.
        """
        from isomesh_dagster.cli.console import Console

        session = ctx.find_object(Session)
        if session is not None and session.debug:
            Console().traceback()
        gateway = known_gateway(ctx)
        if as_json and answers_json(ctx):
            Console().json({"gateway": gateway, "error": error_json(error)})
        else:
            files = session.directory if session is not None and ctx.invoked_subcommand != ci.name else None
            Console().error(error, gateway=gateway, files=files)
        ctx.exit(exit_code(error))


@contextmanager
def _set(variable: str, value: str) -> Iterator[None]:
    """Set a variable of this process and of those it starts."""
    before = os.environ.get(variable)
    os.environ[variable] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def _one_folder(_ctx: click.Context, _parameter: click.Parameter, folders: tuple[Path, ...]) -> Path:
    """The project's folder. Several would be planned together, which nothing here does."""
    if len(folders) > 1:
        raise click.BadParameter(
            f"one project at a time, got {len(folders)}: {', '.join(map(str, folders))}. For one graph over several"
            " repositories have one folder with one config.yaml, each repository a folder below its models/ (git"
            " subtrees do). Projects that stay apart have a state and a warehouse each, and declare what they read"
            " of another in external_models.yaml."
        )
    return folders[0]


@click.group(
    cls=Commands,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.option(
    "-p",
    "--project",
    "--paths",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=(Path(),),
    multiple=True,
    callback=_one_folder,
    metavar="DIR",
    help="The project's folder, where config.yaml is.  [default: .]",
)
@click.option(
    "--gateway",
    metavar="NAME",
    help="The system to work on, one of the gateways of config.yaml. Without it ISOMESH_GATEWAY decides, then"
    " `default_gateway`, then the first one.",
)
@click.option(
    "--dotenv",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Read variables from FILE in place of the project's .env; so does ISOMESH_DOTENV.",
)
@click.option("--debug", is_flag=True, help="Show the traceback of errors too.")
@click.option(
    "--log-file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Append what is done to FILE, one JSON object per line: model, interval, rows, plan, commit, …",
)
@click.version_option(__version__, prog_name="isomesh")
@click.pass_context
def cli(
    ctx: click.Context, *, directory: Path, gateway: str | None, dotenv: Path | None, debug: bool, log_file: Path | None
) -> None:
    """Plan, build and deploy SQL models with virtual environments, on isolated systems.

    An environment is a set of views over tables that are built once and shared: deploying swaps views, it
    copies nothing.

    \b
    Examples:
      isomesh init shop && cd shop              a small project that works at once
      isomesh plan dev                          what would change in dev; asks, then builds it
      isomesh --gateway production plan prod    the same files, deployed on another system
      isomesh run prod                          build what is due by the models' cron
      isomesh rollback prod                     show again what prod showed before
    """
    if dotenv is not None:
        ctx.with_resource(_set(DOTENV_VARIABLE, str(dotenv.absolute())))
    ctx.obj = Session(directory=directory, gateway=gateway, debug=debug)
    if log_file is not None:
        ctx.call_on_close(log_to(log_file))


_ELSEWHERE = {
    "ui": "`dagster dev` opens Dagster's, with every model and environment.",
    "dlt_refresh": "Models are not generated from dlt pipelines; write them, and declare what dlt loads with"
    " `isomesh create_external_models`.",
    "rewrite": "Metrics are not supported; write the query, and see it with `isomesh render`.",
}
"""What stands in for commands of SQLMesh's that are not here."""

_OPTIONS_ELSEWHERE = {
    "--config": "There is one configuration, config.yaml: --gateway, variables and `~/.isomesh` change what it says.",
    "--ignore-warnings": "Warnings are lines on stderr: `2>/dev/null` leaves them out.",
    "--log-to-stdout": "`isomesh --log-file /dev/stderr COMMAND` shows what is done as JSON lines.",
    "--log-file-dir": "`isomesh --log-file FILE COMMAND` writes what is done to one file.",
    "--template": "There is one template; --help shows what it is. dbt projects are not read.",
    "--dlt-pipeline": _ELSEWHERE["dlt_refresh"],
    "--dlt-path": _ELSEWHERE["dlt_refresh"],
    "--transpile": "Files stay in their dialect; `isomesh render MODEL --dialect NAME` writes a query in another one.",
    "--force-delete": "What cannot be dropped is told, and the next janitor tries again; the state forgets none of it.",
    "--local": "The state of the gateway is exported, and nothing of the files.",
}
"""What stands in for options of SQLMesh's that are not here."""

_SHORT = {("init", "-t"): "--template", ("format", "-t"): "--transpile"}

_GLOBAL = ("--gateway", "--project", "-p", "--paths", "--debug", "--dotenv", "--log-file")


def _mended(error: click.NoSuchOption) -> click.UsageError:
    """The error with what to type instead, where that is known."""
    command = error.ctx.info_name if error.ctx is not None else None
    option = _SHORT.get((command or "", error.option_name), error.option_name)
    if option in _GLOBAL:
        return click.UsageError(f"{option} is a global option: put it before the command.", ctx=error.ctx)
    if option in _OPTIONS_ELSEWHERE:
        return click.UsageError(f"No such option {error.option_name!r}. {_OPTIONS_ELSEWHERE[option]}", ctx=error.ctx)
    return error


_GROUPS: tuple[tuple[str, tuple[click.Command, ...]], ...] = (
    ("Plan and deploy", (init, plan, apply, run, check_intervals, diff, rollback)),
    ("Environments", (environments, plans, decisions, invalidate, janitor)),
    ("Look at models and rows", (render, evaluate, fetchdf, table_diff, lineage, dag, table_name)),
    ("Check and write models", (test, create_test, audit, lint, format_, create_external_models)),
    ("The system", (ci, info, doctor, migrate, state, system, clean, destroy)),
)

for _title, _commands in _GROUPS:
    for _command in _commands:
        cli.add_command(_command)


def main() -> None:
    """The console script. Ends the process with one of the exit codes."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started the process
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 (it is open as long as the process)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show an arrow shows a question mark instead of a traceback.
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    cli(prog_name="isomesh")
