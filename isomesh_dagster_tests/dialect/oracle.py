"""Random queries, random edits of them, and the truth about both: their rows in a real DuckDB.

The claim under test: over the columns a verdict does not name, the old and the new query return the same multiset.
Everything is drawn from a seeded `random.Random`, so a failure can be repeated by its seed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial

import duckdb
from sqlglot import exp, parse_one

from isomesh_dagster.relation import Column

SCHEMA = {
    "db.t": tuple(
        Column(name=name, type=type_)
        for name, type_ in (("id", "INT"), ("a", "INT"), ("b", "INT"), ("c", "TEXT"), ("arr", "INT[]"))
    ),
    "db.u": tuple(Column(name=name, type="INT") for name in ("id", "k", "v", "a")),
}


def warehouse() -> duckdb.DuckDBPyConnection:
    """A database with the tables of `SCHEMA`, small values so that edits collide, NULLs and duplicates included."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("CREATE SCHEMA db")
    connection.execute("SELECT setseed(0.42)")
    connection.execute(
        "CREATE TABLE db.t AS SELECT i::INT AS id, (random() * 6)::INT AS a, (random() * 6)::INT AS b,"
        " chr(97 + (random() * 4)::INT) AS c, range((random() * 3)::INT)::INT[] AS arr FROM range(40) AS r(i)"
    )
    connection.execute("INSERT INTO db.t VALUES (NULL, NULL, NULL, NULL, NULL), (61, NULL, 2, 'a', [1, 2])")
    connection.execute(
        "CREATE TABLE db.u AS SELECT (random() * 40)::INT AS id, (random() * 4)::INT AS k, (random() * 9)::INT AS v,"
        " (random() * 6)::INT AS a FROM range(60)"
    )
    return connection


def names(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[str, ...]:
    """The columns a query returns. Raises duckdb.Error when it cannot be run."""
    return tuple(item[0] for item in connection.execute(sql).description)


def rows(connection: duckdb.DuckDBPyConnection, sql: str, columns: Sequence[str]) -> Counter[str]:
    """The multiset of rows over some columns; their number when there are none."""
    items = ", ".join(f'"{column}"' for column in columns) or "1"
    return Counter(map(repr, connection.execute(f"SELECT {items} FROM (\n{sql}\n)").fetchall()))


class Maker:
    """Draws queries. Names are reused on purpose: aliases that shadow columns are where meanings slip."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)

    def pick(self, *options: str) -> str:
        """One of the options."""
        return self.draw.choice(options)

    def number(self, *columns: str) -> str:
        """An expression over the columns that gives a number."""
        column, other, n = self.pick(*columns), self.pick(*columns), self.draw.randint(0, 4)
        return self.pick(
            column,
            column,
            f"{column} + {n}",
            f"COALESCE({column}, {n})",
            f"CASE WHEN {column} > {n} THEN {other} ELSE {n} END",
            f"{column} * {other}",
            f"-{column}",
            f"{column} % 3",
            f"CAST({column} AS BIGINT)",
            f"NULLIF({column}, {n})",
        )

    def condition(self, *columns: str) -> str:
        """A condition over the columns."""
        column, n = self.pick(*columns), self.draw.randint(0, 4)
        simple = (f"{column} > {n}", f"{column} IN (1, 2, {n})", f"{column} IS NOT NULL", f"{column} <> {n}")
        return self.pick(*simple, f"{column} > {n} AND {self.pick(*columns)} < 5", f"{column} = {n} OR {column} > 2")

    def p(self) -> str:
        """A CTE over db.t: id, x0, x1, x2, c, arr."""
        items = ", ".join(f"{self.number('t.a', 't.b', 't.id')} AS x{i}" for i in range(3))
        tail = self.pick(
            "",
            "",
            f" WHERE {self.condition('t.a', 't.b')}",
            " QUALIFY ROW_NUMBER() OVER (PARTITION BY t.c ORDER BY t.id) <= 5",
            f" ORDER BY {self.pick('x0', 'a', 'x1 + 1', '-t.b', '2')}, t.id LIMIT {self.draw.randint(5, 20)}",
        )
        return f"SELECT {self.pick('', '', '', 'DISTINCT ')}t.id, {items}, t.c, t.arr FROM db.t AS t{tail}"

    def q(self) -> str:
        """A CTE over db.u: id, y0, y1."""
        total, other = self.pick("SUM(u.v)", "MAX(u.v)", "COUNT(*)", "MIN(u.a)"), self.pick("MAX(u.k)", "COUNT(u.v)")
        grouped = f"SELECT u.id, {total} AS y0, {other} AS y1 FROM db.u AS u GROUP BY {self.pick('u.id', '1', 'id')}"
        return self.pick(
            grouped + self.pick("", " HAVING COUNT(*) > 1", " HAVING y0 > 2"),
            f"SELECT id, v AS y0, {self.number('k', 'v')} AS y1 FROM db.u WHERE {self.condition('k', 'v')}",
            "SELECT id, k AS y0, a AS y1 FROM db.u UNION SELECT id, v, t.a FROM db.t JOIN db.u USING (id)",
            "SELECT DISTINCT ON (k) id, k AS y0, v AS y1 FROM db.u ORDER BY k, v, id, a",
        )

    def query(self) -> str:
        """A query with an `id`-like first column where it has one, other columns o0, o1 …"""
        join = self.pick("LEFT JOIN", "JOIN", "FULL JOIN")
        source = f"p {join} q ON p.id = q.id"
        with_ = f"WITH p AS ({self.p()}), q AS ({self.q()}) "
        shapes: Sequence[Callable[[str], str]] = (
            self._plain, self._grouped, self._grouped_by_alias, self._distinct, self._union, self._from_unnest,
            self._select_unnest, self._filtered_by_query, self._lateral_alias, self._shadowed, self._one_row, self._cut,
            self._starred, self._windowed, self._base_tables, self._recursive, self._twice,
        )  # fmt: skip
        return with_ + self.draw.choice(shapes)(source)

    def _plain(self, source: str) -> str:
        items = [
            "p.id AS id",
            f"{self.number('p.x0', 'p.x1', 'p.x2', 'q.y0')} AS o0",
            f"{self.number('p.x0', 'p.x1', 'q.y1')} AS o1",
            f"SUM(p.x{self.draw.randint(0, 2)}) OVER (PARTITION BY p.c) AS o2",
            f"(SELECT {self.pick('MAX(v)', 'COUNT(*)', 'MIN(k)')} FROM db.u AS z WHERE z.id = p.id) AS o3",
        ]
        self.draw.shuffle(items)
        where = self.pick("", f" WHERE {self.condition('p.x0', 'p.x1')} AND p.c <> 'b'")
        return f"SELECT {', '.join(items)} FROM {source}{where}"

    def _grouped(self, source: str) -> str:
        totals = f"{self.pick('SUM', 'MIN', 'MAX', 'COUNT')}(p.x0) AS o0, {self.pick('SUM', 'MAX')}(q.y0) AS o1"
        keys = self.pick("p.c", "1", "p.c, p.x1", "ROLLUP (p.c)")
        having = self.pick("", "", " HAVING COUNT(*) > 1", " HAVING o0 > 3")
        return f"SELECT p.c AS c, {totals}, COUNT(*) AS o2 FROM {source} GROUP BY {keys}{having}"

    def _grouped_by_alias(self, source: str) -> str:
        key = self.number("p.x0", "p.x1")
        by = self.pick("x1", "1", key)
        return f"SELECT {key} AS x1, COUNT(*) AS o0, MAX(p.id) AS o1 FROM {source} GROUP BY {by}"

    def _distinct(self, source: str) -> str:
        return f"SELECT DISTINCT p.c AS c, {self.number('p.x0', 'q.y0')} AS o0 FROM {source}"

    def _union(self, source: str) -> str:
        kind = self.pick("UNION", "UNION ALL", "EXCEPT", "INTERSECT", "EXCEPT ALL")
        right = f"SELECT u.id, {self.number('u.k', 'u.v')}, u.v FROM db.u AS u"
        return f"SELECT p.id AS id, p.x0 AS o0, {self.number('p.x1')} AS o1 FROM {source} {kind} {right}"

    def _from_unnest(self, source: str) -> str:
        return (
            f", w AS (SELECT p.*, q.y0, q.y1 FROM {source}) SELECT w.id AS id, e.v AS o0, w.x0 + e.v AS o1, w.y0 AS o2"
            " FROM w, UNNEST(w.arr) AS e(v)"
        )

    def _select_unnest(self, source: str) -> str:
        return f"SELECT p.id AS id, UNNEST(p.arr) AS o0, {self.number('p.x0', 'p.x1')} AS o1 FROM {source}"

    def _filtered_by_query(self, source: str) -> str:
        exists = f"EXISTS (SELECT 1 FROM db.u AS z WHERE z.id = p.id AND z.k > {self.draw.randint(0, 3)})"
        where = self.pick(exists, "p.x2 IN (SELECT k FROM db.u)", "p.x0 > (SELECT MIN(y0) FROM q)")
        return f"SELECT p.id AS id, p.x1 AS o0, q.y0 AS o1, {exists} AS o2 FROM {source} WHERE {where}"

    def _lateral_alias(self, source: str) -> str:
        return (
            f"SELECT p.id AS id, {self.number('p.x0', 'p.x1')} AS o0, o0 * 2 AS o1, {self.number('o0', 'p.x2')} AS o2"
            f" FROM {source}{self.pick('', ' WHERE o0 > 1')}"
        )

    def _shadowed(self, source: str) -> str:
        items = f"id, {self.number('a', 'b')} AS a, {self.number('a', 'b')} AS b"
        tail = self.pick(
            f" WHERE {self.condition('a', 'b')}",
            " QUALIFY ROW_NUMBER() OVER (PARTITION BY a ORDER BY b, id) = 1",
            f" ORDER BY a{self.pick('', ' + 1', ' * b')}, b, id LIMIT 9",
            "",
        )
        grouped = (
            f"SELECT {self.number('a')} AS a, COUNT(*) AS b FROM db.t GROUP BY {self.pick('a', '1')}"
            f"{self.pick('', ' HAVING a > 1', ' HAVING MAX(b) > 3')}"
        )
        return self.pick(f"SELECT {items} FROM db.t{tail}", grouped)

    def _one_row(self, source: str) -> str:
        return f"SELECT {self.pick('1', '1', 'COUNT(*)', 'MAX(p.x0)')} AS o0, 2 AS o1 FROM {source}"

    def _cut(self, source: str) -> str:
        by = self.pick("o0", "p.x0", "-o0", "2", "o0 DESC")
        item = self.number("p.x0", "p.x1")
        return f"SELECT p.id AS id, {item} AS o0 FROM {source} ORDER BY {by}, p.id, q.y0, q.y1 LIMIT 7"

    def _starred(self, source: str) -> str:
        star = self.pick("p.*", "p.* EXCLUDE (x1)", "p.* REPLACE (x0 + 1 AS x0)", "p.*, q.y0")
        return f"SELECT {star} FROM {source}"

    def _windowed(self, source: str) -> str:
        return (
            "SELECT p.id AS id, SUM(p.x0) OVER w AS o0, COUNT(*) OVER (w ORDER BY p.id, q.y0, q.y1) AS o1, p.x2 AS o2"
            f" FROM {source} WINDOW w AS (PARTITION BY {self.pick('p.c', 'p.x1')})"
        )

    def _base_tables(self, source: str) -> str:
        join = self.pick(
            "JOIN db.u USING (id)", "LEFT JOIN db.u USING (id)", "SEMI JOIN db.u USING (id)", "NATURAL JOIN db.u"
        )
        return f"SELECT id, {self.number('b')} AS o0, c AS o1 FROM db.t {join}"

    def _recursive(self, source: str) -> str:
        n = self.draw.randint(2, 4)
        return (
            "SELECT r.n AS id, r.m + 1 AS o0, z.o AS o1 FROM (WITH RECURSIVE r AS (SELECT 1 AS n, 2 AS m UNION ALL"
            f" SELECT n + 1, m * 2 FROM r WHERE n < {n}) SELECT n, m FROM r) AS r,"
            f" (SELECT MAX(p.x0) AS o FROM {source}) AS z"
        )

    def _twice(self, source: str) -> str:
        left, right = self.pick("p", "db.t"), self.pick("db.t", "(SELECT id, a + 1 AS a, b FROM db.t)")
        join = self.pick("LEFT JOIN", "JOIN", "RIGHT JOIN")
        return (
            f"SELECT y.id AS id, x.id AS o0, {self.number('x.id', 'y.a', 'y.b')} AS o1, COUNT(*) OVER () AS o2"
            f" FROM {left} AS x {join} {right} AS y ON x.id > y.b{self.pick('', ' WHERE x.id > 2')}"
        )

    def reader(self, columns: Sequence[str]) -> str:
        """A query over a model `db.m` with these columns, whatever their types."""
        item = [
            self.pick("m.{}", "CAST(m.{} AS TEXT) || 'z'", "m.{} IS NULL", "COUNT(m.{}) OVER ()").format(column)
            for column in (self.pick(*columns), self.pick(*columns))
        ]
        read = self.pick(*columns)
        where = self.pick("", f" WHERE m.{read} IS NOT NULL", f" WHERE CAST(m.{read} AS TEXT) > '2'")
        return self.pick(
            f"SELECT {item[0]} AS r0, {item[1]} AS r1, 1 AS r2 FROM db.m AS m{where}",
            f"SELECT {item[0]} AS r0, u.k AS r1 FROM db.m AS m"
            f" JOIN db.u AS u ON CAST(m.{read} AS TEXT) = CAST(u.k AS TEXT)",
            f"SELECT m.{read} AS r0, COUNT(*) AS r1, MAX({read}) AS r2 FROM db.m AS m GROUP BY 1",
            f"SELECT DISTINCT {item[0]} AS r0 FROM db.m AS m{where}",
            f"SELECT u.id AS r0, (SELECT MAX(CAST({read} AS TEXT)) FROM db.m) AS r1, u.k AS r2 FROM db.u AS u",
            f"WITH w AS (SELECT * FROM db.m) SELECT w.{read} AS r0, 1 AS r1 FROM w",
            "SELECT * FROM db.m",
            f"SELECT r0, r1 FROM (SELECT {item[0]} AS r0, {item[1]} AS r1, m.{read} AS r2 FROM db.m AS m{where}) AS s",
        )

    # -- edits

    def edit(self, sql: str) -> str:
        """The query with one or two small changes."""
        tree = parse_one(sql, read="duckdb")
        before = tree.copy()
        for _ in range(self.draw.choice((1, 1, 1, 2))):
            by_kind: dict[str, list[Callable[[], object]]] = {}
            for kind, change in self._edits(tree):
                by_kind.setdefault(kind, []).append(change)
            self.draw.choice(by_kind[self.pick(*by_kind)])()
        return tree.sql("duckdb") if tree != before else self.edit(sql)

    def _edits(self, tree: exp.Expression) -> Iterator[tuple[str, Callable[[], object]]]:
        """Possible edits, by kind: first a kind is drawn, then a place, so that rare kinds are not rare."""
        for node in tree.walk():
            if isinstance(node, exp.Literal) and not node.is_string and not isinstance(node.parent, exp.Ordered):
                yield "literal", partial(node.set, "this", str(int(node.this) + 1))
            elif isinstance(node, exp.Column) and (others := _NEIGHBOURS.get(node.name)):
                yield "column", partial(node.set, "this", exp.to_identifier(self.pick(*others)))
                if node.table in ("x", "y"):
                    yield "table", partial(node.set, "table", exp.to_identifier("y" if node.table == "x" else "x"))
            elif isinstance(node, exp.Join) and node.args.get("side"):
                yield "join", partial(node.set, "side", self.pick("LEFT", "FULL", "RIGHT", ""))
            elif isinstance(node, (exp.Sum, exp.Max, exp.Min)):
                other = self.draw.choice((exp.Sum, exp.Max, exp.Min))
                yield "aggregate", partial(node.replace, other(this=node.this.copy()))
            elif isinstance(node, (exp.Where, exp.Having, exp.Qualify, exp.Limit)):
                yield "drop clause", node.pop
            elif isinstance(node, (exp.And, exp.Or)):
                yield "swap", partial(_swap, node)
            elif isinstance(node, exp.GT):
                yield (
                    "comparison",
                    partial(node.replace, exp.GTE(this=node.this.copy(), expression=node.expression.copy())),
                )
            elif isinstance(node, exp.Group) and len(node.expressions) > 1:
                yield "group", partial(node.set, "expressions", node.expressions[:-1])
            elif isinstance(node, exp.Ordered):
                select = node.find_ancestor(exp.Select)
                picks = isinstance(select, exp.Select) and select.args.get("distinct") is not None
                yield "order that picks" if picks else "order", partial(node.set, "desc", not node.args.get("desc"))
            elif isinstance(node, exp.SetOperation):
                yield "set operation", partial(node.set, "distinct", not node.args.get("distinct"))
            elif isinstance(node, exp.Select):
                yield from self._edits_of_select(node)

    def _edits_of_select(self, select: exp.Select) -> Iterator[tuple[str, Callable[[], object]]]:
        name = f"zz{self.draw.randint(0, 999)}"
        plain = self.pick("7", "t.a", "p.x0", "u.v", "p.id", "x1", "p.c", "MAX(7) OVER ()")
        value = self.pick(plain, plain, "UNNEST([1, 2])", "COUNT(*)", "LIST(7)")
        new = exp.alias_(parse_one(value, read="duckdb"), name)
        old = select.expressions
        group = select.args.get("group")
        yield "add column", partial(select.set, "expressions", [*old, new])
        yield "add column", partial(select.set, "expressions", [new, *old])
        if len(old) > 1:
            yield "drop column", partial(select.set, "expressions", old[1:])
            yield "reorder", partial(select.set, "expressions", old[::-1])
        yield "distinct", partial(select.set, "distinct", None if select.args.get("distinct") else exp.Distinct())
        if group is not None and group.expressions:
            key = exp.column("x2", "p") if select.find(exp.CTE) or select.parent is None else exp.column("k", "u")
            yield "group", partial(group.set, "expressions", [*group.expressions, key])
            yield "group", partial(group.set, "expressions", [key])


_NEIGHBOURS = {
    "a": ("b", "id"), "b": ("a", "id"), "x0": ("x1", "x2"), "x1": ("x0", "x2"), "x2": ("x0",), "y0": ("y1",),
    "y1": ("y0",), "c": ("x1", "x2"), "v": ("k", "a"), "k": ("v", "a"), "o0": ("o1", "id"), "n": ("m",), "m": ("n",),
}  # fmt: skip


def _swap(node: exp.Expression) -> None:
    left, right = node.this.copy(), node.expression.copy()
    node.set("this", right)
    node.set("expression", left)
