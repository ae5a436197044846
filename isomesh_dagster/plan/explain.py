"""A plan, told to people: the sections a terminal prints and a page shows. Pure and deterministic.

`plan_sections` says what changes, what is built, reused and swapped; `plan_steps` says what an apply does, in order.
`documents` writes the same as JSON and Markdown, `sections` folds what is long, `words` has the smaller pieces. Whoever
shows a plan renders these; nobody else decides what a plan's parts are called.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from isomesh_dagster.model.kinds import auto_restatement, is_incremental, kind_name
from isomesh_dagster.plan.plan import NEW, Audit, Build, Change, ChangeType, DueAgain, Migrate, Plan
from isomesh_dagster.plan.restatement import NONE
from isomesh_dagster.plan.sections import Item, Section
from isomesh_dagster.plan.words import (
    build_words,
    category_words,
    count,
    duration_words,
    interval_words,
    listed,
    range_words,
    some,
)
from isomesh_dagster.snapshot.interval import iso
from isomesh_dagster.snapshot.snapshot import Category, Snapshot

# More names than this are told as a number: a plan is read by people, the JSON has them all.
_NAMES_SHOWN = 3


def changes_of(plan: Plan, change: ChangeType) -> tuple[Change, ...]:
    """The plan's changes of one type, in the plan's order."""
    return tuple(each for each in plan.changes if each.change is change)


def builds_of(plan: Plan) -> tuple[Build, ...]:
    """The builds that compute rows or make an object for the first time: all but the repoints."""
    return tuple(build for build in plan.builds if not build.repoint)


def repoints_of(plan: Plan) -> tuple[Build, ...]:
    """Physical views that are only made again over their parents' new tables."""
    return tuple(build for build in plan.builds if build.repoint)


def affected_readers(plan: Plan, model: str) -> tuple[str, ...]:
    """Indirectly modified models below `model`, parents before children."""
    indirect = {change.model for change in changes_of(plan, ChangeType.INDIRECT)}
    below = {model}
    for name, snapshot in plan.snapshots.items():
        if any(parent.name in below for parent in snapshot.parents):
            below.add(name)
    return tuple(name for name in plan.snapshots if name in below and name in indirect)


def headline(plan: Plan) -> str:
    """One line: gateway, environment, what it is compared with, plan id."""
    return f"gateway {plan.gateway} · environment {plan.environment} ({environment_words(plan)}) · plan {plan.id[:12]}"


def environment_words(plan: Plan) -> str:
    """Whether the environment is there, and what it is compared with."""
    compared = plan.compared_with or plan.environment
    if not plan.is_new_environment:
        return "existing environment" if compared == plan.environment else f"compared with {compared}"
    return "new environment" if compared == plan.environment else f"new environment, compared with {compared}"


def summary(plan: Plan) -> str:
    """One sentence: what an apply does."""
    if plan.is_empty:
        return f"Nothing to do: {plan.environment} already shows these models."
    builds, repoints = builds_of(plan), repoints_of(plan)
    verb = "restates" if plan.wish.restate else "builds"
    parts = [f"{verb} {count(len(builds), 'model')}"] if builds else ["builds nothing"]
    if altered := [step for step in plan.migrations if step.changes != ()]:
        parts.append(
            f"alters {count(len(altered), 'table')} that {'keeps its' if len(altered) == 1 else 'keep their'} rows"
        )
    if repoints:
        parts.append(f"points {count(len(repoints), 'view')} at new tables")
    if plan.audits:
        parts.append(f"audits {count(len(plan.audits), 'table')} already built")
    if plan.due_again:
        parts.append(f"makes {count(len(plan.due_again), 'other table')} due again")
    if plan.reuses:
        parts.append(f"reuses {count(len(plan.reuses), 'table')} without work")
    if plan.promote is not None:
        swaps = []
        if plan.promote.create:
            swaps.append(f"{count(len(plan.promote.create), 'view')} set")
        if plan.promote.drop:
            swaps.append(f"{count(len(plan.promote.drop), 'view')} dropped")
        parts.append("swaps the environment at once" + (f" ({', '.join(swaps)})" if swaps else " (no view changes)"))
    else:
        parts.append("changes no view")
    if plan.later:
        parts.append(f"then computes {count(len(plan.later), 'table')} again from {_effective(plan)} on")
    return " ".join(filter(None, (f"Applying it {listed(parts)}.", expected_words(plan))))


def expected_words(plan: Plan) -> str:
    """One sentence: how long the builds will take; "" when that is nothing to speak of, or nothing is known."""
    told = duration_words(sum(build.expected_seconds or 0 for build in (*plan.builds, *plan.later)))
    unknown = [build for build in (*plan.builds, *plan.later) if build.expected_seconds is None]
    if not told:
        return ""
    rest = f", and nothing is known of {count(len(unknown), 'other')}" if unknown else ""
    return f"To build as much took {told} before{rest}."


def plan_sections(plan: Plan, *, diffs: bool = True) -> tuple[Section, ...]:
    """What changes and what will be done about it, for people: only sections that have something.

    `diffs` False leaves the text diffs out.
    """
    added = {change.model: change for change in changes_of(plan, ChangeType.ADDED)}
    builds = builds_of(plan)
    new = {build.snapshot.name: build for build in builds if build.snapshot.name in added}
    reused = {each.name for each in plan.reuses}
    if plan.wish.restate:
        title = "To restate: these rows are made again, where they are"
    else:
        title = "To build besides" if new else "To build"
    sections = (
        # what is new is told once: with what is done about it
        Section(
            title="Added, to build",
            tone="added",
            items=tuple(_build_item(plan, build, _added_words(added[name])) for name, build in new.items()),
        ),
        Section(
            title="Added, already built",
            tone="added",
            items=tuple(_reuse_item(plan, name) for name in added if name in reused),
        ),
        Section(
            title="Added",
            tone="added",
            items=tuple(
                _change_item(plan, change, diffs=diffs)
                for name, change in added.items()
                if name not in new and name not in reused
            ),
        ),
        *_change_sections(plan, diffs=diffs),
        Section(
            title=title,
            tone="build",
            items=tuple(_build_item(plan, build) for build in builds if build.snapshot.name not in added),
        ),
        Section(
            title="Views to point at new tables (no rows computed)",
            tone="build",
            items=tuple(Item(name=build.snapshot.name, label="view") for build in repoints_of(plan)),
        ),
        Section(
            title="Forward-only: tables that keep their rows",
            tone="direct",
            items=tuple(_migrate_item(step) for step in plan.migrations),
        ),
        Section(
            title=f"Then to compute again, from {_effective(plan)} on",
            tone="build",
            items=tuple(_build_item(plan, build) for build in plan.later),
        ),
        Section(
            title="To audit, already built",
            tone="build",
            items=tuple(_audit_item(step) for step in plan.audits),
        ),
        Section(
            title="Reused, already built",
            tone="reuse",
            items=tuple(_reuse_item(plan, each.name) for each in plan.reuses if each.name not in added),
            noun="table",
        ),
        Section(
            title="Due again, built by the next plan or run of who shows them",
            tone="build",
            items=tuple(_due_again_item(one) for one in plan.due_again),
        ),
        Section(
            title="Warnings",
            tone="warning",
            items=tuple(Item(name=text, weight=1) for text in plan.warnings),
            noun="warning",
        ),
    )
    return tuple(section for section in sections if section.items)


def change_sections(plan: Plan, *, diffs: bool = True) -> tuple[Section, ...]:
    """Only what differs from the environment, by type of change; empty when nothing does."""
    added = tuple(_change_item(plan, each, diffs=diffs) for each in changes_of(plan, ChangeType.ADDED))
    sections = (Section(title="Added", tone="added", items=added), *_change_sections(plan, diffs=diffs))
    return tuple(section for section in sections if section.items)


def view_section(plan: Plan) -> Section:
    """The views that the swap sets and drops, sorted by name, and the tables they show; perhaps none."""
    shown = plan.promote
    items = (
        [] if shown is None else [Item(name=view, text=f"→ {table}") for view, table in sorted(shown.create.items())]
    )
    items += [] if shown is None else [Item(name=view, label="dropped") for view in sorted(shown.drop)]
    return Section(title="Views", tone="step", items=tuple(items), noun="view")


def plan_steps(plan: Plan) -> tuple[Section, ...]:
    """Everything an apply does, step by step, with the objects it touches; empty for an empty plan."""
    if plan.is_empty:
        return ()
    base = f"still shows plan {plan.based_on[:12]}" if plan.based_on else "is still new"
    check = Item(name=plan.environment, text=f"refuse unless the environment {base}; record the intent")
    told: tuple[tuple[str, Iterable[Item]], ...] = (
        ("Check", (check,)),
        ("Run first (before_all), in one transaction", _statement_items(plan.before_all)),
        (
            "Create physical schemas that are missing",
            (Item(name=schema) for schema in sorted({_schema(build.snapshot) for build in plan.builds})),
        ),
        ("Build: write, audit and record each batch in one transaction", map(_step_item, plan.builds)),
        (
            "Audit what is built already; a blocking audit that finds rows stops the swap",
            map(_audit_item, plan.audits),
        ),
        ("Take back what other tables hold of these rows", map(_due_again_item, plan.due_again)),
        ("Swap, in one transaction", _swap_items(plan)),
        ("Compute again, after the swap", map(_step_item, plan.later)),
        ("Run last (after_all), in one transaction", _statement_items(plan.after_all)),
    )
    sections = (Section(title=title, tone="step", items=tuple(items)) for title, items in told)
    return tuple(section for section in sections if section.items)


def _swap_items(plan: Plan) -> Iterator[Item]:
    if plan.promote is None:
        return
    for step in plan.migrations:
        for change in step.changes or ():
            yield Item(name=f"ALTER TABLE {step.snapshot.physical} {change}")
    for step in plan.migrations:
        if step.changes is None:
            yield Item(name=f"alter {step.snapshot.physical}, as its columns then ask for")
    yield from view_section(plan).items
    yield Item(name=f"record that {plan.environment} shows plan {plan.id[:12]}")


def _change_sections(plan: Plan, *, diffs: bool) -> Iterable[Section]:
    def section(title: str, change: ChangeType) -> Section:
        return Section(
            title=title,
            tone=change.value,
            items=tuple(_change_item(plan, each, diffs=diffs) for each in changes_of(plan, change)),
        )

    yield section("Removed", ChangeType.REMOVED)
    yield section("Directly modified", ChangeType.DIRECT)
    yield section("Indirectly modified", ChangeType.INDIRECT)
    yield section("Only metadata modified", ChangeType.METADATA)
    if plan.statement_diff:
        item = Item(name="before_all, after_all", diff=plan.statement_diff if diffs else "")
        yield Section(title="Statements around every apply modified", tone="metadata", items=(item,))


def _change_item(plan: Plan, change: Change, *, diffs: bool) -> Item:
    below = affected_readers(plan, change.model) if change.change is ChangeType.DIRECT else ()
    touched = [name for name in below if plan.snapshots[name].category not in _KEEPING]
    told = f"affects {some(touched, _NAMES_SHOWN)}" if touched else "what reads it keeps its rows"
    children = (told,) if below else ()
    is_new = change.change is ChangeType.ADDED
    # that a model is new is said by the section
    label = "" if is_new or change.change is ChangeType.METADATA else category_words(change.category)
    return Item(
        name=change.model,
        label=label,
        text=_added_words(change) if is_new else change.reason,
        children=children,
        diff=change.diff if diffs else "",
        weight=_WEIGHT.get(change.category or Category.METADATA, 1) if change.change is ChangeType.DIRECT else 0,
    )


def _added_words(change: Change) -> str:
    return "" if change.reason == NEW else change.reason


_WEIGHT = {Category.BREAKING: 3, Category.FORWARD_ONLY: 2}
_KEEPING = (Category.INDIRECT_NON_BREAKING, Category.METADATA)


def _build_item(plan: Plan, build: Build, reason: str = "") -> Item:
    duration = duration_words(build.expected_seconds or 0)
    texts = (
        reason,
        f"a preview, in {build.snapshot.physical}" if build.snapshot.is_preview else "",
        _restated_words(plan, build),
        duration,
    )
    return Item(
        name=build.snapshot.name,
        label=build_words(build),
        text=", ".join(filter(None, texts)),
        weight=build.expected_seconds or 0 if duration else 0,
    )


def restated_by(plan: Plan, build: Build) -> tuple[str, ...]:
    """The models whose `auto_restatement_cron` makes the build's rows to be made again: its own, or else what it reads;
    none when that is not why it is built.
    """
    again = plan.restatements.get(str(build.snapshot.physical))
    if again is None or not again.pending:
        return ()
    if auto_restatement(build.snapshot.model.kind) is not None:
        return (build.snapshot.name,)
    above = {build.snapshot.name}
    for name, snapshot in reversed([*plan.snapshots.items()]):
        if name in above:
            above.update(parent.name for parent in snapshot.parents)
    ticking = (one for name, one in plan.snapshots.items() if name in above and auto_restatement(one.model.kind))
    marked = (one.name for one in ticking if plan.restatements.get(str(one.physical), NONE).tick is not None)
    return tuple(marked)


def _restated_words(plan: Plan, build: Build) -> str:
    names = restated_by(plan, build)
    if not names:
        return ""
    others = "" if names == (build.snapshot.name,) else f" of {some(names, _NAMES_SHOWN)}"
    return f"restated by auto_restatement_cron{others}"


def _migrate_item(step: Migrate) -> Item:
    if step.changes is None:
        text = "its columns are compared when this is applied"
    elif step.changes:
        text = f"the swap alters {step.snapshot.physical}"
    else:
        text = f"{step.snapshot.physical} stays as it is"
    return Item(name=step.snapshot.name, text=text, children=tuple(map(str, step.changes or ())))


def _effective(plan: Plan) -> str:
    """The effective date, as short as it can be told."""
    moment = iso(plan.wish.effective_from or 0)
    return moment.removesuffix("T00:00:00Z")


def _due_again_item(one: DueAgain) -> Item:
    model = one.snapshot.model
    label = range_words(one.intervals, model.interval_unit) if is_incremental(model.kind) else "whole table"
    shown = f"shown by {listed(one.environments)}" if one.environments else "shown nowhere"
    return Item(name=model.name, label=label, text=f"{one.snapshot.physical}, {shown}")


def _step_item(build: Build) -> Item:
    snapshot = build.snapshot
    children = [f"writes {snapshot.physical}"] if snapshot.physical is not None else []
    if build.repoint:
        return Item(name=snapshot.name, label="view over new tables, no rows", children=tuple(children))
    if len(build.batches) > 1:
        first = interval_words(build.batches[0], snapshot.model.interval_unit)
        children.append(f"{count(len(build.batches), 'batch', 'batches')}, first {first}")
    children += [f"audit {text}" for text in _audit_texts(snapshot)]
    return Item(
        name=snapshot.name,
        label=f"{kind_name(snapshot.model.kind)}: {build_words(build)}",
        children=tuple(children),
    )


def _statement_items(statements: Iterable[str]) -> Iterator[Item]:
    return (Item(name=" ".join(text.split())) for text in statements)


def _audit_item(step: Audit) -> Item:
    return Item(name=step.snapshot.name, text=", ".join(_audit_texts(step.snapshot)))


def _audit_texts(snapshot: Snapshot) -> list[str]:
    return [audit.name + ("" if audit.blocking else " (non-blocking)") for audit in snapshot.model.audits]


def _reuse_item(plan: Plan, model: str) -> Item:
    return Item(name=model, text=str(plan.snapshots[model].physical))


def _schema(snapshot: Snapshot) -> str:
    return str(snapshot.physical).rsplit(".", 1)[0]
