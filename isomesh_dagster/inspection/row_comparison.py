"""Two tables compared in the warehouse: what a change did to the rows.

Both sides together are grouped by all compared columns: rows that are as often on one side as on the other are equal,
and only the rest is kept (in a temporary table) and looked at by key. Grouping takes NULL for equal to NULL, so keys
and rows may hold it; a row that is there twice counts twice. Nothing but counts and the few rows of the samples leaves
the warehouse.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from isomesh_dagster.engine.connection import Connection, Session
from isomesh_dagster.errors import PlanError
from isomesh_dagster.inspection.table_diff import (
    ColumnChange,
    ColumnMatch,
    Pair,
    Question,
    Row,
    RowCounts,
    RowPair,
    SameTable,
    Side,
    TableDiff,
)
from isomesh_dagster.model.names import nearest
from isomesh_dagster.relation import quote

Columns = Sequence[tuple[str, str]]

_UNEVEN = quote("_isomesh_uneven_rows")
_PAIRS = quote("_isomesh_row_pairs")

_WHOLE_NUMBERS = (
    "TINYINT",
    "SMALLINT",
    "INT",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "USMALLINT",
    "UINT",
    "UBIGINT",
    "UHUGE",
)
_WITHOUT_EQUALITY = frozenset(
    {"JSON", "JSONPATH", "XML", "XID", "POINT", "LINE", "LSEG", "BOX", "PATH", "POLYGON", "CIRCLE"}
)
"""Types by which an engine cannot group, or (geometry) groups by size: compared as text, and so are lists of them."""
_FLOATS = ("FLOAT", "DOUBLE", "REAL")
_DECIMALS = ("DECIMAL", "NUMERIC")
_TEXTS = ("VARCHAR", "TEXT", "CHAR", "STRING")
_MOMENTS = ("DATE", "TIMESTAMP", "DATETIME")
_HAS_DECIMALS_BELOW = "1e15"  # a double beyond this has no decimals that could be rounded


def compare_tables(connection: Connection, pair: Pair, question: Question) -> TableDiff | SameTable:
    """How the rows of the two tables differ, seen at one moment. Only temporary tables are written.

    Raises PlanError for a table or a column that is not there, EngineError when `where` cannot be run.
    """
    if pair.source.relation == pair.target.relation:
        return SameTable(model=pair.model, source=pair.source, target=pair.target)
    with connection.session() as session:
        columns = [_columns(session, side) for side in (pair.source, pair.target)]
        layout = _layout(pair, question, *columns)
        with session.reading((pair.source.relation, pair.target.relation)):
            return _Comparing(session, pair, question, layout).result(_changes(*columns))


# ── columns ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """One compared column: its name, and what is compared of it on either side, as SQL."""

    name: str
    source: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Layout:
    """The compared columns; the first `keys` of them name a row."""

    columns: tuple[_Compared, ...]
    keys: int

    def names(self, start: int = 0, end: int | None = None, prefix: str = "c") -> list[str]:
        """Names of columns in the temporary tables: `c0`, `c1`, …, which no column's real name can disturb."""
        return [f"{prefix}{index}" for index in range(len(self.columns))][start:end]


def _columns(session: Session, side: Side) -> Columns:
    found = session.columns(side.relation)
    if not found:
        raise PlanError(
            f"there is no table {side.relation}",
            hint="two environments or two tables are compared: prod:dev, or schema.table:schema.table",
        )
    return found


def _changes(source: Columns, target: Columns) -> tuple[ColumnChange, ...]:
    ours, theirs = _by_name(source), _by_name(target)
    names = [*(name for name, _ in source), *(name for name, _ in target if name.lower() not in ours)]
    types = [(name, ours.get(name.lower(), ("", None))[1], theirs.get(name.lower(), ("", None))[1]) for name in names]
    return tuple(ColumnChange(name=name, source=one, target=other) for name, one, other in types if one != other)


def _by_name(columns: Columns) -> dict[str, tuple[str, str]]:
    return {name.lower(): (name, type_) for name, type_ in columns}


def _layout(pair: Pair, question: Question, source: Columns, target: Columns) -> _Layout:
    """Which columns are compared, those of the key first, the others as the source has them."""
    ours, theirs = _by_name(source), _by_name(target)
    common = [name for name, _ in source if name.lower() in theirs]
    keys = _asked(question.on, common, "--on") if question.on else _usable(pair.grain, common)
    skipped = {name.lower() for name in _asked(question.skip, [*ours, *theirs], "--skip-columns")}
    lower_keys = [name.lower() for name in keys]
    if hidden := skipped.intersection(lower_keys):
        raise PlanError(f"column {min(hidden)!r} names rows and is not to be compared: it cannot be both")
    rest = [name for name in common if name.lower() not in skipped and name.lower() not in lower_keys]
    if not keys and not rest:
        raise PlanError("there is no column in common to compare", model=pair.model)
    columns = []
    for name in (*keys, *rest):
        written = [by_name[name.lower()] for by_name in (ours, theirs)]
        first, second = _comparable(written[0], written[1], question.decimals)
        columns.append(_Compared(name=written[0][0], source=first, target=second))
    return _Layout(columns=tuple(columns), keys=len(keys))


def _asked(asked: Sequence[str], known: Sequence[str], option: str) -> list[str]:
    """The columns somebody named, each once. Raises PlanError for one that is not there."""
    by_name = {name.lower(): name for name in known}
    for name in asked:
        if name.lower() not in by_name:
            raise PlanError(
                f"{option}: there is no column {name!r}" + (" on both sides" if option == "--on" else ""),
                hint=nearest(name.lower(), by_name) or f"there are {', '.join(sorted(by_name))}",
            )
    return list(dict.fromkeys(by_name[name.lower()] for name in asked))


def _usable(grain: Sequence[str], common: Sequence[str]) -> list[str]:
    """The grain's columns; none when a side lacks one of them or it is no plain column."""
    by_name = {name.lower(): name for name in common}
    found = [by_name.get(name.lower()) for name in grain]
    return [name for name in found if name is not None] if None not in found else []


def _comparable(source: tuple[str, str], target: tuple[str, str], decimals: int) -> tuple[str, str]:
    """What is compared of a column on both sides: floats rounded, types that do not mix as text."""
    names = quote(source[0]), quote(target[0])
    families = _family(source[1]), _family(target[1])
    is_mixed = source[1] != target[1] and (families[0] != families[1] or families[0] == "other")
    if is_mixed or source[1].upper().rstrip("[]") in _WITHOUT_EQUALITY:
        return f"CAST({names[0]} AS VARCHAR)", f"CAST({names[1]} AS VARCHAR)"
    if _is_float(source[1]) or _is_float(target[1]):  # a number beside a float is told as exactly as that
        return _rounded(names[0], decimals), _rounded(names[1], decimals)
    return names


def _family(type_: str) -> str:
    """Types of one family are compared as they are: the engine finds their common type."""
    upper = type_.upper()
    if upper.endswith("]"):
        return "other"
    for family, beginnings in (
        ("number", (*_WHOLE_NUMBERS, *_FLOATS, *_DECIMALS)),
        ("text", _TEXTS),
        ("moment", _MOMENTS),
    ):
        if upper.startswith(beginnings) and not upper.startswith("INTERVAL"):
            return family
    return "other"


def _is_float(type_: str) -> bool:
    return type_.upper().startswith(_FLOATS) and not type_.endswith("]")


def _rounded(name: str, decimals: int) -> str:
    """The number as a float rounded half up, in words every engine knows; infinity, NaN and numbers without decimals
    stay.
    """
    scale, number = f"1e{decimals}", f"CAST({name} AS DOUBLE PRECISION)"
    rounded = f"FLOOR({number} * {scale} + 0.5) / {scale}"
    return f"CASE WHEN ABS({number}) < {_HAS_DECIMALS_BELOW} THEN {rounded} ELSE {number} END"


# ── rows ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

# how the rows of the pairs' table meet: `side` 1 is the source's, `sides` tells whether the other one has a partner
_PARTIAL = "side = 1 AND sides = 2"
_SOURCE_ONLY = "side = 1 AND sides = 1"
_TARGET_ONLY = "side = 2"


class _Comparing:
    """One comparison, inside the caller's transaction."""

    def __init__(self, session: Session, pair: Pair, question: Question, layout: _Layout) -> None:
        self._session = session
        self._pair = pair
        self._question = question
        self._layout = layout
        self._has_key = layout.keys > 0
        where = f" WHERE (\n{question.where}\n)" if question.where else ""
        self._source = self._side(pair.source, lambda column: column.source, where)
        self._target = self._side(pair.target, lambda column: column.target, where)

    def result(self, changes: tuple[ColumnChange, ...]) -> TableDiff:
        layout = self._layout
        self._keep_uneven()
        if self._has_key:
            self._keep_pairs()
        rows = self._rows()
        diff = TableDiff(
            model=self._pair.model,
            source=self._pair.source,
            target=self._pair.target,
            key=tuple(column.name for column in layout.columns[: layout.keys]),
            repeated=(self._repeated(self._source), self._repeated(self._target)),
            changes=changes,
            compared=tuple(column.name for column in layout.columns),
            rows=rows,
            matches=self._matches(rows),
            pairs=self._sample_pairs(),
            source_only=self._sample(_SOURCE_ONLY, "excess > 0"),
            target_only=self._sample(_TARGET_ONLY, "excess < 0"),
        )
        for table in (_PAIRS, _UNEVEN):
            self._session.execute(f"DROP TABLE IF EXISTS {table}")
        return diff

    def _side(self, side: Side, expression: Callable[[_Compared], str], where: str) -> str:
        """A query for the compared columns of one side."""
        columns = zip(self._layout.columns, self._layout.names(), strict=True)
        listed = ", ".join(f"{expression(column)} AS {name}" for column, name in columns)
        return f"SELECT {listed} FROM {self._session.placed(side.relation).sql}{where}"

    def _keep_uneven(self) -> None:
        """Rows, each once, that are not as often on both sides; `excess` is how much more often on the source's."""
        names = ", ".join(self._layout.names())
        self._session.execute(
            f"CREATE TEMPORARY TABLE {_UNEVEN} AS"
            f" SELECT {names}, CAST(SUM(one) AS BIGINT) AS excess"
            f" FROM (SELECT {names}, 1 AS one FROM (\n{self._source}\n) AS source_rows"
            f" UNION ALL SELECT {names}, -1 AS one FROM (\n{self._target}\n) AS target_rows) AS both_sides"
            f" GROUP BY {names} HAVING SUM(one) <> 0"
        )

    def _keep_pairs(self) -> None:
        """The uneven rows, each as often as it is uneven, beside the row of the other side that has their key.

        A pair is one row: the source's values as `c…`, the target's as `t…`. Of several rows with one key the first
        ones, in order of their values, are paired.
        """
        keys, rest = self._layout.names(end=self._layout.keys), self._layout.names(self._layout.keys)
        key, both = ", ".join(keys), ", ".join((*keys, *rest))
        partners = "".join(f", LEAD({name}) OVER meeting AS t{name[1:]}" for name in rest)
        order = f" ORDER BY {', '.join(rest)}" if rest else ""
        self._session.execute(
            f"CREATE TEMPORARY TABLE {_PAIRS} AS"
            f" WITH uneven AS (SELECT {both}, CASE WHEN excess > 0 THEN 1 ELSE 2 END AS side"
            f" FROM {_UNEVEN}{self._times_excess()}),"
            f" placed AS (SELECT {both}, side, ROW_NUMBER() OVER (PARTITION BY side, {key}{order}) AS place"
            " FROM uneven),"
            f" met AS (SELECT {both}, side, COUNT(*) OVER (PARTITION BY {key}, place) AS sides{partners}"
            f" FROM placed WINDOW meeting AS (PARTITION BY {key}, place ORDER BY side))"
            " SELECT * FROM met WHERE side = 1 OR sides = 1"
        )

    def _times_excess(self) -> str:
        """A join that repeats each uneven row as often as it is uneven; nothing where no row is so twice."""
        most = int(self._one(f"SELECT COALESCE(MAX(ABS(excess)), 0) FROM {_UNEVEN}"))
        if most <= 1:
            return ""
        digits = range(len(str(most)))
        values = ", ".join(f"({digit})" for digit in range(10))
        tables = ", ".join(f"(VALUES {values}) AS digits{place}(digit)" for place in digits)
        number = " + ".join(f"digits{place}.digit * {10**place}" for place in digits)
        return (
            f" JOIN (SELECT number FROM (SELECT {number} AS number FROM {tables}) AS numbers"
            f" WHERE number BETWEEN 1 AND {most}) AS times ON times.number <= ABS(excess)"
        )

    def _rows(self) -> RowCounts:
        source, target = (int(self._one(f"SELECT COUNT(*) FROM (\n{side}\n) AS all_rows")) for side in self._sides)
        excess = self._one(f"SELECT COALESCE(SUM(excess), 0) FROM {_UNEVEN} WHERE excess > 0")
        uneven = int(excess)
        partial = int(self._one(f"SELECT COUNT(*) FROM {_PAIRS} WHERE {_PARTIAL}")) if self._has_key else 0
        full = source - uneven
        return RowCounts(
            source=source,
            target=target,
            full=full,
            partial=partial,
            source_only=uneven - partial,
            target_only=target - full - partial,
        )

    @property
    def _sides(self) -> tuple[str, str]:
        return self._source, self._target

    def _repeated(self, side: str) -> int:
        """How many keys of the side name more than one row."""
        if not self._has_key:
            return 0
        key = ", ".join(self._layout.names(end=self._layout.keys))
        repeated = f"SELECT {key} FROM (\n{side}\n) AS all_rows GROUP BY {key} HAVING COUNT(*) > 1"
        return int(self._one(f"SELECT COUNT(*) FROM ({repeated}) AS repeated"))

    def _matches(self, rows: RowCounts) -> tuple[ColumnMatch, ...]:
        rest = self._layout.names(self._layout.keys)
        if not self._has_key or not rest:
            return ()
        equal = ", ".join(
            f"COALESCE(SUM(CASE WHEN {name} IS NOT DISTINCT FROM t{name[1:]} THEN 1 ELSE 0 END), 0)" for name in rest
        )
        counts = self._session.fetch(f"SELECT {equal} FROM {_PAIRS} WHERE {_PARTIAL}")[0]
        return tuple(
            ColumnMatch(name=column.name, equal=rows.full + int(count), compared=rows.full + rows.partial)
            for column, count in zip(self._layout.columns[self._layout.keys :], counts, strict=True)
        )

    def _sample_pairs(self) -> tuple[RowPair, ...]:
        if not self._has_key:
            return ()
        keys, rest = self._layout.names(end=self._layout.keys), self._layout.names(self._layout.keys)
        theirs = [f"t{name[1:]}" for name in rest]
        differs = [
            f"CASE WHEN {one} IS DISTINCT FROM {other} THEN 1 ELSE 0 END"
            for one, other in zip(rest, theirs, strict=True)
        ]
        listed = ", ".join((*keys, *rest, *theirs, *differs))
        found = self._session.fetch(f"SELECT {listed} FROM {_PAIRS} WHERE {_PARTIAL}{self._first()}")
        names = [column.name for column in self._layout.columns[self._layout.keys :]]
        return tuple(_row_pair(row, len(keys), names) for row in found)

    def _sample(self, of_pairs: str, of_uneven: str) -> tuple[Row, ...]:
        """The first rows without a partner; where rows have no key, one that is there twice is shown once."""
        table, condition = (_PAIRS, of_pairs) if self._has_key else (_UNEVEN, of_uneven)
        listed = ", ".join(self._layout.names())
        return tuple(self._session.fetch(f"SELECT {listed} FROM {table} WHERE {condition}{self._first()}"))

    def _first(self) -> str:
        return f" ORDER BY {', '.join(self._layout.names())} LIMIT {int(self._question.sample)}"

    def _one(self, sql: str) -> Any:
        return self._session.fetch(sql)[0][0]


def _row_pair(row: Row, keys: int, names: Sequence[str]) -> RowPair:
    """From a row of key, the source's values, the target's, and for each of them whether it differs."""
    count = len(names)
    key, ours, theirs = row[:keys], row[keys : keys + count], row[keys + count : keys + 2 * count]
    differs = row[keys + 2 * count :]
    return RowPair(
        source=(*key, *ours),
        target=(*key, *theirs),
        columns=tuple(name for name, is_different in zip(names, differs, strict=True) if is_different),
    )
