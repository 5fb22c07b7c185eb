"""Checkpoints of TensorFlow 1's first version: one file (or one a shard) that holds the tensors themselves.

The file is a sorted table (leveldb_table.py). Its first key is "", with a SavedTensorSlices whose `meta` lists each tensor's name, shape,
type and slices. Every other key is a slice's (ordered_code.py), with a SavedTensorSlices whose `data` holds the values one by one. A
tensor that was not partitioned is one slice.
Source: tensorflow/core/util/{saved_tensor_slice.proto,tensor_slice_writer.cc}.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.types import Array
from stylexport.converter.formats.base import Facts, TensorsOnly, Variable
from stylexport.converter.formats.checkpoint.leveldb_table import MAGIC, Handle, block_entries, data_blocks
from stylexport.converter.formats.checkpoint.ordered_code import extent, name_in_key
from stylexport.converter.formats.slots import told_apart
from stylexport.converter.graph import protos
from stylexport.converter.graph.tensor_proto import FIELDS, numpy_dtype

_LARGEST = 2**40  # elements; guards a shape that a damaged index declares
_RAW = {"float32": "<f4", "float64": "<f8"}  # kept as bytes by protos.SliceData


def looks_like_slices(path: Path) -> bool:
    """Whether the file ends as a sorted table does, and is not the index of the second version."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 8))
            return int.from_bytes(file.read(8), "little") == MAGIC and not path.name.endswith(".index")
    except OSError:
        return False


@dataclass(frozen=True)
class _Place:
    """Where a slice's values are: its table, and the block that holds its entry."""

    table: _Table
    block: Handle
    key: bytes


class SlicesFile(TensorsOnly):
    """An opened checkpoint of version 1, of one file or several shards. Raises BadInput and DamagedFile."""

    format = "checkpoint"

    def __init__(self, paths: Sequence[Path]) -> None:
        self.path = paths[0] if len(paths) == 1 else paths[0].parent
        self._tables = [_Table(path) for path in paths]
        tensors = {tensor.name: tensor for table in self._tables for tensor in table.meta.tensor}
        self.variables = told_apart(_variable(self.path, tensor) for tensor in tensors.values())
        files = {path.name: path.stat().st_size for path in paths}
        note = f"name-based (TF1) checkpoint of version 1 in {len(paths)} file(s)"
        self.facts = Facts(files=files, verified="crc32c of every block", notes=(note,))

    @cached_property
    def _places(self) -> dict[str, list[_Place]]:
        """Name -> its slices. Walks through every block once, so that every checksum is verified."""
        found: dict[str, list[_Place]] = {}
        for table in self._tables:
            for block in table.blocks:
                for key, _ in block_entries(table.data, block, table.path):
                    if key:
                        if (name := name_in_key(key)) is None:
                            raise DamagedFile(table.path, f"{key!r} is not the key of a slice")
                        found.setdefault(name.decode(errors="replace"), []).append(_Place(table, block, key))
        return found

    def read(self, variable: Variable) -> Array:
        """The tensor, put together from its slices, checksums verified. Raises DamagedFile, or BadInput for a type that is not read."""
        if variable.dtype not in FIELDS:
            raise BadInput(f"{self.path}: {variable.name} has the data type {variable.dtype}, which no PyTorch weight has")
        values = np.empty(variable.shape, numpy_dtype(variable.dtype))
        filled = 0
        for place in self._places.get(variable.key, []):
            data = place.table.entry(place).data
            if data.name != variable.key:
                raise DamagedFile(place.table.path, f"the slice at {variable.key} says that it is {data.name}'s")
            where = extent(data.slice, variable.shape)
            part = values[where] if variable.shape else values
            part[...] = _values(data.data, variable, place.table.path, part.size).reshape(part.shape)
            filled += part.size
        if filled != values.size:
            raise DamagedFile(self.path, f"{variable.name} {list(variable.shape)}: {filled} of its {values.size} values are there")
        values.flags.writeable = False
        return values

    def finish(self) -> None:
        """Walk through every block that has not been read."""
        _ = self._places

    def close(self) -> None:
        """Give the files back."""
        self.__dict__.pop("_places", None)
        for table in self._tables:
            table.close()


class _Table:
    """One file: its blocks, and the list of tensors that its first entry is."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            if not path.stat().st_size:
                raise DamagedFile(path, "the file is empty")
            self.data: Any = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self.blocks = data_blocks(self.data, path)
        first = next(iter(block_entries(self.data, self.blocks[0], path)), None) if self.blocks else None
        if first is None or first[0] != b"":
            raise DamagedFile(path, "the table does not begin with a list of tensors")
        self.meta = protos.parse(protos.SavedTensorSlices, first[1], path, "the list of tensors").meta

    def entry(self, place: _Place) -> Any:
        """The SavedTensorSlices of a slice."""
        value = next(value for key, value in block_entries(self.data, place.block, self.path) if key == place.key)
        return protos.parse(protos.SavedTensorSlices, value, self.path, "a slice")

    def close(self) -> None:
        """Unmap the file."""
        self.data.close()


def _variable(path: Path, tensor: Any) -> Variable:
    dtype = protos.DTYPES.get(tensor.type, f"dtype{tensor.type}")
    shape = tuple(dim.size for dim in tensor.shape.dim)
    if any(n < 0 for n in shape) or tensor.shape.unknown_rank or prod(shape) > _LARGEST:
        raise DamagedFile(path, f"{tensor.name}: no tensor has the shape {list(shape)}")
    size = numpy_dtype(dtype).itemsize if dtype in FIELDS else 0
    return Variable(tensor.name, tensor.name, shape, dtype, size * prod(shape))


def _values(data: Any, variable: Variable, path: Path, count: int) -> Array:
    """The values of a slice, written one by one."""
    dtype, field = numpy_dtype(variable.dtype), FIELDS[variable.dtype]
    held = getattr(data, field)
    if variable.dtype in _RAW:
        if len(held) != count * dtype.itemsize:
            raise DamagedFile(path, f"{variable.name}: {len(held)} bytes do not fill {count} values of {variable.dtype}")
        return np.frombuffer(held, _RAW[variable.dtype])
    if len(held) != count:
        raise DamagedFile(path, f"{variable.name}: {len(held)} values where {count} belong")
    if field == "half_val":
        return np.array(held, np.uint32).astype(np.uint16).view(dtype)
    return np.array(held).astype(dtype)
