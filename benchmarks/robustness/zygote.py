"""A process that has a command's packages imported, and forks one process a run: thousands of runs cost no import."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

# The steps of a run at which it can be killed: what Python is about to do to the file system.
STEPS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove"}


@dataclass(frozen=True)
class Kill:
    """A signal, `seconds` after the run's begin, or at its step number `step` in its folder: a file that it would write is there, empty."""

    signal: int
    seconds: float | None = None
    step: int | None = None


@dataclass(frozen=True)
class Run:
    """`stylexport` with `arguments`, in the folder `folder`; what it prints goes to the file `log`."""

    arguments: Sequence[str]
    folder: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    kill: Kill | None = None


@dataclass(frozen=True)
class Ended:
    """How a run ended: its exit code (minus the signal where it was killed), seconds, steps in its folder, and what it left running."""

    code: int
    seconds: float
    steps: int
    orphans: tuple[int, ...]


class Zygote:
    """The process; it ends when the `with` block does."""

    def __init__(self, modules: Sequence[str]) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, modules))

    def __enter__(self) -> Zygote:
        """Starts it and waits for its imports."""
        self._process.start()
        self._pipe.recv()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends it."""
        self._process.kill()
        self._process.join()

    def run(self, run: Run, patience: float = 300.0) -> Ended:
        """Runs it to its end, or kills it as it says. Raises TimeoutError where it takes longer than `patience` seconds."""
        self._pipe.send(run)
        pid, began = self._pipe.recv(), time.monotonic()
        if run.kill is not None and run.kill.seconds is not None and not self._pipe.poll(run.kill.seconds):
            with contextlib.suppress(ProcessLookupError):  # it ended in this moment
                os.kill(pid, run.kill.signal)
        if not self._pipe.poll(patience):
            os.kill(pid, signal.SIGKILL)
            raise TimeoutError(f"{' '.join(run.arguments)} did not end in {patience:.0f} seconds")
        code, steps = self._pipe.recv()
        return Ended(code, time.monotonic() - began, steps, _orphans(pid))


def _serve(pipe: Connection, modules: Sequence[str]) -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # read when the packages are imported; threads would wait for each other
    for module in modules:
        importlib.import_module(module)
    pipe.send("ready")
    while True:
        run = pipe.recv()
        counter, counts = os.pipe()
        pid = os.fork()
        if not pid:
            os.close(counter)
            _child(run, counts)
        os.close(counts)
        pipe.send(pid)
        with os.fdopen(counter, "rb") as file:
            _, status = os.waitpid(pid, 0)
            os.set_blocking(file.fileno(), False)
            text = file.read() or b"0"
        pipe.send((os.waitstatus_to_exitcode(status), int(text)))


def _child(run: Run, counts: int) -> NoReturn:
    os.setsid()
    os.chdir(run.folder)
    os.environ.update(run.environment)
    log = os.open(run.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(log, stream)
    steps = _count_steps(run)
    code: Any = 70
    try:
        from stylexport.cli import main

        sys.argv = ["stylexport", *run.arguments]
        main()
    except SystemExit as leave:
        code = leave.code or 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os.write(counts, str(steps[0]).encode())
        os._exit(code if isinstance(code, int) else 1)


def _count_steps(run: Run) -> list[int]:
    """The number of steps so far, in a list of one; at the one where it is to be killed, it kills itself."""
    steps, here, step = [0], str(run.folder.resolve()), run.kill.step if run.kill is not None else None

    def about_to(event: str, arguments: tuple[Any, ...]) -> None:
        if event not in STEPS or not isinstance(arguments[0], str | bytes | os.PathLike):
            return
        if event == "open" and not (isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)):
            return
        if os.path.abspath(os.fsdecode(arguments[0])).startswith(here):
            steps[0] += 1
            if steps[0] == step and run.kill is not None:
                if event == "open" and arguments[2] & os.O_TRUNC:
                    os.close(os.open(arguments[0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
                os.kill(os.getpid(), run.kill.signal)

    sys.addaudithook(about_to)
    return steps


def _orphans(session: int, patience: float = 12.0) -> tuple[int, ...]:
    """Processes of a session whose leader has ended, and that go on for `patience` seconds (PyTorch's data loaders look every five)."""
    until = time.monotonic() + patience
    while (found := _members(session)) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def _members(session: int) -> tuple[int, ...]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, own = (entry / "stat").read_text().rpartition(") ")[2].split()[:4]
        except OSError:  # it has ended
            continue
        if own == str(session) and state != "Z":
            found.append(int(entry.name))
    return tuple(found)
