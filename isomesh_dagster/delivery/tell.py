"""Telling people and programs: files in a folder, a program of theirs.

Neither can undo what was done, so a failure of the program is a warning and never an error.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from isomesh_dagster.delivery.report import Report
from isomesh_dagster.model.git_config import GitConfig
from isomesh_dagster.project import FOLDER


def write_report(root: Path, gateway: str, config: GitConfig, report: Report, markdown: str, document: str) -> Path:
    """Write the report's two texts, `<commit>.<kind>.<environment>.md` and `.json`; the path of the Markdown.

    What a commit had before is replaced.
    """
    folder = root / config.reports if config.reports is not None else root / FOLDER / gateway / "reports"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{report.commit.id}.{report.kind}.{report.environment}"
    page = folder / f"{name}.md"
    for path, text in (
        (page, markdown),
        (folder / f"{name}.json", document),
    ):
        part = path.with_name(f".{path.name}.{os.getpid()}")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    return page


def run_hook(
    root: Path, config: GitConfig, report: Report, page: Path, document: str, environ: Mapping[str, str]
) -> str | None:
    """Run the hook with the report's JSON `document` on its standard input; a warning when it fails, else None.

    It runs in the project's folder and gets `ISOMESH_REPORT`, the path of the Markdown, `ISOMESH_OUTCOME`,
    `ISOMESH_REF`, `ISOMESH_COMMIT` and `ISOMESH_ENVIRONMENT`.
    """
    if not config.hook:
        return None
    told = {
        "ISOMESH_REPORT": str(page),
        "ISOMESH_OUTCOME": report.outcome,
        "ISOMESH_REF": report.ref,
        "ISOMESH_COMMIT": report.commit.id,
        "ISOMESH_ENVIRONMENT": report.environment,
    }
    try:
        done = subprocess.run(
            list(config.hook),
            input=document.encode(),
            capture_output=True,
            cwd=root,
            env={**environ, **told},
            timeout=config.limits.seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"git.hook: {error}"
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        return f"git.hook ended with code {done.returncode}" + (f": {said[-1][:200]}" if said else "")
    return None
