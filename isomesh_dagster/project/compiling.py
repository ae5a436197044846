"""A commit's files as a manifest, compiled by a process of its own.

That process gets the settings that shape a project, and nothing else: a new environment without any variable of ours,
connections replaced by an empty one, an end to its time and memory. It is not kept off the network or the disk: what
must not run there must not run at all, and `check_code_files` refuses it before.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from isomesh_dagster import errors
from isomesh_dagster.cache.macro_files import CODE_FOLDERS
from isomesh_dagster.config.connections import DuckDBConnection
from isomesh_dagster.config.git import LimitsConfig, short_ref
from isomesh_dagster.config.settings import Settings
from isomesh_dagster.errors import GitError, IsomeshError, PlanError

if TYPE_CHECKING:
    from isomesh_dagster.cache.manifest import Source
    from isomesh_dagster.model.model import Model

_KEPT = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]);from isomesh_dagster.project.compiling import main; main()"
)


def compile_commit(settings: Settings, source: Source, limits: LimitsConfig) -> Path:
    """Compile the files in `settings.checkout`, which are those of `source`; the path of the manifest.

    Raises what loading the project raises, GitError for code of a ref that may not run any, and PlanError when
    compiling takes more than `limits` allow.
    """
    if not source.may_run_code:
        check_code_files(settings.files, source)
    # what the system knows and the process must not: how it connects, and every variable
    harmless = replace(
        settings,
        connection=DuckDBConnection(type="duckdb"),
        state_connection=None,
        git=None,
        environ={},
        checkout=settings.files,
    )
    request = pickle.dumps((harmless, source, limits.memory_mb, limits.seconds))
    # the folders that this process imports from, less the one it happens to stand in
    paths = json.dumps([path for path in sys.path if path and Path(path) != Path.cwd()] + _own_place())
    with tempfile.TemporaryDirectory(prefix="isomesh-compile-") as folder:
        environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", _START, paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**environment, "HOME": folder, "TMPDIR": folder, "PYTHONHASHSEED": "0"},
            cwd=folder,
            start_new_session=True,
        )
        try:
            answer, complaint = process.communicate(request, timeout=limits.seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise PlanError(
                f"compiling took longer than {limits.seconds} seconds", hint="git.limits.seconds gives it longer"
            ) from None
        except BaseException:
            _kill(process)
            raise
    return _answer(answer, complaint, process.returncode, limits)


def check_code_files(files: Path, source: Source) -> None:
    """Raises GitError when there is Python among the files that a project runs, and the ref may not bring any."""
    for folder in CODE_FOLDERS:
        modules = sorted((files / folder).rglob("*.py"))
        found = next((path for path in modules if path.name != "__init__.py" or path.read_bytes().strip()), None)
        if found is not None:
            raise _not_allowed(source, f"holds Python, {found.relative_to(files).as_posix()}")


def check_statements(models: Iterable[Model], source: Source) -> None:
    """Raises GitError when a model brings statements beside its query, and the ref may not run any."""
    for model in models:
        if model.pre_statements or model.post_statements or model.on_virtual_update:
            raise _not_allowed(source, f"has statements beside the query of {model.name}").located(
                path=model.path, line=model.line
            )


def _not_allowed(source: Source, what: str) -> GitError:
    return GitError(
        f"{short_ref(source.ref)} {what}, and its code may not run in this system",
        hint="add the ref to git.may_run_code, if everybody who may push to it may do anything here",
    )


def _own_place() -> list[str]:
    """Where this package lies: a process that is started in isolation does not find a package of its folder."""
    return [str(Path(__file__).resolve().parents[2])]


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, 9)
        else:
            process.kill()
    process.communicate()


def _answer(answer: bytes, complaint: bytes, code: int, limits: LimitsConfig) -> Path:
    try:
        told = json.loads(answer)
        if "manifest" in told:
            return Path(told["manifest"])
        error = told["error"]
    except (ValueError, KeyError, TypeError):
        lines = complaint.decode(errors="replace").strip().splitlines() or ["it does not say why"]
        if "MemoryError" in lines[-1] or code in (-9, -24, -25):
            raise PlanError(
                f"compiling took more than {limits.memory_mb} MB or {limits.seconds} seconds of work",
                hint="git.limits gives it more",
            ) from None
        raise PlanError(f"compiling ended with code {code}: {lines[-1][:300]}", hint="compile it here to see") from None
    raised = getattr(errors, str(error.pop("type")), IsomeshError)
    kind = raised if isinstance(raised, type) and issubclass(raised, IsomeshError) else IsomeshError
    raise kind(error.pop("message"), **error)


# -- the other process


def main() -> NoReturn:
    """Compile what standard input says, answer on standard output, end. Code of the project cannot write there."""
    settings, source, memory_mb, seconds = pickle.loads(sys.stdin.buffer.read())
    answer = os.dup(1)
    os.dup2(2, 1)
    _limit(memory_mb, seconds)
    try:
        told: dict[str, Any] = {"manifest": str(_compiled(settings, source))}
    except IsomeshError as error:
        told = {
            "error": {
                "type": type(error).__name__,
                **{name: getattr(error, name) for name in ("message", "path", "line", "column", "model", "hint")},
            }
        }
    os.write(answer, json.dumps(told).encode())
    os.close(answer)
    os._exit(0)  # threads of the project's code do not keep the process


def _limit(memory_mb: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:
        return
    memory = memory_mb * 1024 * 1024
    for name, value in (("RLIMIT_AS", memory), ("RLIMIT_CPU", seconds), ("RLIMIT_CORE", 0)):
        with suppress(AttributeError, ValueError, OSError):
            resource.setrlimit(getattr(resource, name), (value, value))


def _compiled(settings: Settings, source: Source) -> Path:
    from isomesh_dagster.project.front import Project

    project = Project.of_settings(settings, source=source)
    if not source.may_run_code:
        check_statements(project.models.values(), source)
    return project.compile()
