"""What a Python module of a project defines, read from its text without running it.

In: the text of one file. Out: the macros and models in it, and for every top-level name a digest of its code, the names
it mentions and what it asks of a model's context, so that a digest can follow what a function reaches. Comments,
docstrings and layout are no part of a digest; nor is the version of Python, since the shape of the syntax tree is
hashed and not a text printed from it.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, TypeGuard

from isomesh_dagster.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextUse:
    """What code asks of `context`: `table`, `var`, `blueprint_var` or `gateway`; the first argument as written, "" for
    none; and the line.
    """

    asks: str
    argument: str
    line: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A top-level name: the digest of the statements that make it, the names these mention, and what they ask of a
    model's context. The decorator that makes a function a model is no part of it.
    """

    digest: str
    mentions: tuple[str, ...] = ()
    uses: tuple[ContextUse, ...] = ()


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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFunction:
    """A function under `@model(…)`, and the line of that; with `is_sql` it gives SQL, as a macro does. `within` is the
    top-level function that makes it, once for each call; "" for one that stands at the top level itself.
    """

    function: str
    line: int
    is_sql: bool = False
    within: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFunction:
    """A function under `@signal()`, its file and line. `parameters` are those after the first, which is given the
    intervals; `required` have no default; `takes_any` tells that any argument may be given.
    """

    function: str
    path: str
    line: int
    parameters: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    takes_any: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleOutline:
    """One module: `macros` by lower-case name, `definitions` and `imports` by the name they have in it (more imports of
    one name have a number behind it, those of all names are `* module`); `models` in the order they are written;
    `materializations` are classes by the lower-case name that kinds call them by; `signals` by lower-case name.
    """

    path: str
    name: str
    macros: Mapping[str, MacroFunction] = field(default_factory=dict)
    definitions: Mapping[str, Definition] = field(default_factory=dict)
    imports: Mapping[str, Import] = field(default_factory=dict)
    models: tuple[ModelFunction, ...] = ()
    materializations: Mapping[str, str] = field(default_factory=dict)
    signals: Mapping[str, SignalFunction] = field(default_factory=dict)


def module_name(path: str) -> str:
    """The dotted name of the module at a path relative to the project's root."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def outline(text: str, path: str) -> ModuleOutline:
    """The outline of a module. Raises ConfigError with the line when it is not Python, or hides a model in a block."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise ConfigError(f"the file is not valid Python: {error.msg}", path=path, line=error.lineno) from None
    package = module_name(path) if path.endswith("/__init__.py") else module_name(path).rpartition(".")[0]
    parts: dict[str, list[ast.stmt]] = {}
    loose: list[ast.stmt] = []
    macros: dict[str, MacroFunction] = {}
    imports: dict[str, Import] = {}
    for local, imported in _imports(tree, package):
        if imports.get(local, imported) != imported:  # two functions import two things by one name
            imports[f"{local} {len(imports)}"] = imports[local]
        imports[local] = imported
    models = _take_models(tree, imports, path)
    macros.update(
        (sql_model_macro(path, found.function), MacroFunction(function=found.function, line=found.line))
        for found in models
        if found.is_sql
    )
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            parts.setdefault(statement.name, []).append(statement)
            for decorator in statement.decorator_list:
                found = _macro(decorator, statement)
                if found is not None:
                    macros[found[0]] = found[1]
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            loose.append(statement)
    makers = {found.within for found in models}  # what their calls give is told by the functions they make
    for statement in loose:  # assignments, and what happens to a name later: `REGISTRY["x"] = 1`
        for name in {node.id for node in ast.walk(statement) if isinstance(node, ast.Name)} - makers:
            if name in parts or any(_binds(other, name) for other in loose):
                parts.setdefault(name, []).append(statement)
    return ModuleOutline(
        path=path,
        name=module_name(path),
        macros=macros,
        definitions={
            name: Definition(
                digest=_digest(statements),
                mentions=tuple(sorted(_mentions(statements) - (_parameters(statements) if name in makers else set()))),
                uses=tuple(use for statement in statements for use in _uses(statement)),
            )
            for name, statements in parts.items()
        },
        imports=imports,
        models=models,
        materializations=dict(_materializations(tree, imports)),
        signals=dict(_signals(tree, imports, path)),
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
            name: Definition(
                digest=item["digest"],
                mentions=tuple(item["mentions"]),
                uses=tuple(ContextUse(**use) for use in item["uses"]),
            )
            for name, item in data["definitions"].items()
        },
        imports={name: Import(**item) for name, item in data["imports"].items()},
        models=tuple(ModelFunction(**item) for item in data["models"]),
        materializations=data["materializations"],
        signals={
            name: SignalFunction(
                **{**item, "parameters": tuple(item["parameters"]), "required": tuple(item["required"])}
            )
            for name, item in data["signals"].items()
        },
    )


def sql_model_macro(path: str, function: str) -> str:
    """The name under which a function that gives a model's SQL is called like a macro."""
    return f"python_model_{re.sub(r'[^a-z0-9]', '_', module_name(path).lower())}_{function.lower()}"


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
    )
    return str(name or function.name).lower(), found


def _take_models(tree: ast.Module, imports: Mapping[str, Import], path: str) -> tuple[ModelFunction, ...]:
    """The functions that a decorator makes models; takes that decorator away, since it says nothing about rows."""
    found = []
    makers = {inner: top.name for top in tree.body if isinstance(top, ast.FunctionDef) for inner in _inside(top)}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        calls = [one for one in function.decorator_list if _is_model_decorator(one, imports)]
        if not calls:
            continue
        within = makers.get(function, "")
        if isinstance(function, ast.AsyncFunctionDef) or (function not in tree.body and not within):
            raise ConfigError(
                f"`{function.name}` must be a plain function at the top level of its file to be a model",
                path=path,
                line=calls[0].lineno,
                hint="several models of one function are written with blueprints=[{…}, {…}], or made by a function",
            )
        function.decorator_list = [one for one in function.decorator_list if one not in calls]
        options = {option.arg: option.value for call in calls for option in call.keywords}
        is_sql = options.get("is_sql")
        gives_sql = isinstance(is_sql, ast.Constant) and is_sql.value is True
        if gives_sql and within:
            raise ConfigError(
                f"`{function.name}` gives SQL, so it must stand at the top level of its file",
                path=path,
                line=calls[0].lineno,
                hint="several models of one function are written with blueprints=[{…}, {…}]",
            )
        found.append(ModelFunction(function=function.name, line=calls[0].lineno, is_sql=gives_sql, within=within))
    return tuple(sorted(found, key=lambda one: one.line))


def _inside(top: ast.AST) -> Iterator[ast.AST]:
    """The plain functions inside a function, those of classes left out."""
    for child in ast.iter_child_nodes(top):
        if isinstance(child, ast.FunctionDef):
            yield child
        if not isinstance(child, ast.ClassDef):
            yield from _inside(child)


def _is_model_decorator(decorator: ast.expr, imports: Mapping[str, Import]) -> TypeGuard[ast.Call]:
    return isinstance(decorator, ast.Call) and _is_ours(decorator.func, "model", imports)


def _is_ours(named: ast.expr, wanted: str, imports: Mapping[str, Import]) -> bool:
    """Whether an expression is that name of the model format, as it was imported."""
    given = None
    if isinstance(named, ast.Attribute):  # sqlmesh.model(…)
        given = named.attr
        while isinstance(named, ast.Attribute):
            named = named.value
    imported = imports.get(named.id) if isinstance(named, ast.Name) else None
    if imported is None:
        return False
    return imported.module.partition(".")[0] in ("sqlmesh", "isomesh_dagster") and (given or imported.name) == wanted


def _materializations(tree: ast.Module, imports: Mapping[str, Import]) -> Iterator[tuple[str, str]]:
    """The classes that derive from `CustomMaterialization`, also by others of the module: their names in kinds, and
    their own.
    """
    found: set[str] = set()
    for one in tree.body:
        if not isinstance(one, ast.ClassDef):
            continue
        bases = [base.value if isinstance(base, ast.Subscript) else base for base in one.bases]
        if not any(
            _is_ours(base, "CustomMaterialization", imports) or (isinstance(base, ast.Name) and base.id in found)
            for base in bases
        ):
            continue
        found.add(one.name)
        names = [
            statement.value.value
            for statement in one.body
            if isinstance(statement, ast.Assign | ast.AnnAssign) and isinstance(statement.value, ast.Constant)
            for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
            if isinstance(target, ast.Name) and target.id == "NAME"
        ]
        yield str(names[-1] if names else one.name).lower(), one.name


def _signals(tree: ast.Module, imports: Mapping[str, Import], path: str) -> Iterator[tuple[str, SignalFunction]]:
    """The functions that a decorator makes signals, by the names that headers call them by."""
    for function in tree.body:
        if not isinstance(function, ast.FunctionDef):
            continue
        for decorator in function.decorator_list:
            if not isinstance(decorator, ast.Call) or not _is_ours(decorator.func, "signal", imports):
                continue
            given = [*decorator.args, *(option.value for option in decorator.keywords if option.arg == "name")]
            name = given[0].value if given and isinstance(given[0], ast.Constant) else ""
            takes = function.args
            positional = [one.arg for one in (*takes.posonlyargs, *takes.args)]
            required = positional[: len(positional) - len(takes.defaults)]
            only_named = [
                one.arg for one, default in zip(takes.kwonlyargs, takes.kw_defaults, strict=True) if default is None
            ]
            yield (
                str(name or function.name).lower(),
                SignalFunction(
                    function=function.name,
                    path=path,
                    line=function.lineno,
                    parameters=(*positional[1:], *(one.arg for one in takes.kwonlyargs)),
                    required=(*required[1:], *only_named),
                    takes_any=takes.kwarg is not None,
                ),
            )


_TABLE = ("table", "resolve_table")
_ARGUMENTS = {"table": "model_name", "resolve_table": "model_name", "var": "var_name", "blueprint_var": "var_name"}


def _uses(statement: ast.stmt) -> Iterator[ContextUse]:
    """What a statement asks of `context`."""
    for node in ast.walk(statement):
        if isinstance(node, ast.Call) and (asks := _of_context(node.func)) in _ARGUMENTS:
            given = [*node.args[:1], *(one.value for one in node.keywords if one.arg == _ARGUMENTS[asks])]
            argument = ast.unparse(given[0]) if given else ""
            yield ContextUse(asks="table" if asks in _TABLE else asks, argument=argument, line=node.lineno)
        elif _of_context(node) == "gateway":
            yield ContextUse(asks="gateway", argument="", line=getattr(node, "lineno", 1))


def _of_context(node: ast.AST) -> str:
    """The attribute of `context` that an expression is; "" for anything else."""
    is_its = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "context"
    return node.attr if is_its and isinstance(node, ast.Attribute) else ""


def _binds(statement: ast.stmt, name: str) -> bool:
    return any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        for node in ast.walk(statement)
    )


def _mentions(statements: list[ast.stmt]) -> set[str]:
    return {node.id for statement in statements for node in ast.walk(statement) if isinstance(node, ast.Name)}


def _parameters(statements: list[ast.stmt]) -> set[str]:
    return {node.arg for statement in statements for node in ast.walk(statement) if isinstance(node, ast.arg)}


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
