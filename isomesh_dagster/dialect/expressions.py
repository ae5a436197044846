"""Fingerprints of expressions: a name stands for what defines it in a scope, so that aliases leave no trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlglot import exp

from isomesh_dagster.dialect.rowcount import depends_on_rows
from isomesh_dagster.dialect.scope import Computed, Scope
from isomesh_dagster.dialect.scope import fingerprint as _hash
from isomesh_dagster.dialect.summary import Opaque, Reads, Summary

Gathered = set[tuple[str, str]]
"""Columns that were read, by table; what walks over a query adds to it."""


class Expressions:
    """What expressions come to. What a query inside of one comes to, `value`, is for a walk over queries to say."""

    def value(self, query: exp.Expr, scope: Scope) -> Summary:
        """The summary of a query inside an expression."""
        raise Opaque(f"{type(query).__name__.upper()} inside an expression")

    def expression(self, node: exp.Expr, scope: Scope | None, reads: Gathered, skip: Sequence[str] = ()) -> str:
        """The fingerprint of an expression, its reads added to `reads`. Without a scope names are just names."""
        if scope is not None:
            if isinstance(node, exp.Column):
                return self._column(node, scope, reads)
            if isinstance(node, exp.Query):
                summary = self.value(node, scope)
                reads |= summary.reads
                return _hash("query", summary.rows, *(column.fingerprint for column in summary.columns.values()))
            if isinstance(node, exp.TableColumn):
                return _gather(scope.row(node.name), reads)
            if isinstance(node, exp.Star) and not isinstance(node.parent, exp.Count):
                raise Opaque("a star inside an expression")
            if isinstance(node, exp.Window) and node.alias in scope.windows:
                named = self.expression(scope.windows[node.alias], scope, reads, skip=("this",))
                return _hash("window", scope.level, named, self._arguments(node, scope, reads, (*skip, "alias")))
        if isinstance(node, exp.Columns):
            raise Opaque("COLUMNS(…)")
        if isinstance(node, exp.Paren):
            return self.expression(node.this, scope, reads)
        if isinstance(node, exp.Literal):
            return f"{'s' if node.is_string else 'n'}{node.this!r}"
        if isinstance(node, exp.Identifier):
            return f"i{node.this!r}"
        if isinstance(node, (exp.And, exp.Or)):
            operands = sorted({self.expression(operand, scope, reads) for operand in _flat(node, type(node))})
            return operands[0] if len(operands) == 1 else _hash(type(node).__name__, *operands)
        text = self._arguments(node, scope, reads, skip)
        return _hash(scope.level, text) if scope is not None and depends_on_rows(node) else text

    def _arguments(self, node: exp.Expr, scope: Scope | None, reads: Gathered, skip: Sequence[str] = ()) -> str:
        parts = [
            f"{key}={self._any(value, scope, reads)}"
            for key, value in node.args.items()
            if value is not None and value is not False and value != [] and key not in skip
        ]
        text = f"{type(node).__name__}({','.join(parts)})"
        return text if len(text) < 200 else _hash(text)

    def _any(self, value: Any, scope: Scope | None, reads: Gathered) -> str:
        if isinstance(value, list):
            return f"[{','.join(self._any(item, scope, reads) for item in value)}]"
        return self.expression(value, scope, reads) if isinstance(value, exp.Expr) else repr(value)

    def _column(self, column: exp.Column, scope: Scope, reads: Gathered) -> str:
        table, name = column.table, column.name
        if isinstance(column, exp.Pseudocolumn) or column.args.get("db") is not None or column.args.get("join_mark"):
            raise Opaque(f"{column.sql()} is no plain column")
        if isinstance(column.this, exp.Star):
            if not table:
                raise Opaque("a star inside an expression")
            return _gather(scope.row(table), reads)
        if table:
            return _gather(scope.column(table, name), reads)
        if name in scope.outputs:
            output = scope.outputs[name]
            return _gather((output.fingerprint, output.reads), reads)
        if isinstance(scope.sources.get(name), Computed):  # UNNEST(…) AS e is a column and a source at once
            return _gather(scope.column(name, name), reads)
        return _gather(scope.row(name), reads)


def plain(node: exp.Expr, skip: Sequence[str] = ()) -> str:
    """The fingerprint of a node as it is written, names unresolved."""
    return Expressions().expression(node, None, set(), skip)


def _gather(value: tuple[str, Reads], reads: Gathered) -> str:
    fingerprint, own = value
    reads |= own
    return fingerprint


def _flat(node: exp.Expr, kind: type[exp.Expr]) -> Iterator[exp.Expr]:
    """The operands of nested AND or OR, parentheses opened."""
    pending = [node]
    while pending:
        operand = pending.pop()
        while isinstance(operand, exp.Paren):
            operand = operand.this
        if type(operand) is kind:
            pending += (operand.args["this"], operand.args["expression"])
        else:
            yield operand
