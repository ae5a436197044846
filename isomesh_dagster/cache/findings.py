"""What is doubtful in the queries of a project, kept by what it follows from: a query and the columns it reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

from isomesh_dagster.cache.facts import code_digest
from isomesh_dagster.cache.store import FactStore
from isomesh_dagster.dialect.findings import QueryFindings, query_findings
from isomesh_dagster.lint.rules import Violation
from isomesh_dagster.model.codec import columns_to_json
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Column

_KEEP = 20_000


def find_doubts(
    models: Iterable[Model], columns: Mapping[str, Sequence[Column] | None], cache: FactStore
) -> dict[str, QueryFindings]:
    """The findings in each model's query, by name; `columns` are the output columns of all models, as far as known."""
    found: dict[str, QueryFindings] = {}
    keys: dict[str, tuple[Model, dict[str, Sequence[Column]]]] = {}
    for model in models:
        if not model.rendered:
            continue
        schema = {parent: its for parent in (*model.depends_on, model.name) if (its := columns.get(parent))}
        parts = [
            "findings",
            code_digest(),
            model.rendered,
            model.dialect,
            {parent: columns_to_json(its) for parent, its in schema.items()},
        ]
        keys[blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()] = (model, schema)
    known = cache.get(keys)
    new: list[tuple[str, str, str]] = []
    for key, (model, schema) in keys.items():
        if key in known:
            found[model.name] = QueryFindings.from_json(json.loads(known[key][0][1]))
            continue
        findings = found[model.name] = query_findings(model.rendered, model.dialect, schema)
        new.append((key, "", json.dumps(findings.to_json())))
    if new:
        cache.put(new, keep=_KEEP)
    return found


def on_file_lines(found: Iterable[Violation], models: Mapping[str, Model], root: Path) -> tuple[Violation, ...]:
    """The violations with the lines of their files where they are known by lines of a query.

    Exact as long as the macros above the place keep to one line; where a query is not found in its file the line of
    the header stays.
    """
    placed: list[Violation] = []
    for violation in found:
        line = None
        if violation.query_line is not None:
            line = _query_line(root / violation.path, models[violation.model].query)
        if line is not None and violation.query_line is not None:
            violation = replace(violation, line=line + violation.query_line - 1)
        placed.append(violation)
    return tuple(placed)


def _query_line(path: Path, query: str) -> int | None:
    """The line of the file where the query begins."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    begin = text.find(query)
    return text.count("\n", 0, begin) + 1 if query and begin >= 0 else None
