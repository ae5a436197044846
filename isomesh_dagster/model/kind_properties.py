"""`kind …` of a header as a `ModelKind`: every kind of the model format by name, every parameter by kind.

A kind or a parameter is supported, refused with what to do instead, or unknown with the nearest name; none is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from isomesh_dagster.dialect.values import (
    Call,
    Items,
    Pair,
    Raw,
    String,
    Value,
    Word,
    pairs,
    parse_value,
    split_expressions,
)
from isomesh_dagster.errors import ModelError, UnsupportedError
from isomesh_dagster.model.blueprints import plain_value
from isomesh_dagster.model.cron import validate_cron
from isomesh_dagster.model.decode import (
    Decoder,
    Given,
    boolean,
    choice,
    column_name,
    column_type,
    count,
    expressions,
    is_null,
    sql_map,
    text,
    texts,
    texts_map,
)
from isomesh_dagster.model.kinds import (
    CsvSettings,
    Custom,
    Embedded,
    External,
    Full,
    IncrementalByPartition,
    IncrementalByTimeRange,
    IncrementalByUniqueKey,
    IncrementalUnmanaged,
    ScdType2ByColumn,
    ScdType2ByTime,
    View,
)
from isomesh_dagster.model.names import nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFile:
    """What the header says of a seed, before its file was read."""

    path: str
    csv_settings: CsvSettings


HeaderKind = (
    View
    | Full
    | IncrementalByTimeRange
    | IncrementalByUniqueKey
    | IncrementalByPartition
    | IncrementalUnmanaged
    | ScdType2ByTime
    | ScdType2ByColumn
    | Custom
    | SeedFile
    | Embedded
    | External
)

_CHANGE = choice("ALLOW", "WARN", "ERROR", "IGNORE")


def _na_values(given: Given) -> tuple[str, ...] | dict[str, tuple[str, ...]]:
    """`['-', …]` for every column, or `(column = ['-', …], …)`."""
    if isinstance(given.value, Items) and given.value.items and all(isinstance(one, Pair) for one in given.value.items):
        return texts_map(given)
    return texts(given)


_CSV: Mapping[str, Decoder] = {
    "delimiter": text,
    "quotechar": text,
    "doublequote": boolean,
    "escapechar": text,
    "skipinitialspace": boolean,
    "lineterminator": text,
    "encoding": text,
    "na_values": _na_values,
    "keep_default_na": boolean,
}
_VARIABLE = re.compile(r"@(?=[A-Za-z_])\w+")
_AT_EACH_BATCH = frozenset({"when_matched", "merge_filter"})
_ESCAPES = {"\\t": "\t", "\\n": "\n", "\\r": "\r", "\\r\\n": "\r\n"}


def _csv_settings(given: Given) -> CsvSettings:
    settings: dict[str, Any] = {}
    for key, value in pairs(given.value).items():
        if key not in _CSV:
            raise ModelError(f"csv_settings has no `{key}`", hint=nearest(key, _CSV) or f"it takes {', '.join(_CSV)}")
        decoded = _CSV[key](Given(key=f"csv_settings.{key}", value=value, dialect=given.dialect))
        settings[key] = _ESCAPES.get(decoded, decoded) if isinstance(decoded, str) else decoded
    return CsvSettings(**settings)


def _time_column(given: Given) -> tuple[str, str | None]:
    match given.value:
        case Items(items=(column, time_format)):
            from isomesh_dagster.dialect.time_formats import strftime_format

            written = text(Given(key="time_column's format", value=time_format, dialect=given.dialect))
            try:
                return _column(column, given), strftime_format(written, given.dialect)
            except ModelError as error:
                raise ModelError(f"time_column: {error.message}", hint=error.hint) from None
        case Items(items=(column,)) | column:
            return _column(column, given), None


def _column(value: Value, given: Given) -> str:
    match value:
        case String(content=name) | Word(text=name):
            return column_name(name, given.dialect)
    raise ModelError(
        f"`{given.key}` must be a column, not `{value.text}`", hint="give the expression a name in the query"
    )


def _one_column(given: Given) -> str:
    return _column(given.value, given)


def _columns_or_star(given: Given) -> tuple[str, ...] | None:
    """Normalised names, each once; None for `*`, which stands for all."""
    members = given.value.items if isinstance(given.value, Items) else (given.value,)
    if len(members) == 1 and members[0].text == "*":
        return None
    return tuple(dict.fromkeys(_column(member, given) for member in members))


def _key(given: Given) -> tuple[str, ...]:
    """SQL expressions, each once, a plain column as its quoted name: one way to write a key is as good as another."""
    from isomesh_dagster.dialect.merge import expression_columns
    from isomesh_dagster.dialect.rewrite import quote_name

    members: tuple[str, ...] = expressions(given)
    if isinstance(given.value, String):  # from YAML: one column, or a list in brackets
        members = tuple(split_expressions(given.value.content, given.dialect))
    elif isinstance(given.value, Items) and all(isinstance(member, String) for member in given.value.items):
        members = tuple(member.content for member in given.value.items if isinstance(member, String))
    found = []
    for member in members:
        value = parse_value(member, given.dialect)
        if isinstance(value, Word):
            found.append(quote_name(column_name(value.text, given.dialect), given.dialect))
            continue
        if not expression_columns(member, given.dialect):
            raise ModelError(f"`{given.key}` names no column: `{member}`", hint="write the columns that name a row")
        found.append(member)
    if not found:
        raise ModelError(f"`{given.key}` is empty", hint="write the columns that name a row")
    return tuple(dict.fromkeys(found))


def _free_text(given: Given) -> str:
    """What is written, as SQL: brackets around the whole are layout. YAML gives it as a string."""
    match given.value:
        case String(content=written):
            return written.strip()
        case Items(text=written):
            return written[1:-1].strip()
        case value:
            return value.text.strip()


def _when_matched(given: Given) -> str:
    from isomesh_dagster.dialect.merge import matched_clauses

    clauses = _free_text(given)
    matched_clauses(without_moment(clauses), given.dialect, given.dialect)
    return clauses


def _merge_filter(given: Given) -> str:
    from isomesh_dagster.dialect import merge

    condition = given.value.content if isinstance(given.value, String) else given.value.text
    merge.condition(without_moment(condition), given.dialect, given.dialect)
    return condition.strip()


def without_moment(written: str) -> str:
    """SQL that is well formed when `written` is, whose time variables are left for the moment of each batch."""
    return _VARIABLE.sub("NULL", written)


def _plain_map(given: Given) -> dict[str, Any]:
    """`(key = value, …)` with values as Python has them."""
    return {key: None if written is None else plain_value(written) for key, written in sql_map(given).items()}


_CHANGES: Mapping[str, Decoder] = {"on_destructive_change": _CHANGE, "on_additive_change": _CHANGE}
_RESTATEMENT_CRON: Mapping[str, Decoder] = {"auto_restatement_cron": lambda given: validate_cron(text(given))}
_TIME_RANGE: Mapping[str, Decoder] = {
    "time_column": _time_column,
    "batch_size": count(1),
    "batch_concurrency": count(1),
    "lookback": count(0),
    "disable_restatement": boolean,
    "partition_by_time_column": boolean,
    "forward_only": boolean,
    **_CHANGES,
    **_RESTATEMENT_CRON,
    "auto_restatement_intervals": count(1),
}
_UNIQUE_KEY: Mapping[str, Decoder] = {
    "unique_key": _key,
    "when_matched": _when_matched,
    "merge_filter": _merge_filter,
    "batch_size": count(1),
    "batch_concurrency": count(1),
    "lookback": count(0),
    "disable_restatement": boolean,
    "forward_only": boolean,
    **_CHANGES,
    **_RESTATEMENT_CRON,
}
_SCD: Mapping[str, Decoder] = {
    "unique_key": _key,
    "valid_from_name": _one_column,
    "valid_to_name": _one_column,
    "invalidate_hard_deletes": boolean,
    "time_data_type": lambda given: column_type(given.value.text.strip("'\"")),
    "batch_size": count(1),
    "disable_restatement": boolean,
    "forward_only": boolean,
    **_CHANGES,
}
_SCD_BY_TIME: Mapping[str, Decoder] = {
    **_SCD,
    "updated_at_name": _one_column,
    "updated_at_as_valid_from": boolean,
}
_SCD_BY_COLUMN: Mapping[str, Decoder] = {
    **_SCD,
    "columns": _columns_or_star,
    "execution_time_as_valid_from": boolean,
    "updated_at_name": _one_column,
}

# `batch_size` of a seed is how many rows an insert has; which rows there are it cannot change
_PARAMETERS: Mapping[str, Mapping[str, Decoder]] = {
    "VIEW": {"materialized": boolean},
    "FULL": {},
    "INCREMENTAL_BY_TIME_RANGE": _TIME_RANGE,
    "INCREMENTAL_BY_UNIQUE_KEY": _UNIQUE_KEY,
    "INCREMENTAL_BY_PARTITION": {"disable_restatement": boolean, **_CHANGES, **_RESTATEMENT_CRON},
    "INCREMENTAL_UNMANAGED": {
        "insert_overwrite": boolean,
        "disable_restatement": boolean,
        "forward_only": boolean,
        **_CHANGES,
    },
    "SCD_TYPE_2": _SCD_BY_TIME,
    "SCD_TYPE_2_BY_TIME": _SCD_BY_TIME,
    "SCD_TYPE_2_BY_COLUMN": _SCD_BY_COLUMN,
    "CUSTOM": {
        "materialization": text,
        "materialization_properties": _plain_map,
        "batch_size": count(1),
        "batch_concurrency": count(1),
        "lookback": count(0),
        "disable_restatement": boolean,
        "forward_only": boolean,
        **_RESTATEMENT_CRON,
        **_CHANGES,
    },
    "SEED": {"path": text, "batch_size": count(1), "csv_settings": _csv_settings},
    "EMBEDDED": {},
    "EXTERNAL": {},
}

_TIMESTAMP_IS_NO_MOMENT = frozenset({"tsql", "fabric"})
"""Dialects in which TIMESTAMP numbers the versions of a row."""

_REFUSED_KINDS: Mapping[str, str] = {
    "MANAGED": "no supported warehouse keeps a table up to date by itself; use VIEW or FULL",
    "DBT_CUSTOM": "dbt projects are not loaded",
}
_OF_CHANGES = frozenset({"forward_only", "on_destructive_change", "on_additive_change"})
_REFUSED_PARAMETERS: Mapping[str, str] = {
    "auto_restatement_cron": "remove it: the query cannot tell the rows of earlier times again",
    "auto_restatement_intervals": "remove it: of this kind all of history is made again, or nothing",
}


def parse_kind(value: Value, dialect: str, *, time_column_format: str) -> HeaderKind:
    """The kind the value names. Raises ModelError or UnsupportedError without a place."""
    name, settings = _named(value)
    if name in _REFUSED_KINDS:
        raise UnsupportedError(f"kind {name} is not supported yet", hint=_REFUSED_KINDS[name])
    if name not in _PARAMETERS:
        raise ModelError(
            f"unknown kind `{name}`",
            hint=nearest(name, [*_PARAMETERS, *_REFUSED_KINDS]) or f"it is one of {', '.join(_PARAMETERS)}",
        )
    given = _decoded(name, settings, dialect)
    if dialect in _TIMESTAMP_IS_NO_MOMENT and name.startswith("SCD_TYPE_2"):
        given.setdefault("time_data_type", "DATETIME2")
    match name:
        case "VIEW":
            return View(**given)
        case "FULL":
            return Full()
        case "INCREMENTAL_BY_TIME_RANGE":
            return _time_range(given, time_column_format)
        case "INCREMENTAL_BY_UNIQUE_KEY":
            _require(name, given, "unique_key", "unique_key id")
            if given.get("batch_concurrency", 1) != 1:
                raise ModelError(f"batches of kind {name} run one after the other", hint="remove `batch_concurrency`")
            return IncrementalByUniqueKey(**_only(given, IncrementalByUniqueKey))
        case "INCREMENTAL_BY_PARTITION":
            return IncrementalByPartition(**_only(given, IncrementalByPartition))
        case "INCREMENTAL_UNMANAGED":
            return IncrementalUnmanaged(**_only(given, IncrementalUnmanaged))
        case "SCD_TYPE_2" | "SCD_TYPE_2_BY_TIME":
            _require(name, given, "unique_key", "unique_key id")
            return ScdType2ByTime(**_only(given, ScdType2ByTime))
        case "SCD_TYPE_2_BY_COLUMN":
            _require(name, given, "unique_key", "unique_key id, columns (a, b)")
            _require(name, given, "columns", "unique_key id, columns (a, b)")
            return ScdType2ByColumn(**_only(given, ScdType2ByColumn))
        case "CUSTOM":
            _require(name, given, "materialization", "materialization 'name'")
            properties = given.pop("materialization_properties", {})
            return Custom(**_only(given, Custom), properties=properties)
        case "SEED":
            if "path" not in given:
                raise ModelError("kind SEED needs `path`", hint="write kind SEED (path 'file.csv')")
            return SeedFile(path=given["path"], csv_settings=given.get("csv_settings", CsvSettings()))
        case "EMBEDDED":
            return Embedded()
        case _:
            return External()


def _named(value: Value) -> tuple[str, dict[str, Value]]:
    match value:
        case Word(content=name) | String(content=name):
            return name.upper(), {}
        case Call(name=name):
            return name.upper(), pairs(_with_whole_clauses(value))
        case Items(items=members) if any(isinstance(member, Pair) and member.key == "name" for member in members):
            settings = pairs(value)  # from YAML: {name: …, time_column: …}
            name = text(Given(key="kind.name", value=settings.pop("name"), dialect=""))
            return name.upper(), settings
    raise ModelError(
        f"`kind` must be a kind's name, not `{value.text}`", hint="write kind NAME or kind NAME (key value, …)"
    )


def _with_whole_clauses(kind: Call) -> Call:
    """The kind with `when_matched WHEN … SET a = 1, b = 2` as one setting: without brackets its clauses go on over
    commas, up to the next parameter of the kind.
    """
    known = _PARAMETERS.get(kind.name.upper(), {})
    members: list[Value] = []
    for member in kind.arguments:
        match member:
            case Pair(key=key) if key in known:
                pass
            case Call(name=name) if name.lower() in known:
                pass
            case _ if members and isinstance(last := members[-1], Pair) and _is_open(last):
                joint = " " if _CLAUSE.match(member.text) else ", "
                members[-1] = replace(
                    last,
                    text=f"{last.text}{joint}{member.text}",
                    value=Raw(text=f"{last.value.text}{joint}{member.text}"),
                )
                continue
        members.append(member)
    return replace(kind, arguments=tuple(members))


def _is_open(setting: Pair) -> bool:
    return setting.key == "when_matched" and isinstance(setting.value, Raw)


_CLAUSE = re.compile(r"when\s", re.IGNORECASE)


def _decoded(kind: str, settings: Mapping[str, Value], dialect: str) -> dict[str, Any]:
    known = _PARAMETERS[kind]
    decoded = {}
    for key, value in settings.items():
        if is_null(value):
            continue
        if key in _REFUSED_PARAMETERS and key not in known:
            raise UnsupportedError(f"`{key}` is not supported yet", hint=_REFUSED_PARAMETERS[key])
        if key not in known:
            raise ModelError(f"kind {kind} has no parameter `{key}`", hint=_meant(key, known))
        if key not in _AT_EACH_BATCH and (found := _VARIABLE.search(value.text)) and not isinstance(value, String):
            raise ModelError(
                f"`{key}` cannot depend on {found[0]}, which differs from batch to batch",
                hint="only when_matched and merge_filter are asked at each batch",
            )
        decoded[key] = known[key](Given(key=key, value=value, dialect=dialect))
    return decoded


def _meant(key: str, known: Mapping[str, Decoder]) -> str:
    """What whoever wrote an unknown parameter should do."""
    from isomesh_dagster.model.properties import MODEL_PROPERTIES

    if key in MODEL_PROPERTIES:
        return f"`{key}` stands beside `kind (…)`, not in it"
    return nearest(key, known) or (f"it takes {', '.join(known)}" if known else "it takes none")


def parse_changes(value: Value, dialect: str) -> dict[str, Any]:
    """What the kind says of changes of its model, for `Model`: `forward_only`, `on_destructive_change` and
    `on_additive_change`, those that are there. Raises what `parse_kind` raises.
    """
    name, settings = _named(value)
    given = _decoded(name, {key: settings[key] for key in _OF_CHANGES & settings.keys()}, dialect)
    return {key: given[key] for key in _OF_CHANGES & given.keys()}


def _require(kind: str, given: Mapping[str, Any], parameter: str, example: str) -> None:
    if parameter not in given:
        raise ModelError(f"kind {kind} needs `{parameter}`", hint=f"write kind {kind} ({example})")


def _only(given: Mapping[str, Any], kind: type) -> dict[str, Any]:
    """The parameters that are fields of the kind; the others say nothing about rows."""
    names = {field.name for field in fields(kind)}
    return {key: value for key, value in given.items() if key in names}


def _time_range(given: Mapping[str, Any], default_format: str) -> IncrementalByTimeRange:
    _require("INCREMENTAL_BY_TIME_RANGE", given, "time_column", "time_column ds")
    column, time_format = given["time_column"]
    others = {key: value for key, value in given.items() if key not in ("time_column", "time_format")}
    return IncrementalByTimeRange(
        time_column=column, time_format=time_format or default_format, **_only(others, IncrementalByTimeRange)
    )


def kinds_described() -> tuple[tuple[str, tuple[str, ...], str | None], ...]:
    """Every kind by name with its parameters; for one that is refused, what to do instead."""
    supported = ((name, tuple(parameters), None) for name, parameters in _PARAMETERS.items())
    return (*supported, *((name, (), instead) for name, instead in _REFUSED_KINDS.items()))


def parameters_refused() -> Mapping[str, str]:
    """Parameters that no kind has here, and what to do instead."""
    return _REFUSED_PARAMETERS
