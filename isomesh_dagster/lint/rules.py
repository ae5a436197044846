"""The lint rules: each looks at one model and says what is wrong with it, or nothing.

In: a `Model` and the `Examined` project around it. Out: its `Violation`s. Names are those of the model format.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from isomesh_dagster.dialect.findings import QueryFindings
from isomesh_dagster.lint.fixes import Repair
from isomesh_dagster.model.kinds import Embedded, External, Seed
from isomesh_dagster.model.model import Model

NOTHING_FOUND = QueryFindings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """A rule that a model breaks.

    `line` is that of the model's header, or the line of the file where it is broken as far as that is known;
    `query_line` is the line in the rendered query, from 1. `is_error`: it stops a plan. `fix` is
    what `isomesh lint --fix` does about it.
    """

    rule: str
    model: str
    message: str
    hint: str
    path: str
    line: int
    query_line: int | None = None
    is_error: bool = False
    fix: Repair | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """What rules may know of the project: its models by name, findings in their queries, and names of tested models."""

    models: Mapping[str, Model]
    findings: Mapping[str, QueryFindings] = field(default_factory=dict)
    tested: Collection[str] = ()

    def found(self, model: Model) -> QueryFindings:
        """What was found in the model's query."""
        return self.findings.get(model.name, NOTHING_FOUND)


class Rule(Protocol):
    """One thing that is asked of every model. `name` is lower case; `summary` says when a model breaks it."""

    @property
    def name(self) -> str:
        """What configuration and `ignored_rules` call it."""
        ...

    @property
    def summary(self) -> str:
        """When a model breaks it, as the rest of a sentence."""
        ...

    def check_model(self, model: Model, project: Examined) -> tuple[Violation, ...]:
        """What is wrong with the model; empty when nothing is."""
        ...


@dataclass(frozen=True, slots=True)
class NoSelectStar:
    """A query names its columns: a star lets every change above through, unseen."""

    name: str = "noselectstar"
    summary: str = "its query returns a star instead of named columns"

    def check_model(self, model: Model, project: Examined) -> tuple[Violation, ...]:
        """See `Rule`."""
        star = project.found(model).star
        if star is None:
            return ()
        return _violation(
            self.name, model, f"the query returns `{star.text}`", "name the columns it should return", star.line
        )


@dataclass(frozen=True, slots=True)
class InvalidSelectStarExpansion:
    """A star stands for columns that are known."""

    name: str = "invalidselectstarexpansion"
    summary: str = "its query returns a star over a table whose columns nobody declared"

    def check_model(self, model: Model, project: Examined) -> tuple[Violation, ...]:
        """See `Rule`."""
        unexpanded = project.found(model).unexpanded
        if unexpanded is None:
            return ()
        return _violation(
            self.name,
            model,
            f"the star cannot be expanded: the columns of {unexpanded.text} are not known",
            "declare them in external_models.yaml (`isomesh create_external_models` does), or name the columns",
            unexpanded.line,
        )


@dataclass(frozen=True, slots=True)
class AmbiguousOrInvalidColumn:
    """Every column belongs to exactly one table."""

    name: str = "ambiguousorinvalidcolumn"
    summary: str = "it names a column that no table it reads has, or that several have"

    def check_model(self, model: Model, project: Examined) -> tuple[Violation, ...]:
        """See `Rule`."""
        unresolved = project.found(model).unresolved
        if unresolved is None:
            return ()
        return _violation(
            self.name,
            model,
            unresolved.text,
            "correct the name, or write table.column; an external table's columns are those declared for it",
            unresolved.line,
        )


@dataclass(frozen=True, slots=True)
class NoAmbiguousProjections:
    """Every output column has a name of its own, which the author gave it and no engine invents."""

    name: str = "noambiguousprojections"
    summary: str = "an output column has no name, or that of another one"

    def check_model(self, model: Model, project: Examined) -> tuple[Violation, ...]:
        """See `Rule`."""
        unnamed = project.found(model).unnamed
        if unnamed is None:
            return ()
        return _violation(self.name, model, unnamed.text, "give it a name: … AS name", unnamed.line)


@dataclass(frozen=True, slots=True)
class NoMissingAudits:
    """What has rows has a test of them."""

    name: str = "nomissingaudits"
    summary: str = "it has rows of its own and no audit"

    def check_model(self, model: Model, project: Examined) -> tuple[Violation, ...]:
        """See `Rule`."""
        if model.audits or isinstance(model.kind, Embedded | External):
            return ()
        return _violation(
            self.name, model, "the model has no audits", "add for example audits (not_null(columns := (…)))"
        )


@dataclass(frozen=True, slots=True)
class NoMissingUnitTest:
    """What has logic has a test of it."""

    name: str = "nomissingunittest"
    summary: str = "no file in tests/ tests it"

    def check_model(self, model: Model, project: Examined) -> tuple[Violation, ...]:
        """See `Rule`."""
        if model.name in project.tested or isinstance(model.kind, External | Seed):
            return ()
        return _violation(self.name, model, "the model has no unit test", "add one in tests/test_….yaml")


@dataclass(frozen=True, slots=True)
class NoMissingExternalModels:
    """What is read is a model, or declared."""

    name: str = "nomissingexternalmodels"
    summary: str = "it reads a table that is neither a model nor declared in external_models.yaml"

    def check_model(self, model: Model, project: Examined) -> tuple[Violation, ...]:
        """See `Rule`."""
        missing = [name for name in model.depends_on if name not in project.models]
        if not missing:
            return ()
        return _violation(
            self.name,
            model,
            f"nobody declares {', '.join(missing)}",
            "`isomesh create_external_models` writes it into external_models.yaml",
        )


RULES: tuple[Rule, ...] = (
    NoSelectStar(),
    InvalidSelectStarExpansion(),
    AmbiguousOrInvalidColumn(),
    NoAmbiguousProjections(),
    NoMissingAudits(),
    NoMissingUnitTest(),
    NoMissingExternalModels(),
)
"""Every rule that all projects have."""


def _violation(
    rule: str, model: Model, message: str, hint: str, query_line: int | None = None
) -> tuple[Violation, ...]:
    broken = Violation(
        rule=rule,
        model=model.name,
        message=message,
        hint=hint,
        path=model.path,
        line=model.line,
        query_line=query_line,
    )
    return (broken,)
