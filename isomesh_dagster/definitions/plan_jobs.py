"""Plans that people look at before they are done: the jobs `plan`, `apply_plan` and `compare`.

`plan` keeps the plan it tells, `apply_plan` takes its id and does that plan, in one op, or refuses.
"""

# no postponed annotations: Dagster reads those of ops when it makes them
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import dagster as dg
from pydantic import Field

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.events import failures, plan_metadata
from isomesh_dagster.definitions.ops import apply_in_op, make_op, session_of
from isomesh_dagster.definitions.resource import register_environments
from isomesh_dagster.definitions.translator import IsomeshTranslator
from isomesh_dagster.errors import PlanError
from isomesh_dagster.plan.explain import summary
from isomesh_dagster.snapshot.interval import to_ms

COMPARISON_CHECK = "rows_equal"


class PlanConfig(dg.Config):
    """What to ask of the plan besides what the resource asks; steps of single models could not do it."""

    select: list[str] = Field(
        default=[], description="Selections of the models whose changes are taken; by default all of them."
    )
    backfill: list[str] = Field(
        default=[],
        description="Selections of the models that are built, with what they read. What is not built is not shown; not"
        " for prod.",
    )
    restate: list[str] = Field(
        default=[], description="Selections of the models whose rows are made again, with all that reads them."
    )


class ApplyPlanConfig(dg.Config):
    """Which plan was agreed to."""

    plan_id: str = Field(description="The id that the job plan told, or the beginning of it.")


class CompareConfig(dg.Config):
    """What to compare."""

    source: str = Field(description="The environment that is looked at.")
    target: str = Field(default="prod", description="The environment it is compared with.")
    models: list[str] = Field(default=[], description="The models to compare; by default all whose tables differ.")
    skip_columns: list[str] = Field(default=[], description="Columns that are not compared.")
    samples: int = Field(default=20, description="How many rows of each sort are shown.")


def plan_op(key: dg.AssetKey) -> dg.OpDefinition:
    """Says what an apply would do, and keeps it."""

    def compute(context: dg.OpExecutionContext, config: PlanConfig) -> Iterator[Any]:
        session, now = session_of(context), datetime.now(timezone.utc)
        with failures():
            parts = {"select": config.select, "backfill": config.backfill, "restate": config.restate}
            wish = session.asked.wish(to_ms(now), **{part: tuple(names) for part, names in parts.items()})
            plan = session.project.plan(session.environment, now=now, wish=wish)
            session.project.keep_plan(plan)
            register_environments(context.instance, [env.name for env in session.project.environments()])
        metadata = plan_metadata(plan)
        context.log_event(
            dg.AssetObservation(asset_key=key, partition=plan.environment, description=summary(plan), metadata=metadata)
        )
        yield dg.Output(None, metadata=metadata)

    return make_op(
        "make_plan",
        compute,
        "Say what an apply would build, reuse and show, as Markdown, and keep it for apply_plan; changes nothing.",
    )


def apply_plan_op(key: dg.AssetKey, translator: IsomeshTranslator) -> dg.OpDefinition:
    """Does a plan that was kept, or refuses."""

    def compute(context: dg.OpExecutionContext, config: ApplyPlanConfig) -> Iterator[Any]:
        session = session_of(context)
        with failures():
            saved = session.project.saved_plan(config.plan_id)
            if session.named_environment not in (None, saved.environment):
                raise PlanError(
                    f"plan {saved.id} is for environment {saved.environment!r},"
                    f" this run is about {session.named_environment!r}",
                    hint="leave the environment out, or name the plan of this one",
                )
            plan = session.project.plan_again(saved)
            apply_in_op(context, plan, session.project, key, translator)
        yield dg.Output(None, metadata=plan_metadata(plan))

    return make_op(
        "apply_agreed_plan",
        compute,
        "Do the plan that the job plan told, or refuse: when the files, the environment or what is built moved since.",
    )


def compare_op(key: dg.AssetKey) -> dg.OpDefinition:
    """Compares the rows of two environments, and tells it as a check of the environments' asset."""

    def compute(context: dg.OpExecutionContext, config: CompareConfig) -> Iterator[Any]:
        from isomesh_dagster.inspection.table_diff import Question, differs
        from isomesh_dagster.inspection.table_diff_words import comparisons_markdown

        session = session_of(context)
        with failures():
            question = Question(skip=tuple(config.skip_columns), sample=config.samples)
            models = config.models or None
            if models is not None:
                for name in models:
                    session.project.model(name)
            found = list(session.project.table_diff(config.source, config.target, models=models, question=question))
        differing = [one for one in found if differs(one)]
        metadata: dict[str, Any] = {
            "isomesh/comparison": dg.MetadataValue.md(
                comparisons_markdown(config.source, config.target, found, samples=bool(config.samples))
            ),
            "isomesh/compared": len(found),
            "isomesh/differing": len(differing),
            keys.ENVIRONMENT: config.source,
        }
        context.log_event(
            dg.AssetCheckEvaluation(  # type: ignore[arg-type]  # stored and shown, although the signature has it not
                asset_key=key,
                check_name=COMPARISON_CHECK,
                passed=not differing,
                severity=dg.AssetCheckSeverity.WARN,
                description=f"{config.source} and {config.target}: {len(differing)} of {len(found)} tables differ",
                metadata=metadata,
            )
        )
        context.log_event(
            dg.AssetObservation(
                asset_key=key, partition=config.source, description=f"Compared with {config.target}.", metadata=metadata
            )
        )
        yield dg.Output(None, metadata=metadata)

    return make_op(
        "compare_rows",
        compute,
        "Compare the rows that two environments show, model by model; reads only. Told as a check of the environments.",
    )
