"""A plan as a document: JSON for scripts, Markdown for a Dagster page or a pull request. Pure and deterministic.

`plan_json` is what `isomesh plan --json` prints and what the state keeps as a plan's document (`saved`).
"""

from __future__ import annotations

from collections.abc import Iterable

from isomesh_dagster.model.kinds import kind_name
from isomesh_dagster.model.model import Json
from isomesh_dagster.plan.explain import (
    builds_of,
    change_sections,
    environment_words,
    plan_sections,
    repoints_of,
    restated_by,
    summary,
    view_section,
)
from isomesh_dagster.plan.plan import Build, Plan
from isomesh_dagster.plan.sections import Item, Section, folded
from isomesh_dagster.plan.wish import wish_to_json
from isomesh_dagster.snapshot.interval import iso, to_ms


def plan_json(plan: Plan) -> dict[str, Json]:
    """The whole decision as a JSON document; moments are ISO 8601 in UTC, intervals pairs of them, half-open.

    `builds` compute rows, `repoints` do not; `audits` run over tables that are not built; `promotes` is None when no
    view and no record changes.
    """
    return {
        "gateway": plan.gateway,
        "environment": plan.environment,
        "plan_id": plan.id,
        "based_on": plan.based_on,
        "compared_with": plan.compared_with,
        "is_new_environment": plan.is_new_environment,
        "is_empty": plan.is_empty,
        "execution_time": iso(to_ms(plan.execution_time)),
        "changes": [
            {
                "model": change.model,
                "change": change.change.value,
                "category": change.category.value if change.category is not None else None,
                "reason": change.reason,
                "columns": list(change.columns),
                "diff": change.diff,
            }
            for change in plan.changes
        ],
        "builds": [_build_json(plan, build) for build in builds_of(plan)],
        "repoints": [_build_json(plan, build) for build in repoints_of(plan)],
        "migrations": [
            {
                "model": step.snapshot.name,
                "physical_table": str(step.snapshot.physical),
                "changes": None
                if step.changes is None
                else [{"column": one.name, "type": one.type, "was": one.was} for one in step.changes],
            }
            for step in plan.migrations
        ],
        "effective_from": None if plan.wish.effective_from is None else iso(plan.wish.effective_from),
        "later": [_build_json(plan, build) for build in plan.later],
        "before_all": [*plan.before_all],
        "after_all": [*plan.after_all],
        "audits": [
            {
                "model": step.snapshot.name,
                "physical_table": str(step.snapshot.physical),
                "interval": list(step.interval.iso()) if step.interval is not None else None,
                "audits": [audit.name for audit in step.snapshot.model.audits],
            }
            for step in plan.audits
        ],
        "reuses": [
            {"model": each.name, "version": each.version, "physical_table": str(plan.snapshots[each.name].physical)}
            for each in plan.reuses
        ],
        "due_again": [
            {
                "model": one.snapshot.name,
                "physical_table": str(one.snapshot.physical),
                "intervals": [list(interval.iso()) for interval in one.intervals],
                "environments": list(one.environments),
            }
            for one in plan.due_again
        ],
        "wish": wish_to_json(plan.wish),
        "promotes": _promotes_json(plan),
        "warnings": list(plan.warnings),
    }


def _build_json(plan: Plan, build: Build) -> dict[str, Json]:
    snapshot = build.snapshot
    return {
        "model": snapshot.name,
        "version": snapshot.version,
        "physical_table": str(snapshot.physical),
        "intervals": [list(interval.iso()) for interval in build.intervals],
        "kind": kind_name(snapshot.model.kind),
        "category": snapshot.category.value,
        "over": None if build.over is None else [list(interval.iso()) for interval in build.over],
        "batches": len(build.batches),
        "without_rows": build.hollow,
        "is_preview": snapshot.is_preview,
        "restated_by": list(restated_by(plan, build)),
        "expected_seconds": None if build.expected_seconds is None else round(build.expected_seconds, 1),
    }


def _promotes_json(plan: Plan) -> dict[str, Json] | None:
    promote = plan.promote
    if promote is None:
        return None
    return {
        "environment": promote.environment,
        "views_created": [*sorted(promote.create)],
        "views_dropped": [*sorted(promote.drop)],
        "views": [
            {"model": model, "view": view.view, "physical_table": view.physical}
            for model, view in sorted(promote.target.views.items())
        ],
        "expires_at": iso(to_ms(promote.expires_at)) if promote.expires_at is not None else None,
    }


def plan_markdown(plan: Plan) -> str:
    """The plan as Markdown: a table of facts, the summary, the sections, long ones folded, text diffs in fences. Ends
    with a newline.
    """
    lines = [
        f"### Plan for `{plan.environment}` on gateway `{plan.gateway}`",
        "",
        f"{summary(plan)}",
        "",
        f"`plan {plan.id}`" + (f" · based on `{plan.based_on}`" if plan.based_on else f" · {environment_words(plan)}"),
    ]
    lines += _sections_markdown((*plan_sections(plan), view_section(plan)))
    return "\n".join(lines) + "\n"


def changes_markdown(plan: Plan) -> list[str]:
    """Only what differs from the environment, a line for each model; an empty line before each section."""
    return _sections_markdown(change_sections(plan, diffs=False))


def _sections_markdown(sections: Iterable[Section]) -> list[str]:
    lines = []
    for section in map(folded, filter(lambda one: one.items, sections)):
        lines += ["", f"**{section.title}**", ""]
        for item in section.items:
            lines.append(_markdown_line(item, as_code=section.tone != "warning"))
            lines += [f"  - {child}" for child in item.children]
            if item.diff:
                fence = "`" * max(3, _longest_backticks(item.diff) + 1)
                lines += [
                    "",
                    f"  {fence}diff",
                    *(f"  {line}".rstrip() for line in item.diff.splitlines()),
                    f"  {fence}",
                ]
    return lines


def _markdown_line(item: Item, *, as_code: bool) -> str:
    line = f"- `{item.name}`" if as_code else f"- {item.name}"
    if item.label:
        line += f" **{item.label}**"
    if not item.text:
        return line
    return f"{line} {item.text}" if item.text.startswith("→") else f"{line}: {item.text}"


def _longest_backticks(text: str) -> int:
    longest = run = 0
    for character in text:
        run = run + 1 if character == "`" else 0
        longest = max(longest, run)
    return longest
