"""How far a tensor of the port is from the original's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stylexport.common.distance import relative_error

SAME_TENSOR = 1e-6  # a value of the port and one of the original, no further apart than this, are the same tensor


@dataclass(frozen=True)
class Difference:
    """`error` is |x - S64| / |S64| in L2 norms, `max_abs` the largest |x - S64|, `snr_db` -20 log10(error). NaN where x has one."""

    error: float
    max_abs: float

    @property
    def snr_db(self) -> float:
        """The signal-to-noise ratio in decibels; infinite where nothing differs."""
        return -20 * math.log10(self.error) if self.error > 0 else math.inf if self.error == 0 else math.nan


NOT_MEASURED = Difference(math.nan, math.nan)


def difference(found: Tensor, exact: Tensor) -> Difference:
    """`found` (any dtype) against `exact` (float64), of one shape."""
    found = found.to(torch.float64)
    return Difference(relative_error(found, exact), float((found - exact).abs().max()) if found.numel() else 0.0)


def finite_error(found: Tensor, exact: Tensor) -> float:
    """The relative error for sorting: infinite where the shapes differ or a value is not finite."""
    return sortable(relative_error(found, exact)) if found.shape == exact.shape else math.inf


def sortable(error: float) -> float:
    """An error for sorting: infinite where it is not a number."""
    return math.inf if math.isnan(error) else error
