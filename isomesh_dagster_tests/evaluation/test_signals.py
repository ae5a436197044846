"""Signals: what is not ready is not built, nor is what reads it; nothing an environment shows is lost by waiting."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from isomesh_dagster.errors import IsomeshError, ModelError, PlanError
from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Built, Event, Failed, Promoted, Skipped, Waiting

NOW = datetime(2024, 1, 8, 10, tzinfo=timezone.utc)
CONFIG = """
gateways:
  one:
    connection: {type: duckdb, database: warehouse.duckdb}
model_defaults: {dialect: duckdb, start: '2024-01-01'}
variables: {lag: 1}
"""
SIGNAL = """\
import typing as t
from sqlmesh import signal, DatetimeRanges

@signal()
def arrived(batch: DatetimeRanges, source: str, context) -> t.Union[bool, DatetimeRanges]:
    days = {str(row[0]) for row in context.engine_adapter.fetchall(f"SELECT day FROM {source}")}
    return [(start, end) for start, end in batch if str(start.date()) in days]
"""
DAYS = """
MODEL (name s.days, kind INCREMENTAL_BY_TIME_RANGE (time_column ds), signals (arrived(source := 'raw.arrived')));
SELECT ds, v FROM raw.days WHERE ds BETWEEN @start_ds AND @end_ds
"""
CHILD = """
MODEL (name s.child, kind INCREMENTAL_BY_TIME_RANGE (time_column ds));
SELECT ds, v * 2 AS v FROM s.days WHERE ds BETWEEN @start_ds AND @end_ds
"""
TOTAL = "MODEL (name s.total, kind FULL); SELECT COUNT(*) AS n, MAX(ds) AS last FROM s.names"
NAMES = "MODEL (name s.names, kind VIEW); SELECT * FROM s.days"


class Files:
    """A project on disk."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def load(self) -> Project:
        return Project.load(self.root, environ={})


@pytest.fixture
def files(tmp_path: Path) -> Files:
    files = Files(tmp_path)
    files.write("config.yaml", CONFIG)
    files.write("signals/arrived.py", SIGNAL)
    for name, text in (("days", DAYS), ("child", CHILD), ("total", TOTAL), ("names", NAMES)):
        files.write(f"models/{name}.sql", text)
    with Project.load(tmp_path, environ={}) as project, project.connection().session() as session:
        session.execute("CREATE SCHEMA raw")
        session.execute("CREATE TABLE raw.arrived (day DATE)")
        session.execute(
            "CREATE TABLE raw.days AS SELECT DATE '2024-01-01' + CAST(i AS INT) AS ds, i AS v FROM range(60) AS t(i)"
        )
    return files


def arrive(project: Project, *days: int) -> None:
    with project.connection().session() as session:
        for day in days:
            session.execute(f"INSERT INTO raw.arrived VALUES (DATE '2024-01-{day:02}')")


def rows(project: Project, sql: str) -> list[tuple]:
    with project.connection().session() as session:
        return session.fetch(sql)


def days(events: list[Event], kind: type, model: str) -> list[str]:
    """The intervals that events of a kind tell of a model, as days of January: `1-3` without the last."""
    return [
        "-".join(text[8:10] for text in interval.iso())
        for event in events
        if isinstance(event, kind) and event.model == model
        for interval in event.intervals
    ]


def shown(project: Project, model: str = "s.days") -> list[int]:
    return [row[0] for row in rows(project, f"SELECT DAY(ds) FROM {model} ORDER BY 1")]


def test_what_is_not_ready_waits_and_so_does_what_reads_it(files: Files) -> None:
    with files.load() as project:
        arrive(project, 1, 2, 3, 6)
        events = list(project.apply(project.plan("prod", now=NOW)))
        assert days(events, Built, "s.days") == ["01-04", "06-07"]
        assert days(events, Waiting, "s.days") == ["04-06", "07-08"]
        assert [(one.signal, one.parent, one.units) for one in events if isinstance(one, Waiting)][:1] == [
            ("arrived", None, 3)
        ]
        assert days(events, Built, "s.child") == ["01-04", "06-07"]
        assert days(events, Waiting, "s.child") == ["04-06", "07-08"]
        assert days(events, Built, "s.total") == ["01-04"]  # made whole: nothing after the first gap counts
        assert {one.parent for one in events if isinstance(one, Waiting) and one.model == "s.total"} == {"s.names"}
        assert any(isinstance(event, Promoted) for event in events)
        assert shown(project) == shown(project, "s.child") == [1, 2, 3, 6]
        assert project.plan("prod", now=NOW).is_empty

        arrive(project, 4)
        events = list(project.apply(project.run_plan("prod", now=NOW)))
        assert days(events, Built, "s.days") == days(events, Built, "s.child") == ["04-05"]
        assert days(events, Built, "s.total") == ["01-05"]
        arrive(project, 5, 7)
        events = list(project.apply(project.run_plan("prod", now=NOW)))
        assert not [event for event in events if isinstance(event, Waiting)]
        assert shown(project) == shown(project, "s.child") == [1, 2, 3, 4, 5, 6, 7]
        assert rows(project, "SELECT n FROM s.total") == [(7,)]
        assert project.run_plan("prod", now=NOW).is_empty


def test_a_run_in_which_all_waits_is_no_failure_and_leaves_nothing_open(files: Files) -> None:
    with files.load() as project:
        arrive(project, *range(1, 8))
        list(project.apply(project.plan("prod", now=NOW)))
        tomorrow = NOW + timedelta(days=1)
        plan = project.run_plan("prod", now=tomorrow)
        events = list(project.apply(plan))
        assert {type(event) for event in events} == {Waiting}
        assert {event.model for event in events} == {"s.days", "s.child", "s.total"}
        assert project.state().open_plans() == []
        assert project.run_plan("prod", now=tomorrow).builds == plan.builds
        arrive(project, 8)
        list(project.apply(project.run_plan("prod", now=tomorrow)))
        assert shown(project, "s.child") == list(range(1, 9))


def test_the_first_plan_of_a_model_that_waits_shows_an_empty_table(files: Files) -> None:
    files.write(
        "models/whole.sql", "MODEL (name s.whole, kind FULL, signals arrived(source := 'raw.arrived')); SELECT 1 AS a"
    )
    files.write(
        "models/audited.sql",
        "MODEL (name s.audited, kind FULL, audits (number_of_rows(threshold := 0))); SELECT a FROM s.whole",
    )
    with files.load() as project:
        events = list(project.apply(project.plan("prod", now=NOW)))
        assert any(isinstance(event, Promoted) for event in events)
        assert [rows(project, f"SELECT COUNT(*) FROM s.{name}") for name in ("days", "child", "whole", "audited")] == [
            [(0,)]
        ] * 4
        arrive(project, *range(1, 8))
        list(project.apply(project.run_plan("prod", now=NOW)))
        assert shown(project) == list(range(1, 8))
        assert rows(project, "SELECT a FROM s.audited") == [(1,)]


def test_a_plan_does_not_take_away_rows_that_the_environment_shows(files: Files) -> None:
    with files.load() as project:
        arrive(project, *range(1, 8))
        list(project.apply(project.plan("prod", now=NOW)))
        rows(project, "DELETE FROM raw.arrived WHERE DAY(day) > 5 RETURNING 1")
    files.write("models/days.sql", DAYS.replace("SELECT ds, v", "SELECT ds, v + 1 AS v"))
    with files.load() as project:
        plan = project.plan("prod", now=NOW)
        with pytest.raises(PlanError, match=r"shows intervals that wait .*s\.days: 2"):
            list(project.apply(plan))
        assert shown(project) == list(range(1, 8))
        assert rows(project, "SELECT MIN(v) FROM s.days") == [(0,)]
        arrive(project, 6, 7)
        events = list(project.apply(project.plan("prod", now=NOW)))
        assert days(events, Built, "s.days") == ["06-08"]
        assert rows(project, "SELECT MIN(v), COUNT(*) FROM s.days") == [(1, 7)]


def test_batches_that_build_on_each_other_stop_at_the_first_that_waits(files: Files) -> None:
    files.write(
        "models/keyed.sql",
        """MODEL (name s.keyed, kind INCREMENTAL_BY_UNIQUE_KEY (unique_key id, batch_size 1));
        SELECT 1 AS id, MAX(v) AS v FROM s.days WHERE ds BETWEEN @start_ds AND @end_ds HAVING COUNT(*) > 0""",
    )
    with files.load() as project:
        arrive(project, 1, 2, 4)
        events = list(project.apply(project.plan("prod", now=NOW)))
        assert days(events, Built, "s.keyed") == ["01-03"]
        assert days(events, Waiting, "s.keyed") == ["03-08"]
        assert rows(project, "SELECT v FROM s.keyed") == [(1,)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise ValueError('no such feed')", "signal 'arrived' failed with ValueError: no such feed"),
        ("return 3", "signal 'arrived' returned int, which is no answer"),
        ("return [(1, 2)]", r"signal 'arrived' returned \(1, 2\), which is none of the intervals"),
        ("return [batch[0][0]]", "which is none of the intervals"),
    ],
)
def test_a_signal_that_fails_fails_its_model_and_nothing_else(files: Files, body: str, message: str) -> None:
    files.write(
        "signals/arrived.py",
        f"from isomesh_dagster import signal\n\n@signal()\ndef arrived(batch, source, context):\n    {body}\n",
    )
    files.write("models/other.sql", "MODEL (name s.other, kind FULL); SELECT 1 AS a")
    events: list[Event] = []
    with files.load() as project:
        plan = project.plan("prod", now=NOW)
        with pytest.raises(IsomeshError, match=message) as caught:
            events.extend(project.apply(plan))
    assert {event.model for event in events if isinstance(event, Failed)} == {"s.days"}
    assert {event.model for event in events if isinstance(event, Skipped)} >= {"s.child", "s.total"}
    assert {event.model for event in events if isinstance(event, Built)} == {"s.other"}
    assert caught.value.path in ("signals/arrived.py", "models/days.sql")


def test_arguments_are_what_hints_ask_for_and_know_variables_and_macros(files: Files) -> None:
    files.write(
        "signals/asked.py",
        """\
from sqlmesh import signal

@signal("told")
def whatever(batch, number: int, names: list[str], day: str, flag: bool = False, *, execution_time, snapshot, context):
    assert (number, names, flag) == (3, ["a", "b"], True)
    assert day == "2024-01-01" and execution_time.year == 2024 and snapshot.name == "s.told"
    assert context.var("lag") == 1 and context.gateway == "one"
    assert [(end - start).days for start, end in batch] == [1] * 7
    return True
""",
    )
    files.write(
        "models/told.sql",
        """MODEL (name s.told, kind INCREMENTAL_BY_TIME_RANGE (time_column ds),
        signals (told(number := @lag + 2, names := ['a', 'b'], day := @start_ds, flag := true)));
        SELECT ds FROM raw.days""".replace("@lag + 2", "@EVAL(@lag + 2)"),
    )
    with files.load() as project:
        assert "s.told" in {e.model for e in project.apply(project.plan("prod", now=NOW)) if isinstance(e, Built)}


@pytest.mark.parametrize(
    ("use", "message", "hint"),
    [
        ("arived(source := 'x')", "unknown signal 'arived'", "did you mean `arrived`"),
        ("arrived", "signal 'arrived' needs 'source'", "write arrived(source := …)"),
        ("arrived(sauce := 'x', source := 'y')", "has no argument 'sauce'", "did you mean `source`"),
        ("arrived(source := 'x'), arrived(source := 'y')", "named twice", "keep one"),
        ("freshness(x := 1)", "takes no arguments", "write freshness"),
        ("arrived(source := @nothing)", "nothing", None),
    ],
)
def test_wrong_uses_are_told_at_load(files: Files, use: str, message: str, hint: str | None) -> None:
    files.write("models/days.sql", DAYS.replace("arrived(source := 'raw.arrived')", use))
    with pytest.raises(ModelError, match=message) as caught:
        files.load()
    assert caught.value.path == "models/days.sql"
    assert caught.value.line == 2
    assert hint is None or hint in (caught.value.hint or "")


def test_a_variable_that_cannot_be_found_in_the_text_is_refused_at_load(files: Files) -> None:
    head = "from sqlmesh import signal\n\n@signal()\ndef arrived(batch, source, context):\n"
    files.write("signals/arrived.py", f"{head}    return context.var('l' + 'ag')\n")
    with pytest.raises(ModelError, match="is not the name of a variable"):
        files.load()


def test_a_change_of_a_signal_is_metadata(files: Files) -> None:
    with files.load() as project:
        arrive(project, *range(1, 8))
        list(project.apply(project.plan("prod", now=NOW)))
    for path, old, new in (
        ("signals/arrived.py", "in days]", "in days or False]"),
        ("config.yaml", "lag: 1", "lag: 2"),
    ):
        files.write(path, (files.root / path).read_text().replace(old, new))
        with files.load() as project:
            plan = project.plan("prod", now=NOW)
            changed = {change.model: change.category for change in plan.changes}
            if path == "config.yaml":
                assert changed == {}  # no signal asks for it
                continue
            assert changed.keys() >= {"s.days"}
            assert not plan.builds
            list(project.apply(plan))


def test_other_code_than_was_planned_is_refused(files: Files) -> None:
    with files.load() as project:
        arrive(project, *range(1, 8))
        list(project.apply(project.plan("prod", now=NOW)))
    files.write("signals/arrived.py", SIGNAL.replace("in days]", "not in days]"))
    with files.load() as project:
        plan = project.run_plan("prod", now=NOW + timedelta(days=1))
        with pytest.raises(ModelError, match="is not what the model was planned with"):
            list(project.apply(plan))


def test_signals_that_the_format_has(files: Files) -> None:
    files.write("models/days.sql", DAYS.replace("arrived(source := 'raw.arrived')", "freshness"))
    files.write(
        "signals/ago.py",
        "from sqlmesh import signal\nfrom sqlmesh.utils.date import to_datetime\n\n@signal()\n"
        "def long_ago(batch):\n    return [one for one in batch if one[0] <= to_datetime('1 week ago')]\n",
    )
    files.write("models/child.sql", CHILD.replace("ds));", "ds), signals [long_ago]);"))
    with files.load() as project:
        events = list(project.apply(project.plan("prod", now=NOW)))
        assert days(events, Built, "s.days") == days(events, Built, "s.child") == ["01-08"]
