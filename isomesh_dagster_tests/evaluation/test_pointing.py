"""What the engine refuses is told where its author wrote it, or with no place at all: never with a wrong one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from isomesh_dagster import Project
from isomesh_dagster.errors import EngineError
from isomesh_dagster_tests.postgres_server import in_config

CONFIG = "gateways: {{here: {{connection: {}}}}}\nmodel_defaults: {{dialect: {}, start: 2024-01-01}}\n"
RAW = (
    "CREATE SCHEMA raw",
    "CREATE TABLE raw.orders AS SELECT 1 AS id, 2 AS amount, 'abc' AS name, CAST('2024-01-01' AS DATE) AS ds",
)
HEADER = "-- the header is on line 2\nMODEL (name core.x, kind FULL, start '2024-01-01');\n\n"
CALLED = "-- a macro's text\nMODEL (name core.one, kind EMBEDDED);\nSELECT amoutn AS one FROM raw.orders"


@dataclass(frozen=True, slots=True)
class Place:
    """A project on one engine, whose one model is written by each test."""

    root: Path
    engine: str

    def error(self, text: str, **more: str) -> EngineError:
        """What a plan with that model, and other files, ends with."""
        for path, content in {"models/x.sql": text, **more}.items():
            (self.root / path).parent.mkdir(exist_ok=True)
            (self.root / path).write_text(content)
        try:
            with Project.load(self.root, environ={}) as project:
                plan = project.plan("dev")
                with pytest.raises(EngineError) as caught:
                    list(project.apply(plan))
        finally:
            for path in more:
                (self.root / path).unlink()
        assert caught.value.model is not None
        return caught.value

    def at(self, text: str, **more: str) -> str | None:
        """The text from the place on that is told, up to the end of its line; None for no place in the SQL."""
        error = self.error(text, **more)
        if error.column is None or error.path is None or error.line is None:
            return None
        told = (self.root / error.path) if error.path not in more else None
        content = more[error.path] if told is None else text
        return content.splitlines()[error.line - 1][error.column - 1 :]


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Place:
    root = tmp_path_factory.mktemp(request.param)
    connection = "{type: duckdb, database: warehouse.duckdb}"
    if request.param == "postgres":
        connection = in_config(request.getfixturevalue("_one_database"))
        request.getfixturevalue("postgres_server").emptied(request.getfixturevalue("_one_database").database)
    (root / "config.yaml").write_text(CONFIG.format(connection, request.param))
    (root / "models").mkdir()
    with Project.load(root, environ={}) as project, project.connection().session() as session:
        for statement in RAW:
            session.execute(statement)
    return Place(root, request.param)


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ("SELECT\n  id, -- amoutn\n  amoutn AS x\nFROM raw.orders", "amoutn AS x"),
        (
            "SELECT o.amoutn AS x, 'amoutn' AS y FROM raw.orders AS o",
            "o.amoutn AS x, 'amoutn' AS y FROM raw.orders AS o",
        ),
        ("SELECT sume(id) AS x FROM raw.orders", "sume(id) AS x FROM raw.orders"),
        (
            "SELECT id AS x FROM raw.orders WHERE id = 1 GROUP BY amount",
            "id AS x FROM raw.orders WHERE id = 1 GROUP BY amount",
        ),
        (
            "SELECT @IF(true, id, 0) AS i, @EACH([amoutn], c -> c AS x) FROM raw.orders",
            "amoutn], c -> c AS x) FROM raw.orders",
        ),
        (
            "JINJA_QUERY_BEGIN;\nSELECT {{ 'id' }} AS i, amoutn AS x FROM raw.orders\nJINJA_END;",
            "amoutn AS x FROM raw.orders",
        ),
        # both are written, one is rendered: which one is not sure
        ("SELECT @IF(false, amoutn, 0) AS x, amoutn AS y FROM raw.orders", None),
        # the name comes from a macro and is written nowhere
        ("@DEF(c, 'amoutn');\nSELECT @{c} AS x FROM raw.orders", None),
        ("SELECT id FROM raw.ordrs", "raw.ordrs"),
    ],
)
def test_a_query(place: Place, query: str, at: str | None) -> None:
    assert place.at(HEADER + query) == at


def test_a_cast(place: Place) -> None:
    query = "SELECT id, name::INT AS n\nFROM raw.orders"
    # Postgres tells a place of what it finds when it reads the statement, not of what it finds in rows
    assert place.at(HEADER + query) == ("::INT AS n" if place.engine == "duckdb" else None)
    error = place.error(HEADER + query)
    assert (error.path, error.line) == ("models/x.sql", 5 - 1 if place.engine == "duckdb" else 2)
    assert "abc" in error.message


def test_the_nearest_name_is_proposed(place: Place) -> None:
    error = place.error(f"{HEADER}SELECT o.amoutn AS x FROM raw.orders AS o")
    assert "amount" in (error.hint or "")
    assert "\n" not in error.message
    assert "LINE" not in error.message


def test_one_of_several(place: Place) -> None:
    query = "SELECT id AS amoutn FROM raw.orders WHERE id > 0 GROUP BY id HAVING MAX(amoutn) > 1 OR MIN(id) > 1"
    assert (place.at(HEADER + query) or "").startswith("amoutn) > 1")


def test_other_engines_words_are_found_where_they_are_the_only_ones(place: Place) -> None:
    header = HEADER.replace("kind FULL", "kind FULL, dialect snowflake")
    assert (
        place.at(f"{header}SELECT IFF(amoutn > 1, 1, 0) AS x FROM raw.orders")
        == "amoutn > 1, 1, 0) AS x FROM raw.orders"
    )
    assert place.at(f"{header}SELECT IFF(amoutn > 1, amoutn, 0) AS x FROM raw.orders") is None


def test_an_interval_and_declared_columns(place: Place) -> None:
    text = (
        "MODEL (name core.x, kind INCREMENTAL_BY_TIME_RANGE (time_column ds), columns (ds DATE, amoutn INT));\n"
        "SELECT ds, amoutn FROM raw.orders WHERE ds BETWEEN @start_date AND @end_date"
    )
    assert place.at(text) == "amoutn FROM raw.orders WHERE ds BETWEEN @start_date AND @end_date"


def test_statements(place: Place) -> None:
    before = f"{HEADER}CREATE TABLE raw.a AS SELECT amoutn FROM raw.orders;\nSELECT 1 AS id;\n"
    assert place.at(before) == "amoutn FROM raw.orders;"
    after = f"{HEADER}SELECT 1 AS id;\nCREATE TABLE raw.a AS SELECT amoutn FROM raw.orders;\n"
    assert place.at(after) == "amoutn FROM raw.orders;"


def test_audits(place: Place) -> None:
    model = "MODEL (name core.x, kind FULL, audits (positive));\nSELECT 1 AS id;\n"
    audit = "AUDIT (name positive);\nSELECT * FROM @this_model\nWHERE amoutn < 0"
    assert place.at(f"{model}\n{audit}") == "amoutn < 0"
    assert place.at(model, **{"audits/all.sql": audit}) == "amoutn < 0"
    assert place.error(f"{model}\n{audit}").message.startswith("audit positive cannot run: ")


def test_text_of_another_model_is_no_place_in_this_one(place: Place) -> None:
    text = f"{HEADER}SELECT one AS amoutn FROM core.one"
    assert place.at(text, **{"models/one.sql": CALLED}) is None


def test_files_that_changed_since_are_not_pointed_into(place: Place) -> None:
    text = f"{HEADER}SELECT amoutn AS x FROM raw.orders"
    (place.root / "models/x.sql").write_text(text)
    with Project.load(place.root, environ={}) as project:
        plan = project.plan("dev")
        (place.root / "models/x.sql").write_text(f"{HEADER}SELECT id, amoutn AS x FROM raw.orders")
        with pytest.raises(EngineError) as caught:
            list(project.apply(plan))
    assert caught.value.column is None
