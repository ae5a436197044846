"""Several processes on one system: each interval is built once, one of two plans wins, nobody breaks others' work."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Evaluated, Event
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster_tests.postgres_server import PostgresServer
from isomesh_dagster_tests.reliability.files import Files
from isomesh_dagster_tests.reliability.lab import Checkpoint, Done, Lab, Process, apply, at_noon, lab
from isomesh_dagster_tests.reliability.verify import DAY, START, Known, verify
from isomesh_dagster_tests.state.forks import StartingLine

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "inside"])
def postgres_lab(request: pytest.FixtureRequest, tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Lab]:
    """A Postgres warehouse with the project's first files, nothing applied."""
    with lab(tmp_path / "project", "postgres", request.param, postgres_server) as made:
        Files().write(made.root)
        yield made


def written(events: list[Event]) -> list[str]:
    """The batches that were evaluated."""
    return [f"{event.snapshot} {event.interval}" for event in events if isinstance(event, Evaluated)]


def applied(project: Project, plan: Plan) -> list[str]:
    return written(list(project.apply(plan)))


def alone(made: Lab, environment: str = "prod", day: int = 4) -> Done:
    """One process plans and applies."""

    def work(say: Checkpoint) -> Any:
        with made.project() as project:
            return applied(project, project.plan(environment, now=at_noon(day)))

    done = Process(work).result()
    assert done.outcome == "done", done.told
    return done


def edited(made: Lab, model: str, number: int) -> None:
    files = Files()
    files.numbers[model] = number
    files.write(made.root)


def assert_sound(made: Lab, **known: Any) -> None:
    def work(say: Checkpoint) -> Any:
        with made.project() as project:
            return verify(project, Known(**known))["problems"]

    made.rest()
    done = Process(work).result()
    assert done.outcome == "done", done.told
    assert done.returned == []


def test_three_processes_that_apply_one_plan_build_everything_once(postgres_lab: Lab) -> None:
    line = StartingLine()

    def work(say: Checkpoint) -> Any:
        with postgres_lab.project() as project:
            plan = project.plan("prod", now=at_noon(4))
            line.ready()
            return applied(project, plan)

    processes = [Process(work) for _ in range(3)]
    line.go(len(processes))
    ends = [process.result() for process in processes]
    winners = [end for end in ends if end.outcome == "done"]
    assert winners
    for end in ends:
        assert end.outcome == "done" or "ConflictingPlanError" in end.told, end.told
    batches = Counter(batch for end in winners for batch in end.returned)
    assert set(batches.values()) == {1}
    assert sum("m.inc" in batch for batch in batches) == 4
    assert_sound(postgres_lab, rested="prod", held={"m.inc": range(4), "m.log": range(4)})


def test_of_two_plans_for_one_environment_one_wins(postgres_lab: Lab) -> None:
    alone(postgres_lab)
    line = StartingLine()
    processes = []
    folders = copies(postgres_lab, (2, 3))
    for number in (2, 3):

        def work(say: Checkpoint, number: int = number) -> Any:
            with Project.load(folders[number], environ={}) as project:
                plan = project.plan("prod", now=at_noon(4))
                line.ready()
                applied(project, plan)
                return plan.id

        processes.append(Process(work))
    line.go(len(processes))
    ends = [process.result() for process in processes]
    assert sorted(end.outcome for end in ends) == ["done", "refused"], [end.told for end in ends]
    (winner,), (loser,) = ([end for end in ends if end.outcome == outcome] for outcome in ("done", "refused"))
    assert "ConflictingPlanError" in loser.told
    assert winner.returned in loser.told
    assert_sound(postgres_lab, rested="prod")


def copies(made: Lab, numbers: tuple[int, ...]) -> dict[int, Path]:
    """Checkouts of the same project, each with m.total edited in its own way; warehouse and state are shared."""
    folders = {}
    for number in numbers:
        folder = made.root.with_name(f"edit_{number}")
        folder.mkdir(exist_ok=True)
        config = (made.root / "config.yaml").read_text()
        (folder / "config.yaml").write_text(config.replace('"state.db"', f'"{made.root / "state.db"}"'))
        (folder / "external_models.yaml").write_text((made.root / "external_models.yaml").read_text())
        files = Files()
        files.numbers["m.total"] = number
        files.write(folder)
        folders[number] = folder
    return folders


def test_plan_run_restatement_and_janitor_beside_each_other(postgres_lab: Lab) -> None:
    alone(postgres_lab)
    alone(postgres_lab, "dev")
    edited(postgres_lab, "m.inc", 2)
    line = StartingLine()

    def plan(say: Checkpoint) -> Any:
        with postgres_lab.project() as project:
            line.ready()
            return applied(project, project.plan("dev", now=at_noon(4)))

    def run(say: Checkpoint) -> Any:
        with postgres_lab.project() as project:
            line.ready()
            return applied(project, project.run_plan("prod", now=at_noon(6)))

    def restate(say: Checkpoint) -> Any:
        with postgres_lab.project() as project:
            line.ready()
            wish = Wish(restate=("m.inc",), within=Interval(START + DAY, START + 2 * DAY))
            return applied(project, project.plan("prod", now=at_noon(4), wish=wish))

    def sweep(say: Checkpoint) -> Any:
        with postgres_lab.project() as project:
            line.ready()
            for _ in range(5):
                list(project.janitor(now=at_noon(4) + timedelta(hours=1), ignore_ttl=True))
            return []

    processes = [Process(work) for work in (plan, run, restate, sweep)]
    line.go(len(processes))
    ends = [process.result() for process in processes]
    for end in ends:  # who was in another's way is told to plan again; nothing else happens to anybody
        assert end.outcome == "done" or "ConflictingPlanError" in end.told, end.told
    assert_sound(postgres_lab)

    def catch_up(say: Checkpoint) -> Any:
        with postgres_lab.project() as project:
            applied(project, project.run_plan("prod", now=at_noon(6)))
            applied(project, project.plan("dev", now=at_noon(6)))
            return []

    done = Process(catch_up).result()
    assert done.outcome == "done", done.told
    assert_sound(postgres_lab, rested="prod", held={"m.inc": range(6), "m.log": range(6), "m.keyed": range(6)})


def test_a_duckdb_file_is_waited_for_and_its_holder_named(tmp_path: Path) -> None:
    with lab(tmp_path / "project", "duckdb", "sqlite", None) as made:
        Files().write(made.root)

        def hold(say: Checkpoint) -> Any:
            with made.project() as project:
                plan = project.plan("prod", now=at_noon(4))

                def slowly(name: str) -> None:
                    if name == "intent":
                        say("holds")
                        while not go.exists():
                            time.sleep(0.02)

                return written(apply(project, plan, slowly))

        def wait(say: Checkpoint) -> Any:
            with made.project() as project:
                project.on_wait = say
                plan = project.plan("prod", now=at_noon(4))
                return applied(project, plan)

        go = tmp_path / "go"
        holder = Process(hold)
        holder.until("holds")
        waiting = [Process(wait) for _ in range(2)]
        for process in waiting:
            process.until(f"held by process {holder.pid}")
        go.touch()
        ends = [process.result() for process in (holder, *waiting)]
        for end in ends:
            assert end.outcome == "done" or "ConflictingPlanError" in end.told, end.told
        batches = Counter(batch for end in ends if end.outcome == "done" for batch in end.returned)
        assert set(batches.values()) == {1}
        assert_sound(made, rested="prod")
