"""`isomesh init`: a small project that works at once. Its files are those under `scaffold/`, byte for byte."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isomesh_dagster.errors import ConfigError

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

# Kept under other names, so that they are no rules for this package's own repository, and no module of it.
_RENAMED = {"gitignore": ".gitignore", "definitions.txt": "definitions.py"}

_ENGINES = (
    *("athena", "azuresql", "bigquery", "clickhouse", "databricks", "duckdb", "fabric", "motherduck", "mssql"),
    *("mysql", "postgres", "redshift", "snowflake", "spark", "starrocks", "trino"),
)
"""What the anchor's `init` takes, which writes the project here."""

_NEXT = (
    ("isomesh plan dev", "what would be built; agree, then edit a model and plan again"),
    ("isomesh test", "the unit test of shop.orders"),
    ("isomesh evaluate shop.monthly_revenue", "its rows"),
    ("dagster dev -f definitions.py", "the same in Dagster, at http://localhost:3000"),
)


@click.command(short_help="Write a small project that works at once.")
@click.argument("directory", required=False, default=".", type=click.Path(file_okay=False, path_type=Path))
def init(directory: Path) -> None:
    """Write a small project into DIRECTORY (default: here): two gateways on DuckDB, a seed, three models, an audit,
    a unit test, and the definitions that Dagster loads.

    Nothing is overwritten: if one of its files exists already, nothing is written at all.

    \b
    Examples:
      isomesh init shop
      cd shop && isomesh plan dev --auto-apply
      isomesh evaluate shop.monthly_revenue
    """
    if directory.name in _ENGINES and str(directory) == directory.name and not directory.exists():
        raise click.UsageError(
            f"DIRECTORY is a folder, not an engine: `isomesh init .` writes the project here, `isomesh init"
            f" ./{directory}` into a folder of that name. It is on DuckDB; config.yaml says which warehouse."
        )
    planned = {directory / relative: content for relative, content in scaffold_files()}
    existing = sorted(str(path) for path in planned if path.exists())
    if existing:
        raise ConfigError(
            f"there is a project already, nothing was written: {', '.join(existing)}",
            hint="choose an empty folder: isomesh init NEW_FOLDER",
        )
    try:
        for path, content in planned.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"cannot write the project: {error}", hint="choose a folder you may write to") from error
    for path in planned:
        click.echo(f"wrote {path}")
    click.echo("\nNext:")
    if directory != Path():
        click.echo(f"  cd {shlex.quote(str(directory))}")
    for command, told in _NEXT:
        click.echo(f"  {command:<38} {told}")


def scaffold_files() -> Iterator[tuple[Path, bytes]]:
    """The scaffold's files as path relative to the project, and content; sorted."""
    root = files("isomesh_dagster.cli").joinpath("scaffold")
    yield from _walk(root, Path())


def _walk(folder: Traversable, relative: Path) -> Iterator[tuple[Path, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda each: each.name):
        name = _RENAMED.get(entry.name, entry.name)
        if entry.is_dir():
            yield from _walk(entry, relative / name)
        else:
            yield relative / name, entry.read_bytes()
