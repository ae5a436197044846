"""The doctor finds what changed behind our back, object by object, and mends it without dropping anything."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest

from isomesh_dagster.model import kinds
from isomesh_dagster.snapshot.interval import Interval, to_ms
from isomesh_dagster.upkeep.doctor import Finding, Level, Patient, examine
from isomesh_dagster_tests.factories import WHOLE, System, model, snapshots


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        yield system


@pytest.fixture
def shown(system):
    table = model("mart.t", "SELECT 1 AS a")
    made = snapshots([table, model("mart.v", "SELECT a + 1 AS b FROM mart.t", kinds.View())])
    system.apply(system.plan(made))
    return made


def doctor(system, **more) -> list[Finding]:
    patient = Patient(connection=system.connection, state=system.state, identity=system.identity)
    return list(examine(patient, **more))


def wrong(found):
    return {each.subject: each for each in found if each.level is not Level.OK}


def run(system, sql):
    with system.connection.session() as session:
        session.execute(sql)


@pytest.mark.parametrize("repair", [True, False])
def test_what_is_promoted_while_the_doctor_looks_is_not_taken_back(system, shown, repair):
    patient = Patient(connection=system.connection, state=system.state, identity=system.identity)
    looking = examine(patient, repair=repair)
    found = [next(looking)]
    while found[-1].subject != "tables":
        found.append(next(looking))
    changed = snapshots([model("mart.t", "SELECT 2 AS a"), shown["mart.v"].model])
    system.apply(system.plan(changed))
    assert wrong([*found, *looking]) == {}
    assert system.rows("SELECT a FROM mart.t") == [(2,)]
    assert wrong(doctor(system)) == {}


def test_a_new_system_is_well(system):
    assert wrong(doctor(system)) == {}


def test_a_system_in_use_is_well_and_the_trial_of_rights_leaves_nothing(system, shown):
    found = doctor(system)
    assert wrong(found) == {}
    assert {each.subject for each in found} == {"stamp", "clock", "rights", "tables", "prod"}
    assert (
        system.rows("SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE 'isomesh_doctor%'")
        == []
    )


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("DROP VIEW mart.v", "gone"),
        ("CREATE OR REPLACE VIEW mart.v AS SELECT 99 AS b", "replaced"),
    ],
)
def test_a_view_that_was_changed_by_hand_is_made_again(system, shown, damage, message):
    run(system, damage)
    found = wrong(doctor(system))
    assert set(found) == {"mart.v"}
    assert message in found["mart.v"].message
    assert wrong(doctor(system)) == found, "looking changes nothing"
    (mended,) = wrong(doctor(system, repair=True)).values()
    assert mended.is_repaired
    assert system.rows("SELECT b FROM mart.v") == [(2,)]
    assert wrong(doctor(system)) == {}


def test_a_table_that_is_gone_is_built_again_by_the_next_run(system, shown):
    physical = shown["mart.t"].physical
    # Postgres drops no table under its views: whoever does it all the same takes them along
    run(system, f"DROP TABLE {physical.sql} CASCADE")
    assert "is gone" in wrong(doctor(system))["mart.t"].message
    assert str(physical) in system.state.intervals([str(physical)])
    repaired = [finding for finding in doctor(system, repair=True) if finding.is_repaired]
    assert repaired[0].message == f"its table {physical} is gone"
    assert system.state.intervals([str(physical)]) == {}
    system.apply(system.plan(shown, promote=False))
    doctor(system, repair=True)
    assert system.rows("SELECT a FROM mart.t") == [(1,)]
    assert wrong(doctor(system)) == {}


def test_what_nobody_owns_is_told_and_left(system, shown):
    schema = shown["mart.t"].physical.schema
    run(system, f"CREATE TABLE {schema}.somebodys AS SELECT 1 AS a")
    found = wrong(doctor(system, repair=True))
    assert found["physical layer"].level is Level.WARNING
    assert f"{schema}.somebodys" in found["physical layer"].message
    assert system.rows(f"SELECT a FROM {schema}.somebodys") == [(1,)]


def test_an_interrupted_promotion_is_finished(system, shown):
    changed = snapshots([model("mart.t", "SELECT 5 AS a")])
    plan = system.plan(changed)

    class Killed(Exception):
        pass

    def checkpoint(name):
        if name == "promoted":
            raise Killed

    with pytest.raises(Killed):
        system.apply(plan, checkpoint=checkpoint)
    assert "the warehouse" in wrong(doctor(system))["prod"].message
    assert wrong(doctor(system, repair=True))["prod"].is_repaired
    assert system.state.environment("prod").plan_id == plan.id
    assert wrong(doctor(system)) == {}


def test_intervals_that_the_warehouse_lost_are_forgotten(system):
    daily = model("mart.d", "SELECT DATE '2020-01-02' AS day", kinds.IncrementalByTimeRange(time_column="day"))
    made = snapshots([daily])
    system.apply(system.plan(made, batches={"mart.d": [WHOLE]}))
    physical = str(made["mart.d"].physical)
    run(system, "DELETE FROM isomesh_meta.loaded")
    assert "does not hold" in wrong(doctor(system))["mart.d"].message
    assert system.state.intervals([physical]) != {}
    doctor(system, repair=True)
    assert system.state.intervals([physical]) == {}


def test_only_some_environments_are_looked_at(system, shown):
    system.apply(system.plan(shown, "dev"))
    run(system, "DROP VIEW mart.v")
    assert wrong(doctor(system, environments=["dev"])) == {}
    assert set(wrong(doctor(system, environments=["prod"]))) == {"mart.v"}


def test_a_table_that_lost_a_column_is_told(system):
    made = snapshots([model("mart.t", "SELECT 1 AS a, 2 AS b", output=("a", "b"))])
    system.apply(system.plan(made))
    physical = made["mart.t"].physical
    run(system, f"ALTER TABLE {physical.sql} ADD COLUMN mine INTEGER")
    assert wrong(doctor(system)) == {}
    run(system, f"ALTER TABLE {physical.sql} RENAME COLUMN b TO c")
    found = wrong(doctor(system))
    assert "has no column b any more" in found["mart.t"].message
    assert wrong(doctor(system, repair=True))["mart.t"].is_repaired is False
    run(system, f"ALTER TABLE {physical.sql} RENAME COLUMN c TO b")
    assert wrong(doctor(system)) == {}


def test_what_was_built_by_a_clock_that_was_ahead_is_forgotten(system):
    time_range = kinds.IncrementalByTimeRange(time_column="ds")
    made = snapshots([model("mart.t", "SELECT CAST(@start_ds AS DATE) AS ds", time_range)])
    ahead = Interval(WHOLE.start, to_ms(datetime.now(timezone.utc)) + 400 * 86_400_000)
    system.apply(system.plan(made, batches={"mart.t": [ahead]}))
    physical = str(made["mart.t"].physical)
    assert "yet to come" in wrong(doctor(system))["mart.t"].message
    assert system.state.intervals([physical])[physical] == (ahead,)
    assert wrong(doctor(system, repair=True))["mart.t"].is_repaired
    assert wrong(doctor(system)) == {}
    ((start, end),) = [(one.start, one.end) for one in system.state.intervals([physical])[physical]]
    assert start == ahead.start
    assert abs(end / 1000 - time.time()) < 600
