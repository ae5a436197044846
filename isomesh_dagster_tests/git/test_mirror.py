"""Fetching single commits of a remote that may be hostile: what is written, and what is refused."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from isomesh_dagster.config.git import GitConfig
from isomesh_dagster.errors import GitError, RemoteError
from isomesh_dagster.git.command import Access, run
from isomesh_dagster.git.mirror import Mirror
from isomesh_dagster_tests.repositories import Team, team


@pytest.fixture
def people(tmp_path: Path) -> Team:
    return team(tmp_path)


def mirror(people: Team, **keys: object) -> Mirror:
    config = GitConfig.model_validate({"remote": "../remote.git", "previews": ["feature/*"], **keys})
    return Mirror(people.system / "mirror", config, root=people.system, environ={"PATH": os.environ["PATH"]})


def commit_tree(people: Team, *entries: tuple[str, str, str]) -> str:
    """Push a commit whose tree holds (mode, path, content), made without any check of git's; the commit."""
    lines = []
    for mode, path, content in entries:
        done = subprocess.run(
            ["git", "hash-object", "-w", "--stdin"],
            input=content.encode(),
            cwd=people.work,
            capture_output=True,
            check=True,
        )
        lines.append(f"{mode} blob {done.stdout.decode().strip()}\t{path}")
    tree = subprocess.run(
        ["git", "mktree"], input="\n".join(lines).encode(), cwd=people.work, capture_output=True, check=True
    )
    commit = people.git("commit-tree", tree.stdout.decode().strip(), "-m", "x")
    people.git("push", "-q", "--force", "origin", f"{commit}:refs/heads/feature/x")
    return commit


class TestFiles:
    def test_they_are_those_of_the_commit(self, people: Team) -> None:
        ours = mirror(people)
        first = people.git("rev-parse", "HEAD")
        assert ours.refs() == {"refs/heads/main": first}
        place = ours.files(first, "main")
        assert (place / "models/totals.sql").read_text() == (people.work / "models/totals.sql").read_text()
        assert not (place / ".git").exists()
        second = people.commit("Change", {"models/totals.sql": "changed"})
        assert (ours.files(second, "main") / "models/totals.sql").read_text() == "changed"
        assert (place / "models/totals.sql").read_text() != "changed"
        assert (ours.commit(second).author, ours.commit(second).subject) == ("Jo", "Change")

    def test_attributes_and_filters_have_no_say(self, people: Team, tmp_path: Path) -> None:
        trap = tmp_path / "trap"
        files = {
            ".gitattributes": "*.sql filter=evil\nmodels/names.sql export-ignore\n*.txt export-subst\n",
            "a.txt": "$Format:%H$\n",
        }
        people.git("config", "filter.evil.clean", "cat")
        commit = people.commit("Attributes", files)
        (tmp_path / ".gitconfig").write_text(
            f'[filter "evil"]\n\tsmudge = touch {trap}\n[core]\n\thooksPath = {tmp_path}\n'
        )
        place = mirror(people).files(commit, "main")
        assert (place / "models/names.sql").exists()
        assert (place / "a.txt").read_text() == "$Format:%H$\n"
        assert not trap.exists()

    def test_a_folder_of_the_repository(self, people: Team) -> None:
        commit = people.commit("Nested", {"warehouse/models/x.sql": "x"})
        place = mirror(people, path="warehouse").files(commit, "main")
        assert sorted(path.name for path in place.iterdir()) == ["models"]
        with pytest.raises(GitError, match="has no folder 'elsewhere'"):
            mirror(people, path="elsewhere").files(commit, "main")

    def test_links_inside_are_kept(self, people: Team) -> None:
        (people.work / "link.sql").symlink_to("models/names.sql")
        commit = people.commit("Link", {})
        assert (mirror(people).files(commit, "main") / "link.sql").read_text().startswith("MODEL")

    @pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "models/../../outside", ".."])
    def test_links_that_leave_are_refused(self, people: Team, target: str) -> None:
        commit = commit_tree(people, ("120000", "link", target))
        with pytest.raises(GitError, match=r"link in commit .* is a link that leaves the project"):
            mirror(people).files(commit, "feature/x")
        assert list((people.system / "mirror" / "trees").iterdir()) == []

    def test_links_over_links_that_leave_are_refused(self, people: Team) -> None:
        (people.work / "p" / "q").mkdir(parents=True)
        (people.work / "p" / "q" / "up").symlink_to("../..")
        (people.work / "p" / "q" / "out").symlink_to("up/../outside")
        commit = people.commit("Links", {})
        with pytest.raises(GitError, match="leaves the project"):
            mirror(people).files(commit, "main")

    @pytest.mark.parametrize("path", ["a\\b", ".isomesh", "x\x07y"])
    def test_paths_that_are_refused(self, people: Team, path: str) -> None:
        commit = people.commit("Path", {f"{path}/x" if path == ".isomesh" else path: "x"})
        with pytest.raises(GitError, match="path that is refused"):
            mirror(people).files(commit, "main")

    def test_two_files_for_one_name(self, people: Team) -> None:
        commit = commit_tree(people, ("100644", "a.sql", "1"), ("100644", "A.sql", "2"))
        with pytest.raises(GitError, match="differ in case only"):
            mirror(people).files(commit, "feature/x")

    @pytest.mark.parametrize(
        ("entries", "told"),
        [
            ((("120000", "a", "b"), ("120000", "b", "a")), "leads in a circle"),
            ((("100644", "a" * 300, "x"),), "cannot be written here: File name too long"),
        ],
    )
    def test_what_no_folder_can_hold(self, people: Team, entries: tuple[tuple[str, str, str], ...], told: str) -> None:
        commit = commit_tree(people, *entries)
        with pytest.raises(GitError, match=told):
            mirror(people).files(commit, "feature/x")
        assert not list((people.system / "mirror/trees").iterdir())

    def test_a_lock_of_a_git_that_was_killed(self, people: Team) -> None:
        ours = mirror(people)
        ours.files(people.git("rev-parse", "HEAD"), "main")
        later = people.commit("Later", {"models/a.sql": "x"})
        lock = people.system / "mirror/mirror.git/shallow.lock"
        lock.touch()
        with pytest.raises(RemoteError, match="cannot be fetched"):  # it may be at work
            ours.files(later, "main")
        os.utime(lock, (0, 0))
        assert (ours.files(later, "main") / "models/a.sql").read_text() == "x"

    def test_limits(self, people: Team) -> None:
        commit = people.commit("Big", {"big.csv": "x" * (2 * 1024 * 1024)})
        with pytest.raises(GitError, match="more than 20,000 files or 1 megabytes"):
            mirror(people, limits={"megabytes": 1}).files(commit, "main")
        with pytest.raises(GitError, match="more than 2 files"):
            mirror(people, limits={"files": 2}).files(commit, "main")

    def test_large_files_come_whole(self, people: Team) -> None:
        text = "0123456789abcdef" * 4_200_000
        commit = people.commit("Big", {"big.csv": text})
        assert (mirror(people).files(commit, "main") / "big.csv").read_text() == text

    def test_lfs_is_told(self, people: Team) -> None:
        commit = people.commit("LFS", {"seeds/x.csv": "version https://git-lfs.github.com/spec/v1\noid sha256:1\n"})
        with pytest.raises(GitError, match=r"seeds/x\.csv .* Git LFS"):
            mirror(people).files(commit, "main")

    def test_submodules_are_left_out(self, people: Team, tmp_path: Path) -> None:
        people.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendored")
        commit = people.commit(
            "Submodule", {".gitmodules": f'[submodule "x"]\n\tpath = vendored\n\turl = {tmp_path}\n'}
        )
        assert not (mirror(people).files(commit, "main") / "vendored").exists()


class TestRemote:
    def test_a_commit_that_moved_away_may_still_be_had(self, people: Team) -> None:
        ours = mirror(people)
        first = people.git("rev-parse", "HEAD")
        people.commit("Change", {"models/totals.sql": "changed"})
        assert ours.files(first, "main").is_dir()

    def test_which_commit_came_before(self, people: Team) -> None:
        ours = mirror(people)
        first = people.git("rev-parse", "HEAD")
        second = people.commit("Change", {"models/totals.sql": "changed"})
        side = people.commit("Side", {"models/totals.sql": "side"}, branch="feature/x")
        assert ours.is_on("main", first)
        assert ours.is_on("main", second)
        assert not ours.is_on("main", side)
        assert not ours.is_on("main", "0" * 40)
        assert ours.is_before("main", first, second)
        assert not ours.is_before("main", second, first)

    def test_what_is_not_there(self, people: Team) -> None:
        ours = mirror(people)
        assert ours.head("nothing") is None
        with pytest.raises(GitError, match="cannot be fetched"):
            ours.files("1" * 40, "main")
        with pytest.raises(GitError, match="is not a commit"):
            ours.files("HEAD", "main")
        with pytest.raises(GitError, match="is not valid"):
            ours.files("1" * 40, "--upload-pack=touch x")
        with pytest.raises(GitError, match="git ls-remote"):
            mirror(people, remote="../nothing.git").refs()

    def test_other_protocols_are_off(self, tmp_path: Path) -> None:
        trap = tmp_path / "trap"
        access = Access(remote="https://example.invalid/x.git")
        environ = {"PATH": os.environ["PATH"]}
        for address in (f"ext::touch {trap}", str(tmp_path)):
            with pytest.raises(GitError, match="not allowed"):
                run(access, ["ls-remote", "--", address], environ=environ)
        assert not trap.exists()

    def test_a_remote_that_hangs(self, tmp_path: Path) -> None:
        slow = tmp_path / "ssh"
        slow.write_text("#!/bin/sh\nsleep 1000\n")
        slow.chmod(0o755)
        access = Access(remote="ssh://example.invalid/x", seconds=0.5)
        began = time.monotonic()
        with pytest.raises(GitError, match=r"did not answer within 0\.5 seconds"):
            run(access, ["ls-remote", "--", access.remote], environ={"PATH": os.environ["PATH"], "GIT_SSH": str(slow)})
        assert time.monotonic() - began < 900

    def test_tokens_are_in_no_argument_and_no_message(self, tmp_path: Path) -> None:
        fake = tmp_path / "git"
        fake.write_text(
            f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\nenv > {tmp_path}/environment\n'
            'echo "fatal: sesame $GIT_CONFIG_VALUE_0" >&2\nexit 1\n'
        )
        fake.chmod(0o755)
        environ = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "GITHUB_TOKEN": "other"}
        access = Access(remote="https://example.invalid/x.git", token="sesame")
        with pytest.raises(GitError) as error:
            run(access, ["ls-remote", "--", access.remote], environ=environ)
        assert error.value.message == "git ls-remote: *** Authorization: Basic ***"
        assert "sesame" not in (tmp_path / "arguments").read_text()
        given = (tmp_path / "environment").read_text()
        assert "http.https://example.invalid/.extraHeader" in given
        assert "other" not in given
        assert "sesame" not in repr(access)


def test_cleaning_keeps_what_is_used(people: Team) -> None:
    ours = mirror(people)
    old = ours.files(people.git("rev-parse", "HEAD"), "main")
    used = ours.files(people.commit("Change", {"models/totals.sql": "changed"}), "main")
    fresh = ours.files(people.commit("Again", {"models/totals.sql": "again"}), "main")
    for place in (old, used):
        os.utime(place, (0, 0))
    ours.clean([used])
    assert (old.exists(), used.exists(), fresh.exists()) == (False, True, True)
    assert ours.files(people.git("rev-parse", "HEAD"), "main") == fresh
