"""Fixtures: a few rows written by hand that stand for a table, in YAML, in CSV, or as a query.

    - {id: 1, ts: 2024-01-01}                            a list of rows; what a row leaves out is NULL
    columns: {id: INT}, rows: [{id: 1}]                  with types, of the columns that need one
    format: csv, rows: |                                 CSV as text; `csv_settings: {delimiter: ";"}`
    path: tests/data/orders.csv                          CSV or YAML in a file of its own
    query: SELECT 1 AS id                                in the dialect of the model under test

Scalars are read as YAML 1.2 has them, so that `NO` is a country and `010` a number; dates and moments are dates and
moments.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.names import nearest
from isomesh_dagster.model.scalars import PLAIN_KINDS, plain_value

if TYPE_CHECKING:
    import yaml

YamlNode = Any
"""A node of PyYAML's, which exists only while a file is read."""

Cell = Any
"""None, bool, int, float, str, date, datetime, or a list or dict of cells."""

FIXTURE_KEYS = ("rows", "query", "columns", "format", "path", "csv_settings")
CSV_KEYS = ("delimiter", "sep", "quotechar", "na_values")
_FORMATS = ("yaml", "csv")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows as written: one tuple of cells per row, in the order of `columns`.

    `types` are those that were given, by column, in the dialect of the model under test. `is_text`: cells are texts or
    None, as CSV has them.
    """

    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]
    types: Mapping[str, str] = field(default_factory=dict)
    is_text: bool = False
    line: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class FixtureQuery:
    """Rows that a query makes, in the dialect of the model under test; `types` as for `Rows`."""

    sql: str
    types: Mapping[str, str] = field(default_factory=dict)
    line: int = 1


Fixture = Rows | FixtureQuery


def parse_fixture(
    node: YamlNode, path: str, line: int, read_file: Callable[[str], bytes], *, also: Sequence[str] = ()
) -> Fixture:
    """The fixture a node describes. `also` are keys that somebody else reads. Raises ModelError with path and line."""
    import yaml

    if isinstance(node, yaml.SequenceNode):
        return _rows(node, path, line, {})
    if not isinstance(node, yaml.MappingNode):
        raise ModelError("give a list of rows, or rows:, query: or path:", path=path, line=line)
    items = mapping(node, path, "", (*FIXTURE_KEYS, *also), "rows of a test")
    types = _types(items.get("columns"), path)
    if sum(key in items for key in ("rows", "query", "path")) != 1:
        raise ModelError(
            "give one of rows:, query: and path:", path=path, line=line, hint="a table without rows is `rows: []`"
        )
    if "query" in items:
        query = scalar_text(items["query"][1]).strip()
        if not query:
            raise ModelError("the query is empty", path=path, line=items["query"][0])
        return FixtureQuery(sql=query, types=types, line=items["query"][0])
    if "path" in items:
        return _file(items, types, path, read_file)
    its_line, rows = items["rows"]
    if _format(items, "", path) == "csv":
        if not isinstance(rows, yaml.ScalarNode):
            raise ModelError("CSV is one text", path=path, line=its_line, hint="write rows: | and the lines below it")
        return _csv(rows.value, _csv_settings(items, path), types, path, its_line)
    return _rows(rows, path, its_line, types)


def dump(document: Mapping[str, Any]) -> str:
    """Plain data as YAML that reads back as the same values, a row on a line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
        style = "|" if "\n" in value else "'" if plain_value(value, "str") != value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)

    Dumper.add_representer(str, text)
    written = yaml.dump(
        document, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=10_000
    )
    return str(written)


def compose(text: str, path: str) -> yaml.Node | None:
    """The one document of a YAML file; None when it is empty. Raises ModelError."""
    import yaml

    try:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None)
        raise ModelError(
            "the file is not valid YAML" + (f": {problem}" if problem else ""),
            path=path,
            line=mark.line + 1 if mark is not None else None,
            column=mark.column + 1 if mark is not None else None,
        ) from None


def mapping(
    node: YamlNode, path: str, otherwise: str, known: Sequence[str] | None = None, what: str = ""
) -> dict[str, tuple[int, YamlNode]]:
    """Line and value of each key; keys are texts as written. Nothing written is an empty mapping.

    Raises ModelError with the words `otherwise` for what is no mapping, for a key written twice, and for one that is
    not among `known`, the keys of `what`.
    """
    import yaml

    if isinstance(node, yaml.ScalarNode) and node.value in ("", "~", "null"):
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ModelError(otherwise, path=path, line=node.start_mark.line + 1)
    if any(key.tag == "tag:yaml.org,2002:merge" for key, _ in node.value):
        yaml.SafeLoader("").flatten_mapping(node)
        node.value = list({key.value: (key, value) for key, value in node.value}.values())
    found: dict[str, tuple[int, YamlNode]] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        name = scalar_text(key)
        if name in found:
            raise ModelError(f"`{name}` is written twice", path=path, line=line)
        if known is not None and name not in known:
            hint = nearest(name, known) or f"it takes {', '.join(known)}"
            raise ModelError(f"{what} has no key `{name}`", path=path, line=line, hint=hint)
        found[name] = (line, value)
    return found


def taken(node: YamlNode, key: str, path: str) -> tuple[int, YamlNode] | None:
    """Line and value of one key of a node that may be a mapping; None when it is not there."""
    import yaml

    return mapping(node, path, "").get(key) if isinstance(node, yaml.MappingNode) else None


def scalar_text(node: YamlNode) -> str:
    """A scalar as text, whatever YAML would make of it. Raises ModelError for a list or a mapping."""
    import yaml

    if not isinstance(node, yaml.ScalarNode):
        raise ModelError("a word or a text is wanted here", line=node.start_mark.line + 1)
    return str(node.value)


def cell(node: YamlNode, path: str) -> Cell:
    """The value a node stands for."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        return {key: cell(value, path) for key, (_, value) in mapping(node, path, "").items()}
    if isinstance(node, yaml.SequenceNode):
        return [cell(item, path) for item in node.value]
    text: str = node.value
    kind = node.tag.rpartition(":")[2]
    if node.style is not None:
        return text
    try:
        if kind in PLAIN_KINDS:
            return plain_value(text, kind)
        return yaml.SafeLoader("").construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError):
        raise ModelError(f"`{text}` cannot be read", path=path, line=node.start_mark.line + 1) from None


def _rows(node: YamlNode, path: str, line: int, types: Mapping[str, str]) -> Rows:
    import yaml

    if isinstance(node, yaml.ScalarNode) and not node.value:
        return Rows(columns=tuple(types), cells=(), types=types, line=line)
    if not isinstance(node, yaml.SequenceNode):
        raise ModelError("rows are a list", path=path, line=line, hint="write - {column: value, …} for each row")
    rows = []
    for item in node.value:
        cells = mapping(item, path, "a row is {column: value, …}")
        rows.append({name: cell(value, path) for name, (_, value) in cells.items()})
    return _table(rows, types, line)


def _table(rows: Sequence[Mapping[str, Cell]], types: Mapping[str, str], line: int) -> Rows:
    columns = tuple(dict.fromkeys([*types, *(name for row in rows for name in row)]))
    cells = tuple(tuple(row.get(name) for name in columns) for row in rows)
    return Rows(columns=columns, cells=cells, types=types, line=line)


def _csv(text: str, settings: Mapping[str, Any], types: Mapping[str, str], path: str, line: int) -> Rows:
    missing = {"", *settings.get("na_values", ())}
    given = {key: settings[key] for key in ("delimiter", "quotechar") if key in settings}
    try:
        lines = list(csv.reader(_filled(text.splitlines()), strict=True, skipinitialspace=True, **given))
    except (csv.Error, TypeError) as error:
        raise ModelError(f"the CSV cannot be read: {error}", path=path, line=line) from None
    if not lines:
        raise ModelError("the CSV has no header", path=path, line=line)
    header, *rows = lines
    columns = tuple(name.strip() for name in header)
    for number, row in enumerate(rows, start=1):
        if len(row) != len(columns):
            raise ModelError(
                f"row {number} of the CSV has {len(row)} cells, the header {len(columns)}", path=path, line=line
            )
    cells = tuple(tuple(None if value in missing else value for value in row) for row in rows)
    unknown = [name for name in types if name not in columns]
    filled = tuple((*row, *(None for _ in unknown)) for row in cells)
    return Rows(columns=(*columns, *unknown), cells=filled, types=types, is_text=True, line=line)


def _filled(lines: Iterable[str]) -> list[str]:
    return [f"{line}\n" for line in lines if line.strip()]


def _file(
    items: Mapping[str, tuple[int, YamlNode]],
    types: Mapping[str, str],
    path: str,
    read_file: Callable[[str], bytes],
) -> Rows:
    line, node = items["path"]
    name = scalar_text(node)
    try:
        text = read_file(name).decode("utf-8-sig")
    except OSError as error:
        reason = error.strerror or error
        raise ModelError(
            f"{name} cannot be read: {reason}", path=path, line=line, hint="the path starts at the project's folder"
        ) from None
    except UnicodeDecodeError:
        raise ModelError(f"{name} is not UTF-8", path=path, line=line, hint="save it as UTF-8") from None
    if _format(items, name, path) == "csv":
        return _csv(text, _csv_settings(items, path), types, name, 1)
    import yaml

    root = compose(text, name)
    if isinstance(root, yaml.MappingNode):
        inside = mapping(root, name, "", ("rows", "columns"), "rows of a test")
        types = {**_types(inside.get("columns"), name), **types}
        root = inside["rows"][1] if "rows" in inside else None
    if root is None:
        return Rows(columns=tuple(types), cells=(), types=types, line=line)
    return _rows(root, name, 1, types)


def _format(items: Mapping[str, tuple[int, YamlNode]], name: str, path: str) -> str:
    if "format" not in items:
        return "csv" if name.endswith(".csv") else "yaml"
    line, node = items["format"]
    written = scalar_text(node).lower()
    if written not in _FORMATS:
        hint = nearest(written, _FORMATS) or "it is yaml or csv"
        raise ModelError(f"unknown format {written!r}", path=path, line=line, hint=hint)
    return written


def _csv_settings(items: Mapping[str, tuple[int, YamlNode]], path: str) -> dict[str, Any]:
    if "csv_settings" not in items:
        return {}
    given = mapping(items["csv_settings"][1], path, "csv_settings are `key: value` lines", CSV_KEYS, "csv_settings")
    settings = {"delimiter" if key == "sep" else key: cell(node, path) for key, (_, node) in given.items()}
    if "na_values" in settings:
        values = settings["na_values"]
        settings["na_values"] = [str(value) for value in (values if isinstance(values, list) else [values])]
    return settings


def _types(given: tuple[int, YamlNode] | None, path: str) -> dict[str, str]:
    if given is None:
        return {}
    columns = mapping(given[1], path, "`columns` are `name: TYPE` lines")
    return {name: scalar_text(node) for name, (_, node) in columns.items() if scalar_text(node)}
