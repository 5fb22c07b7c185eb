"""What would send the HDF5 library into an endless loop is refused before the library sees it."""

from __future__ import annotations

import struct
from pathlib import Path

import h5py
import numpy as np
import pytest

from stylexport.common.errors import HostileFile
from stylexport.converter.formats.keras.hdf5 import open_hdf5

TEXT = "a text of variable length"


@pytest.fixture(params=[0, 1024])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A file whose one attribute is variable-length text, with and without a user block before it."""
    path = tmp_path / "t.h5"
    with h5py.File(path, "w", userblock_size=request.param) as file:
        file.attrs["backend"] = TEXT
        file["w"] = np.float32([1, 2])
    return path


def replace(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.unlink()  # a new file: the old one may still be open
    path.write_bytes(data.replace(old, new))


def heap(path: Path) -> bytes:
    """The beginning of the global heap."""
    data = path.read_bytes()
    at = data.index(b"GCOL")
    return data[at : at + 64]


def test_an_honest_file_is_read(file: Path) -> None:
    assert repr(TEXT) in open_hdf5(file).facts.notes[0]


@pytest.mark.parametrize("length", [2**64 - 9, 2**64 - 1, 5000, 2**63])
def test_a_heap_object_that_does_not_fit_is_refused(file: Path, length: int) -> None:
    whole = heap(file)
    replace(file, whole, whole[:24] + struct.pack("<Q", length) + whole[32:])
    with pytest.raises(HostileFile, match=f"declares {length} bytes, which do not fit"):
        open_hdf5(file)


def test_a_heap_longer_than_the_file_is_refused(file: Path) -> None:
    whole = heap(file)
    replace(file, whole, whole[:8] + struct.pack("<Q", 1 << 40) + whole[16:])
    with pytest.raises(HostileFile, match="declares 1099511627776 bytes, more than the file has"):
        open_hdf5(file)
