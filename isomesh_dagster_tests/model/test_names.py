import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.errors import InvalidName, ModelError
from isomesh_dagster.model.names import check_model_names, validate_environment, validate_gateway

MUST_MATCH, RESERVED, TOO_LONG, NOT_TEXT = "must match", "is reserved", "longer than 30", "must be a string"

BAD = [
    *((name, MUST_MATCH) for name in ("", " ", "Prod", "PROD", "prod ", " prod", "dev-1", "dev.1", "dev/1", "../prod")),
    *((name, MUST_MATCH) for name in ("..", ".", "a/../../b", "dev;drop schema prod cascade", "dev' or '1'='1")),
    *((name, MUST_MATCH) for name in ('dev"; drop schema prod cascade; --', "dev--", "dev/*x*/", "dev\n", "dev\0")),
    *((name, MUST_MATCH) for name in ("dev\t1", "1dev", "_dev")),
    *(
        (name, RESERVED)
        for name in ("dev__prod", "dev_", "pg_catalog", "pg_temp", "information_schema", "main", "iso_meta")
    ),
    *((name, TOO_LONG) for name in ("a" * 31, "a" * 64)),
    *(
        (name, MUST_MATCH)
        for name in ("dév", "ｐｒｏｄ", "pr\u043ed", "dev\u200b", "dev\u202e", "dev\U0001f600", "$(id)", "`id`")
    ),
    *((name, MUST_MATCH) for name in ("${PROD_PW}", "{{ env_var('X') }}", "%s", "%(x)s", "@start_ds", "dev%20")),
    *((name, RESERVED) for name in ("null", "none", "default")),
    *((value, NOT_TEXT) for value in (0, None, True, ["dev"], {"dev": 1}, b"dev")),
]


@pytest.mark.parametrize(("name", "complaint"), BAD, ids=lambda value: ascii(value)[:30])
def test_bad_environment_names(name: object, complaint: str) -> None:
    with pytest.raises(InvalidName) as caught:
        validate_environment(name)
    assert complaint in caught.value.message
    assert caught.value.message.isascii()
    assert caught.value.message.isprintable()
    assert caught.value.hint


@pytest.mark.parametrize("name", ["prod", "dev", "dev_1", "pr_42", "select", "con", "a", "a" * 30, "d1"])
def test_good_environment_names(name: str) -> None:
    assert validate_environment(name) == name


@given(st.text(max_size=40))
def test_a_name_is_accepted_as_it_stands_or_refused(name: str) -> None:
    try:
        assert validate_environment(name) == name
    except InvalidName:
        return
    assert name.isascii()
    assert name == name.lower()
    assert name.replace("_", "a").isalnum()
    assert len(name) <= 30


def test_the_hint_offers_an_allowed_name() -> None:
    with pytest.raises(InvalidName) as caught:
        validate_environment("Feature/New-Prices")
    assert caught.value.hint == "feature_new_prices would be allowed"


@pytest.mark.parametrize("bad", ["Prod", "", "a b", "../x", "prod\n", "1", "x" * 64, None, 7])
def test_gateway_names(bad: object) -> None:
    assert validate_gateway("non-production_2") == "non-production_2"
    with pytest.raises(InvalidName):
        validate_gateway(bad)


def places(*names: str) -> dict[str, tuple[str, int]]:
    return {name: (f"models/{index}.sql", 1) for index, name in enumerate(names)}


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["iso_meta.x"], "reserved"),
        (["cat.information_schema.x"], "reserved"),
        (["pg_catalog.x"], "reserved"),
        (["isomesh__shop.x"], "reserved"),
        (["prod.a", "prod__dev.x"], "environment named dev"),
        (["shop.Orders", "shop.orders"], "name collision"),
        (["shop." + "a" * 63 + "1", "shop." + "a" * 63 + "2"], "name collision"),
    ],
)
def test_model_names_that_would_meet_in_the_warehouse(names: list[str], complaint: str) -> None:
    with pytest.raises(ModelError, match=complaint) as caught:
        check_model_names(places(*names))
    assert caught.value.path is not None


def test_model_names_that_do_not_meet() -> None:
    check_model_names(places("shop.orders", "raw__eu.orders", "shop__dev_.x", "orders", "cat.shop.orders"))
