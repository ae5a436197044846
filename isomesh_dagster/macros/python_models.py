"""`@model(…)`: makes a function of a project's `models/` folder a model. It stays the function it was.

What the function is given as `context` is told by `ExecutionContext`; `ModelKindName` and the kinds by name are there
because files of the model format write kinds with them, where a text would do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

from isomesh_dagster.macros.decorator import MARK as MACRO_MARK
from isomesh_dagster.macros.decorator import Mark

MARK = "__isomesh_models__"
"""The attribute of a marked function that holds its `ModelMark`s."""

MADE = "__isomesh_made__"
"""The name in a module that holds the marked functions which its functions made, in order."""

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMark:
    """What the decorator was given: properties of a MODEL header as Python values, `name` among them."""

    properties: Mapping[str, Any]
    is_sql: bool = False


def model(name: str | None = None, is_sql: bool = False, **properties: Any) -> Callable[[Function], Function]:
    """Make a function a model: `@model("schema.table", columns={"id": "int"}, kind="FULL", …)`.

    The properties are those of a MODEL header. The function is called as `function(context, start, end, execution_time,
    …)` with the parameters it has, and returns a data frame, or yields several. With `is_sql` it is given a
    `MacroEvaluator` and returns the query.
    """
    if callable(name):
        raise TypeError("write @model(…) with a name and columns in the brackets")
    given = {**({} if name is None else {"name": name}), **properties}

    def mark(function: Function) -> Function:
        marks = (*getattr(function, MARK, ()), ModelMark(properties=given, is_sql=is_sql))
        setattr(function, MARK, marks)
        if "<locals>" in function.__qualname__:  # it has no name in its module
            function.__globals__.setdefault(MADE, []).append(function)
        if is_sql:
            setattr(function, MACRO_MARK, Mark(name=function.__name__.lower()))
        return function

    return mark


class ExecutionContext(Protocol):
    """What the function of a Python model may ask.

    All of it happens in the transaction that writes the model's rows.
    """

    @property
    def gateway(self) -> str:
        """The chosen gateway."""
        ...

    @property
    def engine_adapter(self) -> Any:
        """The warehouse itself: `execute(sql)`, `fetchone(sql)`, `fetchall(sql)` and `fetchdf(sql)`."""
        ...

    @property
    def default_catalog(self) -> str | None:
        """The gateway's default catalog."""
        ...

    def resolve_table(self, model_name: str) -> str:
        """The table that holds a model's rows now, as SQL; the model is built before this one."""
        ...

    def table(self, model_name: str) -> str:
        """The same, by its older name."""
        ...

    def fetchdf(self, query: Any, quote_identifiers: bool = False) -> Any:
        """The rows of a query in the warehouse's SQL, as a data frame of pandas."""
        ...

    def fetch_polars(self, query: Any) -> Any:
        """The same as a data frame of polars."""
        ...

    def fetch_arrow(self, query: Any) -> Any:
        """The same as a table of pyarrow."""
        ...

    def var(self, var_name: str, default: Any = None) -> Any:
        """A variable of the configuration; its name must be written as a text."""
        ...

    def blueprint_var(self, var_name: str, default: Any = None) -> Any:
        """A variable of the model's entry of `blueprints`; its name must be written as a text."""
        ...


class ModelKindName(str, Enum):
    """The kinds' names."""

    VIEW = "VIEW"
    FULL = "FULL"
    INCREMENTAL_BY_TIME_RANGE = "INCREMENTAL_BY_TIME_RANGE"
    INCREMENTAL_BY_UNIQUE_KEY = "INCREMENTAL_BY_UNIQUE_KEY"
    INCREMENTAL_BY_PARTITION = "INCREMENTAL_BY_PARTITION"
    INCREMENTAL_UNMANAGED = "INCREMENTAL_UNMANAGED"
    SCD_TYPE_2 = "SCD_TYPE_2"
    SCD_TYPE_2_BY_TIME = "SCD_TYPE_2_BY_TIME"
    SCD_TYPE_2_BY_COLUMN = "SCD_TYPE_2_BY_COLUMN"
    SEED = "SEED"
    EMBEDDED = "EMBEDDED"
    EXTERNAL = "EXTERNAL"
    MANAGED = "MANAGED"
    CUSTOM = "CUSTOM"


def TimeColumn(column: Any, format: str | None = None) -> dict[str, Any]:
    """`time_column` of a kind, with the format of a column of text: `TimeColumn(column="ds", format="%Y-%m-%d")`."""
    return {"column": column, "format": format}


class _KindClass(type):
    """The class of a kind's class: calling it writes the kind, as for `@model`; a kind that a lint rule sees is an
    instance of it.
    """

    its_name: ModelKindName

    def __call__(cls, **parameters: Any) -> Any:
        return {**parameters, "name": cls.its_name}

    def __instancecheck__(cls, kind: Any) -> bool:
        return getattr(kind, "name", None) is cls.its_name


def _kind(name: ModelKindName) -> Any:
    return _KindClass(name.value, (), {"its_name": name})


KINDS: Mapping[str, Any] = {
    "ViewKind": _kind(ModelKindName.VIEW),
    "FullKind": _kind(ModelKindName.FULL),
    "IncrementalByTimeRangeKind": _kind(ModelKindName.INCREMENTAL_BY_TIME_RANGE),
    "IncrementalByUniqueKeyKind": _kind(ModelKindName.INCREMENTAL_BY_UNIQUE_KEY),
    "IncrementalByPartitionKind": _kind(ModelKindName.INCREMENTAL_BY_PARTITION),
    "IncrementalUnmanagedKind": _kind(ModelKindName.INCREMENTAL_UNMANAGED),
    "SCDType2ByTimeKind": _kind(ModelKindName.SCD_TYPE_2_BY_TIME),
    "SCDType2ByColumnKind": _kind(ModelKindName.SCD_TYPE_2_BY_COLUMN),
    "SeedKind": _kind(ModelKindName.SEED),
    "EmbeddedKind": _kind(ModelKindName.EMBEDDED),
    "ExternalKind": _kind(ModelKindName.EXTERNAL),
}
"""The kinds by the names of their classes: `kind=FullKind()`, `isinstance(model.kind, FullKind)`."""
