"""A small writer of tensor bundles, so that tests of the reader need no TensorFlow and can lie where a writer never would."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cramjam
import numpy as np
from numpy.typing import NDArray

from stylexport.converter.formats.checkpoint.checksums import crc32c, mask, masked_crc32c
from stylexport.converter.graph import protos

NUMBERS = {name: number for number, name in protos.DTYPES.items()}


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def block(pairs: Sequence[tuple[bytes, bytes]], compress: bool = False) -> bytes:
    """A table block with its trailer; keys prefix-compressed against the one before."""
    body, last = b"", b""
    for key, value in pairs:
        shared = next((i for i, (a, b) in enumerate(zip(last, key, strict=False)) if a != b), min(len(last), len(key)))
        body += varint(shared) + varint(len(key) - shared) + varint(len(value)) + key[shared:] + value
        last = key
    body += struct.pack("<II", 0, 1)
    if compress:
        body = bytes(cramjam.snappy.compress_raw(body))
    body += bytes([int(compress)])
    return body + struct.pack("<I", masked_crc32c(body))


def table(pairs: Sequence[tuple[bytes, bytes]], per_block: int = 4, compress: bool = False) -> bytes:
    """A whole index file of several data blocks."""
    out, handles = b"", []
    for start in range(0, len(pairs), per_block):
        chunk = pairs[start : start + per_block]
        data = block(chunk, compress)
        handles.append((chunk[-1][0], varint(len(out)) + varint(len(data) - 5)))
        out += data
    meta = varint(len(out)) + varint(len(block([])) - 5)
    out += block([])
    index = block(handles)
    footer = meta + varint(len(out)) + varint(len(index) - 5)
    out += index
    return out + footer.ljust(40, b"\0") + struct.pack("<Q", 0xDB4775248B80FB57)


def entry(array: NDArray[Any], shard: int, offset: int, /, **lies: Any) -> bytes:
    """A BundleEntryProto; `lies` replace what is true."""
    data = np.ascontiguousarray(array).tobytes()
    made = protos.BundleEntry(
        dtype=NUMBERS["bfloat16" if array.dtype.name == "bfloat16" else array.dtype.name],
        shard_id=shard,
        offset=offset,
        size=len(data),
        crc32c=masked_crc32c(data),
    )
    for n in lies.pop("shape", array.shape):
        made.shape.dim.add(size=n)
    for field, value in lies.items():
        setattr(made, field, value)
    return bytes(made.SerializeToString())


def string_entry(text: bytes, shard: int, offset: int) -> tuple[bytes, bytes]:
    """The entry and the bytes of a string scalar."""
    lengths = struct.pack("<I", len(text))
    checksum = struct.pack("<I", mask(crc32c(lengths)))
    crc = crc32c(text, crc32c(checksum, crc32c(lengths)))
    data = varint(len(text)) + checksum + text
    made = protos.BundleEntry(dtype=NUMBERS["string"], shard_id=shard, offset=offset, size=len(data), crc32c=mask(crc))
    return bytes(made.SerializeToString()), data


def write_bundle(
    prefix: Path,
    tensors: Mapping[str, NDArray[Any]],
    *,
    shards: int = 1,
    graph: Any = None,
    lies: Mapping[str, Mapping[str, Any]] | None = None,
    compress: bool = False,
) -> Path:
    """A checkpoint at `prefix`: tensors dealt out to the shards in turn, an object graph if one is given."""
    prefix.parent.mkdir(parents=True, exist_ok=True)
    header = protos.BundleHeader(num_shards=shards)
    header.version.producer = 1
    bodies = [b""] * shards
    pairs = {b"": bytes(header.SerializeToString())}
    for number, (key, array) in enumerate(tensors.items()):
        shard = number % shards
        pairs[key.encode()] = entry(array, shard, len(bodies[shard]), **(lies or {}).get(key, {}))
        bodies[shard] += np.ascontiguousarray(array).tobytes()
    if graph is not None:
        made, data = string_entry(graph.SerializeToString(), 0, len(bodies[0]))
        pairs[b"_CHECKPOINTABLE_OBJECT_GRAPH"] = made
        bodies[0] += data
    Path(f"{prefix}.index").write_bytes(table(sorted(pairs.items()), compress=compress))
    for shard, body in enumerate(bodies):
        Path(f"{prefix}.data-{shard:05d}-of-{shards:05d}").write_bytes(body)
    return prefix
