"""Writing and reading safetensors one tensor at a time.

The package safetensors writes a file from all its tensors at once and copies each on the way, so that a network would lie in memory three
times; here a tensor is written as soon as it is read: to its place (`Writer`), or behind the others (`Appender`). The format is eight
bytes of header length, a JSON header (name -> dtype, shape, byte range), then the bytes. Source: github.com/huggingface/safetensors,
README, "Format".
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from stylexport.common.atomic import whole_file
from stylexport.common.errors import BadInput, DamagedFile
from stylexport.common.text import utf8_path
from stylexport.converter.formats.checkpoint.checksums import as_bytes
from stylexport.converter.graph.tensor_proto import BFLOAT16

_LARGE = 2**20  # bytes

DTYPES: dict[str, str] = {"float32": "F32", "float64": "F64", "float16": "F16", "bfloat16": "BF16"}
_NUMPY: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "F16": np.dtype("<f2"), "BF16": BFLOAT16}


def _header(metadata: Mapping[str, str], entries: Mapping[str, Mapping[str, Any]]) -> bytes:
    """The length and the JSON header before the tensors' bytes, padded to a multiple of eight bytes."""
    text = json.dumps({"__metadata__": metadata, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def _entry(dtype: str, shape: Sequence[int], start: int) -> dict[str, Any]:
    """What the header says of a tensor whose bytes begin at `start`."""
    nbytes = _NUMPY[DTYPES[dtype]].itemsize * math.prod(shape)
    return {"dtype": DTYPES[dtype], "shape": list(shape), "data_offsets": [start, start + nbytes]}


class Writer:
    """A file whose tensors are known beforehand (name -> dtype and shape) and are written in any order.

    Leaving the `with` block syncs it; every tensor must have been written.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "model.safetensors"
        >>> with Writer(path, {"bias": ("float32", (2,))}) as file:
        ...     file.write("bias", [np.array([1.0, 2.0], np.float32)])
        >>> read(path)["bias"].tolist()
        [1.0, 2.0]

    """

    def __init__(self, path: Path, tensors: Mapping[str, tuple[str, tuple[int, ...]]]) -> None:
        # Wider elements first keeps every tensor aligned to its own element size, as readers that map the file need.
        ordered = sorted(tensors.items(), key=lambda item: -_NUMPY[DTYPES[item[1][0]]].itemsize)
        self._entries: dict[str, dict[str, Any]] = {}
        end = 0
        for name, (dtype, shape) in ordered:
            self._entries[name] = _entry(dtype, shape, end)
            end = self._entries[name]["data_offsets"][1]
        header = _header({"format": "pt"}, self._entries)
        self._start, self._left = len(header), set(self._entries)
        self._file = path.open("wb", buffering=0)
        self._file.write(header)

    def write(self, name: str, pieces: Iterable[NDArray[Any]]) -> None:
        """Put a tensor in its place: contiguous pieces along its first axis, of the announced dtype and in all of its size."""
        start, end = (self._start + offset for offset in self._entries[name]["data_offsets"])
        at = start
        for array in pieces:
            assert array.dtype == _NUMPY[self._entries[name]["dtype"]], name
            data = as_bytes(array).data
            while data:
                written = os.pwrite(self._file.fileno(), data, at)
                data, at = data[written:], at + written
        assert at == end, name
        if end - start >= _LARGE and hasattr(os, "posix_fadvise"):
            # Linux begins to write such a range to disk (and drops what of it is on disk), so that fsync waits for less.
            os.posix_fadvise(self._file.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)
        self._left.discard(name)

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            assert not self._left, f"not written: {sorted(self._left)}"
            os.fsync(self._file.fileno())
        self._file.close()


class Appender:
    """A file of tensors that come one by one, in their order. The header counts them all, so that it is put before them at the end.

    The file is whole or absent. The `with` block keeps other programs off it; it raises BadInput where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._entries, self._end = path, dict[str, dict[str, Any]](), 0

    def __enter__(self) -> Appender:
        self._open = contextlib.ExitStack()
        if not self.path.parent.is_dir():
            raise BadInput(f"{self.path}: cannot be written, its folder is not there; name a file in an existing folder")
        self._partial = self._open.enter_context(whole_file(self.path))
        self._body = self._partial.with_name("tensors")
        self._file = self._open.enter_context(self._body.open("wb"))
        return self

    def add(self, name: str, value: NDArray[Any]) -> None:
        """Append a contiguous tensor of a floating dtype."""
        self._file.write(as_bytes(value).data)
        self._entries[name] = _entry(value.dtype.name, value.shape, self._end)
        self._end += value.nbytes

    def finish(self, metadata: Mapping[str, str]) -> None:
        """Header and tensors into one file, which is put in place when the `with` block ends."""
        self._file.flush()
        with self._partial.open("wb") as file, self._body.open("rb") as body:
            file.write(_header(metadata, self._entries))
            shutil.copyfileobj(body, file, 4 * _LARGE)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """The file is put in place; nothing of it is left where there was an error."""
        self._open.__exit__(kind, error, trace)


def read(path: Path) -> Mapping[str, NDArray[Any]]:
    """All tensors of a file by name, memory-mapped and read-only.

    Raises BadInput where the file cannot be read, DamagedFile where it is not safetensors. Example: `Writer`.
    """
    return read_with_metadata(path, "convert the release again")[1]


def read_with_metadata(path: Path, remedy: str) -> tuple[Mapping[str, Any], Mapping[str, NDArray[Any]]]:
    """A file's metadata and its tensors as `read` gives them; `remedy` ends the error message of one that is missing or damaged.

    The package safetensors checks the file as it does for `from_pretrained`: one tensor after the other, no byte twice, none left over.
    """
    try:
        data = np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)
        with utf8_path(path) as place, safe_open(place, framework="np"):
            pass
        (length,) = struct.unpack("<Q", bytes(data[:8]))
        header = json.loads(bytes(data[8 : 8 + length]))
        metadata = header.pop("__metadata__", {})
        return metadata, {name: _tensor(data[8 + length :], name, entry) for name, entry in header.items()}
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror or error}; {remedy}") from error
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DamagedFile(path, f"is not a safetensors file ({error})", remedy) from error


def _tensor(body: NDArray[np.uint8], name: str, entry: Mapping[str, Any]) -> NDArray[Any]:
    if entry["dtype"] not in _NUMPY:
        raise ValueError(f"{name} is of dtype {entry['dtype']}, not of {', '.join(_NUMPY)}")
    start, end = entry["data_offsets"]
    return np.asarray(body[start:end]).view(_NUMPY[entry["dtype"]]).reshape(entry["shape"])
