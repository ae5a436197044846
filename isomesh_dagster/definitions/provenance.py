"""What a materialization that an op logs by itself says of its inputs, as Dagster says it of a step's own output.

Without it Dagster takes every asset such a materialization stands on for a new dependency, and shows it as unsynced.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import dagster as dg

from isomesh_dagster.definitions.translator import IsomeshTranslator, is_built
from isomesh_dagster.snapshot.snapshot import Snapshot

_DATA_VERSION = "dagster/data_version"
_NEVER_MATERIALIZED = "INITIAL"  # Dagster's word for the data version of a table it knows nothing about


def version_tags(
    instance: dg.DagsterInstance,
    snapshot: Snapshot,
    snapshots: Mapping[str, Snapshot],
    translator: IsomeshTranslator,
) -> dict[str, str]:
    """The tags of a materialization of `snapshot`: its versions, and those of what it reads among `snapshots`."""
    model = snapshot.model
    reads = [name for name in (*model.depends_on, *model.audit_reads) if name != model.name]
    tags = {
        _DATA_VERSION: snapshot.version,
        "dagster/data_version_is_user_provided": "true",
        "dagster/code_version": snapshot.fingerprint.version,
    }
    inputs = {name: translator.get_asset_key(name) for name in reads}
    records = _newest(instance, inputs.values())
    for name, key in inputs.items():
        pointer, version = records.get(key, ("NULL", _NEVER_MATERIALIZED))
        parent = snapshots.get(name)
        if parent is not None and is_built(parent.model):
            version = parent.version
        tags[f"dagster/input_data_version/{key.to_user_string()}"] = version
        tags[f"dagster/input_event_pointer/{key.to_user_string()}"] = pointer
    return tags


def data_versions(instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]) -> dict[dg.AssetKey, str]:
    """The data version of the newest materialization of each asset that has one."""
    return {key: version for key, (_, version) in _newest(instance, keys).items()}


def _newest(instance: dg.DagsterInstance, keys: Iterable[dg.AssetKey]) -> dict[dg.AssetKey, tuple[str, str]]:
    """Pointer and data version of the newest materialization of each asset that has one, in one query."""
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    found = {}
    for record in instance.get_asset_records(wanted):
        event = record.asset_entry.last_materialization
        materialization = event.asset_materialization if event is not None else None
        if materialization is not None:
            version = (materialization.tags or {}).get(_DATA_VERSION, _NEVER_MATERIALIZED)
            found[record.asset_entry.asset_key] = (str(record.asset_entry.last_materialization_storage_id), version)
    return found
