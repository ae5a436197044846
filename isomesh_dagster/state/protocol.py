"""What the house asks of the state: which snapshots, intervals, environments, promotions and plans a system knows.

One store per gateway. Every method is one transaction. Moments are aware UTC datetimes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from types import MappingProxyType
from typing import Protocol

from isomesh_dagster.plan.expected import Duration
from isomesh_dagster.plan.restatement import Restatement
from isomesh_dagster.snapshot.environment import Environment, Promotion, Target
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Snapshot, SnapshotId


def utc_now() -> datetime:
    """The moment, aware."""
    return datetime.now(timezone.utc)


NO_DURATIONS: Mapping[str, Sequence[Duration]] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The stamp of a system: the same row in its state and in its warehouse."""

    uuid: str
    gateway: str
    project: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRecord:
    """An applied or interrupted plan. `status`: open, done or superseded. `document` is the plan as JSON for people
    (`plan.saved`); "" for a rollback.
    """

    id: str
    environment: str
    based_on: str | None
    status: str
    target: Target
    created_at: datetime
    document: str = ""
    expires_at: datetime | None = None
    suffix_target: str = "schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """What an environment shows, as of one moment: its snapshots by model, and the recorded intervals of their physical
    relations (dotted; nothing recorded: absent). A snapshot that the state has lost is absent. `restatements` is what
    is known of their automatic restatement, by physical relation.
    """

    environment: Environment
    snapshots: Mapping[str, Snapshot]
    recorded: Mapping[str, tuple[Interval, ...]]
    restatements: Mapping[str, Restatement]


@dataclass(frozen=True, slots=True, kw_only=True)
class GitRef:
    """What was last done about a ref that drives an environment.

    ref, environment   the full name of the ref; the environment that follows it
    commit             the commit that was looked at last
    status             shown, failed, refused, waiting (for somebody's approval), skipped
    shown              the commit whose files the environment shows; None: of none yet
    told               what people were told, one sentence
    document           the plan that waits (`plan.saved`); "" when none does
    """

    ref: str
    environment: str
    commit: str
    status: str
    changed_at: datetime
    shown: str | None = None
    told: str = ""
    document: str = ""


class StateStore(Protocol):
    """The state of one system. `place` tells people where it is, without secrets."""

    @property
    def place(self) -> str:
        """Where the state is."""
        ...

    def identity(self) -> Identity | None:
        """The stamp; None when the state is new."""
        ...

    def stamp(self, identity: Identity) -> Identity:
        """Stamp a new state; the stamp that is there afterwards (somebody else may have been first)."""
        ...

    def restamp(self, identity: Identity) -> None:
        """The stamp is this one, whatever it was: for somebody who has said that he knows what he does."""
        ...

    def remove(self, *, with_schema: bool) -> None:
        """End a state in which nothing is recorded any more: its tables go, and the file or (`with_schema`) the schema
        that held nothing else. The store is closed then. Raises StateError when something is recorded.
        """
        ...

    def environment(self, name: str) -> Environment | None:
        """The environment; None when there is none of this name."""
        ...

    def environments(self) -> list[Environment]:
        """All, by name."""
        ...

    def showing(self, environment: str) -> Showing | None:
        """What the environment shows and holds, read at once; None when there is none of this name."""
        ...

    def promotions(self, environment: str, *, newest: int | None = None) -> list[Promotion]:
        """Newest first; only so many of them."""
        ...

    def snapshots(self, ids: Iterable[SnapshotId]) -> dict[SnapshotId, Snapshot]:
        """Those of `ids` that are known."""
        ...

    def ever_shown(self, ids: Iterable[SnapshotId]) -> set[SnapshotId]:
        """Those of `ids` that an environment shows or showed, as long as its promotion is remembered."""
        ...

    def snapshots_like(self, identifiers: Iterable[tuple[str, str]]) -> list[Snapshot]:
        """All snapshots with one of these (name, identifier) pairs, whatever their version."""
        ...

    def physicals(self) -> set[str]:
        """The physical relations (dotted) that the snapshots own, those that the janitor is removing among them."""
        ...

    def forward_only_tables(self, names: Iterable[str]) -> set[str]:
        """Physical relations (dotted) of these models that a forward-only change was made to, or is shown in: their
        rows come from more than one definition, or are a part only.
        """
        ...

    def intervals(self, physicals: Iterable[str]) -> dict[str, tuple[Interval, ...]]:
        """Recorded intervals by physical relation (dotted), merged; nothing recorded: absent."""
        ...

    def due_again(self, physicals: Iterable[str]) -> dict[str, tuple[Interval, ...]]:
        """What was recorded for a physical relation (dotted) once and is not now, merged; nothing: absent."""
        ...

    def snapshots_named(self, names: Iterable[str] | None) -> list[Snapshot]:
        """All snapshots of these models (None: of all) that are not being removed, by id."""
        ...

    def open_plan(self, record: PlanRecord, snapshots: Sequence[Snapshot]) -> PlanRecord:
        """Record the intent and its new snapshots before anything is written; the record that is there afterwards.

        Idempotent by plan id; snapshots that are known stay as they are. Takes back what the janitor had marked of the
        target: its intervals are forgotten, so read them after this. A closed plan is opened again when the environment
        is at its base (again): it was rolled back, removed, or the plan was given up. Otherwise a closed plan is
        returned as it is, and nothing is recorded.
        """
        ...

    def open_plans(self, environment: str | None = None) -> list[PlanRecord]:
        """Plans with status open, oldest first."""
        ...

    def plans(self, environment: str | None = None, *, beginning: str = "") -> list[PlanRecord]:
        """All plans that are recorded, of one environment or of all, newest first; those whose id begins so."""
        ...

    def plan(self, plan_id: str) -> PlanRecord | None:
        """The plan, whatever its status; None when it was never opened, or is long closed and shown nowhere."""
        ...

    def add_intervals(
        self,
        added: Mapping[str, Sequence[Interval]],
        *,
        replace: bool = False,
        took: Mapping[str, Sequence[Duration]] = NO_DURATIONS,
    ) -> None:
        """Record intervals by physical relation. `replace`: they are all that is recorded for it afterwards, and what
        was recorded besides is due again. `took` is what batches took, by model; the latest of each are remembered.

        Raises StateError, recording nothing, when no snapshot with one of the relations is known, or the janitor is
        removing it: a record that outlived its rows would be taken for rows.
        """
        ...

    def durations(self, models: Iterable[str]) -> dict[str, list[Duration]]:
        """What the last batches of these models took, oldest first; nothing: absent."""
        ...

    def mark_restatements(self, marks: Mapping[str, Restatement]) -> None:
        """Add ticks that are heeded and intervals to be built again, by physical relation. Idempotent."""
        ...

    def settle_restatements(self, built: Mapping[str, Sequence[Interval]]) -> None:
        """These intervals were built again. Idempotent."""
        ...

    def finalize(
        self,
        *,
        environment: str,
        plan_id: str,
        based_on: str | None,
        number: int,
        target: Target,
        promoted_at: datetime,
        expires_at: datetime | None,
        suffix_target: str,
        reason: str = "plan",
    ) -> None:
        """The environment shows `target` as promotion `number`; its plan is done, its other open plans are superseded.

        Idempotent. Snapshots it no longer shows start their time to live at `promoted_at`. Raises ConflictingPlanError
        when the environment shows neither `based_on` nor `plan_id`, or has a promotion of that number already.
        """
        ...

    def close_plan(self, plan_id: str, status: str) -> None:
        """Set a plan's status: open, done or superseded. Raises StateError when the plan is not known."""
        ...

    def adopt(self, environment: Environment, *, reason: str, snapshots: Sequence[Snapshot] = ()) -> None:
        """The environment shows this, whatever was recorded of it: later promotions are forgotten, its plan is done,
        its open plans are superseded. Records those of `snapshots` that are not known. Idempotent.
        """
        ...

    def expire(self, environment: str, at: datetime | None) -> bool:
        """Set when the environment ends; whether it exists."""
        ...

    def remove_environment(self, environment: str) -> None:
        """Forget the environment and its promotions; its open plans are superseded. Nothing happens when it is not
        there.
        """
        ...

    def unreferenced(self, *, keep_promotions: int, older_than: datetime) -> list[Snapshot]:
        """What `mark_unreferenced` would return now; changes nothing."""
        ...

    def mark_unreferenced(self, *, keep_promotions: int, older_than: datetime) -> list[Snapshot]:
        """Janitor, first step: forget the intervals of, and mark as going, snapshots that no environment, no open plan
        and none of the last `keep_promotions` promotions of an environment needs and that were last needed before
        `older_than`.

        Returns every snapshot marked so now or by an interrupted janitor, by id. One whose physical relation a kept
        snapshot shares comes without it (`physical` None). History as old, which no rollback and no crash needs, is
        deleted too.
        """
        ...

    def going(self, ids: Iterable[SnapshotId]) -> set[SnapshotId]:
        """Those of `ids` that are marked and were not taken back meanwhile; to be asked while the warehouse is held."""
        ...

    def forget(self, ids: Iterable[SnapshotId]) -> None:
        """Janitor, last step: delete marked snapshots; one that was taken back meanwhile stays."""
        ...

    def git_refs(self) -> list[GitRef]:
        """What was last done about every ref that drives an environment, by name."""
        ...

    def record_git_ref(self, record: GitRef) -> None:
        """Record it instead of what was recorded of the ref."""
        ...

    def forget_git_ref(self, ref: str) -> None:
        """The ref is gone; nothing happens when nothing is recorded of it."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
