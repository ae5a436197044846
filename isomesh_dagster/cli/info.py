"""`isomesh info`: versions, project, gateway, where warehouse and state are, whether they answer."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from isomesh_dagster import __version__
from isomesh_dagster.cli.outcome import exit_code
from isomesh_dagster.cli.parameters import accepted
from isomesh_dagster.cli.session import Session, json_option, pass_session
from isomesh_dagster.errors import IsomeshError

if TYPE_CHECKING:
    from isomesh_dagster.config.settings import Settings, StateLocation
    from isomesh_dagster.project import Project

_PACKAGES = ("dagster", "duckdb", "sqlglot", "sqlglotc", "SQLAlchemy")
_NOT_MADE = "not made yet; the first apply makes it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Whether a warehouse or state answers. `ok` None: it was not asked, `message` says why."""

    ok: bool | None
    message: str
    code: int = 0


@click.command(short_help="Tell versions, gateway, project; check connections.")
@click.option("--skip-connection", is_flag=True, help="Do not open the warehouse or the state.")
@accepted("-v", "--verbose")
@json_option
@pass_session
def info(session: Session, *, skip_connection: bool, as_json: bool) -> None:
    """Tell versions, the gateway, the project, and where warehouse and state are; check that both answer.

    Passwords are never shown. Nothing is made: a warehouse that does not exist yet is only told as such.

    \b
    Examples:
      isomesh info
      isomesh --gateway production info
      isomesh info --json --skip-connection | jq .models
    """
    from isomesh_dagster.config.settings import state_location
    from isomesh_dagster.model.kinds import kind_name

    console = session.console
    with session.project() as project:
        settings, location = project.settings, state_location(project.settings)
        kinds = Counter(kind_name(model.kind) for model in project.models.values())
        audits = sum(len(model.audits) for model in project.models.values())
        skipped = Answer(ok=None, message="not asked")
        warehouse = skipped if skip_connection else _ask_warehouse(project)
        state = skipped if skip_connection else _ask_state(project, location)
    notes = [*settings.notes, *([location.note] if location.note else [])]
    code = max(warehouse.code, state.code)
    if as_json:
        console.json(
            {
                "gateway": settings.gateway,
                "gateways": list(settings.gateways),
                "project": settings.project,
                "root": str(settings.root),
                "versions": _versions(),
                "models": {"total": sum(kinds.values()), "by_kind": dict(sorted(kinds.items()))},
                "audits": audits,
                "warehouse": {"location": _warehouse_words(settings), "ok": warehouse.ok, "message": warehouse.message},
                "state": {"location": _state_words(location), "ok": state.ok, "message": state.message},
                "notes": notes,
            }
        )
        raise click.exceptions.Exit(code)
    console.line(f"gateway {settings.gateway} · project {settings.project or settings.root.name}", "bold")
    by_kind = ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))
    rows = [
        ("root", str(settings.root)),
        ("gateways", ", ".join(settings.gateways)),
        ("models", f"{sum(kinds.values())} ({by_kind})" if kinds else "0"),
        ("audits", str(audits)),
        ("warehouse", f"{_warehouse_words(settings)}: {warehouse.message}"),
        ("state", f"{_state_words(location)}: {state.message}"),
        ("versions", ", ".join(f"{name} {number}" for name, number in _versions().items())),
        *(("note", note) for note in notes),
    ]
    for name, text in rows:
        console.line(f"  {name:<10} {text}")
    raise click.exceptions.Exit(code)


def _ask_warehouse(project: Project) -> Answer:
    path = getattr(project.settings.connection, "path", None)
    if path is not None and not path.exists():
        return Answer(ok=None, message=_NOT_MADE)
    try:
        with project.connection().session() as open_session:
            open_session.fetch("SELECT 1")
    except IsomeshError as error:
        return Answer(ok=False, message=error.message, code=exit_code(error))
    return Answer(ok=True, message="answers")


def _ask_state(project: Project, location: StateLocation) -> Answer:
    if location.path is not None and not location.path.exists():
        return Answer(ok=None, message=_NOT_MADE)
    try:
        found = len(project.environments())
    except IsomeshError as error:
        return Answer(ok=False, message=error.message, code=exit_code(error))
    return Answer(ok=True, message=f"answers, knows {found} environment{'' if found == 1 else 's'}")


def _versions() -> dict[str, str]:
    found = {"isomesh": __version__, "python": platform.python_version()}
    found |= {package.lower(): number for package in _PACKAGES if (number := _version(package)) is not None}
    return found


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version  # every command would load it

    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _warehouse_words(settings: Settings) -> str:
    from isomesh_dagster.config.connections import PostgresConnection

    connection = settings.connection
    if isinstance(connection, PostgresConnection):
        return f"postgres {connection.host}:{connection.port}/{connection.database}"
    return f"duckdb {connection.path}" if connection.path is not None else "duckdb in memory"


def _state_words(location: StateLocation) -> str:
    if location.connection is not None:
        database = location.connection
        return f"postgres {database.host}:{database.port}/{database.database}, schema {location.schema}"
    return f"sqlite {location.path}" if location.path is not None else "sqlite in memory"
