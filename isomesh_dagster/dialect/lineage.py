"""The walk behind `summary.summarize`: from a qualified tree to what its rows and columns are made of.

Every query of the tree (CTE, subquery, branch of a UNION) becomes a `Summary` of its own. A column is replaced by the
fingerprint of what defines it, down to the columns of tables, so names of CTEs and aliases leave no trace. What shapes
the rows goes into the rows' fingerprint; anything not understood goes there too, or makes the query Opaque.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from sqlglot import exp

from isomesh_dagster.dialect.expressions import Expressions, Gathered, plain
from isomesh_dagster.dialect.qualified import TABLES, Schema, qualified, resolved
from isomesh_dagster.dialect.rowcount import aggregates, multiplies_rows
from isomesh_dagster.dialect.scope import Computed, Derived, Scope, Source, Table, renamed
from isomesh_dagster.dialect.scope import fingerprint as _hash
from isomesh_dagster.dialect.summary import ALL, ROWS, ColumnSummary, Opaque, Summary
from isomesh_dagster.dialect.tree import Tree
from isomesh_dagster.errors import ModelError


def summarize(sql: str, dialect: str, schema: Schema) -> Summary:
    """See `summary.summarize`."""
    try:
        tree = resolved(sql, dialect, schema)
        _refuse_unnamed(tree)
        query, _ = qualified(tree, schema)
        walk = _Walk(tree.dialect_name)
        found = walk.query(query, Scope())
    except ModelError as error:
        raise Opaque(error.message) from error
    except RecursionError as error:
        raise Opaque("the query is nested too deeply") from error
    except Opaque:
        raise
    except Exception as error:  # the library gives up in many ways; all mean the same here
        reason = re.sub(r"\.? Line: \d+, Col: \d+.*", "", " ".join(str(error).split()))
        raise Opaque(reason[:200] or type(error).__name__) from error
    for name in found.columns:
        if name.startswith("_col_"):
            raise Opaque("a column of the output has no name: give it an alias")
    return Summary(columns=found.columns, rows=found.rows, row_reads=found.row_reads, clauses=walk.clauses)


def _refuse_unnamed(tree: Tree) -> None:
    """Raise Opaque for an output column that the engine would name."""
    for select in _left_selects(tree.root):
        for item in select.expressions:
            if not isinstance(item, (exp.Alias, exp.Aliases, exp.Column, exp.Dot)) and not item.is_star:
                raise Opaque("a column of the output has no name: give it an alias")


def _left_selects(query: exp.Expr) -> Iterator[exp.Select]:
    """The SELECT that names the columns."""
    while isinstance(query, (exp.SetOperation, exp.Subquery)):
        query = query.this
    if isinstance(query, exp.Select):
        yield query


class _Walk(Expressions):
    """One walk over one query. `clauses` gathers what shaped the rows, by label."""

    def __init__(self, dialect: str) -> None:
        self.clauses: dict[str, str] = {}
        self._dialect = dialect
        self._place: str | None = ""  # " in x" inside CTE x; None inside an expression, where rows are values

    # -- queries

    def query(self, query: exp.Expr, scope: Scope) -> Summary:
        """The summary of any query. `scope` is what is around it; it is not changed."""
        scope = scope.inner()
        with_ = query.args.get("with_")
        if with_ is not None:
            for cte in with_.expressions:
                scope.ctes[cte.alias] = self._cte(cte, with_.recursive, scope)
        if isinstance(query, exp.Subquery):
            return self._subquery(query, scope)
        if isinstance(query, exp.SetOperation):
            return self._set_operation(query, scope)
        if isinstance(query, exp.Select):
            return self._select(query, scope)
        raise Opaque(f"{type(query).__name__.upper()} as a query")

    def _cte(self, cte: exp.Expr, recursive: bool, scope: Scope) -> Summary:
        body = cte.this
        if recursive and any(table.name == cte.alias and not table.db for table in body.find_all(exp.Table)):
            return self._recursive(cte, scope)
        with _Place(self, cte.alias):
            return renamed(self.query(body, scope), cte.args.get("alias"))

    def _recursive(self, cte: exp.Expr, scope: Scope) -> Summary:
        """A recursive CTE as one piece: every column and the rows depend on all of its text and all it reads."""
        if scope.sources:
            raise Opaque("a recursive CTE inside a subquery")
        reads: Gathered = set()
        inner: list[str] = []
        for table in cte.this.find_all(exp.Table):
            if table.db == TABLES:
                reads |= {(table.name, ALL), (table.name, ROWS)}
            elif table.name in scope.ctes:
                summary = scope.ctes[table.name]
                reads |= summary.reads
                inner.append(Derived(summary).row()[0])
        fingerprint = _hash("recursive", plain(cte.this), *inner)
        alias = cte.args.get("alias")
        given = [column.name for column in alias.args.get("columns") or ()] if alias is not None else []
        names = given or [item.alias_or_name for item in cte.this.selects]
        if len(set(names)) != len(names):
            raise Opaque("a recursive CTE with two columns of one name")
        frozen = frozenset(reads)
        self._note(f"recursive CTE {cte.alias}", fingerprint)
        columns = {name: ColumnSummary(fingerprint=_hash(fingerprint, name), reads=frozen) for name in names}
        return Summary(columns=columns, rows=fingerprint, row_reads=frozen)

    def _subquery(self, query: exp.Subquery, scope: Scope) -> Summary:
        summary = self.query(query.this, scope)
        extra = {key for key, value in query.args.items() if value} - {"this", "alias", "with_"}
        if "pivots" in extra:
            fingerprint = _hash("pivot", *map(plain, query.args["pivots"]), *Derived(summary).row()[:1])
            self._note("PIVOT", fingerprint)
            raise Opaque("the columns of a PIVOT")
        if not extra:
            return summary
        if not extra <= {"order", "limit", "offset"}:
            raise Opaque(f"{', '.join(sorted(extra))} after a subquery")
        return self._tail(query, dict(summary.columns), summary.rows, set(summary.row_reads), scope)

    def _set_operation(self, query: exp.SetOperation, scope: Scope) -> Summary:
        if any(query.args.get(key) for key in ("by_name", "on", "side", "kind")):
            raise Opaque("a set operation by name")
        kind = type(query).__name__.upper()
        left = self.query(query.this, scope)
        with _Place(self, "the other branch"):
            right = self.query(query.expression, scope)
        if len(left.columns) != len(right.columns):
            raise Opaque(f"the branches of a {kind} have different numbers of columns")
        columns = {
            name: ColumnSummary(fingerprint=_hash("both", a.fingerprint, b.fingerprint), reads=a.reads | b.reads)
            for (name, a), b in zip(left.columns.items(), right.columns.values(), strict=True)
        }
        distinct = bool(query.args.get("distinct"))
        rows = _hash(kind, str(distinct), left.rows, right.rows)
        reads = set(left.row_reads | right.row_reads)
        label = kind if distinct else f"{kind} ALL"
        if distinct or not isinstance(query, exp.Union):  # then values decide which rows there are
            rows = _hash(rows, *(column.fingerprint for column in columns.values()))
            reads.update(*(column.reads for column in columns.values()))
            self._note(label, rows)
        else:
            self._note(label, "")
        return self._tail(query, columns, rows, reads, scope)

    def _tail(
        self,
        query: exp.Expr,
        columns: dict[str, ColumnSummary],
        rows: str,
        reads: Gathered,
        scope: Scope,
    ) -> Summary:
        """ORDER BY and LIMIT. The order of the whole query is no matter of its rows unless a LIMIT cuts them."""
        scope = replace(scope, outputs=columns)
        limits = [key for key in ("limit", "offset") if query.args.get(key) is not None]
        order = query.args.get("order")
        inside = query.parent is not None and not isinstance(query.parent, exp.SetOperation)
        if order is not None and (limits or inside):
            fingerprint = self._order(order, columns, scope, reads)
            self._note("ORDER BY", fingerprint)
            rows = _hash(rows, "order", fingerprint)
        for key in limits:
            fingerprint = self.expression(query.args[key], scope, reads)
            self._note(key.upper(), fingerprint)
            rows = _hash(rows, key, fingerprint)
        return Summary(columns=columns, rows=rows, row_reads=frozenset(reads))

    def _order(self, order: exp.Expr, columns: Mapping[str, ColumnSummary], scope: Scope, reads: Gathered) -> str:
        parts = []
        positions = list(columns.values())
        for item in order.expressions:
            by = item.this if isinstance(item, exp.Ordered) else item
            if isinstance(by, exp.Literal) and not by.is_string:
                column = positions[int(by.this) - 1]
                reads |= column.reads
                parts.append(_hash(column.fingerprint, plain(item, skip=("this",))))
            elif isinstance(by, exp.Var):
                raise Opaque("ORDER BY ALL")
            else:
                _refuse_alias_inside(by, scope)
                parts.append(self.expression(item, scope, reads))
        return _hash("order", *parts)

    def _select(self, query: exp.Select, scope: Scope) -> Summary:
        scope = scope.inner()
        reads: Gathered = set()
        rows: list[str] = []

        def part(label: str, fingerprint: str, name: str | None = None) -> None:
            self._note(label, fingerprint)
            rows.append(_hash(name or label, fingerprint))

        def condition(key: str) -> None:
            if query.args.get(key) is not None:
                part(key.upper(), self.expression(query.args[key].this, scope, reads))

        self._sources(query, scope, reads, rows)
        scope.windows = {window.name: window for window in query.args.get("windows") or ()}
        condition("where")
        group = query.args.get("group")
        if group is not None:
            part("GROUP BY", self._group(group, scope, reads))
        scope.level = _hash("level", *rows)
        condition("having")
        condition("qualify")
        columns: dict[str, ColumnSummary] = {}
        for item in query.expressions:
            name, column = self._output(item, scope)
            if name in columns:
                raise Opaque(f"two columns are called {name}")
            columns[name] = column
            if multiplies_rows(item, self._dialect):
                part(f"the row-multiplying {name}", column.fingerprint, "multiplies")
                reads |= column.reads
        if group is None and (kind := aggregates(query)):
            part("aggregation without GROUP BY", kind)
        self._distinct(query, columns, scope, reads, part)
        for key in _UNKNOWN_OUTPUT:
            if query.args.get(key):
                raise Opaque(f"{key.upper()} in a SELECT")
        for key, value in query.args.items():
            if key not in _SELECT_KEYS and value:
                part(key.upper(), self._any(value, scope, reads))
        # A SELECT that only reads one source has the rows of that source.
        return self._tail(query, columns, rows[0] if len(rows) == 1 else _hash(*rows), reads, scope)

    def _output(self, item: exp.Expr, scope: Scope) -> tuple[str, ColumnSummary]:
        if item.is_star:
            raise Opaque("unexpanded star over a table whose columns are not known")
        if isinstance(item, exp.Aliases):
            raise Opaque("several names for one expression")
        reads: Gathered = set()
        value = item.this if isinstance(item, exp.Alias) else item
        fingerprint = self.expression(value, scope, reads)
        return item.alias_or_name, ColumnSummary(fingerprint=fingerprint, reads=frozenset(reads))

    def _group(self, group: exp.Expr, scope: Scope, reads: Gathered) -> str:
        if group.args.get("all"):
            raise Opaque("GROUP BY ALL")
        if any(isinstance(key, exp.Literal) and not key.is_string for key in group.expressions):
            raise Opaque("GROUP BY a position")
        keys = sorted(self.expression(key, scope, reads) for key in group.expressions)
        more = [
            key + self._any(value, scope, reads)
            for key, value in sorted(group.args.items())
            if key != "expressions" and value
        ]
        return _hash(*keys, *more)

    def _distinct(
        self,
        query: exp.Select,
        columns: Mapping[str, ColumnSummary],
        scope: Scope,
        reads: Gathered,
        part: Callable[[str, str], None],
    ) -> None:
        distinct = query.args.get("distinct")
        if distinct is None:
            return
        on = distinct.args.get("on")
        if on is None:
            part("DISTINCT", _hash(*(column.fingerprint for column in columns.values())))
            reads.update(*(column.reads for column in columns.values()))
            return
        scope = replace(scope, outputs=dict(columns))
        for key in on.expressions or [on]:
            _refuse_alias_inside(key, scope)
        part("DISTINCT ON", self.expression(on, scope, reads))
        if query.args.get("order") is not None:  # it picks the row that stays
            part("ORDER BY", self._order(query.args["order"], columns, scope, reads))

    # -- sources

    def _sources(self, query: exp.Select, scope: Scope, reads: Gathered, rows: list[str]) -> None:
        from_, joins = query.args.get("from_"), query.args.get("joins") or ()
        if from_ is not None:
            optional = any(_keeps_right(join) for part in (from_, *joins) for join in part.find_all(exp.Join))
            rows.append(self._source(from_.this, scope, reads, optional=optional))
            self._note("FROM", _shown(from_.this))
        rows += [self._join(join, scope, reads) for join in joins]
        rows += [self._source(lateral, scope, reads) for lateral in query.args.get("laterals") or ()]

    def _join(self, join: exp.Join, scope: Scope, reads: Gathered) -> str:
        method, side, kind = (str(join.args.get(key) or "").upper() for key in ("method", "side", "kind"))
        if join.args.get("using") or method == "NATURAL":
            raise Opaque("JOIN … USING or NATURAL JOIN of columns that are not known")
        if kind in ("INNER", "CROSS") or (kind == "OUTER" and side):
            kind = ""
        source = self._source(join.this, scope, reads)
        rest = [
            key + self._any(value, scope, reads)
            for key, value in sorted(join.args.items())
            if value and key not in ("this", "method", "side", "kind")
        ]
        how = _hash(method, side, kind, *rest)
        self._note(f"JOIN {_shown(join.this)}", how)
        return _hash("join", how, source)

    def _source(self, node: exp.Expr, scope: Scope, reads: Gathered, *, optional: bool = False) -> str:
        """Put the source into the scope under its alias; the fingerprint of its rows. `optional` as in `Scope.add`."""
        if isinstance(node, exp.Table):
            return self._table(node, scope, reads, optional=optional)
        if isinstance(node, exp.Subquery) and isinstance(node.this, exp.Query):
            with _Place(self, node.alias or "a subquery"):  # which sees what is around the SELECT, not its neighbours
                summary = renamed(self.query(node, scope.around or scope), node.args.get("alias"))
            scope.add([node.alias], Derived(summary), summary.rows, optional=optional)
            reads |= summary.row_reads
            return summary.rows
        if isinstance(node, exp.Subquery) and not node.args.get("pivots"):
            return _hash("parenthesis", self._source(node.this, scope, reads, optional=optional))
        return self._computed(node, scope, reads, optional=optional)

    def _table(self, node: exp.Table, scope: Scope, reads: Gathered, *, optional: bool) -> str:
        names = [node.alias_or_name]
        given = _given(node)
        source: Source
        if node.db == TABLES:
            if given:
                raise Opaque(f"{node.alias} has names of its own for columns")
            source, fingerprint = Table(node.name), f"rows {node.name!r}"
            reads.add((node.name, ROWS))
        elif isinstance(node.this, exp.Identifier) and not node.db:
            summary = scope.ctes.get(node.name)
            if summary is None:
                raise Opaque(f"{node.name} is read before it is defined")
            summary = renamed(summary, node.args.get("alias"))
            source, fingerprint = Derived(summary), summary.rows
            reads |= summary.row_reads
        else:  # a table function, a file, a stage, a name no model can have
            own: Gathered = set()
            own_text = [self.expression(part, scope, own) for part in node.parts]
            fingerprint = _hash("function", *own_text)
            source = Computed(fingerprint, frozenset(own), given)
            reads |= own
        if node.args.get("pivots"):
            row, all_reads = source.row()
            reads |= all_reads
            fingerprint = _hash("pivot", row, *map(plain, node.args["pivots"]))
            source = Computed(fingerprint, frozenset(reads))
            names += [pivot.alias for pivot in node.args["pivots"] if pivot.alias]
        modifiers = []
        for key, value in sorted(node.args.items()):
            if value and key not in ("this", "db", "catalog", "alias", "joins", "laterals", "pivots"):
                modifiers.append(key + self._any(value, scope, reads))
                self._note(f"{key.upper()} of {_shown(node)}", modifiers[-1])
        scope.add(names, source, fingerprint, optional=optional)
        joins = [self._join(join, scope, reads) for join in node.args.get("joins") or ()]
        joins += [self._source(lateral, scope, reads) for lateral in node.args.get("laterals") or ()]
        return _hash(fingerprint, *modifiers, *joins) if modifiers or joins else fingerprint

    def _computed(self, node: exp.Expr, scope: Scope, reads: Gathered, *, optional: bool) -> str:
        """LATERAL, UNNEST, VALUES and the like: the rows depend on every argument."""
        inner = node.this if isinstance(node, exp.Lateral) else node
        if isinstance(inner, exp.Subquery) and isinstance(inner.this, exp.Query):
            with _Place(self, node.alias or "a subquery"):
                summary = renamed(self.query(inner, scope), node.args.get("alias"))
            rows = _hash("lateral", summary.rows, plain(node, skip=("this", "alias")))
            scope.add([node.alias], Derived(summary), rows, optional=optional)
            reads |= summary.row_reads
            return rows
        own: Gathered = set()
        fingerprint = _hash(
            type(node).__name__,
            self.expression(inner, scope, own, skip=("alias",)),
            plain(node, skip=("this", "alias", "expressions")),
        )
        reads |= own
        self._note(f"{type(inner).__name__.upper()} {node.alias}".rstrip(), fingerprint)
        given = _given(node)
        source = Computed(fingerprint, frozenset(own), given)
        offset = node.args.get("offset")
        names = [node.alias, *given, *([offset.name] if isinstance(offset, exp.Identifier) else [])]
        free = [name for name in names if name and name not in scope.sources]
        scope.add(free, source, fingerprint, optional=optional)
        return fingerprint

    # -- clauses

    def value(self, query: exp.Expr, scope: Scope) -> Summary:
        """The summary of a query inside an expression; its clauses are not noted."""
        with _Place(self, None):
            return self.query(query, scope)

    def _note(self, label: str, fingerprint: str) -> None:
        if self._place is not None:
            key = base = label + self._place
            number = 1
            while key in self.clauses:
                number += 1
                key = f"{base} (no. {number})"
            self.clauses[key] = _hash(fingerprint)


class _Place:
    """While entered, clauses are noted as those of `name`; of nothing at all for None (a query used as a value)."""

    def __init__(self, walk: _Walk, name: str | None) -> None:
        self._walk = walk
        self._name = name

    def __enter__(self) -> None:
        self._before = self._walk._place
        if self._name is None or self._before is None:
            self._walk._place = None
        else:
            self._walk._place = f" in {self._name}"

    def __exit__(self, *_: object) -> None:
        self._walk._place = self._before


# Arguments of a SELECT that are looked at one by one, or that do not touch rows and columns (hints).
_SELECT_KEYS = frozenset({
    "with_", "expressions", "from_", "joins", "laterals", "where", "group", "having", "qualify", "distinct", "order",
    "limit", "offset", "windows", "hint",
})  # fmt: skip
# Arguments that make other columns than the ones written.
_UNKNOWN_OUTPUT = ("kind", "exclude", "match", "pivots")


def _refuse_alias_inside(key: exp.Expr, scope: Scope) -> None:
    """Raise Opaque for a column of the output inside an expression that sorts: engines take such a name for a column of
    a table if there is one. Alone it is the output's.
    """
    while isinstance(key, exp.Paren):
        key = key.this
    for column in () if isinstance(key, exp.Column) else key.find_all(exp.Column):
        output = None if column.table else scope.outputs.get(column.name)
        if output is not None and output.fingerprint not in scope.values(column.name):
            raise Opaque(f"{column.name} in an expression of ORDER BY may be a column or an alias")


def _given(source: exp.Expr) -> list[str]:
    """The names that an alias gives to a source's columns."""
    alias = source.args.get("alias")
    return [column.name for column in alias.args.get("columns") or ()] if alias is not None else []


def _keeps_right(join: exp.Join) -> bool:
    """Whether the join keeps rows of its right side to which there is none on the left."""
    return str(join.args.get("side") or "").upper() in ("RIGHT", "FULL")


def _shown(node: exp.Expr) -> str:
    """What to call a source before people."""
    if isinstance(node, exp.Table) and isinstance(node.this, exp.Identifier):
        return node.name
    return node.alias or "a computed source"
