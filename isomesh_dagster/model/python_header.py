"""`@model(…)` written as a `MODEL (…)` header, so that one reader knows every property.

In: the values the decorator was given and their lines. Out: properties with the text that a header would hold. A text
is SQL where a header holds SQL (names, keys, types, kinds), else what a string says; lists are brackets, mappings
pairs; an expression of sqlglot writes itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import date
from enum import Enum
from typing import Any

from isomesh_dagster.dialect.header import Property, Statement
from isomesh_dagster.dialect.rewrite import quote_name
from isomesh_dagster.errors import ModelError

STATEMENTS = ("pre_statements", "post_statements", "on_virtual_update")
"""What a header does not hold: in an SQL file they stand around the query."""

_SQL = frozenset({
    "blueprints", "clustered_by", "depends_on", "gateway", "grain", "grains", "merge_filter", "name", "partitioned_by",
    "references", "time_column", "time_data_type", "unique_key", "updated_at_name", "valid_from_name", "valid_to_name",
    "when_matched",
})  # fmt: skip
_CALLS = frozenset({"audits", "signals"})
_PLAIN = re.compile(r"[A-Za-z_]\w*")


def properties(given: Mapping[str, Any], lines: Mapping[str, int], line: int, dialect: str) -> tuple[Property, ...]:
    """The properties, statements left out. `lines` are those of the decorator's arguments, `line` that of itself."""
    found = []
    for key, value in given.items():
        if key in STATEMENTS or value is None:
            continue
        at = lines.get(key, line)
        try:
            found.append(Property(key=key.lower(), text=_property(key.lower(), value, dialect), line=at, column=1))
        except ModelError as error:
            raise error.located(line=at) from None
    return tuple(found)


def statements(key: str, given: Any, line: int, dialect: str) -> list[Statement]:
    """The statements under one of the keys of `STATEMENTS`: a text or a list of them."""
    kind = "virtual_update" if key == "on_virtual_update" else "sql"
    listed = given if isinstance(given, list | tuple) else [given] if given else []
    try:
        texts = [_sql(key, item, dialect).strip().rstrip(";").rstrip() for item in listed]
    except ModelError as error:
        raise error.located(line=line) from None
    return [Statement(text=text, line=line, kind=kind) for text in texts if text]


def _property(key: str, value: Any, dialect: str) -> str:
    match value:
        case _ if key == "kind":
            return _kind(value, dialect)
        case _ if key in _CALLS:
            return _bracketed(_call(key, item, dialect) for item in _listed(value))
        case Mapping() if key == "columns":
            return _bracketed(
                f"{_name(name, dialect)} {_sql('columns', its_type, dialect)}" for name, its_type in value.items()
            )
        case str() if key in _SQL or value.lstrip().startswith("@"):
            return value  # `@daily` and macros stand for themselves
        case _ if key == "blueprints":
            return _bracketed(_pairs(key, entry, dialect, sign=" := ") for entry in _listed(value))
        case list() | tuple() | set() | frozenset() if key in _SQL:
            return _bracketed(_sql(key, item, dialect) for item in _listed(value))
    return _literal(key, value, dialect)


def _kind(value: Any, dialect: str) -> str:
    if not isinstance(value, Mapping):
        return _sql("kind", value, dialect)
    name = value.get("name")
    if name is None:
        raise ModelError("`kind` has no name", hint='write kind={"name": "FULL", …}')
    others = [(key.lower(), item) for key, item in value.items() if key != "name" and item is not None]
    written = _sql("kind", name, dialect)
    return f"{written} {_bracketed(_parameter(key, item, dialect) for key, item in others)}" if others else written


def _parameter(key: str, value: Any, dialect: str) -> str:
    match key, value:
        case "when_matched", str() if not value.lstrip().startswith("("):
            return f"{key} ({value})"
        case "time_column", {"column": column, **others}:
            return f"{key} {_time_column(column, others.get('format'), dialect)}"
        case "time_column", (column, time_format):
            return f"{key} {_time_column(column, time_format, dialect)}"
        case "columns", _:
            items = [_sql(key, item, dialect) for item in _listed(value)]
            return f"{key} {items[0] if items == ['*'] else _bracketed(items)}"
    return f"{key} {_property(key, value, dialect)}"


def _time_column(column: Any, time_format: Any, dialect: str) -> str:
    written = _sql("time_column", column, dialect)
    return written if time_format is None else f"({written}, {_literal('time_column', time_format, dialect)})"


def _call(key: str, value: Any, dialect: str) -> str:
    """`name`, or `(name, {argument: value})`."""
    match value:
        case str():
            return value
        case (str() as name, Mapping() as arguments):
            written = ", ".join(
                f"{argument} := {_literal(argument, item, dialect)}" for argument, item in arguments.items()
            )
            return f"{name}({written})" if written else name
    raise ModelError(f"`{key}` cannot hold {value!r}", hint='write "name", or ("name", {"argument": value})')


def _pairs(key: str, value: Any, dialect: str, sign: str = " = ") -> str:
    if not isinstance(value, Mapping):
        raise ModelError(f"`{key}` cannot hold {value!r}", hint=f'write {key}=[{{"name": value}}, …]')
    return _bracketed(f"{_key(name)}{sign}{_literal(key, item, dialect)}" for name, item in value.items())


def _literal(key: str, value: Any, dialect: str) -> str:
    """Data as a header writes it."""
    match value:
        case None:
            return "NULL"
        case Enum():
            return _literal(key, value.value, dialect)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case str():
            return "'" + value.replace("'", "''") + "'"
        case date():
            return f"'{value.isoformat()}'"
        case Mapping():
            return _pairs(key, value, dialect)
        case list() | tuple() | set() | frozenset():
            return _bracketed(_literal(key, item, dialect) for item in _listed(value))
    return _sql(key, value, dialect)


def _sql(key: str, value: Any, dialect: str) -> str:
    """A text as SQL, or the SQL of an expression."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return value
    write = getattr(value, "sql", None)
    if callable(write):
        return str(write(dialect=dialect or None))
    raise ModelError(f"`{key}` cannot hold {value!r}")


def _listed(value: Any) -> list[Any]:
    """The members; those of a set, which have no order, sorted."""
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return list(value) if isinstance(value, list | tuple) else [value]


def _bracketed(items: Iterable[str]) -> str:
    return f"({', '.join(items)})"


def _name(name: str, dialect: str) -> str:
    return name if _PLAIN.fullmatch(name) else quote_name(name, dialect)


def _key(name: object) -> str:
    return str(name) if _PLAIN.fullmatch(str(name)) else _literal("", str(name), "")
