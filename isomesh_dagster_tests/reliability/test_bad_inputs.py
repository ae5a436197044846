"""Seventy-five bad inputs through the doors people and Dagster use: each is refused in words that help, and no byte of
warehouse, state or files changes, nor anything that Dagster knows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner

from isomesh_dagster import Project, build_definitions
from isomesh_dagster.cache.store import CACHE_PATH
from isomesh_dagster.cli.main import cli
from isomesh_dagster.errors import IsomeshError

CONFIG = """\
project: shop
gateways:
  production:
    connection: {type: duckdb, database: production.duckdb}
    git: {remote: ../nowhere.git, previews: ["*"]}
  stranger:
    connection: {type: duckdb, database: production.duckdb}
model_defaults: {dialect: duckdb, start: 2024-01-01}
"""
FILES = {
    "config.yaml": CONFIG,
    "models/orders.sql": "MODEL (name core.orders, kind FULL);\nSELECT 1 AS id\n",
    "models/totals.sql": "MODEL (name core.totals, kind VIEW);\nSELECT COUNT(*) AS n FROM core.orders\n",
}
LONG = 1_000_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """What somebody was told: the error's class, as far as the door says it, and all words."""

    kind: str
    text: str


@dataclass
class System:
    """A project whose `prod` shows its files, and its doors."""

    root: Path
    instance: dg.DagsterInstance
    project: Project
    plans: dict[str, str] = field(default_factory=dict)

    def call(self, ask: Callable[[Project], object]) -> Refusal:
        """Through the Python interface."""
        with pytest.raises(IsomeshError) as caught:
            ask(self.project)
        return Refusal(type(caught.value).__name__, str(caught.value))

    def command(self, *arguments: str) -> Refusal:
        """Through the command line."""
        result = CliRunner().invoke(cli, ["-p", str(self.root), *arguments], env={"HOME": None})
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code not in (0, 3), result.output
        with suppress(ValueError):
            error = json.loads(result.stdout)["error"]
            return Refusal(error["kind"], f"{error['path']}:{error['line']} {error['message']} {error['hint']}")
        return Refusal("", result.stderr)

    @cached_property
    def definitions(self) -> dg.Definitions:
        """The project as Dagster knows it."""
        return build_definitions(self.root, gateway="production")

    def run(self, job: str, config: dict[str, Any], tags: dict[str, str] | None = None) -> Refusal:
        """Through a run of Dagster's, as the launchpad or GraphQL configure it."""
        try:
            result = self.definitions.resolve_job_def(job).execute_in_process(
                instance=self.instance, run_config=config, raise_on_error=False, tags=tags
            )
        except dg.DagsterInvalidConfigError as error:
            return Refusal("DagsterInvalidConfigError", str(error))
        assert not result.success
        data = [event.event_specific_data for event in result.all_events if event.is_step_failure]
        return Refusal("", "\n".join(one.user_failure_data.description for one in data))

    def seen(self) -> object:
        """All that there is: every file byte for byte, warehouse and state among them, and what Dagster was told."""
        files = {
            path.relative_to(self.root): hashlib.sha256(path.read_bytes()).digest()
            for path in self.root.rglob("*")
            if path.is_file() and path != self.root / CACHE_PATH
        }
        told = self.instance.fetch_materializations(dg.AssetKey("environment"), limit=1).records
        return files, told, self.instance.get_dynamic_partitions("isomesh_environments")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    root = tmp_path_factory.mktemp("bad") / "system"
    for path, text in FILES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    with dg.DagsterInstance.ephemeral() as instance, Project.load(root, gateway="production", environ={}) as project:
        first = project.plan("prod")
        list(project.apply(first))
        waiting = project.plan("dev")
        project.keep_plan(waiting)
        made = System(root, instance, project, {"prod": first.id, "dev": waiting.id})
        assert made.definitions
        instance.add_dynamic_partitions("isomesh_environments", ["prod", "dev"])
        yield made


Ask = Callable[[System], Refusal]


@dataclass(frozen=True, slots=True)
class Bad:
    """One input. `asks` are the doors it is tried at; `kind` is the error's class, `words` what it must name.

    `files` stand in the project meanwhile; a value that is a path is what the file links to.
    """

    number: int
    kind: str
    words: tuple[str, ...]
    asks: tuple[Ask, ...]
    files: dict[str, str | Path] = field(default_factory=dict)


def name(number: int, given: str, *words: str) -> Bad:
    """A bad name of an environment, asked for in Python and on the command line."""
    asks: tuple[Ask, ...] = (
        lambda system: system.call(lambda project: project.plan(given)),
        lambda system: system.command("plan", given, "--json"),
    )
    return Bad(number, "InvalidName", words, asks)


def configured(number: int, written: str, word: str) -> Bad:
    """A value in config.yaml, where YAML has types, that should be the name of an environment."""
    words = ("config.yaml:9", "pinned_environments[0]", word)
    return Bad(number, "ConfigError", words, (plan,), {"config.yaml": f"{CONFIG}pinned_environments: [{written}]\n"})


def ref(number: int, given: str) -> Bad:
    """A bad name of a git ref."""
    words = ("git ref", "is not valid", "such as feature/prices")
    return Bad(number, "GitError", words, (lambda system: system.command("ci", "preview", "--json", "--", given),))


def model(number: int, text: str, *words: str, **files: str | Path) -> Bad:
    """A file of a model that must not be."""
    where = ("models/bad.sql", *words)
    return Bad(number, "ModelError", where, (plan,), {"models/bad.sql": text, **{str(k): v for k, v in files.items()}})


def plan(system: System) -> Refusal:
    return system.command("plan", "dev", "--json")


def agreed(system: System, plan_id: str, environment: str | None = None) -> Refusal:
    """Let Dagster do a plan that somebody agreed to."""
    chosen = {} if environment is None else {"resources": {"isomesh": {"config": {"environment": environment}}}}
    return system.run("apply_plan", {"ops": {"apply_agreed_plan": {"config": {"plan_id": plan_id}}}, **chosen})


def resource(**config: object) -> Ask:
    return lambda system: system.run("plan", {"resources": {"isomesh": {"config": config}}})


HEADER = "MODEL (name core.bad, kind FULL);\n"
RULE, TOO_LONG, RESERVED, NO_TEXT = "must match [a-z][a-z0-9_]*", "longer than 30", "is reserved", "must be a string"
SEED = "MODEL (name core.bad, kind SEED (path '{}'));\n"
OUTSIDE, QUERY = "is outside the project", "write one query: SELECT"

BAD = [
    name(1, "", RULE),
    name(2, " ", RULE),
    name(3, "Prod", RULE, "prod would be allowed"),
    name(4, "PROD", RULE, "prod would be allowed"),
    name(5, "prod ", RULE, "'prod '"),
    name(6, " prod", RULE, "' prod'"),
    name(7, "dev-1", RULE, "dev_1 would be allowed"),
    name(8, "dev.1", RULE),
    name(9, "dev/1", RULE),
    name(10, "../prod", RULE),
    name(11, "..", RULE),
    name(12, ".", RULE),
    name(13, "a/../../b", RULE),
    name(14, "dev;drop schema prod cascade", RULE),
    name(15, 'dev"; drop schema prod cascade; --', RULE),
    name(16, "dev' or '1'='1", RULE),
    name(17, "dev--", RULE),
    name(18, "dev/*x*/", RULE),
    name(19, "dev\n", RULE, r"'dev\n'"),
    name(20, "dev\0", RULE, r"'dev\x00'"),
    name(21, "dev\t1", RULE, r"'dev\t1'"),
    name(22, "1dev", RULE),
    name(23, "_dev", RULE),
    name(24, "dev__prod", RESERVED, "hold __"),
    name(25, "dev_", RESERVED, "end with _"),
    name(26, "pg_catalog", RESERVED, "start with pg_"),
    name(27, "pg_temp", RESERVED),
    name(28, "information_schema", RESERVED),
    name(29, "main", RESERVED),
    name(30, "iso_meta", RESERVED),
    name(31, "a" * 31, TOO_LONG),
    name(32, "a" * 64, TOO_LONG),
    name(33, "dév", RULE, r"'d\xe9v'"),
    name(34, "ｐｒｏｄ", RULE, r"\uff50"),
    name(35, "pr\u043ed", RULE, r"'pr\u043ed'"),
    name(36, "dev\u200b", RULE, r"'dev\u200b'"),
    name(37, "dev\u202e", RULE, r"'dev\u202e'"),
    name(38, "dev\U0001f600", RULE, r"'dev\U0001f600'"),
    name(39, "$(id)", RULE),
    name(40, "`id`", RULE),
    name(41, "${PROD_PW}", RULE, "'${PROD_PW}'"),
    name(42, "{{ env_var('X') }}", RULE, "env_var"),
    name(43, "%s", RULE),
    name(44, "%(x)s", RULE),
    name(45, "@start_ds", RULE),
    Bad(
        46,
        "InvalidName",
        (RESERVED,),
        tuple(ask for word in ("null", "none", "default") for ask in name(0, word).asks),
    ),
    configured(47, "0", NO_TEXT),
    configured(48, "null", NO_TEXT),
    configured(49, "true", NO_TEXT),
    configured(50, "[dev]", NO_TEXT),
    configured(51, "{dev: 1}", NO_TEXT),
    Bad(
        52,
        "InvalidName",
        (NO_TEXT, "bytes"),
        (lambda system: system.call(lambda project: project.plan(b"dev")),),  # type: ignore[arg-type]
    ),
    name(53, "dev%20", RULE),
    ref(54, "-oProxyCommand=id"),
    ref(55, "--upload-pack=touch /x"),
    ref(56, "a..b"),
    ref(57, "x.lock"),
    ref(58, "x y"),
    ref(59, "x;id"),
    ref(60, "$(id)"),
    ref(61, "@{u}"),
    ref(62, "/abs"),
    ref(63, "a//b"),
    model(64, SEED.format("../../x"), OUTSIDE, "keep seeds in the project"),
    model(65, SEED.format("/etc/passwd"), OUTSIDE, "keep seeds in the project"),
    model(66, SEED.format("$root/models/../../x"), OUTSIDE, "keep seeds in the project"),
    Bad(
        67,
        "ModelError",
        ("models/link.sql", "leads outside the project", "copy the file into the project"),
        (plan,),
        {"models/link.sql": Path("/etc/passwd")},
    ),
    # statements after the query are the format's post-statements, so here it is a second query that is refused; where
    # a query stands alone, so is every second statement
    Bad(
        68,
        "",
        ("one", "query"),
        (
            lambda system: system.command("plan", "dev"),
            lambda system: system.command("fetchdf", "SELECT 1; DROP TABLE core.orders"),
        ),
        {"models/bad.sql": f"{HEADER}SELECT 1 AS id; SELECT 2 AS id"},
    ),
    model(
        69,
        f"{HEADER}WITH gone AS (DELETE FROM core.orders RETURNING id) SELECT id FROM gone",
        ":2 DELETE inside a query",
        QUERY,
    ),
    model(70, f"{HEADER}COPY core.orders TO '/x'", ":2 COPY is not a query", QUERY),
    Bad(
        71,
        "ModelError",
        ("audits/bad.sql:2 audit bad: EXPLAIN is not a query", QUERY),
        (plan,),
        {
            "audits/bad.sql": "AUDIT (name bad);\nEXPLAIN ANALYZE DELETE FROM core.orders",
            "models/bad.sql": "MODEL (name core.bad, audits (bad));\nSELECT 1 AS id",
        },
    ),
    model(72, "MODEL (name core__dev.x, kind FULL);\nSELECT 1 AS id", ":1", RESERVED, "in an environment named dev"),
    model(
        73,
        f"MODEL (name core.{'a' * 63}1, kind FULL);\nSELECT 1 AS id",
        "name collision",
        "63 bytes",
        **{"models/other.sql": f"MODEL (name core.{'a' * 63}2, kind FULL);\nSELECT 1 AS id"},
    ),
    Bad(
        74,
        "",
        ("gateway", "production"),
        (
            lambda system: system.command("--gateway", "Prod", "plan"),
            lambda system: system.command("--gateway", "productio", "plan"),
            lambda system: system.command("--gateway", "stranger", "plan"),
        ),
    ),
]
"""Input 75 has many faces: `IN_RUNS`."""

IN_RUNS: dict[str, tuple[Ask, tuple[str, ...]]] = {
    "an unknown plan": (lambda system: agreed(system, "ffff"), ("no plan is known by 'ffff'", "isomesh plan --save")),
    "a plan of another environment": (
        lambda system: agreed(system, system.plans["dev"], "prod"),
        ("is for environment 'dev'", "leave the environment out"),
    ),
    "a megabyte for a plan": (lambda system: agreed(system, "f" * LONG), ("no plan is known by 'fff", "…'")),
    "a megabyte for an environment": (resource(environment="f" * LONG), (TOO_LONG,)),
    "a megabyte for a selection": (
        lambda system: system.run("plan", {"ops": {"make_plan": {"config": {"select": ["f" * LONG]}}}}),
        ("is longer than 10,000 characters", "use patterns or tags"),
    ),
    "another key": (resource(environmnt="dev"), ('unexpected config entry "environmnt"',)),
    "SQL": (
        lambda system: system.run("plan", {"ops": {"make_plan": {"config": {"sql": "DROP TABLE core.orders"}}}}),
        ('unexpected config entry "sql"',),
    ),
    "SQL in a selection": (
        lambda system: system.run(
            "plan", {"ops": {"make_plan": {"config": {"select": ["core.orders; DROP TABLE core.orders"]}}}}
        ),
        ("expected & (both) or | (either)", "^"),
    ),
    "a name of an environment": (resource(environment="dev-1"), (RULE, "dev_1 would be allowed")),
    "a number for an environment": (resource(environment=0), ("environment",)),
}


def test_they_are_seventy_five() -> None:
    assert [one.number for one in BAD] == list(range(1, 75))
    assert IN_RUNS


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: str(bad.number))
def test_it_is_refused_and_nothing_changes(system: System, bad: Bad) -> None:
    before = system.seen()
    for path, content in bad.files.items():
        file = system.root / path
        file.parent.mkdir(exist_ok=True)
        if isinstance(content, Path):
            file.symlink_to(content)
        else:
            file.write_text(content)
    try:
        refusals = [ask(system) for ask in bad.asks]
    finally:
        for path in bad.files:
            (system.root / path).unlink()
            if path in FILES:
                (system.root / path).write_text(FILES[path])
    for told in refusals:
        assert told.kind == bad.kind
        assert not [word for word in bad.words if word not in told.text], told.text
        assert len(told.text) < 1000
        assert all(letter.isprintable() or letter == "\n" for letter in told.text), "a terminal would heed it"
    assert system.seen() == before


@pytest.mark.parametrize("what", IN_RUNS)
def test_a_run_is_refused_and_nothing_changes(system: System, what: str) -> None:
    ask, words = IN_RUNS[what]
    before = system.seen()
    told = ask(system)
    assert not [word for word in words if word not in told.text], told.text[:2000]
    assert len(told.text) < 2000
    assert system.seen() == before


def test_a_plan_that_was_overtaken_is_refused_and_nothing_changes(system: System) -> None:
    before = system.seen()
    file = system.root / "models/orders.sql"
    file.write_text("MODEL (name core.orders, kind FULL);\nSELECT 2 AS id\n")
    try:
        for id, word in zip(system.plans.values(), ("applied already", "made from: core.orders"), strict=True):
            told = system.command("apply", id, "--json")
            assert told.kind == "ConflictingPlanError"
            assert word in told.text
            assert "plan again" in told.text
    finally:
        file.write_text(FILES["models/orders.sql"])
    assert system.seen() == before


def test_a_partition_that_is_no_name_is_refused_and_no_sensor_heeds_it(system: System) -> None:
    system.instance.add_dynamic_partitions("isomesh_environments", ["../x"])
    before = system.seen()
    told = system.run("apply", {}, tags={"dagster/partition": "../x"})
    assert RULE in told.text
    found = system.definitions.resolve_sensor_def("offer_environments")(
        dg.build_sensor_context(instance=system.instance)
    )
    assert isinstance(found, dg.SensorResult | dg.SkipReason)
    assert system.seen() == before
