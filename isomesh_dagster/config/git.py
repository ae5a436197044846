"""`git:` in config.yaml: which repository drives a gateway, which refs count there, and what is asked before a deploy.

Keys that the anchor's `cicd_bot` has keep their names and meaning; `from_bot` takes them over from there.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.model import names

HEADS = "refs/heads/"
SCHEMES = ("https", "http", "ssh", "git", "file")

_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=@/-]*\Z")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_SCP_LIKE = re.compile(r"(?:[A-Za-z0-9_.-]+@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!//|:)[^\s-][^\s]*\Z")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_MOST_REF_LETTERS = 250


def ref_problem(name: str) -> str | None:
    """What is wrong with a name of a ref or branch; None when it may be used.

    Stricter than git: letters, digits and `_ . + = @ / -` only, so that it can stand in a file name, a tag, a message.
    """
    if not name or len(name) > _MOST_REF_LETTERS:
        return f"must have 1 to {_MOST_REF_LETTERS} characters"
    if not _REF.match(name):
        return "must start with a letter, a digit or _, and hold only these and . + = @ / -"
    if ".." in name or "//" in name or "@{" in name or name.endswith(("/", ".")):
        return "is no ref: `..`, `//` and an end of / or . are not allowed"
    if any(part.startswith(".") or part.endswith(".lock") for part in name.split("/")):
        return "is no ref: a part may not start with a dot or end with .lock"
    return None


def full_ref(name: str) -> str:
    """The full name of a ref: a bare name is a branch."""
    return name if name.startswith("refs/") else f"{HEADS}{name}"


def short_ref(ref: str) -> str:
    """The ref as people say it: a branch without `refs/heads/`."""
    return ref.removeprefix(HEADS)


def matches(pattern: str, ref: str) -> bool:
    """Whether the full ref is meant by the pattern: `*` stands within one part, `**` for any number of parts.

    A pattern that does not start with `refs/` is about branches.
    """
    return _compiled(full_ref(pattern)).match(ref) is not None


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", pattern)
    spelled = {"**": ".+", "*": "[^/]+"}
    return re.compile("".join(spelled.get(part, re.escape(part)) for part in parts) + r"\Z")


def _checked_ref(value: str) -> str:
    problem = ref_problem(value)
    if problem is not None:
        raise ValueError(f"{value!a} {problem}")
    return value


def _checked_pattern(value: str) -> str:
    problem = ref_problem(value.replace("**", "x").replace("*", "x"))
    if problem is not None:
        raise ValueError(f"{value!a} {problem}, or * and **")
    return value


def _checked_remote(value: str) -> str:
    """A URL of a known scheme without a password, `host:path`, or a local path."""
    if not value or value != value.strip() or value.startswith("-") or any(ord(letter) < 32 for letter in value):
        raise ValueError("must be a URL, host:path or a local path, and must not start with -")
    scheme = _SCHEME.match(value)
    if scheme is None:
        if "::" in value.split("/")[0]:
            raise ValueError("remote helpers (x::address) can run programs and are refused; use https or ssh")
        return value
    if scheme[1].lower() not in SCHEMES:
        raise ValueError("the scheme is none of " + ", ".join(SCHEMES))
    account = value[scheme.end() :].split("/", 1)[0].rpartition("@")[0]
    if value[scheme.end() :].startswith("-") or account.startswith("-"):
        raise ValueError("a host must not start with -")
    if ":" in account:
        raise ValueError("holds a password: name the variable with a token in token_variable instead")
    return value


def is_local(remote: str) -> bool:
    """Whether the remote is a path of this machine."""
    return _SCHEME.match(remote) is None and _SCP_LIKE.match(remote) is None


def scheme_of(remote: str) -> str:
    """The protocol git speaks to the remote."""
    found = _SCHEME.match(remote)
    return found[1].lower() if found is not None else "file" if is_local(remote) else "ssh"


def _checked_folder(value: str) -> str:
    cleaned = value.strip("/")
    if "\\" in value or any(part in ("", ".", "..", ".git") for part in cleaned.split("/") if cleaned):
        raise ValueError("must be a folder inside the repository")
    return cleaned


def _checked_prefix(value: str) -> str:
    try:
        names.validate_environment(f"{value}_1")
    except IsomeshError as error:
        raise ValueError(error.message) from None
    return value


def _checked_variable(value: str) -> str:
    if not _VARIABLE.match(value):
        raise ValueError("must be the name of an environment variable, not a token")
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Ref = Annotated[str, AfterValidator(_checked_ref)]
Patterns = Annotated[tuple[Annotated[str, AfterValidator(_checked_pattern)], ...], BeforeValidator(_listed)]
Variable = Annotated[str, AfterValidator(_checked_variable)]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class StatusConfig(_Config):
    """`git.status`: where the outcome of a commit is shown: a commit status of GitHub or GitLab.

    repository  `owner/name`, or GitLab's project path or number
    api         the address of the API, for servers of one's own
    link        where the status leads, e.g. the page of this Dagster
    """

    type: Literal["github", "gitlab"]
    repository: str = Field(min_length=1)
    api: str | None = None
    link: str | None = None

    @model_validator(mode="after")
    def _addresses(self) -> StatusConfig:
        for address in (self.api, self.link):
            if address is not None and not re.match(r"https?://[^\s/]", address):
                raise ValueError("addresses start with https:// (or http://)")
        if not re.fullmatch(r"[A-Za-z0-9_./-]+", self.repository) or ".." in self.repository:
            raise ValueError("repository is written owner/name")
        return self


class LimitsConfig(_Config):
    """`git.limits`: what reading one commit may take, so that no commit can stop the system.

    seconds, memory_mb    of compiling the project, and seconds of each answer of git
    files, megabytes      of the project's folder in the commit
    previews              at most so many environments of previews at once
    """

    seconds: int = Field(default=120, ge=1, le=3600)
    memory_mb: int = Field(default=4096, ge=256)
    files: int = Field(default=20_000, ge=1)
    megabytes: int = Field(default=512, ge=1)
    previews: int = Field(default=20, ge=0)


class GitConfig(_Config):
    """`git`: the repository that drives this gateway.

    remote, path                where the repository is, and the project's folder in it
    deploy_branch               what `prod` shows
    previews                    refs that get an environment of their own: `feature/*`, `refs/pull/*/head`
    open_pull_requests          how it is told that a pull request is closed: its ref goes, its merge ref goes, or
                                the API of `status` says so
    may_run_code                refs whose Python and statements may run in this system; by default the deploy branch
    deployment                  synchronized: what is merged is deployed; desynchronized: when somebody says so
    default_pr_start, pr_min_intervals    from when previews build, and at least how many of the latest intervals
    skip_pr_backfill            previews build nothing: what is not built yet is an empty table there
    forward_only_branch_suffix  branches with this end have forward-only previews
    approval                    which deploys wait for somebody
    on_destructive_change       what a deploy does that removes or retypes what prod's readers see
    sensors                     whether Dagster's two sensors start by themselves
    hook                        a program with arguments, told each report on its standard input
    token_variable              the environment variable that holds a token for the remote (https) and the status
    webserver                   the address of Dagster's web server, asked to reload after a deploy
    """

    remote: Annotated[str, AfterValidator(_checked_remote)]
    path: Annotated[str, AfterValidator(_checked_folder)] = ""
    deploy_branch: Ref = "main"
    previews: Patterns = ()
    open_pull_requests: Literal["ref", "merge_ref", "api"] = "ref"
    may_run_code: Patterns | None = None
    deployment: Literal["synchronized", "desynchronized"] = "synchronized"
    approval: Literal["never", "destructive", "always"] = "never"
    on_destructive_change: Literal["allow", "warn", "error"] = "warn"
    run_on_deploy_to_prod: bool = False
    invalidate_environment_after_deploy: bool = True
    pr_environment_name: Annotated[str, AfterValidator(_checked_prefix)] = "pr"
    default_pr_start: str | None = None
    pr_min_intervals: int = Field(default=0, ge=0)
    skip_pr_backfill: bool = False
    forward_only_branch_suffix: str = "-forward-only"
    data_diff: bool = True
    sensors: Literal["running", "stopped"] = "stopped"
    poll_seconds: int = Field(default=30, ge=5)
    reports: str | None = None
    hook: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    status: StatusConfig | None = None
    token_variable: Variable | None = None
    webserver: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    limits: LimitsConfig = LimitsConfig()

    @model_validator(mode="after")
    def _host(self) -> GitConfig:
        if self.open_pull_requests == "api" and self.status is None:
            raise ValueError(
                "open_pull_requests: api asks the host that `status` names, and there is none",
                "write status: {type: github, repository: acme/warehouse}",
            )
        return self

    @property
    def deploy_ref(self) -> str:
        """The full name of the deploy branch."""
        return full_ref(self.deploy_branch)

    def may_run(self, ref: str) -> bool:
        """Whether code of the ref may run in this system."""
        allowed = (self.deploy_ref,) if self.may_run_code is None else self.may_run_code
        return any(matches(pattern, ref) for pattern in allowed)

    def is_preview(self, ref: str) -> bool:
        """Whether the ref gets an environment of its own."""
        return ref != self.deploy_ref and any(matches(pattern, ref) for pattern in self.previews)

    def is_forward_only(self, ref: str) -> bool:
        """Whether the ref's name makes its changes forward-only."""
        suffix = self.forward_only_branch_suffix
        return bool(suffix) and ref.startswith(HEADS) and ref.endswith(suffix)


BOT_KEYS: Mapping[str, str | None] = {
    "type": None,
    "invalidate_environment_after_deploy": "invalidate_environment_after_deploy",
    "run_on_deploy_to_prod": "run_on_deploy_to_prod",
    "pr_environment_name": "pr_environment_name",
    "default_pr_start": "default_pr_start",
    "pr_min_intervals": "pr_min_intervals",
    "skip_pr_backfill": "skip_pr_backfill",
    "prod_branch_name": "deploy_branch",
    "enable_deploy_command": "comments on pull requests are not read: merging deploys",
    "command_namespace": "comments on pull requests are not read",
    "merge_method": "nothing is merged: what was merged is deployed",
    "auto_categorize_changes": "plan.auto_categorize_changes counts everywhere",
    "pr_include_unmodified": "an environment always shows all models",
    "forward_only_branch_suffix": "forward_only_branch_suffix",
    "check_if_blocked_on_deploy_to_prod": "the host decides what can be merged",
    "default_pr_preview_start": "previews build what is missing, from default_pr_start on",
    "pr_preview_min_intervals": "previews build what is missing, from default_pr_start on",
}
"""The keys of the anchor's bot: ours of the same meaning, or why there is none. `type` is told nowhere."""

_SILENT = {"type", "pr_include_unmodified"}


def from_bot(bot: Mapping[str, Any], written: Collection[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Which of our keys `cicd_bot` fills (ours → theirs), without those `written`; and notes on what has no effect."""
    taken: dict[str, str] = {}
    notes = []
    for name, value in bot.items():
        if value is None or name in _SILENT:
            continue
        meant = BOT_KEYS.get(name)
        if meant in GitConfig.model_fields:
            if meant not in written:
                taken[str(meant)] = name
        elif value is not False:
            notes.append(f"cicd_bot.{name} is not read: {meant}")
    return taken, tuple(notes)


MAX_LENGTH = names.MAX_ENVIRONMENT_LENGTH
MERGE_REFS = ("refs/pull/*/merge", "refs/merge-requests/*/merge", "refs/pull-requests/*/merge")
"""Where hosts keep what a pull request would be when merged."""
_NUMBERED = re.compile(r"(refs/(?:pull|merge-requests|pull-requests)/([1-9][0-9]{0,8})/)[a-z]+\Z")


def pull_request_of(ref: str) -> int | None:
    """The number of the pull or merge request that the ref is of; None for other refs."""
    numbered = _NUMBERED.match(ref)
    return int(numbered[2]) if numbered is not None else None


def merge_ref_of(ref: str) -> str | None:
    """The ref beside a pull request's that has its merge; None for other refs."""
    numbered = _NUMBERED.match(ref)
    return f"{numbered[1]}merge" if numbered is not None else None


def environment_of(ref: str, prefix: str) -> str:
    """The environment of a preview: `pr_12` for a pull request's ref, else the branch with `_` for everything that no
    name may hold. Two branches may meet in one name; whoever uses this has to look.

    Raises InvalidName when nothing is left of the branch.
    """
    import hashlib

    number = pull_request_of(ref)
    if number is not None:
        return names.validate_environment(f"{prefix}_{number}")
    short = short_ref(ref)
    slug = re.sub(r"[^a-z0-9]+", "_", short.lower()).strip("_")
    if slug == "prod" or not _is_name(slug[:MAX_LENGTH].rstrip("_")):
        slug = f"b_{slug}"
    if len(slug) > MAX_LENGTH:
        slug = f"{slug[: MAX_LENGTH - 9].rstrip('_')}_{hashlib.sha256(short.encode()).hexdigest()[:8]}"
    return names.validate_environment(slug)


def _is_name(text: str) -> bool:
    try:
        names.validate_environment(text)
    except IsomeshError:
        return False
    return True
