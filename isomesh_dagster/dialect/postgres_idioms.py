"""What the SQL library would write too literally for Postgres: numbers, texts, JSON, lists and aggregates.

Each rewrite takes a node of the author's dialect, with its type as far as it is known, and gives what Postgres is to be
told instead; None where the library's words are right.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from sqlglot import exp

from isomesh_dagster.dialect.filled import filled
from isomesh_dagster.dialect.postgres_clauses import group, join, order, star
from isomesh_dagster.dialect.postgres_dates import PARTS, PRESTO, SPARK, TSQL, add_months, beginning, difference, part
from isomesh_dagster.errors import UnsupportedError

Rewrite = Callable[[exp.Expr, str], "exp.Expr | None"]
_FLOATS = (exp.DType.FLOAT, exp.DType.DOUBLE)
_TEXTS = tuple(exp.DataType.TEXT_TYPES)
_WHOLE = tuple(exp.DataType.INTEGER_TYPES)
_DOCUMENTS = (exp.DType.JSON, exp.DType.JSONB, exp.DType.VARIANT, exp.DType.OBJECT, exp.DType.SUPER)


def put_in_postgres(statement: exp.Expr, read: str) -> None:
    """Change the statement so that Postgres means what `read` means. Raises UnsupportedError for what Postgres would
    read as something else.
    """
    put_in(statement, read, REWRITES)


def put_in(statement: exp.Expr, read: str, rewrites: Mapping[type[exp.Expr], Rewrite]) -> None:
    """Change the statement's nodes by what is known of their classes, those inside of others first."""
    for node in reversed(list(statement.walk())):
        rewrite = rewrites.get(type(node))
        if rewrite is not None and node.parent is not None and (new := rewrite(node, read)) is not None:
            if new.type is None:
                new.type = node.type
            is_loose = isinstance(new, exp.Binary) and isinstance(node.parent, (exp.Binary, exp.Unary, exp.Bracket))
            node.replace(exp.Paren(this=new) if is_loose else new)


# ---- numbers ---------------------------------------------------------------------------------------------


def _round(node: exp.Expr, _read: str) -> exp.Expr | None:
    """Halves are rounded away from zero, where a float of Postgres is rounded to the even neighbour."""
    if (truncate := node.args.get("truncate")) is not None:  # ROUND(x, n, 1)
        is_cut = isinstance(truncate, exp.Literal) and truncate.name != "0"
        return filled("TRUNC(CAST(x AS DECIMAL), n)", x=node.this, n=node.args["decimals"]) if is_cut else None
    if not node.this.is_type(*_FLOATS):
        return None
    decimals = node.args.get("decimals") or exp.Literal.number(0)
    return filled("CAST(ROUND(CAST(x AS DECIMAL), n) AS DOUBLE PRECISION)", x=node.this, n=decimals)


def _extreme(node: exp.Expr, _read: str) -> exp.Expr | None:
    """GREATEST and LEAST are NULL where one of the values is, in dialects that say so."""
    if node.args.get("ignore_nulls") is not False or not node.expressions:
        return None
    missing = [exp.Is(this=one.copy(), expression=exp.null()) for one in (node.this, *node.expressions)]
    return exp.Case(ifs=[exp.If(this=exp.or_(*missing, copy=False), true=exp.null())], default=node.copy())


# ---- casts -----------------------------------------------------------------------------------------------

_READS_AS = {
    **dict.fromkeys(_WHOLE, r"^\s*[+-]?[0-9]+\s*$"),
    **dict.fromkeys((*_FLOATS, exp.DType.DECIMAL), r"^\s*[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?\s*$"),
    exp.DType.DATE: r"^\s*[0-9]{4}-(0?[1-9]|1[0-2])-(0?[1-9]|[12][0-9]|3[01])\s*$",
    exp.DType.BOOLEAN: r"^\s*([tT](rue|RUE)?|[fF](alse|ALSE)?|True|False|[01])\s*$",
}
"""What a text must look like to be cast; of a number too large, or 30 February, the server tells."""


def _cast(node: exp.Expr, read: str) -> exp.Expr | None:
    to: exp.DataType = node.args["to"]
    value = node.this
    if to.this in (exp.DType.CHAR, exp.DType.VARCHAR, exp.DType.NCHAR, exp.DType.NVARCHAR) and to.expressions:
        if read == "duckdb":  # no length counts there
            return exp.Cast(this=value.copy(), to=exp.DataType.build("text"))
        if read == "snowflake" and to.this in (exp.DType.CHAR, exp.DType.NCHAR):  # nothing is padded there
            to = to.copy()
            to.set("this", exp.DType.VARCHAR)
            return exp.Cast(this=value.copy(), to=to)
    if to.this not in _DOCUMENTS and isinstance(value, exp.Paren) and isinstance(value.this, exp.JSONBExtract):
        member = exp.JSONBExtractScalar(this=value.this.this.copy(), expression=value.this.expression.copy())
        return exp.Cast(this=exp.Paren(this=member), to=to.copy())
    is_text = to.this in (exp.DType.TEXT, exp.DType.VARCHAR) and not to.expressions
    if is_text and read == "duckdb" and value.is_type(*_FLOATS):  # 3.0 and not 3
        return filled(
            "CASE WHEN ABS(x) < 1e15 AND x = TRUNC(x) THEN CAST(CAST(x AS DECIMAL) AS TEXT) || '.0'"
            " ELSE CAST(x AS TEXT) END",
            x=value,
        )
    pattern = _READS_AS.get(to.this)
    if isinstance(node, exp.TryCast) and pattern is not None and value.is_type(*_TEXTS):
        text = exp.Cast(this=value.copy(), to=exp.DataType.build("text"))
        return filled("CASE WHEN t ~ p THEN v END", t=text, p=exp.Literal.string(pattern), v=exp.Cast(this=text, to=to))
    return None


# ---- texts -----------------------------------------------------------------------------------------------


def _substring(node: exp.Expr, read: str) -> exp.Expr | None:
    """A place before the text's begin counts from its end."""
    start, length = node.args.get("start"), node.args.get("length")
    if read in ("redshift", "tsql", "fabric") or not isinstance(start, (exp.Literal, exp.Neg)):
        return None
    if isinstance(start, exp.Neg) and start.this.is_int:
        end = "RIGHT(s, n)"
        if length is None:
            return filled(end, s=node.this, n=start.this)
        return filled(f"SUBSTRING({end} FROM 1 FOR z)", s=node.this, n=start.this, z=length)
    if start.is_int and start.name == "0" and read not in ("duckdb", "mysql", *PRESTO):
        new = node.copy()
        new.set("start", exp.Literal.number(1))
        return new
    return None


def _similar(node: exp.Expr, read: str) -> exp.Expr | None:
    """SIMILAR TO of DuckDB is a regular expression for the whole text."""
    if read != "duckdb":
        return None
    return exp.RegexpLike(this=node.this.copy(), expression=_pattern(node.expression, whole=True))


def _pattern(given: exp.Expr, *, whole: bool = False) -> exp.Expr:
    """The pattern as Postgres writes it: `\\y` is the edge of a word, where other dialects say `\\b`."""
    if given.is_string or isinstance(given, exp.RawString):
        text = re.sub(r"(\\\\)|\\([bB])", lambda m: m[1] or {"b": r"\y", "B": r"\Y"}[m[2]], given.name)
        return exp.Literal.string(f"^(?:{text})$" if whole else text)
    return filled("'^(?:' || p || ')$'", p=given) if whole else given.copy()


def _matches(node: exp.Expr, _read: str) -> exp.Expr | None:
    new = node.copy()
    whole = isinstance(node, exp.RegexpFullMatch) or bool(node.args.get("full_match"))
    pattern = _pattern(node.expression, whole=whole)
    if isinstance(node, exp.RegexpFullMatch):
        return exp.RegexpLike(this=node.this.copy(), expression=pattern)
    new.set("expression", exp.Paren(this=pattern) if isinstance(pattern, exp.DPipe) else pattern)
    return new


def _first_match(node: exp.Expr, read: str) -> exp.Expr | None:
    position, occurrence, parameters = (node.args.get(key) for key in ("position", "occurrence", "parameters"))
    if any(one is not None and one.name != "1" for one in (position, occurrence)):
        return None
    if parameters is not None and parameters.name not in ("", "c", "e", "ce", "ec"):
        return None
    group = node.args.get("group") or exp.Literal.number(0)
    if not group.is_int:
        return None
    pattern = _pattern(node.expression)
    if group.name == "0":
        pattern = exp.Literal.string(f"({pattern.name})") if pattern.is_string else filled("'(' || p || ')'", p=pattern)
        group = exp.Literal.number(1)
    found = "(REGEXP_MATCH(s, p))[1]"
    if read == "duckdb" or read in SPARK:
        found = f"COALESCE({found}, CASE WHEN NOT s IS NULL THEN '' END)"
    made = filled(found, s=node.this, p=pattern)
    for bracket in made.find_all(exp.Bracket):
        bracket.set("expressions", [exp.Literal.number(int(group.name) - 1)])
    return made


def _count_matches(node: exp.Expr, _read: str) -> exp.Expr | None:
    if node.args.get("position") or node.args.get("parameters"):
        return None
    return filled("(SELECT COUNT(*) FROM REGEXP_MATCHES(s, p, 'g'))", s=node.this, p=_pattern(node.expression))


def _replaced(node: exp.Expr, read: str) -> exp.Expr | None:
    new = replaced(node, read) or node.copy()
    new.set("expression", _pattern(node.expression))
    if read == "redshift":
        new.set("single_replace", None)
    return new


def replaced(node: exp.Expr, read: str) -> exp.Expr | None:
    """`$1` in what is put in the place of a match is `\\1`."""
    new = node.copy()
    replacement = node.args.get("replacement")
    if replacement is None or not replacement.is_string or read not in ("mysql", "redshift", *PRESTO, *SPARK):
        return None
    new.set("replacement", exp.Literal.string(re.sub(r"[$](\d)", r"\\\1", replacement.name)))
    return new


def _like(node: exp.Expr, _read: str) -> exp.Expr | None:
    any_ = node.expression
    if isinstance(any_, (exp.Any, exp.All)) and isinstance(any_.this, exp.Tuple):
        new = node.copy()
        texts = exp.Array(expressions=[one.copy() for one in any_.this.expressions])
        new.set("expression", type(any_)(this=exp.Paren(this=texts)))
        return new
    return None


def _joined(node: exp.Expr, read: str) -> exp.Expr | None:
    """LISTAGG and ARRAY_AGG: the order stands inside."""
    if isinstance(node, exp.WithinGroup):
        if not isinstance(node.this, (exp.GroupConcat, exp.ArrayAgg)) or not isinstance(node.expression, exp.Order):
            return None
        call = node.this.copy()
        call.set(
            "this", exp.Order(this=call.this.copy(), expressions=[one.copy() for one in node.expression.expressions])
        )
        return call
    return of_nothing(node, read)


def of_nothing(node: exp.Expr, read: str) -> exp.Expr | None:
    """LISTAGG of nothing is an empty text in Snowflake."""
    if read != "snowflake" or isinstance(node.parent, (exp.Window, exp.Filter, exp.WithinGroup)):
        return None
    return filled("COALESCE(x, '')", x=node)


# ---- documents -------------------------------------------------------------------------------------------


def _member(node: exp.Expr, _read: str) -> exp.Expr | None:
    """A member by its path, whether the document is json, jsonb or text."""
    path = node.args.get("expression")
    if not isinstance(path, exp.JSONPath) or node.args.get("expressions"):
        return None
    steps = []
    for step in path.expressions:
        if isinstance(step, exp.JSONPathKey) and isinstance(step.this, str):
            steps.append('"' + step.this.replace("\\", "\\\\").replace('"', '\\"') + '"')
        elif isinstance(step, exp.JSONPathSubscript) and isinstance(step.this, int):
            steps.append(str(step.this))
        elif not isinstance(step, exp.JSONPathRoot):
            return None
    kind = exp.JSONBExtractScalar if isinstance(node, exp.JSONExtractScalar) else exp.JSONBExtract
    document = exp.Cast(this=node.this.copy(), to=exp.DataType.build("jsonb"))
    return exp.Paren(this=kind(this=document, expression=exp.Literal.string("{" + ",".join(steps) + "}")))


# ---- lists -----------------------------------------------------------------------------------------------


def _size(node: exp.Expr, _read: str) -> exp.Expr | None:
    """An empty list has no length in Postgres, and 0 members. LENGTH counts bytes where the dialect does."""
    if node.args.get("binary"):
        return filled("OCTET_LENGTH(x)", x=node.this)
    is_list = node.this.is_type(exp.DType.ARRAY, exp.DType.LIST) or isinstance(node.this, exp.Array)
    if node.this.is_type(*_DOCUMENTS):
        return filled("JSONB_ARRAY_LENGTH(CAST(x AS JSONB))", x=node.this)
    if is_list or isinstance(node, exp.ArraySize):
        return filled("CARDINALITY(x)", x=node.this)
    return None


def _list_as_text(node: exp.Expr, _read: str) -> exp.Expr | None:
    """CONCAT_WS joins the members of a list."""
    if len(node.expressions) != 2:
        return None
    separator, value = node.expressions
    if not value.is_type(exp.DType.ARRAY) and not isinstance(value, exp.ArrayAgg):
        return None
    return filled("ARRAY_TO_STRING(x, y)", x=value, y=separator)


def _item(node: exp.Expr, _read: str) -> exp.Expr | None:
    """A negative place counts from the end; of what a function gives, an item is taken in parentheses."""
    places = node.expressions
    if len(places) != 1 or not isinstance(places[0], exp.Neg) or not places[0].this.is_int:
        if isinstance(node.this, exp.Func) and not isinstance(node.this, exp.Array):
            new = node.copy()
            new.set("this", exp.Paren(this=node.this.copy()))
            return new
        return None
    last = int(places[0].this.name) - (0 if node.args.get("offset") else 1)
    made = filled("(x)[1]", x=node.this)
    made.set("expressions", [filled(f"CARDINALITY(x) - {last - 1}", x=node.this)])
    return made


def _series(node: exp.Expr, read: str) -> exp.Expr | None:
    if read != "redshift" and not isinstance(node.parent, (exp.Table, exp.From, exp.Join, exp.Lateral)):
        return filled("ARRAY(SELECT x)", x=node)
    return None


# ---- aggregates ------------------------------------------------------------------------------------------


def _count_if(node: exp.Expr, _read: str) -> exp.Expr | None:
    """How often it is true: of no rows 0."""
    return None if isinstance(node.this, exp.Distinct) else filled("COUNT(CASE WHEN x THEN 1 END)", x=node.this)


def _sum(node: exp.Expr, _read: str) -> exp.Expr | None:
    return filled("SUM(CAST(x AS INT))", x=node.this) if node.this.is_type(exp.DType.BOOLEAN) else None


def _of_extreme(node: exp.Expr, read: str) -> exp.Expr | None:
    if isinstance(node.parent, (exp.Window, exp.Filter)) or node.args.get("count"):
        return None
    order = "DESC" if isinstance(node, exp.ArgMax) else "ASC"
    also = " AND NOT x IS NULL" if read == "duckdb" else ""
    made = f"(ARRAY_AGG(x ORDER BY k {order}) FILTER(WHERE NOT k IS NULL{also}))[1]"
    return filled(made, x=node.this, k=node.expression)


def _any_value(node: exp.Expr, _read: str) -> exp.Expr | None:
    return node.this.copy() if isinstance(node.this, exp.AnyValue) else None


def _quantile(node: exp.Expr, _read: str) -> exp.Expr | None:
    return filled("PERCENTILE_CONT(q) WITHIN GROUP (ORDER BY x)", x=node.this, q=node.args["quantile"])


# ---- which is written by which ---------------------------------------------------------------------------


def _as(template: str) -> Rewrite:
    """Of `this` (x) and `expression` (y)."""

    def rewrite(node: exp.Expr, _read: str) -> exp.Expr | None:
        parts = {"x": node.args.get("this"), "y": node.args.get("expression")}
        return filled(template, "postgres", **{name: one for name, one in parts.items() if isinstance(one, exp.Expr)})

    return rewrite


def _in_zone(plain: str, zoned: str, key: str) -> Rewrite:
    def rewrite(node: exp.Expr, _read: str) -> exp.Expr | None:
        value, zone = node.args.get("this"), node.args.get(key)
        if node.args.get("expressions") or not isinstance(value, exp.Expr):
            return None
        return filled(zoned, x=value, y=zone) if isinstance(zone, exp.Expr) else filled(plain, x=value)

    return rewrite


def _named(full: str, short: str) -> Rewrite:
    def rewrite(node: exp.Expr, _read: str) -> exp.Expr | None:
        return filled(f"TO_CHAR(x, '{short if node.args.get('abbreviated') else full}')", x=node.this)

    return rewrite


def _date(node: exp.Expr, read: str) -> exp.Expr | None:
    """`CURRENT_DATE('zone')`, and `DATE(moment, 'zone')`."""
    if isinstance(node, exp.CurrentDate):
        return _as("CAST(CURRENT_TIMESTAMP AT TIME ZONE x AS DATE)")(node, read) if node.this else None
    zone = node.args.get("zone")
    if not isinstance(zone, exp.Expr):
        return None
    return filled("CAST(x AT TIME ZONE y AS DATE)", x=node.this, y=zone)


def _digest(node: exp.Expr, _read: str) -> exp.Expr | None:
    length = node.args.get("length")
    bits = length.name if isinstance(length, exp.Expr) else "256"
    if bits not in ("224", "256", "384", "512") or not node.this.is_type(*_TEXTS):
        return None
    return filled(f"ENCODE(SHA{bits}(CONVERT_TO(x, 'UTF8')), 'hex')", x=node.this)


def _number(node: exp.Expr, read: str) -> exp.Expr | None:
    """TO_NUMBER without a format."""
    digits = [node.args.get("precision"), node.args.get("scale")]
    if node.args.get("format") or not all(isinstance(one, exp.Literal) for one in digits):
        return None
    to = exp.DataType(this=exp.DType.DECIMAL, expressions=[exp.DataTypeParam(this=one.copy()) for one in digits if one])
    if not node.args.get("safe"):
        return exp.Cast(this=node.this.copy(), to=to)
    made = exp.TryCast(this=node.this.copy(), to=to)
    return _cast(made, read) or made


def _function(node: exp.Expr, read: str) -> exp.Expr | None:
    """What the library knows by no name of its own."""
    name, given = node.name.upper(), node.expressions
    if name == "WEEKDAY" and len(given) == 1 and (read == "mysql" or read in SPARK):
        return filled("(CAST(EXTRACT(ISODOW FROM CAST(x AS TIMESTAMP)) AS INT) - 1)", x=given[0])
    if name == "UNIX_TIMESTAMP" and len(given) == 1 and read == "mysql":
        return filled("CAST(FLOOR(EXTRACT(EPOCH FROM CAST(x AS TIMESTAMP))) AS BIGINT)", x=given[0])
    if name == "JSON_UNQUOTE" and len(given) == 1 and read == "mysql":
        return filled("(CAST(x AS JSONB) #>> '{}')", x=given[0])
    return None


def _day(node: exp.Expr, _read: str) -> exp.Expr | None:
    parts = {key: node.args.get(name) for key, name in (("y", "year"), ("m", "month"), ("d", "day"))}
    found = {key: one for key, one in parts.items() if isinstance(one, exp.Expr)}
    return filled("MAKE_DATE(y, m, d)", "postgres", **found) if len(found) == 3 else None


def _later(node: exp.Expr, read: str) -> exp.Expr | None:
    """A number is a day since 1900 where a date is asked for."""
    if read not in TSQL or not (isinstance(node.this, exp.Literal) and node.this.is_int):
        return None
    new = node.copy()
    new.set("this", filled(f"(CAST('1900-01-01' AS TIMESTAMP) + CAST('{node.this.name} DAYS' AS INTERVAL))"))
    return new


def _format(_node: exp.Expr, read: str) -> exp.Expr | None:
    """Both have a FORMAT, and neither knows the other's marks."""
    if read == "duckdb":
        raise UnsupportedError("postgres cannot say this: FORMAT with {}", hint="join the texts with ||")
    return None


DIFFERENCES: tuple[type[exp.Expr], ...] = (exp.DateDiff, exp.TsOrDsDiff, exp.TimestampDiff, exp.DatetimeDiff)
_BEGINNINGS: tuple[type[exp.Expr], ...] = (exp.DateTrunc, exp.TimestampTrunc, exp.DatetimeTrunc)

REWRITES: dict[type[exp.Expr], Rewrite] = {
    **dict.fromkeys(DIFFERENCES, difference),
    **dict.fromkeys(_BEGINNINGS, beginning),
    **dict.fromkeys(PARTS, part),
    exp.Round: _round,
    exp.Greatest: _extreme,
    exp.Least: _extreme,
    exp.Cast: _cast,
    exp.TryCast: _cast,
    exp.Substring: _substring,
    exp.RegexpLike: _matches,
    exp.RegexpILike: _matches,
    exp.RegexpFullMatch: _matches,
    exp.SimilarTo: _similar,
    exp.RegexpExtract: _first_match,
    exp.RegexpCount: _count_matches,
    exp.RegexpReplace: _replaced,
    exp.Like: _like,
    exp.ILike: _like,
    exp.GroupConcat: _joined,
    exp.WithinGroup: _joined,
    exp.JSONExtract: _member,
    exp.JSONExtractScalar: _member,
    exp.ArraySize: _size,
    exp.Length: _size,
    exp.Bracket: _item,
    exp.DateAdd: _later,
    exp.Format: _format,
    exp.ConcatWs: _list_as_text,
    exp.GenerateSeries: _series,
    exp.CountIf: _count_if,
    exp.Sum: _sum,
    exp.ArgMax: _of_extreme,
    exp.ArgMin: _of_extreme,
    exp.IgnoreNulls: _any_value,
    exp.Quantile: _quantile,
    exp.ApproxDistinct: _as("COUNT(DISTINCT x)"),
    exp.Join: join,
    exp.Group: group,
    exp.Order: order,
    exp.Star: star,
    exp.Contains: _as("POSITION(y IN x) > 0"),
    exp.EndsWith: _as("RIGHT(x, LENGTH(y)) = y"),
    exp.EqualNull: _as("x IS NOT DISTINCT FROM y"),
    exp.UnixSeconds: _as("CAST(FLOOR(EXTRACT(EPOCH FROM x)) AS BIGINT)"),
    exp.UnixMillis: _as("CAST(FLOOR(EXTRACT(EPOCH FROM x) * 1000) AS BIGINT)"),
    exp.Datetime: _in_zone("CAST(x AS TIMESTAMP)", "CAST(x AT TIME ZONE y AS TIMESTAMP)", "expression"),
    exp.Timestamp: _in_zone(
        "CAST(x AS TIMESTAMPTZ)", "CAST(CAST(x AS TIMESTAMP) AT TIME ZONE y AS TIMESTAMPTZ)", "zone"
    ),
    exp.Dayname: _named("FMDay", "Dy"),
    exp.Monthname: _named("FMMonth", "Mon"),
    exp.CurrentDate: _date,
    exp.Date: _date,
    exp.SHA2: _digest,
    exp.ToNumber: _number,
    exp.Anonymous: _function,
    exp.DateFromParts: _day,
    exp.AddMonths: add_months,
    exp.RegexpSplit: _as("REGEXP_SPLIT_TO_ARRAY(x, y)"),
    exp.Split: _as("STRING_TO_ARRAY(x, y)"),
}
