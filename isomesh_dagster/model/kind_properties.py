"""`kind …` of a header as a `ModelKind`: every kind of the model format by name, every parameter by kind.

A kind or a parameter is supported, refused with what to do instead, or unknown with the nearest name; none is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from isomesh_dagster.dialect.header import Call, Items, Pair, String, Value, Word, pairs
from isomesh_dagster.errors import ModelError, UnsupportedError
from isomesh_dagster.model.decode import (
    Decoder,
    Given,
    boolean,
    choice,
    column_name,
    count,
    is_null,
    nearest,
    text,
    texts,
)
from isomesh_dagster.model.kinds import (
    CsvSettings,
    Embedded,
    External,
    Full,
    IncrementalByTimeRange,
    View,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedFile:
    """What the header says of a seed, before its file was read."""

    path: str
    csv_settings: CsvSettings


HeaderKind = View | Full | IncrementalByTimeRange | SeedFile | Embedded | External

_CHANGE = choice("ALLOW", "WARN", "ERROR", "IGNORE")

_CSV: Mapping[str, Decoder] = {
    "delimiter": text,
    "quotechar": text,
    "doublequote": boolean,
    "escapechar": text,
    "skipinitialspace": boolean,
    "lineterminator": text,
    "encoding": text,
    "na_values": texts,
    "keep_default_na": boolean,
}
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
            written = text(Given(key="time_column's format", value=time_format, dialect=given.dialect))
            if "%" not in written:
                raise ModelError(
                    f"time_column's format {written!r} is no strftime format", hint="write it like '%Y-%m-%d'"
                )
            return _column(column, given), written
        case Items(items=(column,)) | column:
            return _column(column, given), None


def _column(value: Value, given: Given) -> str:
    match value:
        case String(content=name) | Word(text=name):
            return column_name(name, given.dialect)
    raise ModelError(
        f"`time_column` must be a column, not `{value.text}`", hint="give the expression a name in the query"
    )


_TIME_RANGE: Mapping[str, Decoder] = {
    "time_column": _time_column,
    "batch_size": count(1),
    "batch_concurrency": count(1),
    "lookback": count(0),
    "disable_restatement": boolean,
    "partition_by_time_column": boolean,
    "forward_only": boolean,
    "on_destructive_change": _CHANGE,
    "on_additive_change": _CHANGE,
}

# `batch_size` of a seed is how many rows an insert has; which rows there are it cannot change
_PARAMETERS: Mapping[str, Mapping[str, Decoder]] = {
    "VIEW": {"materialized": boolean},
    "FULL": {},
    "INCREMENTAL_BY_TIME_RANGE": _TIME_RANGE,
    "SEED": {"path": text, "batch_size": count(1), "csv_settings": _csv_settings},
    "EMBEDDED": {},
    "EXTERNAL": {},
}

_BY_TIME_OR_FULL = "use FULL, or INCREMENTAL_BY_TIME_RANGE where rows have a time"
_HISTORY = "keep the history with an INCREMENTAL_BY_TIME_RANGE model of daily copies"
_REFUSED_KINDS: Mapping[str, str] = {
    "INCREMENTAL_BY_UNIQUE_KEY": _BY_TIME_OR_FULL,
    "INCREMENTAL_BY_PARTITION": _BY_TIME_OR_FULL,
    "INCREMENTAL_UNMANAGED": _BY_TIME_OR_FULL,
    "SCD_TYPE_2": _HISTORY,
    "SCD_TYPE_2_BY_TIME": _HISTORY,
    "SCD_TYPE_2_BY_COLUMN": _HISTORY,
    "MANAGED": "use VIEW or FULL",
    "CUSTOM": "use one of the other kinds",
    "DBT_CUSTOM": "dbt projects are not loaded",
}
_REFUSED_PARAMETERS: Mapping[str, str] = {
    "auto_restatement_cron": "restate by hand, or schedule a run that restates",
    "auto_restatement_intervals": "use lookback to build the last intervals again",
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
    match name:
        case "VIEW":
            if given.get("materialized"):
                raise UnsupportedError("materialized views are not supported yet", hint="use FULL")
            return View()
        case "FULL":
            return Full()
        case "INCREMENTAL_BY_TIME_RANGE":
            return _time_range(given, time_column_format)
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
            return name.upper(), pairs(value)
        case Items(items=members) if any(isinstance(member, Pair) and member.key == "name" for member in members):
            settings = pairs(value)  # from YAML: {name: …, time_column: …}
            name = text(Given(key="kind.name", value=settings.pop("name"), dialect=""))
            return name.upper(), settings
    raise ModelError(
        f"`kind` must be a kind's name, not `{value.text}`", hint="write kind NAME or kind NAME (key value, …)"
    )


def _decoded(kind: str, settings: Mapping[str, Value], dialect: str) -> dict[str, Any]:
    known = _PARAMETERS[kind]
    decoded = {}
    for key, value in settings.items():
        if is_null(value):
            continue
        if key in _REFUSED_PARAMETERS:
            raise UnsupportedError(f"`{key}` is not supported yet", hint=_REFUSED_PARAMETERS[key])
        if key not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise ModelError(f"kind {kind} has no parameter `{key}`", hint=nearest(key, known) or takes)
        decoded[key] = known[key](Given(key=key, value=value, dialect=dialect))
    if decoded.get("forward_only"):
        raise UnsupportedError(
            "`forward_only` is not supported yet",
            hint="remove it; a change that leaves rows as they are does not build the table again anyway",
        )
    return decoded


def _time_range(given: Mapping[str, Any], default_format: str) -> IncrementalByTimeRange:
    if "time_column" not in given:
        raise ModelError(
            "kind INCREMENTAL_BY_TIME_RANGE needs `time_column`",
            hint="write kind INCREMENTAL_BY_TIME_RANGE (time_column ds)",
        )
    column, time_format = given["time_column"]
    own = {"batch_size", "batch_concurrency", "lookback", "disable_restatement", "partition_by_time_column"}
    return IncrementalByTimeRange(
        time_column=column,
        time_format=time_format or default_format,
        **{key: value for key, value in given.items() if key in own},
    )
