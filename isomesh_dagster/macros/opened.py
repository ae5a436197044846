"""Which files code of a project opens while it runs, told by Python itself: what a module read is a part of what it is.

What libraries open without Python (a database, a reader written in C) is not told.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

_CODE = (".py", ".pyc", ".so")  # imports open these by the thousand; those of the project are told by its outlines
_hearing = threading.local()


@contextmanager
def opened_files() -> Iterator[set[str]]:
    """Fills with the absolute paths that this thread opens for reading, without those of a context inside this one."""
    _listen()
    heard: list[set[str]] = _hearing.__dict__.setdefault("heard", [])
    found: set[str] = set()
    heard.append(found)
    try:
        yield found
    finally:
        heard.pop()


@lru_cache(maxsize=1)
def _listen() -> None:
    sys.addaudithook(_hear)  # for good: Python cannot take a hook away


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not (heard := getattr(_hearing, "heard", None)):
        return
    path, mode = arguments[:2]
    if isinstance(path, str) and (mode is None or "r" in mode) and not path.endswith(_CODE):
        with suppress(OSError):  # what is raised here is raised by `open`
            heard[-1].add(os.path.abspath(path))


def inside(root: Path, paths: set[str]) -> Iterator[str]:
    """Those of the paths that are in the project at `root`, relative to it; nothing hidden, no libraries."""
    base = str(root.resolve())
    for path in sorted({os.path.realpath(path) for path in paths}):
        relative = Path(os.path.relpath(path, base))
        is_hidden = any(part.startswith(".") or part == "site-packages" for part in relative.parts)
        if path.startswith(f"{base}{os.sep}") and not is_hidden:
            yield relative.as_posix()
