"""Where macros stand among the tokens of a text, and what else the sign `@` may be there."""

from __future__ import annotations

from collections.abc import Collection

from sqlglot import TokenType

from isomesh_dagster.dialect.tokens import Source, is_word
from isomesh_dagster.macros.library import MACROS
from isomesh_dagster.macros.scope import Scope
from isomesh_dagster.macros.variables import TIME_VARIABLES

# Keywords that a macro may touch without being part of a name with it: `IN@x`.
_APART = frozenset({
    "and", "as", "between", "by", "case", "distinct", "else", "end", "from", "having", "in", "interval", "is", "join",
    "like", "limit", "not", "on", "or", "select", "set", "then", "union", "using", "values", "when", "where",
})  # fmt: skip


class Signs:
    """Tells macros from other uses of `@` and of names. `scope` knows the variables, `own` are names of the project's
    macros, `functions` those that `@DEF` has defined so far.
    """

    def __init__(self, dialect: str, scope: Scope, own: Collection[str], functions: Collection[str]) -> None:
        self._dialect = dialect
        self._scope = scope
        self._own = own
        self._functions = functions

    def is_macro(self, source: Source, k: int) -> bool:
        """Whether the `@` of a macro stands at token `k`; other uses of the sign (operators, `@@x`) are left alone."""
        tokens = source.tokens
        text = tokens[k].text
        if text == "@":
            if not source.adjacent(k) or (k > 0 and tokens[k - 1].text == "@" and source.adjacent(k - 1)):
                return False
            after = tokens[k + 1]
            if is_word(after):
                return not self._is_stage(source, k)
            return after.token_type in (TokenType.L_BRACE, TokenType.STRING)
        if text == "<@" and source.adjacent(k) and is_word(tokens[k + 1]):
            name = tokens[k + 1].text.lower()
            return self._scope.knows(name) or (self._is_known(name) and self.opening(source, k) is not None)
        return False

    def _is_stage(self, source: Source, k: int) -> bool:
        """Whether `@name` at `k` is a Snowflake stage, `FROM @stage/path`: where a table stands, and not defined."""
        if self._dialect != "snowflake" or k == 0 or source.tokens[k - 1].text.upper() not in ("FROM", "INTO"):
            return False
        name = source.tokens[k + 1].text.lower()
        if self.opening(source, k) is not None or self._scope.knows(name) or name in TIME_VARIABLES:
            return False
        self._scope.note(name)
        return True

    def opening(self, source: Source, k: int) -> int | None:
        """The parenthesis of the call at `k`; None if it is no call."""
        tokens = source.tokens
        if k + 2 >= len(tokens) or tokens[k + 2].token_type is not TokenType.L_PAREN or not is_word(tokens[k + 1]):
            return None
        name = tokens[k + 1].text.lower()
        known = self._is_known(name) or name in self._functions
        return k + 2 if known or (source.adjacent(k + 1) and not self._scope.knows(name)) else None

    def is_prefix(self, source: Source, k: int) -> bool:
        """Whether the word at `k` forms one name with the macro that touches it: `a_@x`."""
        token = source.tokens[k]
        if not (source.adjacent(k) and is_word(token)) or source.tokens[k + 1].text != "@":
            return False
        return token.text.lower() not in _APART and source.tokens[k + 2].token_type is not TokenType.STRING

    def is_run(self, source: Source, k: int, j: int) -> bool:
        """Whether a name begins at this macro: `@{x}…`, or `@x@y`."""
        tokens = source.tokens
        if tokens[k].text != "@" or tokens[k + 1].token_type is TokenType.L_BRACE:
            return tokens[k].text == "@"
        return k + 2 < j and is_word(tokens[k + 1]) and source.adjacent(k + 1) and self.is_macro(source, k + 2)

    def _is_known(self, name: str) -> bool:
        return name in MACROS or name in self._own
