"""Random numbers for an input: smooth images, rows of a table as evenly as they can be, numbers of a range."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from stylexport.common.types import Array
from stylexport.converter.calls.ranges import Range

Sizes = tuple[int, ...]
NHWC = "NHWC"
_MOST_PERMUTED = 2**20


def draw(rng: np.random.Generator, within: Range, samples: int, sizes: Sizes, layout: str) -> Array:
    """[samples, *sizes] in float32 within a range; `sizes` and the result are channels first where the graph's `layout` is NHWC."""
    low, high = (_fitted(end, sizes, layout, pick) for end, pick in ((within.low, np.min), (within.high, np.max)))
    if len(sizes) == 3 and not (within.whole and high.max() - low.min() < 16):
        values = low + (smooth_images(rng, samples, sizes) + 1) / 2 * (high - low)
        return (np.rint(values) if within.whole else values).astype(np.float32)
    if within.whole:
        return _whole(rng, int(low.min()), int(high.max()), (samples, *sizes)).astype(np.float32)
    if within.normal:
        away = np.clip(rng.standard_normal((samples, *sizes)), -3, 3)
        return ((low + high) / 2 + away * (high - low) / 6).astype(np.float32)
    return rng.uniform(low, high, (samples, *sizes)).astype(np.float32)


def spread(images: Array, within: Range, layout: str) -> Array:
    """Images [N, C, H, W] in [-1, 1], in a range instead."""
    low, high = (_fitted(end, images.shape[1:], layout, pick) for end, pick in ((within.low, np.min), (within.high, np.max)))
    values = low + (images + 1) / 2 * (high - low)
    return (np.rint(values) if within.whole else values).astype(np.float32)


def _whole(rng: np.random.Generator, low: int, high: int, shape: Sizes) -> Array:
    """Whole numbers from `low` to `high`, each as often as any other, once more or less, where there is room for all of them.

    Where there is not, both ends are among them: an index that is off by one leaves the table there.
    """
    count, of = math.prod(shape), high - low + 1
    if of > max(count, _MOST_PERMUTED):
        found = rng.integers(low, high + 1, count)
    else:
        found = low + np.concatenate([rng.permutation(of) for _ in range(-(-count // of))])[:count]
    if count >= 2 and of > count:
        found[:2] = low, high
    values = rng.permutation(found).reshape(shape)
    if (low, high) == (0, 1) and shape[-1] > 2:
        values[..., 0] = 1  # a mask that hides everything leaves nothing to compute with
    return values


def _fitted(end: Array, sizes: Sizes, layout: str, pick: Callable[[Array], Any]) -> Array:
    """One end of a range as it fits [*sizes]: an array in the graph's order of axes, with or without samples; else one number."""
    rank = len(sizes)
    if end.ndim > rank and all(size == 1 for size in end.shape[: end.ndim - rank]):
        end = end.reshape(end.shape[end.ndim - rank :])
    if layout == NHWC and rank == 3 and end.ndim:
        end = end.reshape((1,) * (rank - end.ndim) + end.shape).transpose(2, 0, 1) if end.ndim <= rank else end
    try:
        return np.broadcast_to(end, sizes)
    except ValueError:
        return np.asarray(pick(end))


def smooth_images(rng: np.random.Generator, count: int, shape: Sizes) -> Array:
    """Random images [count, *shape] in (-1, 1): noise at every scale, twice as strong at each coarser one, as photographs have it."""
    channels, height, width = shape
    total = np.zeros((count, channels, height, width))
    size, strength = 2, 1.0
    while size <= max(height, width):
        coarse = rng.standard_normal((count, channels, min(size, height), min(size, width)))
        total += strength * _enlarged(_enlarged(coarse, 2, height), 3, width)
        size, strength = 2 * size, strength / 2
    return np.tanh(total).astype(np.float32)


def _enlarged(values: Array, axis: int, size: int) -> Array:
    """Linear interpolation along an axis, with the first and last values kept."""
    at = np.linspace(0, values.shape[axis] - 1, size)
    low = np.minimum(at.astype(int), max(values.shape[axis] - 2, 0))
    high = np.minimum(low + 1, values.shape[axis] - 1)
    share = (at - low).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    return (1 - share) * values.take(low, axis) + share * values.take(high, axis)
