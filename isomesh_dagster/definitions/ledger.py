"""The ledgers: an asset beside a time-range model whose partitions are its intervals.

A partition is filled when its interval is built, by whomever; materializing partitions, or a backfill of them, makes
those rows, and what is made of them, again in one run. Off unless `IsomeshTranslatorSettings.ledgers`.
"""

# no postponed annotations: Dagster reads those of ops and assets when it makes them
from collections.abc import Sequence
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.events import RETRIED, failures, plan_metadata
from isomesh_dagster.definitions.intervals import has_ledger, ledger_key, ledger_keys, ledger_partitions
from isomesh_dagster.definitions.session import RunSession
from isomesh_dagster.definitions.translator import IsomeshTranslator
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.missing import starts
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Failed, Skipped
from isomesh_dagster.snapshot.interval import Interval, to_ms


def ledger_assets(project: Project, translator: IsomeshTranslator, now: int) -> list[dg.AssetsDefinition]:
    """A ledger for each model that can have one. `now` is what relative starts count from, epoch milliseconds UTC."""
    begins = starts(project.graph, now)
    return [
        _ledger(model, project, translator, begins[name], now)
        for name in project.graph.order
        if has_ledger(model := project.models[name])
    ]


def _ledger(model: Model, project: Project, translator: IsomeshTranslator, start: int, now: int) -> dg.AssetsDefinition:
    key = translator.get_asset_key(model.name)

    @dg.asset(
        key=ledger_key(key),
        deps=[key],
        partitions_def=ledger_partitions(model, start, now),
        backfill_policy=dg.BackfillPolicy.single_run(),
        group_name="intervals",
        kinds={"isomesh", "ledger"},
        description=f"Which intervals of {model.name} are built. Materializing partitions makes their rows again, and"
        " those of the models that read them, in the environment of the launch.",
        required_resource_keys={keys.RESOURCE},
        metadata={keys.GATEWAY: project.gateway},
    )
    def ledger(context: dg.AssetExecutionContext) -> dg.MaterializeResult[Any]:
        session: RunSession = context.resources.isomesh.session
        window = context.partition_time_window
        span = Interval(to_ms(window.start), to_ms(window.end))
        with failures(RETRIED):
            plan = session.project.plan(session.environment, wish=Wish(restate=(model.name,), within=span))
            for event in session.project.apply(plan):
                match event:
                    case Failed():
                        context.log.error(str(event.error))
                    case Skipped():
                        context.log.warning(f"{event.model} is skipped: {event.because} failed")
        return dg.MaterializeResult(metadata=plan_metadata(plan))

    return ledger


def unfilled(instance: dg.DagsterInstance, model: Model, key: dg.AssetKey, recorded: Sequence[Interval]) -> list[str]:
    """The partitions whose intervals are built, and of which Dagster does not know it."""
    told = instance.get_materialized_partitions(ledger_key(key))
    return [partition for partition in ledger_keys(model, recorded) if partition not in told]
