"""`INCREMENTAL_BY_UNIQUE_KEY`: one row for each key. A batch is merged into the table by its key.

Duplicates within a batch are removed by one rule, at the first load, at every later one and when the table is built
again: the latest row stays (`rows.one_per_key`). A key that is missing in part is a key like any other.
"""

from __future__ import annotations

from collections.abc import Sequence

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import ModelError
from isomesh_dagster.evaluation.rows import (
    Write,
    Written,
    begun,
    conformed,
    key_names,
    keyed,
    names,
    one_per_key,
)
from isomesh_dagster.relation import quote

_BATCH = quote("_isomesh_batch")


def write_unique_key(session: Session, work: Write) -> Written:
    """Merge the batch."""
    query, columns = begun(session, work)
    if work.interval is None:
        return Written(rows=0, columns=columns)
    if work.is_first:  # there is nothing to match
        rows = one_per_key(query, work.texts.keys, columns)
        return Written(rows=session.insert(work.physical, rows, names(columns)), columns=columns)
    rows = one_per_key(conformed(query, columns), work.texts.keys, columns)
    column_names = [quote(name) for name in names(columns)]
    source = f"SELECT {', '.join(column_names)}, {keyed(work.texts.keys)}\nFROM (\n{rows}\n) AS _batch"
    condition = session.same(work.texts.target_keys, [f"source.{name}" for name in key_names(len(work.texts.keys))])
    if work.texts.merge_filter is not None:
        condition = f"{condition} AND ({work.texts.merge_filter})"
    if session.capabilities.merge:
        return Written(rows=session.execute(_merge(work, source, condition, column_names)), columns=columns)
    return Written(rows=_without_merge(session, work, source, condition, column_names), columns=columns)


def _merge(work: Write, source: str, condition: str, column_names: Sequence[str]) -> str:
    matched = work.texts.when_matched
    if matched is None:
        matched = f"WHEN MATCHED THEN UPDATE SET {', '.join(f'{name} = source.{name}' for name in column_names)}"
    return (
        f"MERGE INTO {work.physical.sql} AS target\n"
        f"USING (\n{source}\n) AS source\n"
        f"ON {condition}\n{matched}\n"
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(column_names)}) "
        f"VALUES ({', '.join(f'source.{name}' for name in column_names)})"
    )


def _without_merge(
    session: Session, work: Write, source: str, condition: str, column_names: Sequence[str]
) -> int | None:
    """The same in two statements, for an engine that has no MERGE."""
    if work.texts.when_matched is not None:
        raise ModelError(
            "this version of the engine has no MERGE, so `when_matched` cannot be done",
            model=work.snapshot.name,
            hint="take the default, which updates every column, or a newer server",
        )
    session.execute(f"CREATE TEMPORARY TABLE {_BATCH} AS\n{source}")
    columns = ", ".join(column_names)
    # first, so that the condition sees the rows as they were; what it adds is then updated to what it is
    session.execute(
        f"INSERT INTO {work.physical.sql} ({columns})\nSELECT {columns} FROM {_BATCH} AS source\n"
        f"WHERE NOT EXISTS (SELECT 1 FROM {work.physical.sql} AS target WHERE {condition})"
    )
    session.execute(
        f"UPDATE {work.physical.sql} AS target SET {', '.join(f'{name} = source.{name}' for name in column_names)}\n"
        f"FROM {_BATCH} AS source WHERE {condition}"
    )
    ((rows,),) = session.fetch(f"SELECT COUNT(*) FROM {_BATCH}")
    session.execute(f"DROP TABLE {_BATCH}")
    return int(rows)
