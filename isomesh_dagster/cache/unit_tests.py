"""The project's unit tests, read from `tests/**/test*.yaml` when somebody asks for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from isomesh_dagster.cache.ignored import ignored
from isomesh_dagster.config.settings import Settings
from isomesh_dagster.errors import ModelError
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.unit_tests import UnitTest, UnitTestContext, parse_unit_tests

FOLDER = "tests"


def unit_test_files(settings: Settings) -> list[str]:
    """The project's test files as posix paths relative to its root, sorted. Files outside of it are left out."""
    is_ignored = ignored(settings.ignore_patterns)
    found = []
    for folder, folders, files in os.walk(settings.files / FOLDER):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__pycache__")))
        for name in files:
            path = Path(folder, name).relative_to(settings.files).as_posix()
            if name.startswith("test") and name.endswith((".yaml", ".yml")) and not is_ignored(path):
                found.append(path)
    return sorted(found)


def read_unit_test_files(settings: Settings) -> dict[str, str]:
    """The texts of the project's test files by path. Raises ModelError for one that cannot be read."""
    return {path: _text(settings.files, path) for path in unit_test_files(settings)}


def parse_unit_test_files(
    settings: Settings, models: Mapping[str, Model], texts: Mapping[str, str]
) -> tuple[UnitTest, ...]:
    """All tests that are for the gateway, file by file. `texts` are those of the files by path.

    Raises ModelError with path and line.
    """
    if not texts:
        return ()
    context = UnitTestContext(
        models=models,
        dialect=settings.dialect,
        default_catalog=settings.default_catalog,
        gateways=settings.gateways,
        read_file=_reader(settings.files),
    )
    tests = [test for path, text in texts.items() for test in parse_unit_tests(text, path, context)]
    return tuple(test for test in tests if test.gateway in (None, settings.gateway))


def _text(root: Path, path: str) -> str:
    try:
        return _reader(root)(path).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ModelError("the file is not UTF-8", path=path, hint="save it as UTF-8") from None
    except OSError as error:
        raise ModelError(f"the file cannot be read: {error.strerror}", path=path) from None


def _reader(root: Path) -> Callable[[str], bytes]:
    def read(path: str) -> bytes:
        full = (root / path).resolve()
        if not full.is_relative_to(root.resolve()):
            raise ModelError(f"path {path!r} is outside the project", hint="copy the file into the project")
        return full.read_bytes()

    return read
