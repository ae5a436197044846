"""Promotion: all changed views and the record of what they show move in one warehouse transaction; the state follows.

A rollback is a promotion of an older target under a plan id of its own. Nothing is ever dropped with CASCADE.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from isomesh_dagster.engine.connection import Connection, Session
from isomesh_dagster.errors import ConflictingPlanError, EngineError, PlanError, WriteConflict
from isomesh_dagster.evaluation.texts import Surroundings, Texts, view_query
from isomesh_dagster.execution.comments import comment_on
from isomesh_dagster.execution.migrate import Alteration, bring_back, holds_rows, in_order, migrate, standing
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.plan.plan import Promote
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.checkpoint import no_checkpoint
from isomesh_dagster.records.events import Promoted
from isomesh_dagster.records.homes import check_home, claim_of, drop_empty_schemas, leave_old_homes
from isomesh_dagster.records.reconcile import adopt_loaded, reconcile_in
from isomesh_dagster.records.stamp import check_stamp
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import PROD, Environment, Promotion, Target
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Snapshot
from isomesh_dagster.state.protocol import Identity, PlanRecord, StateStore

_PATIENCE_SECONDS = 60.0
"""How long a swap is tried again when others are in its way; between two tries it rests for a random moment."""
_REST_SECONDS = (0.02, 0.2)
_TICK = timedelta(milliseconds=1)  # what records tell of time


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """A promotion to be made: the steps, the plan it belongs to and the plan it expects to find, when, and why.

    `comments` says whether descriptions are written on the views of prod. `alterations` are tables that get other
    columns with it, `notes` what its event tells of them; of the physical relations in `recomputed` (dotted) nothing
    from that moment on (epoch milliseconds) counts as built afterwards.
    """

    promote: Promote
    plan_id: str
    based_on: str | None
    promoted_at: datetime
    around: Surroundings
    reason: str = "plan"
    comments: bool = False
    alterations: tuple[Alteration, ...] = ()
    notes: tuple[str, ...] = ()
    recomputed: Mapping[str, int] = field(default_factory=dict)


def swap(session: Session, state: StateStore, work: Swap, checkpoint: Callable[[str], None]) -> Promoted:
    """Make the environment show the target. Idempotent by plan id.

    Raises ConflictingPlanError when it shows neither the base nor the target, EngineError when a view cannot be made;
    the environment is then as it was.
    """
    started = time.perf_counter()
    promote = work.promote
    home = warehouse.home_of(promote.target)
    # those in another catalog go after the swap: readers who still look there see the old environment until then
    views = [one for one in map(Relation.parse, sorted({*promote.create, *promote.drop})) if one.catalog == home]
    check_home(session, home, alters=bool(work.alterations or work.recomputed))
    if home is not None:
        session.create_catalog(home)
    while True:
        try:
            with session.swapping(views, claim=claim_of(promote.environment)) as told:
                record = _swap_views(session, state, work, checkpoint)
                checkpoint("swapped")
            break
        except WriteConflict as error:  # another promotion, whose record tells which, or somebody who reads
            if time.perf_counter() - started > _PATIENCE_SECONDS:
                raise EngineError(
                    f"the views of {promote.environment!r} were in use for {_PATIENCE_SECONDS:.0f} s: {error.message}",
                    hint="the environment is as it was; end the transactions that hold its views and apply again",
                ) from error
            time.sleep(random.uniform(*_REST_SECONDS))
    checkpoint("promoted")
    leave_old_homes(session, promote.environment)
    checkpoint("left")
    again = set(work.recomputed)
    if work.alterations:
        again.update(str(one.physical) for one in standing(state, {str(one.relation) for one in work.alterations}))
    adopt_loaded(session, state, again)  # before the plan counts as done: who goes on after a crash finds them missing
    state.finalize(
        environment=promote.environment,
        plan_id=work.plan_id,
        based_on=work.based_on,
        number=record.number,
        target=promote.target,
        promoted_at=record.promoted_at,
        expires_at=promote.expires_at,
        suffix_target=promote.suffix_target,
        reason=work.reason,
    )
    checkpoint("finalized")
    return Promoted(
        environment=promote.environment,
        plan_id=work.plan_id,
        number=record.number,
        created=tuple(sorted(promote.create)),
        dropped=tuple(sorted(promote.drop)),
        seconds=time.perf_counter() - started,
        notes=(*work.notes, *told),
    )


def _swap_views(session: Session, state: StateStore, work: Swap, checkpoint: Callable[[str], None]) -> warehouse.Shown:
    """Inside the transaction: the views, then the record; what is recorded afterwards."""
    promote = work.promote
    shown = warehouse.shown(session, promote.environment)
    if shown is not None and shown.plan_id == work.plan_id:
        return shown
    live = shown.plan_id if shown is not None else None
    if live != work.based_on:
        raise ConflictingPlanError(
            f"environment {promote.environment!r} moved: it shows {live or 'nothing'}, "
            f"the plan is based on {work.based_on or 'a new environment'}",
            hint="plan again",
        )
    altered: set[str] = set()
    if work.alterations:
        altered = migrate(session, state, work.alterations, work.around, promote.environment)
        checkpoint("migrated")
    for physical, start in sorted(work.recomputed.items()):
        warehouse.cut(session, physical, start)
    home = warehouse.home_of(promote.target)
    warehouse.settle(session, home)
    _set_views(session, work, home, shown, altered, checkpoint)
    promoted_at = work.promoted_at
    if shown is not None and shown.catalog != home:  # the later of two records counts, whatever the clock does
        promoted_at = max(promoted_at, shown.promoted_at + _TICK)
    record = warehouse.Shown(
        name=promote.environment,
        plan_id=work.plan_id,
        number=(shown.number if shown is not None else 0) + 1,
        target=promote.target,
        promoted_at=promoted_at,
        expires_at=promote.expires_at,
        suffix_target=promote.suffix_target,
        reason=work.reason,
    )
    warehouse.show(session, record)
    return record


def _set_views(
    session: Session,
    work: Swap,
    home: str | None,
    shown: warehouse.Shown | None,
    altered: Collection[str],
    checkpoint: Callable[[str], None],
) -> None:
    """The views show the target, with what models ask for at a promotion. `altered` are tables whose columns are others
    than when their views were made.
    """
    promote = work.promote
    models = {view.view: name for name, view in promote.target.views.items()}
    gone = [one for one in map(Relation.parse, promote.drop) if one.catalog == home]
    for relation in gone:
        session.drop(relation, view=True)
    for schema in sorted({Relation.parse(view).schema for view in promote.create}):
        session.create_schema(schema, home)
    # a view of a changed model over its old table: its descriptions or its statements may be others
    changed = _changed(shown.target, promote.target) if shown is not None else {}
    has_comments = work.comments and promote.environment == PROD
    again = {view.view: view.physical for view in promote.target.views.values() if view.physical in altered}
    # outside of prod a view may show columns that its older definition had (see `migrate`)
    follows = changed if has_comments or promote.environment != PROD else {}
    for view, physical in sorted({**follows, **again, **promote.create}.items()):
        session.replace_view(Relation.parse(view), view_query(physical, view, session.default_catalog))
        snapshot = work.around.snapshots.get(models[view]) if has_comments else None
        if snapshot is not None:
            comment_on(session, session.placed(Relation.parse(view)), snapshot.model)
        checkpoint("view")
    views = {name: str(session.placed(Relation.parse(view.view))) for name, view in promote.target.views.items()}
    for view in sorted({*promote.create, *changed, *again}):
        snapshot = work.around.snapshots.get(models[view])
        if snapshot is not None:
            _grant(session, Relation.parse(view), snapshot)
            history = partial(_history, session, snapshot)
            place = session.placed(Relation.parse(view))
            for statement in Texts(snapshot, work.around).virtual_update(place, views, history):
                session.execute(statement)
    drop_empty_schemas(session, gone)


def _history(session: Session, snapshot: Snapshot) -> Interval | None:
    """From the first to the last moment that the snapshot's table holds; None where it holds no range."""
    loaded = warehouse.intervals(warehouse.loaded_of(session, str(snapshot.physical)))
    return Interval(loaded[0].start, loaded[-1].end) if loaded else None


def _grant(session: Session, view: Relation, snapshot: Snapshot) -> None:
    """Give the privileges that the model names, on the layer it names. A table is shared: the last promotion counts."""
    model = snapshot.model
    if model.grants is None:
        return
    if model.grants_target_layer in ("virtual", "all"):
        session.grant(view, model.grants)
    if model.grants_target_layer in ("physical", "all") and snapshot.physical is not None:
        session.grant(snapshot.physical, model.grants)


def _changed(old: Target, new: Target) -> dict[str, str]:
    """Views whose model changed and whose table did not, with that table."""
    return {
        view.view: view.physical
        for name, view in new.views.items()
        if old.views.get(name) == view and old.snapshots.get(name) != new.snapshots.get(name)
    }


# ---- rollback --------------------------------------------------------------------------------------------


def rollback(
    state: StateStore,
    connection: Connection,
    environment: str,
    *,
    identity: Identity,
    now: datetime,
    to: int | None = None,
    default_catalog: str | None = None,
    macros: ProjectMacros = NO_MACROS,
    comments: bool = False,
    checkpoint: Callable[[str], None] = no_checkpoint,
) -> Promoted:
    """Make the environment show again what its promotion number `to` showed (default: the one before the current).

    Its end (`expires_at`) stays as it is. Raises PlanError when there is no such promotion, when it shows nothing else
    than the current one, or when a table it needs is gone; the environment is then as it was. Tables that forward-only
    changes have altered since keep their rows; the event's notes say what of them does not come back.
    """
    with connection.session() as session:
        check_stamp(session, state, identity)
        reconcile_in(session, state, environment)
        current = state.environment(environment)
        if current is None:
            raise PlanError(f"there is no environment {environment!r}", hint="`isomesh environments` lists them")
        promotion = _chosen(state.promotions(environment), current, to)
        target = promotion.target
        around = Surroundings(
            snapshots=_still_there(session, state, promotion),
            engine_dialect=connection.capabilities.dialect,
            default_catalog=default_catalog,
            execution_time=now,
            macros=macros,
            reads=connection.reads,
        )
        alterations, notes = _altered_since(session, state, current, around)
        plan_id = _rollback_id(current, promotion)
        promote = _between(current, target)
        state.open_plan(
            PlanRecord(
                id=plan_id,
                environment=environment,
                based_on=current.plan_id,
                status="open",
                target=target,
                created_at=now,
                expires_at=current.expires_at,
                suffix_target=current.suffix_target,
            ),
            (),
        )
        checkpoint("intent")
        return swap(
            session,
            state,
            Swap(
                promote=promote,
                plan_id=plan_id,
                based_on=current.plan_id,
                promoted_at=now,
                around=around,
                alterations=alterations,
                notes=notes,
                reason=f"rollback to {promotion.number}",
                comments=comments,
            ),
            checkpoint,
        )


def _still_there(session: Session, state: StateStore, promotion: Promotion) -> dict[str, Snapshot]:
    """The snapshots of the promotion by model. Raises PlanError when one is gone, or its table."""
    target = promotion.target
    snapshots = state.snapshots(target.snapshots.values())
    loaded = warehouse.loaded(session, (view.physical for view in target.views.values()))
    gone = sorted(
        name
        for name, snapshot in target.snapshots.items()
        if snapshot not in snapshots or (name in target.views and target.views[name].physical not in loaded)
    )
    if gone:
        raise PlanError(
            f"promotion {promotion.number} cannot be shown again, the janitor took tables of {', '.join(gone)}",
            hint="check out the files of that time and plan: what is missing is built again",
        )
    return {snapshot.name: snapshot for snapshot in snapshots.values()}


def _altered_since(
    session: Session, state: StateStore, current: Environment, around: Surroundings
) -> tuple[tuple[Alteration, ...], tuple[str, ...]]:
    """What the tables that forward-only changes have altered need for the definitions of `around`, and notes about it.

    Raises PlanError when an environment other than prod needs columns that prod has dropped.
    """
    altered = state.forward_only_tables(around.snapshots)
    wanted = [one for one in in_order(around.snapshots) if str(one.physical) in altered and holds_rows(one)]
    if not wanted:
        return (), ()
    shown = {one.name: one for one in state.snapshots(current.target.snapshots.values()).values()}
    alterations, notes = bring_back(session, wanted, shown, around)
    if current.name == PROD:
        return alterations, notes
    lost = [one.relation for one in alterations if one.changes(session.columns(one.relation))]
    if lost:
        raise PlanError(
            f"columns that are needed have been dropped in prod, from {', '.join(map(str, lost))}",
            hint=f"plan {current.name!r} from its files instead",
        )
    return (), notes


def _chosen(promotions: list[Promotion], current: Environment, to: int | None) -> Promotion:
    wanted = to if to is not None else current.number - 1
    for promotion in promotions:
        if promotion.number == wanted:
            if promotion.target == current.target:
                raise PlanError(f"environment {current.name!r} already shows what promotion {wanted} showed")
            return promotion
    numbers = ", ".join(str(promotion.number) for promotion in promotions if promotion.number != current.number)
    if not numbers:
        raise PlanError(
            f"environment {current.name!r} has been promoted only once: there is nothing to go back to",
            hint=f"`isomesh plan {current.name}` shows other files there",
        )
    raise PlanError(
        f"environment {current.name!r} has no promotion {wanted} to go back to",
        hint=f"it can go back to {numbers}",
    )


def _between(current: Environment, target: Target) -> Promote:
    before = {view.view: view.physical for view in current.target.views.values()}
    after = {view.view: view.physical for view in target.views.values()}
    return Promote(
        environment=current.name,
        target=target,
        create={view: physical for view, physical in sorted(after.items()) if before.get(view) != physical},
        drop=tuple(sorted(before.keys() - after.keys())),
        expires_at=current.expires_at,
        suffix_target=current.suffix_target,
    )


def _rollback_id(current: Environment, promotion: Promotion) -> str:
    """Different from every plan's id, so that a plan made before the rollback conflicts instead of undoing it."""
    text = "\0".join((current.name, current.plan_id, str(current.number), promotion.plan_id, str(promotion.number)))
    return f"rollback-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
