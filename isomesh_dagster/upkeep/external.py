"""External tables declared from what the warehouse says: columns of tables that models read and nobody declared."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from isomesh_dagster.config.settings import Settings
from isomesh_dagster.engine.connection import Connection, Session
from isomesh_dagster.errors import EngineError, ModelError
from isomesh_dagster.files import write_whole
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Relation, quote

FILES = ("external_models.yaml", "external_models.yml", "schema.yaml")
"""Where declarations are looked for, in this order; the first is made when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What was found out.

    path     the file that declares the tables, relative to the root
    tables   columns as (name, type) by table
    missing  tables that models read and the warehouse has not
    """

    path: str
    tables: Mapping[str, Sequence[tuple[str, str]]]
    missing: tuple[str, ...]


def declare(connect: Callable[[], Connection], settings: Settings, names: Sequence[str], *, strict: bool) -> Declared:
    """Add tables to the declaring file, which is replaced whole or not at all.

    The warehouse is asked only when there are any. With `strict` EngineError when it lacks one of them; nothing is
    written then.
    """
    path = declaring_file(settings.files)
    if not names:
        return Declared(path=path, tables={}, missing=())
    connection = connect()
    with connection.session() as session:
        engine_dialect = connection.capabilities.dialect
        declared = look_up(session, names, engine_dialect=engine_dialect, dialect=settings.dialect, path=path)
    if strict and declared.missing:
        raise EngineError(
            f"the warehouse has no {', '.join(declared.missing)}", hint="load them first, or leave --strict out"
        )
    if declared.tables:
        place = settings.files / path
        text = with_declarations(place.read_text(encoding="utf-8") if place.exists() else "", declared)
        write_whole({place: text})
    return declared


def undeclared(models: Mapping[str, Model]) -> tuple[str, ...]:
    """The tables that models read and that are neither models nor declared, sorted."""
    return tuple(sorted({name for model in models.values() for name in model.depends_on} - models.keys()))


def look_up(session: Session, names: Sequence[str], *, engine_dialect: str, dialect: str, path: str) -> Declared:
    """Ask the warehouse for the columns of tables; types come in `dialect`."""
    tables: dict[str, list[tuple[str, str]]] = {}
    missing: list[str] = []
    for name in names:
        columns = session.columns(Relation.parse(name))
        if columns:
            tables[name] = [(column, _type(its_type, engine_dialect, dialect)) for column, its_type in columns]
        else:
            missing.append(name)
    return Declared(path=path, tables=tables, missing=tuple(missing))


def declaring_file(root: Path) -> str:
    """The file that declares, or would declare, external tables."""
    return next((name for name in FILES if (root / name).is_file()), FILES[0])


def with_declarations(text: str, declared: Declared) -> str:
    """The text of the declaring file with the tables added at its end; what stands there stays to the letter.

    Raises ModelError when the file is not a list that can be added to.
    """
    import yaml

    entries = [{"name": _written(name), "columns": dict(columns)} for name, columns in declared.tables.items()]
    added = yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=1000)
    whole = f"{text.rstrip()}\n{added}" if text.strip() else added
    try:
        before = yaml.safe_load(text) or []
        is_sound = yaml.safe_load(whole) == [*before, *entries]
    except (yaml.YAMLError, TypeError):
        is_sound = False
    if not is_sound:
        raise ModelError(
            "nothing can be added to the end of this file",
            path=declared.path,
            hint="write it as a list whose entries begin with `- name: …` at the first column",
        )
    return whole


def _type(text: str, engine_dialect: str, dialect: str) -> str:
    if engine_dialect == dialect:
        return text
    from isomesh_dagster.dialect.query import transpile

    try:
        found = re.fullmatch(
            r"SELECT CAST\(x AS (.*)\)", transpile(f"SELECT CAST(x AS {text})", engine_dialect, dialect)
        )
    except ModelError:
        return text
    return found[1] if found else text


def _written(name: str) -> str:
    """The table's name as a file writes it: parts that are no plain words in quotes."""
    return ".".join(part if re.fullmatch(r"[a-z_][a-z0-9_]*", part) else quote(part) for part in name.split("."))
