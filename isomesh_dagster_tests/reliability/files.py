"""A small project of many kinds, edited at random, and what its tables must hold, computed without SQL.

Time runs in the years after 2030, so that what is recorded at the real moment is always older than the project's now.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path

FIRST = datetime(2030, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
RAW_DAYS = 60
KEYS = 5
CHANGE = 100
"""What a change of the raw data adds to the values of a day."""
RAW = (
    "CREATE SCHEMA raw",
    "CREATE TABLE raw.t (id BIGINT, ds DATE, k BIGINT, v BIGINT)",
)
SCHEMA = "m"
NUMBERED = ("m.stg", "m.inc", "m.keyed", "m.total", "m.show")
"""Models whose rows all hold the number of the edit that made their definition, as column g."""
OTHERS = ("m.log", "m.hist", "m.days", "m.leaving")
ALL = (*NUMBERED, *OTHERS)
_NUMBER = re.compile(r"(\d+) AS g\b")
_ADDED = re.compile(r"AS c\d+\b")
Row = tuple[object, ...]


def raw_rows(changes: Mapping[int, int]) -> list[tuple[int, datetime, int, int]]:
    """The source: id, day, key, value; `changes` says by day how often its values were changed."""
    return [
        (number, FIRST + day * DAY, number % KEYS, number * 7 % 11 + CHANGE * changes.get(day, 0))
        for day in range(RAW_DAYS)
        for number in range(day * 3, day * 3 + 3)
    ]


class Files:
    """The models as data; `write` makes them files."""

    def __init__(self) -> None:
        self.edits = 1
        self.numbers = dict.fromkeys((*NUMBERED, "m.days", "m.leaving"), 1)
        self.added = 0
        self.is_leaving = False

    def edit(self, chance: random.Random) -> str:
        """One random edit; what it did."""
        self.edits += 1
        what = chance.choice((*NUMBERED, *NUMBERED, "m.days", "m.leaving"))
        if what == "m.leaving" and not self.is_leaving:
            self.is_leaving = True
            return "remove m.leaving"
        if what == "m.days" and chance.random() < 0.6:
            self.added += 1
        self.is_leaving = False
        self.numbers[what] = self.edits
        return f"edit {what}"

    def texts(self) -> dict[str, str]:
        """The text of every model's file."""
        of = self.numbers
        between = "WHERE ds BETWEEN @start_date AND @end_date"
        more = "".join(f", {number} AS c{number}" for number in range(1, self.added + 1))
        models = {
            "m.stg": ("VIEW", f"SELECT id, ds, k, v, {of['m.stg']} AS g FROM raw.t"),
            "m.inc": (
                "INCREMENTAL_BY_TIME_RANGE (time_column ds, batch_size 1, batch_concurrency 2)",
                f"SELECT id, ds, k, v * {of['m.inc']} AS v, {of['m.inc']} AS g FROM m.stg {between}",
            ),
            "m.log": ("INCREMENTAL_UNMANAGED (forward_only false)", f"SELECT id, ds, g FROM m.inc {between}"),
            "m.keyed": (
                "INCREMENTAL_BY_UNIQUE_KEY (unique_key k, batch_size 1)",
                f"SELECT k, id, ds, v, {of['m.keyed']} AS g FROM m.inc {between}",
            ),
            "m.hist": ("SCD_TYPE_2_BY_COLUMN (unique_key k, columns (v))", "SELECT k, v FROM m.keyed"),
            "m.total": (
                "FULL",
                f"SELECT COUNT(*) AS n, CAST(SUM(v) AS BIGINT) AS s, {of['m.total']} AS g FROM m.inc",
            ),
            "m.show": ("VIEW", f"SELECT n, s, {of['m.show']} AS g FROM m.total"),
            "m.days": (
                "INCREMENTAL_BY_TIME_RANGE (time_column ds, forward_only true)",
                f"SELECT id, ds, {of['m.days']} AS g{more} FROM raw.t {between}",
            ),
            "m.leaving": ("FULL", f"SELECT {of['m.leaving']} AS g"),
        }
        if self.is_leaving:
            del models["m.leaving"]
        audits = {"m.total": ", audits (not_null(columns := (n)))"}
        return {
            name: f"MODEL (name {name}, kind {kind}{audits.get(name, '')});\n{query}\n"
            for name, (kind, query) in models.items()
        }

    def write(self, root: Path) -> None:
        folder = root / "models"
        folder.mkdir(exist_ok=True)
        texts = self.texts()
        for name in ALL:
            path = folder / f"{name}.sql"
            if name in texts:
                path.write_text(texts[name])
            else:
                path.unlink(missing_ok=True)


def number_of(query: str) -> int | None:
    """The number of the edit in a model's query; None without one."""
    found = _NUMBER.search(query)
    return int(found.group(1)) if found else None


def added_in(query: str) -> int:
    """How many columns edits have added to the query."""
    return len(_ADDED.findall(query))


# ---- what tables must hold -------------------------------------------------------------------------------


def by_day(days: Collection[int], changes: Mapping[int, int], number: int) -> Counter[Row]:
    """m.inc: id, ds, k, v, g."""
    return Counter((i, at.date(), k, v * number, number) for i, at, k, v in _of(days, changes))


def by_key(days: Collection[int], changes: Mapping[int, int], times: int, number: int) -> Counter[Row]:
    """m.keyed over an m.inc with number `times`: k, id, ds, v, g."""
    latest = {k: (k, i, at.date(), v * times, number) for i, at, k, v in _of(days, changes)}
    return Counter(latest.values())


def total(days: Collection[int], changes: Mapping[int, int], times: int, number: int) -> Counter[Row]:
    """m.total: n, s, g."""
    values = [v * times for _, _, _, v in _of(days, changes)]
    return Counter([(len(values), sum(values) if values else None, number)])


def added_once(days: Collection[int], number: int) -> Counter[Row]:
    """m.log: id, ds, g."""
    return Counter((i, at.date(), number) for i, at, _, _ in _of(days, {}))


def ids(days: Collection[int]) -> Counter[Row]:
    """m.days, of which old rows hold other numbers: id, ds."""
    return Counter((i, at.date()) for i, at, _, _ in _of(days, {}))


def _of(days: Collection[int], changes: Mapping[int, int]) -> Iterable[tuple[int, datetime, int, int]]:
    return (row for row in raw_rows(changes) if (row[1] - FIRST) // DAY in days)
