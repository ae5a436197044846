"""Names of the physical layer (tables named by version) and of the virtual layer (views named by environment).

physical  isomesh__<schema>.<schema>__<table>__<version>, or, by `physical_table_naming_convention`,
          isomesh__<schema>.<table>__<version> or isomesh__<schema>.isomesh_md5__<md5 of the long name>
          of a preview ends with __dev after the version
virtual   <schema>.<table> in prod; elsewhere, by `environment_suffix_target`,
          <schema>__<env>.<table>, <schema>.<table>__<env> or <catalog>__<env>.<schema>.<table>
"""

from __future__ import annotations

import re
from dataclasses import replace
from hashlib import md5
from typing import Literal

from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.environment import PROD

MAX_IDENTIFIER_BYTES = 63  # Postgres cuts longer names silently; every engine gets the same names

Convention = Literal["schema_and_table", "table_only", "hash_md5"]

_NOT_WORD = re.compile(r"\W")


def physical_relation(model: Model, version: str, convention: Convention = "schema_and_table") -> Relation:
    """The table or view that holds this version's rows.

    Characters that are not letters, digits or `_` become `_`; a name over 63 bytes is shortened in its readable part,
    never in the version.
    """
    catalog = model.name.split(".")[0] if model.name.count(".") == 2 else None
    readable = _NOT_WORD.sub("_", model.table if convention == "table_only" else f"{model.schema}__{model.table}")
    if convention == "hash_md5":
        readable, version = "isomesh_md5", md5(f"{readable}__{version}".encode(), usedforsecurity=False).hexdigest()
    room = MAX_IDENTIFIER_BYTES - len(version.encode()) - 2
    readable = readable.encode()[:room].decode(errors="ignore")
    schema = model.physical_schema or f"isomesh__{model.schema}"
    return Relation(catalog=catalog, schema=schema, name=f"{readable}__{version}")


def preview_relation(model: Model, version: str, convention: Convention = "schema_and_table") -> Relation:
    """The table that shows a forward-only change of the model outside of prod."""
    return physical_relation(model, f"{version}__dev", convention)


def view_relation(name: str, environment: str, suffix_target: str = "schema", catalog: str | None = None) -> Relation:
    """The view through which the environment shows the model `name`.

    `catalog` is where all views of the environment are; None: where the model's name says. With `suffix_target`
    "catalog" it has the environment's name in it already.
    """
    relation = Relation.parse(name)
    if catalog is not None:
        relation = replace(relation, catalog=catalog)
    if environment == PROD:
        return relation
    match suffix_target:
        case "catalog":
            return relation
        case "table":
            return replace(relation, name=_suffixed(relation.name, environment))
        case _:
            return replace(relation, schema=_suffixed(relation.schema, environment))


def _suffixed(name: str, environment: str) -> str:
    """`name__environment`; where that is over 63 bytes the name is cut before it, and a digest tells it from others."""
    full = f"{name}__{environment}"
    if len(full.encode()) <= MAX_IDENTIFIER_BYTES:
        return full
    tail = f"__{md5(name.encode(), usedforsecurity=False).hexdigest()[:8]}__{environment}"
    return name.encode()[: MAX_IDENTIFIER_BYTES - len(tail.encode())].decode(errors="ignore") + tail
