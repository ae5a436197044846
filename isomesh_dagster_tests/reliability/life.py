"""A random life of a system: edits, plans, runs, restatements, rollbacks, the janitor; processes are killed at it.

Each piece of work is tried until it comes to its end; up to three tries are killed, half of them at a checkpoint,
half at any moment. What must be true is looked at after kills and at the end of each piece of work.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any

from isomesh_dagster.execution.promote import rollback
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.records.events import Evaluated
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.upkeep.janitor import janitor
from isomesh_dagster_tests.postgres_server import PostgresServer
from isomesh_dagster_tests.reliability import files
from isomesh_dagster_tests.reliability.files import CHANGE, FIRST, Files
from isomesh_dagster_tests.reliability.lab import Checkpoint, Done, Killer, Lab, Process, apply, at_noon, free, lab
from isomesh_dagster_tests.reliability.observer import Observer
from isomesh_dagster_tests.reliability.verify import DAY, START, Known, Numbers, verify

TRIES_KILLED = 3
FILLED = ("m.inc", "m.log", "m.keyed", "m.days")
"""Models that hold every day once the clock was followed."""
Usual = dict[str, tuple[float, int]]
Held = Mapping[str, Collection[int]]
Work = Callable[[Lab, Checkpoint], Any]


@dataclass
class Tally:
    """What happened in all lives so far."""

    works: Counter[str] = field(default_factory=Counter)
    kills: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    after: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    verified: int = 0
    reads: int = 0
    torn: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    longest: float = 0.0
    problems: list[str] = field(default_factory=list)


class Life:
    """One system from its first plan on. `usual` is how many seconds each kind of work takes and how many checkpoints
    it passes, so that it is killed while it lasts.
    """

    def __init__(self, made: Lab, chance: random.Random, tally: Tally, usual: Usual) -> None:
        self.lab = made
        self.chance = chance
        self.tally = tally
        self.usual = usual
        self.files = Files()
        self.files.write(made.root)
        self.day = chance.randrange(3, 6)
        self.known = Known()
        self.numbers: Numbers = {}
        self.history: list[str] = []
        self.restated = 0
        self.plans: dict[str, str] = {}
        self.held: dict[str, dict[str, list[int]]] = {}

    def step(self) -> None:
        """One piece of work, to its end."""
        if "prod" not in self.plans:
            self.plan("prod")
            return
        works = (self.change, self.run, self.restate, self.roll_back, self.sweep)
        self.chance.choices(works, weights=(5, 2, 2, 1, 2))[0]()

    def change(self) -> None:
        for _ in range(self.chance.choice((1, 1, 2))):
            self.history.append(self.files.edit(self.chance))
        self.files.write(self.lab.root)
        self.plan(self.chance.choice(("dev", "prod", "prod")))

    def plan(self, environment: str) -> None:
        moment = at_noon(self.day)

        def work(made: Lab, checkpoint: Checkpoint) -> Any:
            with made.project() as project:
                plan = project.plan(environment, now=moment)
                return evaluated(project.apply(plan) if checkpoint is free else apply(project, plan, checkpoint))

        held = self.held.get(environment, {}) if self.plans else dict.fromkeys(FILLED, range(self.day))
        self.do("plan", environment, work, held=held)

    def run(self) -> None:
        self.day += self.chance.choice((1, 1, 2))
        moment = at_noon(self.day)

        def work(made: Lab, checkpoint: Checkpoint) -> Any:
            with made.project() as project:
                plan = project.run_plan("prod", now=moment)
                return evaluated(project.apply(plan) if checkpoint is free else apply(project, plan, checkpoint))

        self.do("run", "prod", work, held=dict.fromkeys(FILLED, range(self.day)))

    def restate(self) -> None:
        day = self.chance.randrange(self.day)
        changes = {**self.known.changes, day: self.known.changes.get(day, 0) + 1}
        statement = f"UPDATE raw.t SET v = v + {CHANGE} WHERE ds = DATE '{FIRST + day * files.DAY:%Y-%m-%d}'"
        done = Process(lambda say: self.lab.sql(statement, "SELECT 1")).result()
        assert done.outcome == "done", done.told
        self.known = replace(self.known, changes=changes, dirty=day)
        self.restated += 1  # at the same moment it would be the same restatement
        moment = at_noon(self.day) + timedelta(seconds=self.restated)
        within = Interval(START + day * DAY, START + (day + 1) * DAY)

        def work(made: Lab, checkpoint: Checkpoint) -> Any:
            with made.project() as project:
                plan = project.plan("prod", now=moment, wish=Wish(restate=("m.inc",), within=within))
                events = project.apply(plan) if checkpoint is free else apply(project, plan, checkpoint)
                return len(list(events))

        self.do("restate", "prod", work, held=self.held["prod"], clean=True)

    def roll_back(self) -> None:
        def work(made: Lab, checkpoint: Checkpoint) -> Any:
            with made.project() as project:
                if checkpoint is free:
                    return project.rollback("prod").number
                state, connection = project.state(), project.connection()
                moment, identity = datetime.now(timezone.utc), project.identity()
                return rollback(state, connection, "prod", identity=identity, now=moment, checkpoint=checkpoint).number

        self.do("rollback", "prod", work)

    def sweep(self) -> None:
        if "dev" in self.plans and self.chance.random() < 0.4:
            self.history.append("invalidate dev")

            def end(say: Checkpoint) -> None:
                with self.lab.project() as project:
                    project.invalidate("dev")

            done = Process(end).result()
            assert done.outcome == "done", done.told
        moment = at_noon(self.day)

        def work(made: Lab, checkpoint: Checkpoint) -> Any:
            with made.project() as project:
                if checkpoint is free:
                    return [str(event) for event in project.janitor(now=moment, ignore_ttl=True)]
                state, connection, identity = project.state(), project.connection(), project.identity()
                swept = janitor(
                    connection, state, identity=identity, now=moment, ignore_ttl=True, checkpoint=checkpoint
                )
                return [str(event) for event in swept]

        self.do("janitor", None, work, swept=True)

    def do(
        self,
        what: str,
        environment: str | None,
        work: Work,
        *,
        held: Held = MappingProxyType({}),
        clean: bool = False,
        swept: bool = False,
    ) -> None:
        """Try it until it comes to its end."""
        self.history.append(f"{what} {environment or ''} day {self.day}")
        self.tally.works[what] += 1
        before = self.plans.get(environment or "")
        for _ in range(self.chance.choice((0, 1, 1, 2, TRIES_KILLED))):
            done = self._killed(what, work)
            if done.outcome != "killed":
                if self._end(what, environment, done, held, clean, swept):
                    return
                continue
            if self.chance.random() < 0.6:  # else it is tried again while the dead one's sessions may be at work
                self.lab.rest()
                self.look(self.known)
                if environment is not None and what != "run" and what != "restate":
                    self.tally.after["old" if self.plans.get(environment) == before else "new"] += 1
            if what in ("plan",) and before is not None and self.chance.random() < 0.1:
                self.history.append("given up")
                self.lab.rest()
                self.look(self.known)
                return
        self._end(what, environment, self._whole(what, work), held, clean, swept)

    def _killed(self, what: str, work: Work) -> Done:
        seconds, points = self.usual.get(what, (1.5, 40))
        if self.chance.random() < 0.5 or what == "janitor":
            # half of them late, where views and records change hands
            point = self.chance.randrange(self.chance.choice((1, 1 + points * 2 // 3)), points + 2)
            done = Process(lambda say: work(self.lab, Killer(point, say))).result()
            if done.outcome == "killed":
                where = next((text.removeprefix("at ") for text in done.said), "?")
                self.tally.kills["checkpoint"] += 1
                self.tally.points[where] += 1
                self.history.append(f"killed at {point}, {where}")
        else:
            moment = self.chance.uniform(0.02, 1.1 * seconds)
            done = Process(lambda say: work(self.lab, free)).result(kill_after=moment)
            if done.outcome == "killed":
                self.tally.kills["any moment"] += 1
                self.history.append(f"killed after {moment:.2f} s")
        return done

    def _whole(self, what: str, work: Work) -> Done:
        """One try that nobody kills; how long that takes, and how many checkpoints it passes, is remembered."""

        def counted(say: Checkpoint) -> Any:
            killer = Killer(0, say)
            try:
                return work(self.lab, killer)
            finally:
                say(f"passed {killer.passed}")

        done = Process(counted).result()
        passed = next((int(text.removeprefix("passed ")) for text in done.said if text.startswith("passed ")), 0)
        if passed > 3:
            self.usual[what] = (done.seconds, passed)
        return done

    def _end(self, what: str, environment: str | None, done: Done, held: Held, clean: bool, swept: bool) -> bool:
        """It came to an end: whether that was all there is to do."""
        if done.outcome == "refused" and what == "rollback":
            self.tally.refused[f"{what}: {done.told[:60]}"] += 1
            self.look(self.known)
            return True
        if done.outcome != "done":
            self._problem(f"{what} {done.outcome}: {done.told}")
        self.history += [event for event in done.returned or () if "kept_because=None" not in event] if swept else []
        if clean:
            self.known = replace(self.known, dirty=None)
        self.lab.rest()
        self.look(
            replace(self.known, rested=environment, promoted=what in ("plan", "rollback"), held=held, swept=swept)
        )
        return True

    def look(self, known: Known) -> None:
        """Verify, in a process of its own."""

        def work(say: Checkpoint) -> Any:
            with self.lab.project() as project:
                return verify(project, known)

        done = Process(work).result()
        self.tally.verified += 1
        if done.outcome != "done":
            self._problem(f"could not be verified: {done.told}")
            return
        self.numbers |= done.returned["numbers"]
        self.plans, self.held = done.returned["plans"], done.returned["held"]
        for problem in done.returned["problems"]:
            self._problem(problem)

    def _problem(self, text: str) -> None:
        self.tally.problems.append(f"{text}\n    after: {'; '.join(self.history[-12:])}")


def evaluated(events: Any) -> int:
    """How many batches were written."""
    return sum(isinstance(event, Evaluated) for event in events)


def live(
    folder: Path,
    warehouse: str,
    state: str,
    server: PostgresServer | None,
    chance: random.Random,
    tally: Tally,
    *,
    steps: int,
    usual: Usual,
    enough: Callable[[], bool],
) -> None:
    """One life of so many steps, observed where the engine lets others read; ends early at `enough`, or at the first
    problem: what comes after one tells nothing.
    """
    with lab(folder, warehouse, state, server) as made:
        life = Life(made, chance, tally, usual)
        observer = Observer(made.place, folder) if made.place is not None else None
        before = len(tally.problems)
        try:
            for _ in range(steps):
                life.step()
                if len(tally.problems) > before or enough():
                    break
        finally:
            if observer is not None:
                observed = observer.stop(life.numbers)
                tally.reads += observed.reads
                tally.torn += observed.torn
                tally.errors += observed.errors
                tally.longest = max(tally.longest, observed.longest)
