"""`before_all` and `after_all`: the configuration's statements around every apply, rendered for one environment.

Texts in, SQL of the engine's dialect out. `@this_env`, `@schemas` and `@views` tell the environment; the names of
models mean its views. Each of the two lists runs in one transaction of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from isomesh_dagster.dialect import query as sql
from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import IsomeshError, ModelError, PlanError
from isomesh_dagster.evaluation.texts import Surroundings
from isomesh_dagster.model.model import Json
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import View
from isomesh_dagster.snapshot.interval import to_ms


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementSettings:
    """What the configuration's statements are written in, and the variables they may read, by lower-case name. `fill`
    puts the values of environment variables into one as written.
    """

    dialect: str = ""
    variables: Mapping[str, Json] = field(default_factory=dict)
    fill: Callable[[str], str] = str


def rendered(
    session: Session,
    texts: Iterable[str],
    stage: str,
    plan: Plan,
    views: Mapping[str, View],
    around: Surroundings,
    settings: StatementSettings,
) -> tuple[str, ...]:
    """The statements to run, in order; `stage` is `before_all` or `after_all`, `views` the environment's by model.

    Raises MacroError or ModelError that names the list.
    """
    texts = tuple(texts)
    if not texts:
        return ()
    from isomesh_dagster.macros.expander import Expander
    from isomesh_dagster.macros.variables import time_variables

    dialect = settings.dialect or around.engine_dialect
    moment = to_ms(around.execution_time)
    shown = {name: Relation.parse(view.view) for name, view in sorted(views.items())}
    expander = Expander(
        dialect,
        {
            **settings.variables,
            **time_variables(dialect, start=_start(plan), end=moment, execution=moment),
            "gateway": plan.gateway,
            "runtime_stage": stage,
            "this_env": plan.environment,
            "schemas": [*sorted({_schema(view) for view in shown.values()})],
            "views": [*map(str, shown.values())],
        },
        line=None,
        macros=around.macros,
    )
    replacements = {name: session.placed(view).sql for name, view in shown.items()}
    result = []
    try:
        for text in map(settings.fill, texts):
            for statement in expander.expand_statement(text):
                facts = sql.statement_facts(statement, dialect, default_catalog=around.default_catalog)
                over_views = sql.splice(statement, facts.references, replacements, dialect)
                result.append(sql.transpile(over_views, dialect, around.engine_dialect, reads=around.reads))
    except ModelError as error:
        error.message = f"{stage}: {error.message}"
        raise
    return tuple(result)


def _start(plan: Plan) -> int:
    """Where the plan begins to build; its moment where it builds nothing."""
    starts = [interval.start for step in plan.builds for interval in step.intervals]
    return min(starts, default=to_ms(plan.execution_time))


def run(session: Session, statements: Iterable[str], stage: str) -> None:
    """Run them in one transaction. Raises PlanError that tells the statement; nothing of the list is done then."""
    statements = tuple(statements)
    if not statements:
        return
    with session.transaction():
        for statement in statements:
            try:
                session.execute(statement)
            except IsomeshError as error:  # noqa: PERF203 (it tells which statement)
                raise PlanError(f"{stage}: {error.message}", hint=f"the statement was: {statement}") from None


def _schema(view: Relation) -> str:
    return view.schema if view.catalog is None else f"{view.catalog}.{view.schema}"
