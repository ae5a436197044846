"""Which tables a model's statements, its audits and its kind read, besides its query.

What a statement before or after the query or a `merge_filter` reads is a parent like what the query reads: rows may
depend on it. What an audit reads must be built before the model, and changes no row of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from isomesh_dagster.dialect.query import analyse, statement_facts
from isomesh_dagster.model.audits import BUILT_IN
from isomesh_dagster.model.kind_properties import without_moment
from isomesh_dagster.model.kinds import IncrementalByUniqueKey, ModelKind
from isomesh_dagster.model.model import AuditCall

_READS = re.compile(r"\b(?:from|join|using|table)\b", re.IGNORECASE)
_SELECT = re.compile(r"\bselect\b", re.IGNORECASE)


def statement_reads(statements: Iterable[str], dialect: str, default_catalog: str | None) -> set[str]:
    """The names that rendered statements read rows of; what one of them makes or writes itself is none."""
    found = [
        statement_facts(text, dialect, default_catalog=default_catalog) for text in statements if _READS.search(text)
    ]
    written = {name for facts in found for name in facts.writes}
    return {name for facts in found for name in facts.reads} - written


def kind_reads(kind: ModelKind, dialect: str, default_catalog: str | None) -> set[str]:
    """The names that a kind's own conditions read rows of, in subqueries."""
    if not isinstance(kind, IncrementalByUniqueKey) or (kind.merge_filter is None and kind.when_matched is None):
        return set()
    from isomesh_dagster.dialect.merge import AROUND_CLAUSES

    texts = [f"SELECT {kind.merge_filter}"] if kind.merge_filter is not None else []
    texts += [f"{AROUND_CLAUSES}{kind.when_matched}"] if kind.when_matched is not None else []
    return statement_reads(map(without_moment, texts), dialect, default_catalog) - {"_source"}


def audit_reads(query: str, dialect: str, default_catalog: str | None, this_model: str) -> set[str]:
    """The names a rendered audit reads besides `this_model`. Raises ModelError when it is no query."""
    return {*analyse(query, dialect, default_catalog=default_catalog).depends_on} - {this_model}


def may_read(call: AuditCall) -> bool:
    """Whether an audit may read another table than the one it audits: the built-in ones do by their arguments only."""
    known = BUILT_IN.get(call.name)
    return known is None or known.query != call.query or any(_SELECT.search(text) for text in call.arguments.values())
