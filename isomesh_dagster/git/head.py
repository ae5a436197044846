"""Which commit a folder's files are of."""

from __future__ import annotations

import subprocess
from pathlib import Path


def head(root: Path) -> str | None:
    """The commit that is checked out at `root`, with `+` behind it when files under `root` differ from it; None where
    git does not tell.
    """
    try:
        commit = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "--verify", "HEAD"], capture_output=True, text=True, check=False
        )
        if commit.returncode:
            return None
        changed = subprocess.run(
            ["git", "-C", str(root), "status", "--porcelain", "--", "."], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return commit.stdout.strip() + ("+" if changed.stdout.strip() or changed.returncode else "")
