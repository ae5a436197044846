"""A model's statements with macros expanded for one moment: at load, or for one execution.

In: a `Model` and a `RenderContext`. Out: SQL of the model's dialect, with table names as the author wrote them. Pure;
the clock and the range come in through the context.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from isomesh_dagster.errors import MacroError, ModelError, UnsupportedError
from isomesh_dagster.model.kinds import Full, View, kind_name
from isomesh_dagster.model.mentioned import is_jinja
from isomesh_dagster.model.model import AuditCall, Model, SignalCall
from isomesh_dagster.relation import KnownColumns, Relation

if TYPE_CHECKING:
    from isomesh_dagster.macros.expander import Expander
    from isomesh_dagster.macros.project import ProjectMacros
    from isomesh_dagster.macros.warehouse import Warehouse

_CALL = re.compile(r"@\w+\s*\(")
_DEFINITION = re.compile(r"@DEF\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderContext:
    """The moment a model is rendered for.

    `start` and `end` are the range in epoch milliseconds UTC, half-open; the queries of FULL and VIEW have none,
    whatever is said here. `execution_time` is in epoch milliseconds too. `stage` is
    `loading`, `creating`, `evaluating`, `auditing`, `promoting` or `testing`. `this_model` is the SQL of the relation
    at hand; None means the model's name. `extra` are further variables, as texts. `columns` tells the columns of
    relations; None means those the model has kept. `macros` are the project's own; unless `is_loading` they must be
    those that the model was planned with. `warehouse` is what these may read, None where nothing is built.
    """

    start: int
    end: int
    execution_time: int
    stage: str
    this_model: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    columns: Callable[[str], KnownColumns] | None = None
    macros: ProjectMacros | None = None
    is_loading: bool = False
    warehouse: Warehouse | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """The statements to run, and what was read to render them, names in lower case; `used_facts` are keys of macros of
    the project and of relations.

    Statements of which nothing is left are gone. `query` is "" for models without one. `varying` are the texts, as
    written, that read something which differs at execution. `hidden` are variables, macros of the project and relations
    (`columns <name>`) whose change these SQL texts need not show, because a macro call decided over them by the moment;
    `hidden_update` are those of `virtual_update`. `kept` are macros of the project and relations that will be asked for
    when the model is rendered again. `decisions` are the calls, as written, that decide by the moment. `quiet` are
    statements that a macro gave which promises that no row depends on it.
    """

    pre: tuple[str, ...]
    query: str
    post: tuple[str, ...]
    virtual_update: tuple[str, ...]
    used_variables: frozenset[str] = frozenset()
    used_macros: frozenset[str] = frozenset()
    used_facts: frozenset[str] = frozenset()
    used_columns: Mapping[str, KnownColumns] = field(default_factory=dict)
    varying: frozenset[str] = frozenset()
    hidden: frozenset[str] = frozenset()
    hidden_update: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    quiet: frozenset[str] = frozenset()
    decisions: tuple[str, ...] = ()


LOADING = RenderContext(start=0, end=86_400_000, execution_time=0, stage="loading")
"""The moment of fingerprints and analysis: 1970-01-01, the whole day as range."""


def render(model: Model, context: RenderContext, *, lines: Mapping[str, int] | None = None) -> Rendered:
    """The model's statements, rendered in the order they are written: a `@DEF` holds for all that follow.

    At stage `promoting` only `virtual_update` will run, so only that is rendered; of the other statements the `@DEF`s
    hold, and the fields are empty. `lines` are the lines of the statements in the model's file,
    by their text; errors at other statements tell no line. Raises `MacroError` and `UnsupportedError` with the model's
    path and name.
    """
    groups: tuple[tuple[str, ...], ...] = (model.pre_statements, (model.query,), model.post_statements)
    if context.stage == "promoting":
        groups = (tuple(text for text in model.pre_statements if _DEFINITION.match(text)), (), ())
    groups = (*groups, model.on_virtual_update)
    if not any(is_template(text) for texts in groups for text in texts):
        pre, query, post, update = groups
        return Rendered(pre=pre, query=_named("; ".join(query), model), post=post, virtual_update=update)
    from isomesh_dagster.macros.variables import RANGE_VARIABLES, RUNTIME_VARIABLES

    expander = _expander(model, context, model.dialect, {})
    # what is made whole, or only looked at, has rows of no range
    missing = RANGE_VARIABLES if isinstance(model.kind, Full | View) else frozenset()
    known = lines or {}
    varying: set[str] = set()
    kept: set[str] = set()
    quiet: set[str] = set()

    def expanded(texts: tuple[str, ...]) -> tuple[str, ...]:
        pieces: list[str] = []
        for text in texts:
            with (
                expander.scope.without(missing if text == model.query else frozenset()),
                expander.scope.reading() as names,
            ):
                its = expander.expand_statement(text, known.get(text))
            pieces += its
            if any(name.startswith("metadata ") for name in names) and _CALL.match(text):
                quiet.update(its)
            if not RUNTIME_VARIABLES.isdisjoint(names):
                varying.add(text)
            if text in varying or text != model.query:
                kept.update(names)
        return tuple(pieces)

    try:
        pre, query, post = (expanded(texts) for texts in groups[:3])
        hidden = frozenset(expander.scope.hidden)
        update = expanded(groups[3])
    except ModelError as error:
        raise error.located(model=model.name) from None
    return Rendered(
        pre=pre,
        query=_named("; ".join(query), model),
        post=post,
        virtual_update=update,
        used_variables=frozenset(expander.used_variables),
        used_macros=frozenset(expander.used_macros),
        used_facts=frozenset(expander.used_facts),
        used_columns=dict(expander.used_columns),
        varying=frozenset(varying),
        hidden=hidden,
        hidden_update=frozenset(expander.scope.hidden) - hidden,
        kept=frozenset(kept),
        quiet=frozenset(quiet),
        decisions=tuple(expander.scope.decisions),
    )


def _named(query: str, model: Model) -> str:
    """The query with names for what it only casts."""
    if "::" not in query and "CAST" not in query.upper():
        return query
    from isomesh_dagster.dialect.cast_names import with_cast_names

    try:
        return with_cast_names(query, model.dialect)
    except ModelError as error:
        raise error.located(path=model.path, model=model.name) from None


def is_template(text: str) -> bool:
    """Whether there is anything to render in a text."""
    return "@" in text or is_jinja(text)


def render_audit_at_load(audit: AuditCall, model: Model, context: RenderContext, reads: set[str]) -> str:
    """`render_audit` while files are read. A macro that asks the warehouse what to write is asked what it writes while
    it cannot: audits are looked at now, and rendered where they run.
    """
    try:
        return render_audit(audit, model, replace(context, stage="auditing"), reads)
    except UnsupportedError:
        return render_audit(audit, model, context, reads)


def render_audit(audit: AuditCall, model: Model, context: RenderContext, reads: set[str] | None = None) -> str:
    """The audit's query for a model: its arguments are variables that hold SQL, `@this_model` is what it looks at.

    `reads`, if given, is filled with all that was read for it. Raises `MacroError` with the model's path and name.
    """
    if not is_template(audit.query):
        return audit.query
    expander = _expander(model, context, audit.dialect or model.dialect, audit.arguments)
    try:
        with expander.scope.reading() as names:
            text = expander.expand(audit.query)
    except ModelError as error:
        error.message = f"audit {audit.name}: {error.message}"
        raise error.located(model=model.name) from None
    if reads is not None:
        reads |= names
    return text


def render_expression(text: str, model: Model, context: RenderContext) -> str:
    """A parameter of the model's kind that is SQL, for one moment. Raises `MacroError` with path and name."""
    try:
        return _expander(model, context, model.dialect, {}).expand(text)
    except ModelError as error:
        raise error.located(model=model.name) from None


def render_signal(
    signal: SignalCall, model: Model, context: RenderContext, reads: set[str] | None = None
) -> dict[str, str]:
    """The arguments of a signal as SQL texts without macros, by lower-case name.

    `reads`, if given, is filled with all that was read for it. Raises `MacroError` with the model's path and name.
    """
    if not any("@" in text for text in signal.arguments.values()):
        return dict(signal.arguments)
    expander = _expander(model, context, model.dialect, {})
    try:
        with expander.scope.reading() as names:
            texts = {name: expander.expand(text) for name, text in signal.arguments.items()}
    except ModelError as error:
        error.message = f"signal {signal.name}: {error.message}"
        raise error.located(model=model.name) from None
    if reads is not None:
        reads |= names
    return texts


def _expander(model: Model, context: RenderContext, dialect: str, arguments: Mapping[str, str]) -> Expander:
    """An expander that knows the model's variables; `arguments` are SQL texts. Loads the SQL library, which models
    without macros do without.
    """
    from isomesh_dagster.macros.expander import Expander
    from isomesh_dagster.macros.project import NO_MACROS
    from isomesh_dagster.macros.values import Fragment, Variable
    from isomesh_dagster.macros.variables import time_variables

    this_model = context.this_model or Relation.parse(model.name).sql
    variables: dict[str, Variable] = {
        **model.variables,
        **{name: Fragment(text) for name, text in model.blueprint.items()},
        **time_variables(dialect, start=context.start, end=context.end, execution=context.execution_time),
        "runtime_stage": context.stage,
        "model_kind_name": kind_name(model.kind),
        "this_model": Fragment(this_model),
        **context.extra,
        **{name: Fragment(text) for name, text in arguments.items()},
    }
    return Expander(
        dialect,
        variables,
        model=model.name,
        path=model.path,
        line=None,
        configured=model.variables,
        blueprint=model.blueprint,
        arguments=arguments,
        columns=context.columns or partial(_kept_columns, model),
        macros=context.macros or NO_MACROS,
        expected=None if context.is_loading else model.macros,
        warehouse=context.warehouse,
    )


def _kept_columns(model: Model, name: str) -> KnownColumns:
    known = model.schemas.get(name) or model.schemas.get(name.partition(".")[2])
    if known is None:
        raise MacroError(f"the columns of {name} were not read when the model was loaded", hint="plan again")
    return known
