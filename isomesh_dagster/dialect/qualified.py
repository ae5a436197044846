"""Queries with every column qualified and every star expanded, against known columns of the tables they read.

Tables are renamed before that: a mention becomes the table `"=".<name mentioned>`, which no CTE can be mistaken for and
which has the same depth whether the name had one part or three. What the library resolves after that are columns only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.annotate_types import annotate_types
from sqlglot.optimizer.qualify import qualify
from sqlglot.schema import MappingSchema

from isomesh_dagster.dialect.canonical import sql_dialect
from isomesh_dagster.dialect.facts import output_names, refuse_effects
from isomesh_dagster.dialect.proven import proven_columns
from isomesh_dagster.dialect.summary import Opaque
from isomesh_dagster.dialect.tree import Tree, parse
from isomesh_dagster.relation import Column

Schema = Mapping[str, Sequence[Column]]

# The schema of renamed tables. No letters: no dialect changes its case.
TABLES = "="


def resolved(sql: str, dialect: str, schema: Schema) -> Tree:
    """The query's tree with its mentions named as `schema` knows them. Raises as `query.analyse`."""
    root, tokens = parse(sql, dialect)
    tree = Tree(root, dialect)
    refuse_effects(sql, tokens, tree)
    return with_known_names(tree, schema)


def with_known_names(tree: Tree, schema: Schema) -> Tree:
    """The tree (changed in place), its mentions of three parts that `schema` lacks known without their catalog."""
    for index, mention in enumerate(tree.mentions):
        short = mention.name.partition(".")[2]
        if mention.name not in schema and short in schema and len(mention.parts) == 3:
            tree.mentions[index] = mention.renamed(short)
    return tree


def qualified(tree: Tree, schema: Schema) -> tuple[exp.Expr, MappingSchema]:
    """The tree (changed in place) with columns qualified and stars expanded, and the schema used.

    Raises SqlglotError when a column cannot be resolved, Opaque when it could only be guessed.
    """
    proven = proven_columns(tree, schema)
    aliases = tree.give_aliases(tree.mentions)
    tables: dict[str, object] = {}
    for mention in tree.mentions:
        if not isinstance(mention.node, exp.Table):
            continue
        columns = schema.get(mention.name) or [Column(name=name) for name in proven[mention.name]]
        if columns:
            tables[mention.name] = {column.name: _type(column.type, tree.written_in) for column in columns}
        if (alias := aliases.get(id(mention.node))) is not None:
            table_alias = mention.node.args.get("alias") or exp.TableAlias()
            table_alias.set("this", alias)
            mention.node.set("alias", table_alias)
        mention.node.set("this", exp.to_identifier(mention.name, quoted=True))
        mention.node.set("db", exp.to_identifier(TABLES, quoted=True))
        mention.node.set("catalog", None)
        mention.node.meta.pop("maybe_column", None)
    known = MappingSchema({TABLES: tables} if tables else None, dialect=tree.dialect, normalize=False)
    query = qualify(tree.root, schema=known, dialect=tree.dialect, quote_identifiers=False)
    return query, known


def output_columns(sql: str, dialect: str, schema: Schema) -> tuple[Column, ...] | None:
    """See `query.output_columns`."""
    tree = resolved(sql, dialect, schema)
    names = output_names(tree, {name: [column.name for column in columns] for name, columns in schema.items()})
    if names is None:
        return None
    types: dict[str, str] = {}
    try:
        query, known = qualified(tree, schema)
        query = annotate_types(query, schema=known, dialect=tree.dialect)
        if isinstance(query, exp.Query):
            types = {item.alias_or_name: _type_text(item.type, tree) for item in query.selects}
    except (SqlglotError, Opaque, RecursionError):
        pass  # the names are known all the same
    return tuple(Column(name=name, type=types.get(name, UNKNOWN)) for name in names)


UNKNOWN = "UNKNOWN"
_VAGUE = (exp.DType.UNKNOWN, exp.DType.NULL)


def type_key(text: str, dialect: str) -> str:
    """See `query.type_key`."""
    found = _type(text, dialect)
    return text if found.this in _VAGUE else repr(found)


@lru_cache(maxsize=1024)
def _type(text: str, dialect: str) -> exp.DataType:
    try:
        return exp.DataType.build(text, dialect=sql_dialect(dialect))
    except (SqlglotError, ValueError):
        return exp.DataType.build("unknown")


def _type_text(type_: exp.DataType | None, tree: Tree) -> str:
    if type_ is None or any(part.this in _VAGUE for part in type_.find_all(exp.DataType)):
        return UNKNOWN
    return str(type_.sql(dialect=tree.dialect))
