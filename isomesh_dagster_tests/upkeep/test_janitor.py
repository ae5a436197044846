"""The janitor takes what nobody needs, and nothing else; a second visit finds nothing to do."""

from __future__ import annotations

import contextlib
import sqlite3
from datetime import datetime, timedelta, timezone

import pytest

from isomesh_dagster.execution.promote import rollback
from isomesh_dagster.model import kinds
from isomesh_dagster.state.opening import open_state
from isomesh_dagster.upkeep.janitor import janitor
from isomesh_dagster_tests.factories import System, model, snapshots

LATER = datetime.now(timezone.utc) + timedelta(days=100)


def generation(number: int):
    table = model("mart.t", f"SELECT {number} AS generation")
    return snapshots([table, model("mart.v", "SELECT generation FROM mart.t", kinds.View())])


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        yield system


def sweep(system, **more):
    options = {"now": LATER, "keep_promotions": 1, **more}
    return list(janitor(system.connection, system.state, identity=system.identity, **options))


def physicals(shown):
    return sorted(str(one.physical) for one in shown.values())


def test_what_nobody_shows_goes_after_its_time(system):
    for number in (1, 2, 3):
        system.apply(system.plan(generation(number)))
    assert sweep(system, now=system.now) == []
    gone = sweep(system)
    assert sorted(event.name for event in gone) == sorted(physicals(generation(1)) + physicals(generation(2)))
    assert system.rows("SELECT generation FROM mart.v") == [(3,)]
    assert sweep(system) == []
    # gone is gone: the same files again are built again
    system.apply(system.plan(generation(1)))
    assert system.rows("SELECT generation FROM mart.v") == [(1,)]


def test_the_tables_of_the_last_promotions_stay_for_a_rollback(system):
    for number in (1, 2, 3):
        system.apply(system.plan(generation(number)))
    assert sorted(event.name for event in sweep(system, keep_promotions=2)) == physicals(generation(1))
    rollback(system.state, system.connection, "prod", identity=system.identity, now=system.now)
    assert system.rows("SELECT generation FROM mart.v") == [(2,)]


def test_an_ended_environment_goes_and_shared_tables_stay(system):
    system.apply(system.plan(generation(1)))
    ends = system.now + timedelta(days=1)
    both = generation(1) | snapshots([model("dev.only", "SELECT 1 AS id")])
    system.apply(system.plan(both, "dev", expires_at=ends))
    assert sweep(system, now=system.now) == []
    events = sweep(system)
    assert [(event.name, event.environment) for event in events] == [
        ("dev", "dev"),
        (str(both["dev.only"].physical), None),
    ]
    assert system.relations("mart__dev") == []
    assert system.rows(
        "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name IN ('mart__dev', 'isomesh__dev')"
    ) == [(0,)]
    assert system.state.environment("dev") is None
    assert system.rows("SELECT generation FROM mart.v") == [(1,)]


def test_prod_never_ends(system):
    system.apply(system.plan(generation(1), expires_at=system.now))
    assert sweep(system) == []
    assert system.rows("SELECT generation FROM mart.v") == [(1,)]


def test_a_dry_run_changes_nothing(system):
    system.apply(system.plan(generation(1)))
    system.apply(system.plan(generation(2)))
    system.apply(system.plan(generation(2), "dev", expires_at=system.now + timedelta(days=1)))
    told = sweep(system, dry_run=True)
    assert [event.name for event in told if event.environment] == ["dev"]
    assert sorted(event.name for event in told if not event.environment) == physicals(generation(1))
    assert system.state.environment("dev") is not None
    assert len(system.relations("isomesh__mart")) == 4
    assert sorted(event.name for event in sweep(system) if not event.environment) == physicals(generation(1))


def test_an_open_plan_protects_what_it_builds(system):
    system.apply(system.plan(generation(1)))
    application = system.application(system.plan(generation(2)))
    application.begin()
    for step in application.plan.builds:
        list(application.build(step))
    assert sweep(system) == []
    application.promote()
    application.finish()
    assert system.rows("SELECT generation FROM mart.v") == [(2,)]


def test_what_cannot_be_dropped_is_told_and_stops_nothing(system):
    system.apply(system.plan(generation(1)))
    system.apply(system.plan(generation(2)))
    stubborn = generation(1)["mart.t"].physical
    with system.connection.session() as session:
        session.execute(f"DROP TABLE {stubborn.sql} CASCADE")
        session.execute(f"CREATE VIEW {stubborn.sql} AS SELECT 1 AS a")  # somebody put something else there
    events = sweep(system)
    assert [(event.name, event.kept_because is None) for event in events] == [
        (str(generation(1)["mart.v"].physical), True),
        (str(stubborn), False),
    ]
    with system.connection.session() as session:
        session.execute(f"DROP VIEW {stubborn.sql}")
    assert [event.name for event in sweep(system)] == [str(stubborn)]
    assert sweep(system) == []


def test_an_older_state_takes_nothing_that_the_warehouse_shows(system, tmp_path):
    for number in (1, 2):
        system.apply(system.plan(generation(number)))
    backup = tmp_path / "backup.db"
    with (
        contextlib.closing(sqlite3.connect(tmp_path / "state.db")) as now,
        contextlib.closing(sqlite3.connect(backup)) as then,
    ):
        now.backup(then)
    rollback(system.state, system.connection, "prod", identity=system.identity, now=system.now)
    with open_state(backup) as older:  # to it, prod shows the second generation, and nobody the first
        told = list(janitor(system.connection, older, identity=system.identity, now=LATER, keep_promotions=1))
    assert sorted(event.name for event in told) == physicals(generation(1))
    assert {event.kept_because for event in told} == {
        "the warehouse shows it in prod, of which this state does not know"
    }
    assert system.rows("SELECT generation FROM mart.v") == [(1,)]
