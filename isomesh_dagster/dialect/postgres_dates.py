"""Differences, beginnings and parts of dates and times, as each dialect counts them, in words of Postgres."""

from __future__ import annotations

from sqlglot import exp

from isomesh_dagster.dialect.filled import filled

PRESTO = frozenset({"trino", "presto", "athena"})
SPARK = frozenset({"spark", "spark2", "databricks", "hive"})
TSQL = frozenset({"tsql", "fabric"})

_DAYS = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
_SUNDAY = 6
_SECONDS = {"HOUR": "/ 3600", "MINUTE": "/ 60", "SECOND": "* 1", "MILLISECOND": "* 1000", "MICROSECOND": "* 1000000"}
_MONTHS = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}
_UNITS = {"MM": "MONTH", "MON": "MONTH", "YYYY": "YEAR", "YY": "YEAR", "Q": "QUARTER", "DD": "DAY", "ISOWEEK": "WEEK"}


# ---- differences -----------------------------------------------------------------------------------------


def difference(node: exp.Expr, read: str) -> exp.Expr | None:
    """How many limits of the unit lie between two moments; in dialects that say so, how many whole units do."""
    unit, first_day = _unit(node.args.get("unit"), read)
    count = _whole_units(unit) if _is_whole(node, read) else _limits(unit, first_day)
    if count is None:
        return None
    return filled(f"CAST({count} AS BIGINT)", e=node.this, s=node.args["expression"])


def difference_on_duckdb(node: exp.Expr, read: str) -> exp.Expr | None:
    """Whole units, and weeks that begin on Sundays: the limits of the others DuckDB counts by itself."""
    unit, first_day = _unit(node.args.get("unit"), read)
    start, end = node.args["expression"], node.this
    if _is_whole(node, read) and (unit in _SECONDS or unit in _MONTHS or unit in ("DAY", "WEEK")):
        moments = [exp.Cast(this=one.copy(), to=exp.DataType.build("timestamp")) for one in (start, end)]
        return exp.Anonymous(this="DATESUB", expressions=[exp.Literal.string(unit), *moments])
    if unit == "WEEK" and first_day and read != "bigquery":  # of which the library knows
        return filled(f"CAST({_limits(unit, first_day)} AS BIGINT)", e=end, s=start)
    return None


def _is_whole(node: exp.Expr, read: str) -> bool:
    is_spark = read in SPARK and bool(node.args.get("unit"))
    return read in PRESTO or isinstance(node, exp.TimestampDiff) or is_spark


def _limits(unit: str, first_day: int) -> str | None:
    if unit == "DAY":
        return "CAST(e AS DATE) - CAST(s AS DATE)"
    if unit == "WEEK":  # the first day of all, which no date is before, was a Monday
        shift = (7 - first_day) % 7
        weeks = [f"FLOOR((CAST({side} AS DATE) - CAST('0001-01-01' AS DATE) + {shift}) / 7.0)" for side in ("e", "s")]
        return " - ".join(weeks)
    if months := _MONTHS.get(unit):
        numbers = [
            f"FLOOR((EXTRACT(YEAR FROM CAST({side} AS TIMESTAMP)) * 12"
            f" + EXTRACT(MONTH FROM CAST({side} AS TIMESTAMP)) - 1) / {months})"
            for side in ("e", "s")
        ]
        return " - ".join(numbers)
    if unit in _SECONDS:
        seconds = [f"EXTRACT(EPOCH FROM DATE_TRUNC('{unit}', CAST({side} AS TIMESTAMP)))" for side in ("e", "s")]
        return f"ROUND(({' - '.join(seconds)}) {_SECONDS[unit]})"
    return None


def _whole_units(unit: str) -> str | None:
    between = "CAST(e AS TIMESTAMP) - CAST(s AS TIMESTAMP)"
    if months := _MONTHS.get(unit):
        age = "AGE(CAST(e AS TIMESTAMP), CAST(s AS TIMESTAMP))"
        return f"TRUNC((EXTRACT(YEAR FROM {age}) * 12 + EXTRACT(MONTH FROM {age})) / {months})"
    seconds = {**_SECONDS, "DAY": "/ 86400", "WEEK": "/ 604800"}.get(unit)
    return None if seconds is None else f"TRUNC(EXTRACT(EPOCH FROM {between}) {seconds})"


def _unit(given: object, read: str) -> tuple[str, int]:
    """The unit in capitals, and the day on which its weeks begin (0: Monday)."""
    if isinstance(given, exp.WeekStart):
        name = given.this.name.upper()
        return "WEEK", _DAYS.index(name) if name in _DAYS else 0
    name = given.name.upper() if isinstance(given, exp.Expr) else "DAY"
    begins = _SUNDAY if name == "WEEK" and (read in TSQL or read == "redshift") else 0
    return _UNITS.get(name, name), begins


# ---- beginnings ------------------------------------------------------------------------------------------


def beginning(node: exp.Expr, read: str) -> exp.Expr | None:
    """The beginning of the unit: of a date a date where the dialect says so, and never in the reader's time zone."""
    unit, first_day = _unit(node.args.get("unit"), "")
    if node.args.get("zone") or unit not in {*_SECONDS, *_MONTHS, "DAY", "WEEK", "DECADE", "CENTURY"}:
        return None
    is_date = node.this.is_type(exp.DType.DATE)
    moment = "CAST(x AS TIMESTAMP)" if is_date or node.this.is_type(*exp.DataType.TEXT_TYPES) else "x"
    begun = f"DATE_TRUNC('{unit}', {moment})"
    if unit == "WEEK" and first_day:
        shift = f"CAST('{7 - first_day} DAYS' AS INTERVAL)"
        begun = f"(DATE_TRUNC('WEEK', {moment} + {shift}) - {shift})"
    stays_date = is_date and read not in ("duckdb", "redshift", *SPARK)
    if stays_date or (isinstance(node, exp.DateTrunc) and read in SPARK):
        begun = f"CAST({begun} AS DATE)"
    return filled(begun, x=node.this)


# ---- parts -----------------------------------------------------------------------------------------------

_PARTS: dict[type[exp.Expr], str] = {
    exp.Year: "YEAR",
    exp.Quarter: "QUARTER",
    exp.Month: "MONTH",
    exp.Week: "WEEK",
    exp.WeekOfYear: "WEEKISO",
    exp.Day: "DAY",
    exp.DayOfMonth: "DAY",
    exp.DayOfYear: "DOY",
    exp.DayOfWeek: "DAYOFWEEK",
    exp.DayOfWeekIso: "ISODOW",
    exp.Hour: "HOUR",
    exp.Minute: "MINUTE",
    exp.Second: "SECOND",
}
PARTS: tuple[type[exp.Expr], ...] = (exp.Extract, *_PARTS)
_SAME = {
    "YEARISO": "ISOYEAR",
    "YEAROFWEEKISO": "ISOYEAR",
    "DAYOFYEAR": "DOY",
    "DAYOFMONTH": "DAY",
    "DAYOFWEEKISO": "ISODOW",
    "DAYOFWEEK_ISO": "ISODOW",
    "DOW_ISO": "ISODOW",
    "WEEKISO": "ISOWEEK",
    "WEEKOFYEAR": "ISOWEEK",
    "DOW": "DAYOFWEEK",
    "WEEKDAY": "DAYOFWEEK",
    "EPOCH_SECOND": "EPOCH",
    "SECONDS": "SECOND",
    "MILLISECONDS": "MILLISECOND",
}
_PLAIN = frozenset(
    {"ISOYEAR", "YEAR", "QUARTER", "MONTH", "DAY", "DOY", "ISODOW", "HOUR", "MINUTE", "DECADE", "CENTURY"}
)


def part(node: exp.Expr, read: str) -> exp.Expr | None:
    """A part of a moment: a whole number, where Postgres gives a decimal that is divided with its remainder."""
    name, value = _named(node)
    made = _counted(name, read)
    return None if made is None else filled(made, x=value)


def part_on_duckdb(node: exp.Expr, read: str) -> exp.Expr | None:
    """Days of the week that are counted from 1, and weeks that begin on Sundays."""
    name, value = _named(node)
    is_other = (name == "DAYOFWEEK" and read not in _DAYS_FROM_ZERO) or (name == "WEEK" and read in _SUNDAY_WEEKS)
    made = _counted(name, read) if is_other else None
    return None if made is None else filled(made, x=value)


def _named(node: exp.Expr) -> tuple[str, exp.Expr]:
    """The name of the part, "" for one that depends on more, and of what it is one."""
    if isinstance(node, exp.Extract):
        name = "" if isinstance(node.this, exp.WeekStart) else node.this.name.upper()
        return _SAME.get(name, name), node.expression
    name = "" if node.args.get("mode") or node.args.get("default_date") else _PARTS[type(node)]
    return _SAME.get(name, name), node.this


def add_months(node: exp.Expr, read: str) -> exp.Expr | None:
    """A day of a later month, as a date; what the last day of a month becomes differs elsewhere."""
    if read not in SPARK:
        return None
    months = "CAST(x + CAST('1 MONTH' AS INTERVAL) * y AS DATE)"
    return filled(months, x=node.this, y=node.expression)


_DAYS_FROM_ZERO = frozenset({"postgres", "redshift", "materialize", "risingwave", "snowflake", "duckdb"})
_SUNDAY_WEEKS = frozenset({"bigquery", "mysql"}) | TSQL


def _counted(name: str, read: str) -> str | None:
    """The words for a part of `x` by its name in `read`; None for one that is not known."""
    if name in _PLAIN:
        return f"CAST(EXTRACT({name} FROM x) AS INT)"
    if name == "DAYOFWEEK":
        if read in PRESTO:
            return "CAST(EXTRACT(ISODOW FROM x) AS INT)"
        from_one = read not in _DAYS_FROM_ZERO
        return f"(CAST(EXTRACT(DOW FROM x) AS INT){' + 1' * from_one})"
    if name == "WEEK" and read in _SUNDAY_WEEKS:
        first = "12" if read in TSQL else "6"
        return f"CAST(FLOOR((EXTRACT(DOY FROM x) + {first} - EXTRACT(DOW FROM x)) / 7) AS INT)"
    if name in ("WEEK", "ISOWEEK"):
        return "CAST(EXTRACT(WEEK FROM x) AS INT)"
    if name == "SECOND" and read not in SPARK:
        return "CAST(TRUNC(EXTRACT(SECOND FROM x)) AS INT)"
    if name == "MILLISECOND":
        whole = "CAST(TRUNC(EXTRACT(MILLISECONDS FROM x)) AS INT)"
        return whole if read == "duckdb" else f"({whole} % 1000)"
    if name == "EPOCH" and read in ("snowflake", "redshift"):
        return "CAST(FLOOR(EXTRACT(EPOCH FROM x)) AS BIGINT)"
    if name == "EPOCH_MILLISECOND":
        return "CAST(FLOOR(EXTRACT(EPOCH FROM x) * 1000) AS BIGINT)"
    return "CAST(x AS DATE)" if name == "DATE" else None
