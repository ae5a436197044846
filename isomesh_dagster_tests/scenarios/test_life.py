"""A project's life at random: edits, plans, deployments, rollbacks, interruptions. After each step the views must show
exactly what a full rebuild of the promoted files shows, and nothing may have been built that was there.
"""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timezone
from pathlib import Path

import duckdb
import pytest

from isomesh_dagster.project import Project
from isomesh_dagster.records.events import Built, Promoted

NOW = datetime(2024, 1, 8, 12, tzinfo=timezone.utc)
RAW = """
CREATE SCHEMA raw;
CREATE TABLE raw.t AS
SELECT range AS id, range % 7 AS a, range % 5 AS b, range % 3 AS c,
       DATE '2024-01-01' + CAST(range % 7 AS INTEGER) AS ds
FROM range(60);
"""
CONFIG = """
gateways:
  one:
    connection: {type: duckdb, database: warehouse.duckdb}
model_defaults: {dialect: duckdb, start: '2024-01-01'}
"""
EXTERNAL = """
- name: raw.t
  columns: {id: BIGINT, a: BIGINT, b: BIGINT, c: BIGINT, ds: DATE}
"""

NUMBERS = ("a", "b", "c")


class Files:
    """The project's models as data that random edits change; written as model files, or as SQL for the rebuild."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.columns = {"stg": {name: name for name in NUMBERS}, "inc": {name: name for name in NUMBERS}}
        self.filters = {"stg": "TRUE", "inc": "TRUE"}
        self.measures = {"agg": {"n": "COUNT(*)", "s": "SUM(b)"}}
        self.group = "a"
        self.star_filter = "TRUE"
        self.distinct = False
        self.view = ["a", "b"]
        self.comment = 0

    def edit(self) -> str:
        """One random edit; what it did."""
        chance = self.chance
        model = chance.choice(("stg", "inc"))
        match chance.randrange(9):
            case 0:
                self.columns[model][f"x{chance.randrange(3)}"] = f"{chance.choice(NUMBERS)} + {chance.randrange(3)}"
                return f"add a column to {model}"
            case 1:
                name = chance.choice(NUMBERS)
                self.columns[model][name] = f"{chance.choice(NUMBERS)} * {chance.randrange(1, 4)}"
                return f"change {model}.{name}"
            case 2:
                self.filters[model] = chance.choice(("TRUE", "a > 1", "b <> 2", "id % 2 = 0"))
                return f"filter {model}"
            case 3:
                self.measures["agg"]["s"] = chance.choice(("SUM(b)", "SUM(c)", "MAX(b)"))
                return "change a measure"
            case 4:
                self.group = chance.choice(("a", "c"))
                return "change the group"
            case 5:
                self.star_filter = chance.choice(("TRUE", "c = 1"))
                return "filter the star"
            case 6:
                self.distinct = not self.distinct
                return "distinct or not"
            case 7:
                self.view = chance.sample(NUMBERS, 2)
                return "choose the view's columns"
            case _:
                self.comment += 1
                return "a comment"

    def queries(self) -> dict[str, tuple[str, str]]:
        """Kind and query by model, parents first."""

        def listed(model: str) -> str:
            return ", ".join(f"{text} AS {name}" for name, text in self.columns[model].items())

        measures = ", ".join(f"{text} AS {name}" for name, text in self.measures["agg"].items())
        return {
            "m.stg": ("VIEW", f"SELECT id, ds, {listed('stg')} FROM raw.t WHERE {self.filters['stg']}"),
            "m.inc": (
                "INCREMENTAL_BY_TIME_RANGE (time_column ds, batch_size 3)",
                f"SELECT id, ds, {listed('inc')} FROM m.stg WHERE {self.filters['inc']}"
                " AND ds BETWEEN @start_date AND @end_date",
            ),
            "m.star": ("FULL", f"SELECT * FROM m.inc WHERE {self.star_filter}"),
            "m.agg": ("FULL", f"SELECT {self.group}, {measures} FROM m.inc GROUP BY {self.group}"),
            "m.emb": ("EMBEDDED", "SELECT id, a, b, c FROM m.inc"),
            "m.uni": (
                "FULL",
                f"SELECT {'DISTINCT ' if self.distinct else ''}a, b FROM m.emb UNION ALL SELECT a, n FROM "
                f"(SELECT {self.group} AS a, n FROM m.agg) AS q",
            ),
            "m.top": ("VIEW", f"SELECT {', '.join(self.view)} FROM m.star"),
            "m.end": ("FULL", "SELECT COUNT(*) AS rows_there, SUM(b) AS total FROM m.uni"),
        }

    def write(self, root: Path) -> None:
        for name, (kind, query) in self.queries().items():
            path = root / "models" / f"{name}.sql"
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"MODEL (name {name}, kind {kind});\n-- comment {self.comment}\n{query}\n")

    def rebuilt(self) -> dict[str, Counter]:
        """Rows of every model that has some, from scratch on a database of its own."""
        with duckdb.connect() as connection:
            connection.execute(RAW + "CREATE SCHEMA m;")
            for name, (_, query) in self.queries().items():
                whole = query.replace("@start_date", "DATE '2024-01-01'").replace("@end_date", "DATE '2024-01-07'")
                connection.execute(f"CREATE VIEW {name} AS {whole}")
            return {name: _rows(connection, name) for name, (kind, _) in self.queries().items() if kind != "EMBEDDED"}


def _rows(connection: duckdb.DuckDBPyConnection, name: str) -> Counter:
    cursor = connection.execute(f"SELECT * FROM {name}")
    names = [column[0] for column in cursor.description]
    return Counter(tuple(zip(names, map(str, row), strict=True)) for row in cursor.fetchall())


def _shown(root: Path, environment: str, names: list[str]) -> dict[str, Counter]:
    schema = "m" if environment == "prod" else f"m__{environment}"
    with duckdb.connect(str(root / "warehouse.duckdb"), read_only=True) as connection:
        return {name: _rows(connection, f"{schema}.{name.removeprefix('m.')}") for name in names}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "config.yaml").write_text(CONFIG)
    (tmp_path / "external_models.yaml").write_text(EXTERNAL)
    with duckdb.connect(str(tmp_path / "warehouse.duckdb")) as connection:
        connection.execute(RAW)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_views_always_show_what_a_full_rebuild_would_show(root: Path, seed: int):
    chance = random.Random(seed)
    files = Files(chance)
    showed: dict[int, dict[str, Counter]] = {}  # by number of prod's promotion
    built: set[tuple[str, str]] = set()
    history: list[str] = []
    for _ in range(12):
        history.extend(files.edit() for _ in range(chance.choice((1, 1, 2))))
        files.write(root)
        environment = chance.choice(("dev", "dev", "prod"))
        history.append(f"plan {environment}")
        with Project.load(root, environ={}) as project:
            plan = project.plan(environment, now=NOW)
            events = project.apply(plan)
            if plan.builds and chance.random() < 0.3:  # walk away in the middle, then come back
                history.append("interrupted")
                next(events, None)
                events.close()
                plan = project.plan(environment, now=NOW)
                events = project.apply(plan)
            for event in events:
                if isinstance(event, Promoted) and environment == "prod":
                    showed[event.number] = files.rebuilt()
                if isinstance(event, Built) and not event.repoint:
                    key = (str(event.physical), str(event.intervals))
                    assert key not in built, f"{key} was built twice: {history}"
                    built.add(key)
            assert project.plan(environment, now=NOW).is_empty, history
        expected = files.rebuilt()
        assert _shown(root, environment, list(expected)) == expected, history
        if chance.random() < 0.3 and len(showed) > 1:
            history.append("roll back prod")
            with Project.load(root, environ={}) as project:
                before = [one.number for one in project.promotions("prod")][1]
                number = project.rollback("prod").number
            showed[number] = showed[before]
            assert _shown(root, "prod", list(showed[before])) == showed[before], history
