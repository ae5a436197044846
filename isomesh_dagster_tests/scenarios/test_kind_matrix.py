"""What each kind makes of the same raw data: first build, a later run, a restatement, and a new column, with its table
kept or not.

The raw data, as `id=v`: days 1 and 2 hold 1=10 and 2=20. Then day 3 comes with 2=21, 2=22 and 3=30, and 1=10 of day 1
is corrected to 11. Before the restatement of day 1, a hundred is added to everything. The new column is `w`, ten times
`v`; the run after it finds 4=40 on day 4.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from isomesh_dagster.plan.wish import Wish
from isomesh_dagster.project import Project
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster_tests.scenarios.lives import CONFIG, ON_DUCKDB, days

EXTERNAL = "- name: raw.src\n  columns: {id: INT, ds: DATE, v: INT}\n"
OF_THE_DAYS = "SELECT id, ds, v FROM raw.src WHERE ds BETWEEN @start_ds AND @end_ds"
OF_TODAY = "SELECT id, ds, v FROM raw.src"
STATES = "SELECT id, v, CAST(ds AS TIMESTAMP) AS updated_at FROM raw.src"
PYTHON = """\
from isomesh_dagster.python import model

@model("m.t", kind="FULL", columns={"id": "INT", "v": "INT"}, depends_on=["raw.src"])
def rows(context, start, end, execution_time, **kwargs):
    return context.fetchdf("SELECT id, v FROM raw.src")
"""
PYTHON_W = ('"v": "INT"', '"v": "INT", "w": "INT"')
APPENDS = """\
from isomesh_dagster.python import CustomMaterialization

class Appends(CustomMaterialization):
    NAME = "appends"

    def insert(self, table_name, query_or_df, model, is_first_insert, **kwargs):
        self.adapter.insert_append(table_name, query_or_df)
"""
PLAIN = "id, v"
VERSIONS = (
    "id, v, CASE WHEN YEAR(valid_from) = 1970 THEN 'ever' ELSE STRFTIME(valid_from, '%d') END,"
    " COALESCE(STRFTIME(valid_to, '%d'), 'on')"
)

DAYS_1_2 = "1 10, 2 20"
ALL_DAYS = "1 11, 2 20, 2 21, 2 22, 3 30"
ALL_RESTATED = "1 111, 2 120, 2 121, 2 122, 3 130"
WITH_W = "1 111 1110, 2 120 1200, 2 121 1210, 2 122 1220, 3 130 1300"
AND_DAY_4 = f"{WITH_W}, 4 40 400"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A kind, and the rows its model shows after each step.

    first       the first plan, on day 3
    later       a run on day 4
    restated    a restatement of day 1
    kept        the new column, forward-only, right after the plan
    kept_later  and after a run on day 5
    rebuilt     the new column as a new version, on day 5: history as far as the table before it reached
    """

    kind: str
    query: str = OF_TODAY
    header: str = ""
    shown: str = PLAIN
    files: tuple[tuple[str, str], ...] = ()
    first: str
    later: str
    restated: str
    kept: str
    kept_later: str
    rebuilt: str


MADE_WHOLE = Row(
    kind="FULL",
    first=DAYS_1_2,
    later=ALL_DAYS,
    restated=ALL_RESTATED,
    kept="1 111 -, 2 120 -, 2 121 -, 2 122 -, 3 130 -",
    kept_later=AND_DAY_4,
    rebuilt=AND_DAY_4,
)
ALWAYS_NOW = replace(MADE_WHOLE, kind="VIEW", kept=WITH_W)

ROWS = {
    "full": MADE_WHOLE,
    "python": replace(MADE_WHOLE, kind="", files=(("models/t.py", PYTHON),)),
    "view": ALWAYS_NOW,
    "materialized view": replace(ALWAYS_NOW, kind="VIEW (materialized true)"),
    # what its reader shows, a FULL table: it reads another text, so it is made again
    "embedded": replace(ALWAYS_NOW, kind="EMBEDDED"),
    "time range": Row(
        kind="INCREMENTAL_BY_TIME_RANGE (time_column ds)",
        query=OF_THE_DAYS,
        first=DAYS_1_2,
        later="1 10, 2 20, 2 21, 2 22, 3 30",
        restated="1 111, 2 20, 2 21, 2 22, 3 30",
        kept="1 111 -, 2 20 -, 2 21 -, 2 22 -, 3 30 -",
        kept_later="1 111 -, 2 20 -, 2 21 -, 2 22 -, 3 30 -, 4 40 400",
        rebuilt=WITH_W,
    ),
    "unique key": Row(
        kind="INCREMENTAL_BY_UNIQUE_KEY (unique_key id)",
        query=OF_THE_DAYS,
        first=DAYS_1_2,
        later="1 10, 2 22, 3 30",
        restated="1 111, 2 122, 3 130",
        kept="1 111 -, 2 122 -, 3 130 -",
        kept_later="1 111 -, 2 122 -, 3 130 -, 4 40 400",
        rebuilt="1 111 1110, 2 122 1220, 3 130 1300",
    ),
    "partition": Row(
        kind="INCREMENTAL_BY_PARTITION",
        header="partitioned_by id,",
        query=OF_THE_DAYS,
        first=DAYS_1_2,
        later="1 10, 2 21, 2 22, 3 30",
        restated=ALL_RESTATED,
        kept="1 111 -, 2 120 -, 2 121 -, 2 122 -, 3 130 -",
        kept_later="1 111 -, 2 120 -, 2 121 -, 2 122 -, 3 130 -, 4 40 400",
        rebuilt=WITH_W,
    ),
    "unmanaged": Row(
        kind="INCREMENTAL_UNMANAGED",
        query=OF_THE_DAYS,
        first=DAYS_1_2,
        later="1 10, 2 20, 2 21, 2 22, 3 30",
        restated="1 10, 2 20, 2 21, 2 22, 3 30",
        kept="1 10 -, 2 20 -, 2 21 -, 2 22 -, 3 30 -",
        kept_later="1 10 -, 2 20 -, 2 21 -, 2 22 -, 3 30 -, 4 40 400",
        rebuilt=WITH_W,
    ),
    "versions by time": Row(
        kind="SCD_TYPE_2_BY_TIME (unique_key id)",
        query=STATES,
        shown=VERSIONS,
        first="1 10 ever on, 2 20 ever on",
        later="1 10 ever on, 2 20 ever 03, 2 22 03 on, 3 30 ever on",
        restated="1 10 ever on, 2 20 ever 03, 2 22 03 on, 3 30 ever on",
        kept="1 10 ever on -, 2 20 ever 03 -, 2 22 03 on -, 3 30 ever on -",
        kept_later="1 10 ever on -, 2 20 ever 03 -, 2 22 03 on -, 3 30 ever on -, 4 40 ever on 400",
        rebuilt="1 111 ever on 1110, 2 122 ever on 1220, 3 130 ever on 1300, 4 40 ever on 400",
    ),
    "versions by column": Row(
        kind="SCD_TYPE_2_BY_COLUMN (unique_key id, columns [v])",
        query=f"SELECT DISTINCT ON (id) id, v FROM ({OF_TODAY}) ORDER BY id, ds DESC, v DESC",
        shown=VERSIONS,
        first="1 10 ever on, 2 20 ever on",
        later="1 10 ever 04, 1 11 04 on, 2 20 ever 04, 2 22 04 on, 3 30 04 on",
        restated="1 10 ever 04, 1 11 04 on, 2 20 ever 04, 2 22 04 on, 3 30 04 on",
        kept="1 10 ever 04 -, 1 11 04 on -, 2 20 ever 04 -, 2 22 04 on -, 3 30 04 on -",
        kept_later=(
            "1 10 ever 04 -, 1 11 04 05 -, 1 111 05 on 1110, 2 122 05 on 1220, 2 20 ever 04 -, 2 22 04 05 -,"
            " 3 130 05 on 1300, 3 30 04 05 -, 4 40 05 on 400"
        ),
        rebuilt="1 111 ever on 1110, 2 122 ever on 1220, 3 130 ever on 1300, 4 40 ever on 400",
    ),
    "custom": Row(
        kind="CUSTOM (materialization 'appends')",
        query=OF_THE_DAYS,
        files=(("materializations/appends.py", APPENDS),),
        first=DAYS_1_2,
        later="1 10, 2 20, 2 21, 2 22, 3 30",
        restated=ALL_RESTATED,
        kept="1 111 -, 2 120 -, 2 121 -, 2 122 -, 3 130 -",
        kept_later="1 111 -, 2 120 -, 2 121 -, 2 122 -, 3 130 -, 4 40 400",
        rebuilt=WITH_W,
    ),
}


def noon(day: int) -> datetime:
    return datetime(2024, 1, day, 12, tzinfo=timezone.utc)


class Table:
    """A project with the one model `m.t`, and raw data that grows. What is shown is `m.t`, or the reader of an embedded
    one.
    """

    def __init__(self, root: Path, row: Row) -> None:
        self.root = root
        self.row = row
        self.name = "m.t" if row.kind != "EMBEDDED" else "m.reader"

    def begin(self) -> None:
        """Write the project, and the raw data of two days."""
        self.write("config.yaml", CONFIG.format(connection=ON_DUCKDB))
        self.write("external_models.yaml", EXTERNAL)
        if self.row.kind:
            text = f"MODEL (name m.t, {self.row.header} kind {self.row.kind});\n{self.row.query}\n"
            self.write("models/t.sql", text)
        if self.row.kind == "EMBEDDED":
            self.write("models/reader.sql", "MODEL (name m.reader, kind FULL);\nSELECT * FROM m.t\n")
        for path, text in self.row.files:
            self.write(path, text)
        self.sql("CREATE SCHEMA raw")
        self.sql("CREATE TABLE raw.src (id INT, ds DATE, v INT)")
        self.sql("INSERT INTO raw.src VALUES (1, '2024-01-01', 10), (2, '2024-01-02', 20)")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def add_column(self) -> None:
        """The model has another column `w`, the last."""
        for file in (self.root / "models").glob("t.*"):
            text = file.read_text()
            for old, new in ((" v FROM", " v, v * 10 AS w FROM"), (" v, CAST", " v, v * 10 AS w, CAST"), PYTHON_W):
                text = text.replace(old, new, 1)
            file.write_text(text)

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        with duckdb.connect(str(self.root / "warehouse.duckdb")) as connection:
            return connection.execute(text).fetchall()

    def plan(self, day: int, **wish: Any) -> str:
        """Plan and apply; the rows then."""
        with Project.load(self.root) as project:
            list(project.apply(project.plan("prod", now=noon(day), wish=Wish(**wish))))
            assert wish or project.plan("prod", now=noon(day)).is_empty
        return self.rows()

    def run(self, day: int) -> str:
        """What is due is built; the rows then."""
        with Project.load(self.root) as project:
            list(project.apply(project.run_plan("prod", now=noon(day))))
        return self.rows()

    def rows(self) -> str:
        """`id v …, id v …`, in order, the column `w` last and `-` where it is missing."""
        names = [row[0] for row in self.sql(f"DESCRIBE SELECT * FROM {self.name}")]
        shown = self.row.shown + (", COALESCE(CAST(w AS TEXT), '-')" if "w" in names else "")
        return ", ".join(sorted(" ".join(map(str, row)) for row in self.sql(f"SELECT {shown} FROM {self.name}")))


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_kind_through_its_life(row: Row, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    table = Table(one, row)
    table.begin()
    found = {"first": table.plan(3)}
    table.sql("INSERT INTO raw.src VALUES (2, '2024-01-03', 21), (2, '2024-01-03', 22), (3, '2024-01-03', 30)")
    table.sql("UPDATE raw.src SET v = 11 WHERE id = 1")
    found["later"] = table.run(4)
    table.sql("UPDATE raw.src SET v = v + 100")
    found["restated"] = table.plan(4, restate=("m.t",), within=days(1, 2))
    table.add_column()
    shutil.copytree(one, other)
    found["kept"] = table.plan(4, forward_only=True)
    table.sql("INSERT INTO raw.src VALUES (4, '2024-01-04', 40)")
    found["kept_later"] = table.run(5)
    table = Table(other, row)
    table.sql("INSERT INTO raw.src VALUES (4, '2024-01-04', 40)")
    found["rebuilt"] = table.plan(5, choices={"m.t": Category.BREAKING})
    assert found == {step: getattr(row, step) for step in found}


def test_a_seed_through_its_life(tmp_path: Path) -> None:
    row = replace(MADE_WHOLE, kind="SEED (path '../seed.csv')", query="")
    table = Table(tmp_path, row)
    table.begin()
    table.write("seed.csv", "id,v\n1,10\n2,20\n")
    assert table.plan(3) == DAYS_1_2
    assert table.run(4) == DAYS_1_2
    assert table.plan(4, restate=("m.t",)) == DAYS_1_2
    table.write("seed.csv", "id,v,w\n1,10,100\n2,20,200\n")
    # the rows are those of the file: never forward-only
    assert table.plan(4, forward_only=True) == "1 10 100, 2 20 200"
    table.write("seed.csv", "id,v,w\n1,10,1000\n")
    assert table.plan(4, choices={"m.t": Category.BREAKING}) == "1 10 1000"
