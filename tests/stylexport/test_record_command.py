"""`stylexport record`: a line a network, JSON on request, one line where something is wrong, and nothing half-written."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from stylexport.converter.output.recording import Recording
from tests.conftest import run

pytestmark = pytest.mark.tensorflow


def test_it_says_what_it_recorded(demo: Path, tmp_path: Path) -> None:
    ran = run("record", demo, "-o", tmp_path / "out", "--network", "encoder", "--network", "generator", "--samples", "2")
    assert ran.code == 0, ran.err
    lines = ran.out.splitlines()
    assert lines[0].startswith("generator: 31 tensors of 2 samples from generator.savedmodel.zip; float32 is within ")
    assert lines[1] == "  no recorded call uses w_avg"
    assert lines[2].startswith("encoder: 17 tensors of 2 samples")
    assert lines[-1].startswith(f"wrote {tmp_path / 'out'} (")


def test_json_tells_the_same_to_a_program_and_nothing_else_is_printed(demo: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stylexport", "record", str(demo / "mobilenet.savedmodel.zip"), "-o", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert not done.stderr
    assert found["bytes"] == (tmp_path / "out").stat().st_size
    assert found["networks"]["classifier"]["taps"] == 83
    assert found["networks"]["classifier"]["samples"] == 8


def test_options_reach_the_recording(demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--network", "generator", "--latents", demo / "dlatents.pkl", "--seed", "9", "--store", "70")
    assert run("record", demo, "-o", out, *options).code == 0
    recording = Recording(out)
    assert recording.about["settings"] == {"inputs": "latents", "seed": 9, "samples": 8, "store": 70, "mapping": None}
    assert list(recording.about["inputs"]) == ["dlatents.pkl"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "nowhere: no such file or folder"),
        (("{demo}", "--network", "painter"), "no painter here"),
        (("{demo}", "--inputs", "missing.npz"), "missing.npz: No such file or directory"),
        (("{demo}", "--images", "."), "holds no PNG or JPEG file"),
        (("{demo}", "--latents", "{demo}/digits.npz"), "holds no tensor `dlatent`"),
        (("{demo}", "--samples", "7"), "groups of 4"),
        (("{demo}", "--images", ".", "--latents", "x"), "exclude each other"),
        (("{demo}", "--mapping", "missing.yaml"), "check the path given to --mapping"),
        (("{demo}/dlatents.pkl",), "no known network"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    arguments: tuple[str, ...], words: str, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run("record", *(argument.replace("{demo}", str(demo)) for argument in arguments), "-o", "out")
    assert ran.code == 2
    assert words in ran.one_line_error()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["folder", "nowhere/out"])
def test_a_place_that_cannot_be_written_is_told_before_anything_is_run(out: str, demo: Path, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    ran = run("record", demo, "-o", tmp_path / out)
    assert ran.code == 2
    assert str(tmp_path / out) in ran.one_line_error()
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_inputs_of_another_size_are_refused_by_name(demo: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "given.npz", image=np.zeros((2, 3, 16, 16)))
    ran = run("record", demo, "-o", tmp_path / "out", "--inputs", tmp_path / "given.npz", "--network", "encoder")
    assert ran.code == 2
    assert "image is [2, 3, 16, 16], the network takes [N, 3, 32, 32]" in ran.one_line_error()
    assert [path.name for path in tmp_path.iterdir()] == ["given.npz"]


def test_an_interrupted_recording_leaves_what_was_there(demo: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"an older recording")
    program = (
        "import stylexport.reference_tf.record.record_network as o, signal, stylexport.cli, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's background job begins with it ignored
        "o._weights = lambda *a: (print('ready', flush=True), time.sleep(60))\n"
        f"sys.argv = ['stylexport', 'record', {str(demo)!r}, '-o', {str(tmp_path / 'out')!r}]\n"
        "stylexport.cli.main()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; nothing half-written was left" in errors.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out").read_bytes() == b"an older recording"


def test_without_tensorflow_the_remedy_is_named(demo: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "sys.modules['tensorflow'] = None\n"
        f"sys.argv = ['stylexport', 'record', {str(demo)!r}, '-o', {str(tmp_path / 'out')!r}]\n"
        "from stylexport.cli import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "stylexport: error: record needs TensorFlow (tensorflow is missing): pip install 'stylexport[tensorflow]'"
