"""Git drives a real deployment: web server, daemon, code server and run workers, each a process; also when one dies."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import dagster as dg
import duckdb
import pytest

from isomesh_dagster_tests.postgres_server import free_port
from isomesh_dagster_tests.repositories import Team, team

LOCATION = """
from pathlib import Path
import dagster as dg
from isomesh_dagster import build_definitions

@dg.definitions
def defs():
    return build_definitions(Path(__file__).parent)
"""
INSTANCE = """
telemetry: {{enabled: false}}
run_coordinator:
  module: dagster._core.run_coordinator
  class: QueuedRunCoordinator
  config: {{max_concurrent_runs: {most}, dequeue_interval_seconds: 1}}
"""
WORKSPACE = "load_from: [{{grpc_server: {{host: 127.0.0.1, port: {port}, location_name: shop}}}}]\n"
RUNS = "{ runsOrError { ... on Runs { results { runId jobName status tags { key value } } } } }"
ASSETS = "{ assetNodes { assetKey { path } } }"
EVENTS = """{ logsForRun(runId: "%s") { ... on EventConnection { events { ... on MessageEvent { message } } } } }"""
AMOUNT = "MODEL (name core.orders, kind FULL);\nSELECT 1 AS id, {} AS amount\n"
PATIENCE_SECONDS = 300
ALL, NONE = 10, 0


@dataclass(frozen=True)
class Run:
    """A run as the UI shows it."""

    id: str
    job: str
    status: str
    tags: dict[str, str]

    @property
    def what(self) -> tuple[str, str, str]:
        """Job, status and commit."""
        return self.job, self.status, self.tags.get("isomesh/commit", "")


class Deployment:
    """The processes of docs/deploy.md, over the folder of a system that git drives."""

    def __init__(self, people: Team) -> None:
        self.people = people
        self.home = people.folder / "home"
        self.home.mkdir()
        self.code_port, self.web_port = free_port(), free_port()
        self.address = f"http://127.0.0.1:{self.web_port}"
        (people.folder / "workspace.yaml").write_text(WORKSPACE.format(port=self.code_port))
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """A process of Dagster's, with all its children in a group of its own."""
        with (self.people.folder / "log").open("a") as log:
            process = subprocess.Popen(
                [str(Path(sys.executable).with_name(command[0])), *command[1:]],
                cwd=self.people.system,
                env={**os.environ, "DAGSTER_HOME": str(self.home)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def serve(self) -> None:
        """The code server and the web server."""
        self.launching(NONE)
        with dg.DagsterInstance.from_config(str(self.home)):
            pass  # one process makes the tables: two at once would meet each other's
        self.start("dagster", "code-server", "start", "-f", "location.py", "-h", "127.0.0.1", "-p", str(self.code_port))
        self.start("dagster-webserver", "-h", "127.0.0.1", "-p", str(self.web_port), "-w", "../workspace.yaml")
        self.until(lambda: self.ask(ASSETS) is not None, "an answer of the web server")

    @contextmanager
    def daemon(self, most: int = ALL) -> Iterator[None]:
        """A daemon that launches so many runs at once, and ends as a crash does."""
        self.launching(most)
        process = self.start("dagster-daemon", "run", "-w", "../workspace.yaml")
        try:
            yield
        finally:
            kill(process)

    def launching(self, most: int) -> None:
        """How many runs the next daemon takes out of the queue."""
        (self.home / "dagster.yaml").write_text(INSTANCE.format(most=most))

    def end(self) -> None:
        for process in reversed(self._running):
            kill(process)

    def ask(self, query: str) -> dict[str, Any] | None:
        """An answer as the UI gets it; None while nobody gives one."""
        body = json.dumps({"query": query}).encode()
        asked = Request(f"{self.address}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urlopen(asked, timeout=30) as answer:
                data: dict[str, Any] = json.load(answer)["data"]
                return data
        except (URLError, OSError, HTTPException, KeyError):
            return None

    def runs(self, job: str | None = None) -> list[Run]:
        """Oldest first."""
        found = (self.ask(RUNS) or {}).get("runsOrError", {}).get("results", [])
        runs = [
            Run(run["runId"], run["jobName"], run["status"], {tag["key"]: tag["value"] for tag in run["tags"]})
            for run in reversed(found)
        ]
        return [run for run in runs if job in (None, run.job)]

    def has(self, job: str, status: str, commit: str) -> bool:
        return (job, status, commit) in [run.what for run in self.runs(job)]

    def worker(self, run: Run) -> int:
        """The process that does a run."""
        events = (self.ask(EVENTS % run.id) or {})["logsForRun"]["events"]
        (pid,) = {found[1] for event in events if (found := re.search(r"\(pid: (\d+)\)", event.get("message", "")))}
        return int(pid)

    def assets(self) -> set[str]:
        return {".".join(node["assetKey"]["path"]) for node in (self.ask(ASSETS) or {}).get("assetNodes", [])}

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait for it; what was logged when it does not come."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            if time.monotonic() > end:
                log = (self.people.folder / "log").read_text()
                pytest.fail(f"{what} did not happen; runs {[run.what for run in self.runs()]}\n{log[-3000:]}")
            time.sleep(1)


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process and its children at once, without a chance to tidy up."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    people = team(tmp_path)
    made = Deployment(people)
    people.configure(sensors="running", poll_seconds=5, webserver=made.address)
    (people.system / "location.py").write_text(LOCATION)
    (people.system / "models").mkdir()
    (people.system / "models" / "local.sql").write_text("MODEL (name core.local, kind VIEW);\nSELECT 1 AS x\n")
    try:
        made.serve()
        yield made
    finally:
        made.end()


@pytest.mark.slow
def test_from_a_merge_to_the_new_graph_whoever_dies(deployment: Deployment) -> None:
    people = deployment.people
    warehouse = str(people.system / "production.duckdb")
    first = people.git("rev-parse", "HEAD")
    with deployment.daemon(NONE):
        deployment.until(lambda: deployment.has("deploy", "QUEUED", first), "the request of the first deploy")
    # the daemon was killed between tick and launch; the next one is killed while the run goes on
    with duckdb.connect(warehouse), deployment.daemon():
        deployment.until(lambda: deployment.has("deploy", "STARTED", first), "the start of the first deploy")
    deployment.until(lambda: deployment.has("deploy", "SUCCESS", first), "the first deploy")
    (people.system / "models" / "local.sql").write_text("edited meanwhile, and wrong")

    pushed = people.commit("Twenty", {"models/orders.sql": AMOUNT.format(20)}, branch="feature/amounts")
    with deployment.daemon():
        deployed = {"core.orders", "core.names", "marts.totals"}
        deployment.until(lambda: deployed <= deployment.assets(), "the new graph")
        assert "core.local" not in deployment.assets()
        deployment.until(lambda: deployment.has("preview", "SUCCESS", pushed), "the preview")

        # a run worker dies before anything is recorded
        people.commit("Broken", {"models/orders.sql": "no"})
        people.git("revert", "--no-edit", "HEAD")
        with duckdb.connect(warehouse):
            merged = people.merge("feature/amounts")
            deployment.until(lambda: deployment.has("deploy", "STARTED", merged), "the start of the deploy")
            os.kill(deployment.worker(deployment.runs("deploy")[-1]), signal.SIGKILL)
            deployment.until(lambda: deployment.has("deploy", "FAILURE", merged), "the end of the killed run")
        deployment.until(lambda: deployment.has("deploy", "SUCCESS", merged), "the deploy of the merge")
        deployment.until(lambda: bool(deployment.runs("janitor")), "the end of the preview")

    deploys = [(*run.what[1:], run.tags.get("isomesh/attempt")) for run in deployment.runs("deploy")]
    assert deploys == [("SUCCESS", first, None), ("FAILURE", merged, None), ("SUCCESS", merged, "2")]
    assert len(deployment.runs("preview")) == 1
    assert people.query("SELECT amount FROM marts.totals") == [(20,)]
    reports = people.system / ".isomesh" / "production" / "reports"
    report = json.loads((reports / f"{merged}.deploy.prod.json").read_text())
    assert report["views_only"] is True
