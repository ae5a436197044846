"""What no statement of a project may do on any engine: begin or end a transaction.

Rows, their audits and the record of them commit together. A COMMIT between them would leave rows that an audit refuses.
"""

from __future__ import annotations

import re

from isomesh_dagster.errors import EngineError

_ENDS = re.compile(
    r"(?:[\s;]|--[^\n]*\n|/\*.*?\*/)*"
    r"(BEGIN|START\s+TRANSACTION|COMMIT|END|ABORT|PREPARE\s+TRANSACTION"
    r"|ROLLBACK(?!\s+(?:(?:WORK|TRANSACTION)\s+)?TO\b))\b",
    re.IGNORECASE | re.DOTALL,
)


def refuse_end(statement: str) -> None:
    """Raises EngineError for a statement that would begin or end the transaction it is in."""
    if found := _ENDS.match(statement):
        raise EngineError(
            f"{' '.join(found[1].upper().split())}: a statement may not begin or end a transaction here",
            hint="leave it out: what a batch, a promotion or a list of statements does is one transaction already",
        )
