"""`blueprints ((customer := a, plan := 'x'), (customer := b, plan := 'y'))`: one file, one model for each entry.

An entry's values are SQL, kept as written: in the place of an expression `@plan` is `'x'`, in a name `@{customer}` is
`a`. A macro may give the entries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from isomesh_dagster.dialect.header import Property
from isomesh_dagster.dialect.values import Items, Pair, Raw, String, Value, Word, parse_value
from isomesh_dagster.errors import IsomeshError, ModelError
from isomesh_dagster.model.decode import Given, is_null

if TYPE_CHECKING:
    from isomesh_dagster.macros.expander import Expander

Blueprint = Mapping[str, str]
"""One entry: SQL texts by lower-case name."""

_SIGN = re.compile(r"('(?:[^']|'')*')|@(?=\w+\s*:=)")
_SHAPE = "write ((name := value, …), (name := value, …))"


def read_blueprints(item: Property, dialect: str, expander: Expander) -> tuple[Blueprint, ...]:
    """The entries, macros expanded; none when the property is empty. Raises ModelError at its line."""
    try:
        # In a list that is written out, `@name := value` says the same as `name := value`.
        entries = item.text if item.text.startswith("@") else _SIGN.sub(r"\1", item.text)
        pieces = expander.expand_statement(entries, item.line)
        written = pieces[0] if len(pieces) == 1 else f"({', '.join(pieces)})"
        value = parse_value(written, dialect, item.line)
        return () if is_null(value) else blueprints(Given(key=item.key, value=value, dialect=dialect))
    except IsomeshError as error:
        raise error.located(line=item.line, column=item.column) from None


def blueprints(given: Given) -> tuple[Blueprint, ...]:
    """The entries that a value holds: several in brackets, or one."""
    match given.value:
        case Items(items=members) if members and all(isinstance(member, Pair) for member in members):
            return (_entry(members),)
        case Items(items=members):
            return tuple(_entry(member.items if isinstance(member, Items) else (member,)) for member in members)
    raise ModelError(f"`{given.key}` must be a list of entries, not `{given.value.text}`", hint=_SHAPE)


def plain_value(written: str) -> Any:
    """The value of an entry as Python has it: texts, numbers, booleans, lists of these; anything else as its SQL."""
    match parse_value(written, ""):
        case String(content=content):
            return content
        case Items(items=members):
            return [plain_value(member.text) for member in members]
        case value if is_null(value):
            return None
        case Word(text=text) if text.lower() in ("true", "false"):
            return text.lower() == "true"
        case Word(text=text) | Raw(text=text) if _NUMBER.fullmatch(text):
            return float(text) if "." in text else int(text)
    return written


_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def _entry(members: tuple[Value, ...]) -> Blueprint:
    entry: dict[str, str] = {}
    for member in members:
        if not isinstance(member, Pair):
            raise ModelError(f"`{member.text}` is no entry of `blueprints`", hint=_SHAPE)
        name = member.key.lower()
        if name in entry:
            raise ModelError(f"an entry of `blueprints` gives `{name}` twice", hint="keep one")
        entry[name] = member.value.text
    if not entry:
        raise ModelError("an entry of `blueprints` is empty", hint=_SHAPE)
    return entry
