"""The two deliveries: a commit's compiled project to `prod`, or to the environment of a preview."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from isomesh_dagster import dates
from isomesh_dagster.config.git import GitConfig
from isomesh_dagster.delivery import gates
from isomesh_dagster.delivery.report import Outcome, applied_words
from isomesh_dagster.errors import PlanError
from isomesh_dagster.plan.diff import diff
from isomesh_dagster.plan.plan import ChangeType, Plan
from isomesh_dagster.plan.saved import SavedPlan, plan_document, read_document
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.project import Project
from isomesh_dagster.project.losses import column_changes_of
from isomesh_dagster.records.events import Event
from isomesh_dagster.snapshot.environment import PROD, Environment
from isomesh_dagster.snapshot.interval import Interval, to_ms
from isomesh_dagster.snapshot.snapshot import Category, Snapshot
from isomesh_dagster.state.protocol import GitRef
from isomesh_dagster.unit_tests.run import UnitTestResult

OnEvent = Callable[[Project, Plan, Event], None]
"""Told each event of an apply with the project and the plan it is of."""


@dataclass(slots=True, kw_only=True)
class Found:
    """What a delivery has found out so far, for its report, also when it fails on the way."""

    plan: Plan | None = None
    tests: tuple[UnitTestResult, ...] = ()
    destructive: tuple[str, ...] = ()
    events: list[Event] = field(default_factory=list)
    rows: tuple[Any, ...] = ()
    also: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """How a delivery ended: a sentence, and the `document` of a plan that waits ("": none does)."""

    outcome: Outcome
    told: str
    document: str = ""


def deploy_commit(
    project: Project,
    config: GitConfig,
    records: Sequence[GitRef],
    commit: str,
    approve: str | None,
    found: Found,
    on_event: OnEvent,
) -> Done:
    """Let `prod` show the commit: test, plan, ask what the gates ask, apply. `records` are what was done about refs,
    `approve` the id of the plan that waits there, or its beginning. Raises what each of these raises.
    """
    _test(project, found)
    shown = project.system.shown(PROD)
    if approve is not None:
        plan = project.plan_again(plan_that_waits(config, records, commit, approve))
    else:
        choices = _forward_only(project, config, records, shown)
        plan = project.plan(PROD, wish=Wish(no_gaps=True, choices=choices))
    found.plan = plan
    found.destructive = _losses(project, config, plan)
    if found.destructive and config.on_destructive_change == "error":
        raise PlanError(
            f"readers of {PROD} would lose something: {'; '.join(found.destructive)}",
            hint="git.on_destructive_change says whether that is an error",
        )
    if approve is None and not plan.is_empty and gates.needs_approval(config, found.destructive):
        told = f"plan {plan.id[:12]} waits for an approval: isomesh ci approve {plan.id[:12]}"
        return Done(outcome="waiting", told=told, document=plan_document(plan))
    before = {name: one.version for name, one in shown.items()}
    others = _previews(project, config, records)
    _apply(project, plan, found, on_event)
    if config.run_on_deploy_to_prod:
        due_now = project.run_plan(PROD)
        if not due_now.is_empty:
            _apply(project, due_now, found, on_event)
            found.also.append(f"loaded what was due in {PROD}")
    after = {name: one.version for name, one in plan.snapshots.items()}
    if config.invalidate_environment_after_deploy:
        for environment in gates.merged(before, after, others):
            project.invalidate(environment)
            found.also.append(f"ended {environment}: {PROD} shows its changes now")
    return Done(outcome="shown", told=applied_words(plan, found.events, commit))


def preview_commit(
    project: Project,
    config: GitConfig,
    ref: str,
    commit: str,
    environment: str,
    found: Found,
    on_event: OnEvent,
) -> Done:
    """Let the environment of a ref show the commit: test, plan, apply, compare its rows. Raises what these raise."""
    _test(project, found)
    plan = found.plan = project.plan(environment, wish=_preview_wish(config, ref))
    found.destructive = _losses(project, config, plan)
    _apply(project, plan, found, on_event)
    if config.data_diff and project.environment(PROD) is not None:
        found.rows = tuple(project.table_diff(PROD, environment))
    return Done(outcome="shown", told=applied_words(plan, found.events, commit))


def plan_that_waits(config: GitConfig, records: Sequence[GitRef], commit: str, approve: str) -> SavedPlan:
    """The plan of the commit that waits for an approval, when its id begins with `approve`. Raises PlanError."""
    waiting = next((record for record in records if record.ref == config.deploy_ref), None)
    if waiting is None or waiting.commit != commit or not waiting.document:
        raise PlanError(f"no plan of {commit[:12]} waits for anybody", hint="deploy it without an approval")
    saved = read_document(waiting.document, "the plan that waits")
    if not approve or not saved.id.startswith(approve):
        raise PlanError(f"the plan that waits is {saved.id}, not {approve}", hint="look at it again")
    return saved


def living(environments: Iterable[Environment], now: datetime) -> dict[str, Environment]:
    """Those that have not ended, by name; what ended is there until the janitor comes."""
    return {one.name: one for one in environments if not one.has_ended(now)}


def _forward_only(
    project: Project, config: GitConfig, records: Sequence[GitRef], shown: Mapping[str, Snapshot]
) -> dict[str, Category]:
    """The edits that a branch with a forward-only preview brought: what it showed is what is meant in `prod`."""
    changes = diff(project.graph, project.fingerprints, shown).changed
    edited = {name: project.own[name] for name, change in changes.items() if change is ChangeType.DIRECT}
    branches = {record.environment for record in records if config.is_forward_only(record.ref)}
    found: dict[str, Category] = {}
    for environment in project.environments() if edited and branches else ():
        if environment.name in branches:
            for name, snapshot in project.system.snapshots(environment).items():
                is_same = name in edited and snapshot.fingerprint.data == edited[name].data
                if is_same and snapshot.category is Category.FORWARD_ONLY:
                    found[name] = Category.FORWARD_ONLY
    return found


def _losses(project: Project, config: GitConfig, plan: Plan) -> tuple[str, ...]:
    """What readers of `prod` lose by what the plan shows; not asked where nobody wants to know."""
    is_wanted = config.on_destructive_change != "allow" or config.approval == "destructive"
    production = project.environment(PROD) if is_wanted else None
    if production is None:
        return ()
    made = {name for name, one in plan.snapshots.items() if one.is_physical}
    return gates.destructive_changes(
        production.target.views.keys() - made, column_changes_of(project, plan, production)
    )


def _preview_wish(config: GitConfig, ref: str) -> Wish:
    within = None
    if config.default_pr_start is not None:
        now = to_ms(datetime.now(timezone.utc))
        within = Interval(dates.to_ms(config.default_pr_start, now_ms=now), now)
    return Wish(
        within=within,
        min_intervals=config.pr_min_intervals,
        skip_backfill=config.skip_pr_backfill,
        forward_only=config.is_forward_only(ref),
    )


def _test(project: Project, found: Found) -> None:
    """Run the unit tests; raises PlanError when one fails."""
    found.tests = tuple(project.run_unit_tests())
    failed = [result.test.name for result in found.tests if not result.passed]
    if failed:
        raise PlanError(f"{len(failed)} of {len(found.tests)} unit tests failed: {', '.join(failed[:5])}")


def _apply(project: Project, plan: Plan, found: Found, on_event: OnEvent) -> None:
    if plan.is_empty:
        return
    for event in project.apply(plan):
        found.events.append(event)
        on_event(project, plan, event)


def _previews(project: Project, config: GitConfig, records: Sequence[GitRef]) -> dict[str, dict[str, str]]:
    """What the environments of refs show, versions by model."""
    system = project.system
    names = {record.environment for record in records if record.ref != config.deploy_ref}
    there = living(project.environments(), datetime.now(timezone.utc))
    return {
        name: {model: snapshot.version for model, snapshot in system.snapshots(there[name]).items()}
        for name in there
        if name in names
    }
