"""A system that is destroyed leaves nothing of itself and everything of others, however often it is interrupted."""

from __future__ import annotations

import pytest

from isomesh_dagster.errors import EngineError, StateError, SystemMismatch
from isomesh_dagster.model import kinds
from isomesh_dagster.upkeep.destroy import belongings, destroy
from isomesh_dagster_tests.factories import System, model, snapshots

OURS = ["isomesh__mart", "isomesh_meta", "mart", "mart__dev"]


def generation(number: int):
    table = model("mart.t", f"SELECT {number} AS generation")
    return snapshots([table, model("mart.v", "SELECT generation FROM mart.t", kinds.View())])


@pytest.fixture
def system(tmp_path, warehouse):
    with System(tmp_path, warehouse) as system:
        system.apply(system.plan(generation(1)))
        system.apply(system.plan(generation(2)))
        system.apply(system.plan(generation(1), "dev"))
        unfinished = system.application(system.plan(generation(3), "late"))
        unfinished.begin()
        for step in unfinished.plan.builds:
            list(unfinished.build(step))
        yield system


def schemas(system):
    found = system.rows("SELECT schema_name FROM information_schema.schemata")
    return sorted({name for (name,) in found} & {*OURS, "raw"})


def end(system, **more):
    return list(destroy(system.connection, system.state, identity=system.identity, **more))


def others(system):
    """Things of somebody else: a schema, and a table in the schema of our views."""
    with system.connection.session() as session:
        session.execute("CREATE SCHEMA raw")
        session.execute("CREATE TABLE raw.orders AS SELECT 1 AS id")
        session.execute("CREATE TABLE mart.theirs AS SELECT 7 AS id")
        session.execute("CREATE VIEW raw.harmless AS SELECT id FROM mart.theirs")


def test_all_that_is_ours_goes_and_nothing_else(system):
    others(system)
    found = belongings(system.connection, system.state, identity=system.identity)
    assert found.environments == {"dev": 2, "prod": 2}
    assert len(found.physicals) == 6
    gone = end(system)
    assert sorted(event.name for event in gone if event.environment) == ["dev", "prod"]
    assert sorted(event.name for event in gone if not event.environment) == list(found.physicals)
    assert schemas(system) == ["mart", "raw"]
    assert system.relations("mart") == ["theirs"]
    assert system.rows("SELECT id FROM raw.harmless") == [(7,)]
    assert not (system.root / "state.db").exists()


def test_the_same_files_make_a_new_system_afterwards(system, tmp_path, warehouse):
    end(system)
    system.close()
    with System(tmp_path, warehouse, name="test") as again:
        assert again.state.identity() is None
        again.apply(again.plan(generation(1)))
        assert again.rows("SELECT generation FROM mart.v") == [(1,)]


@pytest.mark.parametrize("of", ["mart.v", "mart__dev.t", str(generation(1)["mart.t"].physical)])
def test_a_view_of_somebody_on_ours_is_named_and_nothing_goes(system, of):
    others(system)
    with system.connection.session() as session:
        session.execute(f"CREATE VIEW raw.report AS SELECT generation FROM {of}")
    with pytest.raises(EngineError, match=r"raw\.report \(on ") as refused:
        end(system)
    assert of in refused.value.message
    assert schemas(system) == [*OURS, "raw"]
    assert [one.name for one in system.state.environments()] == ["dev", "prod"]
    assert len(system.relations("isomesh__mart")) == 6
    with system.connection.session() as session:
        session.execute("DROP VIEW raw.report")
    end(system)
    assert schemas(system) == ["mart", "raw"]


class Killed(BaseException):
    """The process ended here."""


def test_it_comes_to_its_end_wherever_it_was_interrupted(system, tmp_path, warehouse):
    reached: list[str] = []

    def dies(name: str) -> None:
        if name not in reached:
            reached.append(name)
            raise Killed

    while True:
        try:
            end(system, checkpoint=dies)
            break
        except Killed:
            system.close()
            system = System(tmp_path, warehouse)
    assert reached == ["hidden", "removed", "marked", "dropping", "dropped", "records gone"]
    assert schemas(system) == []
    assert not (tmp_path / "state.db").exists()
    system.close()


def test_what_cannot_be_dropped_keeps_the_records(system):
    stubborn = generation(1)["mart.t"].physical
    with system.connection.session() as session:
        session.execute(f"DROP TABLE {stubborn.sql} CASCADE")
        session.execute(f"CREATE VIEW {stubborn.sql} AS SELECT 1 AS a")  # somebody put something else there
    with pytest.raises(EngineError, match=f"1 objects could not be dropped: {stubborn}"):
        end(system)
    assert system.state.identity() is not None
    with system.connection.session() as session:
        session.execute(f"DROP VIEW {stubborn.sql}")
    end(system)
    assert schemas(system) == []


def test_tables_that_the_state_does_not_know_go_too(system):
    """The state was restored from an older backup."""
    newest = generation(3)["mart.t"].physical
    system.state.close_plan(system.state.open_plans()[0].id, "superseded")
    marked = system.state.mark_unreferenced(keep_promotions=1, older_than=system.now.replace(year=9999))
    system.state.forget([one.id for one in marked])
    assert str(newest) not in system.state.physicals()
    assert str(newest) in {event.name for event in end(system)}
    assert schemas(system) == []


def test_another_system_is_refused(system, tmp_path):
    with (
        System(tmp_path / "b", None, name="other") as other,
        pytest.raises(SystemMismatch, match="belongs to gateway 'test'"),
    ):
        list(destroy(system.connection, other.state, identity=other.identity))
    with System(tmp_path / "c", None) as new, pytest.raises(SystemMismatch, match="the state is new"):
        list(destroy(system.connection, new.state, identity=new.identity))
    assert schemas(system) == OURS


def test_a_state_that_was_taken_into_use_meanwhile_stays(system):
    with pytest.raises(StateError, match="another process"):
        system.state.remove(with_schema=True)
    assert system.state.environment("prod") is not None
    assert system.state.intervals(["nothing"]) == {}
