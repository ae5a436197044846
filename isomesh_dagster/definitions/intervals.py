"""Which intervals of a model are built and which are missing, as Dagster shows it: numbers, a check, a ledger.

A model's asset has no partitions (`__init__`): its intervals are in our state. The ledger is an asset beside it whose
partitions are those intervals, filled by whoever built them, and whose materialization builds them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import dagster as dg

from isomesh_dagster import dates
from isomesh_dagster.model import cron
from isomesh_dagster.model.kinds import IncrementalByTimeRange, is_incremental
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.words import range_words
from isomesh_dagster.snapshot.interval import Interval, from_ms

CHECK = "intervals_complete"
_MISSING = "isomesh/missing_intervals"

# the unit of a ledger's partitions, and how its keys are written; smaller units are told by the day
_LEDGERS = {
    "year": ("0 0 1 1 *", "%Y"),
    "month": ("0 0 1 * *", "%Y-%m"),
    "day": ("0 0 * * *", "%Y-%m-%d"),
    "hour": ("0 * * * *", "%Y-%m-%d-%H:%M"),
}
_COARSE = "day"

MOST_EVENTS = 500
"""Partitions of one model that one run tells of: each is a row in Dagster. The job `sync` tells the rest."""


def has_intervals(model: Model) -> bool:
    """Whether rows reach the model interval by interval."""
    return is_incremental(model.kind)


def missing_metadata(model: Model, missing: Sequence[Interval]) -> dict[str, Any]:
    """How many units are missing, which Dagster plots, and which."""
    units = sum(cron.unit_count(model.interval_unit, one.start, one.end) for one in missing)
    metadata: dict[str, Any] = {_MISSING: units}
    if missing:
        metadata["isomesh/missing"] = range_words(missing, model.interval_unit)
    return metadata


def complete_spec(key: dg.AssetKey) -> dg.AssetCheckSpec:
    """The check that nothing that is due is missing. It warns and stops nothing."""
    return dg.AssetCheckSpec(
        name=CHECK,
        asset=key,
        blocking=False,
        description="No interval that is complete by the model's cron is missing.",
    )


def complete_result(model: Model, key: dg.AssetKey, missing: Sequence[Interval]) -> dg.AssetCheckResult:
    """What the state says of it."""
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=CHECK,
        passed=not missing,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=missing_metadata(model, missing),
    )


# -- the ledger


def ledger_key(key: dg.AssetKey) -> dg.AssetKey:
    """The key of a model's ledger."""
    return dg.AssetKey([*key.path[:-1], f"{key.path[-1]}_intervals"])


def has_ledger(model: Model) -> bool:
    """Whether single intervals of the model can be built again: only a time range can be cut out."""
    return isinstance(model.kind, IncrementalByTimeRange)


def ledger_partitions(model: Model, start: int, now: int) -> dg.TimeWindowPartitionsDefinition:
    """A partition per interval of the model, from its `start` (epoch milliseconds UTC)."""
    unit = _ledger_unit(model)
    schedule, form = _LEDGERS[unit]
    end = None
    if model.end is not None:
        end = from_ms(cron.unit_floor(unit, dates.to_exclusive_end_ms(model.end, now_ms=now)))
    return dg.TimeWindowPartitionsDefinition(
        start=from_ms(cron.unit_floor(unit, start)), end=end, fmt=form, cron_schedule=schedule, timezone="UTC"
    )


def ledger_keys(model: Model, intervals: Iterable[Interval]) -> Iterator[str]:
    """The partitions of the ledger that the intervals fill entirely."""
    unit = _ledger_unit(model)
    form = _LEDGERS[unit][1]
    for interval in intervals:
        at = cron.unit_ceil(unit, interval.start)
        while (after := cron.unit_add(unit, at, 1)) <= interval.end:
            yield from_ms(at).strftime(form)
            at = after


def ledger_events(key: dg.AssetKey, partitions: Sequence[str]) -> Iterator[dg.AssetMaterialization]:
    """That these partitions are filled, the newest of them where they are too many."""
    for partition in partitions[-MOST_EVENTS:]:
        yield dg.AssetMaterialization(asset_key=ledger_key(key), partition=partition)


def _ledger_unit(model: Model) -> str:
    return model.interval_unit if model.interval_unit in _LEDGERS else _COARSE
