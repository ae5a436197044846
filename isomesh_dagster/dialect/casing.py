"""The case of words: keywords in upper case, known functions as asked, everything that may be a name as written.

Only words that cannot be names where they stand are keywords here; and in a dialect that tells names apart by case only
those that are reserved everywhere, since the case of any other belongs to the canonical text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from sqlglot import TokenType

from isomesh_dagster.dialect.atoms import Atom
from isomesh_dagster.dialect.canonical import canonical_tokens
from isomesh_dagster.dialect.tokens import stock_dialect

# Reserved everywhere: the words whose case no dialect's canonical text has.
_RESERVED = frozenset(
    """
    all and as asc between by case cross desc distinct else end exists from group having in inner is join left like
    limit not null on or order outer right select then union using when where with
    """.split()  # noqa: SIM905 - one list of words, read as such
)
_ALWAYS = frozenset({"intersect", "except", "qualify", "true", "false", "natural", "ilike", "lateral"})
_JOIN_WORDS = frozenset(
    {"full", "semi", "anti", "asof", "positional", "inner", "outer", "cross", "left", "right", "natural"}
)
_FRAME = frozenset({"rows", "range", "groups", "unbounded", "preceding", "following", "current", "row", "ties"})
_BEFORE_TEXT = frozenset({"date", "time", "timestamp", "timestamptz", "datetime", "interval"})
_BEFORE_BRACKET = frozenset({"over", "filter", "within", "materialized", "values"})
_NAMES_FOLLOW = frozenset({"from", "join", "into", "table", "as", "with", "recursive"})


class Casing:
    """The text of each atom of one statement, in the case it should have."""

    def __init__(self, atoms: Sequence[Atom], dialect: str, functions: Literal["upper", "lower"] | None) -> None:
        self._atoms = atoms
        self._functions = functions
        self._folds = canonical_tokens("Xx", dialect) == "xx"
        self._known, self._types = _vocabulary(dialect)

    def of(self, k: int) -> str:
        """The atom's text; multi-word keywords with single spaces."""
        atom = self._atoms[k]
        if atom.macro or not (atom.word or atom.kind in _MULTIPLE):
            return atom.text
        words = atom.lower.split()
        if len(words) > 1:
            is_free = self._folds or _RESERVED.issuperset(words)
            return " ".join(words).upper() if is_free else " ".join(atom.text.split())
        before = self._text(k - 1)
        if before == "." or self._text(k + 1) == ".":
            return atom.text
        if atom.lower in _RESERVED and before != "as":
            return atom.text.upper() if not self._is_function(k) or atom.lower == "exists" else self._function(k)
        if not self._folds:
            return atom.text
        if self._is_keyword(k, before):
            return atom.text.upper()
        return self._function(k) if self._is_function(k) else atom.text

    def _text(self, k: int) -> str:
        return self._atoms[k].lower if 0 <= k < len(self._atoms) else ""

    def _is_keyword(self, k: int, before: str) -> bool:
        atom, after = self._atoms[k], self._text(k + 1)
        word = atom.lower
        if word in _ALWAYS and before != "as":
            return True
        if word in _JOIN_WORDS:
            return self._joins(k)
        if word in _FRAME:
            opener = atom.opener
            return opener > 0 and self._text(opener - 1) == "over"
        if word in _BEFORE_TEXT:
            follows = self._atoms[k + 1].kind if k + 1 < len(self._atoms) else None
            if follows is TokenType.STRING or (word == "interval" and follows is TokenType.NUMBER):
                return True
        if word in _BEFORE_BRACKET and after == "(" and before not in ("", ",", "from", "join"):
            return True
        if word == "offset":
            return atom.opener < 0 and before not in ("", ",", "select") and after not in ("", ",", "from", "as")
        if word in ("exclude", "replace", "rename"):
            return before == "*"
        if word == "name":
            return before == "by" and self._text(k - 2) in ("all", "union")
        if word == "recursive":
            return before == "with"
        if word in ("nulls", "first", "last"):
            return (word == "nulls" and after in ("first", "last")) or before == "nulls"
        return atom.kind in self._types and (before == "::" or self._is_cast_type(k, before))

    def _joins(self, k: int) -> bool:
        while self._text(k) in _JOIN_WORDS:
            k += 1
        return self._text(k) == "join"

    def _is_cast_type(self, k: int, before: str) -> bool:
        opener = self._atoms[k].opener
        return before == "as" and opener > 0 and self._text(opener - 1) in ("cast", "try_cast", "safe_cast")

    def _is_function(self, k: int) -> bool:
        if k + 1 >= len(self._atoms) or self._atoms[k + 1].text != "(" or not self._atoms[k + 1].glued:
            return False
        return self._atoms[k].text.upper() in self._known and self._text(k - 1) not in _NAMES_FOLLOW

    def _function(self, k: int) -> str:
        text = self._atoms[k].text
        if self._functions is None or not self._folds:
            return text
        return text.upper() if self._functions == "upper" else text.lower()


_MULTIPLE = frozenset({TokenType.GROUP_BY, TokenType.ORDER_BY, TokenType.PARTITION_BY})


@lru_cache(maxsize=32)
def _vocabulary(dialect: str) -> tuple[frozenset[str], frozenset[TokenType]]:
    """Names of the functions the dialect knows, in upper case, and the token types of its data types."""
    parser = stock_dialect(dialect).parser_class
    return frozenset((*parser.FUNCTIONS, *parser.FUNCTION_PARSERS)), frozenset(parser.TYPE_TOKENS)
