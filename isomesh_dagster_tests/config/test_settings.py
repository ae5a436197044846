from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from isomesh_dagster.config.connections import DuckDBConnection, PostgresConnection, SqliteConnection
from isomesh_dagster.config.file import read_config
from isomesh_dagster.config.read import load_settings
from isomesh_dagster.config.settings import Settings, state_location
from isomesh_dagster.dialect.style import Style
from isomesh_dagster.errors import ConfigError, EngineError, hide
from isomesh_dagster.lint.settings import LinterSettings
from isomesh_dagster.plan.automatic import AutoCategorize

TWO_GATEWAYS = """\
gateways:
  dev:
    connection:
      type: duckdb
      database: dev.duckdb
    variables: {schema: dev, Limit: 10}
  prod:
    connection:
      type: postgres
      host: ${PROD_HOST}
      port: {{ env_var('PROD_PORT', 5432) }}
      user: isomesh
      password: {{ env_var('PROD_PASSWORD') }}
      database: dwh
    variables: {schema: prod}
    model_defaults: {owner: ops}
model_defaults:
  dialect: DuckDB
  start: 2020-01-01
  owner: team
variables: {schema: none, Limit: 5, flags: [1, {a: true}]}
"""
PROD = {"PROD_HOST": "db.example", "PROD_PASSWORD": "12345"}
TINY = "gateways: {dev: {connection: {type: duckdb}}}\n"
ON_POSTGRES = "gateway: {connection: {type: postgres, host: h, user: u, password: p, port: 5432, database: shop}}\n"


class Spy(Mapping[str, str]):
    """Environment variables that remember which of them were read."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values_by_name = dict(values)
        self.read: set[str] = set()

    def __getitem__(self, name: str) -> str:
        if name in self.values_by_name:
            self.read.add(name)
        return self.values_by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_name)

    def __len__(self) -> int:
        return len(self.values_by_name)

    def __contains__(self, name: object) -> bool:
        return name in self.values_by_name


def load(
    root: Path,
    text: str,
    gateway: str | None = None,
    environ: Mapping[str, str] | None = None,
    name: str = "config.yaml",
) -> Settings:
    (root / name).write_text(text, encoding="utf-8")
    return load_settings(root, gateway, environ={} if environ is None else environ)


def refused(root: Path, text: str, gateway: str | None = None, environ: Mapping[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(root, text, gateway, environ)
    return caught.value


class TestGateway:
    def test_the_first_is_the_default(self, tmp_path: Path) -> None:
        settings = load(tmp_path, TWO_GATEWAYS)
        assert settings.gateway == "dev"
        assert settings.gateways == ("dev", "prod")

    def test_argument_then_variable_then_default_gateway(self, tmp_path: Path) -> None:
        text = TWO_GATEWAYS + "default_gateway: prod\n"
        assert load(tmp_path, text, environ=PROD).gateway == "prod"
        assert load(tmp_path, text, environ={"ISOMESH_GATEWAY": "dev"}).gateway == "dev"
        assert load(tmp_path, text, "prod", environ={**PROD, "ISOMESH_GATEWAY": "dev"}).gateway == "prod"
        assert load(tmp_path, text, environ={**PROD, "ISOMESH_GATEWAY": ""}).gateway == "prod"

    def test_the_anonymous_one_comes_before_the_first(self, tmp_path: Path) -> None:
        settings = load(tmp_path, "gateway: {connection: {type: duckdb, database: a.db}}\n" + TWO_GATEWAYS)
        assert (settings.gateway, settings.gateways) == ("default", ("default", "dev", "prod"))
        assert settings.default_catalog == "a"

    def test_default_connection_serves_gateways_without_one(self, tmp_path: Path) -> None:
        text = "default_connection: {type: duckdb, database: a.db}\n"
        assert load(tmp_path, text).default_catalog == "a"
        settings = load(tmp_path, text + "gateways: {dev: {state_schema: st}}\n")
        assert (settings.gateway, settings.default_catalog, settings.state_schema) == ("dev", "a", "st")

    def test_values_of_the_chosen_one_win_key_by_key(self, tmp_path: Path) -> None:
        settings = load(tmp_path, TWO_GATEWAYS)
        assert settings.variables == {"schema": "dev", "limit": 10, "flags": [1, {"a": True}]}
        assert settings.model_defaults == {"dialect": "DuckDB", "start": "2020-01-01", "owner": "team"}
        assert settings.dialect == "duckdb"
        prod = load(tmp_path, TWO_GATEWAYS, "prod", PROD)
        assert prod.variables["schema"] == "prod"
        assert prod.variables["limit"] == 5
        assert prod.model_defaults["owner"] == "ops"

    @pytest.mark.parametrize("unknown", ["Prd", "production", "x\n"])
    def test_an_unknown_one_is_refused_with_the_known_ones(self, tmp_path: Path, unknown: str) -> None:
        error = refused(tmp_path, TWO_GATEWAYS, unknown)
        assert "there are dev, prod" in error.message
        assert error.path == "--gateway"
        assert refused(tmp_path, TWO_GATEWAYS, environ={"ISOMESH_GATEWAY": unknown}).path == "ISOMESH_GATEWAY"
        default = refused(tmp_path, TWO_GATEWAYS + "default_gateway: prd\n")
        assert (default.path, default.line, default.hint) == ("config.yaml", 22, "did you mean prod?")

    def test_names_follow_the_rule(self, tmp_path: Path) -> None:
        error = refused(tmp_path, "gateways:\n  de v: {connection: {type: duckdb}}\n")
        assert (error.line, error.hint) == (2, "use small letters, digits, _ and -")

    def test_the_case_of_names_does_not_matter(self, tmp_path: Path) -> None:
        one = "gateways:\n  Dev: {connection: {type: duckdb}}\n"
        settings = load(tmp_path, f"{one}default_gateway: DEV\n")
        assert (settings.gateway, settings.gateways) == ("dev", ("dev",))
        assert load(tmp_path, one, "DEV").gateway == "dev"
        assert load(tmp_path, one, environ={"ISOMESH_GATEWAY": "dEv"}).gateway == "dev"
        error = refused(tmp_path, f"{one}  dev: {{connection: {{type: duckdb}}}}\n")
        assert (error.line, error.message) == (3, "there is a gateway 'dev' already; case does not matter")

    def test_an_empty_name_takes_no_other_system(self, tmp_path: Path) -> None:
        error = refused(tmp_path, TWO_GATEWAYS, "")
        assert (error.path, error.message) == ("--gateway", "no gateway without a name; there are dev, prod")
        assert load(tmp_path, TWO_GATEWAYS, environ={"ISOMESH_GATEWAY": ""}).gateway == "dev"

    def test_there_has_to_be_one(self, tmp_path: Path) -> None:
        assert "no gateway" in refused(tmp_path, "project: x\n").message
        assert "no gateway" in refused(tmp_path, "").message
        assert "'connection' is missing" in refused(tmp_path, "gateways:\n  dev: {}\n").message


class TestVariables:
    def test_only_those_of_the_chosen_gateway_are_read(self, tmp_path: Path) -> None:
        environ = Spy(
            {**PROD, "PROD_PORT": "5433", "OTHER": "x", "PROJECT": "p", "ISOMESH__GATEWAYS__PROD__STATE_SCHEMA": "s"}
        )
        text = "project: ${PROJECT}\n" + TWO_GATEWAYS
        load(tmp_path, text, "dev", environ)
        assert environ.read == {"PROJECT"}
        environ.read.clear()
        settings = load(tmp_path, text, "prod", environ)
        assert environ.read == {
            "PROJECT",
            "PROD_HOST",
            "PROD_PORT",
            "PROD_PASSWORD",
            "ISOMESH__GATEWAYS__PROD__STATE_SCHEMA",
        }
        assert settings.state_schema == "s"

    def test_missing_ones_of_other_gateways_do_not_matter(self, tmp_path: Path) -> None:
        assert load(tmp_path, TWO_GATEWAYS, "dev").gateway == "dev"

    def test_a_missing_one_is_named_with_its_key_and_line(self, tmp_path: Path) -> None:
        error = refused(tmp_path, TWO_GATEWAYS, "prod", {"PROD_HOST": "h"})
        assert error.message == "gateways.prod.connection.password: environment variable PROD_PASSWORD is not set"
        assert (error.path, error.line) == ("config.yaml", 13)
        assert refused(tmp_path, TWO_GATEWAYS, "prod", {"PROD_PASSWORD": "x"}).line == 10

    def test_unquoted_values_become_what_their_key_takes(self, tmp_path: Path) -> None:
        settings = load(tmp_path, TWO_GATEWAYS, "prod", PROD)
        connection = settings.connection
        assert isinstance(connection, PostgresConnection)
        assert connection.port == 5432
        assert connection.password.get_secret_value() == "12345"  # digits stay text where text is wanted

    @pytest.mark.parametrize(
        "secret", ["0123", "1e5", "yes", "null", "a: b", "#x", "{{ user() }}", "${X}", " spaced ", "é"]
    )
    def test_values_are_taken_as_they_are(self, tmp_path: Path, secret: str) -> None:
        connection = load(tmp_path, TWO_GATEWAYS, "prod", {**PROD, "PROD_PASSWORD": secret}).connection
        assert isinstance(connection, PostgresConnection)
        assert connection.password.get_secret_value() == secret

    @pytest.mark.parametrize(
        ("written", "value"),
        [
            ("{{ env_var('N') }}", 7),
            ("{{ env_var('M', 'no') }}", "no"),
            ("'{{ env_var(\"N\") }}'", "7"),
            ("{{ env_var('N') | int }}", 7),
            ("${N}", 7),
            ('"${N}"', "7"),
            ("n{{env_var('N')}}-${N}", "n7-7"),
            ("{{ env_var('M', 'd') }}", "d"),
            ("{{ env_var('M', default=1.5) }}", 1.5),
            ("{{ env_var('M', True) }}", True),
            ("${M:-a b}", "a b"),
            ("${M:-}", None),
            ("$${N}", "${N}"),
            ("{{ '{{' }}", "{{"),
            ("{{- user() -}}", "ada"),
            ("[{{ env_var('N') }}, x]", [7, "x"]),
            ("0x10", 16),
            ("0o10", 8),
            ("010", 10),
            ("1_000", 1000),
            ("1e3", 1000.0),
            (".5", 0.5),
            ("NO", "NO"),
            ("on", "on"),
            ("10:30", "10:30"),
            ("True", True),
            ("!!str 010", "010"),
            ("&one !!str 010", "010"),
            ("&one 010", 10),
            ("&one ${N}", 7),
            ("'010'", "010"),
            ("2020-01-01", "2020-01-01"),
            ("~", None),
            ("|\n    two\n    lines", "two\nlines\n"),
        ],
    )
    def test_replaced_parts(self, tmp_path: Path, written: str, value: object) -> None:
        text = f"{TINY}variables:\n  x: {written}\n"
        assert load(tmp_path, text, environ={"N": "7", "LOGNAME": "ada"}).variables["x"] == value

    @pytest.mark.parametrize(
        "written",
        [
            "{{ env_var('N') | upper }}",
            "{{ var('x') }}",
            "{{ env_var(N) }}",
            "{{ 1 + 1 }}",
            "{{ }}",
            "{{ env_var('N', []) }}",
        ],
    )
    def test_other_expressions_are_refused(self, tmp_path: Path, written: str) -> None:
        error = refused(tmp_path, f"{TINY}variables:\n  x: {written}\n", environ={"N": "7"})
        assert error.message == "variables.x: this expression is not supported"
        assert error.line == 3

    @pytest.mark.parametrize("written", ["{% if true %}", "x: {# note #} 1", "x: {{ env_var(\n  'N') }}", "{{ x }}: 1"])
    def test_more_of_jinja_is_refused(self, tmp_path: Path, written: str) -> None:
        error = refused(tmp_path, f"{TINY}{written}\n")
        assert (error.path, error.line) == ("config.yaml", 2)

    def test_a_block_in_a_value_matters_to_who_asks_for_the_value(self, tmp_path: Path) -> None:
        other = (
            "  other: {connection: {type: mssql, trust: {% if env_var('X') == 'a, b' %}true{% else %}false{% endif %}}}"
        )
        text = f"gateways:\n  dev: {{connection: {{type: duckdb}}}}\n{other}\n"
        assert load(tmp_path, text).gateways == ("dev", "other")
        error = refused(tmp_path, f"{TINY}variables:\n  x: {{% if true %}}1{{% endif %}}\n")
        assert (error.message, error.line) == ("variables.x: Jinja blocks are not supported in configuration", 3)

    def test_comments_are_not_read(self, tmp_path: Path) -> None:
        load(tmp_path, f"# {{{{ env_var('NOWHERE') }}}} {{% x %}}\n{TINY}project: x # {{{{ env_var('NOWHERE') }}}}\n")

    def test_keys_that_change_nothing_are_not_read(self, tmp_path: Path) -> None:
        environ = Spy({"X": "1"})
        load(
            tmp_path,
            TINY + "log_limit: ${X}\nui: {width: '${X}'}\nrun: {environment_check_interval: 10}\n",
            None,
            environ,
        )
        assert environ.read == set()


class TestDotenv:
    def test_overrides_the_process_and_leaves_it_alone(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text(
            "N=1\nHOST='a b'\nexport URL=${HOST}/${N}${MISSING}${OTHER:-!}\n", encoding="utf-8"
        )
        environ = {"N": "2", "P": "3"}
        text = TINY + "variables: {n: '${N}', p: '${P}', url: '${URL}'}\n"
        assert load(tmp_path, text, environ=environ).variables == {"n": "1", "p": "3", "url": "a b/1!"}
        assert environ == {"N": "2", "P": "3"}

    def test_the_process_chooses_the_gateway(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("ISOMESH_GATEWAY=prod\nPROD_HOST=h\nPROD_PASSWORD=p\n", encoding="utf-8")
        assert load(tmp_path, TWO_GATEWAYS).gateway == "prod"
        assert load(tmp_path, TWO_GATEWAYS, environ={"ISOMESH_GATEWAY": "dev"}).gateway == "dev"


class TestOverlays:
    def test_a_persons_file_lies_over_the_projects(self, tmp_path: Path) -> None:
        home = tmp_path / "home"
        home.mkdir()
        (home / "config.yaml").write_text(
            "gateways: {dev: {connection: {database: mine.db}}, own: {connection: {type: duckdb}}}\n"
            "ignore_patterns: [b]\nvariables: {schema: mine}\n",
            encoding="utf-8",
        )
        text = TWO_GATEWAYS + "ignore_patterns: [a]\n"
        settings = load(tmp_path, text, environ={"ISOMESH_HOME": str(home)})
        assert settings.gateways == ("dev", "prod", "own")
        assert settings.default_catalog == "mine"
        assert settings.ignore_patterns == ("b",), "as in the anchor, a list is replaced"
        folder = tmp_path / ".isomesh"
        home.rename(folder)
        assert load(tmp_path, text, environ={"HOME": str(tmp_path)}).default_catalog == "mine"

    def test_a_connection_of_another_type_replaces_the_whole(self, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        overlay = "gateways: {prod: {connection: {type: duckdb, database: own.db}}}\n"
        (tmp_path / "home" / "config.yml").write_text(overlay, encoding="utf-8")
        settings = load(tmp_path, TWO_GATEWAYS, "prod", {"ISOMESH_HOME": str(tmp_path / "home")})
        assert settings.default_catalog == "own"

    def test_variables_lie_over_files(self, tmp_path: Path) -> None:
        environ = {
            "ISOMESH__GATEWAYS__DEV__CONNECTION__CONCURRENT_TASKS": "4",
            "isomesh__variables__limit": "7",
            "ISOMESH__DEFAULT_GATEWAY": "dev",
            "ISOMESH__PROJECT": "0123",
        }
        text = TWO_GATEWAYS.replace("Limit: 10", "x: 1").replace("Limit: 5", "limit: 5") + "default_gateway: prod\n"
        settings = load(tmp_path, text, environ=environ)
        assert settings.concurrent_tasks == 4
        assert settings.variables["limit"] == 7
        assert settings.project == "0123"

    def test_a_variable_means_a_key_in_any_case(self, tmp_path: Path) -> None:
        text = TWO_GATEWAYS.replace("dev:", "Dev:").replace("Limit: 5", "Lim: 1")
        environ = {"ISOMESH__GATEWAYS__DEV__CONNECTION__CONCURRENT_TASKS": "4", "ISOMESH__VARIABLES__LIM": "x y"}
        settings = load(tmp_path, text, "dev", environ)
        assert settings.concurrent_tasks == 4
        assert settings.variables["lim"] == "x y"

    def test_variables_have_one_value(self, tmp_path: Path) -> None:
        error = refused(tmp_path, TINY, environ={"ISOMESH__PINNED_ENVIRONMENTS": "[a]"})
        assert (error.path, error.message) == ("ISOMESH__PINNED_ENVIRONMENTS", "pinned_environments: must be a list")

    def test_the_overlay_of_the_anchor_is_told(self, tmp_path: Path) -> None:
        environ = {
            "SQLMESH__DEFAULT_GATEWAY": "x",
            "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
            "SQLMESH_HOME": "/",
        }
        notes = load(tmp_path, TINY, environ=environ).notes
        assert notes == ("SQLMESH__DEFAULT_GATEWAY is not read: write ISOMESH__DEFAULT_GATEWAY",)

    def test_another_file_of_variables(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("P=one\nISOMESH__DEFAULT_GATEWAY=nobody\n")
        (tmp_path / "other.env").write_text("P=two\n")
        environ = {"ISOMESH_DOTENV": str(tmp_path / "other.env")}
        assert load(tmp_path, TINY + "project: ${P}\n", environ=environ).project == "two"
        error = refused(tmp_path, TINY, environ={"ISOMESH_DOTENV": "gone.env"})
        assert (error.path, error.message) == ("gone.env", "there is no such file of variables")

    def test_errors_name_the_variable(self, tmp_path: Path) -> None:
        assert refused(tmp_path, TINY, environ={"ISOMESH__SNAPSHOT_TTL": "1 week ago"}).path == "ISOMESH__SNAPSHOT_TTL"
        assert refused(tmp_path, TINY, environ={"ISOMESH__PROJCT": "x"}).path == "ISOMESH__PROJCT"
        clash = {"ISOMESH__PLAN": "x", "ISOMESH__PLAN__AUTO_APPLY": "true"}
        assert refused(tmp_path, TINY, environ=clash).path == "ISOMESH__PLAN__AUTO_APPLY"


class TestFiles:
    @pytest.mark.parametrize("name", ["config.yaml", "config.yml", "sqlmesh.yaml", "sqlmesh.yml"])
    def test_any_of_the_names(self, tmp_path: Path, name: str) -> None:
        assert load(tmp_path, TINY, name=name).gateway == "dev"

    def test_two_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "sqlmesh.yml").write_text(TINY, encoding="utf-8")
        assert "both config.yaml and sqlmesh.yml" in refused(tmp_path, TINY).message

    def test_python_is_refused_and_none_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"no config\.yaml"):
            load_settings(tmp_path, environ={})
        (tmp_path / "config.py").write_text("raise SystemExit", encoding="utf-8")
        with pytest.raises(ConfigError, match="in Python is not supported"):
            load_settings(tmp_path, environ={})

    def test_yaml_errors_tell_the_place_and_never_the_text(self, tmp_path: Path) -> None:
        error = refused(tmp_path, 'project: x\npassword: "hunter2\n')
        assert error.message == "is not valid YAML"
        assert error.line is not None
        wrong = refused(tmp_path, "a: {{ env_var('X') }} hunter2: x: y\n")
        assert (wrong.line, wrong.column) == (1, 30)
        for shown in (error, wrong, refused(tmp_path, "a: *hunter2\n"), refused(tmp_path, "? {hunter2: 1}\n: 2\n")):
            assert "hunter2" not in str(shown)
            assert shown.__cause__ is None

    def test_a_file_that_cannot_be_read_says_why(self, tmp_path: Path) -> None:
        (tmp_path / "config.yaml").symlink_to("config.yaml")
        with pytest.raises(ConfigError, match="cannot be read: Too many levels of symbolic links"):
            read_config(tmp_path / "config.yaml", "config.yaml")

    def test_a_key_written_twice(self, tmp_path: Path) -> None:
        error = refused(tmp_path, TINY + "project: a\nproject: b\n")
        assert (error.line, error.message) == (3, "key 'project' is written twice")

    def test_anchors_and_merge_keys(self, tmp_path: Path) -> None:
        text = """\
        gateways:
          dev:
            connection: &base
              type: duckdb
              database: dev.db
              concurrent_tasks: 2
          test:
            connection:
              <<: *base
              database: test.db
        """
        settings = load(tmp_path, dedent(text), "test")
        assert (settings.default_catalog, settings.concurrent_tasks) == ("test", 2)
        assert "contains itself" in refused(tmp_path, "users: &a [*a]\n").message


class TestKeys:
    def test_defaults(self, tmp_path: Path) -> None:
        settings = load(tmp_path, TINY)
        assert settings.snapshot_ttl == settings.environment_ttl == timedelta(weeks=1)
        assert settings.default_target_environment == "prod"
        assert settings.environment_suffix_target == "schema"
        assert settings.state_schema == "isomesh"
        assert settings.dialect == "duckdb"
        assert not settings.plan.no_diff
        assert not settings.plan.auto_apply
        assert settings.physical_schema("shop") == "isomesh__shop"

    def test_an_unknown_dialect_is_refused_where_it_is_written(self, tmp_path: Path) -> None:
        error = refused(tmp_path, TINY + "model_defaults:\n  dialect: duckdbb\n")
        assert (error.line, error.hint) == (3, "did you mean duckdb?")
        assert load(tmp_path, TINY + "model_defaults: {dialect: snowflake}\n").dialect == "snowflake"

    def test_given(self, tmp_path: Path) -> None:
        settings = load(
            tmp_path,
            TINY
            + dedent("""\
            project: shop
            snapshot_ttl: in 2 days
            environment_ttl: null
            pinned_environments: [staging]
            default_target_environment: dev
            environment_suffix_target: table
            physical_schema_mapping:
              ^raw: landing
              .*_mart$: marts
            time_column_format: '%Y%m%d'
            plan:
              no_prompts: false
              no_diff: true
              auto_apply: true
              include_unmodified: true
              auto_categorize_changes: {sql: SEMI, seed: off, python: full}
            """),
        )
        assert settings.snapshot_ttl == timedelta(days=2)
        assert settings.environment_ttl is None
        assert settings.pinned_environments == ("staging",)
        assert settings.environment_suffix_target == "table"
        assert settings.physical_schema("raw_eu") == "landing"
        assert settings.physical_schema("sales_mart") == "marts"
        assert settings.physical_schema("draw") == "isomesh__draw"
        assert settings.plan.no_diff
        assert settings.plan.auto_apply
        assert settings.plan.auto_categorize == AutoCategorize(sql="semi", seed="off", external="full")

    @pytest.mark.parametrize(
        ("line", "hint"),
        [
            ("snapshot_tll: in 1 week", "did you mean snapshot_ttl?"),
            ("plan: {auto_aply: true}", "did you mean auto_apply?"),
            ("model_defaults: {dialct: duckdb}", "did you mean dialect?"),
        ],
    )
    def test_unknown_ones_are_told_with_line_and_nearest(self, tmp_path: Path, line: str, hint: str) -> None:
        error = refused(tmp_path, f"{TINY}{line}\n")
        assert "unknown key" in error.message
        assert (error.path, error.line, error.hint) == ("config.yaml", 2, hint)

    def test_catalogs_of_environments(self, tmp_path: Path) -> None:
        files = "gateway: {connection: {type: duckdb, catalogs: {a: a.db, B: b.db}}}\n"
        settings = load(tmp_path, files + "environment_catalog_mapping: {'^prod$': A, '^dev': b}\n")
        assert settings.environment_catalog_mapping == (("^prod$", None), ("^dev", "B"))
        assert load(tmp_path, f"{TINY}environment_catalog_mapping:\n").environment_catalog_mapping == ()
        assert load(tmp_path, f"{TINY}environment_suffix_target: catalog\n").environment_suffix_target == "catalog"
        own = "environment_catalog_mapping: {'.*': shop}\n"
        assert load(tmp_path, ON_POSTGRES + own).environment_catalog_mapping == ((".*", None),)

    @pytest.mark.parametrize(
        ("connection", "lines", "line", "message", "hint"),
        [
            (
                "duckdb",
                "environment_catalog_mapping:\n  prod: a\n  dev: bb\n",
                4,
                "dev: no catalog 'bb'",
                "did you mean b?",
            ),
            ("duckdb", "environment_catalog_mapping: {dev: c}\n", 2, "dev: the catalog 'c' is read_only", "read_only"),
            (
                "duckdb",
                "environment_suffix_target: catalog\nenvironment_catalog_mapping: {dev: b}\n",
                3,
                "environment_suffix_target: catalog says already",
                "remove one of the two",
            ),
            ("postgres", "environment_catalog_mapping: {dev: b}\n", 2, "views cannot be in 'b'", "remove the mapping"),
            ("postgres", "environment_suffix_target: catalog\n", 2, "sees its own database 'shop' only", "`schema`"),
        ],
    )
    def test_catalogs_that_environments_cannot_have(
        self, tmp_path: Path, connection: str, lines: str, line: int, message: str, hint: str
    ) -> None:
        files = (
            "gateway: {connection: {type: duckdb, catalogs: {a: a.db, b: b.db, c: {path: c.db, read_only: true}}}}\n"
        )
        error = refused(tmp_path, (files if connection == "duckdb" else ON_POSTGRES) + lines)
        assert error.line == line
        assert message in error.message
        assert hint in (error.hint or "")

    def test_unknown_ones_of_a_gateway(self, tmp_path: Path) -> None:
        error = refused(tmp_path, "gateways:\n  dev:\n    connection: {type: duckdb}\n    state_conection: {}\n")
        assert (error.message, error.line) == ("gateways.dev: unknown key 'state_conection'", 4)
        assert error.hint == "did you mean state_connection?"

    @pytest.mark.parametrize(
        "line",
        [
            "virtual_environment_mode: dev_only",
            "gateway_managed_virtual_layer: true",
            "dbt: {}\nloader: x",
            "default_scheduler: {type: airflow}",
        ],
    )
    def test_known_ones_we_do_not_support_are_never_dropped_in_silence(self, tmp_path: Path, line: str) -> None:
        error = refused(tmp_path, f"{TINY}{line}\n")
        assert "not supported" in error.message
        assert "remove it" in error.message
        assert error.line in (2, 3)

    def test_what_people_may_wait_for_is_told(self, tmp_path: Path) -> None:
        lines = """\
        users: [{username: a, roles: [required_approver]}]
        notification_targets: [{type: slack_webhook, url: "{{ env_var('NOT_SET') }}"}]
        cicd_bot: {type: github}
        """
        notes = load(tmp_path, TINY + dedent(lines)).notes
        assert sorted(note.split()[0] for note in notes) == ["cicd_bot", "notification_targets", "users"]
        assert load(tmp_path, f"{TINY}users: []\ncicd_bot: null\n").notes == ()
        connection = "default_connection: {type: duckdb, pretty_sql: true}\ngateways: {one: {variables: {}}}\n"
        assert [note.split()[0] for note in load(tmp_path, connection).notes] == ["connection.pretty_sql"]

    def test_known_ones_at_their_default_are_fine(self, tmp_path: Path) -> None:
        lines = """\
        before_all: []
        cicd_bot: null
        physical_table_naming_convention: schema_and_table
        virtual_environment_mode: full
        gateway_managed_virtual_layer: false
        model_naming: {infer_names: false}
        default_scheduler: {type: builtin}
        plan: {forward_only: true, enable_preview: false, use_finalized_state: false}
        linter: {enabled: false, rules: ALL}
        format: {normalize: true}
        ui: {format_on_save: false}
        disable_anonymized_analytics: true
        """
        assert load(tmp_path, TINY + dedent(lines)).notes == ()

    def test_the_linter_and_the_layout_of_files(self, tmp_path: Path) -> None:
        lines = """
        linter: {enabled: true, rules: NoSelectStar, warn_rules: [NoMissingAudits], ignored_rules: []}
        format: {indent: 4, max_text_width: 100, leading_comma: true, normalize_functions: false}
        """
        settings = load(tmp_path, TINY + dedent(lines))
        assert settings.linter == LinterSettings(enabled=True, rules=("noselectstar",), warn_rules=("nomissingaudits",))
        assert settings.format == Style(
            indent=4, pad=4, max_text_width=100, leading_comma=True, normalize_functions=None
        )

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("environment_suffix_target: schemas", "environment_suffix_target: must be 'schema', 'table' or 'catalog'"),
            ("snapshot_ttl: 1 week ago", "snapshot_ttl: '1 week ago' does not lie in the future"),
            ("default_target_environment: Dev-1", "default_target_environment: environment name 'Dev-1': must match"),
            ("default_target_environment: true", "must be a string"),
            ("pinned_environments: [dev, main]", "pinned_environments[1]: environment name 'main': is reserved"),
            (
                "scheduled_environments: ['*', PR_*]",
                "scheduled_environments[1]: 'PR_*' can be the name of no environment",
            ),
            ("scheduled_environments: [1]", "scheduled_environments[0]: environment name must be a string"),
            ("physical_schema_mapping: {'(': x}", "is not a regular expression"),
            ("project: 7", "project: must be text"),
            ("variables: [1]", "variables: must hold `key: value` lines"),
            ("variables: {A: 1, a: 2}", "variables: 'a' is written twice"),
            ("model_defaults: {dialect: 7}", "model_defaults.dialect: must be text"),
            ("project: !!python/object:os.system x", "tags"),
        ],
    )
    def test_wrong_values(self, tmp_path: Path, line: str, message: str) -> None:
        error = refused(tmp_path, f"{TINY}{line}\n")
        assert message in error.message
        assert error.line == 2

    def test_a_start_of_digits_is_a_date(self, tmp_path: Path) -> None:
        assert load(tmp_path, TINY + "model_defaults: {start: 20200101}\n").model_defaults["start"] == "20200101"


def gateway(connection: str, state: str | None = None) -> str:
    lines = f"gateways:\n  dev:\n    connection: {connection}\n"
    return lines + (f"    state_connection: {state}\n" if state else "")


POSTGRES = "{type: postgres, host: h, user: u, password: '${PW}', port: 5432, database: dwh}"


class TestConnections:
    def test_duckdb_paths_start_at_the_project(self, tmp_path: Path) -> None:
        connection = load(tmp_path, gateway("{type: duckdb, database: data/my-db.duckdb}")).connection
        assert isinstance(connection, DuckDBConnection)
        assert connection.path == tmp_path / "data" / "my-db.duckdb"
        assert connection.default_catalog == "my-db"
        absolute = load(tmp_path, gateway("{type: duckdb, database: /srv/a.db}")).connection
        assert isinstance(absolute, DuckDBConnection)
        assert absolute.path == Path("/srv/a.db")

    @pytest.mark.parametrize("written", ["{type: duckdb}", "{type: duckdb, database: ':memory:'}"])
    def test_duckdb_in_memory(self, tmp_path: Path, written: str) -> None:
        settings = load(tmp_path, gateway(written))
        assert settings.default_catalog == "memory"
        location = state_location(settings)
        assert (location.kind, location.path) == ("sqlite", None)
        assert location.note

    def test_duckdb_catalogs_extensions_secrets(self, tmp_path: Path) -> None:
        text = """\
        gateways:
          dev:
            connection:
              type: duckdb
              catalogs:
                main_db: a.db
                other: {type: duckdb, path: b.db, read_only: true}
              extensions:
                - icu
                - {name: h3, repository: community}
              connector_config:
                {threads: '{{ env_var("T") }}', memory_limit: 1GB, s3_secret_access_key: ${KEY}, workers: ${T}}
              secrets:
                lake: {type: s3, key_id: AKIA, secret: '${KEY}', use_ssl: true}
        """
        settings = load(tmp_path, dedent(text), environ={"KEY": "hunter2", "T": "4"})
        connection = settings.connection
        assert isinstance(connection, DuckDBConnection)
        assert settings.default_catalog == "main_db"
        assert connection.path == tmp_path / "a.db"
        assert connection.catalogs["other"].read_only
        assert [(item.name, item.repository) for item in connection.extensions] == [("icu", None), ("h3", "community")]
        assert connection.connector_config["threads"] == "4"
        assert connection.connector_config["workers"] == 4
        (secret,) = connection.secrets
        assert (secret.name, secret.type) == ("lake", "s3")
        assert {name: value.get_secret_value() for name, value in secret.options.items()} == {
            "key_id": "AKIA",
            "secret": "hunter2",
            "use_ssl": "true",
        }
        assert set(settings.secret_values()) == {"AKIA", "hunter2", "true"}
        assert "hunter2" not in repr(settings)

    def test_postgres(self, tmp_path: Path) -> None:
        settings = load(tmp_path, gateway(POSTGRES), environ={"PW": "hunter2"})
        connection = settings.connection
        assert isinstance(connection, PostgresConnection)
        assert (settings.default_catalog, settings.dialect, settings.concurrent_tasks) == ("dwh", "postgres", 4)
        assert settings.secret_values() == ("hunter2",)
        assert "hunter2" not in repr(settings) + str(connection) + connection.model_dump_json()

    def test_what_is_not_supported_may_be_empty(self, tmp_path: Path) -> None:
        options = "filesystems: [], token: , schema_differ_overrides: {}"
        written = f"gateways: {{dev: {{connection: {{type: duckdb, database: a, {options}}}}}}}"
        assert load(tmp_path, written).connection.concurrent_tasks == 1

    @pytest.mark.parametrize(
        ("connection", "message"),
        [
            ("{type: snowflake, account: hunter2}", "type snowflake is not supported yet"),
            ("{type: hunter2}", "the type is not known"),
            ("{type: sqlite, database: x}", "sqlite can hold state only"),
            ("{database: hunter2}", "'type' is missing"),
            ("{type: duckdb, database: a, catalogs: {b: hunter2}}", "give database or catalogs, not both"),
            ("{type: duckdb, catalogs: {b: {path: hunter2, read_only: true}}}", "cannot be read_only"),
            ("{type: duckdb, database: 'md:hunter2'}", "only local files"),
            ("{type: duckdb, database: ''}", "is empty"),
            ("{type: duckdb, token: hunter2}", "gateways.dev.connection.token is not supported yet"),
            (
                "{type: duckdb, concurrent_tasks: hunter2}",
                "gateways.dev.connection.concurrent_tasks: must be a valid integer",
            ),
            (
                "{type: duckdb, extensions: [{nam: hunter2}]}",
                "gateways.dev.connection.extensions[0]: 'name' is missing",
            ),
            ("{type: duckdb, secrets: [{secret: hunter2}]}", "gateways.dev.connection.secrets[0]: 'type' is missing"),
            ("{type: duckdb, secrets: [{type: s3, secret: [hunter2]}]}", "must be"),
            ("{type: duckdb, secrets: [hunter2]}", "each secret must be a mapping"),
            ("{type: duckdb, catalogs: {a: {type: mysql, path: hunter2}}}", "must be 'duckdb'"),
            ("{type: postgres, host: h, user: u, passwrod: hunter2, port: 1, database: d}", "unknown key 'passwrod'"),
            (
                "{type: postgres, host: h, user: u, password: hunter2, port: hunter2, database: d}",
                "port: must be a valid integer",
            ),
            ("{type: postgres, host: h, user: u, password: 7, port: 1, database: d}", "password: must be text"),
            ("{type: postgres, host: h, user: u, password: hunter2, port: 1}", "'database' is missing"),
            ("hunter2", "must hold `key: value` lines"),
        ],
    )
    def test_wrong_ones_are_told_without_their_values(self, tmp_path: Path, connection: str, message: str) -> None:
        error = refused(tmp_path, gateway(connection))
        assert message in error.message
        assert (error.path, error.line) == ("config.yaml", 3)
        assert "hunter2" not in str(error)
        assert error.__cause__ is None
        assert error.__suppress_context__ or error.__context__ is None

    def test_several_complaints_are_told_at_once(self, tmp_path: Path) -> None:
        error = refused(tmp_path, gateway("\n      type: postgres\n      host: h\n      usr: u\n      port: x"))
        assert error.line == 3  # what is missing is told at the connection itself
        for complaint in ("'user' is missing", "'password' is missing", "unknown key 'usr'", "config.yaml:7"):
            assert complaint in str(error)


class TestState:
    def test_beside_the_warehouse_by_default(self, tmp_path: Path) -> None:
        location = state_location(load(tmp_path, gateway("{type: duckdb, database: dev.duckdb}")))
        assert (location.kind, location.path, location.note) == ("sqlite", tmp_path / "dev.duckdb.state.sqlite", None)

    def test_in_the_warehouse_when_it_is_postgres(self, tmp_path: Path) -> None:
        location = state_location(load(tmp_path, gateway(POSTGRES) + "    state_schema: st\n", environ={"PW": "x"}))
        assert (location.kind, location.schema) == ("postgres", "st")
        assert location.connection is not None
        assert location.connection.database == "dwh"

    def test_sqlite(self, tmp_path: Path) -> None:
        settings = load(tmp_path, gateway("{type: duckdb, database: d.db}", "{type: sqlite, database: st/s.sqlite}"))
        assert isinstance(settings.state_connection, SqliteConnection)
        assert state_location(settings).path == tmp_path / "st" / "s.sqlite"

    def test_postgres_beside_duckdb(self, tmp_path: Path) -> None:
        settings = load(tmp_path, gateway("{type: duckdb, database: d.db}", POSTGRES), environ={"PW": "hunter2"})
        assert state_location(settings).kind == "postgres"
        assert "hunter2" not in repr(state_location(settings))

    def test_duckdb_is_kept_in_sqlite_and_told(self, tmp_path: Path) -> None:
        location = state_location(
            load(tmp_path, gateway("{type: duckdb, database: d.db}", "{type: duckdb, database: s.db}"))
        )
        assert location.path == tmp_path / "s.db.state.sqlite"
        assert location.note
        assert "SQLite" in location.note

    @pytest.mark.parametrize("state", ["{type: duckdb}", "{type: sqlite, database: ':memory:'}"])
    def test_in_memory_beside_a_file_is_refused(self, tmp_path: Path, state: str) -> None:
        error = refused(tmp_path, gateway("{type: duckdb, database: d.db}", state))
        assert "lost with the process" in error.message
        assert error.line == 4


class TestSecretsBesidesPasswords:
    def test_those_in_addresses_are_known(self) -> None:
        connection = DuckDBConnection(
            extensions=[{"name": "x", "repository": "https://jo:r3po-tok3n@example.com/x"}],
            allowed_paths=["https://store.example.com/?sig=s%2Fig&version=3"],
            connector_config={
                "http_proxy": "http://jo:pr%40xy@proxy:1",
                "threads": 4,
                "azure": "Name=n;AccountKey=acc==",
            },
        )
        assert {"r3po-tok3n", "s%2Fig", "s/ig", "pr%40xy", "pr@xy", "acc=="} == set(connection.secret_values())
        assert not any(value in repr(connection) for value in connection.secret_values())

    def test_statements_name_variables_and_hold_no_values(self, tmp_path: Path) -> None:
        text = TWO_GATEWAYS + "before_all: ['SELECT ${PROD_PASSWORD}', 'SELECT 1;']\nafter_all: SELECT 2\n"
        settings = load(tmp_path, text, "prod", {**PROD, "PROD_PASSWORD": "hunter-22"})
        assert settings.before_all == ("SELECT ${PROD_PASSWORD}", "SELECT 1")
        assert settings.after_all == ("SELECT 2",)
        assert settings.filled(settings.before_all[0]) == "SELECT hunter-22"
        assert "hunter-22" not in repr(settings)
        assert EngineError("near hunter-22: hunter-22").message == "near ***: ***"
        with pytest.raises(ConfigError, match="NEVER_SET is not set"):
            load(tmp_path, TWO_GATEWAYS + "before_all: ['SELECT ${NEVER_SET}']\n", "prod", PROD)

    def test_variables_that_seem_to_be_secrets_are_told(self, tmp_path: Path) -> None:
        text = "gateways: {prod: {connection: {type: duckdb}}}\nvariables: {a: '${API_TOKEN}', b: '${COUNTRY}'}\n"
        (note,) = load(tmp_path, text, "prod", {"API_TOKEN": "x", "COUNTRY": "ch"}).notes
        assert "API_TOKEN" in note

    def test_a_password_that_is_a_word_of_the_configuration_hides_nothing(self) -> None:
        hide(["a-hidden-one", "short", "warehouse"], ["warehouse"])
        error = EngineError("short, a-hidden-one and a%2Dhidden%2Done", hint="the warehouse: 'a-hidden-one'")
        assert (error.message, error.hint) == ("short, *** and a%2Dhidden%2Done", "the warehouse: '***'")


@pytest.mark.parametrize(("names", "told"), [(("config.yaml", "config.yml"), "both"), (("config.py",), "config.py")])
def test_a_commit_whose_configuration_cannot_be_told_is_refused(
    tmp_path: Path, names: tuple[str, ...], told: str
) -> None:
    (tmp_path / "config.yaml").write_text(TINY)
    checkout = tmp_path / "commit"
    checkout.mkdir()
    load_settings(tmp_path, None, environ={}, checkout=checkout, checkout_decides=True)  # an older one may have none
    for name in names:
        (checkout / name).write_text("")
    with pytest.raises(ConfigError, match=told):
        load_settings(tmp_path, None, environ={}, checkout=checkout, checkout_decides=True)
