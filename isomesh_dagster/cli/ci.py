"""`isomesh ci`: what Dagster's git sensors do, once, for those whose CI prefers a command."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from isomesh_dagster.cli.outcome import DONE, FAILED, NOT_APPLIED
from isomesh_dagster.cli.session import Session, json_option, pass_session, remember_gateway
from isomesh_dagster.errors import RemoteError

if TYPE_CHECKING:
    from isomesh_dagster.delivery import Delivery, Due, Report
    from isomesh_dagster.plan.plan import Plan
    from isomesh_dagster.project import Project
    from isomesh_dagster.records.events import Event

_STYLES = {"shown": "bold green", "waiting": "yellow", "failed": "bold red", "skipped": "dim", "ended": "dim"}

_markdown_option = click.option("--markdown", is_flag=True, help="Print the report as Markdown, for a pull request.")


@click.group(short_help="Let a git repository drive this system, once.")
def ci() -> None:
    """Let the repository in `git:` of config.yaml drive this gateway: prod shows its deploy branch, branches and pull
    requests get environments of their own.

    Files come from the remote's commits, whatever is in this folder; connections come from this folder's configuration.
    Dagster's two git sensors do the same by themselves.

    \b
    Examples:
      isomesh ci sync                         all that is due
      isomesh ci deploy                       the newest commit of the deploy branch
      isomesh ci preview feature/prices
    """


@ci.command(short_help="Do all that is due.")
@click.option("--dry-run", is_flag=True, help="Only tell what is due.")
@json_option
@pass_session
def sync(session: Session, *, dry_run: bool, as_json: bool) -> None:
    """Do all that the remote's refs ask for: deploy a new commit, refresh previews, end those whose branch is gone.

    A commit that failed is not tried again until the next push; `ci deploy` and `ci preview` do try again. With
    `deployment: desynchronized` nothing is deployed here.

    \b
    Examples:
      isomesh ci sync
      isomesh ci sync --dry-run
    """
    with _delivery(session) as delivery:
        due = delivery.due()
        if dry_run:
            _tell_due(session, due, as_json=as_json)
            return
        if due.unknown:
            session.console.note(due.unknown, "yellow")
        for refused in due.refused:
            session.console.note(f"{refused.ref}: {refused.reason}", "yellow")
        reports, away = [], []
        for task in due.tasks:
            try:
                reports.append(delivery.do(task, on_event=_progress(as_json)))
            except RemoteError as error:  # a commit that cannot be fetched keeps no other ref waiting
                away.append(error)
                continue
            if not as_json:
                _tell(session, delivery, reports[-1], markdown=False)
        delivery.clean()
    if as_json:
        _tell_json(session, reports)
    elif not reports and not away:
        session.console.line("Nothing is due.", "bold green")
    for other in away[:-1]:
        session.console.note(str(other), "yellow")
    if away:
        raise away[-1]
    _end(reports)


@ci.command(short_help="Let prod show the deploy branch.")
@click.option("--commit", metavar="SHA", help="This commit of the branch instead of its newest.")
@_markdown_option
@json_option
@pass_session
def deploy(session: Session, *, commit: str | None, markdown: bool, as_json: bool) -> None:
    """Let prod show a commit of the deploy branch: test, check, build what is missing, audit, swap all views at once.

    When a preview has built it all, only views are swapped. The exit code is 3 when the plan waits for somebody's
    approval, and 4 when something failed; prod then shows what it showed.

    \b
    Examples:
      isomesh --gateway production ci deploy
      isomesh --gateway production ci deploy --commit 1a49faf0c2d5a0c1f0f1cfd7ae8ed5a3ecbb1dd3 --markdown
    """
    with _delivery(session) as delivery:
        _told(session, delivery, delivery.deploy(commit, on_event=_progress(as_json)), markdown, as_json)


@ci.command(short_help="Go on with the deploy that waits.")
@click.argument("plan", metavar="PLAN")
@_markdown_option
@json_option
@pass_session
def approve(session: Session, *, plan: str, markdown: bool, as_json: bool) -> None:
    """Agree to the deploy that waits, by its plan's id or the beginning of it, and apply it.

    Refused, with code 5, when prod moved since.

    \b
    Examples:
      isomesh ci status
      isomesh ci approve 4b86d476521e
    """
    go_on(session, plan, markdown=markdown, as_json=as_json)


@ci.command(short_help="Build a branch's environment.")
@click.argument("branch", required=False)
@click.option("--pr", type=click.IntRange(1), metavar="N", help="The pull or merge request of that number.")
@_markdown_option
@json_option
@pass_session
def preview(session: Session, *, branch: str | None, pr: int | None, markdown: bool, as_json: bool) -> None:
    """Let the environment of a branch or pull request show its newest commit; its name comes from the ref's.

    \b
    Examples:
      isomesh ci preview feature/prices        environment feature_prices
      isomesh ci preview --pr 12 --markdown    environment pr_12, for a comment on the pull request
    """
    if (branch is None) == (pr is None):
        raise click.UsageError("Either BRANCH or --pr N.")
    with _delivery(session) as delivery:
        ref = branch if branch is not None else _pull_ref(delivery, pr or 0)
        _told(session, delivery, delivery.preview(ref, on_event=_progress(as_json)), markdown, as_json)


@ci.command(short_help="End a branch's environment.")
@click.argument("branch")
@json_option
@pass_session
def expire(session: Session, *, branch: str, as_json: bool) -> None:
    """End the environment of a branch or ref; `isomesh janitor` then removes its views and what only it needed.

    \b
    Examples:
      isomesh ci expire feature/prices
    """
    with _delivery(session) as delivery:
        _told(session, delivery, delivery.expire(branch), False, as_json)


@ci.command(short_help="What was last done about each ref.")
@json_option
@pass_session
def status(session: Session, *, as_json: bool) -> None:
    """Show what was last done about each ref; the remote is not asked.

    \b
    Examples:
      isomesh ci status
      isomesh ci status --json | jq '.refs[] | select(.status == "failed")'
    """
    with _delivery(session) as delivery:
        records = delivery.records()
        gateway = delivery.settings.gateway
    if as_json:
        session.console.json(
            {
                "gateway": gateway,
                "refs": [
                    {
                        "ref": record.ref,
                        "environment": record.environment,
                        "commit": record.commit,
                        "status": record.status,
                        "shown": record.shown,
                        "changed_at": record.changed_at.isoformat(),
                        "told": record.told,
                    }
                    for record in records
                ],
            }
        )
        return
    session.console.line(f"gateway {gateway} · {delivery.config.remote}", "bold")
    if not records:
        session.console.line("Nothing was done about any ref yet.")
        return
    session.console.table(
        ("ref", "environment", "commit", "status", "told"),
        ((one.ref, one.environment, one.commit[:12], one.status, one.told) for one in records),
    )


def waits(session: Session, plan: str) -> bool:
    """Whether a deploy with a plan of that id, or beginning, waits for somebody. Asks nothing of the remote."""
    from isomesh_dagster.delivery import Delivery
    from isomesh_dagster.errors import ConfigError

    try:
        with Delivery(session.directory, gateway=session.gateway) as delivery:
            return bool(plan) and delivery.waiting_plan(plan) is not None
    except ConfigError:
        return False  # no repository drives this gateway, or the configuration is told by what comes next


def go_on(session: Session, plan: str, *, markdown: bool, as_json: bool) -> None:
    """Apply the deploy that waits and whose plan is `plan`."""
    with _delivery(session) as delivery:
        report = delivery.approve(plan, on_event=_progress(as_json))
        _told(session, delivery, report, markdown, as_json)


@contextmanager
def _delivery(session: Session) -> Iterator[Delivery]:
    from isomesh_dagster.delivery import Delivery

    with Delivery(session.directory, gateway=session.gateway) as delivery:
        remember_gateway(delivery.settings.gateway)
        yield delivery


class _Progress:
    """Lines on stderr for what an apply does."""

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet

    def __call__(self, _project: Project, _plan: Plan, event: Event) -> None:
        from isomesh_dagster.cli.console import Console
        from isomesh_dagster.cli.report import event_line, failing_audits

        for line in (event_line(event), *(event_line(audit) for audit in failing_audits(event))):
            if line is not None and not self.quiet:
                Console().note(*line)


def _progress(as_json: bool) -> _Progress:
    return _Progress(quiet=as_json)


def _pull_ref(delivery: Delivery, number: int) -> str:
    patterns = [
        pattern
        for pattern in delivery.config.previews
        if pattern.startswith(("refs/pull", "refs/merge-requests")) and pattern.count("*") == 1
    ]
    if not patterns:
        raise click.UsageError("git.previews has no pattern like refs/pull/*/head: name the branch.")
    return patterns[0].replace("*", str(number))


def _told(session: Session, delivery: Delivery, report: Report, markdown: bool, as_json: bool) -> None:
    if as_json:
        _tell_json(session, [report])
    else:
        _tell(session, delivery, report, markdown=markdown)
    _end([report])


def _tell(session: Session, delivery: Delivery, report: Report, *, markdown: bool) -> None:
    if markdown:
        from isomesh_dagster.cli.console import write_plain

        write_plain(delivery.markdown(report).rstrip("\n"))
        return
    from isomesh_dagster.cli.testing import tell_failure
    from isomesh_dagster.plan.explain import change_sections

    console = session.console
    console.line(f"gateway {report.gateway} · {report.kind} {report.ref} at {report.commit.id[:12]}", "bold")
    if report.plan is not None:
        console.sections(change_sections(report.plan, diffs=False))
    for result in report.tests:
        if not result.passed:
            tell_failure(console, result, beside=True, verbose=False)
    for one in report.destructive:
        console.note(f"  readers lose: {one}", "magenta")
    if report.error is not None:
        console.note(report.error, "red")
    for one in report.also:
        console.line(f"  {one}")
    console.line()
    console.line(report.told + ".", _STYLES[report.outcome])  # it begins with the environment's name, as it is


def _tell_json(session: Session, reports: Sequence[Report]) -> None:
    from isomesh_dagster.delivery.report import report_json

    session.console.json({"reports": [report_json(report) for report in reports]})


def _tell_due(session: Session, due: Due, *, as_json: bool) -> None:
    from isomesh_dagster.delivery import Expire

    if as_json:
        tasks = [
            {
                "what": type(task).__name__.lower(),
                "ref": task.ref,
                "commit": None if isinstance(task, Expire) else task.commit,
                "environment": getattr(task, "environment", "prod"),
            }
            for task in due.tasks
        ]
        refused = [{"ref": one.ref, "commit": one.commit, "reason": one.reason} for one in due.refused]
        session.console.json({"due": tasks, "refused": refused, "unknown": due.unknown or None})
        return
    if due.unknown:
        session.console.note(due.unknown, "yellow")
    for task in due.tasks:
        at = "" if isinstance(task, Expire) else f" at {task.commit[:12]}"
        session.console.line(
            f"{type(task).__name__.lower()} {task.ref}{at} → {getattr(task, 'environment', 'prod')}", "bold"
        )
    for one in due.refused:
        session.console.line(f"refused {one.ref}: {one.reason}", "yellow")
    if not due.tasks:
        session.console.line("Nothing is due.", "bold green")


def _end(reports: Sequence[Report]) -> None:
    outcomes = {report.outcome for report in reports}
    code = FAILED if "failed" in outcomes else NOT_APPLIED if "waiting" in outcomes else DONE
    if code != DONE:
        raise click.exceptions.Exit(code)
