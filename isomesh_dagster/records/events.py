"""What happened, as values: the one stream that Dagster, the command line and the tests read."""

from __future__ import annotations

from dataclasses import dataclass

from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import SnapshotId


@dataclass(frozen=True, slots=True, kw_only=True)
class Audited:
    """An audit's query ran: `failing_rows` bad rows. `interval` None: the whole table."""

    model: str
    audit: str
    failing_rows: int
    blocking: bool
    interval: Interval | None = None

    @property
    def passed(self) -> bool:
        """Whether no bad row was found."""
        return self.failing_rows == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """One batch is written, audited and recorded (committed). `rows` None where the engine does not tell."""

    model: str
    snapshot: SnapshotId
    interval: Interval
    rows: int | None
    seconds: float
    audits: tuple[Audited, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A build step is done: all its batches are in. `columns` are name and type as the engine reports them.

    `repoint` tells that a physical view was only pointed at its parents' new tables.
    """

    model: str
    snapshot: SnapshotId
    physical: Relation
    intervals: tuple[Interval, ...]
    rows: int | None
    seconds: float
    columns: tuple[tuple[str, str], ...] = ()
    audits: tuple[Audited, ...] = ()
    repoint: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reused:
    """The snapshot was already built, by whomever; nothing ran."""

    model: str
    snapshot: SnapshotId
    physical: Relation


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A part of a build has to wait and is asked about again by the next run: `signal` does not call it ready, or
    `parent`, which the model reads, waits for the same moments. `units` is how many interval units `intervals` are.
    """

    model: str
    intervals: tuple[Interval, ...]
    units: int
    signal: str | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Not built because something upstream failed (`because` names it)."""

    model: str
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """A build failed; what the failing batch wrote was rolled back, earlier batches stay. `audits` ran in it."""

    model: str
    error: Exception
    audits: tuple[Audited, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """The environment shows the plan's target. `number` is the promotion's number in its history; `notes` are
    sentences about what could not come back.
    """

    environment: str
    plan_id: str
    number: int
    created: tuple[str, ...]
    dropped: tuple[str, ...]
    seconds: float
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """The janitor removed something: a relation, or an environment when `environment` is set."""

    name: str
    environment: str | None = None
    kept_because: str | None = None


Event = Audited | Evaluated | Built | Reused | Waiting | Skipped | Failed | Promoted | Dropped
