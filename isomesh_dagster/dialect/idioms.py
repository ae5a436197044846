"""What the SQL library would write too literally for an engine of ours, where the same words say something else or
nothing. Each rewrite takes the tree as the author's dialect was parsed; what it does not cover stays as it is, and the
engine tells.
"""

from __future__ import annotations

import re

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from isomesh_dagster.dialect.canonical import sql_dialect

_ENGINES = frozenset({"duckdb", "postgres"})
_TEXT = frozenset(exp.DataType.TEXT_TYPES)
_FLATTENED = ("seq", "key", "path", "index", "value", "this")


def put_in_words(statement: exp.Expr, read: str, write: str) -> None:
    """Change the statement so that an engine of ours means what `read` means. Its types are known as far as
    `typed.give_types` finds them.
    """
    if write not in _ENGINES:
        return
    if read != "redshift":  # where the sum is a timestamp, as on our engines
        _keep_dates(statement)
    if read in ("tsql", "fabric", "redshift"):
        for added in list(statement.find_all(exp.Add)):
            _join_texts(added)
    if read in ("tsql", "fabric"):
        _join_applied(statement)
        for type_ in statement.find_all(exp.DataType):
            if [one.name.upper() for one in type_.expressions] == ["MAX"]:
                type_.set("expressions", None)
    for cast in statement.find_all(exp.Cast):
        _extract_text(cast)
    if read in ("snowflake", "redshift"):
        _report_ratios(statement)
    if read == "snowflake":
        _name_values(statement)
    if read == "bigquery":
        _count_from_zero(statement)
    if write == "duckdb":
        if read == "snowflake":
            _flatten(statement)
        if read == "bigquery":
            _unnest_fields(statement)
        _cut_lists(statement)
        _format_times(statement, sql_dialect(read))


def _wrap(node: exp.Expr, around: exp.Expr) -> None:
    """Put `node` into `around`, as its `this`."""
    node.replace(around)
    around.set("this", node)


def _keep_dates(statement: exp.Expr) -> None:
    """A date plus days is a date."""
    for node in list(statement.find_all(exp.DateAdd, exp.DateSub)):
        if node.is_type(exp.DType.DATE) and not isinstance(node.parent, exp.Cast):
            _wrap(node, exp.Cast(to=exp.DataType.build(exp.DType.DATE)))


def _join_texts(added: exp.Add) -> None:
    """`a + b` of texts joins them."""
    known = [operand.type for operand in added.flatten() if operand.type is not None]
    if known and all(type_.this in _TEXT for type_ in known):
        joined = exp.DPipe(this=added.this, expression=added.expression, safe=False)
        joined.type = exp.DataType.build("text")
        added.replace(joined)


def _join_applied(statement: exp.Expr) -> None:
    """CROSS APPLY and OUTER APPLY are joins with what may read the tables before it."""
    for lateral in list(statement.find_all(exp.Lateral)):
        join, is_cross = lateral.parent, lateral.args.get("cross_apply")
        if is_cross is None or not isinstance(join, exp.Join):
            continue
        lateral.set("cross_apply", None)
        call = lateral.this
        if isinstance(call, exp.Anonymous) and call.name.upper() == "STRING_SPLIT" and len(call.expressions) == 2:
            parts = exp.Explode(this=exp.Anonymous(this="STRING_TO_ARRAY", expressions=call.expressions))
            lateral.set("this", exp.Subquery(this=exp.select(exp.alias_(parts, "value"))))
        _join(join, keeps_all=not is_cross)


def _join(join: exp.Join, *, keeps_all: bool) -> None:
    if keeps_all:
        join.set("kind", None)
        join.set("side", "LEFT")
        join.set("on", exp.true())
    else:
        join.set("kind", "CROSS")


def _extract_text(cast: exp.Cast) -> None:
    """`column:path::VARCHAR` is the text that is there, without the quotes of JSON."""
    member = cast.this
    if cast.to.this in _TEXT and isinstance(member, exp.JSONExtract) and member.args.get("variant_extract"):
        cast.set("this", exp.JSONExtractScalar(this=member.this, expression=member.expression))


def _report_ratios(statement: exp.Expr) -> None:
    """`RATIO_TO_REPORT(x) OVER (…)` is a part of the sum."""
    for window in list(statement.find_all(exp.Window)):
        call = window.this
        if isinstance(call, exp.Anonymous) and call.name.upper() == "RATIO_TO_REPORT" and len(call.expressions) == 1:
            total = window.copy()
            total.set("this", exp.Sum(this=call.expressions[0].copy()))
            part = exp.cast(call.expressions[0].copy(), exp.DType.DOUBLE)
            window.replace(exp.Paren(this=exp.Div(this=part, expression=exp.func("NULLIF", total, "0"))))


def _name_values(statement: exp.Expr) -> None:
    """The columns of VALUES are `column1`, `column2` …, also written `$1`, `$2` …"""
    for values in statement.find_all(exp.Values):
        rows = values.expressions
        select = values.find_ancestor(exp.Select)
        alias = values.args.get("alias") or exp.TableAlias(this=exp.to_identifier("_values"))
        if not isinstance(values.parent, (exp.From, exp.Join)) or select is None or alias.args.get("columns"):
            continue
        count = len(rows[0].expressions) if isinstance(rows[0], exp.Tuple) else 1
        alias.set("columns", [exp.to_identifier(f"column{number + 1}") for number in range(count)])
        values.set("alias", alias)
        for parameter in list(select.find_all(exp.Parameter)):
            if isinstance(parameter.this, exp.Literal) and parameter.this.is_int:
                name = exp.to_identifier(f"column{parameter.this.name}")
                is_column = isinstance(parameter.parent, exp.Column)
                parameter.replace(name if is_column else exp.Column(this=name))


def _count_from_zero(statement: exp.Expr) -> None:
    """WITH OFFSET counts from 0, WITH ORDINALITY from 1."""
    for unnest in list(statement.find_all(exp.Unnest)):
        offset, parent = unnest.args.get("offset"), unnest.parent
        if not offset or not isinstance(parent, (exp.From, exp.Join)):
            continue
        given = unnest.args.get("alias")
        names = list(given.args.get("columns") or ()) if given is not None else []
        names = names or [exp.to_identifier("_member")]
        number = offset if isinstance(offset, exp.Identifier) else exp.to_identifier("offset")
        counted = unnest.copy()
        counted.set("offset", number.copy())
        counted.set("alias", exp.TableAlias(this=exp.to_identifier("_unnested"), columns=[one.copy() for one in names]))
        from_zero = exp.alias_(exp.Sub(this=exp.Column(this=number.copy()), expression=exp.Literal.number(1)), number)
        rows = exp.Subquery(
            this=exp.select(*(exp.Column(this=one.copy()) for one in names), from_zero, copy=False).from_(counted)
        )
        alias = exp.TableAlias(this=exp.to_identifier(f"_of_{names[0].name}"))
        if isinstance(parent, exp.Join):
            unnest.replace(exp.Lateral(this=rows, alias=alias))
            _join(parent, keeps_all=parent.side == "LEFT")
        else:
            rows.set("alias", alias)
            unnest.replace(rows)


def _flatten(statement: exp.Expr) -> None:
    """FLATTEN, as a table function or lateral: a row for each member of a list or object."""
    if any(column.name.lower() == "seq" for column in statement.find_all(exp.Column)):
        return  # the number of the input row is not told by DuckDB
    for place in list(statement.find_all(exp.Lateral, exp.TableFromRows)):
        call, parent = place.this, place.parent
        if not isinstance(call, exp.Explode) or not isinstance(parent, (exp.From, exp.Join)):
            continue
        given = {
            (one.this.name.lower() if isinstance(one, exp.Kwarg) else "input"): (
                one.expression if isinstance(one, exp.Kwarg) else one
            )
            for one in (call.this, *call.expressions)
        }
        if not {"input"} <= given.keys() <= {"input", "outer"}:
            continue
        alias = place.args.get("alias") or exp.TableAlias(this=exp.to_identifier("_flattened"))
        names = [column.name for column in alias.args.get("columns") or ()] or list(_FLATTENED)
        alias.set("columns", None)
        members = exp.Subquery(this=_members(given["input"], names))
        if isinstance(parent, exp.Join):
            place.replace(exp.Lateral(this=members, alias=alias))
            _join(parent, keeps_all=given.get("outer") == exp.true())
        else:
            members.set("alias", alias)
            place.replace(members)
        _read_members(statement, alias.name, names[4] if len(names) > 4 else "value")


def _members(value: exp.Expr, names: list[str]) -> exp.Select:
    made: exp.Select = exp.maybe_parse(
        "SELECT NULL, CASE WHEN JSON_TYPE(j) <> 'ARRAY' THEN e.key END, REGEXP_REPLACE(e.fullkey, '^[$][.]?', ''),"
        " CASE WHEN JSON_TYPE(j) = 'ARRAY' THEN CAST(e.key AS BIGINT) END, e.value, j FROM JSON_EACH(j) AS e",
        dialect="duckdb",
    )
    made.set("expressions", [exp.alias_(one, name) for one, name in zip(made.expressions, names, strict=False)])
    for column in list(made.find_all(exp.Column)):
        if column.name == "j" and not column.table:
            column.replace(exp.Anonymous(this="TO_JSON", expressions=[value.copy()]))
    return made


def _read_members(statement: exp.Expr, alias: str, name: str) -> None:
    """Where text is asked of a member, it is the member's own, without the quotes of JSON."""
    for column in list(statement.find_all(exp.Column)):
        if column.name.lower() != name.lower() or column.table.lower() not in ("", alias.lower()):
            continue
        parent = column.parent
        is_text = isinstance(parent, exp.Cast) and parent.to.this in _TEXT
        texts = [one for one in parent.iter_expressions() if one is not column] if parent is not None else []
        if is_text or (
            isinstance(parent, (exp.EQ, exp.NEQ, exp.In, exp.Like, exp.ILike)) and all(one.is_string for one in texts)
        ):
            column.replace(exp.Anonymous(this="JSON_EXTRACT_STRING", expressions=[column.copy(), "'$'"]))


def _unnest_fields(statement: exp.Expr) -> None:
    """`FROM UNNEST(structs)` without an alias has their fields as columns."""
    for unnest in list(statement.find_all(exp.Unnest)):
        if unnest.args.get("alias") or unnest.args.get("offset") or not isinstance(unnest.parent, exp.From):
            continue
        if len(unnest.expressions) == 1:
            made: exp.Expr = exp.maybe_parse("SELECT UNNEST(j, max_depth := 2)", dialect="duckdb")
            for column in list(made.find_all(exp.Column)):
                if column.name == "j":
                    column.replace(unnest.expressions[0].copy())
            alias = exp.TableAlias(this=exp.to_identifier("_fields"))
            unnest.replace(exp.Subquery(this=made, alias=alias))


def _cut_lists(statement: exp.Expr) -> None:
    """`ARRAY_AGG(x LIMIT n)` is the beginning of the list."""
    for aggregate in list(statement.find_all(exp.ArrayAgg)):
        limit = aggregate.this
        if isinstance(limit, exp.Limit) and limit.this is not None:
            aggregate.set("this", limit.this)
            whole = aggregate.parent if isinstance(aggregate.parent, exp.IgnoreNulls) else aggregate
            part = exp.Slice(this=exp.Literal.number(1), expression=limit.expression)
            _wrap(whole, exp.Bracket(expressions=[part], offset=1))


_TIME = re.compile(r"YY|MON|MM|DD|HH|MI|SS|DY", re.IGNORECASE)


def _format_times(statement: exp.Expr, dialect: Dialect) -> None:
    """`TO_CHAR` of a moment with a format of the dialect's."""
    for call in list(statement.find_all(exp.ToChar)):
        format_ = call.args.get("format")
        if isinstance(format_, exp.Literal) and _TIME.search(format_.name):
            call.replace(exp.TimeToStr(this=call.this, format=dialect.format_time(format_)))
