"""Unit tests as asset checks of the model they test: `unit_test_<name>`, each runnable alone and without a warehouse.

A run that builds a model runs the tests its plan concerns first; where one fails the model is not built.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import dagster as dg

from isomesh_dagster.definitions import keys
from isomesh_dagster.definitions.events import table
from isomesh_dagster.errors import PlanError
from isomesh_dagster.model.unit_tests import UnitTest
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.project import Project

if TYPE_CHECKING:  # what runs a test loads the SQL library and the driver; definitions are loaded without
    from isomesh_dagster.unit_tests.comparison import Difference
    from isomesh_dagster.unit_tests.run import UnitTestResult

_PREFIX = "unit_test_"


def tests_by_model(project: Project) -> dict[str, list[UnitTest]]:
    """The unit tests of each model that has some."""
    found = defaultdict(list)
    for test in project.unit_tests():
        found[test.model].append(test)
    return dict(found)


def named_checks(tests: Iterable[UnitTest], taken: Collection[str] = ()) -> dict[str, UnitTest]:
    """A model's tests by the names of their checks, all different; `taken` are names of its other checks."""
    names: dict[str, UnitTest] = {}
    for test in tests:
        name = unique = f"{_PREFIX}{keys.word(test.name)}"
        number = 2
        while unique in names or unique in taken:
            unique, number = f"{name}_{number}", number + 1
        names[unique] = test
    return names


def run_checks(
    tests: Mapping[str, UnitTest], project: Project, key: dg.AssetKey, plan: Plan | None
) -> Iterator[dg.AssetCheckResult]:
    """A result for each test by the name of its check; with `plan` only for those it concerns.

    Raises PlanError after the last result when one failed and there is a plan: the model is not to be built then.
    """
    if not tests:
        return  # what runs them imports much
    concerned = tests.values() if plan is None else project.unit_tests_of(plan)
    chosen = {name: test for name, test in tests.items() if test in concerned}
    failed = []
    for name, result in zip(chosen, project.run_unit_tests(chosen.values()), strict=True):
        yield check_result(result, key, name, project.fingerprints[result.test.model].version)
        if not result.passed:
            failed.append(result.test.name)
    if failed and plan is not None:
        raise PlanError(
            f"not built, as unit tests of it failed: {', '.join(failed)}",
            model=next(iter(chosen.values())).model,
            hint="`isomesh test -v` shows the rows and the query",
        )


def checked_version(test: UnitTest, version: str) -> str:
    """What a test's result is about: a version of the model, and what the test says."""
    return f"{version}-{hashlib.blake2b(repr(test).encode(), digest_size=6).hexdigest()}"


def check_result(result: UnitTestResult, key: dg.AssetKey, name: str, version: str) -> dg.AssetCheckResult:
    """A test's result; a failed one tells the cells that differ. `version` is that of the model's fingerprint."""
    metadata: dict[str, Any] = {keys.SECONDS: round(result.seconds, 3), "isomesh/place": _place(result.test)}
    metadata[keys.CHECKED] = checked_version(result.test, version)
    cells = [cell for difference in result.differences for cell in _cells(difference)]
    if cells:
        metadata["isomesh/differences"] = table(cells)
    if result.sql and not result.passed:
        metadata["isomesh/query"] = dg.MetadataValue.md(f"```sql\n{result.sql}\n```")
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=name,
        passed=result.passed,
        severity=dg.AssetCheckSeverity.ERROR,
        description=None if result.error is None else str(result.error),
        metadata=metadata,
    )


def _place(test: UnitTest) -> str:
    return f"{test.path}:{test.line}"


def _cells(difference: Difference) -> Iterator[dict[str, str | int]]:
    """One line for each cell that differs."""
    output = difference.output or "query"
    for name in difference.missing:
        yield {"output": output, "row": 0, "column": name, "expected": "a column of this name", "actual": "none"}
    for number, pair in enumerate(difference.rows, start=1):
        for index in pair.differing:
            yield {
                "output": output,
                "row": number,
                "column": difference.columns[index],
                "expected": "(no row)" if pair.expected is None else str(pair.expected[index]),
                "actual": "(no row)" if pair.actual is None else str(pair.actual[index]),
            }
