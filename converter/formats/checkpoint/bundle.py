"""Tensor bundles: the checkpoint format of TensorFlow 1 (saver V2) and 2, and the `variables/` of a SavedModel.

`PREFIX.index` is a sorted table (leveldb_table.py). Its key "" holds a BundleHeaderProto: number of shards, endianness, version.
Every other key is a tensor's name with a BundleEntryProto: dtype, shape, shard, offset, size, masked CRC-32C. The bytes lie in
`PREFIX.data-00000-of-0000N`, one tensor after another. A string tensor is varint64 lengths, the masked CRC-32C of the lengths, then
the strings. TensorFlow 2 adds the string scalar `_CHECKPOINTABLE_OBJECT_GRAPH` (object_graph.py), which gives the names.
Source: tensorflow/core/util/tensor_bundle/tensor_bundle.{h,cc}, tensorflow/core/protobuf/tensor_bundle.proto.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.base import Facts, Variable
from stylexport.converter.formats.checkpoint.checksums import crc32c, mask
from stylexport.converter.formats.checkpoint.leveldb_table import read_table, varint
from stylexport.converter.formats.checkpoint.object_graph import OBJECT_GRAPH_KEY, Named, names_by_object
from stylexport.converter.formats.checkpoint.ordered_code import extent, name_in_key
from stylexport.converter.formats.files import Bytes, Files, Pieces
from stylexport.converter.formats.slots import told_apart
from stylexport.converter.graph import protos
from stylexport.converter.graph.graph import Graph
from stylexport.converter.graph.tensor_proto import BFLOAT16

VERIFIED = "crc32c of every index block and every tensor"


@dataclass(frozen=True)
class Entry:
    """Where one tensor lies: `shape`, numpy-style `dtype`, shard number, byte offset and size, masked crc32c."""

    key: str
    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    crc: int
    raw: bytes
    slices: tuple[Any, ...] = ()

    @property
    def partitioned(self) -> bool:
        """Whether this is a variable in slices, or one of the slices."""
        return bool(self.slices) or self.raw.startswith(b"\0")


class Bundle:
    """An opened tensor bundle. Tensors of a folder are memory-mapped; of a zip, decompressed as they are read."""

    format = "checkpoint"

    def __init__(self, files: Files, prefix: str) -> None:
        self.path = files.path
        self._files, self._prefix = files, prefix
        self._index = files.where(f"{prefix}.index")
        pairs = read_table(files.read(f"{prefix}.index"), self._index)
        self._big_endian, self._shards = self._header(pairs)
        self.entries: Mapping[str, Entry] = {e.key: e for e in (self._entry(key, value) for key, value in pairs[1:])}
        self._open: dict[int, Pieces] = {}
        self._check_layout()
        graph = self.entries.get(OBJECT_GRAPH_KEY)
        self.object_graph: Any = None
        if graph:
            self.object_graph = protos.parse(protos.TrackableObjectGraph, self.strings(graph)[0], self._index, OBJECT_GRAPH_KEY)
        self.variables = self._variables()
        style = "object-based (TF2)" if graph else "name-based (TF1)"
        self.facts = Facts(files=dict(files.sizes), verified=VERIFIED, notes=(f"{style} tensor bundle in {self._shards} shard(s)",))

    def _header(self, pairs: list[tuple[bytes, bytes]]) -> tuple[bool, int]:
        if not pairs or pairs[0][0] != b"":
            raise DamagedFile(self._index, "the index has no header entry")
        header = protos.parse(protos.BundleHeader, pairs[0][1], self._index, "the header")
        if not 1 <= header.num_shards <= 99999:
            raise DamagedFile(self._index, f"the header says {header.num_shards} shards")
        if header.version.min_consumer > 1:
            raise BadInput(f"{self._index}: bundle version {header.version.min_consumer} is newer than this reader knows (1)")
        return header.endianness == 1, header.num_shards

    def _entry(self, key: bytes, value: bytes) -> Entry:
        try:
            name = key.decode()
        except UnicodeDecodeError:
            name = key.decode("latin1")  # a slice's key (ordered code); its whole is listed under the plain name
        entry = protos.parse(protos.BundleEntry, value, self._index, f"the entry of {name}")
        dtype = protos.DTYPES.get(entry.dtype, f"dtype{entry.dtype}")
        shape = tuple(dim.size for dim in entry.shape.dim)
        slices = tuple(protos.parse(protos.TensorSlice, data, self._index, f"a slice of {name}") for data in entry.slices)
        made = Entry(name, dtype, shape, entry.shard_id, entry.offset, entry.size, entry.crc32c, key, slices)
        if any(n < 0 for n in shape) or entry.shape.unknown_rank:
            raise DamagedFile(self._index, f"{name}: shape {list(shape)} has an unknown size")
        if not entry.slices and dtype in _NUMPY and _NUMPY[dtype].itemsize * _product(shape) != entry.size:
            raise DamagedFile(self._index, f"{name}: {dtype}{list(shape)} does not fill its {entry.size} bytes")
        return made

    def _check_layout(self) -> None:
        """Every tensor lies inside its shard, and no two overlap."""
        sizes = self._files.sizes
        for shard in range(self._shards):
            name = self._shard_name(shard)
            if name not in sizes:
                raise BadInput(f"{self._files.where(name)}: missing; the index names {self._shards} shard(s): fetch it again")
        ends = [0] * self._shards
        for entry in self._stored():
            if not 0 <= entry.shard < self._shards:
                raise DamagedFile(self._index, f"{entry.key}: shard {entry.shard} of {self._shards}")
            where = self._files.where(self._shard_name(entry.shard))
            if entry.size < 0 or entry.offset < ends[entry.shard]:
                raise DamagedFile(self._index, f"{entry.key}: its bytes from {entry.offset} overlap another tensor's")
            ends[entry.shard] = entry.offset + entry.size
            size = sizes[self._shard_name(entry.shard)]
            if ends[entry.shard] > size:
                raise DamagedFile(where, f"{entry.key}: ends at byte {ends[entry.shard]}, the file at {size}: it is cut short")
        for shard, end in enumerate(ends):
            size = sizes[self._shard_name(shard)]
            if end != size:
                where = self._files.where(self._shard_name(shard))
                raise DamagedFile(where, f"has {size} bytes, the index accounts for {end}")

    def _stored(self) -> list[Entry]:
        """Entries that have bytes of their own, in storage order."""
        return sorted((e for e in self.entries.values() if not (e.partitioned and not e.size)), key=lambda e: (e.shard, e.offset, e.size))

    def _shard_name(self, shard: int) -> str:
        return f"{self._prefix}.data-{shard:05d}-of-{self._shards:05d}"

    def _variables(self) -> tuple[Variable, ...]:
        entries = [e for e in self._stored() if e.key != OBJECT_GRAPH_KEY and not e.key.startswith("\0")]
        entries += [e for e in self.entries.values() if e.partitioned and not e.key.startswith("\0") and e not in entries]
        if self.object_graph is None:
            return told_apart(Variable(e.key, e.key, e.shape, e.dtype, e.size, f"crc32c:{e.crc:08x}") for e in entries)
        named = names_by_object(self.object_graph, {e.key: e.shape for e in entries})
        return tuple(_variable(entry, named[entry.key]) for entry in entries)

    def read(self, variable: Variable) -> NDArray[Any]:
        """The tensor, its checksum verified. Raises DamagedFile, or BadInput for a dtype or layout that cannot be read."""
        entry = self.entries[variable.key]
        if entry.partitioned:
            return self._joined(entry)
        if entry.dtype == "string":
            return np.array(self.strings(entry), dtype=object).reshape(entry.shape)
        if entry.dtype not in _NUMPY:
            raise BadInput(f"{self._index}: {entry.key} has the data type {entry.dtype}, which no PyTorch weight has")
        return self._whole(entry)

    def _whole(self, entry: Entry) -> NDArray[Any]:
        """The values that an entry stores itself, its checksum verified."""
        data = self._bytes(entry)
        if mask(crc32c(data)) != entry.crc:
            raise DamagedFile(self._files.where(self._shard_name(entry.shard)), f"{entry.key}: crc32c does not match")
        array = data.view(_NUMPY[entry.dtype]).reshape(entry.shape)
        return array.byteswap() if self._big_endian else array

    def _joined(self, entry: Entry) -> NDArray[Any]:
        """A partitioned variable put together: its slices are stored under keys of their own, in the order of their places."""
        parts = [e for e in self.entries.values() if e.key.startswith("\0") and name_in_key(e.raw) == entry.key.encode()]
        places = sorted((extent(slice_, entry.shape) for slice_ in entry.slices), key=lambda place: [(s.start, s.stop) for s in place])
        if entry.dtype not in _NUMPY or len(parts) != len(places):
            raise DamagedFile(self._index, f"{entry.key}: {len(parts)} of its {len(places)} slices are there")
        values = np.empty(entry.shape, _NUMPY[entry.dtype])
        for place, part in zip(places, parts, strict=True):
            if part.shape != values[place].shape or part.dtype != entry.dtype:
                raise DamagedFile(self._index, f"{entry.key}: a slice of {list(part.shape)} where {list(values[place].shape)} belongs")
            values[place] = self._whole(part)
        if sum(_product(part.shape) for part in parts) != values.size:
            raise DamagedFile(self._index, f"{entry.key}: its slices do not fill its shape {list(entry.shape)}")
        return values

    def _bytes(self, entry: Entry) -> Bytes:
        if entry.shard not in self._open:
            self._open[entry.shard] = self._files.pieces(self._shard_name(entry.shard))
        return self._open[entry.shard].take(entry.offset, entry.size)

    def strings(self, entry: Entry) -> list[bytes]:
        """The elements of a string tensor, both of its checksums verified. Raises DamagedFile."""
        where = self._files.where(self._shard_name(entry.shard))
        data = bytes(self._bytes(entry))
        lengths, at = [], 0
        if _product(entry.shape) > len(data):
            raise DamagedFile(where, f"{entry.key}: {_product(entry.shape)} strings in {len(data)} bytes")
        for _ in range(_product(entry.shape)):
            length, at = varint(data, at, where)
            lengths.append(length)
        if at + 4 + sum(lengths) != len(data):
            raise DamagedFile(where, f"{entry.key}: its strings do not fill its {len(data)} bytes")
        crc = 0
        for length in lengths:  # lengths count as uint32, or uint64 where they need it
            crc = crc32c(struct.pack("<I" if length < 2**32 else "<Q", length), crc)
        if struct.pack("<I", mask(crc)) != data[at : at + 4]:
            raise DamagedFile(where, f"{entry.key}: crc32c of the lengths does not match")
        crc = crc32c(data[at:], crc)
        if mask(crc) != entry.crc:
            raise DamagedFile(where, f"{entry.key}: crc32c does not match")
        out, at = [], at + 4
        for length in lengths:
            out.append(data[at : at + length])
            at += length
        return out

    def graphs(self) -> Iterator[Graph]:
        """None: a checkpoint holds no graph."""
        return iter(())

    def finish(self) -> None:
        """Read each opened shard to its end, so that the archive's own checksum is verified too."""
        for pieces in self._open.values():
            pieces.finish()

    def close(self) -> None:
        """Give the shards back."""
        self._open.clear()


_NUMPY: dict[str, np.dtype[Any]] = {
    name: BFLOAT16 if name == "bfloat16" else np.dtype(name) for name in protos.DTYPES.values() if name != "string"
}


def _variable(entry: Entry, named: Named) -> Variable:
    checksum = f"crc32c:{entry.crc:08x}"
    return Variable(named.name, entry.key, entry.shape, entry.dtype, entry.size, checksum, named.slot, None, named.average_of, named.path)


def _product(shape: tuple[int, ...]) -> int:
    product = 1
    for n in shape:
        product *= n
    return product
