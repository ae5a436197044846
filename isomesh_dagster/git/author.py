"""Who is at work, as git knows them."""

from __future__ import annotations

import getpass
from pathlib import Path

from isomesh_dagster.errors import GitError
from isomesh_dagster.git import local


def author(root: Path) -> str:
    """Name and address as a commit in `root` would have them; the account's name where git does not tell, "" where
    nobody does.
    """
    try:
        done = local.run(root, "var", "GIT_AUTHOR_IDENT")
    except GitError:
        return _account()
    # "Ann Smith <ann@example.org> 1700000000 +0000"
    return done.stdout.rpartition(">")[0] + ">" if done.returncode == 0 and ">" in done.stdout else _account()


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name
        return ""
