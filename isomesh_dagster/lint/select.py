"""Which rules are on, and what breaks them.

`rules` are errors, `warn_rules` warnings, each a list of names or "all"; `ignored_rules` are left out of both, and a
model's own `ignored_rules` for that model.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from isomesh_dagster.errors import ConfigError, LintError
from isomesh_dagster.lint.rules import RULES, Examined, NoMissingUnitTest, Rule, Violation
from isomesh_dagster.lint.settings import LinterSettings

ALL = "all"
"""The word for every rule."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Rules whose breach is an error, and rules whose breach is a warning; none is in both."""

    errors: tuple[Rule, ...]
    warnings: tuple[Rule, ...]

    @property
    def need_tests(self) -> bool:
        """Whether a rule asks which models have unit tests."""
        return any(isinstance(rule, NoMissingUnitTest) for rule in (*self.errors, *self.warnings))


def chosen_rules(settings: LinterSettings, rules: Iterable[Rule] = RULES) -> Chosen:
    """The rules that are on. Raises ConfigError for a name that no rule has, and for a rule that is on twice."""
    known = {rule.name: rule for rule in rules}
    ignored = _named("ignored_rules", settings.ignored_rules, known)
    errors = _named("rules", settings.rules, known) - ignored
    warnings = _named("warn_rules", settings.warn_rules, known) - ignored
    if twice := sorted(errors & warnings):
        raise ConfigError(
            f"linter: {', '.join(twice)} cannot be an error and a warning", hint="leave it in `rules` or `warn_rules`"
        )
    return Chosen(
        errors=tuple(rule for name, rule in known.items() if name in errors),
        warnings=tuple(rule for name, rule in known.items() if name in warnings),
    )


def violations(project: Examined, chosen: Chosen, only: Collection[str] | None = None) -> tuple[Violation, ...]:
    """What breaks the rules, ordered by place; `only` are names of the models to look at, all by default."""
    found: list[Violation] = []
    for name, model in project.models.items():
        if (only is not None and name not in only) or ALL in model.ignored_rules:
            continue
        for is_error, rules in ((True, chosen.errors), (False, chosen.warnings)):
            for rule in rules:
                if rule.name in model.ignored_rules:
                    continue
                found += [replace(one, is_error=is_error) for one in rule.check_model(model, project)]
    return tuple(sorted(found, key=lambda one: (one.path, one.line, one.model, one.rule)))


def refuse_errors(found: Iterable[Violation]) -> None:
    """Raise LintError when a violation is an error; it tells them all."""
    errors = [one for one in found if one.is_error]
    if not errors:
        return
    first = errors[0]
    if len(errors) == 1:
        raise LintError(
            f"{first.message} ({first.rule})", path=first.path, line=first.line, model=first.model, hint=first.hint
        )
    told = "\n".join(f"  {one.path}:{one.line} ({one.model}): {one.message} ({one.rule})" for one in errors)
    raise LintError(
        f"{len(errors)} lint errors\n{told}",
        hint="`isomesh lint` tells how to mend each; a model that is an exception says so with ignored_rules",
    )


def _named(key: str, names: Iterable[str], known: Collection[str]) -> set[str]:
    found: set[str] = set()
    for name in names:
        if name == ALL:
            found.update(known)
        elif name in known:
            found.add(name)
        else:
            near = difflib.get_close_matches(name, known, n=1)
            raise ConfigError(
                f"linter.{key}: there is no rule {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"rules are {', '.join(sorted(known))}",
            )
    return found
