"""Which pictures are held out."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def split(names: Sequence[str], share: float, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """(rows to train on, held-out rows): in an order drawn from seed and name, the first `share` of them held out, one at least.

    A picture's place in that order is its own, so that more pictures move few from one part to the other, and the first N rows of a
    part are a fair sample of it.
    """
    drawn = [hashlib.sha256(f"{seed} {name}".encode()).digest() for name in names]
    order = np.array(sorted(range(len(names)), key=drawn.__getitem__), np.int64)
    count = max(round(share * len(names)), 1)
    return order[count:], order[:count]
