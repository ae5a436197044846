"""The project's SQL files in its layout: read, laid out, and loaded again to prove that no model is another one."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from isomesh_dagster.cache.load import load_project_files, sql_files
from isomesh_dagster.config.settings import Settings
from isomesh_dagster.dialect.style import Style
from isomesh_dagster.errors import IsomeshError, ModelError
from isomesh_dagster.lint.files import formatted
from isomesh_dagster.model.model import Model
from isomesh_dagster.snapshot.fingerprint import OwnFingerprint

_MARK = "\ufeff"


@dataclass(frozen=True, slots=True, kw_only=True)
class FormattedFile:
    """A file as it is and as it would be; both with their byte order mark and line ends.

    path   relative to the project's root, posix
    why    why it is left alone, in words; None when it is not
    left   lines of queries in it that stay as they are
    """

    path: str
    old: str
    new: str
    why: str | None = None
    left: tuple[int, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether writing `new` would change the file."""
        return self.old != self.new


def format_files(
    settings: Settings,
    models: Mapping[str, Model],
    own: Mapping[str, OwnFingerprint],
    paths: Collection[str] | None,
    style: Style,
) -> tuple[FormattedFile, ...]:
    """The files at `paths` (files or folders, posix, relative to the root; None: all) in their new layout.

    `models` and `own` are those of the project as it is. Raises ModelError for a path that holds no SQL file.
    """
    files = [_formatted(settings, path, style) for path in _chosen(sql_files(settings), paths)]
    changed = {file.path: file.new.encode() for file in files if file.differs}
    if not changed:
        return tuple(files)
    before = _by_path(models, own)
    try:
        loaded = load_project_files(settings, instead=changed)
    except IsomeshError as error:
        return tuple(_alone(file, f"the project would not load: {error.message}") for file in files)
    after = _by_path(loaded.models, loaded.own)
    return tuple(
        file if before.get(file.path) == after.get(file.path) else _alone(file, "its fingerprint would change")
        for file in files
    )


def _chosen(known: Collection[str], paths: Collection[str] | None) -> list[str]:
    if paths is None:
        return list(known)
    wanted: dict[str, None] = {}
    for path in paths:
        folder = posixpath.normpath(path)
        found = [each for each in known if folder == "." or each == folder or each.startswith(f"{folder}/")]
        if not found:
            raise ModelError(
                "there is no SQL file of the project", path=path, hint="name files or folders of models/ or audits/"
            )
        wanted.update(dict.fromkeys(found))
    return list(wanted)


def _formatted(settings: Settings, path: str, style: Style) -> FormattedFile:
    try:
        old = (settings.files / path).read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError("the file cannot be read as UTF-8", path=path) from error
    mark = _MARK if old.startswith(_MARK) else ""
    text = old.removeprefix(_MARK)
    line_end = "\r\n" if "\r\n" in text else "\n"
    result = formatted(text.replace("\r\n", "\n"), settings.dialect, style)
    new = mark + result.text.replace("\n", line_end) if result.why is None else old
    return FormattedFile(path=path, old=old, new=new, why=result.why, left=result.left)


def _alone(file: FormattedFile, why: str) -> FormattedFile:
    if not file.differs:
        return file
    return FormattedFile(path=file.path, old=file.old, new=file.old, why=why)


def _by_path(
    models: Mapping[str, Model], own: Mapping[str, OwnFingerprint]
) -> dict[str, dict[str, tuple[OwnFingerprint, str | None]]]:
    found: dict[str, dict[str, tuple[OwnFingerprint, str | None]]] = {}
    for name, model in models.items():
        found.setdefault(model.path, {})[name] = (own[name], model.description)
    return found
