"""`AUDIT (…)` blocks as definitions, of a model's file or of `audits/`. Their macros stay: they are expanded at use."""

from __future__ import annotations

from dataclasses import replace

from isomesh_dagster.dialect.canonical import digest
from isomesh_dagster.dialect.header import Definition, parse_file
from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.audits import AuditDefinition, Standalone
from isomesh_dagster.model.context import ParseContext
from isomesh_dagster.model.decode import without_catalog
from isomesh_dagster.model.kinds import Full
from isomesh_dagster.model.mentioned import is_jinja
from isomesh_dagster.model.mentions import audit_reads
from isomesh_dagster.model.model import AuditCall, Json, Model
from isomesh_dagster.model.properties import AUDIT_PROPERTIES, STANDALONE_KEYS, read_properties
from isomesh_dagster.model.render import LOADING, render_audit_at_load


def parse_audits(text: str, path: str, context: ParseContext) -> tuple[AuditDefinition, ...]:
    """The shared and standalone audits in the text of a file of `audits/`. Raises ModelError with path and line."""
    try:
        definitions = parse_file(text, context.dialect, path)
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
            found.append(audit_definition(definition, path, context))
        return tuple(found)
    except ModelError as error:
        raise error.located(path=path) from None


def audit_definition(definition: Definition, path: str, context: ParseContext | None = None) -> AuditDefinition:
    """An AUDIT block as a definition. Its macros stay: they are expanded when it runs.

    Without a `context` it is one of a model's file, where it cannot be standalone.
    """
    block = definition.block
    assert block is not None
    header = read_properties(block, AUDIT_PROPERTIES, dialect=definition.dialect, expander=None)
    name = header.get("name")
    if name is None:
        raise ModelError("the audit has no name", line=block.line, hint="write AUDIT (name …)")
    for statement in definition.statements:
        if statement.kind not in ("sql", "jinja_query"):
            raise ModelError("an audit is one query", line=statement.line, hint="keep the SELECT, remove the rest")
    if len(definition.statements) != 1:
        raise ModelError(
            f"audit {name!r} must have one query, not {len(definition.statements)}",
            line=definition.statements[1].line if definition.statements else block.line,
            hint="write a SELECT that returns the bad rows",
        )
    is_alone = header.get("standalone", False)
    for key in STANDALONE_KEYS:
        if key in header.lines and not is_alone:
            raise ModelError(
                f"`{key}` belongs to standalone audits",
                line=header.lines[key],
                hint="remove it, or add `standalone`",
            )
    if is_alone and context is None:
        raise ModelError(
            "a standalone audit stands in no model's file",
            line=header.lines["standalone"],
            hint="move it to audits/, or remove `standalone` and name it in the model's `audits`",
        )
    audit = AuditDefinition(
        name=name,
        query=definition.statements[0].text,
        defaults={key.lower(): sql if sql is not None else "NULL" for key, sql in header.get("defaults", {}).items()},
        blocking=header.get("blocking", True),
        skip=header.get("skip", False),
        dialect=definition.dialect,
        path=path,
        line=block.line,
        query_line=definition.statements[0].line,
    )
    if not is_alone or context is None:
        return audit
    try:
        return replace(audit, standalone=_standalone(audit, header.get("depends_on", ()), context))
    except ModelError as error:
        error.line = definition.statements[0].line + (error.line or 1) - 1
        raise error.located(path=path) from None


def _standalone(audit: AuditDefinition, depends_on: tuple[str, ...], context: ParseContext) -> Standalone:
    """What a standalone audit reads, told by its query as rendered at load."""
    call = AuditCall(name=audit.name, query=audit.query, arguments=audit.defaults, dialect=audit.dialect)
    variables: dict[str, Json] = {**context.variables, "gateway": context.gateway}
    nobody = Model(name=audit.name, path=audit.path or "", dialect=audit.dialect, kind=Full(), variables=variables)
    read: set[str] = set()
    text = render_audit_at_load(call, nobody, LOADING, read)
    if "this_model" in read:
        raise ModelError("a standalone audit has no @this_model", hint="write the name of the table it reads")
    tables = {*audit_reads(text, audit.dialect, context.default_catalog, ""), *depends_on}
    return Standalone(
        reads=tuple(sorted(without_catalog(name, context.default_catalog, audit.dialect) for name in tables)),
        variables={name: variables[name] for name in sorted(read & variables.keys())},
        digest=audit.query if is_jinja(audit.query) else digest(audit.query, audit.dialect),
    )
