"""Running the Python modules of a project: of its macros, and of its models.

The modules are run from text, each in a namespace of its own, with an import function of their own among their
builtins. So nothing is put on `sys.path`, and into `sys.modules` only under names nobody else has (dataclasses look
their module up there): two projects may both have `macros.utils`, and what a macro imports while it runs comes from the
same place. That import function knows three sources, in this order: names of the model format (`from sqlmesh import
macro` gives ours, whether or not that package is installed), modules of the project, and everything installed.
"""

from __future__ import annotations

import builtins
import itertools
import sys
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from isomesh_dagster.errors import ConfigError, IsomeshError
from isomesh_dagster.macros.materializations import CustomKind, CustomMaterialization
from isomesh_dagster.macros.opened import opened_files
from isomesh_dagster.macros.project_dates import DATE_FUNCTIONS
from isomesh_dagster.macros.python_models import KINDS, ExecutionContext, ModelKindName, TimeColumn, model
from isomesh_dagster.macros.signals import DatetimeRange, DatetimeRanges, signal

ReadModule = Callable[[str], tuple[str, str] | None]
"""Path and text of a module of the project by dotted name; None when the project has none of that name."""


_numbers = itertools.count()


class Modules:
    """Modules of one project, each run once when it is first asked for. Safe to use from threads.

    `root` is the project's folder, absolute: modules find their files there by `__file__`.
    """

    def __init__(self, read: ReadModule, root: Path | None = None) -> None:
        self._read = read
        self._root = root
        self._prefix = f"isomesh_project_{next(_numbers)}"
        weakref.finalize(self, _forget, self._prefix)
        self._loaded: dict[str, ModuleType] = {}
        self._lock = threading.RLock()
        self._stand_ins: dict[str, ModuleType] | None = None
        self._running: list[str] = []
        self._imported: dict[str, set[str]] = {}
        self._opened: dict[str, set[str]] = {}

    def opened(self, name: str) -> set[str]:
        """The files, by absolute path, that the module and those it imports opened while they were run."""
        reached = [name]
        for one in reached:  # grows while it is walked
            reached += sorted(self._imported.get(one, set()).difference(reached))
        return set().union(*(self._opened.get(one, ()) for one in reached))

    def load(self, name: str) -> ModuleType:
        """The module. Raises ConfigError at the line where it fails."""
        with self._lock:
            found = self._find(name)
        if found is None:
            raise ConfigError(f"there is no module {name}", hint="macros live in macros/, models in models/")
        return found

    def _find(self, name: str) -> ModuleType | None:
        if self._running:
            self._imported.setdefault(self._running[-1], set()).add(name)
        if name in self._loaded:
            return self._loaded[name]
        if self._stand_ins is None:
            self._stand_ins = _stand_ins()
        if name in self._stand_ins:
            return self._stand_ins[name]
        found = self._read(name)
        return None if found is None else self._run(name, *found)

    def _run(self, name: str, path: str, text: str) -> ModuleType:
        module = ModuleType(f"{self._prefix}.{name}")
        is_package = path.endswith("/__init__.py") or not path.endswith(".py")
        module.__dict__.update(
            __file__=path if self._root is None else str(self._root / path),
            __package__=name if is_package else name.rpartition(".")[0],
            __builtins__={**vars(builtins), "__import__": self._import},
        )
        if is_package:
            module.__path__ = []
        self._loaded[name] = module
        sys.modules[module.__name__] = _Namespace(module)  # type: ignore[assignment]
        self._running.append(name)
        try:
            with opened_files() as opened:
                exec(compile(text, path, "exec", dont_inherit=True), module.__dict__)
            self._opened[name] = opened
        except IsomeshError:
            del self._loaded[name], sys.modules[module.__name__]
            raise
        except Exception as error:
            del self._loaded[name], sys.modules[module.__name__]
            raise ConfigError(
                f"the module cannot be run: {type(error).__name__}: {error}", path=path, line=line_in(error, path)
            ) from error
        finally:
            self._running.pop()
        return module

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """What an `import` statement of a project's module calls."""
        absolute = name
        if level:
            package = str((globals or {}).get("__package__") or "").split(".")
            absolute = ".".join([*package[: len(package) - level + 1], *([name] if name else [])])
        with self._lock:
            found = self._find(absolute)
            if found is None and self._find(absolute.partition(".")[0]) is None:
                return builtins.__import__(name, globals, locals, fromlist or (), level)
            if found is None:
                return self._installed(absolute, fromlist)
            for attribute in fromlist or ():
                if attribute != "*" and not hasattr(found, attribute):
                    self._from(absolute, found, attribute)
            if fromlist or level:
                return found
            return self._top(absolute)

    def _from(self, module: str, found: ModuleType, attribute: str) -> None:
        """`from module import attribute`, where that is a module itself or a name only the real package has."""
        inner = self._find(f"{module}.{attribute}")
        if inner is None and module in (self._stand_ins or {}):
            inner = getattr(self._installed(module, (attribute,)), attribute, None)
        if inner is not None:
            setattr(found, attribute, inner)

    def _installed(self, name: str, fromlist: Sequence[str] | None) -> ModuleType:
        """A module of an installed package whose names we stand in for; else told what there is."""
        try:
            return builtins.__import__(name, None, None, fromlist or (), 0)
        except ImportError:
            raise ImportError(_not_offered(name, fromlist or ()), name=name) from None

    def _top(self, name: str) -> ModuleType:
        """`import a.b` gives `a`, with `b` in it."""
        parts = name.split(".")
        top = self._find(parts[0])
        assert top is not None
        parent = top
        for k in range(1, len(parts)):
            child = self._find(".".join(parts[: k + 1]))
            assert child is not None
            setattr(parent, parts[k], child)
            parent = child
        return top


class _Namespace:
    """What stands for a module in `sys.modules`: it does not keep the module alive, and with it the whole project."""

    __slots__ = ("_module",)

    def __init__(self, module: ModuleType) -> None:
        self._module = weakref.ref(module)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        module = self._module()
        return {} if module is None else module.__dict__

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module(), name)


def _forget(prefix: str) -> None:
    for name in [name for name in list(sys.modules) if name.startswith(f"{prefix}.")]:
        del sys.modules[name]


def line_in(error: BaseException, path: str) -> int | None:
    """The line of the file at which an error happened; None when it was elsewhere."""
    if isinstance(error, SyntaxError) and error.filename == path:
        return error.lineno
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == path:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


LINTING = ("Rule", "RuleViolation", "Range", "Position", "TextEdit", "CreateFile", "Fix")
MODELS = ("Model", "SqlModel", "PythonModel", "SeedModel", "ExternalModel")
_STAND_INS: Mapping[str, tuple[str, ...]] = {
    "isomesh_dagster": (
        "macro",
        "MacroEvaluator",
        "SQL",
        "model",
        "ExecutionContext",
        "ModelKindName",
        "CustomMaterialization",
        "CustomKind",
        "Rule",
        "RuleViolation",
        "signal",
        "DatetimeRanges",
    ),
    "sqlmesh": (
        "macro",
        "MacroEvaluator",
        "SQL",
        "model",
        "ExecutionContext",
        "CustomMaterialization",
        "CustomKind",
        "Model",
        "EngineAdapter",
        "signal",
        "DatetimeRanges",
        "Snapshot",
    ),
    "sqlmesh.core": (),
    "sqlmesh.core.context": ("ExecutionContext", "Context"),
    "sqlmesh.core.dialect": ("MacroFunc", "MacroVar", "parse", "parse_one"),
    "sqlmesh.core.engine_adapter": ("EngineAdapter",),
    "sqlmesh.core.linter": (),
    "sqlmesh.core.linter.rule": LINTING,
    "sqlmesh.core.macros": ("macro", "MacroEvaluator", "RuntimeStage", "SQL"),
    "sqlmesh.core.model": ("model", "ModelKindName", "TimeColumn", *MODELS, *KINDS),
    "sqlmesh.core.model.decorator": ("model",),
    "sqlmesh.core.model.definition": MODELS,
    "sqlmesh.core.model.kind": ("ModelKindName", "TimeColumn", "CustomKind", *KINDS),
    "sqlmesh.core.node": ("IntervalUnit",),
    "sqlmesh.core.signal": ("signal",),
    "sqlmesh.core.snapshot": ("Snapshot",),
    "sqlmesh.utils": (),
    "sqlmesh.utils.date": ("DatetimeRange", "DatetimeRanges", *DATE_FUNCTIONS),
    "sqlmesh.utils.errors": ("SQLMeshError", "MacroEvalError", "ConfigError"),
}


def _not_offered(module: str, wanted: Sequence[str]) -> str:
    """What is missing of a package whose names we stand in for, and what there is instead."""
    names = _STAND_INS.get(module)
    if not names:
        modules = [name for name, offered in _STAND_INS.items() if offered and name.startswith("sqlmesh")]
        return f"no module {module!r}: a project's files can import from {', '.join(modules)}"
    missing = ", ".join(name for name in wanted if name not in names)
    return f"no {missing or 'such name'} in {module!r}: a project's files can import {', '.join(names)} from it"


def _stand_ins() -> dict[str, ModuleType]:
    """Modules under the names that files of the model format import from, with what they need of them."""
    from isomesh_dagster.errors import MacroError
    from isomesh_dagster.macros import lint_rules
    from isomesh_dagster.macros.arguments import SQL
    from isomesh_dagster.macros.decorator import macro
    from isomesh_dagster.macros.evaluator import MacroEvaluator, RuntimeStage
    from isomesh_dagster.macros.macro_trees import TREES

    values: dict[str, Any] = {
        **KINDS,
        **DATE_FUNCTIONS,
        **TREES,
        "model": model,
        "ExecutionContext": ExecutionContext,
        "Context": lint_rules.LintContext,  # who asks for one is a lint rule
        "ModelKindName": ModelKindName,
        "TimeColumn": TimeColumn,
        "IntervalUnit": lint_rules.IntervalUnit,
        "CustomMaterialization": CustomMaterialization,
        "CustomKind": CustomKind,
        **{name: getattr(lint_rules, name) for name in (*LINTING, *MODELS)},
        "EngineAdapter": Any,
        "Snapshot": Any,
        "signal": signal,
        "DatetimeRange": DatetimeRange,
        "DatetimeRanges": DatetimeRanges,
        "macro": macro,
        "MacroEvaluator": MacroEvaluator,
        "RuntimeStage": RuntimeStage,
        "SQL": SQL,
        "SQLMeshError": MacroError,
        "MacroEvalError": MacroError,
        "ConfigError": ConfigError,
    }
    modules = {}
    for name, names in _STAND_INS.items():
        module = modules[name] = ModuleType(name)
        module.__path__ = []
        module.__dict__.update({item: values[item] for item in names if item in values})
    return modules
