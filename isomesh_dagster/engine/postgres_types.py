"""Types of Postgres and the types that files and data frames are read with (`transfer`), each as the other's text."""

from __future__ import annotations

import re

_FROM_POSTGRES = {
    "smallint": "SMALLINT",
    "integer": "INTEGER",
    "bigint": "BIGINT",
    "real": "FLOAT",
    "double precision": "DOUBLE",
    "numeric": "DOUBLE",  # without a precision no decimal type holds it
    "boolean": "BOOLEAN",
    "date": "DATE",
    "timestamp without time zone": "TIMESTAMP",
    "timestamp with time zone": "TIMESTAMP WITH TIME ZONE",
    "time without time zone": "TIME",
    "interval": "INTERVAL",
    "uuid": "UUID",
    "bytea": "BLOB",
}
_TO_POSTGRES = {
    **{mine: theirs for theirs, mine in _FROM_POSTGRES.items() if theirs != "numeric"},
    "TINYINT": "smallint",
    "UTINYINT": "smallint",
    "USMALLINT": "integer",
    "UINTEGER": "bigint",
    "UBIGINT": "numeric(20,0)",
    "HUGEINT": "numeric(39,0)",
    "UHUGEINT": "numeric(39,0)",
    "TIMESTAMP_S": "timestamp without time zone",
    "TIMESTAMP_MS": "timestamp without time zone",
    "TIMESTAMP_NS": "timestamp without time zone",
    "JSON": "jsonb",
}
_MOST_DIGITS = 38


def to_frame(kind: str) -> str:
    """The type for a column of Postgres's type `kind` (as `format_type` spells it); text for what has none."""
    if kind.endswith("[]"):
        return f"{to_frame(kind[:-2])}[]"
    if found := re.fullmatch(r"numeric\((\d+),(\d+)\)", kind):
        digits, scale = map(int, found.groups())
        return f"DECIMAL({digits},{scale})" if scale <= digits <= _MOST_DIGITS else "DOUBLE"
    return _FROM_POSTGRES.get(re.sub(r"\(\d+\)", "", kind), "VARCHAR")


def from_frame(kind: str) -> str:
    """Postgres's type for a column of type `kind`; jsonb for what is nested, text for what has none."""
    if is_list(kind):
        return f"{from_frame(kind[:-2])}[]"
    if kind.startswith("DECIMAL("):
        return f"numeric{kind[7:]}"
    if is_nested(kind):
        return "jsonb"
    return _TO_POSTGRES.get(kind, "text")


def is_list(kind: str) -> bool:
    """Whether it is a list of plain values, which is an array in Postgres."""
    return kind.endswith("[]") and not is_nested(kind[:-2])


def is_nested(kind: str) -> bool:
    """Whether it has parts: a record, a mapping, a list of lists."""
    return kind.startswith(("STRUCT(", "MAP(", "UNION(")) or kind.endswith("]")
