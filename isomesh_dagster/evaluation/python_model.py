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
from typing import Any

from isomesh_dagster.dialect import query as sql
from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import ModelError
from isomesh_dagster.evaluation.project_code import EngineAdapter, accepted, is_frame, told, wrong
from isomesh_dagster.evaluation.texts import Surroundings
from isomesh_dagster.model.blueprints import plain_value
from isomesh_dagster.model.decode import without_catalog
from isomesh_dagster.model.model import Model, PythonFunction
from isomesh_dagster.model.names import nearest
from isomesh_dagster.relation import Column, quote
from isomesh_dagster.snapshot.interval import Interval, from_ms

_ROWS = quote("_isomesh_rows")
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonCall:
    """One call of a model's function.

    table     what stands for a model or a table that it reads, in a query, by normalised name
    typed     the declared columns with types of the engine
    interval  the batch; None: nothing is due, and the function is not called
    limit     as many rows are enough; None: all are wanted
    """

    model: Model
    table: Callable[[str], str]
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
    if not is_frame(frame):
        raise wrong(
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
    raise wrong(
        call.model,
        f"the frame has no {', '.join(map(repr, missing))}" + (f", but {', '.join(map(repr, extra))}" if extra else ""),
        nearest(missing[0], extra) or "its columns must be those that `columns` declares",
    )


# ---- the function ----------------------------------------------------------------------------------------


def _frames(session: Session, call: PythonCall, interval: Interval) -> Iterator[Any]:
    """What the function gives, frame by frame."""
    python = call.model.python
    assert python is not None
    context = _Context(session, call)
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
    return _in_turn(call, function, accepted(function, offered))


def _function(call: PythonCall, python: PythonFunction) -> Callable[..., Any]:
    """The function as the project's files have it now, if that is what was planned."""
    model, macros = call.model, call.around.macros
    if macros.function_digest(model.path, python.name) != python.digest:
        raise wrong(
            model,
            "the Python code in the project's files is not what the model was planned with",
            "plan again, or run from the commit that was planned",
        )
    function: Callable[..., Any] = macros.function(model.path, python.name)
    return function


def _in_turn(call: PythonCall, function: Callable[..., Any], arguments: dict[str, Any]) -> Iterator[Any]:
    with told(call.model, call.around.macros, "the function"):
        given = function(**arguments)
    if not inspect.isgenerator(given):
        yield given
        return
    while True:
        with told(call.model, call.around.macros, "the function"):
            try:
                frame = next(given)
            except StopIteration:
                return
        yield frame


# ---- what it may ask -------------------------------------------------------------------------------------


class _Context:
    """`context` of one call; see `ExecutionContext`."""

    spark = snowpark = bigframe = None  # of engines that are not supported

    def __init__(self, session: Session, call: PythonCall) -> None:
        model, python = call.model, call.model.python
        assert python is not None
        self._call = call
        self._reads = frozenset(python.reads)
        self._blueprint = {name: plain_value(written) for name, written in model.blueprint.items()}
        self.variables = {name: value for name, value in model.variables.items() if f"var {name}" in self._reads}
        self.engine_adapter = EngineAdapter(session, call.around)

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
        return self._call.table(name)

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
