"""What is asked before a deploy: previews that were merged, whose agreement is needed."""

from isomesh_dagster.config.git import GitConfig
from isomesh_dagster.delivery.gates import merged, needs_approval


def test_a_preview_is_merged_when_its_changes_are_shown() -> None:
    before, after = {"a": "1", "b": "1"}, {"a": "2", "b": "1", "c": "1"}
    previews = {
        "merged": {"a": "2", "b": "1"},
        "also_new": {"a": "1", "b": "1", "c": "1"},
        "other": {"a": "3", "b": "1"},
        "partly": {"a": "2", "b": "9"},
        "nothing": {"a": "1", "b": "1"},
        "removes": {"a": "1"},
    }
    assert merged(before, after, previews) == ("also_new", "merged")
    assert merged({"a": "1", "b": "1"}, {"a": "1"}, {"removes": {"a": "1"}}) == ("removes",)


def test_who_has_to_agree() -> None:
    for approval, lost, needed in (
        ("never", ("x",), False),
        ("always", (), True),
        ("destructive", (), False),
        ("destructive", ("x",), True),
    ):
        config = GitConfig.model_validate({"remote": "x", "approval": approval})
        assert needs_approval(config, lost) is needed
