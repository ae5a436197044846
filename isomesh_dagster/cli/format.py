"""`isomesh format`: lay out the project's SQL files."""

from __future__ import annotations

import os
from difflib import unified_diff
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isomesh_dagster.cli.outcome import TO_MEND
from isomesh_dagster.cli.parameters import accepted, restyled, style_options
from isomesh_dagster.cli.session import Session, pass_session
from isomesh_dagster.files import write_whole

if TYPE_CHECKING:
    from isomesh_dagster.cache.format import FormattedFile
    from isomesh_dagster.cli.console import Console


@click.command("format", short_help="Lay out SQL files: headers in order, a clause a line.")
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path), metavar="[PATHS]")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 when a file would change.")
@click.option("--diff", "show_diff", is_flag=True, help="Show what would change; write nothing.")
@style_options
@accepted("--append-newline")
@accepted("--rewrite-casts")
@accepted("--no-rewrite-casts")
@click.option("-v", "--verbose", is_flag=True, help="Also tell which queries are left as they are.")
@pass_session
def format_(
    session: Session,
    /,
    *,
    paths: tuple[Path, ...],
    check: bool,
    show_diff: bool,
    verbose: bool,
    **asked: Any,
) -> None:
    """Lay out the SQL files of models/ and audits/, or only PATHS: properties of headers in one order, a clause a line.

    Only spaces and the case of keywords change. Comments and macros stay, and so does every model's fingerprint: a file
    for which one of that would not hold is left alone and named. `formatting false` in a header leaves a file out.
    `format` in config.yaml holds the style.

    \b
    Examples:
      isomesh format
      isomesh format models/core --diff
      isomesh format --check        in CI
    """
    console = session.console
    with session.project() as project:
        style = restyled(project.settings.format, asked)
        root = project.root
        files = project.formatted([_relative(path, root) for path in paths] or None, style)
    changed = [file for file in files if file.differs]
    for file in files:
        _tell(console, file, check=check or show_diff, show_diff=show_diff, verbose=verbose)
        if file.differs and not (check or show_diff):
            write_whole({root / file.path: file.new})
    would = "would change" if check or show_diff else "changed"
    unchanged = len(files) - len(changed)
    console.line(
        f"{_counted(len(changed))} {would}, {unchanged} as {'it is' if unchanged == 1 else 'they are'}.", "bold"
    )
    if check and changed:
        raise click.exceptions.Exit(TO_MEND)


def _tell(console: Console, file: FormattedFile, *, check: bool, show_diff: bool, verbose: bool) -> None:
    if file.why is not None and (verbose or file.why != "it says formatting false"):
        console.line(f"{file.path}  left alone: {file.why}", "yellow")
    if verbose:
        for line in file.left:
            console.line(f"{file.path}:{line}  the query is left as it is", "dim")
    if not file.differs:
        return
    if not show_diff:
        console.line(f"{file.path}  {'would be laid out anew' if check else 'laid out'}", "green")
        return
    for text in unified_diff(file.old.splitlines(), file.new.splitlines(), file.path, file.path, lineterm="", n=2):
        console.line(text, "green" if text.startswith("+") else "red" if text.startswith("-") else "dim")


def _relative(path: Path, root: Path) -> str:
    """The path as the project names its files; what lies outside stays as it is, and is not found."""
    full = Path(os.path.abspath(path))
    inside = full if full.exists() else Path(os.path.abspath(root / path))
    return inside.relative_to(root).as_posix() if inside.is_relative_to(root) else path.as_posix()


def _counted(number: int) -> str:
    return f"{number} file{'' if number == 1 else 's'}"
