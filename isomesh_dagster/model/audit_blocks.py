"""`AUDIT (…)` blocks as definitions, of a model's file or of `audits/`. Their macros stay: they are expanded at use."""

from __future__ import annotations

from isomesh_dagster.dialect.header import Definition, parse_file
from isomesh_dagster.errors import ModelError, UnsupportedError
from isomesh_dagster.model.audits import AuditDefinition
from isomesh_dagster.model.properties import AUDIT_PROPERTIES, read_properties


def parse_audits(text: str, path: str, default_dialect: str) -> tuple[AuditDefinition, ...]:
    """The shared audits in the text of a file of `audits/`. Raises ModelError with path and line."""
    try:
        definitions = parse_file(text, default_dialect, path)
        found = []
        for definition in definitions:
            if definition.block is None:
                if definition.statements:
                    raise ModelError("there is no AUDIT (…) block", line=1, hint="begin with AUDIT (name …);")
                continue
            if definition.block.keyword != "AUDIT":
                raise ModelError(
                    f"{definition.block.keyword} (…) does not belong here",
                    line=definition.block.line,
                    hint="files of audits/ hold AUDIT (…) only; models go to models/",
                )
            found.append(audit_definition(definition, path))
        return tuple(found)
    except ModelError as error:
        raise error.located(path=path) from None


def audit_definition(definition: Definition, path: str) -> AuditDefinition:
    """An AUDIT block as a definition. Its macros stay: they are expanded when it runs."""
    block = definition.block
    assert block is not None
    header = read_properties(block, AUDIT_PROPERTIES, dialect=definition.dialect, expander=None)
    name = header.get("name")
    if name is None:
        raise ModelError("the audit has no name", line=block.line, hint="write AUDIT (name …)")
    for statement in definition.statements:
        if statement.kind != "sql":
            raise UnsupportedError(
                "an audit is one query", line=statement.line, hint="keep the SELECT, remove the rest"
            )
    if len(definition.statements) != 1:
        raise ModelError(
            f"audit {name!r} must have one query, not {len(definition.statements)}",
            line=definition.statements[1].line if definition.statements else block.line,
            hint="write a SELECT that returns the bad rows",
        )
    return AuditDefinition(
        name=name,
        query=definition.statements[0].text,
        defaults={key.lower(): sql if sql is not None else "NULL" for key, sql in header.get("defaults", {}).items()},
        blocking=header.get("blocking", True),
        skip=header.get("skip", False),
        dialect=definition.dialect,
        path=path,
        line=block.line,
    )
