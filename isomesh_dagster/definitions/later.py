"""What a plan computes again after its swap, told to Dagster as if each model's own step had built it.

It runs in the step of the environment asset, which comes last: a materialization for each model, and the results of its
checks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dagster as dg

from isomesh_dagster.definitions.checks import CheckResults, evaluation
from isomesh_dagster.definitions.events import built_result
from isomesh_dagster.definitions.session import RunSession
from isomesh_dagster.definitions.translator import IsomeshTranslator, check_names
from isomesh_dagster.records.events import Audited, Built, Evaluated, Failed
from isomesh_dagster.records.log import logged

if TYPE_CHECKING:
    from isomesh_dagster.project import Project


def compute_again(
    context: dg.AssetExecutionContext, session: RunSession, project: Project, translator: IsomeshTranslator
) -> None:
    """Run the builds of the plan that follow its swap. Raises what building raises, after the results of checks."""
    batches: list[Audited] = []
    for event in logged(session.application().later(), session.work):
        match event:
            case Evaluated():
                batches += event.audits
            case Failed():
                _tell_checks(context, session, translator, event.model, [*batches, *event.audits])
            case Built():
                snapshot = session.snapshot(event.model)
                key = translator.get_asset_key(event.model)
                lineage = translator.lineage_of_events(snapshot.model, project)
                told = built_result(event, session.plan, snapshot, key, lineage)
                context.log_event(
                    dg.AssetMaterialization(
                        asset_key=key, metadata=told.metadata, tags={"dagster/data_version": snapshot.version}
                    )
                )
                _tell_checks(context, session, translator, event.model, event.audits)
                batches = []


def _tell_checks(
    context: dg.AssetExecutionContext,
    session: RunSession,
    translator: IsomeshTranslator,
    name: str,
    audits: list[Audited] | tuple[Audited, ...],
) -> None:
    if not translator.settings.audits_as_checks:
        return
    snapshot, key = session.snapshot(name), translator.get_asset_key(name)
    found = CheckResults(snapshot.model, key, snapshot.version)
    found.add(audits)
    for result in found.results(check_names(snapshot.model)):
        context.log_event(evaluation(result, key))
