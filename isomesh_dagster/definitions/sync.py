"""The job `sync`: Dagster is told what is true, whoever built or promoted it: the command line, another instance.

It writes nothing into the warehouse, and no event where Dagster knows already; so a second run writes none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.events import failures, reused_result
from isomesh_dagster.definitions.history import history_markdown
from isomesh_dagster.definitions.intervals import has_ledger, ledger_events
from isomesh_dagster.definitions.ledger import unfilled
from isomesh_dagster.definitions.provenance import data_versions, version_tags
from isomesh_dagster.definitions.resource import register_environments
from isomesh_dagster.definitions.session import RunSession
from isomesh_dagster.definitions.translator import IsomeshTranslator, is_built
from isomesh_dagster.snapshot.environment import Environment


def sync(
    context: dg.OpExecutionContext, session: RunSession, translator: IsomeshTranslator, key: dg.AssetKey
) -> Iterator[Any]:
    """Materializations of models whose files' version is built, of environments' promotions, and of ledgers' partitions
    that Dagster does not know; then their numbers as the op's output.
    """
    with failures():
        models = list(_models(context.instance, session, translator))
        environments = list(_environments(context.instance, session, key))
        ledgers = list(_ledgers(context.instance, session, translator)) if translator.settings.ledgers else []
    for event in (*models, *environments, *ledgers):
        context.log_event(event)
    yield dg.Output(
        None,
        metadata={
            "isomesh/models_told": len(models),
            "isomesh/environments_told": len(environments),
            "isomesh/intervals_told": len(ledgers),
        },
    )


def _models(
    instance: dg.DagsterInstance, session: RunSession, translator: IsomeshTranslator
) -> Iterator[dg.AssetMaterialization]:
    plan = session.plan
    lacking = {step.snapshot.name for step in plan.builds}
    built = [one for name, one in plan.snapshots.items() if is_built(one.model) and name not in lacking]
    known = data_versions(instance, (translator.get_asset_key(one.name) for one in built))
    for snapshot in built:
        key = translator.get_asset_key(snapshot.name)
        if known.get(key) != snapshot.version:
            tags = version_tags(instance, snapshot, plan.snapshots, translator)
            lineage = translator.lineage_of_events(snapshot.model, session.project)
            metadata = reused_result(plan, snapshot, key, lineage).metadata
            yield dg.AssetMaterialization(asset_key=key, metadata=metadata, tags=tags)


def _environments(
    instance: dg.DagsterInstance, session: RunSession, key: dg.AssetKey
) -> Iterator[dg.AssetMaterialization]:
    environments = session.project.environments()
    register_environments(instance, [one.name for one in environments])
    for one in environments:
        if _known_promotion(instance, key, one) != one.number:
            yield dg.AssetMaterialization(
                asset_key=key,
                partition=one.name,
                metadata={
                    keys.HISTORY: history_markdown(instance, session.project, key, one.name, run=None),
                    keys.ENVIRONMENT: one.name,
                    keys.PLAN_ID: one.plan_id,
                    keys.PROMOTION: one.number,
                    keys.GATEWAY: session.project.gateway,
                    keys.REUSED: True,
                },
                tags={"dagster/data_version": one.plan_id},
            )


def _known_promotion(instance: dg.DagsterInstance, key: dg.AssetKey, environment: Environment) -> object:
    """The number of the promotion Dagster was last told of; None for none."""
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(asset_key=key, asset_partitions=[environment.name]), limit=1
    ).records
    materialization = records[0].asset_materialization if records else None
    number = materialization.metadata.get(keys.PROMOTION) if materialization is not None else None
    return number.value if number is not None else None


def _ledgers(
    instance: dg.DagsterInstance, session: RunSession, translator: IsomeshTranslator
) -> Iterator[dg.AssetMaterialization]:
    ranged = [one for one in session.plan.snapshots.values() if has_ledger(one.model) and one.physical is not None]
    for snapshot in ranged:
        key = translator.get_asset_key(snapshot.name)
        told = unfilled(instance, snapshot.model, key, session.recorded(snapshot))
        yield from ledger_events(key, told)
