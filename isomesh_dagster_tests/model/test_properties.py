"""Every property of a header: what it becomes, or how it is refused. Without macros; those are in test_parse."""

from __future__ import annotations

from typing import Any

import pytest

from isomesh_dagster.dialect.header import parse_file
from isomesh_dagster.errors import ConfigError, ModelError, UnsupportedError
from isomesh_dagster.model.audits import AuditUse
from isomesh_dagster.model.kind_properties import SeedFile, parse_kind
from isomesh_dagster.model.kinds import (
    CsvSettings,
    Embedded,
    External,
    Full,
    IncrementalByPartition,
    IncrementalByTimeRange,
    IncrementalByUniqueKey,
    IncrementalUnmanaged,
    ScdType2ByColumn,
    ScdType2ByTime,
    View,
    auto_restatement,
    managed_columns,
)
from isomesh_dagster.model.properties import (
    AUDIT_PROPERTIES,
    MODEL_PROPERTIES,
    Header,
    Refused,
    read_properties,
)


def read(text: str, *, dialect: str = "duckdb", defaults: dict[str, Any] | None = None) -> Header:
    (definition,) = parse_file(f"MODEL (\n  {text}\n);", dialect, "m.sql")
    assert definition.block is not None
    return read_properties(definition.block, MODEL_PROPERTIES, dialect=dialect, expander=None, defaults=defaults)


def kind(text: str, *, dialect: str = "duckdb") -> object:
    return parse_kind(read(f"kind {text}", dialect=dialect).get("kind"), dialect, time_column_format="%Y-%m-%d")


SUPPORTED = [
    ("name shop.orders", "name", "shop.orders"),
    ("dialect duckdb", "dialect", "duckdb"),
    ("owner team", "owner", "team"),
    ("owner 'team:analytics'", "owner", "team:analytics"),
    ("description 'It''s here'", "description", "It's here"),
    ("column_descriptions (Id = 'the key', note = 'a, b')", "column_descriptions", {"id": "the key", "note": "a, b"}),
    (
        "column_descriptions (Place = 'where', place.City = 'its city', \"odd one\" = 'b')",
        "column_descriptions",
        {"place": "where", "place.city": "its city", "odd one": "b"},
    ),
    ("description $$It's here$$", "description", "It's here"),
    ("description e'tab'", "description", "tab"),
    ("depends_on ['s.x', 'Y.z']", "depends_on", ("s.x", "y.z")),
    ("tags (a, 'b c', a)", "tags", ("a", "b c")),
    ("tags a", "tags", ("a",)),
    ("tags [a, b]", "tags", ("a", "b")),
    ("stamp 'v2'", "stamp", "v2"),
    ("start '2020-01-01'", "start", "2020-01-01"),
    ("start 2020-01-01", "start", "2020-01-01"),
    ("start '1 week ago'", "start", "1 week ago"),
    ("end '2020-02-01'", "end", "2020-02-01"),
    ("cron '@DAILY'", "cron", "@daily"),
    ("cron '*/5 * * * *'", "cron", "*/5 * * * *"),
    ("cron_tz 'Europe/Berlin'", "cron_tz", "Europe/Berlin"),
    ("interval_unit HALF_HOUR", "interval_unit", "half_hour"),
    ("interval_unit 'five_minute'", "interval_unit", "five_minute"),
    (
        'columns (Id int, "Name" varchar(10), tags text[], s STRUCT<a INT, b INT>)',
        "columns",
        (("id", "INT"), ("name", "VARCHAR(10)"), ("tags", "TEXT[]"), ("s", "STRUCT<a INT, b INT>")),
    ),
    ("partitioned_by ds", "partitioned_by", ("ds",)),
    ("partitioned_by (ds, date_trunc('day', t))", "partitioned_by", ("ds", "date_trunc('day', t)")),
    ("clustered_by (a, b)", "clustered_by", ("a", "b")),
    ("physical_properties (retention = 7, label = 'x')", "physical_properties", {"retention": "7", "label": "'x'"}),
    ("table_properties (a = 1)", "physical_properties", {"a": "1"}),
    ("virtual_properties (security = 'invoker')", "virtual_properties", {"security": "'invoker'"}),
    ("session_properties (query_label = 'nightly')", "session_properties", {"query_label": "'nightly'"}),
    ("allow_partials true", "allow_partials", True),
    ("grants (select = ['x', 'y'], insert = 'x')", "grants", {"select": ("x", "y"), "insert": ("x",)}),
    ("grants_target_layer ALL", "grants_target_layer", "all"),
    ("blueprints ()", "blueprints", ()),
    ("blueprints ((A := x, b := 'y'), (a := 2))", "blueprints", ({"a": "x", "b": "'y'"}, {"a": "2"})),
    ("blueprints (a := 1, b := f(x, 2))", "blueprints", ({"a": "1", "b": "f(x, 2)"},)),
    ("blueprints ((a := 1))", "blueprints", ({"a": "1"},)),
    ("grain id", "grains", ("id",)),
    ("grains (id, (a, b))", "grains", ("id", "(a, b)")),
    ("references (customer_id AS c)", "references", ("customer_id AS c",)),
    ("depends_on (Raw.Events, raw.users)", "depends_on", ("raw.events", "raw.users")),
    ("depends_on raw.events", "depends_on", ("raw.events",)),
    ("enabled false", "enabled", False),
    ("enabled off", "enabled", False),
    ("formatting false", "formatting", False),
    ("ignored_rules ALL", "ignored_rules", ("ALL",)),
    ("project shop", "project", "shop"),
    ("gateway dev", "gateway", "dev"),
    ("retention 7", "retention", 7),
    ("optimize_query false", "optimize_query", False),
    ("table_format iceberg", "table_format", "iceberg"),
    ("storage_format parquet", "storage_format", "parquet"),
    ("on_destructive_change allow", "on_destructive_change", "ALLOW"),
    ("on_additive_change error", "on_additive_change", "ERROR"),
    ("audits not_null", "audits", (AuditUse(name="not_null"),)),
    (
        "audits (mine, not_null(columns := (a, b), blocking := false), x(condition := a = 1))",
        "audits",
        (
            AuditUse(name="mine"),
            AuditUse(name="not_null", arguments={"columns": "(a, b)", "blocking": "false"}),
            AuditUse(name="x", arguments={"condition": "a = 1"}),
        ),
    ),
    (
        "audits [unique_values(columns = (id))]",
        "audits",
        (AuditUse(name="unique_values", arguments={"columns": "(id)"}),),
    ),
    (
        "signals (fresh(x := @v), other)",
        "signals",
        (AuditUse(name="fresh", arguments={"x": "@v"}), AuditUse(name="other")),
    ),
    ('audits (x("values" := (1, 2)))', "audits", (AuditUse(name="x", arguments={"values": "(1, 2)"}),)),
]


@pytest.mark.parametrize(("text", "key", "expected"), SUPPORTED, ids=[text for text, _, _ in SUPPORTED])
def test_supported(text: str, key: str, expected: object) -> None:
    header = read(text)
    assert header.get(key) == expected
    assert header.lines[key] == 2


def test_every_supported_property_is_tried_above() -> None:
    tried = {key for _, key, _ in SUPPORTED} | {"kind"}
    assert tried == {key for key, decoder in MODEL_PROPERTIES.items() if not isinstance(decoder, Refused)}


REFUSED = {
    "physical_version '1'": "physical_version",
    "virtual_environment_mode dev_only": "virtual_environment_mode",
    "default_catalog other": "default_catalog",
}


@pytest.mark.parametrize(("text", "told"), REFUSED.items())
def test_refused(text: str, told: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{told}.*not supported") as caught:
        read(f"name a.b,\n  {text}")
    assert caught.value.line == 3
    assert caught.value.hint


def test_every_refused_property_is_tried_above() -> None:
    refused = {key for key, decoder in MODEL_PROPERTIES.items() if isinstance(decoder, Refused)}
    assert refused == set(REFUSED.values()) - {"timezone"}


@pytest.mark.parametrize(
    "text",
    [
        "virtual_environment_mode full",
        "virtual_environment_mode 'full'",
        "physical_version NULL",
        "owner NULL",
        "start None",
    ],
)
def test_what_changes_nothing_is_accepted_and_drops_out(text: str) -> None:
    assert dict(read(text).values) == {}


WRONG = [
    ("onwer me", "unknown property `onwer`", "owner"),
    ("validate_query true", "unknown property", "lint rules"),
    ("zzz 1", "unknown property", "known are"),
    ("merge_filter a = 1", "unknown property `merge_filter`", None),
    ("enabled maybe", "`enabled` must be true or false", None),
    ("retention minus", "whole number", None),
    ("interval_unit week", "`interval_unit` cannot be 'week'", None),
    ("interval_unit hours", "`interval_unit` cannot be 'hours'", "hour"),
    ("cron 'sometimes'", "cron", None),
    ("cron_tz 'Mars/Base'", "Mars", None),
    ("start 'when it is done'", "start", None),
    ("owner (a, b)", "`owner` must be a word or a string", None),
    ("tags (a = 1)", "`tags` must be", None),
    ("columns (a INT, a TEXT)", "given twice", None),
    ("columns (a)", "no type", None),
    ("columns ()", "empty", None),
    ("physical_properties 7", "key = value", None),
    ("depends_on (a.b.c.d)", "not a table name", None),
    ("audits (not_null(a))", "has no name", "argument := a"),
    ("audits (a + b)", "not an audit", None),
    ("audits (x(a := 1, a := 2))", "given twice", None),
    ("grain a, grains b", "same property", None),
    ("owner a, owner b", "given twice", None),
    ("on_additive_change sometimes", "cannot be", "ALLOW"),
]


@pytest.mark.parametrize(("text", "told", "hint"), WRONG, ids=[text for text, _, _ in WRONG])
def test_wrong(text: str, told: str, hint: str | None) -> None:
    with pytest.raises(ModelError, match=told) as caught:
        read(f"name x.y,\n  {text}")
    assert caught.value.line == 3
    if hint is not None:
        assert hint in (caught.value.hint or "")


# --- kinds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("VIEW", View()),
        ("view", View()),
        ("'full'", Full()),
        ("VIEW (materialized false)", View()),
        ("VIEW (materialized true)", View(materialized=True)),
        ("FULL", Full()),
        ("FULL ()", Full()),
        ("EMBEDDED", Embedded()),
        ("EXTERNAL", External()),
        ("SEED (path 'a.csv')", SeedFile(path="a.csv", csv_settings=CsvSettings())),
        (
            "SEED (path '$root/a.csv', batch_size 500, csv_settings (delimiter = '\\t', quotechar = '''',"
            " doublequote = false, na_values = ['-', ''], keep_default_na = true))",
            SeedFile(
                path="$root/a.csv",
                csv_settings=CsvSettings(
                    delimiter="\t", quotechar="'", doublequote=False, na_values=("-", ""), keep_default_na=True
                ),
            ),
        ),
        ("INCREMENTAL_BY_TIME_RANGE (time_column ds)", IncrementalByTimeRange(time_column="ds")),
        ("Incremental_By_Time_Range (time_column Ds)", IncrementalByTimeRange(time_column="ds")),
        (
            "INCREMENTAL_BY_TIME_RANGE (time_column (ds, '%Y%m%d'), batch_size 7, batch_concurrency 2, lookback 3,"
            " disable_restatement true, partition_by_time_column false, forward_only false,"
            " on_destructive_change ignore, on_additive_change warn)",
            IncrementalByTimeRange(
                time_column="ds",
                time_format="%Y%m%d",
                batch_size=7,
                batch_concurrency=2,
                lookback=3,
                disable_restatement=True,
                partition_by_time_column=False,
            ),
        ),
        ("INCREMENTAL_BY_TIME_RANGE (time_column ds, batch_size NULL)", IncrementalByTimeRange(time_column="ds")),
        ("INCREMENTAL_BY_UNIQUE_KEY (unique_key id)", IncrementalByUniqueKey(unique_key=('"id"',))),
        ("INCREMENTAL_BY_UNIQUE_KEY (unique_key [ID, Name])", IncrementalByUniqueKey(unique_key=('"id"', '"name"'))),
        (
            "INCREMENTAL_BY_UNIQUE_KEY (unique_key COALESCE(a, ''))",
            IncrementalByUniqueKey(unique_key=("COALESCE(a, '')",)),
        ),
        (
            """INCREMENTAL_BY_UNIQUE_KEY (
              unique_key (id, lower(name)),
              when_matched (
                WHEN MATCHED AND source.gone THEN DELETE
                WHEN MATCHED THEN UPDATE SET target.a = COALESCE(source.a, target.a), b = source.b
              ),
              merge_filter source.day > target.day - INTERVAL 7 DAY,
              batch_size 30, batch_concurrency 1, lookback 2, forward_only false, disable_restatement true,
              on_destructive_change warn
            )""",
            IncrementalByUniqueKey(
                unique_key=('"id"', "lower(name)"),
                when_matched="""WHEN MATCHED AND source.gone THEN DELETE
                WHEN MATCHED THEN UPDATE SET target.a = COALESCE(source.a, target.a), b = source.b""",
                merge_filter="source.day > target.day - INTERVAL 7 DAY",
                batch_size=30,
                lookback=2,
                disable_restatement=True,
            ),
        ),
        ("incremental_by_partition", IncrementalByPartition()),
        ("INCREMENTAL_BY_PARTITION (disable_restatement true)", IncrementalByPartition(disable_restatement=True)),
        ("INCREMENTAL_UNMANAGED", IncrementalUnmanaged()),
        (
            "INCREMENTAL_UNMANAGED (insert_overwrite true, forward_only true, disable_restatement false)",
            IncrementalUnmanaged(insert_overwrite=True, disable_restatement=False),
        ),
        ("SCD_TYPE_2 (unique_key id)", ScdType2ByTime(unique_key=('"id"',))),
        (
            """SCD_TYPE_2_BY_TIME (unique_key (a, b), updated_at_name "Changed At", updated_at_as_valid_from true,
              valid_from_name since, valid_to_name until, invalidate_hard_deletes true, time_data_type timestamptz,
              batch_size 1, forward_only true, disable_restatement false)""",
            ScdType2ByTime(
                unique_key=('"a"', '"b"'),
                updated_at_name="changed at",
                updated_at_as_valid_from=True,
                valid_from_name="since",
                valid_to_name="until",
                invalidate_hard_deletes=True,
                time_data_type="TIMESTAMPTZ",
                batch_size=1,
                disable_restatement=False,
            ),
        ),
        ("SCD_TYPE_2_BY_COLUMN (unique_key id, columns *)", ScdType2ByColumn(unique_key=('"id"',))),
        ("SCD_TYPE_2_BY_COLUMN (unique_key id, columns (*))", ScdType2ByColumn(unique_key=('"id"',))),
        (
            "SCD_TYPE_2_BY_COLUMN (unique_key [id], columns [A, b, a], execution_time_as_valid_from true, "
            "updated_at_name changed)",
            ScdType2ByColumn(
                unique_key=('"id"',),
                columns=("a", "b"),
                execution_time_as_valid_from=True,
                updated_at_name="changed",
            ),
        ),
    ],
)
def test_kinds(text: str, expected: object) -> None:
    assert kind(text) == expected


def test_automatic_restatement() -> None:
    found = kind(
        "INCREMENTAL_BY_TIME_RANGE (time_column ds, auto_restatement_cron '@weekly', auto_restatement_intervals 3)"
    )
    assert auto_restatement(found) == ("@weekly", 3)
    found = kind("INCREMENTAL_BY_UNIQUE_KEY (unique_key id, auto_restatement_cron '0 3 * * 1')")
    assert auto_restatement(found) == ("0 3 * * 1", None)
    off = "INCREMENTAL_BY_TIME_RANGE (time_column ds, auto_restatement_cron '@weekly', disable_restatement true)"
    assert auto_restatement(kind(off)) is None
    with pytest.raises(ModelError, match="is not a cron expression"):
        kind("INCREMENTAL_BY_TIME_RANGE (time_column ds, auto_restatement_cron 'often')")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("MANAGED", "MANAGED"),
        ("SCD_TYPE_2_BY_TIME (unique_key id, auto_restatement_cron '@weekly')", "auto_restatement_cron"),
        ("INCREMENTAL_BY_UNIQUE_KEY (unique_key id, auto_restatement_intervals 3)", "auto_restatement_intervals"),
    ],
)
def test_kinds_not_supported(text: str, told: str) -> None:
    with pytest.raises(UnsupportedError, match=f"{told}.*not supported") as caught:
        kind(text)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "told", "hint"),
    [
        ("FUL", "unknown kind `FUL`", "FULL"),
        ("NOPE", "unknown kind", "it is one of"),
        ("a + b", "must be a kind's name", None),
        ("FULL (batch_size 3)", "no parameter `batch_size`", "it takes none"),
        ("INCREMENTAL_BY_TIME_RANGE", "needs `time_column`", None),
        ("INCREMENTAL_BY_TIME_RANGE (time_column ds, lookbak 1)", "no parameter `lookbak`", "lookback"),
        ("INCREMENTAL_BY_TIME_RANGE (time_column ds, batch_size 0)", "at least 1", None),
        ("INCREMENTAL_BY_TIME_RANGE (time_column ds, lookback -1)", "at least 0", None),
        ("INCREMENTAL_BY_TIME_RANGE (time_column (ds, 'yyyy-MM-dd'))", "strftime", "%Y"),
        ("INCREMENTAL_BY_TIME_RANGE (time_column a + b)", "time_column", None),
        ("INCREMENTAL_BY_TIME_RANGE (time_column ds, time_column dt)", "given twice", None),
        ("INCREMENTAL_BY_UNIQUE_KEY", "needs `unique_key`", "unique_key id"),
        ("INCREMENTAL_BY_UNIQUE_KEY (unique_key ())", "`unique_key` is empty", None),
        ("INCREMENTAL_BY_UNIQUE_KEY (unique_key 1 + 1)", "names no column", None),
        ("INCREMENTAL_BY_UNIQUE_KEY (unique_key (SELECT 1))", "cannot be read", None),
        ("INCREMENTAL_BY_UNIQUE_KEY (unique_key id, batch_concurrency 2)", "one after the other", None),
        ("INCREMENTAL_BY_UNIQUE_KEY (unique_key id, when_matched (DELETE))", "when_matched|cannot be read", None),
        (
            "INCREMENTAL_BY_UNIQUE_KEY (unique_key id, when_matched (WHEN NOT MATCHED THEN INSERT (a) VALUES (1)))",
            "no WHEN MATCHED clause",
            "always inserted",
        ),
        ("INCREMENTAL_BY_UNIQUE_KEY (unique_key id, merge_filter source.a AS b)", "not one expression", None),
        ("INCREMENTAL_BY_PARTITION (forward_only false)", "no parameter `forward_only`", None),
        ("SCD_TYPE_2_BY_TIME", "needs `unique_key`", None),
        ("SCD_TYPE_2_BY_TIME (unique_key id, columns *)", "no parameter `columns`", None),
        ("SCD_TYPE_2_BY_COLUMN (unique_key id)", "needs `columns`", "columns (a, b)"),
        ("SCD_TYPE_2_BY_COLUMN (unique_key id, columns (a + b))", "must be a column", None),
        ("SCD_TYPE_2_BY_COLUMN (unique_key id, columns *, updated_at_as_valid_from true)", "no parameter", None),
        ("SEED", "needs `path`", None),
        ("SEED (path 'x', csv_settings (delimitr = ';'))", "no `delimitr`", "delimiter"),
    ],
)
def test_kinds_that_are_wrong(text: str, told: str, hint: str | None) -> None:
    with pytest.raises(ModelError, match=told) as caught:
        kind(text)
    if hint is not None:
        assert hint in (caught.value.hint or "")


# --- model_defaults


def test_scalars_fill_in_where_the_header_is_silent() -> None:
    defaults = {"cron": "@hourly", "owner": "us", "start": "2020-01-01", "enabled": True, "storage_format": None}
    header = read("owner me", defaults=defaults)
    assert dict(header.values) == {"owner": "me", "cron": "@hourly", "start": "2020-01-01", "enabled": True}
    assert set(header.lines) == {"owner"}


def test_maps_merge_key_by_key_and_null_removes() -> None:
    defaults = {"physical_properties": {"a": 1, "b": "x", "c": True}}
    header = read("physical_properties (b = 'mine', c = NULL, d = 4)", defaults=defaults)
    assert header.get("physical_properties") == {"a": "1", "b": "'mine'", "d": "4"}
    assert read("name x.y", defaults=defaults).get("physical_properties") == {"a": "1", "b": "'x'", "c": "true"}


def test_audits_and_statements_come_first() -> None:
    defaults = {
        "audits": ["mine", "number_of_rows(threshold := 1)"],
        "pre_statements": ["SET x = 1;", " "],
        "post_statements": "SELECT 2",
        "on_virtual_update": [],
    }
    header = read("audits (own)", defaults=defaults)
    assert header.get("audits") == (
        AuditUse(name="mine"),
        AuditUse(name="number_of_rows", arguments={"threshold": "1"}),
        AuditUse(name="own"),
    )
    assert header.get("pre_statements") == ("SET x = 1",)
    assert header.get("post_statements") == ("SELECT 2",)
    assert header.get("on_virtual_update") == ()


@pytest.mark.parametrize(
    ("configured", "expected"),
    [
        ("FULL", Full()),
        ({"name": "view"}, View()),
        ({"name": "INCREMENTAL_BY_TIME_RANGE", "time_column": "ds", "lookback": 2},
         IncrementalByTimeRange(time_column="ds", lookback=2)),
        ("INCREMENTAL_BY_TIME_RANGE (time_column ds)", IncrementalByTimeRange(time_column="ds")),
    ],
)  # fmt: skip
def test_a_default_kind_may_have_parameters(configured: object, expected: object) -> None:
    header = read("name x.y", defaults={"kind": configured})
    assert parse_kind(header.get("kind"), "duckdb", time_column_format="%Y-%m-%d") == expected


@pytest.mark.parametrize(
    "defaults",
    [
        {"allow_partials": "perhaps"},
        {"cron": "now and then"},
        {"enabled": "perhaps"},
        {"audits": ["1 + 1"]},
        {"pre_statements": {"a": 1}},
        {"nonsense": 1},
    ],
)
def test_a_wrong_default_is_the_configurations_fault(defaults: dict[str, Any]) -> None:
    (key,) = defaults
    with pytest.raises(ConfigError, match=f"model_defaults.{key}"):
        read("name x.y", defaults=defaults)


def test_audit_blocks_have_properties_of_their_own() -> None:
    (definition,) = parse_file(
        "AUDIT (name x, dialect duckdb, skip true, blocking false, defaults (a = 1, b = 'x'), standalone false);"
        " SELECT 1",
        "duckdb",
        "a.sql",
    )
    assert definition.block is not None
    header = read_properties(definition.block, AUDIT_PROPERTIES, dialect="duckdb", expander=None)
    assert dict(header.values) == {
        "name": "x",
        "dialect": "duckdb",
        "skip": True,
        "blocking": False,
        "defaults": {"a": "1", "b": "'x'"},
        "standalone": False,
    }


@pytest.mark.parametrize(
    ("dialect", "written", "meant"),
    [
        ("duckdb", "%Y%m%d", "%Y%m%d"),
        ("duckdb", "day %d of %Y-%m", "day %d of %Y-%m"),
        ("bigquery", "%F", "%Y-%m-%d"),
        ("spark", "yyyy-MM-dd", "%Y-%m-%d"),
        ("spark", "yyyy-MM-dd''T''HH:mm:ss", "%Y-%m-%dT%H:%M:%S"),
        ("spark", "%Y-%m-%d", "%Y-%m-%d"),
        ("snowflake", "YYYYMMDDhh24", "%Y%m%d%H"),
        ("postgres", "YYYY-MM-DD HH24:MI:SS", "%Y-%m-%d %H:%M:%S"),
        ("tsql", "yyyyMMdd", "%Y%m%d"),
        ("mysql", "%Y-%m-%d %H:%i:%s", "%Y-%m-%d %H:%M:%S"),
    ],
)
def test_time_formats_are_those_of_strftime_or_of_the_dialect(dialect, written, meant):
    found = kind(f"INCREMENTAL_BY_TIME_RANGE (time_column (ds, '{written}'))", dialect=dialect)
    assert isinstance(found, IncrementalByTimeRange)
    assert found.time_format == meant


@pytest.mark.parametrize(
    ("dialect", "written"),
    [("duckdb", "yyyy-MM-dd"), ("duckdb", "%q"), ("postgres", "daily"), ("snowflake", "YYYY-MM-DD HH24:MI:SS.FF3")],
)
def test_a_format_that_nobody_could_write_dates_in_is_refused(dialect, written):
    with pytest.raises(ModelError, match="no format of dates"):
        kind(f"INCREMENTAL_BY_TIME_RANGE (time_column (ds, '{written}'))", dialect=dialect)


@pytest.mark.parametrize("more", ["COMMENT 'its key'", "NOT NULL", "PRIMARY KEY", "DEFAULT 1"])
def test_columns_have_types_and_nothing_else(more):
    with pytest.raises(ModelError, match="has more than a type"):
        read(f"columns (id INT {more})")
    assert read("columns (a STRUCT<b INT NOT NULL>)", dialect="bigquery").get("columns")


def test_a_parameter_of_the_model_inside_its_kind_is_told_where_it_stands():
    with pytest.raises(ModelError) as caught:
        kind("INCREMENTAL_BY_TIME_RANGE (time_column ds, allow_partials true)")
    assert caught.value.hint == "`allow_partials` stands beside `kind (…)`, not in it"


@pytest.mark.parametrize("more", ["", ", lookback 2", ", unique_key (id, ds)", ", merge_filter source.a > 1"])
def test_clauses_without_brackets_go_on_to_the_next_parameter(more):
    clauses = "WHEN MATCHED AND source.gone THEN DELETE, WHEN MATCHED THEN UPDATE SET a = 1, target.b = (source.b)"
    key = "" if "unique_key" in more else "unique_key id, "
    bare = kind(f"INCREMENTAL_BY_UNIQUE_KEY ({key}when_matched {clauses}{more})")
    assert bare == kind(
        f"INCREMENTAL_BY_UNIQUE_KEY ({key}when_matched ({clauses.replace('DELETE, ', 'DELETE ')}){more})"
    )


def test_a_parameter_misspelt_after_bracketed_clauses_is_still_told():
    with pytest.raises(ModelError, match="has no parameter `lookbak`"):
        kind("INCREMENTAL_BY_UNIQUE_KEY (unique_key id, when_matched (WHEN MATCHED THEN DELETE), lookbak 2)")


@pytest.mark.parametrize("text", ["SCD_TYPE_2 (unique_key id)", "SCD_TYPE_2_BY_COLUMN (unique_key id, columns *)"])
def test_validity_is_a_moment_where_timestamp_is_a_number_of_a_version(text: str) -> None:
    for written, type_ in ((text, "DATETIME2"), (f"{text[:-1]}, time_data_type DATE)", "DATE")):
        decoded = kind(written, dialect="tsql")
        assert isinstance(decoded, ScdType2ByTime | ScdType2ByColumn)
        assert [column.type for column in managed_columns(decoded)] == [type_, type_]
