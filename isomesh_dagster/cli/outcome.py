"""How a command ends: exit codes, and an error as JSON."""

from __future__ import annotations

from isomesh_dagster.errors import AuditError, ConflictingPlanError, IsomeshError, LockedError, WriteConflict

DONE = 0
TO_MEND = 1
USAGE = 2
NOT_APPLIED = 3
FAILED = 4
CONFLICT = 5
INTERRUPTED = 130

EXIT_CODES = f"""\b
Exit codes:
  {DONE}    done, or nothing to do
  {TO_MEND}    something to mend in the project, its configuration or a system
  {USAGE}    the command was not understood
  {NOT_APPLIED}    there are changes that were not applied (plan declined, diff not empty)
  {FAILED}    a build, an audit or a unit test failed; environments show what they showed before
  {CONFLICT}    somebody else holds the system, or what was planned for moved since: try again, or plan again
  {INTERRUPTED}  interrupted
"""


def exit_code(error: IsomeshError) -> int:
    """The exit code an error ends the command with."""
    if isinstance(error, AuditError):
        return FAILED
    if isinstance(error, ConflictingPlanError | LockedError | WriteConflict):
        return CONFLICT
    return TO_MEND


def error_json(error: IsomeshError) -> dict[str, object]:
    """An error as the `error` of a JSON document; what does not apply is null."""
    return {
        "kind": type(error).__name__,
        "message": error.message,
        "path": error.path,
        "line": error.line,
        "column": error.column,
        "model": error.model,
        "hint": error.hint,
    }
