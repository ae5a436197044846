"""Audits: the built-in ones as queries in the model format, and the calls of a model resolved to what will run.

An audit is a query that returns the bad rows; no rows, no complaint. `@this_model` is what is audited, every argument
a macro variable. The built-in queries keep to SQL that DuckDB and Postgres read alike: no QUALIFY, no engine's own
operator for regular expressions (`~` means a partial match in one and a full match in the other). A null passes unless
the audit is about nulls, as in SQL's own CHECK.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.model import AuditCall, Json
from isomesh_dagster.model.scalars import BOOLEANS

NON_BLOCKING = "_non_blocking"

_RESERVED = {"blocking"}  # settings of a use, not arguments of the query


@dataclass(frozen=True, slots=True, kw_only=True)
class Standalone:
    """What an audit that belongs to no model reads: `reads` are normalised names of tables, sorted, `variables` those
    of the configuration by lower-case name. `digest` is that of its query.
    """

    reads: tuple[str, ...]
    variables: Mapping[str, Json] = field(default_factory=dict)
    digest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditDefinition:
    """An audit before it is used.

    `arguments` are the names a use may give; None means any that the query mentions. `defaults` are SQL texts by
    lower-case name; an argument without one must be given. `dialect` "" is that of the model which uses it. `skip`
    means that a use is accepted and never run. `standalone` is there for an audit that no model uses. `line` is that of
    the block, `query_line` that of its query.
    """

    name: str
    query: str
    arguments: tuple[str, ...] | None = None
    defaults: Mapping[str, str] = field(default_factory=dict)
    blocking: bool = True
    skip: bool = False
    dialect: str = ""
    path: str | None = None
    line: int | None = None
    query_line: int | None = None
    standalone: Standalone | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditUse:
    """One entry of a model's `audits (...)` or `signals (...)`, as written: the name, and SQL texts by argument
    name.
    """

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    line: int | None = None


def resolve(
    uses: Iterable[AuditUse], definitions: Mapping[str, AuditDefinition], *, dialect: str
) -> tuple[AuditCall, ...]:
    """The calls that will run. `definitions` (the project's, by lower-case name) win over built-in ones.

    Raises ModelError for an unknown audit, an unknown argument or a missing one, at the line of the use.
    """
    calls = []
    for use in uses:
        definition = definitions.get(use.name.lower()) or BUILT_IN.get(use.name.lower())
        if definition is None:
            raise ModelError(
                f"unknown audit {use.name!r}",
                line=use.line,
                hint=_nearest(use.name, [*definitions, *BUILT_IN])
                or "define it with AUDIT (name …) in the model's file or in audits/",
            )
        call = _call(use, definition, dialect)
        if not definition.skip:
            calls.append(call)
    return tuple(calls)


def _call(use: AuditUse, definition: AuditDefinition, dialect: str) -> AuditCall:
    given = {name.lower(): text for name, text in use.arguments.items()}
    blocking = definition.blocking
    if "blocking" in given:
        blocking = _boolean(use, given.pop("blocking"))
    known = definition.arguments
    for name in given:
        if (
            (name not in known)
            if known is not None
            else (name not in definition.defaults and not _mentions(definition, name))
        ):
            names = known if known is not None else (*definition.defaults, *_mentioned(definition))
            raise ModelError(
                f"audit {definition.name!r} has no argument {name!r}",
                line=use.line,
                hint=_nearest(name, [*names, *_RESERVED]) or _listed(names),
            )
    if known is not None:
        missing = [name for name in known if name not in given and name not in definition.defaults]
        if missing:
            raise ModelError(
                f"audit {definition.name!r} needs {', '.join(repr(name) for name in missing)}",
                line=use.line,
                hint=f"write {definition.name}({', '.join(f'{name} := …' for name in missing)})",
            )
    return AuditCall(
        name=definition.name,
        query=definition.query,
        arguments={**definition.defaults, **given},
        blocking=blocking,
        dialect=definition.dialect or dialect,
    )


def _boolean(use: AuditUse, text: str) -> bool:
    if text.strip().lower() not in BOOLEANS:
        raise ModelError(f"blocking must be true or false, not {text!r}", line=use.line)
    return BOOLEANS[text.strip().lower()]


def _mentioned(definition: AuditDefinition) -> list[str]:
    if definition.query[:6].upper() == "JINJA_":
        return sorted({name.lower() for name in re.findall(r"[A-Za-z_]\w*", definition.query)})
    names = re.findall(r"@\{?\s*([A-Za-z_]\w*)", definition.query)
    names += re.findall(r"@(?:VAR|BLUEPRINT_VAR)\s*\(\s*'(\w+)'", definition.query, flags=re.IGNORECASE)
    return sorted({name.lower() for name in names})


def _mentions(definition: AuditDefinition, name: str) -> bool:
    return name in _mentioned(definition)


def _nearest(name: str, names: Iterable[str]) -> str | None:
    close = difflib.get_close_matches(name.lower(), list(names), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None


def _listed(names: Iterable[str]) -> str:
    return f"it takes {', '.join(names)}" if names else "it takes no arguments"


def _built_in(name: str, arguments: str, query: str) -> tuple[AuditDefinition, AuditDefinition]:
    """The audit and its non-blocking twin. `arguments` is a readable list: `column, threshold, inclusive := true`."""
    defaults = {}
    names = []
    for item in [*(part.strip() for part in arguments.split(",")), "condition := TRUE"]:
        argument, _, default = (part.strip() for part in item.partition(":="))
        names.append(argument)
        if default:
            defaults[argument] = "" if default == "''" else default
    text = "\n".join(line.strip() for line in query.strip().splitlines())
    return (
        AuditDefinition(name=name, query=text, arguments=tuple(names), defaults=defaults),
        AuditDefinition(
            name=name + NON_BLOCKING, query=text, arguments=tuple(names), defaults=defaults, blocking=False
        ),
    )


def _rows(complaint: str) -> str:
    """Every row for which `complaint` is true."""
    return f"SELECT * FROM @this_model WHERE (@condition) AND ({complaint})"


def _aggregate(value: str, complaint: str) -> str:
    """One row with the aggregate `value` when `complaint`, a condition on `measured`, is true for it."""
    return f"""
        SELECT measured FROM (SELECT {value} AS measured FROM @this_model WHERE (@condition)) AS aggregated
        WHERE {complaint}
    """


def _outside(value: str) -> str:
    """Whether `value` is outside `min_v` … `max_v`; a bound that was not given is NULL and decides nothing."""
    below = f"@IF(@inclusive, {value} < (@min_v), {value} <= (@min_v))"
    above = f"@IF(@inclusive, {value} > (@max_v), {value} >= (@max_v))"
    return f"{below} OR {above}"


_FOUND = "<isomesh found this>"


def _matches(value: str, pattern: str) -> str:
    """Whether the regular expression is found in `value`, as a full or partial match.

    Engines differ in the name and the meaning of their predicates, not in REGEXP_REPLACE: when replacing what was found
    by something that no data holds changes the text, there was a match, be it of an empty string.
    """
    return f"REGEXP_REPLACE(CAST({value} AS VARCHAR), {pattern}, '{_FOUND}') <> CAST({value} AS VARCHAR)"


_UUID = "'^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'"
_EMAIL = "'^[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+([.][A-Za-z0-9-]+)+$'"
_URL = "'^(https?|ftp)://[^[:space:]/$.?#][^[:space:]]*$'"
_HTTP_METHODS = "'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'"

BUILT_IN: Mapping[str, AuditDefinition] = {
    definition.name: definition
    for twins in (
        _built_in("not_null", "columns", _rows("@OR(@EACH(@columns, c -> (c) IS NULL))")),
        _built_in(
            "unique_values",
            "columns",
            """
            SELECT * FROM (
            SELECT *, GREATEST(1, @EACH(@columns, c -> COUNT(*) OVER (PARTITION BY c))) AS isomesh_copies
            FROM @this_model WHERE (@condition)
            ) AS counted
            WHERE isomesh_copies > 1
            """,
        ),
        _built_in(
            "unique_combination_of_columns",
            "columns",
            """
            SELECT @EACH(@columns, c -> c), COUNT(*) AS isomesh_copies
            FROM @this_model WHERE (@condition)
            GROUP BY @EACH(@columns, c -> c)
            HAVING COUNT(*) > 1
            """,
        ),
        # a table without rows has nothing to complain about
        _built_in("at_least_one", "column", _aggregate("COUNT(*) > 0 AND COUNT(@column) = 0", "measured")),
        _built_in("not_constant", "column", _aggregate("COUNT(DISTINCT @column)", "measured < 2")),
        _built_in("not_empty_string", "column", _rows("(@column) = ''")),
        _built_in(
            "not_null_proportion",
            "column, threshold",
            _aggregate("COUNT(@column) * 1.0 / NULLIF(COUNT(*), 0)", "measured < (@threshold)"),
        ),
        _built_in("accepted_values", "column, is_in", _rows("(@column) NOT IN (@EACH(@is_in, v -> v))")),
        _built_in("not_accepted_values", "column, is_in", _rows("(@column) IN (@EACH(@is_in, v -> v))")),
        _built_in("number_of_rows", "threshold", _aggregate("COUNT(*)", "measured <= (@threshold)")),
        _built_in("forall", "criteria", _rows("@OR(@EACH(@criteria, c -> NOT (c)))")),
        _built_in(
            "accepted_range", "column, min_v := NULL, max_v := NULL, inclusive := TRUE", _rows(_outside("(@column)"))
        ),
        _built_in(
            "sequential_values",
            "column, interval := 1",
            """
            SELECT * FROM (
            SELECT @column AS found, LAG(@column) OVER (ORDER BY @column) + (@interval) AS expected
            FROM @this_model WHERE (@condition)
            ) AS steps
            WHERE found <> expected
            """,
        ),
        # a range that ends before it begins overlaps with nothing, and is wrong all the same
        _built_in(
            "mutually_exclusive_ranges",
            "lower_bound_column, upper_bound_column, partition_clause := ''",
            """
            SELECT * FROM (
            SELECT @lower_bound_column AS lower_bound, @upper_bound_column AS upper_bound,
            LEAD(@lower_bound_column) OVER (
            @partition_clause ORDER BY @lower_bound_column, @upper_bound_column
            ) AS next_lower_bound
            FROM @this_model WHERE (@condition)
            ) AS ranges
            WHERE lower_bound > upper_bound OR next_lower_bound < upper_bound
            """,
        ),
        _built_in(
            "match_regex_pattern_list",
            "column, patterns",
            _rows(f"NOT (@OR(@EACH(@patterns, p -> {_matches('@column', 'p')})))"),
        ),
        _built_in(
            "not_match_regex_pattern_list",
            "column, patterns",
            _rows(f"@OR(@EACH(@patterns, p -> {_matches('@column', 'p')}))"),
        ),
        _built_in(
            "match_like_pattern_list", "column, patterns", _rows("NOT (@OR(@EACH(@patterns, p -> (@column) LIKE p)))")
        ),
        _built_in(
            "not_match_like_pattern_list", "column, patterns", _rows("@OR(@EACH(@patterns, p -> (@column) LIKE p))")
        ),
        _built_in("valid_uuid", "column", _rows(f"NOT ({_matches('@column', _UUID)})")),
        _built_in("valid_email", "column", _rows(f"NOT ({_matches('@column', _EMAIL)})")),
        _built_in("valid_url", "column", _rows(f"NOT ({_matches('@column', _URL)})")),
        _built_in("valid_http_method", "column", _rows(f"(@column) NOT IN ({_HTTP_METHODS})")),
        _built_in("string_length_equal", "column, v", _rows("LENGTH(@column) <> (@v)")),
        _built_in(
            "string_length_between",
            "column, min_v := NULL, max_v := NULL, inclusive := TRUE",
            _rows(_outside("LENGTH(@column)")),
        ),
        _built_in(
            "z_score",
            "column, threshold",
            """
            SELECT * FROM (
            SELECT *,
            ABS(((@column) - AVG(@column) OVER ()) / NULLIF(STDDEV_SAMP(@column) OVER (), 0)) AS isomesh_z_score
            FROM @this_model WHERE (@condition)
            ) AS scored
            WHERE isomesh_z_score > (@threshold)
            """,
        ),
        _built_in(
            "mean_in_range",
            "column, min_v := NULL, max_v := NULL, inclusive := TRUE",
            _aggregate("AVG(@column)", _outside("measured")),
        ),
        _built_in(
            "stddev_in_range",
            "column, min_v := NULL, max_v := NULL, inclusive := TRUE",
            _aggregate("STDDEV_SAMP(@column)", _outside("measured")),
        ),
        # symmetrised: sum of (p - q) * ln(p / q); a value that only one column has makes it infinite
        _built_in(
            "kl_divergence",
            "source_column, target_column, threshold",
            """
            WITH observed AS (
            SELECT @source_column AS source_value, @target_column AS target_value FROM @this_model WHERE (@condition)
            ), shares AS (
            SELECT value,
            SUM(in_source) * 1.0 / SUM(SUM(in_source)) OVER () AS p,
            SUM(in_target) * 1.0 / SUM(SUM(in_target)) OVER () AS q
            FROM (
            SELECT source_value AS value, 1 AS in_source, 0 AS in_target FROM observed WHERE source_value IS NOT NULL
            UNION ALL
            SELECT target_value AS value, 0 AS in_source, 1 AS in_target FROM observed WHERE target_value IS NOT NULL
            ) AS counted
            GROUP BY value
            ), divergence AS (
            SELECT SUM(CASE WHEN p > 0 AND q > 0 THEN (p - q) * LN(p / q) END) AS measured,
            SUM(CASE WHEN p > 0 AND q > 0 THEN 0 ELSE 1 END) AS one_sided
            FROM shares
            )
            SELECT measured, one_sided FROM divergence WHERE one_sided > 0 OR measured > (@threshold)
            """,
        ),
        _built_in(
            "chi_square",
            "column_a, column_b, critical_value, dependent := TRUE",
            """
            WITH observed AS (
            SELECT @column_a AS a, @column_b AS b FROM @this_model
            WHERE (@condition) AND (@column_a) IS NOT NULL AND (@column_b) IS NOT NULL
            ), margin_a AS (
            SELECT a, COUNT(*) * 1.0 AS n FROM observed GROUP BY a
            ), margin_b AS (
            SELECT b, COUNT(*) * 1.0 AS n FROM observed GROUP BY b
            ), cells AS (
            SELECT a, b, COUNT(*) * 1.0 AS n FROM observed GROUP BY a, b
            ), expected AS (
            SELECT COALESCE(cells.n, 0) AS found,
            margin_a.n * margin_b.n / (SELECT COUNT(*) FROM observed) AS likely
            FROM margin_a CROSS JOIN margin_b
            LEFT JOIN cells ON cells.a = margin_a.a AND cells.b = margin_b.b
            ), statistic AS (
            SELECT SUM((found - likely) * (found - likely) / likely) AS measured FROM expected
            )
            SELECT measured FROM statistic
            WHERE @IF(@dependent, measured > (@critical_value), measured <= (@critical_value))
            """,
        ),
    )
    for definition in twins
}
