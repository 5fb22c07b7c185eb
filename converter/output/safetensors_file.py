"""Writing and reading safetensors one tensor at a time.

The package safetensors writes a file from all its tensors at once and copies each on the way, which would hold a network three times;
here a tensor is written where it belongs as soon as it is there, in any order. The format is eight bytes of header length, a JSON
header (name -> dtype, shape, byte range), then the bytes. Source: github.com/huggingface/safetensors, README, "Format".
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stylexport.common.errors import BadInput, DamagedFile
from stylexport.converter.formats.checkpoint.checksums import as_bytes
from stylexport.converter.graph.tensor_proto import BFLOAT16

_LARGE = 2**20  # bytes

DTYPES: dict[str, str] = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16"}
_NUMPY: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "F16": np.dtype("<f2"), "BF16": BFLOAT16}


@dataclass(frozen=True)
class Spec:
    """A tensor to come: its name, numpy-style dtype and shape."""

    name: str
    dtype: str
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Its size in the file."""
        return _NUMPY[DTYPES[self.dtype]].itemsize * int(np.prod(self.shape, dtype=object))


class Writer:
    """A file that is filled tensor by tensor. Leaving the `with` block syncs it; every tensor must have been written."""

    def __init__(self, path: Path, specs: Iterable[Spec]) -> None:
        # Wider elements first keeps every tensor aligned to its own element size, as readers that map the file need.
        ordered = sorted(specs, key=lambda s: -_NUMPY[DTYPES[s.dtype]].itemsize)
        header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
        self._at: dict[str, tuple[int, Spec]] = {}
        end = 0
        for spec in ordered:
            header[spec.name] = {"dtype": DTYPES[spec.dtype], "shape": list(spec.shape), "data_offsets": [end, end + spec.nbytes]}
            self._at[spec.name] = (end, spec)
            end += spec.nbytes
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._start, self._path, self._left = 8 + len(text), path, set(self._at)
        self._file = path.open("wb", buffering=0)
        self._file.write(struct.pack("<Q", len(text)) + text)

    def write(self, name: str, pieces: Iterable[NDArray[Any]]) -> None:
        """Put a tensor in its place: contiguous pieces along its first axis, of the announced dtype and in all of its size."""
        offset, spec = self._at[name]
        at, end = self._start + offset, self._start + offset + spec.nbytes
        for array in pieces:
            assert array.dtype == _NUMPY[DTYPES[spec.dtype]], name
            data = as_bytes(array).data
            while data:
                written = os.pwrite(self._file.fileno(), data, at)
                data, at = data[written:], at + written
        assert at == end, name
        if spec.nbytes >= _LARGE and hasattr(os, "posix_fadvise"):
            # Linux begins to write such a range to disk (and drops what of it is on disk), so that fsync waits for less.
            os.posix_fadvise(self._file.fileno(), end - spec.nbytes, spec.nbytes, os.POSIX_FADV_DONTNEED)
        self._left.discard(name)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            assert not self._left, f"not written: {sorted(self._left)}"
            os.fsync(self._file.fileno())
        self._file.close()


def read(path: Path) -> Mapping[str, NDArray[Any]]:
    """All tensors of a file, memory-mapped and read-only. Raises BadInput and DamagedFile."""
    return read_with_metadata(path, "convert the release again")[1]


def read_with_metadata(path: Path, remedy: str) -> tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]]:
    """A file's metadata and its tensors as `read` gives them; `remedy` ends the error message of one that is missing or damaged."""
    try:
        size = path.stat().st_size
        data = np.memmap(path, np.uint8, mode="r") if size else np.empty(0, np.uint8)
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; {remedy}") from error
    try:
        (length,) = struct.unpack("<Q", bytes(data[:8]))
        if length > size - 8:
            raise ValueError(f"its header of {length} bytes runs past its {size} bytes")
        header = json.loads(bytes(data[8 : 8 + length]))
        metadata = header.pop("__metadata__", {})
        return metadata, {name: _tensor(data[8 + length :], name, entry) for name, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise DamagedFile(path, f"is no safetensors file ({error})", remedy) from error


def _tensor(body: NDArray[np.uint8], name: str, entry: Mapping[str, Any]) -> NDArray[Any]:
    start, end = entry["data_offsets"]
    if not 0 <= start <= end <= len(body):
        raise ValueError(f"{name} lies past the end")
    return np.asarray(body[start:end]).view(_NUMPY[entry["dtype"]]).reshape(entry["shape"])
