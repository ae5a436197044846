"""The host's API: statuses of commits, and which pull requests are open. A small server stands where the host is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

from isomesh_dagster.delivery import Deploy
from isomesh_dagster.project import Project
from isomesh_dagster_tests.repositories import Team

AMOUNT = "MODEL (name core.orders, kind FULL);\nSELECT 1 AS id, {} AS amount\n"


class _Host(BaseHTTPRequestHandler):
    """The API of a host of repositories: takes statuses, lists what is open, two on a page. It answers with the status
    `answer`; 0: with what is no HTTP.
    """

    asked: ClassVar[list[tuple[str, dict[str, str], dict[str, Any]]]] = []
    answer: ClassVar[int] = 201
    open: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((self.path, dict(self.headers), body))
        if self.answer == 0:
            self.wfile.write(b"a proxy\r\n\r\n")
            return
        self.send_response(self.answer)
        self.send_header("Location", "http://elsewhere.invalid/")
        self.end_headers()

    def do_GET(self) -> None:
        self.asked.append((self.path, dict(self.headers), {}))
        if self.answer == 0:
            self.wfile.write(b"a proxy\r\n\r\n")
            return
        address = urlsplit(self.path)
        page = int(parse_qs(address.query)["page"][0])
        key = {"pulls": "number", "merge_requests": "iid"}[address.path.rsplit("/", 1)[-1]]
        self.send_response(200 if self.answer == 201 else self.answer)
        self.send_header("Location", "http://elsewhere.invalid/")
        if page * 2 < len(self.open):
            self.send_header("Link", f'<http://elsewhere.invalid/?page={page + 1}>; rel="next"')
        self.end_headers()
        self.wfile.write(json.dumps([{key: number} for number in self.open[page * 2 - 2 : page * 2]]).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def host() -> Iterator[str]:
    _Host.asked.clear()
    _Host.answer, _Host.open = 201, []
    server = HTTPServer(("127.0.0.1", 0), _Host)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


class TestStatus:
    def configure(self, team: Team, kind: str, host: str) -> None:
        team.configure(
            status=f"{{type: {kind}, repository: acme/shop, api: '{host}/v1', link: 'https://dagster.example.com'}}",
            token_variable="TOKEN",
        )

    def test_of_github(self, team: Team, host: str) -> None:
        self.configure(team, "github", host)
        with team.delivery(TOKEN="sesame") as delivery:
            report = delivery.deploy()
        assert report.also == ()
        commit = report.commit.id
        assert [path for path, _, _ in _Host.asked] == [f"/v1/repos/acme/shop/statuses/{commit}"] * 2
        assert [body["state"] for _, _, body in _Host.asked] == ["pending", "success"]
        _, headers, body = _Host.asked[-1]
        assert headers["Authorization"] == "Bearer sesame"
        assert body["context"] == "isomesh/prod"
        assert body["target_url"] == "https://dagster.example.com"
        assert body["description"].startswith(f"prod shows {commit[:12]}")

    def test_of_gitlab(self, team: Team, host: str) -> None:
        self.configure(team, "gitlab", host)
        team.commit("Broken", {"models/orders.sql": "no"})
        with team.delivery(TOKEN="sesame") as delivery:
            report = delivery.deploy()
        path, headers, body = _Host.asked[-1]
        assert path == f"/v1/projects/acme%2Fshop/statuses/{report.commit.id}"
        assert headers["Private-Token"] == "sesame"
        assert (body["state"], body["name"]) == ("failed", "isomesh/prod")

    def test_without_a_token_nobody_is_told(self, team: Team, host: str) -> None:
        self.configure(team, "github", host)
        with team.delivery() as delivery:
            assert delivery.deploy().outcome == "shown"
        assert _Host.asked == []

    @pytest.mark.parametrize("answer", [401, 302, 0])
    def test_a_host_that_refuses_is_a_warning(self, team: Team, host: str, answer: int) -> None:
        _Host.answer = answer
        self.configure(team, "github", host)
        with team.delivery(TOKEN="sesame") as delivery:
            report = delivery.deploy()
        assert report.outcome == "shown"
        (warning,) = report.also
        assert "refused the status" in warning
        assert "sesame" not in warning
        assert len(_Host.asked) == 2  # a redirect is not followed with the token


def request_a_pull(team: Team, number: int, amount: int, refs: str = "pull") -> str:
    """A pull request as its host keeps it: refs of its head and of its merge; the commit of its head."""
    team.git("checkout", "-q", "main")
    files: dict[str, str | None] = {"models/orders.sql": AMOUNT.format(amount)}
    commit = team.commit(f"Pull {number}", files, branch=f"b{number}", push=False)
    team.git("push", "-q", "origin", f"b{number}:refs/{refs}/{number}/head", f"b{number}:refs/{refs}/{number}/merge")
    return commit


def close(team: Team, number: int, refs: str = "pull") -> None:
    """What most hosts do: the merge goes, the head stays."""
    team.git("push", "-q", "origin", f":refs/{refs}/{number}/merge")


def tasks(team: Team, **environ: str) -> list[tuple[str, str]]:
    """What is due but the deploy: what and whose."""
    with team.delivery(**environ) as delivery:
        found = delivery.due().tasks
    return [(type(task).__name__, task.environment) for task in found if not isinstance(task, Deploy)]


def sync(team: Team, **environ: str) -> list[str]:
    """All of that, done."""
    with team.delivery(**environ) as delivery:
        return [delivery.do(task).told for task in delivery.due().tasks if not isinstance(task, Deploy)]


class TestClosedPullRequests:
    @pytest.mark.parametrize("refs", ["pull", "merge-requests", "pull-requests"])
    def test_their_refs_stay_and_what_goes_is_the_merge(self, team: Team, refs: str) -> None:
        team.configure(previews=f"[refs/{refs}/*/head]")
        request_a_pull(team, 7, 20, refs)
        request_a_pull(team, 8, 30, refs)
        close(team, 8, refs)
        assert tasks(team) == [("Preview", "pr_8"), ("Preview", "pr_7")]
        team.configure(previews=f"[refs/{refs}/*/head]", open_pull_requests="merge_ref")
        assert tasks(team) == [("Preview", "pr_7")]

    def test_a_preview_ends_and_comes_back(self, team: Team) -> None:
        team.configure(open_pull_requests="merge_ref")
        request_a_pull(team, 7, 20)
        sync(team)
        assert team.query("SELECT amount FROM marts__pr_7.totals") == [(20,)]
        close(team, 7)
        assert tasks(team) == [("Expire", "pr_7")]
        assert sync(team) == ["pr_7 ended: refs/pull/7/head is closed"]
        with team.delivery() as delivery:  # nor is it begun by hand, or by a run that comes late
            assert delivery.preview("refs/pull/7/head").outcome == "skipped"
        assert tasks(team) == []
        team.git("push", "-q", "origin", "b7:refs/pull/7/merge")  # opened again, before the janitor came
        assert sync(team)[0].endswith("views only, everything was built before")

    @pytest.mark.parametrize(
        ("kind", "refs", "address"),
        [
            ("github", "pull", "/v1/repos/acme/shop/pulls?state=open&per_page=100&page="),
            ("gitlab", "merge-requests", "/v1/projects/acme%2Fshop/merge_requests?state=opened&per_page=100&page="),
        ],
    )
    def test_what_the_host_says(self, team: Team, host: str, kind: str, refs: str, address: str) -> None:
        team.configure(
            previews=f"[refs/{refs}/*/head]",
            open_pull_requests="api",
            status=f"{{type: {kind}, repository: acme/shop, api: '{host}/v1'}}",
            token_variable="TOKEN",
        )
        assert tasks(team, TOKEN="sesame") == []
        assert _Host.asked == []  # there is nothing to ask about
        for number in (3, 4, 5, 6):
            request_a_pull(team, number, number, refs)
        _Host.open = [1, 2, 4, 5, 6]
        assert tasks(team, TOKEN="sesame") == [("Preview", "pr_6"), ("Preview", "pr_5"), ("Preview", "pr_4")]
        assert [path for path, _, _ in _Host.asked] == [f"{address}{page}" for page in (1, 2, 3)]
        for _, headers, _ in _Host.asked:
            assert "sesame" in (headers.get("Authorization") or headers["Private-Token"])
        with team.delivery(TOKEN="sesame") as delivery:
            assert delivery.preview(f"refs/{refs}/3/head").outcome == "skipped"

    def test_a_host_that_does_not_say_ends_nothing_and_begins_nothing(self, team: Team, host: str) -> None:
        status = f"{{type: github, repository: acme/shop, api: '{host}'}}"
        team.configure(open_pull_requests="api", status=status, token_variable="TOKEN")
        _Host.open = [7]
        request_a_pull(team, 7, 20)
        request_a_pull(team, 8, 30)
        sync(team, TOKEN="sesame")
        request_a_pull(team, 7, 21)
        with team.delivery(TOKEN="sesame") as delivery:
            for answer, listed in ((500, []), (302, []), (0, []), (201, ["sesame"])):
                _Host.answer, _Host.open = answer, listed
                due = delivery.due()
                assert [type(task).__name__ for task in due.tasks] == ["Deploy", "Preview"]
                assert "does not tell which pull requests are open" in due.unknown
                assert "sesame" not in due.unknown
                assert due.refused == ()
        _Host.answer, _Host.open = 201, []
        assert tasks(team, TOKEN="sesame") == [("Expire", "pr_7")]

    def test_what_ended_leaves_room(self, team: Team) -> None:
        """A merged pull request's ref stays, its environment does not."""
        team.configure(limits="{previews: 1}")
        request_a_pull(team, 7, 20)
        sync(team)
        request_a_pull(team, 8, 30)
        assert tasks(team) == []
        with Project.load(team.system, environ={}) as project:
            project.invalidate("pr_7")
        assert tasks(team) == [("Preview", "pr_8")]
