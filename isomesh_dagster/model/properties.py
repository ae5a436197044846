"""The properties of `MODEL (…)` and `AUDIT (…)`: every key of the model format, and what becomes of it.

A key is supported (it has a decoder), refused (UnsupportedError, with what to do instead; values that change nothing
are accepted), or unknown (ModelError, with the nearest key). None is skipped.

`model_defaults` are read by the same decoders: scalars where the header is silent, maps merged key by key with the
header winning and `NULL` removing a default, audits and statements in front of the model's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from isomesh_dagster.dialect.header import Block, Property, parse_properties
from isomesh_dagster.dialect.values import Call, Items, Pair, Raw, String, Value, Word, parse_value
from isomesh_dagster.errors import ConfigError, IsomeshError, MacroError, ModelError, UnsupportedError
from isomesh_dagster.model.audits import AuditUse
from isomesh_dagster.model.blueprints import blueprints
from isomesh_dagster.model.cron import ALIASES as CRON_ALIASES
from isomesh_dagster.model.cron import UNITS, validate_cron, validate_timezone
from isomesh_dagster.model.decode import (
    Decoder,
    Given,
    boolean,
    choice,
    column_texts,
    columns,
    count,
    expressions,
    from_json,
    is_null,
    moment,
    relations,
    sql_map,
    text,
    texts,
    texts_map,
)
from isomesh_dagster.model.names import nearest

if TYPE_CHECKING:
    from isomesh_dagster.macros.expander import Expander


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A property that is not supported: what to do instead, and what may be written all the same."""

    instead: str
    harmless: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a block and the defaults say: decoded values and lines by key; keys nobody gave are missing.

    Keys are the canonical ones (`grain` is under `grains`). `kind` stays a `Value`: what it means is told by
    `kind_properties.parse_kind`.
    """

    values: Mapping[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)

    def get(self, key: str, default: Any = None) -> Any:
        """The decoded value, or `default`."""
        return self.values.get(key, default)


def _kind(given: Given) -> Value:
    return given.value


def _name(given: Given) -> str:
    return given.value.text


def _cron(given: Given) -> str:
    return validate_cron(given.value.text if isinstance(given.value, Raw) else text(given))


def _cron_tz(given: Given) -> str:
    return validate_timezone(text(given))


def _uses(given: Given) -> tuple[AuditUse, ...]:
    """`audits (name(argument := SQL, …), …)`, signals alike; one entry may stand without brackets."""
    what = given.key.removesuffix("s")
    match given.value:
        case Items(items=members):
            pass
        case member:
            members = (member,)
    uses = []
    for member in members:
        match member:
            case Word(content=name):
                uses.append(AuditUse(name=name))
            case Call(name=name, arguments=arguments):
                uses.append(AuditUse(name=name, arguments=_arguments(f"{what} {name!r}", name, arguments)))
            case String(content=content):  # from YAML
                uses.extend(
                    _uses(Given(key=given.key, value=parse_value(content, given.dialect), dialect=given.dialect))
                )
            case _:
                raise ModelError(
                    f"`{member.text}` is not {'an' if what == 'audit' else 'a'} {what}",
                    hint="write name, or name(argument := value, …)",
                )
    return tuple(uses)


def _arguments(what: str, name: str, arguments: tuple[Value, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for argument in arguments:
        match argument:
            case Pair(key=key, value=value):
                its_text = value.text
            case Call(name=key, arguments=_):  # `columns (a, b)`, the sign left out
                its_text = argument.text[len(key) :].strip()
            case _:
                raise ModelError(
                    f"{what}: `{argument.text}` has no name", hint=f"write {name}(argument := {argument.text})"
                )
        if key.lower() in found:
            raise ModelError(f"{what}: argument `{key}` is given twice", hint="keep one")
        found[key.lower()] = its_text
    return found


def _session_properties(given: Given) -> dict[str, str | None]:
    found = sql_map(given)
    for key in found:
        if not all(part.isidentifier() for part in key.split(".")):
            raise ModelError(f"session property `{key}` is not the name of a setting")
    return found


def _grants(given: Given) -> dict[str, tuple[str, ...]]:
    """Who gets each privilege."""
    found = texts_map(given)
    for privilege in found:
        if not _PRIVILEGE.fullmatch(privilege):
            raise ModelError(f"`{privilege}` in `grants` is no privilege", hint="write grants (select = ['reader'])")
    return found


_PRIVILEGE = re.compile(r"[a-z]+( [a-z]+)*|[\w.-]+(/[\w.-]+)+")  # `select`, and roles of a cloud by their paths

_CHANGE = choice("ALLOW", "WARN", "ERROR", "IGNORE")

MODEL_PROPERTIES: Mapping[str, Decoder | Refused] = {
    "name": _name,
    "kind": _kind,
    "dialect": text,
    "owner": text,
    "description": text,
    "column_descriptions": column_texts,
    "tags": texts,
    "stamp": text,
    "start": moment,
    "end": moment,
    "cron": _cron,
    "cron_tz": _cron_tz,
    "interval_unit": choice(*UNITS),
    "columns": columns,
    "partitioned_by": expressions,
    "clustered_by": expressions,
    "table_format": text,
    "storage_format": text,
    "physical_properties": sql_map,
    "virtual_properties": sql_map,
    "session_properties": _session_properties,
    "grains": expressions,
    "references": expressions,
    "depends_on": relations,
    "audits": _uses,
    "enabled": boolean,
    "optimize_query": boolean,
    "project": text,
    "gateway": text,
    # of the anchor's own tools; they change nothing here, and nothing in a table there
    "formatting": boolean,
    "ignored_rules": texts,
    "retention": count(0),
    # what a forward-only change may do to a table
    "on_destructive_change": _CHANGE,
    "on_additive_change": _CHANGE,
    "allow_partials": boolean,
    "signals": _uses,
    "blueprints": blueprints,
    "grants": _grants,
    "grants_target_layer": choice("all", "physical", "virtual"),
    "physical_version": Refused(instead="remove it; tables are named by their content"),
    "virtual_environment_mode": Refused(
        instead="remove it; every environment has views of its own", harmless=frozenset({"full"})
    ),
    "default_catalog": Refused(instead="write the catalog in the names, or set it in the gateway's connection"),
}

STANDALONE_KEYS = ("cron", "cron_tz", "owner", "start", "end", "depends_on", "tags", "description", "interval_unit")
"""What only a standalone audit may have besides. All but `depends_on` tell people something, and change nothing."""

AUDIT_PROPERTIES: Mapping[str, Decoder | Refused] = {
    "name": text,
    "dialect": text,
    "skip": boolean,
    "blocking": boolean,
    "defaults": sql_map,
    "standalone": boolean,
    **{key: MODEL_PROPERTIES[key] for key in STANDALONE_KEYS},
}

ALIASES = {"grain": "grains", "table_properties": "physical_properties"}
"""Other names of properties, as they were called before."""

_GONE = {"validate_query": "it was replaced by lint rules; remove it"}

# read as they stand: their macros are expanded when they are used
_UNEXPANDED = frozenset(
    {"audits", "signals", "physical_properties", "virtual_properties", "session_properties", "defaults"}
)

_MERGED = frozenset({"physical_properties", "virtual_properties", "session_properties"})
_STATEMENTS = frozenset({"pre_statements", "post_statements", "on_virtual_update"})
_OF_KIND = frozenset({"batch_concurrency", "forward_only"})


def read_properties(
    block: Block,
    known: Mapping[str, Decoder | Refused],
    *,
    dialect: str,
    expander: Expander | None,
    defaults: Mapping[str, Any] | None = None,
) -> Header:
    """The block's properties decoded, with `defaults` (as `model_defaults` were configured) filled in.

    Macros are expanded by `expander`; with None there are none. Raises ModelError, UnsupportedError or MacroError at
    the property's line, ConfigError for a default.
    """
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for item in _with_macros_expanded(block.properties, dialect, expander):
        key = ALIASES.get(item.key, item.key)
        if key in values:
            raise ModelError(f"`{item.key}` and `{key}` are the same property", line=item.line, column=item.column)
        try:
            value = _read(item, key, known, dialect, expander)
        except IsomeshError as error:
            raise error.located(line=item.line, column=item.column) from None
        if value is not None:
            values[key] = value
            lines[key] = item.line
    for key, configured in (defaults or {}).items():
        _fill_in(values, key, configured, known, dialect)
    for key in _MERGED & values.keys():
        values[key] = {name: sql for name, sql in values[key].items() if sql is not None}
    return Header(values=values, lines=lines)


def _with_macros_expanded(
    properties: tuple[Property, ...], dialect: str, expander: Expander | None
) -> Iterator[Property]:
    """The properties, those that a macro stands for in its place: none, one or several."""
    for item in properties:
        if not item.key.startswith("@"):
            yield item
        elif expander is None:
            raise UnsupportedError(
                "a macro cannot stand in place of this property", line=item.line, hint="write the property itself"
            )
        else:
            written = ", ".join(expander.expand_statement(item.text, item.line))
            try:
                yield from parse_properties(written, dialect, item.line)
            except ModelError as error:
                error.line, error.column = item.line, item.column
                raise


def _read(
    item: Property, key: str, known: Mapping[str, Decoder | Refused], dialect: str, expander: Expander | None
) -> Any:
    decoder = _decoder(item.key, key, known)
    written = item.text
    # `cron @daily` may stand without quotes, and is no macro
    is_macro = "@" in written and written.strip().lower() not in CRON_ALIASES
    if expander is not None and is_macro and key not in _UNEXPANDED:
        written = _expanded(key, written, expander, item.line)
        if not written.strip():
            return None
    value = parse_value(written, dialect, item.line)
    return None if is_null(value) else _decoded(key, value, decoder, dialect)


def _expanded(key: str, written: str, expander: Expander, line: int) -> str:
    if key == "name":
        return expander.expand_name(written, line)
    if key != "kind":
        return expander.expand(written, line)
    from isomesh_dagster.macros.variables import TIME_VARIABLES

    with expander.scope.leaving(TIME_VARIABLES):  # a merge may read them, at the moment of each batch
        return expander.expand(written, line)


def _decoder(written: str, key: str, known: Mapping[str, Decoder | Refused]) -> Decoder | Refused:
    if key in known:
        return known[key]
    raise ModelError(
        f"unknown property `{written}`",
        hint=_GONE.get(key) or nearest(key, [*known, *ALIASES]) or f"known are {', '.join(sorted(known))}",
    )


def _decoded(key: str, value: Value, decoder: Decoder | Refused, dialect: str) -> Any:
    if not isinstance(decoder, Refused):
        return decoder(Given(key=key, value=value, dialect=dialect))
    plain = value.content if isinstance(value, String) else value.text
    if "".join(plain.lower().split()) not in decoder.harmless:
        raise UnsupportedError(f"`{key}` is not supported yet", hint=decoder.instead)
    return None


def _fill_in(
    values: dict[str, Any], key: str, configured: object, known: Mapping[str, Decoder | Refused], dialect: str
) -> None:
    """One of `model_defaults` into the values of a header."""
    if key == "dialect" or key in _OF_KIND or configured is None:
        return  # the dialect was needed to read the file; parameters of a kind are filled in with the kind
    try:
        if key in _STATEMENTS:
            values[key] = _statements(configured)
            return
        decoder = _decoder(key, key, known)
        if key not in _MERGED and key != "audits":
            if key not in values:
                decoded = _decoded(key, default_value(key, configured, dialect), decoder, dialect)
                if decoded is not None:
                    values[key] = decoded
            return
        default = _decoded(key, default_value(key, configured, dialect), decoder, dialect)
        if key == "audits":
            values[key] = (*default, *values.get(key, ()))
        else:
            values[key] = {**default, **values.get(key, {})}
    except (ModelError, MacroError) as error:
        raise ConfigError(f"model_defaults.{key}: {error.message}", hint=error.hint) from None


def default_value(key: str, configured: object, dialect: str) -> Value:
    """One of `model_defaults` as the value a header would have held. A kind's name may come with its parameters, and a
    property of a map may be a macro.
    """
    if key == "kind" and isinstance(configured, str):
        return parse_value(configured, dialect)
    value = from_json(configured)
    if key not in _MERGED or not isinstance(value, Items):
        return value
    items = tuple(
        replace(item, value=parse_value(item.value.content, dialect))
        if isinstance(item, Pair) and isinstance(item.value, String) and item.value.content.startswith("@")
        else item
        for item in value.items
    )
    return replace(value, items=items)


def _statements(configured: object) -> tuple[str, ...]:
    written = [configured] if isinstance(configured, str) else configured
    if not isinstance(written, list) or not all(isinstance(item, str) for item in written):
        raise ModelError("must be a list of SQL statements")
    return tuple(stripped for item in written if (stripped := item.strip().rstrip(";").rstrip()))
