"""`isomesh test` and `create_test`: unit tests of models, and what `plan` shows of them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isomesh_dagster.cli.outcome import FAILED, error_json
from isomesh_dagster.cli.parameters import accepted, models_option, selected
from isomesh_dagster.cli.session import Session, json_option, pass_session
from isomesh_dagster.errors import ModelError
from isomesh_dagster.files import write_whole

if TYPE_CHECKING:
    from isomesh_dagster.cli.console import Console
    from isomesh_dagster.model.unit_tests import UnitTest
    from isomesh_dagster.plan.plan import Plan
    from isomesh_dagster.project import Project
    from isomesh_dagster.unit_tests.comparison import Difference
    from isomesh_dagster.unit_tests.run import UnitTestResult

_SHOWN_ROWS = 20


@click.command(short_help="Run unit tests of models.")
@click.argument("tests", nargs=-1, metavar="[FILE | FILE::NAME]...")
@click.option("-k", "pattern", metavar="PATTERN", help="Only tests whose name holds PATTERN; * and ? are wildcards.")
@models_option
@accepted("--local")
@accepted("--preserve-fixtures")
@click.option("-v", "--verbose", is_flag=True, help="Tell passed tests too, and the SQL of failed ones.")
@json_option
@pass_session
def test(
    session: Session,
    *,
    tests: tuple[str, ...],
    pattern: str | None,
    models: tuple[str, ...],
    verbose: bool,
    as_json: bool,
) -> None:
    """Run the unit tests of tests/**/test*.yaml: a model's query over a few rows, on a database in memory.

    Neither the warehouse nor the state is opened. The exit code is 4 when a test fails.

    \b
    Examples:
      isomesh test
      isomesh test tests/test_core.yaml
      isomesh test tests/test_core.yaml::planes_are_classed_by_their_seats -v
      isomesh test -k 'flights'
      isomesh test -m 'git:main+'              of models that the branch changes, and of their readers
    """
    console = session.console
    with session.project() as project:
        chosen = _chosen(project, tests, pattern, selected(project, models))
        results = list(_followed(console, project.run_unit_tests(chosen), verbose=verbose, quiet=as_json))
        gateway = project.gateway
    if as_json:
        console.json({"gateway": gateway, **unit_tests_json(results)})
    elif not results:
        console.line(f"gateway {gateway} · no unit tests" + ("" if not (tests or pattern or models) else " of these"))
    else:
        console.line(_sentence(results, gateway), "bold red" if _failed(results) else "bold green")
    if _failed(results):
        raise click.exceptions.Exit(FAILED)


@click.command("create_test", short_help="Write a unit test of MODEL from real rows.")
@click.argument("model")
@click.option(
    "-q",
    "--query",
    "queries",
    type=(str, str),
    multiple=True,
    metavar="TABLE SQL",
    help="The rows of a table MODEL reads, from what ENV shows; may be repeated. A table without gives its first rows.",
)
@click.option("-o", "-n", "--name", metavar="NAME", help="Name of the test.  [default: MODEL's, with _ for the dots]")
@click.option("-p", "--path", metavar="FILE", help="The file to add it to, under tests/.  [default: test_NAME.yaml]")
@click.option(
    "-v", "--var", "variables", type=(str, str), multiple=True, metavar="KEY VALUE", help="Also start and end."
)
@click.option("--environment", metavar="ENV", help="Read the tables that ENV shows.  [default: prod, or the only one]")
@click.option("--include-ctes", is_flag=True, help="Also hold the rows of the query's CTEs.")
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@pass_session
def create_test(
    session: Session,
    *,
    model: str,
    queries: tuple[tuple[str, str], ...],
    name: str | None,
    path: str | None,
    variables: tuple[tuple[str, str], ...],
    environment: str | None,
    include_ctes: bool,
    overwrite: bool,
) -> None:
    """Write a unit test of MODEL: rows of its tables in ENV as inputs, what its query makes of them now as outputs.

    Read it before you keep it: it says that what the model does today is right.

    \b
    Examples:
      isomesh create_test core.planes
      isomesh create_test core.carriers -q staging.carriers "SELECT * FROM staging.carriers LIMIT 3" -o three_carriers
      isomesh create_test core.flights -v start 2013-02-01 -v end 2013-02-01 --include-ctes
    """
    from isomesh_dagster.cli.models import shown_environment
    from isomesh_dagster.model.kinds import IncrementalByTimeRange

    called = name or f"test_{model.replace('.', '_')}"
    with session.project() as project:
        by_time = isinstance(project.model(model).kind, IncrementalByTimeRange)
        is_timeless = by_time and not {"start", "end"} & dict(variables).keys()
        file = _new_file(project.root, path or f"test_{called.removeprefix('test_')}.yaml", overwrite)
        text = project.draft_unit_test(
            model,
            called,
            queries=dict(queries),
            variables=dict(variables),
            environment=shown_environment(project, environment),
            include_ctes=include_ctes,
        )
        write_whole({file: text})
        shown = file.relative_to(project.root).as_posix()
    if is_timeless:
        session.console.note(
            f"{model} is built by time and this test says no range, so it is of 1970-01-01: `-v start 2024-01-01"
            " -v end 2024-01-31` gives one",
            "yellow",
        )
    session.console.line(f"wrote {shown}: read it, then run it with `isomesh test {shown}`")


def check_unit_tests(console: Console, project: Project, plan: Plan, *, every: bool) -> list[UnitTestResult]:
    """Run the tests a plan concerns (`every`: all) and tell of them on stderr; their results."""
    tests = project.unit_tests() if every else project.unit_tests_of(plan)
    results = list(_followed(console, project.run_unit_tests(tests), verbose=False, quiet=False, beside=True))
    if results:
        console.note(_sentence(results, project.gateway), "red" if _failed(results) else "green")
    return results


def unit_tests_json(results: Sequence[UnitTestResult]) -> dict[str, object]:
    """The results as a part of a JSON document."""
    return {
        "passed": sum(result.passed for result in results),
        "failed": len(_failed(results)),
        "unit_tests": [_result_json(result) for result in results],
    }


def _failed(results: Iterable[UnitTestResult]) -> list[UnitTestResult]:
    return [result for result in results if not result.passed]


def _chosen(
    project: Project, wanted: Sequence[str], pattern: str | None, models: Collection[str] | None
) -> list[UnitTest]:
    """The tests asked for, in the order of the files. Raises ModelError for a file or name that is not there."""
    tests = list(project.unit_tests())
    if wanted:
        places = [_place(project.root, one) for one in wanted]
        for place, written in zip(places, wanted, strict=True):
            if not any(_is_at(one, place) for one in tests):
                files = ", ".join(dict.fromkeys(one.path for one in tests)) or "none"
                raise ModelError(f"no unit tests at {written!r}", hint=f"files with tests: {files}")
        tests = [one for one in tests if any(_is_at(one, place) for place in places)]
    if pattern is not None:
        glob = pattern if any(sign in pattern for sign in "*?[") else f"*{pattern}*"
        tests = [one for one in tests if fnmatchcase(one.name, glob) or fnmatchcase(one.model, glob)]
    return [one for one in tests if models is None or one.model in models]


def _place(root: Path, written: str) -> tuple[str, str]:
    """File or folder relative to the project, and the test's name or ""."""
    path, _, name = written.partition("::")
    here, full = root.resolve(), Path(path).resolve()
    if full.exists() and full.is_relative_to(here):
        return full.relative_to(here).as_posix(), name
    return Path(path).as_posix(), name


def _is_at(test: UnitTest, place: tuple[str, str]) -> bool:
    path, name = place
    return (test.path == path or test.path.startswith(f"{path}/")) and name in ("", test.name)


def _followed(
    console: Console, results: Iterable[UnitTestResult], *, verbose: bool, quiet: bool, beside: bool = False
) -> Iterator[UnitTestResult]:
    """The results, each told as it comes; `beside`: on stderr."""
    tell = console.note if beside else console.line
    for result in results:
        if quiet:
            pass
        elif not result.passed:
            tell_failure(console, result, beside=beside, verbose=verbose)
        elif verbose:
            tell(f"passed   {result.test.name}  ({result.test.model})  {result.seconds:.2f} s", "green")
        yield result


def tell_failure(console: Console, result: UnitTestResult, *, beside: bool, verbose: bool) -> None:
    """A test that failed, with the rows that differ; `beside`: on stderr. `verbose` adds the query that ran."""
    tell = console.note if beside else console.line
    test = result.test
    tell(f"failed   {test.name}  ({test.model})  {test.path}:{test.line}", "bold red")
    if test.description:
        tell(f"         {test.description}", "dim")
    if result.error is not None:
        tell(f"         {result.error.message}", "red")
        if result.error.hint:
            tell(f"         hint: {result.error.hint}", "cyan")
    for difference in result.differences:
        _tell_difference(console, difference, beside=beside)
    if test.start is None and "'1970-01-01" in result.sql:
        tell("         hint: `vars` gives no start and end, so the range is 1970-01-01", "cyan")
    if verbose and result.sql:
        tell("         the query that ran, on DuckDB:", "dim")
        tell(result.sql, "dim")
    tell("", "")


def _tell_difference(console: Console, difference: Difference, *, beside: bool) -> None:
    from isomesh_dagster.unit_tests.words import sentences, shown_rows

    tell = console.note if beside else console.line
    for sentence in sentences(difference):
        tell(f"         {sentence}", "red")
    if not difference.rows:
        return
    columns, rows = shown_rows(difference, _SHOWN_ROWS)
    console.cells(columns, rows, beside=beside)
    if len(difference.rows) > _SHOWN_ROWS:
        tell(f"         … and {len(difference.rows) - _SHOWN_ROWS} more rows", "dim")


def _sentence(results: Sequence[UnitTestResult], gateway: str) -> str:
    from isomesh_dagster.plan.words import count

    failed = len(_failed(results))
    seconds = sum(result.seconds for result in results)
    ended = f"{len(results) - failed} passed, {failed} failed"
    return f"gateway {gateway} · {count(len(results), 'unit test')}: {ended}  {seconds:.2f} s"


def _result_json(result: UnitTestResult) -> dict[str, object]:
    from isomesh_dagster.unit_tests.words import difference_json

    return {
        "name": result.test.name,
        "path": result.test.path,
        "line": result.test.line,
        "model": result.test.model,
        "passed": result.passed,
        "seconds": round(result.seconds, 3),
        "error": None if result.error is None else error_json(result.error),
        "differences": [difference_json(difference) for difference in result.differences],
    }


def _new_file(root: Path, written: str, overwrite: bool) -> Path:
    """Where a new test goes. Raises ModelError for a place where tests are not found, or that is taken."""
    tests = root / "tests"
    path = Path(written)
    file = (root / path if path.parts[:1] == ("tests",) else tests / path).resolve()
    found = file.is_relative_to(tests.resolve()) and file.name.startswith("test") and file.suffix in (".yaml", ".yml")
    if not found:
        raise ModelError(f"tests are not found at {written!r}", hint="choose tests/…/test_….yaml")
    if file.exists() and not overwrite:
        shown = file.relative_to(root.resolve()).as_posix()
        raise ModelError(f"{shown} is there already", hint="choose another --path, or replace it with --overwrite")
    return file
