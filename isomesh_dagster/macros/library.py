"""The macros of the model format: each takes a `Call` and gives the pieces of SQL that stand in its place.

No piece removes the macro from a list or removes its statement; several are several items of a list.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from isomesh_dagster.dialect.tokens import tokenize
from isomesh_dagster.macros.call import Call
from isomesh_dagster.macros.conditions import evaluate, is_true
from isomesh_dagster.macros.generated import date_spine, deduplicate, generate_surrogate_key, haversine_distance, pivot
from isomesh_dagster.macros.places import operand
from isomesh_dagster.macros.relations import resolve_template, star, union
from isomesh_dagster.macros.values import Fragment, string_content, to_sql

Function = Callable[[Call], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Macro:
    """A macro's function and its arguments: how many (`most` None: any number), the `names` they may also be given by,
    and the options, given by name or, where `most` is a number, by their position after those.
    """

    function: Function
    least: int = 0
    most: int | None = None
    names: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def arity(self) -> str:
        """The numbers of arguments it takes, in words."""
        if self.most is None:
            return f"at least {self.least}"
        most = self.most + len(self.options)
        return str(self.least) if self.least == most else f"{self.least} to {most}"


def _if(call: Call) -> list[str]:
    taken = 1 if call.condition(0) else 2
    for other in range(1, call.count):
        if other != taken:
            call.skip(other)
    return call.items(taken) if taken < call.count else []


def _var(call: Call) -> list[str]:
    name = call.word(0)
    default = call.items(1) if call.count > 1 else ["NULL"]
    try:
        return [to_sql(call.expander.scope.configured_value(name), call.dialect)]
    except KeyError:
        return default


def _blueprint_var(call: Call) -> list[str]:
    name = call.word(0)
    default = call.items(1) if call.count > 1 else ["NULL"]
    scope = call.expander.scope
    if name not in call.expander.blueprint:
        scope.note(name)
        return default
    return [to_sql(scope.given_value(name), call.dialect)]


def _each(call: Call) -> list[str]:
    function = call.required_function(call.count - 1, 1)
    items = call.collection(*range(call.count - 1))
    if not items:
        call.skip(call.count - 1)
    return [piece for item in items for piece in call.apply(function, item)]


def _filter(call: Call) -> list[str]:
    function = call.required_function(call.count - 1, 1)
    items = call.collection(*range(call.count - 1))
    return [item for item in items if is_true(", ".join(call.apply(function, item)), call.dialect)]


def _reduce(call: Call) -> list[str]:
    function = call.required_function(call.count - 1, 2)
    items = call.collection(*range(call.count - 1))
    if not items:
        raise call.error("@REDUCE has no items", "give at least one, or keep it from an empty list with @IF")
    result = items[0]
    for item in items[1:]:
        result = ", ".join(call.apply(function, result, item))
    return [result]


_CONNECTIVE = re.compile(r"\b(and|or|xor)\b", re.IGNORECASE)
_LOGICAL = frozenset({"AND", "OR", "NOT", "XOR"})


def _connected(word: str, nothing: str | None) -> Function:
    def function(call: Call) -> list[str]:
        pieces = [item for position in range(call.count) for item in call.items(position)]
        pieces = [piece for piece in pieces if piece.strip().upper() not in ("NULL", "")]
        if not pieces:
            if nothing is None:
                raise call.error(f"@{word} has no operands left", "give one that always applies, e.g. FALSE")
            return [nothing]
        text = f" {word} ".join(_in_parentheses(piece, call.dialect) for piece in pieces)
        alone = len(pieces) == 1 or _LOGICAL.isdisjoint(call.neighbours)
        return [text if alone else f"({text})"]

    return function


def _in_parentheses(condition: str, dialect: str) -> str:
    """The condition, in parentheses if AND or OR stands in it outside brackets."""
    if _CONNECTIVE.search(condition) is None:
        return condition
    source = tokenize(condition, dialect)
    k = 0
    while k < len(source.tokens):
        if source.tokens[k].text.upper() in ("AND", "OR", "XOR"):
            return f"({condition})"
        k = max(source.match.get(k, k), k) + 1
    return condition


def _eval(call: Call) -> list[str]:
    value = evaluate(call.text(0), call.dialect)
    if isinstance(value, (Fragment, str, list, int, float)) or value is None:
        return [to_sql(value, call.dialect)]
    return [to_sql(str(value), call.dialect)]


def _sql(call: Call) -> list[str]:
    text = call.text(0)
    content = string_content(text, call.dialect)
    return [text if content is None else call.expander.scope.template(content)]


def _def(call: Call) -> list[str]:
    name = call.word(0)
    function = call.function(1)
    call.expander.define(name, call.items(1) if function is None else function)
    return []


def _safe_sum(sign: str) -> Function:
    def function(call: Call) -> list[str]:
        operands = [operand(item, call.dialect) for position in range(call.count) for item in call.items(position)]
        nulls = " AND ".join(f"{one} IS NULL" for one in operands)
        total = f" {sign} ".join(f"COALESCE({one}, 0)" for one in operands)
        return [f"CASE WHEN {nulls} THEN NULL ELSE {total} END"]

    return function


def _safe_div(call: Call) -> list[str]:
    return [f"{operand(call.text(0), call.dialect)} / NULLIF({call.text(1)}, 0)"]


MACROS: dict[str, Macro] = {
    "and": Macro(function=_connected("AND", "TRUE")),
    "blueprint_var": Macro(function=_blueprint_var, least=1, most=2),
    "date_spine": Macro(function=date_spine, least=3, most=3, names=("datepart", "start_date", "end_date")),
    "deduplicate": Macro(function=deduplicate, least=3, most=3, names=("relation", "partition_by", "order_by")),
    "def": Macro(function=_def, least=2, most=2),
    "each": Macro(function=_each, least=2),
    "eval": Macro(function=_eval, least=1, most=1),
    "filter": Macro(function=_filter, least=2),
    "generate_surrogate_key": Macro(function=generate_surrogate_key, least=1, options=("hash_function",)),
    "haversine_distance": Macro(
        function=haversine_distance, least=4, most=5, names=("lat1", "lon1", "lat2", "lon2", "unit")
    ),
    "if": Macro(function=_if, least=2, most=3),
    "or": Macro(function=_connected("OR", None)),
    "pivot": Macro(
        function=pivot,
        least=2,
        most=2,
        names=("column", "values"),
        options=("alias", "agg", "cmp", "prefix", "suffix", "then_value", "else_value", "quote", "distinct"),
    ),
    "reduce": Macro(function=_reduce, least=2),
    "safe_add": Macro(function=_safe_sum("+"), least=1),
    "safe_div": Macro(function=_safe_div, least=2, most=2),
    "resolve_template": Macro(function=resolve_template, least=1, most=2, names=("template", "mode")),
    "safe_sub": Macro(function=_safe_sum("-"), least=1),
    "sql": Macro(function=_sql, least=1, most=2),
    "star": Macro(
        function=star,
        least=1,
        most=2,
        names=("relation", "alias"),
        options=("exclude", "prefix", "suffix", "quote_identifiers", "except_"),
    ),
    "union": Macro(function=union, least=2),
    "var": Macro(function=_var, least=1, most=2),
}
"""The macros by lower-case name."""

LISTING: frozenset[str] = frozenset({"each", "filter"})
"""Macros whose only item is an item, even if it looks like a list."""
