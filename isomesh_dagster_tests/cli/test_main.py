"""The command as a whole: help that teaches, cheap start, usage errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from isomesh_dagster.cli.main import cli
from isomesh_dagster.cli.outcome import CONFLICT, FAILED, TO_MEND, error_json, exit_code
from isomesh_dagster.errors import AuditError, ConfigError, ConflictingPlanError, LockedError, ModelError
from isomesh_dagster_tests.cli.conftest import Shop, isomesh

COMMANDS = (
    "init",
    "plan",
    "apply",
    "run",
    "check_intervals",
    "diff",
    "rollback",
    "environments",
    "plans",
    "decisions",
    "invalidate",
    "janitor",
    "render",
    "evaluate",
    "fetchdf",
    "table_diff",
    "lineage",
    "dag",
    "table_name",
    "test",
    "create_test",
    "audit",
    "lint",
    "format",
    "create_external_models",
    "ci",
    "info",
    "doctor",
    "migrate",
    "state",
    "system",
    "clean",
    "destroy",
)


def test_the_commands_are_there_in_working_order() -> None:
    assert tuple(cli.commands) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_examples(command: str) -> None:
    result = isomesh(command, "--help")
    assert result.exit_code == 0
    assert "Examples:" in result.stdout
    assert f"isomesh {command}" in result.stdout


def test_help_lists_every_command_under_a_title() -> None:
    text = isomesh("--help").stdout
    listed = [line.split()[0] for line in text.partition("Plan and deploy:")[2].splitlines() if line.startswith("  ")]
    assert set(COMMANDS) <= set(listed)
    assert text.index("Environments:") < text.index("  janitor") < text.index("Look at models and rows:")


def test_help_tells_the_exit_codes() -> None:
    text = isomesh("--help").stdout
    for code in ("0", "1", "2", "3", "4", "5", "130"):
        assert f"\n    {code}" in text


def test_a_near_miss_is_named() -> None:
    result = isomesh("paln")
    assert result.exit_code == 2
    assert "Did you mean 'plan'?" in result.stderr


def test_a_global_option_after_the_command_is_explained() -> None:
    result = isomesh("plan", "dev", "--gateway", "production")
    assert result.exit_code == 2
    assert "put it before the command" in result.stderr


def test_several_projects_are_refused_with_what_to_do_instead() -> None:
    result = isomesh("-p", "repo_1", "--project", "repo_2", "plan")
    assert result.exit_code == 2
    message = " ".join(result.stderr.split())
    assert "one project at a time, got 2: repo_1, repo_2" in message
    assert "external_models.yaml" in message


def test_help_imports_nothing_heavy() -> None:
    heavy = "duckdb sqlalchemy alembic sqlglot dagster rich pydantic yaml dateparser pandas"
    code = f"import isomesh_dagster.cli.main, sys; print(*(set('{heavy}'.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), TO_MEND),
        (ModelError("x"), TO_MEND),
        (AuditError("x"), FAILED),
        (LockedError("x"), CONFLICT),
        (ConflictingPlanError("x"), CONFLICT),
    ],
)
def test_errors_have_exit_codes(error: ConfigError, code: int) -> None:
    assert exit_code(error) == code


def test_an_error_as_json_holds_its_place_and_hint() -> None:
    assert error_json(ModelError("wrong", path="models/a.sql", line=3, model="s.a", hint="mend it")) == {
        "kind": "ModelError",
        "message": "wrong",
        "path": "models/a.sql",
        "line": 3,
        "column": None,
        "model": "s.a",
        "hint": "mend it",
    }


def test_a_path_that_cannot_be_read_is_one_message(shop: Shop) -> None:
    (shop.root / "models").rename(shop.root / "elsewhere")
    (shop.root / "models").symlink_to("models")
    result = shop("plan", "dev")
    assert result.exit_code == TO_MEND
    assert "models: Too many levels of symbolic links" in result.stderr
    assert json.loads(shop("plan", "dev", "--json").stdout)["error"]["hint"]


def test_a_folder_inside_a_project_tells_where_the_project_is(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shop.root / "models")
    assert f"name the folder with --project: {shop.root} has one" in isomesh("plan", "dev").stderr


def test_what_is_no_gateway_of_anybody_is_not_repeated(shop: Shop) -> None:
    refused = shop("plan", "dev", gateway="hunter2 is a password")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (TO_MEND, "error --gateway")
    assert "hunter2" not in refused.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_an_answer_that_finds_no_room_is_one_message(shop: Shop, more: tuple[str, ...]) -> None:
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-c", "from isomesh_dagster.cli.main import main; main()", "-p", str(shop.root)]
        done = subprocess.run(
            [*command, "plan", "dev", *more], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == TO_MEND
    assert "writing failed: No space left" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("form", ["--json", "--csv"])
def test_no_letter_is_lost_for_programs(planned: Shop, form: str) -> None:
    code = "from isomesh_dagster.cli.main import main; main()"
    arguments = ["-p", str(planned.root), "fetchdf", "SELECT 'é → x' AS letters", form]
    environ = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, check=True, env=environ)
    told = done.stdout.decode()
    assert (json.loads(told)["rows"] == [["é → x"]]) if form == "--json" else told == "letters\né → x\n"


def test_closed_streams_are_no_bug() -> None:
    command = f"{sys.executable} -c 'from isomesh_dagster.cli.main import main; main()' --version >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], check=False).returncode == 0
