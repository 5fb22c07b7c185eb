"""Safetensors are read here as everywhere: what the package safetensors refuses is refused."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import SafetensorError, safe_open

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.output.safetensors_file import Appender, Writer, read

GOOD = {"a": ("F32", [2], [0, 8]), "b": ("F32", [3], [8, 20])}
BAD = {
    "two tensors share bytes": {**GOOD, "b": ("F32", [3], [4, 16])},
    "one lies in the other": {**GOOD, "b": ("F32", [1], [4, 8])},
    "both are the same": {**GOOD, "b": ("F32", [2], [0, 8])},
    "bytes that no tensor has": {**GOOD, "b": ("F32", [2], [12, 20])},
    "bytes behind the last": {"a": GOOD["a"]},
    "past the end": {**GOOD, "b": ("F32", [4], [8, 24])},
    "another shape than its bytes": {**GOOD, "b": ("F32", [2], [8, 20])},
    "backwards": {**GOOD, "b": ("F32", [3], [20, 8])},
    "negative": {**GOOD, "a": ("F32", [2], [-8, 0])},
}


def written(path: Path, entries: dict[str, Any]) -> Path:
    header = json.dumps({name: dict(zip(("dtype", "shape", "data_offsets"), entry, strict=True)) for name, entry in entries.items()})
    header += " " * (-len(header) % 8)
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + np.arange(5, dtype=np.float32).tobytes())
    return path


@pytest.mark.parametrize("what", BAD)
def test_a_file_whose_tensors_do_not_lie_one_after_the_other_is_refused(tmp_path: Path, what: str) -> None:
    path = written(tmp_path / "model.safetensors", BAD[what])
    with pytest.raises(SafetensorError), safe_open(path, framework="np"):
        pass
    with pytest.raises(DamagedFile, match=r"model\.safetensors: is not a safetensors file"):
        read(path)


def test_a_good_one_is_read(tmp_path: Path) -> None:
    found = read(written(tmp_path / "model.safetensors", GOOD))
    assert {name: value.tolist() for name, value in found.items()} == {"a": [0, 1], "b": [2, 3, 4]}


def test_a_dtype_that_is_no_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match="b is of dtype I32, not of F32"):
        read(written(tmp_path / "model.safetensors", {**GOOD, "b": ("I32", [3], [8, 20])}))


def test_what_the_writers_write_is_what_the_reader_takes(tmp_path: Path) -> None:
    values = {"wide": np.arange(3, dtype=np.float64), "none": np.zeros((0, 4), np.float32), "one": np.float16(0.5).reshape(())}
    with Writer(tmp_path / "placed", {name: (value.dtype.name, value.shape) for name, value in values.items()}) as file:
        for name, value in values.items():
            file.write(name, [value])
    with Appender(tmp_path / "appended") as appender:
        for name, value in values.items():
            appender.add(name, value)
        appender.finish({})
    for path in (tmp_path / "placed", tmp_path / "appended"):
        assert {name: value.tolist() for name, value in read(path).items()} == {name: value.tolist() for name, value in values.items()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["appended", "placed"]


def test_a_file_whose_writer_fails_is_absent_and_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="as it happens"), Appender(tmp_path / "out"):
        raise ValueError("as it happens")
    assert not list(tmp_path.iterdir())
    with pytest.raises(BadInput, match="name a file in an existing folder"), Appender(tmp_path / "nowhere" / "out"):
        pass
