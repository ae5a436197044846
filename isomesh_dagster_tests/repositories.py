"""Real git repositories: a bare remote, a clone people work in, and the folder of a system that the remote drives."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isomesh_dagster.config.read import load_settings
from isomesh_dagster.delivery import Delivery
from isomesh_dagster.project.system import System

CONFIG = """
project: shop
gateways:
  production:
    connection: {connection}
    git:
{git}
model_defaults: {{dialect: duckdb, start: 2024-01-01}}
"""

MODELS = {
    "models/orders.sql": "MODEL (name core.orders, kind FULL);\nSELECT 1 AS id, 10 AS amount\n",
    "models/totals.sql": "MODEL (name marts.totals, kind FULL);\nSELECT SUM(amount) AS amount FROM core.orders\n",
    "models/names.sql": "MODEL (name core.names, kind VIEW);\nSELECT 'one' AS name\n",
}


@dataclass(frozen=True, slots=True)
class Team:
    """A folder with `remote.git`, the clone `work`, and the system's own folder `system`.

    `connection` is the system's warehouse, as `config.yaml` says it.
    """

    folder: Path
    connection: str = "{type: duckdb, database: production.duckdb}"

    @property
    def remote(self) -> Path:
        """The bare repository."""
        return self.folder / "remote.git"

    @property
    def work(self) -> Path:
        """Where people commit."""
        return self.folder / "work"

    @property
    def system(self) -> Path:
        """Where the system runs: its configuration, state and warehouse."""
        return self.folder / "system"

    def git(self, *arguments: str, at: Path | None = None) -> str:
        """Run git in the clone, as somebody; its answer."""
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "GIT_AUTHOR_NAME": "Jo",
            "GIT_AUTHOR_EMAIL": "jo@example.com",
            "GIT_COMMITTER_NAME": "Jo",
            "GIT_COMMITTER_EMAIL": "jo@example.com",
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        done = subprocess.run(
            ["git", "-c", "init.defaultBranch=main", *arguments],
            cwd=at or self.work,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def configure(self, **git: Any) -> None:
        """Write the system's configuration; `git` are further keys, or others than usual, as YAML."""
        written = {"remote": "../remote.git", "previews": '["feature/*", "refs/pull/*/head"]', **git}
        lines = "\n".join(f"      {key}: {value}" for key, value in written.items())
        (self.system / "config.yaml").write_text(CONFIG.format(connection=self.connection, git=lines).lstrip("\n"))

    def commit(self, message: str, files: dict[str, str | None], *, branch: str = "main", push: bool = True) -> str:
        """Commit files (None: removed) on a branch, made from where the clone is if it is new; the commit."""
        branches = self.git("branch", "--format=%(refname:short)").split()
        current = self.git("branch", "--show-current")
        if branch != current:
            self.git("checkout", "-q", *([] if branch in branches else ["-b"]), branch)
        for path, text in files.items():
            file = self.work / path
            if text is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)
        if push:
            self.git("push", "-q", "--force", "origin", branch)
        return self.git("rev-parse", "HEAD")

    def merge(self, branch: str) -> str:
        """Merge a branch into main as a squash, push, remove the branch on the remote; the commit."""
        self.git("checkout", "-q", "main")
        self.git("merge", "-q", "--squash", branch)
        self.git("commit", "-q", "-m", f"Merge {branch}")
        self.git("push", "-q", "origin", "main", f":{branch}")
        return self.git("rev-parse", "HEAD")

    def delivery(self, **environ: str) -> Delivery:
        """What drives the system."""
        return Delivery(self.system, environ={"PATH": os.environ["PATH"], "HOME": str(self.folder), **environ})

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of the system's warehouse."""
        system = System(load_settings(self.system, environ={}))
        with closing(system), system.connection().session() as session:
            return session.fetch(sql)


def team(folder: Path, **more: str) -> Team:
    """A remote with the models on `main`, and a system that nothing was deployed to."""
    made = Team(folder, **more)
    made.work.mkdir(parents=True)
    made.system.mkdir()
    made.git("init", "-q", "--bare", str(made.remote), at=folder)
    made.git("init", "-q")
    made.git("remote", "add", "origin", str(made.remote))
    made.configure()
    made.commit("First models", {**MODELS})
    return made
