"""External tables: what somebody else writes, declared in `external_models.yaml` and `external_models/`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isomesh_dagster.dialect.query import normalize_name
from isomesh_dagster.errors import ModelError, UnsupportedError
from isomesh_dagster.model.context import ParseContext
from isomesh_dagster.model.decode import column_name, column_type, nearest, without_catalog
from isomesh_dagster.model.kinds import External
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Column

_EXTERNAL_KEYS = ("name", "columns", "description", "gateway")
_EXTERNAL_REFUSED = {
    "audits": "audit a model that reads it",
    "start": "remove it; what reads the table has a start",
    "cron": "remove it; somebody else writes the table",
}


def parse_external(data: object, path: str, context: ParseContext) -> tuple[Model, ...]:
    """The external tables of a YAML file, already read as plain data.

    Entries of other gateways are left out; one of the active gateway wins over one that names none. Raises ModelError
    with path.
    """
    try:
        return _external_models(data, path, context)
    except ModelError as error:
        raise error.located(path=path) from None


def _external_models(data: object, path: str, context: ParseContext) -> tuple[Model, ...]:
    if data is None:
        return ()
    if not isinstance(data, list) or not all(isinstance(entry, dict) for entry in data):
        raise ModelError(
            "the file must hold a list of tables", line=1, hint="write - name: schema.table, then columns:"
        )
    chosen: dict[str, tuple[bool, Model]] = {}
    for number, entry in enumerate(data, start=1):
        written = entry.get("name")
        if not isinstance(written, str):
            raise ModelError(f"entry {number} has no name", hint="write - name: schema.table")
        for key in entry:
            if key in _EXTERNAL_REFUSED:
                raise UnsupportedError(
                    f"{written}: `{key}` of an external table is not supported yet", hint=_EXTERNAL_REFUSED[key]
                )
            if key not in _EXTERNAL_KEYS:
                raise ModelError(
                    f"{written}: unknown key `{key}`",
                    hint=nearest(str(key), _EXTERNAL_KEYS) or f"known are {', '.join(_EXTERNAL_KEYS)}",
                )
        gateway = entry.get("gateway")
        if gateway is not None and str(gateway).lower() != context.gateway.lower():
            continue
        model = _external(written, entry, path, context)
        known = chosen.get(model.name)
        if known is not None and known[0] == (gateway is not None):
            raise ModelError(f"{written} is declared twice", hint="keep one; or give each a gateway")
        if known is None or gateway is not None:
            chosen[model.name] = (gateway is not None, model)
    return tuple(model for _, model in chosen.values())


def _external(written: str, entry: Mapping[str, Any], path: str, context: ParseContext) -> Model:
    dialect = context.dialect
    listed = entry.get("columns") or {}
    if not isinstance(listed, dict):
        raise ModelError(f"{written}: `columns` must be name: TYPE lines")
    columns = tuple(
        Column(
            name=column_name(str(name), dialect), type=column_type(str(its_type) if its_type is not None else "UNKNOWN")
        )
        for name, its_type in listed.items()
    )
    description = entry.get("description")
    name = without_catalog(normalize_name(written, dialect), context.default_catalog, dialect)
    return Model(
        name=name,
        path=path,
        dialect=dialect,
        kind=External(),
        columns=columns or None,
        description=str(description) if description is not None else None,
        variables={"gateway": context.gateway},
        project=context.project,
    )
