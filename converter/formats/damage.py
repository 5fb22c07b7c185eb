"""How a reader reports damaged bytes: only what a library refused is the user's file; a mistake of our own is not.

A reader wraps the calls of a library, and nothing else, in `damaged` with the exceptions that this library raises on bad bytes. Any
other exception goes through: it is a fault of StylExport's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any, BinaryIO

from stylexport.common.errors import BadInput, DamagedFile, HostileFile

# Compressed tensors shrink little, but zeros do without bound; below LARGE bytes any ratio is harmless.
MAX_RATIO = 100
LARGE = 64 << 20


@contextmanager
def damaged(path: str | os.PathLike[str], doing: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turns a library's `errors` into DamagedFile: "PATH: cannot <doing> (<reason>)"."""
    try:
        yield
    except errors as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DamagedFile(path, f"cannot {doing} ({reason})") from error


def open_binary(path: Path) -> BinaryIO:
    """The file, opened for reading. Raises BadInput."""
    try:
        return path.open("rb")
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file; check the path") from None
    except OSError as error:
        raise BadInput(f"{path}: cannot be opened ({error.strerror}); check the path and your rights to it") from None


def begins_with(path: str | os.PathLike[str], *magics: bytes) -> bool:
    """Whether the file can be read and begins with one of `magics`."""
    try:
        with open(path, "rb") as file:
            return file.read(max(map(len, magics))).startswith(magics)
    except OSError:
        return False


def declared_bytes(path: str | os.PathLike[str], tensor: str, shape: Sequence[int], itemsize: int, stored: int) -> int:
    """The bytes of a tensor of this shape. HostileFile if `stored` bytes in the file cannot hold them, compressed or not."""
    if any(extent < 0 for extent in shape):
        raise DamagedFile(path, f"tensor {tensor!r} declares the shape {tuple(shape)}")
    nbytes = prod(shape) * itemsize
    if nbytes > max(LARGE, MAX_RATIO * stored):
        raise HostileFile(path, f"tensor {tensor!r} declares {nbytes} bytes {tuple(shape)} but {stored} bytes are stored of it")
    return nbytes


def json_object(path: str | os.PathLike[str], what: str, text: str | bytes) -> Mapping[str, Any]:
    """Decodes a JSON object; anything else is a DamagedFile that names `what`."""
    with damaged(path, f"decode {what} as JSON", (ValueError, RecursionError)):
        value = json.loads(text)
    if not isinstance(value, dict):
        raise DamagedFile(path, f"{what} is a JSON {type(value).__name__}, not an object")
    return value
