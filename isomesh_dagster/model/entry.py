"""One entry of a definition as a model: the steps from its header and statements to a `Model`.

A definition without `blueprints` has one entry, which is empty. Each step says what it refuses, with its line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from isomesh_dagster.dialect.header import Definition, Statement
from isomesh_dagster.dialect.query import QueryFacts, analyse, normalize_name
from isomesh_dagster.errors import ConfigError, ModelError, UnknownColumnsError, UnsupportedError
from isomesh_dagster.macros.expander import Expander
from isomesh_dagster.macros.relations import AWAITED_COLUMNS
from isomesh_dagster.macros.values import Fragment
from isomesh_dagster.macros.variables import RUNTIME_VARIABLES
from isomesh_dagster.model.audits import AuditDefinition, AuditUse
from isomesh_dagster.model.blueprints import Blueprint
from isomesh_dagster.model.context import NOTHING_READ, ParseContext, Reads
from isomesh_dagster.model.cron import infer_interval_unit, validate_unit
from isomesh_dagster.model.decode import Decoder, Given, boolean, count, without_catalog
from isomesh_dagster.model.header_checks import check_gateway, check_header, check_output
from isomesh_dagster.model.kind_checks import check_self_reference
from isomesh_dagster.model.kind_properties import HeaderKind, SeedFile, parse_changes, parse_kind
from isomesh_dagster.model.kinds import (
    Custom,
    Embedded,
    External,
    Full,
    IncrementalByTimeRange,
    ModelKind,
    Seed,
    View,
    forward_only_by_default,
    is_incremental,
    kind_name,
    managed_columns,
)
from isomesh_dagster.model.mentioned import audit_variables, mentioned
from isomesh_dagster.model.mentions import kind_reads, statement_reads
from isomesh_dagster.model.model import SESSION_LABELS, Json, Model, PythonFunction
from isomesh_dagster.model.names import nearest
from isomesh_dagster.model.properties import MODEL_PROPERTIES, Header, default_value, read_properties
from isomesh_dagster.model.python_code import (
    NO_CODE_READS,
    CodeReads,
    ModelCode,
    check_python_kind,
    check_python_model,
    code_reads,
)
from isomesh_dagster.model.render import LOADING, RenderContext, Rendered, is_template, render
from isomesh_dagster.model.seeds import column_hashes, seed_bytes, seed_columns, seed_hash, seed_path
from isomesh_dagster.model.signals import signal_variables
from isomesh_dagster.model.statements import Statements, sort_statements
from isomesh_dagster.model.uses import Uses
from isomesh_dagster.relation import Column, KnownColumns


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedEntry:
    """What one entry makes; `model` is None when it is not enabled, or awaits columns."""

    model: Model | None = None
    name: str | None = None
    reads: Reads = NOTHING_READ
    awaiting: frozenset[str] = frozenset()


class Entry:
    """The steps from one entry of `blueprints` (or none) to a model; each says what it refuses."""

    def __init__(
        self,
        path: str,
        context: ParseContext,
        definition: Definition,
        blueprint: Blueprint,
        *,
        inline: Mapping[str, AuditDefinition],
        statements: Statements | None,
        code: ModelCode | None,
    ) -> None:
        assert definition.block is not None
        self.path = path
        self.context = context
        self.statements = statements
        self.code = code
        self.definition = definition
        self.block = definition.block
        self.inline = inline
        self.blueprint = blueprint
        self.variables: dict[str, Json] = {**context.variables, "gateway": context.gateway}
        if context.default_catalog is not None:
            self.variables["default_catalog"] = context.default_catalog
        self.schemas: dict[str, KnownColumns] = {}
        self.awaiting: set[str] = set()
        self.expander = Expander(
            definition.dialect,
            {**self.variables, **{name: Fragment(text) for name, text in blueprint.items()}},
            path=path,
            line=definition.block.line,
            configured=self.variables,
            blueprint=blueprint,
            columns=self._columns_of,
            macros=context.macros,
        )

    def parse(self) -> ParsedEntry:
        """The model, or why there is none (yet). Raises ModelError and its kinds with path, line and name."""
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
                return ParsedEntry(reads=Reads(variables=in_order(self.expander.used_variables)))
            name = self._name(header, self.definition.dialect, self.block.line)
            model, reads = self._model(name, header)
        except ModelError as error:
            if self.awaiting:  # what is wrong may come from columns that are not known yet
                return ParsedEntry(name=name, awaiting=frozenset(self.awaiting))
            if name is None:
                raise
            raise error.located(path=self.path, line=self.block.line, model=name) from None
        return ParsedEntry(model=model, name=name, reads=reads, awaiting=frozenset(self.awaiting))

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
            raise UnknownColumnsError(
                f"the columns of {name} are not known",
                tables=frozenset({name}),
                hint="declare tables in external_models.yaml (`isomesh create_external_models` does), give a model"
                " `columns (…)`, or list the columns here",
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
        """The model and what it reads: what the header says first, then what the expanded texts tell."""
        dialect, catalog = self.definition.dialect, self.context.default_catalog
        kind, seeds = self._kind(header, dialect)
        statements = self.statements or sort_statements(self.definition, kind)
        checked = Uses(self.context, self.inline, self._loading)
        model = self._declared(name, kind, header, statements, checked)
        lines = {statement.text: statement.line for statement in self.definition.statements}
        rendered = render(model, self._loading(LOADING), lines=lines)
        facts = self._facts(statements.query, rendered.query, dialect)
        if facts is not None:
            check_output(model, facts, header)
        asked = self._code_reads(model, header)
        read, audited = checked.check_audits(model, header)
        read |= checked.check_signals(model, header)
        used, used_macros = self._used(model, rendered, asked, read)
        depends_on = self._depends_on(model, header, rendered, facts, asked)
        kept = {*rendered.kept, *read}
        macros = self.context.macros.digests
        model = replace(
            model,
            rendered=rendered.query,
            references=facts.references if facts is not None else (),
            is_dynamic=bool(model.query) and model.query in rendered.varying,
            output=facts.output if facts is not None else self._seed_output(kind, dialect),
            has_star=facts is not None and facts.has_star,
            column_comments=facts.comments if facts is not None else {},
            depends_on=in_order({without_catalog(parent, catalog, dialect) for parent in depends_on} - {name}),
            audit_reads=in_order(audited - depends_on - {name}),
            variables={key: self.variables[key] for key in sorted(used & self.variables.keys() | {"gateway"})},
            blueprint={key: self.blueprint[key] for key in sorted(used & self.blueprint.keys())},
            macros={key: macros[key] for key in sorted(used_macros & kept)},
            hidden=in_order(rendered.hidden),
            schemas={key: known for key, known in sorted(self.schemas.items()) if f"columns {key}" in kept},
            physical_schema=self.context.physical_schema(model.schema),
            python=None
            if self.code is None
            else PythonFunction(
                name=self.code.function,
                digest=self.code.digest,
                source=self.code.source,
                reads=in_order(asked.variables),
            ),
        )
        audits: tuple[AuditUse, ...] = header.get("audits", ())
        reads = Reads(
            variables=in_order(used - RUNTIME_VARIABLES - self.blueprint.keys()),
            audits=in_order(use.name.lower() for use in audits if use.name.lower() not in self.inline),
            seeds=in_order({*seeds, *self.context.macros.opened(used_macros)}),
            macros=in_order(used_macros),
            columns=in_order(self.schemas),
        )
        return model, reads

    def _declared(self, name: str, kind: ModelKind, header: Header, statements: Statements, checked: Uses) -> Model:
        """The model as its header and its statements say, nothing of them expanded but what the header needs."""
        definition = self.definition
        audits = checked.audits(kind, header, definition.dialect)
        signals = checked.signals(kind, header)
        check_gateway(header.get("gateway"), self.context, header.lines.get("gateway"))
        # what is never built runs nothing, so defaults are not for it
        defaults = header.values if not isinstance(kind, Embedded | External) else {}
        model = Model(
            name=name,
            path=self.path,
            line=self.block.line,
            dialect=definition.dialect,
            kind=kind,
            query=statements.query.text if statements.query is not None else "",
            columns=_columns(header, kind),
            column_descriptions=header.get("column_descriptions", {}),
            pre_statements=(*defaults.get("pre_statements", ()), *(statement.text for statement in statements.pre)),
            post_statements=(*defaults.get("post_statements", ()), *(statement.text for statement in statements.post)),
            on_virtual_update=(
                *defaults.get("on_virtual_update", ()),
                *(statement.text for statement in statements.virtual_update),
            ),
            audits=audits,
            signals=signals,
            variables=self.variables,
            blueprint=self.blueprint,
            description=header.get("description", definition.comment),
            owner=header.get("owner"),
            tags=header.get("tags", ()),
            stamp=header.get("stamp"),
            cron=header.get("cron", "@daily"),
            cron_tz=header.get("cron_tz", "UTC"),
            interval_unit=_interval_unit(header),
            start=header.get("start"),
            end=header.get("end"),
            grains=header.get("grains", ()),
            references_keys=header.get("references", ()),
            partitioned_by=header.get("partitioned_by", ()),
            clustered_by=header.get("clustered_by", ()),
            physical_properties=header.get("physical_properties", {}),
            virtual_properties=header.get("virtual_properties", {}),
            session_properties=self._settings(kind, header),
            table_format=header.get("table_format"),
            storage_format=header.get("storage_format"),
            allow_partials=header.get("allow_partials", False),
            optimize_query=header.get("optimize_query"),
            project=header.get("project", self.context.project),
            **self._changes(kind, header, definition.dialect),
            ignored_rules=tuple(rule.lower() for rule in header.get("ignored_rules", ())),
            grants=header.get("grants"),
            grants_target_layer=header.get("grants_target_layer", "virtual"),
        )
        check_header(model, header)
        if self.code is not None:
            check_python_model(model)
        return model

    def _used(self, model: Model, rendered: Rendered, asked: CodeReads, read: set[str]) -> tuple[set[str], set[str]]:
        """The variables that anything of the model uses, and the project's macros, signals and materializations, by
        name. `read` is what its audits and signals use.
        """
        macros = {*self.expander.used_facts, *rendered.used_facts, *read} & self.context.macros.digests.keys()
        macros |= {f"signal {call.name}" for call in model.signals}
        if isinstance(model.kind, Custom):
            macros.add(f"materialization {model.kind.materialization.lower()}")
        variables = {*self.expander.used_variables, *rendered.used_variables, *audit_variables(model.audits)}
        return variables | asked.names | signal_variables(model.signals), macros

    def _depends_on(
        self, model: Model, header: Header, rendered: Rendered, facts: QueryFacts | None, asked: CodeReads
    ) -> set[str]:
        """The names of all that the model reads as they are written, its own among them when it reads itself."""
        dialect, catalog = model.dialect, self.context.default_catalog
        found = {*header.get("depends_on", ()), *(facts.depends_on if facts is not None else ()), *asked.tables}
        found |= statement_reads((*rendered.pre, *rendered.post), dialect, catalog)
        found |= kind_reads(model.kind, dialect, catalog)
        if "__semantic.__table" in found:  # what a query of metrics reads in place of a table
            raise UnsupportedError("the query reads metrics, which are not supported", hint="write what they compute")
        return found

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
                path = seed_path(kind.path, self.path)
                content = seed_bytes(path, self.context.read_seed)
                seed = Seed(
                    path=path,
                    content_hash=seed_hash(content),
                    column_hashes=column_hashes(content, kind.csv_settings, dialect),
                    csv_settings=kind.csv_settings,
                )
                return seed, (path,)
            if isinstance(kind, Custom):
                return self._with_code(kind), ()
            if isinstance(kind, IncrementalByTimeRange) and kind.batch_concurrency is None:
                kind = replace(kind, batch_concurrency=self._default("batch_concurrency", count(1), dialect))
            return kind, ()
        except ModelError as error:
            raise error.located(line=line) from None

    def _changes(self, kind: ModelKind, header: Header, dialect: str) -> dict[str, Any]:
        """What becomes of the table when the model changes: as the kind says, else the header, else the defaults."""
        if not is_incremental(kind):
            return {}
        value = header.get("kind")
        given = parse_changes(value, dialect) if value is not None else {}
        for key in ("on_destructive_change", "on_additive_change"):
            if key not in given and header.get(key) is not None:
                given[key] = header.get(key)
        if "forward_only" not in given and not forward_only_by_default(kind):
            given["forward_only"] = self._default("forward_only", boolean, dialect)
        return given

    def _settings(self, kind: ModelKind, header: Header) -> dict[str, str]:
        """The session properties with their macros expanded; one of which nothing is left is not set."""
        settings = {}
        line = header.lines.get("session_properties")
        for key, written in header.get("session_properties", {}).items():
            text = written
            if "@" in written and key not in SESSION_LABELS:  # labels are never set
                if moment := mentioned(written) & RUNTIME_VARIABLES:
                    raise ModelError(
                        f"session property `{key}` cannot depend on @{min(moment)}",
                        line=line,
                        hint="set it in a pre-statement",
                    )
                self.expander.scope.variables["model_kind_name"] = kind_name(kind)
                text = self.expander.expand(written, line)
            if text and text.upper() not in ("NULL", "NONE"):
                settings[key] = text
        return settings

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

    def _default(self, key: str, decoder: Decoder, dialect: str) -> Any:
        """One of `model_defaults` that is a kind's; None when it is not there."""
        configured = self.context.model_defaults.get(key)
        if configured is None:
            return None
        try:
            return decoder(Given(key=key, value=default_value(key, configured, dialect), dialect=dialect))
        except ModelError as error:
            raise ConfigError(f"model_defaults.{key}: {error.message}", hint=error.hint) from None

    def _seed_output(self, kind: ModelKind, dialect: str) -> tuple[str, ...] | None:
        """The names in the header of a seed's file."""
        if not isinstance(kind, Seed):
            return None
        return seed_columns(seed_bytes(kind.path, self.context.read_seed), kind.csv_settings, dialect)

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


def _interval_unit(header: Header) -> str:
    """The unit the header gives, or else that of its cron."""
    unit, cron = header.get("interval_unit"), header.get("cron", "@daily")
    try:
        if unit is None:
            return infer_interval_unit(cron)
        return validate_unit(unit, cron=cron, allow_partials=header.get("allow_partials", False))
    except ModelError as error:
        raise error.located(line=header.lines.get("interval_unit", header.lines.get("cron"))) from None


def in_order(names: Any) -> tuple[str, ...]:
    """Names as a tuple, sorted."""
    return tuple(sorted(names))
