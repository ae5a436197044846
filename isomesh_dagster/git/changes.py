"""Which files of a project differ from a branch."""

from __future__ import annotations

import subprocess
from difflib import get_close_matches
from pathlib import Path

from isomesh_dagster.errors import GitError
from isomesh_dagster.git import local


def changed_paths(root: Path, branch: str) -> frozenset[str]:
    """Paths (posix, relative to `root`) of files that differ from where HEAD left `branch`: committed, staged, edited,
    new or deleted. Ignored files are not among them.

    `branch` is whatever names a commit. Raises GitError when git is not installed, `root` is in no repository, or
    nothing has that name.
    """
    base = _base(root, branch)
    differing = _git(root, "diff", "--relative", "--name-only", "--no-renames", "-z", base, "--")
    untracked = _git(root, "ls-files", "--others", "--exclude-standard", "-z")
    return frozenset(path for path in f"{differing}{untracked}".split("\0") if path)


def _base(root: Path, branch: str) -> str:
    """The commit at which HEAD left the branch; the branch itself where the two have no history in common."""
    commit = _run(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{branch}^{{commit}}")
    if commit.returncode:
        raise _unknown(root, branch)
    tip = commit.stdout.strip()
    base = _run(root, "merge-base", tip, "HEAD")
    return base.stdout.strip() or tip


def _unknown(root: Path, branch: str) -> GitError:
    names = _git(root, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/remotes").split()
    near = get_close_matches(branch, names, n=1)
    return GitError(
        f"git knows no branch, tag or commit {branch!r}",
        hint=f"did you mean {near[0]!r}?" if near else "a clone of one branch lacks the others: `git fetch` gets them",
    )


def _git(root: Path, *arguments: str) -> str:
    """What git answers. Raises GitError when it refuses."""
    done = _run(root, *arguments)
    if done.returncode:
        raise _refusal(done)
    return done.stdout


def _run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        done = local.run(root, *arguments)
    except GitError as error:
        error.hint = "`git:` selects by what git says; name the models instead"
        raise
    if done.returncode == 128 and "not a git repository" in done.stderr:
        raise _refusal(done)
    return done


def _refusal(done: subprocess.CompletedProcess[str]) -> GitError:
    lines = done.stderr.strip().splitlines()
    return GitError(f"git: {lines[0].removeprefix('fatal: ') if lines else 'it does not answer'}")
