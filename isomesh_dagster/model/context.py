"""What the meaning of a project's file depends on besides its text: one gateway's settings, as far as they matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.model.audits import AuditDefinition
from isomesh_dagster.model.model import Json
from isomesh_dagster.relation import KnownColumns


@dataclass(frozen=True, slots=True, kw_only=True)
class ParseContext:
    """What a file's meaning depends on besides its text.

    gateway, gateways   the chosen gateway, and the names of all
    dialect             of files that name none
    default_catalog     left out of names that give it
    variables           the configuration's, by lower-case name, the gateway's over the root's
    model_defaults      as configured
    project             the project's name
    time_column_format  strftime format of time columns that give none
    infer_names         whether a model that gives no name is called by its path
    physical_schema     from a model's schema to that of its tables
    audits              the project's shared audits by lower-case name
    columns             of relations that macros may ask for, by normalised name without the default catalog; None where
                        nobody knows them. A relation that is missing is awaited: see `ParsedFile`
    macros              the project's own
    read_seed           the bytes of a file by path relative to the root (posix); FileNotFoundError when it is not
                        there, ModelError when it lies outside the project
    """

    gateway: str
    dialect: str
    default_catalog: str | None = None
    variables: Mapping[str, Json] = field(default_factory=dict)
    model_defaults: Mapping[str, Any] = field(default_factory=dict)
    project: str = ""
    time_column_format: str = "%Y-%m-%d"
    infer_names: bool = False
    physical_schema: Callable[[str], str]
    audits: Mapping[str, AuditDefinition] = field(default_factory=dict)
    columns: Mapping[str, KnownColumns | None] = field(default_factory=dict)
    macros: ProjectMacros = NO_MACROS
    read_seed: Callable[[str], bytes]
    gateways: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reads:
    """What was read besides the file, all sorted: names of variables (defined or not) and of audits, seeds and other
    files that the project's code opened, keys of its macros, and names of relations whose columns a macro asked for.
    """

    variables: tuple[str, ...] = ()
    audits: tuple[str, ...] = ()
    seeds: tuple[str, ...] = ()
    macros: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


NOTHING_READ = Reads()
