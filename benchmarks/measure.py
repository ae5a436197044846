"""Runs a command as a process of its own and tells what it cost, its children included."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """CPU seconds (user and system, children included), wall seconds and peak memory in MB of the largest process."""

    cpu: float
    wall: float
    memory: float


def run(command: Sequence[str | os.PathLike[str]], *, cwd: Path, env: Mapping[str, str] | None = None) -> Cost:
    """Run the command to its end; a RuntimeError with its output when it fails."""
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**{k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}, **(env or {})},
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            output.seek(0)
            text = output.read().decode(errors="replace")
            raise RuntimeError(f"{' '.join(map(str, command))} exited with {process.returncode}:\n{text[-4000:]}")
    return Cost(cpu=usage.ru_utime + usage.ru_stime, wall=wall, memory=usage.ru_maxrss / 1024)
