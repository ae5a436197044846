import json
from dataclasses import fields

from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.model.codec import kind_from_json, kind_to_json, model_from_json, model_to_json
from isomesh_dagster.model.kinds import CsvSettings, Embedded, External, Full, IncrementalByTimeRange, Seed, View
from isomesh_dagster.model.model import AuditCall, Model
from isomesh_dagster.relation import Column, Reference

text = st.text(max_size=12)
texts = st.lists(text, max_size=3).map(tuple)
maps = st.dictionaries(text, text, max_size=3)
optional = st.none() | text
csv_settings = st.builds(
    CsvSettings, delimiter=optional, doublequote=st.none() | st.booleans(), na_values=st.none() | texts
)
kinds = st.one_of(
    st.builds(View),
    st.builds(Full),
    st.builds(Embedded),
    st.builds(External),
    st.builds(Seed, path=text, content_hash=text, csv_settings=csv_settings),
    st.builds(
        IncrementalByTimeRange,
        time_column=text,
        batch_size=st.none() | st.integers(1, 9),
        lookback=st.integers(0, 9),
        partition_by_time_column=st.booleans(),
    ),
)
columns = st.lists(st.builds(Column, name=text, type=text, description=optional), max_size=3).map(tuple)
references = st.lists(
    st.builds(
        Reference,
        start=st.integers(0, 9),
        end=st.integers(0, 9),
        name=text,
        alias_needed=optional,
        by_text=st.booleans(),
    ),
    max_size=3,
).map(tuple)
audits = st.lists(
    st.builds(AuditCall, name=text, query=text, arguments=maps, blocking=st.booleans(), dialect=text), max_size=2
).map(tuple)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | text, lambda inner: st.lists(inner) | st.dictionaries(text, inner)
)
models = st.builds(
    Model,
    name=text,
    path=text,
    line=st.integers(1, 99),
    dialect=text,
    kind=kinds,
    query=text,
    references=references,
    is_dynamic=st.booleans(),
    depends_on=texts,
    columns=st.none() | columns,
    pre_statements=texts,
    audits=audits,
    variables=st.dictionaries(text, json_values, max_size=3),
    description=optional,
    tags=texts,
    start=optional,
    physical_properties=maps,
    optimize_query=st.none() | st.booleans(),
)


@given(models)
def test_a_model_survives_the_way_through_json(model: Model) -> None:
    assert model_from_json(json.loads(json.dumps(model_to_json(model)))) == model


@given(kinds)
def test_a_kind_survives_the_way_through_json(kind: View) -> None:
    assert kind_from_json(json.loads(json.dumps(kind_to_json(kind)))) == kind


def test_a_decoded_model_has_only_hashable_tuples_where_the_contract_says_tuple() -> None:
    everything = Model(
        name="a.b",
        path="p",
        dialect="duckdb",
        kind=View(),
        columns=(Column(name="a"),),
        references=(Reference(start=0, end=1, name="x"),),
        audits=(AuditCall(name="n", query="q"),),
        **dict.fromkeys(
            (
                "depends_on",
                "pre_statements",
                "post_statements",
                "on_virtual_update",
                "tags",
                "grains",
                "references_keys",
                "partitioned_by",
                "clustered_by",
            ),
            ("x", "y"),
        ),
    )
    decoded = model_from_json(json.loads(json.dumps(model_to_json(everything))))
    for field in fields(Model):
        assert type(getattr(decoded, field.name)) is type(getattr(everything, field.name)), field.name


def test_fields_at_their_default_are_left_out() -> None:
    data = model_to_json(Model(name="a.b", path="p", dialect="duckdb", kind=Full()))
    assert data == {"name": "a.b", "path": "p", "dialect": "duckdb", "kind": {"name": "FULL"}}
