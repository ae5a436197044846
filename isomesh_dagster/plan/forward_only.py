"""Forward-only changes: which changes keep the table and the rows in it, and what shows them outside of prod.

In prod such a change keeps the version: the table's columns are brought up to the new definition when the views are
swapped, its rows stay, and what becomes due later is computed anew. Elsewhere it is shown by a preview, a table of its
own that holds a part of the rows and that no other environment uses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace

from isomesh_dagster.errors import PlanError
from isomesh_dagster.model.kinds import (
    Custom,
    Embedded,
    External,
    ScdType2,
    Seed,
    View,
    is_incremental,
    is_physical,
    kind_name,
)
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.judgement import Judgement
from isomesh_dagster.snapshot.snapshot import Category, Snapshot

WITHOUT_HISTORY = "another table begins without the history of this one"
"""Why a change is graver where a table holds what no query tells again; no matter to one that keeps the table."""

KEEPS_TABLE = "forward-only: the table and its rows stay"
"""What the reason of a forward-only change ends with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardOnly:
    """What decides over forward-only changes besides the models.

    everything  every change that can be is forward-only
    previews    the environment is not prod: such a change is shown in a table of its own
    altered     relations (dotted) whose rows come from more than one definition or are a part only: they are right for
                who shows them now, never for having been made from the same files
    production  what prod shows, where the environment is another
    """

    everything: bool = False
    previews: bool = False
    altered: frozenset[str] = frozenset()
    production: Mapping[str, Snapshot] | None = None

    def of_edit(self, old: Model, new: Model, judgement: Judgement, choice: Category | None) -> Judgement | None:
        """The judgement of an edited model as a forward-only one; None when it is none.

        `choice` is the category a person chose. Raises PlanError when that is forward-only and cannot be.
        """
        if judgement.category is Category.METADATA:
            return None
        cannot = _why_not(old, new)
        if choice is Category.FORWARD_ONLY and cannot is not None:
            raise PlanError(
                f"its change cannot be forward-only: {cannot}",
                model=new.name,
                path=new.path,
                line=new.line,
                hint=f"--categorize {new.name}=breaking, or leave the choice to the plan",
            )
        if choice is not None and choice is not Category.FORWARD_ONLY:
            return None
        is_asked = choice is not None or self.everything or new.is_forward_only
        return _kept(judgement) if is_asked and cannot is None else None

    def of_reader(
        self, old: Model, new: Model, judgement: Judgement, changed: Iterable[str], kept: Collection[str]
    ) -> Judgement | None:
        """The judgement of a model that reads `changed` models as a forward-only one; None when it is none.

        `kept` are the models whose own change is forward-only. A model that reads nothing else that changed keeps its
        rows as they keep theirs. One that is written interval by interval also does when it says so itself, or when
        every change does.
        """
        if judgement.category in (Category.METADATA, Category.INDIRECT_NON_BREAKING):
            return None
        if not set(changed).issubset(kept) and not (
            is_incremental(new.kind) and (self.everything or new.is_forward_only)
        ):
            return None
        if isinstance(new.kind, View | Embedded):  # they hold no rows: they show what their parents keep
            return replace(judgement, category=Category.FORWARD_ONLY)
        return _kept(judgement) if _why_not(old, new) is None else None

    def shown_by_production(self, snapshot: Snapshot) -> Snapshot | None:
        """What prod shows of the model, when that is made from the same files over the same tables."""
        found = (self.production or {}).get(snapshot.name)
        if found is None or found.is_preview or found.fingerprint.identity != snapshot.fingerprint.identity:
            return None
        return found if found.parents == snapshot.parents else None


NO_FORWARD_ONLY = ForwardOnly()


def migrates(snapshot: Snapshot) -> bool:
    """Whether the snapshot's change alters a table that stays."""
    return (
        snapshot.category is Category.FORWARD_ONLY
        and not snapshot.is_preview
        and is_physical(snapshot.model.kind)
        and not isinstance(snapshot.model.kind, View)
    )


def _kept(judgement: Judgement) -> Judgement:
    return replace(
        judgement,
        category=Category.FORWARD_ONLY,
        reason=f"{judgement.reason.removesuffix(f'; {WITHOUT_HISTORY}')}; {KEEPS_TABLE}",
    )


def _why_not(old: Model, new: Model) -> str | None:
    """Why a change of the model cannot keep its table; None when it can."""
    if isinstance(new.kind, Seed):
        return "a seed's rows are those of its file"
    if isinstance(new.kind, View | Embedded | External):
        return f"kind {kind_name(new.kind)} holds no rows"
    if type(old.kind) is type(new.kind):
        return None
    told = f"kind {kind_name(old.kind)} → {kind_name(new.kind)}"
    if not (is_incremental(old.kind) and is_incremental(new.kind)):
        return f"{told}: only kinds that are written interval by interval can take over each other's rows"
    if old.partitioned_by != new.partitioned_by:
        return f"{told}: partitioned_by differs, too"
    # their tables have columns of their own, or a layout that only their class knows
    return told if isinstance(old.kind, ScdType2 | Custom) or isinstance(new.kind, ScdType2 | Custom) else None
