"""Children of this process that run one function: processes for races and kills, without starting Python again."""

import os
import select
import signal
import sys
import traceback
from collections.abc import Callable


def fork(run: Callable[[], object]) -> int:
    """Start a child that runs `run`; its process id. It exits with 0, or with 1 and a traceback."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run()
            code = 0
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)  # nothing of the parent's is closed on the way out
    return child


def wait(child: int) -> int:
    """How it ended: its exit code, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def die() -> None:
    """Kill this process as the kernel would."""
    os.kill(os.getpid(), signal.SIGKILL)


class StartingLine:
    """Where processes wait until `go`, so that they start at the same moment; or work until then, to end together."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        self._coming, self._there = os.pipe()

    def ready(self) -> None:
        """In a child, once: say that it is there, and wait for `go`."""
        os.write(self._there, b".")
        os.close(self._there)
        self.wait()

    def wait(self, seconds: float | None = None) -> bool:
        """In a child, as often as it likes: wait for `go`, at most so long; whether it was said."""
        # looked at and not read, so that it is there for everybody
        return bool(select.select([self._reading], [], [], seconds)[0])

    def go(self, runners: int = 0) -> None:
        """In the parent, once; not before so many children are `ready`, or have ended before they were."""
        os.close(self._there)
        for _ in range(runners):
            os.read(self._coming, 1)  # nothing comes when nobody is left who could say it
        os.close(self._coming)
        os.write(self._writing, b".")
        os.close(self._writing)
        os.close(self._reading)
