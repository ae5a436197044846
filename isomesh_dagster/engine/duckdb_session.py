"""DuckDB, relations: what is there, and making, filling and dropping of schemas, tables and views."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import duckdb

from isomesh_dagster.dialect.query import statement_facts
from isomesh_dagster.engine import seed_file
from isomesh_dagster.engine.duckdb_statements import DuckDBStatements, engine_error, row_count
from isomesh_dagster.errors import EngineError
from isomesh_dagster.relation import ColumnChange, Relation, quote


class DuckDBSession(DuckDBStatements):
    """One thread's cursor (`Session`)."""

    # ---- what is there -----------------------------------------------------------------------------------

    def columns(self, relation: Relation) -> list[tuple[str, str]]:
        """Name and type of each column in order; empty when the relation does not exist.

        Inside a transaction the relation must exist: there a failed look-up would abort the transaction (EngineError).
        """
        try:
            rows = self._cursor.execute(f"DESCRIBE {self._sql(relation)}").fetchall()
        except duckdb.CatalogException as error:
            if self._in_transaction:
                raise engine_error(error) from None
            return []
        except duckdb.Error as error:
            raise engine_error(error) from None
        return [(row[0], row[1]) for row in rows]

    def same(self, left: Sequence[str], right: Sequence[str]) -> str:
        """The condition that two keys are the same; what is missing in both is the same, too."""
        return " AND ".join(f"{one} IS NOT DISTINCT FROM {other}" for one, other in zip(left, right, strict=True))

    def exists(self, relation: Relation) -> bool:
        """Whether a table or view of that name exists."""
        found = self.fetch(
            "SELECT 1 FROM (SELECT database_name, schema_name, table_name FROM duckdb_tables() "
            "UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views()) "
            "WHERE lower(database_name) = lower(?) AND lower(schema_name) = lower(?) "
            "AND lower(table_name) = lower(?) LIMIT 1",
            (relation.catalog or self.default_catalog, relation.schema, relation.name),
        )
        return bool(found)

    def placed(self, relation: Relation) -> Relation:
        """See `Session`: "x"."t" is ambiguous when a catalog is called x too, as with a file named like a schema."""
        if relation.catalog is None and relation.schema.lower() in self._catalogs.names:
            return replace(relation, catalog=self.default_catalog)
        return relation

    def _sql(self, relation: Relation) -> str:
        return self.placed(relation).sql

    def list_relations(self, schema: str) -> list[tuple[str, str]]:
        """Name and type ("table" or "view") of everything in the schema; empty when there is no such schema."""
        return self._relations(schema, self.default_catalog)

    def _relations(self, schema: str, catalog: str) -> list[tuple[str, str]]:
        rows = self.fetch(
            "SELECT table_name, 'table' FROM duckdb_tables() "
            "WHERE lower(database_name) = lower(?) AND lower(schema_name) = lower(?) "
            "UNION ALL SELECT view_name, 'view' FROM duckdb_views() "
            "WHERE NOT internal AND lower(database_name) = lower(?) AND lower(schema_name) = lower(?) ORDER BY 1",
            (catalog, schema, catalog, schema),
        )
        return [(row[0], row[1]) for row in rows]

    def standing_on(self, relations: Sequence[Relation]) -> list[tuple[str, Relation]]:
        """Views that read one of these and are none of them, and what they read; sorted. DuckDB binds a view when it is
        read, so it is the views' text that tells.
        """
        ours = {
            ((one.catalog or self.default_catalog).lower(), one.schema.lower(), one.name.lower()): one
            for one in relations
        }
        found: set[tuple[str, Relation]] = set()
        for catalog, schema, name, text in self.fetch(
            "SELECT database_name, schema_name, view_name, sql FROM duckdb_views() WHERE NOT internal"
        ):
            if (catalog.lower(), schema.lower(), name.lower()) in ours:
                continue
            # all that is mentioned: of a text that the SQL library does not parse it cannot tell what is read
            for read in statement_facts(text, self.capabilities.dialect).references:
                parts = tuple(read.name.lower().split("."))
                place = parts if len(parts) == 3 else (catalog.lower(), *parts)
                found |= {(f"{schema}.{name}", one) for key, one in ours.items() if key == place}
        return sorted(found, key=lambda pair: (pair[0], str(pair[1])))

    # ---- catalogs ----------------------------------------------------------------------------------------

    def catalogs_with(self, relation: Relation) -> list[str | None]:
        """The attached databases in which there is a table of that schema and name; None is the default one."""
        if self._catalogs.is_alone(self._cursor):
            return [None] if self.exists(relation) else []
        rows = self.fetch(
            "SELECT database_name FROM duckdb_tables() "
            "WHERE lower(schema_name) = lower(?) AND lower(table_name) = lower(?) ORDER BY 1",
            (relation.schema, relation.name),
        )
        return [None if row[0].lower() == self.default_catalog.lower() else row[0] for row in rows]

    def create_catalog(self, catalog: str) -> None:
        """See `Session`. The file is in the folder beside the default catalog's."""
        self._catalogs.create(self._cursor, catalog)

    def drop_catalog_if_empty(self, catalog: str) -> None:
        """See `Session`. Its file goes."""
        self._catalogs.drop_if_empty(self._cursor, catalog)

    # ---- schemas and rights ------------------------------------------------------------------------------

    def preflight(self, schemas: Sequence[str], views: Sequence[Relation]) -> None:
        """Nothing: who may open the file may do everything in it."""

    def create_schema(self, schema: str, catalog: str | None = None) -> None:
        """Create the schema if it is not there."""
        self._run(f"CREATE SCHEMA IF NOT EXISTS {quote(catalog or self.default_catalog)}.{quote(schema)}")

    def drop_schema_if_empty(self, schema: str, catalog: str | None = None) -> None:
        """Drop the schema unless something is in it or it is DuckDB's own `main`."""
        catalog = catalog or self.default_catalog
        if schema.lower() == "main" or self._relations(schema, catalog):
            return
        self._run(f"DROP SCHEMA IF EXISTS {quote(catalog)}.{quote(schema)} RESTRICT")

    def grant(self, relation: Relation, grants: Mapping[str, Sequence[str]]) -> None:
        """Nothing: DuckDB has no users."""

    # ---- tables ------------------------------------------------------------------------------------------

    def create_table(self, relation: Relation, columns: Sequence[tuple[str, str]]) -> None:
        """The table has these columns (name and type, DuckDB's spelling) and no rows afterwards.

        DuckDB 2.0.0 loses sight of 122,880 rows and more that are inserted, in the transaction that made it, into a
        table made by a query without rows: `COUNT(*)` has them, a scan has none until the file is opened again. A table
        made by its columns has all of them.
        """
        items = ", ".join(f"{quote(name)} {kind}" for name, kind in columns)
        self._run(f"CREATE OR REPLACE TABLE {self._sql(relation)} ({items})")

    def alter_table(self, relation: Relation, changes: Sequence[ColumnChange]) -> None:
        """The table has the changed columns afterwards, its rows stay. Views are bound when they are read."""
        table = self._sql(relation)
        for change in changes:
            column = quote(change.name)
            if change.was is None:
                self._run(f"ALTER TABLE {table} ADD COLUMN {column} {change.type}")
            elif change.type is None:
                self._run(f"ALTER TABLE {table} DROP COLUMN {column}")
            else:
                self._run(f"ALTER TABLE {table} ALTER COLUMN {column} SET DATA TYPE {change.type}")

    def replace_table(self, relation: Relation, query: str) -> int | None:
        """The table holds exactly the query's rows afterwards; the number of rows."""
        return row_count(self._run(f"CREATE OR REPLACE TABLE {self._sql(relation)} AS\n{query}"))

    def insert(self, relation: Relation, query: str, columns: Sequence[str]) -> int | None:
        """Append the query's rows, columns matched by name; the number of rows."""
        names = ", ".join(quote(column) for column in columns)
        return row_count(
            self._run(f"INSERT INTO {self._sql(relation)} ({names})\nSELECT {names} FROM (\n{query}\n) AS _new_rows")
        )

    def load_csv(
        self,
        relation: Relation,
        path: str,
        columns: Sequence[tuple[str, str]] | None,
        settings: dict[str, Any],
    ) -> int | None:
        """The table holds exactly the rows of the CSV file (absolute path); `columns` None: types are inferred.

        `settings` are the model format's `csv_settings`, only those that were given. Columns are matched by the
        header's names; a type "UNKNOWN" leaves the column text.
        """
        with self._seed_rows(path, settings) as rows:
            if columns is None:
                names = self.fetch_table(f"SELECT * FROM {rows} LIMIT 0")[0]
                (told,) = self.fetch(f"SELECT {seed_file.survey(names, settings)} FROM {rows}")
                items = seed_file.inferred(names, told, settings)
            else:
                self._check_seed(rows, columns, settings)
                items = [seed_file.value(name, None if kind == "UNKNOWN" else kind, settings) for name, kind in columns]
            return self.replace_table(relation, f"SELECT {', '.join(items)} FROM {rows}")

    @contextmanager
    def _seed_rows(self, path: str, settings: dict[str, Any]) -> Iterator[str]:
        """What a FROM names to read the file's rows, all of them text."""
        if seed_file.is_plain(settings):
            try:
                yield seed_file.source(path, settings)
            except EngineError:
                # DuckDB tells of its search for a dialect; a line with too many or too few values is told as such
                if (told := seed_file.uneven(path, settings)) is not None:
                    raise EngineError(told, hint="mend the file, or `csv_settings`") from None
                raise
            return
        names, rows = seed_file.parsed(path, settings)
        table = "temp._isomesh_seed"
        items = ", ".join(f"cells[{number}] AS {quote(name)}" for number, name in enumerate(names, 1))
        cells = "SELECT unnest(CAST(? AS VARCHAR[][])) AS cells"
        self._run(f"CREATE OR REPLACE TEMP TABLE {table} AS SELECT {items} FROM ({cells})", [rows])
        yield table
        self._run(f"DROP TABLE {table}")  # after an error the transaction takes it back, or the next one replaces it

    def _check_seed(self, rows: str, columns: Sequence[tuple[str, str]], given: dict[str, Any]) -> None:
        """Raises EngineError for a declared column that the file lacks, or a value that is not of its type."""
        names = self.fetch_table(f"SELECT * FROM {rows} LIMIT 0")[0]
        known = {name.lower() for name in names}
        for name, _ in columns:
            if name.lower() not in known:
                near = get_close_matches(name, names, n=1)
                raise EngineError(
                    f"the seed's file has no column {name}; it has {', '.join(names)}",
                    hint=f"did you mean {near[0]}?" if near else "its first line names the columns",
                )
        typed = [(name, kind) for name, kind in columns if kind != "UNKNOWN"]
        if not typed:
            return
        wrong = ", ".join(seed_file.misfit(name, kind, given) for name, kind in typed)
        (found,) = self.fetch(f"SELECT {wrong} FROM {rows}")
        for (name, kind), value in zip(typed, found, strict=True):
            if value is not None:
                raise EngineError(
                    f"the seed's column {name} holds {value!r}, which is no {kind}",
                    hint="mend the file, or the type under `columns`",
                )

    # ---- views -------------------------------------------------------------------------------------------

    def replace_view(self, relation: Relation, query: str, *, materialized: bool = False) -> None:
        """The view shows the query afterwards, whatever it showed before. DuckDB has no materialized ones."""
        self._run(f"CREATE OR REPLACE VIEW {self._sql(relation)} AS\n{query}")

    def drop(self, relation: Relation, *, view: bool) -> None:
        """Drop it if it exists; never cascades."""
        self._run(f"DROP {'VIEW' if view else 'TABLE'} IF EXISTS {self._sql(relation)} RESTRICT")
