"""What people decided about changes, kept with the files, so that another system does not ask again.

A record says: the edit that took a model from one state to another is breaking, or is not. Both states are told by
portable fingerprints (`snapshot.portable`), which are the same in every system, so a record holds wherever just this
edit is met, whichever way it was merged. It replaces what the rules would say of the edit and nothing else: audits and
checks look for themselves.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.diff import Diff
from isomesh_dagster.plan.plan import ChangeType
from isomesh_dagster.snapshot.portable import identities, portable
from isomesh_dagster.snapshot.snapshot import Category

DESTRUCTIVE, ADDITIVE = "destructive", "additive"
NEW = "new"
"""What a record has in the place of the state before, for a model that is new."""

_WORST = (Category.NON_BREAKING, Category.FORWARD_ONLY, Category.BREAKING)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedChoice:
    """One decision. `before` and `after` are portable fingerprints of the model (`before` may be `NEW`); `who`, `when`
    (UTC) and `comment` are for people. `path` is the file it is kept in, relative to the project. `allows` are the
    changes of a kept table's columns that were allowed with it, `DESTRUCTIVE` or `ADDITIVE`.
    """

    model: str
    before: str
    after: str
    category: Category
    allows: frozenset[str] = frozenset()
    who: str = ""
    when: datetime | None = None
    comment: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Honoured:
    """What the records say of the changes of a plan: categories by model with their reasons, which changes of columns
    are allowed by model, and what to warn of.
    """

    choices: Mapping[str, Category] = field(default_factory=dict)
    reasons: Mapping[str, str] = field(default_factory=dict)
    allows: Mapping[str, frozenset[str]] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def allowing(self, change: str) -> tuple[str, ...]:
        """The models whose tables may change so, `DESTRUCTIVE` or `ADDITIVE`."""
        return tuple(sorted(name for name, allowed in self.allows.items() if change in allowed))


def honour(
    records: Iterable[RecordedChoice], difference: Diff, shown: Mapping[str, Model], models: Mapping[str, Model]
) -> Honoured:
    """The records that match an edit between what is `shown` and the files' `models`, one edit or several in a row.

    Of several in a row the gravest category counts, and what all of them allow. A record for the same state before that
    leads elsewhere is told.
    """
    by_before: dict[str, list[RecordedChoice]] = defaultdict(list)
    for record in records:
        by_before[record.before].append(record)
    if not by_before:
        return Honoured()
    old_names, new_names = identities(shown.values()), identities(models.values())
    choices: dict[str, Category] = {}
    reasons: dict[str, str] = {}
    allows: dict[str, frozenset[str]] = {}
    warnings: list[str] = []
    for name, change in difference.changed.items():
        if change not in (ChangeType.DIRECT, ChangeType.ADDED):
            continue
        before = portable(shown[name], old_names) if change is ChangeType.DIRECT else NEW
        after = portable(models[name], new_names)
        way = _way(by_before, before, after)
        if way:
            choices[name] = max((record.category for record in way), key=_WORST.index)
            reasons[name] = "; ".join(_told(record) for record in way)
            allows[name] = frozenset.intersection(*(record.allows for record in way))
        elif change is ChangeType.DIRECT and by_before.get(before):
            others = ", ".join(sorted(record.path for record in by_before[before]))
            warnings.append(f"{name}: {others} decides about another edit of it and is ignored")
    return Honoured(choices=choices, reasons=reasons, allows=allows, warnings=tuple(warnings))


def to_record(
    choices: Mapping[str, Category],
    allows: Mapping[str, frozenset[str]],
    difference: Diff,
    shown: Mapping[str, Model],
    models: Mapping[str, Model],
    *,
    who: str,
    when: datetime,
    comment: str,
) -> tuple[RecordedChoice, ...]:
    """The records of choices that people made for models that are edited or new, `allows` what they allowed of them."""
    if not choices:
        return ()
    old_names, new_names = identities(shown.values()), identities(models.values())
    found = []
    for name, category in sorted(choices.items()):
        change = difference.changed.get(name)
        if change not in (ChangeType.DIRECT, ChangeType.ADDED):
            continue
        before = portable(shown[name], old_names) if change is ChangeType.DIRECT else NEW
        after = portable(models[name], new_names)
        record = RecordedChoice(
            model=name, before=before, after=after, category=category, who=who, when=when, comment=comment
        )
        found.append(replace(record, allows=allows.get(name, frozenset())))
    return tuple(found)


def stale(records: Sequence[RecordedChoice], models: Mapping[str, Model]) -> tuple[RecordedChoice, ...]:
    """Records that no edit can match any more: they do not lead to what the files say, at once or by way of others."""
    names = identities(models.values())
    useful: set[str] = {portable(model, names) for model in models.values()}
    size = -1
    while size != len(useful):
        size = len(useful)
        useful |= {record.before for record in records if record.after in useful and record.before != NEW}
    return tuple(record for record in records if record.after not in useful)


def _way(records: Mapping[str, Collection[RecordedChoice]], before: str, after: str) -> tuple[RecordedChoice, ...]:
    """The shortest row of records from one state to the other; empty when there is none."""
    reached: dict[str, tuple[RecordedChoice, ...]] = {before: ()}
    waiting = deque([before])
    while waiting:
        here = waiting.popleft()
        for record in sorted(records.get(here, ()), key=lambda one: one.path):
            if record.after not in reached:
                reached[record.after] = (*reached[here], record)
                waiting.append(record.after)
    return reached.get(after, ())


def _told(record: RecordedChoice) -> str:
    words = f"decided{f' by {record.who}' if record.who else ''}{f' on {record.when:%Y-%m-%d}' if record.when else ''}"
    words += "".join(f", {change} change of columns allowed" for change in sorted(record.allows))
    return f"{words}: {record.comment}" if record.comment else words
