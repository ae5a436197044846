"""What a plan's builds have to wait for: intervals that a signal does not call ready, and what reads these.

An interval that waits is not built, not recorded, and asked about again by the next run. A model that reads it waits
for the same moments, in its own units. Where batches build on each other, or the table is made whole, all that comes
after the first moment that waits has to wait as well; and what is loaded already is never made again in part.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import PlanError
from isomesh_dagster.evaluation.texts import Surroundings
from isomesh_dagster.model import cron
from isomesh_dagster.model.kinds import depends_on_past, is_incremental
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.missing import batches
from isomesh_dagster.plan.plan import Build, Plan
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.events import Waiting
from isomesh_dagster.snapshot.environment import Environment
from isomesh_dagster.snapshot.interval import Interval, intersect, merge, subtract


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cause:
    """Why something waits: a signal of the model itself, or a model it reads."""

    signal: str | None = None
    parent: str | None = None


class Waits:
    """What waits among the builds of one plan, as far as it was asked. Safe to use from threads; parents first."""

    def __init__(self, plan: Plan, around: Surroundings) -> None:
        self._plan = plan
        self._around = around
        self._lock = threading.Lock()
        self._held: dict[str, tuple[Interval, ...]] = {}
        self._may_wait = {name for name, one in plan.snapshots.items() if one.model.signals}
        if self._may_wait:
            for name, one in plan.snapshots.items():  # parents before children
                if any(parent.name in self._may_wait for parent in one.parents):
                    self._may_wait.add(name)

    def concern(self, step: Build) -> bool:
        """Whether the step could have to wait; most need not ask."""
        return step.snapshot.name in self._may_wait

    def ask(
        self, session: Session, step: Build, todo: Sequence[Interval], loaded: Sequence[Interval]
    ) -> tuple[Build, tuple[Waiting, ...]]:
        """The step without what waits, and what that is. `todo` are the intervals still to be built, `loaded` those the
        table holds.
        """
        model = step.snapshot.model
        wanted = merge(todo)
        if not is_incremental(model.kind):
            wanted = subtract(wanted, loaded) or wanted
        pieces = units(model, wanted)
        causes = self._causes(session, step, pieces)
        ready = [piece for piece in pieces if piece not in causes]
        in_turn = not is_incremental(model.kind) or depends_on_past(model.kind)
        if causes and in_turn:
            first = min(causes)
            after = [piece for piece in ready if piece > first]
            causes.update(dict.fromkeys(after, causes[first]))
            ready = [piece for piece in ready if piece < first]
            if self._would_lose(step, ready, loaded):
                causes.update(dict.fromkeys(ready, causes[first]))
                ready = []
        with self._lock:
            self._held[model.name] = merge([*causes, *self._above(model.name)[0]])
        if not causes:
            return step, ()
        return _without(step, merge(ready)), _told(model.name, causes)

    def refuse_loss(self, session: Session, current: Environment | None) -> None:
        """Raises PlanError when what waits are rows that the environment shows now: the swap would take them away."""
        with self._lock:
            held = {name: intervals for name, intervals in self._held.items() if intervals}
        if current is None or not held:
            return
        promote = self._plan.promote
        shown = {name: view.physical for name, view in current.target.views.items() if name in held}
        after = {name: view.physical for name, view in promote.target.views.items()} if promote is not None else {}
        replaced = {name: physical for name, physical in shown.items() if after.get(name) not in (None, physical)}
        loaded = warehouse.loaded(session, replaced.values())
        lost = {
            name: units(self._plan.snapshots[name].model, intersect(held[name], warehouse.intervals(loaded[physical])))
            for name, physical in replaced.items()
            if physical in loaded
        }
        told = [f"{name}: {len(pieces)}" for name, pieces in sorted(lost.items()) if pieces]
        if told:
            raise PlanError(
                f"not promoted: {current.name!r} shows intervals that wait in the new tables ({', '.join(told)})",
                hint="apply again when the signals are ready; what is built is kept",
            )

    def _causes(self, session: Session, step: Build, pieces: Sequence[Interval]) -> dict[Interval, _Cause]:
        """The units that wait, and why."""
        model = step.snapshot.model
        causes: dict[Interval, _Cause] = {}
        held, parent = self._above(model.name)
        for piece in pieces if held else ():
            if intersect([piece], held):
                causes[piece] = _Cause(parent=parent)
        if model.signals:
            from isomesh_dagster.evaluation.signals import ready  # it loads the SQL library

            for call in model.signals:
                asked = [piece for piece in pieces if piece not in causes]
                fine = set(ready(session, step.snapshot, call, asked, self._around))
                causes.update((piece, _Cause(signal=call.name)) for piece in asked if piece not in fine)
        return causes

    def _above(self, name: str) -> tuple[tuple[Interval, ...], str | None]:
        """What of the models that this one reads waits, and the name of one that does."""
        found: list[Interval] = []
        told: str | None = None
        for parent in self._plan.snapshots[name].parents:
            if parent.name == name or parent.name not in self._may_wait:
                continue
            its = self._held.get(parent.name)
            held = its if its is not None else self._above(parent.name)[0]
            if held and told is None:
                told = parent.name
            found += held
        return merge(found), told

    def _would_lose(self, step: Build, ready: Sequence[Interval], loaded: Sequence[Interval]) -> bool:
        """Whether making the table from just what is ready would take away what it holds."""
        if not loaded or (is_incremental(step.snapshot.model.kind) and step.snapshot.name not in self._plan.restates):
            return False
        end = max((piece.end for piece in ready), default=None)
        return end is None or loaded[-1].end > end


def units(model: Model, intervals: Sequence[Interval]) -> list[Interval]:
    """The intervals cut at the starts of the model's units, in order."""
    found = []
    for interval in intervals:
        start = interval.start
        while start < interval.end:
            following = cron.unit_add(model.interval_unit, cron.unit_floor(model.interval_unit, start), 1)
            found.append(Interval(start, min(following, interval.end)))
            start = following
    return found


def _without(step: Build, ready: tuple[Interval, ...]) -> Build:
    """The step limited to what is ready."""
    model = step.snapshot.model
    if is_incremental(model.kind):
        return replace(step, intervals=ready, batches=batches(model, ready))
    whole = tuple(Interval(step.intervals[0].start, ready[-1].end) for _ in ready[-1:])
    return replace(step, intervals=whole, batches=whole)


def _told(name: str, causes: dict[Interval, _Cause]) -> tuple[Waiting, ...]:
    found: dict[_Cause, list[Interval]] = {}
    for piece in sorted(causes):
        found.setdefault(causes[piece], []).append(piece)
    return tuple(
        Waiting(model=name, signal=cause.signal, parent=cause.parent, intervals=merge(pieces), units=len(pieces))
        for cause, pieces in found.items()
    )
