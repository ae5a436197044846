"""What the statements of a model's file are for: which is the query, which run before it, which after it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from isomesh_dagster.dialect.header import Definition, Statement
from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.kinds import Embedded, External, ModelKind, Seed

_QUERY_START = re.compile(r"(?:select|with|from|values|table|pivot|unpivot)\b|\(", re.IGNORECASE)
_QUERY_MACRO = re.compile(r"@(?:union|with|date_spine|deduplicate)\b", re.IGNORECASE)
_DEFINING_MACRO = re.compile(r"@def\b", re.IGNORECASE)
_INSERT_SEED = re.compile(r"@insert_seed\s*\(\s*\)\Z", re.IGNORECASE)
_COMMENT = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statements:
    """The statements before the query, the query (None for a seed or an external table), those after it, those of the
    virtual update.
    """

    pre: tuple[Statement, ...] = ()
    query: Statement | None = None
    post: tuple[Statement, ...] = ()
    virtual_update: tuple[Statement, ...] = ()


def sort_statements(definition: Definition, kind: ModelKind) -> Statements:
    """What each statement of a model's file is for. Raises ModelError at the line of one that may not be."""
    plain: list[Statement] = []
    virtual_update: list[Statement] = []
    for statement in definition.statements:
        (virtual_update if statement.kind == "virtual_update" else plain).append(statement)
    if isinstance(kind, Seed):
        at = next((k for k, statement in enumerate(plain) if _INSERT_SEED.match(_bare(statement.text))), len(plain))
        for statement in plain:
            if _QUERY_START.match(_bare(statement.text)):
                raise ModelError("a seed has no query", line=statement.line, hint="its rows come from its file")
        return Statements(pre=tuple(plain[:at]), post=tuple(plain[at + 1 :]), virtual_update=tuple(virtual_update))
    if isinstance(kind, External):
        return Statements()  # somebody else writes it: a query only says what it is like
    at = _query_index(plain)
    if isinstance(kind, Embedded):
        _refuse_statements([*plain[:at], *plain[at + 1 :], *virtual_update])
    return Statements(
        pre=tuple(plain[:at]),
        query=plain[at],
        post=tuple(plain[at + 1 :]),
        virtual_update=tuple(virtual_update),
    )


def _refuse_statements(statements: list[Statement]) -> None:
    for statement in statements:
        if not _DEFINING_MACRO.match(_bare(statement.text)):
            raise ModelError(
                "an EMBEDDED model runs no statements, only @DEF may stand beside its query",
                line=statement.line,
                hint="move the statement to a model that reads it",
            )


def _query_index(statements: list[Statement]) -> int:
    if not statements:
        raise ModelError("the model has no query", hint="write a SELECT after MODEL (…);")
    texts = [_bare(statement.text) for statement in statements]
    candidates = [
        k
        for k, its in enumerate(texts)
        if statements[k].kind == "jinja_query" or _QUERY_START.match(its) or _QUERY_MACRO.match(its)
    ]
    if not candidates:
        # any macro may return the query, if just one can
        candidates = [k for k, its in enumerate(texts) if its.startswith("@") and not _DEFINING_MACRO.match(its)]
    if len(candidates) > 1:
        raise ModelError(
            "a model has one query, this is the second",
            line=statements[candidates[1]].line,
            hint="combine them with UNION ALL, or give the second a file of its own",
        )
    if not candidates:
        if len(statements) == 1:
            return 0  # told what it is by the analysis
        raise ModelError(
            "none of the statements is a query", line=statements[0].line, hint="exactly one must be a SELECT"
        )
    return candidates[0]


def _bare(text: str) -> str:
    """The statement without the comments and spaces before its first word."""
    comment = _COMMENT.match(text)
    return (text[comment.end() :] if comment else text).rstrip()
