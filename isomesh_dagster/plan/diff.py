"""What differs between the files and what an environment shows, before anyone asks what it means."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from isomesh_dagster.errors import PlanError
from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model.audits import BUILT_IN
from isomesh_dagster.model.codec import model_to_json
from isomesh_dagster.model.model import AuditCall, Model
from isomesh_dagster.plan.plan import ChangeType
from isomesh_dagster.snapshot.fingerprint import ALGORITHM
from isomesh_dagster.snapshot.snapshot import Fingerprint, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Diff:
    """Models by how they differ; `changed` is in build order, `removed` sorted. A model in neither did not change."""

    changed: Mapping[str, ChangeType]
    removed: tuple[str, ...]


def diff(graph: ModelGraph, fingerprints: Mapping[str, Fingerprint], shown: Mapping[str, Snapshot]) -> Diff:
    """Compare the models with the snapshots an environment shows, by fingerprint alone."""
    changed: dict[str, ChangeType] = {}
    for name in graph.order:
        new = fingerprints[name]
        snapshot = shown.get(name)
        if snapshot is None:
            changed[name] = ChangeType.ADDED
        elif snapshot.fingerprint.identity != new.identity:
            changed[name] = _kind_of_change(snapshot.fingerprint, new)
    return Diff(changed=changed, removed=tuple(sorted(shown.keys() - graph.models.keys())))


def check_references(graph: ModelGraph, removed: tuple[str, ...]) -> None:
    """Refuse to remove a model that another one still reads: its view would go while it is needed."""
    gone = set(removed)
    for name in graph.order:
        model = graph.models[name]
        lost = sorted(gone.intersection(model.depends_on))
        if lost:
            raise PlanError(
                f"reads {', '.join(lost)}, which this plan removes",
                path=model.path,
                line=model.line,
                model=name,
                hint="bring the model back, change this query, or declare the table in external_models.yaml",
            )


def text_diff(old: Model, new: Model, *, rendered: bool = False) -> str:
    """A unified diff of the two definitions, properties first, then the texts; "" when they read the same. `rendered`:
    queries as they run, laid out; their dates are those of loading.
    """
    if rendered:
        old, new = _as_rendered(old), _as_rendered(new)
    before, after = _definition(old), _definition(new)
    lines = difflib.unified_diff(before, after, fromfile=old.path, tofile=new.path, lineterm="", n=3)
    return "\n".join(lines)


def _as_rendered(model: Model) -> Model:
    from isomesh_dagster.dialect.layout import laid_out  # the SQL library: a plan without a change needs none
    from isomesh_dagster.dialect.style import Style

    if not model.rendered:
        return model
    return replace(model, query=laid_out(model.rendered, model.dialect, Style()) or model.rendered)


def metadata_words(old: Model, new: Model) -> str:
    """Which properties differ between two models with the same rows, and how as far as that is short:
    `cron: @daily → @weekly; description added`.
    """
    before, after = _properties(old), _properties(new)
    told = [
        _property_words(name, before.get(name), after.get(name))
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]
    return "; ".join(told) or "only properties that do not touch rows"


def _kind_of_change(old: Fingerprint, new: Fingerprint) -> ChangeType:
    if old.data != new.data or old.algorithm != ALGORITHM:
        return ChangeType.DIRECT
    if old.version != new.version:
        return ChangeType.INDIRECT
    return ChangeType.METADATA


_TEXTS = ("pre_statements", "query", "post_statements", "on_virtual_update")
_DERIVED = {
    "rendered",
    "references",
    "schemas",
    "python",
    "hidden",
    "column_comments",
    "is_dynamic",
    "output",
    "has_star",
    "depends_on",
    "audit_reads",
    "path",
    "line",
    "variables",
    *_TEXTS,
}
_TOLD_APART = {"audits"}
_OF_FILES = {"path", "content_hash", "column_hashes"}
_SHORT = 40
_DEFAULTS = {one.name: one.default for one in fields(Model) if isinstance(one.default, str) and one.default}


def _definition(model: Model) -> list[str]:
    """The model as lines for people: one line per property, then its texts."""
    data = model_to_json(model)
    lines = []
    for key in sorted(data.keys() - _DERIVED - _TOLD_APART):
        value = data[key]
        if key == "kind":
            value = {item: detail for item, detail in value.items() if item != "path"}
        lines.append(f"{key}: {_shown(value)}")
    for audit in model.audits:
        lines.extend(_audit_lines(audit))
    for text in _TEXTS:
        parts = [getattr(model, text)] if text == "query" else getattr(model, text)
        for part in parts:
            if part:
                lines.extend(["", *part.strip().splitlines()])
    if model.python is not None:
        lines.extend(["", *model.python.source.strip().splitlines()])
    if dict(model.variables):
        used = {key: value for key, value in sorted(model.variables.items()) if key != "gateway"}
        if used:
            lines.extend(["", f"variables: {_shown(used)}"])
    return lines


def _properties(model: Model) -> dict[str, str]:
    """The model's properties, its kind's among them, as texts by name; what has parts of its own begins with a line
    break.
    """
    data = model_to_json(model)
    kind = data.pop("kind")
    stated = {key: _shown(value) for key, value in data.items() if key not in {*_DERIVED, *_TOLD_APART, "signals"}}
    return {
        **_DEFAULTS,
        **stated,
        **{key: _shown(value) for key, value in kind.items() if key not in _OF_FILES},
        **{f"audit {audit.name}": "\n".join(["", *_audit_lines(audit)]) for audit in model.audits},
        **{f"signal {signal.name}": f"\n{signal}" for signal in model.signals},
        **({"on_virtual_update": "\n".join(["", *model.on_virtual_update])} if model.on_virtual_update else {}),
    }


def _property_words(name: str, old: str | None, new: str | None) -> str:
    is_short = all(len(text or "") <= _SHORT and "\n" not in (text or "") for text in (old, new))
    if new is None:
        return f"{name} removed"
    if old is None:
        return f"{name}: {new}" if is_short else f"{name} added"
    return f"{name}: {old} → {new}" if is_short else f"{name} changed"


def _audit_lines(audit: AuditCall) -> list[str]:
    """The audit as the model calls it; its query follows unless it is a built-in one's."""
    arguments = ", ".join(
        f"{name} := {text}" for name, text in sorted(audit.arguments.items()) if (name, text) != ("condition", "TRUE")
    )
    lines = [f"audit: {audit.name}({arguments})" + ("" if audit.blocking else ", not blocking")]
    built_in = BUILT_IN.get(audit.name)
    if built_in is None or built_in.query != audit.query:
        lines += [f"  {line}" for line in audit.query.strip().splitlines()]
    return lines


def _shown(value: object) -> str:
    if isinstance(value, dict):  # sorted: a mapping read back from the state has lost the order it was written in
        return ", ".join(f"{key} = {_shown(item)}" for key, item in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(f"({_shown(item)})" if isinstance(item, dict) else _shown(item) for item in value)
    return str(value)
