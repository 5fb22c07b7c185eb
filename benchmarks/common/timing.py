"""The clock: one call, the phases of a step, a process with its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def seconds(call: Callable[[], object]) -> float:
    """The time that `call` takes once."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


class Stopwatch:
    """Seconds for each phase; the time of a nested phase counts once, as the inner phase's.

    `wait` is called before each reading of the clock: `torch.cuda.synchronize` where work is queued.
    """

    def __init__(self, wait: Callable[[], object] | None = None) -> None:
        self.wait, self.seconds = wait, defaultdict[str, float](float)
        self.phases: list[str] = []
        self.since = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Counts what runs inside as `name`'s."""
        self._charge()
        self.phases.append(name)
        try:
            yield
        finally:
            self._charge()
            self.phases.pop()

    def _charge(self) -> None:
        if self.wait:
            self.wait()
        now = time.perf_counter()
        if self.phases:
            self.seconds[self.phases[-1]] += now - self.since
        self.since = now


def run_process(command: list[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of a process; ends this program with the process's error message where it fails."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    error = process.stderr.read().decode(errors="replace") if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    elapsed = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{' '.join(command[:4])} failed:\n{error}")
    return elapsed, usage.ru_maxrss / (1 if sys.platform == "darwin" else 1024) / 1e6 * 2**20  # bytes on macOS, else KiB
