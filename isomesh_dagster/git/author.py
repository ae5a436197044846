"""Who is at work, as git knows them."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path


def author(root: Path) -> str:
    """Name and address as a commit in `root` would have them; the account's name where git does not tell, "" where
    nobody does.
    """
    try:
        done = subprocess.run(
            ["git", "-C", str(root), "var", "GIT_AUTHOR_IDENT"], capture_output=True, text=True, check=False
        )
    except OSError:
        return _account()
    # "Ann Smith <ann@example.org> 1700000000 +0000"
    return done.stdout.rpartition(">")[0] + ">" if done.returncode == 0 and ">" in done.stdout else _account()


def _account() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name
        return ""
