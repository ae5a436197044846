"""Models as JSON and back: plain data, nothing that could execute. Used by the cache, the manifest and the state.

Fields at their default are left out, so that rows stay small and a new optional field needs no migration.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from isomesh_dagster.model.kinds import KIND_NAMES, CsvSettings, ModelKind, Seed
from isomesh_dagster.model.model import AuditCall, Model
from isomesh_dagster.relation import Column, Reference

_KINDS = {name: kind for kind, name in KIND_NAMES.items()}
_MODEL_FIELDS = fields(Model)


def model_to_json(model: Model) -> dict[str, Any]:
    """The model as JSON-ready data."""
    data = _encode_fields(model, _MODEL_FIELDS)
    data["kind"] = kind_to_json(model.kind)
    return data


def model_from_json(data: dict[str, Any]) -> Model:
    """The model that `model_to_json` encoded; equal to the original."""
    values = dict(data)
    values["kind"] = kind_from_json(data["kind"])
    if "references" in data:
        values["references"] = tuple(Reference(**item) for item in data["references"])
    if "columns" in data:
        values["columns"] = tuple(Column(**item) for item in data["columns"])
    if "audits" in data:
        values["audits"] = tuple(AuditCall(**item) for item in data["audits"])
    for name in _TUPLES:
        if name in values:
            values[name] = tuple(values[name])
    return Model(**values)


def kind_to_json(kind: ModelKind) -> dict[str, Any]:
    """The kind as its name and its non-default parameters."""
    return {"name": KIND_NAMES[type(kind)], **_encode_fields(kind, fields(kind))}


def kind_from_json(data: dict[str, Any]) -> ModelKind:
    """The kind that `kind_to_json` encoded."""
    values = {key: value for key, value in data.items() if key != "name"}
    kind = _KINDS[data["name"]]
    if kind is Seed and "csv_settings" in values:
        settings = dict(values["csv_settings"])
        if settings.get("na_values") is not None:
            settings["na_values"] = tuple(settings["na_values"])
        values["csv_settings"] = CsvSettings(**settings)
    result: ModelKind = kind(**values)
    return result


_TUPLES = (
    "depends_on",
    "pre_statements",
    "post_statements",
    "on_virtual_update",
    "tags",
    "grains",
    "references_keys",
    "partitioned_by",
    "clustered_by",
)


def _default(field: Field[Any]) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _encode_fields(value: Any, its_fields: tuple[Field[Any], ...]) -> dict[str, Any]:
    encoded = {}
    for field in its_fields:
        item = getattr(value, field.name)
        if item != _default(field):
            encoded[field.name] = _encode(item)
    return encoded


def _encode(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_encode(item) for item in value]
    if is_dataclass(value):
        return _encode_fields(value, fields(value))
    if isinstance(value, dict):
        return dict(value)
    return value
