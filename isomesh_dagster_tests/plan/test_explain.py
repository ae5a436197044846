"""What people and scripts read before they approve: golden texts of one plan that has something of everything."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isomesh_dagster.model.kinds import Full, IncrementalByTimeRange, ModelKind, Seed, View
from isomesh_dagster.model.model import AuditCall, Model
from isomesh_dagster.plan.documents import plan_json, plan_markdown
from isomesh_dagster.plan.explain import affected_readers, change_sections, headline, plan_sections, plan_steps, summary
from isomesh_dagster.plan.plan import NEW, Build, Change, ChangeType, Plan, Promote
from isomesh_dagster.plan.words import build_words, range_words
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot import environment as env
from isomesh_dagster.snapshot.interval import Interval, to_ms
from isomesh_dagster.snapshot.snapshot import Category, Fingerprint, Snapshot

DAY = 86_400_000


def ms(text: str) -> int:
    return to_ms(datetime.fromisoformat(text))


def interval(start: str, end: str) -> Interval:
    return Interval(ms(start), ms(end))


def snapshot(
    name: str, version: str, kind: ModelKind, category: Category, *parents: Snapshot, audits: tuple[AuditCall, ...] = ()
) -> Snapshot:
    model = Model(name=name, path=f"models/{name}.sql", dialect="duckdb", kind=kind, audits=audits)
    schema, table = name.split(".")
    return Snapshot(
        model=model,
        fingerprint=Fingerprint(data="d", metadata="m", version=version, identity=f"id-{version}"),
        version=version,
        category=category,
        physical=Relation(schema=f"isomesh__{schema}", name=f"{schema}__{table}__{version}"),
        parents=tuple(parent.id for parent in parents),
    )


WHOLE = interval("2013-01-01", "2014-01-01")
BATCHES = tuple(
    Interval(ms("2013-01-01") + i * 28 * DAY, min(ms("2013-01-01") + (i + 1) * 28 * DAY, ms("2014-01-01")))
    for i in range(14)
    if ms("2013-01-01") + i * 28 * DAY < ms("2014-01-01")
)

RAW = snapshot("seeds.raw", "v1", Seed(path="raw.csv", content_hash="c"), Category.BREAKING)
FLIGHTS = snapshot(
    "core.flights",
    "v2",
    IncrementalByTimeRange(time_column="day", batch_size=28),
    Category.BREAKING,
    RAW,
    audits=(AuditCall(name="not_null", query=""), AuditCall(name="fresh", query="", blocking=False)),
)
LATE = snapshot("core.late", "v3", View(), Category.INDIRECT_NON_BREAKING, FLIGHTS)
ROUTES = snapshot("marts.routes", "v4", Full(), Category.INDIRECT_BREAKING, FLIGHTS)
OWNERS = snapshot("marts.owners", "v5", Full(), Category.METADATA)

DIFF = """@@ -1,3 +1,3 @@
 SELECT day
-FROM a
+FROM b
"""

PLAN = Plan(
    id="0123456789abcdef",
    gateway="nonproduction",
    environment="dev",
    based_on="fedcba9876543210",
    execution_time=datetime(2026, 11, 22, 4, 5, 6, tzinfo=timezone.utc),
    changes=(
        Change(model="core.flights", change=ChangeType.DIRECT, category=Category.BREAKING, reason="rows.", diff=DIFF),
        Change(model="core.late", change=ChangeType.INDIRECT, category=Category.INDIRECT_NON_BREAKING, reason="reads."),
        Change(model="core.old", change=ChangeType.REMOVED, category=None, reason="no file defines it."),
        Change(model="marts.owners", change=ChangeType.METADATA, category=Category.METADATA, reason="owner."),
        Change(model="marts.routes", change=ChangeType.INDIRECT, category=Category.INDIRECT_BREAKING, reason="reads."),
        Change(model="seeds.raw", change=ChangeType.ADDED, category=Category.BREAKING, reason="new."),
    ),
    snapshots={each.name: each for each in (RAW, FLIGHTS, LATE, ROUTES, OWNERS)},
    new_snapshots=frozenset({FLIGHTS.id, LATE.id, ROUTES.id}),
    builds=(
        Build(snapshot=FLIGHTS, intervals=(WHOLE,), batches=BATCHES),
        Build(snapshot=LATE, intervals=(WHOLE,), batches=(WHOLE,), repoint=True),
        Build(snapshot=ROUTES, intervals=(WHOLE,), batches=(WHOLE,)),
    ),
    reuses=(RAW.id,),
    promote=Promote(
        environment="dev",
        target=env.Target(
            snapshots={each.name: each.id for each in (RAW, FLIGHTS)},
            views={
                "core.flights": env.View(view="core__dev.flights", physical=str(FLIGHTS.physical)),
                "seeds.raw": env.View(view="seeds__dev.raw", physical=str(RAW.physical)),
            },
        ),
        create={"core__dev.flights": str(FLIGHTS.physical), "seeds__dev.raw": str(RAW.physical)},
        drop=("core__dev.old",),
        expires_at=datetime(2026, 11, 29, 4, 5, 6, tzinfo=timezone.utc),
    ),
    compared_with="dev",
    warnings=("core.old is read by nobody we know.",),
)

EMPTY = Plan(
    id="0123456789abcdef",
    gateway="production",
    environment="prod",
    based_on="fedcba9876543210",
    execution_time=datetime(2026, 11, 22, tzinfo=timezone.utc),
    changes=(),
    snapshots={},
    new_snapshots=frozenset(),
    builds=(),
    reuses=(),
    promote=None,
    compared_with="prod",
)


def test_the_headline_names_gateway_environment_and_plan() -> None:
    assert headline(PLAN) == "gateway nonproduction · environment dev (existing environment) · plan 0123456789ab"


def test_the_summary_is_one_sentence() -> None:
    assert summary(PLAN) == (
        "Applying it builds 2 models, points 1 view at new tables, reuses 1 table without work and swaps the"
        " environment at once (2 views set, 1 view dropped)."
    )
    assert summary(EMPTY) == "Nothing to do: prod already shows these models."


def test_sections_golden() -> None:
    told = {section.title: [(i.name, i.label, i.text, i.children) for i in section.items] for section in _sections()}
    assert told == {
        "Added, already built": [("seeds.raw", "", "isomesh__seeds.seeds__raw__v1", ())],
        "Removed": [("core.old", "", "no file defines it.", ())],
        "Directly modified": [
            (
                "core.flights",
                "breaking",
                "rows.",
                ("affects marts.routes",),
            )
        ],
        "Indirectly modified": [
            ("core.late", "indirect-non-breaking", "reads.", ()),
            ("marts.routes", "indirect-breaking", "reads.", ()),
        ],
        "Only metadata modified": [("marts.owners", "", "owner.", ())],
        "To build": [
            ("core.flights", "2013-01-01 → 2013-12-31 (365 days, 14 batches)", "", ()),
            ("marts.routes", "whole table", "", ()),
        ],
        "Views to point at new tables (no rows computed)": [("core.late", "view", "", ())],
        "Warnings": [("core.old is read by nobody we know.", "", "", ())],
    }


def _sections() -> tuple:  # type: ignore[type-arg]
    return plan_sections(PLAN)


def test_what_is_new_is_told_once_with_what_is_built_of_it() -> None:
    new = replace(PLAN, changes=(Change(model="marts.routes", change=ChangeType.ADDED, category=None, reason=NEW),))
    told = {section.title: [(item.name, item.label) for item in section.items] for section in plan_sections(new)}
    assert told["Added, to build"] == [("marts.routes", "whole table")]
    assert [name for name, _ in told["To build besides"]] == ["core.flights"]
    assert [item.name for item in change_sections(new)[0].items] == ["marts.routes"]


def test_diffs_can_be_left_out() -> None:
    with_diffs = [item.diff for section in plan_sections(PLAN) for item in section.items if item.diff]
    without = [item.diff for section in plan_sections(PLAN, diffs=False) for item in section.items if item.diff]
    assert with_diffs == [DIFF]
    assert without == []


def test_change_sections_tell_no_builds() -> None:
    assert {section.tone for section in change_sections(PLAN)} == {"added", "removed", "direct", "indirect", "metadata"}
    assert change_sections(EMPTY) == ()


def test_readers_of_a_change_come_parents_first() -> None:
    assert affected_readers(PLAN, "core.flights") == ("core.late", "marts.routes")
    assert affected_readers(PLAN, "marts.owners") == ()


def test_steps_name_every_object() -> None:
    steps = plan_steps(PLAN)
    assert [section.title for section in steps] == [
        "Check",
        "Create physical schemas that are missing",
        "Build: write, audit and record each batch in one transaction",
        "Swap, in one transaction",
    ]
    build = steps[2].items[0]
    assert build.label == "INCREMENTAL_BY_TIME_RANGE: 2013-01-01 → 2013-12-31 (365 days, 14 batches)"
    assert build.children == (
        "writes isomesh__core.core__flights__v2",
        "14 batches, first 2013-01-01 → 2013-01-28",
        "audit not_null",
        "audit fresh (non-blocking)",
    )
    assert [(item.name, item.text or item.label) for item in steps[3].items] == [
        ("core__dev.flights", "→ isomesh__core.core__flights__v2"),
        ("seeds__dev.raw", "→ isomesh__seeds.seeds__raw__v1"),
        ("core__dev.old", "dropped"),
        ("record that dev shows plan 0123456789ab", ""),
    ]
    assert plan_steps(EMPTY) == ()


def test_json_golden() -> None:
    document = plan_json(PLAN)
    assert list(document) == [
        "gateway",
        "environment",
        "plan_id",
        "based_on",
        "compared_with",
        "is_new_environment",
        "is_empty",
        "execution_time",
        "changes",
        "builds",
        "repoints",
        "migrations",
        "effective_from",
        "later",
        "before_all",
        "after_all",
        "audits",
        "reuses",
        "due_again",
        "wish",
        "promotes",
        "warnings",
    ]
    assert document["execution_time"] == "2026-11-22T04:05:06Z"
    assert document["changes"][0] == {  # type: ignore[index]
        "model": "core.flights",
        "change": "direct",
        "category": "breaking",
        "reason": "rows.",
        "columns": [],
        "diff": DIFF,
    }
    assert document["changes"][2]["category"] is None  # type: ignore[index,call-overload]
    assert document["builds"][0] == {  # type: ignore[index]
        "model": "core.flights",
        "version": "v2",
        "physical_table": "isomesh__core.core__flights__v2",
        "intervals": [["2013-01-01T00:00:00Z", "2014-01-01T00:00:00Z"]],
        "kind": "INCREMENTAL_BY_TIME_RANGE",
        "category": "breaking",
        "over": None,
        "batches": 14,
        "without_rows": False,
        "is_preview": False,
        "restated_by": [],
        "expected_seconds": None,
    }
    assert [each["model"] for each in document["builds"]] == ["core.flights", "marts.routes"]  # type: ignore
    assert [each["model"] for each in document["repoints"]] == ["core.late"]  # type: ignore
    assert document["reuses"] == [
        {"model": "seeds.raw", "version": "v1", "physical_table": "isomesh__seeds.seeds__raw__v1"}
    ]
    assert document["promotes"] == {
        "environment": "dev",
        "views_created": ["core__dev.flights", "seeds__dev.raw"],
        "views_dropped": ["core__dev.old"],
        "views": [
            {
                "model": "core.flights",
                "view": "core__dev.flights",
                "physical_table": "isomesh__core.core__flights__v2",
            },
            {"model": "seeds.raw", "view": "seeds__dev.raw", "physical_table": "isomesh__seeds.seeds__raw__v1"},
        ],
        "expires_at": "2026-11-29T04:05:06Z",
    }
    assert json.loads(json.dumps(document)) == document


def test_json_of_an_empty_plan_promotes_nothing() -> None:
    document = plan_json(EMPTY)
    assert document["is_empty"] is True
    assert document["promotes"] is None
    assert document["builds"] == []


def test_markdown_golden() -> None:
    assert (
        plan_markdown(PLAN)
        == """### Plan for `dev` on gateway `nonproduction`

Applying it builds 2 models, points 1 view at new tables, reuses 1 table without work and swaps the environment at once\
 (2 views set, 1 view dropped).

`plan 0123456789abcdef` · based on `fedcba9876543210`

**Added, already built**

- `seeds.raw`: isomesh__seeds.seeds__raw__v1

**Removed**

- `core.old`: no file defines it.

**Directly modified**

- `core.flights` **breaking**: rows.
  - affects marts.routes

  ```diff
  @@ -1,3 +1,3 @@
   SELECT day
  -FROM a
  +FROM b
  ```

**Indirectly modified**

- `core.late` **indirect-non-breaking**: reads.
- `marts.routes` **indirect-breaking**: reads.

**Only metadata modified**

- `marts.owners`: owner.

**To build**

- `core.flights` **2013-01-01 → 2013-12-31 (365 days, 14 batches)**
- `marts.routes` **whole table**

**Views to point at new tables (no rows computed)**

- `core.late` **view**

**Warnings**

- core.old is read by nobody we know.

**Views**

- `core__dev.flights` → isomesh__core.core__flights__v2
- `seeds__dev.raw` → isomesh__seeds.seeds__raw__v1
- `core__dev.old` **dropped**
"""
    )


@pytest.mark.parametrize(
    ("intervals", "unit", "words"),
    [
        ([("2013-01-01", "2013-01-02")], "day", "2013-01-01"),
        ([("2013-01-01", "2014-01-01")], "day", "2013-01-01 → 2013-12-31"),
        ([("2013-01-01", "2014-01-01")], "month", "2013-01 → 2013-12"),
        ([("2013-01-01", "2014-01-01")], "year", "2013"),
        ([("2013-01-15", "2013-02-15")], "month", "2013-01-15 → 2013-02-14"),
        ([("2013-01-01T06:00", "2013-01-01T09:00")], "hour", "2013-01-01 06:00 → 2013-01-01 09:00 UTC"),
        ([("2013-01-01", "2013-01-01T12:00:30")], "day", "2013-01-01 00:00:00 → 2013-01-01 12:00:30 UTC"),
        ([("2013-01-01", "2013-01-02"), ("2013-01-05", "2013-01-07")], "day", "2013-01-01, 2013-01-05 → 2013-01-06"),
        (
            [(f"2013-01-{d:02}", f"2013-01-{d + 1:02}") for d in (1, 3, 5, 7, 9)],
            "day",
            "2013-01-01, 2013-01-03, 2013-01-05, 2 more ranges",
        ),
    ],
)
def test_ranges_are_told_as_people_say_them(intervals: list[tuple[str, str]], unit: str, words: str) -> None:
    assert range_words([interval(*each) for each in intervals], unit) == words


@given(st.integers(0, 20_000), st.integers(1, 4_000))
def test_days_are_counted_whole(first: int, days: int) -> None:
    span = Interval(first * DAY, (first + days) * DAY)
    words = build_words(Build(snapshot=FLIGHTS, intervals=(span,), batches=(span,)))
    assert f"({days:,} day" in words
    assert words.endswith("1 batch)")
