"""Parsed queries with their names resolved: which tables a query mentions, which names mean a CTE.

Trees live here and in the modules that import this one (`facts`, `rewrite`, `qualified`, `lineage`), and never in a
value. No class of the SQL library is subclassed or patched: its compiled build forbids it.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import ParseError
from sqlglot.tokenizer_core import Token

from isomesh_dagster.dialect.canonical import sql_dialect, tokenize
from isomesh_dagster.errors import ModelError

# What may stand at the root. DuckDB's PIVOT statement and VALUES return rows too.
ONE_QUERY = "write one query: SELECT …, or WITH … SELECT …"
_ROOTS = (exp.Query, exp.Pivot, exp.Values)
FORBIDDEN = (exp.DML, exp.DDL, exp.Command, exp.Into)
_READ = (exp.Table, exp.Column, exp.Star, exp.Columns, exp.Pivot, exp.Join, exp.In, *FORBIDDEN)


@dataclass(frozen=True, slots=True)
class Mention:
    """A place where a table that is no CTE is read: `node` is its Table (in ClickHouse's `IN t` a Column)."""

    node: exp.Expr
    name: str
    parts: tuple[str, ...]  # all that were written

    def renamed(self, name: str) -> Mention:
        """The same mention, of a table known by another name."""
        return replace(self, name=name)

    @property
    def bare(self) -> bool:
        """Whether it is a table without an alias."""
        return isinstance(self.node, exp.Table) and not self.node.alias


class Tree:
    """A parsed query with its names resolved: which tables it mentions, which names mean which CTE."""

    def __init__(self, root: exp.Expr, dialect: str, default_catalog: str | None = None) -> None:
        self.root = root
        self.written_in = dialect
        self.dialect = sql_dialect(dialect)
        self.mentions: list[Mention] = []
        self.ctes: dict[int, exp.CTE] = {}  # id of a Table node: the CTE it means
        self._cte_names: dict[int, str] = {}
        self._normal: dict[tuple[str, bool], str] = {}
        self._names_in: dict[int, Counter[str]] = {}
        self.nodes: dict[type, list[exp.Expr]] = {kind: [] for kind in _READ}
        for node in root.find_all(*_READ):
            for kind in _READ:
                if isinstance(node, kind):
                    self.nodes[kind].append(node)
                    break
        for node in self.nodes[exp.Table]:
            self._resolve(node, default_catalog)
        if self.dialect_name == "clickhouse":
            for node in self.nodes[exp.In]:  # `a IN t` reads the table t
                field = node.args.get("field")
                if isinstance(field, exp.Column):
                    self._resolve(field, default_catalog)

    def _resolve(self, node: exp.Expr, default_catalog: str | None) -> None:
        if not isinstance(node.this, exp.Identifier) or isinstance(node.parent, (exp.Lock, exp.JoinHint, exp.Hint)):
            return
        identifiers = cast("list[exp.Identifier]", node.parts)  # type: ignore[attr-defined]
        parts = normal_parts(identifiers, self.dialect)
        if len(parts) == 1 and (cte := self._visible_cte(node, parts[0])) is not None:
            self.ctes[id(node)] = cte
            return
        if len(parts) > 3 or any("." in part for part in parts):
            return
        named = parts
        if (
            len(parts) == 3
            and default_catalog is not None
            and parts[0] == self.identifier(exp.to_identifier(default_catalog))
        ):
            named = parts[1:]
        self.mentions.append(Mention(node, ".".join(named), parts))

    def _visible_cte(self, node: exp.Expr, name: str) -> exp.CTE | None:
        """The CTE that `name` means at `node`: the innermost WITH wins; a CTE sees those before it, RECURSIVE all."""
        child, parent = node, node.parent
        while parent is not None:
            if isinstance(parent, exp.With):
                ctes = cast("list[exp.CTE]", parent.expressions)
                if not parent.recursive:
                    position = next(index for index, cte in enumerate(ctes) if cte is child)
                    ctes = ctes[: position + self._recurs_silently(node, ctes[position])]
            else:
                with_ = parent.args.get("with_")
                ctes = with_.expressions if with_ is not None and with_ is not child else []
            for cte in reversed(ctes):
                if self._cte_name(cte) == name:
                    return cte
            child, parent = parent, parent.parent
        return None

    def _cte_name(self, cte: exp.CTE) -> str:
        found = self._cte_names.get(id(cte))
        if found is None:
            found = self._cte_names[id(cte)] = self.identifier(cte.args["alias"].this)
        return found

    def _recurs_silently(self, node: exp.Expr, cte: exp.CTE) -> bool:
        """Whether the dialect takes a CTE's own name in its second branch for recursion without the word RECURSIVE."""
        if self.dialect_name not in ("snowflake", "tsql", "fabric", "oracle") or not isinstance(
            cte.this, exp.SetOperation
        ):
            return False
        return any(ancestor is cte.this.expression for ancestor in ancestors(node))

    @property
    def dialect_name(self) -> str:
        """The dialect's name, whatever settings came with it."""
        return type(self.dialect).__name__.lower()

    def identifier(self, identifier: exp.Identifier) -> str:
        """The normalised name of an identifier that is no part of a table's name."""
        key = (identifier.name, bool(identifier.args.get("quoted")))
        if (found := self._normal.get(key)) is None:
            found = self._normal[key] = self.dialect.normalize_identifier(identifier.copy()).name
        return found

    # -- sources of a SELECT

    def sources(self, select: exp.Select) -> Iterator[exp.Expr]:
        """What stands in FROM and its joins, in order; parenthesised joins opened."""
        from_ = select.args.get("from_")
        if from_ is not None:
            yield from _opened(from_.this)
        for join in select.args.get("joins") or ():
            yield from _opened(join.this)
        yield from select.args.get("laterals") or ()

    def alias(self, source: exp.Expr) -> str:
        """The normalised name by which columns of a source are qualified; "" when it has none."""
        alias = source.args.get("alias")
        name = alias.args.get("this") if alias is not None else source.this if isinstance(source, exp.Table) else None
        return self.identifier(name) if isinstance(name, exp.Identifier) else ""

    def alias_of(self, last: exp.Identifier) -> exp.Identifier:
        """What a table without an alias is called by its columns: its last part, quoted."""
        return exp.to_identifier(last.name if last.quoted else self.identifier(last), quoted=True)

    # -- tables without an alias

    def crowded(self) -> set[int]:
        """Ids of the tables that cannot just be renamed and given their last part as alias."""
        return {id(mention.node) for _, mention, _ in self.qualified_by_schema()} | self._namesakes()

    def _namesakes(self) -> set[int]:
        """Ids of tables without an alias for which their last part would not do.

        Either another source beside them has that name, or a column `db.t.a` of theirs stands in a subquery with a
        source of that name.
        """
        found: set[int] = set()
        for mention in self.mentions:
            select = mention.node.find_ancestor(exp.Select)
            if mention.bare and isinstance(select, exp.Select) and self._named(select)[self.alias(mention.node)] > 1:
                found.add(id(mention.node))
        for column, mention, _ in self.qualified_by_schema():
            own = mention.node.find_ancestor(exp.Select)
            for ancestor in ancestors(column):
                if ancestor is own:
                    break
                if isinstance(ancestor, exp.Select) and self._named(ancestor)[self.alias(mention.node)]:
                    found.add(id(mention.node))
        return found

    def _named(self, select: exp.Select) -> Counter[str]:
        """How many sources of a SELECT have a name."""
        if id(select) not in self._names_in:
            self._names_in[id(select)] = Counter(self.alias(source) for source in self.sources(select))
        return self._names_in[id(select)]

    def qualified_by_schema(self) -> Iterator[tuple[exp.Column, Mention, int]]:
        """Columns written `db.t.a` of a table without an alias: column, table, how many parts name the table."""
        bare = [mention for mention in self.mentions if mention.bare and len(mention.parts) > 1]
        if not bare:
            return
        for column in cast("list[exp.Column]", self.nodes[exp.Column]):
            if column.args.get("db") is None:
                continue
            parts = tuple(self.identifier(part) for part in column.parts[:-1] if isinstance(part, exp.Identifier))
            found = [
                (mention, length)
                for mention in bare
                for length in range(len(mention.parts), 1, -1)
                if tuple(part.lower() for part in parts[:length])
                == tuple(part.lower() for part in mention.parts[-length:])
            ]
            selects = [ancestor for ancestor in ancestors(column) if isinstance(ancestor, exp.Select)]
            found.sort(key=lambda pair: _index(selects, pair[0].node.find_ancestor(exp.Select)))
            if found:
                yield column, *found[0]

    def _qualified_by_name(self, tables: set[int]) -> list[tuple[exp.Column, Mention, int]]:
        """Columns written `t.a` of these tables, as `qualified_by_schema` has them."""
        owners: dict[int, list[Mention]] = {}
        for mention in self.mentions:
            if id(mention.node) in tables:
                owners.setdefault(id(mention.node.find_ancestor(exp.Select)), []).append(mention)
        found = []
        for column in cast("list[exp.Column]", self.nodes[exp.Column] if owners else []):
            qualifier = column.args.get("table")
            if qualifier is None or column.args.get("db") is not None:
                continue
            name = self.identifier(qualifier)
            select = next((s for s in ancestors(column) if isinstance(s, exp.Select) and self._named(s)[name]), None)
            mine = [mention for mention in owners.get(id(select), ()) if self.alias(mention.node) == name]
            found += [(column, mention, 1) for mention in mine[:1]]
        return found

    def give_aliases(self, mentions: Sequence[Mention]) -> dict[int, exp.Identifier]:
        """An alias for each of `mentions` without one, by id of its table; columns `db.t.a` become `alias.a`."""
        namesakes = self._namesakes()
        plainly = self._qualified_by_name(namesakes)
        aliases: dict[int, exp.Identifier] = {}
        for mention in mentions:
            if mention.bare:
                last = cast(exp.Table, mention.node).this
                unique = exp.to_identifier("__".join(mention.parts), quoted=True)
                aliases[id(mention.node)] = unique if id(mention.node) in namesakes else self.alias_of(last)
        for column, mention, length in [*self.qualified_by_schema(), *plainly]:
            if (alias := aliases.get(id(mention.node))) is not None:
                first, *rest = column.parts[length:]
                node: exp.Expr = exp.Column(this=first.copy(), table=alias.copy())
                for part in rest:
                    node = exp.Dot(this=node, expression=part.copy())
                column.replace(node)
        return aliases


def parse(sql: str, dialect: str) -> tuple[exp.Expr, list[Token]]:
    """The one query in `sql` and its tokens. Raises as `query.analyse`."""
    root, tokens = parse_statement(sql, dialect)
    if not isinstance(root, _ROOTS):
        line, column = place(sql, tokens[0].start)
        raise ModelError(f"{statement_name(root)} is not a query", line=line, column=column, hint=ONE_QUERY)
    return root, tokens


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the library's warning that it does not know a statement: that is told by the result."""
    logger = logging.getLogger("sqlglot")
    logger.addFilter(_is_no_fallback)
    try:
        yield
    finally:
        logger.removeFilter(_is_no_fallback)


def _is_no_fallback(record: logging.LogRecord) -> bool:
    return "Falling back to parsing" not in record.getMessage()


def parse_statement(sql: str, dialect: str) -> tuple[exp.Expr, list[Token]]:
    """The one statement in `sql`, of whatever kind, and its tokens. Raises ModelError."""
    tokens = tokenize(sql, dialect)
    try:
        with _quietly():
            statements = sql_dialect(dialect).parser().parse(tokens, sql)
    except ParseError as error:
        raise parse_error(error) from error
    except RecursionError as error:
        raise ModelError("the query is nested too deeply to be parsed", hint="move parts of it into CTEs") from error
    found = [
        statement for statement in statements if statement is not None and not isinstance(statement, exp.Semicolon)
    ]
    if not found:
        raise ModelError("there is no query", line=1, column=1, hint=ONE_QUERY)
    if len(found) > 1:
        first = next(index for index, token in enumerate(tokens) if token.text == ";" and index > 0)
        second = next((token for token in tokens[first:] if token.text != ";"), tokens[-1])
        line, column = place(sql, second.start)
        raise ModelError("there is more than one statement", line=line, column=column, hint=ONE_QUERY)
    return found[0], tokens


def normal_parts(identifiers: Sequence[exp.Identifier], dialect: Dialect) -> tuple[str, ...]:
    """The normalised parts of a table's name. In a table of its own, as some dialects treat names of tables apart."""
    copies = [identifier.copy() for identifier in identifiers]
    exp.Table(**dict(zip(("this", "db", "catalog"), reversed(copies), strict=False)))
    return tuple(dialect.normalize_identifier(copy).name for copy in copies)


def _opened(source: exp.Expr) -> Iterator[exp.Expr]:
    """A source of FROM, with joins in parentheses opened: `(a JOIN b …)` is the sources a and b."""
    if isinstance(source, exp.Final):
        source = source.this
    if isinstance(source, exp.Subquery) and isinstance(source.this, exp.Table):
        yield from _opened(source.this)
    else:
        yield source
    for join in source.args.get("joins") or ():
        yield from _opened(join.this)


def _index(items: Sequence[object], item: object) -> int:
    return next((index for index, other in enumerate(items) if other is item), len(items))


def ancestors(node: exp.Expr) -> Iterator[exp.Expr]:
    """What the node is in, from the inside out."""
    parent = node.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def place(sql: str, position: int) -> tuple[int, int]:
    """Line and column, both from 1."""
    return sql.count("\n", 0, position) + 1, position - sql.rfind("\n", 0, position)


def statement_name(node: exp.Expr) -> str:
    """What to call a statement that is not welcome."""
    if isinstance(node, exp.Command):
        return str(node.this).upper()
    if isinstance(node, exp.Into):
        return "SELECT INTO"
    return type(node).__name__.upper() if not isinstance(node, (exp.Condition, exp.Table)) else "an expression"


_TOKEN = re.compile(r"<Token token_type: (?:TokenType\.)?(\w+), text: (.*?), line: .*?>")


def parse_error(error: ParseError) -> ModelError:
    """The library's report as one sentence, with the place where the trouble begins."""
    if not error.errors:
        return ModelError(f"the SQL does not parse: {error}")
    first = error.errors[0]
    highlight = first.get("highlight") or ""
    message = first.get("description") or ""
    if message.startswith("Required keyword"):
        message = "something is missing"
    message = _TOKEN.sub(lambda found: "the end" if found[1] == "SENTINEL" else repr(found[2]), message)
    column = first.get("col")
    return ModelError(
        f"the SQL does not parse: {message.rstrip('.')}" + (f", at {highlight!r}" if highlight else ""),
        line=first.get("line"),
        column=max(column - len(highlight) + 1, 1) if column else None,
    )
