"""Fixes of stars: violations of `noselectstar` with the columns to write instead, where these are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from isomesh_dagster.dialect.stars import written_out
from isomesh_dagster.lint.fixes import Edit, Repair
from isomesh_dagster.lint.rules import Violation
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.render import is_template
from isomesh_dagster.relation import Column


def with_star_fixes(
    found: Iterable[Violation],
    models: Mapping[str, Model],
    columns: Mapping[str, Sequence[Column] | None],
    root: Path,
) -> tuple[Violation, ...]:
    """The violations, those of stars that can be written out with their fix: no macro in the query, which is a plain
    `SELECT * FROM …`, and its columns known.
    """
    fixed = []
    for violation in found:
        if violation.rule == "noselectstar" and (fix := _fix(models[violation.model], columns, root)) is not None:
            violation = replace(violation, fix=fix)
        fixed.append(violation)
    return tuple(fixed)


def _fix(model: Model, columns: Mapping[str, Sequence[Column] | None], root: Path) -> Repair | None:
    known = columns.get(model.name)
    if not known or is_template(model.query):
        return None
    place = written_out(model.query, model.dialect, [column.name for column in known])
    try:
        text = (root / model.path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return None
    at = text.find(model.query)
    if place is None or at < 0:
        return None
    begin, end, new = place
    return Repair(
        title="write the columns out",
        edits=(Edit(path=model.path, start=_place(text, at + begin), end=_place(text, at + end), text=new),),
    )


def _place(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset), offset - (text.rfind("\n", 0, offset) + 1)
