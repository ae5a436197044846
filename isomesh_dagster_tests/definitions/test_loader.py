"""Contract with Dagster's internals: a run keeps the manifest it was launched with, whatever the files say by then."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.code_pointer import CodePointer
from dagster._core.definitions.definitions_load_context import DefinitionsLoadContext, DefinitionsLoadType
from dagster._core.definitions.reconstruct import (
    initialize_repository_def_from_pointer,
    reconstruct_repository_def_from_pointer,
)

from isomesh_dagster.definitions.loader import PINNED, pinned_definitions
from isomesh_dagster.errors import StateError

LOCATION = """
from pathlib import Path
import dagster as dg
from isomesh_dagster.definitions.loader import pinned_definitions

HERE = Path(__file__).parent

def compile_manifest():
    name = (HERE / "model.txt").read_text()
    manifest = HERE / f"{name}.json"
    manifest.write_text(name)
    return manifest

@dg.definitions
def defs():
    return pinned_definitions(
        "isomesh/test", compile_manifest, lambda manifest: dg.Definitions(assets=[dg.AssetSpec(manifest.read_text())])
    )
"""


@pytest.fixture
def location(tmp_path: Path):  # type: ignore[no-untyped-def]
    (tmp_path / "location.py").write_text(LOCATION)
    (tmp_path / "model.txt").write_text("first")
    before = DefinitionsLoadContext._instance
    yield tmp_path
    DefinitionsLoadContext._instance = before


def names(repository: dg.RepositoryDefinition) -> set[str]:
    return {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}


def test_the_internals_are_there() -> None:
    assert PINNED, "this Dagster has no internals for pinning: every process compiles the files it finds"


def test_a_run_keeps_its_manifest_while_files_change(location: Path) -> None:
    pointer = CodePointer.from_python_file(str(location / "location.py"), "defs", None)
    launched = initialize_repository_def_from_pointer(pointer)
    assert names(launched) == {"first"}

    (location / "model.txt").write_text("second")
    run = reconstruct_repository_def_from_pointer(pointer, launched.repository_load_data)
    assert names(run) == {"first"}

    reloaded = initialize_repository_def_from_pointer(pointer)
    assert names(reloaded) == {"second"}


def test_a_deleted_manifest_says_what_to_do(location: Path) -> None:
    pointer = CodePointer.from_python_file(str(location / "location.py"), "defs", None)
    launched = initialize_repository_def_from_pointer(pointer)
    (location / "first.json").unlink()
    with pytest.raises(StateError, match="reload the code location"):
        reconstruct_repository_def_from_pointer(pointer, launched.repository_load_data)


def test_what_a_run_carries_is_a_pointer(location: Path) -> None:
    (location / "big.json").write_text("x" * 100_000)
    with DefinitionsLoadContext.scoped(DefinitionsLoadContext(DefinitionsLoadType.INITIALIZATION)):
        definitions = pinned_definitions("key", lambda: location / "big.json", lambda _: dg.Definitions())
    assert len(str(definitions.metadata)) < 1000
