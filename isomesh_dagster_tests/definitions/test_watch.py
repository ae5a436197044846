"""A run whose process died is told to have failed, and no other one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from isomesh_dagster.definitions import alive
from isomesh_dagster.definitions.alive import Dead, dead_runs, marked
from isomesh_dagster_tests.definitions.conftest import Shop

# the module alone: Dagster takes seconds to load
PROCESS = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("alive", sys.argv[1])
alive = sys.modules["alive"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(alive)
with alive.marked(Path(sys.argv[2]), sys.argv[3], is_whole=sys.argv[4] == "whole"):
    print("marked", flush=True)
    sys.stdin.read()
"""


def process(folder: Path, run_id: str, whole: str = "whole") -> subprocess.Popen[bytes]:
    """A process that marks a run as its own, and goes on until somebody ends it."""
    started = subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(alive.__file__), str(folder), run_id, whole],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert started.stdout is not None
    assert started.stdout.readline() == b"marked\n"
    return started


def killed(folder: Path, run_id: str, whole: str = "whole") -> int:
    with process(folder, run_id, whole) as one:
        one.kill()
    return one.pid


def test_a_process_that_lives_that_ends_and_that_is_killed(tmp_path: Path) -> None:
    with process(tmp_path, "a") as one:
        assert [*dead_runs(tmp_path)] == []
        with marked(tmp_path, "a", is_whole=True):  # of the same run: the first keeps it
            pass
        assert [*dead_runs(tmp_path)] == []
        one.communicate()
    assert [*tmp_path.iterdir()] == []
    pid = killed(tmp_path, "b")
    assert [*dead_runs(tmp_path)] == [Dead(run_id="b", pid=pid, is_whole=True)]
    mark = tmp_path / "b.json"
    mark.write_text(mark.read_text().replace('"host": "', '"host": "not-'))
    assert [*dead_runs(tmp_path)] == []
    mark.write_text("{")
    assert [*dead_runs(tmp_path)] == []


def test_where_nothing_can_be_written_a_run_goes_on_unmarked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with marked(tmp_path / "file" / "runs", "a", is_whole=True):
        assert [*dead_runs(tmp_path / "file" / "runs")] == []


class TestSensor:
    @staticmethod
    def tick(shop: Shop) -> str:
        found = shop.definitions().get_sensor_def("tell_dead_runs")(dg.build_sensor_context(instance=shop.instance))
        assert isinstance(found, dg.SkipReason)
        return found.skip_message or ""

    @staticmethod
    def started(shop: Shop, job: str, status: dg.DagsterRunStatus = dg.DagsterRunStatus.STARTED) -> dg.DagsterRun:
        return shop.instance.create_run_for_job(shop.definitions().resolve_job_def(job), status=status)

    @staticmethod
    def status(shop: Shop, run: dg.DagsterRun) -> str:
        found = shop.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found.status.value

    @pytest.mark.parametrize(
        ("job", "whole", "before", "after"),
        [
            ("apply", "a part", "STARTED", "FAILURE"),
            ("janitor", "a part", "CANCELING", "CANCELED"),
            ("__ASSET_JOB", "whole", "STARTED", "FAILURE"),
            ("__ASSET_JOB", "a part", "STARTED", "STARTED"),
            ("apply", "whole", "SUCCESS", "SUCCESS"),
        ],
    )
    def test_a_run_that_died(self, shop: Shop, job: str, whole: str, before: str, after: str) -> None:
        folder = shop.root / ".isomesh/here/runs"
        run = self.started(shop, job, dg.DagsterRunStatus(before))
        pid = killed(folder, run.run_id, whole)
        said = self.tick(shop)
        assert self.status(shop, run) == after
        assert (f"its process {pid} is gone" in said) == (before != after)
        assert [*folder.iterdir()] == [] or before == after == "STARTED"
        assert "every run that is going on" in self.tick(shop)

    def test_a_run_marks_itself_as_long_as_it_goes_on(self, loaded_shop: Shop) -> None:
        found: list[object] = []
        folder = loaded_shop.root / ".isomesh/here/runs"

        @dg.asset(deps=[dg.AssetKey(["marts", "total"])], required_resource_keys={"isomesh"})
        def looks() -> None:
            found.extend(path.suffix for path in sorted(folder.iterdir()))
            found.extend(dead_runs(folder))

        loaded_shop.assets.append(looks)
        for job in ("__ASSET_JOB", "doctor"):
            result = loaded_shop.run(job)
            assert result.success
            assert [*folder.iterdir()] == []
        assert found == [".json", ".lock"]
