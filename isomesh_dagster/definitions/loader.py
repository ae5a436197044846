"""Definitions pinned to one compiled manifest in every process of a run.

A code location compiles the project once, when it is loaded; runs get a pointer to that manifest with their launch and
read it, whatever happens to the files meanwhile. The pointer is a path: small, because Dagster copies it into every
run.

This file uses Dagster's internals (pinned by `dagster<1.14`). Without them each process compiles the files it finds.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path

import dagster as dg

from isomesh_dagster.errors import StateError

try:
    from dagster._core.definitions.definitions_load_context import (
        DefinitionsLoadContext,
        DefinitionsLoadType,
        StateBackedDefinitionsLoader,
    )
except ImportError:
    PINNED = False
else:
    PINNED = True


def pinned_definitions(
    key: str, compile_manifest: Callable[[], Path], build: Callable[[Path], dg.Definitions]
) -> dg.Definitions:
    """Definitions built from the manifest that the location compiled when it was loaded.

    `key` is unique within the code location. `compile_manifest` runs when the location is loaded; `build` in every
    process. Raises StateError in a run whose manifest was deleted.
    """
    if not PINNED:
        return build(compile_manifest())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)  # that is what this file and its contract test are for
        return _Loader(key, compile_manifest, build).build_defs()


def pinned_manifest(key: str, compile_manifest: Callable[[], Path]) -> Path:
    """The manifest that the location compiled when it was loaded, for definitions that are made of several parts.

    As `pinned_definitions`; raises StateError in a run whose manifest was deleted.
    """
    if not PINNED:
        return compile_manifest()
    context = DefinitionsLoadContext.get()
    name = f"manifest of {key}"
    if context.load_type is DefinitionsLoadType.RECONSTRUCTION:
        known = context.reconstruction_metadata.get(name)
        if known is not None:
            context.add_to_pending_reconstruction_metadata(name, known)
            return _existing(Path(known))
    manifest = compile_manifest()
    context.add_to_pending_reconstruction_metadata(name, str(manifest))
    return manifest


def _existing(manifest: Path) -> Path:
    if not manifest.exists():
        raise StateError(
            f"the compiled manifest this was launched with is gone: {manifest}",
            hint="reload the code location, then launch again",
        )
    return manifest


if PINNED:

    class _Loader(StateBackedDefinitionsLoader[str]):
        def __init__(
            self, key: str, compile_manifest: Callable[[], Path], build: Callable[[Path], dg.Definitions]
        ) -> None:
            self._key = key
            self._compile = compile_manifest
            self._build = build

        @property
        def defs_key(self) -> str:
            return self._key

        def fetch_state(self) -> str:
            return json.dumps({"manifest": str(self._compile())})

        def defs_from_state(self, state: str) -> dg.Definitions:
            return self._build(_existing(Path(json.loads(state)["manifest"])))
