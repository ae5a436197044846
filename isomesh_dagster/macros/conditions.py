"""Conditions of `@IF`, `@FILTER`, `@WHERE` and values of `@EVAL`, computed while a model is rendered.

In: SQL text without macros. Out: a Python value. The language is a closed subset of SQL, read by a small recursive
descent and interpreted here; nothing is handed to Python to evaluate. Truth is as in the model format: NULL, FALSE, 0
and '' are false, everything else is true, and `NULL = x` is false rather than unknown.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import date, datetime
from typing import Any

from sqlglot import Token, TokenType

from isomesh_dagster.dialect.tokens import is_word, tokenize
from isomesh_dagster.errors import MacroError
from isomesh_dagster.macros.values import Fragment

_COMPARISONS: dict[TokenType, Callable[[Any, Any], bool]] = {
    TokenType.EQ: operator.eq,
    TokenType.NEQ: operator.ne,
    TokenType.LT: operator.lt,
    TokenType.LTE: operator.le,
    TokenType.GT: operator.gt,
    TokenType.GTE: operator.ge,
}
_SUMS: dict[TokenType, Callable[[Any, Any], Any]] = {
    TokenType.PLUS: operator.add,
    TokenType.DASH: operator.sub,
    TokenType.DPIPE: lambda a, b: f"{a}{b}",
}
_PRODUCTS: dict[TokenType, Callable[[Any, Any], Any]] = {
    TokenType.STAR: operator.mul,
    TokenType.SLASH: operator.truediv,
    TokenType.MOD: operator.mod,
}
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "ABS": abs,
    "CONCAT": lambda *parts: "".join(str(part) for part in parts if part is not None),
    "COALESCE": lambda *values: next((value for value in values if value is not None), None),
    "CONTAINS": lambda text, part: part in text,
    "ENDS_WITH": lambda text, part: text.endswith(part),
    "GREATEST": max,
    "LEAST": min,
    "LEN": len,
    "LENGTH": len,
    "LOWER": lambda text: text.lower(),
    "NULLIF": lambda a, b: None if a == b else a,
    "REPLACE": lambda text, old, new: text.replace(old, new),
    "ROUND": round,
    "STARTS_WITH": lambda text, part: text.startswith(part),
    "TRIM": lambda text: text.strip(),
    "UPPER": lambda text: text.upper(),
}
_CASTS: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("INT", "INTEGER", "BIGINT", "SMALLINT"), int),
    **dict.fromkeys(("FLOAT", "DOUBLE", "REAL", "DECIMAL", "NUMERIC"), float),
    **dict.fromkeys(("TEXT", "VARCHAR", "STRING", "CHAR"), str),
    **dict.fromkeys(("BOOL", "BOOLEAN"), lambda value: str(value).lower() in ("true", "t", "1")),
    "DATE": lambda value: date.fromisoformat(str(value)[:10]),
    **dict.fromkeys(
        ("TIMESTAMP", "TIMESTAMPTZ", "TIMESTAMPNTZ", "TIMESTAMP_NTZ", "DATETIME", "DATETIME2", "DATETIMEOFFSET"),
        lambda value: datetime.fromisoformat(str(value)),
    ),
}


def evaluate(text: str, dialect: str) -> Any:
    """The value of an expression: None, bool, int, float, str, date, datetime, a list of these; `Fragment` for a name.

    Raises `MacroError` (without a place; the caller knows it) for what this subset does not have or cannot compute.
    """
    reader = _Reader(text, dialect)
    value = reader.expression()
    if reader.at < len(reader.tokens):
        raise reader.unknown()
    return value


def is_true(text: str, dialect: str) -> bool:
    """Whether a condition holds; an empty one does not."""
    word = text.strip().upper()
    if word in ("TRUE", "1"):
        return True
    if word in ("FALSE", "NULL", "0", ""):
        return False
    return bool(evaluate(text, dialect))


class _Reader:
    """Reads and computes in one pass, loosest operator first. Every operand is computed: nothing here has effects."""

    __slots__ = ("at", "text", "tokens")

    def __init__(self, text: str, dialect: str) -> None:
        self.text = text
        self.tokens: list[Token] = tokenize(text, dialect).tokens
        self.at = 0

    # -- reading

    def kind(self) -> TokenType | None:
        return self.tokens[self.at].token_type if self.at < len(self.tokens) else None

    def word(self) -> str:
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        return token.text.upper() if token is not None and is_word(token) else ""

    def take(self, *words: str) -> bool:
        """Moves past the words if they come next."""
        start = self.at
        for word in words:
            if self.word() != word:
                self.at = start
                return False
            self.at += 1
        return True

    def take_kind(self, kind: TokenType) -> bool:
        if self.kind() is kind:
            self.at += 1
            return True
        return False

    def expect(self, kind: TokenType) -> None:
        if not self.take_kind(kind):
            raise self.unknown()

    def unknown(self) -> MacroError:
        found = f"`{self.tokens[self.at].text}`" if self.at < len(self.tokens) else "the end"
        return MacroError(
            f"cannot compute `{self.text}` while rendering: {found} is not understood here",
            hint="compare variables and literals; columns are known only to the database",
        )

    def compute(self, function: Callable[..., Any], *values: Any) -> Any:
        try:
            return function(*values)
        except (TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise MacroError(f"cannot compute `{self.text}` while rendering: {error}") from None

    # -- grammar

    def expression(self) -> Any:
        value = self.conjunction()
        while self.take("OR"):
            other = self.conjunction()
            value = value or other
        return value

    def conjunction(self) -> Any:
        value = self.negation()
        while self.take("AND"):
            other = self.negation()
            value = value and other
        return value

    def negation(self) -> Any:
        return not self.negation() if self.take("NOT") else self.comparison()

    def comparison(self) -> Any:
        value = self.sum()
        while True:
            kind = self.kind()
            if kind in _COMPARISONS:
                self.at += 1
                value = self.compute(_COMPARISONS[kind], value, self.sum())
            elif self.take("IS"):
                negative = self.take("NOT")
                other = self.sum()
                same = value is other if other is None or isinstance(other, bool) else value == other
                value = same is not negative
            else:
                start = self.at
                negative = self.take("NOT")
                test = self.membership(value)
                if test is None:
                    self.at = start
                    return value
                value = test is not negative

    def membership(self, value: Any) -> bool | None:
        """What follows a value (and perhaps NOT): IN, BETWEEN, LIKE; None if none of them does."""
        if self.take("IN"):
            among = self.sum()
            return value in (among if isinstance(among, list) else [among])
        if self.take("BETWEEN"):
            low = self.sum()
            if not self.take("AND"):
                raise self.unknown()
            return bool(self.compute(lambda high: low <= value <= high, self.sum()))
        if self.take("LIKE"):
            return self.like(value, self.sum(), 0)
        if self.take("ILIKE"):
            return self.like(value, self.sum(), re.IGNORECASE)
        return None

    def like(self, value: Any, pattern: Any, flags: int) -> bool:
        parts = {"%": ".*", "_": "."}
        regex = "".join(parts.get(character, re.escape(character)) for character in str(pattern))
        return value is not None and re.fullmatch(regex, str(value), flags | re.DOTALL) is not None

    def sum(self) -> Any:
        return self.chain(_SUMS, self.product)

    def product(self) -> Any:
        return self.chain(_PRODUCTS, self.sign)

    def chain(self, operators: dict[TokenType, Callable[[Any, Any], Any]], operand: Callable[[], Any]) -> Any:
        value = operand()
        while (kind := self.kind()) in operators:
            self.at += 1
            other = operand()
            value = None if value is None or other is None else self.compute(operators[kind], value, other)
        return value

    def sign(self) -> Any:
        if self.take_kind(TokenType.DASH):
            value = self.sign()
            return None if value is None else self.compute(operator.neg, value)
        if self.take_kind(TokenType.PLUS):
            return self.sign()
        value = self.primary()
        while self.take_kind(TokenType.DCOLON):
            value = self.cast(value)
        return value

    def primary(self) -> Any:
        if self.at >= len(self.tokens):
            raise self.unknown()
        token = self.tokens[self.at]
        kind = token.token_type
        if kind is TokenType.STRING:
            self.at += 1
            return token.text
        if kind is TokenType.NUMBER:
            self.at += 1
            return self.compute(lambda text: int(text) if text.isdigit() else float(text), token.text)
        if kind is TokenType.L_PAREN:
            self.at += 1
            values = self.values(TokenType.R_PAREN)
            return values[0] if len(values) == 1 else values
        if kind is TokenType.L_BRACKET:
            self.at += 1
            return self.values(TokenType.R_BRACKET)
        if kind is TokenType.IDENTIFIER:
            return self.name()
        if not is_word(token):
            raise self.unknown()
        return self.named(token.text.upper())

    def named(self, word: str) -> Any:
        """A word: a constant, CASE, CAST, a call or a name."""
        constants = {"TRUE": True, "FALSE": False, "NULL": None}
        if word in constants:
            self.at += 1
            return constants[word]
        if self.take("CASE"):
            return self.case()
        if self.at + 1 < len(self.tokens) and self.tokens[self.at + 1].token_type is TokenType.L_PAREN:
            if word in ("CAST", "TRY_CAST"):
                self.at += 2
                value = self.expression()
                if not self.take("AS"):
                    raise self.unknown()
                value = self.cast(value)
                self.expect(TokenType.R_PAREN)
                return value
            if word not in _FUNCTIONS:
                raise self.unknown()
            self.at += 2
            return self.compute(_FUNCTIONS[word], *self.values(TokenType.R_PAREN))
        return self.name()

    def values(self, closing: TokenType) -> list[Any]:
        values: list[Any] = []
        if self.take_kind(closing):
            return values
        while True:
            values.append(self.expression())
            if self.take_kind(closing):
                return values
            self.expect(TokenType.COMMA)

    def name(self) -> Fragment:
        parts = [self.tokens[self.at].text]
        self.at += 1
        while self.take_kind(TokenType.DOT):
            if self.kind() is not TokenType.IDENTIFIER and not self.word():
                raise self.unknown()
            parts.append(self.tokens[self.at].text)
            self.at += 1
        return Fragment(".".join(parts))

    def cast(self, value: Any) -> Any:
        word = self.word()
        if word not in _CASTS:
            raise self.unknown()
        self.at += 1
        return None if value is None else self.compute(_CASTS[word], value)

    def case(self) -> Any:
        subject = None if self.word() == "WHEN" else self.expression()
        simple = self.word() == "WHEN" and subject is not None
        result, found = None, False
        while self.take("WHEN"):
            condition = self.expression()
            if not self.take("THEN"):
                raise self.unknown()
            value = self.expression()
            if not found and (condition == subject if simple else condition):
                result, found = value, True
        if self.take("ELSE"):
            value = self.expression()
            result = result if found else value
        if not self.take("END"):
            raise self.unknown()
        return result
