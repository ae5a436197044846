"""`SCD_TYPE_2_BY_TIME` and `SCD_TYPE_2_BY_COLUMN`: every version of a row, with the time `[valid_from, valid_to)` it
was valid.

A batch is what the source says now. In order: rows without an open version, or that differ from it, become versions;
the open versions they follow end where they begin; keys that are gone end now, if deletes count. Nothing else is
touched: a closed version is never written again. For every key the versions do not overlap, and one at most is open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.evaluation.rows import (
    Columns,
    Write,
    Written,
    cast,
    conformed,
    create_empty,
    equatable,
    key_names,
    keyed,
    names,
    one_per_key,
)
from isomesh_dagster.model.kinds import ScdType2, ScdType2ByTime
from isomesh_dagster.relation import quote
from isomesh_dagster.snapshot.interval import from_ms

_SOURCE = quote("_isomesh_source")
_VERSIONS = quote("_isomesh_versions")
_BEGIN = quote("_isomesh_begin")


def write_versions(session: Session, work: Write, kind: ScdType2) -> Written:
    """Bring the versions up to what the source says now."""
    time_type = work.texts.managed[0].type
    query = cast(work.query, work.typed)
    if work.is_new:
        create_empty(session, work, query)
        if isinstance(kind, ScdType2ByTime):
            _retype(session, work, kind.updated_at_name, time_type)
    columns = tuple(session.columns(work.physical))
    if work.interval is None:
        return Written(rows=0, columns=columns)
    managed = (kind.valid_from_name, kind.valid_to_name)
    own = tuple((name, type_) for name, type_ in columns if name not in managed)
    if isinstance(kind, ScdType2ByTime):
        query = _with_times(query, own, kind.updated_at_name, time_type)
    statements = _Statements(work, kind, own, time_type, session.same)
    latest = one_per_key(conformed(query, own), work.texts.keys, own, latest=kind.updated_at_name)
    session.execute(
        f"CREATE TEMPORARY TABLE {_SOURCE} AS\nSELECT *, {keyed(work.texts.keys)}\nFROM (\n{latest}\n) AS _batch"
    )
    session.execute(f"CREATE TEMPORARY TABLE {_VERSIONS} AS\n{statements.versions()}")
    counts = [session.execute(statement) for statement in statements.changes()]
    session.execute(f"DROP TABLE {_VERSIONS}")
    session.execute(f"DROP TABLE {_SOURCE}")
    rows = None if None in counts else sum(count for count in counts if count is not None)
    return Written(rows=rows, columns=columns)


class _Statements:
    """The SQL of one batch. In every scope but one relation the names are ours, so that the key's expressions may stay
    as they are.
    """

    def __init__(
        self,
        work: Write,
        kind: ScdType2,
        columns: Columns,
        time_type: str,
        same: Callable[[Sequence[str], Sequence[str]], str],
    ) -> None:
        self._same = same
        self._kind = kind
        self._table = work.physical.sql
        self._names_of_columns = tuple(names(columns))
        self._types = {name.lower(): type_ for name, type_ in columns}
        self._columns = [quote(name) for name in self._names_of_columns]
        self._keys = work.texts.keys
        self._names = key_names(len(self._keys))
        self._from, self._to = quote(kind.valid_from_name), quote(kind.valid_to_name)
        self._now = _moment(work.moment, time_type)
        self._epoch = _moment(from_ms(0), time_type)
        self._time_type = time_type
        self._is_first = work.is_first

    def versions(self) -> str:
        """The rows of the source that begin a version, and when it begins."""
        on = self._same([f"source.{name}" for name in self._names], [f"{{0}}.{name}" for name in self._names])
        compared = self._compared()
        old = "".join(f", {quote(name)} AS {_old(number)}" for number, name in enumerate(compared))
        return (
            f"SELECT source.*, {self._begin()} AS {_BEGIN}\n"
            f"FROM {_SOURCE} AS source\n"
            f"LEFT JOIN (SELECT {keyed(self._keys)}, {self._from} AS _isomesh_from, TRUE AS _isomesh_is_open{old}\n"
            f"FROM {self._table} WHERE {self._to} IS NULL) AS open_version ON {on.format('open_version')}\n"
            f"LEFT JOIN (SELECT {', '.join(self._names)}, MAX(_isomesh_to) AS _isomesh_to\n"
            f"FROM (SELECT {keyed(self._keys)}, {self._to} AS _isomesh_to FROM {self._table}) AS _all\n"
            f"WHERE _isomesh_to IS NOT NULL GROUP BY {', '.join(self._names)}) AS ended ON {on.format('ended')}\n"
            f"WHERE open_version._isomesh_is_open IS NULL OR {self._differs(compared)}"
        )

    def changes(self) -> list[str]:
        """The statements that write, in order."""
        columns = ", ".join(self._columns)
        ends = (
            f"UPDATE {self._table} SET {self._to} = _next.{_BEGIN}\n"
            f"FROM (SELECT {', '.join(self._names)}, {_BEGIN} FROM {_VERSIONS}) AS _next\n"
            f"WHERE {self._to} IS NULL AND {self._same(self._keys, [f'_next.{name}' for name in self._names])}"
        )
        deletes = (
            f"UPDATE {self._table} SET {self._to} = GREATEST({self._now}, {self._from})\n"
            f"WHERE {self._to} IS NULL AND NOT EXISTS (\n"
            f"SELECT 1 FROM (SELECT {', '.join(self._names)} FROM {_SOURCE}) AS _present\n"
            f"WHERE {self._same(self._keys, [f'_present.{name}' for name in self._names])})"
        )
        begins = (
            f"INSERT INTO {self._table} ({columns}, {self._from}, {self._to})\n"
            f"SELECT {columns}, {_BEGIN}, NULL FROM {_VERSIONS}"
        )
        return [ends, *([deletes] if self._kind.invalidate_hard_deletes else []), begins]

    def _compared(self) -> list[str]:
        if isinstance(self._kind, ScdType2ByTime):
            return [self._kind.updated_at_name]
        if self._kind.columns is not None:
            return list(self._kind.columns)
        return list(self._names_of_columns)

    def _differs(self, compared: Sequence[str]) -> str:
        if isinstance(self._kind, ScdType2ByTime):
            (name,) = compared
            old = f"open_version.{_old(0)}"
            now = f"source.{quote(name)}"
            return f"{now} > {old} OR ({old} IS NULL AND {now} IS NOT NULL)"
        return " OR ".join(
            f"{self._equatable(f'source.{quote(name)}', name)} IS DISTINCT FROM"
            f" {self._equatable(f'open_version.{_old(number)}', name)}"
            for number, name in enumerate(compared)
        )

    def _equatable(self, column: str, name: str) -> str:
        return equatable(column, self._types.get(name.lower(), ""))

    def _begin(self) -> str:
        """When a version begins: never before the one it follows began or ended, whatever the source's times say."""
        kind = self._kind
        if isinstance(kind, ScdType2ByTime):
            changed = f"source.{quote(kind.updated_at_name)}"
            first = f"COALESCE({changed}, {self._epoch})" if kind.updated_at_as_valid_from else self._epoch
        else:
            changed = self._now
            if kind.updated_at_name is not None:
                changed = f"COALESCE(CAST(source.{quote(kind.updated_at_name)} AS {self._time_type}), {self._now})"
            first = self._epoch if self._is_first and not kind.execution_time_as_valid_from else changed
        return (
            f"CASE WHEN open_version._isomesh_is_open THEN GREATEST({changed}, open_version._isomesh_from)\n"
            f"WHEN ended._isomesh_to IS NOT NULL THEN GREATEST({changed}, ended._isomesh_to)\n"
            f"ELSE {first} END"
        )


def _old(number: int) -> str:
    return quote(f"_isomesh_old_{number}")


def _retype(session: Session, work: Write, column: str, column_type: str) -> None:
    """Give one column of the new, empty table another type: its times are compared with those of validity."""
    session.create_table(
        work.physical,
        [
            (name, column_type if name.lower() == column.lower() else type_)
            for name, type_ in session.columns(work.physical)
        ],
    )


def _with_times(query: str, columns: Columns, column: str, column_type: str) -> str:
    """The query's rows with that column of that type."""
    items = ", ".join(
        f"CAST({quote(name)} AS {column_type}) AS {quote(name)}" if name.lower() == column.lower() else quote(name)
        for name in names(columns)
    )
    return f"SELECT {items}\nFROM (\n{query}\n) AS _timed"


def _moment(moment: datetime, time_type: str) -> str:
    written = moment.replace(tzinfo=None).isoformat(sep=" ")
    kind = time_type.upper()
    if kind == "DATE":
        written = written[:10]
    elif kind.endswith("TZ") or "WITH TIME ZONE" in kind:
        written += "+00:00"
    return f"CAST('{written}' AS {time_type})"
