"""Changed files, in real repositories."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from isomesh_dagster.errors import GitError
from isomesh_dagster.git.changes import changed_paths


class Repository:
    """A repository with a project in its folder `shop`, on branch `main`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "shop"
        self.root.mkdir(parents=True)
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "someone@example.com")
        self.git("config", "user.name", "Someone")
        for name in ("kept.sql", "edited.sql", "gone.sql", "committed.sql"):
            self.write(f"shop/{name}", name)
        self.write("elsewhere.txt", "")
        self.commit()

    def git(self, *arguments: str) -> None:
        subprocess.run(["git", "-C", str(self.folder), *arguments], check=True, capture_output=True)

    def write(self, path: str, text: str) -> None:
        (self.folder / path).write_text(text)

    def commit(self) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "work")


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


def test_nothing_differs_from_the_branch_one_is_on(repository: Repository) -> None:
    assert changed_paths(repository.root, "main") == set()


def test_committed_edited_new_and_deleted_files_differ_and_others_do_not(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "feature/x")
    repository.write("shop/committed.sql", "other")
    repository.commit()
    repository.write("shop/edited.sql", "other")
    repository.write("shop/new é.sql", "")
    (repository.root / "gone.sql").unlink()
    repository.write("elsewhere.txt", "other")
    assert changed_paths(repository.root, "main") == {"committed.sql", "edited.sql", "new é.sql", "gone.sql"}


def test_what_others_did_on_the_branch_meanwhile_is_no_change(repository: Repository) -> None:
    repository.git("checkout", "-q", "-b", "feature")
    repository.write("shop/edited.sql", "mine")
    repository.commit()
    repository.git("checkout", "-q", "main")
    repository.write("shop/kept.sql", "theirs")
    repository.commit()
    repository.git("checkout", "-q", "feature")
    assert changed_paths(repository.root, "main") == {"edited.sql"}


def test_an_unknown_branch_suggests_the_nearest_and_is_never_an_option(repository: Repository) -> None:
    with pytest.raises(GitError) as caught:
        changed_paths(repository.root, "mian")
    assert caught.value.hint == "did you mean 'main'?"
    with pytest.raises(GitError, match="--output=x"):
        changed_paths(repository.root, "--output=x")
    assert not (repository.root / "x").exists()


def test_a_folder_outside_of_a_repository_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(GitError, match="not a git repository"):
        changed_paths(tmp_path, "main")


def test_git_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GitError, match="not installed"):
        changed_paths(tmp_path, "main")
