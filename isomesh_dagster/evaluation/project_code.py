"""Running code of a project: what it is given to reach the warehouse, and how its failures are told."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from isomesh_dagster.dialect import query as sql
from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import IsomeshError, ModelError, UnsupportedError
from isomesh_dagster.evaluation.texts import Surroundings, may_mention
from isomesh_dagster.macros.project import ProjectMacros
from isomesh_dagster.macros.warehouse import ASK_FIRST, NOTHING_BUILT, SeenSnapshot
from isomesh_dagster.model.kinds import External
from isomesh_dagster.model.model import Model
from isomesh_dagster.records import warehouse
from isomesh_dagster.relation import Relation, quote
from isomesh_dagster.snapshot.snapshot import Snapshot

_BATCH = quote("_isomesh_batch")

FRAMES = ("pandas", "polars", "pyarrow")
"""The libraries whose data frames are rows."""


def is_frame(thing: object) -> bool:
    """Whether a value is a data frame of a library that is known."""
    return any(base.__module__.partition(".")[0] in FRAMES for base in type(thing).__mro__)


def accepted(function: Callable[..., Any], offered: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the function takes: all, when it takes any."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return offered
    return {parameter.name: offered[parameter.name] for parameter in parameters if parameter.name in offered}


@contextmanager
def told(model: Model, macros: ProjectMacros, what: str) -> Iterator[None]:
    """What code of the project raises while it makes the model, as a ModelError with the line and the project's part of
    the traceback; errors that are told already get their line. `what` failed is named in the message.
    """
    try:
        yield
    except Exception as error:
        trace = list(_project_lines(error.__traceback__, macros))
        path, line = (trace[0][0], trace[0][1]) if trace else (model.path, model.line)
        if isinstance(error, IsomeshError):
            raise error.located(path=path, line=line) from error.__cause__
        written = "".join(f"\n  {path}:{line} in {name}: {text}" for path, line, name, text in trace)
        message = f"{what} failed with {type(error).__name__}: {error}{written}"
        raise ModelError(message, path=path, line=line, model=model.name) from error


def _project_lines(trace: TracebackType | None, macros: ProjectMacros) -> Iterator[tuple[str, int, str, str]]:
    """Path, line, function and text of every frame that is in the project's own code."""
    while trace is not None:
        code = trace.tb_frame.f_code
        text = None if Path(code.co_filename).is_absolute() else macros.text(code.co_filename)
        if text is not None:
            lines = text.splitlines()
            written = lines[trace.tb_lineno - 1].strip() if trace.tb_lineno <= len(lines) else ""
            yield code.co_filename, trace.tb_lineno, code.co_name, written
        trace = trace.tb_next


def wrong(model: Model, message: str, hint: str) -> ModelError:
    """What to raise for a mistake in the code of a model or of what it calls."""
    return ModelError(message, path=model.path, line=model.line, model=model.name, hint=hint)


class EngineAdapter:
    """The warehouse as code of a project sees it: statements and queries in its SQL, in the batch's transaction."""

    def __init__(self, session: Session, around: Surroundings) -> None:
        self._session = session
        self._around = around
        self.dialect = around.engine_dialect

    def execute(self, query: Any) -> None:
        """Run a statement, or several in a list."""
        for statement in query if isinstance(query, list | tuple) else [query]:
            self._session.execute(self._text(statement))

    def fetchall(self, query: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        return self._session.fetch(self._text(query))

    def fetchone(self, query: Any) -> tuple[Any, ...] | None:
        """The first row of a query, None when there is none."""
        return next(iter(self.fetchall(query)), None)

    def fetchdf(self, query: Any, quote_identifiers: bool = False) -> Any:
        """The rows of a query as a data frame of pandas."""
        return self.fetch_frame(query, "pandas")

    def fetch_frame(self, query: Any, library: str) -> Any:
        """The rows of a query as a data frame of the library."""
        return self._session.fetch_frame(self._text(query), library)

    def columns(self, table_name: Any) -> dict[str, str]:
        """Names and types of a table's columns."""
        return dict(self._session.columns(self._relation(table_name)))

    def insert_append(self, table_name: Any, query_or_df: Any, *arguments: Any, **options: Any) -> None:
        """Add rows of a query or a data frame to a table, columns matched by name."""
        with self._rows(query_or_df) as query:
            names, _ = self._session.fetch_table(f"SELECT * FROM (\n{query}\n) AS _rows LIMIT 0")
            self._session.insert(self._relation(table_name), query, names)

    def replace_query(self, table_name: Any, query_or_df: Any, *arguments: Any, **options: Any) -> None:
        """The table has just the rows of a query or a data frame afterwards; its columns stay."""
        self.execute(f"DELETE FROM {self._text(table_name)}")
        self.insert_append(table_name, query_or_df)

    def table_exists(self, table_name: Any) -> bool:
        """Whether there is a table or view of that name."""
        return self._session.exists(self._relation(table_name))

    def create_table(
        self, table_name: Any, target_columns_to_types: Mapping[str, Any], *arguments: Any, **options: Any
    ) -> None:
        """Make a table without rows: types by column."""
        columns = [(name, self._text(its_type)) for name, its_type in target_columns_to_types.items()]
        self._session.create_table(self._relation(table_name), columns)

    def ctas(self, table_name: Any, query_or_df: Any, *arguments: Any, **options: Any) -> None:
        """Make a table of the rows of a query or a data frame."""
        with self._rows(query_or_df) as query:
            self.execute(f"CREATE TABLE {self._text(table_name)} AS\n{query}")

    def drop_table(self, table_name: Any, *arguments: Any, **options: Any) -> None:
        """Drop a table if it is there."""
        self.execute(f"DROP TABLE IF EXISTS {self._text(table_name)}")

    def delete_from(self, table_name: Any, where: Any) -> None:
        """Delete the rows of a table for which a condition holds."""
        self.execute(f"DELETE FROM {self._text(table_name)} WHERE {self._text(where)}")

    def insert_overwrite_by_partition(
        self, table_name: Any, query_or_df: Any, partitioned_by: Sequence[Any], *arguments: Any, **options: Any
    ) -> None:
        """Replace the partitions of a table that occur in the rows: those with the same values of the expressions."""
        self._replace_by(table_name, query_or_df, partitioned_by, is_key=False)

    def merge(
        self,
        target_table: Any,
        source_table: Any,
        target_columns_to_types: Any = None,
        unique_key: Sequence[Any] = (),
        when_matched: Any = None,
        merge_filter: Any = None,
        **options: Any,
    ) -> None:
        """Replace the rows of a table that have the keys of the given rows, and add the others. What else a merge may
        do is refused: write `MERGE` with `execute`.
        """
        if when_matched is not None or merge_filter is not None or not unique_key:
            raise ModelError(
                "adapter.merge takes a unique_key, and neither when_matched nor merge_filter",
                hint="write the MERGE statement, and run it by adapter.execute",
            )
        self._replace_by(target_table, source_table, unique_key, is_key=True)

    def _replace_by(self, table_name: Any, query_or_df: Any, expressions: Sequence[Any], *, is_key: bool) -> None:
        """Replace the rows for which the expressions give what they give for one of the new rows; if they are a key,
        by one for each.
        """
        keys = [self._text(expression) for expression in expressions]
        named = [f"_key_{k}" for k in range(len(keys))]
        with self._rows(query_or_df) as query:  # twice read, and it may not give the same rows again
            self.execute(f"CREATE TEMPORARY TABLE {_BATCH} AS\n{query}")
        items = ", ".join(f"{key} AS {name}" for key, name in zip(keys, named, strict=True))
        same = self._session.same(keys, [f"_replaced.{name}" for name in named])
        table = self._text(table_name)
        self.execute(f"DELETE FROM {table} USING (SELECT DISTINCT {items} FROM {_BATCH}) AS _replaced WHERE {same}")
        chosen = f"DISTINCT ON ({', '.join(keys)}) *" if is_key else "*"
        self.insert_append(table_name, f"SELECT {chosen} FROM {_BATCH}")
        self.execute(f"DROP TABLE {_BATCH}")

    @contextmanager
    def _rows(self, query_or_df: Any) -> Iterator[str]:
        """The query of the rows of a query or a data frame."""
        if not is_frame(query_or_df):
            yield self._text(query_or_df)
            return
        with self._session.frame(query_or_df) as frame:
            yield f"SELECT * FROM {frame}"

    def _relation(self, table_name: Any) -> Relation:
        return Relation.parse(sql.normalize_name(self._text(table_name), self.dialect))

    def _text(self, query: Any) -> str:
        """The SQL, refused when it names a model: that would be what prod shows, whatever is being built."""
        text = query if isinstance(query, str) else str(query.sql(dialect=self.dialect))
        if may_mention(text, self._around.snapshots):
            try:
                references = sql.analyse(text, self.dialect, default_catalog=self._around.default_catalog).references
            except ModelError:
                return text  # no query, or told by the engine
            for reference in references:
                snapshot = self._around.snapshots.get(reference.name)
                if snapshot is not None and not isinstance(snapshot.model.kind, External):
                    raise ModelError(
                        f"the query reads {reference.name} by its name, which is not the table that is meant here",
                        hint=f'write FROM {{context.resolve_table("{reference.name}")}} in it',
                    )
        return text


class MacroWarehouse:
    """The warehouse as macros see it while a model is built: they read it in sessions of their own."""

    def __init__(self, around: Surroundings, table: Callable[[str], str]) -> None:
        self._around = around
        self._table = table

    @property
    def adapter(self) -> ReadingAdapter:
        """What macros ask."""
        return ReadingAdapter(self._around)

    def table(self, name: str) -> str:
        """The relation that a model's rows are in, as SQL."""
        return self._table(sql.normalize_name(name, self._around.engine_dialect))

    def snapshot(self, name: str) -> SeenSnapshot | None:
        """The version of a model that this is about; None for a name that no model has."""
        asked = sql.normalize_name(name, self._around.engine_dialect)
        found = self._around.snapshots.get(asked) or self._around.snapshots.get(asked.partition(".")[2])
        if found is None:
            return None
        parents = tuple(SeenSnapshot(name=self._full(one.name), version=one.version) for one in found.parents)
        return SeenSnapshot(
            name=self._full(found.name),
            version=found.version,
            parents=parents,
            physical=None if found.physical is None else str(found.physical),
            intervals=self._loaded(found),
        )

    def _loaded(self, snapshot: Snapshot) -> list[tuple[int, int]]:
        """What the table of a model holds, as far as it is committed."""
        if snapshot.physical is None or self._around.sessions is None:
            return []
        with self._around.sessions() as session:
            loaded = warehouse.intervals(warehouse.loaded_of(session, str(snapshot.physical)))
        return [(one.start, one.end) for one in loaded]

    def _full(self, name: str) -> str:
        catalog = self._around.default_catalog
        return Relation.parse(name if catalog is None or name.count(".") > 1 else f"{catalog}.{name}").sql


class ReadingAdapter:
    """Queries in the warehouse's SQL; what the batch at hand has not committed is not seen."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self.dialect = around.engine_dialect

    def fetchall(self, query: Any) -> list[tuple[Any, ...]]:
        """The rows of a query."""
        with self._open() as adapter:
            return adapter.fetchall(query)

    def fetchone(self, query: Any) -> tuple[Any, ...] | None:
        """The first row of a query, None when there is none."""
        return next(iter(self.fetchall(query)), None)

    def fetchdf(self, query: Any, quote_identifiers: bool = False) -> Any:
        """The rows of a query as a data frame of pandas."""
        with self._open() as adapter:
            return adapter.fetchdf(query)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a macro only reads the warehouse: it has fetchone, fetchall and fetchdf, no {name}")

    @contextmanager
    def _open(self) -> Iterator[EngineAdapter]:
        if self._around.sessions is None:
            raise UnsupportedError(NOTHING_BUILT, hint=ASK_FIRST)
        with self._around.sessions() as session:
            yield EngineAdapter(session, self._around)
