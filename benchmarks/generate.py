"""Generates projects of realistic shape: models of 40 to 80 lines in layers ten deep, a fifth of them incremental.

The same seed gives the same files. A project folder is read by isomesh and by SQLMesh alike; `raw.sql` beside it holds
the very same queries as plain `CREATE TABLE … AS`, in build order.
"""

from __future__ import annotations

import random
import shutil
from dataclasses import dataclass
from pathlib import Path

DEPTH = 10
ROWS = 10_000
DAYS = 31
FIRST_DAY, LAST_DAY = "2024-01-01", "2024-01-31"
METRICS = tuple(f"m{index}" for index in range(6))

CONFIG = """\
gateways:
  bench:
    connection:
      type: duckdb
      database: {database}
model_defaults:
  dialect: duckdb
  start: '2024-01-01'
"""

SOURCE = f"""\
CREATE SCHEMA IF NOT EXISTS raw;
CREATE OR REPLACE TABLE raw.events AS
SELECT
  range AS id,
  range % 97 AS customer_id,
  DATE '{FIRST_DAY}' + CAST(range % {DAYS} AS INTEGER) AS ds,
  {", ".join(f"(range * {index + 3}) % 1009 AS {metric}" for index, metric in enumerate(METRICS))}
FROM range({ROWS});
"""


@dataclass(frozen=True)
class Generated:
    """One model: its name, its parents (empty: reads raw.events) and whether it is incremental."""

    name: str
    parents: tuple[str, ...]
    incremental: bool


def layout(count: int, seed: int = 7) -> list[Generated]:
    """The graph: `count` models in ten layers, each reading one to three of the layer above."""
    chance = random.Random(seed)
    per_layer = max(1, count // DEPTH)
    models: list[Generated] = []
    above: list[str] = []
    for layer in range(DEPTH):
        size = per_layer if layer < DEPTH - 1 else count - len(models)
        names = [f"layer{layer}.model_{index:05d}" for index in range(size)]
        for index, name in enumerate(names):
            parents = tuple(sorted(chance.sample(above, k=min(len(above), chance.randint(1, 3))))) if above else ()
            models.append(Generated(name=name, parents=parents, incremental=index % 5 == 0))
        above = names
    return models


def query(model: Generated, chance: random.Random, *, start: str, end: str) -> str:
    """The model's query, 30 to 70 lines; `start` and `end` are SQL dates or macros."""
    first, *others = model.parents or ("raw.events",)
    lines = ["WITH base AS (", "  SELECT", "    src.id,", "    src.customer_id,", "    src.ds,"]
    lines += [f"    src.{metric}," for metric in METRICS[:-1]] + [f"    src.{METRICS[-1]}"]
    lines += [f"  FROM {first} AS src"]
    if model.incremental:
        lines += [f"  WHERE src.ds BETWEEN {start} AND {end}"]
    lines += ["), calculated AS (", "  SELECT", "    base.id,", "    base.customer_id,", "    base.ds,"]
    for index, metric in enumerate(METRICS):
        other = METRICS[(index + chance.randint(1, 5)) % len(METRICS)]
        comma = "" if metric == METRICS[-1] else ","
        if chance.random() < 0.5:
            lines += [
                "    CASE",
                f"      WHEN base.{metric} > {chance.randint(100, 900)}",
                f"        THEN (base.{metric} * {chance.randint(2, 9)} + base.{other}) % 1009",
                f"      WHEN base.{other} % 2 = 0 THEN base.{other}",
                f"      ELSE COALESCE(base.{metric}, 0)",
                f"    END AS {metric}{comma}",
            ]
        else:
            lines += [f"    (base.{metric} + base.{other} * {chance.randint(2, 9)}) % 1009 AS {metric}{comma}"]
    lines += ["  FROM base", ")"]
    for position, parent in enumerate(others):
        lines[-1] = f"), joined{position} AS ("
        lines += [
            "  SELECT",
            "    other.customer_id,",
            f"    SUM(other.{chance.choice(METRICS)}) AS total{position},",
            f"    MAX(other.{chance.choice(METRICS)}) AS peak{position}",
            f"  FROM {parent} AS other",
            "  GROUP BY other.customer_id",
            ")",
        ]
    lines += ["SELECT", "  calculated.id,", "  calculated.customer_id,", "  calculated.ds,"]
    for metric in METRICS[:-1]:
        lines += [f"  calculated.{metric},"]
    extra = "".join(f" + COALESCE(joined{position}.total{position}, 0)" for position in range(len(others)))
    lines += [f"  (calculated.{METRICS[-1]}{extra}) % 1009 AS {METRICS[-1]}", "FROM calculated"]
    for position in range(len(others)):
        lines += [f"LEFT JOIN joined{position}", f"  ON calculated.customer_id = joined{position}.customer_id"]
    lines += [f"WHERE calculated.{METRICS[0]} >= 0"]
    return "\n".join(lines)


def header(model: Generated) -> str:
    """The MODEL header."""
    kind = "INCREMENTAL_BY_TIME_RANGE (\n    time_column ds\n  )" if model.incremental else "FULL"
    return (
        f"MODEL (\n  name {model.name},\n  kind {kind},\n  owner analytics,\n  cron '@daily',\n"
        f"  start '{FIRST_DAY}',\n  end '{LAST_DAY}',\n  description 'Generated model {model.name}'\n);\n\n"
    )


def write_project(folder: Path, count: int, seed: int = 7) -> list[Generated]:
    """Write the project into `folder` (emptied first): config.yaml, models/, raw.sql, source.sql."""
    shutil.rmtree(folder, ignore_errors=True)
    models = layout(count, seed)
    (folder / "config.yaml").parent.mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG.format(database="warehouse.duckdb"))
    (folder / "source.sql").write_text(SOURCE)
    statements = [f"CREATE SCHEMA IF NOT EXISTS layer{layer};" for layer in range(DEPTH)]
    for number, model in enumerate(models):
        text = query(model, random.Random(seed + number), start="@start_date", end="@end_date")
        path = folder / "models" / f"{model.name.replace('.', '/')}.sql"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(header(model) + text + "\n")
        plain = query(model, random.Random(seed + number), start=f"DATE '{FIRST_DAY}'", end=f"DATE '{LAST_DAY}'")
        statements.append(f"CREATE OR REPLACE TABLE {model.name} AS\n{plain};")
    (folder / "raw.sql").write_text("\n-- next\n".join(statements))
    return models


def change_leaf(folder: Path, models: list[Generated]) -> None:
    """A changed filter in one model of the last layer."""
    _edit(folder, models[-1], f"WHERE calculated.{METRICS[0]} >= 0", f"WHERE calculated.{METRICS[0]} >= 1")


def add_root_column(folder: Path, models: list[Generated]) -> None:
    """One more column at the end of one model of the first layer."""
    root = next(model for model in models if not model.incremental)
    _edit(folder, root, "\nFROM calculated\n", ",\n  calculated.m0 + 1 AS added\nFROM calculated\n")


def touch_comment(folder: Path, models: list[Generated]) -> None:
    """A comment in one model: one changed file that changes nothing."""
    path = folder / "models" / f"{models[0].name.replace('.', '/')}.sql"
    path.write_text(path.read_text() + "-- touched\n")


def _edit(folder: Path, model: Generated, old: str, new: str) -> None:
    path = folder / "models" / f"{model.name.replace('.', '/')}.sql"
    text = path.read_text()
    if old not in text:
        raise ValueError(f"{path} has no {old!r}")
    path.write_text(text.replace(old, new))
