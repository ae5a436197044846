"""The macros a project brings along, and what makes each of them what it is.

A digest covers a macro's code and everything of the project that it reaches: functions, classes, constants, other
modules. It is read from the text, so that nothing of the project runs to find out whether something changed; modules
run when a macro is called.

Keys name what a model read: `macro x` for a Python macro, `metadata macro x` for one that no row depends on.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from hashlib import blake2b
from typing import Any

from isomesh_dagster.errors import MacroError, UnsupportedError
from isomesh_dagster.macros.decorator import MARK
from isomesh_dagster.macros.outline import MacroFunction, ModuleOutline


class PythonMacro:
    """A macro's function, and where it was written."""

    def __init__(self, function: Callable[..., Any], path: str) -> None:
        self.function = function
        self.path = path

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, the evaluator's among them."""
        return tuple(inspect.signature(self.function).parameters)

    def line_of(self, error: BaseException) -> int | None:
        """The line of the macro's file at which an error happened."""
        from isomesh_dagster.macros.modules import line_in

        return line_in(error, self.path)


class ProjectMacros:
    """The macros of one project.

    `outlines` tells those of its Python modules, and is asked on first use; `read` gives a module's text by path.
    Anything here raises MacroError when two macros have one name. Safe to use from threads.
    """

    def __init__(
        self, outlines: Callable[[], Iterable[ModuleOutline]] = tuple, read: Callable[[str], str] = str
    ) -> None:
        self._outlines = outlines
        self._read = read
        self._functions: dict[str, PythonMacro] = {}

    @cached_property
    def _modules(self) -> dict[str, ModuleOutline]:
        return {module.name: module for module in self._outlines()}

    @cached_property
    def _python(self) -> dict[str, tuple[ModuleOutline, MacroFunction]]:
        macros: dict[str, tuple[ModuleOutline, MacroFunction]] = {}
        for module in self._modules.values():
            for name, found in module.macros.items():
                other, its = macros.setdefault(name, (module, found))
                if other is not module:
                    raise MacroError(
                        f"macro @{name} is defined in {other.path}:{its.line} too",
                        path=module.path,
                        line=found.line,
                        hint="rename one of them",
                    )
        return macros

    @property
    def names(self) -> frozenset[str]:
        """Names of the Python macros, in lower case."""
        return frozenset(self._python)

    def place(self, name: str) -> tuple[str, int]:
        """Path and line of a Python macro."""
        module, found = self._python[name]
        return module.path, found.line

    def key(self, name: str) -> str:
        """The key of a Python macro."""
        return f"metadata macro {name}" if self._python[name][1].metadata_only else f"macro {name}"

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """Digests of all macros by key."""
        return {self.key(name): self._digest(module, found.function) for name, (module, found) in self._python.items()}

    def python(self, name: str) -> PythonMacro:
        """A Python macro, its module run if it was not yet. Raises ConfigError when that fails."""
        if name not in self._functions:
            module, found = self._python[name]
            if found.uses_engine:
                raise UnsupportedError(
                    f"macro @{name} ({module.path}:{found.line}) reaches for the warehouse, which macros cannot",
                    hint="return the statement; the macro is called where it must run",
                )
            function = getattr(self._loaded.load(module.name), found.function)
            if not hasattr(function, MARK):
                raise MacroError(f"`{found.function}` of {module.path} is no macro", hint="decorate it with @macro()")
            self._functions[name] = PythonMacro(function, module.path)
        return self._functions[name]

    @cached_property
    def _loaded(self) -> Any:
        from isomesh_dagster.macros.modules import Modules

        return Modules(self._source)

    def _source(self, name: str) -> tuple[str, str] | None:
        module = self._modules.get(name)
        if module is not None:
            return module.path, self._read(module.path)
        if any(other.startswith(f"{name}.") for other in self._modules):
            return name.replace(".", "/"), ""  # a folder without `__init__.py`
        return None

    def _digest(self, module: ModuleOutline, function: str) -> str:
        """Of a function and all it reaches in the project."""
        parts: list[str] = []
        seen = {(module.name, function)}
        todo = [(module.name, function)]
        while todo:
            at, name = todo.pop()
            found = self._modules[at]
            for reached in self._reached(found, name, parts):
                if reached not in seen:
                    seen.add(reached)
                    todo.append(reached)
        return blake2b("\n".join(sorted(parts)).encode(), digest_size=16).hexdigest()

    def _reached(self, module: ModuleOutline, name: str, parts: list[str]) -> Iterable[tuple[str, str]]:
        """What a name of a module leads to; `parts` gets what it is made of."""
        definition = module.definitions.get(name)
        if definition is not None:
            parts.append(f"{module.name}.{name} {definition.digest}")
            return [(module.name, mention) for mention in definition.mentions]
        imported = module.imports.get(name)
        if imported is None:
            stars = [other for local, other in module.imports.items() if local.startswith("* ")]
            return [(other.module, name) for other in stars if other.module in self._modules]
        parts.append(f"{module.name}.{name} = {imported.module}:{imported.name or ''}")
        target = imported.module
        if imported.name is not None and f"{target}.{imported.name}" in self._modules:
            target = f"{target}.{imported.name}"
        elif imported.name is not None:
            return [(target, imported.name)] if target in self._modules else []
        inside = [self._modules[other] for other in self._modules if other == target or other.startswith(f"{target}.")]
        return [(other.name, item) for other in inside for item in (*other.definitions, *other.imports)]


NO_MACROS = ProjectMacros()
"""The macros of a project without any."""
