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


class Terminated(SystemExit):
    """A signal asked the process to end; `code` is a shell's number for it (143 for SIGTERM)."""


@contextlib.contextmanager
def unwinding() -> Iterator[None]:
    """While the block runs a signal to end raises Terminated in the main thread."""
    names = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    owner, last = os.getpid(), -ECHO

    def leave(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != owner:  # a forked worker, which nobody would catch it in
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif time.monotonic() - last > ECHO:
            last = time.monotonic()
            raise Terminated(128 + number)

    # One that is ignored (nohup) stays so.
    before = {number: signal.signal(number, leave) for number in names if signal.getsignal(number) == signal.SIG_DFL}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
