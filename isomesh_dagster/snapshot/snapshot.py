"""One immutable version of one model, made after its change was categorized: it never exists half-made."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from isomesh_dagster.model.kinds import is_physical
from isomesh_dagster.model.model import Model
from isomesh_dagster.relation import Relation


class Category(str, Enum):
    """What a change means for the rows of the model and of its readers. Values are what plans, state and JSON show."""

    BREAKING = "breaking"
    NON_BREAKING = "non_breaking"
    FORWARD_ONLY = "forward_only"
    INDIRECT_BREAKING = "indirect_breaking"
    INDIRECT_NON_BREAKING = "indirect_non_breaking"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """Digests (hex) of what a model is, from the files alone.

    data      own part: what its rows depend on (query tokens, kind, columns, …)
    metadata  own part: the rest (owner, cron, audits, description, …)
    version   of the data parts of the model and all its ancestors: what a table built from just these files is called
    identity  of everything, chained: equal in two loads if and only if nothing about the model or its ancestors changed
    algorithm number of the algorithm that made them; fingerprints of different algorithms are never compared
    """

    data: str
    metadata: str
    version: str
    identity: str
    algorithm: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class SnapshotId:
    """Name, identifier and version, all three: the same files may be right with two tables, and a record must say
    which.
    """

    name: str
    identifier: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A model, its fingerprint, the version (which physical table holds its rows) and why it came to be.

    `physical` is the table or view in the physical layer, None for EMBEDDED and EXTERNAL. `parents` are the snapshots
    the model reads, sorted; external tables that no model declares are not among them.

    `is_preview` tells that its table, or one that its view reads, shows a forward-only change outside of prod: it holds
    a part of the rows only, and no plan takes it for the model's.
    """

    model: Model
    fingerprint: Fingerprint
    version: str
    category: Category
    physical: Relation | None
    parents: tuple[SnapshotId, ...] = ()
    is_preview: bool = False

    @property
    def id(self) -> SnapshotId:
        """The snapshot's id."""
        return SnapshotId(name=self.model.name, identifier=self.fingerprint.identity, version=self.version)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.model.name

    @property
    def is_physical(self) -> bool:
        """Whether it owns an object in the physical layer."""
        return is_physical(self.model.kind)
