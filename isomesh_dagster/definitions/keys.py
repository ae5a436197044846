"""Names that Dagster users meet: metadata keys, tags, the partitions' name, names of ops."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

RESOURCE = "isomesh"
ENVIRONMENTS = "isomesh_environments"  # the dynamic partitions; Dagster keeps their keys per instance, so per system

PARTITION_TAG = "dagster/partition"
WILL_RETRY_TAG = "dagster/will_retry"  # on a failed run that Dagster launches again by itself
RETRIED_BY_TAG = "dagster/auto_retry_run_id"  # and which run that is, once it is there
COMMIT_TAG = "isomesh/commit"  # on runs that were launched for a commit
REF_TAG = "isomesh/ref"  # and of which ref it is the commit
ENVIRONMENT_TAG = "isomesh/environment"  # and which environment follows that ref
ATTEMPT_TAG = "isomesh/attempt"  # which try of the same work it is, from the second on
FAILURE_REASON_TAG = "dagster/failure_reason"  # on runs that failed; none where their process died
DUE_TAG = "isomesh/due"  # on runs that load what the clock made due for what an environment shows
WORK_TAG = "isomesh/work"  # and which work that was: the same intervals of the same models have the same
GATEWAY_TAG = "isomesh/gateway"  # on runs: a queue can keep two runs off one warehouse by it

PASSES = "isomesh/passes"  # on failures: what was in the way goes away by itself
REUSED = "isomesh/reused"
FINGERPRINT = "isomesh/fingerprint"
VERSION = "isomesh/version"
CHECKED = "isomesh/checked"  # what the result of a check is about: the same again has the same result
PHYSICAL = "isomesh/physical_table"
ENVIRONMENT = "isomesh/environment"
GATEWAY = "isomesh/gateway"
PLAN_ID = "isomesh/plan_id"
PLAN = "isomesh/plan"
SECONDS = "isomesh/seconds"
INTERVALS = "isomesh/intervals"
COLUMN_LINEAGE = "dagster/column_lineage"
ROWS_WRITTEN = "isomesh/rows_written"
COMMIT = "isomesh/commit"
HISTORY = "isomesh/history"
PROMOTION = "isomesh/promotion"
VIEWS = "isomesh/views"
REF = "isomesh/ref"
OUTCOME = "isomesh/outcome"
REPORT = "isomesh/report"
VIEWS_ONLY = "isomesh/views_only"
WAITING = "isomesh/waits_for"

_NOT_WORD = re.compile(r"[^A-Za-z0-9_]")
_NOT_TAG = re.compile(r"[^A-Za-z0-9_.-]")


def word(text: str) -> str:
    """The text with everything Dagster refuses in names of ops, groups and checks replaced by `_`."""
    return _NOT_WORD.sub("_", text)


def tag_key(text: str) -> str:
    """The text as a tag key: at most 63 letters, digits, `_`, `.` and `-`."""
    return _NOT_TAG.sub("_", text)[:63]


def op_names(models: Iterable[str]) -> dict[str, str]:
    """An op name per model name, all different: `schema__table`, with a digest where two models would share one."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for model in models:
        name = word(model.replace(".", "__"))
        if name in taken:
            name = f"{name}_{hashlib.sha256(model.encode()).hexdigest()[:8]}"
        taken.add(name)
        names[model] = name
    return names
