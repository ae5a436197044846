"""What audits found, as results of asset checks; and what is known of those that need not run again."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.translator import check_names
from isomesh_dagster.model.kinds import is_incremental
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.words import range_words
from isomesh_dagster.records.events import Audited
from isomesh_dagster.snapshot.interval import merge
from isomesh_dagster.snapshot.snapshot import Snapshot

try:
    from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
except ImportError:
    REMEMBERS = False
else:
    REMEMBERS = True


class CheckResults:
    """Adds up what a model's audits found, batch by batch, and tells Dagster once per audit.

    `version` is that of the snapshot whose rows they read.
    """

    def __init__(self, model: Model, key: dg.AssetKey, version: str | None) -> None:
        self._model = model
        self._version = version
        self._key = key
        self._names = check_names(model)
        self._found: dict[int, list[Audited]] = defaultdict(list)

    def add(self, audits: Iterable[Audited]) -> None:
        """Audits in the order they ran, whole batches: that order tells two uses of one audit apart."""
        positions: dict[str, list[int]] = defaultdict(list)
        for position, audit in enumerate(self._model.audits):
            positions[audit.name].append(position)
        turns: Counter[str] = Counter()
        for audited in audits:
            uses = positions.get(audited.audit)
            if uses:
                self._found[uses[turns[audited.audit] % len(uses)]].append(audited)
                turns[audited.audit] += 1

    def results(self, wanted: Iterable[str]) -> Iterator[dg.AssetCheckResult]:
        """One result for each audit that ran and whose check is among `wanted` names."""
        names = set(wanted)
        for position, ran in sorted(self._found.items()):
            name = self._names[position]
            if name not in names:
                continue
            audit = self._model.audits[position]
            failed = [audited for audited in ran if not audited.passed]
            metadata: dict[str, Any] = {"isomesh/failing_rows": sum(audited.failing_rows for audited in failed)}
            if self._version is not None:
                metadata[keys.CHECKED] = self._version
            intervals = merge(audited.interval for audited in failed if audited.interval is not None)
            if intervals and is_incremental(self._model.kind):
                metadata["isomesh/failing_intervals"] = range_words(intervals, self._model.interval_unit)
            yield dg.AssetCheckResult(
                asset_key=self._key,
                check_name=name,
                passed=not failed,
                severity=dg.AssetCheckSeverity.ERROR if audit.blocking else dg.AssetCheckSeverity.WARN,
                metadata=metadata,
            )


def evaluation(result: dg.AssetCheckResult, key: dg.AssetKey) -> dg.AssetCheckEvaluation:
    """The result as an event that an op logs by itself: it is stored and shown like any other, and stops nothing."""
    return dg.AssetCheckEvaluation(
        asset_key=key,
        check_name=result.check_name or "",
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata or {},
    )


def known_results(
    instance: dg.DagsterInstance, snapshot: Snapshot, key: dg.AssetKey, wanted: Mapping[str, str]
) -> Iterator[dg.AssetCheckResult]:
    """What is known of checks on rows that were built, and audited, before; no query runs. `wanted` says by the name of
    a check what its result must be about.

    That is the result Dagster remembers about just that; else, for audits that block, that they passed: there would be
    no such rows. Each says that it is reused. Nothing is said of a check that nobody knows about.
    """
    blocking = {
        name
        for name, audit in zip(check_names(snapshot.model), snapshot.model.audits, strict=True)
        if audit.blocking and snapshot.is_physical
    }
    for name, subject in sorted(wanted.items()):
        known = _remembered(instance, dg.AssetCheckKey(key, name))
        about = None if known is None else known.metadata.get(keys.CHECKED)
        is_of_these_rows = about is not None and about.value == subject
        # one that stopped a build is not about these rows: what it found was rolled back
        was_rolled_back = known is not None and not known.passed and keys.ENVIRONMENT not in known.metadata
        if known is not None and is_of_these_rows and not (name in blocking and was_rolled_back):
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=name,
                passed=known.passed,
                severity=known.severity,
                description=known.description,
                metadata={**known.metadata, keys.REUSED: True},
            )
        elif name in blocking:
            yield dg.AssetCheckResult(
                asset_key=key,
                check_name=name,
                passed=True,
                description="These rows passed it when they were built.",
                metadata={keys.CHECKED: subject, keys.REUSED: True},
            )


def _remembered(instance: dg.DagsterInstance, key: dg.AssetCheckKey) -> dg.AssetCheckEvaluation | None:
    """The newest result of a check that Dagster has."""
    if not REMEMBERS:
        return None
    ended = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    # the newest record of all is the one this run began: planned, and without a result
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=1, status=ended)
    event = records[0].event if records else None
    if event is None or event.dagster_event is None:
        return None
    data = event.dagster_event.event_specific_data
    return data if isinstance(data, dg.AssetCheckEvaluation) else None
