"""TFRecord files: records of bytes, each with its checksums.

tensorflow/core/lib/io/record_writer.h: a record is its length (uint64, little-endian), the masked CRC-32C of those eight bytes,
the data, and the masked CRC-32C of the data. There is no header and no index. A whole file may be gzip-compressed. What the
records hold is not said; in practice tf.train.Example (see `example`).
"""

from __future__ import annotations

import gzip
import os
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput, DamagedFile, HostileFile, StylexportError
from stylexport.converter.formats.base import Facts, Plain, Variable
from stylexport.converter.formats.checkpoint.checksums import masked_crc32c
from stylexport.converter.formats.guard import guarded
from stylexport.converter.formats.tfrecord.example import Feature, parse_example

GZIP = b"\x1f\x8b"
MAX_RECORD = 1 << 30  # bytes; more is no Example, whose protocol buffer may have 2 GiB at most
_CHUNK = 4 << 20
_HEAD = struct.Struct("<QL")


def looks_like_tfrecord(path: str | os.PathLike[str]) -> bool:
    """Whether the file, decompressed if it is gzip, begins with a length whose checksum is right."""
    try:
        with _open(Path(path)) as file:
            head = file.read(_HEAD.size)
    except (StylexportError, OSError, EOFError, ValueError):
        return False
    return len(head) == _HEAD.size and masked_crc32c(head[:8]) == _HEAD.unpack(head)[1]


def read_records(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The records in turn, both checksums of each verified. Raises BadInput, DamagedFile or HostileFile."""
    path = Path(path)
    with guarded(path, "be read as TFRecord"), _open(path) as file:
        number = 0
        while head := file.read(_HEAD.size):
            if len(head) < _HEAD.size:
                raise DamagedFile(path, f"ends inside the header of record {number}")
            length, length_crc = _HEAD.unpack(head)
            if masked_crc32c(head[:8]) != length_crc:
                raise DamagedFile(path, f"the checksum of the length of record {number} is wrong")
            if length > MAX_RECORD:
                raise HostileFile(path, f"record {number} declares {length} bytes, more than {MAX_RECORD}")
            data, crc = _exactly(path, file, length, number), _exactly(path, file, 4, number)
            if masked_crc32c(data) != int.from_bytes(crc, "little"):
                raise DamagedFile(path, f"the checksum of record {number} is wrong")
            yield data
            number += 1


def write_records(path: str | os.PathLike[str], records: Iterable[bytes]) -> int:
    """Writes the records, uncompressed; the file is whole or absent. Returns how many there were."""
    path = Path(path)
    count = 0
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            for data in records:
                count += 1
                length = struct.pack("<Q", len(data))
                file.write(length + struct.pack("<L", masked_crc32c(length)) + data + struct.pack("<L", masked_crc32c(data)))
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return count


def open_tfrecord(path: str | os.PathLike[str]) -> TfRecordArtefact:
    """Opens a TFRecord of Examples, reading it once through. Raises BadInput, DamagedFile or HostileFile."""
    return TfRecordArtefact(Path(path))


class TfRecordArtefact(Plain):
    """N Examples as one variable a feature, [N, n]; features that are bytes, or differ in length, are left out with a note."""

    format = "tfrecord"

    def __init__(self, path: Path) -> None:
        self.path = path
        sizes: dict[str, set[tuple[str, int]]] = {}
        count = 0
        for features in _examples(path):
            count += 1
            for name, values in features.items():
                sizes.setdefault(name, set()).add(("string" if isinstance(values, list) else values.dtype.name, len(values)))
        if not count:
            raise BadInput(f"{path}: holds no records")
        variables, notes = [], [f"{count} records of tf.train.Example"]
        for name in sorted(sizes):
            dtype, size = min(sizes[name])
            if len(sizes[name]) > 1 or dtype == "string":
                notes.append(f"feature {name!r} is bytes, or not of one length, and is left out")
            else:
                variables.append(Variable(name, name, (count, size), dtype, count * size * np.dtype(dtype).itemsize))
        self._variables = tuple(variables)
        self.facts = Facts({}, {path.name: path.stat().st_size}, "crc32c of every record", None, tuple(notes))

    @property
    def variables(self) -> tuple[Variable, ...]:
        """In alphabetical order."""
        return self._variables

    def read(self, variable: Variable) -> NDArray[Any]:
        """The feature of all records, [N, n], read-only. Raises DamagedFile where a record lacks it."""
        values = np.empty(variable.shape, variable.dtype)
        with guarded(self.path, f"read feature {variable.key!r}"):
            for number, features in enumerate(_examples(self.path)):
                if variable.key not in features:
                    raise BadInput(f"{self.path}: record {number} lacks the feature {variable.key!r}")
                values[number] = features[variable.key]
        values.flags.writeable = False
        return values

    def close(self) -> None:
        """Nothing to give back: the file is open only while it is read."""


def _examples(path: Path) -> Iterator[dict[str, Feature]]:
    for number, data in enumerate(read_records(path)):
        yield parse_example(path, number, data)


def _open(path: Path) -> BinaryIO:
    file = path.open("rb")
    head = file.read(2)
    file.seek(0)
    if head != GZIP:
        return file
    file.close()
    return cast(BinaryIO, gzip.open(path, "rb"))


def _exactly(path: Path, file: BinaryIO, size: int, number: int) -> bytes:
    """`size` bytes, taken in pieces, so that a lying length costs no more memory than the file has bytes."""
    pieces: list[bytes] = []
    while size and (piece := file.read(min(size, _CHUNK))):
        pieces.append(piece)
        size -= len(piece)
    if size:
        raise DamagedFile(path, f"ends inside record {number}")
    return b"".join(pieces)
