"""`git:` in config.yaml: what is accepted, what it means for refs, and its page."""

import re
from pathlib import Path
from textwrap import dedent

import pytest
from pydantic import ValidationError

from isomesh_dagster.config.git import (
    BOT_KEYS,
    GitConfig,
    LimitsConfig,
    StatusConfig,
    environment_of,
    matches,
    ref_problem,
)
from isomesh_dagster.config.read import load_settings
from isomesh_dagster.config.settings import Settings
from isomesh_dagster.errors import ConfigError
from isomesh_dagster.model.names import validate_environment

PAGE = (Path(__file__).parents[2] / "docs" / "git.md").read_text(encoding="utf-8")

TINY = "gateways: {here: {connection: {type: duckdb}}}\nmodel_defaults: {dialect: duckdb}\n"


def load(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "config.yaml").write_text(dedent(text))
    return load_settings(tmp_path, environ={})


class TestThePage:
    def test_every_key_is_told(self) -> None:
        told = set(re.findall(r"`([\w.]+)`", PAGE))
        wanted = {*GitConfig.model_fields, *(f"limits.{name}" for name in LimitsConfig.model_fields)} - {"limits"}
        assert wanted - told == set()
        assert "api" in StatusConfig.model_fields
        assert "`status.api`" in PAGE

    def test_its_examples_load(self, tmp_path: Path) -> None:
        examples = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
        assert len(examples) == 4
        for example in examples:
            text = example if "gateways:" in example else f"{TINY}{example}"
            assert load(tmp_path, text).git is not None

    def test_every_key_of_the_bot_that_counts_is_told(self) -> None:
        for name, meant in BOT_KEYS.items():
            if meant in GitConfig.model_fields:
                assert f"`{name}`" in PAGE


class TestRefs:
    @pytest.mark.parametrize(
        "name",
        [
            *("-oProxyCommand=id", "--upload-pack=touch /x", "a..b", "x.lock", "x y", "x;id", "$(id)", "@{u}", "/abs"),
            *(
                "a//b",
                "a/.b",
                "",
                "a\n",
                "a\0",
                "`id`",
                "a" * 251,
                "x/",
                "a\\b",
                "dév",
                "refs/heads/a~1",
                "a^",
                "a:b",
                "a?",
            ),
        ],
    )
    def test_bad_names(self, name: str) -> None:
        assert ref_problem(name)

    @pytest.mark.parametrize("name", ["main", "feature/new-thing_2", "refs/pull/12/head", "v1.0", "a@b", "a+b=c"])
    def test_good_names(self, name: str) -> None:
        assert ref_problem(name) is None

    def test_patterns_are_about_whole_names(self) -> None:
        assert matches("main", "refs/heads/main")
        assert not matches("main", "refs/tags/main")
        assert not matches("main", "refs/heads/main2")
        assert not matches("main", "refs/heads/x/main")
        assert matches("feature/*", "refs/heads/feature/a")
        assert not matches("feature/*", "refs/heads/feature/a/b")
        assert matches("feature/**", "refs/heads/feature/a/b")
        assert not matches("a.c", "refs/heads/abc")
        assert matches("refs/pull/*/head", "refs/pull/1/head")
        assert not matches("refs/pull/*/head", "refs/heads/refs/pull/1/head")

    @pytest.mark.parametrize(
        ("ref", "environment"),
        [
            ("refs/pull/12/head", "pr_12"),
            ("refs/merge-requests/7/head", "pr_7"),
            ("refs/heads/feature/New-Thing", "feature_new_thing"),
            ("refs/heads/1abc", "b_1abc"),
            ("refs/heads/prod", "b_prod"),
            ("refs/heads/main", "b_main"),
            ("refs/heads/pg_x", "b_pg_x"),
            ("refs/heads/a__b", "a_b"),
        ],
    )
    def test_names_of_environments(self, ref: str, environment: str) -> None:
        assert environment_of(ref, "pr") == environment

    def test_long_names_stay_apart(self) -> None:
        names = {environment_of(f"refs/heads/{'x' * 40}{end}", "pr") for end in ("a", "b", "c")}
        assert len(names) == 3
        assert {validate_environment(name) for name in names} == names


class TestConfiguration:
    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("remote", "ext::sh -c touch% /x"),
            ("remote", "--upload-pack=x"),
            ("remote", "https://jo:secret@example.com/x.git"),
            ("remote", "ssh://-oProxyCommand=id/x"),
            ("remote", "foo://example.com/x"),
            ("remote", ""),
            ("path", "../other"),
            ("path", "a/.git"),
            ("deploy_branch", "-x"),
            ("deploy_branch", "refs/heads/../x"),
            ("previews", ["$(id)"]),
            ("may_run_code", ["a b"]),
            ("pr_environment_name", "Prod-1"),
            ("token_variable", "ghp_1234-5678"),
            ("webserver", "file:///x"),
            ("status", {"type": "github", "repository": "../../x"}),
            ("status", {"type": "github", "repository": "a/b", "api": "ftp://x"}),
            ("status", {"type": "gitea", "repository": "a/b"}),
            ("open_pull_requests", "api"),  # of which host?
            ("open_pull_requests", "merge"),
            ("limits", {"seconds": 0}),
            ("deployments", "x"),
        ],
    )
    def test_what_is_refused(self, key: str, value: object) -> None:
        with pytest.raises(ValidationError) as error:
            GitConfig.model_validate({"remote": "x", key: value})
        assert "secret" not in str(error.value)

    def test_places_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="remote helpers") as error:
            load(tmp_path, f"{TINY}git:\n  previews: [x]\n  remote: 'ext::sh'\n")
        assert (error.value.path, error.value.line) == ("config.yaml", 5)

    def test_the_gateways_own_wins(self, tmp_path: Path) -> None:
        text = """
        git: {remote: everybody}
        gateways:
          here: {connection: {type: duckdb}, git: {remote: mine}}
          there: {connection: {type: duckdb}}
        model_defaults: {dialect: duckdb}
        """
        settings = load(tmp_path, text)
        assert settings.git is not None
        assert settings.git.remote == "mine"
        there = load_settings(tmp_path, "there", {}).git
        assert there is not None
        assert there.remote == "everybody"

    def test_only_the_deploy_branch_may_run_code(self) -> None:
        config = GitConfig.model_validate({"remote": "x", "previews": "feature/*"})
        assert config.may_run("refs/heads/main")
        assert not config.may_run("refs/heads/feature/x")
        assert not GitConfig.model_validate({"remote": "x", "may_run_code": []}).may_run("refs/heads/main")


class TestTheBot:
    BOT = """
    cicd_bot:
      type: github
      prod_branch_name: trunk
      run_on_deploy_to_prod: true
      default_pr_start: 1 week ago
      skip_pr_backfill: true
      enable_deploy_command: false
      merge_method: squash
    """

    def test_its_keys_count(self, tmp_path: Path) -> None:
        settings = load(tmp_path, f"{TINY}git: {{remote: x, default_pr_start: 2 days ago}}\n{dedent(self.BOT)}")
        config = settings.git
        assert config is not None
        assert (config.deploy_branch, config.run_on_deploy_to_prod) == ("trunk", True)
        assert config.default_pr_start == "2 days ago"
        assert [note.split()[0] for note in settings.notes] == ["cicd_bot.merge_method"]
        assert config.skip_pr_backfill

    def test_without_a_repository_it_is_told(self, tmp_path: Path) -> None:
        settings = load(tmp_path, f"{TINY}{dedent(self.BOT)}")
        assert settings.git is None
        assert [note.split()[0] for note in settings.notes] == ["cicd_bot"]

    def test_other_keys_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="merge_methods"):
            load(tmp_path, f"{TINY}cicd_bot: {{type: github, merge_methods: x}}\n")
