"""What a change means for rows: rules over two versions of a model and what is known of its parents.

When rows of existing columns might differ the answer is breaking; "non-breaking" is never a guess.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from isomesh_dagster.dialect.query import output_columns
from isomesh_dagster.dialect.summary import ALL as ALL_COLUMNS
from isomesh_dagster.dialect.summary import Opaque, Verdict, VerdictKind, compare, summarize, touched
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.model.kinds import (
    IncrementalByTimeRange,
    depends_on_past,
    is_keyed,
    keeps_history,
)
from isomesh_dagster.model.model import Model
from isomesh_dagster.plan.edits import edit
from isomesh_dagster.plan.forward_only import WITHOUT_HISTORY
from isomesh_dagster.plan.judgement import ALL, Judgement, Schema
from isomesh_dagster.snapshot.snapshot import Category


def judge_direct(
    old: Model, new: Model, old_schema: Schema, new_schema: Schema, macros: ProjectMacros = NO_MACROS
) -> Judgement:
    """What an edit of the model's own data parts means.

    Storage-only edits are non-breaking, what can change rows is breaking (departure 4), and the query is compared
    column by column.
    """
    judgement = edit(old, new, old_schema, new_schema, macros)
    return _as_kind_writes(judgement, _Sides(old, new, old_schema, new_schema), Category.BREAKING)


def judge_indirect(
    old: Model,
    new: Model,
    old_schema: Schema,
    new_schema: Schema,
    hits: Mapping[str, frozenset[str]],
    additions: Mapping[str, frozenset[str]],
) -> Judgement:
    """What changes of what it reads mean for a model whose own data parts did not change.

    `hits` are changed columns (or `ALL`) by parent, `additions` new columns by parent (none for one whose columns only
    come in another order); parents that changed in neither way are absent.
    """
    judgement = _reading(old, new, old_schema, new_schema, hits, additions)
    return _as_kind_writes(judgement, _Sides(old, new, old_schema, new_schema), Category.INDIRECT_BREAKING)


def _reading(
    old: Model,
    new: Model,
    old_schema: Schema,
    new_schema: Schema,
    hits: Mapping[str, frozenset[str]],
    additions: Mapping[str, frozenset[str]],
) -> Judgement:
    rows_hit = sorted(parent for parent, columns in hits.items() if columns == ALL)
    if rows_hit:
        return Judgement(
            category=Category.INDIRECT_BREAKING,
            reason=f"reads {_names(rows_hit)}, whose rows change",
            changed=ALL,
        )
    if new.python is not None and (hits or additions):
        return Judgement(
            category=Category.INDIRECT_BREAKING,
            reason=f"what its Python code reads of {_names(sorted({*hits, *additions}))} cannot be told",
            changed=ALL,
        )
    if new.has_star and (hits or additions):
        return _star_reader(old, new, old_schema, new_schema, hits)
    if hits:
        reading = _column_reader(new, new_schema, hits)
    else:
        told = (
            f"reads no changed column of {_names(sorted(additions))}" if additions else "what it reads keeps its rows"
        )
        reading = Judgement(category=Category.INDIRECT_NON_BREAKING, reason=told)
    is_compared = old.rendered != new.rendered  # with what it reads, when the edit of its text was judged
    if is_compared or reading.changed == ALL or not _may_mean_others(new, hits, additions):
        return reading
    verdict = categorize_schemas(old, new, old_schema, new_schema)
    if verdict.kind is VerdictKind.NONE or (verdict.kind is VerdictKind.COLUMNS and verdict.columns <= reading.changed):
        return reading
    return Judgement(
        category=Category.INDIRECT_BREAKING, reason=f"its names mean other columns: {verdict.reason}", changed=ALL
    )


def _may_mean_others(model: Model, hits: Mapping[str, frozenset[str]], additions: Mapping[str, frozenset[str]]) -> bool:
    """Whether a name in the query may mean something else now that parents have other columns: one without a table is
    a column before it is an alias, and one of the nearest query before one of those around it.
    """
    text = model.rendered.lower()
    names = frozenset().union(*hits.values(), *additions.values())
    return any(name.lower() in text for name in names)


@dataclass(frozen=True, slots=True)
class _Sides:
    """A model before and after, and what each reads."""

    old: Model
    new: Model
    old_schema: Schema
    new_schema: Schema


def _as_kind_writes(judgement: Judgement, sides: _Sides, breaking: Category) -> Judgement:
    """What a judgement about the query means for a table in which one batch's rows meet another's.

    There a changed column may decide which rows stay, and what is built anew has lost what only the old table knew. A
    changed time column moves rows between intervals, and what a model reads of itself are rows of every run before.
    """
    kind = sides.new.kind
    if judgement.category in (Category.METADATA, Category.INDIRECT_NON_BREAKING) or judgement.changed == ALL:
        return judgement
    if sides.new.reads_itself:
        return replace(judgement, category=breaking, changed=ALL, reason=f"{judgement.reason}; it reads itself")
    if isinstance(kind, IncrementalByTimeRange) and kind.time_column in judgement.changed:
        return replace(judgement, changed=ALL, reason=f"{judgement.reason}; {kind.time_column} says when rows are")
    if not depends_on_past(kind):
        return judgement
    reason = WITHOUT_HISTORY
    if judgement.category is Category.NON_BREAKING and not keeps_history(kind):
        if not is_keyed(kind) or not (judgement.added or judgement.reordered) or _chooses_alike(sides):
            return judgement
        reason = "of several rows with one key another may stay"
    elif not keeps_history(kind):
        reason = "they may decide which rows stay"
    return replace(judgement, category=breaking, changed=ALL, reason=f"{judgement.reason}; {reason}")


def _chooses_alike(sides: _Sides) -> bool:
    """Whether among rows with one key the same stays: the columns are as before, what is new is compared after them."""
    if sides.new.columns is not None:
        return True  # the declared columns are the table's, in their order
    before = output_columns(sides.old.rendered, sides.old.dialect, sides.old_schema)
    after = output_columns(sides.new.rendered, sides.new.dialect, sides.new_schema)
    if before is None or after is None:
        return False
    kept, added = after[: len(before)], after[len(before) :]
    names = [column.name for column in before]
    return names == [column.name for column in kept] and all(_is_no_time(column.type) for column in added)


def _is_no_time(column_type: str) -> bool:
    return column_type != "UNKNOWN" and not column_type.upper().startswith(("DATE", "TIME"))


def _column_reader(new: Model, schema: Schema, hits: Mapping[str, frozenset[str]]) -> Judgement:
    """Whether a reader without star uses one of the changed columns."""
    breaking = Judgement(category=Category.INDIRECT_BREAKING, reason=f"reads {_hits_text(hits)}", changed=ALL)
    if new.pre_statements or new.post_statements:
        return breaking
    try:
        summary = summarize(new.rendered, new.dialect, schema)
    except Opaque as reason:
        return replace(breaking, reason=f"what it reads of {_names(sorted(hits))} cannot be told: {reason}")
    in_rows, changed = touched(summary, hits)
    if in_rows:
        return replace(breaking, reason=f"its rows depend on {_pairs_text(in_rows)}")
    if not changed:
        return Judgement(
            category=Category.INDIRECT_NON_BREAKING,
            reason=f"reads none of the changed columns of {_names(sorted(hits))}",
        )
    reads = frozenset().union(*changed.values())
    return Judgement(
        category=Category.INDIRECT_BREAKING, reason=f"reads {_pairs_text(reads)}", changed=frozenset(changed)
    )


def _star_reader(
    old: Model, new: Model, old_schema: Schema, new_schema: Schema, hits: Mapping[str, frozenset[str]]
) -> Judgement:
    """A star shows the parents' new columns although the text did not change: compare both expansions."""
    verdict = categorize_schemas(old, new, old_schema, new_schema)
    match verdict.kind:
        case VerdictKind.NONE if verdict.reordered and not hits:
            return Judgement(
                category=Category.NON_BREAKING, reason="its star shows the columns in another order", reordered=True
            )
        case VerdictKind.NONE if not hits:
            return Judgement(category=Category.INDIRECT_NON_BREAKING, reason="its star shows the same columns")
        case VerdictKind.NONE:
            return _column_reader(new, new_schema, hits)
        case VerdictKind.ADDITIVE if not hits:
            return Judgement(
                category=Category.NON_BREAKING,
                reason=f"its star gains {_names(sorted(verdict.columns))}",
                added=verdict.columns,
            )
        case VerdictKind.ADDITIVE:
            reading = _column_reader(new, new_schema, hits)
            if reading.category is Category.INDIRECT_NON_BREAKING:
                reading = replace(reading, category=Category.NON_BREAKING)
            return replace(
                reading,
                added=verdict.columns,
                reason=f"{reading.reason}; its star gains {_names(sorted(verdict.columns))}",
            )
        case _:
            return Judgement(
                category=Category.INDIRECT_BREAKING, reason=f"its star changes: {verdict.reason}", changed=ALL
            )


def categorize_schemas(old: Model, new: Model, old_schema: Schema, new_schema: Schema) -> Verdict:
    """Compare the same query over the parents' old and new columns."""
    try:
        before = summarize(old.rendered, old.dialect, old_schema)
        after = summarize(new.rendered, new.dialect, new_schema)
    except Opaque as reason:
        return Verdict(kind=VerdictKind.BREAKING, columns=frozenset(), reason=str(reason))
    return compare(before, after)


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def _hits_text(hits: Mapping[str, frozenset[str]]) -> str:
    return _names(f"{parent}.{column}" for parent in sorted(hits) for column in sorted(hits[parent]))


def _pairs_text(pairs: Iterable[tuple[str, str]]) -> str:
    return _names(sorted(parent if column == ALL_COLUMNS else f"{parent}.{column}" for parent, column in pairs))
