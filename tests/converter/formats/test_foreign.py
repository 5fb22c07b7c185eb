"""Networks in formats that are not read are told by name, by what the file holds, with what to do instead."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from stylexport.converter.formats.foreign import foreign
from tests.conftest import run

TFLITE = b"\x1c\x00\x00\x00TFL3" + bytes(100)
ONNX = b"\x08\x07\x12\x07pytorch\x1a\x031.9" + bytes(100)


@pytest.mark.parametrize("name", ["model.tflite", "model.bin"])
@pytest.mark.parametrize("command", ["inspect", "convert"])
def test_tensorflow_lite_is_told_with_what_it_was_made_from(tmp_path: Path, name: str, command: str) -> None:
    (tmp_path / name).write_bytes(TFLITE)
    ran = run(command, tmp_path / name, *(["-o", tmp_path / "out"] if command == "convert" else []))
    assert ran.code == 2
    error = ran.one_line_error()
    assert name in error
    assert "TensorFlow Lite" in error
    assert "name the SavedModel, checkpoint or Keras file" in error


@pytest.mark.parametrize("name", ["model.onnx", "model"])
def test_onnx_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(ONNX)
    error = run("inspect", tmp_path / name).one_line_error()
    assert "an ONNX network" in error
    assert "onnx2torch" in error


def test_a_folder_with_nothing_else_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "detect.tflite").write_bytes(TFLITE)
    assert "detect.tflite is a TensorFlow Lite network" in run("inspect", tmp_path).one_line_error()


def test_a_converted_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "stylex.json").write_text("{}")
    assert "is what `stylexport convert` wrote" in run("inspect", tmp_path).one_line_error()


def test_pytorch_and_weightless_files_are_told(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02.")
    (tmp_path / "m.json").write_text("{}")
    assert "torch.load" in str(foreign(tmp_path / "w.pt"))
    assert "holds no weights" in str(foreign(tmp_path / "m.json"))
    (tmp_path / "w.bin").write_bytes(b"\x08\x01\x12\xff\xff\x03 a SavedModel's beginning")
    assert foreign(tmp_path / "w.bin") is None
    assert foreign(tmp_path / "absent.onnx") is None
