"""The files under `decisions/`: what people decided about changes, one small YAML file each, to be kept in git.

Files of two branches never conflict, because each is called by the edit it is about.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isomesh_dagster.errors import ConfigError
from isomesh_dagster.files import write_whole
from isomesh_dagster.plan.recorded import ADDITIVE, DESTRUCTIVE, RecordedChoice, honour, stale, to_record
from isomesh_dagster.project import clock
from isomesh_dagster.snapshot.snapshot import Category

if TYPE_CHECKING:
    from isomesh_dagster.plan.plan import Plan
    from isomesh_dagster.project.front import Project

FOLDER = "decisions"
_KEYS = ("model", "from", "to", "category", "allows", "who", "when", "comment")
_CATEGORIES = {
    "breaking": Category.BREAKING,
    "non-breaking": Category.NON_BREAKING,
    "forward-only": Category.FORWARD_ONLY,
}
_WORDS = {category: word for word, category in _CATEGORIES.items()}


def read_files(root: Path) -> dict[str, str]:
    """The texts of the project's decisions by path (posix, relative to `root`). Raises ConfigError."""
    found: dict[str, str] = {}
    for folder, folders, files in os.walk(root / FOLDER):
        folders.sort()
        for name in sorted(files):
            if not name.endswith((".yaml", ".yml")) or name.startswith("."):
                continue
            place = Path(folder, name)
            path = place.relative_to(root).as_posix()
            try:
                found[path] = place.read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"the file cannot be read: {error}", path=path, hint="it is YAML in UTF-8") from None
    return found


def parse(texts: Mapping[str, str]) -> tuple[RecordedChoice, ...]:
    """The decisions in these files. Raises ConfigError with path and mend."""
    return tuple(_parse(text, path) for path, text in sorted(texts.items()))


def of_plan(project: Project, plan: Plan, *, comment: str = "") -> tuple[RecordedChoice, ...]:
    """What people chose in this plan, as records; to be made before it is applied, because the environment moves then.

    The author is asked of git. What was read from a record already is not among them. A column change that was allowed
    is recorded with the category its model has in the plan.
    """
    from isomesh_dagster.git.author import author
    from isomesh_dagster.plan.diff import diff

    wish = plan.wish
    if not (wish.choices or wish.allow_destructive or wish.allow_additive):
        return ()
    shown = project.system.shown(plan.compared_with)
    old = {name: snapshot.model for name, snapshot in shown.items()}
    difference = diff(project.graph, project.fingerprints, shown)
    known = honour(project.recorded_choices(), difference, old, project.models).allows
    allows = {
        name: frozenset(
            change
            for change, names in ((DESTRUCTIVE, wish.allow_destructive), (ADDITIVE, wish.allow_additive))
            if name in names
        )
        for name in (*wish.allow_destructive, *wish.allow_additive)
    }
    kept = [change.model for change in plan.changes if change.category is Category.FORWARD_ONLY]
    none: frozenset[str] = frozenset()
    allowed = {name: Category.FORWARD_ONLY for name in kept if allows.get(name, none) - known.get(name, none)}
    return to_record(
        {**allowed, **wish.choices},
        allows,
        difference,
        old,
        project.models,
        who=author(project.root),
        when=clock.now(),
        comment=comment,
    )


def write(root: Path, records: Collection[RecordedChoice]) -> tuple[str, ...]:
    """Write each record to its file; their paths (posix, relative to `root`). A newer decision about the same edit
    replaces the older one.
    """
    import yaml

    texts: dict[str, str] = {}
    for record in records:
        path = f"{FOLDER}/{record.model}/{record.before}-{record.after}.yaml"
        entries = {
            "model": record.model,
            "from": record.before,
            "to": record.after,
            "category": _WORDS[record.category],
            "allows": sorted(record.allows),
            "who": record.who,
            "when": f"{record.when:%Y-%m-%dT%H:%M:%SZ}" if record.when is not None else "",
            "comment": record.comment,
        }
        said = {key: value for key, value in entries.items() if value}
        texts[path] = yaml.safe_dump(said, sort_keys=False, allow_unicode=True)
    write_whole({root / path: text for path, text in texts.items()})
    return tuple(texts)


def useless(project: Project) -> tuple[RecordedChoice, ...]:
    """The records that match no edit any more."""
    return stale(project.recorded_choices(), project.models)


def remove(root: Path, records: Collection[RecordedChoice]) -> None:
    """Delete the files of these records, and folders that are empty then."""
    for record in records:
        place = root / record.path
        place.unlink(missing_ok=True)
        if not any(place.parent.iterdir()):
            place.parent.rmdir()


def _parse(text: str, path: str) -> RecordedChoice:
    import yaml

    try:
        entries = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else None
        raise ConfigError("the file is not YAML", path=path, line=line, hint=_MEND) from None
    if not isinstance(entries, dict) or not all(isinstance(key, str) for key in entries):
        raise ConfigError("a decision is a mapping", path=path, hint=_MEND)
    if unknown := sorted(entries.keys() - set(_KEYS)):
        raise ConfigError(f"a decision has no key {unknown[0]!r}", path=path, hint=f"its keys are {', '.join(_KEYS)}")
    said = {key: entries.get(key) for key in _KEYS}
    for key in ("model", "from", "to", "category"):
        if not isinstance(said[key], str) or not said[key]:
            raise ConfigError(f"{key!r} is missing, or is no text", path=path, hint=_MEND)
    category = _CATEGORIES.get(str(said["category"]))
    if category is None:
        raise ConfigError(
            f"{said['category']!r} is no category", path=path, hint=f"it is one of {', '.join(_CATEGORIES)}"
        )
    allows = said["allows"] or []
    if not isinstance(allows, list) or not {DESTRUCTIVE, ADDITIVE}.issuperset(map(str, allows)):
        raise ConfigError(f"'allows' is a list of {DESTRUCTIVE} and {ADDITIVE}", path=path, hint=_MEND)
    return RecordedChoice(
        model=str(said["model"]),
        before=str(said["from"]),
        after=str(said["to"]),
        category=category,
        allows=frozenset(map(str, allows)),
        who=str(said["who"] or ""),
        when=_moment(said["when"], path),
        comment=str(said["comment"] or ""),
        path=path,
    )


def _moment(value: Any, path: str) -> datetime | None:
    if isinstance(value, str) and value:
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            raise ConfigError(f"{value!r} is no moment", path=path, hint="write it like 2026-01-31T12:00:00Z") from None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)


_MEND = "`isomesh plan --categorize MODEL=CATEGORY` writes these files; restore it from git, or delete it"
