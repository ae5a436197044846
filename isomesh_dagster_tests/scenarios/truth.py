"""What environments must show, told simply: the promoted queries, computed from scratch over the recorded days.

Models are data: kind and query by name, parents first. All rows come from `raw.t`, each with a day; `m.inc` stands
between it and the others, so that what a table holds is told by the days of `m.inc` that it was made from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import duckdb

Rows = Counter[tuple[tuple[str, str], ...]]
Models = dict[str, tuple[str, str]]

FIRST, LAST = 1, 12
"""Days of January 2024 that the source has rows of."""

NUMBERS = ("a", "b", "c")
RAW = """
CREATE SCHEMA raw;
CREATE TABLE raw.t AS
SELECT range AS id, range % 7 AS a, range % 5 AS b, range % 3 AS c,
       DATE '2024-01-01' + CAST(range % 12 AS INTEGER) AS ds
FROM range(48);
"""
BY_DAY = "ds BETWEEN @start_date AND @end_date"


@dataclass
class Files:
    """The project's models, as edits left them."""

    columns: dict[str, dict[str, str]] = field(
        default_factory=lambda: {name: {one: one for one in NUMBERS} for name in ("stg", "inc", "kept")}
    )
    filters: dict[str, str] = field(default_factory=lambda: {"stg": "TRUE", "inc": "TRUE", "star": "TRUE"})
    measure: str = "SUM(b)"
    group: str = "a"
    distinct: bool = False
    agg_kind: str = "FULL"
    top: str = "a, b"
    extra: bool = False
    said: dict[str, str] = field(default_factory=dict)

    def models(self) -> Models:
        """Kind and query by model, parents first."""

        def listed(model: str) -> str:
            return ", ".join(f"{text} AS {name}" for name, text in self.columns[model].items())

        distinct = "DISTINCT " if self.distinct else ""
        found = {
            "m.stg": ("VIEW", f"SELECT id, ds, {listed('stg')} FROM raw.t WHERE {self.filters['stg']}"),
            "m.inc": (
                "INCREMENTAL_BY_TIME_RANGE (time_column ds, batch_size 3)",
                f"SELECT id, ds, {listed('inc')} FROM m.stg WHERE {self.filters['inc']} AND {BY_DAY}",
            ),
            "m.daily": (
                "INCREMENTAL_BY_TIME_RANGE (time_column ds)",
                f"SELECT ds, COUNT(*) AS n, {self.measure} AS s FROM m.inc WHERE {BY_DAY} GROUP BY ds",
            ),
            "m.keyed": (
                "INCREMENTAL_BY_UNIQUE_KEY (unique_key id, batch_size 4)",
                f"SELECT id, ds, a FROM m.inc WHERE {BY_DAY}",
            ),
            "m.star": ("FULL", f"SELECT * FROM m.inc WHERE {self.filters['star']}"),
            "m.agg": (self.agg_kind, f"SELECT {self.group}, {self.measure} AS s FROM m.inc GROUP BY {self.group}"),
            "m.emb": ("EMBEDDED", "SELECT id, a, b FROM m.inc WHERE a <> 3"),
            "m.uni": ("FULL", f"SELECT {distinct}a, b FROM m.emb"),
            "m.top": ("VIEW", f"SELECT {self.top} FROM m.star"),
            "m.end": ("FULL", "SELECT a, COUNT(*) AS n FROM m.uni GROUP BY a"),
            "m.kept": (
                "INCREMENTAL_BY_TIME_RANGE (time_column ds, forward_only true, on_destructive_change allow)",
                f"SELECT id, ds, {listed('kept')} FROM raw.t WHERE {BY_DAY}",
            ),
            "m.shows": ("VIEW", "SELECT id, ds FROM m.kept"),
        }
        if self.extra:
            found["m.extra"] = ("FULL", f"SELECT {self.group}, COUNT(*) AS n FROM m.star GROUP BY {self.group}")
        return found

    def texts(self) -> dict[str, str]:
        """The models as files, by name."""
        return {
            name: f"MODEL (name {name}, kind {kind}{self.said.get(name, '')});\n{self.said.get('comment', '')}{query}\n"
            for name, (kind, query) in self.models().items()
        }


def rows_of(connection: duckdb.DuckDBPyConnection, query: str) -> Rows:
    """The rows as a multiset, with the columns' names."""
    cursor = connection.execute(query)
    names = [column[0] for column in cursor.description]
    return Counter(tuple(zip(names, map(str, row), strict=True)) for row in cursor.fetchall())


class Truth:
    """Computes models from scratch in a database of its own, on the rows that the source has now."""

    def __init__(self) -> None:
        self._connection = duckdb.connect()
        self._connection.execute(RAW + "CREATE SCHEMA m")
        self._known: dict[tuple[object, ...], dict[str, Rows]] = {}

    def close(self) -> None:
        """Let go of the database."""
        self._connection.close()

    def arrive(self, sql: str) -> None:
        """Change the source."""
        self._connection.execute(sql)
        self._known.clear()

    def rebuilt(self, models: Models, days: frozenset[int]) -> dict[str, Rows]:
        """The rows of every model, when everything is made from these days."""
        key = (tuple(models.items()), days)
        if key not in self._known:
            self._connection.execute("DROP SCHEMA m CASCADE; CREATE SCHEMA m")
            for name, (_, query) in models.items():
                self._connection.execute(f"CREATE VIEW {name} AS {query.replace(BY_DAY, _on(days))}")
            self._known[key] = {name: rows_of(self._connection, f"SELECT * FROM {name}") for name in models}
        return self._known[key]

    def kept(self, written: Mapping[int, Mapping[str, str]], columns: Iterable[str]) -> Rows:
        """The rows of a table that stays: each day by the expressions it was written with, empty where it has none."""
        found: Rows = Counter()
        for day, expressions in written.items():
            listed = ", ".join(f"{expressions.get(name, 'NULL')} AS {name}" for name in columns)
            found += rows_of(self._connection, f"SELECT id, ds, {listed} FROM raw.t WHERE {_on(frozenset({day}))}")
        return found


def _on(days: frozenset[int]) -> str:
    return f"ds IN ({', '.join(_date(day) for day in sorted(days))})" if days else "FALSE"


def _date(day: int) -> str:
    return f"DATE '2024-01-{day:02}'"
