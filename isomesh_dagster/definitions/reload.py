"""Asking Dagster's web server to load a code location again."""

from __future__ import annotations

import json
from urllib.error import URLError
from urllib.request import Request, urlopen

_SECONDS = 45
_MUTATION = "mutation($name: String!) { reloadRepositoryLocation(repositoryLocationName: $name) { __typename } }"
_DONE = ("WorkspaceLocationEntry", "RepositoryLocation")


def reload_location(address: str, name: str) -> str | None:
    """Load the location again; why that did not work, or None. `address` is that of the web server."""
    body = json.dumps({"query": _MUTATION, "variables": {"name": name}}).encode()
    asked = Request(f"{address.rstrip('/')}/graphql", body, {"Content-Type": "application/json"}, method="POST")
    try:
        with urlopen(asked, timeout=_SECONDS) as answer:
            told = json.load(answer)["data"]["reloadRepositoryLocation"]["__typename"]
    except (URLError, OSError, ValueError, KeyError, TypeError) as error:
        return f"{address} did not reload {name}: {error}"
    return None if told in _DONE else f"{address} did not reload {name}: {told}"
