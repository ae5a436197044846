"""isomesh_dagster: virtual data environments on Dagster.

The public names below are imported when they are first used: `import isomesh_dagster` imports neither Dagster nor a
database driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isomesh_dagster.definitions.build import build_definitions
    from isomesh_dagster.definitions.executor import isomesh_executor
    from isomesh_dagster.definitions.resource import IsomeshResource
    from isomesh_dagster.definitions.translator import IsomeshTranslator, IsomeshTranslatorSettings
    from isomesh_dagster.errors import IsomeshError
    from isomesh_dagster.macros.decorator import macro
    from isomesh_dagster.macros.evaluator import MacroEvaluator
    from isomesh_dagster.project import Project

__version__ = "0.1.0"

__all__ = [
    "IsomeshError",
    "IsomeshResource",
    "IsomeshTranslator",
    "IsomeshTranslatorSettings",
    "MacroEvaluator",
    "Project",
    "build_definitions",
    "isomesh_executor",
    "macro",
]

_HOMES = {
    "IsomeshError": "isomesh_dagster.errors",
    "IsomeshResource": "isomesh_dagster.definitions.resource",
    "IsomeshTranslator": "isomesh_dagster.definitions.translator",
    "IsomeshTranslatorSettings": "isomesh_dagster.definitions.translator",
    "MacroEvaluator": "isomesh_dagster.macros.evaluator",
    "Project": "isomesh_dagster.project",
    "build_definitions": "isomesh_dagster.definitions.build",
    "isomesh_executor": "isomesh_dagster.definitions.executor",
    "macro": "isomesh_dagster.macros.decorator",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
