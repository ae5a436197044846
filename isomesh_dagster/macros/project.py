"""The Python that a project brings along: macros and functions of models, and what makes each of them what it is.

A digest covers a function's code and everything of the project that it reaches: functions, classes, constants, other
modules. It is read from the text, so that nothing of the project runs to find out whether something changed; modules
run when a macro is called, and where models are, when these must be read.

Keys name what a model read: `macro x` for a Python macro, `metadata macro x` for one that no row depends on,
`jinja x` for a Jinja macro, `module path` for a file with models and all it reaches, `materialization x` for a class of
the project's, `signal x` for a function that says what is ready.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

from isomesh_dagster.errors import MacroError
from isomesh_dagster.macros.decorator import MARK
from isomesh_dagster.macros.opened import inside
from isomesh_dagster.macros.outline import (
    ContextUse,
    Import,
    MacroFunction,
    ModelFunction,
    ModuleOutline,
    SignalFunction,
    module_name,
)

_TEMPLATE_MACRO = re.compile(r"\{%[-+]?\s*macro\s+(\w+)\s*\(.*?\{%[-+]?\s*endmacro\b.*?%\}", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateMacro:
    """A Jinja macro: its source from `{% macro …` to `endmacro %}`, and where it was written."""

    source: str
    path: str
    line: int


class PythonMacro:
    """A macro's function, and where it was written."""

    def __init__(self, function: Callable[..., Any], path: str) -> None:
        self.function = function
        self.path = path
        self.opened: set[str] = set()
        """The files, by absolute path, that its calls opened."""

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters, the evaluator's among them."""
        return tuple(inspect.signature(self.function).parameters)

    def line_of(self, error: BaseException) -> int | None:
        """The line of the macro's file at which an error happened."""
        from isomesh_dagster.macros.modules import line_in

        return line_in(error, self.path)


class ProjectMacros:
    """The Python of one project: its macros, and the functions of its models.

    `outlines` tells those of its Python modules, `templates` the texts of its files with Jinja macros by path; both are
    asked on first use. `read` gives a module's text by path; `root` is the folder they are in, if they are in one.
    Anything here raises MacroError when two macros have one name. Safe to use from threads.
    """

    def __init__(
        self,
        outlines: Callable[[], Iterable[ModuleOutline]] = tuple,
        read: Callable[[str], str] = str,
        templates: Callable[[], Mapping[str, str]] = dict,
        root: Path | None = None,
    ) -> None:
        self._root = root if root is None else root.absolute()
        self._outlines = outlines
        self._texts = templates
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

    @cached_property
    def templates(self) -> Mapping[str, TemplateMacro]:
        """The Jinja macros by name."""
        found: dict[str, TemplateMacro] = {}
        for path, text in sorted(self._texts().items()):
            for match in _TEMPLATE_MACRO.finditer(text):
                line = text.count("\n", 0, match.start()) + 1
                other = found.setdefault(match[1], TemplateMacro(source=match[0], path=path, line=line))
                if (other.path, other.line) != (path, line):
                    raise MacroError(
                        f"Jinja macro {match[1]} is defined in {other.path}:{other.line} too",
                        path=path,
                        line=line,
                        hint="rename one of them",
                    )
        return found

    def template_key(self, name: str) -> str:
        """The key of a Jinja macro."""
        return f"jinja {name}"

    def template_reach(self, names: Iterable[str]) -> list[str]:
        """The sources of the Jinja macros among the names, and of all they mention."""
        todo = sorted(self.templates.keys() & set(names))
        seen = dict.fromkeys(todo)
        while todo:
            source = self.templates[todo.pop()].source
            for name in sorted(self.templates.keys() & set(_WORD.findall(source)) - seen.keys()):
                seen[name] = None
                todo.append(name)
        return [self.templates[name].source for name in sorted(seen)]

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
        found = {self.key(name): self._digest(module, [its.function]) for name, (module, its) in self._python.items()}
        for module in self._modules.values():
            if module.models:
                found[module_key(module.path)] = self._digest(module, [*module.definitions, *module.imports])
        for name, (module, its_class) in self._materializations.items():
            found[f"materialization {name}"] = self._digest(module, [its_class])
        for name, signal in self.signals.items():
            found[f"signal {name}"] = self._digest(self._modules[module_name(signal.path)], [signal.function])
        for name in self.templates:
            text = "\n".join(self.template_reach([name]))
            found[self.template_key(name)] = blake2b(text.encode(), digest_size=16).hexdigest()
        return found

    def python(self, name: str) -> PythonMacro:
        """A Python macro, its module run if it was not yet. Raises ConfigError when that fails."""
        if name not in self._functions:
            module, found = self._python[name]
            function = self.function(module.path, found.function)
            if not hasattr(function, MARK):
                raise MacroError(f"`{found.function}` of {module.path} is no macro", hint="decorate it with @macro()")
            self._functions[name] = PythonMacro(function, module.path)
        return self._functions[name]

    @cached_property
    def _materializations(self) -> dict[str, tuple[ModuleOutline, str]]:
        found: dict[str, tuple[ModuleOutline, str]] = {}
        for module in self._modules.values():
            for name, its_class in module.materializations.items():
                other, _ = found.setdefault(name, (module, its_class))
                if other is not module:
                    raise MacroError(
                        f"materialization {name!r} is defined in {other.path} too",
                        path=module.path,
                        hint="give one of them another NAME",
                    )
        return found

    def materialization(self, name: str) -> Any:
        """The class of a custom materialization, its module run if it was not yet. KeyError for one that is not
        there.
        """
        module, its_class = self._materializations[name.lower()]
        return self.function(module.path, its_class)

    def paths(self, folder: str) -> tuple[str, ...]:
        """The files of a folder whose code is known, sorted."""
        return tuple(sorted(module.path for module in self._modules.values() if module.path.startswith(f"{folder}/")))

    @cached_property
    def signals(self) -> Mapping[str, SignalFunction]:
        """The signals by lower-case name."""
        found: dict[str, SignalFunction] = {}
        for module in self._modules.values():
            for name, signal in module.signals.items():
                other = found.setdefault(name, signal)
                if other is not signal:
                    raise MacroError(
                        f"signal {name!r} is defined in {other.path}:{other.line} too",
                        path=signal.path,
                        line=signal.line,
                        hint="rename one of them",
                    )
        return found

    # --- functions of models

    def model_functions(self, path: str) -> tuple[ModelFunction, ...]:
        """The functions of a file that are models, in order."""
        module = self._modules.get(module_name(path))
        return module.models if module is not None else ()

    def function(self, path: str, name: str) -> Any:
        """A top-level name of a file, its module run if it was not yet. Raises ConfigError when that fails, MacroError
        when the file has no such name. `f of schema.model` is the function that was made for a model.
        """
        name, _, model = name.partition(" of ")
        if model:
            return self._made_for(path, name, model)
        try:
            return self.namespace(path)[name]
        except KeyError:
            raise MacroError(f"{path} has no function `{name}`") from None

    def made(self, path: str, found: ModelFunction) -> list[Any]:
        """The functions that a function of the file made at its line, in order. Raises ConfigError."""
        from isomesh_dagster.macros.python_models import MADE

        begin, end = f"{found.within}.<locals>.", f".{found.function}"
        every = self.namespace(path).get(MADE, ())
        return [one for one in every if one.__qualname__.startswith(begin) and one.__qualname__.endswith(end)]

    def _made_for(self, path: str, name: str, model: str) -> Any:
        from isomesh_dagster.macros.python_models import MADE
        from isomesh_dagster.macros.python_models import MARK as MODEL

        for one in self.namespace(path).get(MADE, ()):
            if one.__name__ == name and any(mark.properties.get("name") == model for mark in getattr(one, MODEL)):
                return one
        raise MacroError(f"{path} makes no function `{name}` for {model}")

    def namespace(self, path: str) -> dict[str, Any]:
        """The names of a file, its module run if it was not yet. Raises ConfigError."""
        found: dict[str, Any] = vars(self._loaded.load(module_name(path)))
        return found

    def text(self, path: str) -> str | None:
        """The text of a file whose code is known; None for any other."""
        return self._read(path) if module_name(path) in self._modules else None

    def function_digest(self, path: str, name: str) -> str | None:
        """The digest of a function and all it reaches, wherever its file lies; None when there is no such function."""
        module = self._modules.get(module_name(path))
        given = b""
        if module is not None and " of " in name:
            function = self.function(path, name)
            name = function.__qualname__.partition(".")[0]
            given = repr([(key, self._given(key, value)) for key, value in given_values(function).items()]).encode()
        if module is None or name not in module.definitions:
            return None
        digest = self._digest(module, [name])
        if module.models and self._root is not None:  # such a file is always run, and so tells what it opens
            self.namespace(path)
            opened = inside(self._root, self._loaded.opened(module.name))
            given += b"".join(f"\0{one}\0".encode() + _content(self._root / one) for one in opened)
        return digest if not given else blake2b(digest.encode() + given, digest_size=16).hexdigest()

    def opened(self, keys: Iterable[str]) -> list[str]:
        """The files of the project, relative to its folder, that the code behind these keys opened so far."""
        if self._root is None:
            return []
        found: set[str] = set()
        for key in keys:
            kind, _, name = key.rpartition(" ")
            if kind == "module":
                found |= self._loaded.opened(module_name(name))
            elif kind.endswith("macro") and name in self._functions:
                found |= self._loaded.opened(self._python[name][0].name) | self._functions[name].opened
        return list(inside(self._root, found))

    def _given(self, name: str, value: Any) -> str:
        """What stands for a value that a made function was given, in its digest."""
        if inspect.isfunction(value):
            found = self.function_digest(value.__code__.co_filename, value.__name__)
            if found is not None and "<locals>" not in value.__qualname__:
                return found
        text = repr(sorted(map(repr, value)) if isinstance(value, set | frozenset) else value)
        if " at 0x" in text:
            raise MacroError(
                f"nobody can tell whether `{name}`, which the function was made with, is still the same",
                hint="make it with texts, numbers, lists, mappings and top-level functions of the project",
            )
        return text

    def context_uses(self, path: str, name: str) -> tuple[tuple[str, ContextUse], ...]:
        """What a function and all it reaches ask of a model's context, each with the path of its file."""
        return tuple(
            (module.path, use)
            for module, item in self._reach(self._modules[module_name(path)], [self._top(path, name)])
            if item in module.definitions
            for use in module.definitions[item].uses
        )

    def _top(self, path: str, name: str) -> str:
        """The top-level name that a function's text is in."""
        found: str = self.function(path, name).__qualname__.partition(".")[0] if " of " in name else name
        return found

    # --- what is reached

    @cached_property
    def _loaded(self) -> Any:
        from isomesh_dagster.macros.modules import Modules

        return Modules(self._source, self._root)

    def _source(self, name: str) -> tuple[str, str] | None:
        module = self._modules.get(name)
        if module is not None:
            return module.path, self._read(module.path)
        if any(other.startswith(f"{name}.") for other in self._modules):
            return name.replace(".", "/"), ""  # a folder without `__init__.py`
        return None

    def _digest(self, module: ModuleOutline, names: Iterable[str]) -> str:
        """Of names of a module and all they reach in the project."""
        parts: list[str] = []
        for at, name in self._reach(module, names):
            # where the file itself lies is nothing to what it says
            place = "" if at is module else at.name
            definition, imported = at.definitions.get(name), at.imports.get(name)
            if definition is not None:
                parts.append(f"{place}.{name} {definition.digest}")
            elif imported is not None:
                parts.append(f"{place}.{name} = {imported.module}:{imported.name or ''}")
        return blake2b("\n".join(sorted(parts)).encode(), digest_size=16).hexdigest()

    def _reach(self, module: ModuleOutline, names: Iterable[str]) -> list[tuple[ModuleOutline, str]]:
        """The names and all names they lead to, with the modules these are in, each once."""
        todo = list(dict.fromkeys((module.name, name) for name in names))
        seen = set(todo)
        for at, name in todo:  # grows while it is walked
            for reached in self._next(self._modules[at], name):
                if reached not in seen:
                    seen.add(reached)
                    todo.append(reached)
        return [(self._modules[at], name) for at, name in todo]

    def _next(self, module: ModuleOutline, name: str) -> Iterable[tuple[str, str]]:
        """What a name of a module leads to."""
        definition = module.definitions.get(name)
        imports = [one for local, one in module.imports.items() if local.partition(" ")[0] == name]
        if definition is None and not imports:
            stars = [other for local, other in module.imports.items() if local.startswith("* ")]
            yield from ((other.module, name) for other in stars if other.module in self._modules)
        if definition is not None:
            yield from ((module.name, mention) for mention in definition.mentions)
        for imported in imports:
            yield from self._imported(imported)

    def _imported(self, imported: Import) -> Iterable[tuple[str, str]]:
        """What an import gives of the project."""
        target = imported.module
        if imported.name is not None and f"{target}.{imported.name}" in self._modules:
            target = f"{target}.{imported.name}"
        elif imported.name is not None:
            return [(target, imported.name)] if target in self._modules else []
        inside = [self._modules[other] for other in self._modules if other == target or other.startswith(f"{target}.")]
        return [(other.name, item) for other in inside for item in (*other.definitions, *other.imports)]


def given_values(function: Any) -> dict[str, Any]:
    """What a made function was made with: the names of the function around it that it uses, and its defaults."""
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    defaults = inspect.signature(function).parameters.values()
    return {
        **{name: cell.cell_contents for name, cell in cells},
        **{one.name: one.default for one in defaults if one.default is not one.empty},
    }


def _content(path: Path) -> bytes:
    try:
        return blake2b(path.read_bytes(), digest_size=16).digest()
    except OSError:  # gone since
        return b""


def module_key(path: str) -> str:
    """The key of a file with models."""
    return f"module {path}"


NO_MACROS = ProjectMacros()
"""The macros of a project without any."""
