"""Running git against a repository that nobody vouches for: no shell, no prompt, no hooks, limits on time and size.

What comes from the person who deployed (their credentials, proxies, ssh) is kept; what a repository could bring is off:
hooks, filters, submodules, helpers of other protocols, automatic maintenance.
"""

from __future__ import annotations

import base64
import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from isomesh_dagster.config.git import scheme_of
from isomesh_dagster.errors import GitError, RemoteError

MAX_ANSWER = 64 * 1024 * 1024
"""Bytes of an answer, unless more is asked for."""

_SECONDS_TO_END = 3

_KEPT = (
    *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "XDG_CONFIG_HOME", "SYSTEMROOT"),
    *(
        "SSH_AUTH_SOCK",
        "SSH_AGENT_PID",
        "GIT_SSH",
        "GIT_SSH_COMMAND",
        "GIT_SSL_CAINFO",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ),
    *("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "all_proxy"),
)
_SETTINGS = (
    *("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.symlinks=false", "core.attributesFile=/dev/null"),
    *(
        "submodule.recurse=false",
        "fetch.recurseSubmodules=false",
        "fetch.fsckObjects=true",
        "fetch.writeCommitGraph=false",
    ),
    *("gc.autoDetach=false", "maintenance.auto=false", "advice.detachedHead=false", "credential.interactive=false"),
    "protocol.allow=never",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How a remote is reached.

    `token` goes to https remotes only, in a header that is in no argument list; `seconds` bounds each command, `size`
    (bytes) each file that git writes.
    """

    remote: str
    token: str | None = None
    seconds: float = 120
    size: int = 1024 * 1024 * 1024

    def __repr__(self) -> str:
        return f"Access(remote={self.remote!r})"


def run(
    access: Access,
    arguments: Sequence[str],
    *,
    folder: Path | None = None,
    given: bytes = b"",
    most: int = MAX_ANSWER,
    environ: Mapping[str, str] | None = None,
) -> bytes:
    """What git answers. `folder` is the bare repository, `given` its standard input, `most` how many bytes of
    an answer are taken.

    Raises GitError when git is missing, refuses or answers too much, RemoteError when the remote refuses or takes too
    long; secrets are not in the message.
    """
    settings = [*_SETTINGS, f"protocol.{scheme_of(access.remote)}.allow=always"]
    command = ["git", *(part for setting in settings for part in ("-c", setting))]
    if folder is not None:
        command.append(f"--git-dir={folder}")
    with tempfile.TemporaryFile() as answer, tempfile.TemporaryFile() as complaint, tempfile.TemporaryFile() as asked:
        asked.write(given)
        asked.seek(0)
        try:
            process = subprocess.Popen(
                [*command, *arguments],
                stdin=asked,
                stdout=answer,
                stderr=complaint,
                env=_environment(access, os.environ if environ is None else environ),
                cwd=folder or tempfile.gettempdir(),
                start_new_session=True,
            )
        except FileNotFoundError:
            raise GitError("git is not installed", hint="install git, 2.31 or newer") from None
        _limit_files(process.pid, access.size)
        try:
            code = process.wait(timeout=access.seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            raise RemoteError(
                f"git {arguments[0]} did not answer within {access.seconds:g} seconds",
                hint="is the remote reachable? git.limits.seconds gives it longer",
            ) from None
        except BaseException:
            _kill(process)
            raise
        if code:
            complaint.seek(0)
            raise _refusal(complaint.read(4096), arguments[0], access)
        answer.seek(0)
        content = answer.read(most + 1)
    if len(content) > most:
        raise GitError(f"git {arguments[0]} answered more than {most:,} bytes", hint="narrow what is asked for")
    return content


def _environment(access: Access, environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: environ[name] for name in _KEPT if name in environ}
    result = {
        **kept,
        "LC_ALL": "C",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "SSH_ASKPASS": "",
        "GCM_INTERACTIVE": "never",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "GIT_PROTOCOL_FROM_USER": "0",
        "GIT_ALLOW_PROTOCOL": scheme_of(access.remote),
    }
    if "GIT_SSH" not in kept and "GIT_SSH_COMMAND" not in kept:
        result["GIT_SSH_COMMAND"] = "ssh -o BatchMode=yes"
    if access.token and scheme_of(access.remote) == "https":
        where = urlsplit(access.remote)
        result["GIT_CONFIG_COUNT"] = "1"
        result["GIT_CONFIG_KEY_0"] = f"http.https://{where.netloc.rpartition('@')[2]}/.extraHeader"
        result["GIT_CONFIG_VALUE_0"] = f"Authorization: Basic {_credentials(access.token)}"
    return result


def _credentials(token: str) -> str:
    return base64.b64encode(f"x-access-token:{token}".encode()).decode()


def _limit_files(pid: int, size: int) -> None:
    """No file that git and what it starts write may be larger; where the system can say that."""
    try:
        import resource

        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, size))
    except (ImportError, AttributeError, OSError, ValueError):
        pass


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End git and everything it started; first as it takes its locks with it."""
    if not hasattr(os, "killpg"):
        process.kill()
        process.wait()
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_SECONDS_TO_END)


def _refusal(complaint: bytes, command: str, access: Access) -> GitError:
    text = complaint.decode(errors="replace")
    if access.token:
        text = text.replace(access.token, "***").replace(_credentials(access.token), "***")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    told = [line for line in lines if line.startswith(("fatal:", "error:"))] or lines
    said = told[0].removeprefix("fatal: ").removeprefix("error: ")[:300] if told else "it does not say why"
    hint = f"the remote is {access.remote}"
    if "could not read Username" in text or "Authentication failed" in text or "Permission denied" in text:
        hint = f"{hint}; name the variable with a token in git.token_variable, or set up ssh or a credential helper"
    kind = RemoteError if command in ("ls-remote", "fetch") else GitError
    return kind(f"git {command}: {''.join(c for c in said if c.isprintable())}", hint=hint)
