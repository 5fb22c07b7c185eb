"""The command line: quick to ask, quiet where nobody looks, one line and an exit code when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import stylexport
from stylexport.checkpoints import EMBEDDED
from stylexport.cli import COMMANDS
from tests.conftest import run


def test_help_lists_every_command_and_loads_none() -> None:
    program = (
        "import sys; sys.argv = ['stylexport', '--help']\n"
        "from stylexport.cli import main\n"
        "try: main()\n"
        "except SystemExit as leave: assert leave.code == 0\n"
        "loaded = set(sys.modules)\n"
        "assert not loaded & {'torch', 'tensorflow', 'numpy', 'rich', 'google.protobuf'}, loaded\n"
    )
    out = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    for command in COMMANDS:
        assert command in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    ran = run(command, "--help")
    assert ran.code == 0
    assert COMMANDS[command][1].split()[0] in ran.out


def test_inspect_says_what_a_release_holds(demo: Path) -> None:
    found = json.loads(run("inspect", demo / "generator.savedmodel.zip", "--json").out)
    assert found["format"] == "savedmodel"
    assert found["network"] == "generator"
    assert found["versions"]["tensorflow"] == "2.21.0"
    assert found["checksums"]["verified"]
    config = found["networks"][0]["config"]
    assert (config["resolution"], config["latent"], config["labels"]) == (32, 32, 2)
    by_name = {v["name"]: v for v in found["variables"]}
    assert by_name["generator_synthesis/ConstBlock4x4/Const4x4"]["shape"] == [1, config["channels"][0], 4, 4]
    assert found["totals"]["variables"] == len(found["variables"])


def test_inspect_prints_the_same_for_people(demo: Path) -> None:
    out = run("inspect", demo / "mobilenet.savedmodel.zip").out
    for words in ("tensorflow 2.21.0", "classifier", "depthwise 3x3 / 2x2", "relu", "epsilon 0.001", "conv2d/kernel"):
        assert words in out


def test_inspect_of_a_folder_describes_each_artefact(demo: Path) -> None:
    found = json.loads(run("inspect", demo, "--json").out)
    networks = sorted(str(a["network"]) for a in found["artefacts"] if a["network"])
    assert networks == ["classifier", "discriminator", "encoder", "generator"]


def test_convert_reports_as_json(demo: Path, tmp_path: Path) -> None:
    done = json.loads(run("convert", demo, "-o", tmp_path / "out", "--json", "--labels", "8,9").out)
    assert set(done["networks"]) == {"classifier", "discriminator", "encoder", "generator"}
    assert any("dlatents.pkl" in line for line in done["passed_over"])
    assert json.loads((tmp_path / "out" / "stylex.json").read_text())["labels"] == ["8", "9"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("convert", "nowhere", "-o", "out"), "nowhere: no such file or folder"),
        (("inspect", "nowhere"), "nowhere: no such file or folder"),
        (("export-tf", "nowhere", "-o", "out"), "nowhere: no such folder"),
        (("fetch", "nothing"), "nothing"),
        (("convert", "-o", "out", "--network", "painter=x"), "painter: no such network"),
        (
            ("convert", str(EMBEDDED / "mobilenet.savedmodel.zip"), "-o", "out", "--labels", "a,a"),
            "a, a: two labels of one name; give each its own",
        ),
        (
            ("convert", str(EMBEDDED / "mobilenet.savedmodel.zip"), "-o", "out", "--labels", "a,b,c"),
            "a, b, c: 3 label names, and the networks are for 2 labels; name 2",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = run(*arguments)
    assert ran.code == 2
    assert words in ran.one_line_error()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments", [(), ("frobnicate",), ("convert",), ("convert", "-o", "x"), ("convert", "x", "-o", "y", "--dtype", "int8")]
)
def test_wrong_usage_is_exit_code_two(arguments: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments).code == 2
    assert not list(tmp_path.iterdir())


def test_verbose_shows_the_traceback() -> None:
    assert "Traceback" in run("inspect", "nowhere", "-v").err
    assert "Traceback" in run("-v", "inspect", "nowhere").err


def test_nothing_but_the_answer_is_printed_where_there_is_no_terminal(demo: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "stylexport", "convert", str(demo), "-o", str(tmp_path / "out"), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    json.loads(done.stdout)
    assert not done.stderr


def test_a_killed_conversion_leaves_no_folder_and_the_next_one_works(demo: Path, tmp_path: Path) -> None:
    program = (
        "import stylexport.converter.output.convert as c, os, sys, time\n"
        "c.write_index = lambda *a: time.sleep(60)\n"
        f"c.convert({str(demo)!r}, {str(tmp_path / 'out')!r})\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program])
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.partial/*/model.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert [path.name for path in tmp_path.iterdir()] == [".out.partial"]
    assert run("convert", demo, "-o", tmp_path / "out").code == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_from_python_as_from_the_command_line(demo: Path, tmp_path: Path) -> None:
    stylexport.convert([demo / "encoder.savedmodel.zip"], tmp_path / "out")
    assert stylexport.inspect(demo / "encoder.savedmodel.zip")["network"] == "encoder"
    stylex = stylexport.load(tmp_path / "out")
    assert stylex.encoder is not None
    assert stylex.generator is None
