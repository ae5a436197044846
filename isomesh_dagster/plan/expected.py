"""How long builds will take, judged by past ones of the same models. Pure; a guess that is told as one.

What is known of a model are its last batches: how many interval units each held, and the seconds it took. Batches of
about the same size tell most, as a part of what a batch costs does not depend on its size.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from isomesh_dagster.model.kinds import View, is_incremental
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.plan import Build, Plan
from isomesh_dagster.plan.words import units
from isomesh_dagster.snapshot.interval import Interval

KEPT = 20
"""Batches that are remembered of a model, the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Duration:
    """What a batch of `units` interval units (a whole table: 1) took, in seconds, until it was committed."""

    units: int
    seconds: float


def batch_units(model: Model, batch: Interval) -> int:
    """How many interval units a batch of the model holds; 1 of a table that is made whole."""
    return max(1, units(batch, model.interval_unit)) if is_incremental(model.kind) else 1


def expected_seconds(build: Build, past: Sequence[Duration]) -> float | None:
    """What the build will take; None when nothing is known. Steps that compute no rows take no time that counts."""
    if build.repoint or build.hollow:
        return 0.0
    if not past:
        kind = build.snapshot.model.kind
        return 0.0 if isinstance(kind, View) and not kind.materialized else None
    sizes = Counter(batch_units(build.snapshot.model, batch) for batch in build.batches)
    return sum(number * size * _per_unit(size, past) for size, number in sizes.items())


def _per_unit(size: int, past: Sequence[Duration]) -> float:
    """Seconds per unit of a batch of that many: the median of batches at most twice or half as large, or of all."""
    alike = [one for one in past if size <= 2 * one.units and one.units <= 2 * size] or past
    paces = sorted(one.seconds / one.units for one in alike)
    return paces[len(paces) // 2]


def with_expected(plan: Plan, past: Mapping[str, Sequence[Duration]]) -> Plan:
    """The plan, its builds with what they will take by these past batches of their models."""

    def timed(builds: tuple[Build, ...]) -> tuple[Build, ...]:
        return tuple(
            replace(build, expected_seconds=expected_seconds(build, past.get(build.snapshot.name, ())))
            for build in builds
        )

    return replace(plan, builds=timed(plan.builds), later=timed(plan.later))
