"""One command that measures everything: `python -m benchmarks --models 100 1000`.

Each row is one step of a project's life, measured as whole processes: isomesh, the same SQL raw on one DuckDB
connection where that makes sense, and SQLMesh in an environment of its own. Quote the ratios; absolute times belong to
the machine.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.generate import (
    Generated,
    add_root_column,
    change_leaf,
    touch_comment,
    write_project,
)
from benchmarks.measure import Cost, run

RAW = """
import sys, duckdb
connection = duckdb.connect(sys.argv[1])
for path in sys.argv[2:]:
    for statement in open(path).read().split("\\n-- next\\n"):
        connection.execute(statement)
"""
START = "import duckdb, sys; duckdb.connect(sys.argv[1]).close()"
LOAD = "from isomesh_dagster import Project; Project.load('.')"
LOAD_SQLMESH = "from sqlmesh import Context; Context(paths='.')"
DAGSTER = """
import sys, dagster as dg
from isomesh_dagster import build_definitions
if __name__ == "__main__":
    definitions = build_definitions(".")
    with dg.DagsterInstance.local_temp(sys.argv[1]) as instance:
        instance.add_dynamic_partitions("isomesh_environments", ["prod"])
        job = definitions.resolve_job_def("apply")
        result = job.execute_in_process(instance=instance, partition_key="prod", raise_on_error=True)
    sys.exit(0 if result.success else 1)
"""

LOCATION = """
from isomesh_dagster import build_definitions
build_definitions(".").get_repository_def()
"""
EMPTY = """
import json, sys, dagster as dg
def empty(name, parents, checked):
    key = dg.AssetKey(name.split("."))
    checks = [dg.AssetCheckSpec("complete", asset=key)] if checked else []
    @dg.asset(key=key, deps=[parent.split(".") for parent in parents], check_specs=checks)
    def nothing():
        return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True) for _ in checks])
    return nothing
if __name__ == "__main__":
    assets = [empty(*one) for one in json.load(open(sys.argv[1]))]
    if len(sys.argv) > 3:  # one that depends on all, as the environments' asset does
        assets.append(empty("all.together", [".".join(asset.key.path) for asset in assets], False))
    definitions = dg.Definitions(assets=assets, jobs=[dg.define_asset_job("apply")], executor=dg.in_process_executor)
    definitions.get_repository_def()
    if len(sys.argv) > 2:
        with dg.DagsterInstance.local_temp(sys.argv[2]) as instance:
            definitions.resolve_job_def("apply").execute_in_process(instance=instance)
"""


@dataclass
class Row:
    """One measured step. `empty` is Dagster with as many assets and checks that do nothing, `gathered` with one asset
    more that depends on all of them, `plainly` the same work of ours without Dagster.
    """

    step: str
    isomesh: Cost | None = None
    raw: Cost | None = None
    sqlmesh: Cost | None = None
    empty: Cost | None = None
    gathered: Cost | None = None
    plainly: Cost | None = None


class Bench:
    """One size: two copies of the same project, one for each tool, and the steps in order."""

    def __init__(self, folder: Path, count: int, sqlmesh_python: Path | None, dagster: bool) -> None:
        self.count = count
        self.sqlmesh_python = sqlmesh_python
        self.dagster = dagster
        self.ours, self.theirs, self.plain = folder / "isomesh", folder / "sqlmesh", folder / "raw"
        self.models: list[Generated] = write_project(self.ours, count)
        for copy in (self.theirs, self.plain):
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(self.ours, copy)
        for project in (self.ours, self.plain):
            self._python(project, RAW, "warehouse.duckdb", "source.sql")
        if sqlmesh_python is not None:  # its DuckDB may be older and refuse a file that ours made
            run([sqlmesh_python, "-c", RAW, "warehouse.duckdb", "source.sql"], cwd=self.theirs)

    def _python(self, cwd: Path, code: str, *arguments: str) -> Cost:
        return run([sys.executable, "-c", code, *arguments], cwd=cwd)

    def _isomesh(self, *arguments: str) -> Cost:
        return run([Path(sys.executable).with_name("isomesh"), *arguments], cwd=self.ours)

    def _sqlmesh(self, *arguments: str) -> Cost | None:
        if self.sqlmesh_python is None:
            return None
        return run([self.sqlmesh_python.with_name("sqlmesh"), *arguments], cwd=self.theirs)

    def _sqlmesh_load(self) -> Cost | None:
        if self.sqlmesh_python is None:
            return None
        return run([self.sqlmesh_python, "-c", LOAD_SQLMESH], cwd=self.theirs)

    def _both(self, change: Callable[[Path, list[Generated]], None]) -> None:
        for project in (self.ours, self.theirs):
            change(project, self.models)

    def rows(self) -> list[Row]:
        """Measure every step; each leaves the project ready for the next."""
        told = lambda row: (print(f"  {self.count} models: {row.step}", file=sys.stderr, flush=True), row)[1]  # noqa: E731
        rows = [
            told(
                Row(
                    "start of the interpreter, DuckDB opened",
                    raw=self._python(self.plain, START, "warehouse.duckdb"),
                )
            )
        ]
        rows.append(told(Row("cold load", self._python(self.ours, LOAD), None, self._sqlmesh_load())))
        self._both(touch_comment)
        rows.append(
            told(
                Row(
                    "warm load, one changed file",
                    self._python(self.ours, LOAD),
                    None,
                    self._sqlmesh_load(),
                )
            )
        )
        rows.append(
            told(
                Row(
                    "first plan and apply",
                    self._isomesh("plan", "prod", "--auto-apply"),
                    self._python(self.plain, RAW, "warehouse.duckdb", "raw.sql"),
                    self._sqlmesh("plan", "prod", "--auto-apply", "--no-prompts"),
                )
            )
        )
        rows.append(
            told(
                Row(
                    "plan without a change",
                    self._isomesh("plan", "prod", "--auto-apply"),
                    None,
                    self._sqlmesh("plan", "prod", "--auto-apply", "--no-prompts"),
                )
            )
        )
        self._both(change_leaf)
        rows.append(told(self._plan("one changed leaf to dev", "dev")))
        self._both(add_root_column)
        rows.append(told(self._plan("one added column at a root to dev", "dev")))
        rows.append(told(self._plan("promotion to prod, nothing to build", "prod")))
        if self.dagster:
            graph = self.ours / "graph.json"
            graph.write_text(json.dumps([(model.name, model.parents, model.incremental) for model in self.models]))
            self._python(self.ours, LOCATION)  # compiles the manifest
            rows.append(
                told(
                    Row(
                        "code location load",
                        self._python(self.ours, LOCATION),
                        empty=self._python(self.ours, EMPTY, str(graph)),
                    )
                )
            )
            rows.append(
                told(
                    Row(
                        "first apply through a Dagster job in process",
                        self._dagster(),
                        rows[3].raw,
                        empty=self._empty_run(graph, "empty"),
                        gathered=self._empty_run(graph, "gathered", "one"),
                        plainly=rows[3].isomesh,
                    )
                )
            )
        return rows

    def _plan(self, step: str, environment: str) -> Row:
        return Row(
            step,
            self._isomesh("plan", environment, "--auto-apply"),
            None,
            self._sqlmesh("plan", environment, "--auto-apply", "--no-prompts"),
        )

    def _empty_run(self, graph: Path, name: str, *more: str) -> Cost:
        home = graph.with_name(f"{name}_home")
        home.mkdir()
        return self._python(self.ours, EMPTY, str(graph), str(home), *more)

    def _dagster(self) -> Cost:
        project = self.ours.with_name("dagster")
        write_project(project, self.count)
        self._python(project, RAW, "warehouse.duckdb", "source.sql")
        self._python(project, LOCATION)  # a code server has compiled the manifest before a run begins
        script = project / "run_job.py"
        script.write_text(DAGSTER)
        home = project / "dagster_home"
        home.mkdir()
        return run([sys.executable, script, str(home)], cwd=project)


def table(count: int, rows: list[Row]) -> str:
    """The rows as a Markdown table."""
    start = rows[0].raw.cpu if rows[0].raw else 0.0
    lines = [
        f"### {count} models",
        "",
        "| step | isomesh CPU s | wall s | MB | SQLMesh CPU s | wall s | MB | SQLMesh / isomesh CPU "
        "| raw SQL CPU s | isomesh / raw beyond the start "
        "| empty assets CPU s | ms a model beyond them and the same apply without Dagster "
        "| with one that depends on all CPU s | ms a model beyond |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        cells = [row.step, *_cost(row.isomesh), *_cost(row.sqlmesh)]
        cells.append(f"**{row.sqlmesh.cpu / row.isomesh.cpu:.1f}**" if row.sqlmesh and row.isomesh else "")
        cells.append(f"{row.raw.cpu:.2f}" if row.raw else "")
        ratio = (row.isomesh.cpu - start) / (row.raw.cpu - start) if row.raw and row.isomesh else None
        cells.append(f"**{ratio:.2f}**" if ratio is not None else "")
        for empty in (row.empty, row.gathered):
            cells += _beyond(row, empty, count)
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _beyond(row: Row, empty: Cost | None, count: int) -> tuple[str, str]:
    if empty is None or row.isomesh is None:
        return "", ""
    beyond = row.isomesh.cpu - empty.cpu - (row.plainly.cpu if row.plainly is not None else 0.0)
    return f"{empty.cpu:.2f}", f"**{beyond * 1000 / count:.1f}**"


def _cost(cost: Cost | None) -> tuple[str, str, str]:
    return (f"{cost.cpu:.2f}", f"{cost.wall:.2f}", f"{cost.memory:.0f}") if cost else ("", "", "")


def sqlmesh_environment(folder: Path) -> Path:
    """A virtual environment with SQLMesh, made on first use; its Python."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    found = subprocess.run([python, "-c", "import sqlmesh"], capture_output=True, check=False)
    if found.returncode != 0:
        subprocess.run([python, "-m", "pip", "install", "--quiet", "sqlmesh==0.236.4"], check=True)
    return python


def _is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def main() -> None:
    """Parse the command line, measure, print the tables on stdout."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[100, 1000, 3000], help="project sizes")
    parser.add_argument("--without-sqlmesh", action="store_true", help="measure isomesh and raw SQL only")
    parser.add_argument("--without-dagster", action="store_true", help="leave the Dagster job out")
    parser.add_argument(
        "--sqlmesh-environment",
        type=Path,
        default=Path(".benchmarks") / "sqlmesh",
        help="folder of the virtual environment SQLMesh is installed into (made when missing)",
    )
    options = parser.parse_args()
    python = None if options.without_sqlmesh else sqlmesh_environment(options.sqlmesh_environment.absolute())
    compiled = "with" if _is_installed("sqlglotc") else "without"
    print(f"Python {sys.version.split()[0]}, {compiled} sqlglot's compiled build\n", flush=True)
    for count in options.models:
        with tempfile.TemporaryDirectory(prefix="isomesh-bench-") as folder:
            bench = Bench(Path(folder), count, python, dagster=not options.without_dagster)
            print(table(count, bench.rows()), flush=True)


if __name__ == "__main__":
    main()
