"""Values of header properties as plain data: text, numbers, lists, maps, names.

Each decoder takes a `Given` (whose value it is, in which dialect) and returns plain data, or raises ModelError without
a place, which the reader of the header fills in. A decoder takes what YAML gives (`from_json`) the same way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from isomesh_dagster import dates
from isomesh_dagster.dialect.query import normalize_name
from isomesh_dagster.dialect.rewrite import quote_name
from isomesh_dagster.dialect.values import (
    Call,
    Items,
    Pair,
    Raw,
    String,
    Value,
    Word,
    pairs,
    parse_columns,
    split_expressions,
)
from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.names import nearest
from isomesh_dagster.model.scalars import BOOLEANS


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One value to decode: the property's key for messages, the value, and the dialect of its text."""

    key: str
    value: Value
    dialect: str


Decoder = Callable[[Given], Any]


def text(given: Given) -> str:
    """A string, or a word as it stands."""
    match given.value:
        case String(content=content) | Word(content=content):
            return content
    raise _wrong(given, "a word or a string in quotes")


def boolean(given: Given) -> bool:
    """`true` or `false`, or another word for it."""
    match given.value:
        case String(content=content) | Word(content=content) if content.lower() in BOOLEANS:
            return BOOLEANS[content.lower()]
    raise _wrong(given, "true or false")


def count(minimum: int) -> Decoder:
    """A decoder for whole numbers from `minimum` on."""

    def decode(given: Given) -> int:
        match given.value:
            case String(content=content) | Word(content=content) if re.fullmatch(r"\d{1,9}", content):
                if int(content) >= minimum:
                    return int(content)
        raise _wrong(given, f"a whole number, at least {minimum}")

    return decode


def choice(*names: str) -> Decoder:
    """A decoder for one of a few words, in any case; gives the word as spelled here."""

    def decode(given: Given) -> str:
        wanted = text(given)
        for name in names:
            if name.lower() == wanted.lower():
                return name
        raise ModelError(
            f"`{given.key}` cannot be {wanted!r}",
            hint=nearest(wanted.lower(), names) or f"it is one of {', '.join(names)}",
        )

    return decode


def texts(given: Given) -> tuple[str, ...]:
    """One word or string, or a list of them; each once, in order."""
    members: tuple[Value, ...] = given.value.items if isinstance(given.value, Items) else (given.value,)
    found = [text(Given(key=given.key, value=member, dialect=given.dialect)) for member in members]
    return tuple(dict.fromkeys(found))


def expressions(given: Given) -> tuple[str, ...]:
    """SQL expressions: one, or a list of them."""
    return tuple(split_expressions(given.value.text, given.dialect))


def relations(given: Given) -> tuple[str, ...]:
    """Normalised names of tables: one, or a list of them."""
    members = given.value.items if isinstance(given.value, Items) else (given.value,)
    if all(isinstance(member, String) for member in members):
        names = [member.content for member in members if isinstance(member, String)]
    else:
        names = [*expressions(given)]
    return tuple(dict.fromkeys(normalize_name(name, given.dialect) for name in names))


def sql_map(given: Given) -> dict[str, str | None]:
    """`(key = SQL, …)`: values as SQL text; None for a key set to null."""
    return {key: None if is_null(value) else value.text for key, value in _map(given).items()}


def texts_map(given: Given) -> dict[str, tuple[str, ...]]:
    """`(key = 'text', key = ['text', …], …)`; nothing for a key set to null."""
    return {
        key: () if is_null(value) else texts(Given(key=f"{given.key}.{key}", value=value, dialect=given.dialect))
        for key, value in _map(given).items()
    }


def text_map(given: Given) -> dict[str, str]:
    """`(key = 'text', …)`."""
    return {
        key: text(Given(key=f"{given.key}.{key}", value=value, dialect=given.dialect))
        for key, value in _map(given).items()
    }


def column_texts(given: Given) -> dict[str, str]:
    """`(column = 'text', column.field = 'text', …)`, by normalised column name, which the path of a field follows."""
    found = {}
    for key, content in text_map(given).items():
        key = key.translate(_UNQUOTED) if _QUOTED_FIELD.fullmatch(key) else key
        column, dot, field = key.partition(".") if _FIELD.fullmatch(key) else (key, "", "")
        found[f"{column_name(column, given.dialect)}{dot}{field}"] = content
    return found


def columns(given: Given) -> tuple[tuple[str, str], ...]:
    """`(name TYPE, …)`: normalised names, each once, and types."""
    found: dict[str, str] = {}
    for name, its_type in parse_columns(given.value.text, given.dialect):
        normal = column_name(name, given.dialect)
        if normal in found:
            raise ModelError(f"column `{name}` is given twice in `{given.key}`", hint="keep one")
        if more := _CONSTRAINT.search(its_type):
            raise ModelError(
                f"column `{name}` of `{given.key}` has more than a type: `{more[0].strip()}`",
                hint="a comment belongs into column_descriptions, a constraint into audits",
            )
        found[normal] = column_type(its_type)
    if not found:
        raise ModelError(f"`{given.key}` is empty", hint="write (name TYPE, …), or leave it out")
    return tuple(found.items())


def moment(given: Given) -> str:
    """A date, a moment or a relative phrase, as written; refused when nobody could read it later."""
    value = given.value
    phrase = value.text if isinstance(value, Raw) and _BARE_DATE.fullmatch(value.text) else text(given)
    try:
        dates.to_ms(phrase, now_ms=0)
    except ModelError as error:
        raise ModelError(f"`{given.key}`: {error.message}", hint=error.hint) from None
    return phrase


def column_name(name: str, dialect: str) -> str:
    """The column's normalised name; one that can only be written in quotes (`on`, `my column`) may do without here."""
    try:
        normal = normalize_name(name, dialect)
    except ModelError:
        normal = normalize_name(quote_name(name, dialect), dialect) if _QUOTABLE.fullmatch(name) else "."
    if "." in normal:
        raise ModelError(f"`{name}` is not the name of a column", hint="quote a name that is not a plain word")
    return normal


def column_type(its_type: str) -> str:
    """The type as SQL text: plain type names in upper case and without odd space, since neither makes another type."""
    squeezed = " ".join(its_type.split())
    return squeezed.upper() if _PLAIN_TYPE.fullmatch(squeezed) else squeezed


_QUOTED_FIELD = re.compile(r"([\"`]?)\w+\1(?:\.([\"`]?)\w+\2)+")
_UNQUOTED = {ord('"'): None, ord("`"): None}
_FIELD = re.compile(r"\w+(?:\.\w+)+")
_CONSTRAINT = re.compile(
    r"\s(?:comment\s*(?:'[^']*'|\"[^\"]*\")|(?:not\s+)?null|primary\s+key|unique|default\s[^<>(]*)\s*\Z", re.IGNORECASE
)
_QUOTABLE = re.compile(r"\w[\w ]*")
_BARE_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")  # a subtraction to SQL, a date to its author
_PLAIN_TYPE = re.compile(r"[A-Za-z_][\w ]*(?:\(\s*\d+\s*(?:,\s*\d+\s*)?\))?(?:\[\])*")


def without_catalog(name: str, default_catalog: str | None, dialect: str) -> str:
    """The normalised name without its catalog when that is the gateway's default."""
    if default_catalog is None or name.count(".") != 2:
        return name
    catalog, rest = name.split(".", 1)
    return rest if catalog == normalize_name(default_catalog, dialect) else name


def is_null(value: Value) -> bool:
    """Whether the value is `NULL` or `None`, which drops a property."""
    return isinstance(value, Word) and value.text.lower() in ("null", "none")


def from_json(data: object) -> Value:
    """A value as YAML gave it, in the form a header would have given it. Text becomes a string, a mapping pairs."""
    match data:
        case None:
            return Word(text="NULL")
        case bool():
            return Word(text=str(data).lower())
        case int() | float():
            return Word(text=str(data))
        case str():
            return String(text="'" + data.replace("'", "''") + "'", content=data)
        case date():
            return from_json(data.isoformat())
        case Mapping():
            members: tuple[Value, ...] = tuple(
                Pair(text=f"{key} = {value.text}", key=str(key), value=value)
                for key, value in ((key, from_json(item)) for key, item in data.items())
            )
        case Iterable():
            members = tuple(from_json(item) for item in data)
        case _:
            raise ModelError(f"{data!r} is not a value a header could hold")
    return Items(text=f"({', '.join(member.text for member in members)})", items=members)


def _map(given: Given) -> dict[str, Value]:
    match given.value:
        case Items() | Call():
            return pairs(given.value)
    raise _wrong(given, "(key = value, …)")


def _wrong(given: Given, expected: str) -> ModelError:
    shown = given.value.text if len(given.value.text) <= 60 else f"{given.value.text[:57]}…"
    hint = None
    if isinstance(given.value, Raw) and "@" in shown:
        hint = "a macro in a header must give a plain value"
    return ModelError(f"`{given.key}` must be {expected}, not `{shown}`", hint=hint)
