"""What the files of a project say: its models, columns, unit tests, lint. Opens neither state nor warehouse."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from isomesh_dagster.cache.macro_files import macros_on_demand
from isomesh_dagster.config.read import load_settings
from isomesh_dagster.config.settings import Settings
from isomesh_dagster.errors import GraphError, StateError
from isomesh_dagster.graph.order import ModelGraph, build_graph
from isomesh_dagster.plan.plan import Plan
from isomesh_dagster.project import checking
from isomesh_dagster.project.system import FOLDER, System
from isomesh_dagster.snapshot.fingerprint import OwnFingerprint, fingerprints
from isomesh_dagster.snapshot.snapshot import Fingerprint

if TYPE_CHECKING:
    from typing_extensions import Self

    from isomesh_dagster.cache.format import FormattedFile
    from isomesh_dagster.cache.manifest import Source
    from isomesh_dagster.dialect.style import Style
    from isomesh_dagster.graph.lineage import ColumnLineage, ColumnReads
    from isomesh_dagster.lint.rules import Violation
    from isomesh_dagster.macros.project import ProjectMacros
    from isomesh_dagster.model.model import Model
    from isomesh_dagster.model.unit_tests import UnitTest
    from isomesh_dagster.plan.columns import ColumnCatalog
    from isomesh_dagster.plan.recorded import RecordedChoice
    from isomesh_dagster.relation import Column


class ProjectFiles:
    """A project's files under one gateway, read. `system` is the gateway's, opened by nobody here. Safe to use from
    threads.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        models: Mapping[str, Model],
        own: Mapping[str, OwnFingerprint],
        digest: str,
        columns: Mapping[str, tuple[Column, ...] | None] | None = None,
        column_reads: Mapping[str, ColumnReads] | None = None,
        tests: Mapping[str, str] | None = None,
        decisions: Mapping[str, str] | None = None,
        macros: ProjectMacros | None = None,
        source: Source | None = None,
        is_pinned: bool = False,
    ) -> None:
        self.settings = settings
        self.source = source
        self.is_pinned = is_pinned  # of a manifest: the folder may say something else by now
        self.root = settings.root
        self.gateway = settings.gateway
        self.graph: ModelGraph = build_graph(models)
        self.own = own
        self.digest = digest
        self.fingerprints: dict[str, Fingerprint] = fingerprints(self.graph, own)
        self.macros = macros if macros is not None else macros_on_demand(settings)
        self._columns = dict(columns) if columns is not None else None
        self._column_reads = column_reads
        self._catalog: ColumnCatalog | None = None
        self._tests = tests
        self._decisions = decisions
        self._unit_tests: tuple[UnitTest, ...] | None = None
        self.system = System(settings)
        self._lock = threading.RLock()

    # -- loading

    @classmethod
    def load(
        cls,
        root: Path | str = ".",
        *,
        gateway: str | None = None,
        environ: Mapping[str, str] | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Read configuration and models of the project at `root`.

        `gateway` overrides `ISOMESH_GATEWAY` and the configuration's default. `on_progress(done, total)` is told of
        files that had to be parsed. Raises ConfigError, ModelError, GraphError; reads no secret of another gateway and
        opens neither state nor warehouse.
        """
        settings = load_settings(Path(root).resolve(), gateway, os.environ if environ is None else environ)
        return cls.of_settings(settings, on_progress=on_progress)

    @classmethod
    def of_settings(
        cls,
        settings: Settings,
        *,
        source: Source | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Read the models of a configuration that is loaded; `source` tells which commit's files they are."""
        from isomesh_dagster.cache.load import load_project_files

        files = load_project_files(settings, on_progress=on_progress)
        return cls(
            settings=settings,
            models=files.models,
            own=files.own,
            digest=files.digest,
            macros=files.macros,
            source=source,
        )

    @classmethod
    def from_manifest(cls, path: Path | str, *, environ: Mapping[str, str] | None = None) -> Self:
        """The project as it was when `path` was compiled, whatever its files say now. Parses no SQL and opens no
        database.

        The configuration is read from the project's folder: connections and secrets are never part of a manifest. What
        shapes the project comes from the commit it was compiled from, if it was and its code may run here.
        """
        from isomesh_dagster.cache.manifest import mark_used, read_manifest

        place = Path(path).resolve()
        manifest = read_manifest(place)
        root, source = place.parents[3], manifest.source
        mark_used(place)
        if source is not None:
            mark_used(root / source.files)
        if source is not None and not (root / source.files).is_dir():
            raise StateError(
                f"the files of commit {source.commit[:12]} are gone: nothing used them for long",
                hint="reload the code location, or deploy the commit again",
            )
        settings = load_settings(
            root,
            manifest.gateway,
            os.environ if environ is None else environ,
            checkout=root / source.files if source is not None else None,
            checkout_decides=source is not None and source.may_run_code,
        )
        return cls(
            settings=settings,
            models=manifest.models,
            own=manifest.own,
            digest=manifest.digest,
            columns=manifest.columns,
            column_reads=manifest.column_reads,
            tests=manifest.tests,
            decisions=manifest.decisions,
            source=source,
            is_pinned=True,
        )

    def compile(self) -> Path:
        """Write the manifest of this project, unless it is there; its path. The name tells the content. Others that
        nobody used for two weeks go.
        """
        from isomesh_dagster.cache.manifest import Manifest, mark_used, remove_unused, write_manifest

        tests, decisions = self._test_files(), self._decision_files()
        name = f"{self.digest}-{_digest({**tests, **decisions})}" if tests or decisions else self.digest
        if self.source is not None:
            name = f"{name}-{self.source.commit}-{'trusted' if self.source.may_run_code else 'untrusted'}"
        path = self.root / FOLDER / self.gateway / "manifests" / f"{name}.json"
        mark_used(path)
        if not path.exists():
            write_manifest(
                path,
                Manifest(
                    gateway=self.gateway,
                    project=self.settings.project,
                    digest=self.digest,
                    models=self.models,
                    own=self.own,
                    columns=self.all_columns(),
                    column_reads=self.column_reads(),
                    tests=tests,
                    decisions=decisions,
                    source=self.source,
                ),
            )
            remove_unused(path.parent)
        return path

    @property
    def models(self) -> Mapping[str, Model]:
        """The models by name, external tables that are declared among them."""
        return self.graph.models

    def model(self, name: str) -> Model:
        """The model of that name; a GraphError suggests the nearest one."""
        found = self.models.get(name)
        if found is None:
            import difflib

            near = difflib.get_close_matches(name, self.models, n=1)
            raise GraphError(
                f"no model named {name!r}",
                hint=f"did you mean {near[0]!r}?" if near else f"the project has {len(self.models)} models",
            )
        return found

    def select(self, expressions: Iterable[str]) -> tuple[str, ...]:
        """The models that one of the expressions names, parents before children; `graph.selection` tells how they are
        written.

        Raises SelectionError with the place in the expression, GitError when `git:` cannot be answered.
        """
        from isomesh_dagster.git.changes import changed_paths
        from isomesh_dagster.graph.selection import parse_selection, select

        selections = [parse_selection(text) for text in expressions]
        branches = {branch for selection in selections for branch in selection.branches}
        changed = {branch: changed_paths(self.settings.files, branch) for branch in sorted(branches)}
        return select(selections, self.graph, changed=changed)

    # -- columns

    def columns(self, name: str) -> tuple[Column, ...] | None:
        """Output columns of a model, explicit or inferred; None when they cannot be told without the warehouse."""
        if self._columns is not None:
            return self._columns.get(name)
        return self.column_catalog().of(name)

    def all_columns(self) -> dict[str, tuple[Column, ...] | None]:
        """Output columns of every model; what was inferred before is taken from the cache."""
        from isomesh_dagster.cache.columns import infer_columns
        from isomesh_dagster.cache.store import FactStore

        with self._lock:
            if self._columns is None:
                with FactStore(self.root / FOLDER / "cache.sqlite") as cache:
                    self._columns = infer_columns([self.models[name] for name in self.graph.order], cache)
            return dict(self._columns)

    def column_catalog(self) -> ColumnCatalog:
        """The columns of the models, inferred as they are asked for."""
        from isomesh_dagster.plan.columns import ColumnCatalog

        with self._lock:
            if self._catalog is None:
                self._catalog = ColumnCatalog(self.models)
            return self._catalog

    def lineage(self) -> ColumnLineage:
        """Which columns become which, through all models; what was found out before is taken from the cache."""
        from isomesh_dagster.graph.lineage import ColumnLineage

        return ColumnLineage(self.column_reads())

    def column_reads(self) -> Mapping[str, ColumnReads]:
        """What the columns of every model with a query are read from, directly."""
        from isomesh_dagster.cache.lineage import read_columns
        from isomesh_dagster.cache.store import FactStore

        with self._lock:
            if self._column_reads is None:
                columns = self.all_columns()
                with FactStore(self.root / FOLDER / "cache.sqlite") as cache:
                    self._column_reads = read_columns(self.models.values(), columns, cache)
            return self._column_reads

    # -- tests and decisions

    def unit_tests(self) -> tuple[UnitTest, ...]:
        """The unit tests under `tests/` that are for this gateway, read on first use. Raises ModelError."""
        from isomesh_dagster.cache.unit_tests import parse_unit_test_files

        with self._lock:
            if self._unit_tests is None:
                self._unit_tests = parse_unit_test_files(self.settings, self.models, self._test_files())
            return self._unit_tests

    def unit_tests_of(self, plan: Plan) -> tuple[UnitTest, ...]:
        """The tests of models whose rows `plan` may change: they changed themselves, or something they read."""
        return checking.tests_of(self, plan)

    def recorded_choices(self) -> tuple[RecordedChoice, ...]:
        """What people decided about changes, as kept under `decisions/`. Raises ConfigError."""
        from isomesh_dagster.project import recorded

        return recorded.parse(self._decision_files())

    def _decision_files(self) -> Mapping[str, str]:
        """The texts of the files with decisions by path, read on first use."""
        from isomesh_dagster.project.recorded import read_files

        with self._lock:
            if self._decisions is None:
                self._decisions = read_files(self.settings.files)
            return self._decisions

    def _test_files(self) -> Mapping[str, str]:
        """The texts of the files with unit tests by path, read on first use."""
        from isomesh_dagster.cache.unit_tests import read_unit_test_files

        with self._lock:
            if self._tests is None:
                self._tests = read_unit_test_files(self.settings)
            return self._tests

    # -- checking

    def lint(self, models: Collection[str] | None = None) -> tuple[Violation, ...]:
        """What breaks the lint rules of the configuration, by place; `models` limits it. Opens neither state nor
        warehouse.

        A configuration that names no rule asks for all of them, as warnings. Raises ConfigError for an unknown rule.
        """
        return checking.lint(self, models)

    def mend(self, found: Iterable[Violation]) -> tuple[str, ...]:
        """Do the fixes that violations have: the paths that were written, relative to the root.

        Where two fixes touch one piece of a file the second is left for the next time. Raises LintError for a fix of a
        rule of the project's own that would write elsewhere. The project as it was read does not change: read it again.
        """
        from isomesh_dagster.project import checking

        return checking.mend(self, found)

    def lint_warnings(self) -> tuple[str, ...]:
        """What a plan warns of when the linter is on. Raises LintError when a rule that is an error is broken."""
        return checking.lint_warnings(self)

    def formatted(self, paths: Collection[str] | None = None, style: Style | None = None) -> tuple[FormattedFile, ...]:
        """The SQL files of the project (`paths`: only these) as `style` has them, by default the configuration's.

        Writes nothing. A file whose models would get another fingerprint is left alone, and says so.
        """
        from isomesh_dagster.cache.format import format_files

        return format_files(self.settings, self.models, self.own, paths, style or self.settings.format)


def _digest(texts: Mapping[str, str]) -> str:
    return hashlib.blake2b(repr(sorted(texts.items())).encode(), digest_size=8).hexdigest()
