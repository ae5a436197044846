"""Postgres, relations: what is there, and making, filling and dropping of schemas, tables and views.

Names are always quoted and qualified. Readers keep seeing the old rows of a table while it is rebuilt: rows are deleted
and inserted, never truncated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from psycopg2 import errorcodes

from isomesh_dagster.engine import frames, postgres_dependents, postgres_rights, transfer
from isomesh_dagster.engine import postgres_types as types
from isomesh_dagster.engine.postgres_statements import PostgresStatements, RefusedError, lock_number, temporary_file
from isomesh_dagster.errors import EngineError
from isomesh_dagster.relation import ColumnChange, Relation, quote

_ALL_PRIVILEGES = frozenset({"ALL", "ALL PRIVILEGES"})


class PostgresSession(PostgresStatements):
    """One thread's connection (`Session`)."""

    # ---- what is there -----------------------------------------------------------------------------------

    def columns(self, relation: Relation) -> list[tuple[str, str]]:
        """Name and type of each column in order; empty when the relation does not exist.

        Inside a transaction the relation must exist (EngineError).
        """
        found = self._columns(relation)
        if not found and self._in_transaction and self._kind(relation) is None:
            raise EngineError(f"relation {relation} does not exist")
        return found

    def _columns(self, relation: Relation) -> list[tuple[str, str]]:
        rows = self.fetch(
            "SELECT a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) FROM pg_catalog.pg_attribute a "
            "JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = ? AND c.relname = ? AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum",
            (relation.schema, relation.name),
        )
        return [(name, kind) for name, kind in rows] if self._is_here(relation) else []

    def same(self, left: Sequence[str], right: Sequence[str]) -> str:
        """The condition that two keys are the same; what is missing in both is the same, too.

        Arrays are compared so, and can be joined by hash, which IS NOT DISTINCT FROM cannot.
        """
        return " AND ".join(f"ARRAY[{one}] = ARRAY[{other}]" for one, other in zip(left, right, strict=True))

    def placed(self, relation: Relation) -> Relation:
        """The relation: a connection sees one database."""
        return relation

    def exists(self, relation: Relation) -> bool:
        """Whether a table or view of that name exists."""
        return self._kind(relation) is not None

    def _kind(self, relation: Relation) -> str | None:
        """What the catalog calls it: `r` a table, `v` a view, …; None when it does not exist."""
        if not self._is_here(relation):
            return None
        rows = self.fetch(
            "SELECT c.relkind FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = ? AND c.relname = ? AND c.relkind IN ('r', 'p', 'f', 'v', 'm')",
            (relation.schema, relation.name),
        )
        return str(rows[0][0]) if rows else None

    @contextmanager
    def reading(self, relations: Sequence[Relation]) -> Iterator[None]:
        """See `Session`. The moment is that of the first query, and these are locked by then: one that is being written
        anew (other columns) would be empty for whoever has a moment before that and waits for its end.
        """
        lockable = [relation for relation in sorted(set(relations)) if self._kind(relation) in ("r", "p", "v")]
        with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ", None):
            if lockable:
                self.execute(f"LOCK TABLE {', '.join(one.sql for one in lockable)} IN ACCESS SHARE MODE")
            yield

    @property
    def default_catalog(self) -> str:
        """The connection's database."""
        return self._database

    def _is_here(self, relation: Relation) -> bool:
        return relation.catalog in (None, self._database)

    def list_relations(self, schema: str) -> list[tuple[str, str]]:
        """Name and type ("table" or "view") of everything in the schema; empty when there is no such schema."""
        rows = self.fetch(
            "SELECT c.relname, CASE WHEN c.relkind IN ('v', 'm') THEN 'view' ELSE 'table' END "
            "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
            "WHERE n.nspname = ? AND c.relkind IN ('r', 'p', 'f', 'v', 'm') ORDER BY 1",
            (schema,),
        )
        return [(name, kind) for name, kind in rows]

    def standing_on(self, relations: Sequence[Relation]) -> list[tuple[str, Relation]]:
        """What keeps one of these from being dropped and is none of them, and which one; sorted."""
        return postgres_dependents.standing_on(self, [one for one in relations if self._is_here(one)])

    # ---- schemas and rights ------------------------------------------------------------------------------

    def preflight(self, schemas: Sequence[str], views: Sequence[Relation]) -> None:
        """EngineError that names every right this user lacks to write into these schemas and to replace these views;
        its hint is the SQL that gives them. Schemas that are not there are to be made.
        """
        postgres_rights.check(self, schemas, views, makes_schemas=self._makes_schemas)

    def create_schema(self, schema: str, catalog: str | None = None) -> None:
        """Create the schema if it is not there."""
        if catalog not in (None, self._database):
            raise EngineError(
                f"{catalog!r} is another database than {self._database!r}",
                hint="leave the catalog out of the model's name; Postgres writes to one database at a time",
            )
        if self._has_schema(schema):  # before all else: making it takes a right that this user may not need
            return
        if not self._makes_schemas:
            raise EngineError(
                f"there is no schema {schema!r}, and the connection says `create_schemas: false`",
                hint=f"as an administrator: CREATE SCHEMA {quote(schema)}, with USAGE and CREATE on it for this user",
            )
        with self._atomic():
            self.fetch("SELECT pg_catalog.pg_advisory_xact_lock(?)", (lock_number("schemas"),))
            if not self._has_schema(schema):
                self.execute(f"CREATE SCHEMA {quote(schema)}")

    def _has_schema(self, schema: str) -> bool:
        return bool(self.fetch("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ?", (schema,)))

    def _owns_schema(self, schema: str) -> bool:
        return bool(
            self.fetch(
                "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = ? AND pg_catalog.pg_has_role(nspowner, 'USAGE')",
                (schema,),
            )
        )

    def catalogs_with(self, relation: Relation) -> list[str | None]:
        """The connection's own database, whether the table is there or not: no other can be asked."""
        return [None]

    def create_catalog(self, catalog: str) -> None:
        """Nothing: a connection sees its own database only, `create_schema` refuses another."""

    def drop_catalog_if_empty(self, catalog: str) -> None:
        """Nothing: databases are made and dropped by their owners."""

    def drop_schema_if_empty(self, schema: str, catalog: str | None = None) -> None:
        """Drop the schema unless something is in it, it is Postgres's own `public`, or somebody else's."""
        if not self._makes_schemas or schema == "public" or self.list_relations(schema):
            return
        if not self._owns_schema(schema):
            return
        with self._atomic():
            self.execute("SAVEPOINT isomesh_schema")
            try:
                self.execute(f"DROP SCHEMA {quote(schema)} RESTRICT")
            except RefusedError as error:  # a function or a type is in it
                if error.state != errorcodes.DEPENDENT_OBJECTS_STILL_EXIST:
                    raise
                self.execute("ROLLBACK TO SAVEPOINT isomesh_schema")
            self.execute("RELEASE SAVEPOINT isomesh_schema")

    def grant(self, relation: Relation, grants: Mapping[str, Sequence[str]]) -> None:
        """Of all but its owner, just these have these privileges on the table or view afterwards: who, by privilege.

        They may also look into its schema, where that is ours to allow.
        """
        there = {
            (privilege, grantee)
            for privilege, grantee in self.fetch(
                "SELECT x.privilege_type, COALESCE(pg_catalog.pg_get_userbyid(NULLIF(x.grantee, 0)), 'public') "
                "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
                "CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) AS x "
                "WHERE n.nspname = ? AND c.relname = ? AND x.grantee <> c.relowner",
                (relation.schema, relation.name),
            )
        }
        wanted = {(privilege.upper(), grantee) for privilege, grantees in grants.items() for grantee in grantees}
        everything = {grantee for privilege, grantee in wanted if privilege in _ALL_PRIVILEGES}
        statements = [
            f"REVOKE {privilege} ON {relation.sql} FROM {_role(grantee)}"
            for privilege, grantee in sorted(there - wanted)
            if grantee not in everything
        ]
        statements += [
            f"GRANT {privilege} ON {relation.sql} TO {_role(grantee)}" for privilege, grantee in sorted(wanted - there)
        ]
        grantees = sorted({grantee for _, grantee in wanted})
        if grantees and self._owns_schema(relation.schema):
            statements.append(f"GRANT USAGE ON SCHEMA {quote(relation.schema)} TO {', '.join(map(_role, grantees))}")
        if statements:
            self.execute("; ".join(statements))

    # ---- tables ------------------------------------------------------------------------------------------

    def create_table(self, relation: Relation, columns: Sequence[tuple[str, str]]) -> None:
        """The table has these columns (name and type, Postgres's spelling) and no rows afterwards."""
        items = ", ".join(f"{quote(name)} {kind}" for name, kind in columns)
        with self._atomic():
            if self._kind(relation) is None:
                self.execute(f"CREATE TABLE {relation.sql} ({items})")
                return
            new = _beside(relation)
            self.execute(f"CREATE TABLE {new.sql} ({items})")
            if self._columns(new) == self._columns(relation):
                self.execute(f"DROP TABLE {new.sql}")
                self.execute(f"DELETE FROM {relation.sql}")
            else:
                self._take_place(relation, new)

    def alter_table(self, relation: Relation, changes: Sequence[ColumnChange]) -> None:
        """The table has the changed columns afterwards, its rows stay.

        Views know their columns by number: an added one is no matter to them. For others those that read the table are
        made again, with owners, grants and comments. EngineError that names those which would not work any more.
        """
        actions = []
        for change in changes:
            column = quote(change.name)
            if change.was is None:
                actions.append(f"ADD COLUMN {column} {change.type}")
            elif change.type is None:
                actions.append(f"DROP COLUMN {column} RESTRICT")
            else:
                actions.append(f"ALTER COLUMN {column} TYPE {change.type} USING {column}::{change.type}")
        statement = f"ALTER TABLE {relation.sql} {', '.join(actions)}"
        if all(change.was is None for change in changes):
            self.execute(statement)
            return
        with self._atomic():
            postgres_dependents.rebuilt_around(self, relation, lambda: self._ran(statement))

    def replace_table(self, relation: Relation, query: str) -> int | None:
        """The table holds exactly the query's rows afterwards; the number of rows."""
        with self._atomic():
            if self._kind(relation) is None:
                return self.execute(f"CREATE TABLE {relation.sql} AS\n{query}")
            columns = self._columns(relation)
            if self.query_columns(query) == columns:
                # one statement, so that a query over the table itself reads the rows that go
                names = ", ".join(quote(name) for name, _ in columns)
                return self.execute(
                    f"WITH _gone AS (DELETE FROM {relation.sql})\n"
                    f"INSERT INTO {relation.sql} ({names})\nSELECT * FROM (\n{query}\n) AS _new_rows"
                )
            new = _beside(relation)
            rows = self.execute(f"CREATE TABLE {new.sql} AS\n{query}")
            self._take_place(relation, new)
            return rows

    def _take_place(self, relation: Relation, new: Relation) -> None:
        def replace() -> None:
            self.execute(f"DROP TABLE {relation.sql}")
            self.execute(f"ALTER TABLE {new.sql} RENAME TO {quote(relation.name)}")

        postgres_dependents.rebuilt_around(self, relation, replace)

    def insert(self, relation: Relation, query: str, columns: Sequence[str]) -> int | None:
        """Append the query's rows, columns matched by name; the number of rows."""
        names = ", ".join(quote(column) for column in columns)
        return self.execute(f"INSERT INTO {relation.sql} ({names})\nSELECT {names} FROM (\n{query}\n) AS _new_rows")

    def load_csv(
        self,
        relation: Relation,
        path: str,
        columns: Sequence[tuple[str, str]] | None,
        settings: dict[str, Any],
    ) -> int | None:
        """The table holds exactly the rows of the CSV file (absolute path); `columns` None: types are inferred.

        As on DuckDB: the file is read by it, so the same rules hold and the same types come out.
        """
        with temporary_file() as file, self._atomic():
            found = transfer.csv_of_seed(
                path, None if columns is None else [name for name, _ in columns], settings, file
            )
            if columns is None:
                typed = [(name, types.from_frame(kind)) for name, kind in found]
            else:
                typed = [(name, "text" if kind == "UNKNOWN" else kind) for name, kind in columns]
            self.create_table(relation, typed)
            return self._load(relation.sql, file)

    # ---- views -------------------------------------------------------------------------------------------

    def replace_view(self, relation: Relation, query: str, *, materialized: bool = False) -> None:
        """The view shows the query afterwards, whatever it showed before.

        A materialized one holds the rows of now; what is there as one stays one. It is refreshed where its query is the
        same: readers wait for the end of the transaction then.

        Where its columns stay or are added to, it is replaced in place. Else it is made anew, and with it the views
        that read it; owners, grants, options and comments stay. EngineError that names them when they would not work
        any more.
        """
        kind = self._kind(relation)
        if materialized or kind == "m":
            with self._atomic():
                self._materialize(relation, query, kind)
            return
        options = postgres_dependents.view_options(self, relation)
        create = f"CREATE OR REPLACE VIEW {relation.sql}{options} AS\n{query}"
        with self._atomic():
            self.execute("SAVEPOINT isomesh_view")
            try:
                self.execute(create)
            except RefusedError as error:
                if error.state != errorcodes.INVALID_TABLE_DEFINITION:  # other columns, or in another order
                    raise
                self.execute("ROLLBACK TO SAVEPOINT isomesh_view")
                postgres_dependents.rebuilt_around(self, relation, lambda: self._remake(relation, create))
            self.execute("RELEASE SAVEPOINT isomesh_view")

    def _materialize(self, relation: Relation, query: str, kind: str | None) -> None:
        create = f"CREATE MATERIALIZED VIEW {relation.sql} AS\n{query}"
        if kind is None:
            self.execute(create)
        elif kind == "m" and self._shows(relation, query):
            self.execute(f"REFRESH MATERIALIZED VIEW {relation.sql}")
        else:
            drop = f"DROP {'MATERIALIZED VIEW' if kind == 'm' else 'VIEW'} {relation.sql}"
            postgres_dependents.rebuilt_around(self, relation, lambda: self._ran(f"{drop}; {create}"))

    def _shows(self, relation: Relation, query: str) -> bool:
        """Whether a view shows just this query: the server writes both down in its own words."""
        self.execute(f"CREATE TEMPORARY VIEW _isomesh_shape AS\n{query}")
        ((is_same,),) = self.fetch(
            "SELECT pg_catalog.pg_get_viewdef(CAST(? AS regclass)) "
            "= pg_catalog.pg_get_viewdef('pg_temp._isomesh_shape'::regclass)",
            (Relation(schema=relation.schema, name=relation.name).sql,),
        )
        self.execute("DROP VIEW pg_temp._isomesh_shape")
        return bool(is_same)

    def _remake(self, relation: Relation, create: str) -> None:
        self.execute(f"DROP VIEW {relation.sql}")
        self.execute(create)

    def drop(self, relation: Relation, *, view: bool) -> None:
        """Drop it if it exists; never cascades."""
        kind = "TABLE"
        if view:
            kind = "MATERIALIZED VIEW" if self._kind(relation) == "m" else "VIEW"
        self.execute(f"DROP {kind} IF EXISTS {relation.sql} RESTRICT")

    def _ran(self, statement: str) -> None:
        self.execute(statement)


# ---- small things ----------------------------------------------------------------------------------------


def _role(name: str) -> str:
    return "PUBLIC" if name.lower() == "public" else quote(name)


def _beside(relation: Relation) -> Relation:
    return Relation(catalog=relation.catalog, schema=relation.schema, name=frames.new_name("new"))
