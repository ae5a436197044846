"""What a Python module of a project defines, read from its text without running it.

In: the text of one file. Out: the macros in it, and for every top-level name a digest of its code and the names it
mentions, so that a macro's digest can follow what it reaches. Comments, docstrings and layout are no part of a digest;
nor is the version of Python, since the shape of the syntax tree is hashed and not a text printed from it.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any

from isomesh_dagster.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A top-level name: the digest of the statements that make it, and the names these mention."""

    digest: str
    mentions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Import:
    """What a local name was imported as: a module, or one name of it; `name` "*" is all of them."""

    module: str
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MacroFunction:
    """A function under `@macro()`."""

    function: str
    line: int
    metadata_only: bool = False
    uses_engine: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleOutline:
    """One module: `macros` by lower-case name, `definitions` and `imports` by the name they have in it."""

    path: str
    name: str
    macros: Mapping[str, MacroFunction] = field(default_factory=dict)
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    imports: Mapping[str, Import] = field(default_factory=dict)


def module_name(path: str) -> str:
    """The dotted name of the module at a path relative to the project's root."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def outline(text: str, path: str) -> ModuleOutline:
    """The outline of a module. Raises ConfigError with the line when it is not Python."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ConfigError(f"the file is not valid Python: {error.msg}", path=path, line=error.lineno) from None
    package = module_name(path) if path.endswith("/__init__.py") else module_name(path).rpartition(".")[0]
    parts: dict[str, list[ast.stmt]] = {}
    loose: list[ast.stmt] = []
    macros: dict[str, MacroFunction] = {}
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            parts.setdefault(statement.name, []).append(statement)
            for decorator in statement.decorator_list:
                found = _macro(decorator, statement)
                if found is not None:
                    macros[found[0]] = found[1]
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            loose.append(statement)
    for statement in loose:  # assignments, and what happens to a name later: `REGISTRY["x"] = 1`
        for name in {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)}:
            if name in parts or any(_binds(other, name) for other in loose):
                parts.setdefault(name, []).append(statement)
    return ModuleOutline(
        path=path,
        name=module_name(path),
        macros=macros,
        definitions={
            name: Definition(digest=_digest(statements), mentions=tuple(sorted(_mentions(statements))))
            for name, statements in parts.items()
        },
        imports=dict(_imports(tree, package)),
    )


def outline_to_json(module: ModuleOutline) -> dict[str, Any]:
    """The outline as JSON-ready data."""
    return asdict(module)


def outline_from_json(data: Mapping[str, Any]) -> ModuleOutline:
    """The outline that `outline_to_json` encoded."""
    return ModuleOutline(
        path=data["path"],
        name=data["name"],
        macros={name: MacroFunction(**item) for name, item in data["macros"].items()},
        definitions={
            name: Definition(digest=item["digest"], mentions=tuple(item["mentions"]))
            for name, item in data["definitions"].items()
        },
        imports={name: Import(**item) for name, item in data["imports"].items()},
    )


def _macro(decorator: ast.expr, function: ast.stmt) -> tuple[str, MacroFunction] | None:
    """The macro that a decorator makes of a function, and its name; None when it is another decorator."""
    if not isinstance(decorator, ast.Call) or not isinstance(function, ast.FunctionDef):
        return None
    called = decorator.func
    if (called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")) != "macro":
        return None
    given = [*decorator.args, *(keyword.value for keyword in decorator.keywords if keyword.arg == "name")]
    options = {keyword.arg: keyword.value for keyword in decorator.keywords}
    name = given[0].value if given and isinstance(given[0], ast.Constant) else ""
    metadata_only = options.get("metadata_only")
    found = MacroFunction(
        function=function.name,
        line=function.lineno,
        metadata_only=isinstance(metadata_only, ast.Constant) and metadata_only.value is True,
        uses_engine=any(isinstance(node, ast.Attribute) and node.attr in _ENGINE for node in ast.walk(function)),
    )
    return str(name or function.name).lower(), found


_ENGINE = ("engine_adapter",)


def _binds(statement: ast.stmt, name: str) -> bool:
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        for node in ast.walk(statement)
    )


def _mentions(statements: list[ast.stmt]) -> set[str]:
    return {node.id for statement in statements for node in ast.walk(statement) if isinstance(node, ast.Name)}


def _imports(tree: ast.Module, package: str) -> Iterator[tuple[str, Import]]:
    """All imports, those inside functions too, by the local name they give."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                yield name, Import(module=alias.name)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                base = package.split(".")[: len(package.split(".")) - node.level + 1]
                module = ".".join([*base, *([module] if module else [])])
            for alias in node.names:
                local = f"* {module}" if alias.name == "*" else alias.asname or alias.name
                yield local, Import(module=module, name=alias.name)


def _digest(statements: list[ast.stmt]) -> str:
    shape = json.dumps([_shape(statement) for statement in statements], separators=(",", ":"))
    return blake2b(shape.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


# of no meaning, or there in some versions of Python only
_LEFT_OUT = frozenset({"ctx", "kind", "type_comment", "type_ignores"})


def _shape(node: Any) -> Any:
    """A syntax tree as lists: empty fields, docstrings and positions left out."""
    if isinstance(node, list):
        return [_shape(item) for item in node]
    if not isinstance(node, ast.AST):
        return node if isinstance(node, str | int | float | bool) or node is None else repr(node)
    fields = []
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            value = value[1:] if _is_docstring(value[0]) else value
        if name not in _LEFT_OUT and value is not None and value != []:
            fields.append([name, _shape(value)])
    return [type(node).__name__, fields]


def _is_docstring(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant):
        return False
    return isinstance(statement.value.value, str)
