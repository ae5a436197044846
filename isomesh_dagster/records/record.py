"""The state's share of what was built, written in bulk.

The warehouse's `loaded` is written with the rows and is the authority; the state's intervals follow within two seconds
or two hundred records, and at the latest before anything is promoted. What a crash keeps from being written, the next
`begin` adopts; what batches took, which goes along, is lost then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.plan.expected import Duration
from isomesh_dagster.records.reconcile import adopt_loaded
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.state.protocol import StateStore

_MOST_SECONDS = 2.0
_MOST_RECORDS = 200


class Recorder:
    """Buffers `StateStore.add_intervals`. Thread-safe."""

    def __init__(self, state: StateStore) -> None:
        self._state = state
        self._lock = threading.Lock()
        self._whole: dict[str, list[Interval]] = {}
        self._ranges: dict[str, list[Interval]] = {}
        self._took: dict[str, list[Duration]] = {}
        self._unsettled: set[str] = set()
        self._count = 0
        self._flushed_at = time.monotonic()

    def add(
        self, physical: str, intervals: Sequence[Interval], *, whole: bool, took: tuple[str, Duration] | None = None
    ) -> None:
        """Intervals that are now loaded. `whole`: they are all that is. `took`: the model, and what its batch took."""
        with self._lock:
            if took is not None:
                self._took.setdefault(took[0], []).append(took[1])
            if whole:
                self._whole[physical] = list(intervals)
            else:
                self._ranges.setdefault(physical, []).extend(intervals)
            self._count += 1
            if self._count >= _MOST_RECORDS or time.monotonic() - self._flushed_at >= _MOST_SECONDS:
                self._flush()

    def forget(self, physical: str) -> None:
        """All of the relation is about to be made again: the state forgets first, it never knows of more than is there.
        What is not made after all is adopted again.
        """
        with self._lock:
            self._flush()
            self._state.add_intervals({physical: ()}, replace=True)

    def flush(self) -> None:
        """Everything added so far is in the state afterwards."""
        with self._lock:
            self._flush()

    def settle(self, session: Session) -> None:
        """Everything added so far is in the state afterwards, if it still is in the warehouse: another process may have
        made the same rows anew, and recorded that, before this one came to record them.
        """
        with self._lock:
            self._flush()
            adopt_loaded(session, self._state, self._unsettled)
            self._unsettled = set()

    def _flush(self) -> None:
        self._unsettled |= self._whole.keys() | self._ranges.keys()
        if self._whole:
            self._state.add_intervals(self._whole, replace=True, took=self._took)
            self._whole, self._took = {}, {}
        if self._ranges:
            self._state.add_intervals(self._ranges, took=self._took)
            self._ranges, self._took = {}, {}
        self._count = 0
        self._flushed_at = time.monotonic()
