"""What every reader owes its caller: no raw exception out of damaged input, and no allocation on the word of a header."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from typing import Any

from stylexport.common.errors import BadInput, DamagedFile, HostileFile, StylexportError

# Compressed tensors expand little, but zeros do without bound; below LARGE bytes any ratio is harmless.
MAX_RATIO = 100
LARGE = 64 << 20

# What libraries raise on bytes that are not what they seem.
DAMAGE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,
    OSError,
    RecursionError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)


@contextmanager
def guarded(path: str | os.PathLike[str], doing: str) -> Iterator[None]:
    """Turns a library's exception on damaged bytes into DamagedFile: "PATH: cannot <doing> (<reason>)"."""
    try:
        yield
    except StylexportError:
        raise
    except FileNotFoundError:
        raise BadInput(f"{os.fspath(path)}: no such file; check the path") from None
    except (PermissionError, IsADirectoryError) as error:
        raise BadInput(f"{os.fspath(path)}: cannot be opened ({error.strerror}); check the path") from None
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DamagedFile(path, f"cannot {doing} ({reason})") from None


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
    with guarded(path, f"decode {what} as JSON"):
        value = json.loads(text)
    if not isinstance(value, dict):
        raise DamagedFile(path, f"{what} is a JSON {type(value).__name__}, not an object")
    return value
