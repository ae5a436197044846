"""A query laid out: every clause on a line of its own, lists one item a line, nothing but spaces and case changed.

Works on tokens, not on a tree: what a tree would say in another way (`<>` and `!=`, `::` and CAST) stays as the author
wrote it, comments and macros stay where they are, and the canonical text, which is what a model's fingerprint is made
of, stays the same. That is checked for every statement: text that would not come out the same is left as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

from sqlglot import TokenType

from isomesh_dagster.dialect.atoms import Atom, atoms_with_ends, remarks
from isomesh_dagster.dialect.canonical import canonical_tokens
from isomesh_dagster.dialect.casing import Casing
from isomesh_dagster.dialect.printer import HARD, SOFT, SPACE, Comment, Doc, Group, Indent, Line, print_doc
from isomesh_dagster.dialect.spacing import needs_space
from isomesh_dagster.dialect.style import Style
from isomesh_dagster.dialect.tokens import Source, tokenize
from isomesh_dagster.errors import ModelError

_QUERY_START = frozenset({TokenType.SELECT, TokenType.WITH, TokenType.FROM, TokenType.VALUES})
_SET_OPERATORS = frozenset({TokenType.UNION, TokenType.EXCEPT, TokenType.INTERSECT})
_CONDITIONS = frozenset({TokenType.WHERE, TokenType.HAVING, TokenType.QUALIFY})
_LISTS = frozenset({TokenType.GROUP_BY, TokenType.ORDER_BY})
_PLAIN = frozenset({TokenType.LIMIT, TokenType.OFFSET, TokenType.FETCH, TokenType.WINDOW, TokenType.VALUES})
_CLAUSES = _QUERY_START | _SET_OPERATORS | _CONDITIONS | _LISTS | _PLAIN
_JOINS = frozenset({TokenType.JOIN, TokenType.STRAIGHT_JOIN})
_JOIN_WORDS = frozenset(
    {"natural", "left", "right", "full", "inner", "outer", "cross", "semi", "anti", "asof", "positional", "global"}
)
_CONNECTORS = frozenset({TokenType.AND, TokenType.OR})
_UNREADABLE = frozenset({TokenType.HINT, TokenType.COMMAND})


def laid_out(sql: str, dialect: str, style: Style) -> str | None:
    """The query as `style` has it, without a line break at its end; `sql` has no semicolon.

    None for what is left as it is: anything but a query, or one whose text would not mean just the same (hints,
    templates, text that cannot be cut into tokens). The result laid out again is itself.
    It may end in a comment.
    """
    try:
        source = tokenize(sql, dialect)
        text = _text(source, style)
        for _ in range(_PASSES):  # a comment that was moved to the end of its line may let that line become whole
            if text is None:
                return None
            before, text = text, _text(tokenize(text, dialect), style)
            if before == text:
                return text if _same(source, text) else None
    except (ModelError, RecursionError):
        pass
    return None


_PASSES = 4


def _text(source: Source, style: Style) -> str | None:
    tokens = source.tokens
    is_template = "{{" in source.text or "{%" in source.text
    if not tokens or is_template or any(token.token_type in _UNREADABLE for token in tokens):
        return None
    atoms, below = atoms_with_ends(source)
    first = atoms[0].kind
    if first not in _QUERY_START and first is not TokenType.L_PAREN:
        return None
    query = _Layout(atoms, source.dialect, style).query(0, len(atoms))
    return print_doc([query, *(Comment(text, own=True) for text in below)], style.max_text_width)


def _same(source: Source, text: str) -> bool:
    """Whether the new text has the old canonical text and the old comments."""
    if canonical_tokens(source.text, source.dialect) != canonical_tokens(text, source.dialect):
        return False
    return comments(source) == comments(tokenize(text, source.dialect))


def comments(source: Source) -> Counter[str]:
    """How often each comment stands in the text."""
    found: Counter[str] = Counter()
    end = 0
    for token in source.tokens:
        found.update(remark.text for remark in remarks(source, end, token.start))
        end = token.end + 1
    found.update(remark.text for remark in remarks(source, end, len(source.text)))
    return found


class _Layout:
    """The documents of ranges `[i, j)` of one statement's atoms."""

    def __init__(self, atoms: list[Atom], dialect: str, style: Style) -> None:
        self._atoms = atoms
        self._style = style
        self._text = Casing(atoms, dialect, style.normalize_functions)

    # -- queries

    def query(self, i: int, j: int) -> Doc:
        """A query: its clauses, one below the other."""
        begins = [k for k in self._outside(i, j) if self._begins_clause(k, i)]
        parts: list[Doc] = []
        for begin, end in pairwise([i, *(k for k in begins if k > i), j]):
            parts += [HARD, *self._clause(begin, end, is_clause=begin in begins)]
        return parts[1:]

    def _outside(self, i: int, j: int) -> Iterator[int]:
        """The atoms of a range that stand in none of its brackets; of brackets the opening ones."""
        k = i
        while k < j:
            yield k
            partner = self._atoms[k].partner
            k = partner + 1 if partner > k else k + 1

    def _begins_clause(self, k: int, i: int) -> bool:
        atoms = self._atoms
        atom, kind = atoms[k], atoms[k].kind
        previous = atoms[k - 1] if k > i else None
        following = atoms[k + 1] if k + 1 < len(atoms) else None
        if previous is not None and (previous.text == "." or (previous.lower == "as" and kind is not TokenType.SELECT)):
            return False
        if following is not None and following.text == ".":
            return False
        if previous is not None and previous.kind in _JOINS | {TokenType.NATURAL}:
            return False
        if kind in _JOINS or atom.lower in _JOIN_WORDS:
            return self._is_join(k) and not (previous is not None and previous.lower in _JOIN_WORDS and k > i)
        if kind not in _CLAUSES:
            return False
        if kind is TokenType.FROM:
            return previous is None or previous.lower != "distinct"
        if kind in (TokenType.WITH, TokenType.VALUES):
            return previous is None
        if kind is TokenType.OFFSET:
            return previous is None or previous.lower != "with"
        if kind is TokenType.WINDOW:
            return following is not None and following.word and k + 2 < len(atoms) and atoms[k + 2].lower == "as"
        if kind in _SET_OPERATORS:
            after = k + 2 if following is not None and following.lower in ("all", "distinct") else k + 1
            while after < len(atoms) and atoms[after].lower in ("by", "name"):
                after += 1
            return after < len(atoms) and self._is_query(after, len(atoms))
        return True

    def _is_join(self, k: int) -> bool:
        """Whether a join begins at one of these words, rather than a name or a function like LEFT(…)."""
        while k < len(self._atoms) and self._atoms[k].lower in _JOIN_WORDS:
            k += 1
        return k < len(self._atoms) and self._atoms[k].kind in _JOINS

    def _is_query(self, i: int, j: int) -> bool:
        if i >= j:
            return False
        atom = self._atoms[i]
        if atom.kind is TokenType.L_PAREN:
            end = atom.partner + 1
            followed = end >= j or self._atoms[end].kind in _SET_OPERATORS | _LISTS | {
                TokenType.LIMIT,
                TokenType.R_PAREN,
            }
            return followed and self._is_query(i + 1, atom.partner)
        return atom.kind in _QUERY_START and not (i + 1 < j and self._atoms[i + 1].text == ".")

    def _clause(self, i: int, j: int, *, is_clause: bool) -> list[Doc]:
        kind = self._atoms[i].kind
        if not is_clause:
            return self._expression(i, j)
        if kind is TokenType.SELECT:
            return self._select(i, j)
        if kind in _SET_OPERATORS:
            return self._set_operator(i, j)
        if kind is TokenType.WITH:
            return self._with(i, j)
        if kind in _JOINS or self._atoms[i].lower in _JOIN_WORDS:
            return self._join(i, j)
        if kind in _CONDITIONS:
            return [*self._atom(i), self._under([HARD, *self._grouped(i + 1, j)])]
        if kind in _LISTS:
            return [*self._atom(i), self._under([HARD, *self._list(i + 1, j, HARD)])]
        lead, head, after = _parted(self._atom(i))
        _, items, tail = _parted([" ", *self._list(i + 1, j, SPACE)])
        inside: Doc = items if len(self._items(i + 1, j)) == 1 else self._under(items)
        return [*lead, Group([*head, *after, inside]), *tail]

    def _select(self, i: int, j: int) -> list[Doc]:
        atoms, head = self._atoms, i + 1
        if head < j and atoms[head].lower in ("distinct", "all"):
            head += 1
            if head + 1 < j and atoms[head].lower == "on" and atoms[head + 1].partner > 0:
                head = atoms[head + 1].partner + 1
        words: list[Doc] = self._flow(i, head)
        if head == j:
            return words
        if len(self._items(head, j)) == 1:
            lead, body, tail = _parted(self._grouped(head, j))
            return [Group([*words, self._under([SPACE, *lead, *body])]), *tail]
        return [*words, self._under([HARD, *self._list(head, j, HARD)])]

    def _set_operator(self, i: int, j: int) -> list[Doc]:
        end = next((k for k in range(i, j) if self._atoms[k].kind is TokenType.L_PAREN), j)
        return [*self._flow(i, end), *([HARD, *self._expression(end, j)] if end < j else [])]

    def _with(self, i: int, j: int) -> list[Doc]:
        head = i + 2 if i + 1 < j and self._atoms[i + 1].lower == "recursive" else i + 1
        docs: list[Doc] = self._flow(i, head)
        for begin, end in self._items(head, j):
            query = next((k for k in self._outside(begin + 1, end) if self._follows_ctes(k)), end)
            docs += [" ", *self._flow(begin, query)]
            if query < end:
                docs += [HARD, *self._expression(query, end)]
            elif end < j:
                docs.append(",")
        return docs

    def _follows_ctes(self, k: int) -> bool:
        """Whether a bracket holds the query after the CTEs rather than one of them."""
        before, atom = self._atoms[k - 1], self._atoms[k]
        is_second = atom.kind is TokenType.L_PAREN and before.kind is TokenType.R_PAREN
        return is_second and self._is_query(k + 1, atom.partner)

    def _join(self, i: int, j: int) -> list[Doc]:
        on = [k for k in self._outside(i + 1, j) if self._atoms[k].lower in ("on", "using")]
        docs: list[Doc] = self._flow(i, on[0] if on else j)
        for begin, end in pairwise([*on, j]):
            docs.append(self._under([HARD, *self._grouped(begin, end)]))
        return docs

    # -- lists and expressions

    def _items(self, i: int, j: int) -> list[tuple[int, int]]:
        """The ranges between commas."""
        ranges, begin = [], i
        for k in self._outside(i, j):
            if self._atoms[k].kind is TokenType.COMMA:
                ranges.append((begin, k))
                begin = k + 1
        if begin < j:
            ranges.append((begin, j))
        return ranges

    def _list(self, i: int, j: int, line: Line) -> list[Doc]:
        """Items with a line between them; a comma at the end stays."""
        docs: list[Doc] = []
        ranges = self._items(i, j)
        for n, (begin, end) in enumerate(ranges):
            if docs and self._style.leading_comma and line is HARD:
                docs += [line, ", "]
            elif docs:
                docs += [",", line]
            docs += self._grouped(begin, end)
            if n + 1 == len(ranges) and end < j:
                docs.append(",")
        return docs

    def _grouped(self, i: int, j: int) -> list[Doc]:
        """An expression that stands on one line if it fits; comments at its end are not counted."""
        lead, body, tail = _parted(self._expression(i, j))
        return [*lead, Group(body), *tail]

    def _expression(self, i: int, j: int) -> list[Doc]:
        """An expression that may be broken before AND and OR."""
        breaks, betweens = [], 0
        for k in self._outside(i, j):
            kind = self._atoms[k].kind
            if kind is TokenType.BETWEEN:
                betweens += 1
            elif kind is TokenType.AND and betweens:
                betweens -= 1
            elif kind in _CONNECTORS and k > i:
                breaks.append(k)
        docs: list[Doc] = []
        for begin, end in zip([i, *breaks], [*breaks, j], strict=True):
            if docs:
                docs.append(SPACE)
            docs += self._flow(begin, end)
        return docs

    def _flow(self, i: int, j: int) -> list[Doc]:
        """Atoms one after the other."""
        docs: list[Doc] = []
        for k in self._outside(i, j):
            if k > i and needs_space(self._atoms, k - 1, k):
                docs.append(" ")
            kind, partner = self._atoms[k].kind, self._atoms[k].partner
            if partner > k and kind is TokenType.CASE:
                docs += self._case(k, partner)
            elif partner > k:
                docs += self._bracket(k, partner)
            else:
                docs += self._atom(k)
        return docs

    def _bracket(self, k: int, end: int) -> list[Doc]:
        opening, closing = self._atom(k), self._atom(end)
        own, closing, tail = _parted(closing)
        if end == k + 1:
            return [*opening, *own, *closing, *tail]
        if self._is_query(k + 1, end):
            inner: list[Doc] = [HARD, self.query(k + 1, end), *own]
            return [*opening, Indent(self._style.indent, inner), HARD, *closing, *tail]
        if end == k + 2 and not self._atoms[k].after and not own:  # one word: a line of its own helps nobody
            return [*opening, *self._flow(k + 1, end), *closing, *tail]
        inside = self._window(k + 1, end) or self._list(k + 1, end, SPACE)
        return [Group([*opening, Indent(self._style.indent, [SOFT, *inside, *own]), SOFT, *closing]), *tail]

    def _window(self, i: int, j: int) -> list[Doc]:
        """`PARTITION BY … ORDER BY …` inside brackets, broken before each; empty when it is none."""
        words = (TokenType.PARTITION_BY, TokenType.ORDER_BY)
        begins = [k for k in self._outside(i, j) if self._atoms[k].kind in words and not self._atoms[k].macro]
        if not begins:
            return []
        cuts = [i, *(k for k in begins if k > i), j]
        docs: list[Doc] = []
        for begin, end in pairwise(cuts):
            if docs:
                docs.append(SPACE)
            lead, body, tail = _parted(self._list(begin, end, SPACE))
            docs += [*lead, Group(self._under(body)), *tail]
        return docs

    def _case(self, k: int, end: int) -> list[Doc]:
        cuts = [n for n in self._outside(k + 1, end) if self._atoms[n].kind in (TokenType.WHEN, TokenType.ELSE)]
        head = self._atom(k)
        if not cuts or cuts[0] > k + 1:
            head += [" ", *self._flow(k + 1, cuts[0] if cuts else end)]
        branches: list[Doc] = []
        for begin, stop in zip(cuts, [*cuts[1:], end], strict=True) if cuts else ():
            branches += [SPACE, *self._grouped(begin, stop)]
        own, closing, tail = _parted(self._atom(end))
        return [Group([*head, Indent(self._style.indent, [*branches, *own]), SPACE, *closing]), *tail]

    # -- atoms

    def _under(self, doc: Doc) -> Indent:
        return Indent(self._style.pad, doc)

    def _atom(self, k: int) -> list[Doc]:
        atom = self._atoms[k]
        docs: list[Doc] = [Comment(text, own=True) for text in atom.before]
        for text in atom.inline:
            docs += [text, " "]
        docs.append(self._text.of(k))
        docs += [Comment(text, own=False) for text in atom.after]
        return docs


def _parted(docs: list[Doc]) -> tuple[list[Doc], list[Doc], list[Doc]]:
    """Comments on lines of their own at the begin, what is between, comments that end the line at the end.

    Outside of a group they do not keep it from standing on one line.
    """
    begin, end = 0, len(docs)
    while begin < end and isinstance(first := docs[begin], Comment) and first.own:
        begin += 1
    while end > begin and isinstance(last := docs[end - 1], Comment) and not last.own:
        end -= 1
    return docs[:begin], docs[begin:end], docs[end:]
