"""Ctrl-C while the main thread waits for the warehouse: drivers wait in C and do not look for it."""

from __future__ import annotations

import _thread
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_SECONDS = 0.3  # how long the main thread may take to hear of Ctrl-C by itself, and to act on it


@contextmanager
def ending_statements(end: Callable[[], None]) -> Iterator[None]:
    """In this block Ctrl-C reaches a main thread that waits in a driver, too: `end`, which ends what statements run, is
    called from another thread until it was heard. A main thread that runs Python hears of it by itself.

    A driver that calls Python now and then may also drop what the handler raises there: a main thread that goes on with
    the call in which it heard is told once more.

    Changes nothing outside of the main thread, and where somebody else handles the signal.
    """
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or not is_ours:
        yield
        return
    main = threading.get_ident()
    heard, left = threading.Event(), threading.Event()
    places: dict[FrameType, int] = {}
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def hear(number: int, frame: FrameType | None) -> None:
        places.clear()
        while frame is not None:
            places[frame] = frame.f_lasti
            frame = frame.f_back
        heard.set()
        raise KeyboardInterrupt

    def goes_on() -> bool:
        top = sys._current_frames().get(main)
        return top is not None and places.get(top) == top.f_lasti

    def watch() -> None:
        while (told := reader.recv(1)) not in (b"", b"\0"):  # the numbers of signals, as they come
            while told[0] == signal.SIGINT and not left.is_set():
                if not heard.wait(_SECONDS):
                    end()
                elif left.wait(_SECONDS) or not goes_on():
                    break
                else:
                    heard.clear()
                    _thread.interrupt_main()

    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    signal.signal(signal.SIGINT, hear)
    watcher = threading.Thread(target=watch, name="isomesh-interrupts", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.set_wakeup_fd(before)
        left.set()
        heard.set()
        writer.send(b"\0")
        watcher.join()
        reader.close()
        writer.close()
        places.clear()
