"""The decision, as a value: what differs, why, what will be built, what is reused, what will be shown.

A plan is made without a warehouse and run without a decision. It can be printed, compared, hashed, stored and refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from isomesh_dagster.plan.restatement import Restatement
from isomesh_dagster.plan.wish import NOTHING, Wish
from isomesh_dagster.relation import ColumnChange
from isomesh_dagster.snapshot.environment import Target
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Category, Snapshot, SnapshotId

NEW = "new in this environment"
"""The reason of a change that adds a model, unless somebody chose its category."""


class ChangeType(str, Enum):
    """How a model differs from the environment."""

    ADDED = "added"
    REMOVED = "removed"
    DIRECT = "direct"
    INDIRECT = "indirect"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference. `reason` is a sentence; `diff` a unified text diff of the definition (direct and metadata only).

    `columns` are the output columns that changed, when that is known. `category` is None for removed models.
    """

    model: str
    change: ChangeType
    category: Category | None
    reason: str
    diff: str = ""
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Every snapshot an environment will show, parents first, and the changes that led there.

    `repoints` are views that only follow their parents' tables, `choices` the categories people chose.
    """

    snapshots: Mapping[str, Snapshot]
    changes: tuple[Change, ...] = ()
    repoints: frozenset[str] = frozenset()
    choices: Mapping[str, Category] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Make the rows of a snapshot for `intervals` (FULL, VIEW and SEED: one interval that stands for "whole table").

    `batches` are the intervals cut as the kind asks: each is written, audited and recorded in one transaction, in
    order. `repoint` marks a physical view made again over its parents' new tables although its own definition did not
    change: no rows are computed. A `hollow` step computes none either: it makes the table without rows, and counts its
    intervals (skipped: none) as built. `later` marks rows that are computed again after a swap, which makes their
    intervals count as not built. `over` is the time for which what it reads is there, of a kind without intervals that
    is built over a part of that; None: all of it is there. `expected_seconds` is what it will take, by past builds of
    the model (`expected`); None: nothing is known.
    """

    snapshot: Snapshot
    intervals: tuple[Interval, ...]
    batches: tuple[Interval, ...]
    repoint: bool = False
    hollow: bool = False
    later: bool = False
    over: tuple[Interval, ...] | None = None
    expected_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DueAgain:
    """Intervals of a table that stands on rows which are made again: they no longer count as built, and the next plan
    or run of `environments`, which show the table (none: nobody does), builds them.
    """

    snapshot: Snapshot
    intervals: tuple[Interval, ...]
    environments: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """Run the audits of a snapshot over the rows it has; nothing is written. `interval` is what is loaded, for kinds
    that are built by intervals; None: the whole table.
    """

    snapshot: Snapshot
    interval: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrate:
    """Bring the columns of a table that stays up to the definition of `snapshot`, in the transaction of the swap.

    `changes` are what that takes, as far as the warehouse could be asked when the plan was made (None: it could not);
    they are found anew when the plan is applied. `allows_destructive` and `allows_additive` are what people allowed for
    this plan beyond the model's own properties.
    """

    snapshot: Snapshot
    changes: tuple[ColumnChange, ...] | None = None
    allows_destructive: bool = False
    allows_additive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Promote:
    """Make the environment show `target`, all views and the record at once.

    `create` and `drop` are what changes against the base: view name → physical table, and view names. `expires_at` is
    when the environment ends (None: never).
    """

    environment: str
    target: Target
    create: Mapping[str, str]
    drop: tuple[str, ...]
    expires_at: datetime | None = None
    suffix_target: str = "schema"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Everything one apply will do.

    id            digest of gateway, environment, base and all steps: the same decision has the same id
    based_on      plan id the environment showed when this was made; None for a new environment
    execution_time  the "now" of the plan, UTC
    snapshots     every snapshot of the target by model name, parents before children
    new_snapshots those that the state does not know yet
    builds        steps with work, parents before children
    reuses        physical snapshots of the target that need no work and were not already shown by the environment
    before_all, after_all   the configuration's statements, as written, that run first and last of all
    statement_diff          a unified text diff of these two against those of the environment compared with
    audits        tables whose audits run although they are not built; after all builds, before the swap
    promote       the swap; None when the environment already shows the target
    restates      names of models whose recorded intervals are made again (`run` of FULL models, restatement)
    due_again     what is taken back, once all builds are done, from tables that are not built here
    by_clock      whether it does what crons made due, so that there is nothing to agree to
    restatements  what the state shall know of automatic restatement before the builds, by physical relation: ticks that
                  are heeded, and all intervals that are pending
    migrations    tables whose columns change in the swap, parents before children
    later         builds after the swap, parents before children: forward-only changes from `effective_from` on
    wish          what was asked: with the moment, what it takes to make the same plan again
    """

    id: str
    gateway: str
    environment: str
    based_on: str | None
    execution_time: datetime
    changes: tuple[Change, ...]
    snapshots: Mapping[str, Snapshot]
    new_snapshots: frozenset[SnapshotId]
    builds: tuple[Build, ...]
    reuses: tuple[SnapshotId, ...]
    promote: Promote | None
    is_new_environment: bool = False
    compared_with: str | None = None
    restates: frozenset[str] = field(default_factory=frozenset)
    restatements: Mapping[str, Restatement] = field(default_factory=dict)
    audits: tuple[Audit, ...] = ()
    before_all: tuple[str, ...] = ()
    after_all: tuple[str, ...] = ()
    statement_diff: str = ""
    warnings: tuple[str, ...] = ()
    due_again: tuple[DueAgain, ...] = ()
    by_clock: bool = False
    migrations: tuple[Migrate, ...] = ()
    later: tuple[Build, ...] = ()
    wish: Wish = NOTHING

    @property
    def is_empty(self) -> bool:
        """Whether applying it would do nothing."""
        return not self.builds and not self.audits and self.promote is None
