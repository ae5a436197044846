"""Standalone audits, given to the models they speak of.

A standalone audit names no model, it only reads some. It becomes an audit of the last of them in build order, which
the others are built before: it runs when that table is built, and when another one it reads is. It never blocks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from isomesh_dagster.errors import ModelError
from isomesh_dagster.graph.order import build_graph
from isomesh_dagster.model.audits import AuditDefinition
from isomesh_dagster.model.kinds import is_physical
from isomesh_dagster.model.model import AuditCall, Model
from isomesh_dagster.snapshot.fingerprint import OwnFingerprint, digest


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
