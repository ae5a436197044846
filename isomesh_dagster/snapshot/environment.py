"""An environment: a name and what it shows. The virtual layer of a system is the set of its environments' views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from isomesh_dagster.snapshot.snapshot import SnapshotId

PROD = "prod"


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """One view of an environment: `view` shows `physical` (both dotted, as `Relation.__str__`)."""

    view: str
    physical: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What an environment shows: a snapshot id per model, and a view per model that has rows; and the statements, as
    configured, that run before and after everything that is done to it.

    This is the value that promotion swaps as a whole and that the warehouse records beside the views.
    """

    snapshots: Mapping[str, SnapshotId] = field(default_factory=dict)
    views: Mapping[str, View] = field(default_factory=dict)
    before_all: tuple[str, ...] = ()
    after_all: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """An environment as recorded. `number` counts its promotions from 1; `plan_id` is the plan shown now.

    `expires_at` (UTC) None: never. `suffix_target` is where the environment's name goes ("schema", "table" or
    "catalog").
    """

    name: str
    plan_id: str
    number: int
    target: Target
    promoted_at: datetime
    expires_at: datetime | None = None
    suffix_target: str = "schema"

    def has_ended(self, now: datetime) -> bool:
        """Whether its time is over at `now` (UTC); it is there until the janitor comes."""
        return self.expires_at is not None and self.expires_at <= now


@dataclass(frozen=True, slots=True, kw_only=True)
class Promotion:
    """One entry of an environment's history, newest has the highest `number`; `reason` is "plan" or "rollback to N"."""

    environment: str
    number: int
    plan_id: str
    target: Target
    promoted_at: datetime
    reason: str = "plan"
