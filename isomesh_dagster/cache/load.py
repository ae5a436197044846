"""All files of a project as models, from the cache where a file means what it meant before.

Walks `models/`, `audits/`, `external_models.yaml`, `external_models/` and the seeds that models name.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from isomesh_dagster.cache.awaiting import Awaiting, AwaitingFiles
from isomesh_dagster.cache.columns import ColumnInference
from isomesh_dagster.cache.facts import (
    FileFacts,
    Surroundings,
    code_digest,
    digest,
    facts_to_text,
    file_key,
    first_valid,
)
from isomesh_dagster.cache.ignored import ignored
from isomesh_dagster.cache.macro_files import load_macros
from isomesh_dagster.cache.standalone import place_external, place_standalone
from isomesh_dagster.cache.store import CACHE_PATH, FactStore
from isomesh_dagster.config.settings import Settings
from isomesh_dagster.errors import GraphError, IsomeshError, ModelError, UnknownColumnsError
from isomesh_dagster.macros.project import NO_MACROS, ProjectMacros
from isomesh_dagster.model.audits import AuditDefinition
from isomesh_dagster.model.context import ParseContext, Reads
from isomesh_dagster.model.kinds import External
from isomesh_dagster.model.model import Model
from isomesh_dagster.model.names import check_model_names
from isomesh_dagster.relation import KnownColumns
from isomesh_dagster.snapshot.fingerprint import OwnFingerprint

MAX_ERRORS = 20  # told at once; more would scroll the first ones away
_KEPT_PER_FILE = 20  # rows: gateways, branches and edits side by side

Columns = Mapping[str, KnownColumns | None]
Facts = TypeVar("Facts")

Progress = Callable[[int, int], None]
"""Called with how many files are done, of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedFiles:
    """A project's models and what they were made of.

    models   by normalised name, external tables among them, sorted by name
    own      their own fingerprints
    digest   of everything loaded under this gateway: equal exactly when every file and all it read are equal
    misses   how many files had to be parsed
    macros   the project's own
    """

    models: Mapping[str, Model]
    own: Mapping[str, OwnFingerprint]
    digest: str
    misses: int
    macros: ProjectMacros = NO_MACROS


def load_project_files(
    settings: Settings, *, on_progress: Progress | None = None, instead: Mapping[str, bytes] | None = None
) -> LoadedFiles:
    """Load the project under `settings.files`; `instead` has contents that stand for those of files, by path.

    Raises the one error, or one ModelError that lists them all (at most 20), each with file and line; GraphError when
    two files declare one model.
    """
    with _without_gc(), FactStore(settings.root / CACHE_PATH) as store:
        return _Loading(settings, store, on_progress, instead or {}).run()


def sql_files(settings: Settings) -> tuple[str, ...]:
    """The files that hold SQL definitions, as posix paths relative to the root: models, then shared audits."""
    tree = _Tree(settings)
    return (*(path for path in tree.models if path.endswith(".sql")), *tree.audits)


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    path: str
    content: bytes
    key: str


class _Loading:
    """One load: hashes every file, takes what the cache knows, parses the rest, writes that back."""

    def __init__(
        self, settings: Settings, store: FactStore, on_progress: Progress | None, instead: Mapping[str, bytes]
    ) -> None:
        self.settings = settings
        self.instead = instead
        self.root = str(settings.files)
        self.store = store
        self.on_progress = on_progress
        self.errors: list[IsomeshError] = []
        self.new: list[tuple[str, str, str]] = []
        self.parts: list[tuple[str, str, str]] = []
        self.missed: set[str] = set()
        self.done = 0
        self.total = 0
        self.seeds = _Seeds(settings.files)
        self.variables = {**settings.variables, "gateway": settings.gateway}
        self.shape = _shape(settings)

    def run(self) -> LoadedFiles:
        tree = _Tree(self.settings)
        audit_files = [self._file(path) for path in tree.audits]
        external_files = [self._file(path) for path in tree.external]
        model_files = [self._file(path) for path in tree.models]
        self.total = len(audit_files) + len(external_files) + len(model_files)
        rows = self.store.get([file.key for file in (*audit_files, *external_files, *model_files)])

        try:
            self.macros = load_macros(self.settings, self.store)
            self.macro_digests = self.macros.digests
        except IsomeshError as error:
            raise _told([*self.errors, error]) from None
        defined = self._audits(audit_files, rows)
        audits = {name: audit for name, audit in defined.items() if audit.standalone is None}
        facts = self._facts(external_files, rows, audits, self._parse_external)
        facts += self._model_facts(model_files, rows, audits, facts)
        if self.new:
            self.store.put(self.new, keep=_KEPT_PER_FILE * max(self.total, 100))
        if self.on_progress is not None:
            self.on_progress(self.total, self.total)
        models, own = self._together(facts)
        if self.errors:
            raise _told(self.errors)
        place_external(models, own)
        place_standalone(defined.values(), models, own)
        everything = digest([self.shape, sorted(self.parts)])
        return LoadedFiles(models=models, own=own, digest=everything, misses=len(self.missed), macros=self.macros)

    # --- files and rows

    def _file(self, path: str) -> _File:
        if path in self.instead:
            content = self.instead[path]
            return _File(path=path, content=content, key=file_key(content, path, self.shape))
        try:
            with open(f"{self.root}/{path}", "rb") as file:  # a Path costs more than the read
                content = file.read()
        except OSError as error:
            raise ModelError(f"the file cannot be read: {error.strerror}", path=path) from None
        return _File(path=path, content=content, key=file_key(content, path, self.shape))

    def _audits(self, files: list[_File], rows: Mapping[str, list[tuple[str, str]]]) -> dict[str, AuditDefinition]:
        found: dict[str, AuditDefinition] = {}
        for facts in self._facts(files, rows, {}, self._parse_audits):
            for audit in facts.audits:
                other = found.setdefault(audit.name.lower(), audit)
                if other is not audit:
                    self.errors.append(
                        ModelError(
                            f"audit {audit.name!r} is defined in {other.path}:{other.line} too",
                            path=audit.path,
                            line=audit.line,
                            hint="rename one of them",
                        )
                    )
        return found

    def _facts(
        self,
        files: list[_File],
        rows: Mapping[str, list[tuple[str, str]]],
        audits: Mapping[str, AuditDefinition],
        parse: Callable[[_File, Mapping[str, AuditDefinition]], FileFacts],
    ) -> list[FileFacts]:
        surroundings = Surroundings(self.variables, audits, self.seeds, self.macro_digests)
        result = []
        for file in files:
            valid = first_valid(rows.get(file.key, ()), surroundings)
            if valid is None:
                facts = self._parsed(file, lambda its: parse(its, audits))
                if facts is None:
                    continue
                self._missed(file)
                reads = surroundings.digest(facts.reads)
                self.new.append((file.key, reads, facts_to_text(facts)))
            else:
                reads, facts = valid
            self._take(file, reads)
            result.append(facts)
        return result

    def _model_facts(
        self,
        files: list[_File],
        rows: Mapping[str, list[tuple[str, str]]],
        audits: Mapping[str, AuditDefinition],
        external: list[FileFacts],
    ) -> list[FileFacts]:
        """The facts of the files of `models/`. Those whose macros ask for columns come last, when these are known."""
        surroundings = Surroundings(self.variables, audits, self.seeds, self.macro_digests)
        by_path = {file.path: file for file in files}
        result: list[FileFacts] = []
        waiting: list[Awaiting] = []

        def read(path: str, columns: Columns) -> FileFacts | Awaiting:
            file = by_path[path]
            valid = first_valid(rows.get(file.key, ()), surroundings, columns)
            if valid is None:
                facts = self._parse_model(file, audits, columns)
                self._missed(file)
                if isinstance(facts, Awaiting):
                    return facts
                reads = surroundings.full_digest(facts.reads, columns)
                self.new.append((file.key, reads, facts_to_text(facts)))
            else:
                reads, facts = valid
            self._take(file, reads)
            return facts

        for file in files:
            candidate = first_valid(rows.get(file.key, ()), surroundings)
            if candidate is not None and candidate[1].reads.columns:
                names = tuple(model.name for model in candidate[1].models)
                waiting.append(Awaiting(path=file.path, names=names, relations=candidate[1].reads.columns))
                continue
            facts = self._parsed(file, lambda its: read(its.path, {}))
            if isinstance(facts, Awaiting):
                waiting.append(facts)
            elif facts is not None:
                result.append(facts)
        if waiting and not self.errors:  # what is wrong elsewhere may be the columns they wait for
            inference = ColumnInference(self.store)
            models = {model.name: model for facts in (*external, *result) for model in facts.models}
            later = AwaitingFiles(waiting, models, inference, read)
            result += later.read()
            self.errors.extend(later.errors)
            for error in later.errors:
                if isinstance(error, UnknownColumnsError):
                    error.tables = later.undeclared
            inference.save()
        return result

    def _parsed(self, file: _File, parse: Callable[[_File], Facts]) -> Facts | None:
        """What `parse` gives for the file; None when it raises, which is told at the end."""
        try:
            return parse(file)
        except IsomeshError as error:
            self.errors.append(error)
            self._missed(file)
            return None

    def _missed(self, file: _File) -> None:
        self.missed.add(file.path)
        self._progress()

    def _take(self, file: _File, reads: str) -> None:
        self.done += 1
        self.parts.append((file.path, file.key, reads))

    def _progress(self) -> None:
        if self.on_progress is not None:
            self.on_progress(self.done, self.total)

    # --- parsing: the only place that needs sqlglot, so that a load without misses does not import it

    def _parse_model(
        self, file: _File, audits: Mapping[str, AuditDefinition], columns: Columns
    ) -> FileFacts | Awaiting:
        context = self._context(audits, columns)
        if file.path.endswith(".py"):
            from isomesh_dagster.model.python_files import parse_python

            parsed = parse_python(_text(file), file.path, context)
        else:
            from isomesh_dagster.model.parse import parse_model

            parsed = parse_model(_text(file), file.path, context)
        if parsed.awaiting:
            return Awaiting(path=file.path, names=parsed.names, relations=parsed.awaiting)
        own = tuple(_fingerprint(model, self.macros) for model in parsed.models)
        return FileFacts(models=parsed.models, own=own, reads=parsed.reads)

    def _parse_audits(self, file: _File, audits: Mapping[str, AuditDefinition]) -> FileFacts:
        from isomesh_dagster.model.audit_blocks import parse_audits

        audits_found = parse_audits(_text(file), file.path, self._context({}))
        read = {name for audit in audits_found if audit.standalone for name in audit.standalone.variables}
        return FileFacts(audits=audits_found, reads=Reads(variables=tuple(sorted(read))))

    def _parse_external(self, file: _File, audits: Mapping[str, AuditDefinition]) -> FileFacts:
        import yaml

        from isomesh_dagster.model.external import parse_external
        from isomesh_dagster.snapshot.fingerprint import own

        try:
            loader = yaml.BaseLoader(_text(file))  # every scalar stays text: a column may be called `on`
            node = loader.get_single_node()
            data = loader.construct_document(node) if node is not None else None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + 1 if mark is not None else None
            raise ModelError("the file is not valid YAML", path=file.path, line=line) from None
        lines = [item.start_mark.line + 1 for item in node.value] if isinstance(node, yaml.SequenceNode) else []
        models = parse_external(data, lines, file.path, self._context(audits))
        reads = Reads(
            audits=tuple(sorted({call.name.lower() for model in models for call in model.audits})),
            variables=tuple(sorted({name for model in models for name in model.variables})),
        )
        return FileFacts(models=models, own=tuple(own(model) for model in models), reads=reads)

    def _context(self, audits: Mapping[str, AuditDefinition], columns: Columns | None = None) -> ParseContext:
        settings = self.settings
        return ParseContext(
            gateway=settings.gateway,
            gateways=settings.gateways,
            dialect=settings.dialect,
            default_catalog=settings.default_catalog,
            variables=settings.variables,
            model_defaults=settings.model_defaults,
            project=settings.project,
            time_column_format=settings.time_column_format,
            infer_names=settings.infer_names,
            physical_schema=settings.physical_schema,
            audits=audits,
            columns=columns or {},
            macros=self.macros,
            read_seed=self.seeds.read,
        )

    # --- all files together

    def _together(self, facts: list[FileFacts]) -> tuple[dict[str, Model], dict[str, OwnFingerprint]]:
        models: dict[str, Model] = {}
        own: dict[str, OwnFingerprint] = {}
        for file in facts:
            for model, fingerprint in zip(file.models, file.own, strict=True):
                other = models.get(model.name)
                if other is not None:
                    self.errors.append(
                        GraphError(
                            f"{model.name} is declared in {other.path}:{other.line} too",
                            path=model.path,
                            line=model.line,
                            hint="rename one of them, or remove it",
                        )
                    )
                    continue
                models[model.name] = model
                own[model.name] = fingerprint
        try:
            check_model_names(
                {name: (model.path, model.line) for name, model in models.items() if type(model.kind) is not External}
            )
        except IsomeshError as error:
            self.errors.append(error)
        return {name: models[name] for name in sorted(models)}, own


class _Seeds(Mapping[str, str | None]):
    """Digests of files by path, made when asked for; None for one that cannot be read. Nothing outside the project."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, str | None] = {}

    def read(self, path: str) -> bytes:
        """The file's bytes. Raises ModelError when it lies outside the project, OSError when it cannot be read."""
        full = (self._root / path).resolve()
        if not full.is_relative_to(self._root.resolve()):
            raise ModelError(f"path {path!r} is outside the project", hint="copy the file into the project")
        return full.read_bytes()

    def __getitem__(self, path: str) -> str | None:
        if path not in self._known:
            try:
                self._known[path] = file_key(self.read(path), "", "")
            except (OSError, ModelError):
                self._known[path] = None
        return self._known[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


class _Tree:
    """The project's files by role, as posix paths relative to its root, sorted."""

    def __init__(self, settings: Settings) -> None:
        self._root = settings.files
        self._ignored = ignored(settings.ignore_patterns)
        self.models = self._files("models", (".sql", ".py"))
        self.audits = self._files("audits", (".sql",))
        written = [name for name in ("external_models.yaml", "external_models.yml") if self._is_file(name)]
        self.external = [
            *(written or [name for name in ("schema.yaml",) if self._is_file(name)]),  # as it was called before
            *self._files("external_models", (".yaml", ".yml")),
        ]

    def _is_file(self, path: str) -> bool:
        return (self._root / path).is_file() and not self._ignored(path)

    def _files(self, folder: str, endings: tuple[str, ...]) -> list[str]:
        found = []
        todo = [folder]
        while todo:
            current = todo.pop()
            try:
                entries = list(os.scandir(self._root / current))
            except (FileNotFoundError, NotADirectoryError):
                continue
            for entry in entries:
                path = f"{current}/{entry.name}"
                if entry.name.startswith((".", "__pycache__")):
                    continue
                if entry.is_symlink():
                    self._check_link(path)
                if entry.is_dir():
                    todo.append(path)
                elif entry.name.endswith(endings) and not self._ignored(path) and entry.stat().st_size:
                    found.append(path)
        return sorted(found)

    def _check_link(self, path: str) -> None:
        target = self._root / path
        if not target.resolve().is_relative_to(self._root.resolve()):
            raise ModelError("the path leads outside the project", path=path, hint="copy the file into the project")
        if target.is_dir():
            raise ModelError("links to folders are not followed", path=path, hint="link files, or move the folder here")


def _shape(settings: Settings) -> str:
    """The digest of what shapes the meaning of every file: settings and code, no variables."""
    return digest(
        [
            code_digest(),
            settings.gateway,
            settings.dialect,
            settings.default_catalog,
            settings.model_defaults,
            settings.project,
            settings.time_column_format,
            settings.infer_names,
            settings.physical_schema_mapping,
        ]
    )


def _fingerprint(model: Model, macros: ProjectMacros) -> OwnFingerprint:
    from isomesh_dagster.snapshot.fingerprint import own

    try:
        return own(model, macros)
    except ModelError as error:
        raise error.located(path=model.path, line=model.line, model=model.name) from None


def _text(file: _File) -> str:
    try:
        return file.content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = file.content.count(b"\n", 0, error.start) + 1
        raise ModelError("the file is not UTF-8", path=file.path, line=line, hint="save it as UTF-8") from None


def _told(errors: list[IsomeshError]) -> IsomeshError:
    """The errors as one: itself when there is one, else a list, each told once, the first twenty of them."""
    distinct = list({str(error): error for error in errors}.values())
    if len(distinct) == 1:
        return distinct[0]
    shown = [str(error) for error in distinct[:MAX_ERRORS]]
    if len(distinct) > MAX_ERRORS:
        shown.append(f"… and {len(distinct) - MAX_ERRORS} more")
    message = f"{len(distinct)} errors in the project's files\n" + "\n".join(shown)
    lacking = [error.tables for error in distinct if isinstance(error, UnknownColumnsError)]
    if len(lacking) == len(distinct):
        return UnknownColumnsError(message, tables=frozenset().union(*lacking))
    return ModelError(message)


@contextmanager
def _without_gc() -> Iterator[None]:
    """Keep the cyclic collector off: a load makes many objects and no garbage, and it costs more than the parsing."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
