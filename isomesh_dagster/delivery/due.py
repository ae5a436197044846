"""What is due: the refs of the remote against what was last done about each. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from isomesh_dagster.config.git import GitConfig, environment_of, pull_request_of, ref_problem, short_ref
from isomesh_dagster.errors import InvalidName
from isomesh_dagster.snapshot.environment import PROD
from isomesh_dagster.state.protocol import GitRef


@dataclass(frozen=True, slots=True, kw_only=True)
class Deploy:
    """Let `prod` show the deploy branch's commit."""

    ref: str
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Let the environment of a ref show its commit."""

    ref: str
    commit: str
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expire:
    """The ref is gone: its environment ends."""

    ref: str
    environment: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A ref that nothing is done about, and why."""

    ref: str
    commit: str
    reason: str


Task = Deploy | Preview | Expire


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """What is to be done, in this order, and what is refused.

    `unknown` tells why the host does not say which pull requests are open; then none begins and none ends.
    """

    tasks: tuple[Task, ...] = ()
    refused: tuple[Refused, ...] = ()
    unknown: str = ""


def due(
    config: GitConfig, refs: Mapping[str, str], records: Sequence[GitRef], environments: Collection[str] = ()
) -> Due:
    """What `refs` (by full name, with their commits) ask for after what `records` say was done.

    `environments` are those that have not ended: one that no ref made is nobody's preview. A remote without the deploy
    branch is not believed: nothing ends because of it. Of more previews than the limit, the newest pull requests come
    first.
    """
    known = {record.ref: record for record in records}
    tasks: list[Task] = []
    refused: list[Refused] = []
    head = refs.get(config.deploy_ref)
    if head is not None and config.deployment == "synchronized" and not _is_done(known, config.deploy_ref, head):
        tasks.append(Deploy(ref=config.deploy_ref, commit=head))

    if head is not None:  # before the previews: another branch may get the environment of one that is gone
        tasks += [
            Expire(ref=record.ref, environment=record.environment)
            for record in records
            if record.ref not in refs and record.ref != config.deploy_ref and record.environment != PROD
        ]

    owners = {record.environment: record.ref for record in records if record.ref in refs or head is None}
    taken = {*environments} - {record.environment for record in records}
    previews = {ref: commit for ref, commit in refs.items() if config.is_preview(ref)}
    live = sum(record.ref in previews and record.environment in environments for record in records)
    for ref, commit in sorted(previews.items(), key=lambda each: (each[0] not in known, *_order(each[0]))):
        if _is_done(known, ref, commit):
            continue
        reason, environment = _place(config, ref, owners, taken)
        is_new = ref not in known or known[ref].environment not in environments
        if not reason and is_new and live >= config.limits.previews:
            reason = f"there are {live} previews already; git.limits.previews allows more"
        if reason:
            refused.append(Refused(ref=ref, commit=commit, reason=reason))
            continue
        owners[environment] = ref
        live += is_new
        tasks.append(Preview(ref=ref, commit=commit, environment=environment))
    return Due(tasks=tuple(tasks), refused=tuple(refused))


def _order(ref: str) -> tuple[int, str]:
    """Branches by name, then pull requests, the newest first."""
    number = pull_request_of(ref)
    return (-1_000_000_000 if number is None else -number, ref)


def _is_done(known: Mapping[str, GitRef], ref: str, commit: str) -> bool:
    return ref in known and known[ref].commit == commit


def _place(config: GitConfig, ref: str, owners: Mapping[str, str], taken: Collection[str]) -> tuple[str, str]:
    """Why the ref gets no environment, else the name of it."""
    problem = ref_problem(ref)
    if problem is not None:
        return f"its name {problem}", ""
    try:
        environment = environment_of(ref, config.pr_environment_name)
    except InvalidName as error:
        return error.message, ""
    other = owners.get(environment, ref)
    if other != ref:
        return f"its environment {environment} belongs to {short_ref(other)}; rename one of the branches", ""
    if environment in taken or environment == PROD:
        return f"there is an environment {environment} that no ref made; rename the branch", ""
    return "", environment
