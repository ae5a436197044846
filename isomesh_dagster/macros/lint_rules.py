"""What files of a project's `linter/` folder are written with: `Rule`, `RuleViolation`, and the models that rules see.

A rule is a class that derives from `Rule`; its name is the class's in lower case, its summary the docstring. Positions
count lines and characters from 0, as editors do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import Any

from isomesh_dagster.macros.python_models import ModelKindName


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a text: line and character, from 0."""

    line: int
    character: int


@dataclass(frozen=True, slots=True)
class Range:
    """A piece of a text; its end is not part of it."""

    start: Position
    end: Position


@dataclass(frozen=True, slots=True)
class TextEdit:
    """A piece of a file and what should stand there instead."""

    path: Path | str
    range: Range
    new_text: str


@dataclass(frozen=True, slots=True)
class CreateFile:
    """A file that should be there."""

    path: Path | str
    text: str


@dataclass(frozen=True, slots=True)
class Fix:
    """What mends a violation; `isomesh lint --fix` does it."""

    title: str
    edits: list[TextEdit] = field(default_factory=list)
    create_files: list[CreateFile] = field(default_factory=list)


class RuleViolation:
    """That a model breaks a rule: in which words, where in its file, and what mends it."""

    def __init__(
        self,
        rule: Rule,
        violation_msg: str,
        violation_range: Range | None = None,
        fixes: list[Fix] | None = None,
    ) -> None:
        self.rule = rule
        self.violation_msg = violation_msg
        self.violation_range = violation_range
        self.fixes = fixes or []


class Rule:
    """What to derive from. `check_model` must be overridden; `context` has the other models."""

    name: str = "rule"

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.name = cls.__name__.lower()

    def __init__(self, context: LintContext) -> None:
        self.context = context

    @property
    def summary(self) -> str:
        """What the rule asks: the docstring."""
        return " ".join((self.__doc__ or "").split())

    def check_model(self, model: Model) -> RuleViolation | list[RuleViolation] | None:
        """What is wrong with the model: one violation, several, or None."""
        raise NotImplementedError

    def violation(
        self,
        violation_msg: str | None = None,
        violation_range: Range | None = None,
        fixes: list[Fix] | None = None,
    ) -> RuleViolation:
        """A violation of this rule; without words of its own the summary tells it."""
        return RuleViolation(self, violation_msg or self.summary, violation_range, fixes)


class LintContext:
    """What a rule may ask besides the model at hand: `models` by name, and the gateway."""

    def __init__(self, models: Mapping[str, Model], gateway: str) -> None:
        self.models = models
        self.gateway = gateway

    def get_model(self, name: str) -> Model | None:
        """The model of that name; None when there is none."""
        found = self.models.get(name.replace('"', ""))
        if found is None:
            found = next((one for one in self.models.values() if one.fqn == name), None)
        return found

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"a lint rule's context has no `{name}`: it has models, get_model and gateway")


@dataclass(frozen=True, slots=True)
class TimeColumn:
    """The time column of a model: the tree of its name, and its format where it is a text or a number."""

    column: Any
    format: str | None = None


class IntervalUnit(str, Enum):
    """How long an interval of a model is."""

    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    HOUR = "hour"
    HALF_HOUR = "half_hour"
    QUARTER_HOUR = "quarter_hour"
    FIVE_MINUTE = "five_minute"

    @property
    def seconds(self) -> int:
        """Seconds of one interval; a month has 28 days here, a year 365."""
        return _SECONDS[self.value]

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("is_"):
            raise AttributeError(name)
        return self.value == name.removeprefix("is_")


_SECONDS = {
    "year": 365 * 86_400,
    "month": 28 * 86_400,
    "day": 86_400,
    "hour": 3_600,
    "half_hour": 1_800,
    "quarter_hour": 900,
    "five_minute": 300,
}


@dataclass(frozen=True, slots=True)
class Kind:
    """A model's kind: `name`, and its parameters as attributes, None for those it does not have. `time_column` has a
    `column` and a `format`; `unique_key` are trees.
    """

    name: ModelKindName
    parameters: Mapping[str, Any]
    dialect: str = ""

    def __getattr__(self, name: str) -> Any:
        if name == "time_column" and name in self.parameters:
            return TimeColumn(_column(self.parameters[name]), self.parameters.get("time_format"))
        if name == "unique_key":
            return [_tree(key, self.dialect) for key in self.parameters.get(name) or ()]
        if name.startswith("is_"):
            wanted = name.removeprefix("is_").upper()
            if wanted == "INCREMENTAL":
                return self.name.value.startswith("INCREMENTAL_")
            if wanted == "SYMBOLIC":
                return self.name in (ModelKindName.EMBEDDED, ModelKindName.EXTERNAL)
            return self.name.value == wanted or (wanted == "SCD_TYPE_2" and self.name.value.startswith("SCD_TYPE_2"))
        if name.startswith("_"):
            raise AttributeError(name)
        return self.parameters.get(name)


def _tree(text: str, dialect: str) -> Any:
    from isomesh_dagster.macros.evaluator import tree

    return tree(text, dialect)


def _column(name: str) -> Any:
    from sqlglot import exp

    return exp.column(exp.to_identifier(name))


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model as a lint rule sees it. What its header does not say has the default of the model format.

    `fqn` is the name in quotes. `depends_on` are names of models and tables. `path` is that of its file, absolute.
    Statements are texts as rendered. Trees are what SQLMesh's files expect as such: `query` and `render_query()`, the
    items of `partitioned_by`, `clustered_by`, `grains` and `references`, the arguments of `audits`, and the types of
    `columns_to_types`, what the query returns as far as that is known. The texts of these are the fields `…_sql`.
    """

    name: str
    fqn: str
    path: Path
    dialect: str
    kind: Kind
    sql: str
    columns_sql: Mapping[str, str] | None
    column_descriptions: Mapping[str, str]
    depends_on: frozenset[str]
    audits_sql: list[tuple[str, dict[str, str]]]
    description: str | None
    owner: str | None
    tags: list[str]
    stamp: str | None
    cron: str
    cron_tz: str
    interval_unit: IntervalUnit
    start: str | None
    end: str | None
    grains_sql: list[str]
    references_sql: list[str]
    partitioned_by_sql: list[str]
    clustered_by_sql: list[str]
    physical_properties: Mapping[str, str]
    virtual_properties: Mapping[str, str]
    session_properties: Mapping[str, str]
    table_format: str | None
    storage_format: str | None
    pre_statements: list[str]
    post_statements: list[str]
    on_virtual_update: list[str]
    allow_partials: bool
    project: str
    gateway: str
    ignored_rules: frozenset[str]

    @property
    def _path(self) -> Path:  # as files written for SQLMesh call it
        return self.path

    @property
    def schema_name(self) -> str:
        """The schema of the name."""
        return self.name.split(".")[-2] if "." in self.name else "default"

    @property
    def view_name(self) -> str:
        """The last part of the name."""
        return self.name.rsplit(".", 1)[-1]

    @property
    def is_sql(self) -> bool:
        """Whether a query makes its rows."""
        return isinstance(self, SqlModel)

    @property
    def is_python(self) -> bool:
        """Whether a Python function makes them."""
        return isinstance(self, PythonModel)

    @property
    def is_seed(self) -> bool:
        """Whether a file has them."""
        return isinstance(self, SeedModel)

    @cached_property
    def columns_to_types(self) -> dict[str, Any] | None:
        """The types of the columns that it returns by name; None when nobody knows them."""
        from sqlglot import exp

        if self.columns_sql is None:
            return None
        return {
            name: exp.DataType.build("unknown" if given.upper() == "UNKNOWN" else given, self.dialect or None, udt=True)
            for name, given in self.columns_sql.items()
        }

    @cached_property
    def audits(self) -> list[tuple[str, dict[str, Any]]]:
        """Its audits: pairs of a name and the arguments by name."""
        return [
            (name, {key: _tree(text, self.dialect) for key, text in arguments.items()})
            for name, arguments in self.audits_sql
        ]

    @cached_property
    def partitioned_by(self) -> list[Any]:
        """What its table is partitioned by."""
        return [_tree(text, self.dialect) for text in self.partitioned_by_sql]

    @cached_property
    def clustered_by(self) -> list[Any]:
        """What its table is clustered by."""
        return [_tree(text, self.dialect) for text in self.clustered_by_sql]

    @cached_property
    def grains(self) -> list[Any]:
        """What makes a row of it one."""
        return [_tree(text, self.dialect) for text in self.grains_sql]

    @cached_property
    def references(self) -> list[Any]:
        """What joins it to others."""
        return [_tree(text, self.dialect) for text in self.references_sql]

    @property
    def time_column(self) -> TimeColumn | None:
        """The time column of its kind."""
        found: TimeColumn | None = self.kind.time_column
        return found

    @property
    def unique_key(self) -> list[Any]:
        """The unique key of its kind."""
        found: list[Any] = self.kind.unique_key
        return found

    @cached_property
    def query(self) -> Any:
        """The tree of the query; None for a model without one."""
        return _tree(self.sql, self.dialect) if self.sql else None

    def render_query(self, **options: Any) -> Any:
        """The same; macros are expanded already."""
        return self.query

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("_"):
            known = sorted(key for key in {*Model.__dataclass_fields__, *vars(Model)} if not key.startswith("_"))
            raise AttributeError(f"a lint rule cannot ask a model for `{name}`; it has {', '.join(known)}")
        raise AttributeError(name)


class SqlModel(Model):
    """A model whose rows a query makes."""


class PythonModel(Model):
    """A model whose rows a Python function makes."""


class SeedModel(Model):
    """A model whose rows are in a file of the project."""


class ExternalModel(Model):
    """A table that is read and not made."""
