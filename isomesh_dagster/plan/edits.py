"""What an edit of a model's own data parts means: its kind, properties, statements, seed, code or query.

When rows of existing columns might differ the answer is breaking.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from isomesh_dagster.dialect.canonical import canonical_tokens, digest
from isomesh_dagster.dialect.query import type_key
from isomesh_dagster.dialect.summary import Verdict, VerdictKind, categorize
from isomesh_dagster.errors import MacroError, UnsupportedError
from isomesh_dagster.macros.project import ProjectMacros
from isomesh_dagster.model.kinds import (
    External,
    Seed,
    View,
    is_incremental,
    keeps_history,
    kind_name,
    replaces_partitions,
)
from isomesh_dagster.model.mentioned import is_jinja
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.render import LOADING, Rendered, is_template, render
from isomesh_dagster.plan.judgement import Judgement, Schema, breaking
from isomesh_dagster.snapshot.fingerprint import changed_parameters, hidden_parts, python_parts
from isomesh_dagster.snapshot.snapshot import Category

# 2001-02-03 04:05, 2003-07-08 09:10 and 2005-11-12 13:14: no part of one is that of another or of the load-time ones
_OTHER_START, _OTHER_END, _OTHER_NOW = 981_173_106_789, 1_057_655_411_121, 1_131_801_255_161


def edit(old: Model, new: Model, old_schema: Schema, new_schema: Schema, macros: ProjectMacros) -> Judgement:
    """What the edit means for one batch of the model's rows."""
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
            return breaking(verdict.reason)
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
        return breaking(f"kind {kind_name(old.kind)} → {kind_name(new.kind)}")
    if isinstance(old.kind, Seed) and isinstance(new.kind, Seed):
        return breaking("csv_settings changed") if old.kind.csv_settings != new.kind.csv_settings else None
    changed = changed_parameters(old, new)
    return breaking(f"{_names(changed)} changed") if changed else None


def _seed_change(old: Model, new: Model, before: Seed, after: Seed) -> Judgement | None:
    """Files are compared column by column: where one column is as it was, there are as many rows as before."""
    if before.content_hash == after.content_hash and _types(old) == _types(new):
        return None
    table, shown = _seed_table(old, before), _seed_table(new, after)
    kept = [name for name in table if shown.get(name) == table[name]]
    if not kept:
        return breaking("the seed file's content changed")
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
        return breaking(f"interval_unit {old.interval_unit} → {new.interval_unit}")
    if _stored(old, "partitioned_by") != _stored(new, "partitioned_by") and replaces_partitions(new.kind):
        return breaking("partitioned_by changed, and whole partitions are replaced")
    if dict(old.session_properties) != dict(new.session_properties):
        return breaking("session_properties changed")
    if isinstance(new.kind, External | Seed) or old.columns == new.columns:
        return None
    return None if _types(old) == _types(new) else breaking("explicit columns changed")


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
            return breaking(f"{label}-statements changed")
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
        return breaking("SQL → Python" if old.python is None else "Python → SQL")
    if old.python.digest == new.python.digest:
        return breaking("variables that its Python code reads changed")
    where = "" if old.python.source != new.python.source else ", outside of its function"
    return breaking(f"its Python code changed{where}; what that means for rows cannot be told")


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


def _names(names: Iterable[str]) -> str:
    return ", ".join(names)
