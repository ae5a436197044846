"""A reader in a process of its own who asks, again and again, for all views of prod in one query."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from isomesh_dagster_tests.reliability.files import NUMBERED
from isomesh_dagster_tests.reliability.lab import connect
from isomesh_dagster_tests.reliability.verify import DAY, Numbers, torn
from isomesh_dagster_tests.state.forks import StartingLine, fork, wait

REST_SECONDS = 0.004
NOT_YET = ("42P01", "3F000")
"""Neither views nor our records are there before the first promotion."""
QUERY = f"""
SELECT shown.target,
       {", ".join(f"(SELECT {f}(g) FROM {name})" for name in NUMBERED for f in ("MIN", "MAX"))},
       (SELECT COUNT(*) FROM json_object_keys((SELECT row_to_json(d) FROM m.days AS d LIMIT 1)) AS c(name)
        WHERE name LIKE 'c%'),
       (SELECT COUNT(*) - COUNT(DISTINCT id) FROM m.inc),
       (SELECT COUNT(*) - COUNT(DISTINCT id) FROM m.log),
       (SELECT COUNT(DISTINCT ds) FROM m.inc) >= (SELECT COALESCE(SUM((end_ms - start_ms) / {DAY}), 0)
        FROM isomesh_meta.loaded WHERE physical = shown.target::json -> 'm.inc' ->> 3)
FROM isomesh_meta.environments AS shown WHERE name = 'prod'
"""


@dataclass(frozen=True)
class Observed:
    """How often it read, what it saw torn, which errors it got, and the longest it waited."""

    reads: int
    torn: tuple[str, ...]
    errors: tuple[str, ...]
    longest: float


class Observer:
    """Reads from now until `stop`."""

    def __init__(self, place: Mapping[str, Any], folder: Path) -> None:
        self._path = folder / "observed.json"
        self._end = StartingLine()
        self._child = fork(lambda: _observe(place, self._path, self._end))

    def stop(self, known: Numbers) -> Observed:
        """End it; what it saw, judged by what the snapshots are known to hold."""
        self._end.go()
        assert wait(self._child) == 0
        told = json.loads(self._path.read_text())
        wrong: list[str] = []
        for (target_text, *values), count in told["seen"]:
            target = json.loads(target_text)
            of = {name: values[2 * index : 2 * index + 2] for index, name in enumerate(NUMBERED)}
            columns, doubled, added_twice, complete = values[2 * len(NUMBERED) :]
            found = torn(target, of, known)
            if found is None and (doubled or added_twice):
                found = f"rows are there twice: {doubled} in m.inc, {added_twice} in m.log"
            if found is None and not complete:
                found = "days of m.inc that count as loaded are not there"
            if found is None and columns < known.get("m.days " + " ".join(target["m.days"][:2]), 0):
                found = f"m.days has {columns} added columns, its target has more"
            wrong += [found] * count if found else []
        return Observed(told["reads"], tuple(wrong), tuple(told["errors"]), told["longest"])


def _observe(place: Mapping[str, Any], path: Path, end: StartingLine) -> None:
    seen: Counter[tuple[Any, ...]] = Counter()
    errors: list[str] = []
    longest, reads = 0.0, 0
    connection = connect(place, "observer")
    with connection.cursor() as cursor:
        while not end.wait(REST_SECONDS):
            began = time.monotonic()
            try:
                cursor.execute(QUERY)
                rows = cursor.fetchall()
            except psycopg2.Error as error:
                if reads or error.pgcode not in NOT_YET:
                    errors.append(str(error))
            else:
                reads += len(rows)
                seen.update(rows)
            longest = max(longest, time.monotonic() - began)
    connection.close()
    path.write_text(
        json.dumps({"seen": list(seen.items()), "errors": errors, "longest": longest, "reads": reads}, default=int)
    )
