import json
import subprocess
import sys
from pathlib import Path

import pytest

from isomesh_dagster.cache.manifest import Manifest, read_manifest, write_manifest
from isomesh_dagster.errors import IsomeshError
from isomesh_dagster.model.kinds import Full, View
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Column
from isomesh_dagster.snapshot.fingerprint import OwnFingerprint


def a_manifest() -> Manifest:
    models = [
        Model(name=name, path=f"models/{name}.sql", dialect="duckdb", kind=kind, query="SELECT 1 AS é")
        for name, kind in (("b.two", View()), ("a.one", Full()))
    ]
    return Manifest(
        gateway="dev",
        project="p",
        digest="d" * 32,
        models={model.name: model for model in models},
        own={model.name: OwnFingerprint(data=f"d{model.name}", metadata="m") for model in models},
        columns={"a.one": (Column(name="é", type="INT", description="one"),), "b.two": None},
    )


def test_a_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "dev" / "manifests" / "x.json"
    write_manifest(path, a_manifest())
    assert read_manifest(path) == a_manifest()
    assert [file.name for file in path.parent.iterdir()] == ["x.json"]


def test_equal_manifests_are_equal_bytes(tmp_path: Path) -> None:
    one = a_manifest()
    other = Manifest(
        gateway=one.gateway,
        project=one.project,
        digest=one.digest,
        models=dict(reversed(one.models.items())),
        own=one.own,
        columns=one.columns,
    )
    write_manifest(tmp_path / "one.json", one)
    write_manifest(tmp_path / "other.json", other)
    assert (tmp_path / "one.json").read_bytes() == (tmp_path / "other.json").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_manifest(path, a_manifest())
    unwritable = Manifest(gateway="dev", project=object(), digest="", models={}, own={})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        write_manifest(path, unwritable)
    assert read_manifest(path) == a_manifest()
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "damaged"),
        ("[]", "damaged"),
        ('{"format": 99}', "another version"),
        ('{"format": 1, "algorithm": 1}', "damaged"),
        (None, "no such"),
    ],
)
def test_what_is_no_manifest_is_told(tmp_path: Path, content: str | None, told: str) -> None:
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(IsomeshError, match=told) as caught:
        read_manifest(path)
    assert caught.value.hint


def test_a_model_without_its_name_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_manifest(path, a_manifest())
    content = json.loads(path.read_text())
    del content["models"][0]["model"]["name"]
    path.write_text(json.dumps(content))
    with pytest.raises(IsomeshError, match="damaged"):
        read_manifest(path)


def test_reading_imports_no_sqlglot(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_manifest(path, a_manifest())
    script = (
        "import sys, pathlib; from isomesh_dagster.cache.manifest import read_manifest;"
        "read_manifest(pathlib.Path(sys.argv[1]));"
        "bad = {'sqlglot', 'jinja2', 'sqlite3', 'dagster'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", script, str(path)], check=True)
