"""Ctrl-C in the middle of a plan, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

from isomesh_dagster_tests.cli.conftest import Shop

# hours of work in one statement
SLOW = """
MODEL (name shop.slow, kind FULL);
SELECT COUNT(*) AS n FROM range(10000000) AS a(x), range(10000000) AS b(y) WHERE (x * y) % 7 = 3
"""
FAST = "MODEL (name shop.fast, kind FULL);\nSELECT 1 AS n\n"
COMMAND = """
import signal
from isomesh_dagster.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have had it ignored
main()
"""


def test_a_running_statement_is_ended_and_nothing_of_it_stays(planned: Shop) -> None:
    slow = planned.root / "models" / "shop" / "slow.sql"
    slow.write_text(SLOW)
    (planned.root / "models" / "shop" / "fast.sql").write_text(FAST)
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "--project", str(planned.root), "plan", "dev", "--auto-apply"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:  # of equal weight by name: the slow one is next
        if line.startswith("built    shop.fast"):
            break
    try:
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 130
    assert "Interrupted. What was committed stays" in told
    slow.unlink()
    again = planned("plan", "dev", "--auto-apply")
    assert again.exit_code == 0, again.output
    assert planned("doctor").exit_code == 0
