"""Models as JSON and back: plain data, nothing that could execute. Used by the cache, the manifest and the state.

Fields at their default are left out, so that rows stay small and a new optional field needs no migration. Columns are
`[name, type]` or `[name, type, description]`, references their fields in order without defaults at the end: there are
many of them, and a warm start decodes them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from isomesh_dagster.model.kinds import KIND_NAMES, CsvSettings, ModelKind, Seed
from isomesh_dagster.model.model import AuditCall, Model, PythonFunction, SignalCall
from isomesh_dagster.relation import Column, KnownColumns, Reference


def model_to_json(model: Model) -> dict[str, Any]:
    """The model as JSON-ready data."""
    data = _encode_fields(model)
    data["kind"] = kind_to_json(model.kind)
    return data


def model_from_json(data: dict[str, Any]) -> Model:
    """The model that `model_to_json` encoded; equal to the original."""
    values = dict(data)
    values["kind"] = kind_from_json(values["kind"])
    for name in _TUPLES.intersection(values):
        values[name] = tuple(values[name])
    if "references" in values:
        values["references"] = tuple([_reference_from_json(item) for item in values["references"]])
    if "columns" in values:
        values["columns"] = columns_from_json(values["columns"])
    if "audits" in values:
        values["audits"] = tuple([AuditCall(**item) for item in values["audits"]])
    if "signals" in values:
        values["signals"] = tuple(
            [SignalCall(**{**item, "reads": tuple(item.get("reads", ()))}) for item in values["signals"]]
        )
    if "schemas" in values:
        values["schemas"] = {name: known_from_json(item) for name, item in values["schemas"].items()}
    if "grants" in values:
        values["grants"] = {privilege: tuple(grantees) for privilege, grantees in values["grants"].items()}
    if "python" in values:
        function = values["python"]
        values["python"] = PythonFunction(**{**function, "reads": tuple(function.get("reads", ()))})
    return Model(**values)


def columns_to_json(columns: Iterable[Column]) -> list[list[str]]:
    """Columns as lists."""
    return [_column_to_json(column) for column in columns]


def columns_from_json(data: list[list[str]]) -> tuple[Column, ...]:
    """The columns that `columns_to_json` encoded."""
    return tuple([Column(name=item[0], type=item[1], description=item[2] if len(item) > 2 else None) for item in data])


def known_to_json(known: KnownColumns) -> dict[str, Any]:
    """What is known of a relation's columns."""
    return _encode_fields(known)


def known_from_json(data: dict[str, Any]) -> KnownColumns:
    """The knowledge that `known_to_json` encoded."""
    return KnownColumns(**{**data, "columns": columns_from_json(data["columns"])})


def kind_to_json(kind: ModelKind) -> dict[str, Any]:
    """The kind as its name and its non-default parameters."""
    return {"name": KIND_NAMES[type(kind)], **_encode_fields(kind)}


def kind_from_json(data: dict[str, Any]) -> ModelKind:
    """The kind that `kind_to_json` encoded."""
    values = dict(data)
    kind = _KINDS[values.pop("name")]
    if kind is Seed and "csv_settings" in values:
        settings = dict(values["csv_settings"])
        match settings.get("na_values"):
            case Mapping() as by_column:
                settings["na_values"] = {name: tuple(texts) for name, texts in by_column.items()}
            case list() as texts:
                settings["na_values"] = tuple(texts)
        values["csv_settings"] = CsvSettings(**settings)
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    result: ModelKind = kind(**values)
    return result


def _defaults(value_type: type) -> tuple[tuple[str, Any], ...]:
    """Names of a dataclass's fields and their defaults; `MISSING` for a field that must be given."""
    return tuple(
        (field.name, field.default_factory() if field.default_factory is not MISSING else field.default)
        for field in fields(value_type)
    )


_KINDS = {name: kind for kind, name in KIND_NAMES.items()}
_ENCODED = (Model, AuditCall, SignalCall, PythonFunction, CsvSettings, KnownColumns, *KIND_NAMES)
_DEFAULTS = {value_type: _defaults(value_type) for value_type in _ENCODED}
_REFERENCE, _REFERENCE_DEFAULTS = zip(*_defaults(Reference), strict=True)
_TUPLES = frozenset({
    "depends_on",
    "audit_reads",
    "hidden",
    "pre_statements",
    "post_statements",
    "on_virtual_update",
    "tags",
    "grains",
    "references_keys",
    "partitioned_by",
    "clustered_by",
    "output",
    "ignored_rules",
})  # fmt: skip


def _encode_fields(value: Any) -> dict[str, Any]:
    encoded = {}
    for name, default in _DEFAULTS[type(value)]:
        item = getattr(value, name)
        if item is not default and item != default:
            encoded[name] = _encode(item)
    return encoded


def _encode(value: Any) -> Any:
    match value:
        case Column():
            return _column_to_json(value)
        case Reference():
            return _reference_to_json(value)
        case AuditCall() | SignalCall() | PythonFunction() | CsvSettings() | KnownColumns():
            return _encode_fields(value)
        case tuple():
            return [_encode(item) for item in value]
        case Mapping():
            return {key: _encode(item) if isinstance(item, KnownColumns) else item for key, item in value.items()}
    return value


def _column_to_json(column: Column) -> list[str]:
    if column.description is None:
        return [column.name, column.type]
    return [column.name, column.type, column.description]


def _reference_to_json(reference: Reference) -> list[Any]:
    items = [getattr(reference, name) for name in _REFERENCE]
    while items and items[-1] == _REFERENCE_DEFAULTS[len(items) - 1]:
        items.pop()
    return items


def _reference_from_json(items: list[Any]) -> Reference:
    if len(items) == 3:
        return Reference(start=items[0], end=items[1], name=items[2])
    return Reference(**dict(zip(_REFERENCE, items, strict=False)))  # fewer items: the rest are at their default
