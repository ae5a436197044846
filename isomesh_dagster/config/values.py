"""Parts of a configuration's tree as plain data, with the variables they mention filled in.

Only `resolve` and `filled` read variables, and only those that the part mentions: the secrets of a gateway that was not
chosen are never touched. In values, `{{ env_var('X', 'default') }}`, `{{ user() }}`, `${X}` and `${X:-default}` are
replaced; `$${X}` writes `${X}`. No error raised here repeats a value: it may be a secret.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from isomesh_dagster.config.file import REPLACED, WRITE, MappingNode, Node, Place, ScalarNode, SequenceNode
from isomesh_dagster.errors import ConfigError, hide
from isomesh_dagster.model.scalars import PLAIN_KINDS, plain_value

if TYPE_CHECKING:
    from isomesh_dagster.model.model import Json

_SECRET_NAME = re.compile(
    r"secret|passw|passphrase|pwd|token|key|auth|credential|dsn|conn|ur[il]$|(?:\b|_)sig(?:\b|_|nature)", re.IGNORECASE
)


class Unquoted(str):
    """What an unquoted value with replaced parts came to: text where text is wanted, else read as YAML reads a value.

    A password of digits stays text, a port becomes a number: the key that takes the value decides (see `as_yaml`).
    """

    __slots__ = ()


def resolve(node: Node, variables: Mapping[str, str], key: str) -> Any:
    """The part of a tree as plain data: dict, list, str, int, float, bool, None, and `Unquoted` text.

    `key` is the path of keys that errors tell. Raises ConfigError for a variable that is not set and has no default.
    """
    match node:
        case MappingNode():
            return {
                name: resolve(value, variables, f"{key}.{name}" if key else name) for name, value in node.items.items()
            }
        case SequenceNode():
            return [resolve(value, variables, f"{key}[{index}]") for index, value in enumerate(node.items)]
        case ScalarNode(variable=str(variable)):
            return Unquoted(variables[variable])
        case ScalarNode():
            return _scalar(node, variables, key)


def as_written(node: Node) -> tuple[str, ...]:
    """The texts of a list, or of a single value, with the variables they name instead of these variables' values."""
    nodes = node.items if isinstance(node, SequenceNode) else (node,)
    return tuple(
        (one.text if one.variable is None else f"${{{one.variable}}}") if isinstance(one, ScalarNode) else ""
        for one in nodes
    )


def filled(text: str, variables: Mapping[str, str], key: str) -> str:
    """A text as written with the values of the variables that it names; what looks like a secret is hidden from errors
    from then on. Raises ConfigError, which tells `key`, for a variable that is not set.
    """
    node = ScalarNode(place=Place(path="config.yaml"), text=text, plain=False)
    hide(variables[name] for name in variables_in(node) if name in variables and looks_secret(name))
    return str(_scalar(node, variables, key))


def variables_in(node: Node) -> tuple[str, ...]:
    """The environment variables that the texts of a tree name."""
    match node:
        case MappingNode():
            return tuple(name for below in node.items.values() for name in variables_in(below))
        case SequenceNode():
            return tuple(name for below in node.items for name in variables_in(below))
        case ScalarNode(variable=str(variable)):
            return (variable,)
        case ScalarNode():
            calls = [(found["name"], _parsed(found["code"] or "")) for found in REPLACED.finditer(node.text)]
            return tuple(
                str(name or (call or ("", ""))[1]) for name, call in calls if name or (call or [""])[0] == "env_var"
            )


def looks_secret(name: str) -> bool:
    """Whether a variable, key or option of that name is likely to hold something that nobody else should read."""
    return _SECRET_NAME.search(name) is not None


def as_yaml(value: Any) -> Json:
    """`Unquoted` text in resolved data read as YAML reads an unquoted value; for keys that take a value of any type."""
    if isinstance(value, dict):
        return {key: as_yaml(item) for key, item in value.items()}
    if isinstance(value, list):
        return [as_yaml(item) for item in value]
    if isinstance(value, Unquoted):
        from yaml import ScalarNode as YamlScalar
        from yaml.resolver import Resolver

        tag = Resolver().resolve(YamlScalar, str(value), (True, False))  # type: ignore[no-untyped-call]
        try:
            return _construct(tag.rpartition(":")[2], str(value))
        except ValueError:
            return str(value)
    result: Json = value
    return result


def _scalar(node: ScalarNode, variables: Mapping[str, str], key: str) -> Any:
    def fail(message: str, hint: str) -> NoReturn:
        raise ConfigError(f"{key}: {message}", path=node.place.path, line=node.place.line, hint=hint)

    def variable(name: str, default: str | None) -> str:
        try:
            return variables[name]
        except KeyError:
            if default is not None:
                return default
        fail(
            f"environment variable {name} is not set",
            f"set {name}, or give a default: {{{{ env_var('{name}', '…') }}}}",
        )

    def replacement(match: re.Match[str]) -> str:
        if match["escape"]:
            return match["escape"][1:]
        if match["name"]:
            return variable(match["name"], match["default"])
        if match["block"]:
            fail("Jinja blocks are not supported in configuration", WRITE)
        call = _parsed(match["code"])
        match call:
            case ("literal", value):
                return str(value)
            case ("env_var", name, default):
                return variable(name, default)
            case ("user",):
                return _user(variables)
        fail(
            "this expression is not supported",
            "configuration knows {{ env_var('NAME', 'default') }} and {{ user() }}, without operators",
        )

    if not REPLACED.search(node.text):
        try:
            return _construct(node.tag, node.text, plain=node.plain)
        except ValueError:
            fail(f"is not a valid {node.tag}", "put it in quotes if it is text")
    text = REPLACED.sub(replacement, node.text)
    return Unquoted(text) if node.plain else text


def _parsed(code: str) -> tuple[Any, ...] | None:
    """An expression as ("literal", value), ("user",) or ("env_var", name, default); None for any other."""
    try:
        tree = ast.parse(code.strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return None
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.BitOr) and isinstance(tree.right, ast.Name):
        if tree.right.id not in ("int", "float", "string"):  # filters that name a type: the key that takes it knows
            return None
        tree = tree.left
    match tree:
        case ast.Constant(value=str(value)):
            return ("literal", value)
        case ast.Call(func=ast.Name(id="user"), args=[], keywords=[]):
            return ("user",)
        case ast.Call(func=ast.Name(id="env_var"), args=[ast.Constant(value=str(name))], keywords=[]):
            return ("env_var", name, None)
        case (
            ast.Call(
                func=ast.Name(id="env_var"),
                args=[ast.Constant(value=str(name)), ast.Constant(value=default)],
                keywords=[],
            )
            | ast.Call(
                func=ast.Name(id="env_var"),
                args=[ast.Constant(value=str(name))],
                keywords=[ast.keyword(arg="default", value=ast.Constant(value=default))],
            )
        ) if isinstance(default, str | int | float):
            return ("env_var", name, str(default).lower() if isinstance(default, bool) else str(default))
    return None


def _user(variables: Mapping[str, str]) -> str:
    for name in ("LOGNAME", "USER"):
        if variables.get(name):
            return variables[name]
    import os
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _construct(tag: str, text: str, *, plain: bool = True) -> Json:
    """The value of a scalar by YAML's type. Dates stay text: they are read where they are used. Raises ValueError."""
    if tag in {"timestamp", "value"} or (tag == "str" and not plain):
        return text
    if tag not in PLAIN_KINDS:
        raise ValueError(tag)
    return plain_value(text, tag)
