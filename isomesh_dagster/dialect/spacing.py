"""Whether a space stands between two atoms that share a line.

Brackets, dots and casts take none, operators and keywords one; where either is usual (`f (x)` and `f(x)`, a colon, a
question mark) it stays as written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqlglot import TokenType

from isomesh_dagster.dialect.atoms import Atom

_TIGHT = frozenset({".", "::"})
_AS_WRITTEN = frozenset({":", "?", "$", "@", "{", "}", "!", "$$"})
_OPERATOR = re.compile(r"[-+*/%<>=!~|&^#]+|:=|=>|@>|<@|->>?|<=>")
_SIGNS = frozenset({"-", "+", "~", "!"})
_OPEN = frozenset({"(", "[", "{"})
_CLOSE = frozenset({")", "]", ","})
_GENERIC = frozenset({"array", "struct", "map", "list", "table", "range", "nested", "tuple", "nullable"})
# Words that a space follows whatever comes: they are no functions.
KEYWORDS = frozenset(
    """
    and as asc between by case desc distinct else except from having ilike in intersect interval is join lateral like
    limit not offset on or over filter qualify select set then union using values when where with materialized
    """.split()  # noqa: SIM905 - one list of words, read as such
)


def needs_space(atoms: Sequence[Atom], p: int, n: int) -> bool:
    """Whether a space stands between atom `p` and the next one, `n`."""
    before, after = atoms[p], atoms[n]
    left, right = before.text, after.text
    if left in _TIGHT or right in _TIGHT or right in _CLOSE or left in ("(", "["):
        return False
    if left in _AS_WRITTEN or right in _AS_WRITTEN:
        return not after.glued
    if left == ",":
        return True
    if _is_generic(atoms, p) or _is_generic(atoms, n):
        return not after.glued
    if is_sign(atoms, p):
        return not after.glued or right[:1] == left
    if _is_keyword(atoms, p):
        return True
    if right in _OPEN:
        return not after.glued or _is_operator(atoms, p)
    if _is_operator(atoms, p) or _is_operator(atoms, n) or _is_keyword(atoms, n):
        return True
    return not after.glued


def is_sign(atoms: Sequence[Atom], k: int) -> bool:
    """Whether an operator has an operand on its right only."""
    if atoms[k].text not in _SIGNS or atoms[k].word:
        return False
    if k == 0:
        return True
    before = atoms[k - 1]
    return before.text in _OPEN or before.text == "," or _is_operator(atoms, k - 1) or _is_keyword(atoms, k - 1)


def _is_operator(atoms: Sequence[Atom], k: int) -> bool:
    atom = atoms[k]
    if atom.word or atom.macro or _OPERATOR.fullmatch(atom.text) is None:
        return False
    return atom.kind not in (TokenType.STRING, TokenType.IDENTIFIER)


def _is_keyword(atoms: Sequence[Atom], k: int) -> bool:
    atom = atoms[k]
    if " " in atom.text and atom.kind in (TokenType.GROUP_BY, TokenType.ORDER_BY, TokenType.PARTITION_BY):
        return True
    if not atom.word or atom.lower not in KEYWORDS:
        return False
    return not (k > 0 and atoms[k - 1].text == ".")


def _is_generic(atoms: Sequence[Atom], k: int) -> bool:
    """Whether it is `<` or `>` of a type such as ARRAY<INT>, as far as one can tell."""
    if atoms[k].text not in ("<", ">", ">>"):
        return False
    depth = 0
    for n in range(k, -1, -1):
        text = atoms[n].text
        if n < k and text in _OPEN | {")"}:
            return False
        if n < k or text == "<":
            depth += text.count(">") * -1 + text.count("<")
        if text == "<" and n > 0 and atoms[n - 1].lower in _GENERIC and atoms[n].glued:
            return True
    return False
