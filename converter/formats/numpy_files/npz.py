"""numpy's files: `.npz`, a zip of `.npy` members, and `.npy`, one array or one pickle of objects (see `npy`).

Members that are stored, as `numpy.savez` does, are mapped and their CRC-32 computed where they lie; compressed ones are held in
memory while they are read. Arrays of objects, such as a pickled dictionary of weights, go through `pickle_machine`, which runs
nothing.
"""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput, DamagedFile, StylexportError
from stylexport.converter.formats.base import Facts, Plain, Variable
from stylexport.converter.formats.guard import guarded
from stylexport.converter.formats.keras.keras_names import variable_slot
from stylexport.converter.formats.numpy_files.npy import MAGIC, PREFIX, Header, check_size, parse_header
from stylexport.converter.formats.pickled.pickle_machine import read_pickle
from stylexport.converter.formats.pickled.pickle_values import StoredArray
from stylexport.converter.formats.pickled.pickles import Leaf, PickleArtefact, from_value, leaves_of, load_pickle, variable_of
from stylexport.converter.formats.zips import STORED, SafeZip, looks_like_zip, open_zip


def looks_like_npz(path: str | os.PathLike[str]) -> bool:
    """Whether the file is a zip of `.npy` members only, the first of which begins as one."""
    if not looks_like_zip(path):
        return False
    try:
        with open_zip(path) as archive:
            names = list(archive.members)
            if not names or not all(name.endswith(".npy") for name in names):
                return False
            with archive.stream(names[0]) as stream:
                return stream.read(len(MAGIC)) == MAGIC
    except StylexportError:
        return False


def looks_like_npy(path: str | os.PathLike[str]) -> bool:
    """Whether the file begins with numpy's magic."""
    try:
        with open(path, "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def open_npz(path: str | os.PathLike[str]) -> NpzArtefact:
    """Opens a `.npz`. Raises BadInput, DamagedFile or HostileFile."""
    path = Path(path)
    archive = open_zip(path)
    try:
        return NpzArtefact(path, archive)
    except BaseException:
        archive.close()
        raise


def open_npy(path: str | os.PathLike[str]) -> NpyArtefact | PickleArtefact:
    """Opens a `.npy`: one variable named by the file, or the tensors in its pickle. Raises BadInput, DamagedFile, HostileFile."""
    path = Path(path)
    with guarded(path, "be read"), path.open("rb") as file:
        start, size = file.read(PREFIX), os.fstat(file.fileno()).st_size
    header = parse_header(path, "the file", start)
    if header.pickled:
        return from_value(path, load_pickle(path, header.offset), "npy")
    check_size(path, "the file", header, size)
    return NpyArtefact(path, header)


class NpyArtefact(Plain):
    """One array in a file of its own, memory-mapped."""

    format = "npy"

    def __init__(self, path: Path, header: Header) -> None:
        self.path, self._header = path, header
        self.facts = Facts({}, {path.name: path.stat().st_size}, notes=_brain_note([header]))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The one variable, named as the file without its ending."""
        return (_variable(self.path.stem, "array", self._header),)

    def read(self, variable: Variable) -> NDArray[Any]:
        """The array, read-only."""
        with guarded(self.path, "be read"):
            return self._header.view(_mapped(self.path, self._header.offset, self._header.nbytes))

    def close(self) -> None:
        """Nothing to give back: the map closes with the last array in it."""


class NpzArtefact(Plain):
    """A zip of arrays; `key` is the member's name, without `.npy`, and the way through its containers where it is a pickle."""

    format = "npz"

    def __init__(self, path: Path, archive: SafeZip) -> None:
        self.path, self._archive = path, archive
        self._headers: dict[str, Header] = {}
        self._leaves: dict[str, Leaf] = {}
        notes: list[str] = []
        for name, member in archive.members.items():
            if not name.endswith(".npy"):
                notes.append(f"{name} is no .npy array and is left out")
                continue
            key = name.removesuffix(".npy")
            with archive.stream(name) as stream:
                header = parse_header(path, f"array {key!r}", stream.read(PREFIX))
            check_size(path, f"array {key!r}", header, member.size)
            if header.pickled:
                leaves, left_out = leaves_of(path, read_pickle(path, archive.read(name), header.offset), key)
                self._leaves |= leaves
                notes += left_out
            else:
                self._headers[key] = header
        if not self._headers and not self._leaves:
            raise BadInput(f"{path}: holds no arrays; expected what numpy.savez writes")
        notes += _brain_note(list(self._headers.values()))
        files = {name: member.size for name, member in archive.members.items()}
        self.facts = Facts({}, files, "crc32 of every array", None, tuple(notes))
        shapes = {leaf.name: leaf.array.shape for leaf in self._leaves.values()}
        self._variables = tuple(
            [_variable(key, key, header, archive.members[f"{key}.npy"].crc32) for key, header in self._headers.items()]
            + [variable_of(leaf, shapes) for leaf in self._leaves.values()]
        )

    @property
    def variables(self) -> tuple[Variable, ...]:
        """In the order of the archive, then those out of pickles."""
        return self._variables

    def read(self, variable: Variable) -> NDArray[Any]:
        """The array, read-only, its CRC-32 verified; mapped where it is stored. Raises DamagedFile."""
        if variable.key in self._leaves:
            array = self._leaves[variable.key].array
            return array.load() if isinstance(array, StoredArray) else array
        header, name = self._headers[variable.key], f"{variable.key}.npy"
        member = self._archive.members[name]
        with guarded(self.path, f"read array {variable.key!r}"):
            if member.method != STORED:
                return header.view(memoryview(self._archive.read(name))[header.offset :])
            raw = _mapped(self.path, member.data_offset, member.size)
            if (crc := zlib.crc32(raw.data)) != member.crc32:
                raise DamagedFile(self.path, f"array {variable.key!r} has CRC-32 {crc:08x}, not {member.crc32:08x}")
            return header.view(raw[header.offset :])

    def close(self) -> None:
        """Closes the archive. Arrays that were read stay valid."""
        self._archive.close()


def _mapped(path: Path, offset: int, size: int) -> NDArray[np.uint8]:
    """Bytes of the file, read-only, mapped."""
    return np.asarray(np.memmap(path, np.uint8, "r", offset, (size,))) if size else np.empty(0, np.uint8)


def _variable(name: str, key: str, header: Header, crc: int | None = None) -> Variable:
    kind = "string" if header.dtype.kind in "SU" else header.dtype.name
    checksum = None if crc is None else f"crc32:{crc:08x}"
    return Variable(name.removesuffix(":0"), key, header.shape, kind, header.nbytes, checksum, variable_slot(name))


def _brain_note(headers: list[Header]) -> tuple[str, ...]:
    brain = sum(header.dtype.name == "bfloat16" for header in headers)
    return (f"{brain} arrays of two-byte void are taken as bfloat16, which numpy writes so",) if brain else ()
