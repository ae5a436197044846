"""External tables: what somebody else writes, declared in `external_models.yaml` and `external_models/`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isomesh_dagster.dialect.query import normalize_name
from isomesh_dagster.errors import ModelError, UnsupportedError
from isomesh_dagster.model.audits import AuditUse, resolve
from isomesh_dagster.model.context import ParseContext
from isomesh_dagster.model.decode import column_name, column_type, without_catalog
from isomesh_dagster.model.kinds import External
from isomesh_dagster.model.mentioned import audit_variables
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.names import nearest
from isomesh_dagster.relation import Column

_KEYS = ("name", "columns", "description", "gateway", "dialect", "audits")
# what the model format takes besides, and what changes nothing about a table that somebody else writes
_TOLD = frozenset(
    {"start", "end", "cron", "cron_tz", "interval_unit", "owner", "tags", "grain", "grains", "references", "stamp"}
)
_REFUSED = {"signals": "remove it; nothing waits for a table here"}


def parse_external(data: object, lines: Sequence[int], path: str, context: ParseContext) -> tuple[Model, ...]:
    """The external tables of a YAML file, already read as plain data of texts, lists and mappings.

    `lines` are those of the entries. Entries of other gateways are left out; one of the active gateway wins over one
    that names none. Raises ModelError or UnsupportedError with path and line.
    """
    if not data:
        return ()
    if not isinstance(data, list):
        raise ModelError(
            "the file must hold a list of tables", path=path, line=1, hint="write - name: schema.table, then columns:"
        )
    chosen: dict[str, tuple[bool, Model]] = {}
    for entry, line in zip(data, lines, strict=True):
        try:
            model = _model(entry, line, path, context)
        except ModelError as error:
            raise error.located(path=path, line=line) from None
        if model is None:
            continue
        is_own = bool(entry.get("gateway"))
        known = chosen.get(model.name)
        if known is not None and known[0] == is_own:
            raise ModelError(
                f"it is declared on line {known[1].line} too",
                path=path,
                line=line,
                model=model.name,
                hint="keep one; or give each the gateway it is of",
            )
        if known is None or is_own:
            chosen[model.name] = (is_own, model)
    return tuple(model for _, model in chosen.values())


def _model(entry: object, line: int, path: str, context: ParseContext) -> Model | None:
    """The table an entry declares; None when it is another gateway's."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        raise ModelError("the entry has no name", hint="write - name: schema.table")
    for key in entry:
        if key in _REFUSED:
            raise UnsupportedError(f"`{key}` of an external table is not supported yet", hint=_REFUSED[key])
        if key not in _KEYS and key not in _TOLD:
            raise ModelError(f"unknown key `{key}`", hint=nearest(str(key), _KEYS) or f"known are {', '.join(_KEYS)}")
    gateway = entry.get("gateway")
    if gateway and str(gateway).lower() != context.gateway.lower():
        return None
    dialect = str(entry.get("dialect") or context.dialect).lower()
    name = without_catalog(normalize_name(entry["name"], dialect), context.default_catalog, dialect)
    description = entry.get("description")
    audits = resolve(_audits(entry.get("audits")), context.audits, dialect=dialect)
    known = {**context.variables, "gateway": context.gateway}
    return Model(
        name=name,
        path=path,
        line=line,
        dialect=dialect,
        kind=External(),
        columns=_columns(entry.get("columns"), dialect) or None,
        audits=audits,
        description=str(description) if description else None,
        variables={key: known[key] for key in sorted(audit_variables(audits) & known.keys() | {"gateway"})},
        project=context.project,
    )


def _columns(listed: Any, dialect: str) -> tuple[Column, ...]:
    if not listed:
        return ()
    if not isinstance(listed, Mapping) or not all(isinstance(its_type, str) for its_type in listed.values()):
        raise ModelError("`columns` must be name: TYPE lines")
    return tuple(
        Column(name=column_name(name, dialect), type=column_type(its_type or "UNKNOWN"))
        for name, its_type in listed.items()
    )


def _audits(listed: Any) -> Iterator[AuditUse]:
    """The uses of audits: names, or mappings of a name and its arguments, which are SQL texts or lists of these."""
    if listed and not isinstance(listed, list):
        raise ModelError("`audits` must be a list", hint="write - name: not_null, then its arguments")
    for use in listed or ():
        written = {"name": use} if isinstance(use, str) else use
        if not isinstance(written, Mapping) or not isinstance(written.get("name"), str):
            raise ModelError("an audit has no name", hint="write - name: not_null, then its arguments")
        arguments = {str(key).lower(): _sql(value) for key, value in written.items() if key != "name"}
        yield AuditUse(name=written["name"], arguments=arguments)


def _sql(value: object) -> str:
    return f"({', '.join(_sql(item) for item in value)})" if isinstance(value, list) else str(value)
