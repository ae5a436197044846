"""What failed in a build, told with the model's place and with a hint where its author can mend it."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from difflib import get_close_matches

from isomesh_dagster.errors import EngineError, IsomeshError
from isomesh_dagster.model.model import Model
from isomesh_dagster.snapshot.snapshot import Snapshot

_ABOUT_TABLES = re.compile(r"\b(table|view|relation)\b", re.IGNORECASE)


def located(error: Exception, snapshot: Snapshot, names: Collection[str]) -> Exception:
    """The error with its model's place, where it is one a person can mend. `names` are those of all models."""
    if isinstance(error, IsomeshError):
        model = snapshot.model
        if error.hint is None and isinstance(error, EngineError):
            error.hint = _about_a_missing_table(error.message, model, names)
        with suppress(AttributeError):
            return error.located(path=model.path, line=model.line, model=model.name)
    return error


def _about_a_missing_table(message: str, model: Model, names: Collection[str]) -> str | None:
    """What to do about a table the engine does not find: it knows models by other names than their readers do."""
    if "does not exist" not in message or not _ABOUT_TABLES.search(message):
        return None
    for name in model.depends_on:
        if name not in names and re.search(rf"\b{re.escape(name.rpartition('.')[2])}\b", message, re.IGNORECASE):
            near = get_close_matches(name, names, n=1)
            return f"no model is called {name}, and the warehouse has no such table" + (
                f"; did you mean {near[0]}?" if near else ""
            )
    return None
