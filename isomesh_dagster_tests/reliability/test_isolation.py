"""Two systems that know nothing of each other: developed in one, merged, deployed in the other, on two real servers."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from isomesh_dagster_tests.reliability.host import Host, Ran

CONFIG = """
project: shop
gateways:
  nonproduction:
    connection: {type: postgres, host: 127.0.0.1, port: "${NP_PORT}", user: "${NP_USER}", password: "${NP_PASSWORD}",
                 database: postgres}
  production:
    connection: {type: postgres, host: 127.0.0.1, port: "${P_PORT}", user: "${P_USER}", password: "${P_PASSWORD}",
                 database: postgres}
model_defaults: {dialect: duckdb, start: 2024-01-01}
"""
NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")
RAW = """
CREATE SCHEMA raw;
CREATE TABLE raw.sales AS SELECT i AS id, {factor} * i AS amount FROM generate_series(1, 5) AS i
"""


def network() -> tuple[str, ...]:
    """Words that start a command in a network of its own; the test is skipped where that is not allowed."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("networks of their own need unshare and ip, of Linux")
    tried = subprocess.run([*NETWORK, "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"this user may not make networks: {tried.stderr.strip()}")
    return NETWORK


@pytest.fixture(params=["one network", "two networks"])
def hosts(request: pytest.FixtureRequest) -> Iterator[tuple[Host, Host]]:
    """The non-production host and the production host."""
    words = network() if request.param == "two networks" else ()
    first = Host(words)
    second = Host(words)
    while second.port == first.port:  # in a network of its own that port is free, too
        second.stop()
        second = Host(words)
    assert first.reaches(first.port)
    assert second.reaches(first.port) == (not words)
    yield first, second
    first.stop()
    second.stop()


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    subprocess.run(["git", *identity, *words], cwd=root, check=True, capture_output=True)


def ok(ran: Ran) -> Ran:
    assert ran.code == 0, ran.output
    return ran


@pytest.mark.slow
def test_developed_in_one_deployed_in_the_other(tmp_path: Path, hosts: tuple[Host, Host]) -> None:
    development, production = hosts
    development.sql(RAW.format(factor=1))
    production.sql(RAW.format(factor=100))
    ours = {"NP_PORT": str(development.port), "NP_USER": "postgres", "NP_PASSWORD": "np-secret"}
    theirs = {"P_PORT": str(production.port), "P_USER": "postgres", "P_PASSWORD": "p-secret"}
    work, deployed = tmp_path / "work", tmp_path / "deployed"
    (work / "models").mkdir(parents=True)
    (work / "config.yaml").write_text(CONFIG)
    (work / "external_models.yaml").write_text("- name: raw.sales\n  columns: {id: INT, amount: INT}\n")
    (work / "models/total.sql").write_text(
        "MODEL (name m.total, kind FULL);\nSELECT SUM(amount) AS total FROM raw.sales\n"
    )
    git(work, "init", "-q", "-b", "main")
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", str(work), str(deployed))

    # production has only its own variables; non-production has only its own
    ok(production.isomesh(deployed, theirs, "--gateway", "production", "plan", "prod", "--auto-apply"))
    assert production.sql("SELECT total FROM m.total") == [[1500]]
    git(work, "switch", "-qc", "change")
    query = "MODEL (name m.total, kind FULL);\nSELECT SUM(amount) AS total, COUNT(*) AS n FROM raw.sales\n"
    (work / "models/total.sql").write_text(query)
    ok(development.isomesh(work, ours, "--gateway", "nonproduction", "plan", "dev", "--auto-apply"))
    git(work, "commit", "-qam", "count")
    git(work, "switch", "-q", "main")
    git(work, "merge", "-q", "change")
    git(deployed, "pull", "-q")
    # even when the other's variables are there, as by mistake, they are not read
    ran = ok(
        production.isomesh(deployed, {**ours, **theirs}, "--gateway", "production", "plan", "prod", "--auto-apply")
    )
    assert production.sql("SELECT total, n FROM m.total") == [[1500, 5]]
    assert development.sql("SELECT total, n FROM m__dev.total") == [[15, 5]]
    assert any(str(production.port) in address for address in ran.addresses)
    assert not [address for address in ran.addresses if str(development.port) in address], ran.addresses
    assert theirs.keys() <= set(ran.variables)
    assert not ours.keys() & set(ran.variables)
    assert "secret" not in ran.output
