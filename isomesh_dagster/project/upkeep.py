"""Keeping a system healthy: its state migrated, exported and imported, and the whole of it examined.

All of this is about a gateway's system, not about the project's files: it works when a model is broken too.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from isomesh_dagster.config.settings import state_location
from isomesh_dagster.project import clock
from isomesh_dagster.project.system import FOLDER, System, state_place

if TYPE_CHECKING:
    from isomesh_dagster.records.events import Dropped
    from isomesh_dagster.state.database import Database
    from isomesh_dagster.state.schema import Migrated
    from isomesh_dagster.state.transfer import Transferred
    from isomesh_dagster.upkeep.destroy import Belongings
    from isomesh_dagster.upkeep.doctor import Finding


def migrate(system: System, *, backup: bool = True, to: str | None = None) -> Migrated:
    """Bring the state's tables to this version's revision, or to `to`; see `state.schema.migrate`.

    Raises SystemMismatch for the state of another gateway or project, StateError.
    """
    from isomesh_dagster.state import schema

    with _own_state(system) as database:
        return schema.migrate(database, backup=backup, to=to)


def export_state(system: System, file: Path, *, environments: Collection[str] = ()) -> Transferred:
    """Write the state, or what belongs to some `environments`, to a file; see `state.transfer`."""
    from isomesh_dagster.state import transfer

    with _own_state(system) as database:
        return transfer.export_state(database, file, at=clock.now(), environments=environments)


def import_state(system: System, file: Path, *, replace: bool = False) -> Transferred:
    """Fill the state from an exported file; `replace` puts it in the place of what is there, which is kept as a backup.

    The intervals of interrupted plans are compared with the warehouse by the next plan. See `state.transfer`.
    """
    from isomesh_dagster.state import transfer

    with _own_state(system) as database:
        return transfer.import_state(database, file, owner=system.identity(), replace=replace)


def examine(system: System, *, environments: Collection[str] = (), repair: bool = False) -> Iterator[Finding]:
    """Look at state and warehouse, or at some environments only; with `repair`, mend what can be. See
    `execution.doctor`.
    """
    from isomesh_dagster.upkeep.doctor import Patient, examine

    patient = Patient(
        connection=system.existing_warehouse(),
        state=system.checked() if environments else system.state(),
        identity=system.identity(),
        comments=system.settings.connection.register_comments,
        makes_schemas=getattr(system.settings.connection, "create_schemas", True),
    )
    yield from examine(patient, environments=[system.existing(name).name for name in environments], repair=repair)


def belongings(system: System) -> Belongings | None:
    """What `destroy` would remove; None when there is no system: of a state that nobody has used the tables go, which
    looking may have made, and nothing else is changed. Raises as `execution.destroy.belongings` does.
    """
    if not _is_there(system):
        return None
    from isomesh_dagster.upkeep import destroy

    state = system.checked()
    found = destroy.belongings(system.connection(), state, identity=system.identity())
    if state.identity() is None:  # nobody has used it; its tables may have been made by looking
        state.remove(with_schema=_may_drop_schema(system))
        return None
    return found


def destroy(system: System) -> Iterator[Dropped]:
    """Remove everything that the project owns in this gateway, its state and its kept plans last. See
    `execution.destroy`.
    """
    from isomesh_dagster.upkeep import destroy

    yield from destroy.destroy(
        system.connection(),
        system.checked(),
        identity=system.identity(),
        with_state_schema=_may_drop_schema(system),
    )
    shutil.rmtree(system.settings.root / FOLDER / system.settings.gateway / "plans", ignore_errors=True)


def _may_drop_schema(system: System) -> bool:
    location = state_location(system.settings)
    return location.connection is None or location.connection.create_schemas


def _is_there(system: System) -> bool:
    """Whether state or warehouse may hold something; a file that is not there is not made."""
    location = state_location(system.settings)
    files = [location.path] if location.connection is None else [None]
    files.append(getattr(system.settings.connection, "path", None))
    return any(file is None or file.exists() for file in files)


@contextmanager
def _own_state(system: System) -> Iterator[Database]:
    """The system's state as a database, whatever the revision of its tables."""
    from isomesh_dagster.records.stamp import check_owner
    from isomesh_dagster.state.opening import opened
    from isomesh_dagster.state.schema import stamp_of

    with opened(state_place(system.settings), schema=system.settings.state_schema) as database:
        stamp = stamp_of(database)
        if stamp is not None:
            check_owner("state", stamp, system.identity())
        yield database
