"""The answer to what a change means for rows, for one model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isomesh_dagster.relation import Column
from isomesh_dagster.snapshot.snapshot import Category

Schema = Mapping[str, Sequence[Column]]

ALL = frozenset({"*"})
"""Stands for "any column, and which rows there are"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """The answer for one model.

    category   what the change means; METADATA for one that changes no row
    changed    output columns whose rows may differ or that are gone; `ALL` when the row set may differ
    added      output columns that are new
    reordered  the columns come in another order: nothing to readers by name, something to readers with a star
    reason     a sentence for people
    """

    category: Category
    reason: str
    changed: frozenset[str] = frozenset()
    added: frozenset[str] = frozenset()
    reordered: bool = False


def breaking(reason: str) -> Judgement:
    """Any row may differ."""
    return Judgement(category=Category.BREAKING, reason=reason, changed=ALL)
