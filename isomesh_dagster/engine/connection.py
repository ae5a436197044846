"""What the house asks of a warehouse: one small protocol, spoken by each engine.

A `Connection` belongs to one process (the one that opened it; it refuses another pid) and is used from many threads:
each thread works on its own `session()`. Everything that changes rows or views happens inside `transaction()`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from isomesh_dagster.relation import ColumnChange, Relation


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What an engine can do, as declared facts.

    dialect         its SQL dialect, in sqlglot's name
    merge           it has MERGE
    keeps_comments  a view that is replaced keeps the comments it had
    shared_claims   transactions of one lead may hold a claim together
    """

    dialect: str
    merge: bool = True
    keeps_comments: bool = False
    shared_claims: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """A session that has the lead of a claim, as the engine knows it: see `Session.leading`."""

    session: int
    number: int


class Session(Protocol):
    """One thread's conversation with the warehouse. Errors of the driver come out as `EngineError`, never raw."""

    capabilities: Capabilities

    @property
    def default_catalog(self) -> str:
        """The catalog of relations that give none."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int | None:
        """Run one statement; the number of rows it wrote where the engine tells, else None. `?` marks parameters.

        EngineError for one that would begin or end a transaction inside of one.
        """
        ...

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one query and return all rows."""
        ...

    def knows_setting(self, name: str) -> bool:
        """Whether `SET SESSION name = …` means something here."""
        ...

    def fetch_table(self, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
        """Run one query; column names and all rows."""
        ...

    def fetch_frame(self, sql: str, library: str) -> Any:
        """Run one query; its rows as a data frame of `library`: pandas, polars or pyarrow. EngineError when that is not
        installed.
        """
        ...

    def frame(self, frame: Any) -> AbstractContextManager[str]:
        """A data frame of pandas, polars or pyarrow, with at least one column, as a relation of this session; its SQL
        name. ModelError for anything else.
        """
        ...

    def transaction(self, claim: str | None = None, lead: Lead | None = None) -> AbstractContextManager[None]:
        """All or nothing: commits at the end, rolls back on any exception. Not nested.

        `claim` is a name that one transaction of the warehouse holds at a time; the others wait before they begin, and
        then see what the holder has committed. Transactions with its `lead` hold it together, against all others.
        EngineError when the lead is lost.
        """
        ...

    def reading(self, relations: Sequence[Relation]) -> AbstractContextManager[None]:
        """A transaction that sees these tables and views, and whatever else it reads, as of one moment. It may make
        temporary tables.
        """
        ...

    def leading(self, claim: str) -> AbstractContextManager[Lead]:
        """The lead of a claim, which one session has at a time; the others wait. This session does nothing else
        meanwhile. Before the first transaction with the lead there must be one with the claim alone: it waits for what
        an earlier lead, whose process may be dead, has left running. Where `shared_claims` only.
        """
        ...

    def claim(self, name: str) -> None:
        """Inside a transaction: hold one more claim until it ends."""
        ...

    def swapping(self, views: Sequence[Relation], claim: str) -> AbstractContextManager[tuple[str, ...]]:
        """A transaction with a claim, in which these views are replaced or dropped, without making a reader fail. It
        gives what somebody should know of that, in sentences.

        Raises WriteConflict where it would have to wait for long, at any statement in it: trying again is right then.
        """
        ...

    def columns(self, relation: Relation) -> list[tuple[str, str]]:
        """Name and type (engine's spelling) of each column in order; empty when the relation does not exist.

        Inside a transaction the relation must exist: a failed look-up there aborts the transaction (EngineError).
        """
        ...

    def query_columns(self, query: str) -> list[tuple[str, str]]:
        """Name and type (engine's spelling) of each column that a table made by the query would have."""
        ...

    def same(self, left: Sequence[str], right: Sequence[str]) -> str:
        """The condition that two keys, of the same types, are the same; what is missing in both is the same, too."""
        ...

    def placed(self, relation: Relation) -> Relation:
        """The same relation, with its catalog where without one the name could mean something else here."""
        ...

    def exists(self, relation: Relation) -> bool:
        """Whether a table or view of that name exists."""
        ...

    def standing_on(self, relations: Sequence[Relation]) -> list[tuple[str, Relation]]:
        """What would not work any more, or be in the way, if these tables and views were dropped, and is none of them:
        its name, and the one of them that it reads; sorted. As far as the engine knows.
        """
        ...

    def preflight(self, schemas: Sequence[str], views: Sequence[Relation]) -> None:
        """EngineError that names every right this user lacks to write into these schemas and to replace these views;
        its hint is the SQL that gives them. Schemas that are not there are to be made.
        """
        ...

    def catalogs_with(self, relation: Relation) -> list[str | None]:
        """The catalogs in which there is a table of that schema and name; None is the default one."""
        ...

    def create_catalog(self, catalog: str) -> None:
        """The catalog can be written to afterwards: it is there, or was made beside the default one, under whose name,
        `__` and more it goes. EngineError for any other. Not inside a transaction.
        """
        ...

    def drop_catalog_if_empty(self, catalog: str) -> None:
        """Drop the catalog if `create_catalog` made it and nothing is in it. Not inside a transaction."""
        ...

    def create_schema(self, schema: str, catalog: str | None = None) -> None:
        """Create the schema if it is not there."""
        ...

    def create_table(self, relation: Relation, columns: Sequence[tuple[str, str]]) -> None:
        """The table has these columns (name and type, engine's spelling) and no rows afterwards."""
        ...

    def alter_table(self, relation: Relation, changes: Sequence[ColumnChange]) -> None:
        """The table has the changed columns afterwards, its rows stay: an added column is last and NULL in them, a
        column of another type has its values cast. Inside a transaction, and undone with it.

        Views that read the table are there afterwards; an engine that binds them to it makes them again. EngineError
        when one would not work any more, naming it, or when a value cannot be cast. Nothing is dropped with CASCADE.
        """
        ...

    def replace_table(self, relation: Relation, query: str) -> int | None:
        """The table holds exactly the query's rows afterwards; the number of rows."""
        ...

    def insert(self, relation: Relation, query: str, columns: Sequence[str]) -> int | None:
        """Append the query's rows, columns matched by name; the number of rows."""
        ...

    def load_csv(
        self, relation: Relation, path: str, columns: Sequence[tuple[str, str]] | None, settings: dict[str, Any]
    ) -> int | None:
        """The table holds exactly the rows of the CSV file (absolute path). `columns` gives names and types, None:
        inferred.
        """
        ...

    def replace_view(self, relation: Relation, query: str, *, materialized: bool = False) -> None:
        """The view shows the query afterwards, whatever it showed before. What people have granted on it stays.

        `materialized` asks to keep the rows, those of now; an engine that cannot makes a plain view.
        EngineError that names the views of others which would not work any more.
        """
        ...

    def grant(self, relation: Relation, grants: Mapping[str, Sequence[str]]) -> None:
        """Of all but its owner, just these have these privileges on the table or view afterwards: who, by privilege.

        They may also look into its schema. Nothing happens on an engine that has no users.
        """
        ...

    def drop(self, relation: Relation, *, view: bool) -> None:
        """Drop it if it exists; never cascades."""
        ...

    def list_relations(self, schema: str) -> list[tuple[str, str]]:
        """Name and type ("table" or "view") of everything in the schema; empty when there is no such schema."""
        ...

    def drop_schema_if_empty(self, schema: str, catalog: str | None = None) -> None:
        """Drop the schema unless something is in it."""
        ...


class Connection(Protocol):
    """An open warehouse. Opened late, closed early; `close()` is idempotent."""

    capabilities: Capabilities

    def session(self) -> AbstractContextManager[Session]:
        """A session for the calling thread."""
        ...

    def reads(self, sql: str) -> bool:
        """Whether the engine's parser takes the text. Nothing runs, no table need exist; True for what the engine
        cannot tell without running it.
        """
        ...

    def interrupt(self) -> None:
        """End the statements that run in sessions of this connection: they fail, their transactions roll back. From
        any thread; does nothing where nothing runs.
        """
        ...

    def close(self) -> None:
        """Let go of the warehouse and of the lock on it."""
        ...
