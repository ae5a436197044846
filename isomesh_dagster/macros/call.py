"""One macro call while it is expanded: what the functions of the library see of their arguments."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from sqlglot import TokenType

from isomesh_dagster.dialect.tokens import Source, is_word, tokenize
from isomesh_dagster.errors import MacroError
from isomesh_dagster.macros.conditions import is_true
from isomesh_dagster.macros.values import Fragment, string_content, to_name

if TYPE_CHECKING:
    from isomesh_dagster.macros.expander import Expander

_BRACKETS = (TokenType.L_PAREN, TokenType.L_BRACKET)
_STATEMENTS = frozenset(
    {
        *("ALTER", "ANALYZE", "ATTACH", "CALL", "COMMENT", "COPY", "CREATE", "DELETE", "DETACH", "DROP", "GRANT"),
        *("INSERT", "MERGE", "REVOKE", "SELECT", "SET", "TRUNCATE", "UPDATE", "VACUUM", "WITH"),
    }
)
# what follows a name in an expression: `comment AS c` is a column, `COMMENT ON` a statement
_AFTER_A_NAME = frozenset({"AND", "AS", "BETWEEN", "COLLATE", "ILIKE", "IN", "IS", "LIKE", "NOT", "OR"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Lambda:
    """`x -> body` or `(x, y) -> body`: parameters in lower case, and the body's tokens `[i, j)`."""

    parameters: tuple[str, ...]
    source: Source
    i: int
    j: int


class Call:
    """`@name(arguments)` at token `at` of `source`; each argument is a range of tokens, expanded when asked for.

    Positional arguments are counted from 0; `named` holds those written `key := value`.
    """

    def __init__(self, expander: Expander, source: Source, name: str, at: int, opening: int) -> None:
        self.expander = expander
        self.source = source
        self.name = name
        self.at = at
        self.closing = source.match[opening]
        self.positional: list[tuple[int, int]] = []
        self.named: dict[str, tuple[int, int]] = {}
        tokens = source.tokens
        parts = source.split(opening + 1, self.closing)
        for i, j in _with_statements(source, parts) if name.lower() == "if" else parts:
            if i == j:
                raise self.error(f"@{name} has an empty argument", "remove a comma")
            if j - i > 2 and tokens[i + 1].token_type is TokenType.COLON_EQ and is_word(tokens[i]):
                self.named[tokens[i].text.lower()] = (i + 2, j)
            else:
                self.positional.append((i, j))

    @property
    def dialect(self) -> str:
        """The dialect of the text."""
        return self.expander.dialect

    @property
    def count(self) -> int:
        """The number of positional arguments."""
        return len(self.positional)

    def error(self, message: str, hint: str | None = None) -> MacroError:
        """An error at this call."""
        return self.expander.error(message, self.source, self.at, hint)

    def take_by_name(self, names: tuple[str, ...]) -> None:
        """Counts arguments given by these names as positional, where their position is free."""
        for position, name in enumerate(names):
            if name in self.named and position == len(self.positional):
                self.positional.append(self.named.pop(name))

    def take_by_position(self, options: tuple[str, ...], after: int) -> None:
        """Counts positional arguments beyond the first `after` as the options of their position."""
        for name in options[: max(len(self.positional) - after, 0)]:
            if name in self.named:
                raise self.error(f"@{self.name} is given `{name}` twice", "give it by name or by position")
            self.named[name] = self.positional.pop(after)

    def allow(self, options: tuple[str, ...]) -> None:
        """Refuses arguments given by other names."""
        for name in self.named:
            if name not in options:
                near = difflib.get_close_matches(name, options, n=1)
                hint = f"did you mean `{near[0]} :=`?" if near else f"it takes {', '.join(options) or 'none by name'}"
                raise self.error(f"@{self.name} has no argument `{name}`", hint)

    def items(self, position: int) -> list[str]:
        """The expressions an argument stands for: none, one, or several if it is a macro that gives several."""
        return self.expander.items(self.source, *self.positional[position])

    def text(self, position: int) -> str:
        """An argument as one piece of SQL."""
        return ", ".join(self.items(position))

    def option(self, name: str, default: str) -> str:
        """An argument given by name, as text."""
        return ", ".join(self.expander.items(self.source, *self.named[name])) if name in self.named else default

    def option_content(self, name: str, default: str) -> str:
        """An argument given by name: what the string says, or the bare text."""
        text = self.option(name, default)
        content = string_content(text, self.dialect)
        return text if content is None else content

    def flag(self, name: str, default: bool) -> bool:
        """An argument given by name, as a condition."""
        return is_true(self.option(name, "TRUE" if default else "FALSE"), self.dialect)

    def content(self, position: int) -> str:
        """What an argument says: a string's content, or the bare text."""
        text = self.text(position)
        content = string_content(text, self.dialect)
        return text if content is None else content

    def word(self, position: int) -> str:
        """The name an argument gives, unexpanded: `x` or `'x'` of `@DEF(x, …)` and `@VAR('x')`, in lower case."""
        i, j = self.positional[position]
        token = self.source.tokens[i]
        if j == i + 1 and (is_word(token) or token.token_type in (TokenType.STRING, TokenType.IDENTIFIER)):
            return token.text.lower()
        return to_name(Fragment(self.text(position)), self.dialect).lower()

    def condition(self, position: int) -> bool:
        """Whether an argument holds."""
        return is_true(self.text(position), self.dialect)

    def skip(self, position: int) -> None:
        """Notes what an argument would read without expanding it."""
        self.expander.note(self.source, *self.positional[position])

    def collection(self, *positions: int) -> list[str]:
        """The items of a list: a single `[a, b]`, `(a, b)` or list variable is unpacked, several are the items."""
        if len(positions) != 1:
            return [item for position in positions for item in self.items(position)]
        return self.expander.collection(self.source, *self.positional[positions[0]])

    def function(self, position: int) -> Lambda | None:
        """The lambda an argument is; None if it is something else."""
        return self.function_at(*self.positional[position])

    def function_at(self, i: int, j: int) -> Lambda | None:
        """The lambda that tokens `[i, j)` are; None if they are something else."""
        return read_lambda(self.source, i, j)

    def required_function(self, position: int, parameters: int) -> Lambda:
        """The lambda an argument must be; it may take more parameters than that if items are unpacked into them."""
        function = self.function(position) if self.positional else None
        if function is None or len(function.parameters) < parameters:
            shape = "x -> …" if parameters == 1 else "(x, y) -> …"
            raise self.error(f"the last argument of @{self.name} must be a function", f"write `{shape}`")
        return function

    def apply(self, function: Lambda, *arguments: str) -> list[str]:
        """What a lambda gives for arguments; `(a, b)` is unpacked for one with several parameters."""
        return self.expander.apply(function, list(arguments), self)

    @cached_property
    def neighbours(self) -> tuple[str, str]:
        """The words (or signs) directly before and after the call, in upper case; "" at the ends."""
        tokens = self.source.tokens
        before = tokens[self.at - 1].text.upper() if self.at > 0 else ""
        after = tokens[self.closing + 1].text.upper() if self.closing + 1 < len(tokens) else ""
        return before, after


def _with_statements(source: Source, parts: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The arguments of `@IF`: a statement has commas of its own and ends where the next one begins."""
    joined: list[tuple[int, int]] = []
    for part in parts:
        if joined and _is_statement(source, *joined[-1]) and not _is_statement(source, *part):
            joined[-1] = (joined[-1][0], part[1])
        else:
            joined.append(part)
    return joined


def _is_statement(source: Source, i: int, j: int) -> bool:
    tokens = source.tokens
    if j - i < 2 or tokens[i].text.upper() not in _STATEMENTS or not is_word(tokens[i]):
        return False
    after = tokens[i + 1]
    return tokens[i].text.upper() == "SELECT" or (is_word(after) and after.text.upper() not in _AFTER_A_NAME)


def read_lambda(source: Source, i: int, j: int) -> Lambda | None:
    """The lambda that tokens `[i, j)` are, if they are one."""
    tokens = source.tokens
    arrow = source.match.get(i, i) + 1
    if arrow >= j - 1 or tokens[arrow].text != "->":
        return None
    names = tokens[i:arrow]
    if names[0].token_type is TokenType.L_PAREN:
        names = [token for token in names[1:-1] if token.token_type is not TokenType.COMMA]
    parameters = tuple(token.text.lower() for token in names)
    return Lambda(parameters=parameters, source=source, i=arrow + 1, j=j)


def unpack(text: str, dialect: str) -> list[str] | None:
    """The items of `(a, b)`, `[a, b]` or `ARRAY[a, b]`; None if the text is something else."""
    if not text.endswith((")", "]")):
        return None
    source = tokenize(text, dialect)
    tokens = source.tokens
    opening = 1 if tokens[0].text.upper() == "ARRAY" and len(tokens) > 1 else 0
    if tokens[opening].token_type in _BRACKETS and source.match.get(opening) == len(tokens) - 1:
        return [source.slice(*part) for part in source.split(opening + 1, len(tokens) - 1)]
    if len(tokens) == 1 and tokens[0].token_type is TokenType.IDENTIFIER and text.startswith("["):
        return unpack(f"({text[1:-1]})", dialect)  # T-SQL reads [a, b] as one quoted name
    return None
