"""A plan at the command line, as lines for people (`Lines`) or as one JSON document for programs (`Document`): shown,
its unit tests run, saved, applied.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from isomesh_dagster.cli.choosing import recording
from isomesh_dagster.cli.forward_only import flags
from isomesh_dagster.cli.outcome import FAILED, NOT_APPLIED, error_json
from isomesh_dagster.cli.session import Session, can_ask
from isomesh_dagster.cli.wishes import as_flags
from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.files import write_whole

if TYPE_CHECKING:
    from isomesh_dagster.cli.report import Report
    from isomesh_dagster.plan.plan import Plan
    from isomesh_dagster.project import Project
    from isomesh_dagster.records.events import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Lines:
    """A plan for people: the answer on stdout, questions and progress on stderr."""

    session: Session
    project: Project
    plan: Plan

    def show(self, *, diffs: bool = True, every: bool = False) -> None:
        """The plan, with text `diffs`; `every` line of it, also where there are many."""
        self.session.console.plan(self.plan, diffs=diffs, every=every)

    def test(self, *, every: bool = False) -> None:
        """Run the unit tests the plan concerns, or `every` one; a failing one ends the command with code 4."""
        from isomesh_dagster.cli.testing import check_unit_tests

        results = check_unit_tests(self.session.console, self.project, self.plan, every=every)
        if not all(result.passed for result in results):
            self.session.console.note(
                "Not applied; nothing was changed. --skip-tests plans without unit tests.", "yellow"
            )
            raise click.exceptions.Exit(FAILED)

    def explain(self) -> None:
        """Every step of an apply."""
        if not self.plan.is_empty:
            self.session.console.steps(self.plan)

    def save(self, file: Path) -> None:
        """Write the plan for `isomesh apply`."""
        _save(self.plan, file)
        self.session.console.note(f"Saved to {file}. To apply it: isomesh --gateway {self.plan.gateway} apply {file}")

    def wants_apply(self, *, auto_apply: bool) -> bool:
        """Whether there is something to apply and somebody wants it. Declined, the command ends with code 3."""
        if self.plan.is_empty:
            return False
        if auto_apply or self.project.settings.plan.auto_apply or _agreed(self.session, self.plan):
            return True
        raise click.exceptions.Exit(NOT_APPLIED)

    def leave(self) -> None:
        """Nothing more is done: all is told."""

    def apply(self, *, comment: str = "") -> None:
        """Apply with progress on stderr and one sentence on stdout; decisions are kept with the `comment`. A failed
        build ends the command with code 4.
        """
        from isomesh_dagster.cli.progress import building
        from isomesh_dagster.cli.report import Report

        report, began = Report(), time.monotonic()
        self.project.connection()  # who has to wait for it is told before the progress bar takes the terminal
        with recording(self.session, self.project, self.plan, comment=comment):
            try:
                with building(self.plan) as show:
                    _follow(self.project, self.plan, report, show)
            except IsomeshError as error:
                if not report.failed:
                    raise
                self.session.console.error(error, gateway=self.plan.gateway, files=self.project.settings.files)
                told = "shows the new definitions" if report.promoted else "shows what it showed before"
                self.session.console.note(f"{self.plan.environment} {told}.")
                raise click.exceptions.Exit(FAILED) from error
            self.session.console.line(report.sentence(time.monotonic() - began), "bold green")


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A plan for programs: what is known of it is gathered, and printed once, at the end."""

    session: Session
    project: Project
    plan: Plan
    told: dict[str, object] = field(default_factory=dict)

    def show(self, *, diffs: bool = True, every: bool = False) -> None:
        """The plan, always whole."""
        from isomesh_dagster.plan.documents import plan_json

        self.told.update(plan_json(self.plan))

    def test(self, *, every: bool = False) -> None:
        """As `Lines`; what the tests said is `tests`."""
        from isomesh_dagster.cli.testing import unit_tests_json

        tests = self.project.unit_tests() if every else self.project.unit_tests_of(self.plan)
        results = list(self.project.run_unit_tests(tests))
        self.told["tests"] = unit_tests_json(results)
        if not all(result.passed for result in results):
            self.leave()
            raise click.exceptions.Exit(FAILED)

    def explain(self) -> None:
        """The document has every step."""

    def save(self, file: Path) -> None:
        """Write the plan for `isomesh apply`."""
        _save(self.plan, file)

    def wants_apply(self, *, auto_apply: bool) -> bool:
        """Nobody is asked: only who says so wants it."""
        return auto_apply

    def leave(self) -> None:
        """Print what is known."""
        self.session.console.json(self.told)

    def apply(self, *, comment: str = "") -> None:
        """As `Lines`; what was done is `applied`, also when a build failed."""
        from isomesh_dagster.cli.progress import building
        from isomesh_dagster.cli.report import Report

        report, began = Report(), time.monotonic()
        with recording(self.session, self.project, self.plan, comment=comment, quiet=True):
            try:
                with building(self.plan, quiet=True) as show:
                    _follow(self.project, self.plan, report, show)
            except IsomeshError as error:
                if not report.failed:
                    raise
                self.told["applied"] = report.json(time.monotonic() - began)
                self.told["error"] = error_json(error)
                self.leave()
                raise click.exceptions.Exit(FAILED) from error
            self.told["applied"] = report.json(time.monotonic() - began)
            self.leave()


def answer_with(session: Session, project: Project, plan: Plan, *, as_json: bool) -> Lines | Document:
    """How the plan is told."""
    return (Document if as_json else Lines)(session=session, project=project, plan=plan)


def _save(plan: Plan, file: Path) -> None:
    """Write the plan's document; an existing file is replaced."""
    from isomesh_dagster.plan.saved import plan_document

    try:
        write_whole({file: plan_document(plan)})
    except OSError as error:
        raise click.FileError(str(file), hint=error.strerror) from None


def _agreed(session: Session, plan: Plan) -> bool:
    """Whether somebody at the terminal wants the plan applied."""
    if not can_ask():
        session.console.note(
            f"Not applied: there is no terminal to ask on. To apply: isomesh --gateway {plan.gateway}"
            f" plan {plan.environment}{as_flags(plan.wish)}{flags(plan.wish)} --auto-apply",
            "yellow",
        )
        return False
    if click.confirm(f"Apply to {plan.environment} on gateway {plan.gateway}?", err=True):
        return True
    session.console.note("Not applied; nothing was changed.")
    return False


def _follow(project: Project, plan: Plan, report: Report, show: Callable[[Event], None]) -> None:
    """Apply, passing each event on. Interrupted anywhere, running statements are ended before the project is closed."""
    with closing(cast("Generator[Event, None, None]", project.apply(plan))) as events:
        try:
            for event in events:
                report.add(event)
                show(event)
        except KeyboardInterrupt as interrupt:
            events.throw(interrupt)  # closing it would let running batches come to their end
            raise
