"""Macros that write whole expressions or queries, built as stock trees so that each dialect gets its own spelling."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlglot import exp
from sqlglot.errors import SqlglotError

from isomesh_dagster.dialect.tokens import stock_dialect
from isomesh_dagster.macros.values import Fragment, identifier, string_content, to_name

if TYPE_CHECKING:
    from isomesh_dagster.macros.call import Call

# Part of every key ever generated: changing it would change the data of every model that uses the macro.
_NULL_KEY = "_sqlmesh_surrogate_key_null_"
_EARTH_DIAMETER_MILES = 7922
_KILOMETRES_PER_MILE = 1.60934
_STEPS = {"day": (1, "DAY"), "week": (1, "WEEK"), "month": (1, "MONTH"), "quarter": (3, "MONTH"), "year": (1, "YEAR")}


def generate_surrogate_key(call: Call) -> list[str]:
    """`@GENERATE_SURROGATE_KEY(a, b, hash_function := 'MD5')`: a hash over the text of the fields."""
    parts: list[Any] = []
    for position in range(call.count):
        for field in call.items(position):
            if parts:
                parts.append(exp.Literal.string("|"))
            text = exp.cast(_tree(call, field), exp.DType.TEXT)
            parts.append(exp.func("COALESCE", text, exp.Literal.string(_NULL_KEY)))
    joined = exp.func("CONCAT", *parts) if len(parts) > 1 else parts[0]
    name = call.option_content("hash_function", "MD5").upper()
    return [_sql(call, exp.MD5(this=joined) if name == "MD5" else exp.func(name, joined, dialect=call.dialect))]


def haversine_distance(call: Call) -> list[str]:
    """`@HAVERSINE_DISTANCE(lat1, lon1, lat2, lon2, 'mi' | 'km')`: the distance between two points on earth."""
    lat1, lon1, lat2, lon2 = (f"({call.text(position)})" for position in range(4))
    unit = (call.content(4) if call.count > 4 else call.option_content("unit", "mi")).lower()
    if unit not in ("mi", "km"):
        raise call.error(f"@HAVERSINE_DISTANCE knows no unit {unit!r}", "use 'mi' or 'km'")
    half_chord = (
        f"POWER(SIN(RADIANS(({lat2} - {lat1}) / 2)), 2)"
        f" + COS(RADIANS({lat1})) * COS(RADIANS({lat2})) * POWER(SIN(RADIANS(({lon2} - {lon1}) / 2)), 2)"
    )
    factor = f" * {_KILOMETRES_PER_MILE}" if unit == "km" else ""
    return [f"{_EARTH_DIAMETER_MILES} * ASIN(SQRT({half_chord})){factor}"]


def pivot(call: Call) -> list[str]:
    """`@PIVOT(column, values, …)`: one aggregate per value, named after it."""
    column = call.text(0)
    aggregate, compare = call.option_content("agg", "SUM"), call.option_content("cmp", "=")
    prefix, suffix = call.option_content("prefix", ""), call.option_content("suffix", "")
    then_value, else_value = call.option("then_value", "1"), call.option("else_value", "0")
    distinct = "DISTINCT " if call.flag("distinct", False) else ""
    alias, quote = call.flag("alias", True), call.flag("quote", True)
    pieces = []
    for value in call.collection(1):
        content = string_content(value, call.dialect)
        name = to_name(Fragment(value), call.dialect) if content is None else content
        case = f"CASE WHEN {column} {compare} {value} THEN {then_value} ELSE {else_value} END"
        named = f" AS {identifier(f'{prefix}{name}{suffix}', call.dialect, quoted=quote)}" if alias else ""
        pieces.append(f"{aggregate}({distinct}{case}){named}")
    return pieces


def deduplicate(call: Call) -> list[str]:
    """`@DEDUPLICATE(relation, [keys], ['time desc'])`: the first row of each key in that order."""
    order = [string_content(item, call.dialect) or item for item in call.collection(2)]
    keys = ", ".join(call.collection(1))
    if not keys or not order:
        raise call.error("@DEDUPLICATE needs keys and an order", "write `@DEDUPLICATE(t, [id], ['updated_at desc'])`")
    rank = _tree(call, f"ROW_NUMBER() OVER (PARTITION BY {keys} ORDER BY {', '.join(order)}) = 1")
    query = _tree(call, f"SELECT * FROM {call.text(0)}")
    query.set("qualify", exp.Qualify(this=rank))
    return [_as_query(call, _sql(call, query))]


def date_spine(call: Call) -> list[str]:
    """`@DATE_SPINE('day', start, end)`: one row per day, week, month, quarter or year, both ends included."""
    part = call.content(0).lower()
    if part not in _STEPS:
        raise call.error(f"@DATE_SPINE knows no {part!r}", f"use one of {', '.join(_STEPS)}")
    count, unit = _STEPS[part]
    begin, end = (exp.cast(_tree(call, call.text(position)), exp.DType.DATE) for position in (1, 2))
    step = exp.Interval(this=exp.Literal.string(str(count)), unit=exp.var(unit))
    dates = exp.GenerateDateArray(start=begin, end=end, step=step)
    name = f"date_{part}"
    spine = exp.Unnest(expressions=[dates], alias=exp.TableAlias(this=exp.to_identifier("_spine")))
    if call.dialect == "bigquery":  # names what it unnests as a column, not as a table
        spine.set("alias", exp.TableAlias(columns=[exp.to_identifier(name)]))
    else:
        spine.args["alias"].set("columns", [exp.to_identifier(name)])
    return [_as_query(call, _sql(call, exp.select(name).from_(spine)))]


# Before what a query needs no parentheses: the beginning, a bracket, a CTE's end, a set operator.
_BEFORE_QUERY = frozenset({"", ";", "(", ")", "ALL", "DISTINCT", "UNION", "EXCEPT", "INTERSECT"})


def _as_query(call: Call, text: str) -> str:
    return text if call.neighbours[0] in _BEFORE_QUERY else f"({text})"


def _tree(call: Call, text: str) -> Any:
    """The tree of a query or of one expression. Raises `MacroError` when it cannot be parsed."""
    stock = stock_dialect(call.dialect)
    reason = "expected one expression"
    try:
        if text.lstrip()[:6].upper() == "SELECT":
            return stock.parse(text)[0]
        parsed = stock.parse(f"SELECT {text}")[0]
        if isinstance(parsed, exp.Select) and len(parsed.selects) == 1:
            return parsed.selects[0].unalias()
    except SqlglotError as error:
        reason = str(error).partition("\n")[0]
    raise call.error(f"@{call.name.upper()} cannot read `{text}`", reason)


def _sql(call: Call, tree: Any) -> str:
    text: str = tree.sql(dialect=call.dialect)
    return text
