"""Rules of a project's own, from its `linter/` folder: classes that derive from `Rule`, asked like ours.

They see models as values made for them (`linted`), never ours, so that what they may ask stays what is documented.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path, PurePath
from typing import Any

from isomesh_dagster.errors import ConfigError, IsomeshError, LintError
from isomesh_dagster.lint.fixes import Edit, NewFile, Repair
from isomesh_dagster.lint.rules import Examined, Rule, Violation
from isomesh_dagster.macros import lint_rules
from isomesh_dagster.macros.lint_rules import ExternalModel, IntervalUnit, Kind, PythonModel, SeedModel, SqlModel
from isomesh_dagster.macros.project import ProjectMacros
from isomesh_dagster.macros.python_models import ModelKindName
from isomesh_dagster.model.kinds import External, Seed, kind_name
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Column, Relation

FOLDER = "linter"

Columns = Mapping[str, Sequence[Column] | None]


def own_rules(
    macros: ProjectMacros, models: Mapping[str, Model], columns: Columns, *, root: Path, gateway: str, ours: set[str]
) -> tuple[Rule, ...]:
    """The rules in the project's `linter/` folder, its modules run. `ours` are names they cannot take.

    Raises ConfigError for a module that fails, and for a name that is taken.
    """
    paths = macros.paths(FOLDER)
    if not paths:
        return ()
    seen = {name: linted(model, columns.get(name), root, gateway) for name, model in models.items()}
    context = lint_rules.LintContext(seen, gateway)
    found: dict[str, OwnRule] = {}
    for path in paths:
        for item in macros.namespace(path).values():
            if not isinstance(item, type) or not issubclass(item, lint_rules.Rule):
                continue
            if item.check_model is lint_rules.Rule.check_model:  # what others derive from
                continue
            name = item.name
            if name in ours or (name in found and found[name].made_by is not item):
                raise ConfigError(
                    f"there are two lint rules {name!r}", path=path, hint="rename the class: a rule is called by it"
                )
            found.setdefault(name, OwnRule(item, context, path))
    return tuple(found.values())


class OwnRule:
    """One class of the project's as a rule."""

    def __init__(self, made_by: type[lint_rules.Rule], context: lint_rules.LintContext, path: str) -> None:
        self.made_by = made_by
        self._path = path
        self._context = context
        with _told(self.name, path):
            self._rule = made_by(context)

    @property
    def name(self) -> str:
        """See `Rule`."""
        return self.made_by.name

    @property
    def summary(self) -> str:
        """See `Rule`."""
        return self._rule.summary

    def check_model(self, model: Model, project: Examined) -> tuple[Violation, ...]:
        """See `Rule`. Raises LintError when the project's code fails."""
        with _told(self.name, self._path, model.name):
            given = self._rule.check_model(self._context.models[model.name])
            told = [] if given is None else given if isinstance(given, list | tuple) else [given]
            return tuple(self._violation(model, one) for one in told)

    def _violation(self, model: Model, one: Any) -> Violation:
        if not isinstance(one, lint_rules.RuleViolation):
            raise TypeError(f"check_model gave a {type(one).__name__}; return self.violation(…), or None")
        place = one.violation_range
        own_path = self._context.models[model.name].path
        fix = one.fixes[0] if one.fixes else None
        return Violation(
            rule=self.name,
            model=model.name,
            message=one.violation_msg,
            hint=self.summary if one.violation_msg != self.summary else f"the rule is in {self._path}",
            path=model.path,
            line=place.start.line + 1 if place is not None else model.line,
            fix=None if fix is None else _repair(fix, own_path, model.path),
        )


@contextmanager
def _told(rule: str, path: str, model: str | None = None) -> Iterator[None]:
    """What the project's rule raises, as a LintError at its line."""
    from isomesh_dagster.macros.modules import line_in

    try:
        yield
    except IsomeshError as error:
        raise error.located(path=path, model=model) from None
    except Exception as error:
        raise LintError(
            f"lint rule {rule} failed with {type(error).__name__}: {error}",
            path=path,
            line=line_in(error, path),
            model=model,
        ) from error


def linted(model: Model, columns: Sequence[Column] | None, root: Path, gateway: str) -> lint_rules.Model:
    """A model as rules of a project see it; `columns` are those it returns, None when they are not known."""
    its_class: type[lint_rules.Model] = SqlModel
    if model.python is not None:
        its_class = PythonModel
    elif isinstance(model.kind, Seed):
        its_class = SeedModel
    elif isinstance(model.kind, External):
        its_class = ExternalModel
    parameters = {one.name: getattr(model.kind, one.name) for one in fields(model.kind)}
    return its_class(
        name=model.name,
        fqn=Relation.parse(model.name).sql,
        path=root / model.path,
        dialect=model.dialect,
        kind=Kind(ModelKindName(kind_name(model.kind)), parameters, model.dialect),
        sql=model.rendered,
        columns_sql=None if columns is None else {column.name: column.type for column in columns},
        column_descriptions=dict(model.described_columns),
        depends_on=frozenset(model.depends_on),
        audits_sql=[(call.name, dict(call.arguments)) for call in model.audits],
        description=model.description,
        owner=model.owner,
        tags=list(model.tags),
        stamp=model.stamp,
        cron=model.cron,
        cron_tz=model.cron_tz,
        interval_unit=IntervalUnit(model.interval_unit),
        start=model.start,
        end=model.end,
        grains_sql=list(model.grains),
        references_sql=list(model.references_keys),
        partitioned_by_sql=list(model.partitioned_by),
        clustered_by_sql=list(model.clustered_by),
        physical_properties=dict(model.physical_properties),
        virtual_properties=dict(model.virtual_properties),
        session_properties=dict(model.session_properties),
        table_format=model.table_format,
        storage_format=model.storage_format,
        pre_statements=list(model.pre_statements),
        post_statements=list(model.post_statements),
        on_virtual_update=list(model.on_virtual_update),
        allow_partials=model.allow_partials,
        project=model.project,
        gateway=gateway,
        ignored_rules=frozenset(model.ignored_rules),
    )


def _repair(fix: lint_rules.Fix, own_path: Path, model_path: str) -> Repair:
    """A fix with paths relative to the project's root."""
    root = Path(str(own_path).removesuffix(model_path))

    def relative(path: Path | str) -> str:
        given = PurePath(path)
        return given.relative_to(root).as_posix() if given.is_relative_to(root) else given.as_posix()

    return Repair(
        title=fix.title,
        edits=tuple(
            Edit(
                path=relative(edit.path),
                start=(edit.range.start.line, edit.range.start.character),
                end=(edit.range.end.line, edit.range.end.character),
                text=edit.new_text,
            )
            for edit in fix.edits
        ),
        files=tuple(NewFile(path=relative(file.path), text=file.text) for file in fix.create_files),
    )
