"""`ignore_patterns`: which files of a project are not loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatchcase


def ignored(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Tells of a file's path (posix, relative to the project's root) whether one of the patterns means it.

    A pattern means the end of a path, in whole names; `*` stays within a name, and `**` stands for any folders.
    """
    ends = [[name for name in pattern.split("/") if name not in ("", ".")] for pattern in patterns]
    return lambda path: any(_means(path.split("/"), end) for end in ends if end)


def _means(path: Sequence[str], pattern: Sequence[str]) -> bool:
    if not pattern:
        return True
    *rest, last = pattern
    if last == "**":
        return any(_means(path[:length], rest) for length in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[-1], last) and _means(path[:-1], rest)
