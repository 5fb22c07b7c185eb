"""The checksum that TensorFlow's files carry: masked CRC-32C.

CRC-32C (Castagnoli) is stored masked, because a CRC of data that itself holds CRCs is weak (tensorflow/core/lib/hash/crc32c.h):
rotate right by 15 bits, add 0xa282ead8.
"""

from __future__ import annotations

from typing import Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

_MASK_DELTA = 0xA282EAD8


def mask(crc: int) -> int:
    """The masked form of a CRC-32C, as files store it."""
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def crc32c(data: bytes | NDArray[Any], before: int = 0) -> int:
    """CRC-32C of `data`, going on from the CRC `before`; an array is read where it lies, without a copy."""
    return int(google_crc32c.extend(before, data))


def masked_crc32c(data: bytes | NDArray[Any]) -> int:
    """The masked CRC-32C of `data`."""
    return mask(crc32c(data))


def as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of a contiguous array, where they lie."""
    return array.reshape(-1).view(np.uint8)
