"""numpy's files: `.npy`, one array or one pickle of objects, and `.npz`, a zip of `.npy` members.

numpy itself reads headers and values, never a pickle: arrays of objects, such as a pickled dictionary of weights, go through
`pickled.unpickler`, which runs nothing. numpy writes bfloat16, which it does not know, as two-byte void.
"""

from __future__ import annotations

import io
import os
import tokenize
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np

from stylexport.common.errors import BadInput, DamagedFile, StylexportError
from stylexport.common.types import Array
from stylexport.converter.formats.archive import ZIP_ERRORS, Archive, looks_like_zip
from stylexport.converter.formats.base import Facts, TensorsOnly, Variable
from stylexport.converter.formats.damage import begins_with, damaged, open_binary
from stylexport.converter.formats.pickled.pickles import Leaf, PickleFile, from_value, leaves_of, load_pickle, variable_of
from stylexport.converter.formats.pickled.unpickler import read_pickle
from stylexport.converter.formats.slots import told_apart
from stylexport.converter.graph.tensor_proto import BFLOAT16

MAGIC = b"\x93NUMPY"
# What numpy.lib.format raises on a damaged header, which it reads by Python's own parser.
_NUMPY_ERRORS = (IndexError, MemoryError, OverflowError, RecursionError, SyntaxError, TypeError, ValueError, tokenize.TokenError)


@dataclass(frozen=True)
class Header:
    """Shape and dtype of the values, and the byte at which they begin. `pickled`: they are a pickle of objects."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    offset: int
    pickled: bool

    @property
    def nbytes(self) -> int:
        """Bytes of the values."""
        return prod(self.shape) * self.dtype.itemsize


def looks_like_npz(path: str | os.PathLike[str]) -> bool:
    """Whether the file is a zip of `.npy` members only."""
    if not looks_like_zip(path):
        return False
    try:
        with Archive(Path(path)) as archive:
            return bool(archive.members) and all(name.endswith(".npy") for name in archive.members)
    except StylexportError:
        return False


def looks_like_npy(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins with numpy's magic."""
    return begins_with(path, MAGIC)


def open_npz(path: str | os.PathLike[str]) -> NpzFile:
    """Opens a `.npz`. Raises BadInput, DamagedFile or HostileFile."""
    archive = Archive(Path(path))
    try:
        return NpzFile(archive)
    except BaseException:
        archive.close()
        raise


def open_npy(path: str | os.PathLike[str]) -> NpyFile | PickleFile:
    """Opens a `.npy`: one variable named by the file, or the tensors in its pickle. Raises BadInput, DamagedFile, HostileFile."""
    path = Path(path)
    with open_binary(path) as file:
        header = _read_header(path, "the file", file, os.fstat(file.fileno()).st_size)
    if header.pickled:
        return from_value(path, load_pickle(path, header.offset), "npy")
    return NpyFile(path, header)


class NpyFile(TensorsOnly):
    """One array in a file of its own, memory-mapped."""

    format = "npy"

    def __init__(self, path: Path, header: Header) -> None:
        self.path, self._header = path, header
        self.facts = Facts({}, {path.name: path.stat().st_size}, notes=_bfloat16_note([header]))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The one variable, named as the file without its ending."""
        return (_variable(self.path.stem, "array", self._header),)

    def read(self, variable: Variable) -> Array:
        """The array, read-only. Raises DamagedFile."""
        mode: Literal["r"] | None = "r" if self._header.nbytes else None  # nothing can be mapped of an empty array
        with damaged(self.path, "be read by numpy", (OSError, ValueError)):
            values = np.load(self.path, mmap_mode=mode, allow_pickle=False)
        return _native(np.asarray(values), self._header)

    def close(self) -> None:
        """Nothing to give back: the map closes with the last array in it."""


class NpzFile(TensorsOnly):
    """A zip of arrays; `key` is the member's name, without `.npy`, and the way through its containers where it is a pickle."""

    format = "npz"

    def __init__(self, archive: Archive) -> None:
        self.path, self._archive = archive.path, archive
        self._headers: dict[str, Header] = {}
        self._leaves: dict[str, Leaf] = {}
        notes: list[str] = []
        for name, member in archive.members.items():
            if not name.endswith(".npy"):
                notes.append(f"{name} is not a .npy array and is left out")
                continue
            key = name.removesuffix(".npy")
            with archive.open(name) as stream:
                header = _read_header(self.path, f"array {key!r}", stream, member.file_size)
            if header.pickled:
                pickled = io.BytesIO(archive.read(name)[header.offset :])
                leaves, left_out = leaves_of(self.path, read_pickle(self.path, pickled), key)
                self._leaves |= leaves
                notes += left_out
            else:
                self._headers[key] = header
        if not self._headers and not self._leaves:
            raise BadInput(f"{self.path}: holds no arrays; expected what numpy.savez writes")
        notes += _bfloat16_note(list(self._headers.values()))
        files = {name: member.file_size for name, member in archive.members.items()}
        self.facts = Facts({}, files, "crc32 of every array", None, tuple(notes))
        self._variables = told_apart(
            [_variable(key, key, header, archive.members[f"{key}.npy"].CRC) for key, header in self._headers.items()]
            + [variable_of(leaf) for leaf in self._leaves.values()]
        )

    @property
    def variables(self) -> tuple[Variable, ...]:
        """In the order of the archive, then those out of pickles."""
        return self._variables

    def read(self, variable: Variable) -> Array:
        """The array, read-only, its CRC-32 verified. Raises DamagedFile."""
        if variable.key in self._leaves:
            return self._leaves[variable.key].array
        stream = self._archive.open(f"{variable.key}.npy")
        with stream, damaged(self.path, f"read array {variable.key!r}", (*ZIP_ERRORS, *_NUMPY_ERRORS)):
            values = np.lib.format.read_array(stream, allow_pickle=False)
            stream.read()  # to the end, where the CRC-32 is compared
        return _native(values, self._headers[variable.key])

    def close(self) -> None:
        """Closes the archive. Arrays that were read stay valid."""
        self._archive.close()


def _read_header(path: Path, what: str, file: IO[bytes], size: int) -> Header:
    """The header of a `.npy` of `size` bytes, of which `what` names the array in errors. Raises BadInput or DamagedFile."""
    with damaged(path, f"read the header of {what}", (*ZIP_ERRORS, *_NUMPY_ERRORS)):
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(file)
        offset = file.tell()
    if dtype.names is not None:
        raise BadInput(f"{path}: {what} is a table of several types, not a tensor; save its columns one by one")
    if any(extent < 0 for extent in shape):
        raise DamagedFile(path, f"{what} declares the shape {shape}")
    if dtype.kind == "V" and dtype.itemsize == 2:
        dtype = BFLOAT16
    if dtype.kind not in "fiubcSUO" and dtype != BFLOAT16:
        raise BadInput(f"{path}: {what} holds {dtype}, not numbers; leave it out")
    header = Header(shape, dtype, offset, dtype.hasobject)
    if not header.pickled and offset + header.nbytes != size:
        raise DamagedFile(path, f"{what} declares {header.nbytes} bytes {shape} of {dtype.name} and holds {size - offset}")
    return header


def _native(values: Array, header: Header) -> Array:
    """Read-only, in the machine's byte order, two-byte void as bfloat16."""
    values = values.view(BFLOAT16) if header.dtype == BFLOAT16 else values
    values = values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))
    values.flags.writeable = False
    return values


def _variable(name: str, key: str, header: Header, crc: int | None = None) -> Variable:
    kind = "string" if header.dtype.kind in "SU" else header.dtype.name
    checksum = None if crc is None else f"crc32:{crc:08x}"
    return Variable(name.removesuffix(":0"), key, header.shape, kind, header.nbytes, checksum)


def _bfloat16_note(headers: list[Header]) -> tuple[str, ...]:
    count = sum(header.dtype == BFLOAT16 for header in headers)
    return (f"{count} arrays of two-byte void are taken as bfloat16, which numpy writes so",) if count else ()
