"""Statements as atoms: what a formatter may move but never changes, each with the comments that belong to it.

An atom is a token as written, or a whole macro (`@x`, `@{x}`, `@IF(…)`). Comments belong to the atom they follow on its
line (a comma's to what stands before the comma), else to the one they stand before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlglot import TokenType

from isomesh_dagster.dialect.tokens import Source, is_word, stock_dialect
from isomesh_dagster.errors import ModelError

# Macros that stand for a clause: `@WHERE(condition) a = 1`.
CLAUSE_MACROS = {
    "with": TokenType.WITH,
    "join": TokenType.JOIN,
    "where": TokenType.WHERE,
    "group_by": TokenType.GROUP_BY,
    "having": TokenType.HAVING,
    "order_by": TokenType.ORDER_BY,
    "limit": TokenType.LIMIT,
}


@dataclass(slots=True)
class Atom:
    """One piece of text.

    kind     its token type; that of the clause for a macro that stands for one, UNKNOWN for other macros
    glued    whether nothing stands between it and the atom before
    before   comments on lines of their own before it
    inline   comments before it on its line
    after    comments after it on its line
    partner  the index of the bracket's (or CASE's, or END's) other end
    opener   the index of the bracket or CASE it stands in; -1 outside of all
    """

    text: str
    kind: TokenType
    glued: bool
    word: bool
    macro: bool = False
    before: list[str] = field(default_factory=list)
    inline: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    partner: int = -1
    opener: int = -1

    @property
    def lower(self) -> str:
        """The text in lower case, to compare it with keywords."""
        return self.text.lower()


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment: its text as written, whether it begins its line, and whether it ends it."""

    text: str
    begins_line: bool
    ends_line: bool


def remarks(source: Source, begin: int, end: int) -> list[Remark]:
    """The comments in characters `[begin, end)`, which hold nothing but comments and spaces."""
    text, nested = source.text, bool(stock_dialect(source.dialect).tokenizer_class.NESTED_COMMENTS)
    found: list[Remark] = []
    at = begin
    begins_line = begin == 0
    while at < end:
        if text[at].isspace():
            begins_line = begins_line or text[at] == "\n"
            at += 1
            continue
        stop = min(_comment_end(text, at, nested), end)
        rest = text[stop:end].lstrip(" \t")
        ends_line = rest.startswith(("\n", "\r")) or (not rest and stop == len(text.rstrip()))
        found.append(Remark(text=text[at:stop].rstrip(), begins_line=begins_line, ends_line=ends_line))
        begins_line = False
        at = stop
    return found


def _comment_end(text: str, at: int, nested: bool) -> int:
    """The end of the comment that begins at `at`."""
    for opening, closing in (("/*", "*/"), ("{#", "#}")):
        if not text.startswith(opening, at):
            continue
        depth, k = 1, at + 2
        while depth and k < len(text):
            if text.startswith(closing, k):
                depth, k = depth - 1, k + 2
            elif nested and text.startswith(opening, k):
                depth, k = depth + 1, k + 2
            else:
                k += 1
        return k
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def atoms_of(source: Source, i: int, j: int) -> list[Atom]:
    """The atoms of tokens `[i, j)`. Raises ModelError when brackets do not match."""
    atoms: list[Atom] = []
    k, end = i, -1
    carried: list[str] = []
    while k < j:
        last = _macro_end(source, k, j)
        begin = source.tokens[k].start
        atom = _atom(source, k, last)
        atom.glued = begin == end
        if end >= 0 and begin > end:
            carried = _attach(remarks(source, end, begin), atoms, atom, carried)
        else:
            atom.before, carried = carried, []
        if atom.kind is TokenType.COMMA:
            carried, atom.before = atom.before, []
        atoms.append(atom)
        end = source.tokens[last].end + 1
        k = last + 1
    if atoms:
        atoms[-1].after += carried
    _match(atoms)
    return atoms


def atoms_with_ends(source: Source) -> tuple[list[Atom], list[str]]:
    """The atoms of the whole text, comments before and after its tokens among them; and those on lines of their own
    below the last. The text has a token.
    """
    atoms = atoms_of(source, 0, len(source.tokens))
    above: list[str] = []
    for remark in remarks(source, 0, source.tokens[0].start):
        above.append(remark.text)
        if remark.ends_line:
            atoms[0].before += above
            above = []
    atoms[0].inline += above
    last = atoms[-2] if atoms[-1].kind is TokenType.COMMA and len(atoms) > 1 else atoms[-1]
    below: list[str] = []
    for remark in remarks(source, source.tokens[-1].end + 1, len(source.text)):
        (below if remark.begins_line or below else last.after).append(remark.text)
    return atoms, below


def _attach(found: list[Remark], atoms: list[Atom], atom: Atom, carried: list[str]) -> list[str]:
    """Give comments between the last of `atoms` and `atom` to one of them; what is carried over a comma comes first."""
    atom.before += carried
    previous = atoms[-1]
    is_after_comma = previous.kind is TokenType.COMMA and len(atoms) > 1
    owner = atoms[-2] if is_after_comma and not atoms[-2].after else previous
    last = next((n for n, remark in enumerate(found) if remark.ends_line), -1)
    if found and found[0].begins_line:
        last = -1  # none of them stands on the line of what is before
    owner.after += [remark.text for remark in found[: last + 1]]
    inline: list[str] = []
    for remark in found[last + 1 :]:
        inline.append(remark.text)
        if remark.ends_line:
            atom.before += inline
            inline = []
    (previous.after if atom.kind is TokenType.COMMA else atom.inline).extend(inline)
    if is_after_comma and owner is previous:  # two comments do not fit on one line: the second goes below
        atom.before[:0], previous.after = previous.after, []
    return []


def _atom(source: Source, k: int, last: int) -> Atom:
    token = source.tokens[k]
    if token.text == "@" and last > k:
        name = source.tokens[k + 1].text.lower()
        is_clause = source.tokens[last].token_type is TokenType.R_PAREN and name in CLAUSE_MACROS
        kind = CLAUSE_MACROS[name] if is_clause else TokenType.UNKNOWN
        return Atom(source.slice(k, last + 1), kind, glued=False, word=False, macro=True)
    return Atom(source.slice(k, k + 1), token.token_type, glued=False, word=is_word(token))


def _macro_end(source: Source, k: int, j: int) -> int:
    """The last token of the macro that begins at `k`; `k` itself when none does."""
    tokens = source.tokens
    if tokens[k].text != "@" or k + 1 >= j or not source.adjacent(k):
        return k
    last = k + 1
    if tokens[last].token_type is TokenType.L_BRACE:
        last = source.match.get(last, last)
    elif not is_word(tokens[last]) and tokens[last].token_type is not TokenType.STRING:
        return k
    if source.adjacent(last) and last + 1 < j and tokens[last + 1].token_type is TokenType.L_PAREN:
        last = source.match.get(last + 1, last)
    return min(last, j - 1)


_OPENING = {
    TokenType.L_PAREN: TokenType.R_PAREN,
    TokenType.L_BRACKET: TokenType.R_BRACKET,
    TokenType.L_BRACE: TokenType.R_BRACE,
    TokenType.CASE: TokenType.END,
}
_CLOSING = frozenset(_OPENING.values())


def _match(atoms: list[Atom]) -> None:
    stack: list[int] = []
    for k, atom in enumerate(atoms):
        is_name = (k > 0 and atoms[k - 1].text == ".") or (k + 1 < len(atoms) and atoms[k + 1].text == ".")
        if atom.kind in _CLOSING and not (atom.kind is TokenType.END and (is_name or not _in_case(atoms, stack))):
            if not stack or _OPENING[atoms[stack[-1]].kind] is not atom.kind:
                raise ModelError(f"`{atom.text}` closes nothing")
            begin = stack.pop()
            atom.partner, atoms[begin].partner = begin, k
        atom.opener = stack[-1] if stack else -1
        if atom.kind in _OPENING and not (atom.kind is TokenType.CASE and is_name):
            stack.append(k)
    if stack:
        raise ModelError(f"`{atoms[stack[-1]].text}` is not closed")


def _in_case(atoms: list[Atom], stack: list[int]) -> bool:
    return bool(stack) and atoms[stack[-1]].kind is TokenType.CASE
