"""What was done about one commit, as a value, as JSON, and as Markdown for a pull request or a run's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from isomesh_dagster.config.git import short_ref
from isomesh_dagster.git.mirror import Commit
from isomesh_dagster.inspection.table_diff import Comparison
from isomesh_dagster.inspection.table_diff_words import comparison_json, details_markdown, verdicts_markdown
from isomesh_dagster.model.model import Json
from isomesh_dagster.plan.documents import changes_markdown, plan_json, plan_markdown
from isomesh_dagster.plan.explain import builds_of
from isomesh_dagster.plan.plan import ChangeType, Plan
from isomesh_dagster.plan.words import count, some
from isomesh_dagster.records.events import Built, Event, Failed, Promoted, Reused
from isomesh_dagster.unit_tests.run import UnitTestResult
from isomesh_dagster.unit_tests.words import difference_json, sentences, shown_rows

Outcome = Literal["shown", "waiting", "failed", "skipped", "ended"]

_SIGNS = {"shown": "✅", "waiting": "⏳", "failed": "❌", "skipped": "⏭", "ended": "⏹"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was done about a commit.

    kind         deploy, preview or expire
    outcome      shown: the environment shows the commit; waiting: for somebody's approval; failed; skipped: a newer
                 commit makes it needless; ended: the ref is gone
    told         one sentence
    error        what was wrong, with its place and remedy; None when nothing was
    tests        the unit tests that ran
    destructive  what readers of the environment lose
    events       what an apply did
    rows         how rows differ from production's
    also         what was done beside: loaded what was due, ended previews
    """

    kind: Literal["deploy", "preview", "expire"]
    gateway: str
    environment: str
    ref: str
    commit: Commit
    outcome: Outcome
    told: str
    error: str | None = None
    plan: Plan | None = None
    tests: tuple[UnitTestResult, ...] = ()
    destructive: tuple[str, ...] = ()
    events: tuple[Event, ...] = ()
    rows: tuple[Comparison, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether nothing failed."""
        return self.outcome != "failed"

    @property
    def views_only(self) -> bool:
        """Whether nothing had to be built: the environment only points at tables that were there."""
        return any(isinstance(event, Promoted) for event in self.events) and not any(
            isinstance(event, Built) and not event.repoint for event in self.events
        )


def applied_words(plan: Plan, events: Sequence[Event], commit: str) -> str:
    """What an apply did, in a sentence."""
    if plan.is_empty:
        return f"{plan.environment} shows {commit[:12]}: nothing differs from what it showed"
    built = [event for event in events if isinstance(event, Built) and not event.repoint]
    if not built:
        return f"{plan.environment} shows {commit[:12]}: views only, everything was built before"
    reused = len(plan.reuses) + sum(isinstance(event, Reused) for event in events)
    parts = f"built {count(len(built), 'model')}" + (f", reused {count(reused, 'table')}" if reused else "")
    return f"{plan.environment} shows {commit[:12]}: {parts}"


def report_json(report: Report) -> dict[str, Json]:
    """The report as a JSON document."""
    built = [event for event in report.events if isinstance(event, Built)]
    return {
        "kind": report.kind,
        "gateway": report.gateway,
        "environment": report.environment,
        "ref": report.ref,
        "commit": report.commit.id,
        "author": report.commit.author,
        "subject": report.commit.subject,
        "outcome": report.outcome,
        "told": report.told,
        "error": report.error,
        "views_only": report.views_only,
        "destructive": list(report.destructive),
        "tests": [
            {
                "name": result.test.name,
                "model": result.test.model,
                "passed": result.passed,
                "place": f"{result.test.path}:{result.test.line}",
                "error": str(result.error) if result.error is not None else None,
                "differences": [difference_json(difference) for difference in result.differences],
            }
            for result in report.tests
        ],
        "built": [{"model": event.model, "rows": event.rows} for event in built if not event.repoint],
        "failed": [
            {"model": event.model, "error": str(event.error)} for event in report.events if isinstance(event, Failed)
        ],
        "rows": [comparison_json(one) for one in report.rows],
        "also": list(report.also),
        "plan": plan_json(report.plan) if report.plan is not None else None,
    }


def report_markdown(report: Report) -> str:
    """The report as Markdown. Texts of the commit are quoted, so that they cannot be taken for ours."""
    commit = report.commit
    lines = [
        f"## {_SIGNS[report.outcome]} {_TITLES[report.kind]} of {_code(short_ref(report.ref))} on gateway"
        f" `{report.gateway}`",
        "",
        f"**{_plain(report.told)}**",
        "",
        f"`{commit.id[:12]}` {_code(commit.subject)} by {_code(commit.author)}"
        if commit.subject
        else f"`{commit.id[:12]}`",
    ]
    if report.error is not None and report.error not in report.told:
        lines += ["", *_fenced(report.error)]
    if report.destructive:
        lines += ["", "**Readers lose**", "", *(f"- {_plain(one)}" for one in report.destructive)]
    if report.tests:
        failed = [result for result in report.tests if not result.passed]
        lines += ["", f"**Unit tests**: {len(report.tests) - len(failed)} of {len(report.tests)} passed"]
        for result in failed[:_MOST_TESTS]:
            lines += ["", *_test_markdown(result)]
    failures = [event for event in report.events if isinstance(event, Failed)]
    if failures:
        lines += ["", "**Failed**", "", *(f"- {_code(event.model)}: {_plain(str(event.error))}" for event in failures)]
    if report.plan is not None:
        lines += _plan_markdown(report.plan, is_shown=report.outcome == "shown" and report.kind == "preview")
    if report.rows:
        lines += ["", *verdicts_markdown("prod", report.environment, report.rows)]
        details = details_markdown(report.rows, samples=False)
        lines += _folded("Rows in detail", details) if details else []
    lines += ["", *(f"- {_plain(one)}" for one in report.also)] if report.also else []
    return "\n".join(lines) + "\n"


def _test_markdown(result: UnitTestResult) -> list[str]:
    """A test that failed: where it is, and what came instead of what."""
    test = result.test
    lines = [f"- ❌ {_code(test.name)} of {_code(test.model)}, {_code(f'{test.path}:{test.line}')}"]
    if result.error is not None:
        lines += ["", *_fenced(str(result.error))]
    for difference in result.differences:
        lines += ["", *(f"  {_plain(sentence)}" for sentence in sentences(difference))]
        if difference.rows:
            columns, rows = shown_rows(difference, _MOST_ROWS)
            lines += ["", f"  | | {' | '.join(map(_in_table, columns))} |", f"  |{'---|' * (len(columns) + 1)}"]
            for label, cells in rows:
                told = (f"**{_in_table(text)}**" if is_wrong else _in_table(text) for text, is_wrong in cells)
                lines.append(f"  | {label} | {' | '.join(told)} |")
    return lines


def _plan_markdown(plan: Plan, *, is_shown: bool) -> list[str]:
    """What changes, where to look at it, and the whole plan behind a fold."""
    lines = changes_markdown(plan)
    lines += ["", f"**Reused without work**: {count(len(plan.reuses), 'table')}; **to build**: {len(builds_of(plan))}"]
    views = plan.promote.target.views if plan.promote is not None and is_shown else {}
    changed = [views[one.model].view for one in plan.changes if one.model in views and one.change in _LOOKED_AT]
    if changed:
        lines += ["", f"**Query it**: {some([*map(_code, changed)], _MOST_VIEWS)}"]
    return [*lines, *_folded("Plan", ["", *plan_markdown(plan).splitlines()])]


_MOST_TESTS, _MOST_ROWS, _MOST_VIEWS = 5, 10, 5
_LOOKED_AT = (ChangeType.ADDED, ChangeType.DIRECT)
_TITLES = {"deploy": "Deploy", "preview": "Preview", "expire": "End of preview"}


def _code(text: str) -> str:
    return f"`{text.replace('`', chr(39))}`" if text.strip() else "`?`"


def _plain(text: str) -> str:
    """One line in which nothing is markup."""
    return " ".join(text.replace("<", "&lt;").replace("@", "@\u200b").split())


def _in_table(text: str) -> str:
    """A cell in which nothing is markup."""
    return _code(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _folded(title: str, lines: Sequence[str]) -> list[str]:
    """Lines that are shown when somebody asks for them; the first of them is empty."""
    return ["", f"<details><summary>{title}</summary>", *lines, "", "</details>"]


def _fenced(text: str) -> list[str]:
    fence = "```"
    while fence in text:
        fence += "`"
    return [fence, *text.splitlines(), fence]
