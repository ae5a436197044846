"""A model's file as a value.

In: the text of one file and a `ParseContext` (one gateway's settings as far as they matter). Out: values, and what was
read to make them, so that a cache can tell when they are out of date. Pure: a seed's bytes come through the context.
Every error tells the file, the line and the model.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from isomesh_dagster.dialect.header import Definition, Statement, parse_file
from isomesh_dagster.dialect.query import QueryFacts, analyse, normalize_name
from isomesh_dagster.errors import ConfigError, IsomeshError, ModelError, UnsupportedError
from isomesh_dagster.macros.expander import Expander
from isomesh_dagster.macros.variables import RUNTIME_VARIABLES
from isomesh_dagster.model.audit_blocks import audit_definition
from isomesh_dagster.model.audits import BUILT_IN, AuditDefinition, AuditUse, resolve
from isomesh_dagster.model.context import ParseContext, Reads
from isomesh_dagster.model.cron import infer_interval_unit, validate_unit
from isomesh_dagster.model.decode import Given, count, nearest, without_catalog
from isomesh_dagster.model.kind_properties import HeaderKind, SeedFile, parse_kind
from isomesh_dagster.model.kinds import (
    Embedded,
    External,
    Full,
    IncrementalByTimeRange,
    ModelKind,
    Seed,
    View,
    kind_name,
)
from isomesh_dagster.model.model import AuditCall, Json, Model
from isomesh_dagster.model.properties import MODEL_PROPERTIES, Header, default_value, read_properties
from isomesh_dagster.model.render import RenderContext, loading_context, render, render_audit
from isomesh_dagster.relation import Column

_AUDITING = RenderContext(start=0, end=86_400_000, execution_time=0, stage="auditing", this_model="audited")

_QUERY_START = re.compile(r"(?:select|with|from|values|table|pivot|unpivot)\b|\(", re.IGNORECASE)
_QUERY_MACRO = re.compile(r"@(?:union|with|date_spine|deduplicate)\b", re.IGNORECASE)
_DEFINING_MACRO = re.compile(r"@def\b", re.IGNORECASE)
_INSERT_SEED = re.compile(r"@insert_seed\s*\(\s*\)\Z", re.IGNORECASE)
_COMMENT = re.compile(r"(?:\s+|--[^\n]*(?:\n|\Z)|/\*.*?\*/)+", re.DOTALL)
_MENTION = re.compile(r"@(?:blueprint_)?var\s*\(\s*'(\w+)'|@\{?\s*([a-z_]\w*)\b(?!\s*\()", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedFile:
    """What a file of `models/` says. `model` is None when it is not `enabled`."""

    model: Model | None
    reads: Reads


def parse_model(text: str, path: str, context: ParseContext) -> ParsedFile:
    """The model in the text of a file at `path` (relative to the root, posix).

    Raises ModelError (or its kinds) with path and line; ConfigError when one of `model_defaults` is wrong.
    """
    try:
        return _ModelFile(text, path, context).parse()
    except ModelError as error:
        raise error.located(path=path) from None


# --- one model file


class _ModelFile:
    """The steps from text to model; each says what it refuses."""

    def __init__(self, text: str, path: str, context: ParseContext) -> None:
        self.text = text
        self.path = path
        self.context = context
        self.variables: dict[str, Json] = {**context.variables, "gateway": context.gateway}

    def parse(self) -> ParsedFile:
        definition, inline = self._definitions()
        block, dialect = definition.block, definition.dialect
        if block is None:
            raise ModelError("there is no MODEL (…) block", line=1, hint="begin the file with MODEL (name …);")
        expander = Expander(dialect, self.variables, path=self.path, line=block.line)
        header = read_properties(
            block,
            MODEL_PROPERTIES,
            dialect=dialect,
            expander=expander,
            defaults=self.context.model_defaults,
        )
        if header.get("enabled") is False:
            return ParsedFile(model=None, reads=Reads(variables=_sorted(expander.used_variables)))
        name = self._name(header, dialect, block.line)
        try:
            return self._model(name, definition, header, inline, expander)
        except ModelError as error:
            raise error.located(path=self.path, line=block.line, model=name) from None

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

    def _name(self, header: Header, dialect: str, line: int) -> str:
        if "name" not in header.values:
            raise ModelError("the model has no name", line=line, hint="write name schema.table")
        try:
            name = without_catalog(
                normalize_name(header.values["name"], dialect), self.context.default_catalog, dialect
            )
        except ModelError as error:
            raise error.located(line=header.lines["name"]) from None
        for part in name.split("."):
            if not part.isprintable() or part != part.strip():
                raise ModelError(
                    f"name {name!a} holds characters that cannot be seen",
                    line=header.lines["name"],
                    hint="write it with plain letters, digits and _",
                )
        return name

    def _model(
        self,
        name: str,
        definition: Definition,
        header: Header,
        inline: Mapping[str, AuditDefinition],
        expander: Expander,
    ) -> ParsedFile:
        assert definition.block is not None
        dialect = definition.dialect
        kind, seeds = self._kind(header, dialect)
        pre, query, post, virtual_update = self._statements(definition, kind)
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
            unit = validate_unit(unit, cron=cron) if unit is not None else infer_interval_unit(cron)
        except ModelError as error:
            raise error.located(line=header.lines.get("interval_unit", header.lines.get("cron"))) from None
        model = Model(
            name=name,
            path=self.path,
            line=definition.block.line,
            dialect=dialect,
            kind=kind,
            query=query.text if query is not None else "",
            columns=_columns(header),
            column_descriptions=header.get("column_descriptions", {}),
            pre_statements=(*defaults.get("pre_statements", ()), *(statement.text for statement in pre)),
            post_statements=(*defaults.get("post_statements", ()), *(statement.text for statement in post)),
            on_virtual_update=(
                *defaults.get("on_virtual_update", ()),
                *(statement.text for statement in virtual_update),
            ),
            audits=audits,
            variables=self.variables,
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
            optimize_query=header.get("optimize_query"),
            project=header.get("project", self.context.project),
            ignored_rules=tuple(rule.lower() for rule in header.get("ignored_rules", ())),
        )
        _check_header(model, header)
        lines = {statement.text: statement.line for statement in definition.statements}
        rendered = render(model, loading_context(kind), lines=lines)
        facts = self._facts(query, rendered.query, dialect)
        if facts is not None:
            _check_output(model, facts, header)
        self._check_audits(model, header)
        used = {*expander.used_variables, *rendered.used_variables, *_audit_variables(audits)}
        depends_on = {*header.get("depends_on", ()), *(facts.depends_on if facts is not None else ())}
        model = replace(
            model,
            rendered=rendered.query,
            references=facts.references if facts is not None else (),
            is_dynamic=_is_dynamic(model, rendered.used_variables),
            output=facts.output if facts is not None else None,
            has_star=facts is not None and facts.has_star,
            depends_on=_sorted(
                {without_catalog(parent, self.context.default_catalog, dialect) for parent in depends_on} - {name}
            ),
            variables={key: self.variables[key] for key in sorted(used & self.variables.keys() | {"gateway"})},
            physical_schema=self.context.physical_schema(model.schema),
        )
        return ParsedFile(
            model=model,
            reads=Reads(
                variables=_sorted(used - RUNTIME_VARIABLES),
                audits=_sorted(use.name.lower() for use in uses if use.name.lower() not in inline),
                seeds=seeds,
            ),
        )

    def _kind(self, header: Header, dialect: str) -> tuple[ModelKind, tuple[str, ...]]:
        """The kind, and the files it needs."""
        line = header.lines.get("kind")
        value = header.get("kind")
        try:
            kind: HeaderKind = View()
            if value is not None:
                kind = parse_kind(value, dialect, time_column_format=self.context.time_column_format)
            if isinstance(kind, SeedFile):
                path = self._seed_path(kind.path)
                seed = Seed(path=path, content_hash=seed_hash(self._seed_bytes(path)), csv_settings=kind.csv_settings)
                return seed, (path,)
            if isinstance(kind, IncrementalByTimeRange) and kind.batch_concurrency is None:
                kind = replace(kind, batch_concurrency=self._default_count("batch_concurrency", dialect))
            return kind, ()
        except ModelError as error:
            raise error.located(line=line) from None

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

    def _statements(
        self, definition: Definition, kind: ModelKind
    ) -> tuple[list[Statement], Statement | None, list[Statement], list[Statement]]:
        """Statements before the query, the query, those after it, those of the virtual update."""
        plain: list[Statement] = []
        virtual_update: list[Statement] = []
        for statement in definition.statements:
            if statement.kind.startswith("jinja"):
                raise UnsupportedError(
                    "Jinja is not supported", line=statement.line, hint="write it with macros: @var, @IF(…), @EACH(…)"
                )
            (virtual_update if statement.kind == "virtual_update" else plain).append(statement)
        if isinstance(kind, Seed):
            at = next((k for k, statement in enumerate(plain) if _INSERT_SEED.match(_bare(statement.text))), len(plain))
            for statement in plain:
                if _QUERY_START.match(_bare(statement.text)):
                    raise ModelError("a seed has no query", line=statement.line, hint="its rows come from its file")
            return plain[:at], None, plain[at + 1 :], virtual_update
        if isinstance(kind, External):
            if plain or virtual_update:
                raise ModelError(
                    "an external table has no statements",
                    line=(plain or virtual_update)[0].line,
                    hint="somebody else writes it; only its columns are declared",
                )
            return [], None, [], []
        at = _query_index(plain)
        if isinstance(kind, Embedded):
            _refuse_statements([*plain[:at], *plain[at + 1 :], *virtual_update])
        return plain[:at], plain[at], plain[at + 1 :], virtual_update

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

    def _check_audits(self, model: Model, header: Header) -> None:
        """Refuse now what no audit could be rendered with later. Built-in ones with plain arguments always can."""
        for call in model.audits:
            is_built_in = (known := BUILT_IN.get(call.name)) is not None and known.query == call.query
            if is_built_in and not any("@" in text for text in call.arguments.values()):
                continue
            try:
                render_audit(call, model, _AUDITING)
            except ModelError as error:
                raise error.located(line=header.lines.get("audits")) from None

    def _facts(self, query: Statement | None, rendered: str, dialect: str) -> QueryFacts | None:
        """What the rendered query tells. Its lines are those of the file as long as macros kept to one line."""
        if query is None:
            return None
        try:
            return analyse(rendered, dialect, default_catalog=self.context.default_catalog)
        except ModelError as error:
            error.line = query.line + (error.line or 1) - 1
            if "@" in query.text:
                error.column = None  # counted in the expanded text
            raise


# --- what may not be


def _misplaced(keyword: str, line: int) -> IsomeshError:
    if keyword == "METRIC":
        return UnsupportedError("metrics are not supported", line=line, hint="compute it in a model")
    return ModelError(f"{keyword} (…) comes before MODEL (…)", line=line, hint="begin the file with MODEL (name …);")


def _refuse_statements(statements: list[Statement]) -> None:
    for statement in statements:
        if not _DEFINING_MACRO.match(_bare(statement.text)):
            raise ModelError(
                "an EMBEDDED model runs no statements, only @DEF may stand beside its query",
                line=statement.line,
                hint="move the statement to a model that reads it",
            )


def _query_index(statements: list[Statement]) -> int:
    if not statements:
        raise ModelError("the model has no query", hint="write a SELECT after MODEL (…);")
    texts = [_bare(statement.text) for statement in statements]
    candidates = [k for k, its in enumerate(texts) if _QUERY_START.match(its) or _QUERY_MACRO.match(its)]
    if not candidates:
        # any macro may return the query, if just one can
        candidates = [k for k, its in enumerate(texts) if its.startswith("@") and not _DEFINING_MACRO.match(its)]
    if len(candidates) > 1:
        raise ModelError(
            "a model has one query, this is the second",
            line=statements[candidates[1]].line,
            hint="combine them with UNION ALL, or give the second a file of its own",
        )
    if not candidates:
        if len(statements) == 1:
            return 0  # told what it is by the analysis
        raise ModelError(
            "none of the statements is a query", line=statements[0].line, hint="exactly one must be a SELECT"
        )
    return candidates[0]


def _check_header(model: Model, header: Header) -> None:
    if model.clustered_by and isinstance(model.kind, View | Embedded | External):
        raise ModelError(
            f"`clustered_by` has no meaning for kind {kind_name(model.kind)}", line=header.lines["clustered_by"]
        )
    if model.end is not None and model.start is None:
        raise ModelError("`end` needs a `start`", line=header.lines["end"], hint="say from when the model has rows")
    kind = model.kind
    if isinstance(kind, IncrementalByTimeRange) and model.columns is not None:
        _check_time_column(kind, [column.name for column in model.columns], "`columns`", header)


def _check_output(model: Model, facts: QueryFacts, header: Header) -> None:
    if model.name in facts.depends_on and not isinstance(model.kind, IncrementalByTimeRange):
        hint = "only kind INCREMENTAL_BY_TIME_RANGE has rows of earlier runs to read"
        if isinstance(model.kind, Full):
            raise UnsupportedError("a FULL model that reads itself is not supported yet", hint=hint)
        raise ModelError("the model reads itself", hint=hint)
    if facts.output is None:
        return
    for column in model.columns or ():
        if column.name not in facts.output:
            raise ModelError(
                f"`columns` names {column.name!r}, which the query does not return",
                line=header.lines["columns"],
                hint=nearest(column.name, facts.output) or f"it returns {', '.join(facts.output)}",
            )
    if isinstance(model.kind, IncrementalByTimeRange):
        _check_time_column(model.kind, facts.output, "the query's result", header)


def _check_time_column(
    kind: IncrementalByTimeRange, columns: tuple[str, ...] | list[str], where: str, header: Header
) -> None:
    if kind.time_column not in columns:
        raise ModelError(
            f"time_column {kind.time_column!r} is not in {where}",
            line=header.lines.get("kind"),
            hint=nearest(kind.time_column, columns) or f"there are {', '.join(columns)}",
        )


# --- small answers


def seed_hash(content: bytes) -> str:
    """What a seed's bytes say, whatever the line endings and the blank lines at the end."""
    text = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n")
    return blake2b(text, digest_size=16).hexdigest()


def _bare(text: str) -> str:
    """The statement without the comments and spaces before its first word."""
    comment = _COMMENT.match(text)
    return (text[comment.end() :] if comment else text).rstrip()


def _columns(header: Header) -> tuple[Column, ...] | None:
    listed: tuple[tuple[str, str], ...] | None = header.get("columns")
    if listed is None:
        return None
    descriptions = header.get("column_descriptions", {})
    return tuple(Column(name=name, type=its_type, description=descriptions.get(name)) for name, its_type in listed)


def _is_dynamic(model: Model, used: frozenset[str]) -> bool:
    """Whether the query, or a `@DEF` before it, reads what differs at execution; `used` is what all statements read."""
    if not model.query or RUNTIME_VARIABLES.isdisjoint(used):
        return False
    definitions = tuple(text for text in model.pre_statements if _DEFINING_MACRO.match(_bare(text)))
    alone = replace(model, pre_statements=definitions, post_statements=(), on_virtual_update=())
    return not RUNTIME_VARIABLES.isdisjoint(render(alone, loading_context(model.kind)).used_variables)


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
