"""What one file says, as a row of the cache, and the keys such a row is found by.

The key of a file: its bytes, its path, the settings that shape every file, and the code that reads it. What was read
besides (variables, shared audits, seed files) is told by the row itself; what `Surroundings` digests of it now must
equal what it did when the row was made.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from isomesh_dagster.macros.outline import ModuleOutline, outline_from_json, outline_to_json
from isomesh_dagster.model.audits import AuditDefinition, Standalone
from isomesh_dagster.model.codec import known_to_json, model_from_json, model_to_json
from isomesh_dagster.model.context import NOTHING_READ, Reads
from isomesh_dagster.model.model import Json, Model
from isomesh_dagster.relation import KnownColumns
from isomesh_dagster.snapshot.fingerprint import OwnFingerprint

_ROOMS = ("dialect", "macros", "model", "snapshot")
_GROUND = ("dates.py", "errors.py", "relation.py", "cache/facts.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileFacts:
    """What one file says: models with their own fingerprints, in order, or shared audits, or what a Python module
    defines; and what was read for it.
    """

    models: tuple[Model, ...] = ()
    own: tuple[OwnFingerprint, ...] = ()
    audits: tuple[AuditDefinition, ...] = ()
    module: ModuleOutline | None = None
    reads: Reads = NOTHING_READ


def facts_to_text(facts: FileFacts) -> str:
    """The facts as one line of JSON."""
    data: dict[str, Any] = {}
    if facts.models:
        data["models"] = [model_to_json(model) for model in facts.models]
        data["own"] = [[own.data, own.metadata] for own in facts.own]
    if facts.audits:
        data["audits"] = [audit_to_json(audit) for audit in facts.audits]
    if facts.module is not None:
        data["module"] = outline_to_json(facts.module)
    reads = facts.reads
    data["reads"] = [reads.variables, reads.audits, reads.seeds, reads.macros, reads.columns]
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def facts_from_data(data: Mapping[str, Any]) -> FileFacts:
    """The facts that `facts_to_text` wrote, its text already read as JSON."""
    return FileFacts(
        models=tuple([model_from_json(item) for item in data.get("models", ())]),
        own=tuple([OwnFingerprint(data=item[0], metadata=item[1]) for item in data.get("own", ())]),
        audits=tuple([AuditDefinition(**_tupled(item)) for item in data.get("audits", ())]),
        module=outline_from_json(data["module"]) if "module" in data else None,
        reads=reads_from_json(data["reads"]),
    )


def reads_from_json(data: list[list[str]]) -> Reads:
    """The `reads` of a row."""
    variables, audits, seeds, macros, columns = map(tuple, data)
    return Reads(variables=variables, audits=audits, seeds=seeds, macros=macros, columns=columns)


def audit_to_json(audit: AuditDefinition) -> dict[str, Any]:
    """A shared audit as JSON-ready data."""
    return {
        "name": audit.name,
        "query": audit.query,
        "arguments": audit.arguments,
        "defaults": dict(audit.defaults),
        "blocking": audit.blocking,
        "skip": audit.skip,
        "dialect": audit.dialect,
        "path": audit.path,
        "line": audit.line,
        "standalone": None
        if audit.standalone is None
        else [audit.standalone.reads, dict(audit.standalone.variables), audit.standalone.digest],
    }


def _tupled(item: Mapping[str, Any]) -> dict[str, Any]:
    alone = item["standalone"]
    return {
        **item,
        "arguments": None if item["arguments"] is None else tuple(item["arguments"]),
        "standalone": None if alone is None else Standalone(reads=tuple(alone[0]), variables=alone[1], digest=alone[2]),
    }


def digest(parts: object) -> str:
    """A digest of JSON-ready parts, the same in every process."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), default=str)
    return blake2b(text.encode(), digest_size=16).hexdigest()


def file_key(content: bytes, path: str, shape: str) -> str:
    """The key of a file; `shape` is the digest of all that shapes the meaning of every file."""
    found = blake2b(content, digest_size=16)
    found.update(f"\0{path}\0{shape}".encode())
    return found.hexdigest()


class Surroundings:
    """What files may read besides themselves, as it is now: told as digests of just what a row says it read.

    Columns of relations are known last, when other files were read: the digest has a second part for them.
    """

    def __init__(
        self,
        variables: Mapping[str, Json],
        audits: Mapping[str, AuditDefinition],
        seeds: Mapping[str, str | None],
        macros: Mapping[str, str],
    ) -> None:
        self._variables = variables
        self._audits = audits
        self._seeds = seeds
        self._macros = macros
        self._known: dict[Reads, str] = {}

    def digest(self, reads: Reads) -> str:
        """The digest of what these reads give now, without columns; what is not there counts as such."""
        known = self._known.get(reads)
        if known is None:
            known = self._known[reads] = digest(
                [
                    [[name, self._variables[name]] if name in self._variables else [name] for name in reads.variables],
                    [
                        [name, audit_to_json(self._audits[name])] if name in self._audits else [name]
                        for name in reads.audits
                    ],
                    [[path, self._seeds.get(path)] for path in reads.seeds],
                    [[key, self._macros.get(key)] for key in reads.macros],
                ]
            )
        return known

    def full_digest(self, reads: Reads, columns: Mapping[str, KnownColumns | None]) -> str:
        """The digest of all that these reads give now."""
        if not reads.columns:
            return self.digest(reads)
        found = [(name, columns.get(name)) for name in reads.columns]
        return f"{self.digest(reads)}:{digest([[name, known and known_to_json(known)] for name, known in found])}"


@lru_cache(maxsize=1)
def code_digest() -> str:
    """A digest of the code that turns files into facts, and of the version of sqlglot, which is not imported for it."""
    package = Path(__file__).parent.parent
    sources = [package / name for name in _GROUND]
    for room in _ROOMS:
        sources.extend(sorted((package / room).glob("*.py")))
    found = blake2b(sqlglot_version().encode(), digest_size=16)
    for source in sources:
        found.update(source.read_bytes())
        found.update(b"\0")
    return found.hexdigest()


def sqlglot_version() -> str:
    """The installed version of sqlglot."""
    from importlib.metadata import version

    return version("sqlglot")


def first_valid(
    rows: Iterable[tuple[str, str]],
    surroundings: Surroundings,
    columns: Mapping[str, KnownColumns | None] | None = None,
) -> tuple[str, FileFacts] | None:
    """The first of `(reads, value)` rows whose reads are as they were, with their digest; None when there is none.

    Without `columns` those of relations are not looked at: the row of a file that reads some is only a candidate.
    """
    for made_with, text in rows:
        facts = _if_valid(made_with, text, surroundings, columns)
        if facts is not None:
            return made_with, facts
    return None


def _if_valid(
    made_with: str, text: str, surroundings: Surroundings, columns: Mapping[str, KnownColumns | None] | None
) -> FileFacts | None:
    """The facts of a row; None when its reads have changed, or when it cannot be read."""
    try:
        data = json.loads(text)
        reads = reads_from_json(data["reads"])
        if columns is None:
            valid = surroundings.digest(reads) == made_with.partition(":")[0]
        else:
            valid = surroundings.full_digest(reads, columns) == made_with
        if valid:
            return facts_from_data(data)
    except (ValueError, KeyError, TypeError, IndexError):
        pass  # damaged: as good as none
    return None
