"""A gateway's system as a project sees it: its state and its warehouse, opened on first use, and what they show."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Container
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isomesh_dagster.config.settings import Settings, state_location
from isomesh_dagster.errors import EngineError, LockedError, PlanError
from isomesh_dagster.model.names import validate_environment
from isomesh_dagster.snapshot.environment import Environment
from isomesh_dagster.snapshot.snapshot import Snapshot

if TYPE_CHECKING:
    from isomesh_dagster.engine.connection import Connection
    from isomesh_dagster.state.protocol import Identity, Showing, StateStore

FOLDER = ".isomesh"
"""Where a project keeps what it can make again: cache, manifests, the state of file-based warehouses without a path."""


class System:
    """State and warehouse of one gateway. `close()` lets go of both. Safe to use from threads.

    `on_wait` is told once, in a sentence, when another process holds the warehouse and it is waited for.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.on_wait: Callable[[str], None] | None = None
        self._connection: Connection | None = None
        self._state: StateStore | None = None
        self._lock = threading.RLock()

    def state(self) -> StateStore:
        """The state, opened on first use."""
        with self._lock:
            if self._state is None:
                from isomesh_dagster.state.opening import open_state

                self._state = open_state(state_place(self.settings), schema=self.settings.state_schema)
            return self._state

    def connection(self, *, wait_seconds: float | None = None) -> Connection:
        """The warehouse, opened on first use and shared by all threads.

        `wait_seconds` is how long to wait for another process to let go of it (None: the engine's default). Raises
        LockedError.
        """
        with self._lock:
            if self._connection is None:
                from isomesh_dagster.engine import LOCK_TIMEOUT_SECONDS, open_connection

                timeout = LOCK_TIMEOUT_SECONDS if wait_seconds is None else wait_seconds
                self._connection = open_connection(
                    self.settings.connection, timeout=timeout, on_wait=None if wait_seconds == 0 else self.on_wait
                )
            return self._connection

    def existing_warehouse(self) -> Connection:
        """The warehouse, without making one. Raises EngineError."""
        path = getattr(self.settings.connection, "path", None)
        if path is not None and not path.exists():
            raise EngineError(
                f"there is no warehouse {path} yet",
                hint="the first apply makes it; when there was one, restore its file",
            )
        return self.connection()

    def identity(self) -> Identity:
        """Who asks: gateway and project, and a uuid that counts only for a system without a stamp."""
        from isomesh_dagster.state.protocol import Identity

        return Identity(uuid=uuid.uuid4().hex, gateway=self.settings.gateway, project=self.settings.project)

    def checked(self) -> StateStore:
        """The state, unless another gateway or project made it: that is refused before anything is read as ours."""
        from isomesh_dagster.records.stamp import check_not_gone, check_owner

        state = self.state()
        known = state.identity()
        if known is not None:
            check_owner("state", known, self.identity())
            check_not_gone(getattr(self.settings.connection, "path", None), state)
        return state

    def reconcile(self, environment: str) -> tuple[str, ...]:
        """Finish in the state what an interrupted apply finished in the warehouse.

        A warning when somebody is at work there right now.
        """
        open_plans = self.state().open_plans(environment)
        if not open_plans:
            return ()
        from isomesh_dagster.records.reconcile import reconcile

        try:
            connection = self.connection(wait_seconds=0)
        except LockedError:
            return (f"plan {open_plans[-1].id} of {environment!r} is being applied by another process right now",)
        reconcile(connection, self.state(), environment)
        return ()

    def check_new(self, environment: str) -> None:
        """Raise StateError when the warehouse shows an environment that the state does not know, or SystemMismatch when
        it is another system's; before somebody reads a plan that cannot be applied. Not asked of a warehouse that is
        not there yet, or at which another process is at work.
        """
        path = getattr(self.settings.connection, "path", None)
        if path is not None and not path.exists():
            return
        from isomesh_dagster.records.reconcile import reconcile_in
        from isomesh_dagster.records.stamp import check_pairing

        try:
            connection = self.connection(wait_seconds=0)
        except LockedError:
            return
        with connection.session() as session:
            check_pairing(session, self.state(), self.identity())
            reconcile_in(session, self.state(), environment)

    def environment_name(self, environment: str | None) -> str:
        """The name given, checked, else the configuration's default. Raises InvalidName."""
        return validate_environment(self.settings.default_target_environment if environment is None else environment)

    def existing(self, name: str) -> Environment:
        """The environment of that name; a PlanError when there is none, and what `check_new` raises when only the
        warehouse knows it.
        """
        found = self.state().environment(name)
        if found is None:
            self.check_new(name)
            found = self.state().environment(name)
        if found is None:
            raise self._no_such(name)
        return found

    def snapshots(self, environment: Environment | None) -> dict[str, Snapshot]:
        """What the environment shows, by model; nothing for None. Raises PlanError when the state has lost some."""
        if environment is None:
            return {}
        found = self.state().snapshots(environment.target.snapshots.values())
        _refuse_lost(environment, {id.name for id in found})
        return {name: found[its_id] for name, its_id in environment.target.snapshots.items()}

    def showing(self, name: str) -> Showing:
        """What the environment of that name shows and holds, in one read. Raises PlanError when there is none, or when
        the state has lost some of its snapshots.
        """
        found = self.state().showing(name)
        if found is None:
            raise self._no_such(name)
        _refuse_lost(found.environment, found.snapshots)
        return found

    def shown(self, environment: str | None) -> dict[str, Snapshot]:
        """What the environment of that name shows; nothing for None or when there is no such environment."""
        if environment is None:
            return {}
        return self.snapshots(self.checked().environment(validate_environment(environment)))

    def _no_such(self, name: str) -> PlanError:
        return PlanError(
            f"there is no environment {name!r} in gateway {self.settings.gateway!r}",
            hint=f"create it with `isomesh plan {name}`",
        )

    def interrupt(self) -> None:
        """End the statements that the warehouse is at, from any thread; nothing where it was not opened."""
        connection = self._connection  # without the lock: who holds it may be the one to be ended
        if connection is not None:
            connection.interrupt()

    def close(self) -> None:
        """Let go of the warehouse and the state. Idempotent."""
        with self._lock:
            connection, self._connection = self._connection, None
            state, self._state = self._state, None
        if connection is not None:
            connection.close()
        if state is not None:
            state.close()


def _refuse_lost(environment: Environment, known: Container[str]) -> None:
    lost = [its_id for name, its_id in environment.target.snapshots.items() if name not in known]
    if lost:
        raise PlanError(
            f"the state does not know {len(lost)} of the snapshots that {environment.name!r} shows, e.g. "
            f"{lost[0].name}",
            hint="was the state restored from an older backup? restore the matching one",
        )


def state_place(settings: Settings) -> str | Path | dict[str, Any]:
    """What `open_state` takes: a SQLite file, or the arguments of a Postgres connection."""
    location = state_location(settings)
    if location.connection is None:
        return location.path if location.path is not None else ":memory:"
    connection = location.connection
    given = connection.model_dump(
        include={"host", "user", "port", "database", "connect_timeout", "sslmode", "application_name", "role"}
    )
    given["password"] = connection.password.get_secret_value()
    return {key: value for key, value in given.items() if value is not None}
