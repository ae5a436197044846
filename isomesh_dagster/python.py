"""What the Python files of a project import: `from isomesh_dagster.python import model, macro, …`.

Inside a project `from isomesh_dagster import …` gives the same, and so does `from sqlmesh import …`, for projects that
came from there. This module is for editors, type checkers and tests of the files' functions, which take imports
literally.
"""

from isomesh_dagster.macros.arguments import SQL
from isomesh_dagster.macros.decorator import macro
from isomesh_dagster.macros.evaluator import MacroEvaluator
from isomesh_dagster.macros.lint_rules import Rule, RuleViolation
from isomesh_dagster.macros.materializations import CustomKind, CustomMaterialization
from isomesh_dagster.macros.python_models import ExecutionContext, ModelKindName, model
from isomesh_dagster.macros.signals import DatetimeRanges, signal

__all__ = [
    "SQL",
    "CustomKind",
    "CustomMaterialization",
    "DatetimeRanges",
    "ExecutionContext",
    "MacroEvaluator",
    "ModelKindName",
    "Rule",
    "RuleViolation",
    "macro",
    "model",
    "signal",
]
