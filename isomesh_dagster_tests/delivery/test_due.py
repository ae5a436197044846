"""What is due: refs against records."""

from datetime import datetime, timezone

from isomesh_dagster.config.git import GitConfig, LimitsConfig
from isomesh_dagster.delivery.due import Deploy, Due, Expire, Preview, due
from isomesh_dagster.state.protocol import GitRef

A, B = "a" * 40, "b" * 40
MAIN = "refs/heads/main"
CONFIG = GitConfig(remote="x", previews=("feature/*", "refs/pull/*/head"))


def record(ref: str, commit: str, environment: str, shown: str | None = A) -> GitRef:
    moment = datetime(2024, 1, 1, tzinfo=timezone.utc)
    return GitRef(ref=ref, commit=commit, environment=environment, status="shown", changed_at=moment, shown=shown)


def test_a_new_commit_is_deployed_and_branches_get_previews() -> None:
    found = due(CONFIG, {MAIN: A, "refs/heads/feature/New-Thing": B, "refs/pull/12/head": B, "refs/heads/else": B}, [])
    assert found == Due(
        tasks=(
            Deploy(ref=MAIN, commit=A),
            Preview(ref="refs/heads/feature/New-Thing", commit=B, environment="feature_new_thing"),
            Preview(ref="refs/pull/12/head", commit=B, environment="pr_12"),
        )
    )


def test_what_was_looked_at_is_not_due_again() -> None:
    records = [record(MAIN, A, "prod"), record("refs/pull/12/head", B, "pr_12", None)]
    assert due(CONFIG, {MAIN: A, "refs/pull/12/head": B}, records) == Due()


def test_desynchronized_deploys_nothing() -> None:
    config = CONFIG.model_copy(update={"deployment": "desynchronized"})
    assert due(config, {MAIN: A}, []) == Due()


def test_a_ref_that_went_ends_its_environment() -> None:
    found = due(CONFIG, {MAIN: A}, [record(MAIN, A, "prod"), record("refs/heads/feature/x", B, "feature_x")])
    assert found.tasks == (Expire(ref="refs/heads/feature/x", environment="feature_x"),)


def test_a_branch_that_takes_the_environment_of_one_that_went_gets_it_after_its_end() -> None:
    refs = {MAIN: B, "refs/heads/feature/a_b": B}
    found = due(CONFIG, refs, [record(MAIN, A, "prod"), record("refs/heads/feature/a-b", A, "feature_a_b")])
    assert found.tasks == (
        Deploy(ref=MAIN, commit=B),
        Expire(ref="refs/heads/feature/a-b", environment="feature_a_b"),
        Preview(ref="refs/heads/feature/a_b", commit=B, environment="feature_a_b"),
    )


def test_a_remote_without_the_deploy_branch_ends_nothing() -> None:
    assert due(CONFIG, {}, [record("refs/heads/feature/x", B, "feature_x"), record(MAIN, A, "prod")]) == Due()


def test_two_branches_never_share_an_environment() -> None:
    refs = {MAIN: A, "refs/heads/feature/a-b": A, "refs/heads/feature/a_b": B}
    first = due(CONFIG, refs, [record(MAIN, A, "prod")])
    assert [task.ref for task in first.tasks] == ["refs/heads/feature/a-b"]
    assert [(one.ref, "belongs to feature/a-b" in one.reason) for one in first.refused] == [
        ("refs/heads/feature/a_b", True)
    ]
    # whoever was first keeps it, whatever the order of the names
    kept = due(CONFIG, refs, [record(MAIN, A, "prod"), record("refs/heads/feature/a_b", A, "feature_a_b")])
    assert [task.ref for task in kept.tasks] == ["refs/heads/feature/a_b"]
    assert [one.ref for one in kept.refused] == ["refs/heads/feature/a-b"]


def test_an_environment_somebody_made_is_left_alone() -> None:
    found = due(CONFIG, {"refs/heads/feature/jo": A}, [], environments=["feature_jo", "prod"])
    assert found.tasks == ()
    assert "that no ref made" in found.refused[0].reason


def test_previews_are_limited() -> None:
    config = CONFIG.model_copy(update={"limits": LimitsConfig(previews=1)})
    refs = {f"refs/pull/{number}/head": A for number in (1, 2, 3)}
    assert [len(found) for found in (due(config, refs, []).tasks, due(config, refs, []).refused)] == [1, 2]
    # a push to the one that is there goes through
    known = [record("refs/pull/3/head", B, "pr_3")]
    assert [task.ref for task in due(config, refs, known, ["pr_3"]).tasks] == ["refs/pull/3/head"]
    # the newest come first, and what ended leaves its place to others
    numbers = {f"refs/pull/{number}/head": A for number in (9, 10, 2)}
    assert [task.ref for task in due(config, numbers, []).tasks] == ["refs/pull/10/head"]
    done = [record("refs/pull/3/head", A, "pr_3")]
    assert [task.ref for task in due(config, refs, done, ["pr_3"]).tasks] == []
    assert [task.ref for task in due(config, refs, done, []).tasks] == ["refs/pull/2/head"]
