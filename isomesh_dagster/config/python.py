"""What a `config.py` of the model format says, as the text of a `config.yaml`: it is read, never run.

Running it would compute the secrets of every gateway, and may ask, print or write. So only what its text tells is
taken: literals, names bound to them at the top level, variables of the environment, paths beside the file, functions
that only return something. All else is left for the author, with its line.
"""

from __future__ import annotations

import ast
import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isomesh_dagster.config.connections import secrets_in_address
from isomesh_dagster.config.values import looks_secret
from isomesh_dagster.errors import ConfigError

_HERE = "config.py"
_CONNECTION = re.compile(r"(?P<engine>\w+)ConnectionConfig")
_ENGINES = {"GCPPostgres": "gcp_postgres"}
_ENV_VAR = re.compile(r"\{\{ env_var\('(?P<name>(?:[^'\\]|\\.)*)'(?:, '(?P<default>(?:[^'\\]|\\.)*)')?\) \}\}")
_PLAIN = re.compile(r"(?!(?:true|false|null|yes|no|on|off|y|n)$)[A-Za-z_./][\w./ -]*(?<! )", re.IGNORECASE)
_MOST_VALUES, _LONGEST = 10_000, 10_000
"""More than anybody configures: what names and functions multiply beyond that is left."""
_FILES = frozenset({"abspath", "realpath", "resolve", "absolute", "expanduser", "as_posix", "str", "Path"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Untold:
    """A value that the text does not tell."""

    line: int


def refusal(path: Path, instead: str) -> ConfigError:
    """Why the file is not taken, and what to write into `instead`, as far as its text tells."""
    try:
        derived = yaml_of(path.read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError):
        derived = None
    hint = f"write the same keys into {instead} and remove {path.name}"
    if derived is not None:
        hint += f"; read from its text, nothing of it was run:\n\n{derived}\n"
    return ConfigError(
        "configuration in Python is not supported: it would read every gateway's secrets", path=path.name, hint=hint
    )


def yaml_of(text: str) -> str | None:
    """The lines of a `config.yaml` that says what `config = Config(…)` of the file does, as far as its text tells.

    None when there is no such value. A password or the like that is written down, as a default of a variable too, is
    not repeated: the line asks for a variable instead.
    """
    try:
        found = _Reader(ast.parse(text)).bound("config")
        return "\n".join(_lines(found, ())) if isinstance(found, dict) and found else None
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply to be read
        return None


class _Reader:
    """The values of a module's names."""

    def __init__(self, module: ast.Module) -> None:
        self._values: dict[str, ast.expr] = {}
        self._functions: dict[str, ast.FunctionDef] = {}
        self._within: list[str] = []
        self._seen = 0
        for statement in module.body:
            if isinstance(statement, ast.FunctionDef):
                self._functions[statement.name] = statement
            elif isinstance(statement, ast.Assign):
                for target in statement.targets:
                    if isinstance(target, ast.Name):
                        self._values[target.id] = statement.value
            elif isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name) and statement.value:
                self._values[statement.target.id] = statement.value

    def bound(self, name: str) -> Any:
        """The value of a name of the module."""
        value = self._values.get(name)
        return None if value is None else self._guarded(name, value, {})

    def _guarded(self, name: str, node: ast.expr, given: Mapping[str, Any]) -> Any:
        if name in self._within:
            return _Untold(line=node.lineno)
        self._within.append(name)
        try:
            return self._value(node, given)
        finally:
            self._within.pop()

    def _value(self, node: ast.expr, given: Mapping[str, Any]) -> Any:
        untold = _Untold(line=node.lineno)
        self._seen += 1
        if self._seen > _MOST_VALUES:
            return untold
        match node:
            case ast.Constant(value=str() | int() | float() | None as value):
                return value
            case ast.Name(id="__file__"):
                return _HERE
            case ast.Name(id=name) if name in given:
                return given[name]
            case ast.Name(id=name) if name in self._values:
                return self._guarded(name, self._values[name], {})
            case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
                return [self._value(item, given) for item in items]
            case ast.Dict(keys=keys, values=values):
                return self._mapping(zip(keys, values, strict=True), given, untold)
            case ast.JoinedStr(values=parts):
                return _joined([self._value(part, given) for part in parts], untold)
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                return self._value(inner, given)
            case ast.BinOp(left=left, op=ast.Div() | ast.Add() as op, right=right):
                sides = [self._value(left, given), self._value(right, given)]
                if isinstance(op, ast.Add):
                    return _joined(sides, untold)
                return _path(sides, untold)
            case ast.BoolOp(op=ast.Or(), values=[first, *_]):
                return self._value(first, given)
            case ast.Subscript(value=of, slice=ast.expr() as key) if _dotted(of).endswith("environ"):
                return _variable([self._value(key, given)], untold)
            case ast.Attribute(value=of, attr="parent"):
                return _directory(self._value(of, given), untold)
            case ast.Attribute(value=ast.Name(id=name), attr=attr) if attr.isupper() and name[:1].isupper():
                return attr.lower()  # a member of an enumeration
            case ast.Call():
                return self._call(node, given, untold)
        return untold

    def _mapping(
        self, items: Iterable[tuple[ast.expr | str | None, ast.expr]], given: Mapping[str, Any], untold: _Untold
    ) -> Any:
        found: dict[str, Any] = {}
        for key, value in items:
            told = self._value(value, given)
            if key is None:
                if not isinstance(told, dict):
                    return untold
                found |= told
                continue
            name = key if isinstance(key, str) else self._value(key, given)
            if not isinstance(name, str | int):
                return untold
            found[str(name)] = told
        return found

    def _call(self, node: ast.Call, given: Mapping[str, Any], untold: _Untold) -> Any:
        called = _dotted(node.func)
        name = called.rpartition(".")[2]
        if called.endswith(("environ.get", "getenv")):
            return _variable([self._value(one, given) for one in node.args], untold)
        if name in ("int", "bool", "float", "frozenset", "set", "list", "tuple") and len(node.args) == 1:
            return self._value(node.args[0], given)
        if name in ("copy", "model_copy") and isinstance(node.func, ast.Attribute):
            return self._copied(node, node.func.value, given, untold)
        if name == "all_full":
            return dict.fromkeys(("external", "python", "sql", "seed"), "full")
        if name in ("dirname", "join", "joinpath") or name in _FILES:
            of = [node.func.value] if isinstance(node.func, ast.Attribute) and not _is_module(called) else []
            parts = [self._value(one, given) for one in (*of, *node.args)]
            if name == "dirname":
                return _directory(parts[0], untold) if len(parts) == 1 else untold
            return _path(parts, untold)
        if called in self._functions:
            return self._returned(self._functions[called], node, given, untold)
        if node.args or not (name[:1].isupper() or name == "dict"):
            return untold
        found = self._mapping(((one.arg, one.value) for one in node.keywords), given, untold)
        connection = _CONNECTION.fullmatch(name)
        if connection is None or not isinstance(found, dict):
            return found
        engine = connection["engine"]
        return {"type": _ENGINES.get(engine, engine.lower()), **found}

    def _copied(self, node: ast.Call, of: ast.expr, given: Mapping[str, Any], untold: _Untold) -> Any:
        before = self._value(of, given)
        changes = [self._value(one.value, given) for one in node.keywords if one.arg == "update"]
        if not isinstance(before, dict) or not all(isinstance(change, dict) for change in changes):
            return untold
        return {key: value for known in (before, *changes) for key, value in known.items()}

    def _returned(self, function: ast.FunctionDef, call: ast.Call, given: Mapping[str, Any], untold: _Untold) -> Any:
        body = [one for one in function.body if not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant))]
        names = [one.arg for one in function.args.args]
        if (
            len(body) != 1
            or not isinstance(body[0], ast.Return)
            or body[0].value is None
            or len(call.args) > len(names)
        ):
            return untold
        defaults = function.args.defaults
        values = dict(zip(names[len(names) - len(defaults) :], (self._value(one, {}) for one in defaults), strict=True))
        values |= zip(names, (self._value(one, given) for one in call.args), strict=False)
        values |= {one.arg: self._value(one.value, given) for one in call.keywords if one.arg is not None}
        return self._guarded(f"{function.name}()", body[0].value, values)


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _is_module(called: str) -> bool:
    return called.startswith(("os.path.", "path.", "pathlib."))


def _variable(given: list[Any], untold: _Untold) -> Any:
    """What `config.yaml` writes for a variable of the environment: its name, maybe a default."""
    if not given or not all(isinstance(one, str | int) for one in given):
        return untold
    return f"{{{{ env_var({', '.join(_quoted(one) for one in given)}) }}}}"


def _quoted(value: object) -> str:
    return "'" + str(value).replace("'", "\\'") + "'"


def _joined(parts: list[Any], untold: _Untold) -> Any:
    joined: Any = untold
    if len(parts) == 2 and all(isinstance(part, list) for part in parts):
        joined = [*parts[0], *parts[1]]
    elif all(isinstance(part, str | int) for part in parts):
        joined = "".join(str(part) for part in parts)
    return joined if isinstance(joined, _Untold) or len(joined) <= _LONGEST else untold


def _directory(path: Any, untold: _Untold) -> Any:
    return posixpath.dirname(path) or "." if isinstance(path, str) and path != "." else untold


def _path(parts: list[Any], untold: _Untold) -> Any:
    if not parts or not all(isinstance(part, str) for part in parts):
        return untold
    return posixpath.normpath(posixpath.join(*parts))


def _lines(value: dict[str, Any], within: tuple[str, ...]) -> Iterator[str]:
    for key, inner in value.items():
        place = (*within, key)
        start = f"{'  ' * len(within)}{_scalar(key)}:"
        if isinstance(inner, dict) and inner:
            yield start
            yield from _lines(inner, place)
        elif isinstance(inner, list) and any(isinstance(item, dict) for item in inner):
            yield start
            for item in inner:
                first, *others = (
                    list(_lines(item, (*place, "")))
                    if isinstance(item, dict) and item
                    else [_scalar(_without_secrets(item, place))]
                )
                yield f"{'  ' * len(within)}  - {first.strip()}"
                yield from others
        elif isinstance(inner, _Untold):
            yield f"{start}  # line {inner.line} of {_HERE} says it"
        else:
            yield f"{start} {_scalar(_without_secrets(inner, place))}"


def _without_secrets(value: Any, place: tuple[str, ...]) -> Any:
    """The value of the key at `place`; where it would tell a secret, a variable is asked for."""
    if isinstance(value, list):
        return [_without_secrets(item, place) for item in value]
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return value
    text = str(value)
    variables = [*_ENV_VAR.finditer(text)]
    written = " ".join((_ENV_VAR.sub("", text), *(one["default"] or "" for one in variables))).strip()
    if not written or not (looks_secret(place[-1]) or secrets_in_address(written)):
        return value
    if len(variables) == 1 and variables[0][0] == text:
        return f"{{{{ env_var('{variables[0]['name']}') }}}}"
    variable = re.sub(r"\W+", "_", "_".join(place[-3:])).upper()
    return f"{{{{ env_var('{variable}') }}}}"


def _scalar(value: Any) -> str:
    match value:
        case list():
            return f"[{', '.join(_scalar(item) for item in value)}]"
        case dict():
            return "{}"
        case _Untold():
            return f'"line {value.line} of {_HERE} says it"'
        case str() if _PLAIN.fullmatch(value):
            return value
    return json.dumps(value, ensure_ascii=False)
