"""A model's file as a value.

In: the text of one file and a `ParseContext` (one gateway's settings as far as they matter). Out: values, and what was
read to make them, so that a cache can tell when they are out of date. Pure: a seed's bytes come through the context.
Every error tells the file, the line and the model.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from isomesh_dagster.dialect.header import Block, Definition, Property, Statement, parse_file
from isomesh_dagster.dialect.query import QueryFacts, analyse, normalize_name
from isomesh_dagster.errors import ConfigError, IsomeshError, MacroError, ModelError, UnsupportedError
from isomesh_dagster.macros.expander import Expander
from isomesh_dagster.macros.relations import AWAITED_COLUMNS
from isomesh_dagster.macros.values import Fragment
from isomesh_dagster.macros.variables import RUNTIME_VARIABLES
from isomesh_dagster.model.audit_blocks import audit_definition
from isomesh_dagster.model.audits import AuditDefinition, AuditUse, resolve
from isomesh_dagster.model.blueprints import Blueprint, read_blueprints
from isomesh_dagster.model.context import NOTHING_READ, ParseContext, Reads
from isomesh_dagster.model.cron import infer_interval_unit, validate_unit
from isomesh_dagster.model.decode import Given, count, nearest, without_catalog
from isomesh_dagster.model.kind_checks import check_kind, check_result, check_self_reference
from isomesh_dagster.model.kind_properties import HeaderKind, SeedFile, parse_kind
from isomesh_dagster.model.kinds import (
    Custom,
    Embedded,
    External,
    Full,
    IncrementalByTimeRange,
    ModelKind,
    Seed,
    View,
    keeps_history,
    kind_name,
    managed_columns,
)
from isomesh_dagster.model.mentions import audit_reads, may_read, statement_reads
from isomesh_dagster.model.model import AuditCall, Json, Model, PythonFunction
from isomesh_dagster.model.properties import MODEL_PROPERTIES, Header, default_value, read_properties
from isomesh_dagster.model.python_code import (
    NO_CODE_READS,
    CodeReads,
    ModelCode,
    check_python_kind,
    check_python_model,
    code_reads,
)
from isomesh_dagster.model.render import RenderContext, is_template, loading_context, render, render_audit
from isomesh_dagster.model.seeds import seed_columns, seed_hash
from isomesh_dagster.model.statements import Statements, sort_statements
from isomesh_dagster.relation import Column, KnownColumns

_AUDITING = RenderContext(start=0, end=86_400_000, execution_time=0, stage="auditing", this_model="audited")

_READS = tuple(field.name for field in fields(Reads))
_MENTION = re.compile(r"@(?:blueprint_)?var\s*\(\s*'(\w+)'|@\{?\s*([a-z_]\w*)\b(?!\s*\()", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """What a file of `models/` says: one model, one for each entry of its `blueprints`, or none that is `enabled`.

    When its macros ask for columns that the context does not have (yet), there are no models: `awaiting` are the
    relations, and `names` are what the models will be called. Parse it again when the columns are known.
    """

    models: tuple[Model, ...]
    reads: Reads
    names: tuple[str, ...] = ()
    awaiting: tuple[str, ...] = ()


def parse_model(text: str, path: str, context: ParseContext) -> ParsedFile:
    """The models in the text of a file at `path` (relative to the root, posix).

    Raises ModelError (or its kinds) with path and line; ConfigError when one of `model_defaults` is wrong.
    """
    try:
        return _ModelFile(text, path, context).parse()
    except ModelError as error:
        raise error.located(path=path) from None


def parse_definition(
    definition: Definition,
    text: str,
    path: str,
    context: ParseContext,
    statements: Statements,
    code: ModelCode | None = None,
) -> ParsedFile:
    """The models of one definition that is read already, its statements too; `code` makes the rows where no query
    does.
    """
    return _ModelFile(text, path, context, statements, code).models_of(definition, {})


# --- one model file


class _ModelFile:
    """A file: its blocks, and the models its entries make."""

    def __init__(
        self,
        text: str,
        path: str,
        context: ParseContext,
        statements: Statements | None = None,
        code: ModelCode | None = None,
    ) -> None:
        self.text = text
        self.path = path
        self.context = context
        self.statements = statements
        self.code = code

    def parse(self) -> ParsedFile:
        return self.models_of(*self._definitions())

    def models_of(self, definition: Definition, inline: Mapping[str, AuditDefinition]) -> ParsedFile:
        block = definition.block
        if block is None and self.context.infer_names and definition.statements:
            block = Block(keyword="MODEL", properties=(), line=1)
            definition = replace(definition, block=block)
        if block is None:
            raise ModelError("there is no MODEL (…) block", line=1, hint="begin the file with MODEL (name …);")
        given = block.get("blueprints")
        first = _Entry(self, definition, inline, {})
        entries: tuple[Blueprint, ...] = ()
        if given is not None:
            entries = read_blueprints(given, definition.dialect, first.expander)
            others = tuple(item for item in block.properties if item is not given)
            definition = replace(definition, block=replace(block, properties=others))
        parsed = [_Entry(self, definition, inline, entry).parse() for entry in entries or ({},)]
        self._check_names([one.name for one in parsed if one.name is not None], given)
        reads = [*(one.reads for one in parsed), Reads(variables=_sorted(first.expander.used_variables))]
        awaiting = set().union(first.awaiting, *(one.awaiting for one in parsed))
        return ParsedFile(
            models=() if awaiting else tuple(one.model for one in parsed if one.model is not None),
            reads=Reads(**{key: _sorted({name for one in reads for name in getattr(one, key)}) for key in _READS}),
            names=tuple(one.name for one in parsed if one.name is not None),
            awaiting=_sorted(awaiting),
        )

    def _check_names(self, names: list[str], given: Property | None) -> None:
        """Every entry of `blueprints` makes a model of its own name."""
        again = next((name for k, name in enumerate(names) if name in names[:k]), None)
        if again is not None:
            raise ModelError(
                f"two entries of `blueprints` make the model {again}",
                line=given.line if given is not None else None,
                hint="use a variable of the entries in the name, as in `name sales.@{customer}`",
            )

    def _definitions(self) -> tuple[Definition, dict[str, AuditDefinition]]:
        first, *others = parse_file(self.text, self.context.dialect, self.path)
        if first.block is not None and first.block.keyword != "MODEL":
            raise _misplaced(first.block.keyword, first.block.line)
        inline: dict[str, AuditDefinition] = {}
        for other in others:
            assert other.block is not None  # only a file without any block has a definition without one
            if other.block.keyword == "MODEL":
                raise ModelError(
                    "a file holds one model, this is the second",
                    line=other.block.line,
                    hint="give it a file of its own",
                )
            if other.block.keyword != "AUDIT":
                raise _misplaced(other.block.keyword, other.block.line)
            audit = audit_definition(other, self.path)
            if audit.name.lower() in inline:
                raise ModelError(f"audit {audit.name!r} is defined twice", line=other.block.line)
            inline[audit.name.lower()] = audit
        return first, inline


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parsed:
    """What one entry makes; `model` is None when it is not enabled, or awaits columns."""

    model: Model | None = None
    name: str | None = None
    reads: Reads = NOTHING_READ
    awaiting: frozenset[str] = frozenset()


class _Entry:
    """The steps from one entry of `blueprints` (or none) to a model; each says what it refuses."""

    def __init__(
        self,
        file: _ModelFile,
        definition: Definition,
        inline: Mapping[str, AuditDefinition],
        blueprint: Blueprint,
    ) -> None:
        assert definition.block is not None
        self.path = file.path
        self.context = file.context
        self.statements = file.statements
        self.code = file.code
        self.definition = definition
        self.block = definition.block
        self.inline = inline
        self.blueprint = blueprint
        self.variables: dict[str, Json] = {**file.context.variables, "gateway": file.context.gateway}
        if file.context.default_catalog is not None:
            self.variables["default_catalog"] = file.context.default_catalog
        self.schemas: dict[str, KnownColumns] = {}
        self.audit_reads: set[str] = set()
        self.awaiting: set[str] = set()
        self.expander = Expander(
            definition.dialect,
            {**self.variables, **{name: Fragment(text) for name, text in blueprint.items()}},
            path=file.path,
            line=definition.block.line,
            blueprint=blueprint,
            columns=self._columns_of,
            macros=file.context.macros,
        )

    def parse(self) -> _Parsed:
        name: str | None = None
        try:
            header = read_properties(
                self.block,
                MODEL_PROPERTIES,
                dialect=self.definition.dialect,
                expander=self.expander,
                defaults=self.context.model_defaults,
            )
            if header.get("enabled") is False:
                return _Parsed(reads=Reads(variables=_sorted(self.expander.used_variables)))
            name = self._name(header, self.definition.dialect, self.block.line)
            model, reads = self._model(name, header)
        except ModelError as error:
            if self.awaiting:  # what is wrong may come from columns that are not known yet
                return _Parsed(name=name, awaiting=frozenset(self.awaiting))
            if name is None:
                raise
            raise error.located(path=self.path, line=self.block.line, model=name) from None
        return _Parsed(model=model, name=name, reads=reads, awaiting=frozenset(self.awaiting))

    def _loading(self, context: RenderContext) -> RenderContext:
        return replace(context, columns=self._columns_of, macros=self.context.macros, is_loading=True)

    def _columns_of(self, name: str) -> KnownColumns:
        """The columns of a relation; some that stand for them while they are awaited."""
        name = without_catalog(name, self.context.default_catalog, self.definition.dialect)
        if name not in self.context.columns:
            self.awaiting.add(name)
            return AWAITED_COLUMNS
        known = self.context.columns[name]
        if known is None:
            raise MacroError(
                f"the columns of {name} are not known",
                hint="give it `columns (…)`, declare the table in external_models.yaml, or list the columns here",
            )
        self.schemas[name] = known
        return known

    def _name(self, header: Header, dialect: str, line: int) -> str:
        written = header.get("name") or (name_of_path(self.path) if self.context.infer_names else None)
        if written is None:
            raise ModelError("the model has no name", line=line, hint="write name schema.table")
        try:
            name = without_catalog(normalize_name(written, dialect), self.context.default_catalog, dialect)
        except ModelError as error:
            raise error.located(line=header.lines.get("name", line)) from None
        for part in name.split("."):
            if not part.isprintable() or part != part.strip():
                raise ModelError(
                    f"name {name!a} holds characters that cannot be seen",
                    line=header.lines.get("name", line),
                    hint="write it with plain letters, digits and _",
                )
        return name

    def _model(self, name: str, header: Header) -> tuple[Model, Reads]:
        definition, inline = self.definition, self.inline
        dialect = definition.dialect
        kind, seeds = self._kind(header, dialect)
        statements = self.statements or sort_statements(definition, kind)
        query = statements.query
        # what is never built runs nothing, so defaults are not for it
        defaults = header.values if not isinstance(kind, Embedded | External) else {}
        uses: tuple[AuditUse, ...] = header.get("audits", ())
        audits = self._audits(kind, uses, header, inline, dialect)
        gateway = header.get("gateway")
        if gateway is not None and gateway.lower() != self.context.gateway.lower():
            raise UnsupportedError(
                f"the model belongs to gateway {gateway!r}; models of other gateways are not supported yet",
                line=header.lines.get("gateway"),
                hint=f"remove `gateway`: every model is built on the chosen one, here {self.context.gateway!r}",
            )
        cron = header.get("cron", "@daily")
        try:
            unit = header.get("interval_unit")
            partials = header.get("allow_partials", False)
            if "allow_partials" not in header.lines and keeps_history(kind):
                partials = False  # a default is not for kinds that cannot have it
            if unit is not None:
                unit = validate_unit(unit, cron=cron, allow_partials=partials)
            else:
                unit = infer_interval_unit(cron)
        except ModelError as error:
            raise error.located(line=header.lines.get("interval_unit", header.lines.get("cron"))) from None
        model = Model(
            name=name,
            path=self.path,
            line=self.block.line,
            dialect=dialect,
            kind=kind,
            query=query.text if query is not None else "",
            columns=_columns(header, kind),
            column_descriptions=header.get("column_descriptions", {}),
            pre_statements=(*defaults.get("pre_statements", ()), *(statement.text for statement in statements.pre)),
            post_statements=(*defaults.get("post_statements", ()), *(statement.text for statement in statements.post)),
            on_virtual_update=(
                *defaults.get("on_virtual_update", ()),
                *(statement.text for statement in statements.virtual_update),
            ),
            audits=audits,
            variables=self.variables,
            blueprint=self.blueprint,
            description=header.get("description", definition.comment),
            owner=header.get("owner"),
            tags=header.get("tags", ()),
            stamp=header.get("stamp"),
            cron=cron,
            cron_tz=header.get("cron_tz", "UTC"),
            interval_unit=unit,
            start=header.get("start"),
            end=header.get("end"),
            grains=header.get("grains", ()),
            references_keys=header.get("references", ()),
            partitioned_by=header.get("partitioned_by", ()),
            clustered_by=header.get("clustered_by", ()),
            physical_properties=header.get("physical_properties", {}),
            virtual_properties=header.get("virtual_properties", {}),
            session_properties=header.get("session_properties", {}),
            table_format=header.get("table_format"),
            storage_format=header.get("storage_format"),
            allow_partials=partials,
            optimize_query=header.get("optimize_query"),
            project=header.get("project", self.context.project),
            ignored_rules=tuple(rule.lower() for rule in header.get("ignored_rules", ())),
        )
        _check_header(model, header)
        if self.code is not None:
            check_python_model(model)
        lines = {statement.text: statement.line for statement in definition.statements}
        rendered = render(model, self._loading(loading_context(kind)), lines=lines)
        facts = self._facts(query, rendered.query, dialect)
        if facts is not None:
            _check_output(model, facts, header)
        asked = self._code_reads(model, header)
        audit_reads = self._check_audits(model, header)
        kept = {*rendered.kept, *audit_reads}
        macros = self.context.macros.digests
        used_macros = {*self.expander.used_facts, *rendered.used_facts, *audit_reads} & macros.keys()
        used = {*self.expander.used_variables, *rendered.used_variables, *_audit_variables(audits)}
        used |= asked.names
        if isinstance(kind, Custom):
            used_macros.add(f"materialization {kind.materialization.lower()}")
        depends_on = {*header.get("depends_on", ()), *(facts.depends_on if facts is not None else ()), *asked.tables}
        depends_on |= statement_reads((*rendered.pre, *rendered.post), dialect, self.context.default_catalog)
        model = replace(
            model,
            rendered=rendered.query,
            references=facts.references if facts is not None else (),
            is_dynamic=bool(model.query) and model.query in rendered.varying,
            output=facts.output if facts is not None else self._seed_output(kind, dialect),
            has_star=facts is not None and facts.has_star,
            column_comments=facts.comments if facts is not None else {},
            depends_on=_sorted(
                {without_catalog(parent, self.context.default_catalog, dialect) for parent in depends_on} - {name}
            ),
            audit_reads=_sorted(self.audit_reads - depends_on - {name}),
            variables={key: self.variables[key] for key in sorted(used & self.variables.keys() | {"gateway"})},
            blueprint={key: self.blueprint[key] for key in sorted(used & self.blueprint.keys())},
            macros={key: macros[key] for key in sorted(used_macros & kept)},
            hidden=_sorted(rendered.hidden),
            schemas={key: known for key, known in sorted(self.schemas.items()) if f"columns {key}" in kept},
            physical_schema=self.context.physical_schema(model.schema),
            python=None
            if self.code is None
            else PythonFunction(
                name=self.code.function,
                digest=self.code.digest,
                source=self.code.source,
                reads=_sorted(asked.variables),
            ),
        )
        reads = Reads(
            variables=_sorted(used - RUNTIME_VARIABLES - self.blueprint.keys()),
            audits=_sorted(use.name.lower() for use in uses if use.name.lower() not in inline),
            seeds=seeds,
            macros=_sorted(used_macros),
            columns=_sorted(self.schemas),
        )
        return model, reads

    def _kind(self, header: Header, dialect: str) -> tuple[ModelKind, tuple[str, ...]]:
        """The kind, and the files it needs."""
        line = header.lines.get("kind")
        value = header.get("kind")
        try:
            kind: HeaderKind = View() if self.code is None else Full()
            if value is not None:
                kind = parse_kind(value, dialect, time_column_format=self.context.time_column_format)
            if self.code is not None:
                check_python_kind(kind)
            if isinstance(kind, SeedFile):
                path = self._seed_path(kind.path)
                seed = Seed(path=path, content_hash=seed_hash(self._seed_bytes(path)), csv_settings=kind.csv_settings)
                return seed, (path,)
            if isinstance(kind, Custom):
                return self._with_code(kind), ()
            if isinstance(kind, IncrementalByTimeRange) and kind.batch_concurrency is None:
                kind = replace(kind, batch_concurrency=self._default_count("batch_concurrency", dialect))
            return kind, ()
        except ModelError as error:
            raise error.located(line=line) from None

    def _with_code(self, kind: Custom) -> Custom:
        key = f"materialization {kind.materialization.lower()}"
        digests = self.context.macros.digests
        if key not in digests:
            known = [name.partition(" ")[2] for name in digests if name.startswith("materialization ")]
            raise ModelError(
                f"there is no materialization {kind.materialization!r}",
                hint=nearest(kind.materialization.lower(), known)
                or "write a class that derives from CustomMaterialization into materializations/",
            )
        return replace(kind, code=digests[key])

    def _code_reads(self, model: Model, header: Header) -> CodeReads:
        """What the model's function reads; listed dependencies stand for those in its code."""
        if self.code is None:
            return NO_CODE_READS
        found = code_reads(
            self.code,
            self.context.macros,
            dialect=model.dialect,
            variables=self.variables,
            blueprint=self.blueprint,
            with_tables="depends_on" not in header.values,
        )
        if model.name in {without_catalog(one, self.context.default_catalog, model.dialect) for one in found.tables}:
            check_self_reference(model)
        return found

    def _default_count(self, key: str, dialect: str) -> int | None:
        configured = self.context.model_defaults.get(key)
        if configured is None:
            return None
        try:
            return int(count(1)(Given(key=key, value=default_value(key, configured, dialect), dialect=dialect)))
        except ModelError as error:
            raise ConfigError(f"model_defaults.{key}: {error.message}", hint=error.hint) from None

    def _seed_path(self, written: str) -> str:
        folder = posixpath.dirname(self.path)
        relative = written.removeprefix("$root/") if written.startswith("$root/") else posixpath.join(folder, written)
        path = posixpath.normpath(relative)
        if posixpath.isabs(written) or path.startswith("../") or path in ("..", "."):
            raise ModelError(
                f"path {written!r} is outside the project",
                hint="keep seeds in the project; $root/… starts at its folder, other paths at the model's",
            )
        return path

    def _seed_bytes(self, path: str) -> bytes:
        try:
            return self.context.read_seed(path)
        except FileNotFoundError:
            raise ModelError(
                f"there is no file {path}", hint="$root/… starts at the project's folder, other paths at the model's"
            ) from None
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from None

    def _seed_output(self, kind: ModelKind, dialect: str) -> tuple[str, ...] | None:
        """The names in the header of a seed's file."""
        if not isinstance(kind, Seed):
            return None
        return seed_columns(self._seed_bytes(kind.path), kind.csv_settings, dialect)

    def _audits(
        self,
        kind: ModelKind,
        uses: tuple[AuditUse, ...],
        header: Header,
        inline: Mapping[str, AuditDefinition],
        dialect: str,
    ) -> tuple[AuditCall, ...]:
        if isinstance(kind, Embedded | External):
            if "audits" in header.lines and uses:
                raise ModelError(
                    f"a model of kind {kind_name(kind)} cannot have audits: it has no table of its own",
                    line=header.lines["audits"],
                    hint="put them on a model that reads it",
                )
            return ()
        try:
            return resolve(uses, {**self.context.audits, **inline}, dialect=dialect)
        except ModelError as error:
            raise error.located(line=header.lines.get("audits")) from None

    def _check_audits(self, model: Model, header: Header) -> set[str]:
        """Refuse now what no audit could be rendered with later; what the others read. Built-in audits with plain
        arguments can always be rendered, and read nothing.
        """
        reads: set[str] = set()
        for call in model.audits:
            if not may_read(call) and not any("@" in text for text in call.arguments.values()):
                continue
            try:
                text = render_audit(call, model, self._loading(_AUDITING), reads)
                if may_read(call):
                    language = call.dialect or model.dialect
                    self.audit_reads |= audit_reads(text, language, self.context.default_catalog, "audited")
            except ModelError as error:
                raise error.located(line=header.lines.get("audits")) from None
        return reads

    def _facts(self, query: Statement | None, rendered: str, dialect: str) -> QueryFacts | None:
        """What the rendered query tells. Its lines are those of the file as long as macros kept to one line."""
        if query is None:
            return None
        try:
            return analyse(rendered, dialect, default_catalog=self.context.default_catalog)
        except ModelError as error:
            error.line = query.line + (error.line or 1) - 1
            if is_template(query.text):
                error.column = None  # counted in the expanded text
            raise


# --- what may not be


def _misplaced(keyword: str, line: int) -> IsomeshError:
    if keyword == "METRIC":
        return UnsupportedError("metrics are not supported", line=line, hint="compute it in a model")
    return ModelError(f"{keyword} (…) comes before MODEL (…)", line=line, hint="begin the file with MODEL (name …);")


def _check_header(model: Model, header: Header) -> None:
    if model.clustered_by and isinstance(model.kind, View | Embedded | External):
        raise ModelError(
            f"`clustered_by` has no meaning for kind {kind_name(model.kind)}", line=header.lines["clustered_by"]
        )
    if model.allow_partials and keeps_history(model.kind):
        raise ModelError(
            f"`allow_partials` is not for kind {kind_name(model.kind)}: what a part of an interval added would stay",
            line=header.lines.get("allow_partials"),
            hint="choose a finer interval_unit and cron",
        )
    if model.end is not None and model.start is None:
        raise ModelError("`end` needs a `start`", line=header.lines["end"], hint="say from when the model has rows")
    try:
        check_kind(model)
    except ModelError as error:
        raise error.located(line=header.lines.get("kind")) from None


def _check_output(model: Model, facts: QueryFacts, header: Header) -> None:
    if model.name in facts.depends_on:
        check_self_reference(model)
    if facts.output is None:
        return
    for column in model.columns or ():
        if column.name not in facts.output:
            raise ModelError(
                f"`columns` names {column.name!r}, which the query does not return",
                line=header.lines["columns"],
                hint=nearest(column.name, facts.output) or f"it returns {', '.join(facts.output)}",
            )
    try:
        check_result(model, facts.output)
    except ModelError as error:
        raise error.located(line=header.lines.get("kind")) from None


# --- small answers


def name_of_path(path: str) -> str:
    """What a model is called that gives no name: the last three parts, at most, of its path under `models/`."""
    parts = path.removeprefix("models/").rsplit(".", 1)[0].split("/")
    return ".".join(parts[-3:])


def _columns(header: Header, kind: ModelKind) -> tuple[Column, ...] | None:
    """The declared columns of the query. Those that the kind adds may be declared as well; they stay its own."""
    listed: tuple[tuple[str, str], ...] | None = header.get("columns")
    if listed is None:
        return None
    descriptions = header.get("column_descriptions", {})
    managed = {column.name for column in managed_columns(kind)}
    return tuple(
        Column(name=name, type=its_type, description=descriptions.get(name))
        for name, its_type in listed
        if name not in managed
    )


def _audit_variables(audits: tuple[AuditCall, ...]) -> set[str]:
    """Names that the audits mention and that are none of their arguments."""
    names: set[str] = set()
    for call in audits:
        names |= _mentioned(call.query) - call.arguments.keys()
        for text in call.arguments.values():
            names |= _mentioned(text)
    return names


def _mentioned(text: str) -> set[str]:
    return {(found[1] or found[2]).lower() for found in _MENTION.finditer(text)} if "@" in text else set()


def _sorted(names: Any) -> tuple[str, ...]:
    return tuple(sorted(names))
