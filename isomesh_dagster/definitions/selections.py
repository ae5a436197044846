"""Keys, selections and schedules of models for definitions of one's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.project import IsomeshProject
from isomesh_dagster.definitions.translator import IsomeshTranslator, is_built
from isomesh_dagster.project import Project

Expressions = str | Iterable[str]


def get_asset_key_for_model(
    project: IsomeshProject, model: str, *, translator: IsomeshTranslator | None = None
) -> dg.AssetKey:
    """The asset key of a model or a declared external table, such as `marts.orders`, for `deps` of assets of yours.

    Raises GraphError, with the nearest name, when there is none.
    """
    return (translator or IsomeshTranslator()).get_asset_key(project.compiled.model(model).name)


def build_isomesh_selection(
    project: IsomeshProject,
    select: Expressions = "*",
    *,
    exclude: Expressions = (),
    translator: IsomeshTranslator | None = None,
) -> dg.AssetSelection:
    """The assets of the models that `select` names and `exclude` does not, in our selection grammar
    (`tag:nightly & +marts.*`); several expressions mean either of them. Raises SelectionError.
    """
    look = translator or IsomeshTranslator()
    chosen = selected_models(project.compiled, select, exclude)
    return dg.AssetSelection.assets(*(look.get_asset_key(name) for name in chosen))


def build_schedule_from_isomesh_selection(
    project: IsomeshProject,
    job_name: str,
    cron_schedule: str,
    *,
    select: Expressions = "*",
    exclude: Expressions = (),
    schedule_name: str | None = None,
    environment: str | None = None,
    tags: Mapping[str, str] | None = None,
    execution_timezone: str = "UTC",
    default_status: dg.DefaultScheduleStatus = dg.DefaultScheduleStatus.STOPPED,
    translator: IsomeshTranslator | None = None,
) -> dg.ScheduleDefinition:
    """A schedule that materializes selected models, planned for `environment` from the files; it promotes nothing.

    To keep an environment up to date use the sensor `run_when_due`, which is part of `build_definitions`.
    """
    config = {"environment": environment} if environment else {}
    return dg.ScheduleDefinition(
        name=schedule_name or f"{job_name}_schedule",
        cron_schedule=cron_schedule,
        execution_timezone=execution_timezone,
        default_status=default_status,
        job=dg.define_asset_job(
            job_name,
            build_isomesh_selection(project, select, exclude=exclude, translator=translator),
            tags={keys.GATEWAY_TAG: project.compiled.gateway, **(tags or {})},
            config={"resources": {keys.RESOURCE: {"config": config}}},
        ),
    )


def selected_models(project: Project, select: Expressions, exclude: Expressions) -> list[str]:
    """The models with an op that `select` names and `exclude` does not, parents first."""
    without = set(project.select(_listed(exclude))) if exclude else set()
    return [name for name in project.select(_listed(select)) if name not in without and is_built(project.models[name])]


def _listed(expressions: Expressions) -> list[Any]:
    return [expressions] if isinstance(expressions, str) else list(expressions)
