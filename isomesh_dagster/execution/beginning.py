"""What is looked at before a plan is applied: its base, the user's rights, the catalogs; and the intent to apply it.

Every check raises, and nothing of the plan is written then.
"""

from __future__ import annotations

from datetime import datetime

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import ConflictingPlanError, PlanError
from isomesh_dagster.evaluation.batch import physical_of
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.saved import is_run, plan_document
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.homes import check_home, check_others
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import Environment, Target, View
from isomesh_dagster.snapshot.naming import view_relation
from isomesh_dagster.state.protocol import PlanRecord, StateStore


def check_base(plan: Plan, current: Environment | None) -> None:
    """The environment shows what the plan was made for, or the plan itself; ConflictingPlanError otherwise."""
    shown = current.plan_id if current is not None else None
    if shown in (plan.based_on, plan.id):
        return
    raise ConflictingPlanError(
        f"environment {plan.environment!r} moved since the plan was made: it shows {shown or 'nothing'}, "
        f"the plan is based on {plan.based_on or 'a new environment'}",
        hint="plan again",
    )


def check_rights(plan: Plan, session: Session) -> None:
    """Whether this user may write where the plan writes; EngineError before anything is done."""
    views = [Relation.parse(view) for view in (plan.promote.create if plan.promote is not None else ())]
    built = [physical_of(step) for step in plan.builds]
    schemas = {relation.schema for relation in (*views, *built)}
    session.preflight(sorted({warehouse.META_SCHEMA, *schemas}), views)


def check_catalogs(plan: Plan, session: Session, default_catalog: str | None) -> None:
    """Rows and the record of them commit together, views and the record of those, too, and a transaction writes one
    catalog only: PlanError for a build in another one than the default, or views where they cannot be swapped.
    """
    for step in plan.builds:
        catalog = physical_of(step).catalog
        if catalog not in (None, default_catalog):
            raise PlanError(
                f"lives in catalog {catalog!r}; models are written to the default catalog only",
                model=step.snapshot.name,
                path=step.snapshot.model.path,
                line=step.snapshot.model.line,
                hint="leave the catalog out of the model's name; other catalogs can be read as external tables",
            )
    if plan.promote is not None:
        check_home(session, warehouse.home_of(plan.promote.target), alters=bool(plan.migrations or plan.later))
    altered = {str(step.snapshot.physical) for step in plan.migrations if step.changes != ()}
    if altered:
        check_others(warehouse.all_shown(session), plan.environment, altered)


def open_intent(plan: Plan, state: StateStore, now: datetime) -> None:
    """Record in the state that the plan is being applied, with every snapshot it needs."""
    promote = plan.promote
    target = promote.target if promote is not None else unchanged_target(plan, state)
    # every snapshot that nothing else protects: the janitor may have taken some away since the plan was made
    wanted = {*plan.new_snapshots, *plan.reuses, *(step.snapshot.id for step in plan.builds)}
    record = PlanRecord(
        id=plan.id,
        environment=plan.environment,
        based_on=plan.based_on,
        status="open",
        target=target,
        created_at=now,
        document=plan_document(plan),
        expires_at=promote.expires_at if promote is not None else None,
        suffix_target=promote.suffix_target if promote is not None else "schema",
    )
    state.open_plan(record, [one for one in plan.snapshots.values() if one.id in wanted])
    if plan.by_clock:
        _make_up_for_others(record, state)
    if plan.restatements:
        state.mark_restatements(plan.restatements)


def _make_up_for_others(run: PlanRecord, state: StateStore) -> None:
    """Runs that did not come to their end are open no more: this one protects the same snapshots, and builds what they
    did not. Else those of a model that fails for a month would be looked at by everybody.
    """
    for other in state.open_plans(run.environment):
        if other.id != run.id and other.target == run.target and is_run(other.document):
            state.close_plan(other.id, "superseded")


def unchanged_target(plan: Plan, state: StateStore) -> Target:
    """What the environment shows, for a plan that only builds."""
    current = state.environment(plan.environment)
    if current is not None:
        return current.target
    snapshots = plan.snapshots
    return Target(
        snapshots={name: one.id for name, one in snapshots.items()},
        views={
            name: View(view=str(view_relation(name, plan.environment)), physical=str(one.physical))
            for name, one in snapshots.items()
            if one.physical is not None
        },
    )
