"""What the step of one model does in a run: build it, or say that it is built; its audits and unit tests."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.checks import CheckResults, evaluation, known_results
from isomesh_dagster.definitions.events import built_result, reused_result
from isomesh_dagster.definitions.intervals import (
    CHECK,
    complete_result,
    has_intervals,
    ledger_events,
    ledger_keys,
    missing_metadata,
)
from isomesh_dagster.definitions.session import RunSession
from isomesh_dagster.definitions.unit_tests import checked_version, run_checks
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.unit_tests import UnitTest
from isomesh_dagster.records.events import Audited, Built, Evaluated, Failed, Waiting
from isomesh_dagster.records.log import logged
from isomesh_dagster.snapshot.snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelStep:
    """One model's step: its asset key, its unit tests by the names of their checks, the lineage its events tell,
    and whether the partitions of its ledger are told.
    """

    model: Model
    key: dg.AssetKey
    tests: Mapping[str, UnitTest]
    lineage: dg.TableColumnLineage | None
    tells_ledger: bool = False

    def run(self, context: dg.AssetExecutionContext, session: RunSession) -> Iterator[Any]:
        """Everything Dagster is told of it: check results, and the materialization unless only checks are wanted.

        Raises what building raises; a failed check that blocks raises too, after its result.
        """
        wanted = {check.name for check in context.selected_asset_check_keys}
        chosen = {name: test for name, test in self.tests.items() if name in wanted}
        if not context.selected_asset_keys:
            yield from run_checks(chosen, session.project, self.key, None)
            if wanted - chosen.keys() - {CHECK}:
                yield from _audit_shown(self.model, self.key, session, wanted)
            if CHECK in wanted:
                snapshot = session.snapshot(self.model.name)
                yield complete_result(self.model, self.key, session.missing(snapshot))
            return
        told = set()
        snapshot = session.snapshot(self.model.name)
        for result in run_checks(chosen, session.project, self.key, session.plan):
            told.add(result.check_name)
            yield result
        filled: list[str] = []
        for event in _materialize(snapshot, self.key, session, wanted - chosen.keys(), self.lineage):
            if isinstance(event, Built):
                filled += ledger_keys(self.model, event.intervals) if self.tells_ledger else ()
                continue
            if isinstance(event, dg.AssetCheckResult):
                told.add(event.check_name)
            yield event
        for partition in ledger_events(self.key, filled):
            context.log_event(partition)
        for known in known_results(context.instance, snapshot, self.key, self._subjects(snapshot, wanted - told)):
            if known.passed or known.severity == dg.AssetCheckSeverity.WARN:
                yield known
            else:
                # told, but it stops nothing: no query ran in this run
                context.log_event(evaluation(known, self.key))

    def _subjects(self, snapshot: Snapshot, names: Collection[str]) -> dict[str, str]:
        """What results of these checks are about: rows of a version, or the files' model and a test."""
        tested = snapshot.fingerprint.version
        return {
            name: checked_version(self.tests[name], tested) if name in self.tests else snapshot.version
            for name in names
        }


def _audit_shown(
    model: Model, key: dg.AssetKey, session: RunSession, wanted: set[str]
) -> Iterator[dg.AssetCheckResult]:
    """Results of the audits of what the run's environment shows of the model."""
    found = CheckResults(model, key, session.shown_version(model.name))
    found.add(list(session.project.audit(session.environment, models=[model.name])))
    for result in found.results(wanted):
        yield result._replace(
            metadata={**(result.metadata or {}), keys.ENVIRONMENT: dg.MetadataValue.text(session.environment)}
        )


def _materialize(
    snapshot: Snapshot,
    key: dg.AssetKey,
    session: RunSession,
    wanted: set[str],
    lineage: dg.TableColumnLineage | None,
) -> Iterator[Any]:
    """Build the model if the run's plan says so; results of its audits that ran; what was built, if anything was; the
    materialization.

    A failed blocking audit gives its result and no materialization: what it audited was rolled back.
    """
    model = snapshot.model
    found = CheckResults(model, key, snapshot.version)
    plan = session.plan
    step = session.build_of(model.name)
    built: Built | None = None
    batches: list[Audited] = []
    waiting: list[Waiting] = []
    if step is not None:
        session.check_parents(model.name)
        try:
            for event in logged(session.application().build(step), session.work):
                match event:
                    case Evaluated():
                        batches += event.audits
                    case Waiting():
                        waiting.append(event)
                    case Failed():
                        found.add([*batches, *event.audits])
                    case Built():
                        built = event
                        found.add(event.audits)
        except Exception:
            yield from found.results(wanted)
            raise
        session.built(model.name)
    elif (audit := session.audit_of(model.name)) is not None:
        session.check_parents(model.name)
        try:
            for event in logged(session.application().audit(audit), session.work):
                match event:
                    case Audited():
                        found.add((event,))
                    case Failed():
                        found.add(event.audits)
        except Exception:
            yield from found.results(wanted)
            raise
    yield from found.results(wanted)
    if built is not None:
        yield built
        result = built_result(built, plan, snapshot, key, lineage, waiting)
    else:
        result = reused_result(plan, snapshot, key, lineage, waiting)
    if has_intervals(model):
        missing = session.missing(snapshot, built.intervals if built is not None else ())
        if CHECK in wanted:
            yield complete_result(model, key, missing)
        result = result._replace(metadata={**(result.metadata or {}), **missing_metadata(model, missing)})
    yield result
