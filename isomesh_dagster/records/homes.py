"""Where the views of environments live: each environment in one catalog, and the record of its views with them.

A transaction writes one catalog only. So an environment that moves to another one is shown there first, all of it and
the record in one transaction; what it leaves behind goes in a transaction of its own. The latest record
counts, so a crash between the two changes nothing, and who comes next takes the rest away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from isomesh_dagster.engine.connection import Session
from isomesh_dagster.errors import PlanError
from isomesh_dagster.records import warehouse
from isomesh_dagster.records.warehouse import Shown
from isomesh_dagster.relation import Relation


def claim_of(environment: str) -> str:
    """What the one transaction at a time that changes the environment's views holds."""
    return f"environment {environment}"


def check_home(session: Session, home: str | None, *, alters: bool) -> None:
    """Whether the views and their record can be swapped in this catalog (None: the default one). Not inside a
    transaction. `alters`: tables, or what is recorded of them, change with the swap.

    Raises PlanError, or SystemMismatch for a catalog of another system.
    """
    if home is None:
        return
    warehouse.check_owner(session, home)
    if alters:
        raise PlanError(
            f"the change alters tables together with the swap, and the views are in the catalog {home!r}: one"
            " transaction cannot write both",
            hint=f"let `environment_catalog_mapping` put these views into the default catalog,"
            f" {session.default_catalog!r}, or plan the change without forward-only",
        )


def check_others(shown: Iterable[Shown], environment: str, changed: Collection[str]) -> None:
    """Whether tables (dotted) can be altered in a swap of the environment: PlanError when another one has views on them
    in a catalog of its own, which would have to follow in the same transaction.
    """
    for record in shown:
        if record.name == environment or record.catalog is None:
            continue
        if any(view.physical in changed for view in record.target.views.values()):
            raise PlanError(
                f"tables that environment {record.name!r} shows, too, are altered with the swap, and its views are in"
                f" the catalog {record.catalog!r}: one transaction cannot write both",
                hint=f"plan {record.name} from the files of this change, or end it:"
                f" `isomesh invalidate {record.name}`; nothing was changed",
            )


def views_of(record: Shown) -> list[Relation]:
    """Its views, in the order in which they are locked and dropped."""
    return [Relation.parse(view) for view in sorted(view.view for view in record.target.views.values())]


def hide_views(session: Session, record: Shown) -> None:
    """Inside a transaction: the record and its views are gone, and schemas in which nothing is left."""
    views = views_of(record)
    for view in views:
        session.drop(view, view=True)
    warehouse.hide(session, record)
    drop_empty_schemas(session, views)


def leave_old_homes(session: Session, environment: str) -> None:
    """Take away what the environment left in catalogs it moved away from. Not inside a transaction; idempotent."""
    for record in warehouse.left_behind(session, environment):
        with session.swapping(views_of(record), claim=claim_of(environment)):
            if record in warehouse.left_behind(session, environment):  # it may have come back meanwhile
                hide_views(session, record)
        if record.catalog is not None:
            session.drop_catalog_if_empty(record.catalog)


def drop_empty_schemas(session: Session, views: Iterable[Relation]) -> None:
    """Drop the schemas of these views in which nothing is left."""
    for catalog, schema in sorted({(view.catalog, view.schema) for view in views}, key=str):
        session.drop_schema_if_empty(schema, catalog)
