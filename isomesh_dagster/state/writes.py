"""What the store's transactions write alike: targets, marks, intervals, durations."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, and_, bindparam, delete, insert, update

from isomesh_dagster.plan.expected import KEPT, Duration
from isomesh_dagster.plan.restatement import Restatement
from isomesh_dagster.snapshot.codec import target_to_json
from isomesh_dagster.snapshot.environment import Target
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.state import rows, tables


def insert_new(connection: Connection, table: Table, new: Sequence[Mapping[str, Any]]) -> None:
    """Insert the rows whose key is not there yet."""
    if not new:
        return
    # the state's own dialect only: each takes its time to load, and every command would wait for both
    if connection.dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite

        connection.execute(sqlite.insert(table).on_conflict_do_nothing(), new)
    else:
        from sqlalchemy.dialects import postgresql

        connection.execute(postgresql.insert(table).on_conflict_do_nothing(), new)


def put_restatement(connection: Connection, physical: str, known: Restatement) -> None:
    """Record what is known of the relation's restatement, instead of what was."""
    table = tables.restatements
    connection.execute(delete(table).where(table.c.physical == physical))
    connection.execute(insert(table).values(rows.restatement_row(physical, known)))


def put_target(connection: Connection, target: Target) -> str:
    """Store the target if it is new; its digest."""
    document = rows.compact(target_to_json(target))
    digest = hashlib.sha256(document.encode()).hexdigest()
    insert_new(connection, tables.targets, [{"digest": digest, "document": document}])
    return digest


def supersede(connection: Connection, environment: str) -> list[Target]:
    """Close the open plans of an environment; what they would have shown."""
    columns = tables.plans.c
    open_here = and_(columns.environment == environment, columns.status == "open")
    losers = connection.execute(rows.with_target(tables.plans).where(open_here)).all()
    connection.execute(update(tables.plans).where(open_here).values(status="superseded"))
    decoded = rows.Targets()
    return [decoded[row.target_text] for row in losers]


def change_intervals(
    connection: Connection,
    table: Table,
    before: Mapping[str, Sequence[Interval]],
    after: Mapping[str, Sequence[Interval]],
) -> None:
    """Make the table say `after` of these physical relations where it says `before`; rows that are both stay."""
    columns = table.c
    gone, new = [], []
    for physical, intervals in after.items():
        old = before.get(physical, ())
        keep = set(old).intersection(intervals)
        gone += [{"p": physical, "s": interval.start} for interval in old if interval not in keep]
        new += [
            {"physical": physical, "start_ms": interval.start, "end_ms": interval.end}
            for interval in intervals
            if interval not in keep
        ]
    if gone:
        row = and_(columns.physical == bindparam("p"), columns.start_ms == bindparam("s"))
        connection.execute(delete(table).where(row), gone)
    if new:
        connection.execute(insert(table), new)


def add_durations(connection: Connection, took: Mapping[str, Sequence[Duration]]) -> None:
    """Remember these too; of each model only the latest are kept."""
    known = rows.known_durations(connection, took)
    connection.execute(
        delete(tables.durations).where(tables.durations.c.model == bindparam("of_model")),
        [{"of_model": model} for model in took],
    )
    latest = {model: [*known.get(model, ()), *new][-KEPT:] for model, new in took.items()}
    connection.execute(
        insert(tables.durations),
        [
            {"model": model, "recent": rows.compact([[one.units, round(one.seconds, 3)] for one in batches])}
            for model, batches in latest.items()
        ],
    )
