"""What can be asked of a project and its system: every method here reads, none changes state or warehouse."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any

from isomesh_dagster.errors import EngineError, PlanError
from isomesh_dagster.model.names import validate_environment
from isomesh_dagster.project import checking, clock
from isomesh_dagster.project.files import ProjectFiles
from isomesh_dagster.snapshot.environment import Environment, Promotion
from isomesh_dagster.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from typing_extensions import Self

    from isomesh_dagster.engine.connection import Connection
    from isomesh_dagster.evaluation.texts import Surroundings
    from isomesh_dagster.inspection.table_diff import Comparison, Question
    from isomesh_dagster.model.model import Json
    from isomesh_dagster.model.unit_tests import UnitTest
    from isomesh_dagster.records.events import Audited
    from isomesh_dagster.relation import Relation
    from isomesh_dagster.state.protocol import Identity, StateStore
    from isomesh_dagster.unit_tests.run import UnitTestResult
    from isomesh_dagster.upkeep.external import Declared


class ProjectQuestions(ProjectFiles):
    """A project's files, and its gateway's state and warehouse to ask; both are opened on first use. A context manager;
    `close()` lets go of them.
    """

    @property
    def on_wait(self) -> Callable[[str], None] | None:
        """Told once, in a sentence, when the warehouse is held by another process and is waited for."""
        return self.system.on_wait

    @on_wait.setter
    def on_wait(self, told: Callable[[str], None] | None) -> None:
        self.system.on_wait = told

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

    def promotions(self, environment: str, *, newest: int | None = None) -> list[Promotion]:
        """The promotions of an environment, newest first; only so many of them."""
        return self.system.checked().promotions(validate_environment(environment), newest=newest)

    # -- asking

    def render(
        self,
        model: str,
        *,
        start: datetime | None = None,
        end: datetime | None = None,
        execution_time: datetime | None = None,
        environment: str | None = None,
        expand: Collection[str] = (),
        dialect: str | None = None,
    ) -> str:
        """The SQL a model runs for `[start, end)`, macros expanded.

        With `environment` the tables are the physical ones it shows; without, they are named as the author wrote them.
        The queries of the models in `expand` stand in the place of their names. `dialect` is the one it is written in,
        by default the warehouse's.
        """
        from isomesh_dagster.inspection.ask import expanded, rendered_query

        snapshots = expanded(self.system.shown(environment), [self.model(name) for name in expand if name != model])
        around = self.surroundings(snapshots, execution_time)
        return rendered_query(self.model(model), around, clock.span(start, end), dialect)

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
        from isomesh_dagster.inspection.ask import evaluated_query

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
        execution_time: datetime | None = None,
    ) -> Iterator[Audited]:
        """Run the audits of an environment's models on what it shows; `models` limits them."""
        from isomesh_dagster.inspection.ask import audited

        self.system.checked()
        snapshots = self.system.snapshots(self.system.existing(self.system.environment_name(environment)))
        for wanted in models or ():
            self.model(wanted)
        chosen = [one for one in snapshots.values() if models is None or one.name in models]
        around = self.surroundings(snapshots, execution_time)
        yield from audited(self.connection(), chosen, around, clock.span(start, end))

    def table_diff(
        self, source: str, target: str, *, models: Collection[str] | None = None, question: Question | None = None
    ) -> Iterator[Comparison]:
        """How rows differ between two environments, model by model, or between two tables (`schema.table`).

        `models` limits environments to these; without, all whose tables are not the same are compared. Reads only.
        Raises PlanError for an environment, table or column that is not there; of environments compared without a
        question, one model's trouble is told as its result.
        """
        from isomesh_dagster.inspection import table_diff
        from isomesh_dagster.inspection.row_comparison import compare_tables

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
            if not isinstance(pair, table_diff.Pair):
                yield pair
                continue
            try:
                yield compare_tables(self.connection(), pair, asked)
            except (PlanError, EngineError) as error:
                if question is not None and (question.on or question.skip or question.where):
                    raise
                reason = error.message.splitlines()[0]
                yield table_diff.Incomparable(
                    model=str(pair.model), source=pair.source, target=pair.target, reason=reason
                )

    def surroundings(self, snapshots: Mapping[str, Snapshot], execution_time: datetime | None) -> Surroundings:
        """What the texts of models depend on besides these, where `snapshots` are what their names mean."""
        from isomesh_dagster.evaluation.texts import Surroundings

        return Surroundings(
            files=self.settings.files,
            snapshots=snapshots,
            engine_dialect=self.settings.connection.dialect,
            default_catalog=self.settings.default_catalog,
            execution_time=clock.now() if execution_time is None else execution_time,
            macros=self.macros,
        )

    # -- testing

    def run_unit_tests(self, tests: Iterable[UnitTest] | None = None) -> Iterator[UnitTestResult]:
        """Run unit tests (None: all) on a warehouse in memory; yields a result for each, also for one that fails.

        Neither state nor warehouse are opened.
        """
        chosen = list(self.unit_tests() if tests is None else tests)
        if not chosen:
            return
        from isomesh_dagster.unit_tests.run import run_unit_tests  # the SQL library, which most plans do without

        yield from run_unit_tests(chosen, checking.test_bed(self))

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
        from isomesh_dagster.unit_tests.draft import Draft, draft_unit_test

        snapshots = self.system.shown(self.system.environment_name(environment))
        draft = Draft(
            model=self.model(model),
            name=name,
            queries=queries or {},
            variables=variables or {},
            include_ctes=include_ctes,
        )
        return draft_unit_test(self.connection(), draft, self.surroundings(snapshots, None), checking.test_bed(self))

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
        from isomesh_dagster.inspection.fetch import fetched

        return fetched(self.system.existing_warehouse(), sql, limit=limit)

    def declare_external_tables(self, *, strict: bool = False) -> Declared:
        """Add tables that models read and nobody declared to external_models.yaml, as the warehouse has them.

        `strict`: EngineError when it lacks one of them, and nothing is written.
        """
        from isomesh_dagster.upkeep.external import declare, undeclared

        return declare(self.system.existing_warehouse, self.settings, undeclared(self.models), strict=strict)

    # -- ending

    def close(self) -> None:
        """Let go of the warehouse and the state. Idempotent."""
        self.system.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
