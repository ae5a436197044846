"""The door itself: everything a person, the command line or Dagster asks of a project, one method each."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from isomesh_dagster.cache.macro_files import macros_on_demand
from isomesh_dagster.errors import GraphError, PlanError, StateError
from isomesh_dagster.graph.order import ModelGraph, build_graph
from isomesh_dagster.model.names import validate_environment
from isomesh_dagster.model.settings import Settings, load_settings
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.wish import EVERYTHING_DUE, NOTHING, RunWish, Wish
from isomesh_dagster.project import checking, clock, planning
from isomesh_dagster.project.system import FOLDER, System
from isomesh_dagster.snapshot.environment import PROD, Environment, Promotion
from isomesh_dagster.snapshot.fingerprint import OwnFingerprint, fingerprints
from isomesh_dagster.snapshot.snapshot import Fingerprint, Snapshot

if TYPE_CHECKING:
    from isomesh_dagster.cache.format import FormattedFile
    from isomesh_dagster.cache.manifest import Source
    from isomesh_dagster.dialect.style import Style
    from isomesh_dagster.engine.connection import Connection
    from isomesh_dagster.execution.application import Application
    from isomesh_dagster.execution.events import Audited, Event, Promoted
    from isomesh_dagster.execution.external import Declared
    from isomesh_dagster.execution.log import Work
    from isomesh_dagster.execution.table_diff import Comparison, Question
    from isomesh_dagster.execution.texts import Surroundings
    from isomesh_dagster.execution.unit_test import UnitTestResult
    from isomesh_dagster.graph.lineage import ColumnLineage, ColumnReads
    from isomesh_dagster.lint.rules import Violation
    from isomesh_dagster.macros.project import ProjectMacros
    from isomesh_dagster.model.model import Json, Model
    from isomesh_dagster.model.unit_tests import UnitTest
    from isomesh_dagster.plan.cadence import Cadence
    from isomesh_dagster.plan.columns import ColumnCatalog
    from isomesh_dagster.plan.recorded import RecordedChoice
    from isomesh_dagster.plan.saved import SavedPlan
    from isomesh_dagster.project.intervals import MissingIntervals
    from isomesh_dagster.relation import Column, Relation
    from isomesh_dagster.state.protocol import Identity, PlanRecord, StateStore


class Project:
    """One project under one gateway. A context manager; `close()` lets go of state and warehouse. Safe to use from
    threads.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        models: Mapping[str, Model],
        own: Mapping[str, OwnFingerprint],
        digest: str,
        columns: Mapping[str, tuple[Column, ...] | None] | None = None,
        column_reads: Mapping[str, ColumnReads] | None = None,
        tests: Mapping[str, str] | None = None,
        decisions: Mapping[str, str] | None = None,
        macros: ProjectMacros | None = None,
        source: Source | None = None,
    ) -> None:
        self.settings = settings
        self.source = source
        self.root = settings.root
        self.gateway = settings.gateway
        self.graph: ModelGraph = build_graph(models)
        self.own = own
        self.digest = digest
        self.fingerprints: dict[str, Fingerprint] = fingerprints(self.graph, own)
        self.macros = macros if macros is not None else macros_on_demand(settings)
        self._columns = dict(columns) if columns is not None else None
        self._column_reads = column_reads
        self._catalog: ColumnCatalog | None = None
        self._tests = tests
        self._decisions = decisions
        self._unit_tests: tuple[UnitTest, ...] | None = None
        self.system = System(settings)
        self._lock = threading.RLock()

    @property
    def on_wait(self) -> Callable[[str], None] | None:
        """Told once, in a sentence, when the warehouse is held by another process and is waited for."""
        return self.system.on_wait

    @on_wait.setter
    def on_wait(self, told: Callable[[str], None] | None) -> None:
        self.system.on_wait = told

    # -- loading

    @classmethod
    def load(
        cls,
        root: Path | str = ".",
        *,
        gateway: str | None = None,
        environ: Mapping[str, str] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Project:
        """Read configuration and models of the project at `root`.

        `gateway` overrides `ISOMESH_GATEWAY` and the configuration's default. `on_progress(done, total)` is told of
        files that had to be parsed. Raises ConfigError, ModelError, GraphError; reads no secret of another gateway and
        opens neither state nor warehouse.
        """
        settings = load_settings(Path(root).resolve(), gateway, os.environ if environ is None else environ)
        return cls.of_settings(settings, on_progress=on_progress)

    @classmethod
    def of_settings(
        cls,
        settings: Settings,
        *,
        source: Source | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Project:
        """Read the models of a configuration that is loaded; `source` tells which commit's files they are."""
        from isomesh_dagster.cache.load import load_project_files

        files = load_project_files(settings, on_progress=on_progress)
        return cls(
            settings=settings,
            models=files.models,
            own=files.own,
            digest=files.digest,
            macros=files.macros,
            source=source,
        )

    @classmethod
    def from_manifest(cls, path: Path | str, *, environ: Mapping[str, str] | None = None) -> Project:
        """The project as it was when `path` was compiled, whatever its files say now. Parses no SQL and opens no
        database.

        The configuration is read from the project's folder: connections and secrets are never part of a manifest. What
        shapes the project comes from the commit it was compiled from, if it was and its code may run here.
        """
        from isomesh_dagster.cache.manifest import read_manifest

        place = Path(path).resolve()
        manifest = read_manifest(place)
        root, source = place.parents[3], manifest.source
        if source is not None and not (root / source.files).is_dir():
            raise StateError(
                f"the files of commit {source.commit[:12]} are gone: nothing used them for long",
                hint="reload the code location, or deploy the commit again",
            )
        settings = load_settings(
            root,
            manifest.gateway,
            os.environ if environ is None else environ,
            checkout=root / source.files if source is not None else None,
            checkout_decides=source is not None and source.may_run_code,
        )
        return cls(
            settings=settings,
            models=manifest.models,
            own=manifest.own,
            digest=manifest.digest,
            columns=manifest.columns,
            column_reads=manifest.column_reads,
            tests=manifest.tests,
            decisions=manifest.decisions,
            source=source,
        )

    def compile(self) -> Path:
        """Write the manifest of this project, unless it is there; its path. The name tells the content."""
        from isomesh_dagster.cache.manifest import Manifest, write_manifest

        tests, decisions = self._test_files(), self._decision_files()
        name = f"{self.digest}-{_digest({**tests, **decisions})}" if tests or decisions else self.digest
        if self.source is not None:
            name = f"{name}-{self.source.commit}-{'trusted' if self.source.may_run_code else 'untrusted'}"
        path = self.root / FOLDER / self.gateway / "manifests" / f"{name}.json"
        if not path.exists():
            write_manifest(
                path,
                Manifest(
                    gateway=self.gateway,
                    project=self.settings.project,
                    digest=self.digest,
                    models=self.models,
                    own=self.own,
                    columns=self.all_columns(),
                    column_reads=self.column_reads(),
                    tests=tests,
                    decisions=decisions,
                    source=self.source,
                ),
            )
        return path

    @property
    def models(self) -> Mapping[str, Model]:
        """The models by name, external tables that are declared among them."""
        return self.graph.models

    def model(self, name: str) -> Model:
        """The model of that name; a GraphError suggests the nearest one."""
        found = self.models.get(name)
        if found is None:
            import difflib

            near = difflib.get_close_matches(name, self.models, n=1)
            raise GraphError(
                f"no model named {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"the project has {len(self.models)} models",
            )
        return found

    def select(self, expressions: Iterable[str]) -> tuple[str, ...]:
        """The models that one of the expressions names, parents before children; `graph.selection` tells how they are
        written.

        Raises SelectionError with the place in the expression, GitError when `git:` cannot be answered.
        """
        from isomesh_dagster.git.changes import changed_paths
        from isomesh_dagster.graph.selection import parse_selection, select

        selections = [parse_selection(text) for text in expressions]
        branches = {branch for selection in selections for branch in selection.branches}
        changed = {branch: changed_paths(self.settings.files, branch) for branch in sorted(branches)}
        return select(selections, self.graph, changed=changed)

    def columns(self, name: str) -> tuple[Column, ...] | None:
        """Output columns of a model, explicit or inferred; None when they cannot be told without the warehouse."""
        if self._columns is not None:
            return self._columns.get(name)
        return self.column_catalog().of(name)

    def all_columns(self) -> dict[str, tuple[Column, ...] | None]:
        """Output columns of every model; what was inferred before is taken from the cache."""
        from isomesh_dagster.cache.columns import infer_columns
        from isomesh_dagster.cache.store import FactStore

        with self._lock:
            if self._columns is None:
                with FactStore(self.root / FOLDER / "cache.sqlite") as cache:
                    self._columns = infer_columns([self.models[name] for name in self.graph.order], cache)
            return dict(self._columns)

    def column_catalog(self) -> ColumnCatalog:
        """The columns of the models, inferred as they are asked for."""
        from isomesh_dagster.plan.columns import ColumnCatalog

        with self._lock:
            if self._catalog is None:
                self._catalog = ColumnCatalog(self.models)
            return self._catalog

    # -- what is known

    def state(self) -> StateStore:
        """The state of this gateway, opened on first use."""
        return self.system.state()

    def connection(self, *, wait_seconds: float | None = None) -> Connection:
        """The warehouse of this gateway, opened on first use and shared by all threads.

        `wait_seconds` is how long to wait for another process to let go of it (None: the engine's default). Raises
        LockedError.
        """
        return self.system.connection(wait_seconds=wait_seconds)

    def identity(self) -> Identity:
        """Who this project is to a system; its uuid counts only for a system without a stamp."""
        return self.system.identity()

    def environments(self) -> list[Environment]:
        """All environments of this gateway, by name."""
        return self.system.checked().environments()

    def environment(self, name: str) -> Environment | None:
        """The environment of that name, None when there is none."""
        return self.system.checked().environment(validate_environment(name))

    def promotions(self, environment: str) -> list[Promotion]:
        """The promotions of an environment, newest first."""
        return self.system.checked().promotions(validate_environment(environment))

    # -- deciding

    def plan(
        self,
        environment: str | None = None,
        *,
        now: datetime | None = None,
        wish: Wish = NOTHING,
    ) -> Plan:
        """What must be done so that `environment` shows the files; changes nothing.

        `now` (aware) stands for the clock. `wish` is all else that can be asked, such as a range of time, categories or
        a restatement. Raises PlanError and its kin; an interrupted apply is reconciled first.
        """
        return planning.plan_files(self, environment, now=now, wish=wish)

    def plan_again(self, saved: SavedPlan) -> Plan:
        """The plan that was saved, made anew from the files and the state.

        Raises ConflictingPlanError, saying why, when that is no longer what was agreed to.
        """
        return planning.plan_saved(self, saved)

    def plans(self, environment: str | None = None) -> list[PlanRecord]:
        """The plans that were applied or begun, newest first; their documents are read by `plan.saved`."""
        return self.system.checked().plans(None if environment is None else validate_environment(environment))

    def run_plan(
        self, environment: str | None = None, *, now: datetime | None = None, wish: RunWish = EVERYTHING_DUE
    ) -> Plan:
        """What the clock has made due in `environment`, from the state alone; of that, what is wished.

        The files are not looked at and nothing is promoted. Raises PlanError when there is no such environment.
        """
        return planning.plan_clock(self, environment, now=now, wish=wish)

    def cadence(self, environment: str | None = None, *, now: datetime | None = None) -> Cadence:
        """What the clock has made due in `environment`, by model, and when it will next make something due.

        Reads the state once and nothing else: no file, no warehouse, no SQL; so a sensor may ask every few seconds. A
        `run` made now builds what is told. Raises PlanError when there is no such environment.
        """
        return planning.cadence_of(self, environment, now=now)

    def recorded_choices(self) -> tuple[RecordedChoice, ...]:
        """What people decided about changes, as kept under `decisions/`. Raises ConfigError."""
        from isomesh_dagster.project import recorded

        return recorded.parse(self._decision_files())

    def check_intervals(
        self,
        environment: str | None = None,
        *,
        models: Collection[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        signals: bool = True,
        now: datetime | None = None,
    ) -> Iterator[MissingIntervals]:
        """What the models of an environment lack at their crons, parents first, and what of it waits for signals.

        `models`, `start` and `end` limit what is told; without `signals` none is asked. Builds nothing.
        """
        from isomesh_dagster.project.intervals import missing_intervals

        span = clock.span(start, end)
        yield from missing_intervals(self, environment, models=models, within=span, signals=signals, now=now)

    # -- doing

    def apply(self, plan: Plan) -> Iterator[Event]:
        """Build what is missing, audit, then promote everything at once; yields what happened as it happens.

        After the last event raises AuditError, EngineError or PlanError when something failed; the environment is then
        untouched and the same command resumes. Idempotent: what is built is never built twice.
        """
        from isomesh_dagster.execution.log import logged
        from isomesh_dagster.execution.schedule import run_plan_steps

        with self.application(plan) as application:
            events = run_plan_steps(application, concurrency=self.settings.connection.concurrent_tasks)
            yield from logged(events, self.work(plan))

    def work(self, plan: Plan) -> Work:
        """What log records say of the plan; the commit of the files only when somebody collects records."""
        from isomesh_dagster.execution.log import Work, is_wanted
        from isomesh_dagster.git.head import head

        commit = head(self.root) if is_wanted() else None
        return Work(gateway=plan.gateway, environment=plan.environment, plan=plan.id, commit=commit)

    @contextmanager
    def application(self, plan: Plan) -> Iterator[Application]:
        """The plan's steps one by one, for schedulers of their own such as Dagster."""
        from isomesh_dagster.execution.application import Application
        from isomesh_dagster.execution.statements import StatementSettings

        if plan.gateway != self.gateway:
            raise PlanError(f"plan {plan.id} is for gateway {plan.gateway!r}, this is {self.gateway!r}")
        application = Application(
            plan,
            connection=self.connection(),
            state=self.state(),
            identity=self.identity(),
            root=self.settings.files,
            default_catalog=self.settings.default_catalog,
            macros=self.macros,
            statements=StatementSettings(dialect=self.settings.dialect, variables=self.settings.variables),
            comments=self.settings.connection.register_comments,
        )
        try:
            yield application
        finally:
            application.finish()

    def rollback(self, environment: str | None = None, *, to: int | None = None) -> Promoted:
        """Show an earlier promotion again: number `to`, by default the one before the newest. Views swap, nothing is
        built.
        """
        from isomesh_dagster.execution.promote import rollback

        name = self.system.environment_name(environment)
        self.system.checked()
        self.system.reconcile(name)
        return rollback(
            self.state(),
            self.connection(),
            name,
            identity=self.identity(),
            now=clock.now(),
            to=to,
            default_catalog=self.settings.default_catalog,
            macros=self.macros,
            comments=self.settings.connection.register_comments,
        )

    def invalidate(self, environment: str) -> None:
        """End an environment now; the janitor removes it. `prod` is refused."""
        name = validate_environment(environment)
        if name == PROD:
            raise PlanError("prod cannot be invalidated", hint="to show something else there, plan or roll back")
        if not self.system.checked().expire(name, clock.now()):
            raise PlanError(
                f"there is no environment {name!r} in gateway {self.gateway!r}",
                hint="`isomesh environments` lists them",
            )

    def janitor(
        self, *, now: datetime | None = None, ignore_ttl: bool = False, dry_run: bool = False
    ) -> Iterator[Event]:
        """Remove expired environments and tables nobody needs; yields what went and what had to stay. Safe to
        interrupt.
        """
        from isomesh_dagster.execution.janitor import janitor

        state = self.system.checked()
        yield from janitor(
            self.connection(),
            state,
            identity=self.identity(),
            now=clock.now() if now is None else now,
            snapshot_ttl=self.settings.snapshot_ttl,
            ignore_ttl=ignore_ttl,
            dry_run=dry_run,
        )

    # -- asking

    def render(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        execution_time: datetime | None = None,
        environment: str | None = None,
    ) -> str:
        """The SQL a model runs for `[start, end)`, macros expanded.

        With `environment` the tables are the physical ones it shows; without, they are named as the author wrote them.
        """
        from isomesh_dagster.execution.ask import rendered_query

        around = self.surroundings(self.system.shown(environment), execution_time)
        return rendered_query(self.model(model), around, clock.span(start, end))

    def evaluate(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        execution_time: datetime | None = None,
        limit: int = 1000,
        environment: str | None = None,
    ) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run a model's query without writing; column names and at most `limit` rows."""
        from isomesh_dagster.execution.ask import evaluated_query

        snapshots = self.system.shown(self.system.environment_name(environment))
        around = self.surroundings(snapshots, execution_time)
        return evaluated_query(self.connection(), self.model(model), around, clock.span(start, end), limit=limit)

    def audit(
        self,
        environment: str | None = None,
        *,
        models: Collection[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> Iterator[Audited]:
        """Run the audits of an environment's models on what it shows; `models` limits them."""
        from isomesh_dagster.execution.ask import audited

        self.system.checked()
        snapshots = self.system.snapshots(self.system.existing(self.system.environment_name(environment)))
        for wanted in models or ():
            self.model(wanted)
        chosen = [one for one in snapshots.values() if models is None or one.name in models]
        around = self.surroundings(snapshots, None)
        yield from audited(self.connection(), chosen, around, clock.span(start, end))

    def table_diff(
        self, source: str, target: str, *, models: Collection[str] | None = None, question: Question | None = None
    ) -> Iterator[Comparison]:
        """How rows differ between two environments, model by model, or between two tables (`schema.table`).

        `models` limits environments to these; without, all whose tables are not the same are compared. Reads only.
        Raises PlanError for an environment, table or column that is not there.
        """
        from isomesh_dagster.execution import table_diff
        from isomesh_dagster.execution.row_comparison import compare_tables

        asked = question or table_diff.Question()
        if "." in source or "." in target:
            if models is not None:
                raise PlanError("models are compared between environments, not between tables")
            tables = table_diff.named_pair(source, target, self.settings.connection.dialect)
            yield compare_tables(self.system.existing_warehouse(), tables, asked)
            return
        self.system.checked()
        first, second = (self.system.existing(validate_environment(name)) for name in (source, target))
        snapshots = {**self.system.snapshots(first), **self.system.snapshots(second)}
        for pair in table_diff.shown_pairs(first, second, snapshots, models):
            if isinstance(pair, table_diff.Pair):
                yield compare_tables(self.connection(), pair, asked)
            else:
                yield pair

    def surroundings(self, snapshots: Mapping[str, Snapshot], execution_time: datetime | None) -> Surroundings:
        """What the texts of models depend on besides these, where `snapshots` are what their names mean."""
        from isomesh_dagster.execution.texts import Surroundings

        return Surroundings(
            snapshots=snapshots,
            engine_dialect=self.settings.connection.dialect,
            default_catalog=self.settings.default_catalog,
            execution_time=clock.now() if execution_time is None else execution_time,
            macros=self.macros,
        )

    # -- testing

    def unit_tests(self) -> tuple[UnitTest, ...]:
        """The unit tests under `tests/` that are for this gateway, read on first use. Raises ModelError."""
        from isomesh_dagster.cache.unit_tests import parse_unit_test_files

        with self._lock:
            if self._unit_tests is None:
                self._unit_tests = parse_unit_test_files(self.settings, self.models, self._test_files())
            return self._unit_tests

    def unit_tests_of(self, plan: Plan) -> tuple[UnitTest, ...]:
        """The tests of models whose rows `plan` may change: they changed themselves, or something they read."""
        return checking.tests_of(self, plan)

    def run_unit_tests(self, tests: Iterable[UnitTest] | None = None) -> Iterator[UnitTestResult]:
        """Run unit tests (None: all) on a warehouse in memory; yields a result for each, also for one that fails.

        Neither state nor warehouse are opened.
        """
        from isomesh_dagster.execution.unit_test import run_unit_tests

        yield from run_unit_tests(self.unit_tests() if tests is None else tests, checking.test_bed(self))

    def draft_unit_test(
        self,
        model: str,
        name: str,
        *,
        queries: Mapping[str, str] | None = None,
        variables: Mapping[str, Json] | None = None,
        environment: str | None = None,
        include_ctes: bool = False,
    ) -> str:
        """The YAML of a new test: rows that `queries` (by table read) find in what `environment` shows as inputs, what
        the model makes of them now as outputs. Tables without a query give their first rows.
        """
        from isomesh_dagster.execution.unit_test_draft import Draft, draft_unit_test

        snapshots = self.system.shown(self.system.environment_name(environment))
        draft = Draft(
            model=self.model(model),
            name=name,
            queries=queries or {},
            variables=variables or {},
            include_ctes=include_ctes,
        )
        return draft_unit_test(self.connection(), draft, self.surroundings(snapshots, None), checking.test_bed(self))

    def _decision_files(self) -> Mapping[str, str]:
        """The texts of the files with decisions by path, read on first use."""
        from isomesh_dagster.project.recorded import read_files

        with self._lock:
            if self._decisions is None:
                self._decisions = read_files(self.settings.files)
            return self._decisions

    def _test_files(self) -> Mapping[str, str]:
        """The texts of the files with unit tests by path, read on first use."""
        from isomesh_dagster.cache.unit_tests import read_unit_test_files

        with self._lock:
            if self._tests is None:
                self._tests = read_unit_test_files(self.settings)
            return self._tests

    # -- columns

    def lineage(self) -> ColumnLineage:
        """Which columns become which, through all models; what was found out before is taken from the cache."""
        from isomesh_dagster.graph.lineage import ColumnLineage

        return ColumnLineage(self.column_reads())

    def column_reads(self) -> Mapping[str, ColumnReads]:
        """What the columns of every model with a query are read from, directly."""
        from isomesh_dagster.cache.lineage import read_columns
        from isomesh_dagster.cache.store import FactStore

        with self._lock:
            if self._column_reads is None:
                columns = self.all_columns()
                with FactStore(self.root / FOLDER / "cache.sqlite") as cache:
                    self._column_reads = read_columns(self.models.values(), columns, cache)
            return self._column_reads

    # -- the warehouse

    def table_name(self, model: str, environment: str | None = None) -> Relation:
        """The physical table or view a model is in an environment. Raises PlanError when there is none."""
        name = self.system.environment_name(environment)
        self.model(model)
        snapshot = self.system.shown(name).get(model)
        if snapshot is None:
            raise PlanError(f"{name!r} does not show {model}", hint=f"`isomesh plan {name}` would")
        if snapshot.physical is None:
            raise PlanError(f"{model} has no table of its own", hint="its query is inlined where it is read")
        return snapshot.physical

    def fetch(self, sql: str, *, limit: int | None = None) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run one query in the warehouse's SQL; column names and rows. Raises ModelError for anything but a query."""
        from isomesh_dagster.execution.fetch import fetched

        return fetched(self.system.existing_warehouse(), sql, limit=limit)

    def declare_external_tables(self, *, strict: bool = False) -> Declared:
        """Add tables that models read and nobody declared to external_models.yaml, as the warehouse has them.

        `strict`: EngineError when it lacks one of them, and nothing is written.
        """
        from isomesh_dagster.execution.external import declare

        return declare(self.system.existing_warehouse, self.settings, self.models, strict=strict)

    # -- checking

    def lint(self, models: Collection[str] | None = None) -> tuple[Violation, ...]:
        """What breaks the lint rules of the configuration, by place; `models` limits it. Opens neither state nor
        warehouse.

        A configuration that names no rule asks for all of them, as warnings. Raises ConfigError for an unknown rule.
        """
        return checking.lint(self, models)

    def mend(self, found: Iterable[Violation]) -> tuple[str, ...]:
        """Do the fixes that violations have: the paths that were written, relative to the root.

        Where two fixes touch one piece of a file the second is left for the next time. Raises LintError for a fix of a
        rule of the project's own that would write elsewhere. The project as it was read does not change: read it again.
        """
        from isomesh_dagster.project import checking

        return checking.mend(self, found)

    def lint_warnings(self) -> tuple[str, ...]:
        """What a plan warns of when the linter is on. Raises LintError when a rule that is an error is broken."""
        return checking.lint_warnings(self)

    def formatted(self, paths: Collection[str] | None = None, style: Style | None = None) -> tuple[FormattedFile, ...]:
        """The SQL files of the project (`paths`: only these) as `style` has them, by default the configuration's.

        Writes nothing. A file whose models would get another fingerprint is left alone, and says so.
        """
        from isomesh_dagster.cache.format import format_files

        return format_files(self.settings, self.models, self.own, paths, style or self.settings.format)

    # -- ending

    def close(self) -> None:
        """Let go of the warehouse and the state. Idempotent."""
        self.system.close()

    def __enter__(self) -> Project:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _digest(texts: Mapping[str, str]) -> str:
    return hashlib.blake2b(repr(sorted(texts.items())).encode(), digest_size=8).hexdigest()
