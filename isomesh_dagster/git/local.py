"""git asked about the repository somebody works in: theirs, so their configuration counts."""

from __future__ import annotations

import subprocess
from pathlib import Path

from isomesh_dagster.errors import GitError


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """What git says in `root`, whether it refuses or not. Raises GitError when it is not installed."""
    try:
        return subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, errors="surrogateescape", check=False
        )
    except OSError:
        raise GitError("git is not installed", hint="install it, or do without what asks it") from None
