"""`@isomesh_assets`: models as assets whose steps run a function of yours around the build.

    @isomesh_assets(project=shop, select="tag:nightly", pool="heavy")
    def nightly(context, isomesh):
        yield from isomesh.build(context)

One op per model, not one for all: each has its own retries, pool and place in the timeline.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import dagster as dg

from isomesh_dagster.definitions.assets import Body, StepOptions, model_assets
from isomesh_dagster.definitions.project import IsomeshProject
from isomesh_dagster.definitions.selections import Expressions, selected_models
from isomesh_dagster.definitions.translator import IsomeshTranslator


def isomesh_assets(
    *,
    project: IsomeshProject,
    select: Expressions = "*",
    exclude: Expressions = (),
    translator: IsomeshTranslator | None = None,
    op_tags: Mapping[str, Any] | None = None,
    retry_policy: dg.RetryPolicy | None = None,
    pool: str | None = None,
    required_resource_keys: frozenset[str] | set[str] = frozenset(),
) -> Callable[[Body], list[dg.AssetsDefinition]]:
    """Assets of the selected models. The function is called in the step of each, with its context and the resource
    `isomesh`, and yields what `isomesh.build(context)` yields.

    select, exclude   models in our selection grammar; several expressions mean either of them
    translator        how they look
    op_tags, retry_policy, pool   of every step; a model's own header wins over the last two
    required_resource_keys        other resources that the function takes from `context.resources`
    """

    def decorate(body: Body) -> list[dg.AssetsDefinition]:
        return model_assets(
            project.compiled,
            translator or IsomeshTranslator(),
            names=selected_models(project.compiled, select, exclude),
            body=body,
            options=StepOptions(
                tags=dict(op_tags or {}),
                retry_policy=retry_policy,
                pool=pool,
                resources=frozenset(required_resource_keys),
            ),
        )

    return decorate
