"""Short lives with kills on every combination of warehouse and state, and a verifier that does find what is wrong."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from isomesh_dagster_tests.postgres_server import PostgresServer
from isomesh_dagster_tests.reliability.files import Files
from isomesh_dagster_tests.reliability.lab import COMBINATIONS, Lab, Process, apply, at_noon, free, lab
from isomesh_dagster_tests.reliability.life import Tally, live
from isomesh_dagster_tests.reliability.verify import Known, verify


@pytest.mark.slow
@pytest.mark.parametrize(("warehouse", "state"), [one for one in COMBINATIONS if one != ("duckdb", "sqlite")])
def test_killed_processes_leave_nothing_lost_doubled_or_torn(
    tmp_path: Path, postgres_server: PostgresServer, warehouse: str, state: str
) -> None:
    tally = Tally()
    live(
        tmp_path / "project",
        warehouse,
        state,
        postgres_server,
        random.Random(f"{warehouse} {state}"),
        tally,
        steps=40,
        usual={"plan": (0.5, 40), "run": (0.3, 25), "restate": (0.3, 25), "rollback": (0.2, 6), "janitor": (0.2, 8)},
        # a fast machine may be through before it is killed: then the life goes on
        enough=lambda: tally.works.total() >= 4 and tally.kills.total() > 0,
    )
    assert not tally.problems, "\n".join(tally.problems)
    assert not tally.torn
    assert not tally.errors
    assert tally.kills
    assert (tally.reads > 0) == (warehouse == "postgres")


def problems(made: Lab, *tampering: str) -> list[str]:
    """What is told after somebody changed the warehouse behind our backs."""

    def work(say: object) -> list[str]:
        with made.project() as project:
            if tampering:
                with project.connection().session() as session:
                    for statement in tampering:
                        session.execute(statement)
            found: list[str] = verify(project, Known(rested="prod"))["problems"]
            return found

    done = Process(work).result()
    assert done.outcome == "done", done.told
    found: list[str] = done.returned
    return found


def test_the_verifier_finds_what_is_wrong(tmp_path: Path) -> None:
    with lab(tmp_path / "project", "duckdb", "sqlite", None) as made:
        Files().write(made.root)

        def work(say: object) -> None:
            with made.project() as project:
                apply(project, project.plan("prod", now=at_noon(4)), free)

        assert Process(work).result().outcome == "done"
        assert problems(made) == []

        def tables(say: object) -> dict[str, str]:
            with made.project() as project:
                found = project.environment("prod")
                assert found is not None
                return {name: view.physical for name, view in found.target.views.items()}

        table: dict[str, str] = Process(tables).result().returned
        loaded = "isomesh_meta.loaded WHERE physical ="
        for what, expected, tampering in (
            ("lost", "rows lost", f"DELETE FROM {table['m.inc']} WHERE id = 4"),
            ("doubled", "too many", f"INSERT INTO {table['m.log']} SELECT * FROM {table['m.log']} WHERE id = 1"),
            ("two", "current rows", f"INSERT INTO {table['m.hist']} SELECT * FROM {table['m.hist']} WHERE k = 1"),
            ("torn", "is torn", f"CREATE OR REPLACE VIEW m.total AS SELECT n, s, 7 AS g FROM {table['m.total']}"),
            ("gone", "has the views", "DROP VIEW m.show"),
            ("forgotten", "the state says", f"DELETE FROM {loaded} '{table['m.days']}'"),
            ("orphan", "does not know", "CREATE TABLE isomesh__m.m__lost AS SELECT 1 AS a"),
        ):
            found = problems(made, tampering)
            assert any(expected in one for one in found), (what, found)
