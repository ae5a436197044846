"""Which rights a plan needs on Postgres and this user has not: asked before anything is done, told all at once."""

from __future__ import annotations

from collections.abc import Sequence

from isomesh_dagster.engine.postgres_dependents import Conversation
from isomesh_dagster.errors import EngineError
from isomesh_dagster.relation import Relation, quote

_SCHEMAS = """
SELECT w.name, n.oid IS NOT NULL,
  COALESCE(pg_catalog.has_schema_privilege(n.oid, 'USAGE'), false),
  COALESCE(pg_catalog.has_schema_privilege(n.oid, 'CREATE'), false)
FROM (SELECT pg_catalog.unnest(?::text[]) AS name) AS w LEFT JOIN pg_catalog.pg_namespace n ON n.nspname = w.name
ORDER BY w.name
"""

_VIEWS = """
SELECT n.nspname, c.relname, pg_catalog.pg_get_userbyid(c.relowner)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = ANY(?) AND c.relname = ANY(?) AND c.relkind = 'v' AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE')
ORDER BY 1, 2
"""


def check(session: Conversation, schemas: Sequence[str], views: Sequence[Relation], *, makes_schemas: bool) -> None:
    """Raises EngineError with every right that is missing, and the SQL that gives them as its hint."""
    ((user, database, may_create, may_use_temporary),) = session.fetch(
        "SELECT current_user, pg_catalog.current_database(), "
        "pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'), "
        "pg_catalog.has_database_privilege(pg_catalog.current_database(), 'TEMPORARY')"
    )
    lacking: list[str] = []
    remedies: list[str] = []
    if not may_use_temporary:
        lacking.append("temporary tables")
        remedies.append(f"GRANT TEMPORARY ON DATABASE {quote(database)} TO {quote(user)}")
    for name, is_there, may_use, may_write in session.fetch(_SCHEMAS, (sorted(set(schemas)),)):
        if is_there and not (may_use and may_write):
            lacking.append(f"schema {name} ({'CREATE' if may_use else 'USAGE, CREATE'})")
            remedies.append(f"GRANT USAGE, CREATE ON SCHEMA {quote(name)} TO {quote(user)}")
        elif not is_there and not makes_schemas:
            lacking.append(f"schema {name} (it is not there, and the connection says `create_schemas: false`)")
            remedies.append(f"CREATE SCHEMA {quote(name)} AUTHORIZATION {quote(user)}")
        elif not is_there and not may_create:
            lacking.append(f"schema {name} (it is not there, and may not be made)")
            remedies.append(f"CREATE SCHEMA {quote(name)} AUTHORIZATION {quote(user)}")
    wanted = set(views)
    names = sorted({view.name for view in wanted})
    for schema, name, owner in session.fetch(_VIEWS, (sorted({view.schema for view in wanted}), names)):
        if Relation(schema=schema, name=name) in wanted:
            lacking.append(f"view {schema}.{name} (it belongs to {owner})")
            remedies.append(f"GRANT {quote(owner)} TO {quote(user)}")
    if lacking:
        raise EngineError(
            f"user {user!r} lacks rights on {len(lacking)} things: {', '.join(lacking)}",
            hint="as an administrator: " + "; ".join(dict.fromkeys(remedies)),
        )
