"""A process killed at any point of applying, rolling back or sweeping leaves old or new, and trying again ends well.

Every checkpoint of the protocol is killed once, with SIGKILL, in a forked child that opens the system itself. On
Postgres those where a server differs: in a transaction, and between the commit of the warehouse and that of the state
(all with ISOMESH_TESTS_LONG=1).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from isomesh_dagster.config.connections import PostgresConnection
from isomesh_dagster.execution.promote import rollback
from isomesh_dagster.model import kinds
from isomesh_dagster.plan.plan import Build, Migrate
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.events import Evaluated
from isomesh_dagster.records.reconcile import reconcile
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster.upkeep.janitor import janitor
from isomesh_dagster_tests.conftest import IS_LONG
from isomesh_dagster_tests.factories import System, days, model, snapshots
from isomesh_dagster_tests.postgres_server import PostgresServer

pytestmark = pytest.mark.slow

ON_A_SERVER = ("written", "recorded", "migrated", "view", "swapped", "hidden", "dropping", "dropped")
"""Checkpoints at which a transaction of the warehouse is open, or the warehouse is ahead of the state."""
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


class Ground:
    """Where systems are, by name: each has a folder, and on Postgres a database of its own."""

    def __init__(self, folder: Path, server: PostgresServer | None) -> None:
        self._folder = folder
        self._server = server
        self._databases: set[str] = set()

    def points(self, names: list[str]) -> list[int]:
        """Numbers of the checkpoints to kill at, of those that were come by in this order."""
        if self.is_local or IS_LONG:
            return list(range(1, len(names) + 1))
        return sorted(names.index(name) + 1 for name in ON_A_SERVER if name in names)

    @property
    def is_local(self) -> bool:
        return self._server is None

    def system(self, name: str) -> System:
        folder = self._folder / name
        folder.mkdir(exist_ok=True)
        if self._server is None:
            return System(folder)
        if name not in self._databases:
            self._create(name, "template1")
        return System(folder, PostgresConnection(**self._server.place(self._database(name))))

    def _database(self, name: str) -> str:
        assert self._server is not None
        return f"{self._server.prefix}_crash_{name}"

    def copy(self, name: str, to: str) -> None:
        """`to` is as `name` is, whatever was there."""
        shutil.rmtree(self._folder / to, ignore_errors=True)
        shutil.copytree(self._folder / name, self._folder / to)
        if self._server is not None:
            self._drop(to)
            self._create(to, self._database(name))

    def clear(self) -> None:
        for name in tuple(self._databases):
            self._drop(name)

    def _create(self, name: str, template: str) -> None:
        self._run(f"CREATE DATABASE {self._database(name)} TEMPLATE {template}")
        self._databases.add(name)

    def _drop(self, name: str) -> None:
        self._run(f"DROP DATABASE IF EXISTS {self._database(name)} WITH (FORCE)")
        self._databases.discard(name)

    def _run(self, statement: str) -> None:
        assert self._server is not None
        with contextlib.closing(self._server.connect()) as connection:
            connection.cursor().execute(statement)


@pytest.fixture(params=["duckdb", "postgres"])
def ground(request, tmp_path) -> Iterator[Ground]:
    ground = Ground(tmp_path, request.getfixturevalue("postgres_server") if request.param == "postgres" else None)
    yield ground
    ground.clear()


Work = Callable[[System, Callable[[str], None]], None]
"""What is to be done, telling its checkpoints."""


def killed_at(point: int, ground: Ground, name: str, work: Work) -> bool:
    """Do the work in a child that dies at its checkpoint number `point`; whether it died."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            with ground.system(name) as system:
                work(system, Killer(point))
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL)
    return status != 0


def every_point(ground: Ground, work: Work, check: Callable[[System], None], *, since: str | None = None) -> int:
    """Kill at every point, each time on a copy of `base`; how many there are. The first time it lives. With `since`, at
    the last of each name from that checkpoint on.
    """
    names: list[str] = []
    ground.copy("base", "scratch")
    with ground.system("scratch") as system:
        work(system, names.append)
        check(system)
        verify(system)
    points = ground.points(names)
    if since is not None:
        points = [
            point
            for name, point in {name: at for at, name in enumerate(names, 1)}.items()
            if name in names[names.index(since) :]
        ]
    for point in points:
        ground.copy("base", "scratch")
        assert killed_at(point, ground, "scratch", work)
        with ground.system("scratch") as system:
            check(system)
            verify(system)
    return len(names)


def shown_generation(system: System) -> int | None:
    """The generation that all views of prod agree on; None when there is no environment."""
    rows = system.rows("SELECT table_name FROM information_schema.views WHERE table_schema IN ('raw', 'mart', 'old')")
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
    """State and warehouse hold nothing the other does not know of; until it is settled, the state may be behind."""
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
        ((first, last),) = rows
        assert first == intervals[0].start
        assert last == intervals[-1].end or (last > intervals[-1].end and not settled)
    if settled:
        assert set(recorded) == tables
        assert system.state.open_plans() == []


def test_the_first_plan(ground):
    with ground.system("base"):
        pass
    plans = []

    def work(system: System, killer: Callable[[str], None]) -> None:
        system.apply(system.plan(project(1), batches=BATCHES), concurrency=1, checkpoint=killer)

    def check(system: System) -> None:
        assert shown_generation(system) in (None, 1)
        has_meta = bool(system.rows("SELECT 1 FROM information_schema.schemata WHERE schema_name = 'isomesh_meta'"))
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

    assert every_point(ground, work, check) > 30


def test_the_next_plan_may_be_tried_again_or_made_anew(ground):
    with ground.system("base") as system:
        system.apply(system.plan(project(1), batches=BATCHES))
        plan = system.plan(project(2, removed=True), batches=BATCHES)
    outcomes = set()

    def work(system: System, killer: Callable[[str], None]) -> None:
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

    assert every_point(ground, work, check) > 25
    assert outcomes == {1, 2}


def test_an_abandoned_plan_gives_way_to_another(ground):
    with ground.system("base") as system:
        system.apply(system.plan(project(1), batches=BATCHES))
        plan = system.plan(project(2), batches=BATCHES)

    def work(system: System, killer: Callable[[str], None]) -> None:
        system.apply(plan, concurrency=1, checkpoint=killer)

    for point in (3, 6, 12, 20) if IS_LONG or ground.is_local else (6, 20):
        ground.copy("base", "scratch")
        assert killed_at(point, ground, "scratch", work)
        with ground.system("scratch") as system:
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


def test_the_janitor(ground):
    with ground.system("base") as system:
        system.apply(system.plan(project(1), batches=BATCHES))
        system.apply(system.plan(project(2), "dev", batches=BATCHES, expires_at=system.now + timedelta(days=1)))
        system.apply(system.plan(project(3), batches=BATCHES))

    def work(system: System, killer: Callable[[str], None]) -> None:
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

    assert every_point(ground, work, check) >= 10


def test_a_rollback(ground):
    with ground.system("base") as system:
        system.apply(system.plan(project(1), batches=BATCHES))
        system.apply(system.plan(project(2), batches=BATCHES))
    outcomes = set()

    def work(system: System, killer: Callable[[str], None]) -> None:
        back(system, killer)

    def check(system: System) -> None:
        outcomes.add(shown_generation(system))
        if shown_generation(system) == 1:
            reconcile(system.connection, system.state, "prod")  # as the next apply does
        else:
            back(system)
        assert shown_generation(system) == 1
        assert system.state.promotions("prod")[0].reason == "rollback to 1"

    assert every_point(ground, work, check) >= 6
    assert outcomes == {1, 2}


def test_an_environment_moves_to_another_catalog_whole_or_not_at_all(ground):
    if not ground.is_local:
        pytest.skip("a server's connection writes one catalog")
    with ground.system("base") as system:
        system.apply(system.plan(project(1), batches=BATCHES))
        plan = system.plan(project(1), catalog="warehouse__prod")
    outcomes = set()

    def places(system: System) -> set[str]:
        return {
            row[0]
            for row in system.rows(
                "SELECT database_name FROM duckdb_views() WHERE NOT internal AND view_name = 'daily'"
            )
        }

    def work(system: System, killer: Callable[[str], None]) -> None:
        system.apply(plan, concurrency=1, checkpoint=killer)

    def check(system: System) -> None:
        with system.connection.session() as session:
            shown = warehouse.shown(session, "prod")
        assert shown is not None
        outcomes.add(shown.number)
        # where the record says that they are, all of them are
        assert shown.catalog == (None if shown.number == 1 else "warehouse__prod")
        prefix = "" if shown.catalog is None else f"{shown.catalog}."
        assert system.rows(f"SELECT MAX(generation) FROM {prefix}raw.days") == [(1,)]
        assert system.rows(f"SELECT n FROM {prefix}mart.view") == [(4,)]
        system.apply(plan)  # the same again finishes it
        assert places(system) == {"warehouse__prod"}
        assert system.rows("SELECT COUNT(*) FROM isomesh_meta.environments") == [(0,)]
        current = system.state.environment("prod")
        assert current is not None
        assert (current.number, current.target) == (2, plan.promote.target if plan.promote else None)

    assert every_point(ground, work, check, since="promoting") >= 8
    assert outcomes == {1, 2}


def back(system: System, killer: Callable[[str], None] = lambda name: None) -> None:
    rollback(system.state, system.connection, "prod", identity=system.identity, now=system.now, checkpoint=killer)


def test_a_migration_is_whole_or_not_at_all(ground):
    """Columns, views and record move together, whatever is killed; what comes after the swap is gone on with."""
    kind = kinds.IncrementalByTimeRange(time_column="ds")
    source = model(
        "raw.days", "SELECT DATE '2020-01-01' + CAST(x AS INT) AS ds FROM (VALUES (0), (1), (2), (3)) AS r(x)"
    )

    def project_of(columns: str):
        daily = model("mart.daily", f"SELECT {columns} FROM raw.days", kind)
        return snapshots([source, daily, model("mart.view", "SELECT * FROM mart.daily", kinds.View())])

    old, new = project_of("ds, 1 AS generation"), project_of("ds, 2 AS generation, 'x' AS tag")
    kept = {
        name: replace(
            one, version=old[name].version, physical=old[name].physical, category=Category.FORWARD_ONLY, parents=()
        )
        if name != "raw.days"
        else old[name]
        for name, one in new.items()
    }
    parents = {"mart.daily": ("raw.days",), "mart.view": ("mart.daily",)}
    for name, above in parents.items():
        kept[name] = replace(kept[name], parents=tuple(kept[parent].id for parent in above))
    with ground.system("base") as system:
        system.apply(system.plan(old, batches=BATCHES))
        again = days(2, 4)
        plan = replace(
            system.plan(kept),
            migrations=(Migrate(snapshot=kept["mart.daily"]),),
            later=(Build(snapshot=kept["mart.daily"], intervals=(again,), batches=(again,), later=True),),
        )
    seen = set()

    def work(system: System, killer: Callable[[str], None]) -> None:
        system.apply(plan, concurrency=1, checkpoint=killer)

    def check(system: System) -> None:
        with system.connection.session() as session:
            columns, again = (
                [name for name, _ in session.columns(Relation.parse(view))] for view in ("mart.daily", "mart.view")
            )
        assert columns == again
        record = system.rows("SELECT plan_id FROM isomesh_meta.environments")
        is_new = record == [(plan.id,)]
        assert ("tag" in columns) == is_new
        seen.add((is_new, *(row[0] for row in system.rows("SELECT generation FROM mart.daily ORDER BY ds"))))
        system.apply(plan, concurrency=1)
        assert system.rows("SELECT generation, tag FROM mart.view ORDER BY ds") == [
            *[(1, None)] * 2,
            *[(2, "x")] * 2,
        ]

    assert every_point(ground, work, check) > 10
    assert seen == {(False, 1, 1, 1, 1), (True, 1, 1, 1, 1), (True, 1, 1, 2, 2)}


def test_the_state_forgets_before_a_history_is_made_again(tmp_path, warehouse):
    kind = kinds.IncrementalByUniqueKey(unique_key=('"x"',))
    shown = snapshots([model("mart.keyed", "SELECT 1 AS x, 2 AS y", kind)])
    batches = {"mart.keyed": [days(0, 2), days(2, 4)]}
    (table,) = (str(one.physical) for one in shown.values())

    def end(name: str) -> None:
        if name == "built":
            raise KeyboardInterrupt

    with System(tmp_path, warehouse) as system:
        system.apply(system.plan(shown, batches=batches))
        assert system.state.intervals([table]) == {table: (days(0, 4),)}
        again = system.plan(shown, batches=batches, restates={"mart.keyed"})
        with pytest.raises(KeyboardInterrupt):
            system.apply(again, concurrency=1, checkpoint=end)
        assert system.rows("SELECT start_ms, end_ms FROM isomesh_meta.loaded") == [(days(0, 2).start, days(0, 2).end)]
        assert system.state.intervals([table]) == {}
        assert system.state.due_again([table]) == {table: (days(0, 4),)}
        reconcile(system.connection, system.state, "prod")
        assert system.state.intervals([table]) == {table: (days(0, 2),)}
        system.apply(again)
        assert system.state.intervals([table]) == {table: (days(0, 4),)}
