"""Secrets stay where they are configured: planted ones are looked for in everything that is written, shown or told.

Two systems; the production one keeps its state on a Postgres with a password. Only the chosen gateway's variables may
be read at all, and no text that leaves the process may hold a password.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner
from dagster_graphql.test.utils import define_out_of_process_context, execute_dagster_graphql

from isomesh_dagster import Project, build_definitions
from isomesh_dagster.cli.main import cli
from isomesh_dagster.errors import IsomeshError
from isomesh_dagster_tests.postgres_server import PostgresServer

PLANTED = "pl4nted-s3cret/@:w0rd"
OTHERS = "0thers-s3cret"
CONFIG = """
project: shop
gateways:
  nonproduction:
    connection: {type: duckdb, database: np.duckdb}
    state_connection:
      type: postgres
      host: 127.0.0.1
      port: 1
      user: u
      password: "{{ env_var('NP_PASSWORD') }}"
      database: d
  production:
    connection:
      type: duckdb
      database: p.duckdb
      secrets: [{type: http, bearer_token: "${P_TOKEN}"}]
    state_connection:
      type: postgres
      host: HOST
      port: PORT
      user: USER
      password: ${P_PASSWORD}
      database: DATABASE
before_all: ["CREATE TABLE IF NOT EXISTS remembered AS SELECT md5('${S_TOKEN:-none}') AS token"]
after_all: "SELECT length('{{ env_var('S_TOKEN', 'none') }}')"
model_defaults: {dialect: duckdb, start: 2024-01-01}
"""


class Spy(dict[str, str]):
    """Variables that remember who asked for them."""

    def __init__(self, values: Mapping[str, str]) -> None:
        super().__init__(values)
        self.read: set[str] = set()

    def __getitem__(self, key: str) -> str:
        self.read.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.read.add(key)
        return super().get(key, default)


VARIABLES = {"P_PASSWORD": PLANTED, "P_TOKEN": PLANTED, "NP_PASSWORD": OTHERS, "S_TOKEN": PLANTED}


@pytest.fixture
def root(tmp_path: Path, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with something to build, to audit and to fail."""
    root = tmp_path / "shop"
    (root / "models").mkdir(parents=True)
    (root / "models/a.sql").write_text(
        "MODEL (name mart.a, kind FULL, audits (not_null(columns := (id))));\nSELECT 1 AS id"
    )
    (root / "models/b.sql").write_text("MODEL (name mart.b, kind FULL);\nSELECT id FROM mart.a")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    with postgres_server.database() as place, contextlib.closing(postgres_server.connect()) as administrator:
        text = CONFIG
        user = f"{place['database']}_user"
        for key, value in {**place, "user": user}.items():
            if key != "password":
                text = text.replace(key.upper(), str(value))
        (root / "config.yaml").write_text(text)
        cursor = administrator.cursor()
        cursor.execute(f"CREATE ROLE {user} LOGIN PASSWORD %s", (PLANTED,))
        cursor.execute(f"ALTER DATABASE {place['database']} OWNER TO {user}")
        yield root
        cursor.execute(f"DROP DATABASE {place['database']} WITH (FORCE)")
        cursor.execute(f"DROP ROLE {user}")


def leaks(folder: Path) -> list[str]:
    """Files under `folder` that hold a planted value, in any of the forms it is likely to be written in."""
    forms = {form.encode() for value in (PLANTED, OTHERS) for form in (value, json.dumps(value)[1:-1], quoted(value))}
    return [
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if file.is_file() and any(form in file.read_bytes() for form in forms)
    ]


def test_a_leak_would_be_found(tmp_path: Path) -> None:
    for number, form in enumerate((PLANTED, quoted(PLANTED), json.dumps({"a": OTHERS}))):
        (tmp_path / str(number)).write_text(f"some text {form} and more")
    assert len(leaks(tmp_path)) == 3
    with pytest.raises(AssertionError):
        clean(f"postgresql://u:{PLANTED}@host")


def quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")


def clean(text: str) -> str:
    assert PLANTED not in text
    assert quoted(PLANTED) not in text
    assert OTHERS not in text
    return text


def isomesh(root: Path, *arguments: str) -> str:
    done = CliRunner().invoke(cli, ["--project", str(root), "--gateway", "production", "--debug", *arguments])
    return clean(done.stdout + done.stderr + repr(done.exception))


def test_only_the_chosen_gateways_variables_are_read(root: Path) -> None:
    for gateway, mine in (
        ("production", {"P_PASSWORD", "P_TOKEN", "S_TOKEN"}),
        ("nonproduction", {"NP_PASSWORD", "S_TOKEN"}),
    ):
        environ = Spy(VARIABLES)
        with Project.load(root, gateway=gateway, environ=environ):
            pass
        assert environ.read & VARIABLES.keys() == mine
    production_only = {name: value for name, value in VARIABLES.items() if name.startswith("P_")}
    with Project.load(root, gateway="production", environ=production_only) as project:
        assert project.settings.secret_values().count(PLANTED) == 2


def test_the_command_line_and_all_it_writes(root: Path) -> None:
    assert "promotion 1" in isomesh(root, "plan", "prod", "--auto-apply")
    for arguments in (
        ("info",),
        ("info", "--json"),
        ("doctor",),
        ("environments", "--history"),
        ("plan", "dev", "--save", str(root / "plan.json")),
        ("plans", "--json"),
        ("state", "export", "-o", str(root / "state.jsonl")),
        ("render", "mart.a"),
        ("dag", str(root / "dag.html")),
        ("fetchdf", "SELECT * FROM duckdb_settings()"),
        ("fetchdf", "SELECT * FROM duckdb_secrets()"),
    ):
        isomesh(root, *arguments)
    assert leaks(root) == []
    # the statements ran with the value, and only the variable's name is told and kept
    shown = isomesh(root, "fetchdf", f"SELECT token = md5('{PLANTED}') AS is_it FROM remembered", "--json")
    assert "true" in shown
    assert "${S_TOKEN:-none}" in isomesh(root, "plans", "--json")


def test_values_that_are_shown_by_mistake(root: Path) -> None:
    with Project.load(root, gateway="production") as project:
        settings = project.settings
        for value in (settings, settings.connection, settings.state_connection, project.system, project.__dict__):
            clean(f"{value!r} {value}")
        clean(settings.model_dump_json() if hasattr(settings, "model_dump_json") else "")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("password: ${P_PASSWORD}", "passwrod: ${P_PASSWORD}"),
        ("port: ", "port: ${P_PASSWORD}  # "),
        ("database: p.duckdb", "database: ${P_PASSWORD}/x/p.duckdb"),
        ("type: http", "type: ${P_TOKEN}"),
        ("bearer_token", "${P_TOKEN}"),
        ("model_defaults: {dialect: duckdb", "model_defaults: {dialect: nonsense"),
        ("password: ${P_PASSWORD}", f"password: '{PLANTED}' : x"),
        ('bearer_token: "${P_TOKEN}"', 'nonsense: "${P_TOKEN}"'),
    ],
)
def test_errors_about_the_configuration(root: Path, old: str, new: str) -> None:
    file = root / "config.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    isomesh(root, "plan", "prod", "--auto-apply")


def test_a_server_that_refuses(root: Path) -> None:
    with pytest.raises(IsomeshError) as caught, Project.load(root) as project:
        project.plan("prod")
    error: BaseException | None = caught.value
    while error is not None:
        clean(f"{error} {error!r}")
        error = error.__cause__ or error.__context__


def test_a_model_that_fails_and_tells_of_its_surroundings(root: Path) -> None:
    (root / "models/b.sql").write_text("MODEL (name mart.b, kind FULL);\nSELECT error(value) FROM duckdb_settings()")
    isomesh(root, "plan", "prod", "--auto-apply")
    (root / "models/b.sql").write_text(
        "MODEL (name mart.b, kind FULL);\nSELECT error(secret_string) FROM duckdb_secrets()"
    )
    isomesh(root, "plan", "prod", "--auto-apply")
    address = f"https://u:{quoted(PLANTED)}@127.0.0.1:1/x.csv"
    (root / "models/b.sql").write_text(f"MODEL (name mart.b, kind FULL);\nSELECT * FROM read_csv('{address}')")
    assert "https://u:***@127.0.0.1:1/x.csv" in isomesh(root, "plan", "prod", "--auto-apply", "--no-diff")
    (root / "models/b.sql").unlink()
    config = root / "config.yaml"
    config.write_text(config.read_text().replace("SELECT md5('", "SELEC md5('"))
    assert "the statement was: " in isomesh(root, "plan", "prod", "--auto-apply")
    for kept in (root / ".isomesh").glob("cache*"):
        kept.unlink()  # the model above had the address in its own text
    assert leaks(root) == []


def test_dagster_and_all_it_stores(root: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        definitions = build_definitions(root, gateway="production")
        for job, partition in (("apply", "prod"), ("apply", "dev")):
            instance.add_dynamic_partitions("isomesh_environments", [partition])
            done = definitions.resolve_job_def(job).execute_in_process(
                instance=instance, partition_key=partition, raise_on_error=False
            )
            assert done.success
            for event in done.all_events:
                clean(repr(event))
        (root / "models/b.sql").write_text("MODEL (name mart.b, kind FULL);\nSELECT error('told') FROM mart.a")
        failed = build_definitions(root, gateway="production").resolve_job_def("apply")
        instance.add_dynamic_partitions("isomesh_environments", ["bad"])
        assert not failed.execute_in_process(instance=instance, partition_key="bad", raise_on_error=False).success
    assert leaks(home) == []
    assert leaks(root) == []


QUERY = """
{ repositoriesOrError { ... on RepositoryConnection { nodes {
    allTopLevelResourceDetails { name description configuredValues { key value type } configFields { name } }
    assetNodes { id opNames metadataEntries { label description } repository { name } }
} } } }
"""


def test_what_the_web_server_tells_without_a_login(root: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (root / "definitions_of_shop.py").write_text(
        "from pathlib import Path\n"
        "from isomesh_dagster import build_definitions\n"
        "definitions = build_definitions(Path(__file__).parent, gateway='production')\n"
    )
    with (
        dg.DagsterInstance.local_temp(str(home)) as instance,
        define_out_of_process_context(str(root / "definitions_of_shop.py"), "definitions", instance) as context,
    ):
        done = execute_dagster_graphql(context, QUERY)
    assert done.data, done.errors
    told = clean(json.dumps(done.data))
    assert "isomesh" in told
    assert os.environ["P_PASSWORD"] == PLANTED
