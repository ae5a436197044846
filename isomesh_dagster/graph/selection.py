"""Selections: a short expression that names models of a graph.

    core.flights           a model; `*` and `?` in a name stand for any characters, for one
    tag:nightly            models with that tag
    git:main               models whose files differ from a branch (which files is told by the caller)
    resource_type:model    all models; `audit` selects none, audits here are parts of models
    +a   a+   +a+          with everything that a reads, with everything that reads a, with both
    ^a                     all but a
    a & b   a | b   ( )    both; either; first. `^` and `+` bind before `&`, `&` before `|`

Names are compared without case; what holds an operator's character is written in double quotes. A name or tag that is
not there is an error; a pattern may match nothing. Several expressions mean either of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum

from isomesh_dagster.errors import SelectionError
from isomesh_dagster.graph.order import ModelGraph
from isomesh_dagster.model.kinds import Seed
from isomesh_dagster.model.model import Model

_LONGEST = 10_000  # characters
_DEEPEST = 100  # of parentheses and `^` within each other: nobody writes more, and reading them is recursive

_TOKEN = re.compile(r'(?P<operator>[+&|^()])|(?P<word>(?:"[^"]*"|[^\s+&|^()"])+)')
_PIECE = re.compile(r'"(?P<quoted>[^"]*)"|(?P<any>\*)|(?P<one>\?)|(?P<plain>[^"*?]+)')
_SPACE = re.compile(r"\s*")


class Selector(str, Enum):
    """What a word of a selection is compared with; the value is how it is written before the colon."""

    NAME = ""
    TAG = "tag"
    GIT = "git"
    RESOURCE_TYPE = "resource_type"


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """One word: `text` without quotes, `pattern` a regular expression, `is_exact` when it has no wildcard.

    `position` and `length` are those of the word in its expression, in characters.
    """

    selector: Selector
    text: str
    pattern: str
    is_exact: bool
    position: int
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """All models but those."""

    operand: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """Models that are in all of `operands`."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Either:
    """Models that are in one of `operands`."""

    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The operand with its `ancestors`, its `descendants`, or both."""

    operand: Node
    ancestors: bool
    descendants: bool


Node = Word | Not | Both | Either | Reach


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """An expression that was understood."""

    text: str
    node: Node

    @property
    def branches(self) -> frozenset[str]:
        """The branches of its `git:` words: `select` must be told what changed against them."""
        return frozenset(word.text for word in _words(self.node) if word.selector is Selector.GIT)


def parse_selection(text: str) -> Selection:
    """Read one expression. Raises SelectionError, with the place in the text, when it is not understood."""
    if len(text) > _LONGEST:
        raise SelectionError(
            f"the selection {text[:20]!r}… is longer than {_LONGEST:,} characters", hint="use patterns or tags"
        )
    return Selection(text=text, node=_Reader(text).expression())


def exactly(name: str) -> str:
    """The expression that names just this model."""
    return name if re.fullmatch(r"[\w.]+", name) else f'"{name}"'


def select(
    selections: Iterable[Selection], graph: ModelGraph, *, changed: Mapping[str, Collection[str]] | None = None
) -> tuple[str, ...]:
    """The models that one of the selections names, parents before children; without any selection none.

    `changed` are the paths (posix, relative to the project) that differ, by branch: those of every `branches`. Raises
    SelectionError for a name or a tag that no model has.
    """
    found: set[str] = set()
    for selection in selections:
        found |= _Chooser(selection.text, graph, changed or {}).of(selection.node)
    return tuple(name for name in graph.order if name in found)


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    position: int
    is_word: bool


_END = ""


class _Reader:
    """A recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = _tokens(text)
        self._at = 0
        self._depth = 0

    def expression(self) -> Node:
        node = self._either()
        token = self._token
        if token.text == ")":
            raise _error(self._text, token.position, 1, "a closing parenthesis without its opening one")
        if token.text != _END:
            raise _error(self._text, token.position, len(token.text), "expected & (both) or | (either) before this")
        return node

    def _either(self) -> Node:
        operands = [self._both()]
        while self._takes("|"):
            operands.append(self._both())
        return operands[0] if len(operands) == 1 else Either(operands=tuple(operands))

    def _both(self) -> Node:
        operands = [self._negated()]
        while self._takes("&"):
            operands.append(self._negated())
        return operands[0] if len(operands) == 1 else Both(operands=tuple(operands))

    def _negated(self) -> Node:
        position = self._token.position
        if not self._takes("^"):
            return self._reach()
        with self._deeper(position):
            return Not(operand=self._negated())

    def _reach(self) -> Node:
        ancestors = self._takes("+")
        operand = self._primary()
        descendants = self._takes("+")
        if not (ancestors or descendants):
            return operand
        return Reach(operand=operand, ancestors=ancestors, descendants=descendants)

    def _primary(self) -> Node:
        token = self._token
        if token.is_word:
            self._at += 1
            return _word(token, self._text)
        if token.text == "(":
            self._at += 1
            with self._deeper(token.position):
                node = self._either()
            if not self._takes(")"):
                raise _error(self._text, token.position, 1, "this parenthesis is not closed")
            return node
        told = "the expression ends" if token.text == _END else f"there is {token.text}"
        hint = "write ^+a for: all but a and what it reads" if token.text == "^" else None
        raise _error(self._text, token.position, len(token.text), f"expected the name of a model, {told}", hint)

    @property
    def _token(self) -> _Token:
        return self._tokens[self._at]

    def _takes(self, operator: str) -> bool:
        token = self._token
        if token.is_word or token.text != operator:
            return False
        self._at += 1
        return True

    @contextmanager
    def _deeper(self, position: int) -> Iterator[None]:
        """One more level of parentheses or `^`."""
        self._depth += 1
        if self._depth > _DEEPEST:
            raise _error(self._text, position, 1, f"more than {_DEEPEST} parentheses and ^ within each other")
        yield
        self._depth -= 1


def _tokens(text: str) -> list[_Token]:
    tokens = []
    position = _skip_space(text, 0)
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None:  # only a quote that nothing closes is neither operator nor word
            raise _error(text, position, 1, "this quote is not closed")
        tokens.append(_Token(found.group(), position, found.lastgroup == "word"))
        position = _skip_space(text, found.end())
    return [*tokens, _Token(_END, len(text), False)]


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return position if found is None else found.end()


def _word(token: _Token, text: str) -> Word:
    written = token.text
    prefix, colon, rest = written.partition(":")
    selector = Selector.NAME
    if colon and '"' not in prefix:
        selector = _selector(prefix, token, text)
        written = rest
    if not written.replace('"', ""):
        raise _error(text, token.position, len(token.text), "a value is missing")
    pieces = list(_PIECE.finditer(written))
    return Word(
        selector=selector,
        text="".join(piece["quoted"] if piece["quoted"] is not None else piece.group() for piece in pieces),
        pattern="".join(_as_pattern(piece) for piece in pieces),
        is_exact=not any(piece["any"] or piece["one"] for piece in pieces),
        position=token.position,
        length=len(token.text),
    )


def _selector(prefix: str, token: _Token, text: str) -> Selector:
    known = [one.value for one in Selector if one.value]
    if prefix.lower() in known:
        return Selector(prefix.lower())
    near = get_close_matches(prefix.lower(), known, n=1)
    raise _error(
        text,
        token.position,
        len(prefix),
        f"no selector is called {prefix!r}",
        f"did you mean '{near[0]}:'?" if near else f"there are {', '.join(f'{one}:' for one in known)}",
    )


def _as_pattern(piece: re.Match[str]) -> str:
    if piece["any"]:
        return ".*"
    if piece["one"]:
        return "."
    return re.escape(piece["quoted"] if piece["quoted"] is not None else piece.group())


def _words(node: Node) -> Iterator[Word]:
    match node:
        case Word():
            yield node
        case Not(operand=operand) | Reach(operand=operand):
            yield from _words(operand)
        case Both(operands=operands) | Either(operands=operands):
            for operand in operands:
                yield from _words(operand)


# ── choosing ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class _Chooser:
    """What one expression means in a graph."""

    def __init__(self, text: str, graph: ModelGraph, changed: Mapping[str, Collection[str]]) -> None:
        self._text = text
        self._graph = graph
        self._changed = changed

    def of(self, node: Node) -> set[str]:
        match node:
            case Word():
                return self._named(node)
            case Not():
                return self._graph.models.keys() - self.of(node.operand)
            case Both():
                return set.intersection(*map(self.of, node.operands))
            case Either():
                return set.union(*map(self.of, node.operands))
            case Reach():
                return self._reached(node)

    def _reached(self, node: Reach) -> set[str]:
        start = self.of(node.operand)
        found = set(start)
        if node.ancestors:
            found |= self._graph.ancestors(start)
        if node.descendants:
            found |= self._graph.descendants(start)
        return found

    def _named(self, word: Word) -> set[str]:
        match word.selector:
            case Selector.NAME:
                return self._matching(word, lambda model: (model.name,), "no model is named")
            case Selector.TAG:
                return self._matching(word, lambda model: model.tags, "no model has the tag")
            case Selector.GIT:
                paths = self._changed[word.text]
                return {name for name, model in self._graph.models.items() if _files(model) & set(paths)}
            case Selector.RESOURCE_TYPE:
                return self._of_type(word)

    def _matching(self, word: Word, texts: Callable[[Model], Collection[str]], told: str) -> set[str]:
        matches = re.compile(word.pattern, re.IGNORECASE | re.DOTALL).fullmatch
        models = self._graph.models
        found = {name for name, model in models.items() if any(matches(text) for text in texts(model))}
        if not found and word.is_exact:
            raise self._unknown(word, {text for model in models.values() for text in texts(model)}, told)
        return found

    def _of_type(self, word: Word) -> set[str]:
        match word.text.lower():
            case "model":
                return set(self._graph.models)
            case "audit":
                return set()
        raise self._unknown(word, {"model", "audit"}, "no resource type is called")

    def _unknown(self, word: Word, known: Collection[str], told: str) -> SelectionError:
        near = get_close_matches(word.text.lower(), sorted(known), n=1)
        if near:
            hint = f"did you mean {near[0]!r}?"
        elif known:
            hint = f"there are {len(known)}, {min(known)!r} for one"
        else:
            hint = None
        return _error(self._text, word.position, word.length, f"{told} {word.text!r}", hint)


def _files(model: Model) -> set[str]:
    """The files that say what the model is: its own, and the rows of a seed."""
    return {model.path, model.kind.path} if isinstance(model.kind, Seed) else {model.path}


def _error(text: str, position: int, length: int, message: str, hint: str | None = None) -> SelectionError:
    """The message, the expression and under it a mark at the place."""
    mark = " " * position + "^" * max(length, 1)
    return SelectionError(f"{message}\n    {' '.join(text.split(chr(10)))}\n    {mark}", column=position + 1, hint=hint)
