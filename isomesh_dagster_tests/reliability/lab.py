"""Systems to break: a folder with a project, a warehouse, a state; and processes at work on them that are killed."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2

from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.execution.application import Application
from isomesh_dagster.execution.schedule import run_plan_steps
from isomesh_dagster.execution.statements import StatementSettings
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Event
from isomesh_dagster_tests.postgres_server import PostgresServer
from isomesh_dagster_tests.reliability.files import FIRST, RAW, raw_rows
from isomesh_dagster_tests.state.forks import fork

COMBINATIONS = (
    ("duckdb", "sqlite"),
    ("duckdb", "postgres"),
    ("catalogs", "sqlite"),
    ("postgres", "sqlite"),
    ("postgres", "inside"),
    ("postgres", "postgres"),
)
"""Warehouse and state; `inside`: a Postgres warehouse that holds its own state, `catalogs`: a DuckDB one whose
environments have catalogs of their own.
"""
Checkpoint = Callable[[str], None]
HANGS_AFTER_SECONDS = 180
LOADED_LATE = (
    "alembic.command",
    "isomesh_dagster.cache.columns",
    "isomesh_dagster.cache.load",
    "isomesh_dagster.dialect.merge",
    "isomesh_dagster.dialect.tree",
    "isomesh_dagster.engine.duckdb",
    "isomesh_dagster.engine.postgres",
    "isomesh_dagster.records.log",
    "isomesh_dagster.evaluation.project_code",
    "isomesh_dagster.git.head",
    "isomesh_dagster.macros.evaluator",
    "isomesh_dagster.macros.expander",
    "isomesh_dagster.plan.choices",
    "isomesh_dagster.plan.decide",
    "isomesh_dagster.project.recorded",
    "isomesh_dagster.project.restating",
    "isomesh_dagster.state.opening",
    "sqlglot.dialects.duckdb",
    "sqlglot.dialects.postgres",
    "sqlglot.optimizer",
    "yaml",
)


def warm() -> None:
    """Load what the package loads late, so that a process spends its time on what is to be broken."""
    for name in LOADED_LATE:
        importlib.import_module(name)


def free(name: str) -> None:
    """A checkpoint that harms nobody."""


@dataclass(frozen=True)
class Lab:
    """One system. `place` is the Postgres that is its warehouse, None for a DuckDB file."""

    root: Path
    place: Mapping[str, Any] | None

    def project(self) -> Project:
        """The project, read anew."""
        return Project.load(self.root, environ={})

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in the warehouse, as somebody else; the rows of the last."""
        with self.project() as project, project.connection().session() as session:
            for statement in statements[:-1]:
                session.execute(statement)
            return session.fetch(statements[-1])

    def connect(self) -> Any:
        """A connection to the Postgres that commits every statement."""
        return connect(self.place)

    def others(self, *own: int) -> int:
        """How many other sessions the Postgres serves: those of the dead may be at work for a moment."""
        if self.place is None:
            return 0
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT COUNT(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                "AND pid <> pg_backend_pid() AND application_name <> 'observer' AND datname LIKE %s",
                (self.place["database"] + "%",),
            )
            return int(cursor.fetchone()[0])

    def rest(self) -> None:
        """Wait until nobody dead is at work any more."""
        deadline = time.monotonic() + HANGS_AFTER_SECONDS
        while self.others():
            assert time.monotonic() < deadline, "sessions of dead processes do not end"
            time.sleep(0.01)


def connect(place: Mapping[str, Any] | None, application_name: str = "") -> Any:
    assert place is not None
    connection = psycopg2.connect(
        host=place["host"],
        port=place["port"],
        user=place["user"],
        password=place["password"],
        dbname=place["database"],
        application_name=application_name,
    )
    connection.autocommit = True
    return connection


@contextlib.contextmanager
def lab(folder: Path, warehouse: str, state: str, server: PostgresServer | None) -> Iterator[Lab]:
    """A new system without models, with raw data."""
    warm()
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        place: dict[str, Any] | None = None
        if server is not None and "postgres" in (warehouse, state):
            place = stack.enter_context(server.database())
        of_state = None
        if state == "postgres" and warehouse == "postgres" and server is not None and place is not None:
            of_state = {**place, "database": f"{place['database']}_state"}
            with contextlib.closing(server.connect()) as connection:
                connection.cursor().execute(f"CREATE DATABASE {of_state['database']}")
            stack.callback(_drop, server, of_state["database"])
        elif state == "postgres":
            of_state = place
        connections = {
            "connection": _postgres(place) if warehouse == "postgres" else {"type": "duckdb", "database": "w.duckdb"}
        }
        if state == "sqlite" and warehouse == "postgres":
            connections["state_connection"] = {"type": "sqlite", "database": "state.db"}
        elif of_state is not None:
            connections["state_connection"] = _postgres(of_state)
        config: dict[str, Any] = {
            "project": "lab",
            "gateways": {"one": connections},
            "model_defaults": {"dialect": "duckdb", "start": f"{FIRST:%Y-%m-%d}"},
        }
        if warehouse == "catalogs":
            config["environment_suffix_target"] = "catalog"
        (folder / "config.yaml").write_text(json.dumps(config))
        columns = {"id": "BIGINT", "ds": "DATE", "k": "BIGINT", "v": "BIGINT"}
        (folder / "external_models.yaml").write_text(json.dumps([{"name": "raw.t", "columns": columns}]))
        (folder / "models").mkdir(exist_ok=True)
        made = Lab(folder, place if warehouse == "postgres" else None)
        values = ", ".join(f"({i}, DATE '{at:%Y-%m-%d}', {k}, {v})" for i, at, k, v in raw_rows({}))
        done = Process(lambda say: made.sql(*RAW, f"INSERT INTO raw.t VALUES {values}", "SELECT 1")).result()
        assert done.outcome == "done", done.told
        yield made


def _drop(server: PostgresServer, database: str) -> None:
    with contextlib.closing(server.connect()) as connection:
        connection.cursor().execute(f"DROP DATABASE {database} WITH (FORCE)")


def _postgres(place: Mapping[str, Any] | None) -> dict[str, Any]:
    assert place is not None
    return {"type": "postgres", **place, "concurrent_tasks": 3}


# ---- processes -------------------------------------------------------------------------------------------


@dataclass
class Done:
    """How a process ended: `done`, `refused` (an error of ours; `told` is its class and message), `broken` (any other)
    or `killed`; what it returned, what it said, how long it took.
    """

    outcome: str
    told: str = ""
    returned: Any = None
    said: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Process:
    """A child of this process that does `work(say)` and hands back what it returns, as JSON, unless it is killed.

    The parent opens no database, so nothing is shared but the code.
    """

    def __init__(self, work: Callable[[Checkpoint], Any]) -> None:
        self._reading, writing = os.pipe()
        self._began = time.monotonic()
        self._text = b""

        def run() -> None:
            os.close(self._reading)

            def say(text: str) -> None:
                os.write(writing, f"say {text}\n".encode())

            try:
                message = "done " + json.dumps(work(say), default=str)
            except IsomeshError as error:
                message = "refused " + json.dumps(f"{type(error).__name__}: {error}")
            except BaseException:
                message = "broken " + json.dumps(traceback.format_exc())
            for first in range(0, len(message), 4000):
                os.write(writing, message[first : first + 4000].encode())
            os.write(writing, b"\n")

        self.pid = fork(run)
        os.close(writing)

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def until(self, said: str) -> None:
        """Wait until it has said something with these words."""
        deadline = time.monotonic() + HANGS_AFTER_SECONDS
        while said not in self._text.decode():
            assert self._read(deadline), f"ended without {said!r}: {self._text.decode()}"

    def _read(self, deadline: float) -> bool | None:
        """Read what there is; False at its end, None when nothing came in time."""
        ready, _, _ = select.select([self._reading], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        part = os.read(self._reading, 65536)
        self._text += part
        return bool(part)

    def result(self, kill_after: float | None = None) -> Done:
        """Wait for its end, or kill it after so many seconds."""
        deadline = self._began + (HANGS_AFTER_SECONDS if kill_after is None else kill_after)
        while (more := self._read(deadline)) is not False:
            if more is None:
                self.kill()
                if kill_after is None:
                    raise AssertionError(f"hangs: {self._text.decode()[-2000:]}")
                deadline = time.monotonic() + HANGS_AFTER_SECONDS
                kill_after = None
        os.close(self._reading)
        os.waitpid(self.pid, 0)
        done = Done("killed", seconds=time.monotonic() - self._began)
        for line in self._text.decode().split("\n")[:-1]:  # what has no end was cut off
            kind, _, rest = line.partition(" ")
            if kind == "say":
                done.said.append(rest)
            elif kind == "done":
                done.outcome, done.returned = kind, json.loads(rest)
            else:
                done.outcome, done.told = kind, json.loads(rest)
        return done


class Killer:
    """A checkpoint that kills its process the n-th time it is passed (0: never); `say` is told where, or how often it
    was passed in the end.
    """

    def __init__(self, at: int, say: Checkpoint) -> None:
        self.passed = 0
        self._at = at
        self._say = say

    def __call__(self, name: str) -> None:
        self.passed += 1
        if self.passed == self._at:
            self._say(f"at {name}")
            os.kill(os.getpid(), signal.SIGKILL)


def apply(project: Project, plan: Plan, checkpoint: Checkpoint) -> list[Event]:
    """As `Project.apply`, with checkpoints."""
    settings = project.settings
    application = Application(
        plan,
        connection=project.connection(),
        state=project.state(),
        identity=project.identity(),
        root=settings.files,
        default_catalog=settings.default_catalog,
        macros=project.macros,
        statements=StatementSettings(dialect=settings.dialect, variables=settings.variables),
        comments=settings.connection.register_comments,
        tasks=settings.concurrent_tasks,
        checkpoint=checkpoint,
    )
    try:
        return list(run_plan_steps(application, concurrency=settings.connection.concurrent_tasks))
    finally:
        application.finish()


def at_noon(day: int) -> datetime:
    """Noon of that day of the project's time: the days before it, counted from 0, are whole."""
    return FIRST.replace(hour=12) + (FIRST.replace(day=2) - FIRST) * day
