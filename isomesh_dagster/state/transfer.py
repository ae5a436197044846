"""A state as a file, and back: JSON lines that a person can read, search and keep.

The first line is the header (format, revision of the tables, stamp, moment), then one line per row, and the last line
tells how many rows there were, so that a file that was cut off is noticed. A file holds facts only, no secret: a state
knows none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select

from isomesh_dagster.errors import StateError, SystemMismatch
from isomesh_dagster.snapshot.codec import target_from_json
from isomesh_dagster.state import rows, tables
from isomesh_dagster.state.database import Database
from isomesh_dagster.state.protocol import Identity
from isomesh_dagster.state.schema import back_up, ensure

FORMAT = "isomesh state"
FORMAT_VERSION = 1
_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Transferred:
    """What went from or into a state: rows by table, and the backup that was made of what was there (None: none)."""

    rows: Mapping[str, int]
    backup: str | None = None


def export_state(database: Database, file: Path, *, at: datetime, environments: Collection[str] = ()) -> Transferred:
    """Write the state to `file`, all of it as it is at one moment; an existing file is replaced when it is complete.

    `environments` limits it to what these show, showed and shall show (none: everything). `at` is written into the
    header. Raises StateError for an environment that is not there, and when the file cannot be written.
    """
    revision = ensure(database)
    part = file.with_name(file.name + ".part")
    counts: Counter[str] = Counter()
    try:
        with database.read() as connection, part.open("w", encoding="utf-8") as out:
            stamp = rows.read_identity(connection)
            if stamp is None:
                raise StateError(f"state {database.place}: there is nothing to export", hint="the first apply fills it")
            scope = _scope(connection, database, environments)
            header = {
                "format": FORMAT,
                "version": FORMAT_VERSION,
                "revision": revision,
                "gateway": stamp.gateway,
                "project": stamp.project,
                "uuid": stamp.uuid,
                "exported_at": at.isoformat(),
                "environments": sorted(environments),
            }
            out.write(json.dumps(header) + "\n")
            for table in tables.metadata.sorted_tables:
                for row in connection.execute(select(table).order_by(*table.primary_key.columns)).mappings():
                    if scope.has(table, row):
                        out.write(json.dumps({"table": table.name, "row": _to_json(row)}) + "\n")
                        counts[table.name] += 1
            out.write(json.dumps({"rows": dict(counts)}) + "\n")
        part.replace(file)
    except OSError as error:
        raise StateError(f"{file}: {error.strerror}", hint="choose a place that you may write to") from error
    finally:
        part.unlink(missing_ok=True)
    return Transferred(rows=dict(counts))


def import_state(database: Database, file: Path, *, owner: Identity, replace: bool = False) -> Transferred:
    """Fill the state from `file`, in one transaction. `owner` tells the gateway and project it is for.

    The state must be new, or `replace` is asked for: then a backup is made of it first. Raises SystemMismatch when the
    file is of another gateway, project or (with `replace`) system, StateError when it is no state, was cut off, or has
    tables of another revision; nothing is changed then.
    """
    header = _header(file)
    theirs, ours = (header["gateway"], header["project"]), (owner.gateway, owner.project)
    if theirs != ours:
        raise SystemMismatch(
            f"{file} is the state of gateway {theirs[0]!r}, project {theirs[1]!r}; this is {ours[0]!r}, {ours[1]!r}",
            hint="every gateway has a state of its own; systems share nothing but the project's files",
        )
    revision = ensure(database)
    if header["revision"] != revision:
        raise StateError(
            f"{file} has tables of revision {header['revision']}, this version has {revision}",
            hint="import it with the version of isomesh-dagster that wrote it, then run `isomesh migrate`",
        )
    counts: Counter[str] = Counter()
    with database.write() as connection:
        there = rows.read_identity(connection)
        made = None
        if there is not None:
            if not replace:
                raise StateError(f"state {database.place}: it is in use", hint="--replace puts the file in its place")
            if there.uuid != header["uuid"]:
                raise SystemMismatch(
                    f"{file} is of system {header['uuid'][:8]}, this state of {there.uuid[:8]}",
                    hint="a state belongs to its warehouse; import the export of this system",
                )
            made = back_up(connection, database, revision)
        for table in reversed(tables.metadata.sorted_tables):
            connection.execute(delete(table))
        for table, batch in _batches(_rows(file)):
            connection.execute(insert(table), batch)
            counts[table.name] += len(batch)
    return Transferred(rows=dict(counts), backup=made)


# ---- what belongs to some environments --------------------------------------------------------------------


class _Scope:
    """Which rows an export takes: all, or those of some environments."""

    def __init__(self, kept: Mapping[str, tuple[str, Collection[Any]]]) -> None:
        self._kept = kept

    def has(self, table: Table, row: Mapping[Any, Any]) -> bool:
        """Whether the export takes the row."""
        if table.name not in self._kept:
            return True
        column, values = self._kept[table.name]
        return row[column] in values


def _scope(connection: Connection, database: Database, environments: Collection[str]) -> _Scope:
    if not environments:
        return _Scope({})
    known = set(connection.scalars(select(tables.environments.c.name)))
    if unknown := sorted(set(environments) - known):
        raise StateError(
            f"state {database.place}: there is no environment {unknown[0]!r}",
            hint=f"it has {', '.join(sorted(known))}" if known else "it has none",
        )
    digests: set[str] = set()
    for table, column in (
        (tables.environments, "name"),
        (tables.promotions, "environment"),
        (tables.plans, "environment"),
    ):
        digests |= set(connection.scalars(select(table.c.target).where(table.c[column].in_(sorted(environments)))))
    identifiers: set[str] = set()
    models: set[str] = set()
    for chunk in rows.chunks(sorted(digests)):
        documents = select(tables.targets.c.document).where(tables.targets.c.digest.in_(chunk))
        for text in connection.scalars(documents):
            target = target_from_json(json.loads(text))
            identifiers |= {snapshot.identifier for snapshot in target.snapshots.values()}
            models |= target.snapshots.keys()
    physicals: set[str] = set()
    columns = tables.snapshots.c
    for chunk in rows.chunks(sorted(identifiers)):
        owned = select(columns.physical).where(columns.identifier.in_(chunk), columns.physical.is_not(None))
        physicals |= set(connection.scalars(owned))
    return _Scope(
        {
            "environments": ("name", environments),
            "promotions": ("environment", environments),
            "plans": ("environment", environments),
            "targets": ("digest", digests),
            "snapshots": ("identifier", identifiers),
            "intervals": ("physical", physicals),
            "due_again": ("physical", physicals),
            "restatements": ("physical", physicals),
            "durations": ("model", models),
        }
    )


# ---- lines ------------------------------------------------------------------------------------------------


def _to_json(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        str(name): value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
        if value is not None
    }


def _from_json(table: Table, row: Mapping[str, Any], place: str) -> dict[str, Any]:
    unknown = row.keys() - {column.name for column in table.columns}
    if unknown:
        raise StateError(f"{place}: table {table.name} has no column {sorted(unknown)[0]!r}", hint=_DAMAGED)
    return {
        column.name: datetime.fromisoformat(row[column.name])
        if isinstance(column.type, tables.Moment) and column.name in row
        else row.get(column.name)
        for column in table.columns
    }


_EXPORT = "name the file that `isomesh state export` wrote"
_DAMAGED = "the file is damaged; export again, or take another backup"


def _header(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as lines:
            header = json.loads(lines.readline())
        is_ours = header["format"] == FORMAT
        wanted = {key: str(header[key]) for key in ("revision", "gateway", "project", "uuid")}
    except OSError as error:
        raise StateError(f"{file}: {error.strerror}", hint=_EXPORT) from error
    except (ValueError, KeyError, TypeError):
        raise StateError(f"{file} is no exported state", hint=_EXPORT) from None
    if not is_ours or header.get("version") != FORMAT_VERSION:
        raise StateError(
            f"{file} has a format this version does not know: {header['format']!r} {header.get('version')}",
            hint="import it with the version of isomesh-dagster that wrote it",
        )
    return wanted


def _rows(file: Path) -> Iterator[tuple[Table, dict[str, Any]]]:
    """The rows of an exported state. Raises StateError at the end of a file that was cut off."""
    counts: Counter[str] = Counter()
    told: dict[str, int] | None = None
    with file.open("rb") as lines:  # decoded line by line, so that the line which is damaged is told
        next(lines)
        for number, line in enumerate(lines, 2):
            place = f"{file}:{number}"
            try:
                entry = json.loads(line)
                if "rows" in entry:
                    told = entry["rows"]
                    continue
                table = tables.metadata.tables[entry["table"]]
                row = _from_json(table, entry["row"], place)
            except (ValueError, KeyError, TypeError, AttributeError):
                raise StateError(f"{place}: this is no row of a state", hint=_DAMAGED) from None
            counts[table.name] += 1
            yield table, row
    if told != dict(counts):
        raise StateError(f"{file}: it is not complete: its end does not tell the rows that it holds", hint=_DAMAGED)


def _batches(found: Iterable[tuple[Table, dict[str, Any]]]) -> Iterator[tuple[Table, list[dict[str, Any]]]]:
    """Rows of one table, many at a time."""
    batch: list[dict[str, Any]] = []
    of: Table | None = None
    for table, row in found:
        if of is not None and (table is not of or len(batch) >= _BATCH):
            yield of, batch
            batch = []
        of = table
        batch.append(row)
    if of is not None and batch:
        yield of, batch
