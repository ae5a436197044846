"""Doing what is due: one commit to one environment, from the remote to the report."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal

from isomesh_dagster.cache.manifest import Source, read_manifest
from isomesh_dagster.config.git import GitConfig, environment_of, pull_request_of, short_ref
from isomesh_dagster.config.read import load_settings
from isomesh_dagster.config.settings import Settings
from isomesh_dagster.delivery.due import Deploy, Due, Expire, Preview, Refused, Task, due
from isomesh_dagster.delivery.host import only_open
from isomesh_dagster.delivery.report import Outcome, Report
from isomesh_dagster.delivery.tell import Teller
from isomesh_dagster.delivery.work import Done, Found, OnEvent, deploy_commit, living, plan_that_waits, preview_commit
from isomesh_dagster.errors import (
    AuditError,
    ConfigError,
    ConflictingPlanError,
    GitError,
    IsomeshError,
    LintError,
    LockedError,
    PlanError,
    RemoteError,
    WriteConflict,
)
from isomesh_dagster.git.mirror import Commit, Mirror, check_commit, check_ref
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.saved import read_document
from isomesh_dagster.project import FOLDER, Project
from isomesh_dagster.project.compiling import compile_commit
from isomesh_dagster.project.system import System
from isomesh_dagster.records.events import Event, Failed
from isomesh_dagster.snapshot.environment import PROD
from isomesh_dagster.state.protocol import GitRef

_PASSING = (LockedError, WriteConflict, ConflictingPlanError, RemoteError)
"""What may be different in a minute: it is raised and not recorded, so that what was due stays due."""


def _nothing(_project: Project, _plan: Plan, _event: Event) -> None:
    """Nobody listens."""


class Delivery:
    """A gateway that a repository drives, as the configuration in `root` says.

    Raises ConfigError when it says nothing about git. A context manager; opens the state when it is first needed.
    """

    def __init__(
        self, root: Path | str, *, gateway: str | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self._environ = os.environ if environ is None else environ
        self.settings: Settings = load_settings(Path(root).resolve(), gateway, self._environ)
        if self.settings.git is None:
            raise ConfigError(
                f"no repository drives gateway {self.settings.gateway!r}",
                path="config.yaml",
                hint=f"write `git: {{remote: …}}` under gateways.{self.settings.gateway}",
            )
        self.config: GitConfig = self.settings.git
        self.mirror = Mirror(
            self.settings.root / FOLDER / "git", self.config, root=self.settings.root, environ=self._environ
        )
        self._system = System(self.settings)
        self._teller = Teller(self.settings, self.config, self._environ)

    def close(self) -> None:
        """Let go of the state."""
        self._system.close()

    def __enter__(self) -> Delivery:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- what is due

    def due(self) -> Due:
        """What the remote's refs ask for now. Asks the remote, its host and the state; raises GitError."""
        state = self._system.checked()
        records = state.git_refs()
        refs, unknown = only_open(self.config, self._environ, self.mirror.refs(), {record.ref for record in records})
        found = due(self.config, refs, records, living(state.environments(), _now()))
        if self.config.deploy_ref not in refs:
            reason = "the remote has no such branch; git.deploy_branch says which one prod shows"
            found = replace(
                found, refused=(Refused(ref=self.config.deploy_ref, commit="", reason=reason), *found.refused)
            )
        return replace(found, unknown=unknown)

    def records(self) -> list[GitRef]:
        """What was last done about each ref."""
        return self._system.checked().git_refs()

    def shown_commit(self) -> str | None:
        """The commit of the deploy branch that `prod` was last made to show; None when none was."""
        record = self._record(self.config.deploy_ref)
        return record.shown if record is not None else None

    def shown_manifest(self) -> Path | None:
        """The manifest of the commit that `prod` shows; None when no commit was deployed, or it cannot be compiled."""
        record = self._record(self.config.deploy_ref)
        if record is None or record.shown is None:
            return None
        with suppress(IsomeshError):
            return self.compile(record.ref, record.shown)
        return None

    def compile(self, ref: str, commit: str) -> Path:
        """The manifest of a commit. Its files are fetched, looked at and compiled by a process without secrets.

        Raises GitError for a commit that cannot be had or may not run, and what loading a project raises.
        """
        files = self.mirror.files(commit, ref)
        name = check_ref(ref)
        may_run = self.config.may_run(name)
        root = self.settings.root
        source = Source(ref=name, commit=commit, files=files.relative_to(root).as_posix(), may_run_code=may_run)
        settings = load_settings(
            root, self.settings.gateway, self._environ, checkout=files, checkout_decides=source.may_run_code
        )
        return compile_commit(settings, source, self.config.limits)

    def examine(self, task: Deploy | Preview) -> Report | None:
        """Whether a commit can be compiled: the report of one that cannot, which is then done with; None when it can.

        Raises RemoteError when the remote does not answer.
        """
        try:
            self.compile(task.ref, task.commit)
        except _PASSING:
            raise
        except IsomeshError as wrong:
            error = wrong
        else:
            return None
        kind: Literal["deploy", "preview"] = "deploy" if isinstance(task, Deploy) else "preview"
        environment = PROD if isinstance(task, Deploy) else task.environment
        return self._failed(kind, task.ref, task.commit, environment, Found(), error)

    # -- doing it

    def do(self, task: Task, *, on_event: OnEvent = _nothing) -> Report:
        """Do one thing that is due."""
        match task:
            case Deploy():
                return self.deploy(task.commit, on_event=on_event)
            case Preview():
                return self.preview(task.ref, task.commit, on_event=on_event)
            case Expire():
                return self.expire(task.ref)

    def deploy(self, commit: str | None = None, *, approve: str | None = None, on_event: OnEvent = _nothing) -> Report:
        """Let `prod` show the commit of the deploy branch, by default its newest.

        `approve` is the id of the plan that waited, or its beginning: then that plan is applied, or nothing. A commit
        that a later deployed one came after is skipped. Raises GitError for a commit that is not on the branch.
        """
        ref = self.config.deploy_ref
        head = self._head(ref)
        chosen = head if commit is None else check_commit(commit)
        record = self._record(ref)
        if chosen != head:
            if not self.mirror.is_on(ref, chosen):
                raise GitError(
                    f"commit {chosen[:12]} is not on {short_ref(ref)}", hint="only what was merged is deployed"
                )
            if record is not None and record.shown is not None and self._is_passed(ref, chosen, record.shown):
                told = f"{chosen[:12]} is older than {record.shown[:12]}, which {PROD} shows"
                return self._report("deploy", ref, chosen, PROD, "skipped", told, Found())
        if approve is not None:
            plan_that_waits(self.config, self.records(), chosen, approve)  # who mistypes it leaves the plan waiting

        def work(found: Found) -> Done:
            with self._opened(ref, chosen) as project:
                return deploy_commit(project, self.config, self.records(), chosen, approve, found, on_event)

        report = self._guarded("deploy", ref, chosen, PROD, work)
        with suppress(GitError):  # what is left lying is no reason to call a deploy failed
            self.clean()
        return report

    def waiting_plan(self, plan: str) -> GitRef | None:
        """What waits for an approval, when its plan's id begins with `plan`."""
        record = self._record(self.config.deploy_ref)
        if record is None or not record.document:
            return None
        saved = read_document(record.document, "the plan that waits")
        return record if saved.id.startswith(plan) else None

    def approve(self, plan: str, *, on_event: OnEvent = _nothing) -> Report:
        """Apply the deploy that waits and whose plan's id begins with `plan`. Raises PlanError when none does."""
        record = self.waiting_plan(plan)
        if record is None or not plan:
            raise PlanError(f"no plan {plan!r} waits for an approval", hint="`isomesh ci status` tells what waits")
        return self.deploy(record.commit, approve=plan, on_event=on_event)

    def preview(self, ref: str, commit: str | None = None, *, on_event: OnEvent = _nothing) -> Report:
        """Let the environment of a ref show its newest commit; an older `commit` is skipped; so is one of a ref that is
        gone, or of a pull request that is closed.

        Raises GitError when there is no such ref, or the configuration has no preview for it.
        """
        name = check_ref(ref)
        if not self.config.is_preview(name):
            patterns = ", ".join(self.config.previews) or "none"
            raise GitError(f"{short_ref(name)} gets no preview", hint=f"git.previews has these patterns: {patterns}")
        own = self._record(name)
        if commit is not None and self.mirror.head(name) is None:
            environment = own.environment if own is not None else environment_of(name, self.config.pr_environment_name)
            told = f"{short_ref(name)} is gone"
            return self._report("preview", name, check_commit(commit), environment, "skipped", told, Found())
        head = self._head(name)
        state = self._system.checked()
        others = [record for record in state.git_refs() if record.ref != name]
        wanted = due(self.config, {name: head}, others, living(state.environments(), _now()))
        if own is not None and own.environment:
            environment = own.environment
        elif wanted.refused:
            raise GitError(f"{short_ref(name)} gets no preview: {wanted.refused[0].reason}")
        else:
            environment = next(task.environment for task in wanted.tasks if isinstance(task, Preview))
        if not self._is_open(name):
            return self._report("preview", name, head, environment, "skipped", f"{name} is closed", Found())
        if commit is not None and check_commit(commit) != head:
            told = f"{commit[:12]} is not the newest of {short_ref(name)} any more: that is {head[:12]}"
            return self._report("preview", name, commit, environment, "skipped", told, Found())

        def work(found: Found) -> Done:
            with self._opened(name, head) as project:
                return preview_commit(project, self.config, name, head, environment, found, on_event)

        return self._guarded("preview", name, head, environment, work)

    def expire(self, ref: str) -> Report:
        """End the environment of a ref that is gone or closed; the janitor removes it."""
        name = check_ref(ref)
        record = self._record(name)
        if record is None:
            raise GitError(f"nothing is known of {short_ref(name)}", hint="`isomesh ci status` lists the refs")
        if record.environment == PROD or name == self.config.deploy_ref:
            raise PlanError(f"{PROD} does not end")
        state = self._system.checked()
        there = record.shown is not None and state.expire(record.environment, _now())
        state.forget_git_ref(name)
        gone = f"{short_ref(name)} is {'gone' if self._goes_with_its_ref(name) else 'closed'}"
        told = f"{record.environment} ended: {gone}" if there else gone
        return self._report("expire", name, record.commit, record.environment, "ended", told, Found())

    # -- around them

    def _opened(self, ref: str, commit: str) -> Project:
        return Project.from_manifest(self.compile(ref, commit), environ=self._environ)

    def _guarded(
        self,
        kind: Literal["deploy", "preview"],
        ref: str,
        commit: str,
        environment: str,
        work: Callable[[Found], Done],
    ) -> Report:
        """Do the work and record how it went."""
        found = Found()
        self._teller.status(commit, environment, "pending", f"{kind} to {environment} has begun")
        try:
            done = work(found)
        except _PASSING as passing:
            self._teller.status(commit, environment, "failed", passing.message)
            raise
        except IsomeshError as error:
            return self._failed(kind, ref, commit, environment, found, error)
        self._keep(ref, environment, commit, done.outcome, done.told, document=done.document)
        return self._report(kind, ref, commit, environment, done.outcome, done.told, found)

    def _failed(
        self,
        kind: Literal["deploy", "preview"],
        ref: str,
        commit: str,
        environment: str,
        found: Found,
        error: IsomeshError,
    ) -> Report:
        before = self._record(ref)
        is_there = before is not None and before.shown is not None
        state = f"{environment} shows what it showed" if is_there else f"there is no {environment} yet"
        told = self._teller.without_secrets(f"{state}: {_what_failed(error, found)}")
        self._keep(ref, environment, commit, "failed", told)
        return self._report(kind, ref, commit, environment, "failed", told, found, error)

    def _keep(self, ref: str, environment: str, commit: str, status: str, told: str, *, document: str = "") -> None:
        before = self._record(ref)
        shown = commit if status == "shown" else before.shown if before is not None else None
        self._system.checked().record_git_ref(
            GitRef(
                ref=ref,
                environment=environment,
                commit=commit,
                status=status,
                changed_at=_now(),
                shown=shown,
                told=told,
                document=document,
            )
        )

    def _report(
        self,
        kind: Literal["deploy", "preview", "expire"],
        ref: str,
        commit: str,
        environment: str,
        outcome: Outcome,
        told: str,
        found: Found,
        error: IsomeshError | None = None,
    ) -> Report:
        report = Report(
            kind=kind,
            gateway=self.settings.gateway,
            environment=environment,
            ref=ref,
            commit=self._commit(commit),
            outcome=outcome,
            told=told,
            error=self._teller.without_secrets(str(error)) if error is not None else None,
            plan=found.plan,
            tests=found.tests,
            destructive=found.destructive,
            events=tuple(found.events),
            rows=found.rows,
            also=tuple(found.also),
        )
        return self._teller.tell(report)

    def markdown(self, report: Report) -> str:
        """The report as Markdown, without any secret of the gateway."""
        return self._teller.markdown(report)

    def _commit(self, commit: str) -> Commit:
        with suppress(GitError):
            return self.mirror.commit(commit)
        return Commit(id=commit, author="", subject="")

    def _record(self, ref: str) -> GitRef | None:
        return next((record for record in self._system.checked().git_refs() if record.ref == ref), None)

    def _is_passed(self, ref: str, commit: str, shown: str) -> bool:
        return commit != shown and self.mirror.is_before(ref, commit, shown)

    def _goes_with_its_ref(self, ref: str) -> bool:
        return pull_request_of(ref) is None or self.config.open_pull_requests == "ref"

    def _is_open(self, ref: str) -> bool:
        if self._goes_with_its_ref(ref):
            return True
        refs, _ = only_open(self.config, self._environ, self.mirror.refs(), {ref})
        return ref in refs

    def _head(self, ref: str) -> str:
        head = self.mirror.head(ref)
        if head is None:
            raise GitError(f"the remote has no {short_ref(ref)}", hint="git.deploy_branch and git.previews name refs")
        return head

    def clean(self) -> None:
        """Remove files of commits that nobody used for two weeks and that no recorded commit needs."""
        folder = self.settings.root / FOLDER / self.settings.gateway / "manifests"
        records = self.records()
        kept = {record.shown for record in records} | {record.commit for record in records}
        used = []
        for commit in filter(None, kept):
            for path in folder.glob(f"*-{commit}-*.json"):  # by name: reading one takes its time
                with suppress(IsomeshError):
                    source = read_manifest(path).source
                    if source is not None:
                        used.append(self.settings.root / source.files)
        self.mirror.clean(used)


def _what_failed(error: IsomeshError, found: Found) -> str:
    failed = [event.model for event in found.events if isinstance(event, Failed)]
    if isinstance(error, LintError):
        return "lint rules are broken"
    if isinstance(error, AuditError) or failed:
        return f"{', '.join(failed[:3]) or 'an audit'} failed"
    return error.message.splitlines()[0]


def _now() -> datetime:
    return datetime.now(timezone.utc)
