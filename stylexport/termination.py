"""SIGTERM, and a terminal that closes, end a command as Ctrl-C does: every block clears what it had half-written, then the process ends."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

# A second signal within so many seconds is the first one's echo (`timeout` sends two), and must not end the clearing.
ECHO = 5.0
AGAIN = 0.05  # seconds until a signal that came during an import is looked at again


class Terminated(SystemExit):
    """A signal asked the process to end; `code` is a shell's number for it (143 for SIGTERM)."""


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """While the block runs a signal to end raises Terminated in the main thread, and Ctrl-C KeyboardInterrupt; neither during an import."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner, last = os.getpid(), -ECHO

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != owner:  # a forked worker, which nobody would catch it in
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif _importing(frame):  # an exception in a compiled module's own import ends TensorFlow by abort()
            later = threading.Timer(AGAIN, os.kill, (owner, number))
            later.daemon = True
            later.start()
        elif number == signal.SIGINT:
            raise KeyboardInterrupt
        elif time.monotonic() - last > ECHO:
            last = time.monotonic()
            raise Terminated(128 + number)

    usual = {"SIGTERM": signal.SIG_DFL, "SIGHUP": signal.SIG_DFL, "SIGINT": signal.default_int_handler}
    numbers = {getattr(signal, name): handler for name, handler in usual.items() if hasattr(signal, name)}
    # One that is ignored (nohup), or that a program has a handler of its own for, stays so.
    before = {number: signal.signal(number, leave) for number, handler in numbers.items() if signal.getsignal(number) == handler}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
