"""What a change means for rows: rules over two versions of a model and what is known of its parents.

When rows of existing columns might differ the answer is breaking; "non-breaking" is never a guess.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from isomesh_dagster.dialect.canonical import canonical_tokens, digest
from isomesh_dagster.dialect.query import output_columns, type_key
from isomesh_dagster.dialect.summary import ALL as ALL_COLUMNS
from isomesh_dagster.dialect.summary import Opaque, Verdict, VerdictKind, categorize, compare, summarize, touched
from isomesh_dagster.errors import MacroError, UnsupportedError
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.model.kinds import (
    External,
    IncrementalByTimeRange,
    Seed,
    View,
    depends_on_past,
    is_incremental,
    is_keyed,
    keeps_history,
    kind_name,
    replaces_partitions,
)
from isomesh_dagster.model.mentioned import is_jinja
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.render import LOADING, Rendered, is_template, render
from isomesh_dagster.plan.forward_only import WITHOUT_HISTORY
from isomesh_dagster.relation import Column
from isomesh_dagster.snapshot.fingerprint import changed_parameters, hidden_parts, python_parts
from isomesh_dagster.snapshot.snapshot import Category

Schema = Mapping[str, Sequence[Column]]

ALL = frozenset({"*"})
"""Stands for "any column, and which rows there are"."""

# 2001-02-03 04:05, 2003-07-08 09:10 and 2005-11-12 13:14: no part of one is that of another or of the load-time ones
_OTHER_START, _OTHER_END, _OTHER_NOW = 981_173_106_789, 1_057_655_411_121, 1_131_801_255_161


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


def judge_direct(
    old: Model, new: Model, old_schema: Schema, new_schema: Schema, macros: ProjectMacros = NO_MACROS
) -> Judgement:
    """What an edit of the model's own data parts means.

    Storage-only edits are non-breaking, what can change rows is breaking (departure 4), and the query is compared
    column by column.
    """
    judgement = _edit(old, new, old_schema, new_schema, macros)
    return _as_kind_writes(judgement, _Sides(old, new, old_schema, new_schema), Category.BREAKING)


def _edit(old: Model, new: Model, old_schema: Schema, new_schema: Schema, macros: ProjectMacros) -> Judgement:
    for judgement in (_kind_change(old, new), _row_properties(old, new), _statement_change(old, new, macros)):
        if judgement is not None:
            return judgement
    if isinstance(new.kind, External):
        return _external_change(old, new)
    if isinstance(old.kind, Seed) and isinstance(new.kind, Seed):
        seed = _seed_change(old, new, old.kind, new.kind)
        if seed is not None:
            return seed
    if python_parts(old) != python_parts(new):
        return _python_change(old, new)
    verdict = _query_verdict(old, new, old_schema, new_schema, macros)
    storage = _storage_change(old, new)
    match verdict.kind:
        case VerdictKind.BREAKING:
            return Judgement(category=Category.BREAKING, reason=verdict.reason, changed=ALL)
        case VerdictKind.COLUMNS:
            return Judgement(category=Category.BREAKING, reason=verdict.reason, changed=verdict.columns)
        case VerdictKind.ADDITIVE:
            return Judgement(category=Category.NON_BREAKING, reason=verdict.reason, added=verdict.columns)
        case _:
            if verdict.reordered:
                return Judgement(category=Category.NON_BREAKING, reason=verdict.reason, reordered=True)
            if storage is not None and keeps_history(new.kind) and _may_stay_as_stored(old, new):
                return Judgement(category=Category.METADATA, reason=f"{storage}; the table keeps its rows as they are")
            if storage is not None:
                return Judgement(category=Category.NON_BREAKING, reason=storage)
            return Judgement(category=Category.METADATA, reason=verdict.reason or "same rows")


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


def _query_verdict(old: Model, new: Model, old_schema: Schema, new_schema: Schema, macros: ProjectMacros) -> Verdict:
    if not old.rendered and not new.rendered:
        return Verdict(kind=VerdictKind.NONE, columns=frozenset(), reason="")
    if old.dialect != new.dialect:
        return Verdict(kind=VerdictKind.BREAKING, columns=frozenset(), reason=f"dialect {old.dialect} → {new.dialect}")
    verdict = categorize(old.rendered, new.rendered, new.dialect, old_schema, new_schema)
    if old.is_dynamic or new.is_dynamic:
        if hidden_parts(old) != hidden_parts(new):
            names = sorted({name for name, _ in {*map(tuple, hidden_parts(old))} ^ {*map(tuple, hidden_parts(new))}})
            return _unlike(f"{_names(names)} decides by the moment, and changed")
        if old.macros != new.macros:
            if _as_written(old) == _as_written(new):
                return verdict  # what the macros give does not depend on the moment
            return _unlike("text and macros changed together")
        # equal at the load-time placeholders must also be equal at another moment
        try:
            before, after = _at_other_moment(old, macros), _at_other_moment(new, macros)
        except UnsupportedError:
            return _unlike("a macro asks the warehouse what to write")
        if _decisions(old, before) != _decisions(new, after):
            return _unlike("a call that decides by the moment changed")
        other = categorize(before.query, after.query, new.dialect, old_schema, new_schema)
        verdict = max(verdict, other, key=lambda one: _SEVERITY[one.kind])
    return verdict


def _unlike(reason: str) -> Verdict:
    return Verdict(kind=VerdictKind.BREAKING, columns=frozenset(), reason=reason)


def _as_written(model: Model) -> tuple[str, ...]:
    """The query and what is defined before it."""
    return (*(text for text in model.pre_statements if text.lstrip()[:4].upper() == "@DEF"), model.query)


def _decisions(model: Model, rendered: Rendered) -> list[str]:
    """What of the query decides by the moment which text it is: at two moments that need not be seen."""
    if is_jinja(model.query):
        return [model.query] if _DECIDES.search(model.query) else []
    texts = (*rendered.decisions, *(_as_written(model)[:-1] if rendered.decisions else ()))
    return sorted(canonical_tokens(text, model.dialect) for text in texts)


_DECIDES = re.compile(r"\{%|\{\{[^}]*(?:\bif\b|\()")


def _at_other_moment(model: Model, macros: ProjectMacros) -> Rendered:
    context = replace(LOADING, macros=macros)
    if context.start is not None:
        context = replace(context, start=_OTHER_START, end=_OTHER_END)
    return render(model, replace(context, execution_time=_OTHER_NOW, stage="evaluating"))


_SEVERITY = {VerdictKind.NONE: 0, VerdictKind.ADDITIVE: 1, VerdictKind.COLUMNS: 2, VerdictKind.BREAKING: 3}


def _kind_change(old: Model, new: Model) -> Judgement | None:
    if type(old.kind) is not type(new.kind):
        return _breaking(f"kind {kind_name(old.kind)} → {kind_name(new.kind)}")
    if isinstance(old.kind, Seed) and isinstance(new.kind, Seed):
        return _breaking("csv_settings changed") if old.kind.csv_settings != new.kind.csv_settings else None
    changed = changed_parameters(old, new)
    return _breaking(f"{_names(changed)} changed") if changed else None


def _seed_change(old: Model, new: Model, before: Seed, after: Seed) -> Judgement | None:
    """Files are compared column by column: where one column is as it was, there are as many rows as before."""
    if before.content_hash == after.content_hash and _types(old) == _types(new):
        return None
    table, shown = _seed_table(old, before), _seed_table(new, after)
    kept = [name for name in table if shown.get(name) == table[name]]
    if not kept:
        return _breaking("the seed file's content changed")
    changed = frozenset(name for name in table if name not in kept)
    added = frozenset(shown.keys() - table.keys())
    if changed:
        return Judgement(
            category=Category.BREAKING,
            reason=f"the seed's {_names(sorted(changed))} changed",
            changed=changed,
            added=added,
        )
    if added:
        return Judgement(
            category=Category.NON_BREAKING, reason=f"the seed's file adds {_names(sorted(added))}", added=added
        )
    is_reordered = list(table) != list(shown)
    return Judgement(
        category=Category.NON_BREAKING,
        reason="the seed's columns come in another order" if is_reordered else "the seed's rows are the same",
        reordered=is_reordered,
    )


def _seed_table(model: Model, kind: Seed) -> dict[str, tuple[str, str]]:
    """The columns of a seed's table: their types, "" where values tell them, and their values; unknown ones are out."""
    if model.columns is None:
        return {name: ("", values) for name, values in kind.column_hashes.items()}
    return {
        column.name: (type_key(column.type, model.dialect), kind.column_hashes[column.name])
        for column in model.columns
        if column.name in kind.column_hashes
    }


def _row_properties(old: Model, new: Model) -> Judgement | None:
    if old.interval_unit != new.interval_unit and is_incremental(new.kind):
        return _breaking(f"interval_unit {old.interval_unit} → {new.interval_unit}")
    if _stored(old, "partitioned_by") != _stored(new, "partitioned_by") and replaces_partitions(new.kind):
        return _breaking("partitioned_by changed, and whole partitions are replaced")
    if dict(old.session_properties) != dict(new.session_properties):
        return _breaking("session_properties changed")
    if isinstance(new.kind, External | Seed) or old.columns == new.columns:
        return None
    return None if _types(old) == _types(new) else _breaking("explicit columns changed")


def _types(model: Model) -> list[tuple[str, str]]:
    return [(column.name, type_key(column.type, model.dialect)) for column in model.columns or ()]


def _statement_change(old: Model, new: Model, macros: ProjectMacros) -> Judgement | None:
    for label, before, after in (
        ("pre", old.pre_statements, new.pre_statements),
        ("post", old.post_statements, new.post_statements),
    ):
        if before == after and not any(is_template(text) for text in before):
            continue
        try:
            is_same = _rendered_statements(old, label, macros) == _rendered_statements(new, label, macros)
        except MacroError:
            is_same = False  # with the macros of today nobody can tell what the old ones gave
        if not is_same:
            return _breaking(f"{label}-statements changed")
    return None


def _rendered_statements(model: Model, which: str, macros: ProjectMacros) -> list[str]:
    """The statements at load and, as written, those that vary."""
    rendered = render(replace(model, query=""), replace(LOADING, macros=macros))
    given = [text for text in (rendered.pre if which == "pre" else rendered.post) if text not in rendered.quiet]
    written = model.pre_statements if which == "pre" else model.post_statements
    varying = [text for text in written if text in rendered.varying]
    return [
        *(canonical_tokens(text, model.dialect) for text in given),
        *(text if is_jinja(text) else canonical_tokens(text, model.dialect) for text in varying),
    ]


def _python_change(old: Model, new: Model) -> Judgement:
    """Two versions of code cannot be compared: nobody can tell which rows they make."""
    if old.python is None or new.python is None:
        return _breaking("SQL → Python" if old.python is None else "Python → SQL")
    if old.python.digest == new.python.digest:
        return _breaking("variables that its Python code reads changed")
    where = "" if old.python.source != new.python.source else ", outside of its function"
    return _breaking(f"its Python code changed{where}; what that means for rows cannot be told")


def _external_change(old: Model, new: Model) -> Judgement:
    before, after = dict(_types(old)), dict(_types(new))
    lost = {name for name, its_type in before.items() if after.get(name) != its_type}
    added = frozenset(after.keys() - before.keys())
    if lost:
        return Judgement(
            category=Category.BREAKING,
            reason=f"columns changed or gone: {_names(sorted(lost))}",
            changed=frozenset(lost),
            added=added,
        )
    return Judgement(
        category=Category.NON_BREAKING,
        reason=f"adds {_names(sorted(added))}" if added else "declaration changed",
        added=added,
    )


_STORAGE = (
    "partitioned_by",
    "clustered_by",
    "physical_properties",
    "table_format",
    "storage_format",
    "physical_schema",
    "stamp",
    "interval_unit",
)


def _storage_change(old: Model, new: Model) -> str | None:
    changed = [name for name in _STORAGE if _stored(old, name) != _stored(new, name)]
    if isinstance(old.kind, View) and old.kind != new.kind:
        changed.insert(0, "materialized")
    return f"storage only: {_names(changed)}" if changed else None


def _stored(model: Model, name: str) -> object:
    """A property of storage; of its expressions, the words."""
    value = getattr(model, name)
    return [digest(text, model.dialect) for text in value] if isinstance(value, tuple) else value


def _may_stay_as_stored(old: Model, new: Model) -> bool:
    """Whether the old table may go on to be used: it has the name and the intervals of the new one."""
    return (old.physical_schema, old.stamp, old.interval_unit) == (new.physical_schema, new.stamp, new.interval_unit)


def _breaking(reason: str) -> Judgement:
    return Judgement(category=Category.BREAKING, reason=reason, changed=ALL)


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)


def _hits_text(hits: Mapping[str, frozenset[str]]) -> str:
    return _names(f"{parent}.{column}" for parent in sorted(hits) for column in sorted(hits[parent]))


def _pairs_text(pairs: Iterable[tuple[str, str]]) -> str:
    return _names(sorted(parent if column == ALL_COLUMNS else f"{parent}.{column}" for parent, column in pairs))
