"""Whatever files, paths and people hold is shown escaped, everywhere, and never ends a command in a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stylexport import load
from tests.conftest import run

# Markup of rich, a terminal's commands, a line of our own, XML and HTML, the other direction of writing.
HOSTILE = "a[/b][v2][bold]\x1b[2J\x9b1m\r\nstylexport: error:<script>&\u202e"
SHOWN = "a[/b][v2][bold]\\x1b[2J\\x9b1m\\r\\nstylexport: error:<script>&\\u202e"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file of a hostile name, in which a variable has a hostile name: bytes that are no UTF-8, as Latin-1 writes é."""
    path = tmp_path / os.fsdecode(b"caf\xe9 [v2][bold].npz")
    np.savez(path, **{HOSTILE: np.ones((2, 3), np.float32)})  # type: ignore[arg-type]
    return path


def test_names_are_printed_as_they_are_but_for_what_a_terminal_would_obey(file: Path) -> None:
    ran = run("inspect", file)
    assert ran.code == 0
    assert SHOWN in ran.out
    assert "caf\\udce9 [v2][bold].npz" in ran.out
    assert not set(ran.out) & set("\x1b\x9b\r\u202e")


def test_an_error_is_one_line_whatever_is_named(file: Path) -> None:
    line = run("convert", file, "-o", file.parent / "out").one_line_error()
    assert "caf\\udce9 [v2][bold].npz" in line
    assert "\\x1b[2J" in run("inspect", "nowhere\x1b[2J").one_line_error()


def test_wrong_usage_shows_no_control_characters() -> None:
    ran = run("convert", "x", "-o", "y", "--network", "no\x1b[2J")
    assert ran.code == 2
    assert "\x1b" not in ran.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_json_in_every_encoding(file: Path, encoding: str) -> None:
    settings = {**os.environ, "PYTHONIOENCODING": encoding, "LC_ALL": "C"}
    done = subprocess.run([sys.executable, "-m", "stylexport", "inspect", file, "--json"], env=settings, capture_output=True, check=True)
    found = json.loads(done.stdout.decode("ascii"))
    assert [variable["name"] for variable in found["variables"]] == [HOSTILE]
    assert found["path"].endswith("caf\\udce9 [v2][bold].npz")


def test_a_terminal_of_few_characters_gets_the_rest_written_out(tmp_path: Path) -> None:
    path = tmp_path / "日本.npz"
    np.savez(path, ключ=np.ones(1, np.float32))
    settings = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-m", "stylexport", "inspect", path], env=settings, capture_output=True, check=True)
    assert b"\\u65e5\\u672c.npz" in done.stdout
    assert b"\\u043a\\u043b\\u044e\\u0447" in done.stdout


def test_labels_that_are_no_utf8_are_kept_in_a_file_that_is_json(demo: Path, tmp_path: Path) -> None:
    label = os.fsdecode(b"\xe9[/]")
    ran = run("convert", demo / "mobilenet.savedmodel.zip", "-o", tmp_path / "out", "--labels", f"{label},b")
    assert ran.code == 0
    assert json.loads((tmp_path / "out" / "stylex.json").read_text(encoding="utf-8"))["labels"] == [label, "b"]


def test_a_folder_whose_name_is_no_utf8_is_written_and_opened(demo: Path, tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    assert run("convert", demo / "encoder.savedmodel.zip", "-o", folder).code == 0
    assert load(folder).encoder is not None
