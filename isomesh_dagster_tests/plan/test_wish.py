"""What can be asked of a plan, and that it survives being written down."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.errors import PlanError
from isomesh_dagster.plan.wish import NOTHING, Wish, wish_from_json, wish_to_json
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import Category

NAMES = st.lists(st.text(min_size=1, max_size=5), max_size=3).map(tuple)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "within": st.tuples(st.integers(0, 9), st.integers(10, 20)).map(lambda pair: Interval(*pair)),
        "choices": st.dictionaries(st.text(max_size=5), st.sampled_from(Category), max_size=3),
        "restate": NAMES,
        "select": NAMES,
        "backfill": NAMES,
        "skip_backfill": st.booleans(),
        "empty_backfill": st.booleans(),
        "no_gaps": st.booleans(),
        "create_from": st.none() | st.text(max_size=5),
        "min_intervals": st.integers(0, 5),
        "run": st.booleans(),
        "ignore_cron": st.booleans(),
    },
)


@given(PARTS)
def test_a_wish_survives_json(parts):
    try:
        wish = Wish(**parts)
    except PlanError:
        return  # it contradicts itself
    assert wish_from_json(json.loads(json.dumps(wish_to_json(wish)))) == wish


def test_only_what_is_asked_is_written():
    assert wish_to_json(NOTHING) == {}
    assert wish_to_json(Wish(no_gaps=True)) == {"no_gaps": True}


@pytest.mark.parametrize(
    "asked",
    [{"restate": "s.a"}, {"restate": [1]}, {"no_gaps": 1}, {"min_intervals": True}, {"within": [2]}, {"magic": 1}],
)
def test_what_was_never_written_is_refused(asked):
    with pytest.raises(ValueError, match="no part of a wish"):
        wish_from_json(asked)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"skip_backfill": True, "empty_backfill": True}, "exclude each other"),
        ({"restate": ("s.a",), "select": ("s.a",)}, "ignores the files"),
        ({"restate": ("s.a",), "skip_backfill": True}, "a restatement builds"),
        ({"ignore_cron": True}, "ask for run"),
        ({"run": True, "within": Interval(0, 1)}, "takes no start"),
        ({"min_intervals": -1}, "not -1"),
    ],
)
def test_contradictions_are_told(parts, told):
    with pytest.raises(PlanError, match=told):
        Wish(**parts)
