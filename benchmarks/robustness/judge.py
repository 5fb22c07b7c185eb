"""What comes of a command on a harmed file, in a process of its own that may neither hang nor take the machine's memory."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import resource
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import stylexport.cli
from benchmarks.robustness.subjects import Subject

SECONDS, PATIENCE = 20, 120  # of a processor, on the wall
MEMORY = 1 << 30  # bytes beyond what the process has when it begins
GOOD = ("refused", "same", "different")  # by a clear error; to the same numbers; to those of a file that is legitimately another
BAD = ("traceback", "unclear", "wrong exit code", "silent", "left behind", "memory", "hang", "crash")


def in_child(work: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What `work` returns in a process of its own; "hang", "crash" or "memory" where it does not come to that."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(reading)
            _limit()
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.write(writing, json.dumps(work()).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writing)
    data, deadline = b"", time.monotonic() + PATIENCE
    try:
        while select.select([reading], [], [], max(0, deadline - time.monotonic()))[0]:
            if not (piece := os.read(reading, 1 << 16)):
                break
            data += piece
        else:
            os.kill(child, signal.SIGKILL)
    finally:
        os.close(reading)
    _, status, usage = os.wait4(child, 0)
    if data:
        return dict(json.loads(data))
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number in (signal.SIGXCPU, signal.SIGKILL):
        return {"outcome": "hang", "said": f"{usage.ru_utime:.0f} s of a processor"}
    return {"outcome": "crash", "said": f"signal {number}"}


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS + int(time.process_time()), SECONDS + 5 + int(time.process_time())))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with open("/proc/self/status") as status:
        held = next(int(line.split()[1]) for line in status if line.startswith("VmData")) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (held + MEMORY, held + MEMORY))


def read(subject: Subject, folder: Path) -> dict[str, str]:
    """Runs the subject's command in its folder: {"outcome", "said", "values"}, the outcome being "read", "refused" or what went wrong."""
    os.chdir(folder)
    out = folder.parent / "out"
    before = set(folder.rglob("*"))
    sys.argv = ["stylexport", *(str(out) if part == "OUT" else part for part in subject.command)]
    run = stylexport.cli._run
    if subject.command[0] == "python":
        module, _, function = subject.command[1].partition(":")
        reader = getattr(importlib.import_module(module), function)
        stylexport.cli._run = lambda: print(json.dumps(reader(Path(subject.command[2])))) or 0
    printed, said = io.StringIO(), io.StringIO()
    code = 70
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            stylexport.cli.main()
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 1
    finally:
        stylexport.cli._run = run
    error = said.getvalue()
    if code == 0 or (code in (1, 3) and subject.command[0] == "verify" and printed.getvalue()):
        return {"outcome": "read", "said": "", "values": subject.values(out, printed.getvalue())}
    left = [str(path) for path in {out, *folder.rglob("*")} - before if path.exists()]
    return {"outcome": _refusal(code, error, left), "said": error.strip()[-2000:], "values": ""}


def _refusal(code: int, error: str, left: list[str]) -> str:
    """Whether a refusal is one: a clear line, exit code 2 or 3, and nothing left behind."""
    lines = error.strip().splitlines()
    if "the memory is not enough" in error:
        return "memory"
    if code == 70 or "Traceback" in error:
        return "traceback"
    if code not in (2, 3):
        return "wrong exit code"
    if len(lines) != 1 or not lines[0].startswith("stylexport: error: ") or len(lines[0]) > 4100 or not lines[0].isprintable():
        return "unclear"
    return "left behind" if left else "refused"


def verdict(found: dict[str, str], unharmed: str, sealed: bool) -> str:
    """The outcome of a mutation, given what the unharmed file gives."""
    if found["outcome"] != "read":
        return found["outcome"]
    if found["values"] == unharmed:
        return "same"
    return "silent" if sealed else "different"
