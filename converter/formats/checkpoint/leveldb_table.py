"""The sorted table that holds a tensor bundle's index (`*.index`): LevelDB's table format.

The file is blocks, then a footer of 48 bytes: two block handles (metaindex and index; each offset and size as varint64), zeros up
to 40 bytes, and the magic 0xdb4775248b80fb57, little-endian. After each block stand one byte of type (0 raw, 1 Snappy) and the
masked CRC-32C of block and type byte. A block is entries, then a list of restart offsets (uint32 each) and their count (uint32).
An entry is varint32s shared, unshared and value length, then the unshared part of the key, then the value: keys are sorted and
prefix-compressed against the one before. The index block maps a separator key to the handle of each data block.
Source: github.com/google/leveldb/doc/table_format.md and tensorflow/core/lib/io/{format,table_builder}.cc.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cramjam

from stylexport.common.errors import DamagedFile
from stylexport.converter.formats.checkpoint.checksums import masked_crc32c

Bytes = bytes | mmap.mmap  # slices of either are bytes
FOOTER_SIZE = 48
MAGIC = 0xDB4775248B80FB57
_TRAILER = 5  # type byte and CRC
_MOST_BLOCK = 256 * 2**20  # no index of a checkpoint comes near; guards Snappy's declared length


def read_table(data: bytes, path: str | Path) -> list[tuple[bytes, bytes]]:
    """All (key, value) pairs of the table in `data`, every checksum verified. Raises DamagedFile naming `path`."""
    pairs = [pair for handle in data_blocks(data, path) for pair in block_entries(data, handle, path)]
    for (before, _), (after, _) in pairwise(pairs):
        if before >= after:
            raise DamagedFile(path, f"the keys {before!r} and {after!r} are not in order")
    return pairs


def data_blocks(data: Bytes, path: str | Path) -> list[Handle]:
    """The blocks of the table in `data` that hold its pairs, in order; those that hold the index are verified. Raises DamagedFile."""
    if len(data) < FOOTER_SIZE:
        raise DamagedFile(path, f"{len(data)} bytes are too few for an index (its footer alone has {FOOTER_SIZE})")
    footer = data[-FOOTER_SIZE:]
    (magic,) = struct.unpack("<Q", footer[40:])
    if magic != MAGIC:
        raise DamagedFile(path, f"no tensor bundle index: the file ends in {magic:#018x} instead of {MAGIC:#018x}")
    metaindex, at = Handle.read(footer, 0, path)
    index, at = Handle.read(footer, at, path)
    if any(footer[at:40]):
        raise DamagedFile(path, "the footer's padding is not zero")
    list(block_entries(data, metaindex, path))
    handles = [Handle.read(value, 0, path)[0] for _, value in block_entries(data, index, path)]
    _tile([*handles, metaindex, index], len(data) - FOOTER_SIZE, path)
    return handles


def block_entries(data: Bytes, handle: Handle, path: str | Path) -> Iterator[tuple[bytes, bytes]]:
    """The (key, value) pairs of a block, its checksum verified. Raises DamagedFile."""
    return _entries(_block(data, handle, len(data) - FOOTER_SIZE, path), path)


@dataclass(frozen=True)
class Handle:
    """Where a block lies: `offset` and `size` in bytes, its trailer not counted."""

    offset: int
    size: int

    @classmethod
    def read(cls, data: bytes, at: int, path: str | Path) -> tuple[Handle, int]:
        """A handle at `data[at:]`, and where it ends."""
        offset, at = varint(data, at, path)
        size, at = varint(data, at, path)
        return cls(offset, size), at


def varint(data: bytes, at: int, path: str | Path) -> tuple[int, int]:
    """An unsigned base-128 integer at `data[at:]`, and where it ends. Raises DamagedFile past the end or 64 bits."""
    value = 0
    for shift in range(0, 64, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise DamagedFile(path, "a variable-length integer does not end")


def _tile(handles: list[Handle], body: int, path: str | Path) -> None:
    """Blocks must fill the file: a gap would be bytes that no checksum covers."""
    at = 0
    for handle in sorted(handles, key=lambda h: h.offset):
        if handle.offset != at:
            raise DamagedFile(path, f"the index's blocks do not fill the file: a block starts at byte {handle.offset}, not at {at}")
        at = handle.offset + handle.size + _TRAILER
    if at != body:
        raise DamagedFile(path, f"the index's blocks do not fill the file: they end at byte {at}, not at {body}")


def _block(data: Bytes, handle: Handle, body: int, path: str | Path) -> bytes:
    end = handle.offset + handle.size
    if end + _TRAILER > body:
        raise DamagedFile(path, f"a block at bytes {handle.offset} to {end} lies past the end of the index ({len(data)} bytes)")
    kind, crc = struct.unpack("<BI", data[end : end + _TRAILER])
    if masked_crc32c(data[handle.offset : end + 1]) != crc:
        raise DamagedFile(path, f"crc32c of the index block at byte {handle.offset} does not match")
    block = data[handle.offset : end]
    if kind == 0:
        return block
    if kind != 1:
        raise DamagedFile(path, f"the index block at byte {handle.offset} is compressed in an unknown way ({kind})")
    try:
        length = cramjam.snappy.decompress_raw_len(block)
        if length > _MOST_BLOCK:
            raise DamagedFile(path, f"the index block at byte {handle.offset} says it grows to {length} bytes")
        return bytes(cramjam.snappy.decompress_raw(block))
    except cramjam.DecompressionError as error:
        raise DamagedFile(path, f"the index block at byte {handle.offset} is not valid Snappy ({error})") from error


def _entries(block: bytes, path: str | Path) -> Iterator[tuple[bytes, bytes]]:
    if len(block) < 4:
        raise DamagedFile(path, "an index block is too short for its restart count")
    (restarts,) = struct.unpack("<I", block[-4:])
    end = len(block) - 4 - 4 * restarts
    if end < 0:
        raise DamagedFile(path, f"an index block of {len(block)} bytes says it has {restarts} restart points")
    at, key = 0, b""
    while at < end:
        shared, at = varint(block, at, path)
        unshared, at = varint(block, at, path)
        length, at = varint(block, at, path)
        if shared > len(key) or at + unshared + length > end:
            raise DamagedFile(path, f"an index entry after {key!r} runs past its block")
        key = key[:shared] + block[at : at + unshared]
        at += unshared
        yield key, block[at : at + length]
        at += length
