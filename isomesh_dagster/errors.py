"""Every error a person can meet, as one tree.

IsomeshError                 something to mend, told with place and remedy
├── ConfigError              config.yaml, environment variables, gateways
├── ModelError               a model file: header, query, properties
│   ├── MacroError           a macro call inside it
│   │   └── UnknownColumnsError  it asks for columns that nobody knows
│   └── UnsupportedError     valid in the model format, not supported here (yet)
├── GraphError               cycles, unknown or duplicate models
│   └── SelectionError       a selection of models that is not understood, or names none that is there
├── GitError                 git is not there, does not know a branch, or a commit is refused
│   └── RemoteError          the remote did not answer
├── InvalidName              an environment, gateway or model name that breaks the rule
├── PlanError                a plan that cannot be made or applied
│   ├── ConflictingPlanError the environment moved since the plan was made
│   └── UndecidedError       changes that are left to people, and nobody chose
├── LintError                a lint rule that is an error is broken
├── AuditError               a blocking audit failed
├── EngineError              the warehouse refused
│   ├── LockedError          another process holds the warehouse
│   └── WriteConflict        another transaction was first
└── StateError               the state store
    └── SystemMismatch       state or warehouse belong to another gateway

The command line turns an `IsomeshError` into one readable message and an exit code; anything else is a bug and keeps
its traceback. What is hidden (`hide`) is in no error, whatever it quotes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_hidden: dict[str, None] = {}
"""Texts that no error of this process tells, the longest first."""
_SHORTEST_SECRET = 6


def hide(secrets: Iterable[str], told: Iterable[str] = ()) -> None:
    """From now on errors show stars in place of these texts, also where they are part of an address or of SQL.

    A text that is short, or that is told anyway (one of `told`, such as a user's name), stays: its stars would hide
    what is wrong and keep no secret.
    """
    from urllib.parse import quote, quote_plus

    known = {text.lower() for text in told}
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET and secret.lower() not in known:
            forms = (secret, quote(secret, safe=""), quote(secret), quote_plus(secret), secret.replace("'", "''"))
            _hidden.update(dict.fromkeys((*forms, repr(secret)[1:-1])))
    longest_first = dict.fromkeys(sorted(_hidden, key=len, reverse=True))
    _hidden.clear()
    _hidden.update(longest_first)


def without_secrets(text: str) -> str:
    """The text with stars in place of everything that is hidden."""
    for secret in tuple(_hidden):
        text = text.replace(secret, "***")
    return text


class IsomeshError(Exception):
    """Something a person can mend.

    `message` says what is wrong, `hint` how to mend it. `path` (relative to the project), `line` and `column` (both
    from 1) and `model` say where; each is None when it does not apply.
    """

    def __init__(
        self,
        message: str,
        *,
        path: str | None = None,
        line: int | None = None,
        column: int | None = None,
        model: str | None = None,
        hint: str | None = None,
    ) -> None:
        message = without_secrets(message)
        super().__init__(message)
        self.message = message
        self.path = path
        self.line = line
        self.column = column
        self.model = model
        self.hint = without_secrets(hint) if hint is not None else None

    @property
    def place(self) -> str | None:
        """`path:line:column` as far as it is known, the form editors and terminals make clickable."""
        if self.path is None:
            return None
        return ":".join(str(part) for part in (self.path, self.line, self.column) if part is not None)

    def located(
        self, *, path: str | None = None, line: int | None = None, column: int | None = None, model: str | None = None
    ) -> IsomeshError:
        """Fill in what was not known where the error was raised; keeps what was. Returns itself, to be raised again."""
        self.path = self.path if self.path is not None else path
        if self.line is None:
            self.line, self.column = line, column
        self.model = self.model if self.model is not None else model
        return self

    def __str__(self) -> str:
        where = self.place or ""
        if self.model is not None:
            where = f"{where} ({self.model})" if where else self.model
        text = f"{where}: {self.message}" if where else self.message
        return f"{text}\n  hint: {self.hint}" if self.hint else text


class ConfigError(IsomeshError):
    """config.yaml, an overlay or an environment variable is wrong."""


class ModelError(IsomeshError):
    """A model file is wrong: its header, a property or its query."""


class MacroError(ModelError):
    """A macro call or variable in a model file is wrong."""


class UnknownColumnsError(MacroError):
    """A macro asks for columns that nobody knows. `tables` are those whose declaration may mend it."""

    def __init__(self, message: str, *, tables: frozenset[str], hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.tables = tables


class UnsupportedError(ModelError):
    """The model format knows it, this version does not; never skipped silently."""


class GraphError(IsomeshError):
    """The models do not form a graph: a cycle, a duplicate, an unknown name."""


class SelectionError(GraphError):
    """A selection of models is not understood or names what is not there; `column` is the place in it, from 1."""


class GitError(IsomeshError):
    """git cannot answer: it is not installed, the project is in no repository, a branch is not known; or a commit has
    what no project may have.
    """


class RemoteError(GitError):
    """A remote did not answer, or not as it should; asking again may help."""


class InvalidName(IsomeshError):
    """A name breaks the rule for its kind; names are refused, never silently changed."""


class PlanError(IsomeshError):
    """A plan cannot be made or applied; nothing was changed."""


class ConflictingPlanError(PlanError):
    """The environment moved since the plan was made; plan again."""


class UndecidedError(PlanError):
    """Changes that the configuration leaves to people, and nobody chose. `reasons` by model: what the rules say of it,
    and would choose.
    """

    def __init__(self, message: str, *, reasons: Mapping[str, tuple[str, str]], hint: str) -> None:
        super().__init__(message, hint=hint)
        self.reasons = dict(reasons)


class LintError(IsomeshError):
    """A model breaks a lint rule that the configuration made an error; no plan was made."""


class AuditError(IsomeshError):
    """A blocking audit returned rows; what it audited was rolled back."""


class EngineError(IsomeshError):
    """The warehouse refused a statement.

    `statement` is its text, None when it is not known; `spot` where in it the engine points, from and to (exclusive) in
    characters. Neither is told to people: names in the text are not those they wrote. `is_syntax`: the engine's parser
    refused the text, nothing of it ran.
    """

    statement: str | None = None
    spot: tuple[int, int] | None = None
    is_syntax: bool = False


class LockedError(EngineError):
    """Another process holds the warehouse and did not let go in time."""


class WriteConflict(EngineError):
    """Another transaction changed the same thing first; nothing was written, and trying again is right."""


class StateError(IsomeshError):
    """The state store cannot be read or written."""


class SystemMismatch(StateError):
    """The state or the warehouse belongs to another gateway or project; nothing was written."""
