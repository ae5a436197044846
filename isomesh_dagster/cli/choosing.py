"""What people decide about changes: asked at a terminal, written into the project's files, listed and tidied up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from isomesh_dagster.cli.session import Session, can_ask, json_option, pass_session
from isomesh_dagster.errors import UndecidedError

if TYPE_CHECKING:
    from isomesh_dagster.plan.plan import Plan
    from isomesh_dagster.plan.recorded import RecordedChoice
    from isomesh_dagster.plan.wish import Wish
    from isomesh_dagster.project import Project
    from isomesh_dagster.snapshot.snapshot import Category


def chosen(session: Session, wish: Wish, make: Callable[[Wish], Plan], *, ask: bool = True) -> Plan:
    """The plan that `make` makes of the wish; what the configuration leaves to people is asked at the terminal, unless
    nothing is to be asked.

    Raises UndecidedError when there is something to choose and nobody to ask.
    """
    try:
        return make(wish)
    except UndecidedError as error:
        if not (ask and can_ask()):
            raise
        choices = _ask(session, error.reasons)
    return make(replace(wish, choices={**wish.choices, **choices}))


@contextmanager
def recording(
    session: Session, project: Project, plan: Plan, *, comment: str = "", quiet: bool = False
) -> Iterator[None]:
    """Write what people chose in the plan into `decisions/` once the block is through without an error."""
    from isomesh_dagster.project import recorded

    records = recorded.of_plan(project, plan, comment=comment)
    yield
    paths = recorded.write(project.root, records)
    if paths and not quiet:
        session.console.note(
            f"Recorded in {', '.join(paths)}: commit it with the change, and no other system asks again."
        )


@click.command(short_help="List what people decided about changes.")
@click.option("--prune", is_flag=True, help="Delete those that match no edit any more.")
@json_option
@pass_session
def decisions(session: Session, *, prune: bool, as_json: bool) -> None:
    """List the decisions that are kept in the project under `decisions/`: the category somebody chose for an edit, with
    who, when and why. Commit them: the other systems honour a decision when they meet just that edit.

    A decision is stale when it does not lead to what the files say, at once or by way of others.

    \b
    Examples:
      isomesh plan dev --categorize core.flights=non-breaking --comment "only the rounding of an unused column"
      isomesh decisions
      isomesh decisions --prune
    """
    from isomesh_dagster.project import recorded

    console = session.console
    with session.project() as project:
        found = project.recorded_choices()
        stale = recorded.useless(project)
        if prune:
            recorded.remove(project.root, stale)
    if as_json:
        console.json({"decisions": [_json(each, is_stale=each in stale) for each in found]})
        return
    console.line(f"{len(found)} decision{'' if len(found) == 1 else 's'}, {len(stale)} stale", "bold")
    if found:
        console.table(
            ("model", "category", "who", "when", "comment", "file", ""),
            (
                (
                    each.model,
                    _words(each.category),
                    each.who,
                    f"{each.when:%Y-%m-%d}" if each.when is not None else "",
                    each.comment,
                    each.path,
                    ("deleted" if prune else "stale") if each in stale else "",
                )
                for each in found
            ),
        )


def _ask(session: Session, reasons: Mapping[str, tuple[str, str]]) -> dict[str, Category]:
    from isomesh_dagster.plan.choices import CHOOSABLE

    words = {_words(category): category for category in CHOOSABLE}
    choices: dict[str, Category] = {}
    for name, (reason, proposed) in reasons.items():
        session.console.line(f"{name}: {reason}", "bold")
        answer = click.prompt(
            "What does it mean for readers?",
            type=click.Choice(list(words)),
            default=next((word for word, category in words.items() if category.value == proposed), None),
            err=True,
        )
        choices[name] = words[answer]
    return choices


def _words(category: Category) -> str:
    from isomesh_dagster.plan.words import category_words

    return category_words(category)


def _json(record: RecordedChoice, *, is_stale: bool) -> dict[str, object]:
    return {
        "model": record.model,
        "category": _words(record.category),
        "from": record.before,
        "to": record.after,
        "who": record.who,
        "when": record.when.isoformat() if record.when is not None else None,
        "comment": record.comment,
        "path": record.path,
        "stale": is_stale,
    }
