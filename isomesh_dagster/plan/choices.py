"""Categories chosen by people, and changes that are left to them.

A choice replaces what the rules say of a model's own edit. What its parents' changes mean for it is judged as ever: a
model whose edit is called non-breaking still passes on that rows it reads have changed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from difflib import get_close_matches
from types import MappingProxyType
from typing import TYPE_CHECKING

from isomesh_dagster.errors import GraphError, PlanError, UndecidedError
from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model.kinds import External, ModelKind, Seed
from isomesh_dagster.plan.automatic import AutoCategorize
from isomesh_dagster.plan.judgement import ALL, Judgement
from isomesh_dagster.plan.plan import ChangeType
from isomesh_dagster.snapshot.snapshot import Category

if TYPE_CHECKING:
    from isomesh_dagster.model.model import Model
    from isomesh_dagster.plan.diff import Diff

Choices = Mapping[str, Category]

CHOOSABLE = (Category.BREAKING, Category.NON_BREAKING, Category.FORWARD_ONLY)

BY_HAND = "chosen by hand"


def check_choices(choices: Choices, difference: Diff, names: Collection[str]) -> tuple[str, ...]:
    """What to warn of: choices for models that did not change. `names` are those of all models.

    Raises GraphError for an unknown model, PlanError for one that changed in a way nobody can choose about, or for a
    category that cannot be chosen.
    """
    warnings = []
    for name, category in sorted(choices.items()):
        if name not in names:
            near = get_close_matches(name, sorted(names), n=1)
            raise GraphError(f"no model named {name!r}", hint=f"did you mean {near[0]!r}?" if near else None)
        if category not in CHOOSABLE:
            raise PlanError(
                f"{category.value} cannot be chosen", model=name, hint="choose breaking, non-breaking or forward-only"
            )
        change = difference.changed.get(name)
        if change is None:
            warnings.append(f"{name} did not change: the category chosen for it has no effect")
        elif change not in (ChangeType.ADDED, ChangeType.DIRECT):
            told = "only its properties changed" if change is ChangeType.METADATA else "only what it reads changed"
            raise PlanError(
                f"its category cannot be chosen: {told}",
                model=name,
                hint="choose for models that are edited or new; the others follow them",
            )
    return tuple(warnings)


class Chooser:
    """What people say of edits: their `choices`, why (`reasons`, of those that were recorded earlier), and `automatic`,
    which edits are left to them (None: none are).
    """

    def __init__(
        self,
        choices: Choices,
        automatic: AutoCategorize | None,
        reasons: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._choices = choices
        self._reasons = reasons
        self._automatic = automatic
        self._undecided: dict[str, Judgement] = {}

    def chosen(self, name: str) -> Category | None:
        """The category somebody chose for the model."""
        return self._choices.get(name)

    def of_new(self, model: Model, judgement: Judgement) -> Judgement:
        """The judgement with the category somebody chose; as it is when nobody did.

        Breaking: any of its rows may differ. Non-breaking: none that readers have; columns that are new are still
        told, so that a reader with a star gets them.
        """
        category = self._choices.get(model.name)
        if category is None or category is Category.FORWARD_ONLY:  # what is new, or keeps its rows, has none to keep
            return judgement
        reason = self._reasons.get(model.name, BY_HAND)
        if category is Category.BREAKING:
            return Judgement(category=category, reason=reason, changed=ALL)
        return replace(judgement, category=category, reason=reason, changed=frozenset())

    def of_edit(self, model: Model, judgement: Judgement) -> Judgement:
        """As `of_new`, for a model that was edited: the edit is noted when it is left to people and nobody chose."""
        is_open = self._automatic is not None and _is_left_open(model.kind, judgement, self._automatic)
        if is_open and model.name not in self._choices:
            self._undecided[model.name] = judgement
        return self.of_new(model, judgement)

    def refuse_undecided(self) -> None:
        """Raises UndecidedError when edits that are left to people were met and none of them chose."""
        if not self._undecided:
            return
        told = "".join(f"\n    {name}: {one.reason}" for name, one in self._undecided.items())
        flags = " ".join(f"--categorize {name}=non-breaking" for name in self._undecided)
        raise UndecidedError(
            f"nobody chose a category for {len(self._undecided)} of the changes:{told}",
            reasons={name: (one.reason, one.category.value) for name, one in self._undecided.items()},
            hint=f"choose breaking or non-breaking for each: {flags}"
            " (plan.auto_categorize_changes in config.yaml says what is left to you)",
        )


def insisted(choices: Choices, graph: ModelGraph) -> set[str]:
    """Models that are built from just these files although a table of an earlier, other choice may be there: those
    called breaking, and their readers.
    """
    breaking = [name for name, category in choices.items() if category is Category.BREAKING]
    return {*breaking, *graph.descendants(breaking)}


def _is_left_open(kind: ModelKind, judgement: Judgement, automatic: AutoCategorize) -> bool:
    """With `off` every edit that touches rows is left to people, with `semi` those that the rules call breaking."""
    match kind:
        case Seed():
            mode = automatic.seed
        case External():
            mode = automatic.external
        case _:
            mode = automatic.sql
    if mode == "full" or judgement.category is Category.METADATA:
        return False
    return mode == "off" or judgement.category is Category.BREAKING
