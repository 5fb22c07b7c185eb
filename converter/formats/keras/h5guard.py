"""Two places where the HDF5 library believes a damaged or hostile file, checked before it reads them.

Text attributes of variable length (HDF5 File Format Specification 3.0, III.E and IV.A.2.m) are stored as (length, address, index)
into a global heap, a collection that begins with "GCOL". A heap object whose size wraps round sends the library into an endless
loop, and a length is allocated and cleared before it is compared with anything: up to 4 GiB for each text. Headers of version 2
carry a checksum and are left to the library; Keras and h5py write version 1 unless told otherwise.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from stylexport.common.errors import HostileFile

_GCOL = b"GCOL\x01\0\0\0"
_CHUNK = 4 << 20
_CONTINUATION, _ATTRIBUTE = 0x10, 0x0C  # header message types
_VARIABLE_LENGTH = 9  # datatype class
_ENTRY = struct.Struct("<LQL")  # length, address of the heap, index in it


def check_heaps(path: Path, raw: BinaryIO) -> None:
    """Whether every global heap's objects fill it exactly, one after the other. Raises HostileFile."""
    size = raw.seek(0, 2)
    for at in _occurrences(raw, _GCOL):
        raw.seek(at + 8)
        end = at + int.from_bytes(raw.read(8), "little")
        if end > size:
            raise HostileFile(path, f"the global heap at byte {at} declares {end - at} bytes, more than the file has")
        at += 16
        while at + 16 <= end:
            raw.seek(at)
            index, _, _, length = struct.unpack("<2HLQ", raw.read(16))
            taken = 16 + -(-length // 8) * 8 if index else length  # object 0 is the free space, its header included
            if taken < 16 or at + taken > end:
                raise HostileFile(path, f"the global heap object at byte {at} declares {length} bytes, which do not fit")
            at += taken


def check_text_lengths(path: Path, raw: BinaryIO, base: int, header: int) -> None:
    """Whether each text in an object's attributes is shorter than the file. `header`: its address, counted from byte `base`."""
    size = raw.seek(0, 2)
    for kind, message in _messages(raw, base, header, size):
        if kind == _ATTRIBUTE and len(message) >= 8:
            for length, _, _ in _texts(message):
                if length > size:
                    raise HostileFile(path, f"an attribute declares a text of {length} bytes, more than the file has")


def _occurrences(raw: BinaryIO, wanted: bytes) -> Iterator[int]:
    """Every place of `wanted` in the file."""
    raw.seek(0)
    start, kept = 0, b""
    while piece := raw.read(_CHUNK):
        block, at = kept + piece, -1
        after = raw.tell()
        while (at := block.find(wanted, at + 1)) >= 0:
            yield start + at
        kept = block[-(len(wanted) - 1) :]
        start += len(block) - len(kept)
        raw.seek(after)


def _messages(raw: BinaryIO, base: int, header: int, size: int) -> Iterator[tuple[int, bytes]]:
    """(type, data) of the messages in a header of version 1; of any other, none."""
    raw.seek(base + header)
    prefix = raw.read(16)
    if len(prefix) < 16 or prefix[0] != 1:
        return
    blocks, seen = [(base + header + 16, int.from_bytes(prefix[8:12], "little"))], set[int]()
    while blocks:
        start, length = blocks.pop()
        if start in seen or start + length > size:
            continue
        seen.add(start)
        raw.seek(start)
        block, at = raw.read(length), 0
        while at + 8 <= len(block):
            kind, count = struct.unpack_from("<2H", block, at)
            message = block[at + 8 : at + 8 + count]
            if kind == _CONTINUATION and count >= 16:
                offset, extent = struct.unpack_from("<2Q", message)
                blocks.append((base + offset, extent))
            yield kind, message
            at += 8 + count


def _texts(message: bytes) -> Iterator[tuple[int, int, int]]:
    """The (length, heap, index) entries of an attribute message whose datatype is of variable length."""
    version, _, name, datatype, space = struct.unpack_from("<2B3H", message)
    if version == 1:  # each part padded to eight bytes
        name, datatype, space = (-(-part // 8) * 8 for part in (name, datatype, space))
    start = (9 if version == 3 else 8) + name
    if start < len(message) and message[start] & 0x0F == _VARIABLE_LENGTH:
        values = message[start + datatype + space :]
        yield from _ENTRY.iter_unpack(values[: len(values) // _ENTRY.size * _ENTRY.size])
