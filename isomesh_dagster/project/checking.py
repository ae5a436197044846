"""What is asked of a project's files before anything is done: lint rules and unit tests."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from isomesh_dagster.errors import LintError
from isomesh_dagster.files import write_whole
from isomesh_dagster.plan.plan import ChangeType, Plan
from isomesh_dagster.project.system import FOLDER

if TYPE_CHECKING:
    from isomesh_dagster.lint.fixes import Edit
    from isomesh_dagster.lint.rules import Violation
    from isomesh_dagster.model.unit_tests import UnitTest
    from isomesh_dagster.project.files import ProjectFiles
    from isomesh_dagster.unit_tests.run import UnitTestBed


def lint(project: ProjectFiles, models: Collection[str] | None) -> tuple[Violation, ...]:
    """What breaks the lint rules of the configuration; see `Project.lint`."""
    from isomesh_dagster.cache.findings import find_doubts, on_file_lines
    from isomesh_dagster.cache.star_fixes import with_star_fixes
    from isomesh_dagster.cache.store import FactStore
    from isomesh_dagster.lint.own import own_rules
    from isomesh_dagster.lint.rules import RULES, Examined
    from isomesh_dagster.lint.select import ALL, chosen_rules, violations

    for wanted in models or ():
        project.model(wanted)
    settings = project.settings.linter
    if not settings.rules and not settings.warn_rules:
        settings = replace(settings, warn_rules=(ALL,))
    columns = project.all_columns()
    own = own_rules(
        project.macros,
        project.models,
        columns,
        root=project.settings.files,
        gateway=project.gateway,
        ours={rule.name for rule in RULES},
    )
    chosen = chosen_rules(settings, (*RULES, *own))
    with FactStore(project.root / FOLDER / "cache.sqlite") as cache:
        looked_at = [model for name, model in project.models.items() if models is None or name in models]
        examined = Examined(
            models=project.models,
            findings=find_doubts(looked_at, columns, cache),
            tested={test.model for test in project.unit_tests()} if chosen.need_tests else (),
        )
    found = on_file_lines(violations(examined, chosen, models), project.models, project.settings.files)
    return with_star_fixes(found, project.models, columns, project.settings.files)


def mend(project: ProjectFiles, found: Iterable[Violation]) -> tuple[str, ...]:
    """Do the fixes of the violations: the paths that were written; see `Project.mend`."""
    from isomesh_dagster.lint.fixes import edited

    fixes = [one.fix for one in found if one.fix is not None]
    new = {file.path: file.text for fix in fixes for file in fix.files}
    edits: dict[str, list[Edit]] = {}
    for edit in (edit for fix in fixes for edit in fix.edits):
        edits.setdefault(edit.path, []).append(edit)
    written: dict[Path, str] = {}
    for path in dict.fromkeys((*edits, *new)):
        file = (project.root / path).resolve()
        if not file.is_relative_to(project.root.resolve()):
            raise LintError(f"a fix would write {path}, which lies outside the project")
        if path in edits:
            written[file] = edited(file.read_bytes().decode(), path, edits[path])
        elif not file.exists():
            written[file] = new[path]
    write_whole(written)
    return tuple(sorted(file.relative_to(project.root.resolve()).as_posix() for file in written))


def lint_warnings(project: ProjectFiles) -> tuple[str, ...]:
    """What a plan warns of when the linter is on. Raises LintError when a rule that is an error is broken."""
    settings = project.settings.linter
    if not settings.enabled or not (settings.rules or settings.warn_rules):
        return ()
    from isomesh_dagster.lint.select import refuse_errors

    found = lint(project, None)
    refuse_errors(found)
    return tuple(f"{one.path}:{one.line} ({one.model}): {one.message} ({one.rule})" for one in found)


def unread_warnings(project: ProjectFiles) -> tuple[str, ...]:
    """What a plan warns of: files that the model format knows and nothing here reads. No table depends on one."""
    files = project.settings.files
    return tuple(
        f"{path.relative_to(files).as_posix()} is not read: metrics are not supported; no table depends on them"
        for path in sorted((files / "metrics").rglob("*.sql"))
        if path.stat().st_size
    )


def tests_of(project: ProjectFiles, plan: Plan) -> tuple[UnitTest, ...]:
    """The unit tests of models whose rows `plan` may change; see `Project.unit_tests_of`."""
    quiet = (ChangeType.METADATA, ChangeType.REMOVED)
    changed = {change.model for change in plan.changes if change.change not in quiet}
    tests = project.unit_tests() if changed else ()
    concerned = changed | project.graph.descendants(changed) if tests else changed
    return tuple(test for test in tests if test.model in concerned)


def test_bed(project: ProjectFiles) -> UnitTestBed:
    """What unit tests run on: the models, over a warehouse in memory."""
    from isomesh_dagster.unit_tests.run import UnitTestBed

    connection = project.settings.connection
    return UnitTestBed(
        models=project.models,
        columns=project.columns,
        default_catalog=project.settings.default_catalog,
        extensions=connection.extensions if connection.type == "duckdb" else (),
        macros=project.macros,
    )
