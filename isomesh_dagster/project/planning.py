"""How a plan comes from a project's files and its system's state: what is read for it, in which order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from isomesh_dagster.config.settings import Settings
from isomesh_dagster.errors import PlanError
from isomesh_dagster.graph.order import ModelGraph, build_graph
from isomesh_dagster.graph.selection import exactly
from isomesh_dagster.model.names import validate_environment
from isomesh_dagster.plan.automatic import BY_HAND
from isomesh_dagster.plan.build import build_plan, build_run
from isomesh_dagster.plan.cadence import Cadence, cadence
from isomesh_dagster.plan.diff import Diff, check_references, diff
from isomesh_dagster.plan.forward_only import ForwardOnly
from isomesh_dagster.plan.forward_steps import unfinished
from isomesh_dagster.plan.layer import Layer
from isomesh_dagster.plan.limits import limits, settings
from isomesh_dagster.plan.narrow import leave_out, unbuilt
from isomesh_dagster.plan.plan import Decision, Plan
from isomesh_dagster.plan.recorded import ADDITIVE, DESTRUCTIVE, Honoured, honour
from isomesh_dagster.plan.wish import EVERYTHING_DUE, RunWish, Wish
from isomesh_dagster.plan.words import some
from isomesh_dagster.project import clock, migrating, scope
from isomesh_dagster.project.checking import unread_warnings
from isomesh_dagster.project.elsewhere import left_to_prod, left_words
from isomesh_dagster.project.restating import plan_restatement
from isomesh_dagster.project.scope import Scope
from isomesh_dagster.project.timing import timed
from isomesh_dagster.snapshot.environment import PROD, Environment, Target
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Category, Snapshot
from isomesh_dagster.state.protocol import Showing, StateStore

if TYPE_CHECKING:
    from isomesh_dagster.plan.saved import SavedPlan
    from isomesh_dagster.project.front import Project

Recorded = dict[str, tuple[Interval, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What the system says when a plan of files is made.

    environment  the name of the one that is planned
    current      what is recorded of it; None: it is new
    compared     the environment that the files are compared with: itself, or the one a new one begins as; or None
    production   what prod shows
    shown        the snapshots that `compared` shows, previews that prod has made its own in the place of themselves
    """

    state: StateStore
    environment: str
    current: Environment | None
    compared: Environment | None
    production: Target
    shown: Mapping[str, Snapshot]


def plan_files(
    project: Project,
    environment: str | None,
    *,
    now: datetime | None,
    wish: Wish,
) -> Plan:
    """The plan that makes the environment show the project's files; see `Project.plan`."""
    system = project.system
    name = system.environment_name(environment)
    moment = clock.moment(now)
    wish = migrating.looked_up(project, wish, moment)
    if wish.restate:
        return plan_restatement(project, name, moment=moment, wish=wish, layer=layer_of(project.settings))
    if name == PROD and wish.within is not None:
        raise PlanError(
            "prod always shows all of history",
            hint="leave start and end out, plan another environment, or say what to restate",
        )
    state = system.checked()
    warnings = [] if wish.skip_linter else [*project.lint_warnings()]
    warnings += (*unread_warnings(project), *system.reconcile(name))
    ground = _ground(project, state, name, wish)
    shown = ground.shown
    if ground.current is not None and wish.create_from is not None:
        warnings.append(f"{name} is there already: that it be created from {wish.create_from} has no effect")
    if not project.models:
        raise PlanError(
            f"the project in {project.settings.files} has no models, so {name!r} would show nothing",
            hint="are the files of models/ there? to end an environment: isomesh invalidate",
        )
    area = scope.whole(project)
    if wish.select:
        wish = replace(wish, select=scope.named(project, wish.select, scope.known_models(project, shown), "select"))
        area = scope.limited(project, shown, frozenset(wish.select))
    difference = diff(area.graph, area.fingerprints, shown)
    check_references(area.graph, difference.removed)
    known = state.snapshots_like((model, area.fingerprints[model].identity) for model in difference.changed)
    if wish.choices:
        from isomesh_dagster.plan.choices import check_choices

        warnings += check_choices(wish.choices, difference, area.graph.models)
    said = honour(
        project.recorded_choices(), difference, {model: one.model for model, one in shown.items()}, area.graph.models
    )
    warnings += said.warnings
    wish = replace(
        wish,
        allow_destructive=tuple(sorted({*wish.allow_destructive, *said.allowing(DESTRUCTIVE)})),
        allow_additive=tuple(sorted({*wish.allow_additive, *said.allowing(ADDITIVE)})),
    )
    decision, recorded = _decide(project, ground, area, difference, known, said, wish)
    plan, told = _planned(project, ground, area, decision, known, recorded, moment, wish)
    plan = migrating.checked(project, plan, shown, ground.production)
    told += limits(plan, project.settings.connection.type, _unknown_settings(project, plan))
    return timed(state, _warned(plan, (*warnings, *told)))


def _ground(project: Project, state: StateStore, name: str, wish: Wish) -> _Ground:
    """Raises PlanError for a new environment that cannot be, or is to begin as one that is not there."""
    current = state.environment(name)
    if current is None:
        project.system.check_new(name)
        current = state.environment(name)
    compared = current or _pattern(project, state, name, wish)
    production = _production(state, name, compared)
    return _Ground(
        state=state,
        environment=name,
        current=current,
        compared=compared,
        production=production,
        shown=_settled(state, project.system.snapshots(compared), production),
    )


def _planned(
    project: Project,
    ground: _Ground,
    area: Scope,
    decision: Decision,
    known: Collection[Snapshot],
    recorded: Recorded,
    moment: int,
    wish: Wish,
) -> tuple[Plan, tuple[str, ...]]:
    """The plan of the decision, and what to tell of models that it leaves out because `wish.backfill` leaves them
    unbuilt.
    """
    state, shown, current = ground.state, ground.shown, ground.current
    concerned = (*shown.values(), *decision.snapshots.values())
    due_again = state.due_again({str(one.physical) for one in concerned if one.physical is not None})
    unfinished = _unfinished(state, current, shown, recorded)
    left = left_to_prod(state, ground.environment, decision.snapshots, area.graph) if current is not None else ()
    vouched = _shown_somewhere(state, known)

    def planned(decision: Decision, graph: ModelGraph, wish: Wish) -> Plan:
        return build_plan(
            layer=layer_of(project.settings, previews=wish.enable_preview),
            environment=ground.environment,
            current=current,
            compared_with=ground.compared.name if ground.compared is not None else None,
            shown=shown,
            graph=graph,
            decision=decision,
            known={snapshot.id for snapshot in (*known, *shown.values())},
            recorded=recorded,
            now=moment,
            wish=wish,
            vouched=vouched,
            due_again=due_again,
            unfinished=unfinished,
            left=left,
        )

    graph = area.graph
    if not wish.backfill:
        return planned(decision, graph, wish), ()
    chosen = scope.named(project, wish.backfill, graph, "backfill")
    wanted = {*chosen, *graph.ancestors(chosen)}
    wish = replace(wish, backfill=tuple(model for model in graph.order if model in wanted))
    plan = planned(decision, graph, wish)
    left_out = unbuilt(plan, wanted, graph)
    if not left_out:
        return plan, ()
    told = _left_out(ground.environment, sorted(left_out))
    decision = leave_out(decision, left_out, shown if current is not None else {})
    graph = build_graph({model: one for model, one in graph.models.items() if model not in left_out})
    return planned(decision, graph, wish), (told,)


def _unknown_settings(project: Project, plan: Plan) -> frozenset[str]:
    """What models that are built set for their session, and the warehouse does not know."""
    wanted = settings(plan)
    if not wanted:
        return frozenset()
    with project.connection().session() as session:
        return frozenset(name for name in wanted if not session.knows_setting(name))


def _pattern(project: Project, state: StateStore, name: str, wish: Wish) -> Environment | None:
    """The environment that a new one is compared with."""
    if wish.create_from is not None:
        return project.system.existing(validate_environment(wish.create_from))
    return state.environment(PROD) if name != PROD else None


def _left_out(environment: str, names: Sequence[str]) -> str:
    """What to tell of models that are not built and so not shown. Raises PlanError for prod, which shows all."""
    listed = some(names)
    if environment == PROD:
        raise PlanError(
            f"prod always shows every model, and these would not be built: {listed}",
            hint="backfill them too, or leave backfill out",
        )
    return f"{environment} does not show {listed}, left unbuilt; a plan without backfill builds and shows all"


def plan_saved(project: Project, saved: SavedPlan) -> Plan:
    """The plan that was saved, made anew; see `Project.plan_again`."""
    from isomesh_dagster.plan.saved import check_same

    if saved.gateway != project.gateway:
        raise PlanError(
            f"plan {saved.id} is for gateway {saved.gateway!r}, this is {project.gateway!r}",
            hint=f"`isomesh --gateway {saved.gateway} apply …`",
        )
    if saved.is_run:
        raise PlanError(
            f"plan {saved.id} was made by the clock: there is nothing to agree to",
            hint=f"`isomesh run {saved.environment}` builds what is due now",
        )
    plan = project.plan(saved.environment, now=saved.execution_time, wish=_as_selections(saved.wish))
    check_same(saved, plan)
    return plan


def _as_selections(wish: Wish) -> Wish:
    """The wish of a plan, its names written as selections of just these models."""
    parts = {
        part: tuple(map(exactly, getattr(wish, part)))
        for part in ("restate", "select", "backfill", "allow_destructive", "allow_additive")
    }
    return replace(wish, **parts)  # type: ignore[arg-type]


def plan_clock(
    project: Project, environment: str | None, *, now: datetime | None, wish: RunWish = EVERYTHING_DUE
) -> Plan:
    """What the clock has made due in the environment; see `Project.run_plan`."""
    system = project.system
    name = system.environment_name(environment)
    system.checked()
    warnings = system.reconcile(name)
    system.existing(name)
    showing = system.showing(name)
    graph = _graph_of(showing)
    if wish.select:
        names = scope.named(project, wish.select, graph, "select")
        chosen = {*names, *graph.ancestors(names)} if wish.auto_upstream else {*names}
        wish = replace(wish, select=tuple(model for model in graph.order if model in chosen))
    left = left_to_prod(system.state(), name, showing.snapshots, graph)
    plan = build_run(
        layer=layer_of(project.settings),
        current=showing.environment,
        graph=_graph_of(showing, without=left),
        snapshots={model: showing.snapshots[model] for model in graph.order},
        recorded=showing.recorded,
        now=clock.moment(now),
        wish=wish,
        known=showing.restatements,
    )
    return timed(system.state(), _warned(plan, (*warnings, *left_words(name, left))))


def cadence_of(project: Project, environment: str | None, *, now: datetime | None) -> Cadence:
    """What is due now, and when next; see `Project.cadence`."""
    system = project.system
    name = system.environment_name(environment)
    system.checked()
    showing = system.showing(name)
    left = left_to_prod(system.state(), name, showing.snapshots, _graph_of(showing))
    return cadence(
        showing.environment,
        _graph_of(showing, without=left),
        showing.snapshots,
        showing.recorded,
        clock.moment(now),
        showing.restatements,
    )


def _graph_of(showing: Showing, *, without: Collection[str] = ()) -> ModelGraph:
    return build_graph({model: one.model for model, one in showing.snapshots.items() if model not in without})


def _decide(
    project: Project,
    ground: _Ground,
    area: Scope,
    difference: Diff,
    known: Collection[Snapshot],
    said: Honoured,
    wish: Wish,
) -> tuple[Decision, Recorded]:
    """The decision, and the intervals recorded for every table it may need. What the `wish` chooses wins over what was
    recorded.
    """
    state, shown, production = ground.state, ground.shown, ground.production.snapshots
    candidates = {str(one.physical) for one in (*shown.values(), *known) if one.physical is not None}
    recorded = state.intervals(candidates)
    if not difference.changed and not difference.removed:
        return Decision(snapshots={name: shown[name] for name in area.graph.order}), recorded
    from isomesh_dagster.plan.decide import decide  # compares queries, so it needs the SQL library

    forward_only = ForwardOnly(
        everything=wish.forward_only or project.settings.plan.forward_only,
        previews=ground.environment != PROD,
        altered=frozenset(state.forward_only_tables(difference.changed)) if difference.changed else frozenset(),
        production={one.name: one for one in known if production.get(one.name) == one.id},
    )
    decision = decide(
        area.graph,
        area.fingerprints,
        shown,
        difference,
        known,
        area.columns(project),
        frozenset(recorded),
        project.macros,
        choices={**said.choices, **wish.choices},
        reasons={name: why for name, why in said.reasons.items() if name not in wish.choices},
        automatic=BY_HAND if wish.no_auto_categorization else project.settings.plan.auto_categorize,
        convention=project.settings.physical_table_naming_convention,
        forward_only=forward_only,
        diff_rendered=wish.diff_rendered,
    )
    chosen = {str(one.physical) for one in decision.snapshots.values() if one.physical is not None}
    recorded.update(state.intervals(chosen - candidates))
    return decision, recorded


def _production(state: StateStore, name: str, compared: Environment | None) -> Target:
    """What prod shows."""
    if compared is not None and PROD in (name, compared.name):
        return compared.target
    production = state.environment(PROD)
    return production.target if production is not None else Target()


def _settled(state: StateStore, shown: Mapping[str, Snapshot], production: Target) -> Mapping[str, Snapshot]:
    """What an environment other than prod is compared with: what it shows, with what prod shows in place of previews of
    the very same definition, which have done what they were for.
    """
    ids = production.snapshots
    wanted = [
        ids[name]
        for name, snapshot in shown.items()
        if snapshot.is_preview and name in ids and ids[name].identifier == snapshot.id.identifier
    ]
    found = {one.name: one for one in state.snapshots(wanted).values()} if wanted else {}
    return {name: found.get(name, snapshot) for name, snapshot in shown.items()} if found else shown


def _unfinished(
    state: StateStore, current: Environment | None, shown: Mapping[str, Snapshot], recorded: Recorded
) -> dict[str, tuple[Interval, ...]]:
    """What the plan that the environment shows was to compute again after its swap, and has not."""
    if current is None or not any(snapshot.category is Category.FORWARD_ONLY for snapshot in shown.values()):
        return {}
    from isomesh_dagster.plan.saved import read_document

    record = state.plan(current.plan_id)
    if record is None or not record.document:
        return {}
    return unfinished(read_document(record.document, f"plan {record.id}").later, shown, recorded)


def _shown_somewhere(state: StateStore, snapshots: Collection[Snapshot]) -> list[Snapshot]:
    """Those with audits that an environment shows or showed: a snapshot is shown only when its audits passed."""
    audited = [one for one in snapshots if one.model.audits]
    if not audited:
        return []
    ids = state.ever_shown(one.id for one in audited)
    return [one for one in audited if one.id in ids]


def layer_of(settings: Settings, *, previews: bool = False) -> Layer:
    """How environments are laid out by this configuration; with `previews`, those of forward-only changes are filled
    whatever it says.
    """
    return Layer(
        gateway=settings.gateway,
        default_catalog=settings.default_catalog,
        suffix_target=settings.environment_suffix_target,
        catalogs=settings.environment_catalog_mapping,
        environment_ttl=settings.environment_ttl,
        pinned=settings.pinned_environments,
        before_all=settings.before_all,
        after_all=settings.after_all,
        fills_previews=previews or settings.plan.enable_preview,
    )


def _warned(plan: Plan, warnings: Collection[str]) -> Plan:
    return replace(plan, warnings=(*plan.warnings, *warnings)) if warnings else plan
