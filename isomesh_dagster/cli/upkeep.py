"""`isomesh doctor`, `migrate`, `state`, `system`, `clean` and `destroy`: keeping a system healthy, and ending it. All
but `system adopt`, which makes definitions again from the files, work when a model is broken too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isomesh_dagster.cli.interrupts import ending_statements
from isomesh_dagster.cli.outcome import NOT_APPLIED, TO_MEND
from isomesh_dagster.cli.parameters import accepted
from isomesh_dagster.cli.session import Session, can_ask, json_option, pass_session, remember_gateway

if TYPE_CHECKING:
    from isomesh_dagster.project.system import System
    from isomesh_dagster.state.transfer import Transferred
    from isomesh_dagster.upkeep.doctor import Finding

_STYLES = {"ok": "green", "warning": "yellow", "error": "bold red"}
_MARKS = {"ok": "✓", "warning": "!", "error": "✗"}


@click.command(short_help="Examine warehouse and state; mend drift.")
@click.argument("environments", nargs=-1, metavar="[ENV]...")
@click.option("--repair", is_flag=True, help="Mend what can be mended; nothing is dropped.")
@json_option
@pass_session
def doctor(session: Session, *, environments: tuple[str, ...], repair: bool, as_json: bool) -> None:
    """Examine the gateway's system: whether state and warehouse belong together, clocks, rights, and whether every
    table and view is still what the state says. With ENV only the tables and views of these environments.

    --repair makes views again that were replaced or dropped by hand, finishes interrupted promotions, and forgets the
    intervals of tables that are gone, so that `isomesh run` builds them again. The exit code is 1 while something is
    wrong.

    \b
    Examples:
      isomesh doctor
      isomesh --gateway production doctor prod --repair
      isomesh doctor --json | jq '.findings[] | select(.level != "ok")'
    """
    from isomesh_dagster.project import upkeep

    console = session.console
    with _system(session) as system:
        found = list(upkeep.examine(system, environments=environments, repair=repair))
        gateway = system.settings.gateway
    is_well = all(each.level.value != "error" or each.is_repaired for each in found)
    if as_json:
        console.json({"gateway": gateway, "healthy": is_well, "findings": [_finding_json(each) for each in found]})
    else:
        console.line(f"gateway {gateway} · doctor", "bold")
        for each in found:
            mended = " (mended)" if each.is_repaired else ""
            console.line(
                f"  {_MARKS[each.level.value]} {each.subject}: {each.message}{mended}", _STYLES[each.level.value]
            )
            if each.hint:
                console.note(f"    {each.hint}")
        console.line("Everything is as it should be." if is_well else "Something is wrong.", "bold")
    if not is_well:
        raise click.exceptions.Exit(TO_MEND)


@click.command(short_help="Migrate the state's tables to this version.")
@click.option("--no-backup", is_flag=True, help="Make no copy of the state first.")
@click.option("--to", metavar="REVISION", help="Go to this revision instead: back, for an older version of isomesh.")
@pass_session
def migrate(session: Session, *, no_backup: bool, to: str | None) -> None:
    """Bring the tables of the gateway's state to the revision that this version of isomesh needs.

    A backup is made first, beside the state; all or nothing is migrated. Every other command refuses a state that
    waits for this.

    \b
    Examples:
      isomesh migrate
      isomesh --gateway production migrate
      isomesh migrate --to 0001              before going back to an older version
    """
    from isomesh_dagster.project import upkeep

    with _system(session) as system:
        done = upkeep.migrate(system, backup=not no_backup, to=to)
        gateway = system.settings.gateway
    if done.before == done.after:
        session.console.line(f"gateway {gateway} · the state has revision {done.after}: nothing to do", "bold green")
        return
    session.console.line(
        f"gateway {gateway} · the state went from revision {done.before} to {done.after}", "bold green"
    )
    if done.backup is not None:
        session.console.line(f"backup: {done.backup}")


@click.command(short_help="Remove everything of this project from the gateway.")
@click.option("--confirm", metavar="GATEWAY", help="The gateway's name, given here instead of being asked for.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be removed.")
@pass_session
def destroy(session: Session, *, confirm: str | None, dry_run: bool) -> None:
    """Remove everything that this project owns in the gateway: the views of all environments, prod among them, all
    tables and their rows, and the state. It cannot be taken back. The gateway's name must be typed.

    What isomesh did not make stays: raw tables, schemas in which something else is, backups of the state, and the
    project's files. When somebody's view stands on one of ours, it is named and nothing is dropped. A destroy that was
    interrupted goes on where it stopped when it is asked for again.

    \b
    Examples:
      isomesh destroy --dry-run                      what would go
      isomesh --gateway dev destroy                  asks for the name of the gateway
      isomesh --gateway dev destroy --confirm dev    in a script
    """
    from isomesh_dagster.cli.report import event_line
    from isomesh_dagster.plan.words import count
    from isomesh_dagster.project import upkeep

    console = session.console
    with _system(session) as system:
        gateway = system.settings.gateway
        found = upkeep.belongings(system)
        if found is None:
            console.line(f"gateway {gateway} · there is nothing of project {system.settings.project!r}", "bold green")
            return
        console.line(f"gateway {gateway} · destroy{' (dry run)' if dry_run else ''}", "bold")
        for name, views in found.environments.items():
            console.line(f"  - environment {name}: {count(views, 'view')}", "red")
        console.line(f"  - {count(len(found.physicals), 'table')} with all rows, the warehouse's records", "red")
        console.line(f"  - state {system.state().place}", "red")
        if dry_run:
            return
        _agreed(session, gateway, confirm)
        for event in upkeep.destroy(system):
            told = event_line(event)
            if told is not None:
                console.line(*told)
    console.line(f"Nothing of this project is left in gateway {gateway}.", "bold green")


@click.group()
def system() -> None:
    """Bring together a state and a warehouse that parted.

    \b
    Examples:
      isomesh system adopt
    """


@system.command(short_help="Let the state know what the warehouse shows.")
@click.option("--confirm", metavar="GATEWAY", help="The gateway's name, given here instead of being asked for.")
@click.option(
    "--let-go", multiple=True, metavar="ENV", help="Forget this environment; its views stay. May be repeated."
)
@click.option("--dry-run", is_flag=True, help="Only tell what would be done.")
@pass_session
def adopt(session: Session, *, confirm: str | None, let_go: tuple[str, ...], dry_run: bool) -> None:
    """Let the state know what the warehouse shows: after the state was lost, or state or warehouse were restored from
    backups of different days, or gateway or project got another name. The gateway's name must be typed.

    The warehouse records what its environments show and hold; the definitions behind that are made again from the
    project's files. So check out the files that an environment shows. One that shows other files stays as it is until
    these are checked out and adopted, or until it is let go: then its views stay, and the next plan for it begins anew
    on the tables that are there. Nothing is built and nothing is dropped; the history of promotions begins anew.

    State and warehouse of two different systems stay refused, and the system of another gateway of config.yaml.

    \b
    Examples:
      isomesh system adopt --dry-run                      what is wrong, and what would be done
      isomesh --gateway production system adopt           asks for the name of the gateway
      isomesh system adopt --let-go dev --confirm local   in a script
    """
    from isomesh_dagster.plan.words import count
    from isomesh_dagster.project import adopting

    console = session.console
    with session.project() as project:
        found = adopting.survey(project)
        if not found.parted.reasons:
            console.line(f"gateway {project.gateway} · state and warehouse agree: nothing to do", "bold green")
            return
        console.line(f"gateway {project.gateway} · adopt{' (dry run)' if dry_run else ''}", "bold")
        for reason in found.parted.reasons:
            console.line(f"  ! {reason}", "yellow")
        for name, one in found.environments.items():
            if not one.lost:
                console.line(f"  + environment {name}: {count(len(one.snapshots), 'model')}, known again", "green")
            elif name in let_go:
                console.line(f"  - environment {name}: let go; its views stay until it is planned again", "red")
            else:
                shown = ", ".join(one.lost[:5]) + (" and more" if len(one.lost) > 5 else "")
                console.line(f"  · environment {name}: stays as it is; these files are not what it shows: {shown}")
                console.note(f"    check out its files and adopt again, or give `--let-go {name}`")
        if dry_run:
            return
        _agreed(session, project.gateway, confirm)
        adopting.adopt(project, found, let_go=let_go)
        console.line(f"gateway {project.gateway} · state and warehouse belong together", "bold green")


def _agreed(session: Session, gateway: str, confirm: str | None) -> None:
    """Ends the command unless the gateway's name was given, or is typed now."""
    if confirm is None and can_ask():
        confirm = click.prompt("Type the name of the gateway to go on", default="", show_default=False, err=True)
    if confirm != gateway:
        told = "nobody is there to ask" if confirm is None else f"{confirm!r} is not the name of this gateway"
        session.console.note(f"{told}: nothing was changed; in a script give `--confirm {gateway}`", "yellow")
        raise click.exceptions.Exit(NOT_APPLIED)


@click.group()
def state() -> None:
    """Export and import the gateway's state.

    \b
    Examples:
      isomesh state export -o production.jsonl
      isomesh state import -i production.jsonl --replace
    """


@state.command("export", short_help="Write the state to a file.")
@click.option(
    "-o",
    "--output",
    "--output-file",
    "output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
)
@click.option("--environment", "environments", multiple=True, metavar="ENV", help="Only this one; may be repeated.")
@accepted("--no-confirm")
@pass_session
def export(session: Session, *, output: Path, environments: tuple[str, ...]) -> None:
    """Write the state to FILE as JSON lines: a backup, or something to look into. It holds no secret.

    \b
    Examples:
      isomesh --gateway production state export -o production.jsonl
      isomesh state export -o dev.jsonl --environment dev
    """
    from isomesh_dagster.project import upkeep

    with _system(session) as system:
        done = upkeep.export_state(system, output, environments=environments)
        gateway = system.settings.gateway
    session.console.line(f"gateway {gateway} · {_rows(done)} written to {output}", "bold green")


@state.command("import", short_help="Fill the state from an exported file.")
@click.option(
    "-i",
    "--input",
    "--input-file",
    "source",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
)
@click.option("--replace", is_flag=True, help="Put it in the place of the state that is there; that is backed up.")
@accepted("--no-confirm")
@pass_session
def import_(session: Session, *, source: Path, replace: bool) -> None:
    """Fill the gateway's state from FILE, all or nothing. FILE must be an export of the same gateway and project.

    `isomesh doctor` tells afterwards whether state and warehouse agree.

    \b
    Examples:
      isomesh state import -i production.jsonl              into a new state
      isomesh state import -i production.jsonl --replace    instead of the one that is there
    """
    from isomesh_dagster.project import upkeep

    with _system(session) as system:
        done = upkeep.import_state(system, source, replace=replace)
        gateway = system.settings.gateway
    session.console.line(f"gateway {gateway} · {_rows(done)} read from {source}", "bold green")
    if done.backup is not None:
        session.console.line(f"backup of what was there: {done.backup}")


@click.command(short_help="Forget what was parsed; files are read anew.")
@pass_session
def clean(session: Session) -> None:
    """Remove the cache of parsed models. The next command reads every file anew; nothing else changes.

    \b
    Examples:
      isomesh clean
    """
    from isomesh_dagster.project import FOLDER

    found = sorted((session.directory / FOLDER).glob("cache.sqlite*"))
    for file in found:
        file.unlink(missing_ok=True)
    session.console.line("The cache is empty." if found else "There is no cache.", "bold")


@contextmanager
def _system(session: Session) -> Iterator[System]:
    """The gateway's system, of the configuration alone: no model is read."""
    from isomesh_dagster.config.read import load_settings
    from isomesh_dagster.project.system import System

    system = System(load_settings(session.directory.resolve(), session.gateway, os.environ))
    system.on_wait = session.console.note
    remember_gateway(system.settings.gateway)
    try:
        with ending_statements(system.interrupt):
            yield system
    finally:
        system.close()


def _rows(done: Transferred) -> str:
    return ", ".join(f"{number:,} {table}" for table, number in sorted(done.rows.items())) or "nothing"


def _finding_json(finding: Finding) -> dict[str, object]:
    return {
        "level": finding.level.value,
        "subject": finding.subject,
        "message": finding.message,
        "hint": finding.hint,
        "repaired": finding.is_repaired,
    }
