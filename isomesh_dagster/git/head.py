"""Which commit a folder's files are of."""

from __future__ import annotations

from pathlib import Path

from isomesh_dagster.errors import GitError
from isomesh_dagster.git import local


def head(root: Path) -> str | None:
    """The commit that is checked out at `root`, with `+` behind it when files under `root` differ from it; None where
    git does not tell.
    """
    try:
        commit = local.run(root, "rev-parse", "--verify", "HEAD")
        if commit.returncode:
            return None
        changed = local.run(root, "status", "--porcelain", "--", ".")
    except GitError:
        return None
    return commit.stdout.strip() + ("+" if changed.stdout.strip() or changed.returncode else "")
