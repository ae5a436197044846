"""The same query over other tables or in another dialect, generated from its tree; names as the dialect writes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sqlglot import exp
from sqlglot.errors import ErrorLevel, ParseError, SqlglotError
from sqlglot.errors import UnsupportedError as Untranslatable

from isomesh_dagster.dialect.canonical import sql_dialect, tokenize
from isomesh_dagster.dialect.facts import Places
from isomesh_dagster.dialect.tree import Tree, normal_parts, parse, parse_error, parse_statement
from isomesh_dagster.errors import ModelError, UnsupportedError
from isomesh_dagster.relation import Column, Reference

_NAME_RULE = "write schema.table or catalog.schema.table; a part may be quoted, and holds no dot"


def replace_tables(sql: str, references: Sequence[Reference], replacements: Mapping[str, str], dialect: str) -> str:
    """See `query.splice`. Mentions are recognised by their place, so that a name means what `analyse` said it means."""
    root, tokens = parse_statement(sql, dialect)
    tree = Tree(root, dialect)
    places = Places(sql, tokens, tree)
    names = {reference.start: reference.name for reference in references}
    texts = {id(mention.node): replacements.get(names.get(places.span(mention)[0], "")) for mention in tree.mentions}
    changed = [mention for mention in tree.mentions if texts[id(mention.node)] is not None]
    aliases = tree.give_aliases(changed)
    for mention in changed:
        text = cast(str, texts[id(mention.node)])
        _replace(mention.node, text, aliases.get(id(mention.node)), dialect)
    try:
        return root.sql(dialect=tree.dialect, unsupported_level=ErrorLevel.RAISE)
    except Untranslatable as error:
        hint = "give every table an alias, and qualify columns with it"
        raise ModelError(f"this query cannot be pointed to other tables: {error}", hint=hint) from error


def transpile(sql: str, read: str, write: str, schema: Mapping[str, Sequence[Column]]) -> str:
    """See `query.transpile`."""
    tokens = tokenize(sql, read)
    target = sql_dialect(write)
    try:
        statements = [statement for statement in sql_dialect(read).parser().parse(tokens, sql) if statement is not None]
        if read != write:
            from isomesh_dagster.dialect.idioms import put_in_words  # they load what resolves columns
            from isomesh_dagster.dialect.typed import give_types

            for statement in statements:
                give_types(statement, read, schema)
                put_in_words(statement, read, write)
        return ";\n".join(statement.sql(dialect=target, unsupported_level=ErrorLevel.RAISE) for statement in statements)
    except ParseError as error:
        raise parse_error(error) from error
    except Untranslatable as error:
        hint = f"write it for {write}, or so that both dialects understand it"
        raise UnsupportedError(f"{write} cannot say this: {error}", hint=hint) from error


def normalize_name(name: str, dialect: str) -> str:
    """See `query.normalize_name`."""
    try:
        select = parse(f"SELECT * FROM {name}", dialect)[0]
    except ModelError as error:
        raise ModelError(f"{name!r} is not a table name", hint=_NAME_RULE) from error
    table = select.args["from_"].this if isinstance(select, exp.Select) else None
    alone = isinstance(table, exp.Table) and not any(
        value
        for node, own in ((select, ("expressions", "from_")), (table, ("this", "db", "catalog")))
        for key, value in node.args.items()
        if key not in own
    )
    if alone and isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier):
        parts = normal_parts(cast("list[exp.Identifier]", table.parts), sql_dialect(dialect))
        if len(parts) <= 3 and all(parts) and not any("." in part for part in parts):
            return ".".join(parts)
    raise ModelError(f"{name!r} is not a table name", hint=_NAME_RULE)


def quote_name(name: str, dialect: str) -> str:
    """A normalised name as a quoted identifier of the dialect."""
    return str(exp.to_identifier(name, quoted=True).sql(dialect=sql_dialect(dialect)))


def transpile_type(type_: str, read: str, write: str) -> str:
    """The name of a type in another dialect, e.g. `NUMBER(10, 2)` as `DECIMAL(10, 2)`. The same dialect twice returns
    it as it is. Raises ModelError for what `read` knows no type by.
    """
    if read == write:
        return type_
    try:
        return str(exp.DataType.build(type_, dialect=sql_dialect(read)).sql(dialect=sql_dialect(write)))
    except (SqlglotError, ValueError) as error:
        raise ModelError(f"`{type_}` is no type of {read or 'SQL'}") from error


def _replace(node: exp.Expr, text: str, alias: exp.Identifier | None, dialect: str) -> None:
    """Put the relation or subquery `text` in the place of a table, which keeps its alias and modifiers."""
    new = parse(f"SELECT * FROM {text}", dialect)[0].args["from_"].this
    if isinstance(node, exp.Table):
        for key, value in node.args.items():
            if key not in ("this", "db", "catalog") and value:
                new.set(key, value)
    if alias is not None:
        table_alias = new.args.get("alias") or exp.TableAlias()
        table_alias.set("this", alias)
        new.set("alias", table_alias)
    node.replace(new)
