"""Running the function of a Python model: the frames it gives become one relation of the batch's transaction.

The code is that of the project's files, and is refused unless it is what the model was planned with: nothing that was
kept in a state is ever run. What the function reads it reads in the same transaction, from the tables the plan means.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from isomesh_dagster.dialect import query as sql
from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import IsomeshError, ModelError
from isomesh_dagster.execution.texts import Surroundings, Texts, may_mention
from isomesh_dagster.model.blueprints import plain_value
from isomesh_dagster.model.decode import nearest, without_catalog
from isomesh_dagster.model.kinds import External
from isomesh_dagster.model.model import Model, PythonFunction
from isomesh_dagster.relation import Column, quote
from isomesh_dagster.snapshot.interval import Interval, from_ms

_ROWS = quote("_isomesh_rows")
_MICROSECOND = timedelta(microseconds=1)
_FRAMES = ("pandas", "polars", "pyarrow")


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonCall:
    """One call of a model's function.

    typed     the declared columns with types of the engine
    interval  the batch; None: nothing is due, and the function is not called
    limit     as many rows are enough; None: all are wanted
    """

    model: Model
    texts: Texts
    around: Surroundings
    typed: tuple[Column, ...]
    interval: Interval | None
    stage: str = "evaluating"
    limit: int | None = None


@contextmanager
def python_rows(session: Session, call: PythonCall) -> Iterator[str]:
    """The rows that the function makes, as a query over the declared columns, to be read within the context.

    Raises ModelError when the code is not what it was, when it fails (with its place and the project's part of its
    traceback), or when its frames do not have the columns; EngineError when a value does not fit a column's type.
    """
    if call.interval is None:
        items = ", ".join(f"CAST(NULL AS {column.type}) AS {quote(column.name)}" for column in call.typed)
        yield f"SELECT {items} WHERE 1 = 0"
        return
    frames = _frames(session, call, call.interval)
    columns = ", ".join(f"{quote(column.name)} {column.type}" for column in call.typed)
    session.execute(f"CREATE TEMPORARY TABLE {_ROWS} ({columns})")
    rows = 0
    for frame in frames:
        rows += _insert(session, call, frame)
        if call.limit is not None and rows >= call.limit:
            break
    yield f"SELECT * FROM {_ROWS}"
    session.execute(f"DROP TABLE {_ROWS}")


def _insert(session: Session, call: PythonCall, frame: Any) -> int:
    """Add a frame's rows; how many they are. A frame without rows may have any columns."""
    library = next((one for base in type(frame).__mro__ if (one := base.__module__.partition(".")[0]) in _FRAMES), None)
    if library is None:
        raise _wrong(
            call.model,
            f"the function returned {type(frame).__name__}, which is no data frame",
            "return a DataFrame of pandas or polars, or a table of pyarrow; or yield them, none when there are no rows",
        )
    shape = getattr(frame, "shape", None)
    if shape is not None and not shape[0]:
        return 0
    with session.frame(frame) as relation:
        found, _ = session.fetch_table(f"SELECT * FROM {relation} LIMIT 0")
        given = _matched(call, found)
        items = ", ".join(
            f"CAST({quote(name)} AS {column.type})" for name, column in zip(given, call.typed, strict=True)
        )
        return session.execute(f"INSERT INTO {_ROWS} SELECT {items} FROM {relation}") or 0


def _matched(call: PythonCall, found: Sequence[str]) -> list[str]:
    """The frame's names of the declared columns; more columns than these are left out, as those of a query are."""
    exact, folded = set(found), {name.lower(): name for name in found}
    given = [column.name if column.name in exact else folded.get(column.name.lower()) for column in call.typed]
    missing = [column.name for column, name in zip(call.typed, given, strict=True) if name is None]
    if not missing:
        return [name for name in given if name is not None]
    extra = [name for name in found if name not in given]
    raise _wrong(
        call.model,
        f"the frame has no {', '.join(map(repr, missing))}" + (f", but {', '.join(map(repr, extra))}" if extra else ""),
        nearest(missing[0], extra) or "its columns must be those that `columns` declares",
    )


# ---- the function ----------------------------------------------------------------------------------------


def _frames(session: Session, call: PythonCall, interval: Interval) -> Iterator[Any]:
    """What the function gives, frame by frame."""
    python = call.model.python
    assert python is not None
    context = _Context(session, call, interval)
    moment = call.around.execution_time
    offered: dict[str, Any] = {
        **context.variables,
        "context": context,
        "start": from_ms(interval.start),
        "end": from_ms(interval.end) - _MICROSECOND,
        "execution_time": moment,
        "latest": moment,
        "runtime_stage": call.stage,
    }
    function = _function(call, python)
    return _in_turn(call, function, _accepted(function, offered))


def _function(call: PythonCall, python: PythonFunction) -> Callable[..., Any]:
    """The function as the project's files have it now, if that is what was planned."""
    model, macros = call.model, call.around.macros
    if macros.function_digest(model.path, python.name) != python.digest:
        raise _wrong(
            model,
            "the Python code in the project's files is not what the model was planned with",
            "plan again, or run from the commit that was planned",
        )
    function: Callable[..., Any] = macros.function(model.path, python.name)
    return function


def _accepted(function: Callable[..., Any], offered: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the function takes: all, when it takes any."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return offered
    return {parameter.name: offered[parameter.name] for parameter in parameters if parameter.name in offered}


def _in_turn(call: PythonCall, function: Callable[..., Any], arguments: dict[str, Any]) -> Iterator[Any]:
    with _told(call):
        given = function(**arguments)
    if not inspect.isgenerator(given):
        yield given
        return
    while True:
        with _told(call):
            try:
                frame = next(given)
            except StopIteration:
                return
        yield frame


@contextmanager
def _told(call: PythonCall) -> Iterator[None]:
    """What the code raises, with the line and the project's part of the traceback."""
    try:
        yield
    except Exception as error:
        trace = list(_project_lines(error.__traceback__, call))
        path, line = (trace[0][0], trace[0][1]) if trace else (call.model.path, call.model.line)
        if isinstance(error, IsomeshError):
            raise error.located(path=path, line=line) from error.__cause__
        written = "".join(f"\n  {path}:{line} in {name}: {text}" for path, line, name, text in trace)
        message = f"the function failed with {type(error).__name__}: {error}{written}"
        raise ModelError(message, path=path, line=line, model=call.model.name) from error


def _project_lines(trace: TracebackType | None, call: PythonCall) -> Iterator[tuple[str, int, str, str]]:
    """Path, line, function and text of every frame that is in the project's own code."""
    while trace is not None:
        code = trace.tb_frame.f_code
        text = None if Path(code.co_filename).is_absolute() else call.around.macros.text(code.co_filename)
        if text is not None:
            lines = text.splitlines()
            written = lines[trace.tb_lineno - 1].strip() if trace.tb_lineno <= len(lines) else ""
            yield code.co_filename, trace.tb_lineno, code.co_name, written
        trace = trace.tb_next


def _wrong(model: Model, message: str, hint: str) -> ModelError:
    return ModelError(message, path=model.path, line=model.line, model=model.name, hint=hint)


# ---- what it may ask -------------------------------------------------------------------------------------


class _Context:
    """`context` of one call; see `ExecutionContext`."""

    spark = snowpark = bigframe = None  # of engines that are not supported

    def __init__(self, session: Session, call: PythonCall, interval: Interval) -> None:
        model, python = call.model, call.model.python
        assert python is not None
        self._call = call
        self._interval = interval
        self._session = session
        self._reads = frozenset(python.reads)
        self._blueprint = {name: plain_value(written) for name, written in model.blueprint.items()}
        self.variables = {name: value for name, value in model.variables.items() if f"var {name}" in self._reads}
        self.engine_adapter = _Engine(session, call)

    @property
    def gateway(self) -> Any:
        return self._call.model.variables["gateway"]

    @property
    def default_catalog(self) -> str | None:
        return self._call.around.default_catalog

    @property
    def default_dialect(self) -> str:
        return self._call.model.dialect or self._call.around.engine_dialect

    def resolve_table(self, model_name: str) -> str:
        model = self._call.model
        normal = sql.normalize_name(model_name, self.default_dialect)
        name = without_catalog(normal, self.default_catalog, self.default_dialect)
        if name != model.name and name not in model.depends_on:
            raise ModelError(
                f"{model_name!r} is not among what the model reads",
                hint=nearest(name, model.depends_on) or 'name it in depends_on=["…"]',
            )
        return self._call.texts.table(name, self._interval)

    table = resolve_table

    def fetchdf(self, query: Any, quote_identifiers: bool = False) -> Any:
        return self.engine_adapter.fetchdf(query)

    def fetch_polars(self, query: Any) -> Any:
        return self.engine_adapter.fetch_frame(query, "polars")

    def fetch_arrow(self, query: Any) -> Any:
        return self.engine_adapter.fetch_frame(query, "pyarrow")

    def var(self, var_name: str, default: Any = None) -> Any:
        return self._asked("var", var_name, self._call.model.variables, default)

    def blueprint_var(self, var_name: str, default: Any = None) -> Any:
        return self._asked("blueprint_var", var_name, self._blueprint, default)

    def _asked(self, asks: str, name: str, values: Any, default: Any) -> Any:
        if f"{asks} {name.lower()}" not in self._reads:
            raise ModelError(
                f"nobody knew that the model reads variable {name!r}",
                hint=f'write context.{asks}("{name.lower()}"): what is read is found in the text of the code',
            )
        return values.get(name.lower(), default)


class _Engine:
    """`context.engine_adapter`: statements and queries in the warehouse's SQL, in the batch's transaction."""

    def __init__(self, session: Session, call: PythonCall) -> None:
        self._session = session
        self._around = call.around
        self._own = call.model.name
        self.dialect = call.around.engine_dialect

    def execute(self, query: Any) -> None:
        for statement in query if isinstance(query, list | tuple) else [query]:
            self._session.execute(self._text(statement))

    def fetchall(self, query: Any) -> list[tuple[Any, ...]]:
        return self._session.fetch(self._text(query))

    def fetchone(self, query: Any) -> tuple[Any, ...] | None:
        return next(iter(self.fetchall(query)), None)

    def fetchdf(self, query: Any, quote_identifiers: bool = False) -> Any:
        return self.fetch_frame(query, "pandas")

    def fetch_frame(self, query: Any, library: str) -> Any:
        return self._session.fetch_frame(self._text(query), library)

    def _text(self, query: Any) -> str:
        """The SQL, refused when it names a model: that would be what prod shows, whatever is being built."""
        text = query if isinstance(query, str) else str(query.sql(dialect=self.dialect))
        if may_mention(text, self._around.snapshots):
            try:
                references = sql.analyse(text, self.dialect, default_catalog=self._around.default_catalog).references
            except ModelError:
                return text  # told by the engine, or no query
            for reference in references:
                snapshot = self._around.snapshots.get(reference.name)
                if snapshot is not None and not isinstance(snapshot.model.kind, External):
                    raise ModelError(
                        f"the query reads {reference.name} by its name, which is not the table that is meant here",
                        hint=f'write FROM {{context.resolve_table("{reference.name}")}} in it',
                    )
        return text
