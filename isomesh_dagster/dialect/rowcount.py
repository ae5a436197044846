"""Which expressions of a SELECT list change how many rows there are: set-returning functions and aggregates.

For functions the SQL library does not know the answer leans to yes where a dialect lets users write such functions.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlglot import exp

# Set-returning functions by name, for those that parse as unknown functions.
_MULTIPLYING_NAMES = """
    EXPLODE EXPLODE_OUTER FLATTEN GENERATE_SERIES GENERATE_SUBSCRIPTS INLINE INLINE_OUTER JSON_ARRAY_ELEMENTS
    JSON_ARRAY_ELEMENTS_TEXT JSON_EACH JSON_EACH_TEXT JSON_OBJECT_KEYS JSON_TUPLE JSONB_ARRAY_ELEMENTS
    JSONB_ARRAY_ELEMENTS_TEXT JSONB_EACH JSONB_EACH_TEXT JSONB_OBJECT_KEYS JSONB_PATH_QUERY PARSE_URL_TUPLE
    POSEXPLODE POSEXPLODE_OUTER REGEXP_MATCHES REGEXP_SPLIT_TO_TABLE STACK STRING_TO_TABLE UNNEST
"""
_MULTIPLYING = frozenset(_MULTIPLYING_NAMES.split())
_MULTIPLYING_NODES = (exp.UDTF, exp.Explode, exp.Posexplode, exp.Inline, exp.ExplodingGenerateSeries)

# Dialects in which a function the library does not know may return a set in a SELECT list.
_OPEN_DIALECTS = frozenset(
    {"postgres", "redshift", "materialize", "risingwave", "hive", "spark", "spark2", "databricks"}
)

# Functions of those dialects that the library does not know, and that return one value.
_SINGLE_VALUED_NAMES = """
    AGE ARRAY_DIMS ARRAY_FILL ARRAY_LENGTH ARRAY_LOWER ARRAY_NDIMS ARRAY_POSITION ARRAY_POSITIONS ARRAY_REMOVE
    ARRAY_REPLACE ARRAY_TO_JSON ARRAY_UPPER BIT_COUNT BTRIM CARDINALITY CLOCK_TIMESTAMP DATE_BIN DATE_PART DIV
    ENCODE FORMAT GCD ISFINITE JSON_ARRAY_LENGTH JSON_BUILD_ARRAY JSON_BUILD_OBJECT JSON_EXTRACT_PATH
    JSON_EXTRACT_PATH_TEXT JSON_STRIP_NULLS JSON_TYPEOF JSONB_ARRAY_LENGTH JSONB_BUILD_ARRAY JSONB_BUILD_OBJECT
    JSONB_EXTRACT_PATH JSONB_EXTRACT_PATH_TEXT JSONB_SET JSONB_STRIP_NULLS JSONB_TYPEOF JUSTIFY_DAYS JUSTIFY_HOURS
    JUSTIFY_INTERVAL LCM MAKE_DATE MAKE_INTERVAL MAKE_TIME MAKE_TIMESTAMP MAKE_TIMESTAMPTZ NUM_NONNULLS NUM_NULLS
    QUOTE_IDENT QUOTE_LITERAL QUOTE_NULLABLE REGEXP_COUNT REGEXP_MATCH REGEXP_REPLACE REGEXP_SPLIT_TO_ARRAY
    ROW_TO_JSON SCALE STATEMENT_TIMESTAMP TO_HEX TO_JSON TO_JSONB TRANSACTION_TIMESTAMP TRIM_SCALE WIDTH_BUCKET
"""
_SINGLE_VALUED = frozenset(_SINGLE_VALUED_NAMES.split())


def multiplies_rows(item: exp.Expr, dialect: str) -> bool:
    """Whether an item of a SELECT list may make several rows, or none, out of one."""
    for node in _own(item):
        if isinstance(node, _MULTIPLYING_NODES):
            return True
        if isinstance(node, exp.Anonymous):
            name = node.name.upper()
            if name in _MULTIPLYING or (dialect in _OPEN_DIALECTS and name not in _SINGLE_VALUED):
                return True
    return False


def depends_on_rows(node: exp.Expr) -> bool:
    """Whether the node's value depends on other rows than its own, or makes rows: what is computed in a subquery is
    then something else than the same words around it.
    """
    kinds = (exp.AggFunc, exp.Window, exp.Anonymous, *_MULTIPLYING_NODES)
    return isinstance(node, kinds) or type(node).__name__.endswith("Agg")


def aggregates(select: exp.Select) -> str:
    """How a SELECT without GROUP BY comes to one row: "yes" by an aggregate or HAVING, "" not at all.

    When nothing but unknown functions could tell, and no bare column says no, the answer is the names of those
    functions: whatever they are, the rows stay what they were as long as the names do.
    """
    if select.args.get("having") is not None:
        return "yes"
    order = select.args.get("order")
    items = [*select.expressions, *(order.expressions if order is not None else ())]
    if any(_is_aggregate(node) for item in items for node in _own(item)):
        return "yes"
    if select.args.get("from_") is None:
        return ""
    unknown: set[str] = set()
    for item in select.expressions:
        for node in _own(item):
            if isinstance(node, exp.Column) and not _inside_unknown(node):
                return ""
            if isinstance(node, exp.Anonymous) and not _is_windowed(node):
                unknown.add(node.name.upper())
    return " ".join(sorted(unknown))


def _own(item: exp.Expr) -> Iterator[exp.Expr]:
    """The nodes of an expression, without those of queries inside it."""
    pending = [item]
    while pending:
        node = pending.pop()
        yield node
        if not isinstance(node, exp.Query):
            pending.extend(node.iter_expressions())


def _is_aggregate(node: exp.Expr) -> bool:
    named = type(node).__name__.endswith("Agg")  # some aggregates are not marked as such
    return (isinstance(node, exp.AggFunc) or named) and not _is_windowed(node)


def _is_windowed(node: exp.Expr) -> bool:
    """Whether the function is one of `… OVER`, so that it keeps the rows."""
    child, parent = node, node.parent
    while isinstance(parent, (exp.Filter, exp.WithinGroup, exp.IgnoreNulls, exp.RespectNulls)) and parent.this is child:
        child, parent = parent, parent.parent
    return isinstance(parent, exp.Window) and parent.this is child


def _inside_unknown(node: exp.Expr) -> bool:
    parent = node.parent
    while parent is not None and not isinstance(parent, exp.Query):
        if isinstance(parent, exp.Anonymous) and not _is_windowed(parent):
            return True
        parent = parent.parent
    return False
