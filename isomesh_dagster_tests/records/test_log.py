"""What is done is logged with gateway, plan and commit on every line; who does not ask gets nothing."""

from __future__ import annotations

import json
import logging
import subprocess
from pathlib import Path

import pytest

from isomesh_dagster.cache.manifest import Source
from isomesh_dagster.cli.logs import log_to
from isomesh_dagster.project import Project
from isomesh_dagster.records import log
from isomesh_dagster.records.events import Audited
from isomesh_dagster_tests.cli.conftest import Shop, isomesh


def lines(file: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    assert isomesh("init", str(tmp_path / "shop")).exit_code == 0
    return Shop(tmp_path / "shop")


def logged(shop: Shop, *arguments: str) -> list[dict[str, object]]:
    file = shop.root.parent / "log.jsonl"
    isomesh("--project", str(shop.root), "--log-file", str(file), *arguments)
    return lines(file)


def test_every_line_says_what_was_at_work(shop: Shop) -> None:
    git = ["git", "-C", str(shop.root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    found = logged(shop, "plan", "dev", "--auto-apply")
    assert {(one["gateway"], one["environment"]) for one in found} == {("local", "dev")}
    assert len({one["plan"] for one in found}) == 1
    assert {str(one["commit"]).rstrip("+") for one in found} == {commit}
    built = {one["model"] for one in found if one["event"] == "built"}
    assert built == {"shop.orders", "shop.order_lines", "shop.monthly_revenue", "shop.large_orders"}
    written = [one for one in found if one["event"] == "evaluated"]
    assert all(len(one["interval"]) == 2 and one["seconds"] is not None for one in written)  # type: ignore[arg-type]
    assert found[-1]["event"] == "promoted"
    assert found[-1]["promotion"] == 1


def test_a_failure_says_where(shop: Shop) -> None:
    shop.edit("models/shop/monthly_revenue.sql", "COUNT(*)", "error('broken')")
    (failed,) = [one for one in logged(shop, "plan", "dev", "--auto-apply") if one["event"] == "failed"]
    assert failed["level"] == "error"
    assert failed["model"] == "shop.monthly_revenue"
    assert failed["path"] == "models/shop/monthly_revenue.sql"
    assert "broken" in str(failed["message"])


def test_who_does_not_ask_gets_nothing(shop: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    work = log.Work(gateway="g", environment="e", plan="p")
    log.log_event(Audited(model="m", audit="a", failing_rows=3, blocking=True), work)
    assert not log.is_wanted()
    assert capfd.readouterr() == ("", "")


def test_records_carry_their_fields_for_any_handler(caplog: pytest.LogCaptureFixture) -> None:
    work = log.Work(gateway="g", environment="e", plan="p", commit="c")
    event = Audited(model="m", audit="a", failing_rows=3, blocking=False)
    with caplog.at_level(logging.INFO, logger=log.LOGGER):
        assert list(log.logged([event], work)) == [event]
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    entry = json.loads(log.JsonLines().format(record))
    assert (entry["gateway"], entry["plan"], entry["commit"], entry["model"]) == ("g", "p", "c", "m")
    assert entry["failing_rows"] == 3


def test_the_commit_is_that_of_the_files_not_of_the_folder(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    git = ["git", "-C", str(shop.root), "-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    with caplog.at_level(logging.INFO, logger=log.LOGGER):
        with Project.load(shop.root) as project:
            plan, manifest = project.plan("dev"), project.compile()
            assert project.work(plan).commit
            project.source = Source(ref="refs/heads/main", commit="c0ffee", files=".", may_run_code=True)
            assert project.work(plan).commit == "c0ffee"
        with Project.from_manifest(manifest) as pinned:
            assert pinned.work(plan).commit is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_log_file_on_a_full_disk_is_told_once_and_stops_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    end = log_to(Path("/dev/full"))
    for number in range(3):
        logging.getLogger("isomesh").info("record %s", number)
    end()
    assert capfd.readouterr().err == "/dev/full: No space left on device; what follows is not logged\n"
