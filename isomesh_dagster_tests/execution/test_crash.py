"""A process killed at any point of applying, rolling back or sweeping leaves old or new, and trying again ends well.

Every checkpoint of the protocol is killed once, with SIGKILL, in a forked child that opens the system itself.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from isomesh_dagster.execution.events import Evaluated
from isomesh_dagster.execution.janitor import janitor
from isomesh_dagster.execution.promote import rollback
from isomesh_dagster.execution.reconcile import reconcile
from isomesh_dagster.model import kinds
from isomesh_dagster_tests.factories import System, days, model, snapshots

pytestmark = pytest.mark.slow

BATCHES = {"mart.daily": [days(0, 2), days(2, 4)]}


def project(generation: int, *, removed: bool = False):
    """A table, a time-range table, a view over both and one that a later generation removes."""
    kind = kinds.IncrementalByTimeRange(time_column="ds")
    columns = f"CAST(x AS INT) AS x, DATE '2020-01-01' + CAST(x AS INT) AS ds, {generation} AS generation"
    numbers = f"SELECT {columns} FROM range(4) AS r(x)"
    models = [
        model("raw.days", numbers),
        model("mart.daily", "SELECT ds, generation FROM raw.days", kind),
        model("mart.view", "SELECT COUNT(*) AS n, MAX(generation) AS generation FROM mart.daily", kinds.View()),
    ]
    if not removed:
        models.append(model("old.leaving", f"SELECT {generation} AS generation"))
    return snapshots(models)


class Killer:
    """Kills its own process at the n-th checkpoint."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self, name: str) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_at(point: int, folder: Path, work: Callable[[System, Killer], None]) -> bool:
    """Do the work in a child that dies at its checkpoint number `point`; whether it died."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with System(folder) as system:
                work(system, Killer(point))
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def every_point(
    base: Path, scratch: Path, work: Callable[[System, Killer], None], check: Callable[[System], None]
) -> int:
    """Kill at every point, each time on a copy of `base`; how many there were."""
    point = 0
    while True:
        point += 1
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(base, scratch)
        died = killed_at(point, scratch, work)
        with System(scratch) as system:
            check(system)
            verify(system)
        if not died:
            return point - 1


def shown_generation(system: System) -> int | None:
    """The generation that all views of prod agree on; None when there is no environment."""
    rows = system.rows("SELECT view_name FROM duckdb_views() WHERE schema_name IN ('raw', 'mart', 'old') ORDER BY 1")
    views = [row[0] for row in rows]
    if not views:
        return None
    schemas = {"days": "raw", "daily": "mart", "view": "mart", "leaving": "old"}
    found = {
        row
        for view in views
        for row in system.rows(f"SELECT MAX(generation), MIN(generation) FROM {schemas[view]}.{view}")
    }
    assert len(found) == 1, f"views disagree: {found}"
    (both,) = found
    assert both[0] == both[1]
    assert system.rows("SELECT n FROM mart.view") == [(4,)]
    return int(both[0])


def verify(system: System, *, settled: bool = True) -> None:
    """State and warehouse hold nothing the other does not know of."""
    loaded = {row[0] for row in system.rows("SELECT DISTINCT physical FROM isomesh_meta.loaded")}
    tables = {
        f"{schema}.{name}"
        for schema in ("isomesh__raw", "isomesh__mart", "isomesh__old")
        for name in system.relations(schema)
    }
    assert tables == loaded
    recorded = system.state.intervals(tables)
    for physical, intervals in recorded.items():
        rows = system.rows(f"SELECT MIN(start_ms), MAX(end_ms) FROM isomesh_meta.loaded WHERE physical = '{physical}'")
        assert rows == [(intervals[0].start, intervals[-1].end)]
    if settled:
        assert set(recorded) == tables
        assert system.state.open_plans() == []


def test_the_first_plan(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    with System(base):
        pass
    plans = []

    def work(system: System, killer: Killer) -> None:
        system.apply(system.plan(project(1), batches=BATCHES), concurrency=1, checkpoint=killer)

    def check(system: System) -> None:
        assert shown_generation(system) in (None, 1)
        has_meta = bool(system.rows("SELECT 1 FROM duckdb_schemas() WHERE schema_name = 'isomesh_meta'"))
        before = set(system.rows("SELECT physical, start_ms FROM isomesh_meta.loaded")) if has_meta else set()
        if has_meta:
            verify(system, settled=False)
        promoted = system.rows("SELECT COUNT(*) FROM isomesh_meta.environments") == [(1,)] if has_meta else False
        if promoted and system.state.environment("prod") is not None:
            return
        # as somebody would try again: the very same plan, made while the environment was new
        plan = plans[0] if plans else system.plan(project(1), batches=BATCHES)
        plans.append(plan)
        events = system.apply(plan, concurrency=1)
        again = {
            (str(plan.snapshots[event.model].physical), event.interval.start)
            for event in events
            if isinstance(event, Evaluated)
        }
        assert not again & before, "built twice"
        assert len(again | before) == 5
        assert shown_generation(system) == 1

    assert every_point(base, tmp_path / "scratch", work, check) > 30


def test_the_next_plan_may_be_tried_again_or_made_anew(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    with System(base) as system:
        system.apply(system.plan(project(1), batches=BATCHES))
        plan = system.plan(project(2, removed=True), batches=BATCHES)
    outcomes = set()

    def work(system: System, killer: Killer) -> None:
        system.apply(plan, concurrency=1, checkpoint=killer)

    def check(system: System) -> None:
        outcomes.add(shown_generation(system))
        before = set(system.rows("SELECT physical, start_ms FROM isomesh_meta.loaded"))
        verify(system, settled=False)
        events = system.apply(plan, concurrency=1)
        again = {
            (str(plan.snapshots[event.model].physical), event.interval.start)
            for event in events
            if isinstance(event, Evaluated)
        }
        assert not again & before, "built twice"
        assert shown_generation(system) == 2
        assert system.relations("old") == []
        environment = system.state.environment("prod")
        assert environment is not None
        assert (environment.plan_id, environment.number) == (plan.id, 2)

    assert every_point(base, tmp_path / "scratch", work, check) > 25
    assert outcomes == {1, 2}


def test_an_abandoned_plan_gives_way_to_another(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    with System(base) as system:
        system.apply(system.plan(project(1), batches=BATCHES))
        plan = system.plan(project(2), batches=BATCHES)

    def work(system: System, killer: Killer) -> None:
        system.apply(plan, concurrency=1, checkpoint=killer)

    for point in (3, 6, 12, 20):
        scratch = tmp_path / f"scratch{point}"
        shutil.copytree(base, scratch)
        assert killed_at(point, scratch, work)
        with System(scratch) as system:
            system.apply(system.plan(project(3), batches=BATCHES))
            assert shown_generation(system) == 3
            verify(system)
            sweep(system)
            left = {row[0] for row in system.rows("SELECT physical FROM isomesh_meta.loaded")}
            assert left == {str(one.physical) for one in project(3).values()}
            verify(system)


def sweep(system: System, killer: Callable[[str], None] = lambda name: None) -> list[str]:
    return [
        event.name
        for event in janitor(
            system.connection,
            system.state,
            identity=system.identity,
            now=datetime.now(timezone.utc) + timedelta(days=400),
            keep_promotions=1,
            checkpoint=killer,
        )
    ]


def test_the_janitor(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    with System(base) as system:
        system.apply(system.plan(project(1), batches=BATCHES))
        system.apply(system.plan(project(2), "dev", batches=BATCHES, expires_at=system.now + timedelta(days=1)))
        system.apply(system.plan(project(3), batches=BATCHES))

    def work(system: System, killer: Killer) -> None:
        sweep(system, killer)

    def check(system: System) -> None:
        assert shown_generation(system) == 3
        sweep(system)
        assert sweep(system) == []
        assert shown_generation(system) == 3
        assert system.state.environment("dev") is None
        assert system.relations("mart__dev") == []
        left = {row[0] for row in system.rows("SELECT physical FROM isomesh_meta.loaded")}
        assert left == {str(one.physical) for one in project(3).values()}

    assert every_point(base, tmp_path / "scratch", work, check) >= 10


def test_a_rollback(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    with System(base) as system:
        system.apply(system.plan(project(1), batches=BATCHES))
        system.apply(system.plan(project(2), batches=BATCHES))
    outcomes = set()

    def work(system: System, killer: Killer) -> None:
        back(system, killer)

    def check(system: System) -> None:
        outcomes.add(shown_generation(system))
        if shown_generation(system) == 1:
            reconcile(system.connection, system.state, "prod")  # as the next apply does
        else:
            back(system)
        assert shown_generation(system) == 1
        assert system.state.promotions("prod")[0].reason == "rollback to 1"

    assert every_point(base, tmp_path / "scratch", work, check) >= 6
    assert outcomes == {1, 2}


def back(system: System, killer: Callable[[str], None] = lambda name: None) -> None:
    rollback(system.state, system.connection, "prod", identity=system.identity, now=system.now, checkpoint=killer)
