"""Student's interval, at 95 %, of a mean over participants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

Interval = tuple[float, float]
Z = NormalDist().inv_cdf(0.975)
# 0.975 quantiles of Student's t for 1 to 30 degrees of freedom (any table of it)
STUDENT = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


def student(values: Sequence[float]) -> Interval | None:
    """Student's interval of the mean of values in [0, 1], cut to it; None for fewer than two values, which have no spread."""
    if len(values) < 2:
        return None
    half = quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return max(fmean(values) - half, 0.0), min(fmean(values) + half, 1.0)


def quantile(freedom: int) -> float:
    """Student's t at 0.975; beyond the table its expansion about the normal quantile (Abramowitz and Stegun 26.7.5), exact to 1e-4."""
    if freedom <= len(STUDENT):
        return STUDENT[freedom - 1]
    return Z + (Z**3 + Z) / (4 * freedom) + (5 * Z**5 + 16 * Z**3 + 3 * Z) / (96 * freedom**2)
