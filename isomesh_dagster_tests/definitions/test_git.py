"""Git drives Dagster: sensors over a real repository, and the runs they ask for."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from isomesh_dagster import build_definitions
from isomesh_dagster.definitions import tries
from isomesh_dagster.definitions.sensors import Cursor
from isomesh_dagster_tests.definitions.conftest import failure, materialized, reused
from isomesh_dagster_tests.repositories import Team, team

AMOUNT = "MODEL (name core.orders, kind FULL);\nSELECT 1 AS id, {} AS amount\n"
BRANCH = "feature/amounts"
MAIN = "refs/heads/main"


class Deployment:
    """A code location of the system, its Dagster instance, and what a daemon does with them."""

    def __init__(self, people: Team, instance: dg.DagsterInstance) -> None:
        self.people = people
        self.instance = instance
        self.cursors: dict[str, str | None] = {}
        self.queued: dict[str | None, str] = {}
        self.definitions = dg.Definitions()
        self.reload()

    def reload(self) -> None:
        """Load the code location again, as a new process would."""
        self.definitions = build_definitions(self.people.system)

    def tick(self, name: str = "deploy_on_merge") -> dg.SensorResult:
        """One tick of a sensor; its cursor is kept, and what it asks for waits in the queue."""
        repository = self.definitions.get_repository_def()
        context = dg.SensorEvaluationContext(
            instance_ref=None,
            instance=self.instance,
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=self.cursors.get(name),
            repository_name=None,
            repository_def=repository,
            code_location_origin=RegisteredCodeLocationOrigin("shop"),
        )
        result = repository.get_sensor_def(name)(context)
        assert isinstance(result, dg.SensorResult)
        self.cursors[name] = result.cursor
        for request in result.run_requests or ():
            made = self.make(request, dg.DagsterRunStatus.QUEUED)
            self.queued[request.run_key] = made.run_id
        return result

    def make(self, request: dg.RunRequest, status: dg.DagsterRunStatus, **tags: str) -> dg.DagsterRun:
        """The run that a request becomes, in a state that it came to elsewhere."""
        job = request.job_name or "deploy"
        return self.instance.create_run_for_job(
            self.definitions.resolve_job_def(job),
            run_config=request.run_config,
            tags={**request.tags, **tags},
            status=status,
            remote_job_origin=RemoteJobOrigin(
                RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("shop"), "__repository__"), job
            ),
        )

    def run(self, request: dg.RunRequest, job: str | None = None) -> dg.ExecuteInProcessResult:
        """Do what a sensor asked for, in this process."""
        if request.run_key in self.queued:
            self.instance.delete_run(self.queued.pop(request.run_key))
        return self.definitions.resolve_job_def(job or request.job_name or "").execute_in_process(
            instance=self.instance, run_config=request.run_config, tags=request.tags, raise_on_error=False
        )

    def deploy(self) -> dg.ExecuteInProcessResult:
        """What one tick asks for, done."""
        (request,) = self.tick().run_requests or ()
        return self.run(request, "deploy")

    def models(self) -> set[str]:
        graph = self.definitions.resolve_asset_graph()
        return {key.to_user_string() for key in graph.materializable_asset_keys} - {"environment"}


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Deployment]:
    people = team(tmp_path)
    model = people.system / "models" / "local.sql"  # the system's own files are other ones
    model.parent.mkdir()
    model.write_text("MODEL (name core.local, kind VIEW);\nSELECT 1 AS x\n")
    coordinator = {"module": "dagster._core.run_coordinator", "class": "QueuedRunCoordinator"}
    with dg.instance_for_test(overrides={"run_coordinator": coordinator}) as instance:
        yield Deployment(people, instance)


def amount(here: Deployment, schema: str = "marts") -> int:
    ((value,),) = here.people.query(f"SELECT amount FROM {schema}.totals")
    return int(value)


def output(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = [event for event in result.all_node_events if event.event_type_value == "STEP_OUTPUT"]
    return {name: entry.value for name, entry in event.step_output_data.metadata.items()}


def test_without_a_repository_there_is_nothing(here: Deployment) -> None:
    (here.people.system / "config.yaml").write_text(
        "gateways: {production: {connection: {type: duckdb, database: x.duckdb}}}\nmodel_defaults: {dialect: duckdb}\n"
    )
    here.reload()
    names = {sensor.name for sensor in here.definitions.sensors or ()} | {
        job.name for job in here.definitions.jobs or ()
    }
    assert not names & {"deploy_on_merge", "preview_on_push", "deploy", "preview"}


def test_sensors_are_off_unless_configured(here: Deployment) -> None:
    def states() -> set[dg.DefaultSensorStatus]:
        repository = here.definitions.get_repository_def()
        return {repository.get_sensor_def(name).default_status for name in ("deploy_on_merge", "preview_on_push")}

    assert states() == {dg.DefaultSensorStatus.STOPPED}
    here.people.configure(sensors="running", poll_seconds=5)
    here.reload()
    assert states() == {dg.DefaultSensorStatus.RUNNING}


def test_a_merge_is_one_run_of_its_commit(here: Deployment) -> None:
    commit = here.people.git("rev-parse", "HEAD")
    assert here.models() == {"core/local"}
    (request,) = here.tick().run_requests or ()
    assert request.run_key == f"production:1:{commit}"
    assert request.tags["isomesh/commit"] == commit
    assert here.tick().run_requests in (None, [])  # it is requested already

    here.people.commit("Later", {"models/orders.sql": AMOUNT.format(99)})  # while the run waits
    (here.people.system / "models" / "local.sql").write_text("no model at all")
    result = here.run(request, "deploy")
    assert result.success, failure(result)
    assert amount(here) == 10
    assert output(result)["isomesh/outcome"] == "shown"
    assert output(result)["isomesh/commit"] == commit
    told = materialized(result)
    assert set(told) == {"core.orders", "core.names", "marts.totals", "environment"}
    assert told["environment"].partition == "prod"

    (second,) = here.tick().run_requests or ()
    assert second.run_key == f"production:2:{here.people.git('rev-parse', 'HEAD')}"
    assert here.run(second, "deploy").success
    assert amount(here) == 99
    # the location follows: its models are those of the commit, the folder's file does not matter
    here.reload()
    assert here.models() == {"core/orders", "core/names", "marts/totals"}


def test_a_preview_from_push_to_merge(here: Deployment) -> None:
    (request,) = here.tick().run_requests or ()
    assert here.run(request, "deploy").success
    commit = here.people.commit("Twenty", {"models/orders.sql": AMOUNT.format(20)}, branch=BRANCH)

    (preview,) = here.tick("preview_on_push").run_requests or ()
    assert (preview.job_name, preview.tags["isomesh/environment"]) == ("preview", "feature_amounts")
    assert here.tick("preview_on_push").run_requests in (None, [])
    done = here.run(preview)
    assert done.success, failure(done)
    assert set(materialized(done)) == {"environment"}  # assets stand for prod
    assert amount(here, "marts__feature_amounts") == 20
    assert "Rows of `prod` and `feature_amounts`" in output(done)["isomesh/report"]
    assert commit[:12] in output(done)["isomesh/report"]

    here.people.merge(BRANCH)
    deploy = here.deploy()
    assert output(deploy)["isomesh/views_only"] is True
    assert reused(deploy) == {"core.orders": True, "marts.totals": True}
    gone = here.tick("preview_on_push").run_requests or []
    assert [request.job_name for request in gone] == ["janitor"]
    here.reload()
    janitor = here.run(gone[0])
    assert janitor.success, failure(janitor)
    assert here.people.query("SELECT count(*) FROM information_schema.schemata WHERE schema_name LIKE '%feature%'") == [
        (0,)
    ]
    assert here.tick("preview_on_push").run_requests in (None, [])


def test_a_deployed_commit_is_in_sync(here: Deployment) -> None:
    """Also the models that a preview had built."""
    assert here.deploy().success
    here.people.commit("Twenty", {"models/orders.sql": AMOUNT.format(20)}, branch=BRANCH)
    assert here.run((here.tick("preview_on_push").run_requests or [])[0]).success
    here.people.merge(BRANCH)
    assert here.deploy().success
    here.reload()
    graph = here.definitions.resolve_asset_graph()
    for key in (dg.AssetKey(["core", "orders"]), dg.AssetKey(["marts", "totals"])):
        event = here.instance.get_latest_materialization_event(key)
        assert event is not None
        tags = event.asset_materialization.tags if event.asset_materialization is not None else {}
        assert (tags or {})["dagster/code_version"] == graph.get(key).code_version


def test_a_commit_that_does_not_parse_is_told_once(here: Deployment) -> None:
    here.people.commit("Broken", {"models/orders.sql": "MODEL (name core.orders);\nSELEC\n"})
    result = here.tick()
    assert not result.run_requests
    assert "there is no prod yet: " in str(result.skip_reason)
    again = here.tick()
    assert not again.run_requests
    assert "there is no prod yet" not in str(again.skip_reason)
    here.people.commit("Mended", {"models/orders.sql": AMOUNT.format(1)})
    assert len(here.tick().run_requests or []) == 1


def test_a_failed_deploy_is_a_failed_run(here: Deployment) -> None:
    here.people.commit("Fails", {"models/orders.sql": AMOUNT.format("CAST(id || 'x' AS INT)")})
    result = here.deploy()
    assert not result.success
    assert "there is no prod yet: core.orders failed" in failure(result)
    assert not here.tick().run_requests


def test_a_branch_forced_back_is_followed(here: Deployment) -> None:
    first = here.people.git("rev-parse", "HEAD")
    assert here.deploy().success
    here.people.commit("More", {"models/orders.sql": AMOUNT.format(40)})
    assert here.deploy().success
    here.people.git("reset", "-q", "--hard", first)
    here.people.git("push", "-q", "--force", "origin", "main")
    (back,) = here.tick().run_requests or ()
    assert back.run_key == f"production:3:{first}"
    assert here.run(back, "deploy").success
    assert amount(here) == 10


def test_a_newer_push_cancels_older_runs_that_wait(here: Deployment) -> None:
    here.people.commit("One", {"models/orders.sql": AMOUNT.format(1)}, branch=BRANCH)
    (old,) = here.tick("preview_on_push").run_requests or ()
    here.people.commit("Two", {"models/orders.sql": AMOUNT.format(2)}, branch=BRANCH)
    (new,) = here.tick("preview_on_push").run_requests or ()
    assert new.tags["isomesh/commit"] != old.tags["isomesh/commit"]
    run = here.instance.get_run_by_id(here.queued[old.run_key])
    assert run is not None
    assert run.status == dg.DagsterRunStatus.CANCELED
    # one that was too late to be cancelled does nothing
    skipped = here.run(old)
    assert output(skipped)["isomesh/outcome"] == "skipped"
    assert here.run(new).success
    assert amount(here, "marts__feature_amounts") == 2


def test_a_daemon_that_starts_again_goes_on(here: Deployment) -> None:
    assert len(here.tick().run_requests or []) == 1
    here.reload()
    assert not here.tick().run_requests  # the cursor remembers
    here.cursors.clear()  # and if it is lost, the state does, once the run is done
    (request,) = here.tick().run_requests or ()
    assert here.run(request, "deploy").success
    here.cursors.clear()
    assert not here.tick().run_requests


def crashed(here: Deployment, request: dg.RunRequest) -> None:
    """The run of a request ended, and recorded nothing."""
    run = here.instance.get_run_by_id(here.queued[request.run_key])
    assert run is not None
    here.instance.report_run_failed(run)


@pytest.mark.parametrize("sensor", ["deploy_on_merge", "preview_on_push"])
def test_a_run_that_recorded_nothing_is_requested_again(
    here: Deployment, sensor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sensor == "preview_on_push":
        here.people.commit("One", {"models/orders.sql": AMOUNT.format(1)}, branch=BRANCH)
    (request,) = here.tick(sensor).run_requests or ()
    waits = here.tick(sensor)
    assert not waits.run_requests
    assert f"run {here.queued[request.run_key][:8]}" in str(waits.skip_reason)
    assert "is under way" in str(waits.skip_reason)

    crashed(here, request)
    (second,) = here.tick(sensor).run_requests or ()
    assert second.run_config == request.run_config
    assert second.run_key != request.run_key
    assert (request.tags.get("isomesh/attempt"), second.tags["isomesh/attempt"]) == (None, "2")
    crashed(here, second)
    pause = here.tick(sensor)
    assert not pause.run_requests
    assert "it is requested again in" in str(pause.skip_reason)

    monkeypatch.setattr(tries, "PAUSES", (0, 0))
    (third,) = here.tick(sensor).run_requests or ()
    crashed(here, third)
    last = here.tick(sensor)
    assert not last.run_requests
    assert "ended without a result, as 2 before it" in str(last.skip_reason)


def test_runs_of_another_location_are_not_ours(here: Deployment) -> None:
    """It may serve another folder of the same repository, with the same gateway."""
    (request,) = here.tick().run_requests or ()
    run = here.instance.get_run_by_id(here.queued[request.run_key])
    for name, found in (("shop", [run]), ("other", [])):
        context = dg.SensorEvaluationContext(
            instance_ref=None,
            instance=here.instance,
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=None,
            repository_name=None,
            code_location_origin=RegisteredCodeLocationOrigin(name),
        )
        ours = tries.runs_here(context, dg.RunsFilter(tags={"isomesh/commit": request.tags["isomesh/commit"]}))
        assert [record.dagster_run for record in ours] == found


def test_who_cancels_a_run_and_who_lets_dagster_try_again_is_heeded(here: Deployment) -> None:
    (request,) = here.tick().run_requests or ()
    failed = here.make(request, dg.DagsterRunStatus.FAILURE, **{"dagster/will_retry": "true"})
    assert "Dagster launches it again" in str(here.tick().skip_reason)
    here.instance.add_run_tags(failed.run_id, {"dagster/auto_retry_run_id": "x"})
    here.make(request, dg.DagsterRunStatus.CANCELED)
    canceled = here.tick()
    assert not canceled.run_requests
    assert "was canceled" in str(canceled.skip_reason)


def test_a_remote_that_is_away_is_a_skipped_tick(here: Deployment) -> None:
    here.people.remote.rename(here.people.folder / "elsewhere.git")
    assert "git ls-remote" in str(here.tick().skip_reason)
    (here.people.folder / "elsewhere.git").rename(here.people.remote)
    assert len(here.tick().run_requests or []) == 1


def test_a_commit_that_cannot_be_fetched_keeps_no_other_waiting(here: Deployment) -> None:
    """One whose objects git does not take, however it came into the remote."""
    good = here.people.commit("One", {"models/orders.sql": AMOUNT.format(1)}, branch="feature/b")
    blob = here.people.git("rev-parse", f"{good}:models/orders.sql")
    tree = subprocess.run(
        ["git", "mktree"],
        input=f"100644 blob {blob}\t.git\n".encode(),
        cwd=here.people.work,
        capture_output=True,
        check=True,
    )
    bad = here.people.git("commit-tree", tree.stdout.decode().strip(), "-m", "x")
    here.people.git("push", "-q", "--force", "origin", f"{bad}:refs/heads/feature/a")
    (request,) = here.tick("preview_on_push").run_requests or ()
    assert request.tags["isomesh/commit"] == good
    again = here.tick("preview_on_push")
    assert not again.run_requests
    assert f"commit {bad[:12]} of feature/a cannot be fetched" in str(again.skip_reason)


def test_a_host_that_is_away_is_told_and_ends_no_preview(here: Deployment) -> None:
    here.people.git("push", "-q", "origin", "main:refs/pull/7/head")
    status = "{type: github, repository: acme/shop, api: 'http://127.0.0.1:1'}"
    here.people.configure(open_pull_requests="api", status=status)
    tick = here.tick("preview_on_push")
    assert not tick.run_requests
    assert "127.0.0.1:1 does not tell which pull requests are open" in str(tick.skip_reason)
    assert len(here.tick().run_requests or []) == 1  # deploys go on


def test_run_configuration_is_not_trusted(here: Deployment) -> None:
    evil = here.people.commit("Evil", {"models/orders.sql": AMOUNT.format(666)}, branch="else")
    for config in ({"commit": evil}, {"commit": "--upload-pack=touch x"}, {"commit": "main"}, {"approve": "x"}):
        request = dg.RunRequest("x", {"ops": {"deploy_commit": {"config": config}}})
        assert not here.run(request, "deploy").success
    for ref in ("main", "else", "-oProxyCommand=id", "../x"):
        request = dg.RunRequest("x", {"ops": {"preview_commit": {"config": {"ref": ref}}}})
        assert not here.run(request, "preview").success
    assert not (here.people.system / "production.duckdb").exists()


def test_an_approval_comes_from_the_launchpad(here: Deployment) -> None:
    here.people.configure(approval="always")
    result = here.deploy()
    assert output(result)["isomesh/outcome"] == "waiting"
    assert not here.tick().run_requests
    plan = output(result)["isomesh/plan_id"]
    commit = here.people.git("rev-parse", "HEAD")
    slip = dg.RunRequest("x", {"ops": {"deploy_commit": {"config": {"commit": commit, "approve": f"x{plan}"}}}})
    assert "the plan that waits is" in failure(here.run(slip, "deploy"))
    assert not here.tick().run_requests
    approve = dg.RunRequest("x", {"ops": {"deploy_commit": {"config": {"commit": commit, "approve": plan}}}})
    assert output(here.run(approve, "deploy"))["isomesh/outcome"] == "shown"
    assert amount(here) == 10


class _Web(BaseHTTPRequestHandler):
    """Stands where Dagster's web server is: takes the mutation, remembers it."""

    asked: ClassVar[list[dict[str, Any]]] = []

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"data": {"reloadRepositoryLocation": {"__typename": "WorkspaceLocationEntry"}}}')

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_cursors_that_are_damaged_start_anew() -> None:
    for text in (None, "", "x", "[]", '{"asked": []}', '{"asked": {}, "number": "x", "reloaded": ""}'):
        assert Cursor.read(text) == Cursor()
    kept = Cursor({MAIN: "a"}, 3, "b")
    assert Cursor.read(kept.text()) == kept


@pytest.fixture
def web_server() -> Iterator[str]:
    """The address of one that answers."""
    server = HTTPServer(("127.0.0.1", 0), _Web)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    _Web.asked.clear()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


def test_the_web_server_is_asked_to_reload_until_it_does(here: Deployment, web_server: str) -> None:
    def tick() -> str:
        result = here.tick()
        assert not result.run_requests
        assert isinstance(result.skip_reason, dg.SkipReason)
        return str(result.skip_reason.skip_message)

    assert here.deploy().success
    commit = here.people.git("rev-parse", "HEAD")[:12]
    here.people.configure(webserver="http://127.0.0.1:1")  # where nobody listens
    for _ in range(2):
        assert "http://127.0.0.1:1 did not reload shop" in tick()
    here.people.configure(webserver=web_server)
    assert tick() == f"the code location is reloaded to show {commit}"
    assert tick().startswith(f"prod shows {commit}: reload the code location"), "once is enough"
    assert [asked["variables"] for asked in _Web.asked] == [{"name": "shop"}]
    here.reload()
    assert tick() == "prod shows the deploy branch"
