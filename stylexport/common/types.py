"""The types that every room's signatures use."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
# What numpy.load raises of a damaged .npy or .npz: it reads headers by Python's own parser, and archives by zipfile.
NUMPY_ERRORS = (
    *(EOFError, IndexError, KeyError, MemoryError, NotImplementedError, OSError, OverflowError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, struct.error, tokenize.TokenError, zipfile.BadZipFile, zlib.error),
)
# What a long job calls while it runs: (what it is doing, how much is done, how much there is to do).
Progress = Callable[[str, int, int], None]
