"""The global heaps of an HDF5 file, checked before the library reads them.

Text of variable length lies in a global heap, a collection of objects that begins with "GCOL" (HDF5 File Format Specification 3.0,
III.E). An object whose size is damaged sends the library into an endless loop: measured with HDF5 1.14.6, one of 240 damaged copies
of a small Keras model (`tests/converter/formats/test_hdf5.py`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from stylexport.common.errors import HostileFile

_COLLECTION = b"GCOL\x01\0\0\0"
_CHUNK = 4 << 20


def check_heaps(path: Path, file: BinaryIO) -> None:
    """Whether the objects of every global heap fill it exactly, one after the other. Raises HostileFile."""
    size = file.seek(0, 2)
    for at in _occurrences(file, _COLLECTION):
        file.seek(at + 8)
        end = at + int.from_bytes(file.read(8), "little")
        if end > size:
            raise HostileFile(path, f"the global heap at byte {at} declares {end - at} bytes, more than the file has")
        at += 16
        while at + 16 <= end:
            file.seek(at)
            index, _, _, length = struct.unpack("<2HLQ", file.read(16))
            taken = 16 + -(-length // 8) * 8 if index else length  # object 0 is the free space, its header included
            if taken < 16 or at + taken > end:
                raise HostileFile(path, f"the global heap object at byte {at} declares {length} bytes, which do not fit")
            at += taken


def _occurrences(file: BinaryIO, wanted: bytes) -> Iterator[int]:
    """Every place of `wanted` in the file."""
    file.seek(0)
    start, kept = 0, b""
    while piece := file.read(_CHUNK):
        block, at = kept + piece, -1
        after = file.tell()
        while (at := block.find(wanted, at + 1)) >= 0:
            yield start + at
        kept = block[-(len(wanted) - 1) :]
        start += len(block) - len(kept)
        file.seek(after)
