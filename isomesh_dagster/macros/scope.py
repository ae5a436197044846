"""What the names in a model's text stand for while it is expanded, and which of them were read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from isomesh_dagster.errors import MacroError
from isomesh_dagster.macros.values import Fragment, Variable, to_name, to_sql
from isomesh_dagster.macros.variables import RUNTIME_VARIABLES

TEMPLATE = re.compile(r"@(?:\{(\w+)\}|([A-Za-z_]\w*))")
"""A variable inside a string or a name: `@{x}` or `@x`."""

MOST_NESTING = 50
"""How deep functions may call each other before it is taken for a call without end."""


class Scope:
    """Values by lower-case name: parameters of the functions being applied hide what `@DEF` defined, which hides the
    variables of the model.

    `used` fills with the names of the model's variables that were asked for, defined or not, `facts` with keys of
    macros of the project and of relations. `hidden` fills with what
    was read in a macro call that also read something that differs at execution (a time variable, the stage): the text
    rendered for one moment need not show a change of these; nor one of the calls themselves, whose texts `decisions`
    lists.
    """

    def __init__(
        self,
        dialect: str,
        variables: Mapping[str, Variable],
        configured: Mapping[str, Variable],
        expand: Callable[[str], str],
    ) -> None:
        self.dialect = dialect
        self.used: set[str] = set()
        self.facts: set[str] = set()
        self.hidden: set[str] = set()
        self.decisions: list[str] = []
        self.variables: dict[str, Variable] = {name.lower(): value for name, value in variables.items()}
        self.configured: dict[str, Variable] = {name.lower(): value for name, value in configured.items()}
        self.definitions: dict[str, str] = {}
        self._parameters: list[dict[str, str]] = []
        self._expand = expand
        self._expanding: list[str] = []
        self._read_by: dict[str, set[str]] = {}
        self._readers: list[set[str]] = []
        self._in_call = False
        self._left: frozenset[str] = frozenset()

    # --- what is read

    def note(self, name: str) -> None:
        """A variable of the model was read."""
        self.used.add(name)
        self._tell(name)

    def note_fact(self, key: str) -> None:
        """Something that is no variable was read: the source of a macro, the columns of a relation."""
        self.facts.add(key)
        self._tell(key)

    def _tell(self, key: str) -> None:
        for reader in self._readers:
            reader.add(key)

    @contextmanager
    def reading(self) -> Iterator[set[str]]:
        """A set that fills with all that is read meanwhile, also through what was defined earlier."""
        names: set[str] = set()
        self._readers.append(names)
        try:
            yield names
        finally:
            self._readers.pop()

    @contextmanager
    def call(self, text: str) -> Iterator[None]:
        """While a macro is called, as `text` does. What the outermost call reads decides together what it gives."""
        if self._in_call:
            yield
            return
        self._in_call = True
        try:
            with self.reading() as names:
                yield
        finally:
            self._in_call = False
            if not RUNTIME_VARIABLES.isdisjoint(names):
                self.hidden |= names - RUNTIME_VARIABLES
                self.decisions.append(text)

    # --- names

    @contextmanager
    def leaving(self, names: frozenset[str]) -> Iterator[None]:
        """While variables of these names stay as they are written, to be expanded when they have a value."""
        outer, self._left = self._left, names
        try:
            yield
        finally:
            self._left = outer

    @contextmanager
    def without(self, names: frozenset[str]) -> Iterator[None]:
        """While variables of these names do not exist."""
        kept = {name: self.variables.pop(name) for name in names & self.variables.keys()}
        try:
            yield
        finally:
            self.variables.update(kept)

    @contextmanager
    def parameters(self, values: dict[str, str]) -> Iterator[None]:
        """The values of a function's parameters, while it is applied."""
        if len(self._parameters) >= MOST_NESTING:
            raise MacroError("a function calls itself without end")
        self._parameters.append(values)
        try:
            yield
        finally:
            self._parameters.pop()

    @property
    def in_function(self) -> bool:
        """Whether a function is being applied."""
        return bool(self._parameters)

    def parameter(self, name: str) -> str | None:
        """What a parameter stands for."""
        return next((values[name] for values in reversed(self._parameters) if name in values), None)

    def local_names(self) -> set[str]:
        """All parameters and definitions."""
        return set(self.definitions).union(*self._parameters)

    def knows(self, name: str) -> bool:
        """Whether the name has a value."""
        return name in self.variables or name in self.definitions or self.parameter(name) is not None

    def define(self, name: str, text: str) -> None:
        """What `@DEF` does. Whoever reads the name reads what is being read now."""
        self.definitions[name] = text
        self._read_by[name] = set(self._readers[-1]) if self._readers else set()

    def find(self, name: str) -> str | None:
        """The SQL a name stands for; None if it is not defined."""
        local = self._local(name)
        if local is not None:
            return local
        self.note(name)
        if name in self._left:
            return f"@{name}"
        return to_sql(self._value(name), self.dialect) if name in self.variables else None

    def find_name(self, name: str) -> str | None:
        """The bare text of a name's value, for identifiers and templates; None if it is not defined."""
        local = self._local(name)
        if local is not None:
            return to_name(Fragment(local), self.dialect)
        self.note(name)
        if name in self._left:
            raise MacroError(
                f"@{name} cannot stand inside a name or a text here", hint="its value is only known when it runs"
            )
        return to_name(self._value(name), self.dialect) if name in self.variables else None

    def find_value(self, name: str) -> Variable:
        """The value of a name as data, or as a `Fragment`. KeyError if it is not defined."""
        local = self._local(name)
        if local is not None:
            return Fragment(local)
        self.note(name)
        return self._value(name)

    def configured_value(self, name: str) -> Variable:
        """The value that the configuration gives, whatever hides it. KeyError if there is none."""
        self.note(name)
        return self.configured[name]

    def given_value(self, name: str) -> Variable:
        """The value given from outside, whatever a definition of that name says. KeyError if there is none."""
        self.note(name)
        return self._value(name)

    def template(self, text: str) -> str:
        """The text with `@x` and `@{x}` replaced by bare values; what is not defined stays."""

        def replace(found: re.Match[str]) -> str:
            name = self.find_name((found[1] or found[2]).lower())
            return found[0] if name is None else name

        return TEMPLATE.sub(replace, text)

    def _local(self, name: str) -> str | None:
        value = self.parameter(name) if self._parameters else None
        if value is not None:
            return value
        value = self.definitions.get(name)
        if value is not None:
            for key in self._read_by[name]:
                self._tell(key)
        return value

    def _value(self, name: str) -> Variable:
        """A given variable; macros inside a fragment are expanded when it is first read."""
        value = self.variables[name]
        if isinstance(value, Fragment) and "@" in value and name not in self._read_by:
            if name in self._expanding:
                raise MacroError(f"variable @{name} is defined by itself", hint=" → ".join([*self._expanding, name]))
            self._expanding.append(name)
            try:
                with self.reading() as names:
                    value = self.variables[name] = Fragment(self._expand(value))
            finally:
                self._expanding.pop()
            self._read_by[name] = names
        else:
            for key in self._read_by.get(name, ()):
                self._tell(key)
        return value
