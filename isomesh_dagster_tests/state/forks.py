"""Children of this process that run one function: processes for races and kills, without starting Python again."""

import os
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
    """Where processes wait until `go`, so that they start at the same moment."""

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()

    def wait(self) -> None:
        """In a child."""
        os.close(self._writing)
        os.read(self._reading, 1)

    def go(self) -> None:
        """In the parent, once."""
        os.close(self._writing)
        os.close(self._reading)
