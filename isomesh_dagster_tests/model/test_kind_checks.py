"""What a kind asks of the model around it, and what it adds to it."""

from __future__ import annotations

import pytest

from isomesh_dagster.errors import MacroError, ModelError
from isomesh_dagster.model.codec import model_from_json, model_to_json
from isomesh_dagster.model.kinds import ScdType2ByTime, managed_columns, table_columns
from isomesh_dagster.model.parse import parse_model
from isomesh_dagster.relation import Column
from isomesh_dagster.snapshot.fingerprint import own
from isomesh_dagster_tests.model.test_parse import context, of

SCD = "kind SCD_TYPE_2_BY_TIME (unique_key id)"
UNIQUE = "kind INCREMENTAL_BY_UNIQUE_KEY (unique_key id)"
REFUSED = [
    ("kind INCREMENTAL_BY_PARTITION", "SELECT 1 AS a", "no `partitioned_by`", "partitioned_by (column"),
    ("kind INCREMENTAL_UNMANAGED (insert_overwrite true)", "SELECT 1 AS a", "no `partitioned_by`", None),
    (UNIQUE, "SELECT 1 AS idd", "unique_key 'id' is not in the query's result", "did you mean `idd`"),
    ("kind INCREMENTAL_BY_UNIQUE_KEY (unique_key lower(id))", "SELECT 1 AS a", "unique_key 'id'", "there are a"),
    (SCD, "SELECT 1 AS id", "updated_at_name 'updated_at' is not in the query's result", None),
    ("kind SCD_TYPE_2_BY_TIME (unique_key id, valid_from_name t, valid_to_name t)", "SELECT 1 AS id", "both 't'", None),
    ("kind SCD_TYPE_2_BY_COLUMN (unique_key id, columns (b))", "SELECT 1 AS id, 2 AS bb", "columns 'b'", "`bb`"),
    (SCD, "SELECT id, updated_at FROM a.b", "reads itself", "INCREMENTAL kinds"),
    (
        "kind INCREMENTAL_BY_PARTITION, partitioned_by (idd)",
        "SELECT 1 AS id",
        "`partitioned_by` names 'idd'",
        "did you mean `id`",
    ),
    (
        "kind INCREMENTAL_UNMANAGED (insert_overwrite true), partitioned_by (date_trunc('month', d))",
        "SELECT 1 AS id",
        "`partitioned_by` names 'd'",
        None,
    ),
    (f"{UNIQUE}, columns (a INT)", "SELECT 1 AS a, 2 AS id", "unique_key 'id' is not in `columns`", None),
]


@pytest.mark.parametrize(("header", "query", "told", "hint"), REFUSED)
def test_refused_with_the_line_of_the_kind(header: str, query: str, told: str, hint: str | None) -> None:
    text = f"MODEL (\n  name a.b,\n  {header}\n);\n{query}"
    with pytest.raises(ModelError, match=told) as caught:
        parse_model(text, "models/m.sql", context())
    assert caught.value.line in ((3,) if "reads itself" not in told else (1, None))
    if hint is not None:
        assert hint in (caught.value.hint or "")


def test_incremental_kinds_may_read_themselves_and_know_the_range() -> None:
    query = "SELECT 1 AS id, @start_ds AS day, @end_ts AS until FROM a.b"
    for header in (UNIQUE, "kind INCREMENTAL_BY_PARTITION, partitioned_by (id)", "kind INCREMENTAL_UNMANAGED"):
        found = of(header, query)
        assert found.is_dynamic
        assert found.depends_on == ()


def test_the_table_of_a_dimension_has_the_times_of_validity() -> None:
    found = of(
        "kind SCD_TYPE_2 (unique_key id, valid_from_name since, time_data_type TIMESTAMPTZ), "
        "columns (id INT, updated_at DATE, since DATE)",
        "SELECT 1 AS id, CURRENT_DATE AS updated_at",
    )
    assert found.columns == (Column(name="id", type="INT"), Column(name="updated_at", type="DATE"))
    assert [column.name for column in managed_columns(found.kind)] == ["since", "valid_to"]
    columns = table_columns(found.kind, found.columns)
    assert [(column.name, column.type) for column in columns] == [
        ("id", "INT"),
        ("updated_at", "TIMESTAMPTZ"),
        ("since", "TIMESTAMPTZ"),
        ("valid_to", "TIMESTAMPTZ"),
    ]


@pytest.mark.parametrize(
    "header",
    [
        "kind INCREMENTAL_BY_UNIQUE_KEY (unique_key (id, lower(v)), merge_filter source.v > 1, lookback 3)",
        "kind INCREMENTAL_BY_PARTITION (disable_restatement true), partitioned_by (id)",
        "kind INCREMENTAL_UNMANAGED (disable_restatement false)",
        "kind SCD_TYPE_2 (unique_key (id), updated_at_name v)",
        "kind SCD_TYPE_2_BY_COLUMN (unique_key (id), columns (id, v))",
    ],
)
def test_kinds_survive_the_state(header: str) -> None:
    found = of(header, "SELECT 1 AS id, 2 AS v")
    assert model_from_json(model_to_json(found)) == found


SAME = [
    (UNIQUE, "kind INCREMENTAL_BY_UNIQUE_KEY (unique_key (ID))"),
    (
        "kind INCREMENTAL_BY_UNIQUE_KEY (unique_key coalesce(id,0), merge_filter source.v>1)",
        "kind INCREMENTAL_BY_UNIQUE_KEY (unique_key COALESCE(id, 0), merge_filter source.v  > 1)",
    ),
    (
        "kind INCREMENTAL_BY_UNIQUE_KEY (unique_key id, when_matched (when matched then delete))",
        "kind INCREMENTAL_BY_UNIQUE_KEY (unique_key id, when_matched (WHEN MATCHED\n THEN DELETE))",
    ),
    (
        "kind SCD_TYPE_2 (unique_key id, updated_at_name v)",
        "kind SCD_TYPE_2_BY_TIME (unique_key id, updated_at_name V)",
    ),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_how_a_kind_is_written_is_no_part_of_its_fingerprint(one: str, other: str) -> None:
    query = "SELECT 1 AS id, 2 AS v"
    assert own(of(one, query)).data == own(of(other, query)).data


DIFFERENT = [
    (UNIQUE, "kind INCREMENTAL_BY_UNIQUE_KEY (unique_key v)", "data"),
    (UNIQUE, "kind INCREMENTAL_BY_UNIQUE_KEY (unique_key id, merge_filter source.v > 1)", "data"),
    (UNIQUE, "kind INCREMENTAL_BY_UNIQUE_KEY (unique_key id, lookback 1)", "data"),
    (UNIQUE, "kind INCREMENTAL_BY_UNIQUE_KEY (unique_key id, batch_size 3)", "metadata"),
    ("kind INCREMENTAL_UNMANAGED", "kind INCREMENTAL_UNMANAGED (disable_restatement false)", "metadata"),
    (
        "kind SCD_TYPE_2 (unique_key id, updated_at_name v)",
        "kind SCD_TYPE_2 (unique_key id, updated_at_name v, invalidate_hard_deletes true)",
        "data",
    ),
    (
        "kind SCD_TYPE_2_BY_COLUMN (unique_key id, columns *)",
        "kind SCD_TYPE_2_BY_COLUMN (unique_key id, columns (v))",
        "data",
    ),
]


@pytest.mark.parametrize(("one", "other", "part"), DIFFERENT)
def test_what_rows_depend_on_is_in_the_data_part(one: str, other: str, part: str) -> None:
    query = "SELECT 1 AS id, 2 AS v"
    first, second = own(of(one, query)), own(of(other, query))
    assert (first.data != second.data) == (part == "data")
    assert (first.metadata != second.metadata) == (part == "metadata")


def test_defaults_of_a_dimension() -> None:
    found = of("kind SCD_TYPE_2 (unique_key id)", "SELECT 1 AS id, 2 AS updated_at")
    assert found.kind == ScdType2ByTime(unique_key=('"id"',), disable_restatement=True)


MERGED = """
MODEL (
  name a.b,
  kind INCREMENTAL_BY_UNIQUE_KEY (
    unique_key id,
    merge_filter target.ds > @start_ds AND target.v < @limit,
    when_matched WHEN MATCHED AND source.ds <= @end_ds THEN UPDATE SET target.v = source.v
  )
);
SELECT id, v, ds FROM ext.t
"""


def test_a_merge_leaves_time_variables_for_its_batches_and_expands_the_others():
    kind = parse_model(MERGED, "models/m.sql", context(variables={"limit": 9})).models[0].kind
    assert kind.merge_filter == "target.ds > @start_ds AND target.v < 9"
    assert kind.when_matched == "WHEN MATCHED AND source.ds <= @end_ds THEN UPDATE SET target.v = source.v"


def test_what_a_merge_asks_is_a_parent():
    asking = "source.id IN (SELECT id FROM s.keys) AND source.ds > (SELECT MAX(ds) FROM a.b)"
    text = MERGED.replace("target.v < @limit", asking).replace(
        "source.ds <= @end_ds", "source.v > (SELECT MAX(v) FROM s.most)"
    )
    assert parse_model(text, "models/m.sql", context()).models[0].depends_on == ("ext.t", "s.keys", "s.most")


def test_what_a_kind_is_otherwise_cannot_differ_from_batch_to_batch():
    text = MERGED.replace("unique_key id", "unique_key (id, COALESCE(ds, @start_ds))")
    with pytest.raises(ModelError, match="`unique_key` cannot depend on @start_ds"):
        parse_model(text, "models/m.sql", context(variables={"limit": 9}))
    with pytest.raises(MacroError, match="cannot stand inside"):
        parse_model(MERGED.replace("> @start_ds", "> @'@{start_ds}x'"), "models/m.sql", context())
