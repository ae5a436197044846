"""Columns of a table that stays while its definition changes: what differs, and what may be done about it. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

from isomesh_dagster.errors import PlanError
from isomesh_dagster.model.kinds import is_incremental
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.plan import Migrate
from isomesh_dagster.relation import Column, ColumnChange

Columns = Sequence[tuple[str, str]]
"""Name and type of each column, in order; the type is the engine's spelling, "UNKNOWN" where it is not known."""


def column_changes(current: Columns, wanted: Columns) -> tuple[ColumnChange, ...]:
    """What makes a table with the `current` columns one with the `wanted`: added ones in their order, then changed
    types, then dropped ones. Names ignore case; an unknown type stays what it is.
    """
    before = {name.lower(): (name, its_type) for name, its_type in current}
    after = {name.lower() for name, _ in wanted}
    added = [ColumnChange(name=name, type=kind, was=None) for name, kind in wanted if name.lower() not in before]
    changed = [
        ColumnChange(name=before[name.lower()][0], type=kind, was=before[name.lower()][1])
        for name, kind in wanted
        if name.lower() in before and kind != "UNKNOWN" and not _is_same(kind, before[name.lower()][1])
    ]
    dropped = [ColumnChange(name=name, type=None, was=kind) for key, (name, kind) in before.items() if key not in after]
    return (*added, *changed, *dropped)


def is_destructive(change: ColumnChange) -> bool:
    """Whether values may be lost: a column goes, or gets a type that does not hold all values of the old one."""
    if change.was is None:
        return False
    return change.type is None or not _is_wider(change.was, change.type)


def allowed_changes(step: Migrate, changes: Sequence[ColumnChange]) -> tuple[tuple[ColumnChange, ...], tuple[str, ...]]:
    """Those of the changes that are to be made, and warnings about them, by the model's properties.

    Raises PlanError naming all that must not be made. A table that is made whole every time has no values to lose: its
    columns just follow.
    """
    model = step.snapshot.model
    made: list[ColumnChange] = []
    refused: list[ColumnChange] = []
    warnings: list[str] = []
    for change in changes:
        match _rule(step, model, change):
            case "ERROR":
                refused.append(change)
            case "IGNORE":
                warnings.append(f"{model.name}: its table is left without {change}, which its properties ignore")
            case "WARN":
                warnings.append(f"{model.name}: {change} of {step.snapshot.physical}")
                made.append(change)
            case _:
                made.append(change)
    if refused:
        raise _refusal(step, refused)
    return tuple(made), tuple(warnings)


def inferred_changes(
    current: Columns, old: Sequence[Column] | None, new: Sequence[Column] | None
) -> tuple[ColumnChange, ...] | None:
    """What a change of the definition does to a table with the `current` columns, told from the texts alone; None when
    they do not tell the new columns.

    Inferred types are no engine's: a type counts as changed only when the texts of `old` and `new` differ in it.
    """
    if new is None:
        return None
    before = {column.name.lower(): column.type for column in old or ()}
    wanted = [
        (column.name, "UNKNOWN" if before.get(column.name.lower()) in (column.type, "UNKNOWN") else column.type)
        for column in new
    ]
    return column_changes(current, wanted)


def _rule(step: Migrate, model: Model, change: ColumnChange) -> str:
    if not is_incremental(model.kind):
        return "ALLOW"
    if is_destructive(change):
        return "ALLOW" if step.allows_destructive else model.on_destructive_change
    return "ALLOW" if step.allows_additive else model.on_additive_change


def _refusal(step: Migrate, refused: Sequence[ColumnChange]) -> PlanError:
    model = step.snapshot.model
    told = "; ".join(map(str, refused))
    hints = []
    if any(map(is_destructive, refused)):
        hints.append(f"--allow-destructive-model {model.name}, or on_destructive_change allow in the kind")
    if not all(map(is_destructive, refused)):
        hints.append(f"--allow-additive-model {model.name}, or on_additive_change allow in the kind")
    return PlanError(
        f"its forward-only change would alter {step.snapshot.physical}, which keeps its rows: {told}",
        model=model.name,
        path=model.path,
        line=model.line,
        hint=f"to allow it: {'; '.join(hints)}; or --categorize {model.name}=breaking for a new table",
    )


_LADDERS = (
    ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT"),
    ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT"),
    ("REAL", "DOUBLE"),
)
_SPELLINGS = {
    written: name
    for name, others in {
        "TINYINT": ("INT1",),
        "SMALLINT": ("INT2", "SHORT"),
        "INTEGER": ("INT", "INT4", "INT32", "SIGNED"),
        "BIGINT": ("INT8", "INT64", "LONG"),
        "HUGEINT": ("INT128",),
        "REAL": ("FLOAT", "FLOAT4"),
        "DOUBLE": ("FLOAT8", "DOUBLE PRECISION"),
        "VARCHAR": ("TEXT", "STRING", "CHARACTER VARYING"),
        "BOOLEAN": ("BOOL",),
        "DECIMAL": ("NUMERIC",),
        "TIMESTAMP": ("DATETIME", "TIMESTAMP WITHOUT TIME ZONE"),
        "TIMESTAMP WITH TIME ZONE": ("TIMESTAMPTZ",),
    }.items()
    for written in others
}
_WITH_SIZE = re.compile(r"([^(]+?)\s*\(([\d\s,]+)\)\s*\Z")


def _parts(text: str) -> tuple[str, tuple[int, ...]]:
    """A type's name in one spelling, and its sizes."""
    name = " ".join(text.upper().split())
    sizes: tuple[int, ...] = ()
    if found := _WITH_SIZE.match(name):
        name, sizes = found[1], tuple(int(size) for size in found[2].split(","))
    return _SPELLINGS.get(name, name), sizes


def _is_same(left: str, right: str) -> bool:
    return _parts(left) == _parts(right)


def _is_wider(old: str, new: str) -> bool:
    """Whether every value of the old type is one of the new."""
    (before, old_sizes), (after, new_sizes) = _parts(old), _parts(new)
    for ladder in _LADDERS:
        if before in ladder and after in ladder:
            return ladder.index(before) <= ladder.index(after)
    if before != after:
        return False
    if before == "VARCHAR":
        return not new_sizes or (bool(old_sizes) and old_sizes[0] <= new_sizes[0])
    if before == "DECIMAL" and len(old_sizes) == len(new_sizes) == 2:
        return new_sizes[1] >= old_sizes[1] and new_sizes[0] - new_sizes[1] >= old_sizes[0] - old_sizes[1]
    return old_sizes == new_sizes
