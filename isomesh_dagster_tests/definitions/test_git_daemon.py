"""Git drives a real deployment: `dagster dev` with its web server, daemon, code server and run workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from isomesh_dagster_tests.repositories import Team, team

LOCATION = """
from pathlib import Path
import dagster as dg
from isomesh_dagster import build_definitions

@dg.definitions
def defs():
    return build_definitions(Path(__file__).parent)
"""
RUNS = "{runsOrError {... on Runs {results {jobName status tags {key value}}}} assetNodes {assetKey {path}}}"
AMOUNT = "MODEL (name core.orders, kind FULL);\nSELECT 1 AS id, {} AS amount\n"
PATIENCE_SECONDS = 300


class Deployment:
    """A running `dagster dev`."""

    def __init__(self, people: Team, port: int) -> None:
        self.people = people
        self.address = f"http://127.0.0.1:{port}"
        self.log = people.folder / "log"

    def ask(self) -> dict[str, Any] | None:
        """Runs and assets as the UI gets them; None while nobody answers."""
        body = json.dumps({"query": RUNS}).encode()
        asked = Request(f"{self.address}/graphql", body, {"Content-Type": "application/json"})
        try:
            with urlopen(asked, timeout=30) as answer:
                data: dict[str, Any] = json.load(answer)["data"]
                return data
        except (URLError, OSError, KeyError):
            return None

    def runs(self) -> list[tuple[str, str, str]]:
        """Job, status and commit of each run, oldest first."""
        found = (self.ask() or {}).get("runsOrError", {}).get("results", [])
        told = [(run["jobName"], run["status"], {tag["key"]: tag["value"] for tag in run["tags"]}) for run in found]
        return [(job, status, tags.get("isomesh/commit", "")) for job, status, tags in reversed(told)]

    def assets(self) -> set[str]:
        return {".".join(node["assetKey"]["path"]) for node in (self.ask() or {}).get("assetNodes", [])}

    def until(self, reached: Callable[[], bool], what: str) -> None:
        """Wait for it; what was logged when it does not come."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            if time.monotonic() > end:
                pytest.fail(f"{what} did not happen; runs {self.runs()}\n{self.log.read_text()[-3000:]}")
            time.sleep(1)


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Deployment]:
    people = team(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    people.configure(sensors="running", poll_seconds=5, webserver=f"http://127.0.0.1:{port}")
    (people.system / "location.py").write_text(LOCATION)
    (people.system / "models").mkdir()
    (people.system / "models" / "local.sql").write_text("MODEL (name core.local, kind VIEW);\nSELECT 1 AS x\n")
    home = people.folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    made = Deployment(people, port)
    command = [str(Path(sys.executable).with_name("dagster")), "dev", "-f", "location.py", "-h", "127.0.0.1"]
    with made.log.open("w") as log:
        process = subprocess.Popen(
            [*command, "-p", str(port)],
            cwd=people.system,
            env={**os.environ, "DAGSTER_HOME": str(home)},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield made
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@pytest.mark.slow
def test_from_a_merge_to_the_new_graph(deployment: Deployment) -> None:
    people = deployment.people
    first = people.git("rev-parse", "HEAD")
    deployment.until(lambda: ("deploy", "SUCCESS", first) in deployment.runs(), "the first deploy")
    (people.system / "models" / "local.sql").write_text("edited meanwhile, and wrong")
    deployed = {"core.orders", "core.names", "marts.totals"}
    deployment.until(lambda: deployed <= deployment.assets(), "the new graph")
    assert "core.local" not in deployment.assets()

    pushed = people.commit("Twenty", {"models/orders.sql": AMOUNT.format(20)}, branch="feature/amounts")
    deployment.until(lambda: ("preview", "SUCCESS", pushed) in deployment.runs(), "the preview")
    people.commit("Broken", {"models/orders.sql": "no"})
    people.git("revert", "--no-edit", "HEAD")
    merged = people.merge("feature/amounts")
    deployment.until(lambda: ("deploy", "SUCCESS", merged) in deployment.runs(), "the deploy of the merge")
    deployment.until(lambda: any(job == "janitor" for job, _, _ in deployment.runs()), "the end of the preview")
    reports = people.system / ".isomesh" / "production" / "reports"
    report = json.loads((reports / f"{merged}.deploy.prod.json").read_text())
    assert report["views_only"] is True
    assert len([job for job, _, commit in deployment.runs() if (job, commit) == ("deploy", merged)]) == 1
