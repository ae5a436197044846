"""Declaring external tables for a project that cannot be loaded before they are: its macros ask for their columns."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from isomesh_dagster.config.read import load_settings
from isomesh_dagster.errors import UnknownColumnsError
from isomesh_dagster.project.system import System

if TYPE_CHECKING:
    from isomesh_dagster.upkeep.external import Declared


def declare_lacking(error: UnknownColumnsError, root: Path, gateway: str | None, *, strict: bool) -> Declared:
    """Declare what `error`, raised by loading the project at `root`, tells as lacking; loading may then get further.

    Raises the error itself when the warehouse has none of these tables, EngineError as
    `Project.declare_external_tables`.
    """
    from isomesh_dagster.upkeep.external import declare

    system = System(load_settings(root.resolve(), gateway, os.environ))
    try:
        declared = declare(system.existing_warehouse, system.settings, sorted(error.tables), strict=strict)
    finally:
        system.close()
    if not declared.tables:
        raise error
    return declared
