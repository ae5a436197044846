"""A state as a file, and back: everything comes through, nothing half, and only into the state it belongs to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from isomesh_dagster.errors import StateError, SystemMismatch
from isomesh_dagster.state.opening import open_state, opened
from isomesh_dagster.state.protocol import Identity
from isomesh_dagster.state.transfer import export_state, import_state
from isomesh_dagster_tests.state.conftest import Location
from isomesh_dagster_tests.state.examples import at, days, promote, snapshot

STAMP = Identity(uuid="1", gateway="prod", project="shop")


@pytest.fixture
def filled(location: Location) -> Location:
    """A state with two environments, a history, intervals and times with and without an end."""
    with open_state(location) as store:
        store.stamp(STAMP)
        orders, items = snapshot("shop.orders"), snapshot("shop.items", "ü")
        promote(store, "p1", orders)
        promote(store, "p2", orders, items, when=1)
        promote(store, "p3", items, environment="dev", when=2)
        store.expire("dev", at(7))
        store.add_intervals({str(orders.physical): [days(0, 3)], str(items.physical): [days(1, 2), days(4, 5)]})
    return location


def contents(location: Location | str) -> tuple[object, ...]:
    with open_state(location) as store:
        shown = store.environments()
        ids = {id for environment in shown for id in environment.target.snapshots.values()}
        return (
            store.identity(),
            shown,
            [store.promotions(environment.name) for environment in shown],
            store.plans(),
            store.snapshots(ids),
            store.intervals(store.physicals()),
        )


def test_what_is_exported_comes_back_elsewhere(filled: Location, tmp_path: Path) -> None:
    with opened(filled) as database:
        out = export_state(database, tmp_path / "out.jsonl", at=at(10))
    with opened(tmp_path / "other.db") as database:
        done = import_state(database, tmp_path / "out.jsonl", owner=STAMP)
    assert done.rows == out.rows
    assert done.backup is None
    assert contents(tmp_path / "other.db") == contents(filled)
    assert not list(tmp_path.glob("*.part"))


def test_what_is_in_use_is_replaced_only_when_asked_and_is_kept(filled: Location, tmp_path: Path) -> None:
    before = contents(filled)
    with opened(filled) as database:
        export_state(database, tmp_path / "out.jsonl", at=at(10))
    with open_state(filled) as store:
        store.remove_environment("dev")
    changed = contents(filled)
    with opened(filled) as database:
        with pytest.raises(StateError, match="in use"):
            import_state(database, tmp_path / "out.jsonl", owner=STAMP)
        assert contents(filled) == changed
        done = import_state(database, tmp_path / "out.jsonl", owner=STAMP, replace=True)
    assert contents(filled) == before
    assert done.backup is not None
    if isinstance(filled, Path):
        assert contents(done.backup) == changed


def test_an_export_of_one_environment_holds_what_it_needs_and_no_more(filled: Location, tmp_path: Path) -> None:
    with opened(filled) as database:
        export_state(database, tmp_path / "dev.jsonl", at=at(10), environments=["dev"])
        with pytest.raises(StateError, match="no environment 'nowhere'") as caught:
            export_state(database, tmp_path / "none.jsonl", at=at(10), environments=["nowhere"])
    assert "dev, prod" in str(caught.value)
    assert not (tmp_path / "none.jsonl").exists()
    with opened(tmp_path / "other.db") as database:
        import_state(database, tmp_path / "dev.jsonl", owner=STAMP)
    with open_state(tmp_path / "other.db") as store:
        (dev,) = store.environments()
        assert dev.expires_at == at(7)
        assert [plan.id for plan in store.plans()] == ["p3"]
        assert {id.name for id in store.snapshots(dev.target.snapshots.values())} == {"shop.items"}
        assert store.intervals(store.physicals()) == {
            view.physical: (days(1, 2), days(4, 5)) for view in dev.target.views.values()
        }


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (slice(0, -1), "not complete"),
        (slice(0, 3), "not complete"),
        (slice(1, None), "no exported state"),
        (slice(0, 0), "no exported state"),
    ],
)
def test_a_file_that_was_cut_off_is_refused_whole(filled: Location, tmp_path: Path, lines: slice, message: str) -> None:
    file = tmp_path / "out.jsonl"
    with opened(filled) as database:
        export_state(database, file, at=at(10))
    whole = file.read_text().splitlines(keepends=True)
    file.write_text("".join(whole[lines]))
    with opened(tmp_path / "other.db") as database, pytest.raises(StateError, match=message):
        import_state(database, file, owner=STAMP)
    with open_state(tmp_path / "other.db") as store:
        assert store.identity() is None
        assert store.physicals() == set()


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"table": "nothing", "row": {}}',
        '{"table": "plans", "row": {"wrong": 1}}',
        '{"table": "plans", "row": []}',
        "[]",
        "\udcff\udc80",  # bytes that are no UTF-8
    ],
)
def test_a_damaged_line_is_named(filled: Location, tmp_path: Path, line: str) -> None:
    file = tmp_path / "out.jsonl"
    with opened(filled) as database:
        export_state(database, file, at=at(10))
    whole = file.read_text().splitlines()
    whole[4] = line
    file.write_text("\n".join(whole), encoding="utf-8", errors="surrogateescape")
    with opened(tmp_path / "other.db") as database, pytest.raises(StateError, match=r"out\.jsonl:5"):
        import_state(database, file, owner=STAMP)


@pytest.mark.parametrize("location", ["sqlite"], indirect=True)
def test_a_state_is_imported_by_its_owner_only(filled: Location, tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    with opened(filled) as database:
        export_state(database, file, at=at(10))
    for other in (
        Identity(uuid="1", gateway="nonprod", project="shop"),
        Identity(uuid="1", gateway="prod", project="bank"),
    ):
        with opened(tmp_path / "other.db") as database, pytest.raises(SystemMismatch):
            import_state(database, file, owner=other)
    with open_state(tmp_path / "used.db") as store:
        store.stamp(Identity(uuid="2", gateway="prod", project="shop"))
    with opened(tmp_path / "used.db") as database, pytest.raises(SystemMismatch, match="of system 1"):
        import_state(database, file, owner=STAMP, replace=True)
    older = json.loads(file.read_text().splitlines()[0]) | {"revision": "0000"}
    file.write_text(json.dumps(older) + "\n")
    with opened(tmp_path / "other.db") as database, pytest.raises(StateError, match="revision 0000"):
        import_state(database, file, owner=STAMP)


def test_a_new_state_has_nothing_to_export(location: Location, tmp_path: Path) -> None:
    with opened(location) as database, pytest.raises(StateError, match="nothing to export"):
        export_state(database, tmp_path / "out.jsonl", at=at(0))
    assert list(tmp_path.glob("out*")) == []
