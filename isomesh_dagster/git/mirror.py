"""The remote's refs, and the files of its commits, without a working tree.

A `Mirror` is a bare repository of ours that single commits are fetched into, and a folder of trees: the files of one
folder of one commit, written by us, object by object. No filter, no attribute, no hook and no checkout of git's is part
of that: what the tree says is what is written, or it is refused.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from isomesh_dagster.config.git import (
    MERGE_REFS,
    GitConfig,
    full_ref,
    is_local,
    merge_ref_of,
    ref_problem,
    short_ref,
)
from isomesh_dagster.errors import GitError, RemoteError
from isomesh_dagster.git.command import MAX_ANSWER, Access, run

COMMIT = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_LFS = b"version https://git-lfs.github.com/spec/"
_KEPT_DAYS = 14
_NEVER = (errno.ENAMETOOLONG, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.EINVAL, errno.EILSEQ, errno.ELOOP)
"""What the file system says of names that it does not take; another time it does not, either."""
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """A commit as people know it: `subject` is the first line of its message, both texts are printable."""

    id: str
    author: str
    subject: str


def check_commit(text: str) -> str:
    """The text, if it is a full commit id. Raises GitError."""
    if not COMMIT.match(text):
        raise GitError(
            f"{ascii(text)[:80]} is not a commit", hint="give all 40 characters; `git rev-parse HEAD` says them"
        )
    return text


def check_ref(name: str) -> str:
    """The full name of a ref; a bare name is a branch. Raises GitError for what is none."""
    problem = ref_problem(name)
    if problem is not None:
        raise GitError(
            f"git ref {ascii(name)[:80]} is not valid: it {problem}",
            hint="name a branch or a ref such as feature/prices or refs/pull/12/head",
        )
    return full_ref(name)


class Mirror:
    """One remote as the project's `folder` keeps it. Safe to use from several processes."""

    def __init__(self, folder: Path, config: GitConfig, *, root: Path, environ: Mapping[str, str]) -> None:
        self.config = config
        self._folder = folder
        self._environ = environ
        remote = str((root / config.remote).resolve()) if is_local(config.remote) else config.remote
        self._access = Access(
            remote=remote,
            token=environ.get(config.token_variable) if config.token_variable else None,
            seconds=config.limits.seconds,
            size=config.limits.megabytes * 1024 * 1024 * 4,
        )
        self._repository = folder / "mirror.git"

    # -- refs

    def refs(self) -> dict[str, str]:
        """The refs that the configuration is about, deploy branch and previews, with their commits, now.

        With `open_pull_requests: merge_ref` those of pull requests whose merge is not there are left out. Raises
        GitError when the remote does not answer.
        """
        config = self.config
        asked = [config.deploy_ref, *(full_ref(pattern).replace("**", "*") for pattern in config.previews)]
        asked += MERGE_REFS if config.open_pull_requests == "merge_ref" else ()
        answer = run(self._access, ["ls-remote", "--refs", "--", self._access.remote, *asked], environ=self._environ)
        listed: dict[str, str] = {}
        for line in answer.decode(errors="replace").splitlines():
            commit, _, ref = line.partition("\t")
            if COMMIT.match(commit):
                listed[ref] = commit
        found = {ref: commit for ref, commit in listed.items() if ref == config.deploy_ref or config.is_preview(ref)}
        if config.open_pull_requests != "merge_ref":
            return found
        return {ref: commit for ref, commit in found.items() if (merge_ref_of(ref) or ref) in listed}

    def head(self, ref: str) -> str | None:
        """The ref's commit on the remote now; None when there is no such ref."""
        name = check_ref(ref)
        answer = run(self._access, ["ls-remote", "--refs", "--", self._access.remote, name], environ=self._environ)
        for line in answer.decode(errors="replace").splitlines():
            commit, _, found = line.partition("\t")
            if found == name and COMMIT.match(commit):
                return commit
        return None

    # -- commits

    def commit(self, commit: str) -> Commit:
        """Who made a commit that was fetched, and what for."""
        text = self._git("cat-file", "commit", check_commit(commit)).decode(errors="replace")
        head, _, message = text.partition("\n\n")
        author = next((line[7:] for line in head.splitlines() if line.startswith("author ")), "")
        return Commit(
            id=commit,
            author=_printable(author.partition(" <")[0]),
            subject=_printable((message.strip().splitlines() or [""])[0]),
        )

    def is_on(self, ref: str, commit: str) -> bool:
        """Whether the commit is the ref's or one of the last five hundred before it. False for one that is nowhere."""
        check_commit(commit)
        head = self.head(ref)
        return head is not None and (head == commit or self.is_before(ref, commit, head))

    def is_before(self, ref: str, older: str, newer: str) -> bool:
        """Whether `newer`, a commit of the ref, has `older` among the last five hundred before it."""
        for commit in (older, newer):
            check_commit(commit)
        name = check_ref(ref)
        with self._held():
            self._has(newer)
            self._unlock()
            with suppress(GitError):
                self._git(*_FETCH, "--depth=500", "--", self._access.remote, name)
            if not (self._has(older) and self._has(newer)):
                return False
            return older in self._git("rev-list", "--max-count=500", newer, "--").decode().split()

    def files(self, commit: str, ref: str) -> Path:
        """A folder with the project's files at the commit, which `ref` is or was at; made when it is not there.

        Nobody may write there. Raises GitError for what the commit has and no project may have: links that leave it,
        too many or too large files, a missing folder; and when the commit cannot be fetched.
        """
        check_commit(commit)
        name = check_ref(ref)
        with self._held():
            if not self._has(commit):
                self._fetch(commit, name)
            tree = self._tree(commit)
            place = self._folder / "trees" / tree
            if place.is_dir():
                os.utime(place)
            else:
                self._write(tree, place, commit)
        return place

    def clean(self, keep: Iterable[Path]) -> None:
        """Remove trees that were not used for two weeks and are not among `keep`, and what git no longer needs."""
        kept = {path.name for path in keep}
        oldest = time.time() - _KEPT_DAYS * 86_400
        with self._held():
            for path in (self._folder / "trees").glob("*"):
                with suppress(OSError):
                    if path.name not in kept and path.stat().st_mtime < oldest:
                        shutil.rmtree(path)
            if self._repository.is_dir():
                self._git("gc", "--auto", "--quiet", f"--prune={_KEPT_DAYS}.days.ago")

    # -- inside

    @contextmanager
    def _held(self) -> Iterator[None]:
        """The mirror to ourselves: git's own locks fail at once instead of waiting."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(self._folder / "mirror.lock", timeout=self.config.limits.seconds):
                yield
        except Timeout:
            raise RemoteError("another process is fetching for too long", hint="try again") from None

    def _git(self, *arguments: str, given: bytes = b"", most: int = MAX_ANSWER) -> bytes:
        return run(self._access, arguments, folder=self._repository, given=given, most=most, environ=self._environ)

    def _has(self, commit: str) -> bool:
        if not self._repository.is_dir():
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=".new-") as work:
                made = Path(work, "mirror.git")
                run(self._access, ["init", "--quiet", "--bare", "--template=", "--", str(made)], environ=self._environ)
                made.rename(self._repository)  # there whole or not at all, whoever is killed
            return False
        found = self._git("cat-file", "--batch-check", given=f"{commit}\n".encode())
        return found.split(b" ")[1:2] == [b"commit"]

    def _fetch(self, commit: str, ref: str) -> None:
        """Fetch the ref, and the commit itself where the ref has moved on."""
        told: GitError | None = None
        self._unlock()
        for wanted in (ref, commit):
            try:
                self._git(*_FETCH, "--depth=1", "--", self._access.remote, wanted)
            except GitError as error:
                told = error
            if self._has(commit):
                return
        message = f"commit {commit[:12]} of {short_ref(ref)} cannot be fetched"
        if told is not None:
            raise RemoteError(f"{message}: {told.message}", hint=told.hint) from told
        raise RemoteError(message, hint="was it forced away? the next look finds the newest one")

    def _unlock(self) -> None:
        """Remove what a git that was killed has left: the mirror is ours, and no command takes longer than this."""
        oldest = time.time() - self.config.limits.seconds
        for lock in self._repository.glob("*.lock"):
            with suppress(OSError):
                if lock.stat().st_mtime < oldest:
                    lock.unlink()

    def _tree(self, commit: str) -> str:
        place = f"{commit}:{self.config.path}"
        found = self._git("cat-file", "--batch-check", given=f"{place}\n".encode()).split()
        if len(found) < 2 or found[1] != b"tree":
            raise GitError(
                f"commit {commit[:12]} has no folder {self.config.path!r}", hint="git.path is the project's folder"
            )
        return found[0].decode()

    def _write(self, tree: str, place: Path, commit: str) -> None:
        """Write a tree whole or not at all."""
        place.parent.mkdir(parents=True, exist_ok=True)
        entries = self._entries(tree, commit)
        work = Path(tempfile.mkdtemp(dir=place.parent, prefix=".new-"))
        try:
            self._contents(entries, work, commit)
            work.chmod(0o755)
            work.rename(place)
        except BaseException as error:
            shutil.rmtree(work, ignore_errors=True)
            if isinstance(error, OSError) and error.errno in _NEVER:
                raise GitError(f"commit {commit[:12]} cannot be written here: {error.strerror or error}") from error
            raise

    def _entries(self, tree: str, commit: str) -> list[_Entry]:
        limits = self.config.limits
        listed = self._git("ls-tree", "-r", "-z", "-l", "--full-tree", tree)
        entries: list[_Entry] = []
        total = 0
        for line in listed.split(b"\0"):
            if not line:
                continue
            facts, _, raw = line.partition(b"\t")
            mode, kind, digest, size = facts.split()
            path = _checked_path(raw, commit)
            if kind != b"blob":
                continue  # a submodule: its files are another repository's
            entries.append(_Entry(path=path, digest=digest.decode(), size=int(size), is_link=mode == b"120000"))
            total += int(size)
            if len(entries) > limits.files or total > limits.megabytes * 1024 * 1024:
                raise GitError(
                    f"commit {commit[:12]} has more than {limits.files:,} files or {limits.megabytes:,} megabytes",
                    hint="git.limits, or git.path when the project is in a folder of the repository",
                )
        folded: dict[str, str] = {}
        for entry in entries:
            other = folded.setdefault(entry.path.casefold(), entry.path)
            if other != entry.path:
                raise GitError(f"commit {commit[:12]} has {other!r} and {entry.path!r}, which differ in case only")
        return entries

    def _contents(self, entries: list[_Entry], work: Path, commit: str) -> None:
        links: list[tuple[_Entry, str]] = []
        for some in _packets(entries):
            asked = "".join(f"{one.digest}\n" for one in some).encode()
            size = sum(one.size + 200 for one in some)
            stream = self._git("cat-file", "--batch", given=asked, most=size)
            position = 0
            for entry in some:
                start = stream.index(b"\n", position) + 1
                content = stream[start : start + entry.size]
                position = start + entry.size + 1
                if content.startswith(_LFS):
                    raise GitError(
                        f"{entry.path} in commit {commit[:12]} is kept in Git LFS, which is not fetched",
                        hint="keep files of the project in git itself",
                    )
                if entry.is_link:
                    links.append((entry, content.decode(errors="surrogateescape")))
                    continue
                file = work / entry.path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        for entry, text in links:
            _link(work, entry.path, text, commit)
        inside = work.resolve()
        for entry, _ in links:
            target = Path(os.path.realpath(work / entry.path))
            if not target.is_relative_to(inside):
                raise _leaving(entry.path, commit)
            try:
                target.stat()
            except OSError as error:  # what is not there may be: a link may name what the project makes later
                if error.errno == errno.ELOOP:
                    raise GitError(f"{entry.path} in commit {commit[:12]} is a link that leads in a circle") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    path: str
    digest: str
    size: int
    is_link: bool


def _packets(entries: list[_Entry]) -> Iterable[list[_Entry]]:
    """Entries in lists whose contents are small enough to be held in memory."""
    most = 32 * 1024 * 1024
    packet: list[_Entry] = []
    size = 0
    for entry in entries:
        if packet and size + entry.size > most:
            yield packet
            packet, size = [], 0
        packet.append(entry)
        size += entry.size
    if packet:
        yield packet


def _checked_path(raw: bytes, commit: str) -> str:
    try:
        path = raw.decode()
    except UnicodeDecodeError:
        raise GitError(f"commit {commit[:12]} has a path that is not UTF-8: {raw!r:.80}") from None
    parts = path.split("/")
    if (
        any(part in ("", ".", "..") or part.casefold().rstrip(". ") in (".git", "git~1") for part in parts)
        or "\\" in path
        or not path.isprintable()
        or parts[0].casefold() == ".isomesh"
    ):
        raise GitError(f"commit {commit[:12]} has a path that is refused: {ascii(path)[:80]}")
    return path


def _link(work: Path, path: str, target: str, commit: str) -> None:
    """Make a link that stays within the tree, seen from where it is; what links to links is checked when all are."""
    inside = os.path.normpath(os.path.join("/tree", os.path.dirname(path), target))
    if not target or "\0" in target or os.path.isabs(target) or not f"{inside}/".startswith("/tree/"):
        raise _leaving(path, commit)
    place = work / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.symlink_to(target)


def _leaving(path: str, commit: str) -> GitError:
    return GitError(f"{path} in commit {commit[:12]} is a link that leaves the project", hint="copy the file")


def _printable(text: str) -> str:
    return "".join(letter for letter in text if letter.isprintable())[:200]
