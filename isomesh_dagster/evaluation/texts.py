"""The SQL of one snapshot: the text rendered at load with physical names in place, rendered again only where it must.

A model whose text does not depend on time, stage or target takes the short way: its rendered text and the positions of
its references are known, names are spliced in by position, no SQL library is loaded. Embedded models are inlined as
subqueries.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from isomesh_dagster.dialect import query as sql
from isomesh_dagster.errors import MacroError
from isomesh_dagster.evaluation.pointing import pointing
from isomesh_dagster.evaluation.rows import KindTexts
from isomesh_dagster.evaluation.schemas import Schemas, quoted
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.model.kinds import (
    Embedded,
    External,
    IncrementalByUniqueKey,
    depends_on_past,
    managed_columns,
    replaces_partitions,
    unique_key,
)
from isomesh_dagster.model.model import SESSION_LABELS, AuditCall, Model
from isomesh_dagster.relation import Column, KnownColumns, Reference, Relation, quote
from isomesh_dagster.snapshot.interval import Interval, to_ms
from isomesh_dagster.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from isomesh_dagster.engine.connection import Session
    from isomesh_dagster.macros.warehouse import Warehouse
    from isomesh_dagster.model.render import RenderContext, Rendered

_NO_INTERVAL = Interval(start=0, end=86_400_000)

_QUOTED_COLUMN = re.compile(r"([\"`])(?P<name>[^\"`]+)[\"`]")

_FROM_OR_JOIN = re.compile(r"\b(?:FROM|JOIN)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchText:
    """What one batch runs, in the engine's dialect: statements before, the query ("" for a seed), statements after."""

    pre: tuple[str, ...]
    query: str
    post: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What texts depend on besides the model: the snapshots that names mean, the engine's dialect, the gateway's
    default catalog, the "now" of the plan (UTC), and the macros of the project as its files are now. `reads` tells
    whether the engine's parser takes a text; None where there is no engine to ask. `sessions` are those in which macros
    read the warehouse, beside the batch's transaction. `stand_ins` are queries in the engine's dialect, by model, that
    are read in place of tables which are not yet as they will be. `files` is the project's folder, in whose files
    the engine's errors find their place. `schemas` tells the columns of the snapshots.
    """

    snapshots: Mapping[str, Snapshot]
    engine_dialect: str
    default_catalog: str | None
    execution_time: datetime
    macros: ProjectMacros = NO_MACROS
    reads: Callable[[str], bool] | None = None
    sessions: Callable[[], AbstractContextManager[Session]] | None = None
    stand_ins: Mapping[str, str] = field(default_factory=dict)
    files: Path | None = None
    schemas: Schemas = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schemas", Schemas(self.snapshots))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What one rendering is for: the runtime stage, what `@this_model` means, the batch."""

    stage: str
    this_model: str
    interval: Interval | None


class Texts:
    """The texts of one snapshot. Not shared between threads."""

    def __init__(self, snapshot: Snapshot, surroundings: Surroundings) -> None:
        self._snapshot = snapshot
        self._around = surroundings
        self._fixed: str | None = None

    def batch(self, interval: Interval | None, *, is_new: bool) -> BatchText:
        """The texts for a batch; `is_new` tells whether the relation is made by it. `interval` None: nothing is due."""
        from isomesh_dagster.model.render import is_template

        model = self._snapshot.model
        run = _Run(stage="creating" if is_new else "evaluating", this_model=self._this_model(), interval=interval)
        pre, post = model.pre_statements, model.post_statements
        if any(is_template(statement) for statement in (*pre, *post)):
            rendered = self._rendered(replace(model, query=""), run)
            pre, post = rendered.pre, rendered.post
        return BatchText(pre=self._statements(pre, run), query=self._query(run), post=self._statements(post, run))

    def pointing(self, text: BatchText) -> AbstractContextManager[None]:
        """A context in which the engine's errors about `text` get their place in the model's file. Where text of other
        models is in it, a spot may be theirs: no place is told then.
        """
        model = self._snapshot.model
        if any(self._is_inlined(reference.name) for reference in model.references):
            return nullcontext()
        texts = [(text.query, model.query)]
        for run, written in ((text.pre, model.pre_statements), (text.post, model.post_statements)):
            if len(run) == len(written):
                texts += zip(run, written, strict=True)
        return self._pointing((model.path,), texts, model.dialect)

    def pointing_audit(self, call: AuditCall, query: str) -> AbstractContextManager[None]:
        """The same for the query of an audit, whatever file it is in."""
        model = self._snapshot.model
        return self._pointing((model.path, "audits"), [(query, call.query)], call.dialect or model.dialect)

    def _is_inlined(self, name: str) -> bool:
        snapshot = self._around.snapshots.get(name)
        is_embedded = snapshot is not None and isinstance(snapshot.model.kind, Embedded)
        return is_embedded or name in self._around.stand_ins

    def _pointing(
        self, places: tuple[str, ...], texts: list[tuple[str, str]], dialect: str
    ) -> AbstractContextManager[None]:
        if self._around.files is None:
            return nullcontext()
        return pointing(self._around.files, places, texts, (self._around.engine_dialect, dialect))

    def audit(self, call: AuditCall, interval: Interval | None, this_model: str) -> str:
        """The query of an audit; `this_model` is the SQL name of what it audits."""
        from isomesh_dagster.model.render import render_audit

        model = self._snapshot.model
        dialect = call.dialect or model.dialect
        run = _Run(stage="auditing", this_model=this_model, interval=interval)
        text = render_audit(call, model, self._context(run))
        if _reads_more_than(this_model, text):
            facts = sql.analyse(text, dialect, default_catalog=self._around.default_catalog)
            text = self._splice(text, facts.references, dialect, self._embedded(facts.references, dialect, run)[0])
        return self._to_engine(text, dialect)

    def virtual_update(
        self, view: Relation, views: Mapping[str, str], history: Callable[[], Interval | None]
    ) -> tuple[str, ...]:
        """The statements that follow the swap of the model's view. In them the names of models mean views of the
        environment: `views`, dotted, by the model's name. `history` tells what the table holds.
        """
        model = self._snapshot.model
        if not model.on_virtual_update:
            return ()
        run = _Run(stage="promoting", this_model=view.sql, interval=history())
        return self._statements(self._rendered(model, run).virtual_update, run, views)

    def settings(self) -> dict[str, str]:
        """The model's session properties as settings and SQL values, without labels, which name a query in logs."""
        properties = self._snapshot.model.session_properties
        return {key: value for key, value in properties.items() if key not in SESSION_LABELS}

    def table(self, name: str, interval: Interval | None) -> str:
        """What stands for a model or a table in a query in the engine's dialect: its relation, or the query of an
        embedded model in brackets.
        """
        snapshot = self._around.snapshots.get(name)
        if snapshot is not None and isinstance(snapshot.model.kind, Embedded):
            run = _Run(stage="evaluating", this_model=self._this_model(), interval=interval)
            text, _ = self._resolved(snapshot.model, run)
            return f"(\n{self._to_engine(text, snapshot.model.dialect)}\n)"
        if name in self._around.stand_ins:
            return f"(\n{self._around.stand_ins[name]}\n)"
        physical = snapshot.physical if snapshot is not None else None
        return (physical or Relation.parse(name)).sql

    def typed(self) -> tuple[Column, ...] | None:
        """The declared columns with the engine's types; None when there are none."""
        model = self._snapshot.model
        columns = model.columns
        if columns is None or model.dialect in ("", self._around.engine_dialect):
            return columns
        return tuple(
            Column(name=column.name, type=self._type(column.type), description=column.description) for column in columns
        )

    @property
    def moment(self) -> datetime:
        """The "now" of the plan, UTC."""
        return self._around.execution_time

    def of_kind(self, interval: Interval | None) -> KindTexts:
        """What the parameters of the model's kind say for a batch, to the engine."""
        model = self._snapshot.model
        kind = model.kind
        if not depends_on_past(kind):
            return KindTexts()
        keys = unique_key(kind) or (model.partitioned_by if replaces_partitions(kind) else ())
        managed = [replace(column, type=self._type(column.type)) for column in managed_columns(kind)]
        when_matched = merge_filter = None
        target_keys: list[str] = []
        if isinstance(kind, IncrementalByUniqueKey):
            target_keys = [self._expression(key, "target") for key in keys]
            if kind.merge_filter is not None:
                merge_filter = self._expression(self._at(kind.merge_filter, interval, "SELECT "))
            if kind.when_matched is not None:
                from isomesh_dagster.dialect.merge import AROUND_CLAUSES, matched_clauses

                clauses = self._at(kind.when_matched, interval, AROUND_CLAUSES)
                when_matched = matched_clauses(clauses, model.dialect, self._around.engine_dialect)
        return KindTexts(
            keys=tuple(self._expression(key) for key in keys),
            target_keys=tuple(target_keys),
            when_matched=when_matched,
            merge_filter=merge_filter,
            managed=tuple(managed),
        )

    def _at(self, parameter: str, interval: Interval | None, around: str) -> str:
        """A parameter of the kind over physical names, with the time variables that were left for the batch. `around`
        makes a statement of what follows it.
        """
        model = self._snapshot.model
        run = _Run(stage="evaluating", this_model=self._this_model(), interval=interval)
        if "@" in parameter:
            from isomesh_dagster.model.render import render_expression

            parameter = render_expression(parameter, model, self._context(run))
        return self._over_tables(f"{around}{parameter}", model.dialect, run, None)[len(around) :]

    def _expression(self, text: str, table: str | None = None) -> str:
        """An expression in the engine's dialect, its columns those of `table` where that is given."""
        read, written = self._snapshot.model.dialect, self._around.engine_dialect
        if column := _QUOTED_COLUMN.fullmatch(text):
            return quote(column["name"]) if table is None else f"{table}.{quote(column['name'])}"
        from isomesh_dagster.dialect import merge  # only for what is not a plain column

        return merge.condition(text, read, written) if table is None else merge.qualified(text, table, read, written)

    def _query(self, run: _Run) -> str:
        if not self._snapshot.model.query:
            return ""
        if self._fixed is not None:
            return self._fixed
        text, varies = self._resolved(self._snapshot.model, run)
        text = self._to_engine(text, self._snapshot.model.dialect)
        if not varies:
            self._fixed = text
        return text

    def _resolved(self, model: Model, run: _Run) -> tuple[str, bool]:
        """The model's query over physical names, in its own dialect, and whether it varies from batch to batch."""
        text, references, varies = model.rendered, model.references, model.is_dynamic
        if varies:
            text = self._rendered(model, run).query
            again = sql.found_again(text, model.dialect, references, model.rendered)
            if again is None:
                again = sql.analyse(text, model.dialect, default_catalog=self._around.default_catalog).references
            references = again
        embedded, embedded_vary = self._embedded(references, model.dialect, run)
        return self._splice(text, references, model.dialect, embedded), varies or embedded_vary

    def _embedded(self, references: Sequence[Reference], dialect: str, run: _Run) -> tuple[dict[str, str], bool]:
        """The embedded models among the references as subqueries, and whether one of them varies."""
        embedded: dict[str, str] = {}
        vary = False
        for name in dict.fromkeys(reference.name for reference in references):
            snapshot = self._around.snapshots.get(name)
            if name in self._around.stand_ins and name != self._snapshot.name:
                stand_in = self._around.stand_ins[name]
                embedded[name] = f"(\n{sql.transpile(stand_in, self._around.engine_dialect, dialect)}\n)"
                continue
            if snapshot is not None and isinstance(snapshot.model.kind, Embedded):
                inner, inner_varies = self._resolved(snapshot.model, run)
                its_own = snapshot.model.dialect or dialect
                schema = partial(self._around.schemas.around, snapshot.model, its_own)
                inner = sql.transpile(inner, its_own, dialect or its_own, schema=schema)
                embedded[name] = f"(\n{inner}\n)"
                vary = vary or inner_varies
        return embedded, vary

    def _splice(self, text: str, references: Sequence[Reference], dialect: str, embedded: Mapping[str, str]) -> str:
        replacements = dict(embedded)
        for reference in references:
            snapshot = self._around.snapshots.get(reference.name)
            if snapshot is None or reference.name in replacements or isinstance(snapshot.model.kind, External):
                continue
            if snapshot.physical is not None:
                replacements[reference.name] = quoted(snapshot.physical, dialect)
        return sql.splice(text, references, replacements, dialect) if replacements else text

    def _statements(
        self, statements: Iterable[str], run: _Run, views: Mapping[str, str] | None = None
    ) -> tuple[str, ...]:
        """Statements in the engine's dialect; models are meant by their physical names, or by `views` where given."""
        dialect = self._snapshot.model.dialect
        return tuple(self._to_engine(self._over_tables(text, dialect, run, views), dialect) for text in statements)

    def _over_tables(self, text: str, dialect: str, run: _Run, views: Mapping[str, str] | None) -> str:
        if not may_mention(text, self._around.snapshots):
            return text
        references = sql.statement_facts(text, dialect, default_catalog=self._around.default_catalog).references
        replacements, _ = self._embedded(references, dialect, run)
        for name in {reference.name for reference in references} & (views or {}).keys():
            replacements[name] = quoted(Relation.parse((views or {})[name]), dialect)
        return self._splice(text, references, dialect, replacements)

    def _to_engine(self, text: str, dialect: str) -> str:
        engine = self._around.engine_dialect
        schema = partial(self._around.schemas.around, self._snapshot.model, dialect)
        return sql.transpile(text, dialect or engine, engine, reads=self._around.reads, schema=schema)

    def _type(self, name: str) -> str:
        if name.upper() == "UNKNOWN":
            return "UNKNOWN"
        text = self._to_engine(f"SELECT CAST(NULL AS {name})", self._snapshot.model.dialect)
        return text[text.upper().index(" AS ") + 4 : text.rindex(")")]

    def _this_model(self) -> str:
        return self._snapshot.physical.sql if self._snapshot.physical is not None else ""

    def _rendered(self, model: Model, run: _Run) -> Rendered:
        from isomesh_dagster.model.render import render  # it loads the SQL library, which fixed text does without

        return render(model, self._context(run, model))

    def _context(self, run: _Run, model: Model | None = None) -> RenderContext:
        """What `model` is rendered for: the one at hand, or one it embeds."""
        from isomesh_dagster.model.render import RenderContext

        # what the model embeds is rendered for the same range. Where no interval is at hand (a table made empty) it is
        # that of loading, so that the variables exist
        interval = run.interval or _NO_INTERVAL
        return RenderContext(
            start=interval.start,
            end=interval.end,
            execution_time=to_ms(self._around.execution_time),
            stage=run.stage,
            this_model=run.this_model,
            extra={} if self._around.default_catalog is None else {"default_catalog": self._around.default_catalog},
            columns=partial(self._columns, model or self._snapshot.model),
            macros=self._around.macros,
            warehouse=self._warehouse(run.interval),
        )

    def _columns(self, model: Model, name: str) -> KnownColumns:
        """The columns of a relation that a macro asks for: those it asked for when the model was loaded, or, where it
        asks only now that the model is built, those of the model itself and of what it reads.
        """
        for candidate in (name, name.partition(".")[2]):
            if candidate in model.schemas:
                return model.schemas[candidate]
            if candidate == model.name or candidate in model.depends_on:
                columns = self._around.schemas.of(candidate)
                if columns is not None:
                    return columns
        raise MacroError(
            f"the columns of {name} are not known",
            hint="give it `columns (…)`, declare the table in external_models.yaml, or ask at stage `loading` too",
        )

    def _warehouse(self, interval: Interval | None) -> Warehouse:
        from isomesh_dagster.evaluation.project_code import MacroWarehouse

        return MacroWarehouse(self._around, lambda name: self.table(name, interval))


def _reads_more_than(this_model: str, text: str) -> bool:
    """Whether the query may read a table besides `this_model`; a quick look that errs towards yes."""
    alone = re.compile(
        rf"\bFROM\s+{re.escape(this_model)}\s*(?=$|\)|(WHERE|GROUP|HAVING|ORDER|LIMIT|UNION)\b)", re.IGNORECASE
    )
    return len(_FROM_OR_JOIN.findall(text)) != len(alone.findall(text))


_NAMES = re.compile(r"""(?:"[^"]+"|`[^`]+`|\[[^\]]+\]|\w+)(?:\s*\.\s*(?:"[^"]+"|`[^`]+`|\[[^\]]+\]|\w+))*""")
_QUOTES = str.maketrans("", "", '"`[] \n\t\r')


def may_mention(text: str, snapshots: Mapping[str, Snapshot]) -> bool:
    """Whether a statement may mention a model: a quick look at its names, with or without a catalog, in any case."""
    for found in _NAMES.finditer(text):
        name = found.group().translate(_QUOTES)
        for candidate in (name, name.partition(".")[2]):
            if candidate and not snapshots.keys().isdisjoint((candidate, candidate.lower(), candidate.upper())):
                return True
    return False


def view_query(physical: str, view: str, default_catalog: str) -> str:
    """What a view of the virtual layer says; `physical` and `view` are dotted. In another catalog than the default one
    it names that.
    """
    relation = Relation.parse(physical)
    if relation.catalog is None and Relation.parse(view).catalog is not None:
        relation = replace(relation, catalog=default_catalog)
    return f"SELECT * FROM {relation.sql}"
