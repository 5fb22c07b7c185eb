"""PyTorch's tensors in a pickle: the numbers of a storage, as `torch.save` wrote it in its first format, and views of them.

A storage is pickled as `_load_from_bytes(bytes)`. The bytes are pickles one after another (a magic number, the format's version, what
machine wrote it, the storage's type, key, place and size, the list of keys), then the number of elements in eight bytes and the elements
(torch/serialization.py, `_legacy_save`). These pickles are read as data too: a storage's type is a name here.
"""

from __future__ import annotations

import io
import pickle
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from stylexport.common.errors import DamagedFile, HostileFile
from stylexport.common.types import Array
from stylexport.converter.formats.pickled.unpickler import StandIn, read_pickle
from stylexport.converter.graph.tensor_proto import BFLOAT16

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES: dict[str, Any] = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": BFLOAT16,
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
_TYPES = {name: type(name, (StandIn,), {}) for name in _DTYPES}


class _StorageUnpickler(pickle.Unpickler):
    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(file)
        self._path = path

    def find_class(self, module: str, name: str) -> type:
        if module not in ("torch", "torch.cuda", "torch.storage") or name not in _TYPES:
            raise HostileFile(self._path, f"asks for {module}.{name} in a tensor, which could run code", "save it again from PyTorch")
        return _TYPES[name]

    def persistent_load(self, pid: Any) -> Any:
        return pid


def strided(path: Path, storage: Any, offset: Any, sizes: Any, strides: Any) -> Array:
    """The tensor of these sizes, read-only, in a storage (the stand-in of `_load_from_bytes`). Raises DamagedFile, HostileFile."""
    if not (isinstance(storage, StandIn) and type(storage).__name__ == "_load_from_bytes" and isinstance(storage.args[0], bytes)):
        raise DamagedFile(path, "holds a tensor without a storage")
    numbers = (*sizes, *strides, offset) if isinstance(sizes, tuple) and isinstance(strides, tuple) else (None,)
    if not all(type(n) is int and n >= 0 for n in numbers) or len(sizes) != len(strides):
        raise DamagedFile(path, "holds a tensor whose sizes and strides are not tuples of sizes")
    values = _values(path, storage.args[0])
    last = offset + sum((size - 1) * stride for size, stride in zip(sizes, strides, strict=True)) if prod(sizes) else offset - 1
    if last >= len(values) or prod(sizes) > len(values):
        raise DamagedFile(path, f"a tensor declares {list(sizes)} at {offset} and its storage holds {len(values)} values")
    steps = tuple(stride * values.itemsize for stride in strides)
    array = np.ascontiguousarray(np.lib.stride_tricks.as_strided(values[offset:], sizes, steps)).reshape(sizes)
    array.flags.writeable = False
    return array


def _values(path: Path, raw: bytes) -> Array:
    """All numbers of a storage."""
    file = io.BytesIO(raw)
    magic, version, machine, described, _ = (read_pickle(path, file, _StorageUnpickler) for _ in range(5))
    if magic != _MAGIC or version != 1001 or not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise DamagedFile(path, "holds a tensor that is not in PyTorch's first format")
    match described:
        case ("storage", type() as kind, str(), str(), int(), None) if kind.__name__ in _DTYPES:
            dtype = _DTYPES[kind.__name__]
        case _:
            raise DamagedFile(path, "holds a malformed tensor")
    start = file.tell() + 8
    count = int.from_bytes(raw[start - 8 : start], "little", signed=True)
    if count != described[4] or len(raw) != start + count * dtype.itemsize:
        raise DamagedFile(path, f"a tensor declares {described[4]} values and holds {len(raw) - start} bytes")
    return np.frombuffer(raw, dtype, count, start)
