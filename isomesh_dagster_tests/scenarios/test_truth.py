"""A machine that lives through random projects: edits, plans with options, runs, restatements, rollbacks, crashes.

After every step each environment must show what `truth` computes from scratch, a plan made right after an apply must be
empty, and nothing may have been built that was there. `ISOMESH_LIVES=500` lives through more, at random.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from isomesh_dagster.errors import PlanError
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Built, Promoted
from isomesh_dagster.snapshot.environment import PROD
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster_tests.scenarios.lives import days as interval_of
from isomesh_dagster_tests.scenarios.truth import FIRST, LAST, NUMBERS, RAW, Files, Models, Truth, rows_of

CONFIG = """
gateways:
  one:
    connection: {type: duckdb, database: warehouse.duckdb}
model_defaults: {dialect: duckdb, start: '2024-01-01'}
"""
EXTERNAL = """
- name: raw.t
  columns: {id: BIGINT, a: BIGINT, b: BIGINT, c: BIGINT, ds: DATE}
"""
BEGIN = datetime(2024, 1, 6, 12, tzinfo=timezone.utc)
ENVIRONMENTS = ("prod", "dev", "other")
LIVES = int(os.environ.get("ISOMESH_LIVES", "0"))


@cache
def template() -> Path:
    """A project that prod shows."""
    root = Path(tempfile.mkdtemp())
    (root / "config.yaml").write_text(CONFIG)
    (root / "external_models.yaml").write_text(EXTERNAL)
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        connection.execute(RAW)
    write(root, Files())
    with Project.load(root, environ={}) as project:
        list(project.apply(project.plan(PROD, now=BEGIN)))
    return root


def write(root: Path, files: Files) -> None:
    shutil.rmtree(root / "models", ignore_errors=True)
    (root / "models").mkdir()
    for name, text in files.texts().items():
        (root / "models" / f"{name}.sql").write_text(text)


def days_in(intervals: Iterable[Interval]) -> frozenset[int]:
    """The whole days of January that lie within the intervals."""
    return frozenset(
        day
        for day in range(FIRST, LAST + 1)
        if any(
            one.start <= whole.start and whole.end <= one.end
            for whole in (interval_of(day, day + 1),)
            for one in intervals
        )
    )


class Lives(RuleBasedStateMachine):
    """See the module."""

    @initialize()
    def begin(self) -> None:
        self.root = Path(tempfile.mkdtemp())
        shutil.copytree(template(), self.root, dirs_exist_ok=True)
        self.truth = Truth()
        self.now = BEGIN
        self.files = Files()
        self.promoted: dict[str, Models] = {PROD: self.files.models()}
        self.numbers: dict[int, tuple[Models, dict[str, str]]] = {}
        self.stale: set[str] = set()
        self.day_sets: set[frozenset[int]] = {frozenset()}
        self.kept_columns: dict[str, dict[str, str]] = {PROD: dict(self.files.columns["kept"])}
        self.written: dict[int, dict[str, str]] | None = {
            day: dict(self.files.columns["kept"]) for day in range(FIRST, self.today)
        }
        self.built: set[tuple[str, str]] = set()
        self.told: list[str] = []
        with self.project() as project:
            self.numbers[project.promotions(PROD)[0].number] = (self.promoted[PROD], self.kept_columns[PROD])
        self.check()

    def teardown(self) -> None:
        if hasattr(self, "truth"):
            self.truth.close()
            shutil.rmtree(self.root)

    # -- edits

    def edited(self, told: str) -> None:
        self.told.append(told)
        write(self.root, self.files)

    @rule(model=st.sampled_from(("stg", "inc")), name=st.sampled_from(("x", "y")), of=st.sampled_from(NUMBERS))
    def add_a_column(self, model: str, name: str, of: str) -> None:
        self.files.columns[model][name] = f"{of} + 1"
        self.edited(f"{model}.{name} = {of} + 1")

    @rule(model=st.sampled_from(("stg", "inc")), name=st.sampled_from(NUMBERS), by=st.integers(1, 3))
    def change_a_column(self, model: str, name: str, by: int) -> None:
        self.files.columns[model][name] = f"{name} * {by}"
        self.edited(f"{model}.{name} = {name} * {by}")

    @rule(model=st.sampled_from(("stg", "inc", "star")), text=st.sampled_from(("TRUE", "a > 1", "id % 2 = 0")))
    def filter_rows(self, model: str, text: str) -> None:
        self.files.filters[model] = text
        self.edited(f"{model} where {text}")

    @rule(part=st.sampled_from(("measure", "group", "distinct", "agg_kind", "top", "extra")), other=st.booleans())
    def change_a_reader(self, part: str, other: bool) -> None:
        choices = {
            "measure": ("SUM(b)", "MAX(c)"),
            "group": ("a", "c"),
            "distinct": (False, True),
            "agg_kind": ("FULL", "VIEW"),
            "top": ("a, b", "c, a"),
            "extra": (False, True),
        }
        setattr(self.files, part, choices[part][other])
        self.edited(f"{part} = {choices[part][other]}")

    @rule(model=st.sampled_from(("m.inc", "m.agg", "comment")), number=st.integers(0, 2))
    def say_something(self, model: str, number: int) -> None:
        self.files.said[model] = f"-- {number}\n" if model == "comment" else f", description 'the {number}th'"
        self.edited(f"say {model} {number}")

    @rule(name=st.sampled_from(("a", "x", "y")), text=st.sampled_from(("b", "c + 1", "")))
    def change_what_keeps_its_rows(self, name: str, text: str) -> None:
        if text:
            self.files.columns["kept"][name] = text
        elif name != "a":
            self.files.columns["kept"].pop(name, None)
        self.edited(f"kept.{name} = {text or 'gone'}")

    # -- plans

    @rule(environment=st.sampled_from(ENVIRONMENTS), crash_after=st.none() | st.integers(0, 4))
    def plan(self, environment: str, crash_after: int | None) -> None:
        self.told.append(f"plan {environment}" + ("" if crash_after is None else f", interrupted at {crash_after}"))
        self.apply(environment, Wish(), crash_after)
        self.check_that_nothing_is_left(environment, Wish())

    @rule(environment=st.sampled_from(("dev", "other")), first=st.integers(1, 6), length=st.integers(1, 4))
    def plan_a_range(self, environment: str, first: int, length: int) -> None:
        self.told.append(f"plan {environment} of {first} to {first + length - 1}")
        self.apply(environment, Wish(within=interval_of(first, first + length)))

    @rule(environment=st.sampled_from(("dev", "other")), empty=st.booleans())
    def plan_without_rows(self, environment: str, empty: bool) -> None:
        self.told.append(f"plan {environment} without rows")
        self.apply(environment, Wish(skip_backfill=True, no_gaps=empty))

    @rule(model=st.sampled_from(("m.inc", "m.stg", "m.agg")))
    def call_it_breaking(self, model: str) -> None:
        self.told.append(f"plan dev, {model} is breaking")
        self.apply("dev", Wish(choices={model: Category.BREAKING}))

    @rule(environment=st.sampled_from(ENVIRONMENTS), model=st.sampled_from(("m.star", "m.uni", "m.agg", "m.top")))
    def plan_one_edit(self, environment: str, model: str) -> None:
        self.told.append(f"plan {environment} of the edit of {model}")
        self.apply(environment, Wish(select=(model,)), only=model)

    @rule(environment=st.sampled_from(ENVIRONMENTS))
    def run(self, environment: str) -> None:
        if environment not in self.promoted:
            return
        self.told.append(f"run {environment}")
        with self.project() as project:
            self.follow(
                environment, project.apply(project.run_plan(environment, now=self.now)), self.promoted[environment]
            )
            assert project.run_plan(environment, now=self.now).is_empty, self.told
        self.stale.discard(environment)
        self.check()

    @precondition(lambda self: hasattr(self, "now") and self.today < LAST)
    @rule(days=st.integers(1, 2))
    def wait(self, days: int) -> None:
        self.told.append(f"{days} days go by")
        self.now += timedelta(days=days)

    @rule(day=st.integers(1, 5), a=st.integers(0, 6))
    def rows_arrive_late(self, day: int, a: int) -> None:
        """Rows of the past come, and prod is restated; other environments see them with their next plan or run."""
        if self.stale & {PROD}:
            return
        self.told.append(f"rows of {day} arrive, prod is restated")
        sql = f"INSERT INTO raw.t SELECT 1000 + COUNT(*), {a}, 1, 1, DATE '2024-01-{day:02}' FROM raw.t"
        with duckdb.connect(str(self.root / "warehouse.duckdb")) as connection:
            connection.execute(sql)
        self.truth.arrive(sql)
        self.now += timedelta(minutes=1)  # the same restatement at the same moment would be the same plan
        with self.project() as project:
            wish = Wish(restate=("raw.t",), within=interval_of(day, day + 1))
            list(project.apply(project.plan(PROD, now=self.now, wish=wish)))
        self.built.clear()
        self.stale |= self.promoted.keys() - {PROD}
        self.late = True
        if self.written is not None:
            self.written[day] = dict(self.kept_columns[PROD])
        self.check()

    @rule()
    def roll_back(self) -> None:
        with self.project() as project:
            before = [one.number for one in project.promotions(PROD)][1:2]
            if not before or before[0] not in self.numbers:
                return
            self.told.append(f"prod goes back to {before[0]}")
            number = project.rollback(PROD).number
        models, kept = self.numbers[before[0]]
        if kept != self.kept_columns[PROD]:
            self.written = None  # the table has what the newer definition left; docs/forward-only.md says so
        self.promoted[PROD], self.kept_columns[PROD] = self.numbers[number] = models, kept
        if getattr(self, "late", False):
            self.stale.add(PROD)
        self.check()

    @rule(ignore_ttl=st.booleans())
    def clean_up(self, ignore_ttl: bool) -> None:
        self.told.append("janitor")
        with self.project() as project:
            list(project.janitor(now=self.now, ignore_ttl=ignore_ttl))
        self.built.clear()
        self.check()

    # -- what is done

    @property
    def today(self) -> int:
        """The day that is not over."""
        return self.now.day

    def project(self) -> Project:
        return Project.load(self.root, environ={})

    def apply(self, environment: str, wish: Wish, crash_after: int | None = None, only: str | None = None) -> None:
        with self.project() as project:
            try:
                plan = project.plan(environment, now=self.now, wish=wish)
            except PlanError as error:
                self.told.append(f"refused: {str(error).splitlines()[0]}")
                return
            models = self.target(environment, only, plan)
            if crash_after is not None:
                events = project.apply(plan)
                self.follow(environment, islice(events, crash_after), models)
                events.close()
                plan = project.plan(environment, now=self.now, wish=wish)
            self.follow(environment, project.apply(plan), models)
            assert project.plan(environment, now=self.now, wish=wish).is_empty, self.told
        if not wish.skip_backfill and wish.within is None:  # what is due again may be left for later by these two
            self.stale.discard(environment)
        self.check()

    def target(self, environment: str, only: str | None, plan: Plan) -> Models:
        """What the plan will show: the files, or of them the one edit that is selected."""
        files = self.files.models()
        if only is None:
            return files
        base = self.promoted.get(environment, self.promoted[PROD])
        chosen = {only} if only in files else set()
        return {
            name: files[name] if name in chosen else base[name] for name in files if name in chosen or name in base
        } | {name: one for name, one in base.items() if name not in files}

    def follow(self, environment: str, events: Any, models: Models) -> None:
        for event in events:
            if isinstance(event, Built) and not event.repoint and event.intervals:
                key = (str(event.physical), str(event.intervals))
                assert key not in self.built, f"{key} was built twice: {self.told}"
                self.built.add(key)
            if isinstance(event, Promoted):
                self.promote(environment, event.number, models)

    def promote(self, environment: str, number: int, models: Models) -> None:
        self.promoted[environment] = models
        is_new = models["m.kept"] == self.files.models()["m.kept"]
        kept = (
            dict(self.files.columns["kept"]) if is_new else self.kept_columns.get(environment, self.kept_columns[PROD])
        )
        self.kept_columns[environment] = kept
        if environment == PROD:
            self.numbers[number] = (models, kept)
            if self.written is not None:
                self.written = {
                    day: {name: text for name, text in before.items() if name in kept}
                    for day, before in self.written.items()
                }

    # -- what must be

    def check_that_nothing_is_left(self, environment: str, wish: Wish) -> None:
        """A second environment with the same files needs nothing but previews and what the first one has a part of."""
        if environment not in self.promoted or environment in self.stale:
            return
        with self.project() as project:
            plan = project.plan("twin", now=self.now, wish=Wish(create_from=environment))
            shown = project.environment(environment)
            assert shown is not None
            recorded = project.state().intervals([view.physical for view in shown.target.views.values()])
        whole = frozenset(range(FIRST, self.today))
        part = {
            name for name, view in shown.target.views.items() if not days_in(recorded.get(view.physical, ())) >= whole
        }
        if not part:
            assert not plan.builds, ([step.snapshot.name for step in plan.builds], self.told)

    def check(self) -> None:
        with self.project() as project:
            shown = {name: project.environment(name) for name in self.promoted}
            views = {name: dict(one.target.views) for name, one in shown.items() if one is not None}
            tables = {view.physical for its in views.values() for view in its.values()}
            recorded = {table: days_in(its) for table, its in project.state().intervals(tables).items()}
        for its in views.values():
            self.day_sets.add(recorded.get(its["m.inc"].physical, frozenset()))
        if self.written is not None:  # days that a run added, whoever ran
            for day in recorded[views[PROD]["m.kept"].physical] - self.written.keys():
                self.written[day] = dict(self.kept_columns[PROD])
        with duckdb.connect(str(self.root / "warehouse.duckdb"), read_only=True) as connection:
            for environment in views.keys() - self.stale:
                for name, view in views[environment].items():
                    rows = rows_of(connection, f"SELECT * FROM {view.view}")
                    self.check_rows(environment, name, rows, recorded.get(view.physical, frozenset()), views)

    def check_rows(
        self, environment: str, name: str, rows: Any, held: frozenset[int], views: Mapping[str, Mapping[str, Any]]
    ) -> None:
        models = self.promoted[environment]
        told = (environment, name, sorted(held), self.told)
        if name in ("m.kept", "m.shows"):
            self.check_kept(environment, name, rows, views, held, told)
            return
        if models[name][0].startswith("INCREMENTAL"):
            assert rows == self.truth.rebuilt(models, held)[name], told
            if environment == PROD:
                assert held >= frozenset(range(FIRST, max(held, default=FIRST) + 1)), told
            return
        if models[name][0] == "FULL" and not held:
            assert not rows, told
            return
        fit = [days for days in self.day_sets if models[name][0] == "VIEW" or days >= held]
        assert any(rows == self.truth.rebuilt(models, days)[name] for days in fit), told

    def check_kept(
        self,
        environment: str,
        name: str,
        rows: Any,
        views: Mapping[str, Mapping[str, Any]],
        held: frozenset[int],
        told: object,
    ) -> None:
        if name == "m.shows" or self.written is None:
            return
        columns = self.kept_columns[environment]
        if views[environment]["m.kept"].physical == views[PROD]["m.kept"].physical:
            if columns == self.kept_columns[PROD]:
                assert rows == self.truth.kept(self.written, columns), told
            return
        assert rows == self.truth.kept(dict.fromkeys(held, columns), columns), told


Lives.TestCase.settings = settings(
    max_examples=LIVES or 8,
    stateful_step_count=25 if LIVES else 10,
    derandomize=not LIVES,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    database=None,
    phases=tuple(one for one in Phase if one is not Phase.shrink or not LIVES),
    print_blob=False,
)
TestLives = pytest.mark.slow(Lives.TestCase)
