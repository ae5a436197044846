"""`grants`: who may do what with a model's views, told by the model, authoritative from then on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isomesh_dagster.errors import EngineError
from isomesh_dagster.execution.promote import rollback
from isomesh_dagster_tests.factories import System, model, snapshots

READERS = {"select": ("reader one", "reader_two"), "insert": ("reader_two",)}


@pytest.fixture
def on_postgres(tmp_path, postgres):
    with System(tmp_path, postgres) as system, system.connection.session() as session:
        for name in ("reader one", "reader_two"):
            session.execute(f'CREATE ROLE "{name}"')
        yield system
        for name in ("reader one", "reader_two"):
            session.execute(f'DROP OWNED BY "{name}"; DROP ROLE "{name}"')


def shown(grants, layer="virtual", x=1):
    return snapshots([model("mart.m", f"SELECT {x} AS x", grants=grants, grants_target_layer=layer)])


def granted(system, relation):
    return system.rows(
        "SELECT x.privilege_type, x.grantee::regrole::text FROM pg_class c, LATERAL aclexplode(relacl) AS x "
        f"WHERE c.oid = '{relation}'::regclass AND x.grantee <> relowner ORDER BY 1, 2"
    )


EXPECTED = [("INSERT", "reader_two"), ("SELECT", '"reader one"'), ("SELECT", "reader_two")]


def test_the_views_of_every_environment_are_for_the_named(on_postgres):
    system = on_postgres
    first = shown(READERS)
    system.apply(system.plan(first))
    system.apply(system.plan(first, "dev"))
    assert granted(system, "mart.m") == granted(system, "mart__dev.m") == EXPECTED
    assert granted(system, first["mart.m"].physical.sql) == []
    with system.connection.session() as session:
        session.execute('SET ROLE "reader one"')
        assert session.fetch("SELECT x FROM mart.m") == [(1,)]
        with pytest.raises(EngineError, match="permission denied"):
            session.fetch(f"SELECT x FROM {first['mart.m'].physical.sql}")
    system.apply(system.plan(shown(READERS, x="'text'")))  # made anew: the grants are not lost
    assert granted(system, "mart.m") == EXPECTED


def test_a_model_without_grants_leaves_those_of_people(on_postgres):
    system = on_postgres
    system.apply(system.plan(shown(None)))
    with system.connection.session() as session:
        session.execute("GRANT DELETE ON mart.m TO reader_two")
    system.apply(system.plan(shown(None, x="'text'")))
    assert granted(system, "mart.m") == [("DELETE", "reader_two")]
    (old,) = shown(None, x="'text'").values()
    changed = replace(
        old,
        model=replace(old.model, grants={"select": ("public",)}),
        fingerprint=replace(old.fingerprint, identity="edited"),
    )
    plan = system.plan({"mart.m": changed})
    assert plan.builds == ()
    system.apply(plan)
    assert granted(system, "mart.m") == [("SELECT", "-")]
    rollback(system.state, system.connection, "prod", identity=system.identity, now=system.now)
    assert granted(system, "mart.m") == [("SELECT", "-")], "a model that names none says nothing about them"


def test_on_the_table_too(on_postgres):
    system = on_postgres
    made = shown({"all": ("reader_two",)}, "all")
    system.apply(system.plan(made))
    for relation in ("mart.m", made["mart.m"].physical.sql):
        assert {who for _, who in granted(system, relation)} == {"reader_two"}
        assert ("TRUNCATE", "reader_two") in granted(system, relation)


def test_a_role_that_is_not_there_stops_the_promotion(on_postgres):
    with pytest.raises(EngineError, match='role "nobody_at_all" does not exist'):
        on_postgres.apply(on_postgres.plan(shown({"select": ("nobody_at_all",)})))
    assert on_postgres.state.environment("prod") is None


def test_an_engine_without_users_passes_over_them(tmp_path):
    with System(tmp_path) as system:
        system.apply(system.plan(shown(READERS, "all")))
        assert system.rows("SELECT x FROM mart.m") == [(1,)]
