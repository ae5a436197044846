"""Unit tests of models: what a person writes in `tests/**/test*.yaml`, as values.

In: the text of a file and the project's models. Out: `UnitTest` values, checked as far as that goes without running
anything: every key known, every date fixed, every table the model reads given. Rows stay as written; `unit_tests/`
makes tables of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from isomesh_dagster import dates
from isomesh_dagster.errors import ModelError
from isomesh_dagster.model import fixtures
from isomesh_dagster.model.fixtures import Fixture, YamlNode
from isomesh_dagster.model.kinds import Embedded, kind_name
from isomesh_dagster.model.model import Json, Model
from isomesh_dagster.model.names import nearest

_DAY = 86_400_000

TEST_KEYS = ("model", "description", "gateway", "schema", "vars", "inputs", "outputs")
OUTPUT_KEYS = ("query", "ctes", "partial")


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Rows a query must return. `partial`: only the columns that are given count."""

    fixture: Fixture
    partial: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTest:
    """One unit test of a model.

    name            unique in its file
    path, line      of the test, relative to the project's root (posix), from 1
    model           the normalised name of the model under test
    gateway         the only gateway it is for; None: any
    schema          where its tables are while it runs; None: a name of ours
    variables       what `vars` sets besides the time, by lower-case name, over the configuration's
    start, end      the range `[start, end)`, epoch milliseconds UTC; None: not given
    execution_time  "now", epoch milliseconds UTC; None: not given, the clock is not frozen
    inputs          tables that stand for what the model reads, by normalised name
    query           what the query must return; None: not compared
    ctes            what CTEs of the query must return, by name
    """

    name: str
    path: str
    line: int
    model: str
    description: str | None = None
    gateway: str | None = None
    schema: str | None = None
    variables: Mapping[str, Json] = field(default_factory=dict)
    start: int | None = None
    end: int | None = None
    execution_time: int | None = None
    inputs: Mapping[str, Fixture] = field(default_factory=dict)
    query: Expected | None = None
    ctes: Mapping[str, Expected] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """`path::name`, unique in a project."""
        return f"{self.path}::{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTestContext:
    """What the meaning of a test file depends on besides its text.

    models           the project's models by name
    dialect          of names of models, and of SQL in tests of models that name no dialect
    default_catalog  left out of names that give it
    gateways         the names of all gateways
    read_file        the bytes of a file by path relative to the root (posix); OSError when it cannot be read,
                     ModelError when it lies outside the project
    """

    models: Mapping[str, Model]
    dialect: str
    default_catalog: str | None
    gateways: Collection[str]
    read_file: Callable[[str], bytes]


def parse_unit_tests(text: str, path: str, context: UnitTestContext) -> tuple[UnitTest, ...]:
    """The tests of one file, in order. Raises ModelError with path and line of what is wrong."""
    root = fixtures.compose(text, path)
    if root is None:
        return ()
    tests = fixtures.mapping(root, path, "the file must hold tests by name")
    return tuple(_Reader(path, context).test(key, line, node) for key, (line, node) in tests.items())


def required_inputs(model: Model, models: Mapping[str, Model], given: Collection[str] = ()) -> tuple[str, ...]:
    """The tables a test of `model` must give, sorted; `given` are those it gives.

    An EMBEDDED model is inlined unless it is given, so what it reads is needed in its place.
    """
    needed: set[str] = set()
    todo = [*model.depends_on]
    seen: set[str] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        parent = models.get(name)
        if name not in given and parent is not None and isinstance(parent.kind, Embedded):
            todo.extend(parent.depends_on)
        else:
            needed.add(name)
    return tuple(sorted(needed - {model.name}))


def fixed_range(start: str | int | date | None, end: str | int | date | None) -> tuple[int | None, int | None]:
    """The range `[start, end)` in epoch milliseconds that two dates as written stand for; a date as end is included.

    With one of the two it is that day. Raises ModelError for what is no fixed date, and for a range that ends first.
    """
    if start is None and end is None:
        return None, None
    first = fixed_moment(end if start is None else start)
    if start is None:
        first -= first % _DAY
    last = fixed_moment(end, is_end=True) if end is not None else first - first % _DAY + _DAY
    if first >= last:
        raise ModelError("`vars`: `end` is before `start`")
    return first, last


def fixed_moment(phrase: str | int | date | None, *, is_end: bool = False) -> int:
    """Epoch milliseconds of a date or moment that does not depend on when it is read. Raises ModelError."""
    read = dates.to_exclusive_end_ms if is_end else dates.to_ms
    # a number is a date written without quotes and dashes, or milliseconds: as text both are known
    given: str | date = phrase if isinstance(phrase, date) else str(phrase)
    moment = read(given, now_ms=0)
    if moment != read(given, now_ms=777 * _DAY + 12_345_678):
        raise ModelError(
            f"{phrase!r} is another moment every time", hint="a test needs a fixed one, such as 2024-01-31 10:00:00"
        )
    return moment


class _Reader:
    """Reads the tests of one file."""

    def __init__(self, path: str, context: UnitTestContext) -> None:
        self._path = path
        self._context = context

    def test(self, name: str, line: int, node: YamlNode) -> UnitTest:
        try:
            return self._test(name, line, node)
        except ModelError as error:
            if not error.message.startswith("test "):
                error.message = f"test {name}: {error.message}"
            raise error.located(path=self._path, line=line) from None

    def _test(self, name: str, line: int, node: YamlNode) -> UnitTest:
        items = self._mapping(node, TEST_KEYS, "a test")
        for needed in ("model", "outputs"):
            if needed not in items:
                raise ModelError(f"`{needed}` is missing", hint=f"it takes {', '.join(TEST_KEYS)}")
        model = self._model(*items["model"])
        outputs = self._mapping(items["outputs"][1], OUTPUT_KEYS, "`outputs`")
        partial = self._boolean(outputs["partial"]) if "partial" in outputs else False
        query = self._expected(outputs["query"], partial) if "query" in outputs else None
        ctes = {
            cte: self._expected(given, partial)
            for cte, given in (self._mapping(outputs["ctes"][1]) if "ctes" in outputs else {}).items()
        }
        if query is None and not ctes:
            raise self._at(items["outputs"][0], "`outputs` gives no rows", hint="it takes query: and ctes:")
        variables, start, end, now = self._variables(items.get("vars"))
        inputs = self._inputs(items.get("inputs"), model.dialect or self._context.dialect)
        missing = [one for one in required_inputs(model, self._context.models, inputs) if one not in inputs]
        if missing:
            raise self._at(
                items["inputs"][0] if "inputs" in items else line,
                f"{model.name} reads {', '.join(missing)}, which `inputs` does not give",
                hint=nearest(missing[0], inputs) or f"add {missing[0]}: with its rows, or `rows: []`",
            )
        return UnitTest(
            name=name,
            path=self._path,
            line=line,
            model=model.name,
            description=self._text(items, "description"),
            gateway=self._gateway(items),
            schema=self._text(items, "schema"),
            variables=variables,
            start=start,
            end=end,
            execution_time=now,
            inputs=inputs,
            query=query,
            ctes=ctes,
        )

    def _model(self, line: int, node: YamlNode) -> Model:
        written = fixtures.scalar_text(node)
        models = self._context.models
        try:
            name = self._name(written, self._context.dialect)
        except ModelError as error:
            raise error.located(path=self._path, line=line) from None
        # how case is read depends on the model's own dialect, which only the model tells
        model = models.get(name) or next((one for other, one in models.items() if other.lower() == name.lower()), None)
        if model is None:
            near = nearest(name, models)
            raise self._at(line, f"no model named {written!r}", hint=near or "rename it, or remove the test")
        if not model.query and model.python is None:
            kind = kind_name(model.kind)
            raise self._at(line, f"{name} is {kind} and has no query to test", hint="test a model that reads it")
        return model

    def _inputs(self, given: tuple[int, YamlNode] | None, dialect: str) -> dict[str, Fixture]:
        found: dict[str, Fixture] = {}
        for written, (line, node) in (self._mapping(given[1]) if given is not None else {}).items():
            try:
                name = self._name(written, dialect)
                fixture = fixtures.parse_fixture(node, self._path, line, self._context.read_file)
            except ModelError as error:
                error.message = f"input {written}: {error.message}"
                raise error.located(path=self._path, line=line) from None
            if name in found:
                raise self._at(line, f"input {written} is written twice")
            found[name] = fixture
        return found

    def _expected(self, given: tuple[int, YamlNode], partial: bool) -> Expected:
        line, node = given
        own = fixtures.taken(node, "partial", self._path)
        fixture = fixtures.parse_fixture(node, self._path, line, self._context.read_file, also=("partial",))
        return Expected(fixture=fixture, partial=partial if own is None else self._boolean(own))

    def _variables(
        self, given: tuple[int, YamlNode] | None
    ) -> tuple[dict[str, Json], int | None, int | None, int | None]:
        if given is None:
            return {}, None, None, None
        line, node = given
        values: dict[str, Any] = {}
        for key, (its_line, item) in self._mapping(node).items():
            if key.lower() in values:
                raise self._at(its_line, f"`vars`: {key!r} is written twice, case does not matter")
            values[key.lower()] = fixtures.cell(item, self._path)
        try:
            start, end = fixed_range(values.pop("start", None), values.pop("end", None))
            latest = values.pop("latest", None)  # its old name
            now = values.pop("execution_time", latest)
            moment = None if now is None else fixed_moment(now)
        except ModelError as error:
            raise error.located(path=self._path, line=line) from None
        return {key: _json(value) for key, value in values.items()}, start, end, moment

    def _gateway(self, items: Mapping[str, tuple[int, YamlNode]]) -> str | None:
        name = self._text(items, "gateway")
        known = self._context.gateways
        if name is not None and name.lower() not in known:
            near = nearest(name, known) or f"there are {', '.join(known)}"
            raise self._at(items["gateway"][0], f"no gateway {name!r}", hint=near)
        return None if name is None else name.lower()

    def _name(self, written: str, dialect: str) -> str:
        if written in self._context.models:  # as most are written: no SQL library is needed to know it
            return written
        from isomesh_dagster.dialect.query import normalize_name
        from isomesh_dagster.model.decode import without_catalog

        return without_catalog(normalize_name(written, dialect), self._context.default_catalog, dialect)

    def _text(self, items: Mapping[str, tuple[int, YamlNode]], key: str) -> str | None:
        return (fixtures.scalar_text(items[key][1]) or None) if key in items else None

    def _boolean(self, given: tuple[int, YamlNode]) -> bool:
        value = fixtures.cell(given[1], self._path)
        if not isinstance(value, bool):
            raise self._at(given[0], "`partial` is true or false")
        return value

    def _mapping(
        self, node: YamlNode, known: Sequence[str] | None = None, what: str = ""
    ) -> dict[str, tuple[int, YamlNode]]:
        return fixtures.mapping(node, self._path, f"{what or 'this'} must hold `key: value` lines", known, what)

    def _at(self, line: int, message: str, *, hint: str | None = None) -> ModelError:
        return ModelError(message, path=self._path, line=line, hint=hint)


def _json(value: Any) -> Json:
    """A cell as a variable's value: dates become text."""
    if isinstance(value, dict):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date):
        return value.isoformat()
    result: Json = value
    return result
