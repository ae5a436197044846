"""Expansion: what is left alone, what is read, where a result fits, and errors at their exact place."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isomesh_dagster.errors import MacroError, ModelError
from isomesh_dagster.macros.expander import Expander
from isomesh_dagster.macros.values import Fragment, Variable
from isomesh_dagster.macros.variables import RANGE_VARIABLES, time_variables

VARIABLES: dict[str, Variable] = {
    "Gateway": "production",
    "x": "str",
    "n": -3,
    "ten": 10,
    "ratio": 0.5,
    "flag": True,
    "nothing": None,
    "cols": ["a", "b"],
    "one": ["z"],
    "empty": [],
    "nested": {"k": 1},
    "tbl": "my_tbl",
    "spaced": "my schema",
    "limit": 5,
    "dotted": Fragment("t.c"),
    "criteria": Fragment("(a > @n, b < 3)"),
    "either": Fragment("a > 0 OR b"),
    "loop": Fragment("@loop2 + 1"),
    "loop2": Fragment("@loop"),
}


def make(dialect: str = "duckdb", **options: object) -> Expander:
    times = time_variables(dialect, start=0, end=1, execution=0)
    known = {name: value for name, value in times.items() if name not in RANGE_VARIABLES}
    return Expander(dialect, {**VARIABLES, **known}, path="m.sql", **options)  # type: ignore[arg-type]


def expand(text: str, dialect: str = "duckdb") -> str:
    return make(dialect).expand(text)


# --- laws


@given(st.text(alphabet=st.characters(blacklist_characters="@")))
def test_text_without_the_sign_comes_back_as_it_is(text: str) -> None:
    expander = make()
    assert expander.expand(text) == text
    assert expander.expand_name(text) == text
    assert expander.expand_statement(text) == [text]
    assert not expander.used_variables
    assert not expander.used_macros


PIECES = ["SELECT ", "a", ", ", "'it''s @x' ", "@x ", "@cols ", "@{tbl}", "_b ", "@n", " + ", "@IF(@flag, 1, 2)", "\n"]


@given(st.lists(st.sampled_from(PIECES)))
@example(["@IF(@flag, 1, 2)", "@IF(@flag, 1, 2)"])
def test_expansion_is_done_once_and_for_all(pieces: list[str]) -> None:
    text = "SELECT " + "".join(pieces)
    try:
        once = expand(text)
    except ModelError:
        return
    if "@" not in once.replace("@x' ", ""):
        assert expand(once).strip() == once.strip()


@given(st.lists(st.sampled_from(["x", "n", "cols", "tbl", "flag", "gateway"])))
def test_used_variables_are_exactly_those_read(names: list[str]) -> None:
    expander = make()
    expander.expand("SELECT 'x @limit', @ten" + "".join(f", @{name.upper()} AS {name}" for name in names))
    assert expander.used_variables == {"ten", *names}


# --- what was read


@pytest.mark.parametrize(
    ("text", "variables", "macros"),
    [
        ("SELECT @VAR('x'), @VAR('Nope', @n)", {"x", "nope", "n"}, {"var"}),
        ("SELECT @IF(@gateway = 'dev', @x, @n)", {"gateway", "x", "n"}, {"if"}),
        ("SELECT @EACH(@cols, c -> @c || @x)", {"cols", "x"}, {"each"}),
        ("SELECT @EACH(@empty, c -> @c || @x), 1", {"empty", "x"}, {"each"}),
        ("SELECT a FROM t @WHERE(FALSE) b = @x AND @'@{tbl}' = c AND '@n' = d", {"x", "tbl"}, {"where"}),
        ("@DEF(y, @n); SELECT @y, @x", {"n", "x"}, {"def"}),
        ("@DEF(f, v -> v + @n); SELECT @f(1)", {"n"}, {"def"}),
        ("SELECT @'@{x} and @unknown', \"@{tbl}\", t_@n", {"x", "unknown", "tbl", "n"}, set()),
        ("SELECT @IF(TRUE, 1, @EACH(@cols, (p, q) -> @p || q_@q || @VAR('v')))", {"cols", "v"}, {"if", "each", "var"}),
        ("SELECT @IF(TRUE, 1, @start_ds)", {"start_ds"}, {"if"}),
        ("SELECT @criteria", {"criteria", "n"}, set()),
    ],
)
def test_reads(text: str, variables: set[str], macros: set[str]) -> None:
    expander = make()
    expander.expand(text)
    assert expander.used_variables == variables
    assert expander.used_macros == macros


# --- the sign in other meanings


@pytest.mark.parametrize(
    ("dialect", "text"),
    [
        ("duckdb", "SELECT @ -5, @(a), a @> b, '@x', $$ @x $$, \"c\" -- @x\n/* @x */"),
        ("duckdb", "SELECT @@x, 'me@example.com'"),
        ("postgres", "SELECT a <@ b, a<@b, @@ c, d @@ e, f @? g"),
        ("mysql", "SELECT @@session.sql_mode"),
        ("bigquery", 'SELECT "@x"'),
        ("snowflake", "SELECT $1 FROM @stage/path (FILE_FORMAT => f)"),
    ],
)
def test_other_uses_of_the_sign_are_left_alone(dialect: str, text: str) -> None:
    assert expand(text, dialect) == text.strip()


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "redshift", "bigquery"])
def test_a_comparison_touching_a_macro_means_what_it_says(dialect: str) -> None:
    assert expand("SELECT a<@n, a<@IF(TRUE, 1, 2), a >@ten", dialect) == "SELECT a<(-3), a<1, a >10"


# --- how values are written


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT @ratio, @flag, @nothing, @NOTHING IS NULL", "SELECT 0.5, TRUE, NULL, NULL IS NULL"),
        ("SELECT x IN @one, y IN @cols", "SELECT x IN ('z'), y IN ('a', 'b')"),
        ("SELECT @dotted AS @dotted, @{dotted}_x", "SELECT t.c AS c, c_x"),
        (
            "SELECT 1 FROM @spaced.@tbl, @{spaced}.t, s.@tbl",
            'SELECT 1 FROM "my schema".my_tbl, "my schema".t, s.my_tbl',
        ),
        ("SELECT TRY_CAST(a AS @x), b AS @x", 'SELECT TRY_CAST(a AS str), b AS "str"'),
        (
            "SELECT EXTRACT(day FROM @execution_ds), a IS DISTINCT FROM @x FROM @tbl JOIN @tbl USING (b)",
            "SELECT EXTRACT(day FROM '1970-01-01'), a IS DISTINCT FROM 'str' FROM \"my_tbl\" JOIN \"my_tbl\" USING (b)",
        ),
        ("SELECT 1 FROM (SELECT 2 FROM @tbl)", 'SELECT 1 FROM (SELECT 2 FROM "my_tbl")'),
        ("SELECT a LIMIT @limit", "SELECT a LIMIT 5"),
        ("SELECT a @LIMIT(@flag) @limit", "SELECT a LIMIT 5"),
        ("CALL f(@x); VACUUM t_@{x}", "CALL f('str'); VACUUM t_str"),
        ("SELECT @SQL('a > @n'), @SQL('@{tbl}.c')", "SELECT a > -3, my_tbl.c"),
        ("SELECT @EVAL(@x = 'str'), @EVAL(7 / 2), @EVAL(-1), @EVAL('a' || 'b')", "SELECT TRUE, 3.5, (-1), 'ab'"),
        ("SELECT IN@cols", "SELECT IN('a', 'b')"),
    ],
)
def test_values_fit_their_place(text: str, expected: str) -> None:
    assert expand(text) == expected


# --- functions


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "SELECT @EACH(['a'], c -> t.c + c + c(1) + \"c\" + f(c := 1))",
            "SELECT t.c + 'a' + c(1) + 'a' + f(c := 1)",
        ),
        (
            "SELECT @EACH([a, b], c -> @EACH([1, 2], d -> c_@d + @{c}_@{d} + c * d))",
            "SELECT c_1 + a_1 + a * 1, c_2 + a_2 + a * 2, c_1 + b_1 + b * 1, c_2 + b_2 + b * 2",
        ),
        ("SELECT @EACH([a, b], c -> @EACH([1, 2], c -> c))", "SELECT 1, 2, 1, 2"),
        ("SELECT @EACH(a, b, c -> c + 1)", "SELECT a + 1, b + 1"),
        ("SELECT @EACH(@FILTER([(1, 2), (3, 4)], (a, b) -> a > 1), (a, b) -> b)", "SELECT 4"),
        ("SELECT @EACH(@cols, c -> @'p_@{c}' AS \"q_@{c}\")", "SELECT 'p_a' AS \"q_a\", 'p_b' AS \"q_b\""),
        ("SELECT 1 WHERE @AND(@EACH(@criteria, c -> c))", "SELECT 1 WHERE a > (-3) AND b < 3"),
        ("SELECT 1 WHERE @OR(@EACH(@cols, c -> @{c} IS NULL))", "SELECT 1 WHERE a IS NULL OR b IS NULL"),
        ("@DEF(f, (x, y) -> x * @y); @DEF(z, @f(1, 2)); SELECT @z, @f(a, b)", "SELECT 1 * 2, a * b"),
        ("@DEF(x, 1); SELECT @x", "SELECT 1"),
        ("@DEF(e, @EACH([1, 2], v -> v)); SELECT a IN @e", "SELECT a IN (1, 2)"),
        ("SELECT @EACH(@IF(@flag, [1, 2], [3]), v -> v)", "SELECT 1, 2"),
    ],
)
def test_functions(text: str, expected: str) -> None:
    assert expand(text) == expected


def test_definitions_last_as_long_as_the_expander() -> None:
    expander = make()
    assert expander.expand("@DEF(y, 1)") == ""
    assert expander.expand_statement("@DEF(g, v -> v + @y)") == []
    assert expander.expand("SELECT @g(@y)") == "SELECT 1 + 1"
    assert expander.expand_statement("@EACH([a, b], t -> DROP TABLE @t)") == ["DROP TABLE a", "DROP TABLE b"]


def test_names_take_string_values_as_names() -> None:
    assert make().expand_name("@IF(@gateway = 'production', 'prod_s', 'dev_s').@tbl") == "prod_s.my_tbl"
    assert make().expand_name("@{gateway}_schema.m") == "production_schema.m"
    assert make().expand_name("@tbl") == "my_tbl"
    assert make().expand_name('@spaced."T"') == '"my schema"."T"'


# --- nothing


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT @IF(FALSE, a), @IF(FALSE, b), c, @IF(FALSE, d) FROM t", "SELECT c FROM t"),
        ("SELECT a -- note\n , @IF(FALSE, b)\nFROM t", "SELECT a -- note\n \nFROM t"),
        ("SELECT f(@IF(FALSE, a)), g(x, @IF(FALSE, b)), h(@IF(FALSE, c), y)", "SELECT f(), g(x), h(y)"),
        ("SELECT a FROM t GROUP BY a, @IF(FALSE, b) HAVING c", "SELECT a FROM t GROUP BY a HAVING c"),
        ("SELECT a FROM t @IF(FALSE, WHERE a)", "SELECT a FROM t"),
        ("SELECT 1 WHERE @AND(@IF(FALSE, x), @IF(TRUE, y), @either)", "SELECT 1 WHERE y AND (a > 0 OR b)"),
        ("SELECT 1 WHERE @AND(@IF(FALSE, x))", "SELECT 1 WHERE TRUE"),
        ("@IF(FALSE, DROP TABLE t); SELECT 1; @IF(FALSE, DROP TABLE t)", "SELECT 1;"),
        ("@IF(FALSE, SELECT 1)", ""),
        ("@IF(FALSE, INSERT INTO t SELECT a, b)", ""),
        ("@IF(FALSE, INSERT INTO t SELECT a, b, UPDATE t SET c = 1, d = 2)", "UPDATE t SET c = 1, d = 2"),
        ("SELECT @IF(FALSE, comment AS c, update)", "SELECT update"),
        ("SELECT @EACH(@empty, c -> c), 1", "SELECT 1"),
    ],
)
def test_nothing_takes_its_comma_with_it(text: str, expected: str) -> None:
    assert expand(text) == expected


def test_a_connective_beside_another_keeps_its_meaning() -> None:
    assert expand("SELECT q AND @OR(a, b) AND NOT @AND(c, d)") == "SELECT q AND (a OR b) AND NOT (c AND d)"


CLAUSES = [
    (
        "SELECT a FROM b @JOIN(FALSE) c USING (d) @JOIN(TRUE) e ON LEFT(b.x, 1) = e.y LEFT @JOIN(FALSE) f ON g WHERE z",
        "SELECT a FROM b JOIN e ON LEFT(b.x, 1) = e.y WHERE z",
    ),
    (
        "SELECT a FROM t @WHERE(FALSE) x > (SELECT 1 FROM u WHERE b) UNION ALL SELECT 2",
        "SELECT a FROM t UNION ALL SELECT 2",
    ),
    ("SELECT a FROM (SELECT a FROM t @WHERE(FALSE) b) q", "SELECT a FROM (SELECT a FROM t ) q"),
    ("@WITH(FALSE) a AS (SELECT 1), b(c) AS MATERIALIZED (SELECT 2) SELECT 3", "SELECT 3"),
    ("SELECT a FROM t @where(@flag) b @order_by(FALSE) c, d @limit(FALSE) 3", "SELECT a FROM t WHERE b"),
    ("@IF(@flag, SELECT a FROM t @WHERE(FALSE) b)", "SELECT a FROM t"),
    ("@IF(@flag, INSERT INTO t SELECT a, @n)", "INSERT INTO t SELECT a, (-3)"),
]


@pytest.mark.parametrize(("text", "expected"), CLAUSES)
def test_clauses(text: str, expected: str) -> None:
    assert expand(text) == expected


# --- errors

ERRORS = [
    ("SELECT 1,\n  @gatway", 2, 3, "variable @gatway is not defined", "did you mean @gateway?"),
    ("SELECT @zzzzzz", 1, 8, "variable @zzzzzz is not defined", "define it under `variables`"),
    ("SELECT @stat_ds", 1, 8, "variable @stat_ds is not defined", "did you mean @start_ds?"),
    (
        "SELECT @end_ts",
        1,
        8,
        "the query of kind FULL or VIEW has no range, so there is no @end_ts",
        "use @execution_ts",
    ),
    ("SELECT @{gatway}_x", 1, 8, "variable @gatway is not defined", "did you mean @gateway?"),
    ("SELECT a_@gatway", 1, 10, "variable @gatway is not defined", "did you mean @gateway?"),
    ("SELECT @IF(FALSE,\n @gatway, 1)", 2, 2, "variable @gatway is not defined", "did you mean @gateway?"),
    ("SELECT @EACH(@empty,\n c -> @gatway)", 2, 7, "variable @gatway is not defined", "did you mean @gateway?"),
    ("SELECT a @WHERE(FALSE) @gatway", 1, 24, "variable @gatway is not defined", "did you mean @gateway?"),
    ("SELECT @IF + 1", 1, 8, "@IF is a macro and needs its arguments", "write `@IF(…)`"),
    ("\n\n SELECT @EECH([1], x -> x)", 3, 9, "there is no macro @EECH", "did you mean @EACH?"),
    ("SELECT @IF(@nope(1), 2)", 1, 12, "there is no macro @nope", "@DEF"),
    ("SELECT @IF(a", 1, 8, "@IF( is not closed", "add `)`"),
    ("SELECT @IF(1)", 1, 8, "@IF takes 2 to 3 arguments, got 1", ""),
    ("SELECT @EVAL(1, 2)", 1, 8, "@EVAL takes 1 arguments, got 2", ""),
    ("SELECT @IF(TRUE, , 2)", 1, 8, "@IF has an empty argument", "remove a comma"),
    ("SELECT @EACH([1], 2)", 1, 8, "the last argument of @EACH must be a function", "write `x -> …`"),
    ("SELECT @REDUCE([1], x -> x)", 1, 8, "the last argument of @REDUCE must be a function", "(x, y) -> …"),
    ("SELECT @REDUCE(@empty, (a, b) -> a)", 1, 8, "@REDUCE has no items", "@IF"),
    ("SELECT @PIVOT(a, [1], agggg := 'MAX')", 1, 8, "@PIVOT has no argument `agggg`", "did you mean `agg :=`?"),
    ("SELECT @DATE_SPINE('dy', a, b)", 1, 8, "@DATE_SPINE knows no 'dy'", "day, week"),
    ("SELECT @GENERATE_SURROGATE_KEY(a b c)", 1, 8, "@GENERATE_SURROGATE_KEY cannot read `a b c`", ""),
    ("SELECT @DATE_SPINE('day', AS, b)", 1, 8, "@DATE_SPINE cannot read `AS`", "expected one expression"),
    ("SELECT @IF(a + f(1), 1, 2)", 1, 8, "cannot compute `a + f(1)` while rendering", "columns are known only"),
    ("SELECT @IF(@n > 'a', 1, 2)", 1, 8, "cannot compute `(-3) > 'a'` while rendering", ""),
    ("SELECT a @WHERE() b", 1, 10, "@WHERE needs a condition", "write `@WHERE(…) …`"),
    ("SELECT @{x + 1}", 1, 8, "`@{…}` takes the name of one variable", "write `@{name}`"),
    ("SELECT t_@{cols}", 1, 10, "a list or mapping cannot be part of a name", "@EACH"),
    ("SELECT @nested", 1, 8, "a mapping cannot be written as SQL", "a list"),
    ("SELECT @loop", 1, 8, "variable @loop is defined by itself", "loop → loop2 → loop"),
    ("@DEF(r, v -> @r(v));\nSELECT @r(1)", 1, 14, "a function calls itself without end", ""),
    ("@DEF(f, (x, y) -> x); SELECT @f(1)", 1, 30, "@f's function takes 2 values, got 1", ""),
    ("@DEF(f, x -> x); SELECT @f(x := 1)", 1, 25, "@f has no argument `x`", "none by name"),
    ("SELECT @DEF(y, 1), 2", 1, 8, "@DEF gives nothing", "must be a statement of its own"),
    ("SELECT @IF(FALSE, a) AS v", 1, 8, "@IF gives nothing", "take the alias into the macro"),
    ("SELECT @IF(FALSE, a) FROM t", 1, 8, "@IF gives nothing", "give a value for the other case"),
    ("SELECT 1 WHERE @IF(FALSE, a)", 1, 16, "@IF gives nothing", "write `@AND(…)`"),
    ("SELECT 1 WHERE a OR @IF(FALSE, a)", 1, 21, "@IF gives nothing", "write `@AND(…)`"),
    ("SELECT b + @IF(FALSE, a), c", 1, 12, "@IF gives nothing", "give a value"),
    ("SELECT a, @IF(FALSE, a)::INT", 1, 11, "@IF gives nothing", "give a value"),
    ("SELECT a IN (@EACH(@empty, x -> x))", 1, 14, "@EACH gives nothing", "give a value"),
    ("SELECT 1 WHERE @OR(NULL)", 1, 16, "@OR has no operands left", "FALSE"),
]


def test_a_version_of_a_table_is_told_how_to_be_written() -> None:
    with pytest.raises(MacroError, match="`@v3` names no version of a table") as caught:
        expand("SELECT a FROM raw.x@v3", "databricks")
    assert caught.value.hint == "write `VERSION AS OF 3` behind it"
    assert expand("SELECT a FROM raw.x VERSION AS OF 3", "databricks") == "SELECT a FROM raw.x VERSION AS OF 3"


@pytest.mark.parametrize(("text", "line", "column", "message", "hint"), ERRORS, ids=[case[0][:40] for case in ERRORS])
def test_errors_tell_the_place_and_the_mend(text: str, line: int, column: int, message: str, hint: str) -> None:
    with pytest.raises(MacroError) as caught:
        expand(text)
    error = caught.value
    assert (error.path, error.line, error.column) == ("m.sql", line, column)
    assert error.message.startswith(message)
    assert hint in (error.hint or "")


def test_lines_are_those_of_the_file() -> None:
    with pytest.raises(MacroError) as caught:
        make(line=10).expand("SELECT\n @nope")
    assert caught.value.line == 11
    with pytest.raises(MacroError) as caught:
        make().expand("SELECT\n @nope", line=20)
    assert caught.value.line == 21
    with pytest.raises(MacroError) as caught:
        make(line=None).expand("SELECT\n @nope")
    assert (caught.value.line, caught.value.column) == (None, None)


def test_what_decides_by_the_moment_hides_what_it_reads() -> None:
    def hidden(text: str) -> set[str]:
        expander = Expander("duckdb", {"x": 1, "y": 2, **time_variables("duckdb", start=0, end=9, execution=0)})
        for statement in text.split(";"):
            expander.expand_statement(statement)
        return expander.scope.hidden

    assert hidden("SELECT @x, @IF(@y > 1, @x, 0), @start_ds") == set()
    assert hidden("SELECT @IF(@start_ds > '2000-01-01', @x, 0), @y") == {"x"}
    assert hidden("SELECT a FROM t @WHERE(@start_ds > '2000-01-01') b = @y") == {"y"}
    assert hidden("@DEF(late, @start_ds > '2000-01-01'); SELECT @IF(@late, @x, @y)") == {"x", "y"}
    assert hidden("@DEF(late, d -> @start_ds > d); SELECT @IF(@late('2000-01-01'), @x, 1)") == {"x"}
    assert hidden("SELECT @EACH([@start_ds], d -> @IF(d > '2000-01-01', @x, 1))") == {"x"}


# --- the generated SQL does what the macros promise


def run(text: str) -> list[tuple[object, ...]]:
    with duckdb.connect() as connection:
        return connection.execute(expand(text)).fetchall()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("SELECT @SAFE_ADD(1, NULL, 2), @SAFE_ADD(NULL, NULL), @SAFE_SUB(5, NULL, 2)", [(3, None, 3)]),
        ("SELECT @SAFE_DIV(6, 0), @SAFE_DIV(1 + 5, 2)", [(None, 3.0)]),
        ("SELECT @GENERATE_SURROGATE_KEY(1, NULL) = md5('1|_sqlmesh_surrogate_key_null_')", [(True,)]),
        (
            "SELECT round(@HAVERSINE_DISTANCE(52.5, 13.4, 48.9, 2.35)), round(@HAVERSINE_DISTANCE(0, 0, 0, 1, 'km'))",
            None,
        ),
        (
            "SELECT @PIVOT(s, ['a', 'b']), @PIVOT(s, ['a'], agg := 'COUNT', then_value := v, else_value := NULL,"
            " distinct := TRUE, prefix := 'n_') FROM (VALUES ('a', 1), ('a', 1), ('c', 2)) t(s, v)",
            [(2, 0, 1)],
        ),
        (
            "SELECT * FROM @DEDUPLICATE((SELECT * FROM (VALUES (1, 1), (1, 2), (2, 3)) t(id, ts)), [id], ['ts desc'])"
            " ORDER BY ALL",
            [(1, 2), (2, 3)],
        ),
        (
            "SELECT count(*), strftime(max(date_day), '%m-%d') FROM @DATE_SPINE('day', '2024-02-28', '2024-03-01')",
            [(3, "03-01")],
        ),
        ("SELECT count(*) FROM @DATE_SPINE('quarter', '2024-01-01', '2024-12-31')", [(4,)]),
    ],
)
def test_generated_sql_runs(text: str, rows: list[tuple[object, ...]] | None) -> None:
    result = run(text)
    if rows is None:
        assert result == [(543.0, 111.0)]
    else:
        assert result == rows


# --- any text at all

SOUP = (
    "@ @x @cols @empty @criteria @{x @{tbl} }_a a_@n @IF( @EACH( @AND( @OR( @DEF(y, @DEF(f, v -> @y @f( @WHERE( @JOIN( "
    "@WITH( @LIMIT( @REDUCE( @FILTER( @EVAL( @SQL( @VAR( @PIVOT( @DEDUPLICATE( @DATE_SPINE( @STAR( @'@x' '@x' \"@{x}\" "
    "( ) [ ] { } , , ; -> := . + - < <@n <@ @> :: AS AND OR NOT IN TRUE FALSE NULL 1 'b' SELECT FROM t WHERE CASE WHEN "
    "END INTERVAL CAST( GROUP BY ARRAY[ CALL (p, q) -> c -> p q c -- /*"
)


@settings(max_examples=400)
@given(
    st.lists(st.sampled_from([*SOUP.split(), "\n"]), max_size=25),
    st.sampled_from(["duckdb", "bigquery", "tsql"]),
    st.booleans(),
)
def test_whatever_is_written_gives_sql_or_a_told_error(pieces: list[str], dialect: str, spaced: bool) -> None:
    try:
        make(dialect).expand((" " if spaced else "").join(pieces))
    except ModelError as error:
        told = error
    else:
        return
    assert told.message
    assert told.path == "m.sql"


@pytest.mark.parametrize(
    ("written", "expanded"),
    [
        ("SELECT @SAFE_DIV(a, b)::INT", "SELECT (a / NULLIF(b, 0))::INT"),
        ("SELECT @f(a)::INT, @f(a)", "SELECT (a + 1)::INT, a + 1"),
        ("SELECT @z::INT, @ten::TEXT, @x::DATE", "SELECT (a + 1)::INT, 10::TEXT, 'str'::DATE"),
        ("SELECT @cast_of(a - 1)", "SELECT (a - 1)::INT"),
    ],
)
def test_a_cast_takes_all_that_a_macro_gives(written: str, expanded: str) -> None:
    """As in the anchor, whose casts hold their operand; only its last word would be cast otherwise."""
    expander = make()
    for definition in ("@DEF(f, v -> v + 1)", "@DEF(z, a + 1)", "@DEF(cast_of, v -> v::INT)"):
        expander.expand_statement(definition)
    assert expander.expand(written) == expanded
