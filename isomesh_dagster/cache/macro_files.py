"""The Python of a project, and its macros: the files of its folders with code, and modules that these import."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from isomesh_dagster.cache.facts import (
    FileFacts,
    code_digest,
    digest,
    facts_from_data,
    facts_to_text,
    file_key,
)
from isomesh_dagster.cache.ignored import ignored
from isomesh_dagster.cache.store import CACHE_PATH, FactStore
from isomesh_dagster.config.settings import Settings
from isomesh_dagster.errors import ConfigError, MacroError
from isomesh_dagster.macros.outline import ModuleOutline, outline
from isomesh_dagster.macros.project import ProjectMacros

_FOLDER = "macros"
CODE_FOLDERS = (_FOLDER, "models", "materializations", "linter", "signals")
"""The folders of a project whose Python runs."""
_KEEP = 20_000


def load_macros(settings: Settings, store: FactStore) -> ProjectMacros:
    """The project's macros; none of its code runs. Raises ConfigError or MacroError for a file that cannot be read."""
    modules = _modules(settings, store)
    return ProjectMacros(lambda: modules, partial(_text, settings.files), partial(_templates, settings), settings.files)


def macros_on_demand(settings: Settings) -> ProjectMacros:
    """The project's macros, whose files are read when a macro is first asked for."""

    def outlines() -> list[ModuleOutline]:
        with FactStore(settings.root / CACHE_PATH) as store:
            return _modules(settings, store)

    return ProjectMacros(outlines, partial(_text, settings.files), partial(_templates, settings), settings.files)


def _modules(settings: Settings, store: FactStore) -> list[ModuleOutline]:
    """Outlines of the modules in the folders with code and of those they import, from the cache where their files are
    known.
    """
    root = settings.files
    found: dict[str, ModuleOutline] = {}
    new: list[tuple[str, str, str]] = []
    todo = [path for folder in CODE_FOLDERS for path in _files(settings, ".py", folder)]
    while todo:
        path = todo.pop()
        if path in found:
            continue
        key = file_key((root / path).read_bytes(), path, digest(["module", code_digest()]))
        rows = store.get([key]).get(key)
        module = _known(rows[0][1]) if rows else None
        if module is None:
            module = outline(_text(root, path), path)
            _check_names(module)
            new.append((key, "", facts_to_text(FileFacts(module=module))))
        found[path] = module
        todo += [other for other in _imported(root, module) if other not in found]
    if new:
        store.put(new, keep=_KEEP)
    return [found[path] for path in sorted(found)]


def _known(text: str) -> ModuleOutline | None:
    try:
        return facts_from_data(json.loads(text)).module
    except (ValueError, KeyError, TypeError):
        return None  # damaged: as good as none


def _check_names(module: ModuleOutline) -> None:
    """A macro may not take the name of one that every project has."""
    from isomesh_dagster.macros.clauses import CLAUSES
    from isomesh_dagster.macros.library import MACROS

    for name, found in module.macros.items():
        if name in MACROS or name in CLAUSES:
            raise MacroError(
                f"@{name} is a macro of the model format",
                path=module.path,
                line=found.line,
                hint='give this one a name of its own: @macro("…")',
            )


def _templates(settings: Settings) -> dict[str, str]:
    """The texts of the files with Jinja macros, by path."""
    return {path: _text(settings.files, path) for path in _files(settings, ".sql")}


def _files(settings: Settings, ending: str, within: str = _FOLDER) -> Iterator[str]:
    is_ignored = ignored(settings.ignore_patterns)
    for folder, folders, names in os.walk(settings.files / within):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        for name in names:
            path = (Path(folder) / name).relative_to(settings.files).as_posix()
            if name.endswith(ending) and not name.startswith(".") and not is_ignored(path):
                yield path


def _imported(root: Path, module: ModuleOutline) -> Iterator[str]:
    """Files of the project that the module imports."""
    for found in module.imports.values():
        names = [found.module] if found.name in (None, "*") else [found.module, f"{found.module}.{found.name}"]
        for name in names:
            parts = name.split(".")
            if not name or not all(part.isidentifier() for part in parts):
                continue
            for k in range(1, len(parts) + 1):
                folder = "/".join(parts[:k])
                for path in (f"{folder}.py", f"{folder}/__init__.py"):
                    if (root / path).is_file() and (root / path).resolve().is_relative_to(root.resolve()):
                        yield path


def _text(root: Path, path: str) -> str:
    try:
        return (root / path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError("the file is not UTF-8", path=path, hint="save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"the file cannot be read: {error.strerror}", path=path) from None
