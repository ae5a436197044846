"""What the SQL library would write too literally for an engine of ours, where the same words say something else or
nothing. Each rewrite takes the tree as the author's dialect was parsed; what it does not cover stays as it is, and the
engine tells.
"""

from __future__ import annotations

import re
from functools import reduce
from typing import cast

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect

from isomesh_dagster.dialect.canonical import sql_dialect
from isomesh_dagster.dialect.filled import filled
from isomesh_dagster.dialect.postgres_dates import PARTS, PRESTO, SPARK, TSQL, difference_on_duckdb, part_on_duckdb
from isomesh_dagster.dialect.postgres_idioms import (
    DIFFERENCES,
    Rewrite,
    of_nothing,
    put_in,
    put_in_postgres,
    replaced,
)

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
        _keep_dates(statement, read)
    for divided in list(statement.find_all(exp.Div)):
        if isinstance(divided.this, exp.Div):  # the library looks at the outer one of a chain only
            _wrap(divided.this, exp.Paren())
    for made in list(statement.find_all(exp.Cast)):
        _cast_numbers(made, read, write)
    if read in ("tsql", "fabric", "redshift"):
        for added in list(statement.find_all(exp.Add)):
            _join_texts(added)
    if read == "redshift":  # NULL when one of them is
        for joined in list(statement.find_all(exp.Concat)):
            parts: list[exp.Expr] = joined.expressions
            joined.replace(reduce(_piped, parts))
    if read in TSQL:
        for call in statement.find_all(exp.Length):  # spaces at the end do not count
            call.set("this", exp.Trim(this=call.this, position="TRAILING"))
        _join_applied(statement)
        for type_ in statement.find_all(exp.DataType):
            if [one.name.upper() for one in type_.expressions] == ["MAX"]:
                type_.set("expressions", None)
    if read in ("snowflake", "databricks"):
        _take_members(statement)
    for made in statement.find_all(exp.Cast):
        _extract_text(made)
    for member in list(statement.find_all(exp.JSONExtract)):
        _compare_text(member)
    if read in ("snowflake", "redshift"):
        _report_ratios(statement)
    if read == "snowflake":
        _name_values(statement)
    if read == "bigquery":
        _count_from_zero(statement)
    if read == "snowflake":
        _flatten(statement, write)
    if write == "postgres":
        put_in_postgres(statement, read)
    if write == "duckdb":
        put_in(statement, read, _ON_DUCKDB)
        if read == "bigquery":
            _unnest_fields(statement)
        _cut_lists(statement)
        _format_times(statement, sql_dialect(read))


def _piped(left: exp.Expr, right: exp.Expr) -> exp.Expr:
    return exp.DPipe(this=left, expression=right)


_ON_DUCKDB: dict[type[exp.Expr], Rewrite] = {
    **dict.fromkeys(DIFFERENCES, difference_on_duckdb),
    **dict.fromkeys(PARTS, part_on_duckdb),
    exp.GroupConcat: of_nothing,
    exp.RegexpReplace: replaced,
}


def _wrap(node: exp.Expr, around: exp.Expr) -> None:
    """Put `node` into `around`, as its `this`."""
    node.replace(around)
    around.set("this", node)
    if around.type is None:
        around.type = node.type


def _keep_dates(statement: exp.Expr, read: str) -> None:
    """A date plus days is a date."""
    for node in list(statement.find_all(exp.DateAdd, exp.DateSub, exp.TsOrDsAdd)):
        is_date = node.is_type(exp.DType.DATE) or (isinstance(node, exp.TsOrDsAdd) and read in SPARK)
        if is_date and not isinstance(node.parent, exp.Cast):
            _wrap(node, exp.Cast(to=exp.DataType.build(exp.DType.DATE)))
    for sum_ in list(statement.find_all(exp.Add, exp.Sub)):
        added = sum_.expression
        is_days = isinstance(added, exp.Interval) and added.text("unit").upper().rstrip("S") in _LONG_UNITS
        if is_days and sum_.this.is_type(exp.DType.DATE) and read in _DATES_STAY and sum_.parent is not None:
            _wrap(sum_, exp.Cast(to=exp.DataType.build(exp.DType.DATE)))


_LONG_UNITS = frozenset({"DAY", "WEEK", "MONTH", "QUARTER", "YEAR"})
_DATES_STAY = frozenset({"snowflake", "mysql"}) | PRESTO | SPARK
_SCALES = {
    **dict.fromkeys((*TSQL, "redshift"), (18, 0)),
    **dict.fromkeys(("mysql", *SPARK), (10, 0)),
    **dict.fromkeys(PRESTO, (38, 0)),
    "duckdb": (18, 3),
}
"""Digits, and those behind the point, of a DECIMAL that tells none."""
_FRACTIONS = (exp.DType.FLOAT, exp.DType.DOUBLE, exp.DType.DECIMAL)
_WHOLE = tuple(exp.DataType.INTEGER_TYPES)


def _cast_numbers(made: exp.Cast, read: str, write: str) -> None:
    """A DECIMAL without digits has the dialect's; a whole number is made of a part as the dialect makes it."""
    to, value = made.to, made.this
    if to.this is exp.DType.DECIMAL and not to.expressions and read in _SCALES:
        digits = [exp.DataTypeParam(this=exp.Literal.number(number)) for number in _SCALES[read]]
        made.set("to", exp.DataType(this=exp.DType.DECIMAL, expressions=digits))
    elif to.this is exp.DType.BIT and read in TSQL:
        made.set("to", exp.DataType.build(exp.DType.BOOLEAN))
    elif to.this is exp.DType.FLOAT and not to.expressions and read in TSQL:
        made.set("to", exp.DataType.build(exp.DType.DOUBLE))
    elif to.this in _WHOLE and value.is_type(*_FRACTIONS):
        if read in TSQL or read in SPARK:
            made.set("this", filled("TRUNC(x)", x=value))
        elif read in ("snowflake", "bigquery", "mysql", *PRESTO) and not value.is_type(exp.DType.DECIMAL):
            words = "ROUND(CAST(x AS DECIMAL))" if write == "postgres" else "ROUND(x)"
            made.set("this", filled(words, x=value))


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


_DOCUMENTS = (exp.DType.VARIANT, exp.DType.OBJECT, exp.DType.JSON)


def _take_members(statement: exp.Expr) -> None:
    """`column['name'][0]` is the member `column:name[0]`."""
    for outer in [node for node in statement.find_all(exp.Bracket) if not isinstance(node.parent, exp.Bracket)]:
        value: exp.Expr = outer
        steps: list[exp.Expr] = []
        while isinstance(value, exp.Bracket) and len(value.expressions) == 1:
            (key,) = value.expressions
            if key.is_string:
                steps.insert(0, exp.JSONPathKey(this=key.name))
            elif key.is_int and isinstance(key, exp.Literal):
                steps.insert(0, exp.JSONPathSubscript(this=int(key.name)))
            else:
                break
            value = value.this
        if isinstance(value, exp.Bracket) or not value.is_type(*_DOCUMENTS):
            continue
        path = exp.JSONPath(expressions=[exp.JSONPathRoot(), *steps])
        outer.replace(exp.JSONExtract(this=value, expression=path, variant_extract=True))


def _extract_text(made: exp.Cast) -> None:
    """`column:path::VARCHAR` is the text that is there, without the quotes of JSON."""
    member = made.this
    if made.to.this in _TEXT and isinstance(member, exp.JSONExtract) and member.args.get("variant_extract"):
        made.set("this", exp.JSONExtractScalar(this=member.this, expression=member.expression))


def _compare_text(member: exp.JSONExtract) -> None:
    """`column:path = 'text'` compares the text that is there."""
    parent = member.parent
    if member.args.get("variant_extract") and isinstance(parent, (exp.EQ, exp.NEQ, exp.In, exp.Like, exp.ILike)):
        others = [one for one in parent.iter_expressions() if not isinstance(one, exp.JSONExtract)]
        if others and all(one.is_string for one in others):
            member.replace(exp.JSONExtractScalar(this=member.this, expression=member.expression))


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


def _flatten(statement: exp.Expr, write: str) -> None:
    """FLATTEN, as a table function or lateral: a row for each member of a list or object."""
    if any(column.name.lower() == "seq" for column in statement.find_all(exp.Column)):
        return  # the number of the input row is not told by our engines
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
        members = exp.Subquery(this=_members(given["input"], names, write))
        if isinstance(parent, exp.Join):
            place.replace(exp.Lateral(this=members, alias=alias))
            _join(parent, keeps_all=given.get("outer") == exp.true())
        else:
            members.set("alias", alias)
            place.replace(members)
        _read_members(statement, alias.name, names[4] if len(names) > 4 else "value", write)


_MEMBERS = {
    "duckdb": (
        "SELECT NULL, CASE WHEN JSON_TYPE(j) <> 'ARRAY' THEN e.key END, REGEXP_REPLACE(e.fullkey, '^[$][.]?', ''),"
        " CASE WHEN JSON_TYPE(j) = 'ARRAY' THEN CAST(e.key AS BIGINT) END, e.value, j FROM JSON_EACH(j) AS e"
    ),
    "postgres": (
        "SELECT NULL, e.key, COALESCE(e.key, '[' || (e.place - 1) || ']'),"
        " CASE WHEN e.key IS NULL THEN e.place - 1 END, e.value, j FROM ("
        "SELECT CAST(NULL AS TEXT), i.value, i.place FROM JSONB_ARRAY_ELEMENTS("
        "CASE WHEN JSONB_TYPEOF(j) = 'array' THEN j END) WITH ORDINALITY AS i(value, place)"
        " UNION ALL SELECT o.key, o.value, 0 FROM JSONB_EACH("
        "CASE WHEN JSONB_TYPEOF(j) = 'object' THEN j END) AS o) AS e(key, value, place)"
    ),
}


def _members(value: exp.Expr, names: list[str], write: str) -> exp.Select:
    call = "TO_JSONB" if write == "postgres" else "TO_JSON"
    made = filled(_MEMBERS[write], write, j=exp.Anonymous(this=call, expressions=[value.copy()]))
    made.set("expressions", [exp.alias_(one, name) for one, name in zip(made.expressions, names, strict=False)])
    return cast(exp.Select, made)


def _text(value: exp.Expr, write: str) -> exp.Expr:
    """The text that a document is, without the quotes of JSON."""
    if write == "postgres":
        return filled("(CAST(x AS JSONB) #>> '{}')", x=value)
    return exp.Anonymous(this="JSON_EXTRACT_STRING", expressions=[value.copy(), "'$'"])


def _read_members(statement: exp.Expr, alias: str, name: str, write: str) -> None:
    """Where text is asked of a member, it is the member's own, without the quotes of JSON."""
    for column in list(statement.find_all(exp.Column)):
        if column.name.lower() != name.lower() or column.table.lower() not in ("", alias.lower()):
            continue
        parent = column.parent
        is_text = isinstance(parent, exp.Cast) and (parent.to.this in _TEXT or write == "postgres")
        texts = [one for one in parent.iter_expressions() if one is not column] if parent is not None else []
        if is_text or (
            isinstance(parent, (exp.EQ, exp.NEQ, exp.In, exp.Like, exp.ILike)) and all(one.is_string for one in texts)
        ):
            column.replace(_text(column, write))


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
