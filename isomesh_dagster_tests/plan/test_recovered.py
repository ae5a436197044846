"""What a lost state knew is made again from the files where they are the same, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

from isomesh_dagster.graph.order import build_graph
from isomesh_dagster.model import kinds
from isomesh_dagster.plan.recovered import recovered
from isomesh_dagster.snapshot.snapshot import Category
from isomesh_dagster_tests.factories import model, snapshots, target

SHOWN = snapshots(
    [
        model("mart.t", "SELECT 1 AS a"),
        model("mart.v", "SELECT a FROM mart.t", kinds.View()),
        model("mart.u", "SELECT 2"),
    ]
)
GRAPH = build_graph({name: one.model for name, one in SHOWN.items()})
FINGERPRINTS = {name: one.fingerprint for name, one in SHOWN.items()}


def test_the_same_files_give_the_same_snapshots() -> None:
    found = recovered(target(SHOWN, "dev"), {}, GRAPH, FINGERPRINTS)
    assert (dict(found.snapshots), found.lost) == (SHOWN, ())


def test_other_files_give_none_unless_the_state_still_knows() -> None:
    others = {**FINGERPRINTS, "mart.u": replace(FINGERPRINTS["mart.u"], identity="other")}
    assert recovered(target(SHOWN, "dev"), {}, GRAPH, others).lost == ("mart.u",)
    known = {SHOWN["mart.u"].id: SHOWN["mart.u"]}
    assert recovered(target(SHOWN, "dev"), known, GRAPH, others).lost == ()
    graph = build_graph({name: GRAPH.models[name] for name in ("mart.t", "mart.v")})
    without = {name: FINGERPRINTS[name] for name in graph.models}
    assert recovered(target(SHOWN, "dev"), {}, graph, without).lost == ("mart.u",)


def test_a_version_that_was_kept_counts_as_forward_only_and_a_preview_as_one() -> None:
    table = SHOWN["mart.t"]
    assert table.physical is not None
    kept = replace(table, version="older", physical=replace(table.physical, name="mart__t__older"))
    preview = replace(table, version="x", physical=replace(table.physical, name="mart__t__x__dev"))
    for shown, category, is_preview in ((kept, Category.FORWARD_ONLY, False), (preview, Category.BREAKING, True)):
        found = recovered(target({**SHOWN, "mart.t": shown}, "dev"), {}, GRAPH, FINGERPRINTS).snapshots
        assert (found["mart.t"].id, found["mart.t"].category) == (shown.id, category)
        assert found["mart.t"].is_preview == found["mart.v"].is_preview == is_preview
