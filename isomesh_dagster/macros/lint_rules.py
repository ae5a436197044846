"""What files of a project's `linter/` folder are written with: `Rule`, `RuleViolation`, and the models that rules see.

A rule is a class that derives from `Rule`; its name is the class's in lower case, its summary the docstring. Positions
count lines and characters from 0, as editors do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
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
class Kind:
    """A model's kind: `name`, and its parameters as attributes, None for those it does not have."""

    name: ModelKindName
    parameters: Mapping[str, Any]

    def __getattr__(self, name: str) -> Any:
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


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model as a lint rule sees it. What its header does not say has the default of the model format.

    `fqn` is the name in quotes. `depends_on` are names of models and tables, `audits` pairs of a name and its arguments
    as SQL by name, `columns_to_types` what its query returns as far as that is known: types are SQL texts. `path` is
    that of its file, absolute. Statements, the query and other SQL are texts as rendered; `query` and `render_query()`
    are the query's tree.
    """

    name: str
    fqn: str
    path: Path
    dialect: str
    kind: Kind
    sql: str
    columns_to_types: Mapping[str, str] | None
    column_descriptions: Mapping[str, str]
    depends_on: frozenset[str]
    audits: list[tuple[str, dict[str, str]]]
    description: str | None
    owner: str | None
    tags: list[str]
    stamp: str | None
    cron: str
    cron_tz: str
    interval_unit: str
    start: str | None
    end: str | None
    grains: list[str]
    references: list[str]
    partitioned_by: list[str]
    clustered_by: list[str]
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
    def query(self) -> Any:
        """The tree of the query; None for a model without one."""
        from isomesh_dagster.macros.evaluator import tree

        return tree(self.sql, self.dialect) if self.sql else None

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
