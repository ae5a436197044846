"""The gateways that a configuration names, still unresolved, and which of them is worked on."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from isomesh_dagster.config.errors import mapping_of
from isomesh_dagster.config.file import MappingNode, Variables
from isomesh_dagster.config.values import resolve
from isomesh_dagster.errors import ConfigError, InvalidName
from isomesh_dagster.model import names

GATEWAY_VARIABLE = "ISOMESH_GATEWAY"
ANONYMOUS_GATEWAY = "default"
"""How a gateway written as `gateway:`, without a name, is called."""


def gateways_of(tree: MappingNode) -> dict[str, MappingNode]:
    """Every gateway by name in order, unresolved; the anonymous one first."""
    result: dict[str, MappingNode] = {}
    if "gateway" in tree.items:
        result[ANONYMOUS_GATEWAY] = mapping_of(tree.items["gateway"], "gateway")
    listed = tree.items.get("gateways")
    for written, node in (mapping_of(listed, "gateways").items if listed is not None else {}).items():
        name, place = written.lower(), node.place
        try:
            names.validate_gateway(name)
        except InvalidName as error:
            raise ConfigError(error.message, path=place.path, line=place.line, hint=error.hint) from None
        if name in result:
            raise ConfigError(
                f"there is a gateway {name!r} already; `gateway:` is one of that name, too, and case does not matter"
                if name == ANONYMOUS_GATEWAY
                else f"there is a gateway {name!r} already; case does not matter",
                path=place.path,
                line=place.line,
                hint="rename this one",
            )
        result[name] = mapping_of(node, f"gateways.{written}")
    if not result:
        if "default_connection" in tree.items:
            return {ANONYMOUS_GATEWAY: MappingNode(place=tree.items["default_connection"].place, items={})}
        raise ConfigError(
            "no gateway is configured",
            path=tree.place.path,
            line=tree.place.line,
            hint="write gateways: {dev: {connection: {type: duckdb, database: dev.duckdb}}}",
        )
    return result


def chosen_gateway(
    tree: MappingNode,
    gateways: Mapping[str, MappingNode],
    argument: str | None,
    variable: str | None,
    variables: Variables,
) -> str:
    """The name of the gateway to work on: the `argument`, else the process's `variable`, else `default_gateway` of the
    tree, else the first of `gateways`. Case does not matter. Raises ConfigError for a name that none has.
    """

    def checked(written: str, source: str, line: int | None = None) -> str:
        name = written.lower()
        if name in gateways:
            return name
        # A name that could not be a gateway's is not repeated: it may come from a variable that holds something else.
        try:
            shown = repr(names.validate_gateway(name))
        except InvalidName:
            shown = "of that name" if written else "without a name"
        near = get_close_matches(name, gateways, n=1)
        raise ConfigError(
            f"no gateway {shown}; there are {', '.join(gateways)}",
            path=source,
            line=line,
            hint=f"did you mean {near[0]}?" if near else None,
        )

    if argument is not None:  # an empty one is a variable that was not set: no reason to take another system
        return checked(argument, "--gateway")
    if variable:
        return checked(variable, GATEWAY_VARIABLE)
    default = tree.items.get("default_gateway")
    if default is not None:
        name = resolve(default, variables, "default_gateway")
        if name is not None and not isinstance(name, str):
            raise ConfigError("default_gateway must be a name", path=default.place.path, line=default.place.line)
        if name:
            return checked(str(name), default.place.path, default.place.line)
    return next(iter(gateways))


def is_anonymous(name: str, tree: MappingNode) -> bool:
    """Whether the gateway of that name is written as `gateway:`, or as a `default_connection` alone."""
    listed = tree.items.get("gateways")
    written = {one.lower() for one in listed.items} if isinstance(listed, MappingNode) else set()
    return name == ANONYMOUS_GATEWAY and name not in written
