"""Audits of what is not built here, given to models that are: standalone ones, and those of external tables.

A standalone audit names no model, it only reads some. It becomes an audit of the last of them in build order, which
the others are built before: it runs when that table is built, and when another one it reads is. It never blocks.

The audits of an external table become audits of each model that reads it: a blocking one that finds rows takes back
what was just made of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from isomesh_dagster.errors import ModelError
from isomesh_dagster.graph.order import build_graph
from isomesh_dagster.model.audits import AuditDefinition
from isomesh_dagster.model.kinds import Embedded, External, is_physical
from isomesh_dagster.model.model import AuditCall, Model
from isomesh_dagster.snapshot.fingerprint import OwnFingerprint, digest


def place_external(models: dict[str, Model], own: dict[str, OwnFingerprint]) -> None:
    """Give the audits of external tables to the models that read them, and to their fingerprints, in place."""
    audited = {name: model for name, model in models.items() if model.audits and isinstance(model.kind, External)}
    if not audited:
        return
    from isomesh_dagster.dialect.rewrite import quote_name

    told_by = {name: model.variables for name, model in audited.items()}
    for name, model in list(models.items()):
        tables = _read_by(model, models) if is_physical(model.kind) else []
        calls = [
            replace(
                call,
                name=f"{call.name}_of_{re.sub(r'[^A-Za-z0-9_]', '_', table)}",
                arguments={
                    **call.arguments,
                    "this_model": ".".join(quote_name(part, call.dialect) for part in table.split(".")),
                },
            )
            for table in tables
            if table in audited
            for call in audited[table].audits
        ]
        if calls:
            variables = {key: value for table in tables for key, value in told_by.get(table, {}).items()}
            models[name] = replace(model, audits=(*model.audits, *calls), variables={**variables, **model.variables})
            told = [[call.name, call.query, sorted(call.arguments.items()), call.blocking] for call in calls]
            own[name] = replace(own[name], metadata=digest([own[name].metadata, told]))
    for name, model in audited.items():
        models[name] = replace(model, audits=())


def _read_by(model: Model, models: dict[str, Model]) -> list[str]:
    """What a model reads, itself or in what it embeds, each once."""
    found: dict[str, None] = {}
    for name in model.depends_on:
        embedded = name in models and isinstance(models[name].kind, Embedded)
        found.update(dict.fromkeys(_read_by(models[name], models) if embedded else [name]))
    return [*found]


def place_standalone(
    audits: Iterable[AuditDefinition], models: dict[str, Model], own: dict[str, OwnFingerprint]
) -> None:
    """Add each standalone audit to its model and to that model's fingerprint, in place.

    Raises ModelError for an audit that reads no model with a table, GraphError when the models form a cycle.
    """
    wanted = [audit for audit in audits if audit.standalone is not None and not audit.skip]
    if not wanted:
        return
    position = {name: index for index, name in enumerate(build_graph(models).order)}
    for audit in wanted:
        alone = audit.standalone
        assert alone is not None
        tables = [name for name in alone.reads if name in models and is_physical(models[name].kind)]
        if not tables:
            raise ModelError(
                f"standalone audit {audit.name!r} reads no model that has a table",
                path=audit.path,
                line=audit.line,
                hint="let it read a model: it runs when that is built",
            )
        name = max(tables, key=position.__getitem__)
        model = models[name]
        call = AuditCall(
            name=audit.name, query=audit.query, arguments=audit.defaults, blocking=False, dialect=audit.dialect
        )
        models[name] = replace(
            model,
            audits=(*model.audits, call),
            audit_reads=tuple(sorted({*model.audit_reads, *alone.reads} - {*model.depends_on, name})),
            variables={**alone.variables, **model.variables},
        )
        part = own[name]
        own[name] = OwnFingerprint(
            data=part.data, metadata=digest([part.metadata, audit.name, alone.digest, sorted(audit.defaults.items())])
        )
