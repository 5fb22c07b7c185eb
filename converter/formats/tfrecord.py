"""TFRecord files: records of bytes, each with its checksums, and the `tf.train.Example`s that they hold in practice.

tensorflow/core/lib/io/record_writer.h: a record is its length (uint64, little-endian), the masked CRC-32C of those eight bytes,
the data, and the masked CRC-32C of the data. There is no header and no index. A whole file may be gzip-compressed. An Example
(tensorflow/core/example/{example,feature}.proto) is a map from names to lists of bytes, float32 or int64.
"""

from __future__ import annotations

import gzip
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from stylexport.common.atomic import whole_file
from stylexport.common.errors import BadInput, DamagedFile, HostileFile
from stylexport.common.types import Array
from stylexport.converter.formats.base import Facts, TensorsOnly, Variable
from stylexport.converter.formats.checkpoint.checksums import masked_crc32c
from stylexport.converter.formats.damage import begins_with, damaged, open_binary
from stylexport.converter.graph import protos

GZIP = b"\x1f\x8b"
MAX_RECORD = 1 << 30  # bytes; an Example is a protocol buffer, which may have 2 GiB at most
_HEAD = struct.Struct("<QL")
_GZIP_ERRORS = (EOFError, OSError, zlib.error)

Feature = NDArray[np.float32] | NDArray[np.int64] | list[bytes]


def looks_like_tfrecord(path: str | os.PathLike[str]) -> bool:
    """Whether the file, decompressed if it is gzip, begins with a length whose checksum is right."""
    try:
        with _open(Path(path)) as file:
            head = file.read(_HEAD.size)
    except (BadInput, *_GZIP_ERRORS):
        return False
    return len(head) == _HEAD.size and masked_crc32c(head[:8]) == _HEAD.unpack(head)[1]


def read_records(path: str | os.PathLike[str]) -> Iterator[bytes]:
    """The records in turn, both checksums of each verified. Raises BadInput, DamagedFile or HostileFile."""
    path, number = Path(path), 0
    with _open(path) as file:
        while head := _read(path, file, _HEAD.size):
            if len(head) < _HEAD.size:
                raise DamagedFile(path, f"ends inside the header of record {number}")
            length, length_crc = _HEAD.unpack(head)
            if masked_crc32c(head[:8]) != length_crc:
                raise DamagedFile(path, f"the checksum of the length of record {number} is wrong")
            if length > MAX_RECORD:
                raise HostileFile(path, f"record {number} declares {length} bytes, more than {MAX_RECORD}")
            data, crc = _read(path, file, length), _read(path, file, 4)
            if len(data) < length or len(crc) < 4:
                raise DamagedFile(path, f"ends inside record {number}")
            if masked_crc32c(data) != int.from_bytes(crc, "little"):
                raise DamagedFile(path, f"the checksum of record {number} is wrong")
            yield data
            number += 1


def write_records(path: str | os.PathLike[str], records: Iterable[bytes]) -> int:
    """Writes the records, uncompressed; the file is whole or absent. Returns how many there were."""
    count = 0
    with whole_file(Path(path)) as partial, partial.open("wb") as file:
        for data in records:
            count += 1
            length = struct.pack("<Q", len(data))
            file.write(length + struct.pack("<L", masked_crc32c(length)) + data + struct.pack("<L", masked_crc32c(data)))
    return count


def parse_example(path: str | os.PathLike[str], record: int, data: bytes) -> dict[str, Feature]:
    """Name -> float32 [n], int64 [n] or list of bytes. Raises DamagedFile, naming the record, where the bytes are not an Example."""
    example = protos.parse(protos.Example, data, path, f"record {record}")
    features: dict[str, Feature] = {}
    for entry in example.features.feature:
        value = entry.value
        if value.HasField("float_list"):
            features[entry.key] = np.fromiter(value.float_list.value, np.float32, len(value.float_list.value))
        elif value.HasField("int64_list"):
            features[entry.key] = np.fromiter(value.int64_list.value, np.int64, len(value.int64_list.value))
        else:
            features[entry.key] = list(value.bytes_list.value)
    return features


def make_example(features: Mapping[str, NDArray[np.float32] | NDArray[np.int64] | Sequence[bytes]]) -> bytes:
    """The Example of these features, names in alphabetical order; floats become float32 [n], integers int64 [n]."""
    example = protos.Example()
    for name in sorted(features):
        entry, values = example.features.feature.add(key=name), features[name]
        if not isinstance(values, np.ndarray):
            entry.value.bytes_list.value.extend(values)
        elif values.dtype.kind == "f":
            entry.value.float_list.value.extend(values.ravel().tolist())
        else:
            entry.value.int64_list.value.extend(values.ravel().tolist())
    return bytes(example.SerializeToString())


class TfRecordFile(TensorsOnly):
    """N Examples as one variable a feature, [N, n]; features that are bytes, or differ in length, are left out with a note.

    Opening reads the file once through. Raises BadInput, DamagedFile or HostileFile.
    """

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
        self.variables = tuple(variables)  # in alphabetical order
        self.facts = Facts({}, {path.name: path.stat().st_size}, "crc32c of every record", None, tuple(notes))

    def read(self, variable: Variable) -> Array:
        """The feature of all records, [N, n], read-only. Raises DamagedFile where a record lacks it."""
        values = np.empty(variable.shape, variable.dtype)
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
    return cast(BinaryIO, gzip.open(path, "rb")) if begins_with(path, GZIP) else open_binary(path)


def _read(path: Path, file: BinaryIO, size: int) -> bytes:
    """`size` bytes, fewer where the file ends."""
    with damaged(path, "be read as TFRecord", _GZIP_ERRORS):
        return file.read(size)
