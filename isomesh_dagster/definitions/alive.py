"""Whether the process of a run lives: it holds the lock of a file, and the system lets go of that when it dies.

However it dies: a kill, or the machine that lost its power. Beside the lock a mark says that it was held, so that a run
that ended in order is not taken for one that died.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout


@dataclass(frozen=True, slots=True, kw_only=True)
class Dead:
    """A run whose process died. `is_whole`: no other process worked on the run."""

    run_id: str
    pid: int
    is_whole: bool


def runs_folder(manifest: Path) -> Path:
    """Where the marks of a gateway's runs are, beside the manifests that the runs are pinned to."""
    return manifest.parent.with_name("runs")


@contextmanager
def marked(folder: Path, run_id: str, *, is_whole: bool) -> Iterator[None]:
    """Mark the run as one of this process, to which it belongs as a whole or not. Where nothing can be written or
    locked, and where another process of the same run has it marked, nothing is done.
    """
    lock = _marked(folder, run_id, is_whole=is_whole)
    try:
        yield
    finally:
        if lock is not None:
            (folder / f"{run_id}.json").unlink(missing_ok=True)
            lock.release()
            unmark(folder, run_id)


def _marked(folder: Path, run_id: str, *, is_whole: bool) -> FileLock | None:
    said = {"host": socket.gethostname(), "pid": os.getpid(), "is_whole": is_whole}
    lock = _lock(folder, run_id)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        (folder / f"{run_id}.json").write_text(json.dumps(said))
    except (OSError, NotImplementedError):  # the first is what Timeout is, too
        lock.release()
        return None
    return lock


def dead_runs(folder: Path) -> Iterator[Dead]:
    """The runs whose process died. What another machine marked is not judged: its locks may not be seen from here."""
    for mark in sorted(folder.glob("*.json")):
        try:
            said = json.loads(mark.read_text())
            one = Dead(run_id=mark.stem, pid=int(said["pid"]), is_whole=said["is_whole"] is True)
            if said["host"] != socket.gethostname():
                continue
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it ended just now, or began
        lock = _lock(folder, one.run_id)
        with suppress(Timeout), lock.acquire(timeout=0):
            if mark.exists():  # else it ended in order between the two looks
                yield one


def unmark(folder: Path, run_id: str) -> None:
    """Forget the run."""
    for path in (folder / f"{run_id}.json", folder / f"{run_id}.lock"):
        with suppress(OSError):
            path.unlink()


def _lock(folder: Path, run_id: str) -> FileLock:
    # who lets go of it may be another thread than who took it
    return FileLock(folder / f"{run_id}.lock", thread_local=False)
