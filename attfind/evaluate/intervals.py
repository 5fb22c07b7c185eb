"""95 % intervals of a share of images."""

from __future__ import annotations

import math

import numpy as np

from stylexport.common.types import Array

Z95 = 1.959963984540054  # 95 % of a normal distribution lie within so many standard deviations
RESAMPLES = 2000
METHOD = "95 %, Wilson's score; of random rankings the wider of it and a bootstrap over rankings and images"


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's score interval, 95 %, of a share of `count` (Wilson 1927). (0, 1) of none."""
    if not count:
        return 0.0, 1.0
    z2 = Z95 * Z95
    centre = share + z2 / (2 * count)
    half = Z95 * math.sqrt(share * (1 - share) / count + z2 / (4 * count * count))
    low, high = ((centre + sign * half) / (1 + z2 / count) for sign in (-1, 1))
    return max(low, 0.0), min(high, 1.0)


def of_rankings(flipped: Array, seed: int = 0) -> tuple[Array, Array]:
    """Low and high [K] of the mean share of `flipped` [R, N, K] over rankings and images.

    Of one ranking Wilson's. Of more the wider, at each end, of Wilson's for N images and a percentile bootstrap that draws rankings and
    images again: the bootstrap knows how rankings differ, Wilson knows that no flip among N does not mean never.
    """
    rankings, count, _ = flipped.shape
    low, high = np.array([wilson(float(share), count) for share in flipped.mean((0, 1))]).T
    if rankings > 1:
        draw = np.random.default_rng(seed)
        again = np.empty((RESAMPLES, flipped.shape[2]))
        for row in again:
            row[:] = flipped[draw.integers(rankings, size=rankings)][:, draw.integers(count, size=count)].mean((0, 1))
        ends = np.quantile(again, (0.025, 0.975), axis=0)
        low, high = np.minimum(low, ends[0]), np.maximum(high, ends[1])
    return low, high
