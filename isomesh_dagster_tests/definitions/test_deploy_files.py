"""The files of docs/deploy are the ones to use: Dagster reads them, and they do what the page says."""

import contextlib
import http.client
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import dagster as dg
import pytest
import yaml

from isomesh_dagster.config.connections import PostgresConnection
from isomesh_dagster_tests.postgres_server import free_port

DOCS = Path(__file__).parents[2] / "docs"
FILES = DOCS / "deploy"


def test_dagsters_records_live_in_postgres(
    postgres: PostgresConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        ("HOST", postgres.host),
        ("PORT", postgres.port),
        ("DB", postgres.database),
        ("USER", postgres.user),
        ("PASSWORD", postgres.password.get_secret_value()),
    ):
        monkeypatch.setenv(f"DAGSTER_PG_{name}", str(value))
    (tmp_path / "dagster.yaml").write_text((FILES / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert type(instance.run_storage).__module__.startswith("dagster_postgres")
        instance.report_runless_asset_event(dg.AssetMaterialization("there"))
        assert instance.get_latest_materialization_event(dg.AssetKey("there")) is not None
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        (limit,) = limits.tag_concurrency_limits
        assert (limit["key"], limit["limit"]) == ("isomesh/gateway", 1)


def test_what_one_file_asks_of_the_environment_another_gives() -> None:
    given = set(re.findall(r"^(\w+)=", (FILES / "production.env").read_text(), re.MULTILINE))
    asked = set()
    for path in ("dagster.yaml", "workspace.yaml"):
        asked |= set(re.findall(r"env: (\w+)", (FILES / path).read_text()))
    for unit in FILES.glob("*.service"):
        asked |= set(re.findall(r"\$\{(\w+)\}", unit.read_text()))
    assert asked <= given
    assert yaml.safe_load((FILES / "workspace.yaml").read_text())["load_from"]


@pytest.mark.parametrize("page", ["dagster.md", "deploy.md"])
def test_what_a_page_shows_is_there(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (DOCS / page).read_text())
    assert links
    for link in links:
        assert (DOCS / link).exists(), link


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_units(tmp_path: Path) -> None:
    units = []
    for path in FILES.glob("*.service"):
        units.append(tmp_path / path.name.replace("@", "@production"))
        text = path.read_text().replace("/srv/isomesh/venv/bin", f"{sys.prefix}/bin")
        for unit in (units[-1], tmp_path / path.name):
            unit.write_text(text)
    assert len(units) == 3
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


class _Web(BaseHTTPRequestHandler):
    """Stands where Dagster's web server is."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_HEAD = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[int]:
    """The port of an nginx with our file, without its certificate and login, before a server that takes anything."""
    _Web.asked.clear()
    web = HTTPServer(("127.0.0.1", 0), _Web)
    threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    port = free_port()
    text = re.sub(r"^ +(ssl_|auth_basic).*\n", "", (FILES / "nginx.conf").read_text(), flags=re.MULTILINE)
    text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port}").replace(":3001", f":{web.server_port}")
    folders = "".join(f"{name}_temp_path {tmp_path}/{name}; " for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
    head = f"daemon off; master_process off; pid {tmp_path}/pid; error_log {tmp_path}/errors; events {{}}\n"
    inside = f"access_log off; client_body_temp_path {tmp_path}/body; {folders}\n{text}"
    (tmp_path / "nginx.conf").write_text(f"{head}http {{ {inside} }}\n")
    server = subprocess.Popen(["nginx", "-e", str(tmp_path / "errors"), "-c", str(tmp_path / "nginx.conf")])
    try:
        while server.poll() is None:
            with contextlib.suppress(OSError):
                http.client.HTTPConnection("127.0.0.1", port).connect()
                break
            time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait()
        web.shutdown()
        web.server_close()


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_the_proxy_lets_no_change_through(proxy: int) -> None:
    host = "dagster.example.com"
    json_body = {"Content-Type": "application/json"}
    socket = {"Upgrade": "websocket", "Connection": "Upgrade"}

    def ask(method: str, path: str, headers: dict[str, str] | None = None) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", proxy, timeout=120)
        connection.request(
            method, path, body="{}" if method == "POST" else None, headers={"Host": host, **(headers or {})}
        )
        return connection.getresponse().status

    assert ask("POST", "/graphql", json_body) == ask("GET", "/runs") == ask("HEAD", "/server_info") == 200
    assert ask("GET", "/graphql", {**socket, "Origin": f"https://{host}"}) == 200
    let_through = ["POST /graphql", "GET /runs", "HEAD /server_info", "GET /graphql"]
    assert _Web.asked == let_through
    for status, method, path, headers in (
        (405, "GET", "/graphql?query=mutation", {}),
        (405, "GET", "//graphql?query=mutation", {}),
        (405, "GET", "/%67raphql?query=mutation", {}),
        (400, "POST", "/graphql?query=mutation", json_body),
        (415, "POST", "/graphql", {"Content-Type": "text/plain"}),
        (415, "POST", "/graphql", {"Content-Type": "application/x-www-form-urlencoded"}),
        (403, "GET", "/graphql", {**socket, "Origin": "https://evil.example"}),
        (400, "GET", "/graphql?query=mutation", {**socket, "Origin": f"https://{host}"}),
        (403, "POST", "/report_asset_materialization/shop/orders?description=forged", json_body),
        (421, "POST", "/graphql", {**json_body, "Host": "evil.example"}),
    ):
        assert (path, ask(method, path, headers)) == (path, status)
    assert _Web.asked == let_through
