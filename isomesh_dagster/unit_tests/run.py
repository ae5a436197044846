"""Unit tests of models: each one's query over rows written by hand, on a warehouse in memory.

Nothing of the gateway's warehouse is read. A query is rendered with the stage `testing`, pointed to the fixtures,
translated to the engine's dialect and run as a plain SELECT: no kind writes anything.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING

from isomesh_dagster.config.connections import DuckDBConnection, DuckDBExtension
from isomesh_dagster.dialect import query as sql
from isomesh_dagster.dialect.rewrite import transpile_type
from isomesh_dagster.dialect.testable import cte_names, frozen, is_ordered, up_to_cte
from isomesh_dagster.engine import open_connection
from isomesh_dagster.errors import IsomeshError, ModelError
from isomesh_dagster.evaluation.project_code import MacroWarehouse
from isomesh_dagster.evaluation.python_model import PythonCall, python_rows
from isomesh_dagster.evaluation.schemas import quoted, said_in
from isomesh_dagster.evaluation.texts import Surroundings
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.macros.variables import given_range
from isomesh_dagster.model.fixtures import Fixture, FixtureQuery, Rows
from isomesh_dagster.model.kinds import Embedded
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.names import nearest
from isomesh_dagster.model.render import RenderContext, render
from isomesh_dagster.model.unit_tests import Expected, UnitTest
from isomesh_dagster.relation import Column, KnownColumns, Relation
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.unit_tests.comparison import Difference, Table, compare
from isomesh_dagster.unit_tests.fixture import known_columns, make_fixture

if TYPE_CHECKING:
    from isomesh_dagster.engine.connection import Connection, Session

ENGINE_DIALECT = "duckdb"
SCHEMA = "isomesh_test"
_DAY = 86_400_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTestBed:
    """What tests need to know of the project.

    models           by name
    columns          output columns of a model by its name, explicit or inferred; None when nobody can tell
    default_catalog  the catalog of names that give none
    extensions       of DuckDB, loaded before the tests run
    macros           the project's own
    """

    models: Mapping[str, Model]
    columns: Callable[[str], Sequence[Column] | None]
    default_catalog: str | None = None
    extensions: Sequence[DuckDBExtension] = ()
    macros: ProjectMacros = NO_MACROS


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTestResult:
    """How a test went: passed, or what differs, or the error that kept it from running. `sql` is what ran on DuckDB."""

    test: UnitTest
    seconds: float
    differences: tuple[Difference, ...] = ()
    error: IsomeshError | None = None
    sql: str = ""

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return self.error is None and not self.differences


def run_unit_tests(tests: Iterable[UnitTest], bed: UnitTestBed) -> Iterator[UnitTestResult]:
    """Run the tests one after the other, each in a schema of its own; a failing one stops none. Yields as they end."""
    listed = list(tests)
    if not listed:
        return
    with closing(_open(bed)) as connection, connection.session() as session:
        for number, test in enumerate(listed):
            yield _Trial(session, connection.reads, test, bed, number).result()


def actual_outputs(test: UnitTest, bed: UnitTestBed, *, ctes: bool) -> tuple[Table, dict[str, Table]]:
    """What the query of a test returns over its inputs, and its CTEs by name. Raises IsomeshError."""
    with closing(_open(bed)) as connection, connection.session() as session:
        return _Trial(session, connection.reads, test, bed, 0).outputs(ctes=ctes)


def _open(bed: UnitTestBed) -> Connection:
    return open_connection(DuckDBConnection(extensions=tuple(bed.extensions)))


@dataclass(slots=True)
class _Trial:
    """One test on a warehouse."""

    session: Session
    reads: Callable[[str], bool]
    test: UnitTest
    bed: UnitTestBed
    number: int
    fixtures: dict[str, Relation] = field(default_factory=dict)

    def result(self) -> UnitTestResult:
        began = time.perf_counter()
        query = ""
        differences: list[Difference] = []
        error: IsomeshError | None = None
        try:
            query = self.prepared()
            differences = [found for found in self._compared(query) if found is not None]
        except IsomeshError as raised:
            error = raised
            if error.path is None:
                error.located(path=self.test.path, line=error.line or self.test.line)
            error.located(model=self.test.model)
        return UnitTestResult(
            test=self.test,
            seconds=time.perf_counter() - began,
            differences=tuple(differences),
            error=error,
            sql=query,
        )

    def outputs(self, *, ctes: bool) -> tuple[Table, dict[str, Table]]:
        query = self.prepared()
        names = cte_names(query, ENGINE_DIALECT) if ctes else ()
        return self._table(query), {name: self._table(self._cte(query, name)) for name in names}

    def prepared(self) -> str:
        """Make the fixtures; the query over them."""
        self.session.create_schema(self._schema)
        for name, fixture in self.test.inputs.items():
            self._make(name, fixture)
        if self._model.python is not None:
            return self._called(self._model)
        text, dialect = self._resolved(self._model, frozenset())
        schema = partial(self._columns_in, dialect)
        query = sql.transpile(text, dialect, ENGINE_DIALECT, reads=self.reads, schema=schema)
        now = self.test.execution_time
        return query if now is None else frozen(query, ENGINE_DIALECT, _EPOCH + timedelta(milliseconds=now))

    @property
    def _model(self) -> Model:
        return self.bed.models[self.test.model]

    @property
    def _schema(self) -> str:
        return f"{self.test.schema or SCHEMA}_{self.number}"

    def _dialect(self, model: Model) -> str:
        return model.dialect or ENGINE_DIALECT

    # -- what goes in

    def _make(self, name: str, fixture: Fixture) -> Relation:
        table = name.replace(".", "__")
        while any(made.name == table for made in self.fixtures.values()):
            table += "_"
        relation = Relation(schema=self._schema, name=table)
        model = self.bed.models.get(name)
        try:
            known = known_columns(model, self.bed.columns(name))
            make_fixture(self.session, relation, fixture, known, self._dialect(self._model))
        except IsomeshError as error:
            error.message = f"input {name}: {error.message}"
            raise error.located(path=self.test.path, line=fixture.line) from None
        self.fixtures[name] = relation
        return relation

    def _resolved(self, model: Model, inside: frozenset[str]) -> tuple[str, str]:
        """The model's query over the fixtures, and its dialect."""
        dialect = self._dialect(model)
        text = self._rendered(model)
        references = sql.analyse(text, dialect, default_catalog=self.bed.default_catalog).references
        replacements: dict[str, str] = {}
        for name in dict.fromkeys(reference.name for reference in references):
            replacements[name] = self._replacement(name, model, inside | {model.name})
        return sql.splice(text, references, replacements, dialect), dialect

    def _replacement(self, name: str, reader: Model, inside: frozenset[str]) -> str:
        dialect = self._dialect(reader)
        fixture = self.fixtures.get(name)
        parent = self.bed.models.get(name)
        if fixture is None and name == reader.name:  # it reads what it wrote before: nothing yet
            fixture = self._make(name, Rows(columns=(), cells=(), line=self.test.line))
        if fixture is not None:
            return quoted(fixture, dialect)
        if parent is not None and isinstance(parent.kind, Embedded) and name not in inside:
            inner, its_dialect = self._resolved(parent, inside)
            return f"(\n{sql.transpile(inner, its_dialect, dialect, schema=partial(self._columns_in, its_dialect))}\n)"
        raise ModelError(
            f"{reader.name} reads {name}, which `inputs` does not give",
            path=self.test.path,
            line=self.test.line,
            hint=nearest(name, self.test.inputs) or f"add {name}: with its rows, or `rows: []`",
        )

    def _columns_in(self, dialect: str) -> dict[str, tuple[Column, ...]]:
        """The columns of the fixtures, by name, as the dialect has them."""
        found = {}
        for name, relation in self.fixtures.items():
            model, columns = self.bed.models.get(name), self.bed.columns(name)
            if model is not None and columns is not None:
                its_own = self._dialect(model)
                key = sql.normalize_name(quoted(relation, dialect), dialect)
                found[key] = tuple(said_in(column, its_own, dialect) for column in columns)
        return found

    def _called(self, model: Model) -> str:
        """Call the model's function over the fixtures; a query of the rows it made."""
        start, end = self._range
        dialect = self._dialect(model)
        call = PythonCall(
            model=replace(model, variables={**model.variables, **self.test.variables}),
            table=partial(self._table_of, model),
            around=self._surroundings,
            typed=tuple(
                replace(column, type=transpile_type(column.type, dialect, ENGINE_DIALECT))
                for column in model.columns or ()
            ),
            interval=Interval(start, end),
            stage="testing",
        )
        result = Relation(schema=self._schema, name="isomesh_result")
        with self.session.transaction(), python_rows(self.session, call) as query:
            self.session.replace_table(result, query)
        return f"SELECT * FROM {result.sql}"

    def _table_of(self, model: Model, name: str) -> str:
        """What stands for a table that a function reads, on DuckDB."""
        text = self._replacement(name, model, frozenset({model.name}))
        fixture = self.fixtures.get(name)
        return sql.transpile(text, self._dialect(model), ENGINE_DIALECT) if fixture is None else fixture.sql

    @property
    def _surroundings(self) -> Surroundings:
        return Surroundings(
            snapshots={},
            engine_dialect=ENGINE_DIALECT,
            default_catalog=self.bed.default_catalog,
            execution_time=_EPOCH + timedelta(milliseconds=self.test.execution_time or 0),
            macros=self.bed.macros,
            sessions=lambda: nullcontext(self.session),
        )

    @property
    def _range(self) -> tuple[int, int]:
        return (0, _DAY) if self.test.start is None or self.test.end is None else (self.test.start, self.test.end)

    def _rendered(self, model: Model) -> str:
        start, end = self._range
        context = RenderContext(
            start=start,
            end=end,
            execution_time=self.test.execution_time or 0,
            stage="testing",
            extra=given_range(
                self.test.variables,
                model.dialect,
                start=self.test.start is not None,
                end=self.test.end is not None,
            ),
            columns=partial(self._known, model),
            macros=self.bed.macros,
            is_loading=True,
            warehouse=MacroWarehouse(self._surroundings, str),
        )
        variables = {**model.variables, **self.test.variables}
        query = render(replace(model, variables=variables), context).query
        return sql.without_terminator(query, self._dialect(model))

    def _known(self, model: Model, name: str) -> KnownColumns:
        """The columns of a relation that a macro asks for."""
        for candidate in (name, name.partition(".")[2]):
            if candidate in model.schemas:
                return model.schemas[candidate]
            asked = self.bed.models.get(candidate)
            columns = self.bed.columns(candidate) if asked is not None else None
            if asked is not None and columns is not None:
                is_declared = asked.columns is not None
                return KnownColumns(columns=tuple(columns), dialect=asked.dialect, is_declared=is_declared)
        raise ModelError(f"the columns of {name} are not known", hint="declare it in external_models.yaml")

    # -- what comes out

    def _compared(self, query: str) -> Iterator[Difference | None]:
        for name, expected in self.test.ctes.items():
            yield compare(
                self._expected(expected), self._table(self._cte(query, name)), output=name, partial=expected.partial
            )
        if self.test.query is not None:
            yield compare(
                self._expected(self.test.query),
                self._table(query),
                partial=self.test.query.partial,
                ordered=is_ordered(query, ENGINE_DIALECT),
            )

    def _cte(self, query: str, name: str) -> str:
        found = up_to_cte(query, name, ENGINE_DIALECT)
        if found is None:
            names = cte_names(query, ENGINE_DIALECT)
            hint = nearest(name, names) or (f"it has {', '.join(names)}" if names else "compare the `query` instead")
            raise ModelError(f"the query has no CTE {name!r}", hint=hint)
        return found

    def _expected(self, expected: Expected) -> Table:
        fixture = expected.fixture
        if isinstance(fixture, FixtureQuery):
            return self._table(sql.transpile(fixture.sql, self._dialect(self._model), ENGINE_DIALECT))
        return Table(columns=fixture.columns, rows=fixture.cells)

    def _table(self, query: str) -> Table:
        columns, rows = self.session.fetch_table(query)
        return Table(columns=tuple(columns), rows=tuple(rows))
