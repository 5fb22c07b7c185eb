"""A command that is asked to end clears what it had half-written, and so do the processes that it started."""

from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stylexport.common.atomic import whole_file
from stylexport.termination import Terminated, unwinding

RECORDER = "import threading, time, os; from stylexport.subprocess_record import _end_with_parent; "
RECORDER += "threading.Thread(target=_end_with_parent, daemon=True).start(); open('pid.part', 'w').write(str(os.getpid())); "
RECORDER += "os.rename('pid.part', 'pid'); time.sleep(60)"


def test_sigterm_unwinds_and_its_echo_does_not_end_the_clearing(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def work() -> None:
        with unwinding(), whole_file(tmp_path / "out") as partial:
            partial.write_text("half")
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)  # as `timeout` does
                assert partial.is_file()

    with pytest.raises(Terminated) as left:
        work()
    assert left.value.code == 143
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_import_is_not_broken_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a compiled module's own import an exception may end the process by abort(), as in TensorFlow's."""
    (tmp_path / "signalled.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGTERM)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)

    def work() -> None:
        with unwinding():
            assert importlib.import_module("signalled").whole
            time.sleep(60)

    with pytest.raises(Terminated):
        work()


def test_a_signal_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
    try:
        with unwinding():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_worker_ends_at_once() -> None:
    with unwinding():
        if not (worker := os.fork()):
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1]) == -signal.SIGTERM


def test_a_recorder_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    program = f"import stylexport.subprocess_record as s; s._PROGRAM = {RECORDER!r}; s.record_in_subprocess(['x'], 'out')"
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").is_file():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    recorder = int((tmp_path / "pid").read_text())
    while _lives(recorder):
        assert time.monotonic() < deadline, "it goes on without its parent"
        time.sleep(0.02)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()  # in a container nobody may collect it
    except (ProcessLookupError, FileNotFoundError):
        return False
