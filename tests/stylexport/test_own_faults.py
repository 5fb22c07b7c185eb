"""A mistake of StylExport's is never reported as the user's: it ends with its traceback, one line that says so, and exit code 70."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

import stylexport.inspection
from stylexport.cli import OWN_FAULT
from stylexport.converter.formats.registry import open_artefact
from tests.conftest import Ran, run


def is_own_fault(ran: Ran, words: str) -> bool:
    """Whether it ended as a fault of ours does, with `words` in the traceback."""
    lines = ran.err.strip().splitlines()
    return ran.code == 70 and lines[0].startswith("Traceback") and words in ran.err and lines[-1] == f"stylexport: {OWN_FAULT}"


@pytest.mark.parametrize(
    "mistake",
    [
        AttributeError("'NoneType' object has no attribute 'shape'"),
        TypeError("unsupported operand"),
        AssertionError("must not happen"),
        RuntimeError("a mistake"),
        KeyError("nothing"),
        ValueError("a mistake"),
        RecursionError("maximum recursion depth exceeded"),
        OSError("an error without a file"),
        ModuleNotFoundError("No module named 'stylexport.lost'", name="stylexport.lost"),
    ],
    ids=lambda mistake: type(mistake).__name__,
)
def test_a_mistake_in_a_command_is_ours(mistake: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise mistake

    monkeypatch.setattr(stylexport.inspection, "inspect", fails)
    assert is_own_fault(run("inspect", "x"), f"{type(mistake).__name__}: {mistake}")


@pytest.mark.parametrize("mistake", [AttributeError, TypeError, AssertionError, RuntimeError])
@pytest.mark.parametrize("command", ["inspect", "convert"])
def test_a_mistake_in_a_reader_is_ours(
    command: str, mistake: type[Exception], demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise mistake("in the reader")

    path = demo / "encoder.savedmodel.zip"
    artefact = open_artefact(path)
    monkeypatch.setattr(type(artefact), "read", fails)
    artefact.close()
    out = ("-o", tmp_path / "out") if command == "convert" else ()
    assert is_own_fault(run(command, path, *out), f"{mistake.__name__}: in the reader")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "out/config.json"), "out/config.json: Permission denied; name a place where"),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device; make room on the disk"),
        (FileNotFoundError(errno.ENOENT, "No such file or directory", b"x"), "x: No such file or directory; check the path"),
        (MemoryError(), "the memory is not enough; take fewer samples"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "the memory is not enough"),
    ],
)
def test_what_the_machine_refuses_is_one_line_with_file_and_remedy(refusal: Exception, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise refusal

    monkeypatch.setattr(stylexport.inspection, "inspect", fails)
    ran = run("inspect", "x")
    assert ran.code == 2
    assert words in ran.one_line_error()


def test_who_stops_reading_the_output_hears_no_more(demo: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "stylexport", "inspect", str(demo), "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141


@pytest.mark.parametrize(
    ("tensorflow", "code", "words"),
    [
        ("raise AttributeError('a mistake in the recorder')", 70, "AttributeError: a mistake in the recorder"),
        ("import nowhere", 2, "recording needs TensorFlow (nowhere is missing): pip install 'stylexport[tensorflow]'"),
        ("import os; os.kill(os.getpid(), 9)", 2, "recording was killed by signal 9"),
    ],
    ids=["a mistake", "not installed", "killed"],
)
def test_what_ends_the_recorder_is_said_by_the_command(
    tensorflow: str, code: int, words: str, converted: Path, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorflow.py").write_text(tensorflow)  # the recorder imports what this process would
    monkeypatch.syspath_prepend(tmp_path)
    ran = run("verify", converted, "--release", demo)
    assert ran.code == code
    assert words in ran.err
    assert is_own_fault(ran, words) if code == 70 else words in ran.one_line_error()
