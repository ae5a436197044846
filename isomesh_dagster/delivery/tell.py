"""Telling people and programs: files in a folder, a program of theirs, the commit status of GitHub and GitLab.

None of these can undo what was done, so a failure here is a warning and never an error.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from isomesh_dagster.delivery.report import Report
from isomesh_dagster.model.git_config import GitConfig, StatusConfig
from isomesh_dagster.project import FOLDER

if TYPE_CHECKING:
    from http.client import HTTPMessage

_SECONDS = 30
_STATES = {
    "github": {"shown": "success", "waiting": "pending", "failed": "failure", "pending": "pending"},
    "gitlab": {"shown": "success", "waiting": "pending", "failed": "failed", "pending": "running"},
}


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


def set_status(
    config: GitConfig, environ: Mapping[str, str], *, commit: str, environment: str, state: str, told: str
) -> str | None:
    """Set the commit's status on the host; a warning when that fails, else None.

    `state` is an outcome of a report, or "pending". Nothing happens unless `git.status` is there and the token's
    variable is set, and for outcomes that are nobody's business there.
    """
    status = config.status
    token = environ.get(config.token_variable) if config.token_variable else None
    if status is None or not token or state not in _STATES[status.type]:
        return None
    address, headers, body = _request(status, token, commit, environment, _STATES[status.type][state], told)
    asked = Request(address, data=json.dumps(body).encode(), headers=headers, method="POST")
    try:
        with build_opener(_NoRedirect).open(asked, timeout=_SECONDS):
            return None
    except (URLError, OSError, ValueError) as error:
        return f"git.status: {urlsplit(address).netloc} refused the status of {commit[:12]}: {error}".replace(
            token, "***"
        )


def _request(
    status: StatusConfig, token: str, commit: str, environment: str, state: str, told: str
) -> tuple[str, dict[str, str], dict[str, str]]:
    name = f"isomesh/{environment}"
    common = {"state": state, "description": told[:140], **({"target_url": status.link} if status.link else {})}
    headers = {"Content-Type": "application/json", "User-Agent": "isomesh-dagster"}
    if status.type == "github":
        api = (status.api or "https://api.github.com").rstrip("/")
        return (
            f"{api}/repos/{quote(status.repository)}/statuses/{commit}",
            {**headers, "Authorization": f"Bearer {token}", "Accept": "application/vnd.github+json"},
            {**common, "context": name},
        )
    api = (status.api or "https://gitlab.com/api/v4").rstrip("/")
    return (
        f"{api}/projects/{quote(status.repository, safe='')}/statuses/{commit}",
        {**headers, "PRIVATE-TOKEN": token},
        {**common, "name": name},
    )


class _NoRedirect(HTTPRedirectHandler):
    """A token goes where the configuration says and nowhere else."""

    def redirect_request(
        self, req: Request, fp: object, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow nothing; the answer is an error then."""
        return
