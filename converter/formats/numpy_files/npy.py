r"""The header of a `.npy` file, read without evaluating it.

numpy (`numpy/lib/format.py`): the magic b"\x93NUMPY", major and minor version, the header's length (2 bytes in version 1, 4 in 2
and 3), then a Python dictionary as text with `descr` (the dtype), `fortran_order` and `shape`, padded with spaces. The values
follow, or a pickle where the dtype is object. numpy writes bfloat16, which it does not know, as two-byte void.
"""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.guard import guarded
from stylexport.converter.graph.tensor_proto import BFLOAT16

MAGIC = b"\x93NUMPY"
MAX_HEADER = 10_000  # as numpy itself: longer text may exhaust the parser
PREFIX = MAX_HEADER + 16  # bytes that hold any header


@dataclass(frozen=True)
class Header:
    """Shape, dtype and order of the values, and the byte at which they begin. `pickled`: they are a pickle of objects."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int
    pickled: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return prod(self.shape) * self.dtype.itemsize

    def view(self, raw: Any) -> NDArray[Any]:
        """The values in `raw`, bytes of exactly `nbytes`: read-only, in the machine's byte order."""
        values = np.frombuffer(raw, self.dtype).reshape(self.shape, order="F" if self.fortran else "C")
        if not values.dtype.isnative:
            values = values.astype(values.dtype.newbyteorder("="))
        values.flags.writeable = False
        return values


def parse_header(path: str | os.PathLike[str], what: str, start: bytes) -> Header:
    """The header in the first PREFIX bytes of a `.npy`; `what` names the array in errors. Raises BadInput or DamagedFile."""
    version = tuple(start[6:8])
    if start[:6] != MAGIC or version not in ((1, 0), (2, 0), (3, 0)):
        raise DamagedFile(path, f"{what} does not begin as a .npy array does")
    width = 2 if version == (1, 0) else 4
    offset = 8 + width + int.from_bytes(start[8 : 8 + width], "little")
    if offset > min(len(start), 8 + width + MAX_HEADER):
        raise DamagedFile(path, f"{what} declares a header of {offset - 8 - width} bytes")
    with guarded(path, f"read the header of {what}"):
        header = ast.literal_eval(start[8 + width : offset].decode("utf-8" if version == (3, 0) else "latin-1").strip())
        shape, descr, fortran = header["shape"], header["descr"], header["fortran_order"]
        if not isinstance(shape, tuple) or not all(type(extent) is int and extent >= 0 for extent in shape):
            raise ValueError(f"shape {shape!r}")
        if not isinstance(descr, str):
            raise BadInput(f"{path}: {what} is a table of several types, not a tensor; save its columns one by one")
        dtype = np.dtype(descr)
        pickled = dtype.hasobject
        if dtype.kind == "V" and dtype.itemsize == 2:
            dtype = BFLOAT16
        if dtype.kind not in "fiubcSUO" and dtype != BFLOAT16:
            raise BadInput(f"{path}: {what} holds {dtype}, not numbers; leave it out")
        return Header(shape, dtype, bool(fortran), offset, pickled)


def check_size(path: str | os.PathLike[str], what: str, header: Header, size: int) -> None:
    """Whether a `.npy` of `size` bytes holds just what its header declares; else DamagedFile."""
    if not header.pickled and header.offset + header.nbytes != size:
        found = size - header.offset
        raise DamagedFile(path, f"{what} declares {header.nbytes} bytes {header.shape} of {header.dtype.name} and holds {found}")
