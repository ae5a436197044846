"""The repository's host, asked by its API: the status of a commit, and which pull requests are open.

GitHub's and GitLab's, and those that speak like them (Gitea and Forgejo answer GitHub's requests). The token goes to
the address of the configuration and nowhere else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator, Mapping
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from isomesh_dagster.config.git import GitConfig, StatusConfig, pull_request_of
from isomesh_dagster.errors import RemoteError

if TYPE_CHECKING:
    from http.client import HTTPMessage

_SECONDS = 10
_MOST_PAGES = 50
_MOST_SECONDS = 30.0
"""For all pages together: a sensor asks, and a tick of it is given a minute."""
_MOST_BYTES = 32 * 1024 * 1024
_STATES = {
    "github": {"shown": "success", "waiting": "pending", "failed": "failure", "pending": "pending"},
    "gitlab": {"shown": "success", "waiting": "pending", "failed": "failed", "pending": "running"},
}


def set_status(
    config: GitConfig, environ: Mapping[str, str], *, commit: str, environment: str, state: str, told: str
) -> str | None:
    """Set the commit's status on the host; a warning when that fails, else None.

    `state` is an outcome of a report, or "pending". Nothing happens unless `git.status` is there and the token's
    variable is set, and for outcomes that are nobody's business there.
    """
    status, token = config.status, _token(config, environ)
    if status is None or not token or state not in _STATES[status.type]:
        return None
    name = "context" if status.type == "github" else "name"
    body = {
        "state": _STATES[status.type][state],
        "description": told[:140],
        name: f"isomesh/{environment}",
        **({"target_url": status.link} if status.link else {}),
    }
    asked = Request(
        f"{_project(status)}/statuses/{commit}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **_headers(status, token)},
        method="POST",
    )
    try:
        with build_opener(_NoRedirect).open(asked, timeout=_SECONDS):
            return None
    except (URLError, HTTPException, OSError, ValueError) as error:
        return f"git.status: {_netloc(asked)} refused the status of {commit[:12]}: {error}".replace(token, "***")


def only_open(
    config: GitConfig, environ: Mapping[str, str], refs: Mapping[str, str], known: Collection[str]
) -> tuple[dict[str, str], str]:
    """The refs without those of pull requests that the host's API says are closed; and why that cannot be told, or "".

    When it cannot be told, those of `known` stay and others do not begin: a host that is away ends nobody's preview.
    Only with `open_pull_requests: api` is anything asked, and only when there is a pull request to ask about.
    """
    status = config.status
    numbers = {ref: number for ref in refs if (number := pull_request_of(ref)) is not None}
    if config.open_pull_requests != "api" or status is None or not numbers:
        return {**refs}, ""
    try:
        found = set(_open_numbers(status, _token(config, environ)))
    except RemoteError as error:
        return {ref: commit for ref, commit in refs.items() if ref not in numbers or ref in known}, error.message
    return {ref: commit for ref, commit in refs.items() if ref not in numbers or numbers[ref] in found}, ""


def _open_numbers(status: StatusConfig, token: str | None) -> Iterator[int]:
    """The numbers of the open pull or merge requests. Raises RemoteError when the host does not tell."""
    path, number = ("pulls?state=open", "number") if status.type == "github" else ("merge_requests?state=opened", "iid")
    until = time.monotonic() + _MOST_SECONDS
    for page in range(1, _MOST_PAGES + 1):
        if time.monotonic() > until:
            raise RemoteError(f"the host took more than {_MOST_SECONDS:.0f} s to tell which pull requests are open")
        asked = Request(f"{_project(status)}/{path}&per_page=100&page={page}", headers=_headers(status, token))
        try:
            with build_opener(_NoRedirect).open(asked, timeout=_SECONDS) as answer:
                listed: Any = json.loads(answer.read(_MOST_BYTES))
                has_more = 'rel="next"' in (answer.headers.get("Link") or "")
            yield from [int(one[number]) for one in listed]
        except (URLError, HTTPException, OSError, ValueError, TypeError, KeyError) as error:
            told = str(error).replace(token, "***") if token else str(error)
            raise RemoteError(f"{_netloc(asked)} does not tell which pull requests are open: {told}") from None
        if not has_more:
            return
    raise RemoteError(f"{_netloc(asked)} has more than {_MOST_PAGES * 100:,} open pull requests")


def _project(status: StatusConfig) -> str:
    """The address of the repository in the API."""
    if status.type == "github":
        return f"{(status.api or 'https://api.github.com').rstrip('/')}/repos/{quote(status.repository)}"
    return f"{(status.api or 'https://gitlab.com/api/v4').rstrip('/')}/projects/{quote(status.repository, safe='')}"


def _headers(status: StatusConfig, token: str | None) -> dict[str, str]:
    headers = {"User-Agent": "isomesh-dagster"}
    if status.type == "github":
        headers["Accept"] = "application/vnd.github+json"
    if token:
        name, value = ("Authorization", f"Bearer {token}") if status.type == "github" else ("PRIVATE-TOKEN", token)
        headers[name] = value
    return headers


def _token(config: GitConfig, environ: Mapping[str, str]) -> str | None:
    return environ.get(config.token_variable) if config.token_variable else None


def _netloc(asked: Request) -> str:
    return urlsplit(asked.full_url).netloc


class _NoRedirect(HTTPRedirectHandler):
    """A token goes where the configuration says and nowhere else."""

    def redirect_request(
        self, req: Request, fp: object, code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        """Follow nothing; the answer is an error then."""
        return
