"""Loading a project: what is found, what is refused, and when a file is read again."""

from __future__ import annotations

import gc
import json
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from isomesh_dagster.cache import facts, load
from isomesh_dagster.cache.load import LoadedFiles, load_project_files
from isomesh_dagster.cache.store import CACHE_PATH
from isomesh_dagster.config.read import load_settings
from isomesh_dagster.config.settings import Settings
from isomesh_dagster.errors import GraphError, IsomeshError, ModelError, UnsupportedError
from isomesh_dagster.model.kinds import External, Seed

CONFIG = """
gateways:
  dev: {connection: {type: duckdb, database: dev.duckdb}, variables: {limit: 1, schema: dev_mart}}
  prod: {connection: {type: duckdb, database: prod.duckdb}, variables: {limit: 2, schema: mart}}
model_defaults: {dialect: duckdb, start: 2020-01-01}
variables: {unused: 1}
"""

FILES = {
    "config.yaml": CONFIG,
    "models/stage/orders.sql": "MODEL (name stage.orders);\nSELECT id, day FROM raw.orders WHERE id > @limit",
    "models/mart.sql": "MODEL (name @{schema}.orders, kind FULL, audits (few)); SELECT id FROM stage.orders",
    "models/names.sql": "MODEL (name stage.names, kind SEED (path '$root/seeds/names.csv'), columns (id INT))",
    "models/off.sql": "MODEL (name stage.off, enabled false); SELECT 1 AS a",
    "audits/few.sql": "AUDIT (name few); SELECT * FROM @this_model WHERE id > 9",
    "seeds/names.csv": "id\n1\n",
    "external_models.yaml": "- name: raw.orders\n  columns: {id: INT, on: date}\n",
    "tests/test_x.yaml": "nothing: to see",
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in FILES.items():
        write(tmp_path, path, text)
    return tmp_path


def write(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def settings(root: Path, gateway: str = "dev") -> Settings:
    return load_settings(root, gateway, {})


def loaded(root: Path, gateway: str = "dev") -> LoadedFiles:
    return load_project_files(settings(root, gateway))


def error(root: Path) -> IsomeshError:
    with pytest.raises(IsomeshError) as caught:
        loaded(root)
    return caught.value


def test_everything_is_found(root: Path) -> None:
    files = loaded(root)
    assert list(files.models) == ["dev_mart.orders", "raw.orders", "stage.names", "stage.orders"]
    assert files.own.keys() == files.models.keys()
    assert files.models["dev_mart.orders"].audits[0].name == "few"
    assert files.models["dev_mart.orders"].start == "2020-01-01"
    raw = files.models["raw.orders"]
    assert isinstance(raw.kind, External)
    assert [(column.name, column.type) for column in raw.columns or ()] == [("id", "INT"), ("on", "DATE")]
    assert files.misses == 6


def test_an_empty_project_is_one(tmp_path: Path) -> None:
    write(tmp_path, "config.yaml", CONFIG)
    assert dict(loaded(tmp_path).models) == {}


# --- the cache


def test_a_second_load_reads_nothing_again_and_is_equal(root: Path) -> None:
    first, second = loaded(root), loaded(root)
    assert second.misses == 0
    assert (second.models, second.own, second.digest) == (first.models, first.own, first.digest)


def test_without_a_cache_the_same_is_loaded(root: Path) -> None:
    first = loaded(root)
    shutil.rmtree(root / ".isomesh")
    second = loaded(root)
    assert second.misses == 6
    assert (second.models, second.own, second.digest) == (first.models, first.own, first.digest)


@pytest.mark.parametrize(
    ("path", "text", "misses"),
    [
        ("models/stage/orders.sql", "MODEL (name stage.orders);\nSELECT id FROM raw.orders", 1),
        ("seeds/names.csv", "id\n2\n", 1),
        ("audits/few.sql", "AUDIT (name few); SELECT * FROM @this_model WHERE id > 8", 2),
        ("external_models.yaml", "- name: raw.orders\n", 1),
        ("config.yaml", CONFIG.replace("limit: 1", "limit: 7"), 1),
        ("config.yaml", CONFIG.replace("unused: 1", "unused: 2"), 0),
        ("config.yaml", CONFIG.replace("2020-01-01", "2021-01-01"), 6),
        ("seeds/other.csv", "id\n2\n", 0),
    ],
    ids=["model", "seed", "audit", "external", "variable that is read", "variable that is not", "defaults", "other"],
)
def test_what_changes_is_read_again_and_nothing_else(root: Path, path: str, text: str, misses: int) -> None:
    before = loaded(root)
    write(root, path, text)
    after = loaded(root)
    assert after.misses == misses
    assert (after.digest == before.digest) is (misses == 0)
    assert loaded(root).misses == 0
    shutil.rmtree(root / ".isomesh")
    afresh = loaded(root)
    assert (afresh.models, afresh.own, afresh.digest) == (after.models, after.own, after.digest)


def test_a_seeds_new_content_changes_its_fingerprint_and_its_line_endings_do_not(root: Path) -> None:
    before = loaded(root)
    (root / "seeds/names.csv").write_bytes(b"id\r\n1\r\n\r\n")
    same = loaded(root)
    assert same.own["stage.names"] == before.own["stage.names"]
    write(root, "seeds/names.csv", "id\n2\n")
    other = loaded(root)
    assert other.own["stage.names"].data != before.own["stage.names"].data
    assert isinstance(other.models["stage.names"].kind, Seed)


def test_going_back_to_an_earlier_content_is_a_hit(root: Path) -> None:
    path = "models/stage/orders.sql"
    loaded(root)
    write(root, path, "MODEL (name stage.orders); SELECT id FROM raw.orders")
    loaded(root)
    write(root, path, FILES[path])
    assert loaded(root).misses == 0


def test_gateways_lie_side_by_side(root: Path) -> None:
    dev, prod = loaded(root), loaded(root, "prod")
    assert "mart.orders" in prod.models
    assert prod.models["stage.orders"].rendered.endswith("id > 2")
    assert dev.digest != prod.digest
    assert (loaded(root).misses, loaded(root, "prod").misses) == (0, 0)


def test_a_moved_project_is_read_from_the_same_rows(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = loaded(root)
    other = tmp_path_factory.mktemp("elsewhere") / "project"
    shutil.copytree(root, other)
    after = loaded(other)
    assert after.misses == 0
    assert (after.models, after.digest) == (before.models, before.digest)


def test_another_version_of_sqlglot_or_of_our_code_reads_all_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded(root)
    ours = facts.code_digest()
    facts.code_digest.cache_clear()
    with monkeypatch.context() as other:
        other.setattr(facts, "sqlglot_version", lambda: "99.0.0")
        assert facts.code_digest() != ours
        assert loaded(root).misses == 6
    facts.code_digest.cache_clear()
    assert facts.code_digest() == ours
    assert loaded(root).misses == 0


@pytest.mark.parametrize("damage", [b"no database at all, but long enough to look at" * 99, b""])
def test_a_damaged_cache_is_made_again(root: Path, damage: bytes) -> None:
    before = loaded(root)
    cache = root / CACHE_PATH
    for file in cache.parent.iterdir():
        file.unlink()
    cache.write_bytes(damage)
    after = loaded(root)
    assert (after.misses, after.models) == (6, before.models)
    assert loaded(root).misses == 0


@pytest.mark.parametrize(
    "value",
    ["{", "[]", '{"reads": 1}', '{"reads": [[], [], []], "models": [{"kind": {"name": "NOPE"}}], "own": [["", ""]]}'],
)
def test_a_row_that_cannot_be_read_is_a_miss(root: Path, value: str) -> None:
    before = loaded(root)
    connection = sqlite3.connect(root / CACHE_PATH)
    with connection:
        connection.execute("UPDATE facts SET value = ?", [value])
    connection.close()
    after = loaded(root)
    assert after.models == before.models
    assert after.misses == 6
    assert loaded(root).misses == 0


def test_a_warm_load_imports_no_sqlglot_and_no_jinja(root: Path) -> None:
    loaded(root)
    script = """
import json, sys
from pathlib import Path
from isomesh_dagster.cache.load import load_project_files
from isomesh_dagster.config.read import load_settings
files = load_project_files(load_settings(Path(sys.argv[1]), "dev", {}))
heavy = ["sqlglot", "jinja2", "duckdb", "sqlalchemy", "dagster", "dateparser", "pandas", "yaml.cyaml"]
print(json.dumps([files.misses, len(files.models), [name for name in heavy if name in sys.modules]]))
"""
    told = subprocess.run([sys.executable, "-c", script, str(root)], check=True, capture_output=True, text=True).stdout
    misses, models, imported = json.loads(told)
    assert (misses, models) == (0, 4)
    assert [name for name in imported if name != "yaml.cyaml"] == []


def test_the_collector_is_left_as_it_was(root: Path) -> None:
    assert gc.isenabled()
    loaded(root)
    assert gc.isenabled()
    gc.disable()
    try:
        loaded(root)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_progress_counts_up_to_all_files(root: Path) -> None:
    told: list[tuple[int, int]] = []
    load_project_files(settings(root), on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (6, 6)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert len(told) > 3


def test_files_that_are_wrong_are_not_remembered(root: Path) -> None:
    write(root, "models/stage/orders.sql", "MODEL (name stage.orders); SELECT FROM")
    assert error(root).line == 1
    assert str(error(root)) == str(error(root))
    write(root, "models/stage/orders.sql", FILES["models/stage/orders.sql"])
    assert loaded(root).misses == 1


# --- what is refused


def test_one_error_is_told_as_it_is(root: Path) -> None:
    write(root, "models/x.sql", "MODEL (name a.b,\n nope 1); SELECT 1 AS a")
    found = error(root)
    assert (type(found), found.path, found.line) == (ModelError, "models/x.sql", 2)


def test_several_errors_are_listed_together(root: Path) -> None:
    write(root, "models/x.sql", "MODEL (name a.b,\n nope 1); SELECT 1 AS a")
    write(root, "models/y.sql", "MODEL (name a.c, signals (x())); SELECT 1 AS a")
    write(root, "audits/z.sql", "SELECT 1")
    told = str(error(root))
    assert told.startswith("3 errors")
    for place in ("models/x.sql:2", "models/y.sql:1", "audits/z.sql:1"):
        assert place in told


def test_no_more_than_twenty_errors_are_listed(root: Path) -> None:
    for number in range(25):
        write(root, f"models/x{number:02}.sql", "SELECT 1")
    told = str(error(root))
    assert told.startswith("25 errors")
    assert "x19.sql" in told
    assert "x20.sql" not in told
    assert told.endswith("… and 5 more")


def test_a_wrong_default_is_told_once(root: Path) -> None:
    write(root, "config.yaml", CONFIG.replace("start:", "allow_partials: perhaps, start:"))
    assert str(error(root)).count("model_defaults.allow_partials") == 1


@pytest.mark.parametrize(
    "other", ["MODEL (name stage.orders); SELECT 1 AS a", "MODEL (name STAGE.Orders); SELECT 1 AS a"]
)
def test_a_name_is_declared_once(root: Path, other: str) -> None:
    write(root, "models/z.sql", other)
    found = error(root)
    assert isinstance(found, GraphError)
    assert "models/stage/orders.sql:1" in str(found)
    assert found.path == "models/z.sql"


def test_a_model_and_an_external_table_of_one_name_are_refused(root: Path) -> None:
    write(root, "models/z.sql", "MODEL (name raw.orders); SELECT 1 AS a")
    assert "external_models.yaml:1" in str(error(root))


@pytest.mark.parametrize(
    "name", ["stage__dev.x", "isomesh__stage.x", "isomesh_meta.x", "information_schema.x", "pg_temp.x"]
)
def test_reserved_schemas(root: Path, name: str) -> None:
    write(root, "models/z.sql", f"MODEL (name {name}); SELECT 1 AS a")
    found = error(root)
    assert "reserved" in str(found)
    assert (found.path, found.line) == ("models/z.sql", 1)


def test_a_query_of_metrics_is_refused(root: Path) -> None:
    write(root, "metrics/a.sql", "METRIC (name a, expression SUM(raw.a))")  # no table depends on what it says
    assert loaded(root).models
    write(root, "models/z.sql", "MODEL (name s.z);\nSELECT METRIC(a) FROM __semantic.__table")
    found = error(root)
    assert isinstance(found, UnsupportedError)
    assert (found.path, found.line) == ("models/z.sql", 1)
    assert "metrics" in found.message


def test_what_a_new_project_of_the_format_holds_is_accepted(root: Path) -> None:
    for path in ("models/__init__.py", "macros/__init__.py", "macros/.gitkeep", "models/.hidden.sql", "models/a.md"):
        write(root, path, "")
    write(root, "models/to_be_written.sql", "")
    write(root, "models/__pycache__/x.py", "")
    write(root, "models/.ipynb_checkpoints/a.sql", "nonsense")
    assert len(loaded(root).models) == 4


def test_ignored_files_are_not_read(root: Path) -> None:
    write(root, "config.yaml", CONFIG + "ignore_patterns: ['drafts/*', '*.tmp.sql', 'models/old/**']\n")
    write(root, "models/drafts/a.sql", "nonsense")
    write(root, "models/b.tmp.sql", "nonsense")
    write(root, "models/old/er/c.sql", "nonsense")
    write(root, "models/drafts/of/d.sql", "MODEL (name s.d); SELECT 1 AS a")  # a star stays within a folder
    assert len(loaded(root).models) == 5


def test_paths_do_not_lead_out_of_the_project(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "x.sql").write_text("MODEL (name a.b); SELECT 1 AS a")
    (outside / "x.csv").write_text("id\n1\n")
    (root / "models/link.sql").symlink_to(outside / "x.sql")
    assert "outside the project" in str(error(root))
    (root / "models/link.sql").unlink()
    (root / "seeds/names.csv").unlink()
    (root / "seeds/names.csv").symlink_to(outside / "x.csv")
    assert "outside the project" in str(error(root))


def test_links_to_folders_are_told(root: Path) -> None:
    (root / "models/again").symlink_to(root / "models")
    assert "links to folders" in str(error(root))


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("- name: raw.a\n  columns: {a: INT\n", 3, "not valid YAML"),
        ("name: raw.a", 1, "list of tables"),
        ("- raw.a", 1, "no name"),
        ("- name: raw.a\n- columns: {a: INT}", 2, "no name"),
        ("- name: raw.a\n- name: raw.b\n  audits: [nott_null]", 2, "unknown audit 'nott_null'"),
        ("- name: raw.b\n  audits: [{columns: a}]", 1, "an audit has no name"),
        ("- name: raw.b\n  audits: [not_null]", 1, "needs 'columns'"),
        ("- name: raw.a\n  colums: {}", 1, "unknown key `colums`"),
        ("- name: raw.a\n- name: RAW.A", 2, "declared on line 1 too"),
        ("- name: raw.a\n  columns: [a]", 1, "name: TYPE"),
        ("- name: a.b.c.d", 1, "not a table name"),
    ],
)
def test_wrong_external_tables(root: Path, text: str, line: int, told: str) -> None:
    write(root, "external_models/more.yaml", text)
    found = error(root)
    assert told in str(found)
    assert (found.path, found.line) == ("external_models/more.yaml", line)


def test_an_external_table_of_the_gateway_wins(root: Path) -> None:
    write(
        root,
        "external_models.yaml",
        "- {name: raw.orders, columns: {a: INT}}\n- {name: raw.orders, gateway: prod, columns: {b: INT}}\n",
    )
    assert [column.name for column in loaded(root).models["raw.orders"].columns or ()] == ["a"]
    assert [column.name for column in loaded(root, "prod").models["raw.orders"].columns or ()] == ["b"]


def test_an_audit_is_defined_once_for_all(root: Path) -> None:
    write(root, "audits/more.sql", "AUDIT (name FEW); SELECT 1")
    assert "audits/few.sql:1 too" in str(error(root))


def test_what_is_not_text_is_told_with_its_line(root: Path) -> None:
    (root / "models/x.sql").write_bytes(b"MODEL (name a.b);\nSELECT '\xff' AS a")
    found = error(root)
    assert "UTF-8" in str(found)
    assert (found.path, found.line) == ("models/x.sql", 2)


def test_a_byte_order_mark_and_windows_lines_are_no_matter(root: Path) -> None:
    before = loaded(root).own["stage.orders"]
    text = FILES["models/stage/orders.sql"].replace("\n", "\r\n")
    (root / "models/stage/orders.sql").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert loaded(root).own["stage.orders"] == before


def test_the_cache_forgets_what_is_old(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_KEPT_PER_FILE", 0)
    loaded(root)
    assert loaded(root).misses == 6


# --- files whose macros ask for columns

STARS = {
    "external_models.yaml": "- name: raw.orders\n  columns: {id: INT, day: DATE}\n",
    # named so that readers come before what they read
    "models/a.sql": "MODEL (name m.a, kind FULL); SELECT @STAR(m.b) FROM m.b",
    "models/b.sql": "MODEL (name m.b, kind FULL); SELECT *, 1 AS one FROM m.c",
    "models/c.sql": "MODEL (name m.c, kind FULL); SELECT @STAR(raw.orders) FROM raw.orders",
    "models/d.sql": "MODEL (name m.d, kind FULL); SELECT id FROM m.b",
}


@pytest.fixture
def stars(tmp_path: Path) -> Path:
    write(tmp_path, "config.yaml", CONFIG)
    for path, text in STARS.items():
        write(tmp_path, path, text)
    return tmp_path


def test_a_macro_sees_the_columns_of_models_that_are_read_later(stars: Path) -> None:
    files = loaded(stars)
    assert files.misses == 5
    assert files.models["m.a"].rendered == 'SELECT "b"."id" AS "id", "b"."day" AS "day", "b"."one" AS "one" FROM m.b'
    assert "CAST(" in files.models["m.c"].rendered
    again = loaded(stars)
    assert (again.models, again.own, again.digest, again.misses) == (files.models, files.own, files.digest, 0)


def test_a_new_column_above_renders_its_readers_again_and_no_others(stars: Path) -> None:
    before = loaded(stars)
    write(stars, "external_models.yaml", "- name: raw.orders\n  columns: {id: INT, day: DATE, note: TEXT}\n")
    after = loaded(stars)
    assert after.misses == 3  # the declaration, m.c and m.a
    assert '"note"' in after.models["m.a"].rendered
    assert after.own["m.d"] == before.own["m.d"]
    assert after.own["m.a"] != before.own["m.a"]
    write(stars, "external_models.yaml", STARS["external_models.yaml"])
    back = loaded(stars)
    assert (back.misses, back.own, back.digest) == (0, before.own, before.digest)


def test_a_column_that_nobody_asks_for_leaves_readers_alone(stars: Path) -> None:
    loaded(stars)
    write(stars, "models/d.sql", "MODEL (name m.d, kind FULL); SELECT id, 2 AS two FROM m.b")
    assert loaded(stars).misses == 1


def test_columns_that_nobody_knows_are_told(stars: Path) -> None:
    write(stars, "models/c.sql", "MODEL (name m.c, kind FULL);\nSELECT @STAR(raw.nobody) FROM raw.nobody")
    told = error(stars)
    assert (told.path, told.line, told.column) == ("models/c.sql", 2, 8)
    assert "columns of raw.nobody are not known" in told.message


def test_columns_that_follow_from_each_other_are_told(stars: Path) -> None:
    write(stars, "models/c.sql", "MODEL (name m.c, kind FULL); SELECT @STAR(m.a) FROM m.a")
    told = error(stars)
    assert "columns follow from each other: m.b → m.a → m.c → m.b" in told.message
    write(stars, "models/c.sql", "MODEL (name m.c, kind FULL); SELECT @STAR(m.c) FROM raw.orders")
    assert "m.c → m.c" in error(stars).message


def test_a_model_rendered_again_later_keeps_the_columns_it_asked_for(stars: Path) -> None:
    header = "MODEL (name m.e, kind INCREMENTAL_BY_TIME_RANGE (time_column day));"
    write(stars, "models/e.sql", f"{header} SELECT @STAR(m.b) FROM m.b WHERE day BETWEEN @start_date AND @end_date")
    files = loaded(stars)
    assert [column.name for column in files.models["m.e"].schemas["m.b"].columns] == ["id", "day", "one"]
    assert files.models["m.a"].schemas == {}
    assert loaded(stars).models == files.models


def test_a_file_with_blueprints_is_one_file(stars: Path) -> None:
    write(stars, "models/f.sql", "MODEL (name f.@{k}, blueprints ((k := x), (k := y))); SELECT @STAR(m.@k) FROM m.@k")
    write(stars, "models/x.sql", "MODEL (name m.x); SELECT 1 AS x_id")
    write(stars, "models/y.sql", "MODEL (name m.y); SELECT @STAR(f.x) FROM f.x")
    told = error(stars)
    assert "follow from each other" in told.message
    write(stars, "models/y.sql", "MODEL (name m.y); SELECT @STAR(m.x) FROM m.x")
    files = loaded(stars)
    assert files.models["f.y"].rendered == 'SELECT "y"."x_id" AS "x_id" FROM m.y'
    assert loaded(stars).misses == 0


def test_a_standalone_audit_is_one_of_the_last_model_it_reads(root: Path) -> None:
    before = loaded(root)
    alone = "AUDIT (name alone, standalone true, defaults (least = @limit));\n"
    query = "SELECT 1 FROM stage.names JOIN stage.orders USING (id) JOIN raw.orders USING (id) WHERE id < @least"
    write(root, "audits/alone.sql", alone + query)
    for found in (loaded(root), loaded(root)):  # parsed, then from the cache
        orders = found.models["stage.orders"]
        assert [(call.name, call.blocking) for call in orders.audits] == [("alone", False)]
        assert orders.audit_reads == ("stage.names",)
        assert found.own["stage.orders"].data == before.own["stage.orders"].data
        assert found.own["stage.orders"].metadata != before.own["stage.orders"].metadata
        assert found.own["stage.names"] == before.own["stage.names"]
    write(root, "audits/alone.sql", "AUDIT (name alone, standalone true);\nSELECT 1 FROM raw.orders")
    with pytest.raises(ModelError, match="reads no model that has a table") as caught:
        loaded(root)
    assert (caught.value.path, caught.value.line) == ("audits/alone.sql", 1)
    write(root, "audits/alone.sql", "AUDIT (name alone, standalone true, skip true);\nSELECT 1 FROM raw.orders")
    assert loaded(root).own == before.own


# --- macros of the project

MACROS = {
    "macros/shared.py": "from shared import WORD\nfrom sqlmesh import macro\n\n"
    "@macro()\ndef word(e):\n    return repr(WORD)\n",
    "macros/other.py": "from isomesh_dagster import macro\n\n@macro()\ndef other(e):\n    return '1'\n",
    "shared.py": "WORD = 'a'\nUNUSED = 1\n",
    "models/w.sql": "MODEL (name m.w, kind FULL); SELECT @word() AS w",
    "models/o.sql": "MODEL (name m.o, kind FULL); SELECT @other() AS o",
    "models/n.sql": "MODEL (name m.n, kind FULL); SELECT 1 AS n",
    "models/t.sql": "MODEL (name m.t, kind INCREMENTAL_BY_TIME_RANGE (time_column d));\n"
    "SELECT @start_date AS d, @word() AS w",
}


@pytest.fixture
def macros(tmp_path: Path) -> Path:
    write(tmp_path, "config.yaml", CONFIG)
    for path, text in MACROS.items():
        write(tmp_path, path, text)
    return tmp_path


def test_macros_of_the_project_are_called(macros: Path) -> None:
    files = loaded(macros)
    assert files.models["m.w"].rendered == "SELECT 'a' AS w"
    assert files.models["m.w"].macros == {}
    assert set(files.models["m.t"].macros) == {"macro word"}
    assert loaded(macros).misses == 0


@pytest.mark.parametrize(
    ("path", "old", "new", "misses", "changed"),
    [
        ("macros/shared.py", "return", "# why\n    return", 0, set()),
        ("macros/shared.py", "return repr", "return '' + repr", 2, {"m.t"}),
        ("shared.py", "UNUSED = 1", "UNUSED = 2", 0, set()),
        ("shared.py", "WORD = 'a'", "WORD = 'b'", 2, {"m.w", "m.t"}),
        ("macros/other.py", "'1'", "'2'", 1, {"m.o"}),
    ],
)
def test_an_edited_macro_renders_the_models_that_call_it(
    macros: Path, path: str, old: str, new: str, misses: int, changed: set[str]
) -> None:
    before = loaded(macros)
    assert old in MACROS[path]
    write(macros, path, MACROS[path].replace(old, new))
    after = loaded(macros)
    assert after.misses == misses
    assert {name for name in after.own if after.own[name] != before.own[name]} == changed
    if new.startswith("return '' +"):  # other code, the same SQL at every moment: nothing to build
        assert after.own["m.t"].data == before.own["m.t"].data


def test_a_warm_load_runs_no_macro(macros: Path) -> None:
    loaded(macros)
    write(macros, "macros/more.py", "raise RuntimeError('run')\n")
    assert loaded(macros).misses == 0


def test_a_macro_may_not_be_called_as_one_of_the_format(macros: Path) -> None:
    write(macros, "macros/star.py", "from isomesh_dagster import macro\n\n@macro()\ndef star(e):\n    return '1'\n")
    told = error(macros)
    assert (told.path, told.line) == ("macros/star.py", 4)
    assert "macro of the model format" in told.message


READS_FILES = {
    "config.yaml": CONFIG,
    "models/made.py": """
import json
from pathlib import Path
from sqlmesh import model
from macros.helpers import SETTINGS

NAMES = json.loads((Path(__file__).parent / "names.json").read_text())

@model("s.rows", kind="FULL", columns={name: "int" for name in NAMES})
def rows(context, start, end, execution_time, **kwargs):
    with open("no file of the definition"):
        yield SETTINGS

@model("s.query", is_sql=True, kind="FULL")
def query(evaluator):
    return "SELECT " + ", ".join(NAMES)
""",
    "models/called.sql": "MODEL (name s.called, kind FULL); SELECT @text() AS a",
    "models/other.sql": "MODEL (name s.other, kind FULL); SELECT 1 AS a",
    "macros/helpers.py": """
from pathlib import Path
from sqlmesh import macro

FOLDER = Path(__file__).parent
SETTINGS = (FOLDER / "settings.txt").read_text()

@macro()
def text(evaluator):
    return "'" + (FOLDER / "text.txt").read_text() + "'"
""",
    "models/names.json": '["a"]',
    "macros/settings.txt": "1",
    "macros/text.txt": "x",
}


@pytest.mark.parametrize(
    ("path", "text", "changed"),
    [
        ("models/names.json", '["a", "b"]', {"s.rows", "s.query"}),
        ("macros/settings.txt", "2", {"s.rows"}),
        ("macros/text.txt", "y", {"s.called"}),
        ("models/unread.json", "[]", set()),
    ],
)
def test_files_that_python_opens_are_a_part_of_what_it_makes(
    tmp_path: Path, path: str, text: str, changed: set[str]
) -> None:
    for name, content in READS_FILES.items():
        write(tmp_path, name, content)
    before = loaded(tmp_path)
    again = loaded(tmp_path)
    assert (again.misses, again.own, again.digest) == (0, before.own, before.digest)
    write(tmp_path, path, text)
    after = loaded(tmp_path)
    assert {name for name, own in after.own.items() if own != before.own[name]} == changed
    shutil.rmtree(tmp_path / ".isomesh")
    cold = loaded(tmp_path)
    assert (cold.own, cold.digest) == (after.own, after.digest)
