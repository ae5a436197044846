"""Which catalogs the views of environments may be in.

All views of an environment and the record of them are written by one transaction. So they are in one catalog, and it is
one the gateway's connection can write to in the same session: an attached database of DuckDB.
"""

from __future__ import annotations

from isomesh_dagster.config.connections import DuckDBConnection, WarehouseConnection
from isomesh_dagster.config.errors import dotted, nearest
from isomesh_dagster.config.file import MappingNode, place_of
from isomesh_dagster.config.keys import RootConfig
from isomesh_dagster.errors import ConfigError

_MAPPING, _SUFFIX = "environment_catalog_mapping", "environment_suffix_target"


def environment_catalogs(
    top: RootConfig, tree: MappingNode, connection: WarehouseConnection
) -> tuple[tuple[str, str | None], ...]:
    """The pairs of pattern and catalog in order, None for the default catalog.

    Raises ConfigError for catalogs that environments of this gateway cannot have.
    """

    def error(message: str, hint: str, *keys: str) -> ConfigError:
        place = place_of(tree, keys)
        return ConfigError(f"{dotted(*keys)}: {message}", path=place.path, line=place.line, hint=hint)

    suffix_is_catalog = top.environment_suffix_target == "catalog"
    if suffix_is_catalog and top.environment_catalog_mapping:
        raise error(
            f"{_SUFFIX}: catalog says already in which catalog an environment's views are",
            f"remove one of the two; with `{_SUFFIX}: schema` or `table` the mapping names the catalogs",
            _MAPPING,
        )
    default = connection.default_catalog
    attached = {default.lower(): None, **_others(connection)}
    if suffix_is_catalog:
        if not isinstance(connection, DuckDBConnection):
            raise error(
                f"catalog needs a warehouse that reads several catalogs; a {connection.type} connection sees its own"
                f" database {default!r} only",
                "use `schema` or `table` with this gateway",
                _SUFFIX,
            )
        if "." in default:
            raise error(
                f"catalog takes its names from the default catalog, and {default!r} has a dot in it",
                "give the database under `catalogs: {name: path}`, with a name of letters, digits and _",
                _SUFFIX,
            )
    pairs: list[tuple[str, str | None]] = []
    for pattern, catalog in top.environment_catalog_mapping.items():
        if catalog.lower() not in attached and not isinstance(connection, DuckDBConnection):
            raise error(
                f"views cannot be in {catalog!r}: a {connection.type} connection sees its own database only,"
                f" {default!r}",
                f"remove the mapping for this gateway; `{_SUFFIX}: schema` or `table` keeps environments apart",
                _MAPPING,
                pattern,
            )
        if catalog.lower() not in attached:
            raise error(
                f"no catalog {catalog!r} is attached",
                f"name it under `catalogs` of the connection; {nearest(catalog.lower(), attached)}",
                _MAPPING,
                pattern,
            )
        name = attached[catalog.lower()]
        if name is not None and isinstance(connection, DuckDBConnection) and connection.catalogs[name].read_only:
            raise error(
                f"the catalog {catalog!r} is read_only, views cannot be made there",
                "remove `read_only`, or name another catalog",
                _MAPPING,
                pattern,
            )
        if name is not None and "." in name:
            raise error(f"the catalog {name!r} has a dot in its name", "give it another one", _MAPPING, pattern)
        pairs.append((pattern, name))
    return tuple(pairs)


def _others(connection: WarehouseConnection) -> dict[str, str | None]:
    """The attached catalogs besides the default one, by name in lower case."""
    if not isinstance(connection, DuckDBConnection):
        return {}
    return {name.lower(): name for name in connection.catalogs if name != connection.default_catalog}
