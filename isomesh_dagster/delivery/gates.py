"""What is asked before a deploy goes on: what readers would lose, whose agreement is needed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from isomesh_dagster.model.git_config import GitConfig
from isomesh_dagster.plan.columns import ColumnCatalog
from isomesh_dagster.plan.plan import ChangeType, Plan
from isomesh_dagster.relation import Column
from isomesh_dagster.snapshot.snapshot import Snapshot

Columns = Callable[[str], "tuple[Column, ...] | None"]


def destructive_changes(plan: Plan, shown: Mapping[str, Snapshot], columns: Columns) -> tuple[str, ...]:
    """What readers of the environment lose by the plan, a sentence each: models, columns, types of columns.

    `shown` is what the environment shows, `columns` gives those of the plan's models. Columns that are told neither by
    the author nor by the query are not compared.
    """
    before = ColumnCatalog({name: snapshot.model for name, snapshot in shown.items()})
    told: list[str] = []
    for change in plan.changes:
        if change.change is ChangeType.REMOVED and change.model in shown and shown[change.model].is_physical:
            told.append(f"{change.model} goes away")
        elif change.change in (ChangeType.DIRECT, ChangeType.INDIRECT) and change.model in shown:
            told += _lost(change.model, before.of(change.model), columns(change.model))
    return tuple(told)


def _lost(model: str, before: Iterable[Column] | None, after: Iterable[Column] | None) -> list[str]:
    if before is None or after is None:
        return []
    now = {column.name.lower(): column for column in after}
    told = []
    for column in before:
        new = now.get(column.name.lower())
        if new is None:
            told.append(f"{model} loses column {column.name}")
        elif "UNKNOWN" not in (column.type, new.type) and column.type.lower() != new.type.lower():
            told.append(f"{model}.{column.name} changes from {column.type} to {new.type}")
    return told


def needs_approval(config: GitConfig, destructive: Sequence[str]) -> bool:
    """Whether somebody has to agree to a deploy first."""
    return config.approval == "always" or (config.approval == "destructive" and bool(destructive))


def merged(
    before: Mapping[str, str], after: Mapping[str, str], previews: Mapping[str, Mapping[str, str]]
) -> tuple[str, ...]:
    """The previews whose changes production shows now: each model that they showed differently from `before` is shown
    the same way `after`. All map models to versions, `previews` by environment.

    It goes by content, so it does not matter how a branch was merged: as it is, squashed or rebased.
    """
    found = []
    for environment, shown in sorted(previews.items()):
        changed = {name for name in {*before, *shown} if before.get(name) != shown.get(name)}
        if changed and all(after.get(name) == shown.get(name) for name in changed):
            found.append(environment)
    return tuple(found)
