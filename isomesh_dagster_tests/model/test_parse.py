"""Model files as values: names, macros, statements, kinds, dependencies; and what is refused, with its line."""

from __future__ import annotations

from typing import Any

import pytest

from isomesh_dagster.errors import ConfigError, IsomeshError, ModelError, UnsupportedError
from isomesh_dagster.model.audit_blocks import parse_audits
from isomesh_dagster.model.audits import AuditDefinition
from isomesh_dagster.model.context import ParseContext
from isomesh_dagster.model.kinds import Embedded, External, Full, IncrementalByTimeRange, Seed, View
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.parse import ParsedFile, parse_model
from isomesh_dagster.model.seeds import seed_hash
from isomesh_dagster.relation import Column

SEEDS = {"seeds/a.csv": b"id,name\n1,x\n", "models/b.csv": b"id\n1\n"}
SHARED = {
    "shared": AuditDefinition(
        name="shared", query="SELECT * FROM @this_model WHERE x > @limit", defaults={"limit": "1"}
    )
}


def read_seed(path: str) -> bytes:
    if path not in SEEDS:
        raise FileNotFoundError(path)
    return SEEDS[path]


def context(**changes: Any) -> ParseContext:
    settings: dict[str, Any] = {
        "gateway": "dev",
        "gateways": ("dev", "production"),
        "dialect": "duckdb",
        "default_catalog": "warehouse",
        "physical_schema": lambda schema: f"isomesh__{schema}",
        "audits": SHARED,
        "read_seed": read_seed,
        **changes,
    }
    return ParseContext(**settings)


def parsed(text: str, **changes: Any) -> ParsedFile:
    return parse_model(text, "models/m.sql", context(**changes))


def model(text: str, **changes: Any) -> Model:
    (found,) = parsed(text, **changes).models

    return found


def of(header: str, query: str = "SELECT 1 AS a", **changes: Any) -> Model:
    return model(f"MODEL (name a.b{', ' if header else ''}{header});\n{query}", **changes)


# --- names and macros


def test_a_model_without_more_than_a_name_is_a_daily_view() -> None:
    found = model("MODEL (name Shop.Orders);\nSELECT id FROM raw.orders")
    assert (found.name, found.kind, found.cron, found.interval_unit) == ("shop.orders", View(), "@daily", "day")
    assert (found.path, found.line, found.dialect) == ("models/m.sql", 1, "duckdb")
    assert found.query == found.rendered == "SELECT id FROM raw.orders"
    assert found.depends_on == ("raw.orders",)
    assert found.physical_schema == "isomesh__shop"
    assert dict(found.variables) == {"gateway": "dev"}
    assert not found.is_dynamic
    assert not found.has_star


@pytest.mark.parametrize("gateway", ["production", "dev"])
def test_a_model_of_another_gateway_is_refused_where_it_says_so(gateway: str) -> None:
    assert of(f"gateway {gateway.upper()}", gateway=gateway).name == "a.b"
    other = "dev" if gateway == "production" else "production"
    with pytest.raises(UnsupportedError, match=f"gateway '{other}', and this is '{gateway}'") as refused:
        of(f"cron @daily,\ngateway {other}", gateway=gateway)
    assert refused.value.line == 2
    mend = f"enabled @IF(@gateway = '{other}', TRUE, FALSE)"
    assert mend in (refused.value.hint or "")
    header = f"MODEL (name a.b, gateway {other}, {mend}); SELECT 1 AS a"
    assert parsed(header, gateway=gateway).models == ()
    assert len(parsed(header, gateway=other).models) == 1
    with pytest.raises(ModelError, match=r"config\.yaml does not have") as unknown:
        of("gateway prodution", gateway=gateway)
    assert unknown.value.hint == "did you mean `production`?"


@pytest.mark.parametrize(("gateway", "name"), [("production", "prod_schema.my_model"), ("dev", "dev_schema.my_model")])
def test_a_macro_chooses_the_schema_by_gateway(gateway: str, name: str) -> None:
    text = "MODEL (name @IF(@gateway = 'production', prod_schema, dev_schema).my_model); SELECT 1 AS a"
    assert model(text, gateway=gateway).name == name


def test_variables_stand_in_names() -> None:
    assert model("MODEL (name @{gateway}_schema.m); SELECT 1 AS a", gateway="eu").name == "eu_schema.m"
    assert model("MODEL (name @{schema}.m); SELECT 1 AS a", variables={"schema": "mart"}).name == "mart.m"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("m", "m"),
        ("warehouse.a.b", "a.b"),
        ("Warehouse.a.b", "a.b"),
        ("other.a.b", "other.a.b"),
        ('"A"."b"', "a.b"),
    ],
)
def test_the_default_catalog_is_left_out(written: str, name: str) -> None:
    assert model(f"MODEL (name {written}); SELECT 1 AS a").name == name


def test_macros_in_properties_are_expanded_at_load_but_not_in_audits_and_maps() -> None:
    found = of(
        "kind @IF(@gateway = 'dev', FULL, VIEW), owner @who, tags (@IF(TRUE, x, y)), cron @daily,"
        " start @VAR('begin', '2020-01-01'), description @IF(FALSE, 'x', NULL), depends_on (@{s}.t),"
        " physical_properties (x = @who), audits (number_of_rows(threshold := @least))",
        variables={"who": "me", "s": "raw", "least": 3, "unused": 1},
    )
    assert found.kind == Full()
    assert (found.owner, found.tags, found.start, found.description) == ("me", ("x",), "2020-01-01", None)
    assert found.depends_on == ("raw.t",)
    assert dict(found.physical_properties) == {"x": "@who"}
    assert found.audits[0].arguments["threshold"] == "@least"
    assert dict(found.variables) == {"gateway": "dev", "least": 3, "s": "raw", "who": "me"}


def test_what_was_read_is_told_also_when_it_is_not_defined() -> None:
    found = parsed(
        "MODEL (name a.b, start @VAR('begin', '2020-01-01'), kind SEED (path '$root/seeds/a.csv'),"
        " audits (shared, not_null(columns := (id))));\n"
        "SET x = @VAR('nothing', 1)",
    )
    assert found.reads.variables == ("begin", "nothing")
    assert found.reads.audits == ("not_null", "shared")
    assert found.reads.seeds == ("seeds/a.csv",)


def test_an_audit_of_the_file_is_no_shared_one() -> None:
    found = parsed("MODEL (name a.b, audits (mine)); SELECT 1 AS a; AUDIT (name mine); SELECT 1 FROM @this_model")
    assert found.reads.audits == ()
    assert len(found.models) == 1
    assert found.models[0].audits[0].query == "SELECT 1 FROM @this_model"


def test_variables_of_audit_queries_are_kept_with_the_model() -> None:
    found = model(
        "MODEL (name a.b, audits (mine(x := @one))); SELECT 1 AS a;"
        " AUDIT (name mine); SELECT 1 FROM @this_model WHERE a > @VAR('two', 2) AND a < @x AND @three",
        variables={"one": 1, "two": 2, "three": True, "x": "hidden by the argument"},
    )
    assert set(found.variables) == {"gateway", "one", "two", "three"}


def test_a_model_that_is_not_enabled_is_none_at_all() -> None:
    found = parsed("MODEL (name a.b, enabled @VAR('on', FALSE)); SELECT 1 AS a, nonsense here")
    assert found.models == ()
    assert found.reads.variables == ("on",)


def test_partial_intervals_allow_a_unit_coarser_than_the_cron() -> None:
    kind = "kind INCREMENTAL_BY_TIME_RANGE (time_column t)"
    text = f"MODEL (name a.b, {kind}, cron '@hourly', interval_unit day, allow_partials true); SELECT 1 AS t"
    found = model(text)
    assert (found.allow_partials, found.interval_unit) == (True, "day")
    with pytest.raises(ModelError, match="coarser than cron"):
        model(text.replace("true", "false"))


def test_a_model_is_called_by_its_path_where_that_is_asked_for() -> None:
    def named(path: str, text: str = "MODEL (kind FULL); SELECT 1 AS a") -> Model:
        (found,) = parse_model(text, f"models/{path}", context(infer_names=True)).models
        return found

    assert named("a/Orders.sql").name == "a.orders"
    assert named("warehouse/a/b.sql").name == "a.b"
    assert named("deep/er/lake/a/b.sql").name == "lake.a.b"
    assert named("a/b.sql", "MODEL (name c.d); SELECT 1 AS a").name == "c.d"
    assert named("a/b.sql", "SELECT 1 AS a").kind == View()
    with pytest.raises(ModelError, match="is not a table name") as caught:
        named("a/b-c.sql")
    assert caught.value.line == 1
    with pytest.raises(ModelError, match=r"no MODEL"):
        named("a/b.sql", "-- nothing")


def test_the_comment_before_the_header_describes_the_model() -> None:
    assert model("/* What it is. */\nMODEL (name a.b); SELECT 1 AS a").description == "What it is."
    assert model("-- what\nMODEL (name a.b, description 'mine'); SELECT 1 AS a").description == "mine"


# --- statements


def test_statements_stand_before_and_after_the_one_query() -> None:
    found = model(
        """MODEL (name a.b);
        @DEF(limit, 3);
        SET x = 1;
        -- the query
        WITH t AS (SELECT 1 AS a) SELECT a FROM t WHERE a < @limit;
        CREATE INDEX i ON @this_model (a);
        ON_VIRTUAL_UPDATE_BEGIN;
        GRANT SELECT ON @this_model TO me;
        ON_VIRTUAL_UPDATE_END;
        """
    )
    assert found.pre_statements == ("@DEF(limit, 3)", "SET x = 1")
    assert found.post_statements == ("CREATE INDEX i ON @this_model (a)",)
    assert found.on_virtual_update == ("GRANT SELECT ON @this_model TO me",)
    assert found.rendered.endswith("WHERE a < 3")
    assert not found.is_dynamic


def test_default_statements_come_first() -> None:
    found = of(
        "",
        "SET a = 1; SELECT 1 AS a; SET b = 1",
        model_defaults={"pre_statements": ["SET x = 1"], "post_statements": ["SET y = 1"]},
    )
    assert found.pre_statements == ("SET x = 1", "SET a = 1")
    assert found.post_statements == ("SET y = 1", "SET b = 1")


@pytest.mark.parametrize(
    ("query", "dynamic"),
    [
        ("SELECT 1 AS a", False),
        ("SELECT @gateway AS a", False),
        ("SELECT @execution_ds AS a", True),
        ("SELECT @IF(@runtime_stage = 'loading', 1, 2) AS a", True),
        ("SELECT 1 AS a FROM @this_model", True),
        ("@DEF(x, @execution_ds); SELECT @x AS a", True),
        ("SET x = @execution_ds; SELECT 1 AS a; SET y = @runtime_stage", False),
    ],
)
def test_only_what_the_query_reads_makes_it_dynamic(query: str, dynamic: bool) -> None:
    if "@this_model" in query:
        header = "kind INCREMENTAL_BY_TIME_RANGE (time_column a)"
        assert of(header, query).is_dynamic is dynamic
    else:
        assert of("", query).is_dynamic is dynamic


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a",
        "(SELECT 1 AS a)",
        "FROM t",
        "/* why */ -- because\n SELECT 1 AS a",
        "SELECT 1 AS a UNION ALL SELECT 2",
        "@WITH(TRUE) t AS (SELECT 1 AS a) SELECT a FROM t",
        "@IF(TRUE, SELECT 1 AS a, SELECT 2 AS a)",
    ],
)
def test_these_are_queries(query: str) -> None:
    assert of("", f"SET x = 1; {query}; SET y = 2").query.lstrip().endswith(query.splitlines()[-1].strip())


def test_references_are_places_in_the_rendered_text() -> None:
    found = of("", "SELECT * FROM @{s}.t AS t JOIN warehouse.raw.u ON TRUE", variables={"s": "stage"})
    assert found.depends_on == ("raw.u", "stage.t")
    assert [found.rendered[ref.start : ref.end] for ref in found.references] == ["stage.t", "warehouse.raw.u"]
    assert found.has_star


# --- kinds


def test_time_range() -> None:
    found = of(
        "kind INCREMENTAL_BY_TIME_RANGE (time_column Ds, lookback 2)",
        "SELECT ds, 1 AS x FROM raw.t WHERE ds BETWEEN @start_ds AND @end_ds",
        time_column_format="%Y%m%d",
        model_defaults={"batch_concurrency": 4},
    )
    assert found.kind == IncrementalByTimeRange(time_column="ds", time_format="%Y%m%d", lookback=2, batch_concurrency=4)
    assert found.is_dynamic
    assert "'1970-01-01'" in found.rendered


def test_a_time_range_may_read_itself() -> None:
    found = of("kind INCREMENTAL_BY_TIME_RANGE (time_column ds)", "SELECT ds FROM raw.t UNION ALL SELECT ds FROM a.b")
    assert found.depends_on == ("raw.t",)
    assert [reference.name for reference in found.references] == ["raw.t", "a.b"]


@pytest.mark.parametrize(("path", "found"), [("$root/seeds/a.csv", "seeds/a.csv"), ("b.csv", "models/b.csv"),
                                             ("../seeds/a.csv", "seeds/a.csv")])  # fmt: skip
def test_seeds(path: str, found: str) -> None:
    seed = model(f"MODEL (name a.b, kind SEED (path '{path}'), columns (id INT))")
    assert isinstance(seed.kind, Seed)
    assert (seed.kind.path, seed.kind.content_hash) == (found, seed_hash(SEEDS[found]))
    assert (seed.query, seed.rendered, seed.depends_on) == ("", "", ())


def test_a_seeds_statements_stand_around_its_insert() -> None:
    found = model("MODEL (name a.b, kind SEED (path 'b.csv')); SET x = 1; @INSERT_SEED(); SET y = 1")
    assert (found.pre_statements, found.post_statements) == (("SET x = 1",), ("SET y = 1",))


def test_a_seeds_hash_ignores_line_endings_and_blank_lines_at_the_end() -> None:
    assert seed_hash(b"a,b\r\n1,2\r\n\r\n") == seed_hash(b"a,b\n1,2\n") == seed_hash(b"a,b\n1,2")
    assert seed_hash(b"a,b\n1,2") != seed_hash(b"a,b\n1,3")
    assert seed_hash(b"a\n\nb") != seed_hash(b"a\nb")


def test_embedded_and_external() -> None:
    assert of("kind EMBEDDED").kind == Embedded()
    external = model("MODEL (name a.b, kind EXTERNAL, columns (x INT))")
    assert (external.kind, external.columns) == (External(), (Column(name="x", type="INT"),))


def test_default_audits_and_statements_are_not_for_what_has_no_table() -> None:
    defaults = {"audits": ["number_of_rows(threshold := 0)"], "pre_statements": ["SET x = 1"]}
    embedded = of("kind EMBEDDED", "@DEF(x, 1); SELECT @x AS a", model_defaults=defaults)
    assert embedded.audits == ()
    assert embedded.pre_statements == ("@DEF(x, 1)",)
    assert embedded.rendered == "SELECT 1 AS a"
    assert [audit.name for audit in of("audits (shared)", model_defaults=defaults).audits] == [
        "number_of_rows",
        "shared",
    ]


def test_columns_take_their_descriptions() -> None:
    found = of("columns (a INT, b TEXT), column_descriptions (a = 'the a')", "SELECT 1 AS a, 'x' AS b")
    assert found.columns == (
        Column(name="a", type="INT", description="the a"),
        Column(name="b", type="TEXT"),
    )


# --- what is refused, and where


REFUSED = [
    # (text, line, what is told, hint)
    ("", 1, "no MODEL", None),
    ("SELECT 1", 1, "no MODEL", None),
    ("SET x = 1;\nMODEL (name a.b); SELECT 1 AS a", 1, "before MODEL", None),
    ("MODEL (kind VIEW); SELECT 1 AS a", 1, "no name", None),
    ("MODEL (\n  name a.b.c.d\n); SELECT 1 AS a", 2, "not a table name", None),
    ("MODEL (\n  name @nope.x\n); SELECT 1 AS a", 2, "nope", None),
    ("MODEL (\n  name a.b,\n  onwer me\n); SELECT 1 AS a", 3, "unknown property `onwer`", "owner"),
    ("MODEL (name a.b);\n", 1, "no query", None),
    ("MODEL (name a.b);\n\nSELECT 1 AS a;\nSELECT 2 AS a", 4, "one query", None),
    ("MODEL (name a.b);\n\nDROP TABLE x", 3, "SELECT", None),
    ("MODEL (name a.b);\nSET x = 1;\nSET y = 2", 2, "none of the statements is a query", None),
    ("MODEL (name a.b);\nWITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", 2, "SELECT", None),
    ("MODEL (name a.b);\nCOPY t TO '/x'", 2, "SELECT", None),
    ("MODEL (name a.b);\nEXPLAIN ANALYZE DELETE FROM t", 2, "SELECT", None),
    ("MODEL (name a.b);\n\nSELECT\n  a,\n  FROM WHERE", 5, "does not parse", None),
    ("MODEL (name a.b);\n\nSELECT\n  @nope AS a", 4, "nope", None),
    ("MODEL (name a.b);\nSELECT 1 AS a;\nMODEL (name c.d);\nSELECT 1 AS a", 3, "second", None),
    ("AUDIT (name a);\nSELECT 1", 1, "comes before MODEL", None),
    ("MODEL (name a.b);\nSELECT 1 AS a;\nAUDIT (name x);\nSELECT 1;\nAUDIT (name X);\nSELECT 1", 5, "twice", None),
    ("MODEL (name a.b);\nSELECT 1 AS a;\nAUDIT (name x);", 3, "one query, not 0", None),
    ("MODEL (name a.b);\nSELECT 1 AS a;\nAUDIT (skip true);\nSELECT 1", 3, "no name", None),
    ("MODEL (name a.b,\n audits (not_nul(columns := (a)))\n);\nSELECT 1 AS a", 2, "unknown audit", "not_null"),
    (
        "MODEL (name a.b,\n kind EMBEDDED,\n audits (not_null(columns := (a)))\n);\nSELECT 1 AS a",
        3,
        "cannot have audits",
        None,
    ),
    ("MODEL (name a.b,\n kind SEED (path 'zzz.csv')\n);", 2, "no file models/zzz.csv", "$root"),
    ("MODEL (name a.b,\n kind SEED (path '../../etc/passwd')\n);", 2, "outside the project", None),
    ("MODEL (name a.b,\n kind SEED (path '$root/../x.csv')\n);", 2, "outside the project", None),
    ("MODEL (name a.b,\n kind SEED (path '/etc/passwd')\n);", 2, "outside the project", None),
    ("MODEL (name a.b, kind SEED (path 'b.csv'));\nSELECT 1", 2, "a seed has no query", None),
    (
        "MODEL (name a.b,\n kind INCREMENTAL_BY_TIME_RANGE (time_column dss)\n);\nSELECT 1 AS ds",
        2,
        "time_column 'dss'",
        "ds",
    ),
    (
        "MODEL (name a.b,\n kind INCREMENTAL_BY_TIME_RANGE (time_column d),\n columns (x INT)\n);\nSELECT * FROM t",
        2,
        "time_column 'd' is not in `columns`",
        None,
    ),
    (
        "MODEL (name a.b,\n columns (x INT)\n);\nSELECT 1 AS y",
        2,
        "'x', which the query does not return",
        "it returns y",
    ),
    ("MODEL (name a.b,\n audits (x)\n);\nSELECT 1 AS y;\nAUDIT (name x);\nSELECT @nope", 2, "audit x: .*nope", None),
    ("MODEL (name a.b,\n audits (forall(criteria := @nope))\n);\nSELECT 1 AS y", 2, "audit forall: .*nope", None),
    ("MODEL (name a.b);\nSELECT * FROM a.b", 1, "reads itself", None),
    ("MODEL (name a.b, kind EMBEDDED);\n@DEF(x, 1);\nSET y = 1;\nSELECT @x AS a", 3, "runs no statements", None),
    ("MODEL (name a.b, end '2020-01-01');\nSELECT 1 AS a", 1, "`end` needs a `start`", None),
    ("MODEL (name a.b,\n clustered_by x\n);\nSELECT 1 AS x", 2, "no meaning for kind VIEW", None),
    ("MODEL (name a.b,\n cron '@hourly',\n interval_unit day\n);\nSELECT 1 AS x", 3, "coarser", None),
    ("MODEL (name a.b,\n cron '* * * * *'\n);\nSELECT 1 AS x", 2, "five minutes", None),
    ("MODEL (name a.b,\n start '2020-99-01'\n);\nSELECT 1 AS x", 2, "start", None),
    ('MODEL (name "a\u200b".b); SELECT 1 AS a', 1, "cannot be seen", None),
    ("MODEL (name a.b; SELECT 1", 1, "not closed", None),
    ("MODEL (name a.b); SELECT '1", 1, "not closed", None),
]


@pytest.mark.parametrize(("text", "line", "told", "hint"), REFUSED)
def test_refused(text: str, line: int, told: str, hint: str | None) -> None:
    with pytest.raises(ModelError, match=told) as caught:
        parsed(text)
    assert (caught.value.path, caught.value.line) == ("models/m.sql", line)
    if hint is not None:
        assert hint in (caught.value.hint or "")


UNSUPPORTED = [
    ("METRIC (name x, expression SUM(a.b))", 1, "metrics"),
    ("MODEL (name a.b,\n gateway production\n);\nSELECT 1 AS id", 2, "'production'"),
]


@pytest.mark.parametrize(("text", "line", "told"), UNSUPPORTED)
def test_not_supported(text: str, line: int, told: str) -> None:
    with pytest.raises(UnsupportedError, match=told) as caught:
        parsed(text)
    assert (caught.value.path, caught.value.line) == ("models/m.sql", line)
    assert caught.value.hint


def test_errors_tell_the_model_once_it_has_a_name() -> None:
    with pytest.raises(ModelError) as caught:
        parsed("MODEL (name Shop.Orders);\nDROP TABLE x")
    assert caught.value.model == "shop.orders"


def test_full_and_view_have_no_range() -> None:
    with pytest.raises(IsomeshError, match="start_ds") as caught:
        of("kind FULL", "SELECT @start_ds AS a")
    assert caught.value.line == 2


def test_a_wrong_default_is_told_as_the_configurations() -> None:
    with pytest.raises(ConfigError, match=r"model_defaults\.batch_concurrency"):
        of(
            "kind INCREMENTAL_BY_TIME_RANGE (time_column a)",
            model_defaults={"batch_concurrency": "many"},
        )


def test_what_only_other_warehouses_act_on_is_not_looked_into() -> None:
    found = of("kind FULL, partitioned_by (DATE_TRUNC(ds, MONTH), bucket(4, nowhere)), clustered_by (s.f)")
    assert found.partitioned_by == ("DATE_TRUNC(ds, MONTH)", "bucket(4, nowhere)")
    assert of("kind VIEW (materialized true), clustered_by a").clustered_by == ("a",)
    granted = of("kind FULL, grants ('select' = ['a'], 'roles/bigquery.dataViewer' = ['user:b@c.d'])").grants
    assert granted == {"select": ("a",), "roles/bigquery.dataViewer": ("user:b@c.d",)}
    nested = of("kind FULL, column_descriptions (\"Rec\".\"f\" = 'x', rec.g = 'y')").column_descriptions
    assert nested == {"rec.f": "x", "rec.g": "y"}


def test_an_external_table_may_have_audits_and_a_query_that_says_what_it_is_like() -> None:
    found = model(
        "MODEL (name a.b, kind EXTERNAL, columns (id INT), audits (not_null(columns := id)));\nSELECT 1 AS id"
    )
    assert (found.kind, found.query, [call.name for call in found.audits]) == (External(), "", ["not_null"])
    default = {"audits": ["not_null(columns := id)"]}
    assert model("MODEL (name a.b, kind EXTERNAL)", model_defaults=default).audits == ()


def test_session_properties_are_expanded_when_the_model_is_loaded() -> None:
    header = (
        "kind FULL, session_properties (a = @IF(@gateway = 'dev', @n, 2), b = @IF(FALSE, 1), c = '@n', "
        "d = @IF(@model_kind_name = 'FULL', 'f', 'v'), query_label = [('at', @execution_ds)])"
    )
    default = {"session_properties": {"e": "@IF(@gateway = 'dev', 5, NULL)", "f": "plain", "a": 9, "g": "@NULLED(1)"}}
    found = of(f"{header[:-1]}, g = NULL)", variables={"n": 7}, model_defaults=default)
    labels = "[('at', @execution_ds)]"
    expected = {"a": "7", "c": "'@n'", "d": "'f'", "e": "5", "f": "'plain'", "query_label": labels}
    assert found.session_properties == expected
    assert found.variables == {"gateway": "dev", "n": 7}
    with pytest.raises(ModelError, match="session property `a` cannot depend on @execution_ds") as caught:
        of("session_properties (a = @execution_ds)")
    assert caught.value.hint == "set it in a pre-statement"


# --- shared audits


def test_a_file_of_audits() -> None:
    text = (
        "AUDIT (name One, defaults (Limit = 3), blocking false);\nSELECT * FROM @this_model WHERE x > @limit;\n\n"
        "AUDIT (name two, dialect postgres, skip true);\nSELECT 1"
    )
    first, second = parse_audits(text, "audits/a.sql", context())
    assert first == AuditDefinition(
        name="One",
        query="SELECT * FROM @this_model WHERE x > @limit",
        defaults={"limit": "3"},
        blocking=False,
        dialect="duckdb",
        path="audits/a.sql",
        line=1,
        query_line=2,
    )
    assert (second.skip, second.line) == (True, 4)


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("SELECT 1", 1, "no AUDIT"),
        ("AUDIT (name a); SELECT 1;\nMODEL (name b); SELECT 1", 2, "does not belong here"),
        ("AUDIT (name a); SELECT 1;\nSELECT 2", 2, "one query, not 2"),
        ("AUDIT (name a,\n bloking false); SELECT 1", 2, "unknown property"),
        ("AUDIT (name a,\n cron '@daily'); SELECT 1", 2, "belongs to standalone audits"),
        ("AUDIT (name a, standalone true);\nSELECT 1 FROM @this_model", 2, "no @this_model"),
        ("AUDIT (name a, standalone true);\nDELETE FROM b.c", 2, "is not a query"),
        ("AUDIT (name a);\nJINJA_STATEMENT_BEGIN;\nSET x = 1\nJINJA_END;", 2, "an audit is one query"),
    ],
)
def test_wrong_files_of_audits(text: str, line: int, told: str) -> None:
    with pytest.raises(ModelError, match=told) as caught:
        parse_audits(text, "audits/a.sql", context())
    assert (caught.value.path, caught.value.line) == ("audits/a.sql", line)


def test_a_standalone_audit_tells_what_it_reads() -> None:
    text = (
        "AUDIT (name a, standalone true, cron '@hourly', owner me, depends_on (s.late), defaults (n = 1));\n"
        "SELECT * FROM warehouse.s.t JOIN s.@part USING (id) WHERE id > @n"
    )
    (audit,) = parse_audits(text, "audits/a.sql", context(variables={"part": "u", "other": 1}))
    assert audit.standalone is not None
    assert audit.standalone.reads == ("s.late", "s.t", "s.u")
    assert audit.standalone.variables == {"part": "u"}


def test_a_standalone_audit_stands_in_no_models_file() -> None:
    with pytest.raises(ModelError, match=r"no model's file"):
        parsed("MODEL (name a.b); SELECT 1 AS a; AUDIT (name x, standalone true); SELECT 1 FROM a.b")


def test_statements_and_audits_read_models_too() -> None:
    found = model(
        "MODEL (name a.b, kind FULL, \n"
        "audits (known, not_null(columns := (x), condition := x IN (SELECT x FROM s.w))));\n"
        "SET VARIABLE n = (SELECT MAX(n) FROM warehouse.s.limits);\n"
        "CREATE TEMP TABLE own AS SELECT * FROM s.t;\n"
        "SELECT x FROM s.t;\n"
        "INSERT INTO s.log SELECT x FROM own JOIN a.b USING (x);\n"
        "AUDIT (name known); SELECT * FROM @this_model WHERE x NOT IN (SELECT x FROM s.known UNION FROM s.t)"
    )
    assert found.depends_on == ("s.limits", "s.t")
    assert found.audit_reads == ("s.known", "s.w")


def test_a_seed_has_the_names_of_its_files_header() -> None:
    found = model("MODEL (name a.b, kind SEED (path '$root/seeds/s.csv'))", read_seed=lambda path: b"Id,name\n1,x\n")
    assert found.output == ("id", "name")


def test_a_file_of_nothing_holds_no_audits() -> None:
    assert parse_audits("-- later\n", "audits/a.sql", context()) == ()
