"""Expansion of macros: text in, the same text with every macro replaced out.

Macros are found in the stock token stream and replaced as text, before the one and only parse: what the author wrote
around them stays as written. An `Expander` holds the variables of one model under one gateway and remembers what was
read, which decides when the model must be rendered again.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping

from sqlglot import Token, TokenType

from isomesh_dagster.dialect.query import normalize_name
from isomesh_dagster.dialect.tokens import Source, is_word, tokenize
from isomesh_dagster.errors import IsomeshError, MacroError, ModelError
from isomesh_dagster.macros.call import Call, Lambda, unpack
from isomesh_dagster.macros.clauses import CLAUSES, clause_begin, clause_end, is_clause
from isomesh_dagster.macros.conditions import is_true
from isomesh_dagster.macros.evaluator import call_python
from isomesh_dagster.macros.library import LISTING, MACROS
from isomesh_dagster.macros.places import Edit, adapted, is_statement, nothing_hint, removal, spliced
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.macros.scope import MOST_NESTING, TEMPLATE, Scope
from isomesh_dagster.macros.signs import Signs
from isomesh_dagster.macros.templates import block_content, render_template
from isomesh_dagster.macros.values import Variable, identifier, literal
from isomesh_dagster.macros.variables import RANGE_VARIABLES, TIME_VARIABLES
from isomesh_dagster.macros.warehouse import ColumnsOf, Warehouse, no_columns
from isomesh_dagster.relation import KnownColumns


class Expander:
    """Expands the macros of one model's texts.

    `variables` are values by name, case-insensitive; `Fragment`s are SQL, which may itself hold macros. `model` is its
    name; `path` and `line` (of the text in its file; None if not known) are told in errors. `configured` are those that
    `@VAR` and `var()` know, None: all of them. `blueprint` are names of those variables that an entry of `blueprints`
    gives, `arguments` of those that a template may use as they are. `columns` tells the columns of relations, `macros`
    are the project's own; if `expected` are their digests by key, one with another digest is refused. `warehouse` is
    what macros may read, None where nothing is built. What `@DEF` defines lasts as long as the expander.

    `used_variables`, `used_macros` and `used_columns` fill with what the texts read, names in lower case: also in
    branches not taken, and also variables that are not defined (`@VAR('x', 1)`), since a change of any of them can
    change the result.
    """

    def __init__(
        self,
        dialect: str,
        variables: Mapping[str, Variable],
        *,
        model: str = "",
        path: str | None = None,
        line: int | None = 1,
        configured: Mapping[str, Variable] | None = None,
        blueprint: Collection[str] = (),
        arguments: Collection[str] = (),
        columns: ColumnsOf = no_columns,
        macros: ProjectMacros = NO_MACROS,
        expected: Mapping[str, str] | None = None,
        warehouse: Warehouse | None = None,
    ) -> None:
        self.dialect = dialect
        self.scope = Scope(dialect, variables, variables if configured is None else configured, self._expand_fragment)
        self.used_variables = self.scope.used
        self.used_macros: set[str] = set()
        self.used_facts = self.scope.facts
        self.used_columns: dict[str, KnownColumns] = {}
        self.blueprint = frozenset(blueprint)
        self.arguments = frozenset(arguments)
        self._functions: dict[str, Lambda] = {}
        self._signs = Signs(dialect, self.scope, macros.names, self._functions)
        self.warehouse = warehouse
        self._columns = columns
        self._macros = macros
        self._expected = expected
        self._nesting = 0
        self.model = model
        self._path = path
        self._line = line
        self._outer: Source | None = None
        self._outer_line = line

    # --- the way in

    def expand(self, text: str, line: int | None = None) -> str:
        """The text with all macros expanded; "" when nothing is left of it. Text without `@` comes back as it is.

        `line` is the text's line in its file, if it is not the expander's. Raises `MacroError`.
        """
        is_plain = "@" not in text and block_content(text) is None
        return text if is_plain else "; ".join(self.expand_statement(text, line))

    def expand_statement(self, text: str, line: int | None = None) -> list[str]:
        """As `expand`, for one statement: none if it vanishes, several if it is a macro that gives several."""
        template = block_content(text)
        if template is not None:
            return self._template(template, line)
        if "@" not in text:
            return [text]
        outer = (self._outer, self._outer_line)
        try:
            source = tokenize(text, self.dialect)
            self._outer, self._outer_line = source, self._line if line is None else line
            count = len(source.tokens)
            whole = self._whole(source, 0, count) if count else None
            if whole is not None:
                return whole
            result = spliced(text, self._edits(source, 0, count), 0, len(text))
            result = result.strip()
            return [result] if result else []
        except ModelError as error:
            raise error.located(path=self._path) from None
        finally:
            self._outer, self._outer_line = outer

    def _template(self, template: str, line: int | None) -> list[str]:
        """The statements that a template gives, with the macros in them expanded."""
        first = None if line is None else line + 1  # the template begins after the line of its marker
        try:
            text = render_template(template, self, self._macros)
        except ModelError as error:
            if error.line is not None and error.path is None:
                error.line = None if first is None else first + error.line - 1
            raise error.located(path=self._path, line=first) from None
        source = tokenize(text, self.dialect)
        parts = source.split(0, len(source.tokens), TokenType.SEMICOLON)
        if len(parts) == 1 and "@" not in text:
            return [text.strip().rstrip(";").rstrip()]
        return [piece for i, j in parts if j > i for piece in self.expand_statement(source.slice(i, j), line)]

    def expand_name(self, text: str, line: int | None = None) -> str:
        """A model's name or another identifier, expanded: string values stand for the names they hold."""
        if "@" not in text:
            return text
        expanded = self.expand(text, line)
        tokens = tokenize(expanded, self.dialect).tokens
        strings = [(t.start, t.end + 1, t.text) for t in tokens if t.token_type is TokenType.STRING]
        return spliced(expanded, strings, 0, len(expanded))

    # --- for calls

    def error(self, message: str, source: Source, k: int, hint: str | None = None) -> MacroError:
        """An error at token `k`; without a place if `source` is not the text being expanded but made on the way."""
        error = MacroError(message, hint=hint)
        self._locate(error, source, k)
        return error

    def items(self, source: Source, i: int, j: int) -> list[str]:
        """The expressions that tokens `[i, j)` stand for: none, one, or those of a macro that gives several."""
        whole = self._whole(source, i, j)
        if whole is not None:
            return whole
        begin, end = source.tokens[i].start, source.tokens[j - 1].end + 1
        text = spliced(source.text, self._edits(source, i, j), begin, end).strip()
        return [text] if text else []

    def collection(self, source: Source, i: int, j: int) -> list[str]:
        """The items of the list that tokens `[i, j)` are; what is no list is its only item."""
        tokens = source.tokens
        opening = i + 1 if tokens[i].text.upper() == "ARRAY" and i + 1 < j else i
        is_open = tokens[opening].token_type in (TokenType.L_PAREN, TokenType.L_BRACKET)
        if is_open and source.match.get(opening) == j - 1:
            return [item for part in source.split(opening + 1, j - 1) for item in self.items(source, *part)]
        items = self.items(source, i, j)
        if len(items) != 1 or (tokens[i].text == "@" and tokens[i + 1].text.lower() in LISTING):
            return items
        unpacked = unpack(items[0], self.dialect)
        return items if unpacked is None else unpacked

    def apply(self, function: Lambda, arguments: list[str], call: Call) -> list[str]:
        """What a function gives for these arguments."""
        if len(arguments) == 1 and len(function.parameters) > 1:
            arguments = unpack(arguments[0], self.dialect) or arguments
        if len(arguments) < len(function.parameters):
            raise call.error(
                f"@{call.name}'s function takes {len(function.parameters)} values, got {len(arguments)}",
                "give as many values as it has parameters",
            )
        with self.scope.parameters(dict(zip(function.parameters, arguments, strict=False))):
            return self.items(function.source, function.i, function.j)

    def define(self, name: str, value: list[str] | Lambda) -> None:
        """What `@DEF` does; several values are a list."""
        if isinstance(value, Lambda):
            self._functions[name] = value
        else:
            self.scope.define(name, value[0] if len(value) == 1 else f"({', '.join(value)})")

    def pieces(self, text: str) -> list[str]:
        """What a macro gave, with the macros in it expanded."""
        if "@" not in text:
            return [text] if text.strip() else []
        self._nesting += 1
        try:
            if self._nesting > MOST_NESTING:
                raise MacroError("a macro gives itself without end")
            source = tokenize(text, self.dialect)
            return self.items(source, 0, len(source.tokens))
        finally:
            self._nesting -= 1

    def check_macro(self, key: str, name: str) -> None:
        """Notes that a macro of the project is called. Raises MacroError when it is not the one that was planned."""
        self.scope.note_fact(key)
        if self._expected is not None and self._expected.get(key) != self._macros.digests[key]:
            raise MacroError(
                f"macro {name} is not what it was when the model was planned",
                hint="plan again, or run from the commit that was planned",
            )

    def lost_macro(self, name: str) -> MacroError | None:
        """The error for a macro that was there when the model was planned; None for a name that never was one."""
        keys = (f"macro {name}", f"metadata macro {name}", f"jinja {name}")
        if self._expected is None or not any(key in self._expected for key in keys):
            return None
        return MacroError(
            f"macro {name} was there when the model was planned, and is gone",
            hint="run where the project's macros/ are as planned, or plan again",
        )

    def columns_of(self, relation: str) -> KnownColumns:
        """The columns of a relation, its name as written. Raises `MacroError` when they are not known."""
        name = normalize_name(relation, self.dialect)
        self.scope.note_fact(f"columns {name}")
        found = self._columns(name)
        self.used_columns[name] = found
        return found

    def note(self, source: Source, i: int, j: int) -> None:
        """Records what tokens `[i, j)` read without expanding them: they are in a branch that is not taken now.

        Raises `MacroError` for a variable that is not defined there either.
        """
        tokens = source.tokens
        local = self.scope.local_names()
        for k in range(i, j):
            if tokens[k].text == "->":
                opening = source.match.get(k - 1, k - 1)
                local.update(token.text.lower() for token in tokens[opening:k])
        for k in range(i, j):
            token = tokens[k]
            if "@" in token.text and token.token_type in (TokenType.STRING, TokenType.IDENTIFIER):
                names = {(found[1] or found[2]).lower() for found in TEMPLATE.finditer(token.text)}
                is_template = token.token_type is TokenType.IDENTIFIER or (k > 0 and tokens[k - 1].text == "@")
                for name in names - local if is_template else ():
                    self.scope.note(name)
            elif self._signs.is_macro(source, k) and tokens[k + 1].token_type is not TokenType.STRING:
                self._note_macro(source, k, local)

    def _note_macro(self, source: Source, k: int, local: set[str]) -> None:
        tokens = source.tokens
        at = k + 2 if tokens[k + 1].token_type is TokenType.L_BRACE else k + 1
        name = tokens[at].text.lower()
        if self._signs.opening(source, k) is not None or is_clause(source, k):
            if name not in self._functions:
                self.used_macros.add(name)
            if name in self._macros.names:
                self.scope.note_fact(self._macros.key(name))
            if name in ("var", "blueprint_var"):
                self.scope.note(tokens[at + 2].text.lower())
            elif name == "def":
                local.add(tokens[at + 2].text.lower())
        elif name not in local:
            self.scope.note(name)
            if name not in self.scope.variables and name not in TIME_VARIABLES:
                raise self._undefined(tokens[at].text, source, k)

    # --- ranges of tokens

    def _expand_fragment(self, text: str) -> str:
        source = tokenize(text, self.dialect)
        return ", ".join(self.items(source, 0, len(source.tokens)))

    def _whole(self, source: Source, i: int, j: int) -> list[str] | None:
        """The items of the one macro (or parameter) that tokens `[i, j)` are; None if they are something else."""
        if not self._signs.is_macro(source, i):
            parameter = self._parameter(source.tokens[i]) if j == i + 1 else None
            return None if parameter is None else [parameter]
        if is_clause(source, i) or self._signs.is_run(source, i, j):
            return None
        opening = self._signs.opening(source, i)
        end = source.match.get(opening, j - 1) + 1 if opening is not None else i + 2
        return self._reference(source, i)[1] if end == j else None

    def _edits(self, source: Source, i: int, j: int) -> list[Edit]:
        """Replacements of the macros in tokens `[i, j)`, in order and apart: offsets, and the new text."""
        tokens = source.tokens
        edits: list[Edit] = []
        gone: dict[int, int] = {}
        done = i
        # inside a function any word may be a parameter
        for k in range(i, j) if self.scope.in_function else source.holding("@", i, j):
            if k < done:
                continue
            token = tokens[k]
            if not self._signs.is_macro(source, k):
                replaced = self._plain(source, k)
                if replaced is not None:
                    edits.append((token.start, token.end + 1, replaced))
            elif is_clause(source, k):
                edit, done = self._clause(source, k, done, j)
                edits.append(edit)
            elif (k > done and self._signs.is_prefix(source, k - 1)) or self._signs.is_run(source, k, j):
                begin = k - 1 if k > done and self._signs.is_prefix(source, k - 1) else k
                done, name = self._run(source, begin, j)
                edits.append((tokens[begin].start, tokens[done - 1].end + 1, name))
            else:
                done, items = self._reference(source, k)
                if items:
                    text = ("; " if is_statement(source, k, done) else ", ").join(items)
                    start = token.end if len(token.text) > 1 else token.start  # the `<` of `<@x` stays
                    edits.append((start, tokens[done - 1].end + 1, adapted(source, k, done, text, self.dialect)))
                    continue
                is_misplaced = tokens[k + 1].text.lower() == "def" and not is_statement(source, k, done)
                cut = None if is_misplaced else removal(source, i, j, k, done, gone)
                if cut is None:
                    hint = nothing_hint(source, k, done)
                    raise self.error(
                        f"@{tokens[k + 1].text} gives nothing, but something must stand here", source, k, hint
                    )
                span, done = cut
                edits.append((*span, ""))
        return edits

    def _plain(self, source: Source, k: int) -> str | None:
        """What replaces a token that is no macro: a quoted name with variables in it, a function's bare parameter."""
        token, tokens = source.tokens[k], source.tokens
        if "@" in token.text and token.token_type is TokenType.IDENTIFIER:
            name = self.scope.template(token.text)
            return None if name == token.text else identifier(name, self.dialect, quoted=True)
        text = self._parameter(token)
        if text is None or (k > 0 and tokens[k - 1].token_type is TokenType.DOT):
            return None
        if k + 1 < len(tokens):
            after = tokens[k + 1]
            touching = source.adjacent(k) and (after.token_type is TokenType.L_PAREN or after.text == "@")
            if touching or after.token_type is TokenType.COLON_EQ:
                return None
        return adapted(source, k, k + 1, text, self.dialect)

    def _parameter(self, token: Token) -> str | None:
        """What a bare word stands for inside a function."""
        if not self.scope.in_function or not (token.token_type is TokenType.IDENTIFIER or is_word(token)):
            return None
        return self.scope.parameter(token.text.lower())

    # --- one macro

    def _reference(self, source: Source, k: int) -> tuple[int, list[str]]:
        """The token after the macro at `k`, and the expressions it stands for."""
        token = source.tokens[k + 1]
        try:
            if token.token_type is TokenType.STRING:
                return k + 2, [literal(self.scope.template(token.text), self.dialect)]
            opening = self._signs.opening(source, k)
            if opening is not None:
                return self._call(source, k, opening)
            value = self.scope.find(token.text.lower())
        except ModelError as error:
            raise self._locate(error, source, k) from None
        if value is None:
            raise self._undefined(token.text, source, k)
        return k + 2, [value]

    def _call(self, source: Source, k: int, opening: int) -> tuple[int, list[str]]:
        name = source.tokens[k + 1].text
        lower = name.lower()
        if opening not in source.match:
            raise self.error(f"@{name}( is not closed", source, k, "add `)`")
        function, macro = self._functions.get(lower), MACROS.get(lower)
        if function is None:
            self.used_macros.add(lower)
        if function is None and macro is None and lower not in self._macros.names:
            raise self._unknown_macro(name, source, k)
        call = Call(self, source, name, k, opening)
        if function is not None:
            call.allow(())
            with self.scope.call(source.slice(k, call.closing + 1)):
                arguments = [item for position in range(call.count) for item in call.items(position)]
                return call.closing + 1, self.apply(function, arguments, call)
        if macro is None:
            with self.scope.call(source.slice(k, call.closing + 1)):
                return call.closing + 1, self._python(lower, call)
        call.take_by_name(macro.names)
        if macro.most is not None:
            call.take_by_position(macro.options, macro.most)
        call.allow(macro.options)
        if call.count < macro.least or (macro.most is not None and call.count > macro.most):
            raise call.error(f"@{name} takes {macro.arity} arguments, got {call.count}")
        with self.scope.call(source.slice(k, call.closing + 1)):
            return call.closing + 1, macro.function(call)

    def _python(self, name: str, call: Call) -> list[str]:
        """What a macro of the project gives."""
        self.check_macro(self._macros.key(name), call.name)
        return call_python(self, call, self._macros.python(name))

    def _clause(self, source: Source, k: int, first: int, j: int) -> tuple[Edit, int]:
        """The replacement of a clause macro at `k`, and the token after it."""
        tokens = source.tokens
        name = tokens[k + 1].text.lower()
        closing = source.match.get(k + 2)
        if closing is None or closing == k + 3:
            raise self.error(
                f"@{tokens[k + 1].text} needs a condition", source, k, f"write `@{tokens[k + 1].text}(…) …`"
            )
        self.used_macros.add(name)
        end = clause_end(source, name, closing + 1, j)
        with self.scope.call(source.slice(k, end)):
            try:
                holds = is_true(", ".join(self.items(source, k + 3, closing)), self.dialect)
            except ModelError as error:
                raise self._locate(error, source, k) from None
            if holds:
                return (tokens[k].start, tokens[closing].end + 1, CLAUSES[name]), closing + 1
            self.note(source, closing + 1, end)
        stop = tokens[end].start if end < j else tokens[end - 1].end + 1
        return (tokens[clause_begin(source, name, k, first)].start, stop, ""), end

    # --- names with variables in them

    def _run(self, source: Source, first: int, j: int) -> tuple[int, str]:
        """The token after the name written from token `first` on, and the name."""
        tokens = source.tokens
        parts: list[str] = []
        k = first
        while k < j and (k == first or source.adjacent(k - 1)):
            token = tokens[k]
            if (
                token.text == "@"
                and self._signs.is_macro(source, k)
                and tokens[k + 1].token_type is not TokenType.STRING
            ):
                at = k + 1
                if tokens[at].token_type is TokenType.L_BRACE:
                    if source.match.get(at) != at + 2 or not is_word(tokens[at + 1]):
                        raise self.error("`@{…}` takes the name of one variable", source, k, "write `@{name}`")
                    at += 1
                parts.append(self._name(tokens[at].text, source, k))
                k = at + 1 if at == k + 1 else at + 2
            elif is_word(token) or (token.token_type is TokenType.NUMBER and k > first):
                parts.append(source.slice(k, k + 1))
                k += 1
            else:
                break
        return k, identifier("".join(parts), self.dialect)

    def _name(self, name: str, source: Source, k: int) -> str:
        try:
            found = self.scope.find_name(name.lower())
        except ModelError as error:
            raise self._locate(error, source, k) from None
        if found is None:
            raise self._undefined(name, source, k)
        return found

    # --- errors

    def _locate(self, error: ModelError, source: Source, k: int) -> IsomeshError:
        """Fills in the place of token `k`, if it is known and the error has none."""
        if source is not self._outer or self._outer_line is None:
            return error
        line, column = source.line_column(source.tokens[k].start)
        return error.located(path=self._path, line=self._outer_line + line - 1, column=column)

    def _undefined(self, name: str, source: Source, k: int) -> MacroError:
        lower = name.lower()
        if lower in RANGE_VARIABLES:
            message = f"the query of kind FULL or VIEW has no range, so there is no @{lower}"
            hint = f"use @execution_{lower.split('_', 1)[1]}"
        elif lower[:1] == "v" and lower[1:].isdigit() and self.dialect in ("databricks", "spark"):
            message, hint = f"`@{name}` names no version of a table", f"write `VERSION AS OF {lower[1:]}` behind it"
        elif lower in MACROS or lower in CLAUSES:
            message, hint = f"@{name} is a macro and needs its arguments", f"write `@{name}(…)`"
        else:
            names = {*self.scope.variables, *self.scope.local_names(), *TIME_VARIABLES}
            near = difflib.get_close_matches(lower, sorted(names), n=1)
            message = f"variable @{name} is not defined"
            hint = (
                f"did you mean @{near[0]}?"
                if near
                else "define it under `variables` in the configuration, or with @DEF"
            )
        return self.error(message, source, k, hint)

    def _unknown_macro(self, name: str, source: Source, k: int) -> ModelError:
        lower = name.lower()
        lost = self.lost_macro(lower)
        if lost is not None:
            self._locate(lost, source, k)
            return lost
        names = [*MACROS, *CLAUSES, *self._functions, *self._macros.names]
        near = difflib.get_close_matches(lower, names, n=1)
        hint = f"did you mean @{near[0].upper()}?" if near else "define it with @DEF before the query, or in macros/"
        return self.error(f"there is no macro @{name}", source, k, hint)
