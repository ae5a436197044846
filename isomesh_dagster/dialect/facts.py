"""What a parsed query tells about itself: its mentions with their places, its stars, the names of its columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import cast

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.tokenizer_core import Token

from isomesh_dagster.dialect.query import QueryFacts
from isomesh_dagster.dialect.tree import FORBIDDEN, ONE_QUERY, Mention, Tree, parse, place, statement_name
from isomesh_dagster.errors import ModelError
from isomesh_dagster.relation import Reference

Names = tuple[str, ...] | None


def analyse(sql: str, dialect: str, default_catalog: str | None) -> QueryFacts:
    """See `query.analyse`."""
    root, tokens = parse(sql, dialect)
    tree = Tree(root, dialect, default_catalog)
    refuse_effects(sql, tokens, tree)
    places = Places(sql, tokens, tree)
    references = sorted((places.reference(mention) for mention in tree.mentions), key=lambda reference: reference.start)
    return QueryFacts(
        references=tuple(references),
        depends_on=tuple(sorted({mention.name for mention in tree.mentions})),
        has_star=_has_star(tree),
        output=output_names(tree, {}),
        comments=_comments(tree) if "--" in sql or "/*" in sql else {},
    )


def _comments(tree: Tree) -> dict[str, str]:
    """Comments behind projections of the query, by column; those of UNION are the first branch's."""
    query = tree.root
    while isinstance(query, exp.SetOperation | exp.Subquery):
        query = query.left if isinstance(query, exp.SetOperation) else query.this
    found: dict[str, str] = {}
    for item in query.expressions if isinstance(query, exp.Select) else ():
        named = item.args.get("alias") if isinstance(item, exp.Alias) else item.this
        text = " ".join(part.strip() for part in item.comments or () if part.strip())
        if text and isinstance(item, exp.Alias | exp.Column) and isinstance(named, exp.Identifier):
            found[tree.identifier(named)] = text
    return found


def refuse_effects(sql: str, tokens: Sequence[Token], tree: Tree) -> None:
    """Raise ModelError when something inside the query writes: a CTE that deletes, SELECT INTO."""
    for node in (node for kind in FORBIDDEN for node in tree.nodes[kind]):
        positions = (part.meta["start"] for part in node.find_all(exp.Identifier) if "start" in part.meta)
        line, column = place(sql, min(positions, default=tokens[0].start))
        message = f"{statement_name(node)} inside a query"
        raise ModelError(message, line=line, column=column, hint=f"a query only reads; {ONE_QUERY}")


def output_names(tree: Tree, schema: Mapping[str, Sequence[str]]) -> Names:
    """The names of the columns the query returns, in order; None when they cannot all be told, or repeat.

    `schema` has the columns of tables by the name mentioned.
    """
    names = _Output(tree, schema).names(tree.root, ())
    return names if names is not None and len(set(names)) == len(names) else None


class _Output:
    """Names of output columns, from the text and the columns of tables given. `inside`: ids of the CTEs looked into."""

    def __init__(self, tree: Tree, schema: Mapping[str, Sequence[str]]) -> None:
        self._tree = tree
        self._tables = {
            id(mention.node): tuple(schema[mention.name]) for mention in tree.mentions if mention.name in schema
        }

    def names(self, query: exp.Expr, inside: tuple[int, ...]) -> Names:
        if isinstance(query, exp.Subquery) and not query.args.get("pivots"):
            return self.names(query.this, inside)
        if isinstance(query, exp.SetOperation):
            left = self.names(query.left, inside)
            if left is None or not query.args.get("by_name"):
                return left
            right = self.names(query.right, inside)
            return None if right is None else left + tuple(name for name in right if name not in left)
        if not isinstance(query, exp.Select):
            return None
        names: list[str] = []
        for item in query.expressions:
            found = self._item(item, query, inside)
            if found is None:
                return None
            names += found
        return tuple(names) or None

    def _item(self, item: exp.Expr, select: exp.Select, inside: tuple[int, ...]) -> Names:
        named = self._tree.identifier
        if isinstance(item, exp.Alias):
            spreads = isinstance(item.this, exp.UDTF) and self._tree.dialect_name == "duckdb"  # UNNEST of a struct
            return None if spreads else (named(item.args["alias"]),)
        if isinstance(item, exp.Aliases):
            return tuple(named(alias) for alias in item.expressions)
        if isinstance(item, exp.Column) and isinstance(item.this, exp.Identifier):
            return (named(item.this),)
        if isinstance(item, exp.Dot) and isinstance(item.expression, exp.Identifier):
            root = item.this
            while isinstance(root, exp.Dot):
                root = root.this
            return (named(item.expression),) if isinstance(root, exp.Column) else None
        star = item.this if isinstance(item, exp.Column) else item
        if not isinstance(star, exp.Star) or item.args.get("db") or star.args.get("rename") or star.args.get("ilike"):
            return None
        names = self._star(None if item is star else named(item.args["table"]), select, inside)
        excepted = star.args.get("except_") or ()
        if names is None or not all(isinstance(column.this, exp.Identifier) for column in excepted):
            return None
        hidden = {named(column.this) for column in excepted}
        return tuple(name for name in names if name not in hidden)

    def _star(self, qualifier: str | None, select: exp.Select, inside: tuple[int, ...]) -> Names:
        joins = {id(join.this): join for join in select.args.get("joins") or ()}
        names: list[str] = []
        found = False
        for source in self._tree.sources(select):
            join = joins.get(id(source))
            if join is not None and (join.args.get("method") or str(join.args.get("kind")).upper() in ("SEMI", "ANTI")):
                if str(join.args.get("method")).upper() == "NATURAL":
                    return None
                if str(join.args.get("kind")).upper() in ("SEMI", "ANTI"):
                    continue
            if qualifier is not None and self._tree.alias(source) != qualifier:
                continue
            columns = self._source(source, inside)
            if columns is None:
                return None
            found = True
            merged = [self._tree.identifier(column) for column in (join.args.get("using") or ())] if join else []
            if qualifier is None and merged:
                if self._tree.dialect_name == "postgres":  # which puts the merged columns first
                    names = merged + [name for name in names if name not in merged]
                columns = tuple(name for name in columns if name not in merged)
            names += columns
        return tuple(names) if found else None

    def _source(self, source: exp.Expr, inside: tuple[int, ...]) -> Names:
        if source.args.get("pivots"):
            return None
        given = self._given(source.args.get("alias"))
        if isinstance(source, exp.Values):
            return given or None
        names: Names = None
        if isinstance(source, exp.Table):
            cte = self._tree.ctes.get(id(source))
            if cte is None:
                names = self._tables.get(id(source))
            elif id(cte) not in inside:
                names = _renamed(self.names(cte.this, (*inside, id(cte))), self._given(cte.args["alias"]))
        elif isinstance(source, exp.Subquery):
            names = self.names(source.this, inside)
        return _renamed(names, given)

    def _given(self, alias: exp.Expr | None) -> tuple[str, ...]:
        columns = alias.args.get("columns") or () if alias is not None else ()
        return tuple(self._tree.identifier(column) for column in columns)


def _renamed(names: Names, given: tuple[str, ...]) -> Names:
    """Names of a source's columns after `AS q(given)`, which may name only the first of them."""
    return None if names is None else given + names[len(given) :]


def _has_star(tree: Tree) -> bool:
    """See `QueryFacts.has_star`."""
    if not tree.mentions:
        return False
    if tree.nodes[exp.Pivot] or tree.nodes[exp.Columns]:
        return True
    if any(str(join.args.get("method")).upper() == "NATURAL" for join in tree.nodes[exp.Join]):
        return True
    tables = {id(mention.node) for mention in tree.mentions}
    if any(reads_columns(cast(exp.Star, star), tree, tables) for star in tree.nodes[exp.Star]):
        return True
    aliases = {tree.alias(mention.node) for mention in tree.mentions}
    return any(  # a whole row
        not column.args.get("table")
        and isinstance(column.this, exp.Identifier)
        and tree.identifier(column.this) in aliases
        and id(column) not in tables
        for column in tree.nodes[exp.Column]
    )


def reads_columns(star: exp.Star, tree: Tree, tables: set[int]) -> bool:
    """Whether the star stands for columns of one of `tables`."""
    item: exp.Expr = star.parent if isinstance(star.parent, exp.Column) else star  # t.* is a Column of a Star
    if item is star and isinstance(star.parent, exp.Count):
        return False
    select = star.find_ancestor(exp.Select)
    if not isinstance(select, exp.Select):
        return True
    if item.parent is select and isinstance(select.parent, exp.Exists):
        return False
    sources = list(tree.sources(select))
    if item is not star:
        qualifier = tree.identifier(item.args["table"])
        sources = [source for source in sources if tree.alias(source) == qualifier]
        if not sources or item.args.get("db"):
            return True
    return any(id(source) in tables for source in sources)


class Places:
    """Where mentions stand in the text."""

    def __init__(self, sql: str, tokens: Sequence[Token], tree: Tree) -> None:
        self._sql = sql
        self._tokens = tokens
        self._tree = tree
        self._crowded = tree.crowded()

    def reference(self, mention: Mention) -> Reference:
        """The mention as a value: see `Reference`."""
        start, end = self.span(mention)
        if not mention.bare:
            return Reference(start=start, end=end, name=mention.name)
        table = cast(exp.Table, mention.node)
        last = cast(exp.Identifier, table.this)
        written = self._sql[last.meta["start"] : end]
        if not last.quoted or written.startswith("'") or written[1:-1] != last.name:
            # A word that is a name after a dot only (`raw.order`), a piece of something that is quoted as a whole, or
            # quoted in a way an alias cannot be.
            written = self._tree.alias_of(last).sql(dialect=self._tree.dialect)
        by_text = (
            id(table) not in self._crowded
            and not _alias_comes_later(table, self._tree.dialect)
            and _TABLE_STATEMENT.search(self._sql, max(start - 40, 0), start) is None
        )
        return Reference(start=start, end=end, name=mention.name, alias_needed=written, by_text=by_text)

    def span(self, mention: Mention) -> tuple[int, int]:
        """Characters `[start, end)` of the name."""
        identifiers = cast("list[exp.Identifier]", mention.node.parts)  # type: ignore[attr-defined]
        start, end = identifiers[0].meta["start"], identifiers[-1].meta["end"] + 1
        if self._sql[:start].rstrip()[-1:] not in (".", "-"):
            return start, end
        # BigQuery's `p.db`.t and p-q.db.t, where places of parts are not those of tokens: go back piece by piece.
        index = next(index for index, token in enumerate(self._tokens) if token.end >= start)
        while self._tokens[index].text in _JOINTS or (index and self._tokens[index - 1].text in _JOINTS):
            index -= 1
        return self._tokens[index].start, end


_JOINTS = (".", "-")
# `TABLE t`, short for `SELECT * FROM t`, takes neither alias nor subquery.
_TABLE_STATEMENT = re.compile(r"\btable\s+\Z", re.IGNORECASE)


def _alias_comes_later(table: exp.Table, dialect: Dialect) -> bool:
    """Whether something stands between the table's name and the place of its alias."""
    args = table.args
    return bool(
        (args.get("sample") and dialect.ALIAS_POST_TABLESAMPLE)
        or ((args.get("when") or args.get("version")) and dialect.ALIAS_POST_VERSION)
        or any(args.get(key) for key in ("changes", "partition", "rows_from"))
        or args.get("alias")  # column names without a table alias
    )
