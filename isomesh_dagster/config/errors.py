"""Configuration values, checked: complaints, also pydantic's, come as `ConfigError` with file, line and key, never with
the value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from isomesh_dagster.config.file import MappingNode, Node, ScalarNode, place_of
from isomesh_dagster.errors import ConfigError

M = TypeVar("M", bound=BaseModel)


def validated(model: type[M], data: Mapping[str, Any], node: Node, key: str, *, root: Path) -> M:
    """`data`, resolved from `node` at the key path `key`, as a `model`; relative paths in it start at `root`.

    Raises ConfigError at the first complaint's line; further complaints are told in its message.
    """
    try:
        return model.model_validate(data, context={"root": root})
    except ValidationError as error:
        complaints = error.errors(include_url=False, include_input=False)
    told = []
    for complaint in complaints:
        location = tuple(complaint["loc"])
        message, hint = _words(model, complaint, location)
        named = location[:-1] if complaint["type"] in {"extra_forbidden", "missing"} else location
        told.append((place_of(node, location), f"{dotted(key, *named)}: {message}".removeprefix(": "), hint))
    place, message, hint = told[0]
    for other, text, _ in told[1:]:
        message += f"\n{other.path}:{other.line}: {text}" if other.line else f"\n{other.path}: {text}"
    raise ConfigError(message, path=place.path, line=place.line, hint=hint)


def mapping_of(node: Node, key: str) -> MappingNode:
    """The node as a mapping; nothing written counts as an empty one. Raises ConfigError."""
    if isinstance(node, MappingNode):
        return node
    if isinstance(node, ScalarNode) and node.tag == "null" and node.variable is None:
        return MappingNode(place=node.place, items={})
    raise ConfigError(f"{key}: must hold `key: value` lines", path=node.place.path, line=node.place.line)


def dotted(*parts: str | int) -> str:
    """A path of keys as people write it: `gateways.dev.connection.extensions[0]`."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text and part else str(part)
    return text


def unknown_key(node: Node, parents: str, key: str, known: Iterable[str]) -> ConfigError:
    """The error for a key that the format does not have."""
    place = place_of(node, (key,))
    return ConfigError(
        f"{parents}: unknown key {key!r}".removeprefix(": "), path=place.path, line=place.line, hint=nearest(key, known)
    )


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the known name most like this one, else all of them."""
    names = list(known)
    close = get_close_matches(name, names, n=1)
    return f"did you mean {close[0]}?" if close else "known are " + ", ".join(names)


def _words(
    model: type[BaseModel], complaint: Mapping[str, Any], location: tuple[str | int, ...]
) -> tuple[str, str | None]:
    kind = complaint["type"]
    if kind == "extra_forbidden":
        known = _model_at(model, location[:-1])
        return f"unknown key {location[-1]!r}", nearest(str(location[-1]), known.model_fields) if known else None
    if kind == "missing":
        return f"{location[-1]!r} is missing", None
    if kind == "value_error":
        message, *hint = complaint["ctx"]["error"].args
        return str(message), hint[0] if hint else None
    if kind == "string_type":
        return "must be text", "put it in quotes"
    if kind in ("tuple_type", "list_type"):
        return "must be a list", "write [a, b] in a file; a variable has one value"
    # pydantic's words name the type that is wanted; the input is left out of them.
    return str(complaint["msg"]).replace("Input should be", "must be"), None


def _model_at(model: type[BaseModel], location: tuple[str | int, ...]) -> type[BaseModel] | None:
    """The model that takes the keys at `location`; an index or a free key of a mapping stays within the same field."""
    current: type[BaseModel] = model
    for part in location:
        if isinstance(part, str) and part in current.model_fields:
            inner = _model_in(current.model_fields[part].annotation)
            if inner is None:
                return None
            current = inner
    return current


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in get_args(annotation):
        found = _model_in(argument)
        if found is not None:
            return found
    return None
