"""Events told to people and to scripts."""

from __future__ import annotations

import json

import pytest

from isomesh_dagster.cli.console import Console
from isomesh_dagster.cli.progress import building
from isomesh_dagster.cli.report import Report, event_line, seconds_words
from isomesh_dagster.errors import AuditError, ModelError
from isomesh_dagster.records.events import (
    Audited,
    Built,
    Dropped,
    Evaluated,
    Failed,
    Promoted,
    Reused,
    Skipped,
)
from isomesh_dagster.relation import Relation
from isomesh_dagster.snapshot.interval import Interval
from isomesh_dagster.snapshot.snapshot import SnapshotId
from isomesh_dagster_tests.plan.test_explain import PLAN

DAY = Interval(0, 86_400_000)
TABLE = Relation(schema="isomesh__s", name="s__a__v")


def snapshot_id(name: str) -> SnapshotId:
    return SnapshotId(name=name, identifier="i", version="v")


def audited(rows: int, *, blocking: bool = True) -> Audited:
    return Audited(model="s.a", audit="not_null", failing_rows=rows, blocking=blocking, interval=DAY)


BUILT = Built(
    model="s.a",
    snapshot=snapshot_id("s.a"),
    physical=TABLE,
    intervals=(DAY,),
    rows=1200,
    seconds=0.5,
    audits=(audited(0), audited(3, blocking=False)),
)
POINTED = Built(
    model="s.v", snapshot=snapshot_id("s.v"), physical=TABLE, intervals=(DAY,), rows=None, seconds=0.1, repoint=True
)
REUSED = Reused(model="s.b", snapshot=snapshot_id("s.b"), physical=TABLE)
PROMOTED = Promoted(environment="dev", plan_id="p", number=4, created=("s__dev.a",), dropped=(), seconds=0.02)
FAILED = Failed(model="s.c", error=AuditError("not_null found 3 rows", model="s.c"), audits=(audited(3),))
EVALUATED = Evaluated(model="s.a", snapshot=snapshot_id("s.a"), interval=DAY, rows=1200, seconds=0.4)


def test_a_report_as_json() -> None:
    document = Report(events=[EVALUATED, BUILT, POINTED, REUSED, PROMOTED]).json(1.23456)
    assert json.loads(json.dumps(document)) == document
    assert document["seconds"] == 1.235
    assert document["built"] == [
        {
            "model": "s.a",
            "version": "v",
            "physical_table": "isomesh__s.s__a__v",
            "intervals": [["1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"]],
            "rows": 1200,
            "seconds": 0.5,
            "audits": [
                {
                    "audit": "not_null",
                    "passed": rows == 0,
                    "failing_rows": rows,
                    "blocking": rows == 0,
                    "interval": ["1970-01-01T00:00:00Z", "1970-01-02T00:00:00Z"],
                }
                for rows in (0, 3)
            ],
        }
    ]
    assert document["repointed"] == ["s.v"]
    assert document["reused"] == ["s.b"]
    assert document["promoted"] == {
        "environment": "dev",
        "plan_id": "p",
        "number": 4,
        "views_created": ["s__dev.a"],
        "views_dropped": [],
        "notes": [],
        "seconds": 0.02,
    }


def test_a_report_knows_when_something_failed() -> None:
    report = Report(events=[FAILED, Skipped(model="s.d", because="s.c")])
    document = report.json(1)
    assert report.failed
    assert document["failed"][0]["model"] == "s.c"  # type: ignore[index]
    assert document["skipped"] == [{"model": "s.d", "because": "s.c"}]
    assert document["promoted"] is None
    assert not Report(events=[BUILT]).failed


def test_the_sentence_counts_what_was_done() -> None:
    assert Report(events=[EVALUATED, BUILT, POINTED, REUSED, PROMOTED]).sentence(2) == (
        "Done in 2.00 s: built 1 model (1,200 rows), pointed 1 view at new tables, reused 1 table,"
        " dev swapped in 0.02 s, promotion 4."
    )
    assert Report().sentence(0.5) == "Done in 0.50 s: nothing to do."


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (BUILT, "built    s.a  1,200 rows  0.50 s"),
        (POINTED, "pointed  s.v"),
        (REUSED, "reused   s.b"),
        (FAILED, "failed   s.c: not_null found 3 rows"),
        (Skipped(model="s.d", because="s.c"), "skipped  s.d, because s.c failed"),
        (PROMOTED, "swapped  dev: 1 view set, 0 dropped  0.02 s"),
        (
            audited(3, blocking=False),
            "audit    s.a: not_null found 3 rows in [1970-01-01T00:00:00Z, 1970-01-02T00:00:00Z) (not blocking)",
        ),
        (Dropped(name="s.a"), "dropped  relation s.a"),
        (Dropped(name="dev", environment="dev"), "dropped  environment dev"),
        (Dropped(name="s.a", kept_because="my_view reads it"), "kept     relation s.a: my_view reads it"),
    ],
)
def test_events_as_lines(event: Built, line: str) -> None:
    told = event_line(event)
    assert told is not None
    assert told[0] == line


def test_a_batch_is_only_progress() -> None:
    assert event_line(EVALUATED) is None


@pytest.mark.parametrize(("seconds", "words"), [(0.123, "0.12 s"), (12.34, "12.3 s"), (250.9, "4 min 10 s")])
def test_seconds(seconds: float, words: str) -> None:
    assert seconds_words(seconds) == words


def test_progress_in_a_pipe_is_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    with building(PLAN) as show:
        for event in (EVALUATED, BUILT, REUSED, PROMOTED):
            show(event)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split()[0] for line in err.splitlines()] == ["built", "audit", "reused", "swapped"]


def test_beside_json_only_failures_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with building(PLAN, quiet=True) as show:
        for event in (BUILT, FAILED):
            show(event)
    assert capsys.readouterr().err.startswith("failed   s.c")


def test_a_printed_plan_is_not_wrapped_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    Console().plan(PLAN)
    out, err = capsys.readouterr()
    assert err == ""
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[0] == "gateway nonproduction · environment dev (existing environment) · plan 0123456789ab"
    assert "  ~ core.flights  breaking  rows." in lines
    assert "      +FROM b" in lines
    assert "      └ affects marts.routes" in lines
    assert "  ▸ core.flights  2013-01-01 → 2013-12-31 (365 days, 14 batches)" in lines
    assert lines[-1].startswith("Applying it builds 2 models")


def test_an_error_is_place_message_and_hint_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    error = ModelError("unknown kind", path="models/a.sql", line=3, model="s.a", hint="did you mean FULL?")
    Console().error(error, gateway="production")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error [production] models/a.sql:3 (s.a): unknown kind\n  hint: did you mean FULL?\n"


def test_names_are_never_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    Console().table(("[bold]name[/bold]",), [("[red]x[/red]",), (None,)])
    assert "[red]x[/red]" in capsys.readouterr().out
