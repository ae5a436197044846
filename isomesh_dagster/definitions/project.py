"""`IsomeshProject`: where a project is, for definitions that are made of several parts.

shop = IsomeshProject("shop")
shop.prepare_if_dev()

@isomesh_assets(project=shop, select="tag:nightly")
def nightly(context, isomesh):
yield from isomesh.build(context)

defs = build_definitions(shop, assets=[*nightly])
"""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from isomesh_dagster.definitions.deployed import located_manifest
from isomesh_dagster.definitions.loader import pinned_manifest
from isomesh_dagster.project import Project


class IsomeshProject:
    """A project's folder under one gateway, compiled once per process and the same in every process of a run.

    project_dir  the folder of config.yaml
    gateway      by default the environment variable ISOMESH_GATEWAY, else the configuration's default
    """

    def __init__(self, project_dir: Path | str = ".", *, gateway: str | None = None) -> None:
        self.project_dir = Path(project_dir).resolve()
        self.gateway = (gateway or os.environ.get("ISOMESH_GATEWAY") or "").lower() or None

    def prepare(self) -> Path:
        """Compile the files as they are now, or those of the commit that git deployed; the manifest's path. What did
        not change is taken from the cache.

        In the build of an image this leaves a warm cache. Raises IsomeshError when a file is wrong.
        """
        return located_manifest(self.project_dir, self.gateway)

    def prepare_if_dev(self) -> None:
        """Compile now under `dagster dev`, so that what is wrong in a file is said first; nothing elsewhere."""
        if os.environ.get("DAGSTER_IS_DEV_CLI"):
            self.prepare()

    @cached_property
    def manifest(self) -> Path:
        """The compiled manifest: that of the launch in a run, of the present files where a location is loaded."""
        return pinned_manifest(self.key, self.prepare)

    @cached_property
    def compiled(self) -> Project:
        """The project as compiled; no SQL is parsed and no database opened."""
        return Project.from_manifest(self.manifest)

    @property
    def key(self) -> str:
        """What tells this project from others in one code location."""
        return f"isomesh/{self.project_dir}/{self.gateway or ''}"
