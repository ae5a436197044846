"""One host with a Postgres of its own, on which `isomesh` runs as it is told: a process, in a network of its own if
asked for. Each command is a process that reports every address it connected to and every variable it read.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isomesh_dagster_tests.postgres_server import OwnServer

SPIED = """
import atexit, json, os, sys
addresses, variables = set(), set()

class Spy(os._Environ):
    def __getitem__(self, key):
        variables.add(key)
        return super().__getitem__(key)

    def __iter__(self):
        variables.add("*")
        return super().__iter__()

def hear(event, arguments):
    if event == "socket.connect":
        addresses.add(str(arguments[1]))

os.environ.__class__ = Spy
sys.addaudithook(hear)
atexit.register(lambda: open(sys.argv[0], "w").write(json.dumps([sorted(addresses), sorted(variables)])))
import psycopg2
connect = psycopg2.connect  # libpq opens its sockets without Python: the driver is asked instead

def told(*arguments, **keywords):
    addresses.add(f"{keywords.get('host')}:{keywords.get('port')} {arguments}")
    return connect(*arguments, **keywords)

psycopg2.connect = told
from isomesh_dagster.cli.main import main
report = sys.argv[1]
sys.argv = [report, *sys.argv[2:]]
main()
"""


@dataclass(frozen=True)
class Ran:
    """How a command ended, what it printed, what it connected to, which variables it read."""

    code: int
    output: str
    addresses: list[str]
    variables: list[str]


class Host:
    """A running host: `network` is what its process is started with, such as the words that give it a network."""

    def __init__(self, network: tuple[str, ...] = ()) -> None:
        command = [*network, sys.executable, "-m", "isomesh_dagster_tests.reliability.host"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = int(self._answer()["port"])

    def isomesh(self, root: Path, variables: Mapping[str, str], *arguments: str) -> Ran:
        """Run the command in that folder."""
        return Ran(**self._ask({"root": str(root), "variables": dict(variables), "arguments": list(arguments)}))

    def sql(self, statement: str) -> list[list[Any]]:
        """Run a statement in its Postgres."""
        rows: list[list[Any]] = self._ask({"sql": statement})["rows"]
        return rows

    def reaches(self, port: int) -> bool:
        """Whether something there answers it."""
        return bool(self._ask({"port": port})["reached"])

    def _ask(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the host is gone"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def _serve() -> None:
    import contextlib
    import os
    import socket
    import tempfile

    def answer(**told: Any) -> None:
        print(json.dumps(told, default=str), flush=True)

    server = OwnServer()
    try:
        answer(port=server.port)
        for line in sys.stdin:
            asked = json.loads(line)
            if "sql" in asked:
                with contextlib.closing(server.connect()) as connection, connection.cursor() as cursor:
                    cursor.execute(asked["sql"])
                    answer(rows=cursor.fetchall() if cursor.description else [])
            elif "port" in asked:
                with socket.socket() as probe:
                    answer(reached=probe.connect_ex((server.host, asked["port"])) == 0)
            else:
                with tempfile.TemporaryDirectory() as folder:
                    report = Path(folder) / "report.json"
                    command = [sys.executable, "-c", SPIED, str(report), *asked["arguments"]]
                    ran = subprocess.run(
                        command,
                        cwd=asked["root"],
                        env={**os.environ, **asked["variables"]},
                        capture_output=True,
                        text=True,
                        check=False,
                    )
                    addresses, variables = json.loads(report.read_text()) if report.exists() else ([], [])
                answer(code=ran.returncode, output=ran.stdout + ran.stderr, addresses=addresses, variables=variables)
    finally:
        server.stop()


if __name__ == "__main__":
    _serve()
