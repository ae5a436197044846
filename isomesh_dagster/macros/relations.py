"""Macros about relations: those that write down the columns of one, and the name of the one being built.

What they give follows from columns nobody wrote in this model's text, so every reading of columns is recorded: a model
is rendered again when they change. A type is cast to only where an author declared it; an inferred one is an estimate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlglot import exp
from sqlglot.errors import SqlglotError

from isomesh_dagster.dialect.query import normalize_name
from isomesh_dagster.dialect.tokens import tokenize
from isomesh_dagster.errors import ModelError
from isomesh_dagster.macros.conditions import is_true
from isomesh_dagster.macros.values import identifier, literal, string_content
from isomesh_dagster.relation import Column, KnownColumns

if TYPE_CHECKING:
    from isomesh_dagster.macros.call import Call

AWAITED_COLUMNS = KnownColumns(columns=(Column(name="__schema_unavailable_at_load__"),))
"""What stands for columns that are not known yet; what is rendered with it is thrown away. The name is the model
format's, which macros of a project may look for.
"""

_KINDS = {"all": "UNION ALL", "distinct": "UNION"}
_UNKNOWN = "UNKNOWN"


def star(call: Call) -> list[str]:
    """`@STAR(relation, alias, exclude := [], prefix := '', suffix := '', quote_identifiers := TRUE)`: its columns, one
    by one.
    """
    relation = _relation(call, 0)
    alias = call.content(1) if call.count > 1 else relation
    qualifier = normalize_name(alias, call.dialect).rsplit(".", 1)[-1]
    prefix, suffix = call.option_content("prefix", ""), call.option_content("suffix", "")
    quoted = call.flag("quote_identifiers", True)
    excluded = {
        _column_name(call, name)
        for option in ("exclude", "except_")
        if option in call.named
        for name in call.expander.collection(call.source, *call.named[option])
    }
    known = call.expander.columns_of(relation)

    def named(name: str) -> str:
        return identifier(name, call.dialect, quoted=quoted)

    pieces = []
    for column in known.columns:
        if column.name not in excluded:
            value = _cast(call, f"{named(qualifier)}.{named(column.name)}", column, known)
            pieces.append(f"{value} AS {named(f'{prefix}{column.name}{suffix}')}")
    if not pieces:
        raise call.error(f"@{call.name} excludes every column of {relation}", "exclude fewer")
    return pieces


def union(call: Call) -> list[str]:
    """`@UNION([condition,] 'all' | 'distinct', a, b, …)`: what all the relations have in common, one after the other.

    Common is a column of one name and one type. A condition that does not hold leaves the first relation alone.
    """
    first = call.content(0).lower()
    has_condition = first not in _KINDS
    at = 1 if has_condition else 0
    kind = call.content(at).lower() if call.count > at else ""
    if kind not in _KINDS:
        raise call.error(f"@{call.name} knows no {kind or first!r}", "write 'all' or 'distinct' before the relations")
    if call.count < at + 2:
        raise call.error(f"@{call.name} needs a relation", f"write `@{call.name}('{kind}', a, b)`")
    relations = [_relation(call, position) for position in range(at + 1, call.count)]
    all_known = [call.expander.columns_of(relation) for relation in relations]
    common = set.intersection(
        *({(column.name, _type(call, column, known)) for column in known.columns} for known in all_known)
    )
    shown = [column for column in all_known[0].columns if (column.name, _type(call, column, all_known[0])) in common]
    if not shown:
        raise call.error(
            f"{', '.join(relations)} have no column in common", "columns are common by name and type; cast what differs"
        )
    if has_condition and not is_true(call.text(0), call.dialect):
        relations, all_known = relations[:1], all_known[:1]
    return [f" {_KINDS[kind]} ".join(_select(call, shown, *part) for part in zip(relations, all_known, strict=True))]


def resolve_template(call: Call) -> list[str]:
    """`@RESOLVE_TEMPLATE('s3://bucket/@{schema_name}/@{table_name}', mode := 'literal' | 'table')`: the template with
    the parts of `@this_model`, the physical table being built; `@{catalog_name}` is "" where the warehouse has one
    catalog.
    """
    template = _template(call)
    mode = call.content(1).lower() if call.count > 1 else "literal"
    if mode not in ("literal", "table"):
        raise call.error(f"@{call.name} has no mode {mode!r}", "it is 'literal' or 'table'")
    this_model = call.expander.scope.find("this_model")
    if this_model is None:
        raise call.error(f"@{call.name} needs a relation", "it names the table of the model that is being built")
    catalog, schema, table = _parts(call, this_model)
    for name, part in (("catalog_name", catalog), ("schema_name", schema), ("table_name", table)):
        template = template.replace(f"@{{{name}}}", part)
    return [literal(template, call.dialect) if mode == "literal" else template]


def _template(call: Call) -> str:
    """The template as written: its names are not variables."""
    i, j = call.positional[0]
    if call.source.tokens[i].text == "@" and j == i + 2:
        i += 1  # `@'…'` would have looked for variables
    content = string_content(call.source.slice(i, j), call.dialect)
    return call.content(0) if content is None else content


def _parts(call: Call, this_model: str) -> tuple[str, str, str]:
    tokens = tokenize(this_model, call.dialect).tokens
    names = [token.text for token in tokens if token.text != "."]
    if this_model.startswith("(") or not 1 <= len(names) <= 3:
        raise call.error(f"@{call.name} cannot take `{this_model}` apart", "it is for the table of a model")
    catalog, schema, table = ["", "", "", *names][-3:]
    return catalog, schema, table


def _relation(call: Call, position: int) -> str:
    """A relation as written, or named by a string."""
    return call.content(position)


def _column_name(call: Call, written: str) -> str:
    """The normalised name of a column, written as one or as a string."""
    content = string_content(written, call.dialect)
    return normalize_name(written if content is None else identifier(content, call.dialect), call.dialect)


def _select(call: Call, columns: list[Column], relation: str, known: KnownColumns) -> str:
    types = {column.name: column for column in known.columns}
    names = [(identifier(column.name, call.dialect, quoted=True), types[column.name]) for column in columns]
    projections = ", ".join(f"{_cast(call, name, column, known)} AS {name}" for name, column in names)
    return f"SELECT {projections} FROM {relation}"


def _cast(call: Call, expression: str, column: Column, known: KnownColumns) -> str:
    if not known.is_declared or column.type.upper() == _UNKNOWN:
        return expression
    return f"CAST({expression} AS {_type(call, column, known)})"


def _type(call: Call, column: Column, known: KnownColumns) -> str:
    """The type in the dialect of the text."""
    if column.type.upper() == _UNKNOWN:
        return _UNKNOWN
    try:
        text: str = exp.DataType.build(column.type, dialect=known.dialect or None).sql(dialect=call.dialect)
    except (SqlglotError, ModelError):
        return column.type  # a type of the warehouse's own
    return text
