"""Scenarios as Markdown files: a project, what is done to it, and the plans that follow, word for word.

A file under `plans/` has a title, a sentence that says why the plans are right, a block of YAML with the `project`
(of `plans/projects.yaml`; prod shows it already) and the `steps`, and behind a line `---` what is told. Steps:

edit: {FILE: {OLD: NEW}}   write: {FILE: TEXT}   remove: FILE   config: {KEY: VALUE}   sql: TEXT
plan, apply, run: ENV or {environment: ENV, at: DATE, and the parts of a Wish or RunWish}
rollback: ENV

A plan is made by `plan` (told), `apply` (not told) and `run` (told, and done). Hashes are told as numbers in the order
in which they are met, so that the same table is called the same throughout a file; prod's tables come first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timezone
from pathlib import Path
from typing import Any

import duckdb
import yaml

from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.plan.documents import plan_markdown
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.plan.wish import RunWish, Wish
from isomesh_dagster.project import Project
from isomesh_dagster.snapshot.environment import PROD
from isomesh_dagster.snapshot.interval import Interval, to_ms
from isomesh_dagster.snapshot.snapshot import Category

FOLDER = Path(__file__).parent / "plans"
NOW = date(2024, 1, 8)
_DIVIDER = "\n---\n"
_BLOCK = re.compile(r"```yaml\n(.*?)\n```", re.DOTALL)
_VERSION = re.compile(r"\b(\w+?)__([0-9a-f]{16})(?=\b|_)")
_DIGEST = re.compile(r"\b[0-9a-f]{16}\b")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One file: `head` is what people write, `told` what is expected."""

    path: Path
    head: str
    told: str

    @property
    def content(self) -> Mapping[str, Any]:
        """The block of YAML."""
        found = _BLOCK.search(self.head)
        assert found is not None, f"{self.path.name} has no block of YAML"
        return yaml.safe_load(found[1])

    def write(self, told: str) -> None:
        """Expect `told` from now on."""
        self.path.write_text(f"{self.head}\n{_DIVIDER}\n{told}", encoding="utf-8")


def scenarios() -> Iterator[Scenario]:
    """All scenarios, by name."""
    for path in sorted(FOLDER.glob("*.md")):
        head, _, told = path.read_text(encoding="utf-8").partition(_DIVIDER)
        yield Scenario(path, head.rstrip("\n"), told.lstrip("\n"))


def projects() -> Mapping[str, Mapping[str, str]]:
    """The projects scenarios start from: text by file, and under `sql` what the warehouse holds."""
    return yaml.safe_load((FOLDER / "projects.yaml").read_text(encoding="utf-8"))


def make_project(root: Path, files: Mapping[str, str]) -> None:
    """Write the project and deploy it."""
    for name, text in files.items():
        if name != "sql":
            _write(root / name, text)
    with duckdb.connect(str(root / "warehouse.duckdb")) as connection:
        connection.execute(files["sql"])
    with Project.load(root, environ={}) as project:
        list(project.apply(project.plan(PROD, now=_moment(NOW))))


class Teller:
    """Does the steps of a scenario in the project at `root`, and tells its plans."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._versions: dict[str, dict[str, str]] = {}
        self._digests: dict[str, str] = {}
        with Project.load(root, environ={}) as project:
            shown = project.environment(PROD)
            assert shown is not None
            for view in sorted(one.physical for one in shown.target.views.values()):
                self._plain(view)
            self._plain(shown.plan_id)

    def tell(self, steps: list[Mapping[str, Any]]) -> str:
        """What the steps' plans say."""
        return "\n".join(
            told for step in steps for what, arguments in step.items() for told in self._do(what, arguments)
        )

    def _do(self, what: str, arguments: Any) -> Iterator[str]:
        match what, arguments:
            case "edit", {**files}:
                for name, edits in files.items():
                    path = self._root / name
                    for old, new in edits.items():
                        text = path.read_text(encoding="utf-8")
                        assert old in text, f"{name} has no {old!r}"
                        path.write_text(text.replace(old, new), encoding="utf-8")
            case "write", {**files}:
                for name, text in files.items():
                    _write(self._root / name, text)
            case "remove", str(name):
                (self._root / name).unlink()
            case "config", {**more}:
                path = self._root / "config.yaml"
                path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **more}), encoding="utf-8")
            case "sql", str(text):
                with duckdb.connect(str(self._root / "warehouse.duckdb")) as connection:
                    connection.execute(text)
            case "rollback", str(environment):
                with Project.load(self._root, environ={}) as project:
                    project.rollback(environment)
            case "plan" | "apply" | "run", _:
                asked = {"environment": arguments} if isinstance(arguments, str) else dict(arguments)
                yield from self._planned(what, asked)
            case _:
                raise AssertionError(f"no such step: {what} {arguments}")

    def _planned(self, what: str, asked: dict[str, Any]) -> Iterator[str]:
        environment, moment = asked.pop("environment"), _moment(asked.pop("at", NOW))
        with Project.load(self._root, environ={}) as project:
            try:
                if what == "run":
                    plan = project.run_plan(environment, now=moment, wish=RunWish(**_parts(asked)))
                else:
                    plan = project.plan(environment, now=moment, wish=Wish(**_parts(asked)))
            except IsomeshError as error:
                if what != "plan":
                    raise
                yield self._plain(f"### Refused for `{environment}`\n\n{error}\n")
                return
            told = self._plain(plan_markdown(_untimed(plan)))
            if what != "plan":
                list(project.apply(plan))
        if what != "apply":
            yield told

    def _plain(self, text: str) -> str:
        """The text without what differs from machine to machine, and with numbers for hashes."""
        text = text.replace(str(self._root), "PROJECT")
        return _DIGEST.sub(self._plan_number, _VERSION.sub(self._version_number, text))

    def _version_number(self, found: re.Match[str]) -> str:
        known = self._versions.setdefault(found[1], {})
        return f"{found[1]}__{known.setdefault(found[2], f'v{len(known) + 1}')}"

    def _plan_number(self, found: re.Match[str]) -> str:
        return self._digests.setdefault(found[0], f"#{len(self._digests) + 1}")


def _untimed(plan: Plan) -> Plan:
    """The plan as if nobody knew how long builds take: that differs from machine to machine."""
    builds, later = (
        tuple(replace(build, expected_seconds=None) for build in steps) for steps in (plan.builds, plan.later)
    )
    return replace(plan, builds=builds, later=later)


def _parts(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a wish, from how people write them."""
    parts: dict[str, Any] = {}
    for name, value in asked.items():
        match name, value:
            case "within", [first, end]:
                parts[name] = Interval(to_ms(_moment(first, hour=0)), to_ms(_moment(end, hour=0)))
            case "choices", {**choices}:
                parts[name] = {model: Category(category.replace("-", "_")) for model, category in choices.items()}
            case "effective_from", date():
                parts[name] = to_ms(_moment(value, hour=0))
            case _, list():
                parts[name] = tuple(value)
            case _:
                parts[name] = value
    return parts


def _moment(day: date, hour: int = 12) -> datetime:
    return datetime.combine(day, time(hour), tzinfo=timezone.utc)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
