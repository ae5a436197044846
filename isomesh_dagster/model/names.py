"""Which names are allowed. A name is accepted as it stands or refused with the rule: never cleaned, cut or lower-cased.

Two names cleaned into one (`dev-1` and `dev_1`) would share an environment by accident, so nothing is cleaned.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from isomesh_dagster.errors import InvalidName, ModelError

RULE = "[a-z][a-z0-9_]*"
MAX_ENVIRONMENT_LENGTH = 30  # leaves 31 of Postgres' 63 bytes for the schema in `<schema>__<environment>`
MAX_GATEWAY_LENGTH = 63

RESERVED = frozenset({"main", "information_schema", "iso_meta", "null", "none", "default"})
"""Environment names that mean something else already: to warehouses, to us, to YAML, to git's usual branch."""

_RESERVED_SCHEMAS = frozenset({"information_schema", "iso_meta", "isomesh_meta"})
_RESERVED_PREFIXES = ("pg_", "isomesh__")

# `\Z` and not `$`: `$` would let a trailing newline through.
_ENVIRONMENT = re.compile(r"[a-z][a-z0-9_]*\Z")
_GATEWAY = re.compile(r"[a-z][a-z0-9_-]*\Z")


def nearest(name: str, names: Iterable[str]) -> str | None:
    """`did you mean x?` for the nearest of `names`; None when none is near."""
    import difflib  # only where something is wrong

    close = difflib.get_close_matches(name, list(names), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else None


def validate_environment(name: object) -> str:
    """The name, unchanged, if it may name an environment.

    The rule: text matching `[a-z][a-z0-9_]*`, at most 30 characters, not reserved. Reserved are `RESERVED`, names that
    start with `pg_`, end with `_` or hold `__` (that separates a schema from its environment).

    Raises InvalidName with the rule and, where one is near, an allowed name.
    """
    if not isinstance(name, str):
        raise InvalidName(
            f"environment name must be a string, not {type(name).__name__}",
            hint="put the name in quotes: YAML reads words like true, null and 1 as other things",
        )
    shown = _shown(name)
    if not _ENVIRONMENT.match(name):
        raise InvalidName(f"environment name {shown}: must match {RULE}", hint=_near(name))
    if len(name) > MAX_ENVIRONMENT_LENGTH:
        raise InvalidName(
            f"environment name {shown}: is longer than {MAX_ENVIRONMENT_LENGTH} characters",
            hint="choose a shorter name; it becomes part of every schema name",
        )
    if _is_reserved(name):
        raise InvalidName(
            f"environment name {shown}: is reserved",
            hint="names that start with pg_, end with _ or hold __ are reserved, and so are "
            + ", ".join(sorted(RESERVED)),
        )
    return name


def validate_gateway(name: object) -> str:
    """The name, unchanged, if it may name a gateway: like an environment's, with `-` allowed, at most 63 characters.

    Raises InvalidName.
    """
    if not isinstance(name, str):
        raise InvalidName(f"gateway name must be a string, not {type(name).__name__}")
    if not _GATEWAY.match(name):
        lowered = name.lower()
        hint = f"write {lowered}" if _GATEWAY.match(lowered) else "use small letters, digits, _ and -"
        raise InvalidName(f"gateway name {_shown(name)}: must match [a-z][a-z0-9_-]*", hint=hint)
    if len(name) > MAX_GATEWAY_LENGTH:
        raise InvalidName(f"gateway name {_shown(name)}: is longer than {MAX_GATEWAY_LENGTH} characters")
    return name


def check_model_names(places: Mapping[str, tuple[str, int]]) -> None:
    """Refuse model names that would meet in the warehouse.

    `places` maps normalised model names to their path and line. Raises ModelError at the first model

    - whose schema belongs to the warehouse or to us (`information_schema`, `isomesh_meta`, `pg_…`, `isomesh__…`),
    - whose schema is that of another model's views in some environment (`shop__dev` beside `shop`),
    - whose name equals another one's when case is ignored, or after Postgres cut each part at 63 bytes.
    """
    schemas = {_schema(name).lower() for name in places}
    seen: dict[tuple[bytes, ...], str] = {}
    for name in sorted(places):
        path, line = places[name]
        schema = _schema(name).lower()
        if schema in _RESERVED_SCHEMAS or schema.startswith(_RESERVED_PREFIXES):
            raise ModelError(
                f"schema {schema} is reserved", path=path, line=line, model=name, hint="choose another schema"
            )
        taken = _environment_schema(schema, schemas)
        if taken is not None:
            owner, environment = taken
            raise ModelError(
                f"schema {schema} is reserved: it holds the views of {owner} in an environment named {environment}",
                path=path,
                line=line,
                model=name,
                hint="choose a schema name without __",
            )
        key = tuple(part.lower().encode()[:63] for part in name.split("."))
        other = seen.setdefault(key, name)
        if other != name:
            where = ":".join(str(part) for part in places[other])
            raise ModelError(
                f"name collision with {other} ({where})",
                path=path,
                line=line,
                model=name,
                hint="warehouses ignore case and cut names at 63 bytes: make the first 63 characters differ",
            )


def _is_reserved(name: str) -> bool:
    return name in RESERVED or name.startswith("pg_") or name.endswith("_") or "__" in name


def _environment_schema(schema: str, schemas: Iterable[str]) -> tuple[str, str] | None:
    for owner in schemas:
        if schema.startswith(f"{owner}__"):
            environment = schema[len(owner) + 2 :]
            if _ENVIRONMENT.match(environment) and not _is_reserved(environment):
                return owner, environment
    return None


def _schema(name: str) -> str:
    parts = name.split(".")
    return parts[-2] if len(parts) > 1 else "default"


def _shown(name: str) -> str:
    """The name for a message: everything but ASCII escaped, so that no control character reaches a terminal."""
    text = ascii(name)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _near(name: str) -> str:
    candidate = re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")[:MAX_ENVIRONMENT_LENGTH].rstrip("_")
    if candidate.isascii() and _ENVIRONMENT.match(candidate) and not _is_reserved(candidate) and len(name) <= 60:
        return f"{candidate} would be allowed"
    return "start with a small letter, then small letters, digits and _"
