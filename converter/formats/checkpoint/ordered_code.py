"""Where the slices of a partitioned variable lie: in both versions of the checkpoint, a slice's key holds the variable's name.

The key is "ordered code": a zero byte, the name with its zeros escaped (0 as 0 255, 255 as 255 0), a zero and a one, then numbers, whose
order is kept. Source: tensorflow/core/util/saved_tensor_slice_util.cc, core/lib/strings/ordered_code.cc, framework/tensor_slice.proto.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def name_in_key(key: bytes) -> bytes | None:
    r"""The variable's name in a slice's key, None where it is no such key.

    Example:
        >>> name_in_key(b"\0net/w\0\x01\x01\x02")
        b'net/w'

    """
    name, end, _ = key[1:].partition(b"\0\1")
    return name.replace(b"\0\xff", b"\0").replace(b"\xff\0", b"\xff") if key[:1] == b"\0" and end else None


def extent(slice_: Any, shape: Sequence[int]) -> tuple[slice, ...]:
    """The place of a TensorSliceProto in its variable; an axis without a length is whole."""
    given = [*slice_.extent, *[None] * len(shape)]
    return tuple(
        slice(0, size) if one is None or not one.length else slice(one.start, one.start + one.length)
        for one, size in zip(given, shape, strict=False)
    )
