"""Which files a code location is about: those of the commit that git deployed, else those of the project's folder."""

from __future__ import annotations

from pathlib import Path

from isomesh_dagster.config.read import load_settings
from isomesh_dagster.project import Project


def located_manifest(root: Path, gateway: str | None) -> Path:
    """The manifest of what `prod` shows where a repository drives the gateway and a commit was deployed; else of the
    files as they are now. Raises IsomeshError when these are wrong.
    """
    if load_settings(root, gateway).git is not None:
        from isomesh_dagster.delivery import Delivery

        with Delivery(root, gateway=gateway) as delivery:
            shown = delivery.shown_manifest()
        if shown is not None:
            return shown
    with Project.load(root, gateway=gateway) as project:
        return project.compile()
