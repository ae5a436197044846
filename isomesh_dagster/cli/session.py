"""What the global options say, and the project they open. Imports nothing heavy until a project is opened."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isomesh_dagster.cli.interrupts import ending_statements
from isomesh_dagster.errors import InvalidName
from isomesh_dagster.model.names import validate_gateway

if TYPE_CHECKING:
    from isomesh_dagster.cli.console import Console
    from isomesh_dagster.project import Project

_META_GATEWAY = "isomesh.gateway"
_META_JSON = "isomesh.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One invocation: the project's `directory`, the `gateway` asked for (None: the configuration decides)."""

    directory: Path
    gateway: str | None
    debug: bool

    @property
    def console(self) -> Console:
        """Where this invocation prints."""
        from isomesh_dagster.cli.console import Console

        return Console()

    @contextmanager
    def project(self) -> Iterator[Project]:
        """The loaded project, closed afterwards. Raises IsomeshError when files or configuration are wrong."""
        from isomesh_dagster.cli.progress import loading
        from isomesh_dagster.project import Project

        with loading() as on_progress:
            project = Project.load(self.directory, gateway=self.gateway, on_progress=on_progress)
        project.on_wait = self.console.note
        remember_gateway(project.gateway)
        with project, ending_statements(project.system.interrupt):
            yield project


pass_session = click.make_pass_decorator(Session)


def remember_gateway(gateway: str) -> None:
    """Keep the resolved gateway for messages of this invocation."""
    click.get_current_context().meta[_META_GATEWAY] = gateway


def known_gateway(context: click.Context) -> str | None:
    """The gateway of this invocation as far as it is known: resolved, else asked for, else None."""
    resolved: str | None = context.meta.get(_META_GATEWAY)
    if resolved is not None:
        return resolved
    session = context.find_object(Session)
    asked = (session.gateway if session is not None else None) or os.environ.get("ISOMESH_GATEWAY") or ""
    try:
        return validate_gateway(asked.lower())
    except InvalidName:  # not repeated: it may be from a variable that holds something else
        return None


def answers_json(context: click.Context) -> bool:
    """Whether this invocation prints one JSON document, also for an error."""
    return bool(context.meta.get(_META_JSON))


def _note_json(context: click.Context, _parameter: click.Parameter, value: bool) -> bool:
    context.meta[_META_JSON] = value
    return value


json_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    is_eager=True,
    callback=_note_json,
    help="Print one JSON document on stdout and nothing else there.",
)


def can_ask() -> bool:
    """Whether somebody can answer a question: stdin is a terminal."""
    return sys.stdin is not None and sys.stdin.isatty()
