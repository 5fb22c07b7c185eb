"""The types that every room's signatures use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import NDArray

Array = NDArray[Any]
# What a long job calls while it runs: (what it is doing, how much is done, how much there is to do).
Progress = Callable[[str, int, int], None]
