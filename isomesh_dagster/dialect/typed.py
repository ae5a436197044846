"""A statement whose expressions know their types, so that it means the same in another dialect.

`a / b` drops the remainder of whole numbers in one dialect and keeps it in the next; a date plus an interval is a date
here and a timestamp there. The library writes the right one where it knows the types of the operands. They are found in
a copy with every column qualified, and carried over: the statement itself keeps the shape its author gave it.
"""

from __future__ import annotations

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types

from isomesh_dagster.dialect.qualified import Schema, qualified, with_known_names
from isomesh_dagster.dialect.summary import Opaque
from isomesh_dagster.dialect.tree import Tree

_PLACE = "place"  # in the meta of a node: its number in the statement


def give_types(statement: exp.Expr, dialect: str, schema: Schema) -> None:
    """Tell the expressions of `statement` (changed in place) their types, as far as they are known.

    `schema` has the columns of tables it reads, by normalised name, with types as `dialect` writes them. Where a column
    cannot be resolved, only types that the statement itself tells are.
    """
    nodes = list(statement.walk())
    for place, node in enumerate(nodes):
        node.meta[_PLACE] = place
    for node in _annotated(statement, dialect, schema).walk():
        if _PLACE not in node.meta:
            continue
        original = nodes[node.meta[_PLACE]]
        _tell(original, node)
        for key, child in node.args.items():  # also where another node stands in its place, as for an alias
            if isinstance(child, exp.Expr) and isinstance(own := original.args.get(key), exp.Expr):
                _tell(own, child)


def _annotated(statement: exp.Expr, dialect: str, schema: Schema) -> exp.Expr:
    tree = Tree(statement.copy(), dialect)
    try:
        if isinstance(statement, exp.Query):
            query, known = qualified(with_known_names(tree, schema), schema)
            return annotate_types(query, schema=known, dialect=tree.dialect)
    except (SqlglotError, Opaque, RecursionError):
        pass
    try:
        return annotate_types(statement.copy(), dialect=tree.dialect)
    except (SqlglotError, RecursionError):
        return statement


def _tell(node: exp.Expr, typed: exp.Expr) -> None:
    if node.type is None and typed.type is not None and not typed.is_type(exp.DType.UNKNOWN):
        node.type = typed.type.copy()
