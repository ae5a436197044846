"""A fresh copy of the sample project, served by the real `dagster dev`: webserver, daemon, code server."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PARTS = ("models", "audits", "seeds", "tests", "config.yaml", "external_models.yaml", "dagster.yaml")
_DEFINITIONS = """\
import dagster as dg
from isomesh_dagster import IsomeshTranslator, IsomeshTranslatorSettings, build_definitions
from isomesh_dagster.sample.definitions import raw_asset
from isomesh_dagster.sample.raw import TABLES


@dg.definitions
def defs():
    look = IsomeshTranslator(IsomeshTranslatorSettings(ledgers=True))
    return build_definitions(".", translator=look, assets=[raw_asset(table) for table in TABLES])
"""
_SECONDS = 180  # to the first answer, on a busy machine


@dataclass(frozen=True, slots=True)
class Site:
    """A served project: its files, and where the UI is."""

    project: Path
    url: str

    def edit(self, file: str, old: str, new: str) -> None:
        """Change a file as an author would. Raises ValueError when the text to replace is not there once."""
        path = self.project / file
        text = path.read_text()
        if text.count(old) != 1:
            raise ValueError(f"{file} has {old!r} {text.count(old)} times")
        path.write_text(text.replace(old, new))


@contextmanager
def serve(folder: Path) -> Iterator[Site]:
    """Serve a copy of the sample made in `folder`; the server's words go to `dagster.log` there.

    Raises RuntimeError when it ends or does not answer in time.
    """
    project, home = folder / "nycflights", folder / "home"
    project.mkdir()
    home.mkdir()
    for part in _PARTS:
        copy = shutil.copytree if (_ROOT / part).is_dir() else shutil.copy
        copy(_ROOT / part, project / part)
    (project / "definitions.py").write_text(_DEFINITIONS)
    (project / "dagster.yaml").rename(home / "dagster.yaml")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    environ = {**os.environ, "DAGSTER_HOME": str(home), "ISOMESH_GATEWAY": "nonproduction", "TZ": "UTC"}
    log = folder / "dagster.log"
    command = [str(Path(sys.executable).with_name("dagster")), "dev", "-f", "definitions.py", "-p", str(port)]
    with log.open("wb") as words:
        server = subprocess.Popen(
            command, cwd=project, env=environ, stdout=words, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait(server, url, log)
        yield Site(project, url)
    finally:
        server.terminate()  # it ends the webserver, the daemon and the code servers
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


def _wait(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    until = time.monotonic() + _SECONDS
    while not _answers(url):
        if server.poll() is not None or time.monotonic() > until:
            raise RuntimeError(f"dagster dev did not answer:\n{log.read_text()[-3000:]}")
        time.sleep(0.2)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False
