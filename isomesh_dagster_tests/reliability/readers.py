"""Promotions of many views on Postgres under readers, each of whom reads two of the views in one transaction."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

from isomesh_dagster.config.connections import PostgresConnection
from isomesh_dagster.records.events import Promoted
from isomesh_dagster_tests.factories import System, model, snapshots
from isomesh_dagster_tests.reliability.lab import connect
from isomesh_dagster_tests.reliability.observer import NOT_YET
from isomesh_dagster_tests.state.forks import StartingLine, fork, wait

REST_SECONDS = 0.02


@dataclass
class Readings:
    """What readers saw of so many promotions: how long each took, the readers' transactions, those that saw two
    generations, errors, the longest wait. Seconds.
    """

    promotions: list[float] = field(default_factory=list)
    reads: int = 0
    torn: int = 0
    errors: list[str] = field(default_factory=list)
    longest: float = 0.0


def promote_under_readers(folder: Path, place: Mapping[str, Any], *, views: int, readers: int, rounds: int) -> Readings:
    """Make two generations of so many views, then promote one after the other, so many times."""
    folder.mkdir(exist_ok=True)
    end = StartingLine()
    children = [
        fork(lambda seed=seed: _read(place, folder / f"{seed}.json", views, seed, end)) for seed in range(readers)
    ]
    readings = Readings()
    generations = [
        snapshots([model(f"m.v{number}", f"SELECT {generation} AS g") for number in range(views)])
        for generation in (1, 2)
    ]
    try:
        with System(folder, PostgresConnection(**place)) as system:
            for number in range(rounds + 2):
                for event in system.apply(system.plan(generations[number % 2])):
                    if isinstance(event, Promoted) and number:
                        readings.promotions.append(event.seconds)
    finally:
        end.go()
        ends = [wait(child) for child in children]
    assert ends == [0] * readers
    for seed in range(readers):
        told = json.loads((folder / f"{seed}.json").read_text())
        readings.reads += told["reads"]
        readings.torn += told["torn"]
        readings.errors += told["errors"]
        readings.longest = max(readings.longest, told["longest"])
    return readings


def _read(place: Mapping[str, Any], path: Path, views: int, seed: int, end: StartingLine) -> None:
    chance = random.Random(seed)
    reads, torn, errors, longest = 0, 0, [], 0.0
    connection = connect(place, "observer")
    with connection.cursor() as cursor:
        while not end.wait(REST_SECONDS):
            first, second = chance.sample(range(views), 2)
            began = time.monotonic()
            try:
                cursor.execute("BEGIN")
                seen = set()
                for number in (first, second):
                    cursor.execute(f"SELECT g FROM m.v{number}")
                    seen |= set(cursor.fetchall())
                cursor.execute("COMMIT")
            except psycopg2.Error as error:
                cursor.execute("ROLLBACK")
                if reads or error.pgcode not in NOT_YET:
                    errors.append(str(error))
            else:
                reads += 1
                torn += len(seen) > 1
            longest = max(longest, time.monotonic() - began)
    connection.close()
    path.write_text(json.dumps({"reads": reads, "torn": torn, "errors": errors, "longest": longest}))
