"""`isomesh plan`, `run` and `diff`: what would be done, and doing it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isomesh_dagster.cli.answers import Lines, answer_with
from isomesh_dagster.cli.choosing import chosen
from isomesh_dagster.cli.forward_only import forward_only_options
from isomesh_dagster.cli.outcome import NOT_APPLIED
from isomesh_dagster.cli.parameters import accepted, categorize_option, execution_time_option
from isomesh_dagster.cli.session import Session, json_option, pass_session
from isomesh_dagster.cli.wishes import plan_options, plan_wish, run_options, run_wish
from isomesh_dagster.errors import ConflictingPlanError, PlanError

if TYPE_CHECKING:
    from isomesh_dagster.plan.saved import SavedPlan
    from isomesh_dagster.project import Project
    from isomesh_dagster.snapshot.snapshot import Category


@click.command(short_help="Show what would change in ENV, ask, apply.")
@click.argument("environment", required=False, metavar="[ENV]")
@click.option("--auto-apply", is_flag=True, help="Apply without asking.")
@click.option("--explain", is_flag=True, help="Also show every step of an apply with its objects; apply nothing.")
@click.option("--no-diff", is_flag=True, help="Leave the text diffs out.")
@click.option("--no-prompts", is_flag=True, help="Ask for no category: fail where one is left to people.")
@click.option("-v", "--verbose", is_flag=True, help="Show every line, also where many models change.")
@click.option("--all-tests", is_flag=True, help="Run all unit tests, not just those of models that change.")
@click.option("--skip-tests", is_flag=True, help="Run no unit tests.")
@accepted("--test-changed-only")
@categorize_option
@forward_only_options
@plan_options
@click.option("--comment", default="", metavar="TEXT", help="Why, for those who read the choices later.")
@click.option(
    "--save",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the plan to FILE for `isomesh apply`; apply nothing now.",
)
@execution_time_option
@json_option
@pass_session
def plan(
    session: Session,
    /,
    *,
    environment: str | None,
    auto_apply: bool,
    explain: bool,
    no_diff: bool,
    no_prompts: bool,
    verbose: bool,
    all_tests: bool,
    skip_tests: bool,
    choices: dict[str, Category],
    comment: str,
    save: Path | None,
    execution_time: datetime | None,
    as_json: bool,
    forward_only: bool,
    effective_from: datetime | None,
    allow_destructive: tuple[str, ...],
    allow_additive: tuple[str, ...],
    **asked: Any,
) -> None:
    """Show what the project's files would change in ENV, and apply it after asking.

    ENV is prod when it is left out (or `default_target_environment`). Nothing is written before you agree; then missing
    tables are built and audited, and all views are swapped at once. Tables that exist already, whoever built them, are
    reused.

    Unit tests of models that change run first, on a database in memory; a failing one ends the command with code 4.

    Without a terminal to ask on, the plan is printed and the exit code is 3; use --auto-apply to apply it.

    \b
    Examples:
      isomesh plan dev                       show, ask, apply
      isomesh plan dev --auto-apply          for scripts and CI
      isomesh plan dev --explain             every step, nothing applied
      isomesh plan prod --json | jq .builds  what would be built
      isomesh plan prod --save prod.json     for somebody to agree to, and isomesh apply prod.json
      isomesh plan dev --categorize core.flights=non-breaking    readers keep their tables
      isomesh plan prod --forward-only       change definitions, keep the rows of the past
      isomesh plan prod --forward-only --effective-from 2013-06-01    and compute again from June on
      isomesh plan dev --start 2013-12-01    only the last month, for a quick look
      isomesh plan dev --select-model core.flights+              leave other edits for later
      isomesh plan prod --restate-model raw.weather -s 2013-02-01 -e 2013-02-03
                                             the source was wrong on three days: make them again

    \b
    A SELECTION names models: core.flights, core.*, tag:nightly, git:main (files that differ from a branch),
    +a (with what a reads), a+ (with what reads it), joined by & | ^ ( ). An option may be repeated: either of them.

    --restate-model works on what ENV shows, whatever the files say. In prod, tables of other versions that stand on the
    same rows are then due again: their environments' next plan or run builds them. From another environment, tables
    that prod shows too are never touched.

    What is chosen with --categorize, or asked at the terminal, is kept in decisions/: commit it, and the other systems
    decide the same (`isomesh decisions`).
    """
    from isomesh_dagster.snapshot.interval import to_ms

    if all_tests and skip_tests:
        raise click.UsageError("--all-tests and --skip-tests exclude each other.")
    if save is not None and auto_apply:
        raise click.UsageError("--save and --auto-apply exclude each other.")
    with session.project() as project:
        wish = plan_wish(
            asked,
            now=execution_time,
            choices=choices,
            forward_only=forward_only,
            effective_from=None if effective_from is None else to_ms(effective_from),
            allow_destructive=allow_destructive,
            allow_additive=allow_additive,
        )
        made = chosen(
            session, wish, lambda wish: project.plan(environment, now=execution_time, wish=wish), ask=not no_prompts
        )
        answer = answer_with(session, project, made, as_json=as_json)
        answer.show(diffs=not (no_diff or project.settings.plan.no_diff), every=verbose)
        if not skip_tests:
            answer.test(every=all_tests)
        if explain:
            answer.explain()
        if save is not None:
            answer.save(save)
        if not (explain or save is not None) and answer.wants_apply(auto_apply=auto_apply):
            answer.apply(comment=comment)
        else:
            answer.leave()


@click.command(short_help="Apply a plan that was saved.")
@click.argument("plan", metavar="FILE|PLAN")
@click.option("--skip-tests", is_flag=True, help="Run no unit tests.")
@json_option
@pass_session
def apply(session: Session, *, plan: str, skip_tests: bool, as_json: bool) -> None:
    """Apply a plan as it was agreed to: one written by `plan --save`, or a recorded one by its id, to resume it.

    It is made again from the files and what is built; a deploy that waits for an approval (`isomesh ci status`) from
    its commit. When that is not the same any more, because ENV moved or the files changed, nothing is done, the reason
    is told and the exit code is 5. Nothing is asked.

    \b
    Examples:
      isomesh plan prod --save prod.json && isomesh apply prod.json
      isomesh plans prod                   recorded plans and their ids
      isomesh apply 4b86d476521e           go on with one that was interrupted
    """
    from isomesh_dagster.cli.ci import go_on, waits

    if not Path(plan).is_file() and waits(session, plan):
        go_on(session, plan, markdown=False, as_json=as_json)
        return
    with session.project() as project:
        made = project.plan_again(_saved_plan(project, plan))
        answer = answer_with(session, project, made, as_json=as_json)
        answer.show(diffs=False)
        if made.is_empty and not as_json:
            return
        if not skip_tests:
            answer.test()
        answer.apply()


@click.command(short_help="Build what is due in ENV by cron.")
@click.argument("environment", required=False, metavar="[ENV]")
@click.option("--skip-janitor", is_flag=True, help="Do not remove what nothing needs any more (prod only).")
@click.option(
    "--exit-on-env-update",
    "code_when_moved",
    type=click.IntRange(0, 255),
    metavar="CODE",
    help="End with this code when ENV is promoted while the run is at work.  [default: 5]",
)
@run_options
@execution_time_option
@pass_session
def run(
    session: Session,
    /,
    *,
    environment: str | None,
    skip_janitor: bool,
    code_when_moved: int | None,
    execution_time: datetime | None,
    **asked: Any,
) -> None:
    """Build what is due in ENV by its models' cron: new intervals, and tables that are refreshed whole.

    Works from what ENV shows, not from the project's files: changed files wait for a plan. Nothing due is a success,
    and so is a signal that is not ready: what waits is told and left to the next run. When something is due in prod,
    the janitor goes first.

    \b
    Examples:
      isomesh run prod                        what a scheduler calls
      isomesh run dev                         bring dev up to now
      isomesh run prod --execution-time 2013-02-01    as if it were that day
      isomesh run prod --select-model core.flights    this model and what it reads
      isomesh run prod --ignore-cron                  up to the last complete interval, now
    """
    console = session.console
    with session.project() as project:
        due = project.run_plan(environment, now=execution_time, wish=run_wish(asked, now=execution_time))
        console.plan(due)
        if due.is_empty:
            from isomesh_dagster.cli.intervals import next_words

            console.line(next_words(project.cadence(environment, now=execution_time).next_tick))
            return
        from isomesh_dagster.snapshot.environment import PROD

        if due.environment == PROD and not skip_janitor:
            from isomesh_dagster.cli.report import event_line

            for told in filter(None, map(event_line, project.janitor())):
                console.line(*told)
        try:
            Lines(session=session, project=project, plan=due).apply()
        except ConflictingPlanError as error:
            if code_when_moved is None:
                raise
            console.error(error, gateway=project.gateway, files=project.settings.files)
            raise click.exceptions.Exit(code_when_moved) from None


@click.command(short_help="Show how the files differ from ENV.")
@click.argument("environment", metavar="ENV")
@pass_session
def diff(session: Session, *, environment: str) -> None:
    """Show how the project's files differ from what ENV shows: models only, no builds, nothing applied.

    The exit code is 3 when they differ and 0 when they do not, so that a script can ask.

    \b
    Examples:
      isomesh diff prod
      isomesh diff prod && echo "prod shows these files"
    """
    from isomesh_dagster.plan.explain import change_sections, headline

    console = session.console
    with session.project() as project:
        made = project.plan(environment)
    if made.is_new_environment:
        raise PlanError(
            f"there is no environment {environment!r} in gateway {made.gateway!r}",
            hint=f"create it with `isomesh plan {environment}`; `isomesh environments` lists those there are",
        )
    console.line(headline(made), "bold")
    sections = change_sections(made)
    if not sections:
        console.line(f"No difference: {environment} shows these files.", "bold green")
        return
    console.sections(sections)
    raise click.exceptions.Exit(NOT_APPLIED)


def _saved_plan(project: Project, name: str) -> SavedPlan:
    """The saved plan in the file of that name, else the plan that was kept or begun and whose id begins so."""
    from isomesh_dagster.plan.saved import read_document

    file = Path(name)
    if file.is_file():
        return read_document(file.read_text(encoding="utf-8", errors="replace"), name)
    return project.saved_plan(name)
