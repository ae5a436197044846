"""What the author wrote: one model, as a value.

A `Model` holds text, never a parsed tree: text can be hashed, stored, compared and read by people. It holds everything
needed to build it later without the project's files (the state stores it so that `run` works from state).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from isomesh_dagster.model.kinds import ModelKind, forward_only_by_default
from isomesh_dagster.relation import Column, KnownColumns, Reference

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

SESSION_LABELS = frozenset({"query_label", "query_tag", "query_tags", "authorization"})
"""Session properties that name a query in the logs of a warehouse; they are no settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditCall:
    """An audit as a model uses it: `name(arg := value, …)`.

    `query` is the audit's query as written, macros unexpanded (`@this_model`, its arguments); it returns the bad rows.
    `arguments` are SQL texts by lower-case name, defaults already merged. `dialect` is that of `query`.
    """

    name: str
    query: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    blocking: bool = True
    dialect: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PythonFunction:
    """The function that makes the rows of a Python model; it is in the model's file.

    `digest` is that of its code and all it reaches in the project: other code is refused when the model is built.
    `source` is its text, for people only: nothing that was kept is ever run. `reads` are the variables it asks for:
    `var x`, `blueprint_var x`.
    """

    name: str
    digest: str
    source: str = ""
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalCall:
    """One use of a signal: its name in lower case, SQL texts by lower-case argument name, in which macros are expanded
    when it is asked, the digest of its code ("" for one of the model format), and the variables that this asks for.
    """

    name: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    code: str = ""
    reads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model of the project under one gateway.

    Text fields are as written (macros unexpanded) except `rendered`, which is the query after macro expansion with the
    load-time placeholders (1970-01-01, stage `loading`): the text that is fingerprinted, compared and analysed.

    name            normalised `schema.table`, or `catalog.schema.table` when the catalog is not the gateway's default
    path, line      file relative to the project root (posix), line of the MODEL header from 1
    dialect         of all text fields
    query           the query as written; "" for SEED and EXTERNAL, and for Python models
    rendered        the query rendered at load; "" when there is none
    references      tables mentioned in `rendered`, in order
    is_dynamic      whether rendering reads a time variable, the runtime stage or `@this_model`, so that it must be
                    rendered again for every execution; when False `rendered` and `references` are all it needs
    output          names of the output columns when the rendered query alone tells them, else None
    has_star        whether the rendered query has a star that a change of a parent's columns would change
    depends_on      normalised names of all models and external tables that the query and the pre- and post-statements
                    read, sorted, itself excluded
    audit_reads     those that only its audits read, sorted: built before it, and no matter for its rows
    columns         explicit `columns (...)`, in order; None when the author gave none
    pre_statements, post_statements, on_virtual_update   statements as written, `@DEF`s included, in order
    variables       the configuration's variables this model reads, by lower-case name (gateway overrides applied);
                    `gateway` is always there
    blueprint       those of its entry of `blueprints` that it reads, SQL texts by lower-case name; they hide
                    `variables`
    macros          digests of the project's own macros that rendering again will call, by key (`macros/project.py`); it
                    is refused when they are not what they were
    hidden          variables, macros of the project and relations (`columns x`) that decide over rows together with the
                    moment: what was rendered at load need not show a change of them
    schemas         columns of relations that macros asked for, by normalised name, kept for rendering again
    signals         what must be ready before an interval is built, in the order asked
    python          the function that makes its rows; None for a model with a query, a seed, an external table
    column_comments comments behind the columns of the query, by normalised name; like all comments, no part of a
                    fingerprint. `column_descriptions` win over them
    start, end      dates as written ("2020-01-01", "1 week ago"); `end` inclusive
    cron            five fields or @daily…; `cron_tz` an IANA name
    interval_unit   "year" … "five_minute", given or inferred from cron
    forward_only    whether its changes keep the table and its rows, as written; None: as its kind has it
    on_destructive_change, on_additive_change   what a change that keeps the table may do to its columns: ERROR, WARN,
                    ALLOW, or IGNORE, which leaves the table's columns as they are
    grants          who gets each privilege (lower case); None: not ours to say. `grants_target_layer` says on what:
                    "virtual" (the views), "physical" (the table) or "all"
    ignored_rules   lint rules that are not for this model, in lower case; "all" for all of them
    """

    name: str
    path: str
    line: int = 1
    dialect: str
    kind: ModelKind
    query: str = ""
    rendered: str = ""
    references: tuple[Reference, ...] = ()
    is_dynamic: bool = False
    output: tuple[str, ...] | None = None
    has_star: bool = False
    depends_on: tuple[str, ...] = ()
    audit_reads: tuple[str, ...] = ()
    columns: tuple[Column, ...] | None = None
    column_descriptions: Mapping[str, str] = field(default_factory=dict)
    column_comments: Mapping[str, str] = field(default_factory=dict)
    pre_statements: tuple[str, ...] = ()
    post_statements: tuple[str, ...] = ()
    on_virtual_update: tuple[str, ...] = ()
    audits: tuple[AuditCall, ...] = ()
    variables: Mapping[str, Json] = field(default_factory=dict)
    blueprint: Mapping[str, str] = field(default_factory=dict)
    macros: Mapping[str, str] = field(default_factory=dict)
    hidden: tuple[str, ...] = ()
    schemas: Mapping[str, KnownColumns] = field(default_factory=dict)
    signals: tuple[SignalCall, ...] = ()
    python: PythonFunction | None = None
    description: str | None = None
    owner: str | None = None
    tags: tuple[str, ...] = ()
    stamp: str | None = None
    cron: str = "@daily"
    cron_tz: str = "UTC"
    interval_unit: str = "day"
    start: str | None = None
    end: str | None = None
    grains: tuple[str, ...] = ()
    references_keys: tuple[str, ...] = ()
    partitioned_by: tuple[str, ...] = ()
    clustered_by: tuple[str, ...] = ()
    physical_properties: Mapping[str, str] = field(default_factory=dict)
    virtual_properties: Mapping[str, str] = field(default_factory=dict)
    session_properties: Mapping[str, str] = field(default_factory=dict)
    table_format: str | None = None
    storage_format: str | None = None
    allow_partials: bool = False
    optimize_query: bool | None = None
    physical_schema: str = ""
    project: str = ""
    forward_only: bool | None = None
    on_destructive_change: str = "ERROR"
    on_additive_change: str = "ALLOW"
    ignored_rules: tuple[str, ...] = ()
    grants: Mapping[str, tuple[str, ...]] | None = None
    grants_target_layer: str = "virtual"

    @property
    def is_forward_only(self) -> bool:
        """Whether its changes keep the table and the rows in it."""
        return forward_only_by_default(self.kind) if self.forward_only is None else self.forward_only

    @property
    def reads_itself(self) -> bool:
        """Whether the query reads the model's own table, as earlier batches left it."""
        return any(reference.name == self.name for reference in self.references)

    @property
    def may_read_itself(self) -> bool:
        """Whether the query reads the model's own table, by its name or as `@this_model`."""
        return self.reads_itself or self.name in self.depends_on or "this_model" in self.query.lower()

    @property
    def schema(self) -> str:
        """The schema part of the name."""
        parts = self.name.split(".")
        return parts[-2] if len(parts) > 1 else "default"

    @property
    def described_columns(self) -> Mapping[str, str]:
        """Descriptions of columns by normalised name: those of the header, else the comments of the query."""
        return {**self.column_comments, **self.column_descriptions}

    @property
    def table(self) -> str:
        """The last part of the name."""
        return self.name.rsplit(".", 1)[-1]
