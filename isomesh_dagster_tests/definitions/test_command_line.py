"""The whole way: Dagster's own command line, a process of its own, an instance on disk, our executor."""

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from isomesh_dagster_tests.definitions.conftest import Shop

LOCATION = """
import dagster as dg
from isomesh_dagster import build_definitions

@dg.definitions
def defs():
    return build_definitions({root!r})
"""


@pytest.mark.slow
def test_apply_from_the_command_line_builds_in_threads_and_tells_the_instance(
    loaded_shop: Shop, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    location = tmp_path / "location.py"
    location.write_text(LOCATION.format(root=str(loaded_shop.root)))
    done = subprocess.run(
        [sys.executable, "-m", "dagster", "job", "execute", "-f", str(location), "-j", "apply"],
        env={**os.environ, "DAGSTER_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert loaded_shop.query("SELECT amount FROM marts.total") == [(31,)]
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs()
        assert run.status == dg.DagsterRunStatus.SUCCESS
        assert run.tags["isomesh/gateway"] == "here"
        messages = [record.event_log_entry.message for record in instance.get_records_for_run(run.run_id).records]
        assert any("threads" in message for message in messages)
        total = instance.get_latest_materialization_event(dg.AssetKey(["marts", "total"]))
        assert total is not None
        assert total.asset_materialization is not None
        assert total.asset_materialization.metadata["isomesh/reused"].value is False
        assert instance.get_dynamic_partitions("isomesh_environments") == ["prod"]
