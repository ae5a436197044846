"""`isomesh lint`: what breaks the lint rules, by file and line."""

from __future__ import annotations

from dataclasses import asdict

import click

from isomesh_dagster.cli.outcome import TO_MEND
from isomesh_dagster.cli.parameters import accepted, models_option, selected
from isomesh_dagster.cli.session import Session, json_option, pass_session


@click.command(short_help="Check the models against the lint rules.")
@models_option
@accepted("--local")
@accepted("--use-project-index")
@click.option("--fix", is_flag=True, help="Mend what can be mended without a change of any row, then check again.")
@json_option
@pass_session
def lint(session: Session, *, models: tuple[str, ...], fix: bool, as_json: bool) -> None:
    """Check the models against the rules that `linter` in config.yaml turns on; without any, against all, as warnings.

    The exit code is 1 when a rule of `linter.rules` is broken; `linter.warn_rules` only warn. With `linter.enabled`
    every plan checks them first. Rules of the project's own are classes in linter/*.py.

    --fix writes the columns for a star where it knows them (noselectstar), and does what rules of the project's own
    propose.

    \b
    Examples:
      isomesh lint
      isomesh lint -m core.flights
      isomesh lint -m git:main
      isomesh lint --fix && git diff
      isomesh lint --json | jq '.violations[] | select(.is_error)'
    """
    console = session.console
    mended: tuple[str, ...] = ()
    if fix:
        with session.project() as project:
            mended = project.mend(project.lint(selected(project, models)))
    with session.project() as project:
        chosen = selected(project, models)
        found = project.lint(chosen)
        settings, gateway = project.settings.linter, project.gateway
        looked_at = len(project.models if chosen is None else chosen)
    errors = sum(one.is_error for one in found)
    if as_json:
        document = {"gateway": gateway, "mended": mended, "violations": [asdict(one) for one in found]}
        console.json(document)
        raise click.exceptions.Exit(TO_MEND if errors else 0)
    for path in mended:
        console.line(f"{path}  mended", "green")
    if not settings.rules and not settings.warn_rules:
        console.note("No rules are set (linter.rules, linter.warn_rules in config.yaml): all of them are checked.")
    for one in found:
        tone = "red" if one.is_error else "yellow"
        console.line(f"{one.path}:{one.line}  {one.model}  {one.message}  [{one.rule}]", tone)
        console.line(f"  {one.hint}{' (--fix does it)' if one.fix is not None else ''}", "dim")
    if not found:
        console.line(f"{_counted(looked_at, 'model')} checked, nothing found.", "bold green")
        return
    told = f"{_counted(errors, 'error')}, {_counted(len(found) - errors, 'warning')}"
    console.line(f"{_counted(looked_at, 'model')} checked: {told}.", "bold")
    if errors:
        raise click.exceptions.Exit(TO_MEND)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
