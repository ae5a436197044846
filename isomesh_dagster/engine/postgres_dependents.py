"""Replacing a table or view on which views stand: they are saved, dropped and made again in the same transaction.

Postgres binds views to what they read, so what they read cannot be dropped under them, and CASCADE would take them
along. Owners, grants, options and comments come back as they were, also those of what is replaced. Materialized views
are filled again, in the same transaction, so only those of the role that acts here: readers of the others would have to
wait for what is not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from isomesh_dagster.errors import EngineError, WriteConflict
from isomesh_dagster.relation import Relation, literal, quote


class Conversation(Protocol):
    """What is asked of a session here."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int | None:
        """Run one statement."""
        ...

    def fetch(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one query and return all rows."""
        ...


_KINDS = {"r": "TABLE", "v": "VIEW", "m": "MATERIALIZED VIEW"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Grant:
    """One right: `column` None for the whole relation, `grantee` None for PUBLIC."""

    column: str | None
    privilege: str
    grantee: str | None
    is_grantable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Index:
    """An index, or a constraint that is made of one: the statement that makes it, and the columns it needs."""

    name: str
    statement: str
    needed: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Saved:
    """A table or view as it was. `definition` is a view's query, `comments` are by column, None for its own.

    `copied` is the relation of which a view shows every column as it is: it was made by `SELECT *`, and is again.
    `indexes` are those of a table or a materialized view.
    """

    relation: Relation
    kind: str
    owner: str
    definition: str
    options: str
    columns: tuple[str, ...]
    comments: tuple[tuple[str | None, str], ...]
    grants: tuple[_Grant, ...]
    has_more: bool
    copied: Relation | None
    is_ours: bool
    is_filled: bool
    indexes: tuple[_Index, ...]


def rebuilt_around(session: Conversation, relation: Relation, replace: Callable[[], None]) -> None:
    """Run `replace`, which drops the relation and makes it anew, with the views that read it out of the way.

    To be called in a transaction, which an error leaves to be rolled back. Raises EngineError that names the views
    which would not work any more, or cannot be made again by us.
    """
    itself, *dependents = _standing_on(session, relation)
    lost = [one for one in dependents if one.has_more or (one.kind == "m" and not one.is_ours)]
    if lost or itself.has_more:
        names = ", ".join(str(one.relation) for one in ([itself] if itself.has_more else lost))
        raise EngineError(
            f"{relation} gets other columns, and {names} cannot be made again by isomesh",
            hint="drop it and make it again yourself: it is a materialized view of somebody else, "
            "or has more to it, like triggers, rules or row security",
        )
    for one in reversed(dependents):
        session.execute(f"DROP {_KINDS[one.kind]} {one.relation.sql}")
    replace()
    _restore(session, itself)
    broken: list[str] = []
    for one in dependents:
        session.execute("SAVEPOINT isomesh_dependent")
        try:
            query = f"SELECT * FROM {one.copied.sql}" if one.copied is not None else one.definition.rstrip("; \n")
            filled = "" if one.kind == "v" else f"\nWITH {'DATA' if one.is_filled else 'NO DATA'}"
            session.execute(f"CREATE {_KINDS[one.kind]} {one.relation.sql}{one.options} AS\n{query}{filled}")
            _restore(session, one)
        except WriteConflict:
            raise
        except EngineError as error:
            session.execute("ROLLBACK TO SAVEPOINT isomesh_dependent")
            broken.append(f"{one.relation} ({error.message})")
        session.execute("RELEASE SAVEPOINT isomesh_dependent")
    if broken:
        raise EngineError(
            f"{relation} gets other columns, and views that read it would break: {'; '.join(broken)}",
            hint="change or drop these views first; nothing was changed",
        )


def view_options(session: Conversation, relation: Relation) -> str:
    """The options of a view as SQL (` WITH (…)`), "" for none: replacing a view forgets them."""
    rows = session.fetch(
        "SELECT c.reloptions FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
        "WHERE n.nspname = ? AND c.relname = ? AND c.relkind = 'v'",
        (relation.schema, relation.name),
    )
    return _options(rows[0][0]) if rows else ""


def standing_on(session: Conversation, relations: Sequence[Relation]) -> list[tuple[str, Relation]]:
    """What keeps one of these tables and views from being dropped and is none of them, and which one; sorted."""
    names = [one.name for one in relations], [one.schema for one in relations]
    return [(what, Relation(schema=schema, name=name)) for what, schema, name in session.fetch(_IN_THE_WAY, (*names,))]


_IN_THE_WAY = """
WITH ours AS (
  SELECT c.oid, n.nspname, c.relname
  FROM (SELECT pg_catalog.unnest(?::text[]) AS name, pg_catalog.unnest(?::text[]) AS schema) AS w
  JOIN pg_catalog.pg_namespace n ON n.nspname = w.schema
  JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = w.name AND c.relkind IN ('r', 'p', 'v', 'm')
)
SELECT DISTINCT
  CASE WHEN r.oid IS NULL THEN pg_catalog.pg_describe_object(d.classid, d.objid, d.objsubid)
    ELSE (SELECT n.nspname || '.' || c.relname FROM pg_catalog.pg_class c
      JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = r.ev_class) END AS what,
  o.nspname, o.relname
FROM ours o
JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = o.oid
  AND d.deptype = 'n' AND NOT (d.classid = 'pg_catalog.pg_class'::regclass AND d.objid IN (SELECT oid FROM ours))
LEFT JOIN pg_catalog.pg_rewrite r ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND r.oid = d.objid
LEFT JOIN pg_catalog.pg_constraint f ON d.classid = 'pg_catalog.pg_constraint'::regclass AND f.oid = d.objid
WHERE (r.oid IS NULL OR r.ev_class NOT IN (SELECT oid FROM ours))
  AND (f.oid IS NULL OR f.conrelid NOT IN (SELECT oid FROM ours))
ORDER BY 1, 2, 3
"""

# ---- what stands there ------------------------------------------------------------------------------------

_STANDING = """
WITH RECURSIVE standing (oid, depth) AS (
  SELECT c.oid, 0 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = ? AND c.relname = ? AND c.relkind IN ('r', 'v', 'm')
  UNION
  SELECT r.ev_class, s.depth + 1
  FROM standing s
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = s.oid
    AND d.classid = 'pg_catalog.pg_rewrite'::regclass
  JOIN pg_catalog.pg_rewrite r ON r.oid = d.objid AND r.ev_class <> s.oid
)
SELECT c.oid, n.nspname, c.relname, c.relkind, pg_catalog.pg_get_userbyid(c.relowner), c.reloptions,
  CASE WHEN c.relkind IN ('v', 'm') THEN pg_catalog.pg_get_viewdef(c.oid) ELSE '' END,
  EXISTS (SELECT 1 FROM pg_catalog.pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
    OR EXISTS (SELECT 1 FROM pg_catalog.pg_rewrite w WHERE w.ev_class = c.oid AND w.rulename <> '_RETURN')
    OR c.relrowsecurity
    OR (c.relkind = 'm' AND (c.reltablespace <> 0
      OR EXISTS (SELECT 1 FROM pg_catalog.pg_statistic_ext x WHERE x.stxrelid = c.oid))),
  pg_catalog.obj_description(c.oid, 'pg_class'), pg_catalog.pg_get_userbyid(c.relowner) = current_user, c.relispopulated
FROM (SELECT oid, MAX(depth) AS depth FROM standing GROUP BY oid) AS s
JOIN pg_catalog.pg_class c ON c.oid = s.oid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
ORDER BY s.depth, n.nspname, c.relname
"""

_COLUMNS = """
SELECT a.attrelid, a.attname, pg_catalog.col_description(a.attrelid, a.attnum) FROM pg_catalog.pg_attribute a
WHERE a.attrelid = ANY(?::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum
"""

_GRANTS = """
SELECT g.relation, g.attname, x.privilege_type, CASE WHEN x.grantee <> 0 THEN pg_catalog.pg_get_userbyid(x.grantee) END,
  x.is_grantable
FROM (
  SELECT c.oid AS relation, NULL::name AS attname, c.relacl AS acl, c.relowner FROM pg_catalog.pg_class c
  WHERE c.oid = ANY(?::oid[]) AND c.relacl IS NOT NULL
  UNION ALL
  SELECT a.attrelid, a.attname, a.attacl, c.relowner FROM pg_catalog.pg_attribute a
  JOIN pg_catalog.pg_class c ON c.oid = a.attrelid WHERE a.attrelid = ANY(?::oid[]) AND a.attacl IS NOT NULL
) AS g CROSS JOIN LATERAL aclexplode(g.acl) AS x
WHERE x.grantee <> g.relowner ORDER BY 1, 2, 4, 3
"""

_READS = """
SELECT r.ev_class, MIN(n.nspname), MIN(c.relname), MIN(c.oid::bigint), COUNT(DISTINCT c.oid)
FROM pg_catalog.pg_rewrite r
JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::regclass AND d.objid = r.oid
  AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid <> r.ev_class
JOIN pg_catalog.pg_class c ON c.oid = d.refobjid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE r.ev_class = ANY(?::oid[]) GROUP BY r.ev_class
"""

_INDEXES = """
SELECT i.indrelid, x.relname, COALESCE(
    'ALTER TABLE ' || pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
      || ' ADD CONSTRAINT ' || pg_catalog.quote_ident(k.conname) || ' ' || pg_catalog.pg_get_constraintdef(k.oid),
    pg_catalog.pg_get_indexdef(i.indexrelid)), ARRAY(
  SELECT a.attname::text FROM pg_catalog.pg_depend d
  JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
  WHERE d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = i.indrelid
    AND (d.classid, d.objid) IN (('pg_catalog.pg_class'::regclass, i.indexrelid),
      ('pg_catalog.pg_constraint'::regclass, k.oid))
)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.conrelid = i.indrelid
WHERE c.oid = ANY(?::oid[]) AND c.relkind IN ('r', 'm')
ORDER BY i.indexrelid, k.contype DESC -- a foreign key of the table to itself after the key that it needs
"""


def _standing_on(session: Conversation, relation: Relation) -> list[_Saved]:
    """The relation, then all views that read it, directly or through others, each after what it reads."""
    rows = session.fetch(_STANDING, (relation.schema, relation.name))
    oids = [row[0] for row in rows]
    columns: dict[int, list[str]] = {}
    comments: dict[int, list[tuple[str | None, str]]] = {oid: [] for oid in oids}
    for oid, name, comment in session.fetch(_COLUMNS, (oids,)):
        columns.setdefault(oid, []).append(name)
        if comment is not None:
            comments[oid].append((name, comment))
    grants: dict[int, list[_Grant]] = {oid: [] for oid in oids}
    for oid, column, privilege, grantee, is_grantable in session.fetch(_GRANTS, (oids, oids)):
        grants[oid].append(_Grant(column=column, privilege=privilege, grantee=grantee, is_grantable=is_grantable))
    indexes: dict[int, list[_Index]] = {oid: [] for oid in oids}
    for oid, name, statement, needed in session.fetch(_INDEXES, (oids,)):
        indexes[oid].append(_Index(name=name, statement=statement, needed=frozenset(needed)))
    reads = {
        oid: (Relation(schema=schema, name=name), base)
        for oid, schema, name, base, count in session.fetch(_READS, (oids,))
        if count == 1
    }
    result = []
    for oid, schema, name, kind, owner, options, definition, has_more, comment, is_ours, is_filled in rows:
        base, base_oid = reads.get(oid, (None, None))
        is_copy = base is not None and _is_copy(definition, columns.get(oid, []), columns.get(base_oid or 0, []))
        result.append(
            _Saved(
                relation=Relation(schema=schema, name=name),
                kind=kind,
                owner=owner,
                definition=definition,
                options=_options(options),
                columns=tuple(columns.get(oid, ())),
                comments=(*([(None, comment)] if comment is not None else []), *comments[oid]),
                grants=tuple(grants[oid]),
                has_more=has_more,
                copied=base if is_copy else None,
                is_ours=is_ours,
                is_filled=is_filled,
                indexes=tuple(indexes[oid]),
            )
        )
    return result


def _is_copy(definition: str, columns: Sequence[str], base: Sequence[str]) -> bool:
    """Whether a view shows every column of the one relation it reads, and every row, under the same names."""
    if list(columns) != list(base):
        return False
    words = definition.rstrip("; \n").split()
    beyond_from = words[words.index("FROM") + 1 :] if "FROM" in words else []
    # the server writes `SELECT a, b FROM x`, one word behind FROM when there is nothing else to it
    return len(beyond_from) == 1 and words.index("FROM") <= len(columns) + 1 and "(" not in definition


# ---- as it was -------------------------------------------------------------------------------------------


def _restore(session: Conversation, saved: _Saved) -> None:
    """Give what was made anew its owner, indexes, grants and comments; those of columns it has no more are gone."""
    sql = saved.relation.sql
    now = _standing_on(session, saved.relation)[0]
    kind = _KINDS[now.kind]
    then = {(one.privilege, one.grantee, one.column) for one in saved.grants}
    statements = [
        f"REVOKE {_right(one)} ON {sql} FROM {_grantee(one)}"  # what default privileges have added
        for one in now.grants
        if (one.privilege, one.grantee, one.column) not in then
    ]
    for one in saved.grants:
        if one.column is None or one.column in now.columns:
            option = " WITH GRANT OPTION" if one.is_grantable else ""
            statements.append(f"GRANT {_right(one)} ON {sql} TO {_grantee(one)}{option}")
    for column, text in saved.comments:
        if column is None:
            statements.append(f"COMMENT ON {kind} {sql} IS {literal(text)}")
        elif column in now.columns:
            statements.append(f"COMMENT ON COLUMN {sql}.{quote(column)} IS {literal(text)}")
    there = {one.name for one in now.indexes}
    for one_index in saved.indexes if now.kind in ("r", "m") else ():
        if one_index.needed <= set(now.columns) and one_index.name not in there:
            _make_again(session, saved.relation, one_index)
    if now.owner != saved.owner:  # last: from then on it is not ours to grant
        statements.append(f"ALTER {kind} {sql} OWNER TO {quote(saved.owner)}")
    if statements:
        session.execute("; ".join(statements))


def _make_again(session: Conversation, relation: Relation, index: _Index) -> None:
    try:
        session.execute(index.statement)
    except WriteConflict:
        raise
    except EngineError as error:
        raise EngineError(
            f"{relation} gets other columns, and its index {index.name} cannot be made again: {error.message}",
            hint="drop the index, or make it fit, and build again; nothing was changed",
        ) from None


def _right(grant: _Grant) -> str:
    return grant.privilege if grant.column is None else f"{grant.privilege} ({quote(grant.column)})"


def _grantee(grant: _Grant) -> str:
    return "PUBLIC" if grant.grantee is None else quote(grant.grantee)


def _options(options: Sequence[str] | None) -> str:
    if not options:
        return ""
    pairs = (option.partition("=") for option in options)
    return f" WITH ({', '.join(f'{name} = {literal(value)}' for name, _, value in pairs)})"
