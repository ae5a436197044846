"""isomesh_dagster: virtual data environments on Dagster.

The public names below are imported when they are first used: `import isomesh_dagster` imports neither Dagster nor a
database driver.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from isomesh_dagster.definitions.build import build_definitions
    from isomesh_dagster.definitions.component import IsomeshProjectComponent
    from isomesh_dagster.definitions.decorator import isomesh_assets
    from isomesh_dagster.definitions.executor import isomesh_executor
    from isomesh_dagster.definitions.project import IsomeshProject
    from isomesh_dagster.definitions.resource import IsomeshResource
    from isomesh_dagster.definitions.selections import (
        build_isomesh_selection,
        build_schedule_from_isomesh_selection,
        get_asset_key_for_model,
    )
    from isomesh_dagster.definitions.settings import IsomeshTranslatorSettings
    from isomesh_dagster.definitions.translator import IsomeshTranslator
    from isomesh_dagster.errors import IsomeshError
    from isomesh_dagster.macros.decorator import macro
    from isomesh_dagster.macros.evaluator import MacroEvaluator
    from isomesh_dagster.macros.signals import DatetimeRanges, signal
    from isomesh_dagster.project import Project

__version__ = "0.1.0"

__all__ = [
    "DatetimeRanges",
    "IsomeshError",
    "IsomeshProject",
    "IsomeshProjectComponent",
    "IsomeshResource",
    "IsomeshTranslator",
    "IsomeshTranslatorSettings",
    "MacroEvaluator",
    "Project",
    "build_definitions",
    "build_isomesh_selection",
    "build_schedule_from_isomesh_selection",
    "get_asset_key_for_model",
    "isomesh_assets",
    "isomesh_executor",
    "macro",
    "signal",
]

_HOMES = {
    "DatetimeRanges": "isomesh_dagster.macros.signals",
    "IsomeshError": "isomesh_dagster.errors",
    "IsomeshProject": "isomesh_dagster.definitions.project",
    "IsomeshProjectComponent": "isomesh_dagster.definitions.component",
    "IsomeshResource": "isomesh_dagster.definitions.resource",
    "IsomeshTranslator": "isomesh_dagster.definitions.translator",
    "IsomeshTranslatorSettings": "isomesh_dagster.definitions.settings",
    "MacroEvaluator": "isomesh_dagster.macros.evaluator",
    "Project": "isomesh_dagster.project",
    "build_definitions": "isomesh_dagster.definitions.build",
    "build_isomesh_selection": "isomesh_dagster.definitions.selections",
    "build_schedule_from_isomesh_selection": "isomesh_dagster.definitions.selections",
    "get_asset_key_for_model": "isomesh_dagster.definitions.selections",
    "isomesh_assets": "isomesh_dagster.definitions.decorator",
    "isomesh_executor": "isomesh_dagster.definitions.executor",
    "macro": "isomesh_dagster.macros.decorator",
    "signal": "isomesh_dagster.macros.signals",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
