"""The audits and signals that a model uses: found, and refused at load where they could not run later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.audits import AuditDefinition, AuditUse, resolve
from isomesh_dagster.model.context import ParseContext
from isomesh_dagster.model.kinds import Embedded, External, ModelKind, kind_name
from isomesh_dagster.model.mentions import audit_reads, may_read
from isomesh_dagster.model.model import AuditCall, Model, SignalCall
from isomesh_dagster.model.properties import Header
from isomesh_dagster.model.render import LOADING, RenderContext, is_template, render_audit_at_load, render_signal
from isomesh_dagster.model.signals import resolve as resolve_signals

_AUDITED = replace(LOADING, this_model="audited")


class Uses:
    """What one entry of a definition may use: the project's audits, and those `inline` in its own file. `loading` gives
    a moment what is known while files are read.
    """

    def __init__(
        self,
        context: ParseContext,
        inline: Mapping[str, AuditDefinition],
        loading: Callable[[RenderContext], RenderContext],
    ) -> None:
        self._context = context
        self._known = {**context.audits, **inline}
        self._loading = loading

    def audits(self, kind: ModelKind, header: Header, dialect: str) -> tuple[AuditCall, ...]:
        """The audits as they will be called. Raises ModelError for an unknown one, and where there can be none."""
        uses: tuple[AuditUse, ...] = header.get("audits", ())
        if isinstance(kind, Embedded | External) and "audits" not in header.lines:
            return ()  # defaults are not for it
        if isinstance(kind, Embedded) and uses:
            raise ModelError(
                "a model of kind EMBEDDED cannot have audits: it has no table of its own",
                line=header.lines["audits"],
                hint="put them on a model that reads it",
            )
        try:
            return resolve(uses, self._known, dialect=dialect)
        except ModelError as error:
            raise error.located(line=header.lines.get("audits")) from None

    def signals(self, kind: ModelKind, header: Header) -> tuple[SignalCall, ...]:
        """The signals as they will be asked. Raises ModelError as `audits`."""
        uses: tuple[AuditUse, ...] = header.get("signals", ())
        line = header.lines.get("signals")
        if isinstance(kind, Embedded | External) and uses:
            if line is None:
                return ()
            raise ModelError(
                f"a model of kind {kind_name(kind)} cannot have signals: it is never built",
                line=line,
                hint="put them on a model that reads it",
            )
        try:
            return resolve_signals(uses, self._context.macros)
        except ModelError as error:
            raise error.located(line=line) from None

    def check_signals(self, model: Model, header: Header) -> set[str]:
        """Refuse now arguments of signals that could not be rendered later; what the others read."""
        reads: set[str] = set()
        try:
            for call in model.signals:
                render_signal(call, model, self._loading(LOADING), reads)
        except ModelError as error:
            raise error.located(line=header.lines.get("signals")) from None
        return reads

    def check_audits(self, model: Model, header: Header) -> tuple[set[str], set[str]]:
        """Refuse now what no audit could be rendered with later; the variables that the others read, and the tables.
        Built-in audits with plain arguments can always be rendered, and read nothing.
        """
        reads: set[str] = set()
        tables: set[str] = set()
        for call in model.audits:
            if not may_read(call) and not any("@" in text for text in call.arguments.values()):
                continue
            try:
                text = render_audit_at_load(call, model, self._loading(_AUDITED), reads)
            except ModelError as error:
                raise error.located(line=header.lines.get("audits")) from None
            if may_read(call):
                language = call.dialect or model.dialect
                try:
                    tables |= audit_reads(text, language, self._context.default_catalog, "audited")
                except ModelError as error:
                    raise self._in_audit(error, call.name, model, header) from None
        return reads, tables

    def _in_audit(self, error: ModelError, name: str, model: Model, header: Header) -> ModelError:
        """An error in an audit's own query, placed in its file; one in a built-in audit, at the model's use of it."""
        audit = self._known.get(name) or self._known.get(name.removesuffix("_non_blocking"))
        place = error.line, error.column
        error.line, error.column = None, None
        error.message = f"audit {name}: {error.message}"
        if audit is None or audit.query_line is None:
            error.located(line=header.lines.get("audits"))
        elif is_template(audit.query):  # the place is counted in the expanded text
            error.located(path=audit.path, line=audit.query_line)
        else:
            error.located(path=audit.path, line=audit.query_line + (place[0] or 1) - 1, column=place[1])
        error.located(model=model.name)
        return error
