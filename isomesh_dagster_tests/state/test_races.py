"""Several processes or threads on one state, and processes killed at any statement."""

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, event, select

from isomesh_dagster.errors import ConflictingPlanError
from isomesh_dagster.state import tables
from isomesh_dagster.state.database import Database
from isomesh_dagster.state.opening import open_database, open_state
from isomesh_dagster.state.protocol import Identity, PlanRecord
from isomesh_dagster.state.store import SqlStateStore
from isomesh_dagster_tests.state.conftest import Location
from isomesh_dagster_tests.state.examples import at, days, finalize, plan, promote, snapshot
from isomesh_dagster_tests.state.forks import StartingLine, die, fork, wait

FIRST, SECOND = snapshot(files="a"), snapshot(files="b")


def together(*jobs: Callable[[], None]) -> None:
    """Run each in a process of its own, all starting at the same moment."""
    line = StartingLine()

    def started(job: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            line.ready()
            job()

        return run

    children = [fork(started(job)) for job in jobs]
    line.go(len(jobs))
    assert [wait(child) for child in children] == [0] * len(jobs)


def test_six_processes_make_one_state_with_one_stamp(empty_location: Location, tmp_path: Path) -> None:
    def stamp(number: int) -> Callable[[], None]:
        def run() -> None:
            with open_state(empty_location) as store:
                stamped = store.stamp(Identity(uuid=str(number), gateway="prod", project="shop"))
            (tmp_path / f"seen {number}").write_text(stamped.uuid)

        return run

    together(*(stamp(number) for number in range(6)))
    seen = {(tmp_path / f"seen {number}").read_text() for number in range(6)}
    assert len(seen) == 1
    with open_state(empty_location) as store:
        identity = store.identity()
    assert identity is not None
    assert {identity.uuid} == seen


def test_of_two_finalizers_exactly_one_wins(location: Location) -> None:
    rounds = 8
    outcomes: list[tuple[int, str]] = []
    gate = threading.Barrier(2, timeout=120)  # who fails does not keep the other waiting for ever

    def finalizer(name: str) -> None:
        with open_state(location) as store:
            for number in range(1, rounds + 1):
                live = store.environment("prod")
                record = plan(f"{name}{number}", FIRST, based_on=live.plan_id if live else None)
                store.open_plan(record, [FIRST])
                gate.wait()
                try:
                    finalize(store, record, number)
                    outcomes.append((number, "won"))
                except ConflictingPlanError:
                    outcomes.append((number, "conflict"))
                gate.wait()

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(finalizer, name) for name in ("left", "right")]:
            done.result()
    assert sorted(outcomes) == sorted((number, end) for number in range(1, rounds + 1) for end in ("conflict", "won"))
    with open_state(location) as store:
        assert [entry.number for entry in store.promotions("prod")] == list(range(rounds, 0, -1))
        assert store.open_plans() == []


def test_several_processes_open_the_same_plan(location: Location) -> None:
    record = plan("p1", FIRST, SECOND)

    def run() -> None:
        with open_state(location) as store:
            assert store.open_plan(record, [FIRST, SECOND]) == record

    together(run, run, run)
    with open_state(location) as store:
        assert store.open_plans() == [record]
        assert len(store.snapshots([FIRST.id, SECOND.id])) == 2


def test_no_interval_is_lost_between_writers(location: Location) -> None:
    table = str(FIRST.physical)
    with open_state(location) as store:
        store.open_plan(plan("p1", FIRST), [FIRST])

        def add(worker: int) -> None:
            for day in range(worker, 40, 4):
                store.add_intervals({table: [days(day, day + 1)]})

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(add, range(4)))
        assert store.intervals([table]) == {table: (days(0, 40),)}


def test_janitor_and_plan_on_the_same_snapshot(location: Location) -> None:
    """Whoever is first, a snapshot of an open plan is active and known afterwards."""
    with open_state(location) as store:
        for number in range(1, 16, 2):
            promote(store, f"p{number}", FIRST, when=number)
            promote(store, f"p{number + 1}", SECOND, when=number)
            wanted = plan(f"open{number}", FIRST, based_on=f"p{number + 1}", created=number)

            def janitor(day: int = number) -> None:
                marked = store.mark_unreferenced(keep_promotions=1, older_than=at(day + 1))
                store.forget([item.id for item in marked])

            def planner(record: PlanRecord = wanted) -> None:
                store.open_plan(record, [FIRST])

            with ThreadPoolExecutor(2) as threads:
                for done in [threads.submit(janitor), threads.submit(planner)]:
                    done.result()
            assert FIRST.id in store.snapshots([FIRST.id])
            assert store.mark_unreferenced(keep_promotions=1, older_than=at(99)) == []


# --- killed at any statement


def contents(database: Database) -> str:
    """All rows of the state, as text."""
    with database.read() as connection:
        rows = {
            table.name: sorted([str(value) for value in row] for row in connection.execute(select(table)))
            for table in tables.metadata.sorted_tables
        }
    return json.dumps(rows)


def scenario() -> list[Callable[[SqlStateStore], Any]]:
    """Calls that write, each of several statements."""
    first = plan("p1", FIRST)
    second = plan("p2", SECOND, based_on="p1", created=1)
    tables_of = [str(FIRST.physical), str(SECOND.physical)]
    return [
        lambda store: store.stamp(Identity(uuid="1", gateway="prod", project="shop")),
        lambda store: store.open_plan(first, [FIRST]),
        lambda store: store.add_intervals({tables_of[0]: [days(0, 1), days(2, 3)]}),
        lambda store: finalize(store, first, 1),
        lambda store: store.open_plan(plan("loser", SECOND, based_on="p1"), [SECOND]),
        lambda store: store.open_plan(second, [SECOND]),
        lambda store: store.add_intervals({tables_of[1]: [days(0, 1)], tables_of[0]: [days(1, 2)]}),
        lambda store: finalize(store, second, 2, promoted=1),
        lambda store: store.mark_unreferenced(keep_promotions=1, older_than=at(2)),
        lambda store: store.open_plan(plan("p3", FIRST, based_on="p2", created=2), [FIRST]),
        lambda store: store.remove_environment("prod"),
        lambda store: store.mark_unreferenced(keep_promotions=1, older_than=at(3650 * 10)),
        lambda store: store.forget([FIRST.id]),
    ]


@pytest.mark.slow
def test_a_killed_process_leaves_every_call_done_or_not_done(location: Location) -> None:
    def run(kill_at: int) -> None:
        database = open_database(location)
        store = SqlStateStore(database, clock=lambda: at(5))
        statements = 0

        def count(*_: object) -> None:
            nonlocal statements
            statements += 1
            if statements == kill_at:
                die()

        event.listen(database._engine, "after_cursor_execute", count)
        for call in scenario():
            call(store)

    observer = open_database(location)
    allowed = [contents(observer)]
    store = SqlStateStore(observer, clock=lambda: at(5))
    for call in scenario():
        call(store)
        allowed.append(contents(observer))
    assert len(set(allowed)) == len(allowed), "every call of the scenario changes something"

    seen, ended, kill_at = set(), -9, 0
    while ended == -9:
        kill_at += 1
        with observer.write() as connection:
            for table in tables.metadata.sorted_tables:
                connection.execute(delete(table))
        ended = wait(fork(partial(run, kill_at)))
        found = contents(observer)
        assert found in allowed, f"half a call is there after a kill at statement {kill_at}"
        seen.add(found)
    observer.close()
    assert ended == 0
    assert seen == set(allowed), "killed in the middle of every call, and once not at all"


def test_a_forked_child_has_connections_of_its_own(location: Location) -> None:
    """Both processes go on with the store that was open at the fork."""
    with open_state(location) as store:
        promote(store, "p1", FIRST)

        def child() -> None:
            assert store.environments()[0].plan_id == "p1"
            promote(store, "p2", SECOND, when=1)

        running = fork(child)
        for _ in range(50):
            assert store.environments()[0].number in (1, 2)
        assert wait(running) == 0
        assert store.environments()[0].plan_id == "p2"
        promote(store, "p3", FIRST, when=2)
