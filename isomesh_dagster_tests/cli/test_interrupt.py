"""Ctrl-C in the middle of a plan, in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

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


QUESTION = """
import os, signal, sys, threading, time
from isomesh_dagster.cli.main import main
signal.signal(signal.SIGINT, signal.default_int_handler)
waiting = threading.main_thread().ident

def press():  # once the main thread is in the driver with the statement: others have a _run, too
    frame = None
    while frame is None or frame.f_code.co_name != "_run" or "10000000" not in frame.f_locals.get("sql", ""):
        time.sleep(0.01)
        frame = sys._current_frames()[waiting]
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press, daemon=True).start()
main()
"""


@pytest.mark.parametrize("command", ["fetchdf", "evaluate"])
def test_a_question_that_takes_too_long_is_given_up(planned: Shop, command: str) -> None:
    (planned.root / "models" / "shop" / "slow.sql").write_text(SLOW)
    asked = "shop.slow" if command == "evaluate" else SLOW.partition(";")[2]
    done = subprocess.run(
        [sys.executable, "-c", QUESTION, "--project", str(planned.root), command, asked],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.endswith("the environment shows what it showed.\n")
    assert "Traceback" not in done.stderr


DROPPED = """
import os, signal, sqlite3
from isomesh_dagster.cli.interrupts import ending_statements
signal.signal(signal.SIGINT, signal.default_int_handler)
driver = sqlite3.connect(":memory:")
pressed = []

def press(_statement):  # SQLite drops what is raised here, and goes on with the statement, which has no end
    pressed.append(True)
    os.kill(os.getpid(), signal.SIGINT)

driver.set_trace_callback(press)
try:
    with ending_statements(driver.interrupt):
        driver.execute("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT MAX(x) FROM n")
except KeyboardInterrupt:
    print("pressed", len(pressed))
"""


def test_ctrl_c_that_a_driver_drops_is_told_again() -> None:
    done = subprocess.run([sys.executable, "-c", DROPPED], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "pressed 1\n"), done.stderr
