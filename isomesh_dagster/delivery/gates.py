"""What is asked before a deploy goes on: what readers would lose, whose agreement is needed. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from isomesh_dagster.config.git import GitConfig
from isomesh_dagster.relation import ColumnChange


def destructive_changes(gone: Iterable[str], columns: Mapping[str, Iterable[ColumnChange]]) -> tuple[str, ...]:
    """What readers of an environment lose, a sentence each: models that are `gone`, columns, types of columns.

    `columns` are how the columns of its views change, by model.
    """
    told = [f"{model} goes away" for model in sorted(gone)]
    for model, changes in columns.items():
        for column in changes:
            if column.type is None:
                told.append(f"{model} loses column {column.name}")
            elif column.was is not None:
                told.append(f"{model}.{column.name} changes from {column.was} to {column.type}")
    return tuple(told)


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
