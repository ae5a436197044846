"""Columns of tables nobody declared, as far as the query itself proves that they exist.

A query that reads a raw table often names its columns plainly. `SELECT CAST(id AS INT) AS id FROM raw.x WHERE ok`
proves that raw.x has `id` and `ok`, for nothing else could be meant. Where something else could (an alias, a column of
the query around it) the answer is Opaque: the right guess today may be the wrong one once the table has another column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sqlglot import exp

from isomesh_dagster.dialect.facts import reads_columns
from isomesh_dagster.dialect.summary import Opaque
from isomesh_dagster.dialect.tree import Mention, Tree, ancestors
from isomesh_dagster.relation import Column

Proven = dict[str, dict[str, None]]  # by table: its columns, in the order they were met


def proven_columns(tree: Tree, schema: Mapping[str, Sequence[Column]]) -> Mapping[str, Sequence[str]]:
    """For each table of the query that `schema` lacks, the columns it is proven to have.

    The tree must be as parsed. Raises Opaque when the meaning of a name depends on columns that are not proven.
    """
    unknown = {
        id(mention.node): mention
        for mention in tree.mentions
        if isinstance(mention.node, exp.Table) and not schema.get(mention.name)
    }
    if not unknown:
        return {}
    return {name: list(columns) for name, columns in _Proof(tree, unknown).columns().items()}


class _Proof:
    """`unknown` are the mentions of tables without known columns, by id of their node."""

    def __init__(self, tree: Tree, unknown: Mapping[int, Mention]) -> None:
        self._tree = tree
        self._unknown = unknown
        self._columns: Proven = {mention.name: {} for mention in unknown.values()}

    def columns(self) -> Proven:
        self._refuse_all_columns()
        for column, mention, length in self._tree.qualified_by_schema():
            if id(mention.node) in self._unknown:
                self._found(mention, column.parts[length])
        plain: dict[int, tuple[exp.Select, list[exp.Column]]] = {}
        for column in cast("list[exp.Column]", self._tree.nodes[exp.Column]):
            if not isinstance(column.this, exp.Identifier) or column.args.get("db") is not None:
                continue
            qualifier = column.args.get("table")
            if qualifier is not None:
                source = self._source(column, self._tree.identifier(qualifier))
                if id(source) in self._unknown:
                    self._found(self._unknown[id(source)], column.this)
                continue
            select = column.find_ancestor(exp.Select)
            if isinstance(select, exp.Select) and any(id(s) in self._unknown for s in self._tree.sources(select)):
                plain.setdefault(id(select), (select, []))[1].append(column)
        for join in self._tree.nodes[exp.Join]:
            if id(join.this) in self._unknown:
                for merged in join.args.get("using") or ():  # the joined table has them
                    self._found(self._unknown[id(join.this)], merged)
        for select, columns in plain.values():
            sources = list(self._tree.sources(select))
            if len(sources) == 1 and not _is_nested(select):
                self._from_one(select, columns, self._unknown[id(sources[0])])
        for select, columns in plain.values():
            sources = list(self._tree.sources(select))
            if len(sources) > 1 or _is_nested(select):
                self._refuse_unproven(select, columns, sources)
        return self._columns

    def _refuse_all_columns(self) -> None:
        """Raise Opaque when something stands for all columns of an unknown table."""
        tables = set(self._unknown)
        first = next(iter(self._unknown.values()))
        for star in cast("list[exp.Star]", self._tree.nodes[exp.Star]):
            if reads_columns(star, self._tree, tables):
                raise Opaque(f"unexpanded star over {first.name}, whose columns are not known")
        for kind, what in ((exp.Columns, "COLUMNS(…)"), (exp.Pivot, "PIVOT")):
            if self._tree.nodes[kind]:
                raise Opaque(f"{what} beside {first.name}, whose columns are not known")

    def _source(self, column: exp.Column, name: str) -> exp.Expr | None:
        """What `name.column` is qualified with: the nearest source of that name."""
        select = column.find_ancestor(exp.Select)
        while isinstance(select, exp.Select):
            for source in self._tree.sources(select):
                if self._tree.alias(source) == name:
                    return source
            select = select.find_ancestor(exp.Select)
        return None

    def _found(self, mention: Mention, column: exp.Expr) -> None:
        if isinstance(column, exp.Identifier):
            self._columns[mention.name][self._tree.identifier(column)] = None

    def _from_one(self, select: exp.Select, columns: Sequence[exp.Column], mention: Mention) -> None:
        """A SELECT from one table alone: a plain name is a column of it, unless it may be an alias."""
        aliases = {self._tree.identifier(item.args["alias"]) for item in select.expressions if _has_alias(item)}
        own = {id(column) for column in columns}
        known = self._columns[mention.name]
        earlier: set[str] = set()
        for item in select.expressions:
            for column in item.find_all(exp.Column):
                if id(column) in own:
                    self._one_name(column, mention, earlier)
                    own.discard(id(column))
            if _has_alias(item):
                earlier.add(self._tree.identifier(item.args["alias"]))
        for column in columns:
            name = self._tree.identifier(cast(exp.Identifier, column.this))
            if id(column) in own and not (name in aliases and name not in known and _means_alias(column, select)):
                self._one_name(column, mention, aliases)

    def _one_name(self, column: exp.Column, mention: Mention, aliases: set[str]) -> None:
        name = self._tree.identifier(cast(exp.Identifier, column.this))
        if name in aliases and name not in self._columns[mention.name]:
            raise Opaque(f"{name} may be a column of {mention.name}, whose columns are not known, or an alias")
        if name == self._tree.alias(mention.node):
            raise Opaque(f"{name} may be a column of {mention.name}, whose columns are not known, or a row of it")
        self._found(mention, column.this)

    def _refuse_unproven(self, select: exp.Select, columns: Sequence[exp.Column], sources: Sequence[exp.Expr]) -> None:
        """Several sources, or a query around this one: names must be proven, or neither alias nor from outside."""
        aliases = {self._tree.identifier(item.args["alias"]) for item in select.expressions if _has_alias(item)}
        mentions = [self._unknown[id(source)] for source in sources if id(source) in self._unknown]
        rows = {self._tree.alias(mention.node) for mention in mentions}
        for column in columns:
            name = self._tree.identifier(cast(exp.Identifier, column.this))
            if any(name in self._columns[mention.name] for mention in mentions):
                continue
            if name in aliases or name in rows or _is_nested(select):
                raise Opaque(f"{name} may be a column of {mentions[0].name}, whose columns are not known")


def _has_alias(item: exp.Expr) -> bool:
    return isinstance(item, exp.Alias)


def _means_alias(column: exp.Column, select: exp.Select) -> bool:
    """Whether a plain name outside the SELECT list can only be the alias, or is taken for it by every engine.

    So it is in ORDER BY; in HAVING, as an ungrouped column is an error there; and in GROUP BY when the columns behind
    the alias are not grouped otherwise, for then the alias is what makes the query valid.
    """
    parent = column.parent
    if isinstance(parent, exp.Ordered) and parent.parent is select.args.get("order"):
        return True
    group = select.args.get("group")
    if parent is group and group is not None:
        item = next(i for i in select.expressions if _has_alias(i) and i.alias.lower() == column.name.lower())
        keys = {key.name for key in group.expressions if isinstance(key, exp.Column) and key is not column}
        return any(behind.name not in keys for behind in item.this.find_all(exp.Column))
    having = select.args.get("having")
    return having is not None and any(ancestor is having for ancestor in ancestors(column))


def _is_nested(select: exp.Select) -> bool:
    """Whether a query around this one could lend it columns: it is part of an expression, or LATERAL."""
    child: exp.Expr = select
    for parent in ancestors(select):
        if isinstance(parent, exp.Select):
            return not isinstance(child, (exp.With, exp.From, exp.Join))
        if isinstance(parent, exp.Lateral):
            return True
        child = parent
    return False
