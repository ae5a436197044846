"""`isomesh environments`, `plans`, `rollback`, `invalidate` and `janitor`: what is shown and was applied, and changing
that without building.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

import click

from isomesh_dagster.cli.session import Session, json_option, pass_session

if TYPE_CHECKING:
    from isomesh_dagster.cli.console import Console
    from isomesh_dagster.records.events import Event
    from isomesh_dagster.snapshot.environment import Environment, Promotion
    from isomesh_dagster.state.protocol import PlanRecord


@click.command(short_help="List environments and their history.")
@click.option("--history", is_flag=True, help="Also list every promotion, newest first.")
@json_option
@pass_session
def environments(session: Session, *, history: bool, as_json: bool) -> None:
    """List the gateway's environments: what each shows, since when, and when it ends.

    \b
    Examples:
      isomesh environments
      isomesh environments --history                         every promotion, for rollback --to
      isomesh --gateway production environments --json
    """
    console = session.console
    with session.project() as project:
        found = project.environments()
        promotions = {each.name: project.promotions(each.name) for each in found} if history else {}
        gateway = project.gateway
    if as_json:
        console.json(
            {
                "gateway": gateway,
                "environments": [_environment_json(each, promotions.get(each.name)) for each in found],
            }
        )
        return
    console.line(f"gateway {gateway} · {len(found)} environment{'' if len(found) == 1 else 's'}", "bold")
    if not found:
        console.line("No environment yet. To make one: isomesh plan dev")
        return
    console.table(
        ("environment", "promotion", "plan", "models", "views", "since", "ends"),
        (
            (
                each.name,
                each.number,
                each.plan_id[:12],
                len(each.target.snapshots),
                len(each.target.views),
                _moment(each.promoted_at),
                _moment(each.expires_at) or "never",
            )
            for each in found
        ),
    )
    for name, entries in promotions.items():
        console.line()
        console.line(f"history of {name}", "bold")
        console.table(
            ("promotion", "plan", "when", "why", "views"),
            (
                (entry.number, entry.plan_id[:12], _moment(entry.promoted_at), entry.reason, len(entry.target.views))
                for entry in entries
            ),
        )


@click.command(short_help="List the plans that were applied.")
@click.argument("environment", required=False, metavar="[ENV]")
@json_option
@pass_session
def plans(session: Session, *, environment: str | None, as_json: bool) -> None:
    """List the plans that were applied or begun, of ENV or of all environments, newest first.

    An open one was interrupted or is being applied: `isomesh apply PLAN` goes on with it. With --json each has its
    whole document, with the plan as Markdown in it.

    \b
    Examples:
      isomesh plans prod
      isomesh plans prod --json | jq -r '.plans[0].document.markdown'
    """
    console = session.console
    with session.project() as project:
        found = project.plans(environment)
        gateway = project.gateway
    if as_json:
        console.json({"gateway": gateway, "plans": [_plan_json(each) for each in found]})
        return
    console.line(f"gateway {gateway} · {len(found)} plan{'' if len(found) == 1 else 's'}", "bold")
    if not found:
        return
    console.table(
        ("plan", "environment", "status", "begun", "based on", "what"),
        (
            (
                each.id[:12],
                each.environment,
                each.status,
                _moment(each.created_at),
                each.based_on,
                _done(each),
            )
            for each in found
        ),
    )


@click.command(short_help="Show an earlier promotion of ENV again.")
@click.argument("environment", metavar="ENV")
@click.option("--to", "number", type=click.IntRange(min=1), metavar="N", help="The promotion to go back to.")
@pass_session
def rollback(session: Session, *, environment: str, number: int | None) -> None:
    """Show again in ENV what an earlier promotion showed: the one before, or N.

    Builds nothing and swaps all views at once. It is a promotion itself, so rolling back can be rolled back. The next
    plan compares the files with what ENV shows then.

    \b
    Examples:
      isomesh rollback prod             the promotion before
      isomesh environments --history    which promotions there are
      isomesh rollback prod --to 4      that one
    """
    from isomesh_dagster.plan.words import count

    console = session.console
    with session.project() as project:
        done = project.rollback(environment, to=number)
        gateway = project.gateway
    console.line(
        f"gateway {gateway} · {done.environment} shows again what promotion {number or done.number - 2} showed,"
        f" as promotion {done.number}:"
        f" {count(len(done.created), 'view')} set, {len(done.dropped)} dropped, {done.seconds:.2f} s",
        "bold green",
    )
    for note in done.notes:
        console.note(note, "yellow")


@click.command(short_help="End ENV now.")
@click.argument("environment", metavar="ENV")
@click.option("-s", "--sync", is_flag=True, help="Also remove its views, now.")
@pass_session
def invalidate(session: Session, *, environment: str, sync: bool) -> None:
    """End ENV now. Its views stay until the next `isomesh janitor` removes them. prod is refused.

    \b
    Examples:
      isomesh invalidate dev && isomesh janitor
      isomesh invalidate dev --sync     its views go, tables that others may need wait for the janitor
    """
    console = session.console
    with session.project() as project:
        project.invalidate(environment)
        console.line(
            f"gateway {project.gateway} · {environment} has ended" + ("" if sync else "; the next janitor removes it"),
            "bold green",
        )
        if sync:
            _sweep(console, project.janitor(environment=environment))


@click.command(short_help="Remove what nothing needs any more.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@click.option("--ignore-ttl", is_flag=True, help="Also remove tables that were needed only recently.")
@click.option("-e", "--environment", metavar="ENV", help="Only ENV, if it has ended; no tables.")
@pass_session
def janitor(session: Session, *, dry_run: bool, ignore_ttl: bool, environment: str | None) -> None:
    """Remove what nothing needs: ended environments, and tables that no environment and no rollback needs any more.

    Objects that isomesh did not make are never touched.

    \b
    Examples:
      isomesh janitor --dry-run     what would go
      isomesh janitor
      isomesh janitor -e dev        only the views of dev, which has ended
    """
    console = session.console
    with session.project() as project:
        console.line(f"gateway {project.gateway} · janitor{' (dry run)' if dry_run else ''}", "bold")
        swept = project.janitor(ignore_ttl=ignore_ttl, dry_run=dry_run, environment=environment)
        dropped = _sweep(console, swept, dry_run=dry_run)
    verb = "would be removed" if dry_run else "removed"
    console.line(f"{dropped} object{'' if dropped == 1 else 's'} {verb}.", "bold")


def _sweep(console: Console, events: Iterable[Event], *, dry_run: bool = False) -> int:
    """Tell what goes as it goes; how many objects that are."""
    from isomesh_dagster.cli.report import event_line

    dropped = 0
    for told in filter(None, map(event_line, events)):
        text, style = told
        console.line(text.replace("dropped ", "would drop", 1) if dry_run else text, style)
        dropped += text.startswith("dropped")
    return dropped


def _done(record: PlanRecord) -> str:
    """What the plan did, or will do, in a few words."""
    summary = str(json.loads(record.document)["summary"]) if record.document else "rollback"
    return summary.removeprefix("Applying it ").removesuffix(".")


def _moment(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%d %H:%M} UTC" if moment is not None else None


def _iso(moment: datetime | None) -> str | None:
    from isomesh_dagster.snapshot.interval import iso, to_ms

    return iso(to_ms(moment)) if moment is not None else None


def _plan_json(record: PlanRecord) -> dict[str, object]:
    return {
        "plan_id": record.id,
        "environment": record.environment,
        "status": record.status,
        "based_on": record.based_on,
        "created_at": _iso(record.created_at),
        "document": json.loads(record.document) if record.document else None,
    }


def _environment_json(environment: Environment, promotions: list[Promotion] | None) -> dict[str, object]:
    document: dict[str, object] = {
        "name": environment.name,
        "plan_id": environment.plan_id,
        "promotion": environment.number,
        "promoted_at": _iso(environment.promoted_at),
        "expires_at": _iso(environment.expires_at),
        "models": {name: snapshot.version for name, snapshot in sorted(environment.target.snapshots.items())},
        "views": {view.view: view.physical for _, view in sorted(environment.target.views.items())},
    }
    if promotions is not None:
        document["promotions"] = [
            {
                "promotion": promotion.number,
                "plan_id": promotion.plan_id,
                "promoted_at": _iso(promotion.promoted_at),
                "reason": promotion.reason,
            }
            for promotion in promotions
        ]
    return document
