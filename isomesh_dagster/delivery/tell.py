"""Telling people and programs: files in a folder, a program of theirs, the host's status of the commit.

None of these can undo what was done, so a failure here is a warning and never an error.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from isomesh_dagster.config.git import GitConfig
from isomesh_dagster.config.settings import Settings
from isomesh_dagster.delivery.host import set_status
from isomesh_dagster.delivery.report import Report, report_json, report_markdown
from isomesh_dagster.errors import without_secrets
from isomesh_dagster.files import write_whole
from isomesh_dagster.project import FOLDER


class Teller:
    """Tells of one gateway's deliveries, without its secrets."""

    def __init__(self, settings: Settings, config: GitConfig, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._config = config
        self._environ = environ

    def tell(self, report: Report) -> Report:
        """Write the report, give it to the hook, set the commit's status. The report, with warnings of what failed."""
        settings, config = self._settings, self._config
        document = self.without_secrets(json.dumps(report_json(report), indent=1, ensure_ascii=False) + "\n")
        folder = settings.root / (config.reports or f"{FOLDER}/{settings.gateway}/reports")
        page, unwritten = _write_report(folder, report, self.markdown(report), document)
        warnings = (
            unwritten,
            _run_hook(settings.root, config, report, page, document, self._environ),
            self.status(report.commit.id, report.environment, report.outcome, report.told),
        )
        return replace(report, also=(*report.also, *(warning for warning in warnings if warning is not None)))

    def status(self, commit: str, environment: str, state: str, told: str) -> str | None:
        """Set the commit's status, an outcome or "pending"; a warning when that fails, else None."""
        words = self.without_secrets(told)
        return set_status(self._config, self._environ, commit=commit, environment=environment, state=state, told=words)

    def markdown(self, report: Report) -> str:
        """The report as Markdown."""
        return self.without_secrets(report_markdown(report))

    def without_secrets(self, text: str) -> str:
        """The text with stars in place of every secret of the gateway."""
        for secret in self._settings.secret_values():
            text = text.replace(secret, "***")
        return without_secrets(text)


def _write_report(folder: Path, report: Report, markdown: str, document: str) -> tuple[Path, str | None]:
    """Write the report's two texts, `<commit>.<kind>.<environment>.md` and `.json`; the path of the Markdown, and a
    warning when that fails. What a commit had before is replaced.
    """
    name = f"{report.commit.id}.{report.kind}.{report.environment}"
    page = folder / f"{name}.md"
    try:
        write_whole({page: markdown, folder / f"{name}.json": document})
    except OSError as error:
        return page, f"git.reports: {error}"
    return page, None


def _run_hook(
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
