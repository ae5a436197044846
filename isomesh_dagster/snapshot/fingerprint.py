"""What makes a model the same model: digests of its own parts, chained through its parents.

Cosmetic edits (comments, layout, keyword case) change nothing. What rows depend on changes `data`; everything else
`metadata`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.model.codec import kind_to_json, known_to_json
from isomesh_dagster.model.kinds import forward_only_by_default
from isomesh_dagster.model.mentioned import audit_values, is_jinja
from isomesh_dagster.model.model import Model
from isomesh_dagster.snapshot.snapshot import Fingerprint

ALGORITHM = 1

# kind parameters that change how rows are written in time, not which rows there are
_METADATA_PARAMETERS = frozenset(
    {"batch_size", "batch_concurrency", "disable_restatement", "partition_by_time_column"}
    | {"auto_restatement_cron", "auto_restatement_intervals"}
)


# kind parameters that say where a file lies, or what another parameter says as a whole
_UNSEEN = frozenset({"path", "column_hashes"})
# kind parameters that only change what holds the rows
_STORAGE_PARAMETERS = frozenset({"materialized"})

# kind parameters that hold SQL: layout and keyword case are no part of what they say
_SQL_PARAMETERS = frozenset({"unique_key", "when_matched", "merge_filter"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnFingerprint:
    """Digests of a model's own parts, without its parents: what the cache keeps per file."""

    data: str
    metadata: str


def digest(parts: Any, *, size: int = 16) -> str:
    """blake2b of the parts as JSON: unambiguous, unlike joined text. Hex of `size` bytes."""
    text = json.dumps(parts, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    return blake2b(text.encode(), digest_size=size).hexdigest()


def own(model: Model, macros: ProjectMacros = NO_MACROS) -> OwnFingerprint:
    """The digests of one model. Tokenises its texts, so call it once per content and keep the result. `macros` are the
    project's own, those the model was loaded with.
    """
    from isomesh_dagster.dialect.canonical import digest as tokens
    from isomesh_dagster.model.render import LOADING, render, render_signal

    def written(text: str) -> str:
        return text if is_jinja(text) else tokens(text, model.dialect)

    context = replace(LOADING, macros=macros)
    # a query that is the same at every moment is there already, rendered
    rendered = render(model if model.is_dynamic else replace(model, query=""), context)
    kind = kind_parts(model)
    data = [
        ALGORITHM,
        model.name,
        model.dialect,
        {key: value for key, value in kind.items() if key not in _METADATA_PARAMETERS},
        tokens(model.rendered, model.dialect) if model.rendered else "",
        # two models may agree at the load-time placeholders only: what is rendered again later counts as written, too
        written(model.query) if model.is_dynamic else "",
        [tokens(text, model.dialect) for text in rendered.pre if text not in rendered.quiet],
        [tokens(text, model.dialect) for text in rendered.post if text not in rendered.quiet],
        [[column.name, column.type] for column in model.columns] if model.columns is not None else None,
        model.partitioned_by,
        model.clustered_by,
        dict(model.physical_properties),
        dict(model.session_properties),
        model.table_format,
        model.storage_format,
        model.physical_schema,
        model.interval_unit,
        model.stamp,
    ]
    metadata = [
        ALGORITHM,
        {key: value for key, value in kind.items() if key in _METADATA_PARAMETERS},
        model.owner,
        model.description,
        dict(model.column_descriptions),
        sorted(model.tags),
        model.cron,
        model.cron_tz,
        model.start,
        model.end,
        sorted(
            [
                call.name,
                call.query if is_jinja(call.query) else tokens(call.query, call.dialect or model.dialect),
                sorted(call.arguments.items()),
                call.blocking,
            ]
            for call in model.audits
        ),
        model.grains,
        model.references_keys,
        dict(model.virtual_properties),
        [tokens(text, model.dialect) for text in rendered.virtual_update],
        model.allow_partials,
        model.optimize_query,
        model.project,
    ]
    if asked := audit_values(model, model.audits):
        metadata.append(["audits ask", asked])
    if model.grants is not None:
        metadata.append(["grants", {key: sorted(who) for key, who in model.grants.items()}, model.grants_target_layer])
    if model.python is not None:
        data.append(python_parts(model))
    if model.signals:
        metadata.append(
            [
                [one.name, sorted(render_signal(one, model, context).items()), one.code, _values(model, one.reads)]
                for one in sorted(model.signals, key=lambda one: one.name)
            ]
        )
    if hidden := hidden_parts(model):
        data.append(hidden)
    if varying := [text for text in (*model.pre_statements, *model.post_statements) if text in rendered.varying]:
        data.append([written(text) for text in varying])
    if model.macros or rendered.hidden_update:
        quiet = sorted(tokens(text, model.dialect) for text in rendered.quiet)
        metadata.append([dict(model.macros), _hidden(model, rendered.hidden_update), quiet])
    changes = [model.is_forward_only, model.on_destructive_change, model.on_additive_change]
    if changes != [forward_only_by_default(model.kind), "ERROR", "ALLOW"]:
        metadata.append(changes)
    if varying := [text for text in model.on_virtual_update if text in rendered.varying]:
        metadata.append([written(text) for text in varying])
    return OwnFingerprint(data=digest(data), metadata=digest(metadata))


def _values(model: Model, names: Iterable[str]) -> list[Any]:
    return [[name, model.blueprint.get(name, model.variables.get(name))] for name in names]


def python_parts(model: Model) -> list[Any]:
    """What the rows of a Python model depend on besides its parents: its code, and the variables that this asks for."""
    if model.python is None:
        return []
    asked = [key.partition(" ")[::2] for key in model.python.reads]
    values = [
        [kind, name, (model.blueprint if kind == "blueprint_var" else model.variables).get(name)]
        for kind, name in asked
    ]
    return [model.python.digest, values]


def hidden_parts(model: Model) -> list[tuple[str, Any]]:
    """What decides over rows together with the moment, and so is not to be seen in what was rendered at load."""
    return _hidden(model, (name for name in model.hidden if not name.startswith("metadata ")))


def _hidden(model: Model, names: Iterable[str]) -> list[tuple[str, Any]]:
    """Variables, macros and columns that the rendered texts need not show, and what they are."""
    found: list[tuple[str, Any]] = []
    for name in sorted(names):
        if name in model.macros:
            found.append((name, model.macros[name]))
        elif name.startswith("columns "):
            known = model.schemas.get(name.removeprefix("columns "))
            found.append((name, known and known_to_json(known)))
        else:
            values = [which[name] for which in (model.blueprint, model.variables) if name in which]
            found.append((name, values[0] if len(values) == 1 else values or None))
    return found


def kind_parts(model: Model) -> dict[str, Any]:
    """The kind's name and its non-default parameters; equal for kinds that differ in layout only."""
    from isomesh_dagster.dialect.canonical import digest as tokens

    parts = {key: value for key, value in kind_to_json(model.kind).items() if key not in _UNSEEN}
    for parameter in _SQL_PARAMETERS & parts.keys():
        value = parts[parameter]
        texts = [value] if isinstance(value, str) else value
        parts[parameter] = [tokens(text, model.dialect) for text in texts]
    return parts


def changed_parameters(old: Model, new: Model) -> list[str]:
    """The parameters on which rows depend that differ between two models of one kind."""
    before, after = kind_parts(old), kind_parts(new)
    names = (before.keys() | after.keys()) - _METADATA_PARAMETERS - _STORAGE_PARAMETERS
    return sorted(name for name in names if before.get(name) != after.get(name))


def fingerprints(graph: ModelGraph, own_parts: Mapping[str, OwnFingerprint]) -> dict[str, Fingerprint]:
    """The fingerprint of every model of the graph, in its order."""
    result: dict[str, Fingerprint] = {}
    for name in graph.order:
        part = own_parts[name]
        version = digest([part.data, sorted(result[parent].version for parent in graph.parents[name])], size=8)
        result[name] = Fingerprint(
            data=part.data,
            metadata=part.metadata,
            version=version,
            identity=digest([version, part.metadata]),
            algorithm=ALGORITHM,
        )
    return result
